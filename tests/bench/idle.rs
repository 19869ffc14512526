//! Idle clients over TLS on one server: what each costs the server in memory, and how long it takes until all are back
//! after the server was killed. The clients are sockets of this process, which shares the machine's cores with the server.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use aioconnectors::certs::{Certificate, Layout};
use aioconnectors::cli::demo::pair::Pair;
use aioconnectors::wire::control::{HANDSHAKE_SSL, HELLO, own_frame};
use rcgen::{CertificateParams, DnType, KeyPair, SerialNumber};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use crate::Failure;
use crate::ours::{CONNECT_TIMEOUT, plan_of};
use crate::report::Book;

/// Clients.
pub const CLIENTS: usize = 10_000;

/// Clients that share an address: servers limit how many connections come from one.
const PER_ADDRESS: usize = 50;

/// Threads that connect.
const THREADS: usize = 8;

/// What a client may cost, bytes: the aim of the project.
const GOAL: f64 = 40_000.0;

/// Time for all of them to be known to the server.
const PATIENCE: Duration = Duration::from_secs(120);

/// A client, as it is to this process.
pub type Tls = StreamOwned<ClientConnection, std::net::TcpStream>;

/// Whether all clients got in, each time, for no more than they may cost.
pub fn run(folder: &Path, clients: usize, book: &mut Book) -> Result<bool, Failure> {
    let mut whole = true;
    println!("\n{clients} idle clients on one server");
    for own_certificates in [false, true] {
        let name = if own_certificates { "a certificate each" } else { "ssl_allow_all" };
        let folder = folder.join(if own_certificates { "idle-own" } else { "idle-all" });
        fs::create_dir(&folder)?;
        let settings = json!({"ssl_allow_all": !own_certificates, "max_certs": clients + 10});
        let mut pair = Pair::start(&folder, &plan_of(true, &["any"], settings))?;
        pair.wait_until_connected(CONNECT_TIMEOUT, || false)?;
        let all = Clients::new(&folder, &pair, clients, own_certificates)?;
        // So that it knows the certificates from its start.
        pair.server_mut().kill();
        pair.server_mut().start_again()?;
        pair.wait_until_connected(CONNECT_TIMEOUT, || false)?;
        let before = memory_kb(pair.server().pid())?;
        let start = Instant::now();
        let connected = all.connect(0..clients)?;
        wait_peers(&pair, clients)?;
        let took = start.elapsed().as_secs_f64();
        let each = (memory_kb(pair.server().pid())? - before) * 1024.0 / clients as f64;
        let case = format!("{clients} idle clients");
        book.add(&case, name, "memory each", "KB", each / 1000.0);
        book.add(&case, name, "all in", "s", took);
        println!("{name:<28} {:.1} KB each, all in after {took:.1} s ({:.0}/s)", each / 1000.0, clients as f64 / took);
        pair.server_mut().kill();
        drop(connected);
        let start = Instant::now();
        pair.server_mut().start_again()?;
        let connected = all.connect(0..clients)?;
        wait_peers(&pair, clients)?;
        let took = start.elapsed().as_secs_f64();
        book.add(&case, name, "all back after a kill", "s", took);
        println!("{:<28} killed and started again: all back after {took:.1} s", "");
        drop(connected);
        whole &= each < GOAL;
    }
    Ok(whole)
}

