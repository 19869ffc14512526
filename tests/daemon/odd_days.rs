//! What happens around a running connector: folders that go, files that cannot be opened, servers that say nothing.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use aioconnectors::core::settings::HELLO_WAIT;
use aioconnectors::net::tls::{self, Servers};
use nix::sys::signal::Signal;
use rustls::{ClientConnection, StreamOwned};
use serde_json::json;

use crate::common::setup::wait_link;
use crate::common::traffic::Account;
use crate::common::{Frame, Place, Process, RawPeer, RawReceiver, RawSender, Setup, certificates, free_port, wait};
use crate::link::{Link, Witness, message};

/// Bytes of a message's data where many are sent.
const BODY: usize = 4_000;

/// What an inbox holds before its links of the first kind are not read any more.
const INBOX_HIGH: usize = 4 * 1024 * 1024;

/// Bytes that wait at the server: what the client sends after them still fits into the window of the lane, 4 MiB.
const QUEUED: usize = 4 * 1024 * 1024 - 300_000;

fn tagged(link: &Link, numbers: std::ops::Range<usize>) -> Vec<Frame> {
    numbers.map(|i| link.up("any", vec![b'x'; BODY]).with("tag", i.to_string())).collect()
}

/// Messages that wait at the server for its apps.
fn queued_at(server: &Setup) -> Option<usize> {
    let answer = server.admin().ask("peek_queues__sync", json!({"dump_result": true})).ok()?;
    let queues: serde_json::Value = serde_json::from_str(&answer).ok()?;
    usize::try_from(queues["queue_recv"].as_u64()?).ok()
}

fn files(process: &Process) -> usize {
    fs::read_dir(format!("/proc/{}/fd", process.pid())).expect("the process's files").count()
}

/// The last messages and the end of the link come together while the window is almost full.
#[track_caller]
fn all_arrives_before_the_end_of_a_link(change: impl Fn(Setup) -> Setup) {
    let mut link = Link::start_with(change);
    let receiver = RawReceiver::listen_paused(link.server.receive_socket("any"));
    let mut app = RawSender::connect(&link.client.send_socket());
    let mut sent = tagged(&link, 0..1);
    app.send_all(&sent);
    // Once this time is over, what the app's socket has taken is not kept for a late hello, and the sums below hold.
    thread::sleep(HELLO_WAIT * 3 / 2);
    let queued = || queued_at(&link.server).expect("an answer");
    while queued() * (BODY + 200) < QUEUED {
        let next = tagged(&link, sent.len()..sent.len() + 4);
        app.send_all(&next);
        sent.extend(next);
        // What the app's socket has room for leaves the queue; then the queue grows.
        thread::sleep(Duration::from_millis(1));
    }
    let (before, idle) = (queued(), files(&link.client_process));
    link.server_process.signal(Signal::SIGSTOP);
    let last = tagged(&link, sent.len()..sent.len() + 24);
    app.send_all(&last);
    sent.extend(last);
    drop(app);
    wait::until("the client to have read all", || (files(&link.client_process) < idle).then_some(()));
    link.client_process.signal(Signal::SIGTERM);
    assert_eq!(link.client_process.exit_code(), 0);
    link.server_process.signal(Signal::SIGCONT);
    wait::until("the server to have read some", || (queued_at(&link.server)? > before).then_some(()));
    receiver.resume();
    receiver.wait_count(sent.len());
    Account::of(&sent, &receiver.frames()).assert_exact("before the end of the link");
}

#[test]
fn what_came_before_the_end_of_a_plain_link_reaches_a_slow_app() {
    all_arrives_before_the_end_of_a_link(|setup| setup);
}

#[test]
fn what_came_before_the_end_of_a_tls_link_reaches_a_slow_app() {
    let made = Place::new();
    certificates::make(made.path());
    all_arrives_before_the_end_of_a_link(|setup| {
        certificates::hand_out(made.path(), &setup);
        setup.with("use_ssl", true).with("ssl_allow_all", true)
    });
}

