//! The limit: bytes from a Unix socket through TLS over loopback to a Unix socket, a thread at each end.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use aioconnectors::net::tls;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, UnbufferedStatus};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::{Failure, cpu};

/// Read and written at once, bytes: as a connector writes at most in one turn.
const BUFFER: usize = 256 * 1024;

/// Room for what one end says at once in a handshake, bytes.
const HANDSHAKE: usize = 16 * 1024;

/// One run of the pump: connect to `entry`, and what is written there comes out of a connection to `exit`.
pub struct Pump {
    listener: UnixListener,
    exit: PathBuf,
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

/// What a pump seals and opens with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cipher {
    /// That of rustls as it comes.
    Plain,
    /// That of the connectors, which differs on some processors.
    Ours,
}

impl Cipher {
    fn provider(self) -> Arc<CryptoProvider> {
        Arc::new(match self {
            Self::Plain => aws_lc_rs::default_provider(),
            Self::Ours => tls::provider(),
        })
    }
}

impl Pump {
    pub fn new(entry: &Path, exit: &Path, cipher: Cipher) -> Result<Self, Failure> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())?;
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone())?;
        let client = ClientConfig::builder_with_provider(cipher.provider()).with_safe_default_protocol_versions()?;
        let client = client.with_root_certificates(roots).with_no_client_auth();
        let server = ServerConfig::builder_with_provider(cipher.provider()).with_safe_default_protocol_versions()?;
        let server = server.with_no_client_auth();
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
    fn near(&self, tcp: TcpStream) -> Result<Duration, Failure> {
        let machine = UnbufferedClientConnection::new(Arc::clone(&self.client), ServerName::try_from("localhost")?)?;
        let mut tls = Tls::new(machine, tcp)?;
        while !tls.process(&mut |_| Ok(()))? {
            tls.read()?;
        }
        let mut input = self.listener.accept()?.0;
        let begin = cpu::thread();
        let (mut plain, mut sealed) = (vec![0; BUFFER], vec![0; 2 * BUFFER]);
        loop {
            let n = input.read(&mut plain)?;
            if n == 0 {
                return Ok(cpu::thread() - begin);
            }
            let length = match tls.machine.process(&mut []).state? {
                ConnectionState::WriteTraffic(mut traffic) => traffic.encrypt(&plain[..n], &mut sealed)?,
                other => return Err(format!("nothing can be sent in the state {other:?}").into()),
            };
            tls.tcp.write_all(&sealed[..length])?;
        }
    }

    /// From TLS to the Unix socket.
    fn far(&self, tcp: TcpStream) -> Result<Duration, Failure> {
        let mut tls = Tls::new(UnbufferedServerConnection::new(Arc::clone(&self.server))?, tcp)?;
        let mut output = UnixStream::connect(&self.exit)?;
        let begin = cpu::thread();
        let mut plain = Vec::with_capacity(2 * BUFFER);
        while tls.read()? > 0 {
            tls.process(&mut |data| {
                plain.extend_from_slice(data);
                Ok(())
            })?;
            output.write_all(&plain)?;
            plain.clear();
        }
        Ok(cpu::thread() - begin)
    }
}

/// Both ends of TLS, without buffers of their own.
trait Machine {
    type Data: fmt::Debug;
    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
}

impl Machine for UnbufferedClientConnection {
    type Data = ClientConnectionData;
    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }
}

impl Machine for UnbufferedServerConnection {
    type Data = ServerConnectionData;
    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }
}

/// One end of the connection.
struct Tls<M> {
    machine: M,
    tcp: TcpStream,
    incoming: Vec<u8>,
    /// Bytes in `incoming` that are not decrypted yet.
    filled: usize,
}

impl<M: Machine> Tls<M> {
    fn new(machine: M, tcp: TcpStream) -> Result<Self, Failure> {
        tcp.set_nodelay(true)?;
        Ok(Self { machine, tcp, incoming: vec![0; BUFFER], filled: 0 })
    }

    /// Reads once; 0 at the end.
    fn read(&mut self) -> io::Result<usize> {
        let n = self.tcp.read(&mut self.incoming[self.filled..])?;
        self.filled += n;
        Ok(n)
    }

    /// Gives all whole records to `data`, and takes the handshake as far as it goes; whether it is done.
    fn process(&mut self, data: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> Result<bool, Failure> {
        let (mut at, mut handshake) = (0, [0; HANDSHAKE]);
        let mut ready = 0;
        let done = loop {
            let UnbufferedStatus { discard, state } = self.machine.process(&mut self.incoming[at..self.filled]);
            at += discard;
            match state? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        at += record.discard;
                        data(record.payload)?;
                    }
                }
                ConnectionState::EncodeTlsData(mut encode) => ready += encode.encode(&mut handshake[ready..])?,
                ConnectionState::TransmitTlsData(transmit) => {
                    self.tcp.write_all(&handshake[..std::mem::take(&mut ready)])?;
                    transmit.done();
                }
                ConnectionState::BlockedHandshake => break false,
                _ => break true,
            }
        };
        self.incoming.copy_within(at..self.filled, 0);
        self.filled -= at;
        Ok(done)
    }
}
