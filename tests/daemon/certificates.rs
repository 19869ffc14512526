//! Links with certificates: enrolment, strangers and silence.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::common::setup::wait_link;
use crate::common::{Place, Process, RawPeer, RawReceiver, RawSender, Setup, certificates, free_port, wait};
use crate::link::message;

pub struct Secured {
    pub place: Place,
    pub port: u16,
    pub server: Setup,
    pub server_process: Process,
}

impl Secured {
    /// A server in certificate mode with a fresh folder.
    #[track_caller]
    pub fn start() -> Secured {
        Secured::start_with(&[], |server| server)
    }

    /// The same with options of the tool, and a config that `change` has changed.
    #[track_caller]
    pub fn start_with(options: &[&str], change: impl FnOnce(Setup) -> Setup) -> Secured {
        let (place, port) = (Place::new(), free_port());
        let server = change(Setup::server(&place, port).with("use_ssl", true));
        certificates::make_with(options, &place.file("made"));
        certificates::hand_out(&place.file("made"), &server);
        let server_process = server.start();
        Secured { place, port, server, server_process }
    }

    /// A client with the default certificate of the server's folder.
    pub fn client(&self, name: &str) -> Setup {
        let client = Setup::client_in(&self.place, name, name, self.port).with("use_ssl", true);
        certificates::hand_out(&self.place.file("made"), &client);
        client
    }

    /// A message of the client arrives at the server.
    #[track_caller]
    pub fn check(&self, client: &Setup) {
        wait_link(&self.server, client);
        let receiver = RawReceiver::listen(self.server.receive_socket("any"));
        RawSender::connect(&client.send_socket()).send_all([&message("any", client, &self.server, "hello")]);
        receiver.wait_count(1);
        assert_eq!(receiver.frames()[0].field("source_id"), client.id.as_str());
    }
}

pub fn own_file(client: &Setup, ending: &str) -> PathBuf {
    client.dir.join(format!("certificates/client/client-certs/{}.{ending}", client.id))
}

#[test]
fn clients_enrol_once_each_and_keep_their_certificate() {
    let secured = Secured::start();
    for name in ["alice", "bob"] {
        let client = secured.client(name);
        let mut process = client.start();
        secured.check(&client);
        let first = fs::read(own_file(&client, "pem")).expect("a certificate of its own");
        process.kill();
        let _process = client.start();
        secured.check(&client);
        assert_eq!(fs::read(own_file(&client, "pem")).unwrap(), first, "it enrolled once");
    }
}

#[test]
fn a_restarted_server_still_knows_its_clients() {
    let mut secured = Secured::start();
    let client = secured.client("alice");
    let _process = client.start();
    secured.check(&client);
    secured.server_process.kill();
    secured.server_process = secured.server.start();
    secured.check(&client);
}

#[test]
fn a_name_that_is_taken_is_not_given_a_second_certificate() {
    let secured = Secured::start();
    let client = secured.client("alice");
    let _process = client.start();
    secured.check(&client);
    let before = fs::read(own_file(&client, "pem")).expect("a certificate");
    // Another machine with the default certificate and the same name.
    let thief = Setup::client_in(&secured.place, "thief", "alice", secured.port).with("use_ssl", true);
    certificates::hand_out(&secured.place.file("made"), &thief);
    let _thief = thief.start();
    secured.server_process.wait_error(&["alice"]);
    wait::until("a server that says so", || {
        secured.server_process.complaints().into_iter().find(|line| line.contains("alice"))
    });
    assert!(!own_file(&thief, "pem").exists(), "the thief has a certificate");
    assert_eq!(fs::read(own_file(&client, "pem")).unwrap(), before);
    secured.check(&client);
}

#[test]
fn a_client_with_an_unknown_certificate_is_refused_and_both_sides_say_so() {
    let secured = Secured::start();
    // Another folder's client, which at least pins the right server.
    let stranger = Setup::client(&secured.place, "stranger", secured.port).with("use_ssl", true);
    certificates::make(&secured.place.file("other"));
    certificates::hand_out(&secured.place.file("other"), &stranger);
    let pin = "certificates/client/server-cert/server.pem";
    fs::copy(secured.place.file("made").join(pin), stranger.dir.join(pin)).expect("the server's certificate");
    let process = stranger.start();
    for side in [&secured.server_process, &process] {
        let line = side.wait_error(&["refused"]);
        assert!(line.contains("WARN") && line.contains("certificate"), "{line}");
    }
    assert!(secured.server.admin().connected_peers().expect("an answer").is_empty());
    let honest = secured.client("alice");
    let _honest = honest.start();
    secured.check(&honest);
}

#[test]
fn a_client_refuses_a_server_that_it_does_not_pin_and_both_sides_say_so() {
    let secured = Secured::start();
    let client = secured.client("alice");
    certificates::make(&secured.place.file("other"));
    let pin = "certificates/client/server-cert/server.pem";
    fs::copy(secured.place.file("other").join(pin), client.dir.join(pin)).expect("another server's certificate");
    let process = client.start();
    for side in [&process, &secured.server_process] {
        let line = side.wait_error(&["refused"]);
        assert!(line.contains("WARN") && line.contains("certificate"), "{line}");
    }
    assert!(!own_file(&client, "pem").exists(), "it enrolled with a stranger");
}

