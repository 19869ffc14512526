//! A connector's config by hand, without a file.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::ConnectorManager;
use crate::config::error::{ConfigError, ConfigErrors, Problem};
use crate::config::keys::{KEYS, Key, OLD_KEYS};
use crate::config::{Config, nearest};
use crate::hooks::Hooks;

/// What stands for the config's file in messages.
const NO_FILE: &str = "(config given in code)";

/// What is known of a connector; [`build`](Self::build) makes the [`ConnectorManager`]. What is not given is as in a
/// config file that does not give it.
///
/// ```
/// use aioconnectors::manager::ConnectorManager;
///
/// let manager = ConnectorManager::client("client1", "server.example", 10673)
///     .files_dir("/run/messages")
///     .recv_message_types(["any", "news"])
///     .set("keep_alive_period", 30)
///     .build()?;
/// assert_eq!(manager.config().id(), "client1");
/// # Ok::<(), aioconnectors::config::ConfigErrors>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "build() makes the manager"]
pub struct Builder {
    members: Map<String, Value>,
    hooks: Hooks,
}

impl Builder {
    pub(super) fn new(is_server: bool, host: &str, port: u16) -> Self {
        let builder = Self { members: Map::new(), hooks: Hooks::new() };
        builder.set("is_server", is_server).set("server_sockaddr", vec![Value::from(host), Value::from(port)])
    }

    /// Any key of a config file, by its name.
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.members.insert(key.to_owned(), value.into());
        self
    }

    fn set_path(self, key: &str, path: PathBuf) -> Self {
        // A path that is no UTF-8 cannot stand in a config; what is shown of it is refused or not found, with its name.
        self.set(key, path.to_string_lossy().into_owned())
    }

    fn set_types<T: Into<String>>(self, key: &str, types: impl IntoIterator<Item = T>) -> Self {
        self.set(key, types.into_iter().map(Into::into).collect::<Vec<String>>())
    }

    /// `connector_files_dirpath`: the folder of its sockets and queues.
    pub fn files_dir(self, dir: impl Into<PathBuf>) -> Self {
        self.set_path("connector_files_dirpath", dir.into())
    }

    /// `certificates_directory_path`: the folder that holds the folder `certificates`.
    pub fn certificates_dir(self, dir: impl Into<PathBuf>) -> Self {
        self.set_path("certificates_directory_path", dir.into())
    }

    /// `server_sockaddr`, on a client: one more address of the server, which is tried when there is no link by those before.
    /// The first one names the server.
    pub fn or_server(mut self, host: &str, port: u16) -> Self {
        let one_more = Value::from(vec![Value::from(host), Value::from(port)]);
        if let Some(Value::Array(addresses)) = self.members.get_mut("server_sockaddr") {
            if !addresses.first().is_some_and(Value::is_array) {
                *addresses = vec![Value::Array(std::mem::take(addresses))];
            }
            addresses.push(one_more);
        }
        self
    }

    /// `proxy`: the HTTP proxy that a client goes through, spoken to in clear. [`set`](Self::set) is for one with TLS;
    /// [`Hooks::proxy_authorization`] gives a name and a password, if it wants them.
    pub fn proxy(self, host: &str, port: u16) -> Self {
        self.set("proxy", serde_json::json!({"enabled": true, "address": host, "port": port}))
    }

    /// `use_ssl`: whether its links are TLS; by default they are.
    pub fn use_ssl(self, tls: bool) -> Self {
        self.set("use_ssl", tls)
    }

    /// `ssl_allow_all`: whether TLS only encrypts, and certificates are not verified; by default they are.
    pub fn ssl_allow_all(self, all: bool) -> Self {
        self.set("ssl_allow_all", all)
    }

    /// `send_message_types`: the types that its apps may send; by default `any`.
    pub fn send_message_types<T: Into<String>>(self, types: impl IntoIterator<Item = T>) -> Self {
        self.set_types("send_message_types", types)
    }

    /// `recv_message_types`: the types that peers may send to its apps; by default `any`.
    pub fn recv_message_types<T: Into<String>>(self, types: impl IntoIterator<Item = T>) -> Self {
        self.set_types("recv_message_types", types)
    }

    /// `disk_persistence_send` and `disk_persistence_recv`: whether messages of all types are kept on disk; by default
    /// none are.
    pub fn disk_persistence(self, all: bool) -> Self {
        self.set("disk_persistence_send", all).set("disk_persistence_recv", all)
    }

    /// What is asked where the config alone would decide.
    pub fn hooks(mut self, hooks: Hooks) -> Self {
        self.hooks = hooks;
        self
    }

    /// The manager. Nothing runs yet.
    ///
    /// # Errors
    /// All that is wrong with the config; a key that does not exist, too.
    pub fn build(self) -> Result<ConnectorManager, ConfigErrors> {
        let known = |name: &str| Key::find(name).is_some() || OLD_KEYS.iter().any(|old| old.name == name);
        let unknown: Vec<ConfigError> = self.members.keys().filter(|name| !known(name)).map(|n| no_key(n)).collect();
        if !unknown.is_empty() {
            return Err(ConfigErrors { errors: unknown, warnings: Vec::new() });
        }
        let loaded = Config::parse(&Value::Object(self.members).to_string(), Path::new(NO_FILE))?;
        Ok(ConnectorManager::made_of(loaded, None).hooks(self.hooks))
    }
}

fn no_key(name: &str) -> ConfigError {
    let expected = match nearest(name, KEYS.iter().map(|key| key.name)) {
        Some(nearest) => format!("the name of a config key, as {nearest}"),
        None => "the name of a config key".to_owned(),
    };
    let problem = Problem::Key { key: name.to_owned(), found: "a key that does not exist".to_owned(), expected };
    ConfigError { file: NO_FILE.into(), problem }
}
