//! Admin commands to a running connector, over its admin socket: one request a connection.
//!
//! ```no_run
//! use aioconnectors::remote::Remote;
//! use serde_json::Map;
//!
//! let remote = Remote::new("/var/tmp/aioconnectors/uds_path_commander_client1");
//! println!("{}", remote.command("peek_queues", &Map::new())?);
//! # Ok::<(), aioconnectors::remote::RemoteError>(())
//! ```

mod access;
mod connect;
mod life;
mod tokens;

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

pub use access::{ClientEntry, ClientList, IgnoredPeers};
pub(crate) use connect::connect;
pub use life::{Reloaded, STOP_TIMEOUT};

use crate::wire::admin::{ANSWER_MAX, encode_request};

/// Time for a command and its answer, unless [`Remote::timeout`] says otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// The command that tells all numbers.
const SHOW_STATUS: &str = "show_status";

/// Why a command has no answer.
#[derive(Debug)]
pub enum RemoteError {
    /// Nobody listens on the admin socket.
    NotRunning {
        /// The socket.
        path: PathBuf,
    },
    /// No whole answer came in time.
    TimedOut {
        /// The socket.
        path: PathBuf,
        /// The command.
        command: String,
        /// After so long.
        after: Duration,
    },
    /// The connector closed the connection before a whole answer: it refuses the command, or has stopped.
    Closed {
        /// The socket.
        path: PathBuf,
        /// The command.
        command: String,
    },
    /// The answer says that it is longer than [`ANSWER_MAX`].
    TooLong {
        /// The socket.
        path: PathBuf,
        /// Its length, bytes.
        length: usize,
    },
    /// The answer is not UTF-8.
    NotText {
        /// The socket.
        path: PathBuf,
        /// The command.
        command: String,
    },
    /// The answer was expected to be JSON: its text.
    NotJson {
        /// The socket.
        path: PathBuf,
        /// The command.
        command: String,
        /// The answer.
        answer: String,
    },
    /// The connector does not do it.
    Refused {
        /// The socket.
        path: PathBuf,
        /// The command.
        command: String,
        /// Why, in the connector's words.
        reason: String,
    },
    /// The system refused something else.
    Io {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl fmt::Display for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RemoteError::NotRunning { path } => write!(f, "no connector runs at {}", path.display()),
            RemoteError::TimedOut { path, command, after } => {
                write!(f, "{command} at {}: no answer within {after:?}", path.display())
            }
            RemoteError::Closed { path, command } => {
                write!(f, "{command} at {}: the connector closed the connection without an answer", path.display())
            }
            RemoteError::TooLong { path, length } => {
                write!(f, "{}: an answer of {length} bytes is over the limit of {ANSWER_MAX}", path.display())
            }
            RemoteError::NotText { path, command } => {
                write!(f, "{command} at {}: the answer is not UTF-8", path.display())
            }
            RemoteError::NotJson { path, command, answer } => {
                write!(f, "{command} at {}: the answer is not JSON: {answer}", path.display())
            }
            RemoteError::Refused { path, command, reason } => {
                write!(f, "{command} at {}: refused: {reason}", path.display())
            }
            RemoteError::Io { path, source } => write!(f, "{}: {source}", path.display()),
        }
    }
}

impl std::error::Error for RemoteError {}

/// A file on its way to a peer or from one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileOnItsWay {
    /// The peer's id.
    pub peer: String,
    /// It comes; else it goes.
    pub comes: bool,
    /// Of one that goes, the `src_path` of its message; of one that comes, the `dst_name`.
    pub name: String,
    /// Its length, bytes.
    pub size: u64,
    /// How many of them the receiver has; of one that goes to a Python peer, how many went out.
    pub done: u64,
}

impl FileOnItsWay {
    fn of(value: &Value) -> Option<Self> {
        Some(Self {
            peer: value["peer"].as_str()?.to_owned(),
            comes: value["direction"].as_str()? == "in",
            name: value["name"].as_str()?.to_owned(),
            size: value["size"].as_u64()?,
            done: value["done"].as_u64()?,
        })
    }
}

