//! A network that misbehaves on demand: a TCP proxy in front of a server.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fastrand::Rng;
use socket2::SockRef;

use crate::common::free_port;

/// Between two looks of a waiting thread at what it is told.
const LOOK: Duration = Duration::from_millis(10);

/// The most that is carried at once.
const CHUNK: usize = 64 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Up,
    Down,
}

/// One connection of a client, and the one to the server that it is carried to.
struct Pair {
    client: TcpStream,
    server: TcpStream,
    over: AtomicBool,
    /// Until when nothing goes up, and down.
    stalled: [Mutex<Option<Instant>>; 2],
    halved: [AtomicBool; 2],
}

impl Pair {
    fn open(client: TcpStream, server_port: u16) -> io::Result<Pair> {
        let server = TcpStream::connect(("127.0.0.1", server_port))?;
        for socket in [&client, &server] {
            socket.set_nonblocking(false)?;
            socket.set_nodelay(true)?;
            socket.set_read_timeout(Some(LOOK))?;
            socket.set_write_timeout(Some(LOOK))?;
        }
        Ok(Pair { client, server, over: false.into(), stalled: Default::default(), halved: Default::default() })
    }

    fn ends(&self, way: Way) -> (&TcpStream, &TcpStream) {
        match way {
            Way::Up => (&self.client, &self.server),
            Way::Down => (&self.server, &self.client),
        }
    }

    fn is_stalled(&self, way: Way) -> bool {
        self.stalled[way as usize].lock().unwrap().is_some_and(|until| Instant::now() < until)
    }

    /// Ends both sides, as soon as its threads have seen it: with RST or, if all was read, with FIN.
    fn cut(&self, abruptly: bool) {
        if abruptly {
            for socket in [&self.client, &self.server] {
                let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
            }
        }
        self.over.store(true, SeqCst);
    }
}

struct Shared {
    server_port: u16,
    /// Bytes are carried as they come.
    calm: AtomicBool,
    refusing_until: Mutex<Option<Instant>>,
    stopped: AtomicBool,
    newest: Mutex<Weak<Pair>>,
}

/// The proxy; it ends when it is dropped.
pub struct Proxy {
    pub port: u16,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    pub fn start(server_port: u16, seed: u64) -> Proxy {
        let port = free_port();
        let shared = Arc::new(Shared {
            server_port,
            calm: true.into(),
            refusing_until: Mutex::default(),
            stopped: false.into(),
            newest: Mutex::default(),
        });
        let at_work = Arc::clone(&shared);
        let thread = thread::spawn(move || serve(port, &at_work, &mut Rng::with_seed(seed)));
        Proxy { port, shared, thread: Some(thread) }
    }

    pub fn set_calm(&self, calm: bool) {
        self.shared.calm.store(calm, SeqCst);
    }

    /// Takes no connections for a while.
    pub fn refuse(&self, time: Duration) {
        *self.shared.refusing_until.lock().unwrap() = Some(Instant::now() + time);
    }

    pub fn cut(&self, abruptly: bool) {
        self.with_newest(|pair| pair.cut(abruptly));
    }

    pub fn stall(&self, way: Way, time: Duration) {
        self.with_newest(|pair| *pair.stalled[way as usize].lock().unwrap() = Some(Instant::now() + time));
    }

    /// Ends one direction only.
    pub fn halve(&self, way: Way) {
        self.with_newest(|pair| pair.halved[way as usize].store(true, SeqCst));
    }

    fn with_newest(&self, act: impl FnOnce(&Pair)) {
        if let Some(pair) = self.shared.newest.lock().unwrap().upgrade() {
            act(&pair);
        }
    }

    /// Where the server sees the newest connection come from.
    pub fn seen_by_server(&self) -> Option<SocketAddr> {
        self.shared.newest.lock().unwrap().upgrade()?.server.local_addr().ok()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, SeqCst);
        self.cut(false);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(port: u16, shared: &Arc<Shared>, random: &mut Rng) {
    let mut listener = None;
    while !shared.stopped.load(SeqCst) {
        if shared.refusing_until.lock().unwrap().is_some_and(|until| Instant::now() < until) {
            listener = None;
        } else if listener.is_none() {
            listener = TcpListener::bind(("127.0.0.1", port)).ok().filter(|l| l.set_nonblocking(true).is_ok());
        }
        match listener.as_ref().and_then(|listener| listener.accept().ok()) {
            Some((client, _)) => carry_both(client, shared, random),
            None => thread::sleep(LOOK),
        }
    }
}

fn carry_both(client: TcpStream, shared: &Arc<Shared>, random: &mut Rng) {
    let Ok(pair) = Pair::open(client, shared.server_port) else { return };
    let pair = Arc::new(pair);
    *shared.newest.lock().unwrap() = Arc::downgrade(&pair);
    for way in [Way::Up, Way::Down] {
        let (pair, shared, mut random) = (Arc::clone(&pair), Arc::clone(shared), random.fork());
        // It ends with its connection.
        thread::spawn(move || carry(&pair, way, &shared, &mut random));
    }
}

fn carry(pair: &Pair, way: Way, shared: &Shared, random: &mut Rng) {
    let (mut from, mut to) = pair.ends(way);
    let mut buffer = vec![0; CHUNK];
    let mut most = CHUNK;
    while !pair.over.load(SeqCst) {
        if pair.is_stalled(way) {
            thread::sleep(LOOK);
            continue;
        }
        let calm = shared.calm.load(SeqCst);
        if random.u8(..) < 4 {
            most = random.choice([1, 3, 100, 1_500, 16_389, CHUNK]).unwrap_or(CHUNK);
        }
        let room = if calm { CHUNK } else { random.usize(1..=most) };
        match from.read(&mut buffer[..room]) {
            Ok(0) => break,
            Ok(count) if put(pair, &mut to, &buffer[..count]).is_ok() => {}
            Err(e) if is_no_end(&e) => {}
            _ => return pair.cut(false),
        }
        if pair.halved[way as usize].load(SeqCst) {
            break;
        }
        if !calm && random.u8(..) < 3 {
            thread::sleep(Duration::from_micros(random.u64(..15_000)));
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

fn put(pair: &Pair, to: &mut &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(e) if is_no_end(&e) && !pair.over.load(SeqCst) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn is_no_end(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
