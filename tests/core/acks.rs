//! Apps that acknowledge what they get: what they have not acknowledged comes again.

use std::time::Duration;

use aioconnectors::core::{Cause, Event, Id, Output, Reading};
use aioconnectors::wire::receipts::FromReceiver;

use crate::rig::{Rig, frames, message, typed_from};

fn one(n: u8) -> Vec<u8> {
    typed_from("any", "c1", &[n])
}

fn feed(rig: &mut Rig, link: Id, numbers: std::ops::Range<u8>) {
    rig.input(link, &numbers.flat_map(one).collect::<Vec<u8>>());
}

/// The numbers that are sent to an app.
fn got(rig: &mut Rig, app: Id) -> Vec<u8> {
    frames(&rig.sent(app)).into_iter().map(|(_, data)| data[0]).collect()
}

fn say(rig: &mut Rig, app: Id, said: FromReceiver) -> Reading {
    rig.input(app, &said.encode())
}

/// A connection to an app that acknowledges.
fn open(rig: &mut Rig) -> Id {
    let app = rig.open_app();
    say(rig, app, FromReceiver::Acknowledges { resume: false });
    app
}

#[test]
fn what_was_not_acknowledged_comes_again_in_order_on_the_next_connection() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    feed(&mut rig, link, 0..5);
    let app = open(&mut rig);
    assert_eq!(got(&mut rig, app), [0, 1, 2, 3, 4]);
    say(&mut rig, app, FromReceiver::Done(2));
    rig.closed(app, Cause::ClosedByPeer);
    feed(&mut rig, link, 5..6);
    let again = open(&mut rig);
    assert_eq!(got(&mut rig, again), [2, 3, 4, 5]);
    say(&mut rig, again, FromReceiver::Done(4));
    rig.closed(again, Cause::ClosedByPeer);
    assert_eq!((rig.dialled_app(), rig.ledger()), (Some(again), vec![]), "nothing is left");
}

#[test]
fn what_was_sent_before_the_hello_waits_for_its_acknowledgement_too() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    feed(&mut rig, link, 0..2);
    let app = rig.open_app();
    got(&mut rig, app);
    say(&mut rig, app, FromReceiver::Acknowledges { resume: false });
    say(&mut rig, app, FromReceiver::Done(1));
    rig.closed(app, Cause::ClosedByPeer);
    let again = rig.open_app();
    assert_eq!(got(&mut rig, again), [1]);
}

#[test]
fn a_hello_that_comes_late_takes_nothing_back_and_counts_what_was_sent() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    feed(&mut rig, link, 0..2);
    let app = rig.open_app();
    got(&mut rig, app);
    rig.pass(Duration::from_secs(2));
    say(&mut rig, app, FromReceiver::Acknowledges { resume: false });
    feed(&mut rig, link, 2..4);
    got(&mut rig, app);
    say(&mut rig, app, FromReceiver::Done(3));
    rig.closed(app, Cause::ClosedByPeer);
    let again = rig.open_app();
    assert_eq!(got(&mut rig, again), [3]);
}

#[test]
fn after_a_late_hello_acknowledgements_begin_with_the_first_message_of_the_connection() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    feed(&mut rig, link, 0..4);
    let app = rig.open_app();
    got(&mut rig, app);
    rig.pass(Duration::from_secs(2));
    say(&mut rig, app, FromReceiver::Acknowledges { resume: false });
    for done in 1..=4 {
        say(&mut rig, app, FromReceiver::Done(done));
    }
    assert!(!rig.is_closed(app), "{:?}", rig.events());
    feed(&mut rig, link, 4..6);
    assert_eq!(got(&mut rig, app), [4, 5]);
    say(&mut rig, app, FromReceiver::Done(5));
    say(&mut rig, app, FromReceiver::Done(2));
    assert!(rig.is_closed(app), "what was acknowledged cannot be taken back");
    rig.pass(Duration::from_millis(60));
    let again = rig.open_app();
    assert_eq!(got(&mut rig, again), [5]);
}

#[test]
fn an_app_that_never_says_hello_gets_nothing_twice() {
    for wait in [0, 2] {
        let mut rig = Rig::server();
        let link = rig.link("c1");
        feed(&mut rig, link, 0..2);
        let app = rig.open_app();
        got(&mut rig, app);
        rig.pass(Duration::from_secs(wait));
        rig.closed(app, Cause::ClosedByPeer);
        feed(&mut rig, link, 2..3);
        let again = rig.open_app();
        assert_eq!(got(&mut rig, again), [2]);
    }
}

#[test]
fn an_app_that_acknowledged_before_and_ends_before_it_says_so_again_gets_it_all_again() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    feed(&mut rig, link, 0..2);
    let app = open(&mut rig);
    got(&mut rig, app);
    rig.closed(app, Cause::ClosedByPeer);
    let slow = rig.open_app();
    assert_eq!(got(&mut rig, slow), [0, 1]);
    rig.pass(Duration::from_secs(5));
    rig.closed(slow, Cause::ClosedByPeer);
    let again = open(&mut rig);
    assert_eq!(got(&mut rig, again), [0, 1]);
}

#[test]
fn a_flood_does_not_wait_for_a_hello() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    rig.input(link, &one(0));
    let app = rig.open_app();
    let piece = typed_from("any", "c1", &[7; 100_000]);
    for _ in 0..200 {
        rig.input(link, &piece);
        rig.sent(app);
        rig.pass(Duration::ZERO);
    }
    assert_eq!(rig.input(link, &piece), Reading::Open);
}

