//! Handshakes with OpenSSL, which is what Python connectors have, over a folder that `create` made.
//! Skipped, with a word on stderr, where there is no `openssl` command.
#![cfg(feature = "daemon")]

#[path = "common/mod.rs"]
mod common;
#[path = "tls_openssl/hostile.rs"]
mod hostile;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aioconnectors::certs::{ClientFolder, Identity, Layout, Pair, Registry, SharedRegistry, create};
use aioconnectors::net::tls::{self, Clients, Servers};
use aioconnectors::wire::link::ALPN;

const VERSIONS: [&str; 2] = ["-tls1_2", "-tls1_3"];
const PATIENCE: Duration = Duration::from_secs(20);

fn has_openssl() -> bool {
    let found = Command::new("openssl").arg("version").output().is_ok();
    if !found {
        eprintln!("SKIPPED: no openssl command on this machine");
    }
    found
}

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

/// What our connectors offer: OpenSSL's ends, as those of Python, know nothing of it and must not mind.
fn alpn() -> Vec<Vec<u8>> {
    vec![ALPN.to_vec()]
}

/// A folder with the certificate of one client, at both ends.
fn folder() -> (tempfile::TempDir, SharedRegistry) {
    let dir = tempfile::tempdir().unwrap();
    create(dir.path(), false).unwrap();
    let registry = SharedRegistry::new(Registry::open(dir.path(), 10).unwrap());
    let issued = registry.issue("client1").unwrap();
    ClientFolder::new(dir.path()).store("client1", &issued.certificate_pem, issued.key_pem.as_deref(), now()).unwrap();
    (dir, registry)
}

/// One connection to our server from `openssl s_client`, which shows the certificate of `name`; who it was to us.
fn openssl_client(dir: &Path, registry: &SharedRegistry, name: &str, version: &str) -> Result<Identity, String> {
    let layout = Layout::new(dir);
    let pair = Pair::load(&layout.server_certificate(), &layout.server_key(), now()).unwrap();
    let server = tls::server_config(&pair, Clients::Registered(registry.clone()), alpn()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut openssl = Command::new("openssl")
        .args(["s_client", "-brief", "-verify_return_error", version, "-connect", &address])
        .args(["-CAfile".as_ref(), layout.pinned_server().as_os_str()])
        .args(["-cert".as_ref(), layout.own_certificate(name).as_os_str()])
        .args(["-key".as_ref(), layout.own_key(name).as_os_str()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // If openssl ends without having connected, this does, so that the test fails and does not hang.
    let ended = thread::spawn(move || openssl.wait().map(|_| TcpStream::connect(address)));
    let mut socket = listener.accept().unwrap().0;
    drop(listener);
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut connection = rustls::ServerConnection::new(server.config.clone()).unwrap();
    let shaken = connection.complete_io(&mut socket);
    drop(socket);
    let _ = ended.join().unwrap();
    match shaken {
        Ok(_) if connection.alpn_protocol().is_some() => Err("a protocol that was not offered".to_owned()),
        Ok(_) => Ok(registry.identify(tls::peer_certificate(&connection).unwrap())),
        Err(e) => Err(tls::explain(e.get_ref().unwrap().downcast_ref().unwrap(), &server.refusals)),
    }
}

#[test]
fn an_openssl_client_with_an_issued_certificate_is_known_to_our_server() {
    if !has_openssl() {
        return;
    }
    let (dir, registry) = folder();
    for version in VERSIONS {
        let identity = openssl_client(dir.path(), &registry, "client1", version).unwrap();
        assert!(matches!(&identity, Identity::Named { name, .. } if name == "client1"), "{identity:?}");
        let identity = openssl_client(dir.path(), &registry, "default", version).unwrap();
        assert!(matches!(&identity, Identity::Default { name, .. } if name == "default"), "{identity:?}");
    }
}

#[test]
fn an_openssl_client_whose_link_was_removed_is_refused_by_our_server() {
    if !has_openssl() {
        return;
    }
    let (dir, registry) = folder();
    std::fs::remove_dir_all(Layout::new(dir.path()).links()).unwrap();
    std::fs::create_dir(Layout::new(dir.path()).links()).unwrap();
    for version in VERSIONS {
        let line = openssl_client(dir.path(), &registry, "client1", version).unwrap_err();
        assert!(line.contains("CN=client1") && line.contains("no link"), "{line}");
    }
}

/// `openssl s_server` over the server's part of the folder, as a Python server would use it; it sends lines back
/// reversed.
struct OpensslServer {
    process: Child,
    address: String,
}

impl OpensslServer {
    fn start(layout: &Layout, version: &str) -> Self {
        let mut process = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0", "-Verify", "1", "-verify_return_error", "-rev", version])
            .args(["-no-CAfile", "-no-CAstore", "-x509_strict"])
            .args(["-CApath".as_ref(), layout.links().as_os_str()])
            .args(["-cert".as_ref(), layout.server_certificate().as_os_str()])
            .args(["-key".as_ref(), layout.server_key().as_os_str()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = lines.find_map(|line| line.unwrap().strip_prefix("ACCEPT ").map(str::to_owned)).unwrap();
        // Nobody else reads what it prints, and a full pipe would stop it.
        thread::spawn(move || lines.for_each(drop));
        Self { process, address }
    }
}

impl Drop for OpensslServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn our_client_is_accepted_by_an_openssl_server_at_once_after_its_certificate_was_issued() {
    if !has_openssl() {
        return;
    }
    for version in VERSIONS {
        let dir = tempfile::tempdir().unwrap();
        create(dir.path(), false).unwrap();
        let server = OpensslServer::start(&Layout::new(dir.path()), version);
        let issued = Registry::open(dir.path(), 10).unwrap().issue("client1").unwrap();
        let folder = ClientFolder::new(dir.path());
        folder.store("client1", &issued.certificate_pem, issued.key_pem.as_deref(), now()).unwrap();

        let servers = Servers::Pinned(folder.pinned_servers().unwrap());
        let own = folder.own("client1", now()).unwrap();
        let client = tls::client_config(Some(&own), servers, "127.0.0.1", alpn()).unwrap();
        let mut connection = rustls::ClientConnection::new(client.config, client.server_name).unwrap();
        let mut socket = TcpStream::connect(&server.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut stream = rustls::Stream::new(&mut connection, &mut socket);
        stream.write_all(b"hello\n").unwrap();
        let mut answer = [0; 6];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"olleh\n");
        assert_eq!(connection.alpn_protocol(), None, "the server knows nothing of it");
    }
}
