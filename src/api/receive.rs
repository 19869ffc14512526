//! Waiting for messages: the connector connects to the app, a thread reads each connection.

use std::collections::HashMap;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use log::{debug, error, warn};

use super::FRAME_MAX;
use super::error::{ApiError, Step};
use super::message::Message;
use super::receipt_error::ReceiptError;
use super::resume::{Callback, Handled, Incoming, Work};
use super::socket_file;
use crate::wire::frame::{Deframer, Frames};
use crate::wire::header::Header;
use crate::wire::receipts::{FromReceiver, ReceiverWelcome, WELCOME};

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

struct Shared {
    path: PathBuf,
    /// Device and inode of the socket file, so that no other's is removed.
    file: (u64, u64),
    work: Mutex<Work>,
    /// The connector is told which messages are done with.
    acknowledges: bool,
    connections: Mutex<Connections>,
    stopped: Condvar,
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
        let work = Mutex::new(Work { callback, handled: Handled::default() });
        let shared = Shared {
            path: path.clone(),
            file,
            work,
            acknowledges,
            connections: Mutex::default(),
            stopped: Condvar::new(),
        };
        let shared = Arc::new(shared);
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
        let mut buffer = vec![0; READ_SIZE];
        // Said before anything else: the callback may be busy for long with another connection's messages.
        if let Err(e) = self.say(&mut stream, FromReceiver::Acknowledges { resume: true }) {
            // What it had written before it went can still be read.
            debug!("{}: the connector is gone already: {e}", self.path.display());
        }
        let holds = self.acknowledges && !lock(&self.work).handled.silent;
        let mut incoming = if holds { Incoming::holding() } else { Incoming::default() };
        let (mut given_back, mut ended, mut timed) = (false, false, false);
        let mut said = Ok(());
        while said.is_ok() && !given_back && !ended {
            let before = incoming.done;
            let all = match Self::read_some(&mut stream, &mut buffer, &incoming, &mut timed) {
                Ok(Some(0)) => {
                    ended = true;
                    Ok(incoming.end(&mut lock(&self.work)))
                }
                Ok(Some(n)) => self.deliver(&mut incoming, deframer.feed(&buffer[..n])),
                Ok(None) => {
                    debug!("{}: the connector does not say where its messages begin", self.path.display());
                    Ok(incoming.give_up(&mut lock(&self.work)))
                }
                Err(e) => return warn!("{}: {e}", self.path.display()),
            };
            match all {
                Ok(all) => given_back = !all,
                Err(e) => return error!("{e}"),
            }
            if incoming.done > before {
                said = self.say(&mut stream, FromReceiver::Done(incoming.done));
            }
        }
        match said {
            Err(e) => warn!("{}: the connector is gone before it knew what is done with: {e}", self.path.display()),
            // The message comes again on the next connection, but not at once.
            Ok(()) if given_back => self.pause(),
            Ok(()) if deframer.kept() > 0 => {
                warn!("{}: the connection ended within a message", self.path.display());
            }
            Ok(()) => {}
        }
    }

    /// Waits for [`AGAIN`], or until no more messages are wanted.
    fn pause(&self) {
        let goes_on = |connections: &mut Connections| !connections.stopping;
        drop(self.stopped.wait_timeout_while(lock(&self.connections), AGAIN, goes_on));
    }

    /// Reads once; `None` when messages need be held back no longer. `timed`: the last read had a time limit.
    fn read_some(
        stream: &mut UnixStream,
        buffer: &mut [u8],
        incoming: &Incoming,
        timed: &mut bool,
    ) -> io::Result<Option<usize>> {
        loop {
            let timeout = incoming.holds_for();
            if timeout.is_some_and(|left| left.is_zero()) {
                return Ok(None);
            }
            if timeout.is_some() || std::mem::take(timed) {
                *timed = timeout.is_some();
                stream.set_read_timeout(timeout)?;
            }
            match stream.read(buffer) {
                Ok(n) => return Ok(Some(n)),
                // It has closed the connection without having read all that was said to it.
                Err(e) if e.kind() == ErrorKind::ConnectionReset => return Ok(Some(0)),
                // After the time to hold messages back the next round finds that it is over.
                Err(e) if matches!(e.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
                Err(e) => return Err(e),
            }
        }
    }

    fn say(&self, stream: &mut UnixStream, what: FromReceiver) -> io::Result<()> {
        if self.acknowledges { stream.write_all(&what.encode()) } else { Ok(()) }
    }

    /// Calls back for each whole message, and counts those that are done with; whether that is all.
    fn deliver(&self, incoming: &mut Incoming, mut frames: Frames<'_, '_>) -> Result<bool, ApiError> {
        let path = || self.path.clone();
        while let Some(frame) = frames.next().map_err(|source| ApiError::BadFrame { path: path(), source })? {
            let message = incoming.reader.read(&frame);
            let message = message.map_err(|source| ApiError::BadHeader { path: path(), source })?;
            let all = if self.acknowledges && message.message_type() == WELCOME {
                let welcome = read_welcome(&message, incoming.is_welcome());
                let welcome = welcome.map_err(|source| ApiError::BadReceipt { path: path(), source })?;
                incoming.welcome(welcome, &mut lock(&self.work))
            } else {
                incoming.take(message, &mut lock(&self.work))
            };
            if !all {
                return Ok(false);
            }
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
        self.stopped.notify_all();
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

fn read_welcome(message: &Message, is_second: bool) -> Result<ReceiverWelcome, ReceiptError> {
    if is_second {
        return Err(ReceiptError::OutOfTurn);
    }
    let json = message.header_json();
    let header = Header::parse(json).map_err(|_| ReceiptError::OutOfTurn)?;
    ReceiverWelcome::parse(&header, json).map_err(ReceiptError::NotUnderstood)
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
