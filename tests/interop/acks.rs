//! Messages that wait for the acknowledgement of the peer's connector.

use std::fs;
use std::thread;

use serde_json::json;

use crate::common::traffic::{Account, END, messages};
use crate::common::{Frame, RawReceiver, RawSender, Setup, wait};
use crate::pair::Kind::{self, Ours, Python};
use crate::pair::Mode::{self, Certificates, Plain};
use crate::pair::Pair;
use crate::python;

/// Messages in each direction. A Python connector sends one after the other.
const COUNT: usize = 300;

/// Two of three wait for their acknowledgement.
fn waiting(from: &Setup, to: &Setup) -> Vec<Frame> {
    let all = messages("any", &from.id, &to.id, COUNT).into_iter().enumerate();
    all.map(|(i, frame)| if i % 3 == 0 { frame } else { frame.with("wait_for_ack", true) }).collect()
}

/// Both directions at once: each message once, in order, unaltered, and nobody waits for an acknowledgement in the end.
#[track_caller]
fn acknowledged(server: Kind, client: Kind, mode: Mode) {
    if python::interpreter().is_none() {
        return;
    }
    let pair = Pair::start(server, client, mode);
    let (server, client) = (&pair.server, &pair.client);
    let (up, down) = (waiting(client, server), waiting(server, client));
    let at_server = RawReceiver::listen(server.receive_socket("any"));
    let at_client = RawReceiver::listen(client.receive_socket("any"));
    let path = pair.file("down");
    fs::write(&path, down.iter().flat_map(Frame::encode).collect::<Vec<_>>()).expect("a file of frames");
    thread::scope(|scope| {
        scope.spawn(|| RawSender::connect(&client.send_socket()).send_all(&up));
        let mut sending = python::spawn("app_send.py", server, &[&path]);
        at_server.wait_tag(END);
        at_client.wait_tag(END);
        assert_eq!(sending.exit_code(), 0, "the sending app failed");
    });
    Account::of(&up, &at_server.frames()).assert_exact("client to server");
    Account::of(&down, &at_client.frames()).assert_exact("server to client");
    for at in [server, client] {
        wait::until("queues that are empty", || {
            let queues = at.admin().ask("peek_queues__sync", json!({"dump_result": true})).ok()?;
            let queues: serde_json::Value = serde_json::from_str(&queues).ok()?;
            queues["queue_send"].as_object()?.values().all(|waiting| *waiting == 0).then_some(())
        });
    }
}

#[test]
fn arrive_once_in_order_between_our_connectors() {
    acknowledged(Ours, Ours, Plain);
}

#[test]
fn arrive_once_in_order_between_our_server_and_a_python_client() {
    acknowledged(Ours, Python, Plain);
}

#[test]
fn arrive_once_in_order_between_our_server_and_a_python_client_with_certificates() {
    acknowledged(Ours, Python, Certificates(Ours));
}

#[test]
fn arrive_once_in_order_between_a_python_server_and_our_client() {
    acknowledged(Python, Ours, Plain);
}

#[test]
fn arrive_once_in_order_between_a_python_server_and_our_client_with_certificates() {
    acknowledged(Python, Ours, Certificates(Python));
}

#[test]
fn arrive_once_in_order_between_python_connectors_too() {
    acknowledged(Python, Python, Plain);
}
