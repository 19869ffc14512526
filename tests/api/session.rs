//! Many messages that get their receipts, over the connections of a session.

use std::io::Read;
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::Duration;

use aioconnectors::api::{ApiError, ConnectorApi, Level, ReceiptError, ReceiptSender, Receipts, RefusedReason};
use aioconnectors::wire::receipts::{Receipt, Refused, SESSION_MAX};

use crate::fake::*;

/// As long as nothing comes of it when nothing is expected.
const SHORT: Duration = Duration::from_millis(20);

/// Opens a sender of a session, of which the connector has `count` messages.
fn open(listener: &UnixListener, receipts: Receipts<'_>, count: u64) -> (ReceiptSender, Receipted) {
    thread::scope(|scope| {
        let opening = scope.spawn(|| receipts.open().unwrap());
        let (connector, _) = Receipted::welcome(listener, Some(count));
        (opening.join().unwrap(), connector)
    })
}

fn send_all(api: &ConnectorApi, sender: &mut ReceiptSender, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        assert_eq!(sender.send(api.send_message("any").text(&number.to_string())).unwrap(), number);
    }
}

fn session(api: &ConnectorApi) -> Receipts<'_> {
    api.receipts(Level::Stored).session("s").patience(PATIENCE)
}

fn unconfirmed(error: ApiError) -> (u64, u64, ApiError) {
    match error {
        ApiError::Unconfirmed { sent, confirmed, source } => (sent, confirmed, *source),
        other => panic!("{other}"),
    }
}

/// How many bytes the messages 1 to 4 are.
fn length(api: &ConnectorApi, dir: &tempfile::TempDir) -> usize {
    let (mut sender, mut connector) = open(&start_connector(dir), session(api), 0);
    send_all(api, &mut sender, 1..=4);
    drop(sender);
    let mut bytes = Vec::new();
    connector.stream.read_to_end(&mut bytes).unwrap();
    bytes.len()
}

#[test]
fn a_connector_that_is_killed_at_any_byte_has_each_message_once() {
    let (dir, api) = client();
    let length = length(&api, &dir);
    let listener = start_connector(&dir);
    for cut in 0..=length {
        let (mut sender, connector) = open(&listener, session(&api), 0);
        send_all(&api, &mut sender, 1..=4);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| sender.wait_all().unwrap());
            let mut got = connector.numbers_of(cut);
            let (mut connector, hello) = Receipted::welcome(&listener, Some(got.len() as u64));
            assert_eq!((hello.receipts, hello.session.as_deref()), (Level::Stored, Some("s")));
            got.extend(connector.numbers(4 - got.len()));
            assert_eq!(got, [1, 2, 3, 4], "killed after {cut} of {length} bytes");
            connector.receipt(Level::Stored, 4);
            assert!(waiting.join().unwrap().is_empty());
        });
        assert_eq!((sender.last(), sender.confirmed()), (4, 4));
    }
}

#[test]
fn a_connector_that_is_killed_at_any_byte_of_its_words_has_each_message_once() {
    let (dir, api) = client();
    let listener = start_connector(&dir);
    let refused = Refused { index: 2, reason: RefusedReason::TooLarge }.encode();
    let words = [
        welcome(Level::Stored, Some(0)),
        Receipt { level: Level::Stored, count: 1 }.encode(),
        refused.clone(),
        Receipt { level: Level::Stored, count: 3 }.encode(),
    ]
    .concat();
    for cut in 0..=words.len() {
        let refused = thread::scope(|scope| {
            let sending = scope.spawn(|| {
                let mut sender = session(&api).open().unwrap();
                let next = sender.resumed_at() + 1;
                send_all(&api, &mut sender, next..=4);
                sender.wait_all().unwrap()
            });
            let (mut connector, _) = Receipted::accept(&listener);
            // A connector that is killed has its messages, but not said so.
            connector.say(&words[..welcome(Level::Stored, Some(0)).len().min(cut)]);
            let welcomed = cut >= welcome(Level::Stored, Some(0)).len();
            let had = if welcomed { connector.numbers(4).len() as u64 } else { 0 };
            connector.say(&words[welcome(Level::Stored, Some(0)).len().min(cut)..cut]);
            drop(connector);
            let (mut connector, _) = Receipted::welcome(&listener, Some(had));
            assert_eq!(connector.numbers(4 - had as usize), (had + 1..=4).collect::<Vec<_>>());
            // Who has learnt from the welcome that all is there may be gone.
            connector.try_say(&Receipt { level: Level::Stored, count: 4 }.encode());
            sending.join().unwrap()
        });
        let told = cut >= words.len() - Receipt { level: Level::Stored, count: 3 }.encode().len();
        assert_eq!(refused.len(), usize::from(told), "killed after {cut} bytes");
    }
}

