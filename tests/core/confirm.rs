//! Links of the first kind: what TCP has not confirmed is sent again, what an acknowledgement is asked for is kept.

use std::time::Duration;

use aioconnectors::core::{Cause, OnFull};
use aioconnectors::wire::control::ack;

use crate::rig::{Rig, any_to, frames, message};

fn data(bytes: &[u8]) -> Vec<u8> {
    frames(bytes).into_iter().flat_map(|(_, data)| data).collect()
}

/// A message that the peer is to acknowledge.
fn asks_for_ack(data: &[u8]) -> Vec<u8> {
    message(r#"{"message_type": "any", "destination_id": "c1", "wait_for_ack": true}"#, data)
}

/// The numbers that the peer is to acknowledge.
fn transport_ids(bytes: &[u8]) -> Vec<u64> {
    frames(bytes).into_iter().filter_map(|(header, _)| header["transport_id"].as_u64()).collect()
}

#[test]
fn what_went_out_in_one_piece_is_confirmed_as_a_whole_and_else_sent_again() {
    let mut rig = Rig::server();
    let (link, app) = (rig.link("c1"), rig.app());
    rig.input(app, &[any_to("c1", b"1"), any_to("c1", b"2"), any_to("c1", b"3")].concat());
    let all = rig.sent_unconfirmed(link, usize::MAX);
    assert_eq!(data(&all), b"123");
    rig.core.confirmed(link, all.len() as u64 - 1, rig.now);
    rig.closed(link, Cause::ClosedByPeer);
    let again = rig.link("c1");
    assert_eq!(data(&rig.sent_unconfirmed(again, usize::MAX)), b"123");
}

#[test]
fn messages_that_went_out_one_by_one_are_confirmed_one_by_one() {
    let mut rig = Rig::server();
    let (link, app) = (rig.link("c1"), rig.app());
    let mut sizes = Vec::new();
    for n in 0..4 {
        rig.input(app, &any_to("c1", &[n]));
        sizes.push(rig.sent_unconfirmed(link, usize::MAX).len() as u64);
    }
    rig.core.confirmed(link, sizes[..2].iter().sum(), rig.now);
    rig.closed(link, Cause::ClosedByPeer);
    let again = rig.link("c1");
    assert_eq!(data(&rig.sent_unconfirmed(again, usize::MAX)), [2, 3]);
}

#[test]
fn a_link_that_is_cut_at_any_byte_loses_nothing() {
    let stream: Vec<u8> = (0..3).flat_map(|n| any_to("c1", &[n; 3])).collect();
    for cut in 0..300 {
        let mut rig = Rig::server();
        let (link, app) = (rig.link("c1"), rig.app());
        rig.input(app, &stream);
        let first = rig.sent_up_to(link, cut);
        rig.closed(link, Cause::ClosedByPeer);
        let again = rig.link("c1");
        let second = rig.sent(again);
        // What is confirmed came whole, so it does not come again.
        let whole = data(&second).len() / 3;
        assert!(first.len() >= stream.len() || whole > 0 || first.len() + 60 > stream.len(), "cut at {cut}");
        let came = 3 - whole;
        assert_eq!(data(&second), (came as u8..3).flat_map(|n| [n; 3]).collect::<Vec<u8>>(), "cut at {cut}");
    }
}

#[test]
fn stopping_waits_for_what_is_not_confirmed() {
    let mut rig = Rig::server();
    let (link, app) = (rig.link("c1"), rig.app());
    rig.input(app, &any_to("c1", b"1"));
    let all = rig.sent_unconfirmed(link, usize::MAX).len() as u64;
    rig.stop();
    assert_eq!(rig.sent_unconfirmed(link, usize::MAX), b"");
    rig.core.confirmed(link, all, rig.now);
    rig.drain();
    assert_eq!(frames(&rig.sent(link))[0].0["message_type"], "_close");
}

#[test]
fn a_message_that_is_to_be_acknowledged_carries_its_number_and_keeps_it_over_a_cut() {
    let mut rig = Rig::server();
    let (link, app) = (rig.link("c1"), rig.app());
    rig.input(app, &[asks_for_ack(b"1"), any_to("c1", b"2")].concat());
    let first = rig.sent(link);
    let numbers = transport_ids(&first);
    assert_eq!((numbers.len(), data(&first)), (1, b"12".to_vec()), "what follows does not wait");
    rig.closed(link, Cause::ClosedByPeer);
    let again = rig.link("c1");
    let second = rig.sent(again);
    // What follows is sent again as well: order is kept.
    assert_eq!((transport_ids(&second), data(&second)), (numbers.clone(), b"12".to_vec()));
    rig.input(again, &ack("c1", numbers[0]));
    rig.closed(again, Cause::ClosedByPeer);
    let third = rig.link("c1");
    assert_eq!(rig.sent(third), b"");
}

#[test]
fn acknowledgements_in_any_order_free_what_has_no_one_before_it() {
    let mut rig = Rig::server();
    let (link, app) = (rig.link("c1"), rig.app());
    rig.input(app, &[asks_for_ack(b"1"), asks_for_ack(b"2"), asks_for_ack(b"3")].concat());
    let numbers = transport_ids(&rig.sent(link));
    assert!(numbers.windows(2).all(|two| two[0] < two[1]), "{numbers:?}");
    rig.input(link, &[ack("c1", numbers[1]), ack("c1", numbers[0]), ack("c1", 77)].concat());
    rig.closed(link, Cause::ClosedByPeer);
    let again = rig.link("c1");
    assert_eq!(data(&rig.sent(again)), b"3");
}

#[test]
fn messages_of_two_types_and_for_two_peers_have_numbers_of_their_own() {
    let mut rig = Rig::server();
    let (one, two, app) = (rig.link("c1"), rig.link("c2"), rig.app());
    let ask = |of_type: &str, to: &str| {
        message(&format!(r#"{{"message_type": "{of_type}", "destination_id": "{to}", "wait_for_ack": true}}"#), b"x")
    };
    rig.input(app, &[ask("any", "c1"), ask("other", "c1"), ask("any", "c2")].concat());
    let mut numbers = transport_ids(&rig.sent(one));
    numbers.extend(transport_ids(&rig.sent(two)));
    numbers.dedup();
    assert_eq!(numbers.len(), 3);
    rig.input(one, &ack("c1", numbers[0]));
    rig.closed(one, Cause::ClosedByPeer);
    let again = rig.link("c1");
    assert_eq!(transport_ids(&rig.sent(again)), [numbers[1]]);
}

#[test]
fn a_peer_that_never_acknowledges_gets_the_rest_all_the_same() {
    let mut rig = Rig::server();
    let (link, app) = (rig.link("c1"), rig.app());
    for n in 0..50 {
        rig.input(app, &[asks_for_ack(&[n]), any_to("c1", &[n])].concat());
        assert_eq!(data(&rig.sent(link)), [n, n]);
        rig.pass(Duration::from_secs(10));
    }
    assert!(!rig.is_closed(link));
    // What is not acknowledged is in the ledger at the end.
    rig.stop();
    rig.pass(Duration::from_secs(11));
    assert_eq!(rig.ledger(), ["c1 any stopping 100"]);
}

#[test]
fn what_made_room_for_newer_ones_is_not_confirmed_in_their_place() {
    let mut rig = Rig::server_with(|s| {
        s.queue_max_bytes = 3000;
        s.on_full.insert("any".into(), OnFull::DropOldest);
    });
    let (link, app) = (rig.link("c1"), rig.app());
    rig.input(app, &[any_to("c1", &[0; 900]), any_to("c1", &[1; 900])].concat());
    let sent = rig.sent_unconfirmed(link, usize::MAX).len() as u64;
    rig.input(app, &[any_to("c1", &[2; 900]), any_to("c1", &[3; 900])].concat());
    rig.sent_unconfirmed(link, usize::MAX);
    rig.core.confirmed(link, sent, rig.now);
    rig.closed(link, Cause::ClosedByPeer);
    let again = rig.link("c1");
    let kept: Vec<u8> = frames(&rig.sent(again)).iter().map(|(_, data)| data[0]).collect();
    assert_eq!(kept, [2, 3]);
}

#[test]
fn types_take_turns_and_what_came_first_goes_first() {
    let mut rig = Rig::server();
    let (link, app) = (rig.link("c1"), rig.app());
    for n in 0..6 {
        let of_type = if n % 2 == 0 { "any" } else { "other" };
        rig.input(app, &message(&format!(r#"{{"message_type": "{of_type}", "destination_id": "c1"}}"#), &[n]));
    }
    assert_eq!(data(&rig.sent(link)), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_ping_that_asks_for_an_acknowledgement_waits_for_none() {
    let mut rig = Rig::server();
    let (link, app) = (rig.link("c1"), rig.app());
    let ping = r#"{"message_type": "_ping", "destination_id": "c1", "wait_for_ack": true, "await_response": true}"#;
    rig.input(app, &message(ping, b""));
    assert_eq!(transport_ids(&rig.sent(link)), [0_u64; 0]);
}
