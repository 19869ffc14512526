//! An HTTP proxy that opens tunnels, or does what it should not.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Between two looks of a waiting thread.
const LOOK: Duration = Duration::from_millis(1);

/// The most that is carried at once.
const CHUNK: usize = 64 * 1024;

/// What a proxy does with whoever connects.
#[derive(Clone)]
pub enum Manner {
    /// It opens a tunnel to this port of 127.0.0.1, whatever host it is asked for.
    Opens(u16),
    /// The same, if it is told this line.
    OpensIf(u16, String),
    /// It hears the request, says this, and closes when the other side does.
    Says(Vec<u8>),
    /// It hears the request, and says nothing.
    Silent,
    /// It hears the request, and sends this until nobody takes it.
    Repeats(&'static [u8]),
    /// It hears the request and closes.
    Closes,
}

struct Shared {
    manner: Mutex<Manner>,
    /// The requests that it has heard.
    heard: Mutex<Vec<String>>,
    /// Counts up when all tunnels are to be cut.
    cut: Mutex<u32>,
    over: AtomicBool,
}

/// The proxy; it ends when it is dropped.
pub struct HttpProxy {
    pub port: u16,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl HttpProxy {
    /// One that is spoken to in clear.
    pub fn start(manner: Manner) -> HttpProxy {
        HttpProxy::start_with(manner, None)
    }

    /// One that is spoken to over TLS, if there are settings for that.
    pub fn start_with(manner: Manner, tls: Option<Arc<ServerConfig>>) -> HttpProxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its number");
        let shared = Arc::new(Shared {
            manner: Mutex::new(manner),
            heard: Mutex::default(),
            cut: Mutex::default(),
            over: AtomicBool::default(),
        });
        let at_work = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if at_work.over.load(SeqCst) {
                    return;
                }
                let (shared, tls) = (Arc::clone(&at_work), tls.clone());
                // It ends with its connection.
                thread::spawn(move || serve(client, &shared, tls));
            }
        });
        HttpProxy { port: address.port(), shared, thread: Some(thread) }
    }

    pub fn set_manner(&self, manner: Manner) {
        *self.shared.manner.lock().unwrap() = manner;
    }

    /// The requests that it has heard so far.
    pub fn heard(&self) -> Vec<String> {
        self.shared.heard.lock().unwrap().clone()
    }

    /// Cuts all tunnels that there are.
    pub fn cut(&self) {
        *self.shared.cut.lock().unwrap() += 1;
    }
}

impl Drop for HttpProxy {
    fn drop(&mut self) {
        self.shared.over.store(true, SeqCst);
        self.cut();
        // It waits for somebody to come.
        let _ = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], self.port)));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(client: TcpStream, shared: &Shared, tls: Option<Arc<ServerConfig>>) {
    let Ok(socket) = client.try_clone() else { return };
    let _ = client.set_nodelay(true);
    let _ = client.set_read_timeout(Some(LOOK));
    match tls {
        None => answer(client, shared),
        Some(config) => {
            let Ok(session) = ServerConnection::new(config) else { return };
            answer(StreamOwned::new(session, client), shared);
        }
    }
    let _ = socket.shutdown(Shutdown::Both);
}

fn answer(mut client: impl Read + Write, shared: &Shared) {
    let cut = *shared.cut.lock().unwrap();
    let is_over = || shared.over.load(SeqCst) || *shared.cut.lock().unwrap() != cut;
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match client.read(&mut byte) {
            Ok(0) => return,
            Ok(_) => head.push(byte[0]),
            Err(e) if waits(&e) && !is_over() => {}
            Err(_) => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    shared.heard.lock().unwrap().push(head.clone());
    let manner = shared.manner.lock().unwrap().clone();
    match manner {
        Manner::Opens(port) => carry(client, port, &is_over),
        Manner::OpensIf(port, line) if head.lines().any(|said| said == line) => carry(client, port, &is_over),
        Manner::OpensIf(..) => {
            let _ = client.write_all(b"HTTP/1.1 407 Denied\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\nno");
        }
        Manner::Silent => listen(&mut client, &is_over),
        Manner::Says(words) => {
            let _ = client.write_all(&words).and_then(|()| client.flush());
            listen(&mut client, &is_over);
        }
        Manner::Repeats(words) => while client.write_all(words).is_ok() && !is_over() {},
        Manner::Closes => {}
    }
}

/// Reads until the other side ends.
fn listen(client: &mut impl Read, is_over: &dyn Fn() -> bool) {
    let mut buffer = [0; 1024];
    while client.read(&mut buffer).map_or_else(|e| waits(&e), |count| count > 0) && !is_over() {}
}

fn carry(mut client: impl Read + Write, port: u16, is_over: &dyn Fn() -> bool) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)) else {
        let _ = client.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
        return;
    };
    let _ = server.set_nodelay(true);
    let _ = server.set_read_timeout(Some(LOOK));
    if client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").is_err() {
        return;
    }
    let mut buffer = vec![0; CHUNK];
    while !is_over() {
        let goes_on = pass(&mut client, &mut server, &mut buffer) && pass(&mut server, &mut client, &mut buffer);
        if !goes_on {
            return;
        }
    }
}

/// Passes on what there is; whether there may be more.
fn pass(from: &mut impl Read, to: &mut impl Write, buffer: &mut [u8]) -> bool {
    match from.read(buffer) {
        Ok(0) => false,
        Ok(count) => to.write_all(&buffer[..count]).and_then(|()| to.flush()).is_ok(),
        Err(e) => waits(&e),
    }
}

fn waits(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
