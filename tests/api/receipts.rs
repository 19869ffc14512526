//! Many messages that get their receipts, without a session.

use std::os::unix::net::UnixListener;
use std::thread;
use std::time::Duration;

use aioconnectors::api::{ApiError, ConnectorApi, Level, ReceiptError, ReceiptSender, Receipts, RefusedReason, Step};
use aioconnectors::wire::receipts::{Receipt, Refused};

use crate::fake::*;

/// As long as nothing comes of it when nothing is expected.
const SHORT: Duration = Duration::from_millis(20);

/// Opens a sender, which a connector welcomes.
fn open(listener: &UnixListener, receipts: Receipts<'_>) -> (ReceiptSender, Receipted) {
    thread::scope(|scope| {
        let opening = scope.spawn(|| receipts.open().unwrap());
        let (connector, _) = Receipted::welcome(listener, None);
        (opening.join().unwrap(), connector)
    })
}

fn send(api: &ConnectorApi, sender: &mut ReceiptSender, number: u64) -> Result<u64, ApiError> {
    sender.send(api.send_message("any").text(&number.to_string()))
}

fn send_all(api: &ConnectorApi, sender: &mut ReceiptSender, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        assert_eq!(send(api, sender, number).unwrap(), number);
    }
}

/// What stands behind an [`ApiError::Unconfirmed`], and how many are confirmed.
fn unconfirmed(error: ApiError) -> (u64, u64, ApiError) {
    match error {
        ApiError::Unconfirmed { sent, confirmed, source } => (sent, confirmed, *source),
        other => panic!("{other}"),
    }
}

#[test]
fn messages_are_numbered_and_confirmed_while_others_are_on_their_way() {
    let (dir, api) = client();
    let listener = start_connector(&dir);
    let (mut sender, mut connector) = open(&listener, api.receipts(Level::Stored));
    assert_eq!((sender.level(), sender.session(), sender.resumed_at()), (Level::Stored, None, 0));
    thread::scope(|scope| {
        scope.spawn(|| {
            for hundred in 1..=100 {
                assert_eq!(connector.numbers(100), (hundred * 100 - 99..=hundred * 100).collect::<Vec<_>>());
                connector.receipt(Level::Stored, hundred * 100);
            }
        });
        send_all(&api, &mut sender, 1..=10_000);
        assert!(sender.wait_all().unwrap().is_empty());
    });
    assert_eq!((sender.last(), sender.confirmed()), (10_000, 10_000));
}

#[test]
fn one_can_wait_for_a_message() {
    let (dir, api) = client();
    let (mut sender, mut connector) = open(&start_connector(&dir), api.receipts(Level::Accepted).patience(SHORT));
    send_all(&api, &mut sender, 1..=3);
    sender.flush().unwrap();
    assert_eq!(connector.numbers(3), [1, 2, 3]);
    connector.receipt(Level::Accepted, 2);
    wait_until("the receipt", || sender.confirmed() == 2);
    sender.wait_for(2).unwrap();
    let (sent, confirmed, source) = unconfirmed(sender.wait_for(3).unwrap_err());
    assert!(matches!((sent, confirmed), (3, 2)), "{sent} {confirmed}");
    assert!(matches!(source, ApiError::TimedOut { step: Step::AwaitReceipt, .. }), "{source}");
    connector.receipt(Level::Accepted, 3);
    wait_until("the receipt", || sender.confirmed() == 3);
    sender.wait_for(u64::MAX).unwrap();
}

#[test]
fn what_is_refused_is_told_once() {
    let (dir, api) = client();
    let (mut sender, mut connector) = open(&start_connector(&dir), api.receipts(Level::Accepted));
    send_all(&api, &mut sender, 1..=5);
    sender.flush().unwrap();
    connector.numbers(5);
    connector.refuse(4, RefusedReason::TooLarge);
    connector.refuse(2, RefusedReason::Other("tired".into()));
    connector.receipt(Level::Accepted, 3);
    sender.wait_for(3).unwrap();
    let refused = sender.take_refused();
    assert_eq!(refused.iter().map(|r| (r.index, r.reason.word())).collect::<Vec<_>>(), [(2, "tired")]);
    connector.receipt(Level::Accepted, 5);
    let refused = sender.wait_all().unwrap();
    assert_eq!(refused.iter().map(|r| (r.index, r.reason.word())).collect::<Vec<_>>(), [(4, "too_large")]);
    assert!(sender.take_refused().is_empty());
}

