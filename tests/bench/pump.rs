//! The limit: bytes from a Unix socket through TLS over loopback to a Unix socket, a thread at each end.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

use crate::{Failure, cpu};

/// Read and written at once, bytes: as a connector writes at most in one turn.
const BUFFER: usize = 256 * 1024;

/// One run of the pump: connect to `entry`, and what is written there comes out of a connection to `exit`.
pub struct Pump {
    listener: UnixListener,
    exit: PathBuf,
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl Pump {
    pub fn new(entry: &Path, exit: &Path) -> Result<Self, Failure> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())?;
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone())?;
        let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let server = ServerConfig::builder().with_no_client_auth();
        let mut server = server.with_single_cert(vec![made.cert.der().clone()], key)?;
        // The near end reads nothing; unread tickets would turn its close into a reset.
        server.send_tls13_tickets = 0;
        let listener = UnixListener::bind(entry)?;
        Ok(Self { listener, exit: exit.to_owned(), client: Arc::new(client), server: Arc::new(server) })
    }

    /// Pumps one connection to its end, and returns the CPU time of the two threads while `work` is done.
    pub fn run<T: Send>(
        &self,
        work: impl FnOnce() -> Result<T, Failure> + Send,
    ) -> Result<(T, [Duration; 2]), Failure> {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = tcp.local_addr()?;
        thread::scope(|scope| {
            let near = scope.spawn(move || self.near(TcpStream::connect(address)?));
            let far = scope.spawn(move || self.far(tcp.accept()?.0));
            let done = work()?;
            let join = |t: thread::ScopedJoinHandle<'_, Result<Duration, Failure>>| {
                t.join().unwrap_or_else(|_| Err("a thread of the pump has panicked".into()))
            };
            Ok((done, [join(near)?, join(far)?]))
        })
    }

    /// From the Unix socket to TLS.
    fn near(&self, mut tcp: TcpStream) -> Result<Duration, Failure> {
        tcp.set_nodelay(true)?;
        let mut tls = ClientConnection::new(Arc::clone(&self.client), ServerName::try_from("localhost")?)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp)?;
        }
        let mut input = self.listener.accept()?.0;
        let begin = cpu::thread();
        tls.set_buffer_limit(None);
        let mut buffer = vec![0; BUFFER];
        loop {
            let n = input.read(&mut buffer)?;
            if n == 0 {
                break;
            }
            tls.writer().write_all(&buffer[..n])?;
            while tls.wants_write() {
                tls.write_tls(&mut tcp)?;
            }
        }
        tls.send_close_notify();
        tls.write_tls(&mut tcp)?;
        Ok(cpu::thread() - begin)
    }

    /// From TLS to the Unix socket.
    fn far(&self, mut tcp: TcpStream) -> Result<Duration, Failure> {
        tcp.set_nodelay(true)?;
        let mut tls = ServerConnection::new(Arc::clone(&self.server))?;
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp)?;
        }
        let mut output = UnixStream::connect(&self.exit)?;
        let begin = cpu::thread();
        let (mut cipher, mut plain) = (vec![0; BUFFER], vec![0; BUFFER]);
        loop {
            let n = tcp.read(&mut cipher)?;
            if n == 0 {
                break;
            }
            // Few reads of the socket, and from memory as rustls likes it.
            let mut rest = &cipher[..n];
            let mut ready = 0;
            while !rest.is_empty() {
                tls.read_tls(&mut rest)?;
                tls.process_new_packets()?;
                ready = decrypted(&mut tls, &mut plain, ready, &mut output)?;
            }
            output.write_all(&plain[..ready])?;
        }
        Ok(cpu::thread() - begin)
    }
}

/// Takes what is decrypted behind the `ready` bytes in `plain`, which goes out when it is full.
fn decrypted(
    tls: &mut ServerConnection,
    plain: &mut [u8],
    mut ready: usize,
    output: &mut UnixStream,
) -> io::Result<usize> {
    loop {
        if ready == plain.len() {
            output.write_all(plain)?;
            ready = 0;
        }
        match tls.reader().read(&mut plain[ready..]) {
            Ok(0) => return Ok(ready),
            Ok(n) => ready += n,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(ready),
            Err(e) => return Err(e),
        }
    }
}