/// The last messages and the end of the link come together while the inbox is almost full: so full that a link of the
/// first kind, which is what `connect` opens, is not read for a while.
#[track_caller]
fn all_arrives_on_a_link_that_is_not_read<P: Write>(server: &Setup, connect: impl Fn(&Setup) -> P, end: impl Fn(P)) {
    let server_process = server.start();
    let receiver = RawReceiver::listen_paused(server.receive_socket("any"));
    let mut peer = connect(server);
    let mut sent = 0;
    let mut send = |count: usize| {
        let numbers = sent..sent + count;
        sent = numbers.end;
        let header = |n: usize| json!({"message_type": "any", "source_id": "raw", "tag": n.to_string()});
        let frames: Vec<_> = numbers.map(|n| Frame::new(header(n), vec![b'x'; BODY])).collect();
        frames.iter().for_each(|frame| peer.write_all(&frame.encode()).expect("a link that takes messages"));
        peer.flush().expect("a link that takes messages");
        frames
    };
    let mut all = send(1);
    // Once this time is over, what the app's socket has taken is not kept for a late hello, and the sums below hold.
    thread::sleep(HELLO_WAIT * 3 / 2);
    let queued = || queued_at(server).expect("an answer");
    while queued() * (BODY + 200) < INBOX_HIGH - 20_000 {
        all.extend(send(4));
        // What the app's socket has room for leaves the queue; then the queue grows.
        thread::sleep(Duration::from_millis(1));
    }
    let before = queued();
    server_process.signal(Signal::SIGSTOP);
    all.extend(send(24));
    end(peer);
    server_process.signal(Signal::SIGCONT);
    wait::until("the server to have read some", || (queued_at(server)? > before).then_some(()));
    receiver.resume();
    receiver.wait_count(all.len());
    Account::of(&all, &receiver.frames()).assert_exact("before the end of the link");
}

#[test]
fn what_came_before_the_end_of_a_plain_link_of_the_first_kind_reaches_a_slow_app() {
    let (place, port) = (Place::new(), free_port());
    let connect = |_: &Setup| RawPeer::client(port, "raw").stream;
    all_arrives_on_a_link_that_is_not_read(&Setup::server(&place, port), connect, drop);
}

#[test]
fn what_came_before_the_end_of_a_tls_link_of_the_first_kind_reaches_a_slow_app() {
    let (place, port) = (Place::new(), free_port());
    certificates::make(&place.file("made"));
    let server = Setup::server(&place, port).with("use_ssl", true).with("ssl_allow_all", true);
    certificates::hand_out(&place.file("made"), &server);
    let connect = |_: &Setup| {
        let tls = tls::client_config(None, Servers::Anyone, "127.0.0.1", Vec::new()).expect("settings of a client");
        let session = ClientConnection::new(tls.config, tls.server_name).expect("a session");
        let mut link = StreamOwned::new(session, RawPeer::silent(port).stream);
        let hello = Frame::new(json!({"message_type": "_handshake_ssl", "source_id": "raw"}), "hello");
        link.write_all(&hello.encode()).expect("a server that takes the greeting");
        link
    };
    all_arrives_on_a_link_that_is_not_read(&server, connect, |mut link| {
        link.conn.send_close_notify();
        link.flush().expect("a server that takes the end");
    });
}

#[test]
fn who_goes_on_after_it_was_refused_is_cut_off_in_time_and_holds_nobody_up() {
    let link = Link::start();
    let mut witness = Witness::start(&link);
    let peer = RawPeer::silent(link.port);
    let start = Instant::now();
    // Two threads write faster than one reads.
    let ends = thread::scope(|scope| {
        let blast = || {
            let mut stream = &peer.stream;
            while start.elapsed() < wait::LIMIT && stream.write_all(&[0xff; 1 << 20]).is_ok() {}
            start.elapsed()
        };
        let blasting = [scope.spawn(blast), scope.spawn(blast)];
        witness.speak();
        blasting.map(|thread| thread.join().expect("no panic"))
    });
    assert!(ends.iter().all(|took| *took < Duration::from_secs(10)), "it was cut off after {ends:?}");
    witness.assert_unharmed();
}

/// A link whose server may have only so many files.
fn start_with_few_files(place: &Place, most: usize) -> (Setup, Process, Setup, Process) {
    let port = free_port();
    let (server, client) = (Setup::server(place, port), Setup::client(place, "client1", port));
    let config = server.write();
    let mut command = Command::new("sh");
    let script = format!("ulimit -n {most}; exec \"$0\" \"$1\"");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_aioconnectorsd")]).arg(config);
    let mut server_process = Process::spawn("a server with few files", &mut command);
    server.wait_ready(&mut server_process);
    let client_process = client.start();
    wait_link(&server, &client);
    (server, server_process, client, client_process)
}