#[test]
fn a_connection_that_speaks_no_tls_is_cut_off() {
    let secured = Secured::start();
    let mut peer = RawPeer::silent(secured.port);
    peer.send_bytes(b"GET / HTTP/1.1\r\n\r\n").expect("bytes are taken");
    peer.wait_closed();
    secured.server_process.wait_error(&["TLS", "handshake"]);
    let client = secured.client("alice");
    let _process = client.start();
    secured.check(&client);
}

#[test]
fn silence_before_a_tls_handshake_and_after_it_ends_in_time() {
    let secured = Secured::start();
    let mut before = RawPeer::silent(secured.port);
    silence_after_a_handshake_ends_in_time();
    before.wait_closed();
    secured.server_process.wait_error(&["time", "handshake", "10 s"]);
}

fn silence_after_a_handshake_ends_in_time() {
    if Command::new("openssl").arg("version").output().is_err() {
        // Not by `eprintln!`: the test harness would keep that to itself.
        let _ = writeln!(io::stderr(), "SKIPPED, silence after a TLS handshake: there is no openssl command");
        return;
    }
    let (place, port) = (Place::new(), free_port());
    let server = Setup::server(&place, port).with("use_ssl", true).with("ssl_allow_all", true);
    certificates::make(&place.file("made"));
    certificates::hand_out(&place.file("made"), &server);
    let server_process = server.start();
    let address = format!("127.0.0.1:{port}");
    let mut silent =
        Process::spawn("openssl s_client", Command::new("openssl").args(["s_client", "-quiet", "-connect", &address]));
    assert!(silent.wait_exit(wait::LIMIT).is_some(), "it is still connected");
    server_process.wait_error(&["time", "handshake", "10 s"]);
}

#[test]
fn the_certificates_tool_overwrites_nothing() {
    let place = Place::new();
    certificates::make(&place.file("made"));
    let key = place.file("made/certificates/server/server-cert/server.key");
    let before = fs::read(&key).expect("a key");
    let again = Command::new(env!("CARGO_BIN_EXE_aioconnectorsctl"))
        .arg("create-certificates")
        .arg(place.file("made"))
        .output()
        .expect("the tool runs");
    assert_eq!(again.status.code(), Some(1), "{again:?}");
    assert_eq!(fs::read(&key).unwrap(), before);
}

#[test]
fn under_tls_two_connectors_of_ours_agree_on_the_second_kind_of_link() {
    for allow_all in [false, true] {
        let place = Place::new();
        let port = free_port();
        let secure = |setup: Setup| {
            let setup = setup.with("use_ssl", true).with("ssl_allow_all", allow_all);
            certificates::hand_out(&place.file("made"), &setup);
            setup
        };
        certificates::make(&place.file("made"));
        let (server, client) = (secure(Setup::server(&place, port)), secure(Setup::client(&place, "client1", port)));
        let (server_process, client_process) = (server.start(), client.start());
        wait_link(&server, &client);
        for process in [&server_process, &client_process] {
            let is_told = |lines: &Vec<String>| lines.iter().any(|line| line.contains("connected, at"));
            let lines = wait::until("the line of the link", || Some(process.errors()).filter(is_told));
            assert!(lines.iter().any(|line| line.contains("link 2")), "ssl_allow_all {allow_all}: {lines:?}");
        }
    }
}

/// A server's certificate that a CA has signed for `host`, in place of its own; the CA's file.
fn vouch_for(secured: &mut Secured, host: &str) -> PathBuf {
    let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let signed = CertificateParams::new([host.to_owned()]).unwrap().signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
    let own = secured.server.dir.join("certificates/server/server-cert");
    fs::write(own.join("server.key"), key.serialize_pem()).unwrap();
    fs::write(own.join("server.pem"), signed.pem()).unwrap();
    secured.server_process.kill();
    secured.server_process = secured.server.start();
    let path = secured.place.file(&format!("{host}.ca.pem"));
    fs::write(&path, ca_pem).unwrap();
    path
}

#[test]
fn a_client_with_a_ca_file_takes_the_server_that_the_ca_has_signed_for_the_host_and_no_other() {
    let mut secured = Secured::start();
    let ca_file = vouch_for(&mut secured, "127.0.0.1");
    let client = secured.client("alice").with("client_cafile_verify_server", ca_file.to_str().unwrap());
    let mut process = client.start();
    secured.check(&client);
    process.kill();
    let ca_file = vouch_for(&mut secured, "other.example");
    let client = client.with("client_cafile_verify_server", ca_file.to_str().unwrap());
    let process = client.start();
    process.wait_error(&["not valid for name"]);
    assert!(secured.server.admin().connected_peers().unwrap().is_empty());
}
