//! Waiting for messages: the connector connects to the app, a thread reads each connection.

use std::collections::HashMap;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use log::{debug, error, warn};

use super::FRAME_MAX;
use super::error::{ApiError, Step};
use super::message::{Message, MessageReader};
use super::socket_file;
use crate::wire::control::FromReceiver;
use crate::wire::frame::{Deframer, Frames};

/// Read at once from a connection, bytes.
const READ_SIZE: usize = 128 * 1024;

/// Pause before a message that was given back may come again.
const AGAIN: Duration = Duration::from_secs(1);

/// Pause after a failed accept, as when the process has no file descriptor left.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// A socket at which an app waits for messages of one type; dropped, it stops.
pub(super) struct Waiter {
    shared: Arc<Shared>,
    /// A second handle of the listening socket: shutting it down ends the wait for connections.
    listener: UnixStream,
    accepting: Option<JoinHandle<()>>,
}

/// What is done with each message. `false` gives it back: it is to come again.
pub(super) type Callback = Box<dyn FnMut(Message) -> bool + Send>;

struct Shared {
    path: PathBuf,
    /// Device and inode of the socket file, so that no other's is removed.
    file: (u64, u64),
    callback: Mutex<Callback>,
    /// The connector is told which messages are done with.
    acknowledges: bool,
    connections: Mutex<Connections>,
}

#[derive(Default)]
struct Connections {
    stopping: bool,
    next: u64,
    open: HashMap<u64, (UnixStream, JoinHandle<()>)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A callback that panicked ended its own connection; the next message is for the callback as it is.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|m| (m.dev(), m.ino()))
}

impl Waiter {
    /// Listens at `path`.
    pub fn start(
        path: PathBuf,
        any_connector_owner: bool,
        acknowledges: bool,
        callback: Callback,
    ) -> Result<Self, ApiError> {
        let listener = socket_file::listen(&path, any_connector_owner)?;
        let fail = |e| ApiError::io(&path, Step::Listen, e);
        let file = identity(&path).map_err(fail)?;
        let handle = UnixStream::from(OwnedFd::from(listener.try_clone().map_err(fail)?));
        let (callback, connections) = (Mutex::new(callback), Mutex::default());
        let shared = Arc::new(Shared { path: path.clone(), file, callback, acknowledges, connections });
        let accepting = thread::Builder::new().name("aioconnectors-wait".into());
        let accepting = accepting.spawn({
            let shared = Arc::clone(&shared);
            move || shared.accept(&listener)
        });
        Ok(Self { shared, listener: handle, accepting: Some(accepting.map_err(fail)?) })
    }

    /// Takes no more messages, and returns when the callback is through with those that have come.
    fn stop(&mut self) {
        let Some(accepting) = self.accepting.take() else { return };
        self.shared.remove_file();
        self.shared.end_connections();
        if let Err(e) = self.listener.shutdown(Shutdown::Both) {
            debug!("{}: the listening socket is not shut down: {e}", self.shared.path.display());
        }
        if self.shared.runs_here() {
            return;
        }
        // First the accepting thread: it still takes the connections that stand in line.
        join(accepting);
        let open = std::mem::take(&mut lock(&self.shared.connections).open);
        open.into_values().for_each(|(_, thread)| join(thread));
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.stop();
    }
}

fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        error!("a thread that waited for messages has panicked");
    }
}

impl Shared {
    fn accept(self: &Arc<Self>, listener: &UnixListener) {
        loop {
            let added = match listener.accept() {
                Ok((stream, _)) => self.add(stream),
                Err(_) if lock(&self.connections).stopping => return,
                Err(e) => Err(e),
            };
            if let Err(e) = added {
                warn!("{}: a connection could not be taken: {e}", self.path.display());
                thread::sleep(ACCEPT_RETRY);
            }
        }
    }

    /// Starts a thread for a connection.
    fn add(self: &Arc<Self>, stream: UnixStream) -> io::Result<()> {
        let handle = stream.try_clone()?;
        let mut connections = lock(&self.connections);
        if connections.stopping {
            stream.shutdown(Shutdown::Read)?;
        }
        let number = connections.next;
        connections.next += 1;
        let shared = Arc::clone(self);
        let thread = thread::Builder::new().name("aioconnectors-read".into()).spawn(move || {
            let _done = Done { shared: &shared, number };
            shared.read(stream);
        })?;
        connections.open.insert(number, (handle, thread));
        Ok(())
    }

    /// Reads a connection to its end, or until a message is given back.
    fn read(&self, mut stream: UnixStream) {
        let mut deframer = Deframer::new(FRAME_MAX);
        let mut reader = MessageReader::default();
        let mut buffer = vec![0; READ_SIZE];
        let (mut done, mut given_back) = (0, false);
        let mut said = self.say(&mut stream, FromReceiver::Acknowledges);
        while said.is_ok() && !given_back {
            let input = match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => &buffer[..n],
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return warn!("{}: {e}", self.path.display()),
            };
            let before = done;
            match self.deliver(&mut reader, deframer.feed(input), &mut done) {
                Ok(all) => given_back = !all,
                Err(e) => return error!("{e}"),
            }
            if done > before {
                said = self.say(&mut stream, FromReceiver::Done(done));
            }
        }
        match said {
            Err(e) => warn!("{}: the connector is gone before it knew what is done with: {e}", self.path.display()),
            // The message comes again on the next connection, but not at once.
            Ok(()) if given_back => thread::sleep(AGAIN),
            Ok(()) if deframer.kept() > 0 => {
                warn!("{}: the connection ended within a message", self.path.display());
            }
            Ok(()) => {}
        }
    }

    fn say(&self, stream: &mut UnixStream, what: FromReceiver) -> io::Result<()> {
        if self.acknowledges { stream.write_all(&what.encode()) } else { Ok(()) }
    }

    /// Calls back for each whole message, and counts those that are done with; whether that is all.
    fn deliver(
        &self,
        reader: &mut MessageReader,
        mut frames: Frames<'_, '_>,
        done: &mut u64,
    ) -> Result<bool, ApiError> {
        let path = || self.path.clone();
        while let Some(frame) = frames.next().map_err(|source| ApiError::BadFrame { path: path(), source })? {
            let message = reader.read(&frame).map_err(|source| ApiError::BadHeader { path: path(), source })?;
            if !(lock(&self.callback))(message) {
                return Ok(false);
            }
            *done += 1;
        }
        Ok(true)
    }

    fn remove_file(&self) {
        if identity(&self.path).is_ok_and(|file| file == self.file)
            && let Err(e) = fs::remove_file(&self.path)
        {
            warn!("{}: {e}", self.path.display());
        }
    }

    /// Lets the connector write no more: what it has written can still be read.
    fn end_connections(&self) {
        let mut connections = lock(&self.connections);
        connections.stopping = true;
        for (stream, _) in connections.open.values() {
            if let Err(e) = stream.shutdown(Shutdown::Read) {
                debug!("{}: a connection has ended by itself: {e}", self.path.display());
            }
        }
    }

    /// Whether a callback stops its own waiter: it cannot wait for itself.
    fn runs_here(&self) -> bool {
        let here = thread::current().id();
        lock(&self.connections).open.values().any(|(_, t)| t.thread().id() == here)
    }
}

/// Forgets a connection when its thread ends, by a panic of the callback too.
struct Done<'a> {
    shared: &'a Shared,
    number: u64,
}

impl Drop for Done<'_> {
    fn drop(&mut self) {
        lock(&self.shared.connections).open.remove(&self.number);
    }
}