/// The admin socket of one connector. See also [`ConnectorApi::remote`](crate::api::ConnectorApi::remote).
#[derive(Clone, Debug)]
pub struct Remote {
    path: PathBuf,
    timeout: Duration,
}

impl Remote {
    /// The connector whose admin socket is at `path`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), timeout: TIMEOUT }
    }

    /// Time for a command and its answer.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Where the socket is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The answer to a command, as the connector words it: often JSON, always one text.
    ///
    /// # Errors
    /// See [`RemoteError`].
    pub fn command(&self, command: &str, arguments: &Map<String, Value>) -> Result<String, RemoteError> {
        let call = Call { remote: self, command, start: Instant::now() };
        let mut stream = connect(&self.path, call.left()?).map_err(|e| call.fail(e))?;
        stream.set_write_timeout(Some(call.left()?)).map_err(|e| call.fail(e))?;
        stream.write_all(&encode_request(command, arguments)).map_err(|e| call.fail(e))?;
        let mut length = [0; 4];
        call.read(&mut stream, &mut length)?;
        let length = u32::from_le_bytes(length) as usize;
        if length > ANSWER_MAX {
            return Err(RemoteError::TooLong { path: self.path.clone(), length });
        }
        let mut answer = vec![0; length];
        call.read(&mut stream, &mut answer)?;
        String::from_utf8(answer)
            .map_err(|_| RemoteError::NotText { path: self.path.clone(), command: command.to_owned() })
    }

    /// The answer to a command that answers with JSON.
    ///
    /// # Errors
    /// As [`command`](Self::command), and [`RemoteError::NotJson`].
    pub fn command_json(&self, command: &str, arguments: &Map<String, Value>) -> Result<Value, RemoteError> {
        let answer = self.command(command, arguments)?;
        serde_json::from_str(&answer).map_err(|_| RemoteError::NotJson {
            path: self.path.clone(),
            command: command.to_owned(),
            answer,
        })
    }

    /// The ids of the peers that are connected: clients by name, the server by its address.
    ///
    /// # Errors
    /// As [`command_json`](Self::command_json).
    pub fn connected_peers(&self) -> Result<Vec<String>, RemoteError> {
        let arguments = Map::from_iter([("dump_result".to_owned(), Value::Bool(true))]);
        let peers = self.command_json("show_connected_peers__sync", &arguments)?;
        Ok(peers.as_object().map(|peers| peers.keys().cloned().collect()).unwrap_or_default())
    }

    /// How the connector stands, in numbers: peers, types, queues, what was not delivered. The members are in the man page
    /// aioconnectorsctl(1), under `status`; sizes are in bytes, times in seconds. Newer connectors may have more of them.
    ///
    /// # Errors
    /// As [`command_json`](Self::command_json); [`RemoteError::Refused`] if the connector is too old to know the command.
    pub fn status(&self) -> Result<Value, RemoteError> {
        let status = self.command_json(SHOW_STATUS, &Map::new())?;
        match status.get("status") {
            Some(Value::Bool(false)) => Err(RemoteError::Refused {
                path: self.path.clone(),
                command: SHOW_STATUS.to_owned(),
                reason: status["msg"].as_str().unwrap_or("it gives no reason").to_owned(),
            }),
            _ => Ok(status),
        }
    }

    /// The files that are on their way now, 256 at most.
    ///
    /// # Errors
    /// As [`command_json`](Self::command_json); a connector of the Python package does not know the command.
    pub fn files(&self) -> Result<Vec<FileOnItsWay>, RemoteError> {
        let files = self.command_json("show_files", &Map::new())?;
        Ok(files.as_array().map(|files| files.iter().filter_map(FileOnItsWay::of).collect()).unwrap_or_default())
    }

    /// Has the connector, a client's, subscribe to these message types and to no others: published messages of these
    /// come to it as messages of their type. Towards a server of this project `*` stands for a word and `>` for the rest
    /// of them, words being parted by dots.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let api = aioconnectors::api::ConnectorApi::client("client1").build()?;
    /// let subscriptions = api.remote().subscribe(&["news", "sensors.>"])?;
    /// assert_eq!(subscriptions, ["news", "sensors.>"]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Returns
    /// What it subscribes to now: on a server, nothing.
    ///
    /// # Errors
    /// As [`command_json`](Self::command_json); [`RemoteError::Refused`] if one is no message type.
    pub fn subscribe<T: AsRef<str>>(&self, message_types: &[T]) -> Result<Vec<String>, RemoteError> {
        let types = message_types.iter().map(|t| Value::from(t.as_ref())).collect();
        let arguments = Map::from_iter([("message_types".to_owned(), Value::Array(types))]);
        self.types("set_subscribe_message_types", &arguments)
    }

    /// The message types that the connector subscribes to.
    ///
    /// # Errors
    /// As [`command_json`](Self::command_json).
    pub fn subscriptions(&self) -> Result<Vec<String>, RemoteError> {
        self.types("show_subscribe_message_types__sync", &Map::new())
    }

    /// Has a server take back the certificate of `client`, whose link ends at once; with `only_link` the certificate's
    /// files stay, and the name gets no new one. Without `client`, has a client delete its own certificate and ask the
    /// server for another, which it gets if the server has taken back the old one.
    ///
    /// # Errors
    /// As [`command_json`](Self::command_json); [`RemoteError::Refused`] if there is none, or the connector is of the
    /// other kind.
    pub fn delete_client_certificate(&self, client: Option<&str>, only_link: bool) -> Result<(), RemoteError> {
        let (command, arguments) = match client {
            Some(client) => (
                "delete_client_certificate_on_server",
                vec![("client_id", Value::from(client)), ("remove_only_symlink", Value::Bool(only_link))],
            ),
            None => ("delete_client_certificate_on_client", vec![("restart_client", Value::Bool(true))]),
        };
        let arguments = arguments.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let answer = self.command_json(command, &arguments)?;
        if answer.get("status") == Some(&Value::Bool(true)) {
            return Ok(());
        }
        let reason = answer.get("msg").and_then(Value::as_str).unwrap_or("it gives no reason").to_owned();
        Err(RemoteError::Refused { path: self.path.clone(), command: command.to_owned(), reason })
    }

    /// The answer to a command that answers with a list of types.
    fn types(&self, command: &str, arguments: &Map<String, Value>) -> Result<Vec<String>, RemoteError> {
        let answer = self.command(command, arguments)?;
        // A connector of the Python package words a list as Python does.
        let types = serde_json::from_str(&answer).or_else(|_| serde_json::from_str(&answer.replace('\'', "\"")));
        let (path, command) = (self.path.clone(), command.to_owned());
        types.map_err(|_| {
            let said: Option<Value> = serde_json::from_str(&answer).ok();
            match said.as_ref().and_then(|said| said.get("msg")?.as_str()) {
                Some(reason) => RemoteError::Refused { path, command, reason: reason.to_owned() },
                None => RemoteError::NotJson { path, command, answer },
            }
        })
    }
}

