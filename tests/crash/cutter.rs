//! A network that is cut where it hurts: between what the sender's system believes to have arrived and what it does not.
//!
//! A TCP proxy confirms bytes by itself. So that nothing is confirmed that the server does not get, it lets its receive
//! buffer fill up, has the system drop what comes from then on, hands on what is in the buffer, and then ends the
//! connection with a reset. What the client had written beyond that is lost, as with a cable that is cut.
//!
//! However a client's connection ends, what TCP has confirmed of it reaches the server, followed by an end in order.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::{Domain, SockFilter, SockRef, Socket, Type};

use crate::common::{free_port, wait};
use crate::progress::Progress;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// A buffer that did not change for so many looks is full, or its sender has no more.
const STILL_LOOKS: usize = 5;

/// The receive buffer, bytes: the system doubles it, and may hold more.
const BUFFER: usize = 32 * 1024;

/// More than the receive buffer ever holds.
const PEEK: usize = 4 * 1024 * 1024;

/// The program of a packet filter that lets nothing through: BPF_RET | BPF_K, no bytes.
const DROP_ALL: SockFilter = SockFilter::new(0x06, 0, 0, 0);

struct Shared {
    server_port: u16,
    /// Whether the server is done with its last client.
    is_done: Box<dyn Fn() -> bool + Send + Sync>,
    stopped: AtomicBool,
    /// What was confirmed at a cut does not arrive.
    swallows: AtomicBool,
    /// After how many bytes, counted from the last cut, the next cuts are.
    cuts: Mutex<VecDeque<u64>>,
    /// Bytes that the cuts so far found in the buffer.
    found: Mutex<Vec<u64>>,
    /// Connections that the server did not read to their end, or was not done with.
    unread: AtomicUsize,
    carried: Arc<Progress>,
}

/// The proxy; it ends when it is dropped.
pub struct Cutter {
    pub port: u16,
    /// Bytes that clients have sent through it.
    pub carried: Arc<Progress>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Cutter {
    /// A proxy in front of a server. It takes a connection when `is_done` says that the server is done with the last one.
    pub fn start(server_port: u16, is_done: impl Fn() -> bool + Send + Sync + 'static) -> Cutter {
        let port = free_port();
        let shared = Arc::new(Shared {
            server_port,
            is_done: Box::new(is_done),
            stopped: false.into(),
            swallows: false.into(),
            cuts: Mutex::default(),
            found: Mutex::default(),
            unread: 0.into(),
            carried: Arc::new(Progress::new("bytes carried")),
        });
        let listener = listen(port);
        let at_work = Arc::clone(&shared);
        let thread = Some(thread::spawn(move || serve(&listener, &at_work)));
        Cutter { port, carried: Arc::clone(&shared.carried), shared, thread }
    }

    /// From now on a cut costs what the network had confirmed and not handed on.
    pub fn swallow(&self) {
        self.shared.swallows.store(true, SeqCst);
    }

    /// Cuts when the client has sent so many bytes from now on, and again so many after each cut.
    pub fn cut_after(&self, bytes: impl IntoIterator<Item = u64>) {
        self.shared.cuts.lock().unwrap().extend(bytes);
    }

    /// The server has read all connections to their ends: what TCP has confirmed was not lost on the way to it.
    #[track_caller]
    pub fn assert_all_read(&self) {
        assert_eq!(self.shared.unread.load(SeqCst), 0, "connections that the server did not read to their end");
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

/// Carries one connection at a time: the server is done with one before it sees the next.
fn serve(listener: &Socket, shared: &Shared) {
    let mut left_open = Vec::new();
    while !shared.stopped.load(SeqCst) {
        match listener.accept() {
            Ok((client, _)) => {
                left_open.extend(carry(client.into(), shared));
                let done =
                    wait::within(wait::LIMIT, || ((shared.is_done)() || shared.stopped.load(SeqCst)).then_some(()));
                shared.unread.fetch_add(usize::from(done.is_none()), SeqCst);
            }
            Err(_) => thread::sleep(LOOK),
        }
    }
}

/// The connection to the server, if the server does not read it to its end and close it.
fn carry(client: TcpStream, shared: &Shared) -> Option<TcpStream> {
    let server = TcpStream::connect(("127.0.0.1", shared.server_port)).ok()?;
    for socket in [&client, &server] {
        // The listening socket's way may be inherited.
        let ready = socket.set_nonblocking(false).and_then(|()| socket.set_read_timeout(Some(LOOK)));
        ready.and_then(|()| socket.set_nodelay(true)).ok()?;
    }
    let over = AtomicBool::new(false);
    let closed = thread::scope(|scope| {
        let down = scope.spawn(|| {
            let closed = carry_down(&server, &client, &over);
            over.store(true, SeqCst);
            closed
        });
        carry_up(&client, &server, &over, shared);
        over.store(true, SeqCst);
        down.join().expect("what the server says")
    });
    // A reset, if the connection was cut.
    drop(client);
    let _ = server.shutdown(Shutdown::Write);
    // What it has not read yet would be lost if it was closed here.
    if closed || drain(&server, shared) {
        return None;
    }
    shared.unread.fetch_add(1, SeqCst);
    Some(server)
}

/// Reads what the server still says; whether it closes the connection in order.
fn drain(mut server: &TcpStream, shared: &Shared) -> bool {
    let mut rest = vec![0; BUFFER];
    let ended = wait::within(wait::LIMIT, || match server.read(&mut rest) {
        _ if shared.stopped.load(SeqCst) => Some(true),
        Ok(0) => Some(true),
        Ok(_) => None,
        Err(error) if is_no_end(&error) => None,
        // It closed it with something unread, or was killed.
        Err(_) => Some(false),
    });
    ended == Some(true)
}

/// Carries what the server says; whether the server closes the connection in order.
fn carry_down(mut from: &TcpStream, mut to: &TcpStream, over: &AtomicBool) -> bool {
    let mut buffer = vec![0; BUFFER];
    let mut hears = true;
    while !over.load(SeqCst) {
        match from.read(&mut buffer) {
            Ok(0) => return true,
            // What a client has sent before it was killed is carried up all the same.
            Ok(count) => hears = hears && to.write_all(&buffer[..count]).is_ok(),
            Err(error) if is_no_end(&error) => {}
            Err(_) => return false,
        }
    }
    false
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
                shared.carried.add(count as u64);
            }
            Err(error) if is_no_end(&error) => {}
            _ => return,
        }
    }
}

/// Hands on what is confirmed and not a byte more, and has the client's connection end with a reset.
fn cut(mut client: &TcpStream, mut server: &TcpStream, swallows: bool) -> u64 {
    let mut confirmed = vec![0; PEEK];
    let mut length = 0;
    let mut still = 0;
    while still < STILL_LOOKS {
        // With nothing there it waits for the read timeout.
        let now = client.peek(&mut confirmed).unwrap_or(0);
        still = if now == length { still + 1 } else { 0 };
        length = now;
        thread::sleep(LOOK);
    }
    // From now on nothing is confirmed, though there will be room.
    SockRef::from(client).attach_filter(&[DROP_ALL]).expect("a filter");
    length = 0;
    while let Ok(count @ 1..) = client.read(&mut confirmed[length..]) {
        length += count;
    }
    if !swallows {
        let _ = server.write_all(&confirmed[..length]);
    }
    let _ = SockRef::from(client).set_linger(Some(Duration::ZERO));
    length as u64
}

fn is_no_end(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
