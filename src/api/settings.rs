//! Which connector an app belongs to: the few keys of its config that an app needs.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::error::ConfigError;
use super::users;
use crate::wire::names::{Role, server_id, validate_client_name};
use crate::wire::path::{Places, full_path};

/// `connector_files_dirpath` of a config that names none.
pub const FILES_DIR: &str = "/var/tmp/aioconnectors";

/// `server_sockaddr` of a config that names none.
pub const SERVER_ADDRESS: (&str, u16) = ("127.0.0.1", 10673);

/// The message types of a config that names none.
const DEFAULT_TYPES: [&str; 1] = ["any"];

/// What an app knows of its connector.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub role: Role,
    /// The connector's own id.
    pub id: String,
    /// The id of the server: of itself, or of a client's only peer.
    pub server_id: String,
    pub files_dir: PathBuf,
    /// `None`: whatever the connector allows.
    pub send_types: Option<Vec<String>>,
    pub recv_types: Vec<String>,
    pub keep_connection: bool,
    pub any_connector_owner: bool,
}

impl Settings {
    pub fn server(host: &str, port: u16) -> Self {
        Self::new(Role::Server, server_id(host, port), server_id(host, port))
    }

    pub fn client(name: &str) -> Self {
        let (host, port) = SERVER_ADDRESS;
        Self::new(Role::Client, name.to_owned(), server_id(host, port))
    }

    fn new(role: Role, id: String, server_id: String) -> Self {
        Self {
            role,
            id,
            server_id,
            files_dir: PathBuf::from(FILES_DIR),
            send_types: None,
            recv_types: DEFAULT_TYPES.map(str::to_owned).to_vec(),
            keep_connection: true,
            any_connector_owner: true,
        }
    }

    pub fn from_file(file: &Path) -> Result<Self, ConfigError> {
        let text = fs::read(file).map_err(|source| ConfigError::Unreadable { file: file.to_owned(), source })?;
        let fail = |problem: String| ConfigError::NotAnObject { file: file.to_owned(), problem };
        match serde_json::from_slice(&text) {
            Ok(Value::Object(keys)) => Reader { file, keys: &keys }.settings(),
            Ok(other) => Err(fail(format!("found {}", shorten(&other)))),
            Err(e) => Err(fail(e.to_string())),
        }
    }
}

/// Reads typed values from a config; a key that is absent or `null` has its default.
struct Reader<'a> {
    file: &'a Path,
    keys: &'a Map<String, Value>,
}

impl<'a> Reader<'a> {
    fn settings(&self) -> Result<Settings, ConfigError> {
        let client_name = self.text("client_name")?;
        let (host, port) = self.address("server_sockaddr")?.unwrap_or(SERVER_ADDRESS);
        // Without the key, who has a name is a client: nothing else needs one.
        let is_server = self.flag("is_server")?.unwrap_or(client_name.is_none());
        let mut settings = match client_name {
            _ if is_server => Settings::server(host, port),
            Some(name) => {
                let fail = |source| ConfigError::ClientName { file: self.file.into(), name: name.into(), source };
                validate_client_name(name).map_err(fail)?;
                Settings { server_id: server_id(host, port), ..Settings::client(name) }
            }
            None => return Err(self.fail("client_name", "a name, because is_server is false")),
        };
        if let Some(dir) = self.path("connector_files_dirpath")? {
            settings.files_dir = dir;
        }
        settings.send_types = self.texts("send_message_types")?;
        if let Some(types) = self.texts("recv_message_types")? {
            settings.recv_types = types;
        }
        settings.keep_connection = self.flag("uds_path_send_preserve_socket")?.unwrap_or(true);
        settings.any_connector_owner = self.flag("receive_from_any_connector_owner")?.unwrap_or(true);
        Ok(settings)
    }

