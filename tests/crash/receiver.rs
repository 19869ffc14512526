//! A receiving app that outlives its connector, and counts what it is given.

use std::io::{self, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::json;

use crate::common::{Frame, wait};
use crate::message::number;
use crate::progress::Progress;
use crate::tally::Tally;

/// What the app says of what it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Nothing.
    Plain,
    /// What it is done with, and where it goes on after its connector was killed.
    Resumes,
}

/// Messages that an app is done with before it says so, at most. More than are in a block, so that a kill finds both
/// messages that were handled and not acknowledged, and messages that were not handled.
const UNSAID_MAX: u64 = 64;

struct Shared {
    tally: Mutex<Tally>,
    received: Progress,
    reached: Progress,
    /// What should not be.
    complaints: Mutex<Vec<String>>,
    /// Where it stops.
    end: u64,
    current: Mutex<Current>,
}

#[derive(Default)]
struct Current {
    stopped: bool,
    stream: Option<UnixStream>,
}

/// The app; it ends when it is dropped.
pub struct Receiver {
    path: PathBuf,
    shared: Arc<Shared>,
    /// A second handle of the listening socket: shutting it down ends the wait for connections.
    listener: UnixStream,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    #[track_caller]
    pub fn listen(path: PathBuf, manner: Manner) -> Receiver {
        Receiver::listen_to(path, manner, u64::MAX)
    }

    /// One that takes no message with a number of `end` or more, and closes its connections instead.
    #[track_caller]
    pub fn listen_to(path: PathBuf, manner: Manner, end: u64) -> Receiver {
        let listener = UnixListener::bind(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let shared = Arc::new(Shared {
            tally: Mutex::default(),
            received: Progress::new("messages received"),
            reached: Progress::new("as the number that messages have come to"),
            complaints: Mutex::default(),
            end,
            current: Mutex::default(),
        });
        let handle = UnixStream::from(OwnedFd::from(listener.try_clone().expect("a second handle")));
        let at_work = Arc::clone(&shared);
        let thread = Some(thread::spawn(move || serve(&listener, manner, &at_work)));
        Receiver { path, shared, listener: handle, thread }
    }

    /// One more than the greatest number that was received.
    pub fn reached(&self) -> &Progress {
        &self.shared.reached
    }

    pub fn tally(&self) -> Tally {
        self.shared.tally.lock().unwrap().clone()
    }

    /// Whether this message has come.
    pub fn has(&self, number: u64) -> bool {
        self.shared.tally.lock().unwrap().has(number)
    }

    /// Waits until this message has come; panics if for long none comes.
    #[track_caller]
    pub fn wait_number(&self, number: u64) {
        assert!(self.reach_number(number, wait::LIMIT), "{number} never came: {}", self.tally());
    }

    /// Waits until this message has come; false if no message comes for `patience`.
    pub fn reach_number(&self, number: u64, patience: Duration) -> bool {
        loop {
            let so_far = self.shared.received.get();
            if self.has(number) {
                return true;
            }
            if !self.shared.received.reach(so_far + 1, patience) {
                return self.has(number);
            }
        }
    }

    /// What the connector did that it may not do.
    #[track_caller]
    pub fn assert_no_complaints(&self) {
        let complaints = self.shared.complaints.lock().unwrap();
        assert!(complaints.is_empty(), "{complaints:?}");
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let mut current = self.shared.current.lock().unwrap();
        current.stopped = true;
        if let Some(stream) = current.stream.take() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        drop(current);
        let _ = self.listener.shutdown(Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Reads one connection after another, each to its end.
fn serve(listener: &UnixListener, manner: Manner, shared: &Shared) {
    let mut place = Place::default();
    for stream in listener.incoming() {
        let Ok(stream) = stream else { return };
        {
            let mut current = shared.current.lock().unwrap();
            if current.stopped {
                return;
            }
            current.stream = stream.try_clone().ok();
        }
        // A connector that is killed ends its connection anywhere.
        if let Err(wrong) = read_connection(&stream, manner, &mut place, shared) {
            shared.complaints.lock().unwrap().push(wrong);
        }
    }
}

/// What an app that resumes keeps: how far it has come in which life of the inbox.
#[derive(Default)]
struct Place {
    inbox: Option<String>,
    handled: u64,
}

impl Place {
    /// How many messages of a connection that begins at `count` of `inbox` were handled before.
    fn known(&mut self, inbox: String, count: u64) -> Result<u64, String> {
        if self.inbox.as_ref() != Some(&inbox) {
            *self = Place { inbox: Some(inbox), handled: count };
        }
        let skip = self.handled.checked_sub(count);
        skip.ok_or_else(|| format!("{count} messages were acknowledged, the app has had {} only", self.handled))
    }
}

fn read_connection(stream: &UnixStream, manner: Manner, place: &mut Place, shared: &Shared) -> Result<(), String> {
    let mut from = BufReader::new(stream);
    let mut early = Vec::new();
    // How many of the next messages are known already; not known before the connector's welcome.
    let mut skip = if manner == Manner::Plain { Some(0) } else { None };
    let mut connection = Connection { stream, manner, done: 0, said: 0 };
    connection.say(json!({"message_type": "_hello", "acks": true, "resume": true}));
    while let Some(frame) = next(&mut from) {
        if manner == Manner::Resumes && frame.field("message_type") == "_welcome" {
            let (Some(inbox), Some(count)) = (frame.field("inbox").as_str().map(str::to_owned), count(&frame)) else {
                return Err(format!("not the welcome of an app that receives: {frame:?}"));
            };
            skip = Some(place.known(inbox, count)?);
        } else {
            early.push(frame);
        }
        let Some(skip) = &mut skip else { continue };
        for frame in early.drain(..) {
            if *skip > 0 {
                *skip -= 1;
            } else {
                let number = number(&frame);
                if number.as_ref().is_ok_and(|number| *number >= shared.end) {
                    connection.acknowledge(true);
                    return Ok(());
                }
                place.handled += 1;
                let mut tally = shared.tally.lock().unwrap();
                tally.take(number);
                shared.reached.set(tally.end());
                shared.received.add(1);
            }
            connection.done += 1;
        }
        connection.acknowledge(from.buffer().is_empty());
    }
    Ok(())
}

fn next(from: &mut impl Read) -> Option<Frame> {
    // The rest of a message that was cut off comes again on the next connection.
    Frame::read(from).ok().flatten()
}

fn count(frame: &Frame) -> Option<u64> {
    frame.field("count").as_u64()
}

/// The app's side of a connection.
struct Connection<'a> {
    stream: &'a UnixStream,
    manner: Manner,
    done: u64,
    said: u64,
}

impl Connection<'_> {
    fn acknowledge(&mut self, now: bool) {
        if self.done - self.said >= if now { 1 } else { UNSAID_MAX } {
            self.said = self.done;
            self.say(json!({"message_type": "_ack", "count": self.done}));
        }
    }

    fn say(&mut self, header: serde_json::Value) {
        if self.manner == Manner::Resumes {
            // A connector that is gone learns it on the next connection.
            let _: io::Result<()> = self.stream.write_all(&Frame::new(header, "").encode());
        }
    }
}
