//! Signals: what ends a connector, and what does not.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::common::traffic::{Account, END, messages};
use crate::common::{Frame, RawReceiver, RawSender, wait};
use crate::link::{Link, Witness};

/// Sends messages and knows that the connector has read them all: it answers the `_ping` behind them.
#[track_caller]
fn hand_in(link: &Link, frames: &[Frame]) {
    let mut app = RawSender::connect(&link.client.send_socket());
    app.send_all(frames);
    app.send_all([&link.up("_ping", "").with("request_id", 1).with("await_response", true)]);
    assert!(app.receive().is_some(), "the ping behind the messages is answered");
}

#[test]
fn sigterm_and_sigint_remove_the_sockets_and_end_with_0() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut link = Link::start();
        Witness::start(&link).assert_unharmed();
        for (setup, process) in [(&link.client, &mut link.client_process), (&link.server, &mut link.server_process)] {
            process.signal(signal);
            assert_eq!(process.exit_code(), 0, "{signal}");
            for path in [setup.send_socket(), setup.admin().path] {
                assert!(!path.exists(), "{} is still there after {signal}", path.display());
            }
        }
    }
}

#[test]
fn sigterm_at_the_sending_connector_lets_what_it_took_arrive() {
    let mut link = Link::start();
    let receiver = RawReceiver::listen(link.server.receive_socket("any"));
    let sent = messages("any", &link.client.id, &link.server.id, 3_000);
    hand_in(&link, &sent);
    link.client_process.signal(Signal::SIGTERM);
    assert_eq!(link.client_process.exit_code(), 0);
    receiver.wait_tag(END);
    Account::of(&sent, &receiver.frames()).assert_exact("what the connector took before SIGTERM");
}

#[test]
fn sigterm_at_the_receiving_connector_lets_a_slow_app_have_what_it_took() {
    let mut link = Link::start();
    let receiver = RawReceiver::listen_paused(link.server.receive_socket("any"));
    let sent: Vec<_> = (0..500)
        .map(|i| link.up("any", vec![b'x'; 1000]).with("tag", i.to_string()))
        .chain([link.up("any", "").with("tag", END)])
        .collect();
    hand_in(&link, &sent);
    receiver.wait_connections(1);
    link.server_process.signal(Signal::SIGTERM);
    receiver.resume();
    assert_eq!(link.server_process.exit_code(), 0);
    receiver.wait_tag(END);
    Account::of(&sent, &receiver.frames()).assert_exact("what the connector took before SIGTERM");
}

#[test]
fn sigterm_ends_a_connector_whose_app_never_reads() {
    let mut link = Link::start_with(|setup| setup.with("shutdown_timeout", 1));
    let receiver = RawReceiver::listen_paused(link.server.receive_socket("any"));
    hand_in(&link, &(0..900).map(|_| link.up("any", vec![b'x'; 1000])).collect::<Vec<_>>());
    receiver.wait_connections(1);
    link.server_process.signal(Signal::SIGTERM);
    assert_eq!(link.server_process.exit_code(), 0, "a drain has a limit");
}

#[test]
fn a_client_without_its_server_ends_at_sigterm() {
    let mut link = Link::start();
    link.server_process.kill();
    wait::until("a client that has noticed", || link.client.admin().connected_peers().filter(|peers| peers.is_empty()));
    link.client_process.signal(Signal::SIGTERM);
    assert_eq!(link.client_process.exit_code(), 0);
}

#[test]
fn sighup_disturbs_no_traffic_and_no_link() {
    let link = Link::start();
    let before = link.server.admin().connected_peers();
    let receiver = RawReceiver::listen(link.server.receive_socket("any"));
    let sent = messages("any", &link.client.id, &link.server.id, 3_000);
    let mut app = RawSender::connect(&link.client.send_socket());
    for part in sent.chunks(300) {
        app.send_all(part);
        link.server_process.signal(Signal::SIGHUP);
        link.client_process.signal(Signal::SIGHUP);
    }
    receiver.wait_tag(END);
    Account::of(&sent, &receiver.frames()).assert_exact("under SIGHUP");
    assert_eq!(link.server.admin().connected_peers(), before, "the link is the same");
    assert_eq!(receiver.connections(), 1);
}

#[test]
fn the_stop_of_one_end_does_not_end_the_other() {
    let mut link = Link::start();
    link.client_process.signal(Signal::SIGTERM);
    assert_eq!(link.client_process.exit_code(), 0);
    wait::until("a server without peers", || {
        (link.server.admin().connected_peers().expect("an answer").is_empty()).then_some(())
    });
    let ended = link.server_process.wait_exit(Duration::from_millis(100));
    assert!(ended.is_none(), "{ended:?}");
    let queues = link.server.admin().ask("peek_queues__sync", json!({"dump_result": true})).expect("an answer");
    assert!(queues.contains("queue_recv"), "{queues}");
}
