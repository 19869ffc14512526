//! A sending app that wants receipts, and goes on behind them whenever its connector was killed.

use std::io::{BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::Instant;

use serde_json::json;

use crate::common::{Frame, wait};
use crate::message::Route;
use crate::progress::Progress;

/// Messages that are written at once.
const BLOCK: u64 = 50;

/// A session and its messages, numbered from 0.
pub struct Session {
    name: String,
    level: &'static str,
    socket: PathBuf,
    route: Route,
    /// Messages that have their receipt, or were refused.
    pub receipts: Progress,
    /// Messages that were refused, with the reason.
    pub refused: Mutex<Vec<(u64, String)>>,
    /// How often the app said hello.
    pub hellos: AtomicU64,
    /// Messages that were written more than once.
    pub repeated: AtomicU64,
}

impl Session {
    pub fn new(name: &str, level: &'static str, socket: PathBuf, route: Route) -> Session {
        Session {
            name: name.to_owned(),
            level,
            socket,
            route,
            receipts: Progress::new("receipts"),
            refused: Mutex::default(),
            hellos: 0.into(),
            repeated: 0.into(),
        }
    }

    /// Sends all messages below `end`, at full speed, until each has its receipt.
    ///
    /// # Panics
    /// If the connector says what it may not say, or for long nothing.
    #[track_caller]
    pub fn send_to(&self, end: u64) {
        let mut written = 0;
        let (mut known, mut since) = (self.receipts.get(), Instant::now());
        while self.receipts.get() < end {
            if self.receipts.get() > known {
                (known, since) = (self.receipts.get(), Instant::now());
            }
            assert!(since.elapsed() < wait::LIMIT, "{known} of {end} receipts, then no more");
            let Some((stream, from, count)) = self.hello() else { continue };
            assert!(count >= self.receipts.get(), "{count} at hello, {} receipts before", self.receipts.get());
            assert!(count <= written.max(count), "{count} are known, {written} were written");
            self.repeated.fetch_add(written.saturating_sub(count), SeqCst);
            self.receipts.set(count);
            thread::scope(|scope| {
                let reading = scope.spawn(|| self.read_receipts(from, &stream, end));
                written = self.write(&stream, count..end).max(written);
                // The last receipts are still on their way.
                reading.join().expect("receipts as they must be");
            });
        }
    }

    /// Says hello, and where to go on; `None` if the connector is gone before it has answered.
    fn hello(&self) -> Option<(UnixStream, BufReader<UnixStream>, u64)> {
        let mut stream = connect(&self.socket);
        let hello = json!({"message_type": "_hello", "receipts": self.level, "session": self.name});
        stream.write_all(&Frame::new(hello, "").encode()).ok()?;
        let mut from = BufReader::new(stream.try_clone().expect("a second handle"));
        let welcome = Frame::read(&mut from).ok()??;
        assert_eq!(welcome.field("message_type"), "_welcome", "{welcome:?}");
        assert_eq!(welcome.field("receipts"), self.level, "{welcome:?}");
        let count = welcome.field("count").as_u64().unwrap_or_else(|| panic!("no count: {welcome:?}"));
        self.hellos.fetch_add(1, SeqCst);
        Some((stream, from, count))
    }

    /// Writes until all is written or the connection ends; behind the last message of which something was written.
    fn write(&self, mut stream: &UnixStream, numbers: std::ops::Range<u64>) -> u64 {
        let mut next = numbers.start;
        while next < numbers.end {
            let end = (next + BLOCK).min(numbers.end);
            let block = self.route.encode(next..end);
            next = end;
            if stream.write_all(&block.bytes).is_err() {
                break;
            }
        }
        next
    }

    /// Takes receipts until all messages have one, or the connection ends.
    fn read_receipts(&self, mut from: BufReader<UnixStream>, stream: &UnixStream, end: u64) {
        while self.receipts.get() < end {
            let Ok(Some(frame)) = Frame::read(&mut from) else { break };
            match frame.field("message_type").as_str() {
                Some("_receipt") => {
                    assert_eq!(frame.field("level"), self.level, "{frame:?}");
                    let count = frame.field("count").as_u64().unwrap_or_else(|| panic!("no count: {frame:?}"));
                    assert!(count >= self.receipts.get() && count <= end, "{count} of {end}: {frame:?}");
                    self.receipts.set(count);
                }
                Some("_refused") => {
                    let index = frame.field("index").as_u64().filter(|index| (1..=end).contains(index));
                    let index = index.unwrap_or_else(|| panic!("none of {end} messages: {frame:?}"));
                    let reason = frame.field("reason").as_str().unwrap_or_default().to_owned();
                    self.refused.lock().unwrap().push((index - 1, reason));
                }
                _ => panic!("a sending app got {frame:?}"),
            }
        }
        // Wakes the writer.
        let _ = stream.shutdown(Shutdown::Both);
    }
}

#[track_caller]
pub fn connect(socket: &Path) -> UnixStream {
    let stream = wait::until(&format!("a listener at {}", socket.display()), || UnixStream::connect(socket).ok());
    // A connector that neither reads nor answers must fail a test, not hang it.
    stream.set_write_timeout(Some(wait::LIMIT)).expect("a time limit");
    stream.set_read_timeout(Some(wait::LIMIT)).expect("a time limit");
    stream
}
