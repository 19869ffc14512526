//! A network that is cut where it hurts: between what the sender's system believes to have arrived and what it does not.
//!
//! A TCP proxy confirms bytes by itself. So that nothing is confirmed that the server does not get, it lets its receive
//! buffer fill up, hands on what is in it without taking it out (which would make room, and have more confirmed), and
//! then ends the connection with a reset. What the client had written beyond that is lost, as with a cable that is cut.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use crate::common::{free_port, wait};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// A buffer that did not change for so many looks is full, or its sender has no more.
const STILL_LOOKS: usize = 5;

/// Time for a server to close a connection when it has read all, and to forget it.
const CLOSING: Duration = Duration::from_secs(2);

/// The receive buffer, bytes: the system doubles it, and may hold more.
const BUFFER: usize = 32 * 1024;

/// More than the receive buffer ever holds.
const PEEK: usize = 4 * 1024 * 1024;

struct Shared {
    server_port: u16,
    /// Whether the server has forgotten its last client.
    is_gone: Box<dyn Fn() -> bool + Send + Sync>,
    stopped: AtomicBool,
    /// What was confirmed at a cut does not arrive.
    swallows: AtomicBool,
    /// After how many bytes, counted from the last cut, the next cuts are.
    cuts: Mutex<VecDeque<u64>>,
    /// Bytes that the cuts so far found in the buffer.
    found: Mutex<Vec<u64>>,
    /// Connections that the server did not read to their end.
    unread: AtomicUsize,
}

/// The proxy; it ends when it is dropped.
pub struct Cutter {
    pub port: u16,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Cutter {
    /// A proxy in front of a server. It takes a connection when `is_gone` says that the server has forgotten the last
    /// one: one of the Python package sometimes never reads a connection that comes earlier.
    pub fn start(server_port: u16, is_gone: impl Fn() -> bool + Send + Sync + 'static) -> Cutter {
        let port = free_port();
        let shared = Arc::new(Shared {
            server_port,
            is_gone: Box::new(is_gone),
            stopped: false.into(),
            swallows: false.into(),
            cuts: Mutex::default(),
            found: Mutex::default(),
            unread: 0.into(),
        });
        let listener = listen(port);
        let at_work = Arc::clone(&shared);
        let thread = Some(thread::spawn(move || serve(&listener, &at_work)));
        Cutter { port, shared, thread }
    }

    /// From now on a cut costs what the network had confirmed and not handed on.
    pub fn swallow(&self) {
        self.shared.swallows.store(true, SeqCst);
    }

    /// Cuts when the client has sent so many bytes from now on, and again so many after each cut.
    pub fn cut_after(&self, bytes: impl IntoIterator<Item = u64>) {
        self.shared.cuts.lock().unwrap().extend(bytes);
    }

    /// Connections that ended, and that the server does not read to their end.
    pub fn unread(&self) -> usize {
        self.shared.unread.load(SeqCst)
    }

    /// Waits until all cuts were done: how many bytes each found confirmed and not taken.
    #[track_caller]
    pub fn wait_cuts(&self) -> Vec<u64> {
        wait::until("the last cut", || self.shared.cuts.lock().unwrap().is_empty().then_some(()));
        self.shared.found.lock().unwrap().clone()
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.shared.stopped.store(true, SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn listen(port: u16) -> Socket {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    listener.set_reuse_address(true).expect("an address that was in use");
    // Accepted connections inherit it.
    listener.set_recv_buffer_size(BUFFER).expect("a small buffer");
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], port)).into()).expect("a free port");
    listener.listen(16).expect("a listening socket");
    listener.set_nonblocking(true).expect("a socket that does not wait");
    listener
}

/// Carries one connection at a time: the server has had time to see the end of one before it sees the next.
fn serve(listener: &Socket, shared: &Shared) {
    let mut left_open = Vec::new();
    while !shared.stopped.load(SeqCst) {
        match listener.accept() {
            Ok((client, _)) => {
                if let Some(server) = carry(client.into(), shared) {
                    shared.unread.fetch_add(1, SeqCst);
                    left_open.push(server);
                }
                wait::within(CLOSING, || (shared.is_gone)().then_some(()));
            }
            Err(_) => thread::sleep(LOOK),
        }
    }
}

/// The connection to the server, if the server does not close it.
fn carry(client: TcpStream, shared: &Shared) -> Option<TcpStream> {
    let server = TcpStream::connect(("127.0.0.1", shared.server_port)).ok()?;
    for socket in [&client, &server] {
        // The listening socket's way may be inherited.
        let ready = socket.set_nonblocking(false).and_then(|()| socket.set_read_timeout(Some(LOOK)));
        ready.and_then(|()| socket.set_nodelay(true)).ok()?;
    }
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            carry_down(&server, &client, &over);
            over.store(true, SeqCst);
        });
        carry_up(&client, &server, &over, shared);
        over.store(true, SeqCst);
    });
    // A reset, if the connection was cut.
    drop(client);
    let _ = server.shutdown(Shutdown::Write);
    // What it has not read yet would be lost if it was closed here.
    if drain(&server) { None } else { Some(server) }
}

/// Reads what the server still says; whether it closes.
fn drain(mut server: &TcpStream) -> bool {
    let mut rest = vec![0; BUFFER];
    let ended = wait::within(CLOSING, || match server.read(&mut rest) {
        Ok(0) => Some(()),
        Ok(_) => None,
        Err(error) if is_no_end(&error) => None,
        Err(_) => Some(()),
    });
    ended.is_some()
}

fn carry_down(mut from: &TcpStream, mut to: &TcpStream, over: &AtomicBool) {
    let mut buffer = vec![0; BUFFER];
    while !over.load(SeqCst) {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) if to.write_all(&buffer[..count]).is_ok() => {}
            Err(error) if is_no_end(&error) => {}
            _ => return,
        }
    }
}

fn carry_up(client: &TcpStream, server: &TcpStream, over: &AtomicBool, shared: &Shared) {
    let (mut from, mut to) = (client, server);
    let mut buffer = vec![0; BUFFER];
    let mut carried = 0;
    while !over.load(SeqCst) && !shared.stopped.load(SeqCst) {
        let next = shared.cuts.lock().unwrap().front().copied();
        let left = next.map_or(u64::MAX, |next| next - carried);
        if left == 0 {
            let found = cut(client, server, shared.swallows.load(SeqCst));
            shared.found.lock().unwrap().push(found);
            shared.cuts.lock().unwrap().pop_front();
            return;
        }
        let room = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        match from.read(&mut buffer[..room]) {
            Ok(0) => return,
            Ok(count) if to.write_all(&buffer[..count]).is_ok() => {
                carried += if next.is_some() { count as u64 } else { 0 };
            }
            Err(error) if is_no_end(&error) => {}
            _ => return,
        }
    }
}

/// Hands on what is confirmed and not a byte more, and has the client's connection end with a reset.
fn cut(client: &TcpStream, mut server: &TcpStream, swallows: bool) -> u64 {
    let mut seen = vec![0; PEEK];
    let mut length = 0;
    let mut still = 0;
    while still < STILL_LOOKS {
        // With nothing there it waits for the read timeout.
        let now = client.peek(&mut seen).unwrap_or(0);
        still = if now == length { still + 1 } else { 0 };
        length = now;
        thread::sleep(LOOK);
    }
    if !swallows {
        let _ = server.write_all(&seen[..length]);
    }
    let _ = SockRef::from(client).set_linger(Some(Duration::ZERO));
    length as u64
}

fn is_no_end(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
