//! Receipts: what an app that asked for them is told, and what it may send again.

use std::time::Duration;

use aioconnectors::core::{Cause, Covered, Event, Id, OnFull, Settings, Sync};
use aioconnectors::wire::header::Header;
use aioconnectors::wire::link::LinkControl;
use aioconnectors::wire::names::Role;
use aioconnectors::wire::receipts::{
    FromReceiver, Hello, Level, Receipt, ReceiverWelcome, Refused, RefusedReason, ToSender, Welcome,
};

use crate::link2::{FIRST, said, up};
use crate::pair::{Pair, told};
use crate::rig::{Rig, SERVER, any_to, frames, message, settings, typed_from};

/// What the connector has told an app.
fn heard(rig: &mut Rig, app: Id) -> Vec<ToSender> {
    let told = frames(&rig.sent(app));
    let parse = |header: serde_json::Value| {
        let json = header.to_string();
        ToSender::parse(&Header::parse(json.as_bytes()).unwrap(), json.as_bytes()).unwrap()
    };
    told.into_iter().map(|(header, _)| parse(header)).collect()
}

/// An app that has said hello, and the answer.
fn hello(rig: &mut Rig, receipts: Level, session: Option<&str>) -> (Id, Welcome) {
    let app = rig.app();
    rig.input(app, &Hello { receipts, session: session.map(str::to_owned) }.encode());
    match heard(rig, app).pop() {
        Some(ToSender::Welcome(welcome)) => (app, welcome),
        other => panic!("a welcome is expected: {other:?}"),
    }
}

fn receipt(level: Level, count: u64) -> ToSender {
    ToSender::Receipt(Receipt { level, count })
}

fn refused(index: u64, reason: RefusedReason) -> ToSender {
    ToSender::Refused(Refused { index, reason })
}

fn stores(settings: &mut Settings) {
    settings.persist_send = Covered::All;
    settings.persist_recv = Covered::All;
}

fn send(rig: &mut Rig, app: Id, to: &str, messages: std::ops::Range<u8>) {
    let stream: Vec<u8> = messages.flat_map(|n| any_to(to, &[n])).collect();
    rig.input(app, &stream);
}

fn data(rig: &mut Rig, link: Id) -> Vec<u8> {
    frames(&rig.sent(link)).into_iter().flat_map(|(_, data)| data).collect()
}

#[test]
fn a_welcome_says_who_is_there_and_what_is_granted() {
    for (asked, granted, persistent) in [
        (Level::Accepted, Level::Accepted, false),
        (Level::Stored, Level::Accepted, false),
        (Level::Delivered, Level::Delivered, false),
        (Level::Stored, Level::Stored, true),
    ] {
        let mut rig = Rig::server_with(|s| s.persist_send = if persistent { Covered::All } else { Covered::None });
        let (_, welcome) = hello(&mut rig, asked, None);
        assert_eq!((welcome.level, welcome.connector.as_str(), welcome.count), (granted, SERVER, None));
    }
}

#[test]
fn messages_are_receipted_once_a_turn() {
    let mut rig = Rig::server();
    rig.link("c1");
    let (app, _) = hello(&mut rig, Level::Accepted, None);
    send(&mut rig, app, "c1", 0..5);
    assert_eq!(heard(&mut rig, app), [receipt(Level::Accepted, 5)]);
    send(&mut rig, app, "c1", 5..6);
    assert_eq!(heard(&mut rig, app), [receipt(Level::Accepted, 6)]);
}

