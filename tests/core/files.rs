//! Messages with files on links of the second kind.

use std::time::Duration;

use aioconnectors::core::{Covered, Event, FileTrouble};
use serde_json::Value;

use crate::pair::{Pair, told};
use crate::rig::{Rig, message, message_with_binary};

/// The header of a message with a file, to the server.
pub fn header(with_file: &str) -> String {
    format!(r#"{{"message_type": "any", "with_file": {with_file}}}"#)
}

/// The message of this number with a file of this name.
pub fn letter(number: u8, name: &str) -> Vec<u8> {
    let with = format!(r#"{{"src_path": "/{name}", "dst_type": "any", "dst_name": "{name}"}}"#);
    message(&header(&with), &[number])
}

/// Bytes of a file, another for each number.
pub fn bytes(number: usize, size: usize) -> Vec<u8> {
    (0..size).map(|at| (at.wrapping_mul(31) ^ (at >> 8) ^ number) as u8).collect()
}

/// An app of the client sends a file.
pub fn send(client: &mut Rig, number: u8, size: usize) {
    let name = format!("f{number}");
    client.files.put(&format!("/{name}"), &bytes(usize::from(number), size));
    let app = client.app();
    client.input(app, &letter(number, &name));
}

pub fn plain(client: &mut Rig, number: u8) {
    let app = client.app();
    client.input(app, &message(r#"{"message_type": "any"}"#, &[number]));
}

/// The error that came with the message that was read last.
fn last_error(rig: &Rig) -> Option<String> {
    let header = rig.headers.last().expect("a message was read");
    header["with_file"]["file_error"].as_str().map(str::to_owned)
}

fn durable() -> Pair {
    Pair::with(|s| (s.persist_send, s.persist_recv) = (Covered::All, Covered::All))
}

/// These files came, once each, in this order, and nothing is left of the work.
pub fn check_arrived(pair: &mut Pair, files: &[(u8, usize)]) {
    // An app that says nothing of acknowledgements has what it was sent after a while.
    pair.pass(Duration::from_secs(2));
    let expected: Vec<_> = files.iter().map(|(n, size)| (format!("f{n}"), bytes(usize::from(*n), *size))).collect();
    let arrived = pair.server.files.arrived();
    let names: Vec<_> = arrived.iter().map(|(name, bytes)| (name.clone(), bytes.len())).collect();
    assert!(arrived == expected, "{names:?} came");
    assert_eq!((pair.client.files.open(), pair.server.files.open()), (0, 0), "all are closed");
    assert_eq!(pair.server.files.remembered(), 0, "what was taken over is forgotten");
}

#[test]
fn a_file_is_in_its_place_when_its_message_comes_and_is_then_removed_at_its_source() {
    for size in [0, 1, 64 * 1024, 64 * 1024 + 1, 3_000_000] {
        let mut pair = Pair::new();
        send(&mut pair.client, 1, size);
        pair.pump();
        assert_eq!(pair.server.files.arrived().len(), 1);
        assert!(pair.client.files.has("/f1"), "its message was not taken over");
        pair.run();
        assert_eq!(pair.server_read(), [1]);
        let header = pair.server.headers[0].clone();
        assert_eq!(header["with_file"]["dst_name"], "f1");
        assert_eq!(header["with_file"]["file_error"], Value::Null);
        check_arrived(&mut pair, &[(1, size)]);
        assert!(!pair.client.files.has("/f1"));
        assert_eq!(pair.client.files.moved().0, size as u64);
        assert_eq!((pair.client.ledger(), pair.server.ledger()), (vec![], vec![]));
    }
}

#[test]
fn with_delete_false_the_source_stays() {
    let mut pair = Pair::new();
    pair.client.files.put("/f1", b"x");
    let app = pair.client.app();
    pair.client.input(app, &message(&header(r#"{"src_path": "/f1", "dst_name": "f1", "delete": false}"#), &[1]));
    pair.run();
    assert_eq!(pair.server.files.arrived().len(), 1);
    assert!(pair.client.files.has("/f1"));
}

#[test]
fn a_source_that_is_another_file_when_the_peer_has_it_stays() {
    let mut pair = Pair::new();
    send(&mut pair.client, 1, 10);
    pair.pump();
    pair.client.files.put("/f1", b"another");
    pair.run();
    pair.pass(Duration::from_secs(2));
    assert!(pair.client.files.has("/f1"));
    assert!(told(&pair.client, |e| matches!(e, Event::File { trouble: FileTrouble::Stays, .. })));
}

#[test]
fn messages_pass_a_file_by() {
    let mut pair = Pair::new();
    send(&mut pair.client, 1, 10_000_000);
    for _ in 0..20 {
        let some = pair.client.sent_up_to(pair.ends.0, 100_000);
        pair.server.input(pair.ends.1, &some);
        let answer = pair.server.sent(pair.ends.1);
        pair.client.input(pair.ends.0, &answer);
    }
    assert!(pair.server.files.partial() > 500_000);
    plain(&mut pair.client, 2);
    // What was begun of a piece goes first, and no more than that.
    let some = pair.client.sent_up_to(pair.ends.0, 70_000);
    pair.server.input(pair.ends.1, &some);
    pair.read();
    assert_eq!(pair.server_read(), [2]);
    pair.run();
    assert_eq!(pair.server_read(), [2, 1]);
    check_arrived(&mut pair, &[(1, 10_000_000)]);
}

#[test]
fn files_of_a_type_come_in_the_order_in_which_they_were_sent() {
    let mut pair = Pair::new();
    let files: Vec<(u8, usize)> = (0..40).map(|n| (n, [100_000, 0, 3][usize::from(n) % 3])).collect();
    for (number, size) in &files {
        send(&mut pair.client, *number, *size);
    }
    pair.run();
    assert_eq!(pair.server_read(), (0..40).collect::<Vec<_>>());
    let mut arrived = pair.server.files.arrived();
    arrived.sort();
    assert_eq!(arrived.len(), 40);
    assert!(arrived.windows(2).all(|two| two[0].0 != two[1].0), "each came once");
    assert_eq!(pair.client.files.open(), 0);
}

#[test]
fn a_file_goes_on_where_it_stopped_wherever_the_link_is_cut() {
    const SIZE: usize = 300_000;
    for cut in (0..SIZE + 2000).step_by(7919).chain([65_000, 65_536 + 500]) {
        for is_durable in [false, true] {
            let mut pair = if is_durable { durable() } else { Pair::new() };
            send(&mut pair.client, 1, SIZE);
            pair.left = cut;
            pair.pump();
            pair.reconnect();
            pair.run();
            assert_eq!(pair.server_read(), [1], "cut after {cut} bytes");
            check_arrived(&mut pair, &[(1, SIZE)]);
            assert_eq!(pair.server.files.moved().1, SIZE as u64, "no byte was written twice, cut after {cut}");
        }
    }
}

#[test]
fn a_file_goes_on_where_it_stopped_when_either_side_or_both_were_killed() {
    const SIZE: usize = 300_000;
    for cut in (200..SIZE + 2000).step_by(20_011) {
        for who in 1..4 {
            let mut pair = durable();
            send(&mut pair.client, 1, SIZE);
            pair.left = cut;
            pair.pump();
            if who & 1 != 0 {
                pair = pair.crash_client();
            }
            if who & 2 != 0 {
                pair = pair.crash_server();
            }
            pair.pump();
            pair.run();
            assert_eq!(pair.server_read(), [1], "cut after {cut} bytes, {who} killed");
            check_arrived(&mut pair, &[(1, SIZE)]);
            assert_eq!(pair.server.files.moved().1, SIZE as u64, "no byte was written twice, cut after {cut}");
        }
    }
}

#[test]
fn what_is_there_of_a_file_whose_message_is_lost_is_forgotten() {
    let mut pair = Pair::new();
    send(&mut pair.client, 1, 300_000);
    pair.left = 100_000;
    pair.pump();
    let mut pair = pair.crash_client();
    pair.pump();
    assert!(pair.server.files.partial() > 60_000);
    send(&mut pair.client, 2, 5);
    pair.run();
    assert_eq!((pair.server_read(), pair.server.files.partial()), (vec![2], 0));
    check_arrived(&mut pair, &[(2, 5)]);
    assert!(pair.client.files.has("/f1"), "what the peer does not have stays");
}

#[test]
fn a_message_whose_file_cannot_be_read_comes_and_says_so() {
    let mut pair = Pair::new();
    let app = pair.client.app();
    pair.client.input(app, &letter(1, "missing"));
    pair.run();
    assert_eq!(pair.server_read(), [1]);
    assert_eq!(last_error(&pair.server).as_deref(), Some("there is no file /missing"));
    let is_it = |e: &Event| matches!(e, Event::File { trouble: FileTrouble::NotSent, file, .. } if file == "/missing");
    assert!(told(&pair.client, is_it));
}

#[test]
fn a_file_that_is_refused_stays_and_both_sides_and_the_app_are_told_why() {
    let mut pair = Pair::new();
    pair.client.files.put("/x", b"abc");
    let app = pair.client.app();
    pair.client.input(app, &message(&header(r#"{"src_path": "/x", "dst_name": "../x"}"#), &[1]));
    pair.run();
    assert_eq!(pair.server_read(), [1]);
    assert_eq!(last_error(&pair.server).as_deref(), Some("../x leads elsewhere"));
    assert!(pair.client.files.has("/x"));
    assert!(told(&pair.client, |e| matches!(e, Event::File { trouble: FileTrouble::NotTaken, .. })));
    assert!(told(&pair.server, |e| matches!(e, Event::File { trouble: FileTrouble::Refused, .. })));
    assert_eq!((pair.client.files.open(), pair.server.files.open()), (0, 0));
}

#[test]
fn a_file_without_room_waits_and_nothing_else_does() {
    let mut pair = Pair::new();
    pair.server.files.set_faults(|f| f.room = Some(200_000));
    send(&mut pair.client, 1, 300_000);
    plain(&mut pair.client, 2);
    pair.run();
    assert_eq!(pair.server_read(), [2]);
    for _ in 0..5 {
        pair.pass(Duration::from_secs(4));
    }
    let waits = |rig: &Rig| {
        let waits = |e: &&Event| matches!(e, Event::File { trouble: FileTrouble::Waits, .. });
        rig.events().into_iter().filter(waits).count()
    };
    assert_eq!((waits(&pair.client), waits(&pair.server)), (1, 1), "each is told once");
    assert_eq!((pair.client.files.open(), pair.server.files.open()), (0, 0));
    pair.server.files.set_faults(|f| f.room = None);
    pair.pass(Duration::from_secs(4));
    assert_eq!(pair.server_read(), [2, 1]);
    check_arrived(&mut pair, &[(1, 300_000)]);
    assert!(pair.server.files.moved().1 < 320_000, "what was there was gone on with");
}

#[test]
fn a_source_that_cannot_be_opened_for_now_is_tried_again() {
    let mut pair = Pair::new();
    pair.client.files.set_faults(|f| f.busy = true);
    send(&mut pair.client, 1, 10);
    pair.run();
    assert_eq!(pair.server_read(), [0; 0]);
    pair.client.files.set_faults(|f| f.busy = false);
    pair.pass(Duration::from_secs(4));
    assert_eq!(pair.server_read(), [1]);
}

#[test]
fn a_source_that_is_changed_while_it_is_sent_comes_again_from_its_beginning() {
    let mut pair = Pair::new();
    pair.client.files.set_faults(|f| f.change_after = Some(100_000));
    send(&mut pair.client, 1, 300_000);
    pair.run();
    assert_eq!(pair.server_read(), [1]);
    let changed: Vec<u8> = bytes(1, 300_000).iter().map(|byte| byte.wrapping_add(1)).collect();
    assert!(pair.server.files.arrived() == [("f1".to_owned(), changed)]);
    assert_eq!(last_error(&pair.server), None);
}

#[test]
fn a_source_that_is_changed_again_and_again_is_given_up() {
    let mut pair = Pair::new();
    send(&mut pair.client, 1, 200_000);
    for _ in 0..10 {
        pair.client.files.set_faults(|f| f.change_after = Some(0));
        pair.pump();
        pair.read();
    }
    pair.client.files.set_faults(|f| f.change_after = None);
    pair.run();
    // Each attempt reads a changed file whole, and finds out at its end.
    assert!(pair.client.files.moved().0 <= 4 * 200_000, "{:?}", pair.client.files.moved());
    assert_eq!(pair.server_read(), [1]);
    assert!(pair.client.files.has("/f1"));
}

#[test]
fn what_was_damaged_on_its_way_comes_again() {
    let mut pair = Pair::new();
    pair.server.files.set_faults(|f| f.flips = true);
    send(&mut pair.client, 1, 200_000);
    pair.run();
    assert_eq!(pair.server_read(), [1]);
    check_arrived(&mut pair, &[(1, 200_000)]);
    assert_eq!(pair.client.files.moved().0, 400_000);
}

#[test]
fn work_that_takes_long_is_waited_for() {
    let mut pair = durable();
    pair.client.files.set_faults(|f| f.slow = 3);
    pair.server.files.set_faults(|f| f.slow = 2);
    send(&mut pair.client, 1, 200_000);
    send(&mut pair.client, 2, 0);
    pair.left = 150_000;
    pair.pump();
    pair.reconnect();
    pair.run();
    assert_eq!(pair.server_read(), [1, 2]);
    assert_eq!(pair.server.files.moved().1, 200_000);
    assert_eq!((pair.client.files.open(), pair.server.files.open()), (0, 0));
}

#[test]
fn with_file_that_is_not_as_it_must_be_goes_as_an_error() {
    for (with, why) in [
        ("7", "not an object"),
        ("\"/f1\"", "not an object"),
        ("[1]", "not an object"),
        (r#"{"dst_name": "f1"}"#, "no src_path"),
        (r#"{"src_path": null}"#, "not a string"),
        (r#"{"src_path": ["/f1"]}"#, "not a string"),
    ] {
        let mut pair = Pair::new();
        let app = pair.client.app();
        pair.client.input(app, &message(&header(with), &[1]));
        pair.run();
        assert_eq!(pair.server_read(), [1]);
        assert!(last_error(&pair.server).is_some_and(|error| error.contains(why)), "{with}");
    }
}

#[test]
fn an_apps_own_binary_comes_as_it_was() {
    for path in ["/f1", "/missing"] {
        let mut pair = Pair::new();
        pair.client.files.put("/f1", b"file");
        let app = pair.client.app();
        let header = format!(
            r#"{{"message_type": "any", "with_binary": true, "with_file": {{"src_path": "{path}", "dst_name": "f1"}}}}"#
        );
        pair.client.input(app, &message_with_binary(&header, b"d", b"binary"));
        pair.pump();
        let app = pair.server.open_app();
        let sent = pair.server.sent(app);
        let frame = aioconnectors::wire::frame::Frame::parse(&sent).unwrap();
        assert_eq!((frame.data(), frame.binary()), (&b"d"[..], Some(&b"binary"[..])));
    }
}

#[test]
fn an_answer_may_have_a_file() {
    let mut pair = Pair::new();
    let asker = pair.server.app();
    let request = r#"{"message_type": "any", "destination_id": "c1", "await_response": true, "request_id": "r"}"#;
    pair.server.input(asker, &message(request, b"?"));
    pair.pump();
    pair.client.files.put("/f1", b"file");
    let app = pair.client.app();
    let answer = r#"{"message_type": "any", "response_id": "r", "with_file": {"src_path": "/f1", "dst_name": "f1"}}"#;
    pair.client.input(app, &message(answer, b"!"));
    pair.pump();
    let answered = crate::rig::frames(&pair.server.sent(asker));
    assert_eq!((answered.len(), &answered[0].1[..]), (1, &b"!"[..]));
    assert_eq!(pair.server.files.arrived().len(), 1);
}

#[test]
fn the_two_lanes_of_a_type_have_places_of_their_own() {
    let mut pair = durable();
    for number in 0..4 {
        send(&mut pair.client, 2 * number, 1000);
        plain(&mut pair.client, 2 * number + 1);
    }
    pair.left = 2500;
    pair.pump();
    let mut pair = pair.crash_server();
    pair.pump();
    let mut pair = pair.crash_client();
    pair.run();
    let mut read = pair.server_read();
    read.sort_unstable();
    assert_eq!(read, (0..8).collect::<Vec<u8>>());
    assert_eq!(pair.server.files.arrived().len(), 4);
}

#[test]
fn more_files_than_may_be_open_wait_for_others_and_each_type_has_one_at_least() {
    const TYPES: usize = 30;
    let types = || (0..TYPES).map(|n| format!("t{n}"));
    let mut pair = Pair::with(|s| {
        s.send_types = types().collect();
        s.recv_types = types().collect();
    });
    let app = pair.client.app();
    for number in 0..TYPES * 10 {
        let (of_type, name) = (number % TYPES, format!("f{number}"));
        pair.client.files.put(&format!("/{name}"), &bytes(number, 100));
        let header = format!(
            r#"{{"message_type": "t{of_type}", "with_file": {{"src_path": "/{name}", "dst_name": "{name}"}}}}"#
        );
        pair.client.input(app, &message(&header, &[number as u8]));
    }
    let offers = pair.client.sent(pair.ends.0);
    let open = pair.client.files.open();
    assert!((128..128 + TYPES).contains(&open), "{open} are open");
    pair.server.input(pair.ends.1, &offers);
    pair.run();
    assert_eq!((pair.server.files.arrived().len(), pair.client.files.open()), (TYPES * 10, 0));
    assert_eq!(pair.server.read_apps().len() + pair.read.1.len(), TYPES * 10);
}

#[test]
fn stored_messages_wait_for_their_files_and_do_not_hold_their_app_up() {
    let mut pair = durable();
    pair.server.files.set_faults(|f| f.busy = true);
    pair.client.files.put("/f", b"x");
    let app = pair.client.app();
    for number in 0..2000_usize {
        let with = r#"{"src_path": "/f", "dst_name": "f", "delete": false}"#;
        let reading = pair.client.input(app, &message(&header(with), &vec![number as u8; 1000]));
        // The first waits for the queue's file.
        assert!(number == 0 || reading == aioconnectors::core::Reading::Open, "message {number}");
    }
    pair.server.files.set_faults(|f| f.busy = false);
    pair.pass(Duration::from_secs(4));
    pair.pass(Duration::from_secs(4));
    assert_eq!(pair.read.1.len(), 2000);
    assert!(pair.client.files.has("/f"));
}

#[test]
fn long_headers_of_files_never_fill_a_link_with_what_is_said_of_them() {
    let mut pair = Pair::new();
    let app = pair.client.app();
    for number in 0..20 {
        let name = format!("f{number}");
        pair.client.files.put(&format!("/{name}"), &bytes(number, 100));
        let header = format!(
            r#"{{"message_type": "any", "long": "{}", "with_file": {{"src_path": "/{name}", "dst_name": "{name}"}}}}"#,
            "x".repeat(60_000)
        );
        pair.client.input(app, &message(&header, &[number as u8]));
    }
    let first = pair.client.sent(pair.ends.0);
    assert!(first.len() < 200_000, "{} bytes are said at once, more than may wait", first.len());
    pair.server.input(pair.ends.1, &first);
    pair.run();
    assert_eq!(pair.server_read(), (0..20).collect::<Vec<_>>());
}
