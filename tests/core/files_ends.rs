//! Files when connectors stop, and on links of the first kind.

use std::time::Duration;

use aioconnectors::core::{Covered, OnFull, Output};

use crate::files::{bytes, letter, send};
use crate::pair::Pair;
use crate::rig::{Rig, frames, message};

fn is_stopped(rig: &Rig) -> bool {
    rig.outputs.contains(&Output::Stopped)
}

/// Has the pair exchange so many bytes, all in all.
fn some(pair: &mut Pair, bytes: usize) {
    pair.left = bytes;
    pair.pump();
    pair.left = usize::MAX;
}

#[test]
fn a_stored_message_whose_file_is_on_its_way_is_left_when_the_connector_stops() {
    let mut pair = Pair::with(|s| s.persist_send = Covered::All);
    send(&mut pair.client, 1, 300_000);
    some(&mut pair, 100_000);
    pair.client.stop();
    pair.pump();
    pair.client.pass(Duration::from_millis(1));
    pair.pump();
    assert!(pair.server.files.arrived().is_empty(), "nobody waits for it");
    pair.client.pass(Duration::from_secs(2));
    assert!(is_stopped(&pair.client));
    assert_eq!(pair.client.files.open(), 0);
    let mut pair = pair.crash_client();
    pair.pump();
    pair.run();
    assert_eq!(pair.server_read(), [1]);
    assert_eq!(pair.server.files.moved().1, 300_000);
}

#[test]
fn a_message_in_memory_is_waited_for_with_its_file_when_the_connector_stops() {
    let mut pair = Pair::new();
    send(&mut pair.client, 1, 3_000_000);
    some(&mut pair, 100_000);
    pair.client.stop();
    assert!(!is_stopped(&pair.client));
    pair.pump();
    pair.pass(Duration::from_secs(2));
    pair.pass(Duration::from_secs(2));
    assert!(is_stopped(&pair.client));
    assert_eq!(pair.server_read(), [1]);
    assert_eq!(pair.client.ledger(), Vec::<String>::new());
}

#[test]
fn it_is_waited_for_no_longer_than_shutdown_timeout() {
    let mut pair = Pair::new();
    send(&mut pair.client, 1, 300_000);
    some(&mut pair, 100_000);
    pair.client.stop();
    pair.client.pass(Duration::from_secs(11));
    assert!(is_stopped(&pair.client));
    assert_eq!(pair.client.ledger(), ["('10.0.0.1', 10673) any stopping 1"]);
    assert_eq!(pair.client.files.open(), 0);
}

#[test]
fn a_receiver_that_stops_takes_no_more_files_and_keeps_what_it_has_of_one() {
    let mut pair = Pair::with(|s| s.persist_send = Covered::All);
    send(&mut pair.client, 1, 300_000);
    some(&mut pair, 100_000);
    send(&mut pair.client, 2, 10);
    pair.server.stop();
    pair.pump();
    pair.server.pass(Duration::from_secs(11));
    assert!(is_stopped(&pair.server));
    assert_eq!(pair.server.files.open(), 0);
    let mut pair = pair.crash_server();
    pair.pump();
    pair.run();
    assert_eq!(pair.server_read(), [1, 2]);
    assert_eq!(pair.server.files.moved().1, 300_010);
}

#[test]
fn on_a_link_of_the_first_kind_a_message_whose_file_is_not_there_says_so() {
    for is_durable in [false, true] {
        let mut rig = Rig::client_with(|s| {
            s.persist_send = if is_durable { Covered::All } else { Covered::None };
        });
        let link = rig.up();
        let app = rig.app();
        for number in 0..3 {
            rig.input(app, &letter(number, "f1"));
            rig.input(app, &message(r#"{"message_type": "any"}"#, &[10 + number]));
        }
        let sent = rig.sent_unconfirmed(link, usize::MAX);
        let got = frames(&sent);
        assert_eq!(got.len(), 6);
        for (header, data) in got {
            let error = header["with_file"]["file_error"].as_str();
            assert_eq!(error.is_some_and(|e| e.contains("there is no file")), data[0] < 10, "{header}");
        }
        // What TCP has not confirmed goes again.
        rig.closed(link, aioconnectors::core::Cause::Failed("cut".to_owned()));
        rig.pass(Duration::from_secs(5));
        let link = rig.up();
        let again = frames(&rig.sent(link)).len();
        assert_eq!(again, 6);
        rig.closed(link, aioconnectors::core::Cause::Failed("cut".to_owned()));
        rig.pass(Duration::from_secs(5));
        let link = rig.up();
        assert_eq!(rig.sent(link), b"", "all was confirmed");
    }
}

#[test]
fn messages_that_give_way_to_newer_ones_take_their_files_with_them() {
    let mut pair = Pair::with(|s| {
        s.queue_max_bytes = 2000;
        s.on_full.insert("any".to_owned(), OnFull::DropOldest);
    });
    pair.server.files.set_faults(|f| f.busy = true);
    for number in 0..50 {
        send(&mut pair.client, number, 10);
        pair.pump();
    }
    pair.server.files.set_faults(|f| f.busy = false);
    pair.pass(Duration::from_secs(4));
    pair.pass(Duration::from_secs(4));
    let read = pair.server_read();
    assert!(read.len() > 3 && read.len() < 12 && read.last() == Some(&49), "{read:?}");
    assert!(read.is_sorted());
    let last = pair.server.files.arrived().pop();
    assert!(last == Some(("f49".to_owned(), bytes(49, 10))));
    pair.pass(Duration::from_secs(4));
    assert_eq!((pair.client.files.open(), pair.server.files.open(), pair.server.files.remembered()), (0, 0, 0));
    assert!(pair.client.files.has("/f0"), "what was given up stays");
}

#[test]
fn while_messages_wait_a_file_gets_its_share_and_they_get_theirs() {
    let mut pair = Pair::with(|s| s.queue_max_bytes = 64 << 20);
    send(&mut pair.client, 1, 4_000_000);
    some(&mut pair, 50_000);
    let app = pair.client.app();
    let mut messages = 0;
    for _ in 0..200 {
        pair.client.input(app, &message(r#"{"message_type": "any"}"#, &[9; 20_000]));
        pair.client.input(app, &message(r#"{"message_type": "other"}"#, &[9; 20_000]));
        messages += 40_000;
        let bytes = pair.client.sent_up_to(pair.ends.0, 30_000);
        pair.server.input(pair.ends.1, &bytes);
        let bytes = pair.server.sent(pair.ends.1);
        pair.client.input(pair.ends.0, &bytes);
        drop(pair.server.read_apps());
    }
    let file = pair.server.files.moved().1 as usize;
    let whole = 200 * 30_000;
    assert!(messages > whole, "messages alone would fill the link");
    assert!((whole / 4..whole / 2).contains(&file), "a third is the file's, {file} of {whole} were");
}