#[test]
fn a_refused_message_counts_as_passed() {
    let mut rig = Rig::server();
    rig.link("c1");
    let (app, _) = hello(&mut rig, Level::Accepted, None);
    let strange = message(r#"{"message_type": "strange", "destination_id": "c1"}"#, b"");
    rig.input(app, &[any_to("c1", b"1"), strange, any_to("nobody", b""), any_to("c1", b"2")].concat());
    let expected = [
        refused(2, RefusedReason::TypeNotAllowed),
        refused(3, RefusedReason::UnknownPeer),
        receipt(Level::Accepted, 4),
    ];
    assert_eq!(heard(&mut rig, app), expected);
    assert_eq!(rig.core.ledger().total(), 2, "they are counted as well");
}

#[test]
fn stored_messages_are_receipted_while_the_peer_is_away() {
    let mut rig = Rig::server_with(stores);
    let (app, _) = hello(&mut rig, Level::Stored, None);
    send(&mut rig, app, "c1", 0..3);
    assert_eq!(heard(&mut rig, app), [receipt(Level::Stored, 3)]);
}

#[test]
fn delivered_is_what_the_peer_has_taken_over() {
    let mut rig = Rig::server();
    let link = up(&mut rig, 1 << 20, &[]);
    let (app, _) = hello(&mut rig, Level::Delivered, None);
    send(&mut rig, app, "c1", 0..3);
    rig.sent(link);
    assert_eq!(heard(&mut rig, app), []);
    rig.input(link, &said(&LinkControl::Taken(vec![(0, FIRST + 2)])));
    assert_eq!(heard(&mut rig, app), [receipt(Level::Delivered, 2)]);
}

#[test]
fn delivered_on_a_link_of_the_first_kind_is_what_tcp_has_confirmed() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    let (app, _) = hello(&mut rig, Level::Delivered, None);
    send(&mut rig, app, "c1", 0..3);
    let bytes = rig.sent_unconfirmed(link, usize::MAX).len() as u64;
    assert_eq!(heard(&mut rig, app), []);
    rig.core.confirmed(link, bytes, rig.now);
    rig.drain();
    assert_eq!(heard(&mut rig, app), [receipt(Level::Delivered, 3)]);
}

#[test]
fn delivered_counts_in_the_order_of_sending_whichever_peer_is_faster() {
    let mut rig = Rig::server();
    let (slow, fast) = (rig.link("c1"), rig.link("c2"));
    let (app, _) = hello(&mut rig, Level::Delivered, Some("s"));
    rig.input(app, &[any_to("c2", b""), any_to("c1", b""), any_to("c2", b""), any_to("nobody", b"")].concat());
    rig.sent(fast);
    assert_eq!(heard(&mut rig, app), [refused(4, RefusedReason::UnknownPeer), receipt(Level::Delivered, 1)]);
    rig.sent(slow);
    assert_eq!(heard(&mut rig, app), [receipt(Level::Delivered, 4)]);
}

#[test]
fn what_made_room_for_newer_ones_is_refused_and_counts() {
    let mut rig = Rig::server_with(|s| {
        stores(s);
        s.max_ring_bytes = 3000;
        s.on_full.insert("any".into(), OnFull::DropOldest);
    });
    let (app, _) = hello(&mut rig, Level::Delivered, Some("s"));
    for n in 0..3 {
        rig.input(app, &any_to("c1", &[n; 1000]));
    }
    assert_eq!(heard(&mut rig, app), [refused(1, RefusedReason::QueueFull), receipt(Level::Delivered, 1)]);
}

#[test]
fn a_hello_that_is_not_the_first_and_only_one_ends_the_connection() {
    let again = Hello { receipts: Level::Accepted, session: None }.encode();
    let mut rig = Rig::server();
    rig.link("c1");
    let (app, _) = hello(&mut rig, Level::Accepted, None);
    rig.input(app, &again);
    assert!(rig.is_closed(app));
    let late = rig.app();
    rig.input(late, &any_to("c1", b"x"));
    rig.input(late, &again);
    assert!(rig.is_closed(late));
    assert_eq!(rig.events().iter().filter(|e| matches!(e, Event::AppRefused { .. })).count(), 2);
}