#[test]
fn a_full_window_holds_the_sender_up() {
    for (messages, bytes) in [(10, usize::MAX), (u64::MAX, 1200)] {
        let (dir, api) = client();
        let receipts = api.receipts(Level::Delivered).window(messages, bytes).patience(SHORT);
        let (mut sender, mut connector) = open(&start_connector(&dir), receipts);
        let mut sent = 0;
        let (last, confirmed, _) = loop {
            match send(&api, &mut sender, sent + 1) {
                Ok(number) => sent = number,
                Err(error) => break unconfirmed(error),
            }
        };
        assert!(messages == sent || (5..15).contains(&sent), "{sent} of {bytes} bytes");
        assert_eq!((last, confirmed), (sent, 0), "the one that did not fit was not handed over");
        assert_eq!(connector.numbers(sent as usize).last(), Some(&sent), "the full window is written");
        connector.receipt(Level::Delivered, 5);
        wait_until("the receipt", || sender.confirmed() == 5);
        send_all(&api, &mut sender, sent + 1..=sent + 1);
    }
}

#[test]
fn refusals_that_nobody_asks_for_hold_the_sender_up_too() {
    let (dir, api) = client();
    let (mut sender, mut connector) = open(&start_connector(&dir), api.receipts(Level::Accepted).window(3, usize::MAX));
    send_all(&api, &mut sender, 1..=3);
    sender.flush().unwrap();
    (1..=3).for_each(|index| connector.refuse(index, RefusedReason::PeerAway));
    connector.receipt(Level::Accepted, 3);
    sender.wait_for(3).unwrap();
    assert!(matches!(send(&api, &mut sender, 4), Err(ApiError::RefusedUntaken(3))));
    assert_eq!(sender.take_refused().len(), 3);
    send_all(&api, &mut sender, 4..=4);
}

#[test]
fn a_connector_that_must_be_heard_before_it_reads_on_is_heard() {
    let (dir, api) = client();
    let (mut sender, mut connector) = open(&start_connector(&dir), api.receipts(Level::Accepted));
    thread::scope(|scope| {
        scope.spawn(|| {
            connector.stream.set_write_timeout(Some(PATIENCE)).unwrap();
            for index in 1..=20_000 {
                assert_eq!(connector.numbers(1), [index]);
                connector.refuse(index, RefusedReason::QueueFull);
            }
            connector.receipt(Level::Accepted, 20_000);
        });
        send_all(&api, &mut sender, 1..=20_000);
        assert_eq!(sender.wait_all().unwrap().len(), 20_000);
    });
}

#[test]
fn a_broken_connection_says_how_many_are_confirmed_and_is_the_end() {
    let (dir, api) = client();
    let listener = start_connector(&dir);
    let (mut sender, mut connector) = open(&listener, api.receipts(Level::Accepted));
    send_all(&api, &mut sender, 1..=5);
    sender.flush().unwrap();
    connector.numbers(5);
    connector.receipt(Level::Accepted, 3);
    drop(connector);
    let (sent, confirmed, source) = unconfirmed(sender.wait_all().unwrap_err());
    assert_eq!((sent, confirmed), (5, 3));
    assert!(matches!(source, ApiError::Closed { .. }), "{source}");
    assert_eq!(unconfirmed(send(&api, &mut sender, 6).unwrap_err()).1, 3);
    assert_eq!(unconfirmed(sender.wait_all().unwrap_err()).1, 3);
}

#[test]
fn words_that_make_no_sense_end_the_connection() {
    let receipt = |level, count| Receipt { level, count }.encode();
    let refused = |index| Refused { index, reason: RefusedReason::Stopping }.encode();
    let number = |found, least| ReceiptError::Number { found, least, most: 2 };
    for (words, expected) in [
        (receipt(Level::Stored, 3), number(3, 0)),
        (receipt(Level::Stored, u64::MAX), number(u64::MAX, 0)),
        (refused(3), number(3, 1)),
        (receipt(Level::Accepted, 1), ReceiptError::Level { expected: Level::Stored, found: Level::Accepted }),
        (welcome(Level::Stored, None), ReceiptError::OutOfTurn),
    ] {
        let (dir, api) = client();
        let (mut sender, mut connector) = open(&start_connector(&dir), api.receipts(Level::Stored));
        send_all(&api, &mut sender, 1..=2);
        sender.flush().unwrap();
        connector.numbers(2);
        connector.say(&words);
        let (_, confirmed, source) = unconfirmed(sender.wait_all().unwrap_err());
        let ApiError::BadReceipt { source, .. } = source else { panic!("{source}") };
        assert_eq!((confirmed, source), (0, expected));
    }
}