#[test]
fn a_connector_that_is_away_is_waited_for() {
    let (dir, api) = client();
    let (mut sender, mut connector) = thread::scope(|scope| {
        let opening = scope.spawn(|| session(&api).open().unwrap());
        let (connector, _) = Receipted::welcome(&start_connector(&dir), Some(0));
        (opening.join().unwrap(), connector)
    });
    send_all(&api, &mut sender, 1..=3);
    sender.flush().unwrap();
    connector.numbers(3);
    drop(connector);
    std::fs::remove_file(paths(&dir).send()).unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| sender.wait_all().unwrap());
        // There is nobody to connect to for a while.
        thread::sleep(SHORT);
        let (mut connector, _) = Receipted::welcome(&start_connector(&dir), Some(1));
        assert_eq!(connector.numbers(2), [2, 3]);
        connector.receipt(Level::Stored, 3);
        waiting.join().unwrap();
    });
}

#[test]
fn a_connector_that_stays_away_is_an_error_and_nothing_is_lost_by_it() {
    let (dir, api) = client();
    let listener = start_connector(&dir);
    let (mut sender, mut connector) = open(&listener, session(&api).patience(SHORT), 0);
    send_all(&api, &mut sender, 1..=3);
    sender.flush().unwrap();
    connector.numbers(3);
    connector.receipt(Level::Stored, 1);
    wait_until("the receipt", || sender.confirmed() == 1);
    drop((connector, listener));
    let (sent, confirmed, source) = unconfirmed(sender.wait_all().unwrap_err());
    assert!(matches!((sent, confirmed, source), (3, 1, ApiError::NotRunning { .. })));
    let listener = start_connector(&dir);
    thread::scope(|scope| {
        let waiting = scope.spawn(move || {
            while sender.wait_all().is_err() {}
            sender.confirmed()
        });
        loop {
            let (mut connector, _) = Receipted::accept(&listener);
            // Where the welcome comes too late, the next connection is tried.
            if connector.try_say(&welcome(Level::Stored, Some(1))) && connector.numbers(2) == [2, 3] {
                connector.receipt(Level::Stored, 3);
                assert!(connector.next().is_none(), "the sender is dropped");
                break;
            }
        }
        assert_eq!(waiting.join().unwrap(), 3);
    });
}

#[test]
fn a_later_process_goes_on_where_the_session_stands() {
    let (dir, api) = client();
    let (mut sender, mut connector) = open(&start_connector(&dir), session(&api), 7);
    assert_eq!((sender.resumed_at(), sender.last(), sender.confirmed()), (7, 7, 7));
    send_all(&api, &mut sender, 8..=9);
    sender.flush().unwrap();
    assert_eq!(connector.numbers(2), [8, 9]);
    connector.refuse(8, RefusedReason::Ignored);
    connector.receipt(Level::Stored, 9);
    assert_eq!(sender.wait_all().unwrap()[0].index, 8);
}

#[test]
fn a_connector_that_has_forgotten_the_session_is_an_error() {
    let (dir, api) = client();
    let listener = start_connector(&dir);
    let (mut sender, mut connector) = open(&listener, session(&api), 0);
    send_all(&api, &mut sender, 1..=3);
    sender.flush().unwrap();
    connector.numbers(3);
    connector.receipt(Level::Stored, 2);
    drop(connector);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| sender.wait_all().unwrap_err());
        let (_connector, _) = Receipted::welcome(&listener, Some(0));
        let error = waiting.join().unwrap();
        assert!(matches!(error, ApiError::SessionForgotten { confirmed: 2, known: 0, .. }), "{error}");
    });
}