#[test]
fn a_hello_with_a_level_or_a_session_that_cannot_be_ends_the_connection() {
    let long = format!(r#"{{"message_type": "_hello", "receipts": "accepted", "session": "{}"}}"#, "x".repeat(65));
    for header in [r#"{"message_type": "_hello", "receipts": "read"}"#, r#"{"message_type": "_hello"}"#, &long] {
        let mut rig = Rig::server();
        let app = rig.app();
        rig.input(app, &message(header, b""));
        assert!(rig.is_closed(app), "{header}");
    }
}

#[test]
fn a_message_that_is_too_long_is_refused_and_ends_the_connection_but_not_the_session() {
    for level in [Level::Accepted, Level::Delivered] {
        let mut rig = Rig::server_with(|s| s.max_message_size = 1000);
        let link = rig.link("c1");
        let (app, _) = hello(&mut rig, level, Some("s"));
        rig.input(app, &[any_to("c1", b"1"), any_to("c1", &[2; 2000])].concat());
        let said = heard(&mut rig, app);
        assert!(said.contains(&refused(2, RefusedReason::TooLarge)), "{said:?}");
        assert!(rig.is_closed(app));
        rig.sent(link);
        let (again, welcome) = hello(&mut rig, level, Some("s"));
        assert_eq!(welcome.count, Some(2));
        rig.input(again, &any_to("c1", b"3"));
        assert_eq!(data(&mut rig, link), b"3");
        assert_eq!(heard(&mut rig, again), [receipt(level, 3)]);
    }
}

#[test]
fn a_session_goes_on_behind_what_came_on_its_last_connection() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    let (app, welcome) = hello(&mut rig, Level::Accepted, Some("s"));
    assert_eq!(welcome.count, Some(0));
    send(&mut rig, app, "c1", 0..3);
    rig.closed(app, Cause::ClosedByPeer);
    let (again, welcome) = hello(&mut rig, Level::Accepted, Some("s"));
    assert_eq!(welcome.count, Some(3));
    send(&mut rig, again, "c1", 3..5);
    assert_eq!(heard(&mut rig, again), [receipt(Level::Accepted, 5)]);
    assert_eq!(data(&mut rig, link), [0, 1, 2, 3, 4]);
    let (_, other) = hello(&mut rig, Level::Accepted, Some("t"));
    assert_eq!(other.count, Some(0));
}

#[test]
fn what_is_on_its_way_and_is_sent_again_is_passed_over() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    let (app, _) = hello(&mut rig, Level::Delivered, Some("s"));
    send(&mut rig, app, "c1", 0..3);
    rig.closed(app, Cause::ClosedByPeer);
    let (again, welcome) = hello(&mut rig, Level::Delivered, Some("s"));
    assert_eq!(welcome.count, Some(0), "nothing was delivered yet");
    send(&mut rig, again, "c1", 0..4);
    assert_eq!(data(&mut rig, link), [0, 1, 2, 3]);
    assert_eq!(heard(&mut rig, again), [receipt(Level::Delivered, 4)]);
}

#[test]
fn a_newer_connection_takes_the_session_from_the_older() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    let (older, _) = hello(&mut rig, Level::Accepted, Some("s"));
    send(&mut rig, older, "c1", 0..1);
    let (newer, welcome) = hello(&mut rig, Level::Accepted, Some("s"));
    assert!(rig.is_closed(older) && welcome.count == Some(1));
    send(&mut rig, newer, "c1", 1..2);
    assert_eq!(heard(&mut rig, newer), [receipt(Level::Accepted, 2)]);
    assert_eq!(data(&mut rig, link), [0, 1]);
}

#[test]
fn a_session_is_forgotten_when_its_app_was_away_for_long_and_not_while_it_is_there() {
    let mut rig = Rig::server_with(|s| s.session_ttl = Duration::from_secs(100));
    rig.link("c1");
    let (gone, _) = hello(&mut rig, Level::Accepted, Some("gone"));
    let (stays, _) = hello(&mut rig, Level::Accepted, Some("stays"));
    send(&mut rig, gone, "c1", 0..1);
    send(&mut rig, stays, "c1", 1..2);
    rig.closed(gone, Cause::ClosedByPeer);
    rig.pass(Duration::from_secs(80));
    let (again, welcome) = hello(&mut rig, Level::Accepted, Some("gone"));
    assert_eq!(welcome.count, Some(1));
    rig.closed(again, Cause::ClosedByPeer);
    rig.pass(Duration::from_secs(110));
    assert_eq!(hello(&mut rig, Level::Accepted, Some("gone")).1.count, Some(0));
    send(&mut rig, stays, "c1", 2..3);
    assert_eq!(heard(&mut rig, stays).last(), Some(&receipt(Level::Accepted, 2)));
}

#[test]
fn a_session_outlives_a_crash_before_and_after_its_messages_were_saved() {
    for saved in [true, false] {
        let mut rig = Rig::server_with(stores);
        let (app, _) = hello(&mut rig, Level::Stored, Some("s"));
        send(&mut rig, app, "c1", 0..2);
        assert_eq!(heard(&mut rig, app), [receipt(Level::Stored, 2)]);
        if saved {
            send(&mut rig, app, "c1", 2..3);
        } else {
            rig.core.input(app, &any_to("c1", &[2]), rig.now);
        }
        let mut rig = rig.crash();
        let (again, welcome) = hello(&mut rig, Level::Stored, Some("s"));
        assert_eq!(welcome.count, Some(3));
        send(&mut rig, again, "c1", 3..4);
        assert_eq!(heard(&mut rig, again), [receipt(Level::Stored, 4)]);
        let link = rig.link("c1");
        assert_eq!(data(&mut rig, link), [0, 1, 2, 3]);
    }
}

