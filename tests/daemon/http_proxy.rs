//! Links through an HTTP proxy, in clear and over TLS, and proxies that do not do what they should.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};

use crate::certificates::Secured;
use crate::common::http_proxy::{HttpProxy, Manner};
use crate::common::process::has_word;
use crate::common::setup::wait_link;
use crate::common::traffic::{Account, END, messages};
use crate::common::{Frame, Place, Process, RawReceiver, RawSender, Setup, certificates, free_port, wait};
use crate::link::message;

/// The name and the password of these tests, and how they are told.
const PASSWORD: &str = "open sesame";
const TOLD: &str = "Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";

fn through(client: Setup, proxy: &HttpProxy, more: Value) -> Setup {
    let mut keys = json!({"enabled": true, "address": "127.0.0.1", "port": proxy.port});
    keys.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    client.with("proxy", keys)
}

/// A server, a client that goes through a proxy of this manner, and the proxy; none but the server runs yet.
struct Rig {
    _server_process: Process,
    server: Setup,
    client: Setup,
    proxy: HttpProxy,
    place: Place,
}

impl Rig {
    fn new(manner: impl FnOnce(u16) -> Manner, more: Value) -> Rig {
        let (place, port) = (Place::new(), free_port());
        let server = Setup::server(&place, port);
        let proxy = HttpProxy::start(manner(port));
        let client = through(Setup::client(&place, "client1", port), &proxy, more);
        let server_process = server.start();
        Rig { _server_process: server_process, server, client, proxy, place }
    }

    #[track_caller]
    fn check(&self) {
        check(&self.server, &self.client);
    }

    /// The client says one of these words, with the proxy's address, and nothing of the password; then, when the proxy
    /// opens tunnels, there is a link all the same.
    #[track_caller]
    fn complains_and_goes_on(&self, words: &[&str]) {
        let process = self.client.start();
        let line = process.wait_error(words);
        assert!(line.contains(&format!("proxy 127.0.0.1:{}", self.proxy.port)), "{line}");
        let port = self.server.key("server_sockaddr").expect("an address")[1].as_u64().expect("a port");
        self.proxy.set_manner(Manner::Opens(u16::try_from(port).expect("a port")));
        self.check();
        assert!(
            !process.errors().iter().any(|line| has_word(line, &[PASSWORD, "QWxhZGRpb"])),
            "{:?}",
            process.errors()
        );
    }
}

/// Ends the tunnel, and waits for a link by another one.
#[track_caller]
fn cut(proxy: &HttpProxy, server: &Setup) {
    let at = || server.admin().connected_peers()?.get("client1").cloned();
    let before = at().expect("a link");
    proxy.cut();
    wait::until("another link", || at().filter(|now| *now != before));
}

/// Messages pass, both ways.
#[track_caller]
fn check(server: &Setup, client: &Setup) {
    wait_link(server, client);
    for (from, to) in [(client, server), (server, client)] {
        let receiver = RawReceiver::listen(to.receive_socket("any"));
        let sent = messages("any", &from.id, &to.id, 300);
        RawSender::connect(&from.send_socket()).send_all(&sent);
        assert!(receiver.wait_tag(END), "the last message did not come");
        Account::of(&sent, &receiver.frames()).assert_exact("through the proxy");
    }
}

#[test]
fn messages_pass_through_a_proxy_that_knows_the_server_by_a_name() {
    let (place, port) = (Place::new(), free_port());
    let server = Setup::server(&place, port);
    let proxy = HttpProxy::start(Manner::Opens(port));
    let id = format!("('nobody-but-the-proxy-knows.invalid', {port})");
    let client = Setup::client(&place, "client1", port)
        .with("server_sockaddr", json!(["nobody-but-the-proxy-knows.invalid", port]));
    let client = through(client, &proxy, json!({}));
    let (_server, process) = (server.start(), client.start());
    wait::until("the link", || client.admin().connected_peers().filter(|peers| peers.contains_key(&id)));
    let asked = format!("CONNECT nobody-but-the-proxy-knows.invalid:{port} HTTP/1.1\r\n");
    assert!(proxy.heard()[0].starts_with(&asked), "{:?}", proxy.heard());
    assert!(!proxy.heard()[0].contains("Authorization"));
    let receiver = RawReceiver::listen(server.receive_socket("any"));
    RawSender::connect(&client.send_socket())
        .send_all([&message("any", &client, &server, "hello").with("destination_id", id)]);
    receiver.wait_count(1);
    assert_eq!(process.complaints(), Vec::<String>::new());
}

