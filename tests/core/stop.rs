//! The end, and the questions of admins.

use std::time::Duration;

use aioconnectors::core::{Cause, Event, Output, Reading};
use aioconnectors::wire::admin::{encode_answer, encode_request};
use aioconnectors::wire::control::{CloseReason, close};
use serde_json::Map;

use crate::rig::{Rig, SERVER, any_to, frames, typed_from};

#[test]
fn what_was_held_back_for_want_of_room_is_in_the_ledger_when_its_connection_ends() {
    let mut rig = Rig::server();
    let (link, app) = (rig.link("c1"), rig.app());
    let three = [any_to("c1", &[0; 2_000_000]), any_to("c1", b"held"), any_to("c1", b"held as well")].concat();
    assert_eq!(rig.input(app, &three), Reading::Paused);
    rig.closed(app, Cause::SendTimeout(Duration::from_secs(50)));
    assert_eq!(rig.ledger(), ["c1 any connection_ended 2"]);
    assert_eq!(frames(&rig.sent(link)).len(), 1);
}

#[test]
fn a_connector_at_rest_stops_at_once() {
    let mut rig = Rig::server();
    rig.stop();
    assert_eq!(rig.outputs, [Output::Stopped]);
}

#[test]
fn what_is_queued_is_sent_before_the_end_and_peers_are_told() {
    let mut rig = Rig::server();
    let (link, app) = (rig.link("c1"), rig.app());
    rig.input(app, &any_to("c1", b"last"));
    rig.stop();
    assert!(!rig.outputs.contains(&Output::Stopped));
    let mut sent = rig.sent(link);
    sent.extend(rig.sent(link));
    assert_eq!(frames(&sent)[0].1, b"last");
    assert!(sent.ends_with(&close(SERVER, CloseReason::Stopping)));
    assert_eq!(rig.outputs.last(), Some(&Output::Stopped));
    assert_eq!(rig.ledger(), Vec::<String>::new());
}

#[test]
fn what_cannot_be_sent_in_time_is_in_the_ledger_and_in_the_report() {
    let mut rig = Rig::server();
    let (link, app) = (rig.link("c1"), rig.app());
    rig.input(app, &any_to("c1", b"out"));
    rig.input(link, &typed_from("any", "c1", b"in"));
    rig.open_app();
    rig.stop();
    rig.pass(Duration::from_secs(11));
    assert_eq!(rig.outputs.iter().filter(|o| **o == Output::Stopped).count(), 1);
    let mut ledger = rig.ledger();
    ledger.sort();
    assert_eq!(ledger, ["c1 any stopping 2"]);
    assert!(rig.events().iter().any(|e| matches!(e, Event::Dropped { messages: 2, .. })));
}

#[test]
fn a_client_that_stops_does_not_dial_again() {
    let mut rig = Rig::client_with(|_| {});
    let dialled = rig.dialled();
    rig.stop();
    rig.pass(Duration::from_secs(60));
    assert_eq!(rig.dialled(), dialled);
    assert!(rig.outputs.contains(&Output::Stopped));
}

fn asked(rig: &mut Rig, request: &[u8]) -> Vec<u8> {
    let admin = rig.core.accept_admin(rig.now);
    rig.input(admin, request);
    let answer = rig.sent(admin);
    assert!(rig.is_closed(admin));
    answer
}

#[test]
fn an_admin_is_answered_and_its_connection_closed() {
    let mut rig = Rig::server();
    let app = rig.app();
    rig.link("c1");
    rig.input(app, &any_to("c1", b""));
    let answer = asked(&mut rig, &encode_request("show_connected_peers__sync", &Map::new()));
    assert_eq!(answer, encode_answer(r#"{"c1":["10.0.0.9",4000]}"#));
    let answer = asked(&mut rig, &encode_request("peek_queues__sync", &Map::new()));
    let answer: serde_json::Value = serde_json::from_slice(&answer[4..]).unwrap();
    assert_eq!(answer.to_string(), r#"{"queue_recv":0,"queue_send":{"c1":1}}"#);
    let answer = asked(&mut rig, &encode_request("__class__", &Map::new()));
    assert!(String::from_utf8_lossy(&answer).contains("not known"));
}

#[test]
fn an_admin_that_asks_nonsense_is_closed_without_an_answer() {
    let mut rig = Rig::server();
    for request in [&b"\xff\xff\xff\xff"[..], b"\x02\0\0\0[]", b"\x01\0\0\0{"] {
        assert_eq!(asked(&mut rig, request), b"");
    }
    assert_eq!(rig.events().iter().filter(|e| matches!(e, Event::AdminRefused { .. })).count(), 3);
}
