//! Messages that are stored: while the peer is away, without a listener, over the death of a connector, over its stop.

use std::fs;
use std::net::TcpListener;
use std::process::Command;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use aioconnectors::api::{ConnectorApi, Message};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::common::setup::wait_link;
use crate::common::traffic::{Account, END, messages};
use crate::common::{Frame, Place, Process, RawPeer, RawReceiver, RawSender, Setup, free_port, wait};
use crate::link::message;
use crate::receipts::Sender;

/// A server and a client of it that store what they send and what they receive; neither runs.
pub struct Pair {
    pub server: Setup,
    pub client: Setup,
    port: u16,
    place: Place,
}

impl Pair {
    pub fn new() -> Pair {
        let (place, port) = (Place::new(), free_port());
        let server = stores(Setup::server(&place, port));
        let client = stores(Setup::client(&place, "client1", port));
        Pair { server, client, port, place }
    }

    /// Messages of apps on the client to apps on the server.
    fn messages(&self, count: usize) -> Vec<Frame> {
        messages("any", &self.client.id, &self.server.id, count)
    }
}

fn stores(setup: Setup) -> Setup {
    setup.with("disk_persistence_send", true).with("disk_persistence_recv", true)
}

fn queues(setup: &Setup) -> Value {
    let answer = setup.admin().ask("peek_queues__sync", json!({"dump_result": true})).expect("an answer");
    serde_json::from_str(&answer).expect("JSON")
}

fn wait_received(setup: &Setup, count: usize) {
    wait::until(&format!("{count} messages in the queue to apps"), || {
        (queues(setup)["queue_recv"] == count).then_some(())
    });
}

/// Waits until all that was to be sent has arrived.
fn wait_sent(setup: &Setup) {
    let is_empty = |queues: &Value| queues["queue_send"].as_object().is_some_and(|q| q.values().all(|n| *n == 0));
    wait::until("empty queues to peers", || is_empty(&queues(setup)).then_some(()));
}

#[test]
fn what_was_sent_while_the_peer_was_away_arrives_when_it_comes() {
    let pair = Pair::new();
    let _client = pair.client.start();
    let sent = pair.messages(1000);
    RawSender::connect(&pair.client.send_socket()).send_all(&sent);
    let _server = pair.server.start();
    let receiver = RawReceiver::listen(pair.server.receive_socket("any"));
    receiver.wait_tag(END);
    wait_sent(&pair.client);
    Account::of(&sent, &receiver.frames()).assert_exact("stored for a peer that was away");
}

#[test]
fn what_a_server_stores_for_a_client_that_was_never_there_arrives_when_it_comes() {
    let pair = Pair::new();
    let _server = pair.server.start();
    let sent = messages("any", &pair.server.id, &pair.client.id, 300);
    RawSender::connect(&pair.server.send_socket()).send_all(&sent);
    let _client = pair.client.start();
    let receiver = RawReceiver::listen(pair.client.receive_socket("any"));
    receiver.wait_tag(END);
    Account::of(&sent, &receiver.frames()).assert_exact("stored for a client to come");
}

#[test]
fn what_was_stored_arrives_once_though_the_connector_was_killed_before_its_peer_came() {
    let pair = Pair::new();
    let mut client = pair.client.start();
    let sent = pair.messages(1000);
    let mut app = Sender::hello(&pair.client, "stored", None);
    app.raw.send_all(&sent);
    app.wait_receipt("stored", sent.len() as u64);
    for _ in 0..3 {
        client.kill();
        client = pair.client.start();
    }
    let _server = pair.server.start();
    let receiver = RawReceiver::listen(pair.server.receive_socket("any"));
    receiver.wait_tag(END);
    wait_sent(&pair.client);
    Account::of(&sent, &receiver.frames()).assert_exact("stored by a connector that was killed");
}