#[test]
fn an_ipv6_server_is_asked_for_in_brackets() {
    let (place, port) = (Place::new(), free_port());
    let proxy = HttpProxy::start(Manner::Closes);
    let client = Setup::client(&place, "client1", port).with("server_sockaddr", json!(["::1", port]));
    let _process = through(client, &proxy, json!({})).start();
    let heard = wait::until("a request", || proxy.heard().first().cloned());
    assert!(heard.starts_with(&format!("CONNECT [::1]:{port} HTTP/1.1\r\nHost: [::1]:{port}\r\n")), "{heard}");
}

#[test]
fn the_name_and_the_password_of_the_config_are_told() {
    let known = json!({"authorization": {"username": "Aladdin", "password": PASSWORD}});
    let rig = Rig::new(|port| Manner::OpensIf(port, TOLD.to_owned()), known);
    let process = rig.client.start();
    rig.check();
    assert!(!process.errors().iter().any(|line| has_word(line, &[PASSWORD, "QWxhZGRpb"])), "{:?}", process.errors());
}

#[test]
fn a_hook_is_asked_for_the_password_before_each_connection() {
    let known = json!({"authorization": {"username": "Aladdin", "password": "old"}});
    let rig = Rig::new(|port| Manner::OpensIf(port, TOLD.to_owned()), known);
    let (script, asked) = (rig.place.file("auth"), rig.place.file("asked"));
    let text = format!(
        "#!/bin/sh\ncat >> {}\necho '{{\"username\": \"Aladdin\", \"password\": \"{PASSWORD}\"}}'\n",
        asked.display()
    );
    fs::write(&script, text).expect("a script");
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a mode");
    let process = rig.client.clone().with("hook_proxy_authorization", script.to_str().expect("UTF-8")).start();
    rig.check();
    let question = fs::read_to_string(&asked).expect("a question");
    assert!(question.contains(r#""username":"Aladdin","password":"old""#), "{question}");
    cut(&rig.proxy, &rig.server);
    rig.check();
    assert!(rig.proxy.heard().len() >= 2);
    assert!(!process.errors().iter().any(|line| has_word(line, &[PASSWORD, "QWxhZGRpb"])), "{:?}", process.errors());
}

#[test]
fn a_hook_that_refuses_is_told_and_asked_again() {
    let rig = Rig::new(Manner::Opens, json!({}));
    let script = rig.place.file("auth");
    fs::write(&script, "#!/bin/sh\necho the safe is locked >&2\nexit 1\n").expect("a script");
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a mode");
    let process = rig.client.clone().with("hook_proxy_authorization", script.to_str().expect("UTF-8")).start();
    let line = process.wait_error(&["the safe is locked"]);
    assert!(line.contains("hook_proxy_authorization"), "{line}");
    // One that runs cannot be written.
    let new = rig.place.file("new");
    fs::write(&new, "#!/bin/sh\necho '{\"username\": \"a\", \"password\": \"b\"}'\n").expect("a script");
    fs::set_permissions(&new, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a mode");
    fs::rename(&new, &script).expect("it takes the place of the other");
    rig.check();
}

#[test]
fn a_link_that_is_cut_comes_back_through_the_proxy() {
    let rig = Rig::new(Manner::Opens, json!({}));
    let _process = rig.client.start();
    rig.check();
    for _ in 0..3 {
        let before = rig.proxy.heard().len();
        cut(&rig.proxy, &rig.server);
        assert!(rig.proxy.heard().len() > before);
        rig.check();
    }
}

#[test]
fn what_a_proxy_refuses_is_told_with_its_status_and_what_would_help() {
    let says = |words: &'static str| move |_| Manner::Says(words.as_bytes().to_vec());
    let known = json!({"authorization": {"username": "Aladdin", "password": PASSWORD}});
    let none = json!({});
    Rig::new(says("HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=x\r\n\r\n"), none.clone())
        .complains_and_goes_on(&["407 Who; it wants a name and a password: proxy.authorization"]);
    Rig::new(says("HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=x\r\n\r\n"), known.clone())
        .complains_and_goes_on(&["is not what it wants"]);
    Rig::new(says("HTTP/1.1 407 Who\r\nProxy-Authenticate: Negotiate\r\n\r\n"), known)
        .complains_and_goes_on(&["it wants negotiate authorization, and only Basic is known here"]);
    Rig::new(says("HTTP/1.0 403 Forbidden\r\n\r\n<html>"), none.clone())
        .complains_and_goes_on(&["403 Forbidden; its rules must allow CONNECT"]);
    Rig::new(says("HTTP/1.1 400 Bad Request\r\n\r\n"), none.clone())
        .complains_and_goes_on(&["400 Bad Request; is it a web server?"]);
    // Nobody listens where it is sent to.
    Rig::new(|_| Manner::Opens(free_port()), none).complains_and_goes_on(&["502 Bad Gateway; it does not reach"]);
}

#[test]
fn what_is_no_answer_is_told() {
    let none = json!({});
    Rig::new(|_| Manner::Closes, none.clone()).complains_and_goes_on(&["has closed the connection without an answer"]);
    Rig::new(|_| Manner::Says(b"220 mail.example ESMTP\r\n".to_vec()), none.clone())
        .complains_and_goes_on(&["speaks no HTTP, its answer begins with \"220 mail.example ESMTP\""]);
    Rig::new(|_| Manner::Says(vec![0x15, 3, 1, 0, 2, 2, 70]), none.clone()).complains_and_goes_on(&["wants TLS"]);
    Rig::new(|_| Manner::Repeats(b"HTTP/1.1 200 OK\r\nX-Padding: "), none.clone())
        .complains_and_goes_on(&["16384 bytes of headers and no end"]);
    Rig::new(|_| Manner::Repeats(b"HTTP/1.1 100 Continue\r\n\r\n"), none)
        .complains_and_goes_on(&["16384 bytes of headers and no end"]);
}

#[test]
fn a_proxy_that_says_nothing_is_given_up_in_time() {
    let rig = Rig::new(|_| Manner::Silent, json!({}));
    rig.complains_and_goes_on(&["opened no tunnel within 10 s"]);
}

#[test]
fn a_proxy_that_is_not_there_is_told() {
    let rig = Rig::new(Manner::Opens, json!({}));
    let port = free_port();
    let keys = json!({"enabled": true, "address": "127.0.0.1", "port": port});
    let process = rig.client.clone().with("proxy", keys).start();
    let line = process.wait_error(&["refused"]);
    assert!(line.contains(&format!("proxy 127.0.0.1:{port}: ")), "{line}");
}

#[test]
fn what_the_server_says_in_the_same_segment_as_the_proxy_is_not_lost() {
    let place = Place::new();
    let client = Setup::client(&place, "client1", 10673);
    let first = Frame::new(
        json!({"message_type": "any", "source_id": "('127.0.0.1', 10673)", "destination_id": "client1"}),
        "as early as can be",
    );
    let mut words = b"HTTP/1.1 200 OK\r\nVia: x\r\n\r\n".to_vec();
    words.extend(first.encode());
    let proxy = HttpProxy::start(Manner::Says(words));
    client.write();
    let receiver = RawReceiver::listen(client.receive_socket("any"));
    let _process = through(client, &proxy, json!({})).start();
    receiver.wait_count(1);
    assert_eq!(receiver.frames()[0].data, b"as early as can be");
}

#[test]
fn certificates_tokens_and_enrolment_go_through_a_proxy() {
    let secured = Secured::start();
    let proxy = HttpProxy::start(Manner::Opens(secured.port));
    let client = through(secured.client("alice"), &proxy, json!({}));
    let _process = client.start();
    secured.check(&client);

    let (place, port) = (Place::new(), free_port());
    let proxy = HttpProxy::start(Manner::Opens(port));
    certificates::make(&place.file("made"));
    let with_tokens = |setup: Setup| {
        certificates::hand_out(&place.file("made"), &setup);
        let tokens = setup.dir.to_str().expect("UTF-8").to_owned();
        setup
            .with("use_ssl", true)
            .with("ssl_allow_all", true)
            .with("use_token", true)
            .with("tokens_directory_path", tokens)
    };
    let server = with_tokens(Setup::server(&place, port));
    let client = through(with_tokens(Setup::client(&place, "bob", port)), &proxy, json!({}));
    let (_server, _process) = (server.start(), client.start());
    check(&server, &client);
}

/// A proxy's TLS with a certificate for `host`, and the file of the CA that has signed it.
fn tls_for(host: &str, place: &Place) -> (Arc<ServerConfig>, PathBuf) {
    let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_file = place.file(&format!("{host}.pem"));
    fs::write(&ca_file, ca.self_signed(&ca_key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(ca, ca_key);
    let signed = CertificateParams::new([host.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![signed.der().clone()], key).unwrap();
    (Arc::new(config), ca_file)
}

#[test]
fn a_proxy_is_spoken_to_over_tls_with_tls_to_the_server_in_it_and_without() {
    for inner in [false, true] {
        let (place, port) = (Place::new(), free_port());
        let (tls, ca_file) = tls_for("127.0.0.1", &place);
        let proxy = HttpProxy::start_with(Manner::OpensIf(port, TOLD.to_owned()), Some(tls));
        certificates::make(&place.file("made"));
        let prepare = |setup: Setup| {
            certificates::hand_out(&place.file("made"), &setup);
            setup.with("use_ssl", inner)
        };
        let known = json!({"username": "Aladdin", "password": PASSWORD});
        let keys = json!({"ssl_server": true, "cafile": ca_file.to_str().unwrap(), "authorization": known});
        let server = prepare(Setup::server(&place, port));
        let client = through(prepare(Setup::client(&place, "client1", port)), &proxy, keys);
        let (_server, _process) = (server.start(), client.start());
        check(&server, &client);
        cut(&proxy, &server);
        check(&server, &client);
    }
}

#[test]
fn a_proxy_whose_certificate_is_for_another_or_of_a_stranger_is_told_nothing() {
    let place = Place::new();
    let (other, for_other) = tls_for("other.example", &place);
    let (stranger, _) = tls_for("127.0.0.1", &place);
    for (tls, words) in [(other, "not valid for name"), (stranger, "certificate")] {
        let proxy = HttpProxy::start_with(Manner::Opens(1), Some(tls));
        let known = json!({"username": "Aladdin", "password": PASSWORD});
        let keys = json!({"ssl_server": true, "cafile": for_other.to_str().unwrap(), "authorization": known});
        let process = through(Setup::client(&place, "client1", 1), &proxy, keys).start();
        let line = process.wait_error(&[words]);
        assert!(line.contains(&format!("proxy 127.0.0.1:{}: TLS: ", proxy.port)), "{line}");
        assert_eq!(proxy.heard(), Vec::<String>::new());
    }
}

#[test]
fn a_proxy_that_speaks_no_tls_is_told_so() {
    let place = Place::new();
    let (_, ca_file) = tls_for("127.0.0.1", &place);
    // It takes the handshake for the rest of its greeting's answer.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let keys = json!({"enabled": true, "address": "127.0.0.1", "port": port, "ssl_server": true,
        "cafile": ca_file.to_str().unwrap()});
    let process = Setup::client(&place, "client1", 1).with("proxy", keys).start();
    let (mut peer, _) = listener.accept().unwrap();
    std::io::Write::write_all(&mut peer, b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    process.wait_error(&["it does not speak TLS: proxy.ssl_server must be false"]);
}

#[test]
fn a_ca_file_that_cannot_be_used_ends_the_start() {
    let place = Place::new();
    let keys =
        json!({"enabled": true, "address": "p.example", "port": 3128, "ssl_server": true, "cafile": "/no/such.pem"});
    let mut process = Setup::client(&place, "client1", 1).with("proxy", keys).spawn();
    assert_eq!(process.exit_code(), 1);
    let errors = process.errors();
    assert!(errors.iter().any(|line| line.contains("proxy.ssl_server") && line.contains("/no/such.pem")), "{errors:?}");
}
