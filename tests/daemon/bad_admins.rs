//! What may go wrong on the admin socket.

use serde_json::json;

use crate::common::RawSender;
use crate::link::{Link, Witness, assert_one_complaint};

/// Sends `bytes` to the server's admin socket, which must close the connection with one line that has one of `words`.
#[track_caller]
fn is_turned_away(bytes: &[u8], words: &[&str]) {
    let link = Link::start();
    let mut witness = Witness::start(&link);
    let known = link.server_process.complaints().len();
    let mut admin = RawSender::connect(&link.server.admin().path);
    admin.send_bytes(bytes).expect("the first bytes are taken");
    admin.wait_closed();
    assert_one_complaint(&link.server_process, known, words, &mut witness);
    let peers = link.server.admin().connected_peers().expect("the next admin is answered");
    assert!(peers.contains_key(&link.client.id));
    witness.assert_unharmed();
}

fn request(text: &str) -> Vec<u8> {
    let mut bytes = u32::try_from(text.len()).unwrap().to_le_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

#[test]
fn a_request_that_is_no_json() {
    is_turned_away(&request("show me everything"), &["JSON"]);
}

#[test]
fn a_request_that_is_no_object() {
    is_turned_away(&request("[1]"), &["object", "JSON", "cmd"]);
}

#[test]
fn a_request_without_a_command() {
    is_turned_away(&request("{\"kwargs\":{}}"), &["cmd"]);
}

#[test]
fn a_command_that_does_not_exist() {
    is_turned_away(&request("{\"cmd\":\"__init__\",\"kwargs\":{}}"), &["__init__"]);
}

#[test]
fn a_request_of_gigabytes() {
    is_turned_away(&u32::MAX.to_le_bytes(), &["too large", "too long", "limit", "at most"]);
}

#[test]
fn an_admin_that_says_nothing_keeps_no_other_waiting() {
    let link = Link::start();
    let _silent = RawSender::connect(&link.server.admin().path);
    let mut half = RawSender::connect(&link.server.admin().path);
    half.send_bytes(&request("{\"cmd\":\"peek_queues__sync\"}")[..10]).expect("bytes are taken");
    assert!(link.server.admin().connected_peers().is_some());
}

#[test]
fn peers_and_queues_are_shown_as_the_python_tools_expect_them() {
    let link = Link::start();
    let show = |setup: &crate::common::Setup| setup.admin().connected_peers().expect("an answer");
    let at_server = show(&link.server);
    assert_eq!(at_server[&link.client.id][0], "127.0.0.1");
    assert!(at_server[&link.client.id][1].as_u64().is_some_and(|port| port > 0), "{at_server:?}");
    assert_eq!(show(&link.client)[&link.server.id], json!(["127.0.0.1", link.port]));
    let queues = link.server.admin().ask("peek_queues__sync", json!({"dump_result": true})).expect("an answer");
    let queues: serde_json::Value = serde_json::from_str(&queues).expect("JSON");
    assert_eq!(queues, json!({"queue_recv": 0, "queue_send": {"client1": 0}}));
}