#[test]
fn a_session_goes_on_over_kills_amid_the_flow_and_nothing_is_lost_or_comes_twice() {
    let pair = Pair::new();
    let (mut client, _server) = (pair.client.start(), pair.server.start());
    let receiver = RawReceiver::listen(pair.server.receive_socket("any"));
    let sent = pair.messages(3000);
    let mut done = 0;
    while done < sent.len() {
        let mut app = Sender::hello(&pair.client, "stored", Some("job"));
        done = usize::try_from(app.count.expect("a session has a count")).expect("a small one");
        // The next part is killed on its way, unless it is the last one.
        for frame in sent[done..].iter().take(700) {
            if app.raw.send(frame).is_err() {
                break;
            }
        }
        if done + 700 < sent.len() {
            client.kill();
            client = pair.client.start();
        } else {
            app.wait_receipt("stored", sent.len() as u64);
            done = sent.len();
        }
    }
    receiver.wait_tag(END);
    wait_sent(&pair.client);
    Account::of(&sent, &receiver.frames()).assert_exact("a session over kills");
}

#[test]
fn a_receiver_that_acknowledges_gets_each_message_once_over_kills_and_stops_of_its_connector() {
    let pair = Pair::new();
    let (mut server, _client) = (pair.server.start(), pair.client.start());
    let port = pair.port;
    let api = ConnectorApi::server("127.0.0.1", port).files_dir(&pair.server.dir).any_connector_owner(false);
    let api = api.recv_message_types(["any"]).build().expect("an api");
    let (into, came) = channel();
    let callback =
        move |message: Message| into.send(message.text().expect("text").to_owned()).map_err(|e| e.to_string());
    api.start_waiting_for_messages_with_acks("any", callback).expect("a waiting app");
    let numbered = |n: usize| message("any", &pair.client, &pair.server, n.to_string());
    let (parts, each) = (6, 500);
    let mut app = RawSender::connect(&pair.client.send_socket());
    for part in 0..parts {
        app.send_all(&(part * each..(part + 1) * each).map(numbered).collect::<Vec<_>>());
        let first = came.recv_timeout(wait::LIMIT).expect("one more message");
        assert_eq!(first, (part * each).to_string());
        if part % 2 == 0 {
            server.kill();
        } else {
            server.signal(Signal::SIGTERM);
            assert_eq!(server.exit_code(), 0);
        }
        server = pair.server.start();
        for n in part * each + 1..(part + 1) * each {
            assert_eq!(came.recv_timeout(wait::LIMIT).expect("one more message"), n.to_string());
        }
    }
    drop(app);
    assert!(came.recv_timeout(Duration::from_millis(200)).is_err(), "nothing comes twice");
}

#[test]
fn each_way_of_syncing_keeps_what_was_stored_over_a_kill() {
    for sync in ["interval:20", "always"] {
        let pair = Pair::new();
        let client = pair.client.clone().with("persistence_sync", sync);
        let mut process = client.start();
        let sent = pair.messages(500);
        let mut app = Sender::hello(&client, "stored", None);
        app.raw.send_all(&sent);
        app.wait_receipt("stored", sent.len() as u64);
        process.kill();
        let _client = client.start();
        let _server = pair.server.clone().with("persistence_sync", sync).start();
        let receiver = RawReceiver::listen(pair.server.receive_socket("any"));
        receiver.wait_tag(END);
        wait_sent(&client);
        Account::of(&sent, &receiver.frames()).assert_exact(sync);
    }
}

#[test]
fn what_came_without_a_listener_is_kept_for_one_over_kill_and_stop() {
    let pair = Pair::new();
    let (mut server, _client) = (pair.server.start(), pair.client.start());
    let sent = pair.messages(600);
    RawSender::connect(&pair.client.send_socket()).send_all(&sent);
    wait_received(&pair.server, sent.len());
    server.kill();
    server = pair.server.start();
    wait_received(&pair.server, sent.len());
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_code(), 0);
    let _server = pair.server.start();
    wait_received(&pair.server, sent.len());
    let receiver = RawReceiver::listen(pair.server.receive_socket("any"));
    wait_link(&pair.server, &pair.client);
    // One more message has the connector look for its app at once.
    let more = message("any", &pair.client, &pair.server, "").with("tag", "more");
    RawSender::connect(&pair.client.send_socket()).send_all([&more]);
    receiver.wait_tag("more");
    let all: Vec<Frame> = sent.into_iter().chain([more]).collect();
    Account::of(&all, &receiver.frames()).assert_exact("kept without a listener");
}