fn memory_kb(pid: u32) -> Result<f64, Failure> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// Waits until the server knows so many of them.
pub fn wait_peers(pair: &Pair, clients: usize) -> Result<(), Failure> {
    let remote = pair.server().api()?.remote().timeout(PATIENCE);
    let start = Instant::now();
    loop {
        let connected = remote.connected_peers()?.iter().filter(|name| name.starts_with("idle")).count();
        if connected == clients {
            return Ok(());
        }
        if start.elapsed() > PATIENCE {
            return Err(format!("{connected} clients of {clients} are connected").into());
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// The clients, as they connect.
pub struct Clients {
    server: SocketAddr,
    configs: Vec<Arc<ClientConfig>>,
    says_hello: bool,
}

impl Clients {
    pub fn new(folder: &Path, pair: &Pair, count: usize, own_certificates: bool) -> Result<Self, Failure> {
        let config: Value = serde_json::from_slice(&fs::read(pair.server().config())?)?;
        let port = u16::try_from(config["server_sockaddr"][1].as_u64().ok_or("the server's config has no port")?)?;
        let builder = || ClientConfig::builder().dangerous().with_custom_certificate_verifier(Arc::new(Anyone));
        let configs = if own_certificates {
            let pairs = certificates(folder, count)?;
            pairs
                .into_iter()
                .map(|(chain, key)| builder().with_client_auth_cert(vec![chain], key))
                .collect::<Result<Vec<_>, _>>()?
        } else {
            vec![builder().with_no_client_auth()]
        };
        let configs = configs.into_iter().map(Arc::new).collect();
        Ok(Self { server: SocketAddr::from(([127, 0, 0, 1], port)), configs, says_hello: !own_certificates })
    }

    /// Connects those of these numbers; they try again while nobody listens. They come with their numbers, in any order.
    pub fn connect(&self, numbers: Range<usize>) -> Result<Vec<(usize, Tls)>, Failure> {
        let next = AtomicUsize::new(numbers.start);
        let work = || {
            let mut connected = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= numbers.end {
                    return Ok::<_, Failure>(connected);
                }
                connected.push((number, self.connect_one(number)?));
            }
        };
        thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
            let mut all = Vec::with_capacity(numbers.len());
            for thread in threads {
                all.extend(thread.join().unwrap_or_else(|_| Err("a thread has panicked".into()))?);
            }
            Ok(all)
        })
    }

    fn connect_one(&self, number: usize) -> Result<Tls, Failure> {
        let start = Instant::now();
        let stream = loop {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            let [high, low] = u16::try_from(2 + number / PER_ADDRESS)?.to_be_bytes();
            socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, high, low), 0)).into())?;
            match socket.connect(&self.server.into()) {
                Ok(()) => break std::net::TcpStream::from(socket),
                Err(error) if start.elapsed() > CONNECT_TIMEOUT => return Err(error.into()),
                Err(_) => thread::sleep(Duration::from_millis(5)),
            }
        };
        let config = self.configs.get(number).unwrap_or(&self.configs[0]);
        let connection = ClientConnection::new(Arc::clone(config), ServerName::try_from("localhost")?)?;
        let mut tls = StreamOwned::new(connection, stream);
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock)?;
        }
        if self.says_hello {
            std::io::Write::write_all(&mut tls, &own_frame(HANDSHAKE_SSL, &name_of(number), HELLO))?;
        }
        Ok(tls)
    }
}

pub fn name_of(number: usize) -> String {
    format!("idle{number}")
}

/// Certificates of all clients, which the server in `folder` knows. They share a key: only the server's memory counts.
fn certificates(
    folder: &Path,
    count: usize,
) -> Result<Vec<(CertificateDer<'static>, PrivateKeyDer<'static>)>, Failure> {
    let layout = Layout::new(folder);
    let key = KeyPair::generate()?;
    let mut names: Value = serde_json::from_slice(&fs::read(layout.names())?)?;
    let (mut by_name, mut by_serial) = (BTreeMap::new(), BTreeMap::new());
    let mut pairs = Vec::with_capacity(count);
    for number in 0..count {
        let mut params = CertificateParams::new(vec![])?;
        params.distinguished_name.push(DnType::CommonName, name_of(number));
        params.serial_number = Some(SerialNumber::from(0x7000_0000_0000_0000 + number as u64));
        let certificate = params.self_signed(&key)?;
        fs::write(layout.client_certificate(&name_of(number)), certificate.pem())?;
        let parsed = Certificate::parse(certificate.der())?;
        let serial = parsed.serial().to_owned();
        let link = |at: u32| layout.links().join(format!("{}.{at}", parsed.subject_hash()));
        let free = (0..).map(link).find(|link| fs::symlink_metadata(link).is_err()).ok_or("no name is free")?;
        std::os::unix::fs::symlink(format!("../{}.pem", name_of(number)), free)?;
        by_name.insert(name_of(number), serial.clone());
        by_serial.insert(serial, name_of(number));
        let key = PrivateKeyDer::try_from(key.serialize_der())?;
        pairs.push((certificate.der().clone(), key));
    }
    for (field, added) in [("source_id_2_cert", by_name), ("cert_2_source_id", by_serial)] {
        let known = names[field].as_object_mut().ok_or("the list of names is another")?;
        known.extend(added.into_iter().map(|(key, value)| (key, Value::from(value))));
    }
    fs::write(layout.names(), names.to_string())?;
    Ok(pairs)
}

/// Takes any server: it is the only one there.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