#[test]
fn without_free_files_what_waits_for_an_app_waits_on_and_the_log_does_not_fill() {
    let place = Place::new();
    let (server, mut server_process, client, _client_process) = start_with_few_files(&place, 32);
    let known = server_process.complaints().len();
    let newcomers: Vec<_> = (0..40).map(|_| RawSender::connect(&server.send_socket())).collect();
    server_process.wait_error(&["could not be accepted"]);
    let receiver = RawReceiver::listen(server.receive_socket("any"));
    let sent: Vec<_> = (0..200).map(|i| message("any", &client, &server, "x").with("tag", i.to_string())).collect();
    RawSender::connect(&client.send_socket()).send_all(&sent);
    server_process.wait_error(&["cannot connect to the app"]);
    // Long enough for several attempts.
    thread::sleep(Duration::from_secs(1));
    let complaints = server_process.complaints();
    assert!(complaints.len() - known <= 5, "{complaints:#?}");
    drop(newcomers);
    receiver.wait_count(sent.len());
    Account::of(&sent, &receiver.frames()).assert_exact("to an app that could not be connected to");
    assert!(server_process.is_running() && server.admin().connected_peers().is_some());
}

#[test]
fn a_client_of_a_server_that_never_says_anything_tries_again_and_can_be_stopped() {
    let (place, made) = (Place::new(), Place::new());
    certificates::make(made.path());
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its number").port();
    let client = Setup::client(&place, "client1", port).with("use_ssl", true);
    certificates::hand_out(made.path(), &client);
    let mut process = client.start();
    RawPeer::accept(&listener).wait_closed();
    let _silent = RawPeer::accept(&listener);
    process.signal(Signal::SIGTERM);
    let ended = process.wait_exit(Duration::from_secs(8)).expect("an end in the middle of a handshake");
    assert_eq!(ended.code(), Some(0));
}

#[test]
fn a_certificates_folder_that_goes_away_and_comes_back_keeps_nobody_out_for_long() {
    let (place, made, port) = (Place::new(), Place::new(), free_port());
    certificates::make(made.path());
    let with_tls = |setup: Setup| {
        certificates::hand_out(made.path(), &setup);
        setup.with("use_ssl", true)
    };
    let (server, client) = (with_tls(Setup::server(&place, port)), with_tls(Setup::client(&place, "client1", port)));
    let (mut server_process, mut client_process) = (server.start(), client.start());
    wait_link(&server, &client);
    let (folder, aside) = (server.dir.join("certificates"), server.dir.join("aside"));
    fs::rename(&folder, &aside).expect("the folder is moved");
    let receiver = RawReceiver::listen(server.receive_socket("any"));
    RawSender::connect(&client.send_socket()).send_all([&message("any", &client, &server, "still linked")]);
    receiver.wait_count(1);
    server_process.signal(Signal::SIGHUP);
    server_process.wait_error(&["not reloaded"]);
    client_process.kill();
    let _client_process = client.start();
    server_process.wait_error(&["ended before its peer was known"]);
    assert!(server_process.is_running());
    fs::rename(&aside, &folder).expect("the folder is moved back");
    wait_link(&server, &client);
}

#[test]
fn without_its_folder_a_connector_serves_who_is_connected_and_stops_in_order() {
    let mut link = Link::start();
    let mut witness = Witness::start(&link);
    fs::remove_dir_all(&link.client.dir).expect("the folder was there");
    witness.speak();
    witness.assert_unharmed();
    link.client_process.signal(Signal::SIGTERM);
    assert_eq!(link.client_process.exit_code(), 0);
}

#[test]
fn a_config_that_was_broken_is_not_taken_at_sighup_and_changes_nothing() {
    let link = Link::start();
    let mut witness = Witness::start(&link);
    let config = link.server.write();
    let good = fs::read(&config).expect("the config");
    fs::write(&config, "{\"is_server\": ").expect("the config's file");
    link.server_process.signal(Signal::SIGHUP);
    link.server_process.wait_error(&["not reloaded"]);
    witness.speak();
    fs::write(&config, good).expect("the config's file");
    link.server_process.signal(Signal::SIGHUP);
    let reloaded = |lines: Vec<String>| lines.iter().any(|line| line.contains("reloaded: log level")).then_some(());
    wait::until("a config that is good again to be taken", || reloaded(link.server_process.errors()));
    witness.assert_unharmed();
}

#[test]
fn a_second_sigterm_ends_at_once_what_the_first_one_let_drain() {
    let mut link = Link::start();
    let receiver = RawReceiver::listen_paused(link.server.receive_socket("any"));
    // More than a socket holds: the rest waits for the app.
    RawSender::connect(&link.client.send_socket()).send_all(&tagged(&link, 0..400));
    wait::until("messages that wait", || (queued_at(&link.server)? > 0).then_some(()));
    link.server_process.signal(Signal::SIGTERM);
    link.server_process.wait_said("stopping");
    assert!(link.server_process.is_running());
    let second = Instant::now();
    link.server_process.signal(Signal::SIGTERM);
    assert_eq!(link.server_process.exit_code(), 0);
    assert!(second.elapsed() < Duration::from_secs(5), "the second signal took {:?}", second.elapsed());
    drop(receiver);
}