#[test]
fn a_stop_of_the_receiving_connector_amid_the_flow_loses_and_repeats_nothing() {
    let place = Place::new();
    let port = free_port();
    // Nothing is stored: what the server has not taken over waits in the client's memory.
    let (server, client) = (Setup::server(&place, port), Setup::client(&place, "client1", port));
    let (mut server_process, _client) = (server.start(), client.start());
    wait_link(&server, &client);
    let receiver = RawReceiver::listen(server.receive_socket("any"));
    let sent = messages("any", &client.id, &server.id, 2000);
    let mut app = RawSender::connect(&client.send_socket());
    app.send_all(&sent);
    receiver.wait_count(50);
    server_process.signal(Signal::SIGTERM);
    assert_eq!(server_process.exit_code(), 0);
    let _server = server.start();
    receiver.wait_tag(END);
    Account::of(&sent, &receiver.frames()).assert_exact("over a stop");
}

#[test]
fn a_peer_that_speaks_the_first_kind_of_link_gets_plain_frames_and_what_it_has_once() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its number").port();
    let client = stores(Setup::client(&place, "client1", port));
    let process = client.start();
    let server = Setup::server(&place, port);
    let first: Vec<Frame> = messages("any", &client.id, &server.id, 100);
    RawSender::connect(&client.send_socket()).send_all(&first);
    let came = |peer: &mut RawPeer| {
        assert_eq!(peer.receive().field("message_type"), "_handshake_no_ssl");
        peer.answer_ping();
    };
    let mut peer = RawPeer::accept(&listener);
    came(&mut peer);
    let received: Vec<Frame> = first.iter().map(|_| peer.receive()).collect();
    Account::of(&first, &received).assert_exact("on a link of the first kind");
    wait::until("the line of the link", || process.errors().iter().any(|line| line.contains("link 1")).then_some(()));
    wait_sent(&client);
    drop(peer);
    let mut peer = RawPeer::accept(&listener);
    let second = [message("any", &client, &server, "").with("tag", "second")];
    RawSender::connect(&client.send_socket()).send_all(&second);
    came(&mut peer);
    assert_eq!(peer.receive().tag(), "second", "what has arrived is not sent again");
}

#[test]
fn what_was_on_its_way_on_a_link_of_the_first_kind_that_broke_is_sent_again() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its number").port();
    let client = stores(Setup::client(&place, "client1", port));
    let _process = client.start();
    let server = Setup::server(&place, port);
    // More than the sockets between the two hold.
    let tagged = |n: usize| message("any", &client, &server, vec![7; 100_000]).with("tag", n.to_string());
    let sent: Vec<Frame> = (0..200).map(tagged).collect();
    let mut peer = RawPeer::accept(&listener);
    peer.receive();
    peer.answer_ping();
    // The app waits while the peer does not read.
    let mut app = RawSender::connect(&client.send_socket());
    let sending = thread::spawn(move || app.send_all(&sent));
    let mut last = (0..5).map(|_| peer.receive().tag()).last();
    drop(peer);
    let mut peer = RawPeer::accept(&listener);
    peer.receive();
    peer.answer_ping();
    let mut first = None;
    while last.as_deref() != Some("199") {
        let tag = peer.receive().tag();
        first.get_or_insert_with(|| tag.parse::<usize>().expect("a number"));
        last = Some(tag);
    }
    // What lay in this side's sockets counts as arrived: TCP had confirmed it.
    assert!(first.is_some_and(|first| (1..200).contains(&first)), "{first:?}");
    sending.join().expect("an app that could send all");
    wait_sent(&client);
}

