//! Waiting with acknowledgements, and a connector that brings again what it did not know to be done with.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

use aioconnectors::api::{ConnectorApi, Message};
use aioconnectors::wire::receipts::ReceiverWelcome;
use serde_json::json;
use tempfile::TempDir;

use crate::fake::*;

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

fn say_welcome(connector: &mut UnixStream, inbox: u64, count: u64) {
    connector.write_all(&ReceiverWelcome { inbox, count }.encode()).unwrap();
}

/// Connects as a connector whose inbox has given up `count` messages of its life.
fn connect_at(dir: &TempDir, inbox: u64, count: u64) -> UnixStream {
    let mut connector = connect(&receive_path(dir));
    say_welcome(&mut connector, inbox, count);
    connector
}

/// Waits with acknowledgements, collects what is done with, and gives `refused` back the first time that it comes.
fn collect_with_acks(api: &ConnectorApi, refused: &'static str) -> Arc<Mutex<Vec<String>>> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (into, mut refuses) = (Arc::clone(&seen), true);
    let callback = move |m: Message| {
        if m.text() == Ok(refused) && std::mem::take(&mut refuses) {
            return Err("not now");
        }
        into.lock().unwrap().push(m.text().unwrap().to_owned());
        Ok(())
    };
    api.start_waiting_for_messages_with_acks("any", callback).unwrap();
    seen
}

/// What the app says on a new connection: a hello, and acknowledgements up to `count`.
fn read_acks(connector: &mut UnixStream, count: u64) {
    let mut frames = read_frames(connector, 1);
    let hello = json!({"message_type": "_hello", "acks": true, "resume": true});
    assert_eq!(frames.remove(0).header, hello);
    read_more_acks(connector, frames, 0, count);
}

/// The acknowledgements that come behind number `last`, the first of them in `frames`, up to `count`.
fn read_more_acks(connector: &mut UnixStream, mut frames: Vec<Parts>, mut last: u64, count: u64) {
    loop {
        for Parts { header, .. } in frames {
            assert_eq!(header["message_type"], "_ack");
            let now = header["count"].as_u64().unwrap();
            assert!(now > last && now <= count, "{now} after {last}");
            last = now;
        }
        if last == count {
            return;
        }
        frames = read_frames(connector, 1);
        assert!(!frames.is_empty(), "the connection ends after {last} acknowledgements");
    }
}

#[test]
fn what_the_callback_is_done_with_is_acknowledged() {
    let (dir, api) = client();
    let seen = collect_with_acks(&api, "");
    let mut connector = connect_at(&dir, 1, 0);
    write_messages(&mut connector, 0..1000);
    read_acks(&mut connector, 1000);
    assert_eq!(*seen.lock().unwrap(), numbers(0..1000));
}

#[test]
fn a_message_that_is_given_back_and_all_behind_it_are_not_acknowledged() {
    let (dir, api) = client();
    let seen = collect_with_acks(&api, "3");
    let mut connector = connect_at(&dir, 1, 0);
    write_messages(&mut connector, 0..10);
    read_acks(&mut connector, 3);
    assert!(read_frames(&mut connector, 1).is_empty(), "the connection ends");
    let mut again = connect_at(&dir, 1, 3);
    write_messages(&mut again, 3..10);
    read_acks(&mut again, 7);
    assert_eq!(*seen.lock().unwrap(), numbers(0..10));
}

#[test]
fn messages_ahead_of_the_welcome_count_too() {
    let (dir, api) = client();
    let seen = collect_with_acks(&api, "4");
    let mut connector = connect(&receive_path(&dir));
    write_messages(&mut connector, 0..3);
    say_welcome(&mut connector, 1, 0);
    write_messages(&mut connector, 3..6);
    read_acks(&mut connector, 4);
    let mut again = connect(&receive_path(&dir));
    write_messages(&mut again, 2..6);
    say_welcome(&mut again, 1, 2);
    read_acks(&mut again, 4);
    assert_eq!(*seen.lock().unwrap(), numbers(0..6));
}

#[test]
fn what_a_killed_connector_brings_again_the_callback_does_not_see_again() {
    for known in 0..=5 {
        let (dir, api) = client();
        let seen = collect_with_acks(&api, "");
        let mut connector = connect_at(&dir, 1, 0);
        write_messages(&mut connector, 0..5);
        read_acks(&mut connector, 5);
        drop(connector);
        let mut again = connect_at(&dir, 1, u64::from(known));
        write_messages(&mut again, known..8);
        read_acks(&mut again, u64::from(8 - known));
        assert_eq!(*seen.lock().unwrap(), numbers(0..8), "after {known} acknowledgements");
    }
}