#[test]
fn a_session_hears_nothing_of_what_the_disk_may_not_have() {
    let mut rig = Rig::server_with(|s| {
        stores(s);
        s.sync = Sync::Always;
    });
    let (app, _) = hello(&mut rig, Level::Stored, Some("s"));
    rig.disks.cannot_sync(Some("input/output error"));
    send(&mut rig, app, "c1", 0..2);
    assert_eq!(heard(&mut rig, app), []);
    let again = rig.app();
    rig.input(again, &Hello { receipts: Level::Stored, session: Some("s".to_owned()) }.encode());
    assert_eq!(heard(&mut rig, again), []);
    rig.disks.cannot_sync(None);
    rig.pass(Duration::from_secs(3));
    match heard(&mut rig, again).first() {
        Some(ToSender::Welcome(welcome)) => assert_eq!(welcome.count, Some(2)),
        other => panic!("a welcome is expected: {other:?}"),
    }
}

#[test]
fn a_crash_in_the_turn_of_the_first_message_of_a_session_lets_nothing_come_twice() {
    let mut rig = Rig::server_with(stores);
    let opener = rig.app();
    rig.input(opener, &any_to("c1", b"first"));
    let app = rig.app();
    let hello_frame = Hello { receipts: Level::Stored, session: Some("s".to_owned()) }.encode();
    rig.core.input(app, &[hello_frame, any_to("c1", b"1"), any_to("c1", b"2")].concat(), rig.now);
    let mut rig = rig.crash();
    let (again, welcome) = hello(&mut rig, Level::Stored, Some("s"));
    assert_eq!(welcome.count, Some(2));
    rig.input(again, &any_to("c1", b"3"));
    let link = rig.link("c1");
    assert_eq!(data(&mut rig, link), b"first123");
}

#[test]
fn what_was_stored_before_a_crash_is_receipted_when_it_is_delivered_after_it() {
    let mut rig = Rig::server_with(stores);
    let (app, _) = hello(&mut rig, Level::Delivered, Some("s"));
    send(&mut rig, app, "c1", 0..3);
    let mut rig = rig.crash();
    let (again, welcome) = hello(&mut rig, Level::Delivered, Some("s"));
    assert_eq!(welcome.count, Some(0));
    send(&mut rig, again, "c1", 0..4);
    let link = rig.link("c1");
    assert_eq!(data(&mut rig, link), [0, 1, 2, 3]);
    assert_eq!(heard(&mut rig, again), [receipt(Level::Delivered, 4)]);
}

