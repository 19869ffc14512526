//! The admin socket: one request a connection, u32 length and JSON; the answer u32 length and text.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::wait;

pub struct Admin {
    pub path: PathBuf,
}

impl Admin {
    pub fn new(path: PathBuf) -> Admin {
        Admin { path }
    }

    /// Asks one thing; an error if nobody listens or the connection is closed without an answer.
    pub fn ask(&self, command: &str, arguments: Value) -> io::Result<String> {
        let request = json!({"cmd": command, "kwargs": arguments}).to_string();
        let mut stream = UnixStream::connect(&self.path)?;
        stream.set_read_timeout(Some(wait::LIMIT))?;
        stream.write_all(&u32::try_from(request.len()).expect("a short request").to_le_bytes())?;
        stream.write_all(request.as_bytes())?;
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let mut answer = vec![0; u32::from_le_bytes(length) as usize];
        stream.read_exact(&mut answer)?;
        String::from_utf8(answer).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// The connected peers by id, each with address and port; `None` while there is no answer.
    pub fn connected_peers(&self) -> Option<Map<String, Value>> {
        let answer = self.ask("show_connected_peers__sync", json!({"dump_result": true})).ok()?;
        Some(
            serde_json::from_str(&answer).unwrap_or_else(|error| panic!("show_connected_peers said {answer}: {error}")),
        )
    }
}
