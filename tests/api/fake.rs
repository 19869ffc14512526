//! The connector's end of an app's sockets.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aioconnectors::api::ConnectorApi;
use aioconnectors::wire::frame::{Deframer, Frame, encode};
use aioconnectors::wire::header::Header;
use aioconnectors::wire::names::{Role, SocketPaths};
use aioconnectors::wire::receipts::{Hello, Level, Receipt, Refused, RefusedReason, Welcome};
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

impl Parts {
    fn of(frame: &Frame<'_>) -> Self {
        Self {
            header: serde_json::from_slice(frame.header()).unwrap(),
            data: frame.data().to_vec(),
            binary: frame.binary().map(<[u8]>::to_vec),
        }
    }
}

/// The connector's end of a connection on which an app wants receipts.
pub struct Receipted {
    pub stream: UnixStream,
    deframer: Deframer,
    frames: VecDeque<Parts>,
}

impl Receipted {
    /// Takes an app in; it has said this hello.
    pub fn accept(listener: &UnixListener) -> (Self, Hello) {
        let stream = listener.accept().unwrap().0;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut this = Self { stream, deframer: Deframer::new(u32::MAX as usize), frames: VecDeque::new() };
        let hello = serde_json::to_vec(&this.next().unwrap().header).unwrap();
        (this, Hello::parse(&Header::parse(&hello).unwrap(), &hello).unwrap())
    }

    /// Takes an app in, and welcomes it at the level that it wants.
    pub fn welcome(listener: &UnixListener, count: Option<u64>) -> (Self, Hello) {
        let (mut this, hello) = Self::accept(listener);
        this.say(&welcome(hello.receipts, count));
        (this, hello)
    }

    pub fn say(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub fn receipt(&mut self, level: Level, count: u64) {
        self.say(&Receipt { level, count }.encode());
    }

    pub fn refuse(&mut self, index: u64, reason: RefusedReason) {
        self.say(&Refused { index, reason }.encode());
    }

    /// The next frame; `None` at the end of the connection.
    pub fn next(&mut self) -> Option<Parts> {
        let mut buffer = [0; 50_000];
        while self.frames.is_empty() {
            let n = match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(n) => n,
                Err(e) if e.kind() == ErrorKind::ConnectionReset => return None,
                Err(e) => panic!("{e}"),
            };
            let mut input = self.deframer.feed(&buffer[..n]);
            while let Some(frame) = input.next().unwrap() {
                self.frames.push_back(Parts::of(&frame));
            }
        }
        self.frames.pop_front()
    }

    /// The data of those messages that are whole in the next `bytes` bytes; then the connection ends.
    pub fn numbers_of(mut self, bytes: usize) -> Vec<u64> {
        assert!(self.frames.is_empty() && self.deframer.kept() == 0, "nothing was read behind the hello");
        let mut buffer = vec![0; bytes];
        self.stream.read_exact(&mut buffer).unwrap();
        let (mut numbers, mut input) = (Vec::new(), self.deframer.feed(&buffer));
        while let Some(frame) = input.next().unwrap() {
            numbers.push(number(&Parts::of(&frame)));
        }
        numbers
    }

    /// Says something that maybe nobody hears; whether it was taken.
    pub fn try_say(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// The data of the next `count` messages, which are numbers.
    pub fn numbers(&mut self, count: usize) -> Vec<u64> {
        (0..count).map_while(|_| self.next()).map(|parts| number(&parts)).collect()
    }
}

pub fn number(parts: &Parts) -> u64 {
    std::str::from_utf8(&parts.data).unwrap().parse().unwrap()
}

pub fn welcome(level: Level, count: Option<u64>) -> Vec<u8> {
    Welcome { level, connector: "c1".into(), version: "1".into(), count }.encode()
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
            frames.push(Parts::of(&frame));
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
