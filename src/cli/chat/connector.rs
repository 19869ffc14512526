//! The connector of one side of a chat: a process of its own, with its files in a temporary folder.

use std::env;
use std::io;
use std::path::Path;
use std::time::Instant;

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::words::{TYPE, UPLOAD};
use crate::api::ConnectorApi;
use crate::certs;
use crate::cli::command::Failure;
use crate::cli::demo::make_folder;
use crate::cli::demo::pair::{self, Plan};
use crate::remote::Remote;

/// The client's name, as in the Python package.
pub const CLIENT: &str = "chat_client";

/// Where the two meet.
pub struct Meeting {
    /// Where the server is; `None` on the server itself.
    pub target: Option<String>,
    /// Where the server listens: an address or a network interface.
    pub bind: String,
    pub port: u16,
}

/// It runs until this is dropped.
pub struct Connector {
    process: pair::Connector,
    // Removed when the process has ended.
    _folder: TempDir,
    peer: String,
    /// The other side, as a person calls it.
    pub label: String,
}

impl Connector {
    /// Starts it; files that come go to `aside`.
    pub fn start(meeting: &Meeting, aside: &Path) -> Result<Self, Failure> {
        let folder = make_folder().map_err(|e| Failure::Failed(format!("no temporary folder: {e}")))?;
        if meeting.target.is_none() {
            certs::create(folder.path(), false).map_err(Failure::failed)?;
        }
        let program = env::current_exe();
        let program = program.map_err(|e| Failure::Failed(format!("the own program is not found: {e}")))?;
        let plan = Plan {
            program: program.into(),
            arguments: &["create-connector"],
            tls: true,
            client_name: CLIENT,
            message_types: &[TYPE],
            settings: Map::new(),
        };
        let config = config(meeting, folder.path(), aside);
        let process = pair::Connector::start(folder.path(), "chat", &plan, config).map_err(Failure::failed)?;
        let peer = match meeting.target {
            None => CLIENT.to_owned(),
            Some(_) => process.api().map_err(Failure::failed)?.server_id().to_owned(),
        };
        let label = meeting.target.clone().unwrap_or_else(|| CLIENT.to_owned());
        Ok(Self { process, _folder: folder, peer, label })
    }

    /// The id of the other side.
    pub fn peer(&self) -> &str {
        &self.peer
    }

    pub fn api(&self) -> Result<ConnectorApi, Failure> {
        self.process.api().map_err(Failure::failed)
    }

    /// # Errors
    /// It has ended: its last words.
    pub fn check(&mut self) -> Result<(), Failure> {
        self.process.check().map_err(Failure::failed)
    }

    /// Where the other side is connected from, if it is.
    pub fn peer_address(&self, remote: &Remote) -> Option<String> {
        let arguments = Map::from_iter([("dump_result".to_owned(), Value::Bool(true))]);
        // One that does not answer has ended, or is about to start.
        let peers = remote.command_json("show_connected_peers__sync", &arguments).ok()?;
        let address = peers.get(&self.peer)?.as_array()?;
        let parts = address.iter().map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned));
        Some(parts.collect::<Vec<_>>().join(" port "))
    }
}

impl Drop for Connector {
    fn drop(&mut self) {
        self.process.stop(Instant::now());
    }
}

/// TLS that only encrypts, as in the Python package: who is let in is for the user to say.
fn config(meeting: &Meeting, folder: &Path, aside: &Path) -> Value {
    // In such a path braces stand for keys of the header.
    let aside = aside.to_string_lossy().replace('{', "{{").replace('}', "}}");
    let target = json!({"target_directory": aside, "override_existing": false});
    let mut config = json!({
        "is_server": meeting.target.is_none(),
        "server_sockaddr": [meeting.target.as_deref().unwrap_or(&meeting.bind), meeting.port],
        "use_ssl": true,
        "ssl_allow_all": true,
        "certificates_directory_path": folder,
        "send_message_types": [TYPE],
        "recv_message_types": [TYPE],
        "file_recv_config": {TYPE: target, UPLOAD: target},
    });
    if meeting.target.is_some() {
        config["client_name"] = CLIENT.into();
    }
    config
}

/// Addresses of this machine that others may reach it at.
pub fn own_addresses() -> io::Result<Vec<String>> {
    let addresses = nix::ifaddrs::getifaddrs()?.filter_map(|interface| {
        let address = interface.address?;
        let ip = address.as_sockaddr_in().map(|address| address.ip())?;
        (!ip.is_loopback()).then(|| ip.to_string())
    });
    Ok(addresses.collect())
}
