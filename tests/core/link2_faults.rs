//! Links of the second kind that are cut, whose sides forget, or whose peers do what they must not.

use std::time::Duration;

use aioconnectors::core::{Cause, Event, Secured};
use aioconnectors::wire::control::{CloseReason, HANDSHAKE_NO_SSL, close};
use aioconnectors::wire::link::{LinkControl, PLACES_SAID_MAX, greeting};
use aioconnectors::wire::record::{CONTROL, SWITCH, append_record};

use crate::link2::{FIRST, Said, control_record, data, hello, lane, place, records, said, up};
use crate::pair::{Pair, told};
use crate::rig::{Rig, SERVER, any_to, message};

/// A short talk in both directions and of two types; each message is a number.
fn talk(pair: &mut Pair) {
    let (ours, theirs) = (pair.client.app(), pair.server.app());
    for n in 0..2 {
        pair.client.input(ours, &any_to(SERVER, &[n]));
        pair.server.input(theirs, &any_to("c1", &[n]));
        let other = |to: &str| message(&format!(r#"{{"message_type": "other", "destination_id": "{to}"}}"#), &[n + 10]);
        pair.client.input(ours, &other(SERVER));
        pair.server.input(theirs, &other("c1"));
    }
}

#[track_caller]
fn all_came_once(pair: &Pair, cut: usize) {
    for (side, read) in [("client", &pair.read.0), ("server", &pair.read.1)] {
        for (of_type, first) in [("any", 0), ("other", 10)] {
            let read: Vec<u8> = read.iter().filter(|(t, _)| t == of_type).map(|(_, data)| data[0]).collect();
            assert_eq!(read, (first..first + 2).collect::<Vec<u8>>(), "cut at {cut}, {side}, {of_type}");
        }
    }
}

#[test]
fn wherever_the_line_is_cut_nothing_is_lost_and_nothing_comes_twice() {
    for cut in 0.. {
        let mut pair = Pair::new();
        pair.left = cut;
        talk(&mut pair);
        pair.pump();
        let all = pair.left > 0;
        // Apps of some rounds read before the cut, those of others do not.
        if cut % 2 == 0 {
            pair.read();
        }
        pair.reconnect();
        pair.run();
        pair.pass(Duration::from_secs(3));
        all_came_once(&pair, cut);
        if all {
            assert!(cut > 500, "the talk is longer than {cut}");
            return;
        }
    }
}

#[test]
fn wherever_the_line_is_cut_again_and_again_nothing_is_lost_and_nothing_comes_twice() {
    for step in (1..400).step_by(7) {
        let mut pair = Pair::new();
        talk(&mut pair);
        // Each line lives a little longer than the one before: a greeting must come through at last.
        for line in 0..12 {
            pair.left = step + line * 250;
            pair.run();
            pair.cut();
            pair.connect();
        }
        pair.run();
        all_came_once(&pair, step);
    }
}

#[test]
fn what_was_sent_and_not_taken_over_before_a_cut_is_taken_over_after_it() {
    let mut pair = Pair::new();
    let app = pair.client.app();
    pair.client.input(app, &any_to(SERVER, b"x"));
    pair.pump();
    pair.reconnect();
    pair.read();
    pair.pass(Duration::from_secs(2));
    pair.client.stop();
    pair.run();
    assert!(pair.client.is_closed(pair.ends.0), "nothing waits any more");
    assert_eq!((pair.client.ledger(), pair.server_read()), (vec![], b"x".to_vec()));
}

#[test]
fn what_was_taken_over_while_the_link_was_down_is_heard_of_on_the_next() {
    let mut pair = Pair::new();
    let app = pair.client.app();
    pair.client.input(app, &any_to(SERVER, b"x"));
    pair.pump();
    pair.cut();
    pair.read();
    pair.pass(Duration::from_secs(2));
    pair.connect();
    pair.run();
    pair.client.stop();
    pair.run();
    assert!(pair.client.is_closed(pair.ends.0), "nothing waits any more");
    assert_eq!(pair.server_read(), b"x");
}

#[test]
fn a_client_that_was_away_for_long_misses_nothing_of_a_server_that_forgot_its_queue() {
    let mut pair = Pair::new();
    let app = pair.server.app();
    for n in 0..3 {
        pair.server.input(app, &any_to("c1", &[n]));
        pair.run();
        pair.pass(Duration::from_secs(3));
        pair.reconnect();
    }
    assert_eq!(pair.client_read(), [0, 1, 2]);
    let set_back = |e: &Event| matches!(e, Event::SetBack { .. } | Event::PeerSetBack { .. });
    assert!(!told(&pair.client, set_back) && !told(&pair.server, set_back));
}

#[test]
fn a_side_that_forgot_all_gets_all_that_is_kept() {
    let mut pair = Pair::new();
    let app = pair.client.app();
    pair.client.input(app, &[any_to(SERVER, &[0]), any_to(SERVER, &[1])].concat());
    pair.pump();
    // Nothing of its life is on disks.
    let mut pair = pair.crash_server();
    pair.run();
    assert_eq!(pair.server_read(), [0, 1]);
}

#[test]
fn a_new_life_of_the_sender_begins_new_numbers() {
    let mut pair = Pair::new();
    let app = pair.client.app();
    pair.client.input(app, &any_to(SERVER, &[0]));
    pair.run();
    let mut pair = pair.crash_client();
    pair.run();
    let app = pair.client.app();
    pair.client.input(app, &any_to(SERVER, &[1]));
    pair.run();
    assert_eq!(pair.server_read(), [0, 1]);
}

#[test]
fn a_peer_that_knows_numbers_that_were_not_given_yet_gets_greater_ones_and_it_is_told() {
    let mut rig = Rig::server();
    let first = up(&mut rig, 1 << 20, &[]);
    let app = rig.app();
    rig.input(app, &any_to("c1", b"1"));
    rig.sent(first);
    rig.closed(first, Cause::ClosedByPeer);
    let ahead = FIRST + 1000;
    let link = up(&mut rig, 1 << 20, &[place("any", 1, ahead, ahead)]);
    assert!(told(&rig, |e| matches!(e, Event::SetBack { .. })));
    rig.input(app, &any_to("c1", b"2"));
    let numbers: Vec<_> = records(&rig.sent(link)).into_iter().filter(|s| matches!(s, Said::Data(..))).collect();
    assert_eq!(numbers, [Said::Data(ahead, b"2".to_vec())]);
}

#[test]
fn a_peer_that_has_forgotten_what_it_had_taken_over_is_told_of_once() {
    let mut rig = Rig::server();
    let mut link = up(&mut rig, 1 << 20, &[]);
    let app = rig.app();
    for n in 0..3 {
        rig.input(app, &any_to("c1", &[n]));
    }
    rig.sent(link);
    rig.input(link, &said(&LinkControl::Taken(vec![(0, FIRST + 2)])));
    for _ in 0..2 {
        rig.closed(link, Cause::ClosedByPeer);
        link = up(&mut rig, 1 << 20, &[place("any", 1, FIRST + 1, FIRST + 1)]);
        let again: Vec<_> = records(&rig.sent(link)).into_iter().filter(|s| matches!(s, Said::Data(..))).collect();
        assert_eq!(again, [Said::Data(FIRST + 2, vec![2])]);
        let told = rig.events().iter().filter(|e| matches!(e, Event::PeerSetBack { .. })).count();
        assert_eq!(told, 1);
    }
}

#[test]
fn a_receiver_that_was_set_back_says_so() {
    let mut rig = Rig::server();
    let link = up(&mut rig, 1 << 20, &[]);
    rig.input(link, &[lane(0, "any", 7), data(5, "any", b"a")].concat());
    let ahead = LinkControl::Lane { lane: 0, message_type: "any".into(), epoch: 7, released: 100 };
    rig.input(link, &said(&ahead));
    assert!(told(&rig, |e| matches!(e, Event::SetBack { .. })));
}

#[test]
fn what_must_not_come_ends_the_link_and_it_is_told_what_it_was() {
    let mut wrong_checksum = data(5, "any", b"abc");
    wrong_checksum[20] ^= 1;
    let mut not_opened = Vec::new();
    append_record(&mut not_opened, 0, SWITCH, &[&3u32.to_le_bytes()]);
    let mut short_switch = Vec::new();
    append_record(&mut short_switch, 0, SWITCH, &[&[0; 3]]);
    let mut no_frame = Vec::new();
    append_record(&mut no_frame, 0, CONTROL, &[b"no frame"]);
    let high = LinkControl::Lane { lane: 4096, message_type: "any".into(), epoch: 1, released: 0 };
    let cases = [
        (wrong_checksum, "wrong checksum"),
        (not_opened, "not opened"),
        (short_switch, "not opened"),
        (data(1, "any", b"x"), "before its lane was opened"),
        (no_frame, ""),
        (said(&high), "opens lane 4096"),
        (control_record(&message(r#"{"message_type": "_taken", "source_id": "c1"}"#, b"[1]")), "_taken"),
        (vec![0xff; 16], "over the limit"),
    ];
    for (bytes, why) in cases {
        let mut rig = Rig::server();
        let link = up(&mut rig, 1 << 20, &[]);
        rig.input(link, &bytes);
        assert!(rig.is_closed(link), "{why}");
        let told = rig.events().into_iter().find_map(|e| match e {
            Event::PeerDown { cause: Cause::BadInput(said), .. } => Some(said.clone()),
            _ => None,
        });
        assert!(told.as_ref().is_some_and(|told| told.contains(why)), "{told:?} should say {why:?}");
    }
}

#[test]
fn who_takes_over_what_it_was_not_sent_is_let_go() {
    let mut rig = Rig::server();
    let link = up(&mut rig, 1 << 20, &[]);
    let app = rig.app();
    rig.input(app, &[any_to("c1", b"1"), any_to("c1", &[2; 100])].concat());
    rig.sent_up_to(link, 420);
    rig.input(link, &said(&LinkControl::Taken(vec![(0, FIRST + 3)])));
    assert!(rig.is_closed(link));
}

#[test]
fn words_about_lanes_that_are_not_there_change_nothing() {
    let mut rig = Rig::server();
    let link = up(&mut rig, 1 << 20, &[]);
    let odd = [
        LinkControl::Taken(vec![(7, 9), (u32::MAX, u64::MAX)]),
        LinkControl::Stop { lane: u32::MAX, next: u64::MAX },
        LinkControl::Go { lane: 9 },
    ];
    odd.iter().for_each(|odd| assert_eq!(rig.input(link, &said(odd)), aioconnectors::core::Reading::Open));
    rig.input(link, &control_record(&message(r#"{"message_type": "_later", "source_id": "c1"}"#, b"?")));
    assert!(!rig.is_closed(link));
}

#[test]
fn a_greeting_with_too_many_places_or_none_at_all_is_refused() {
    let many = vec![place("any", 1, 1, 1); PLACES_SAID_MAX + 1];
    let none = message(r#"{"message_type": "_link", "source_id": "c1"}"#, b"{}");
    for first in [hello(1, &many), none] {
        let mut rig = Rig::server();
        let link = rig.accept_link();
        rig.secured(link, Secured::Anonymous);
        rig.input(link, &greeting(HANDSHAKE_NO_SSL, "c1"));
        rig.input(link, &first);
        assert!(rig.is_closed(link));
    }
}

#[test]
fn who_says_goodbye_on_it_is_told_with_its_reason() {
    let mut rig = Rig::server();
    let link = up(&mut rig, 1 << 20, &[]);
    rig.input(link, &control_record(&close("c1", CloseReason::Stopping)));
    rig.closed(link, Cause::ClosedByPeer);
    assert!(told(&rig, |e| matches!(e, Event::PeerDown { cause: Cause::Announced(CloseReason::Stopping), .. })));
}

#[test]
fn a_newer_link_takes_up_where_the_older_was() {
    let mut rig = Rig::server();
    let older = up(&mut rig, 1 << 20, &[]);
    let app = rig.app();
    for n in 0..3 {
        rig.input(app, &any_to("c1", &[n]));
    }
    rig.sent(older);
    let newer = up(&mut rig, 1 << 20, &[place("any", 1, FIRST + 2, FIRST + 1)]);
    assert_eq!(records(&rig.sent(older)).len(), 1, "it is told that it was replaced");
    let again: Vec<_> = records(&rig.sent(newer)).into_iter().filter(|s| matches!(s, Said::Data(..))).collect();
    assert_eq!(again, [Said::Data(FIRST + 2, vec![2])]);
}

#[test]
fn two_that_stop_at_once_do_not_wait_for_each_other() {
    let mut pair = Pair::new();
    let (ours, theirs) = (pair.client.app(), pair.server.app());
    pair.client.input(ours, &any_to(SERVER, b"1"));
    pair.server.input(theirs, &any_to("c1", b"2"));
    pair.client.stop();
    pair.server.stop();
    pair.run();
    pair.pass(Duration::from_secs(2));
    assert!(pair.client.is_closed(pair.ends.0) && pair.server.is_closed(pair.ends.1));
}

#[test]
fn a_peer_that_claims_numbers_without_end_takes_none_from_others() {
    let mut rig = Rig::server();
    for received in [u64::MAX, (1 << 56) - 1, 1 << 55] {
        let link = up(&mut rig, 1 << 20, &[place("any", 1, received, 0)]);
        assert!(rig.is_closed(link), "{received}");
    }
    let (other, app) = (up(&mut rig, 1 << 20, &[]), rig.app());
    rig.input(app, &any_to("c1", b"1"));
    assert!(!rig.sent(other).is_empty());
    assert_eq!(rig.ledger(), [""; 0]);
}