#[test]
fn what_is_still_to_be_read_of_the_old_connection_comes_once_and_in_order() {
    for _ in 0..20 {
        let (dir, api) = client();
        let seen = collect_with_acks(&api, "");
        let mut old = connect_at(&dir, 1, 0);
        write_messages(&mut old, 0..50);
        read_acks(&mut old, 50);
        let mut new = connect_at(&dir, 1, 50);
        write_messages(&mut old, 50..200);
        write_messages(&mut new, 50..300);
        read_acks(&mut new, 250);
        drop(old);
        assert_eq!(*seen.lock().unwrap(), numbers(0..300));
    }
}

#[test]
fn an_inbox_whose_life_began_anew_has_nothing_to_pass_over() {
    let (dir, api) = client();
    let seen = collect_with_acks(&api, "");
    for inbox in [1, 2, 1] {
        let mut connector = connect_at(&dir, inbox, 0);
        write_messages(&mut connector, 0..3);
        read_acks(&mut connector, 3);
    }
    assert_eq!(seen.lock().unwrap().len(), 9);
}

#[test]
fn a_connector_that_says_no_welcome_is_waited_for_once() {
    let (dir, api) = client();
    let seen = collect_with_acks(&api, "");
    let mut connector = connect(&receive_path(&dir));
    write_messages(&mut connector, 0..3);
    read_acks(&mut connector, 3);
    let mut again = connect(&receive_path(&dir));
    write_messages(&mut again, 3..5);
    read_acks(&mut again, 2);
    assert_eq!(*seen.lock().unwrap(), numbers(0..5));
    // An upgrade: now it does, in the middle.
    say_welcome(&mut again, 1, 3);
    write_messages(&mut again, 5..6);
    read_more_acks(&mut again, Vec::new(), 2, 3);
    let mut upgraded = connect_at(&dir, 1, 4);
    write_messages(&mut upgraded, 4..7);
    read_acks(&mut upgraded, 3);
    assert_eq!(*seen.lock().unwrap(), numbers(0..7));
}

#[test]
fn what_came_on_a_connection_that_ended_at_once_is_not_lost() {
    let (dir, api) = client();
    let seen = collect_with_acks(&api, "");
    // Nothing is known of this connector: it may be one that counts as done with what it has written.
    let mut connector = connect(&receive_path(&dir));
    write_messages(&mut connector, 0..3);
    drop(connector);
    wait_until("the messages", || seen.lock().unwrap().len() == 3);
    // This one is known to bring them again.
    let mut connector = connect_at(&dir, 1, 3);
    write_messages(&mut connector, 3..4);
    read_acks(&mut connector, 1);
    drop(connector);
    let mut connector = connect(&receive_path(&dir));
    write_messages(&mut connector, 4..6);
    drop(connector);
    let mut connector = connect_at(&dir, 1, 4);
    write_messages(&mut connector, 4..6);
    read_acks(&mut connector, 2);
    assert_eq!(*seen.lock().unwrap(), numbers(0..6));
}

#[test]
fn what_is_held_back_is_delivered_before_stopping_returns() {
    let (dir, api) = client();
    let seen = collect_with_acks(&api, "");
    let mut connector = connect(&receive_path(&dir));
    write_messages(&mut connector, 0..3);
    assert!(api.stop_waiting_for_messages("any"));
    assert_eq!(*seen.lock().unwrap(), numbers(0..3));
    read_acks(&mut connector, 3);
}

#[test]
fn a_welcome_that_makes_no_sense_ends_its_connection_only() {
    let (dir, api) = client();
    let seen = collect_with_acks(&api, "");
    let twice = ReceiverWelcome { inbox: 1, count: 0 }.encode().repeat(2);
    for words in [frame(r#"{"message_type": "_welcome", "acks": true}"#, b""), twice] {
        let mut connector = connect(&receive_path(&dir));
        connector.write_all(&words).unwrap();
        assert_eq!(read_frames(&mut connector, 5).len(), 1, "a hello, and the end");
    }
    let mut connector = connect_at(&dir, 1, u64::MAX);
    write_messages(&mut connector, 0..1);
    assert_eq!(read_frames(&mut connector, 2).len(), 2, "a hello, and an acknowledgement");
    assert!(seen.lock().unwrap().len() <= 1, "numbers do not overflow");
}
