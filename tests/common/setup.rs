//! A connector's config, and the socket paths that follow from it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value, json};

use super::{Admin, Place, Process, wait};

/// The message types that every connector of the tests sends and takes.
pub const TYPES: [&str; 4] = ["any", "ask", "quick", "slow"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Server,
    Client,
}

impl Role {
    /// As in socket names.
    pub fn word(self) -> &'static str {
        match self {
            Role::Server => "server",
            Role::Client => "client",
        }
    }
}

/// A connector that can be started: its folder and its config.
#[derive(Clone)]
pub struct Setup {
    pub role: Role,
    /// The connector's id: a client's name, or the Python text of a server's address.
    pub id: String,
    /// `connector_files_dirpath`.
    pub dir: PathBuf,
    keys: Map<String, Value>,
}

impl Setup {
    /// A server at `port` of 127.0.0.1, without TLS, with its files in the folder `s`.
    pub fn server(place: &Place, port: u16) -> Setup {
        let keys = json!({"is_server": true, "server_sockaddr": ["127.0.0.1", port]});
        Setup::new(Role::Server, format!("('127.0.0.1', {port})"), place.file("s"), keys)
    }

    /// A client of the server at `port` of 127.0.0.1, without TLS, with its files in the folder `c`.
    pub fn client(place: &Place, name: &str, port: u16) -> Setup {
        Setup::client_in(place, "c", name, port)
    }

    /// The same with its files in the folder `folder`.
    pub fn client_in(place: &Place, folder: &str, name: &str, port: u16) -> Setup {
        let keys = json!({"is_server": false, "server_sockaddr": ["127.0.0.1", port], "client_name": name});
        Setup::new(Role::Client, name.to_owned(), place.file(folder), keys)
    }

    fn new(role: Role, id: String, dir: PathBuf, keys: Value) -> Setup {
        let Value::Object(keys) = keys else { unreachable!("an object was written above") };
        Setup { role, id, dir: dir.clone(), keys }
            .with("connector_files_dirpath", path_text(&dir))
            .with("certificates_directory_path", path_text(&dir))
            .with("use_ssl", false)
            .with("send_message_types", TYPES.to_vec())
            .with("recv_message_types", TYPES.to_vec())
    }

    /// The same with a config key more.
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Setup {
        self.keys.insert(key.to_owned(), value.into());
        self
    }

    /// What the config says of a key.
    pub fn key(&self, key: &str) -> Option<&Value> {
        self.keys.get(key)
    }

    /// Writes the config file beside the connector's folder, which it makes as well.
    pub fn write(&self) -> PathBuf {
        if !self.dir.exists() {
            fs::create_dir_all(&self.dir).expect("the connector's folder");
        }
        let path = self.dir.with_extension("json");
        let text = serde_json::to_vec_pretty(&self.keys).expect("JSON");
        // Apps that read it already must not find it half written.
        if fs::read(&path).ok().as_ref() != Some(&text) {
            fs::write(&path, text).expect("the config file");
        }
        path
    }

    /// Starts our daemon with this config.
    pub fn spawn(&self) -> Process {
        let config = self.write();
        let name = format!("aioconnectorsd {} {}", self.role.word(), self.id);
        Process::spawn(name, Command::new(env!("CARGO_BIN_EXE_aioconnectorsd")).arg(config))
    }

    /// Starts our daemon with this config and waits until it answers on its admin socket.
    #[track_caller]
    pub fn start(&self) -> Process {
        let mut process = self.spawn();
        self.wait_ready(&mut process);
        process
    }

    /// Waits until the connector answers on its admin socket.
    #[track_caller]
    pub fn wait_ready(&self, process: &mut Process) {
        wait::until("a connector that answers on its admin socket", || {
            assert!(process.is_running(), "the connector {} ended at its start", self.id);
            self.admin().connected_peers()
        });
    }

    pub fn admin(&self) -> Admin {
        Admin::new(self.socket(&format!("commander_{}", uid(&self.id))))
    }

    /// Where apps hand in messages.
    pub fn send_socket(&self) -> PathBuf {
        self.socket(&format!("send_to_connector_{}_{}", self.role.word(), uid(&self.id)))
    }

    /// Where an app listens for messages of a type.
    pub fn receive_socket(&self, message_type: &str) -> PathBuf {
        self.socket(&format!("receive_from_connector_{}_{message_type}_{}", self.role.word(), uid(&self.id)))
    }

    fn socket(&self, rest: &str) -> PathBuf {
        let path = self.dir.join(format!("uds_path_{rest}"));
        assert!(path.as_os_str().len() <= 104, "{} is too long for a socket", path.display());
        path
    }
}

/// Waits until `server` and `client` each list the other.
#[track_caller]
pub fn wait_link(server: &Setup, client: &Setup) {
    let lists = |at: &Setup, peer: &Setup| at.admin().connected_peers().filter(|peers| peers.contains_key(&peer.id));
    wait::until(&format!("{} in the server's list of peers", client.id), || lists(server, client));
    wait::until("the server in the client's list of peers", || lists(client, server));
}

/// The alphanumeric characters of each word of an id, joined by `_`. (The tests use no id that is longer than 32.)
fn uid(id: &str) -> String {
    let words = id.split_whitespace().map(|word| word.chars().filter(|c| c.is_alphanumeric()).collect::<String>());
    let uid = words.collect::<Vec<_>>().join("_");
    assert!(uid.chars().count() <= 32, "{uid} would be hashed in socket names");
    uid
}

fn path_text(path: &Path) -> &str {
    path.to_str().expect("a path of UTF-8")
}