#[test]
fn a_message_may_be_given_up_after_it_was_confirmed() {
    let (dir, api) = client();
    let (mut sender, mut connector) = open(&start_connector(&dir), api.receipts(Level::Accepted));
    send_all(&api, &mut sender, 1..=2);
    sender.flush().unwrap();
    connector.numbers(2);
    connector.receipt(Level::Accepted, 1);
    sender.wait_for(1).unwrap();
    connector.refuse(1, RefusedReason::QueueFull);
    connector.receipt(Level::Accepted, 2);
    assert_eq!(sender.wait_all().unwrap()[0].index, 1);
}

#[test]
fn garbage_ends_the_connection_and_what_came_ahead_of_it_counts() {
    for garbage in [&[1, 0, 0, 0, 0][..], &frame("[]", b""), &[0xff; 4], &frame(r#"{"message_type": "any"}"#, b"")] {
        let (dir, api) = client();
        let (mut sender, mut connector) = open(&start_connector(&dir), api.receipts(Level::Stored));
        send_all(&api, &mut sender, 1..=2);
        sender.flush().unwrap();
        connector.numbers(2);
        let receipt = Receipt { level: Level::Stored, count: 1 }.encode();
        connector.say(&[&receipt, garbage].concat());
        assert_eq!(unconfirmed(sender.wait_all().unwrap_err()).1, 1);
        assert!(connector.next().is_none(), "the connection ends");
    }
}

#[test]
fn a_lower_level_is_an_error_unless_it_will_do() {
    for will_do in [false, true] {
        let (dir, api) = client();
        let listener = start_connector(&dir);
        let receipts = api.receipts(Level::Stored);
        let receipts = if will_do { receipts.or_lower_level() } else { receipts };
        let opened = thread::scope(|scope| {
            let opening = scope.spawn(|| receipts.open());
            Receipted::accept(&listener).0.say(&welcome(Level::Accepted, None));
            opening.join().unwrap()
        });
        match opened {
            Ok(sender) => assert!(will_do && sender.level() == Level::Accepted),
            Err(ApiError::LevelNotGranted { wanted: Level::Stored, granted: Level::Accepted, .. }) => assert!(!will_do),
            Err(error) => panic!("{error}"),
        }
    }
    let (dir, api) = client();
    let listener = start_connector(&dir);
    let error = thread::scope(|scope| {
        let opening = scope.spawn(|| api.receipts(Level::Stored).open().unwrap_err());
        Receipted::accept(&listener).0.say(&welcome(Level::Delivered, None));
        opening.join().unwrap()
    });
    assert!(matches!(error, ApiError::BadReceipt { source: ReceiptError::Level { .. }, .. }), "{error}");
}

#[test]
fn a_connector_that_knows_of_no_receipts_or_is_not_there_is_told_apart() {
    let (dir, api) = client();
    assert!(matches!(api.receipts(Level::Stored).open(), Err(ApiError::NotRunning { .. })));
    let listener = start_connector(&dir);
    let error = api.receipts(Level::Stored).patience(SHORT).open().unwrap_err();
    assert!(matches!(&error, ApiError::NoReceipts { after, .. } if *after == SHORT), "{error}");
    // It is still in line.
    assert!(Receipted::accept(&listener).0.next().is_none());
}

#[test]
fn a_dropped_sender_writes_what_it_has_gathered() {
    let (dir, api) = client();
    let (mut sender, mut connector) = open(&start_connector(&dir), api.receipts(Level::Accepted));
    send_all(&api, &mut sender, 1..=2);
    drop(sender);
    assert_eq!((connector.numbers(2), connector.next().is_none()), (vec![1, 2], true));
}

#[test]
fn a_message_that_cannot_be_sent_has_no_number() {
    let (dir, api) = client();
    let (mut sender, _connector) = open(&start_connector(&dir), api.receipts(Level::Accepted));
    assert!(matches!(sender.send(api.send_message("any").tag("a b")), Err(ApiError::Tag(_))));
    send_all(&api, &mut sender, 1..=1);
}