#[test]
fn an_acknowledgement_of_what_was_not_sent_ends_the_connection_and_loses_nothing() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    feed(&mut rig, link, 0..2);
    for wrong in [FromReceiver::Done(3), FromReceiver::Done(u64::MAX)] {
        let app = open(&mut rig);
        got(&mut rig, app);
        say(&mut rig, app, wrong);
        assert!(rig.is_closed(app));
        rig.pass(Duration::from_millis(60));
    }
    let told = rig.events().iter().filter(|e| matches!(e, Event::ReceiverRefused { .. })).count();
    assert_eq!(told, 2);
    let app = open(&mut rig);
    assert_eq!(got(&mut rig, app), [0, 1]);
}

#[test]
fn an_acknowledgement_without_a_hello_and_garbage_end_the_connection() {
    let garbage = b"\xff\xff\xff\xff".to_vec();
    for bytes in [FromReceiver::Done(0).encode(), message(r#"{"message_type": "any"}"#, b""), garbage] {
        let mut rig = Rig::server();
        let link = rig.link("c1");
        feed(&mut rig, link, 0..1);
        let app = rig.open_app();
        rig.input(app, &bytes);
        assert!(rig.is_closed(app) && !rig.is_closed(link));
        assert!(
            matches!(rig.events()[..], [Event::PeerUp { .. }, Event::ReceiverRefused { .. }]),
            "{:?}",
            rig.events()
        );
    }
}

#[test]
fn what_was_not_acknowledged_waits_while_its_app_is_away() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    feed(&mut rig, link, 0..2);
    let app = open(&mut rig);
    got(&mut rig, app);
    rig.closed(app, Cause::ClosedByPeer);
    for _ in 0..5 {
        let dialled = rig.dialled_app().unwrap();
        rig.closed(dialled, Cause::NoListener);
        rig.pass(Duration::from_millis(1100));
        assert_ne!(rig.dialled_app(), Some(dialled), "it is looked for again");
    }
    let back = open(&mut rig);
    assert_eq!((got(&mut rig, back), rig.ledger()), (vec![0, 1], vec![]));
}

#[test]
fn an_app_that_is_away_does_not_hold_up_others_however_much_waits_for_it() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    feed(&mut rig, link, 0..1);
    let app = open(&mut rig);
    got(&mut rig, app);
    rig.closed(app, Cause::ClosedByPeer);
    let dialled = rig.dialled_app().unwrap();
    rig.closed(dialled, Cause::NoListener);
    for _ in 0..100 {
        assert_eq!(rig.input(link, &typed_from("any", "c1", &[7; 100_000])), Reading::Open);
        if let Some(dialled) = rig.dialled_app().filter(|id| !rig.is_closed(*id)) {
            rig.closed(dialled, Cause::NoListener);
        }
    }
    let dropped: u64 = rig.core.ledger().total();
    assert!((50..100).contains(&dropped), "the queue is bounded, what does not fit is counted: {dropped}");
}

#[test]
fn a_link_waits_for_acknowledgements_when_the_queue_is_full_of_what_lacks_them() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    rig.input(link, &one(0));
    let app = open(&mut rig);
    let piece = typed_from("any", "c1", &[7; 100_000]);
    let mut sent = 0;
    while rig.input(link, &piece) == Reading::Open {
        sent += frames(&rig.sent(app)).len();
    }
    sent += frames(&rig.sent(app)).len();
    assert!(!rig.is_resumed(link), "all is sent and nothing is acknowledged");
    say(&mut rig, app, FromReceiver::Done(sent as u64));
    assert!(rig.is_resumed(link));
}

#[test]
fn an_app_that_acknowledges_nothing_is_waited_for_no_longer_than_one_that_does_not_read() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    rig.input(link, &one(0));
    let app = open(&mut rig);
    let piece = typed_from("any", "c1", &[7; 100_000]);
    while rig.input(link, &piece) == Reading::Open {
        rig.sent(app);
    }
    rig.sent(app);
    rig.pass(Duration::from_secs(102));
    assert!(rig.is_resumed(link));
    assert!(rig.events().iter().any(|e| matches!(e, Event::AppStalled { .. })));
}

#[test]
fn with_one_message_a_connection_the_acknowledgement_ends_it() {
    let mut rig = Rig::server_with(|s| s.preserve_receive_socket = false);
    let link = rig.link("c1");
    feed(&mut rig, link, 0..2);
    for n in 0..2 {
        let app = open(&mut rig);
        assert_eq!(got(&mut rig, app), [n]);
        assert!(!rig.is_closed(app), "it waits for the acknowledgement");
        say(&mut rig, app, FromReceiver::Done(1));
        assert!(rig.is_closed(app));
    }
    assert_eq!(rig.ledger(), Vec::<String>::new());
}

#[test]
fn what_is_not_acknowledged_when_the_time_to_stop_is_over_is_in_the_ledger() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    feed(&mut rig, link, 0..3);
    let app = open(&mut rig);
    got(&mut rig, app);
    say(&mut rig, app, FromReceiver::Done(1));
    rig.stop();
    rig.pass(Duration::from_secs(11));
    assert!(rig.outputs.contains(&Output::Stopped));
    assert_eq!(rig.ledger(), ["c1 any stopping 2"]);
}
