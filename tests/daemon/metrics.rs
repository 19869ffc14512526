//! The metrics of a running connector: scraped over a port and a Unix socket, by friends and others.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::certificates::Secured;
use crate::common::setup::wait_link;
use crate::common::{Place, RawReceiver, RawSender, Setup, free_port, wait};
use crate::link::{Link, message};

/// What is only there at times: a store that fills.
const AT_TIMES: [&str; 1] = ["aioconnectors_store_full_in_seconds"];

/// Both ends of a connection to a listener of metrics.
trait Scraper: Read + Write {
    fn connect(port: u16) -> Self;
}

impl Scraper for TcpStream {
    fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("the metrics' port");
        stream.set_read_timeout(Some(wait::LIMIT)).expect("a time limit");
        stream
    }
}

fn request(line: &str, more: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n")
}

/// One answer: its head and its body.
fn answer(from: &mut impl Read) -> (String, String) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        from.read_exact(&mut byte).expect("a whole head of an answer");
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).expect("text");
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).expect("a length");
    let mut body = vec![0; length.parse().expect("a number")];
    from.read_exact(&mut body).expect("a whole body");
    (head, String::from_utf8(body).expect("text"))
}

/// The text of the metrics at a port.
#[track_caller]
fn scrape(port: u16) -> String {
    let mut stream = <TcpStream as Scraper>::connect(port);
    stream.write_all(request("GET /metrics", "Connection: close\r\n").as_bytes()).expect("a request is taken");
    let (head, body) = answer(&mut stream);
    assert!(head.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4"), "{head}");
    assert_eq!(stream.read(&mut [0]).expect("the end"), 0, "it was asked to close");
    body
}

/// The number of a series.
fn number(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

fn listening(setup: Setup, port: u16) -> Setup {
    setup.with("metrics_listen", format!("127.0.0.1:{port}"))
}

#[test]
fn what_passes_is_in_the_metrics_of_both_sides_and_in_show_status() {
    let (place, port) = (Place::new(), free_port());
    let (at_server, at_client) = (free_port(), free_port());
    let server = listening(Setup::server(&place, port), at_server);
    let client = listening(Setup::client(&place, "client1", port), at_client).with("keep_alive_period", 0.1);
    let (_server, _client) = (server.start(), client.start());
    wait_link(&server, &client);
    let receiver = RawReceiver::listen(client.receive_socket("any"));
    let mut sender = RawSender::connect(&server.send_socket());
    sender.send_all([&message("any", &server, &client, "1"), &message("any", &server, &client, "2")]);
    sender.send_all([&message("any", &server, &Setup::client(&place, "nobody", port), "3")]);
    receiver.wait_count(2);
    let sent = r#"aioconnectors_sent_messages_total{peer="client1",type="any"}"#;
    let dropped = r#"aioconnectors_undelivered_messages_total{peer="nobody",type="any",reason="unknown_peer"}"#;
    let text = wait::until("two messages counted as sent, and one as dropped", || {
        Some(scrape(at_server)).filter(|text| number(text, sent) == Some(2.0) && number(text, dropped) == Some(1.0))
    });
    assert_eq!(number(&text, r#"aioconnectors_peer_connected{peer="client1"}"#), Some(1.0));
    assert_eq!(number(&text, r#"aioconnectors_peer_link_info{peer="client1",link="2",tls="none"}"#), Some(1.0));
    let of_server = format!("{{peer=\"{}\"", server.id);
    let text = wait::until("a round trip", || {
        Some(scrape(at_client)).filter(|text| text.contains("\naioconnectors_peer_round_trip_seconds{"))
    });
    let received = format!("aioconnectors_received_messages_total{of_server},type=\"any\"}}");
    assert_eq!(number(&text, &received), Some(2.0), "{text}");
    let delivered = r#"aioconnectors_inbox_delivered_messages_total{type="any"}"#;
    wait::until("both delivered", || (number(&scrape(at_client), delivered) == Some(2.0)).then_some(()));

    let status: Value = serde_json::from_str(&server.admin().ask("show_status", json!({})).unwrap()).expect("JSON");
    assert_eq!((&status["role"], &status["state"]), (&json!("server"), &json!("running")));
    assert_eq!(status["server"], json!(["127.0.0.1", port]));
    let peer = &status["peers"][0];
    assert_eq!(
        (&peer["name"], &peer["connected"], &peer["sent_messages"]),
        (&json!("client1"), &json!(true), &json!(2))
    );
    assert_eq!(status["ledger"][0]["reason"], "unknown_peer");
    assert!(status["loop"]["turns"].as_u64().unwrap() > 0 && status["store"]["disk_free_bytes"].is_u64());
    assert_eq!(status["config"], server.dir.with_extension("json").to_str().unwrap());
}

/// The names of all families and samples of a text.
fn names(text: &str) -> BTreeSet<String> {
    // A family may have no sample yet, as that of what was not delivered.
    let lines = text.lines().filter_map(|line| match line.strip_prefix("# TYPE ") {
        Some(family) => Some(family),
        None => (!line.starts_with('#')).then_some(line),
    });
    lines.filter_map(|line| line.split(['{', ' ']).next()).map(str::to_owned).collect()
}

/// All words of a text that are names of metrics.
fn names_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let is_name = |word: &&str| word.starts_with("aioconnectors_") || word.starts_with("process_");
    words.filter(is_name).map(str::to_owned).collect()
}

#[test]
fn the_dashboard_and_the_alerts_speak_of_what_there_is() {
    let (at_server, at_client) = (free_port(), free_port());
    let place = Secured::start_with(&[], |server| listening(server, at_server).with("pubsub_central_broker", true));
    let client = listening(place.client("client1"), at_client)
        .with("keep_alive_period", 0.1)
        .with("subscribe_message_types", vec!["news"])
        .with("disk_persistence_recv", true);
    let _client = client.start();
    place.check(&client);
    let wanted = ["aioconnectors_peer_round_trip_seconds", "aioconnectors_certificate_expires_in_seconds"];
    let text = wait::until("a round trip", || {
        let text = scrape(at_client);
        wanted.iter().all(|name| text.contains(name)).then_some(text)
    });
    assert!(text.contains(r#"link="2",tls="TLSv1.3"}"#), "{text}");
    let there: BTreeSet<String> = names(&text).into_iter().chain(names(&scrape(at_server))).collect();
    for file in ["config/grafana-dashboard.json", "config/alerts.yml"] {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).expect(file);
        let used = names_in(&text);
        assert!(used.len() >= 6, "{file} speaks of metrics");
        let missing: Vec<_> = used.difference(&there).filter(|name| !AT_TIMES.contains(&name.as_str())).collect();
        assert!(missing.is_empty(), "{file} speaks of {missing:?}");
        if file.ends_with(".json") {
            serde_json::from_str::<Value>(&text).expect("JSON");
        }
    }
    check_with_promtool(&text);
}

/// What Prometheus itself says of the names, where it is installed.
fn check_with_promtool(text: &str) {
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut promtool) = command.spawn() else { return };
    promtool.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("the text is taken");
    let output = promtool.wait_with_output().expect("its end");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "promtool says: {}", String::from_utf8_lossy(&said));
}

#[test]
fn a_unix_socket_serves_its_group_and_is_gone_with_the_connector() {
    let (place, port) = (Place::new(), free_port());
    let path = place.file("metrics");
    let server = Setup::server(&place, port).with("metrics_listen", path.to_str().unwrap());
    let mut process = server.start();
    assert_eq!(fs::metadata(&path).expect("the socket").permissions().mode() & 0o777, 0o660);
    let mut stream = UnixStream::connect(&path).expect("the socket");
    stream.set_read_timeout(Some(wait::LIMIT)).expect("a time limit");
    // Any host will do here, and one connection for several requests.
    let get = "GET /metrics HTTP/1.1\r\nHost: whatever\r\nAccept: application/openmetrics-text\r\n\r\n";
    stream.write_all(get.repeat(2).as_bytes()).expect("requests are taken");
    for _ in 0..2 {
        let (head, body) = answer(&mut stream);
        assert!(
            head.contains("Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"),
            "{head}"
        );
        assert!(body.ends_with("# EOF\n") && body.contains("# TYPE aioconnectors_refused_links counter\n"), "{body}");
    }
    stream.write_all(request("HEAD /metrics", "").as_bytes()).expect("a request is taken");
    stream.shutdown(Shutdown::Write).expect("no more requests");
    let mut rest = String::new();
    stream.read_to_string(&mut rest).expect("text");
    assert!(rest.starts_with("HTTP/1.1 200 OK\r\n") && rest.ends_with("\r\n\r\n"), "{rest}");
    process.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(process.exit_code(), 0);
    assert!(!path.exists());
}

#[test]
fn what_cannot_be_answered_says_why() {
    let (place, at) = (Place::new(), free_port());
    let _server = listening(Setup::server(&place, free_port()), at).start();
    for (line, more, status, ends) in [
        ("GET /", "", "404 Not Found", false),
        ("POST /metrics", "", "405 Method Not Allowed", false),
        ("GET /metrics", "Content-Length: 4\r\n", "400 Bad Request", true),
        ("GET /metrics", "Host: evil.example\r\n", "403 Forbidden", true),
        ("nonsense", "", "400 Bad Request", true),
        ("GET /metrics", &format!("X: {}\r\n", "x".repeat(10_000)), "431 Request Header Fields Too Large", true),
    ] {
        let mut stream = <TcpStream as Scraper>::connect(at);
        stream.write_all(request(line, more).as_bytes()).expect("a request is taken");
        let (head, body) = answer(&mut stream);
        assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{line}: {head}");
        assert!(body.len() > 5 && body.ends_with('\n'));
        if !ends {
            stream.write_all(request("GET /metrics", "").as_bytes()).expect("the connection goes on");
            assert!(answer(&mut stream).0.starts_with("HTTP/1.1 200 OK\r\n"));
        }
    }
}

#[test]
fn scrapers_without_manners_hold_up_neither_messages_nor_each_other() {
    let at = free_port();
    let link = Link::start_with(|setup| if setup.id == "client1" { setup } else { listening(setup, at) });
    let receiver = RawReceiver::listen(link.server.receive_socket("any"));
    let mut sender = RawSender::connect(&link.client.send_socket());
    // Some say half a request, some ask without end and read nothing, and all of them are too many.
    let mut crowd: Vec<TcpStream> = (0..40).map(|_| <TcpStream as Scraper>::connect(at)).collect();
    for (n, stream) in crowd.iter_mut().enumerate() {
        let words = if n % 2 == 0 { "GET /metr".to_owned() } else { request("GET /metrics", "").repeat(50) };
        // Who had to give way is not heard any more.
        _ = stream.set_write_timeout(Some(Duration::from_millis(100)));
        _ = stream.write_all(words.as_bytes());
    }
    sender.send_all([&link.up("any", "1")]);
    receiver.wait_count(1);
    // A text may be a moment old.
    let counts = |count: f64| {
        let series = r#"aioconnectors_received_messages_total{peer="client1",type="any"}"#;
        wait::until("it is counted", || (number(&scrape(at), series) == Some(count)).then_some(()));
    };
    counts(1.0);
    drop(crowd);
    sender.send_all([&link.up("any", "2")]);
    receiver.wait_count(2);
    counts(2.0);
}

#[test]
fn a_port_that_is_taken_and_an_address_for_all_are_refused_by_name() {
    let place = Place::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its number");
    let server = listening(Setup::server(&place, free_port()), address.port());
    let mut process = server.spawn();
    assert_ne!(process.exit_code(), 0);
    let said = process.errors().join("\n");
    assert!(said.contains(&format!("metrics_listen: cannot listen on {address}: Address already in use")), "{said}");
    for wrong in ["0.0.0.0:9101", "[::]:9101", "10.1.2.3:9101"] {
        let mut process = server.clone().with("metrics_listen", wrong).spawn();
        assert_ne!(process.exit_code(), 0);
        let said = process.errors().join("\n");
        assert!(said.contains("metrics_listen") && said.contains("a loopback address"), "{said}");
    }
}