#[test]
fn stored_messages_of_a_type_that_is_no_longer_received_are_left_alone_until_an_admin_removes_them() {
    let pair = Pair::new();
    let mut server = pair.server.start();
    let client = pair.client.start();
    let sent = pair.messages(20);
    RawSender::connect(&pair.client.send_socket()).send_all(&sent);
    wait_received(&pair.server, sent.len());
    drop(client);
    server.kill();
    let file = wait::until("the queue's file", || find(&pair.server, "recv_any.ring"));
    let other = pair.server.clone().with("recv_message_types", vec!["quick"]);
    let mut process = other.start();
    let line = process.wait_error(&["left alone"]);
    assert!(line.contains("recv_any.ring") && line.contains("recv_message_types"), "{line}");
    assert!(file.exists());
    let answer = other.admin().ask("delete_previous_persistence_remains__sync", json!({})).expect("an answer");
    assert_eq!(answer, "{}", "as the Python connector says");
    assert!(!file.exists());
    process.signal(Signal::SIGTERM);
    assert_eq!(process.exit_code(), 0);
}

fn find(setup: &Setup, name: &str) -> Option<std::path::PathBuf> {
    let spool =
        fs::read_dir(&setup.dir).ok()?.flatten().find(|e| e.file_name().to_string_lossy().starts_with("spool_"))?;
    Some(spool.path().join(name)).filter(|path| path.exists())
}

#[test]
fn a_damaged_queue_is_put_aside_with_one_line_and_others_are_delivered() {
    let pair = Pair::new();
    let mut client = pair.client.start();
    let mut app = Sender::hello(&pair.client, "stored", None);
    let quick = message("quick", &pair.client, &pair.server, "good").with("tag", "good");
    app.raw.send_all([&message("any", &pair.client, &pair.server, "bad"), &quick]);
    app.wait_receipt("stored", 2);
    client.kill();
    let spool = find(&pair.client, "lock").expect("the spool").parent().expect("its folder").to_owned();
    let mut files = fs::read_dir(&spool).expect("the spool").flatten().map(|entry| entry.path());
    let any = files.find(|path| path.to_string_lossy().contains("any")).expect("the queue of \"any\"");
    fs::write(&any, "no queue").expect("a damaged file");
    let client = pair.client.start();
    let line = client.wait_error(&["damaged"]);
    assert!(line.contains(&*any.to_string_lossy()) && line.contains(".bad-1"), "{line}");
    assert_eq!(client.complaints().iter().filter(|line| line.contains("damaged")).count(), 1);
    let _server = pair.server.start();
    let receiver = RawReceiver::listen(pair.server.receive_socket("quick"));
    receiver.wait_tag("good");
}

#[test]
fn a_folder_that_another_connector_works_with_is_named_and_its_process_too() {
    let pair = Pair::new();
    let first = pair.client.start();
    let mut second = pair.client.clone().with("reuse_uds_path_send_to_connector", true);
    second = second.with("reuse_uds_path_commander_server", true);
    let mut process = second.spawn();
    assert_eq!(process.exit_code(), 1);
    let line = process.wait_error(&["spool_"]);
    assert!(line.contains(&first.pid().to_string()), "{line}");
    assert!(pair.client.admin().connected_peers().is_some(), "the first one goes on");
}

#[test]
fn a_limit_for_the_size_of_files_refuses_messages_and_does_not_end_the_connector() {
    let pair = Pair::new();
    let config = pair.client.write();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -f 16; exec \"$0\" \"$1\"", env!("CARGO_BIN_EXE_aioconnectorsd")]).arg(config);
    let mut process = Process::spawn("aioconnectorsd with a file-size limit", &mut command);
    pair.client.wait_ready(&mut process);
    let mut app = Sender::hello(&pair.client, "stored", None);
    app.raw.send_all([&message("any", &pair.client, &pair.server, vec![1; 200_000])]);
    assert_eq!(app.told(), json!({"message_type": "_refused", "index": 1, "reason": "store_failed"}));
    process.wait_error(&["cannot be kept"]);
    assert!(pair.client.admin().connected_peers().is_some());
    assert!(process.is_running());
    drop(pair.place);
}
