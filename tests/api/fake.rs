//! The connector's end of an app's sockets.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aioconnectors::api::ConnectorApi;
use aioconnectors::wire::frame::{Deframer, encode};
use aioconnectors::wire::names::{Role, SocketPaths};
use serde_json::Value;
use tempfile::TempDir;

/// What a test waits for comes within this, or the test fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A folder for sockets, and the api of the client connector `c1` in it.
pub fn client() -> (TempDir, ConnectorApi) {
    let dir = tempfile::tempdir().unwrap();
    let api = ConnectorApi::client("c1").files_dir(dir.path()).any_connector_owner(false);
    let api = api.recv_message_types(["any", "other"]).build().unwrap();
    (dir, api)
}

pub fn paths(dir: &TempDir) -> SocketPaths {
    SocketPaths::new(dir.path(), Role::Client, "c1")
}

/// Listens for apps that send, as a connector that was started (again).
pub fn start_connector(dir: &TempDir) -> UnixListener {
    let path = paths(dir).send();
    if path.exists() {
        std::fs::remove_file(&path).unwrap();
    }
    UnixListener::bind(path).unwrap()
}

/// One frame, its parts apart.
#[derive(Debug)]
pub struct Parts {
    pub header: Value,
    pub data: Vec<u8>,
    pub binary: Option<Vec<u8>>,
}

/// The next `count` frames of a connection, or fewer if it ends before.
pub fn read_frames(stream: &mut UnixStream, count: usize) -> Vec<Parts> {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut deframer = Deframer::new(u32::MAX as usize);
    let mut frames = Vec::new();
    let mut buffer = [0; 50_000];
    while frames.len() < count {
        let n = match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) if e.kind() == ErrorKind::ConnectionReset => break,
            Err(e) => panic!("{e}"),
        };
        let mut input = deframer.feed(&buffer[..n]);
        while let Some(frame) = input.next().unwrap() {
            frames.push(Parts {
                header: serde_json::from_slice(frame.header()).unwrap(),
                data: frame.data().to_vec(),
                binary: frame.binary().map(<[u8]>::to_vec),
            });
        }
    }
    frames
}

pub fn frame(header: &str, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode(header.as_bytes(), data, None, &mut out).unwrap();
    out
}

pub fn write_messages(stream: &mut UnixStream, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let header = r#"{"message_type": "any", "source_id": "('127.0.0.1', 10673)"}"#;
        stream.write_all(&frame(header, number.to_string().as_bytes())).unwrap();
    }
}

/// Connects as the connector does to an app that waits.
pub fn connect(path: &Path) -> UnixStream {
    UnixStream::connect(path).unwrap()
}

pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "waited for: {what}");
        std::thread::yield_now();
    }
}

pub fn receive_path(dir: &TempDir) -> PathBuf {
    paths(dir).receive("any")
}
