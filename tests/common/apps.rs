//! Apps that speak frames themselves.

use std::io::{self, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::peer::wait_end;
use super::{Frame, wait};

/// An app that hands in messages over one connection that it keeps.
pub struct RawSender {
    pub stream: UnixStream,
}

impl RawSender {
    #[track_caller]
    pub fn connect(socket: &Path) -> RawSender {
        RawSender { stream: connect(socket) }
    }

    pub fn send(&mut self, frame: &Frame) -> io::Result<()> {
        self.send_bytes(&frame.encode())
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    #[track_caller]
    pub fn send_all<'a>(&mut self, frames: impl IntoIterator<Item = &'a Frame>) {
        for frame in frames {
            self.send(frame).unwrap_or_else(|error| panic!("{frame:?} was not taken: {error}"));
        }
    }

    /// Waits until the connector closes the connection.
    #[track_caller]
    pub fn wait_closed(&mut self) {
        self.stream.set_read_timeout(Some(wait::LIMIT)).expect("a time limit");
        wait_end(&mut self.stream);
    }

    /// The next frame that the connector writes; `None` if it closes the connection.
    #[track_caller]
    pub fn receive(&mut self) -> Option<Frame> {
        self.stream.set_read_timeout(Some(wait::LIMIT)).expect("a time limit");
        Frame::read(&mut self.stream).unwrap_or_else(|error| panic!("no frame came back: {error}"))
    }
}

/// Sends a request on a connection of its own and waits for the answer; `None` if the connection is closed without one.
#[track_caller]
pub fn ask(socket: &Path, request: &Frame) -> Option<Frame> {
    let mut app = RawSender::connect(socket);
    app.send(request).expect("a connector that takes the request");
    app.receive()
}

#[track_caller]
fn connect(socket: &Path) -> UnixStream {
    let stream = wait::until(&format!("a listener at {}", socket.display()), || UnixStream::connect(socket).ok());
    // A connector that never reads again must fail a test, not hang it.
    stream.set_write_timeout(Some(wait::LIMIT)).expect("a time limit");
    stream
}

#[derive(Default)]
struct State {
    frames: Vec<Frame>,
    errors: Vec<String>,
    connections: usize,
    current: Option<UnixStream>,
    paused: bool,
    stopped: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    /// Changes the state and wakes who waits for a change.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state.lock().unwrap());
        self.changed.notify_all();
        result
    }

    /// Waits while `waiting` holds.
    fn wait_while(&self, limit: Duration, waiting: impl Fn(&State) -> bool) -> bool {
        let end = Instant::now() + limit;
        let mut state = self.state.lock().unwrap();
        while waiting(&state) {
            let Some(left) = end.checked_duration_since(Instant::now()) else { return false };
            state = self.changed.wait_timeout(state, left).unwrap().0;
        }
        true
    }
}

/// An app that listens for messages of one type and keeps all that come.
///
/// It reads its connections one after another, each to its end: the Python connector closes its connection every 100
/// messages and opens the next, and order holds across them only for an app that reads them in turn.
pub struct RawReceiver {
    path: PathBuf,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl RawReceiver {
    #[track_caller]
    pub fn listen(path: PathBuf) -> RawReceiver {
        RawReceiver::start(path, false)
    }

    /// One that takes connections but reads nothing before [`RawReceiver::resume`].
    #[track_caller]
    pub fn listen_paused(path: PathBuf) -> RawReceiver {
        RawReceiver::start(path, true)
    }

    #[track_caller]
    fn start(path: PathBuf, paused: bool) -> RawReceiver {
        let listener = UnixListener::bind(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let shared = Arc::new(Shared::default());
        shared.change(|state| state.paused = paused);
        let at_work = Arc::clone(&shared);
        let thread = Some(thread::spawn(move || serve(&listener, &at_work)));
        RawReceiver { path, shared, thread }
    }

    pub fn resume(&self) {
        self.shared.change(|state| state.paused = false);
    }

    pub fn pause(&self) {
        self.shared.change(|state| state.paused = true);
    }

    pub fn count(&self) -> usize {
        self.shared.state.lock().unwrap().frames.len()
    }

    pub fn connections(&self) -> usize {
        self.shared.state.lock().unwrap().connections
    }

    /// All that came so far.
    pub fn frames(&self) -> Vec<Frame> {
        self.shared.state.lock().unwrap().frames.clone()
    }

    /// Takes away what came so far.
    pub fn take(&self) -> Vec<Frame> {
        self.shared.change(|state| std::mem::take(&mut state.frames))
    }

    /// Waits until a message with this tag is there, for as long as messages keep coming; false if they stop.
    pub fn wait_tag(&self, tag: &str) -> bool {
        let mut seen = 0;
        loop {
            let fresh = self.shared.state.lock().unwrap().frames[seen..].to_vec();
            if fresh.iter().any(|frame| frame.tag() == tag) {
                return true;
            }
            seen += fresh.len();
            if !self.shared.wait_while(wait::LIMIT, |state| state.frames.len() <= seen) {
                return false;
            }
        }
    }

    /// Waits until `count` messages are there; panics if they stop coming.
    #[track_caller]
    pub fn wait_count(&self, count: usize) {
        loop {
            let there = self.count();
            if there >= count {
                return;
            }
            let more = self.shared.wait_while(wait::LIMIT, |state| state.frames.len() <= there);
            assert!(more, "{there} messages of {count} came, then no more; {}", self.describe());
        }
    }

    #[track_caller]
    pub fn wait_connections(&self, count: usize) {
        let came = self.shared.wait_while(wait::LIMIT, |state| state.connections < count);
        assert!(came, "the connector never connected {count} times to {}", self.path.display());
    }

    fn describe(&self) -> String {
        let state = self.shared.state.lock().unwrap();
        format!("{}: {} connections, errors {:?}", self.path.display(), state.connections, state.errors)
    }
}

impl Drop for RawReceiver {
    fn drop(&mut self) {
        let current = self.shared.change(|state| {
            state.stopped = true;
            state.current.take()
        });
        if let Some(stream) = current {
            let _ = stream.shutdown(Shutdown::Both);
        }
        // Wakes the thread if it waits for a connection.
        let _ = UnixStream::connect(&self.path);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(&self.path);
    }
}

fn serve(listener: &UnixListener, shared: &Shared) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else { return };
        let stopped = shared.change(|state| {
            state.connections += 1;
            state.current = stream.try_clone().ok();
            state.stopped
        });
        if stopped {
            return;
        }
        if let Err(error) = read_connection(stream, shared) {
            shared.change(|state| state.errors.push(error.to_string()));
        }
    }
}

fn read_connection(stream: UnixStream, shared: &Shared) -> io::Result<()> {
    let mut from = BufReader::new(stream);
    loop {
        shared.wait_while(Duration::MAX / 4, |state| state.paused && !state.stopped);
        let Some(frame) = Frame::read(&mut from)? else { return Ok(()) };
        if shared.change(|state| {
            state.frames.push(frame);
            state.stopped
        }) {
            return Ok(());
        }
    }
}
