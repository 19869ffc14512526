//! Messages that wait for an acknowledgement stop nothing: both ends, both kinds of link.

use aioconnectors::core::{Cause, Id, Reading};
use aioconnectors::wire::control::ack;
use serde_json::Value;

use crate::pair::Pair;
use crate::rig::{Rig, SERVER, any_to, frames, message};

/// A message of this type that asks for an acknowledgement.
fn asks(message_type: &str, destination: &str, data: &[u8]) -> Vec<u8> {
    let to = format!(r#"{{"message_type": "{message_type}", "destination_id": "{destination}""#);
    message(&format!(r#"{to}, "wait_for_ack": true}}"#), data)
}

/// What went out: the numbers to acknowledge, and the data.
fn sent(rig: &mut Rig, link: Id) -> Vec<(u64, Vec<u8>)> {
    let number = |header: &Value| header["transport_id"].as_u64().unwrap_or_default();
    frames(&rig.sent(link)).into_iter().map(|(header, data)| (number(&header), data)).collect()
}

#[test]
fn a_thousand_go_out_before_the_first_is_acknowledged_and_so_does_what_follows_them() {
    let mut rig = Rig::server();
    let (link, other, app) = (rig.link("c1"), rig.link("c2"), rig.app());
    let all: Vec<u8> = (0..1000_u16).flat_map(|n| asks("any", "c1", &n.to_le_bytes())).collect();
    rig.input(app, &all);
    let request = r#"{"message_type": "other", "destination_id": "c1", "await_response": true, "request_id": 1}"#;
    rig.input(app, &[any_to("c1", b"after"), any_to("c2", b"other"), message(request, b"?")].concat());
    let out = sent(&mut rig, link);
    let data: Vec<&[u8]> = out.iter().map(|(_, data)| data.as_slice()).collect();
    let expected: Vec<[u8; 2]> = (0..1000_u16).map(u16::to_le_bytes).collect();
    assert_eq!(data[..1000], expected.iter().map(|n| &n[..]).collect::<Vec<_>>());
    assert_eq!(data[1000..], [&b"after"[..], b"?"]);
    assert_eq!(sent(&mut rig, other).len(), 1);
    rig.input(link, &message(r#"{"message_type": "other", "source_id": "c1", "response_id": 1}"#, b"!"));
    assert_eq!(frames(&rig.sent(app))[0].1, b"!", "an answer does not wait either");
    let acks: Vec<u8> = out.iter().filter(|(n, _)| *n > 0).flat_map(|(number, _)| ack("c1", *number)).collect();
    rig.input(link, &acks);
    rig.closed(link, Cause::ClosedByPeer);
    let again = rig.link("c1");
    assert_eq!(rig.sent(again), b"", "all is acknowledged");
}

#[test]
fn what_is_sent_again_because_its_acknowledgement_did_not_come_is_whole() {
    let mut rig = Rig::server();
    let (link, app) = (rig.link("c1"), rig.app());
    rig.input(app, &[asks("any", "c1", &[1; 3000]), asks("any", "c1", &[2; 3000]), any_to("c1", &[3; 10])].concat());
    let first = sent(&mut rig, link);
    rig.input(link, &ack("c1", first[0].0));
    rig.closed(link, Cause::ClosedByPeer);
    let again = rig.link("c1");
    assert_eq!(sent(&mut rig, again), first[1..], "with its number and its data");
}

#[test]
fn what_comes_is_acknowledged_at_once_though_its_app_reads_nothing() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    for number in 1..=100 {
        let header = r#"{"message_type": "any", "source_id": "c1", "wait_for_ack": true"#;
        rig.input(link, &message(&format!(r#"{header}, "transport_id": {number}}}"#), b"x"));
    }
    let acks: Vec<u64> = sent(&mut rig, link).into_iter().map(|(number, _)| number).collect();
    assert_eq!(acks, (1..=100).collect::<Vec<_>>());
    let app = rig.open_app();
    let came = frames(&rig.sent(app));
    assert!(came.len() == 100 && came.iter().all(|(header, _)| header["transport_id"].is_null()));
}

#[test]
fn an_answer_that_asks_for_an_acknowledgement_gets_it() {
    let mut rig = Rig::server();
    let (link, app) = (rig.link("c1"), rig.app());
    rig.input(
        app,
        &message(r#"{"message_type": "any", "destination_id": "c1", "await_response": true, "request_id": 1}"#, b"?"),
    );
    rig.sent(link);
    let header = r#"{"message_type": "any", "source_id": "c1", "response_id": 1, "wait_for_ack": true"#;
    rig.input(link, &message(&format!(r#"{header}, "transport_id": 9}}"#), b"!"));
    assert_eq!(sent(&mut rig, link), [(9, vec![])]);
    assert_eq!(frames(&rig.sent(app))[0].1, b"!");
}

/// On a link of the second kind a type whose app reads nothing fills up; other types, and answers, pass it by.
#[test]
fn on_link_2_messages_that_are_not_taken_over_stop_no_other_type() {
    let mut pair = Pair::new();
    let app = pair.client.app();
    while pair.client.input(app, &asks("any", SERVER, &[7; 100_000])) == Reading::Open {
        pair.pump();
    }
    // Nobody has read "any" so far.
    let talker = pair.client.app();
    for n in 0..50 {
        let request =
            format!(r#"{{"message_type": "_ping", "await_response": true, "wait_for_ack": true, "request_id": {n}}}"#);
        pair.client.input(talker, &[message(&request, &[n]), asks("other", SERVER, &[n])].concat());
        pair.pump();
        assert_eq!(frames(&pair.client.sent(talker))[0].1, [n]);
    }
    pair.run();
    let read = |name: &str| pair.read.1.iter().filter(|(t, _)| t == name).map(|(_, d)| d.clone()).collect::<Vec<_>>();
    assert_eq!(read("other"), (0..50).map(|n| vec![n]).collect::<Vec<_>>());
    assert!(read("any").iter().all(|data| data.len() == 100_000));
}
