//! A single message that awaits its receipt.

use std::io::Write;
use std::thread;
use std::time::Duration;

use aioconnectors::api::{ApiError, Level, ReceiptError, RefusedReason};
use aioconnectors::wire::receipts::{Receipt, Refused};

use crate::fake::*;

/// Sends a message, to which the connector says `words` after its welcome, and closes.
fn send(level: Level, words: &[u8]) -> Result<(), ApiError> {
    let (dir, api) = client();
    let connector = start_connector(&dir);
    thread::scope(|scope| {
        let sending = scope.spawn(|| api.send_message("any").text("5").await_receipt(level, PATIENCE));
        let (mut app, hello) = Receipted::welcome(&connector, None);
        assert_eq!((hello.receipts, hello.session), (level, None));
        assert_eq!(app.numbers(1), [5]);
        app.say(words);
        drop(app);
        sending.join().unwrap()
    })
}

fn receipt(level: Level, count: u64) -> Vec<u8> {
    Receipt { level, count }.encode()
}

#[test]
fn the_receipt_is_awaited() {
    for level in [Level::Accepted, Level::Stored, Level::Delivered] {
        send(level, &[receipt(level, 0), receipt(level, 1)].concat()).unwrap();
    }
}

#[test]
fn a_refusal_is_told() {
    let refused = Refused { index: 1, reason: RefusedReason::QueueFull }.encode();
    let error = send(Level::Accepted, &[refused, receipt(Level::Accepted, 1)].concat()).unwrap_err();
    assert!(matches!(&error, ApiError::MessageRefused { reason: RefusedReason::QueueFull, .. }), "{error}");
}

#[test]
fn a_connection_that_ends_leaves_open_what_became_of_the_message() {
    for words in [vec![], receipt(Level::Stored, 0), receipt(Level::Stored, 1)[..9].to_vec()] {
        let error = send(Level::Stored, &words).unwrap_err();
        let ApiError::Unconfirmed { sent: 1, confirmed: 0, source } = &error else { panic!("{error}") };
        assert!(matches!(**source, ApiError::Closed { .. }), "{error}");
    }
}

#[test]
fn words_that_make_no_sense_are_named() {
    let refused = Refused { index: 2, reason: RefusedReason::QueueFull }.encode();
    let number = |found| ReceiptError::Number { found, least: 1, most: 1 };
    let level = ReceiptError::Level { expected: Level::Stored, found: Level::Accepted };
    for (words, expected) in [
        (welcome(Level::Stored, None), ReceiptError::OutOfTurn),
        (receipt(Level::Stored, 2), number(2)),
        (refused, number(2)),
        (receipt(Level::Accepted, 1), level),
    ] {
        let error = send(Level::Stored, &words).unwrap_err();
        let ApiError::Unconfirmed { source, .. } = &error else { panic!("{error}") };
        assert!(matches!(&**source, ApiError::BadReceipt { source, .. } if *source == expected), "{error}");
    }
    for words in [&[1, 0, 0, 0, 0][..], &frame("[]", b""), &frame(r#"{"message_type": "any"}"#, b"")] {
        let error = send(Level::Stored, words).unwrap_err();
        assert!(matches!(error, ApiError::Unconfirmed { .. }), "{error}");
    }
}

#[test]
fn a_message_is_not_sent_to_a_connector_that_grants_less_or_knows_of_no_receipts() {
    let (dir, api) = client();
    let connector = start_connector(&dir);
    thread::scope(|scope| {
        let sending = scope.spawn(|| api.send_message("any").await_receipt(Level::Stored, PATIENCE));
        let (mut app, _) = Receipted::accept(&connector);
        app.say(&welcome(Level::Accepted, None));
        let error = sending.join().unwrap().unwrap_err();
        assert!(matches!(error, ApiError::LevelNotGranted { granted: Level::Accepted, .. }), "{error}");
        assert!(app.next().is_none(), "nothing comes behind the hello");
    });
    thread::scope(|scope| {
        let sending = scope.spawn(|| api.send_message("any").await_receipt(Level::Stored, Duration::from_millis(20)));
        let (mut app, _) = Receipted::accept(&connector);
        let error = sending.join().unwrap().unwrap_err();
        assert!(matches!(error, ApiError::NoReceipts { .. }), "{error}");
        assert!(app.next().is_none(), "nothing comes behind the hello");
    });
}

#[test]
fn waiting_ends_at_the_timeout() {
    let (dir, api) = client();
    let connector = start_connector(&dir);
    let mut timeout = Duration::from_millis(20);
    loop {
        let error = thread::scope(|scope| {
            let sending = scope.spawn(|| api.send_message("any").await_receipt(Level::Stored, timeout));
            let (mut app, _) = Receipted::accept(&connector);
            // If the welcome comes too late, nobody takes it.
            let _ = app.stream.write_all(&welcome(Level::Stored, None));
            sending.join().unwrap().unwrap_err()
        });
        match &error {
            ApiError::NoReceipts { .. } => timeout *= 2,
            ApiError::Unconfirmed { source, .. } if matches!(**source, ApiError::TimedOut { .. }) => return,
            _ => panic!("{error}"),
        }
    }
}