/// One command on its way.
struct Call<'a> {
    remote: &'a Remote,
    command: &'a str,
    start: Instant,
}

impl Call<'_> {
    fn left(&self) -> Result<Duration, RemoteError> {
        let left = self.remote.timeout.checked_sub(self.start.elapsed()).filter(|left| !left.is_zero());
        left.ok_or_else(|| self.fail(ErrorKind::TimedOut.into()))
    }

    fn read(&self, stream: &mut UnixStream, mut into: &mut [u8]) -> Result<(), RemoteError> {
        while !into.is_empty() {
            stream.set_read_timeout(Some(self.left()?)).map_err(|e| self.fail(e))?;
            match stream.read(into) {
                Ok(0) => return Err(self.fail(ErrorKind::UnexpectedEof.into())),
                Ok(n) => into = &mut into[n..],
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(self.fail(e)),
            }
        }
        Ok(())
    }

    fn fail(&self, e: io::Error) -> RemoteError {
        let (path, command) = (self.remote.path.clone(), self.command.to_owned());
        match e.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => RemoteError::NotRunning { path },
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                RemoteError::TimedOut { path, command, after: self.remote.timeout }
            }
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                RemoteError::Closed { path, command }
            }
            _ => RemoteError::Io { path, source: e },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;
    use crate::wire::admin::{Request, encode_answer, parse_request};

    /// A connector that answers one command with `answer`, and what it was asked.
    fn asked(answer: &[u8], ask: impl FnOnce(&Remote)) -> Request {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("commander");
        let listener = UnixListener::bind(&path).unwrap();
        thread::scope(|scope| {
            let connector = scope.spawn(|| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut bytes = Vec::new();
                while parse_request(&bytes).unwrap().is_none() {
                    let mut buffer = [0; 16];
                    let n = stream.read(&mut buffer).unwrap();
                    bytes.extend_from_slice(&buffer[..n]);
                }
                stream.write_all(answer).unwrap();
                parse_request(&bytes).unwrap().unwrap()
            });
            ask(&Remote::new(&path));
            connector.join().unwrap()
        })
    }

    #[test]
    fn a_command_is_answered() {
        let request = asked(&encode_answer(r#"{"c1": ["127.0.0.1", 5]}"#), |remote| {
            assert_eq!(remote.connected_peers().unwrap(), ["c1"]);
        });
        assert_eq!(request.command, "show_connected_peers");
        assert_eq!(request.arguments["dump_result"], true);
    }

    #[test]
    fn subscriptions_are_set_and_read_as_json_and_as_python_words_them() {
        let request = asked(&encode_answer(r#"["a", "b.>"]"#), |remote| {
            assert_eq!(remote.subscribe(&["a", "b.>"]).unwrap(), ["a", "b.>"]);
        });
        assert_eq!(request.command, "set_subscribe_message_types");
        assert_eq!(request.arguments["message_types"], serde_json::json!(["a", "b.>"]));
        for answer in [r#"["a", "b.>"]"#, "['a', 'b.>']"] {
            asked(&encode_answer(answer), |remote| assert_eq!(remote.subscriptions().unwrap(), ["a", "b.>"]));
        }
        asked(&encode_answer(r#"{"status": false, "msg": "no type"}"#), |remote| {
            let error = remote.subscribe(&["a b"]).unwrap_err().to_string();
            assert!(error.ends_with("refused: no type"), "{error}");
        });
    }

    #[test]
    fn half_an_answer_is_none() {
        asked(&encode_answer("12345")[..6], |remote| {
            assert!(matches!(remote.command("c", &Map::new()), Err(RemoteError::Closed { .. })));
        });
        asked(&u32::MAX.to_le_bytes(), |remote| {
            assert!(matches!(remote.command("c", &Map::new()), Err(RemoteError::TooLong { .. })));
        });
        asked(&encode_answer("True"), |remote| {
            let error = remote.command_json("c", &Map::new()).unwrap_err().to_string();
            assert!(error.ends_with("the answer is not JSON: True"), "{error}");
        });
    }

    #[test]
    fn a_connector_that_is_not_there_and_one_that_says_nothing_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("commander");
        let remote = Remote::new(&path).timeout(Duration::from_millis(20));
        assert!(matches!(remote.command("c", &Map::new()), Err(RemoteError::NotRunning { .. })));
        let listener = UnixListener::bind(&path).unwrap();
        assert!(matches!(remote.command("c", &Map::new()), Err(RemoteError::TimedOut { .. })));
        drop(listener);
        assert!(matches!(remote.command("c", &Map::new()), Err(RemoteError::NotRunning { .. })));
    }
}