#[test]
fn what_was_delivered_out_of_order_before_a_crash_holds_nothing_up_after_it() {
    // In order of sending: for c1, which is away; for c2, which has it; for nobody.
    let setup = || {
        let mut rig = Rig::server_with(stores);
        let fast = rig.link("c2");
        let (app, _) = hello(&mut rig, Level::Delivered, Some("s"));
        let no_type = message(r#"{"message_type": "strange", "destination_id": "c1"}"#, b"");
        rig.input(app, &[any_to("c1", b"1"), any_to("c2", b"2"), no_type].concat());
        rig.sent(fast);
        assert!(!heard(&mut rig, app).contains(&receipt(Level::Delivered, 1)));
        rig.crash()
    };
    let mut before = setup();
    let (app, _) = hello(&mut before, Level::Delivered, Some("s"));
    let slow = before.link("c1");
    before.sent(slow);
    assert_eq!(heard(&mut before, app), [receipt(Level::Delivered, 3)]);
    let mut after = setup();
    let slow = after.link("c1");
    after.sent(slow);
    assert_eq!(hello(&mut after, Level::Delivered, Some("s")).1.count, Some(3));
}

#[test]
fn delivered_over_link_2_needs_the_other_side_to_have_stored_it_only() {
    let mut pair = Pair::with(stores);
    let (app, _) = hello(&mut pair.client, Level::Delivered, Some("s"));
    send(&mut pair.client, app, SERVER, 0..3);
    pair.pump();
    assert_eq!(heard(&mut pair.client, app), [receipt(Level::Delivered, 3)]);
    assert!(pair.server_read().is_empty(), "no app has read it");
}

#[test]
fn delivered_over_link_2_to_memory_needs_the_app_to_have_it_also_over_a_cut() {
    let mut pair = Pair::new();
    let (app, _) = hello(&mut pair.client, Level::Delivered, None);
    send(&mut pair.client, app, SERVER, 0..3);
    pair.pump();
    assert_eq!(heard(&mut pair.client, app), []);
    pair.reconnect();
    pair.read();
    pair.pass(Duration::from_secs(2));
    assert_eq!(heard(&mut pair.client, app), [receipt(Level::Delivered, 3)]);
}

#[test]
fn a_connection_without_a_hello_is_told_nothing() {
    let mut rig = Rig::server();
    rig.link("c1");
    let app = rig.app();
    rig.input(app, &[any_to("c1", b"1"), any_to("nobody", b"2")].concat());
    assert_eq!(rig.sent(app), b"");
}

#[test]
fn with_one_message_a_connection_an_app_with_receipts_stays() {
    let mut rig = Rig::server_with(|s| s.preserve_send_socket = false);
    rig.link("c1");
    let (app, _) = hello(&mut rig, Level::Accepted, None);
    send(&mut rig, app, "c1", 0..2);
    assert_eq!(heard(&mut rig, app), [receipt(Level::Accepted, 2)]);
    assert!(!rig.is_closed(app));
}

/// What a receiving app is told of where its connection begins.
fn begins(rig: &mut Rig, app: Id) -> (ReceiverWelcome, Vec<u8>) {
    rig.input(app, &FromReceiver::Acknowledges { resume: true }.encode());
    let mut got = frames(&rig.sent(app));
    let json = got.remove(0).0.to_string();
    let welcome = ReceiverWelcome::parse(&Header::parse(json.as_bytes()).unwrap(), json.as_bytes()).unwrap();
    (welcome, got.into_iter().flat_map(|(_, data)| data).collect())
}

#[test]
fn a_receiver_that_resumes_knows_which_messages_it_gets_again() {
    let mut rig = Rig::new(settings(Role::Server));
    let link = rig.link("c1");
    for n in 0..4 {
        rig.input(link, &typed_from("any", "c1", &[n]));
    }
    let app = rig.open_app();
    let (first, got) = begins(&mut rig, app);
    assert_eq!((first.count, got), (0, vec![0, 1, 2, 3]));
    rig.input(app, &FromReceiver::Done(3).encode());
    rig.closed(app, Cause::ClosedByPeer);
    let again = rig.open_app();
    let (second, got) = begins(&mut rig, again);
    assert_eq!((second, got), (ReceiverWelcome { inbox: first.inbox, count: 3 }, vec![3]));
    assert!(!told(&rig, |e| matches!(e, Event::ReceiverRefused { .. })));
}

#[test]
fn what_a_session_had_in_memory_when_the_process_died_is_sent_again_before_it_counts_as_delivered() {
    let mut rig = Rig::server_with(|s| s.persist_send = Covered::Types(["other".to_owned()].into()));
    rig.link("c1");
    let (app, _) = hello(&mut rig, Level::Delivered, Some("s"));
    send(&mut rig, app, "c1", 0..2);
    let mut rig = rig.crash();
    let link = rig.link("c1");
    let (again, welcome) = hello(&mut rig, Level::Delivered, Some("s"));
    assert_eq!(welcome.count, Some(0));
    send(&mut rig, again, "c1", 0..2);
    assert_eq!(data(&mut rig, link), [0, 1]);
    assert_eq!(heard(&mut rig, again), [receipt(Level::Delivered, 2)]);
}

#[test]
fn what_is_stored_for_one_who_never_comes_holds_up_no_session_after_a_crash() {
    let mut rig = Rig::server_with(stores);
    let other = rig.app();
    send(&mut rig, other, "never", 0..1);
    let (app, _) = hello(&mut rig, Level::Delivered, Some("s"));
    let no_type = message(r#"{"message_type": "strange", "destination_id": "c1"}"#, b"");
    rig.input(app, &[any_to("c1", b"1"), no_type].concat());
    let mut rig = rig.crash();
    let (app, _) = hello(&mut rig, Level::Delivered, Some("s"));
    let link = rig.link("c1");
    assert_eq!(data(&mut rig, link), b"1");
    assert_eq!(heard(&mut rig, app), [receipt(Level::Delivered, 2)]);
}