#[test]
fn what_a_connector_has_forgotten_is_sent_again_if_that_is_wanted() {
    let (dir, api) = client();
    let listener = start_connector(&dir);
    let (mut sender, mut connector) = open(&listener, session(&api).send_again_if_forgotten(), 0);
    send_all(&api, &mut sender, 1..=3);
    sender.flush().unwrap();
    connector.numbers(3);
    connector.receipt(Level::Stored, 2);
    drop(connector);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| sender.wait_all().unwrap());
        let (mut connector, _) = Receipted::welcome(&listener, Some(0));
        assert_eq!(connector.numbers(1), [3]);
        connector.refuse(1, RefusedReason::QueueFull);
        connector.receipt(Level::Stored, 1);
        assert_eq!(waiting.join().unwrap()[0].index, 3, "the app's numbers go on");
    });
}

#[test]
fn a_connector_that_has_more_than_was_sent_is_an_error() {
    let (dir, api) = client();
    let listener = start_connector(&dir);
    let (mut sender, connector) = open(&listener, session(&api), 0);
    send_all(&api, &mut sender, 1..=3);
    drop(connector);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| sender.wait_all().unwrap_err());
        let (_connector, _) = Receipted::welcome(&listener, Some(4));
        let (_, confirmed, source) = unconfirmed(waiting.join().unwrap());
        let ApiError::BadReceipt { source, .. } = source else { panic!("{source}") };
        assert_eq!((confirmed, source), (0, ReceiptError::Number { found: 4, least: 0, most: 3 }));
    });
}

#[test]
fn a_lower_level_after_a_restart_is_an_error() {
    let (dir, api) = client();
    let listener = start_connector(&dir);
    let (mut sender, connector) = open(&listener, session(&api), 0);
    send_all(&api, &mut sender, 1..=3);
    drop(connector);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| sender.wait_all().unwrap_err());
        Receipted::accept(&listener).0.say(&welcome(Level::Accepted, Some(0)));
        let (_, _, source) = unconfirmed(waiting.join().unwrap());
        assert!(matches!(source, ApiError::LevelNotGranted { .. }), "{source}");
    });
}

#[test]
fn a_welcome_of_a_session_says_where_it_stands() {
    let (dir, api) = client();
    let listener = start_connector(&dir);
    thread::scope(|scope| {
        let opening = scope.spawn(|| session(&api).open().unwrap_err());
        Receipted::accept(&listener).0.say(&welcome(Level::Stored, None));
        let error = opening.join().unwrap();
        assert!(matches!(error, ApiError::BadReceipt { source: ReceiptError::NoCount, .. }), "{error}");
    });
}

#[test]
fn sessions_have_names_of_the_right_length() {
    let (_dir, api) = client();
    for name in [String::new(), "x".repeat(SESSION_MAX + 1)] {
        let error = api.receipts(Level::Stored).session(name).open().unwrap_err();
        assert!(matches!(error, ApiError::SessionName(_)), "{error}");
    }
}

#[test]
fn a_name_that_is_made_up_is_said_at_every_connection() {
    let (dir, api) = client();
    let listener = start_connector(&dir);
    let (mut sender, connector) = open(&listener, api.receipts(Level::Stored).new_session().patience(PATIENCE), 0);
    let name = sender.session().unwrap().to_owned();
    send_all(&api, &mut sender, 1..=1);
    drop(connector);
    thread::scope(|scope| {
        scope.spawn(|| sender.wait_all().unwrap());
        let (mut connector, hello) = Receipted::welcome(&listener, Some(0));
        assert_eq!(hello.session, Some(name));
        assert_eq!(connector.numbers(1), [1]);
        connector.receipt(Level::Stored, 1);
    });
}

#[test]
fn a_connector_that_goes_when_all_is_confirmed_is_missed_by_the_next_message_only() {
    let (dir, api) = client();
    let listener = start_connector(&dir);
    let (mut sender, mut connector) = open(&listener, session(&api), 0);
    send_all(&api, &mut sender, 1..=2);
    sender.flush().unwrap();
    assert_eq!(connector.numbers(2), [1, 2]);
    connector.receipt(Level::Stored, 2);
    drop(connector);
    assert!(sender.wait_all().unwrap().is_empty());
    send_all(&api, &mut sender, 3..=3);
    thread::scope(|scope| {
        scope.spawn(|| sender.wait_all().unwrap());
        let (mut connector, _) = Receipted::welcome(&listener, Some(2));
        assert_eq!(connector.numbers(1), [3]);
        connector.receipt(Level::Stored, 3);
    });
}
