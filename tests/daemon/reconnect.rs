//! Links that end and come again.

use std::net::TcpListener;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::common::setup::wait_link;
use crate::common::{Place, RawPeer, RawReceiver, RawSender, Setup, free_port, wait};
use crate::link::{Link, Witness, message};

/// Longer than the longest wait between two attempts.
const SEVERAL_ATTEMPTS: Duration = Duration::from_secs(7);

#[test]
fn a_client_finds_its_server_again_after_it_was_killed() {
    let mut link = Link::start();
    for _ in 0..2 {
        link.server_process.kill();
        link.server_process = link.server.start();
        wait_link(&link.server, &link.client);
        Witness::start(&link).assert_unharmed();
    }
}

#[test]
fn a_client_finds_its_server_again_after_it_was_stopped() {
    let mut link = Link::start();
    link.server_process.signal(Signal::SIGTERM);
    assert_eq!(link.server_process.exit_code(), 0);
    link.server_process = link.server.start();
    wait_link(&link.server, &link.client);
    Witness::start(&link).assert_unharmed();
}

#[test]
fn a_client_that_was_killed_is_taken_back() {
    let mut link = Link::start();
    link.client_process.kill();
    link.client_process = link.client.start();
    wait_link(&link.server, &link.client);
    Witness::start(&link).assert_unharmed();
}

#[test]
fn a_client_may_be_there_before_its_server() {
    let (place, port) = (Place::new(), free_port());
    let client = Setup::client(&place, "client1", port);
    let _client = client.start();
    assert!(client.admin().connected_peers().expect("an answer").is_empty());
    let server = Setup::server(&place, port);
    let _server = server.start();
    wait_link(&server, &client);
}

#[test]
fn a_client_that_shall_not_reconnect_does_not() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its number").port();
    let client = Setup::client(&place, "client1", port).with("enable_client_try_reconnect", false);
    let _client = client.start();
    drop(RawPeer::accept(&listener));
    let again = wait::never_within(SEVERAL_ATTEMPTS, || listener.accept().ok().map(|_| ()));
    assert_eq!(again, Ok(()), "it connected again");
}

#[test]
fn a_server_that_answers_no_keep_alive_is_left() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its number").port();
    let client = Setup::client(&place, "client1", port).with("keep_alive_period", 1).with("keep_alive_timeout", 1);
    let _client = client.start();
    let mut server = RawPeer::accept(&listener);
    assert_eq!(server.receive().field("message_type"), "_handshake_no_ssl");
    // The check at the link's beginning, and then no more.
    server.answer_ping();
    let ping = server.receive();
    assert_eq!(ping.field("message_type"), "_ping");
    assert_eq!(ping.field("request_id"), "keep_alive_client_check");
    assert_eq!(ping.field("await_response"), true);
    server.wait_closed();
    RawPeer::accept(&listener);
}

#[test]
fn a_server_that_answers_keep_alives_keeps_its_client() {
    let link = Link::start_with(|setup| setup.with("keep_alive_period", 1).with("keep_alive_timeout", 1));
    let before = link.server.admin().connected_peers();
    let changed = wait::never_within(Duration::from_secs(4), || {
        link.server.admin().connected_peers().filter(|peers| Some(peers) != before.as_ref())
    });
    assert_eq!(changed, Ok(()));
}

#[test]
fn of_two_clients_with_one_name_the_newer_stays_and_the_older_is_told_why() {
    let link = Link::start();
    let newer = Setup::client_in(&link.place, "n", &link.client.id, link.port);
    let older_port = link.server.admin().connected_peers().expect("an answer");
    let _newer_process = newer.start();
    let newer_port = wait::until("the newer connection", || {
        let peers = link.server.admin().connected_peers()?;
        (peers.contains_key(&newer.id) && peers != older_port).then_some(peers)
    });
    link.client_process.wait_error(&["same name", "newer", "another connection", "replaced"]);
    let flapped = wait::never_within(SEVERAL_ATTEMPTS, || {
        link.server.admin().connected_peers().filter(|peers| *peers != newer_port)
    });
    assert_eq!(flapped, Ok(()), "the older one came back");
    let receiver = RawReceiver::listen(newer.receive_socket("any"));
    RawSender::connect(&link.server.send_socket()).send_all([&message("any", &link.server, &newer, "to you")]);
    receiver.wait_count(1);
}