    fn value(&self, key: &str) -> Option<&'a Value> {
        self.keys.get(key).filter(|v| !v.is_null())
    }

    fn fail(&self, key: &'static str, expected: impl Into<String>) -> ConfigError {
        let found = self.keys.get(key).map_or_else(|| "nothing".to_owned(), shorten);
        ConfigError::Key { file: self.file.to_owned(), key, found, expected: expected.into() }
    }

    fn typed<T>(
        &self,
        key: &'static str,
        expected: &'static str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.value(key) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| self.fail(key, expected))
    }

    fn text(&self, key: &'static str) -> Result<Option<&'a str>, ConfigError> {
        self.typed(key, "a string", Value::as_str)
    }

    fn flag(&self, key: &'static str) -> Result<Option<bool>, ConfigError> {
        self.typed(key, "true or false", Value::as_bool)
    }

    fn texts(&self, key: &'static str) -> Result<Option<Vec<String>>, ConfigError> {
        let read = |v: &Value| v.as_array()?.iter().map(|t| t.as_str().map(str::to_owned)).collect();
        self.typed(key, "a list of strings", read)
    }

    fn path(&self, key: &'static str) -> Result<Option<PathBuf>, ConfigError> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        let (variable, current) = (|name: &str| env::var(name).ok(), env::current_dir().ok());
        let places = Places { variable: &variable, home: &users::home, current };
        full_path(text, &places).map(Some).map_err(|error| self.fail(key, format!("a path: {error}")))
    }

    /// The first of several: it names the server.
    fn address(&self, key: &'static str) -> Result<Option<(&'a str, u16)>, ConfigError> {
        self.typed(key, "[HOST, PORT], as in [\"127.0.0.1\", 10673], or a list of those", |value| {
            let items = value.as_array()?;
            let first = items.first().and_then(Value::as_array).unwrap_or(items);
            let [host, port] = first.as_slice() else { return None };
            let port = u16::try_from(port.as_u64()?).ok().filter(|p| *p > 0)?;
            Some((host.as_str().filter(|h| !h.is_empty())?, port))
        })
    }
}

/// A value as an error shows it, bytes 60 at most.
fn shorten(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Settings, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.json");
        fs::write(&file, json).unwrap();
        Settings::from_file(&file)
    }

    fn error(json: &str) -> String {
        let error = read(json).unwrap_err().to_string();
        assert!(error.contains("config.json"), "{error}");
        error
    }

    #[test]
    fn a_client_is_named_and_its_server_has_the_default_address() {
        let settings = read(r#"{"is_server": false, "client_name": "c1"}"#).unwrap();
        assert_eq!((settings.role, settings.id.as_str()), (Role::Client, "c1"));
        assert_eq!(settings.server_id, "('127.0.0.1', 10673)");
        assert_eq!(settings.files_dir, Path::new(FILES_DIR));
        assert_eq!((settings.send_types, settings.recv_types), (None, vec!["any".to_owned()]));
        assert!(settings.keep_connection && settings.any_connector_owner);
    }

    #[test]
    fn a_config_without_is_server_is_a_client_if_it_has_a_name() {
        assert_eq!(read(r#"{"client_name": "c1"}"#).unwrap().role, Role::Client);
        assert_eq!(read(r#"{"client_name": null}"#).unwrap().role, Role::Server);
        assert_eq!(read(r#"{"client_name": "c1", "is_server": true}"#).unwrap().role, Role::Server);
    }

    #[test]
    fn every_key_that_an_app_needs_is_read() {
        let settings = read(
            r#"{"is_server": true, "server_sockaddr": ["10.0.0.1", 99], "connector_files_dirpath": "/d",
                "send_message_types": ["a", "b"], "recv_message_types": [], "uds_path_send_preserve_socket": false,
                "receive_from_any_connector_owner": false, "use_ssl": "whatever"}"#,
        )
        .unwrap();
        assert_eq!((settings.role, settings.id.as_str()), (Role::Server, "('10.0.0.1', 99)"));
        assert_eq!(settings.files_dir, Path::new("/d"));
        assert_eq!(settings.send_types.unwrap(), ["a", "b"]);
        assert!(settings.recv_types.is_empty() && !settings.keep_connection && !settings.any_connector_owner);
    }

    #[test]
    fn mistakes_name_file_key_and_what_is_right() {
        assert!(error(r#"{"is_server": "yes"}"#).contains("is_server must be true or false, found \"yes\""));
        let settings = read(r#"{"client_name": "c", "server_sockaddr": [["10.0.0.1", 99], ["b", 1]]}"#).unwrap();
        assert_eq!(settings.server_id, "('10.0.0.1', 99)", "the first of several names the server");
        assert!(error(r#"{"server_sockaddr": ["h", 70000]}"#).contains("server_sockaddr must be [HOST, PORT]"));
        assert!(error(r#"{"is_server": false}"#).contains("client_name must be a name"));
        assert!(error(r#"{"client_name": "a/b"}"#).contains("'/'"));
        assert!(error(r#"{"send_message_types": "any"}"#).contains("a list of strings"));
        assert!(
            error(r#"{"connector_files_dirpath": "/$NOT_SET_ANYWHERE"}"#)
                .contains("a path: the environment variable NOT_SET_ANYWHERE is")
        );
        assert!(
            error(r#"{"connector_files_dirpath": "~no such user/run"}"#).contains("~no such user has no home folder")
        );
        assert!(error("[]").contains("found []"));
        assert!(error("{").contains("line 1"));
        assert!(
            Settings::from_file(Path::new("/nonexistent/c.json"))
                .unwrap_err()
                .to_string()
                .contains("/nonexistent/c.json")
        );
    }
}
