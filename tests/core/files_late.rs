//! Files on a disk that is busy: what comes is written late, and what cannot be written is known late.

use std::time::Duration;

use aioconnectors::core::{Cause, Event, FileTrouble, Reading};
use aioconnectors::wire::file::{FileControl, Verdict};

use crate::file_frames_in::{acks, app_reads, with_file};
use crate::file_system::QUEUE;
use crate::files::{bytes, check_arrived, plain, send};
use crate::files_faults::{end, offer, opened, piece, said};
use crate::pair::{Pair, told};
use crate::rig::{Rig, message_with_binary, typed_from};

/// Less than may wait to be written.
const SMALL: usize = QUEUE * 3 / 4;

fn stall(rig: &Rig, stalled: bool) {
    rig.files.set_faults(|faults| faults.stalled = stalled);
}

/// The disk goes on.
fn go_on(rig: &mut Rig) {
    stall(rig, false);
    rig.drain();
}

#[test]
fn a_piece_is_said_to_be_there_when_it_is_written() {
    let (mut rig, link) = opened();
    stall(&rig, true);
    rig.input(link, &[offer(5, 1, 10), piece(5, 1, 0, 4)].concat());
    assert_eq!(said(&rig.sent(link)), [FileControl::Have(0)]);
    rig.input(link, &piece(5, 1, 4, 3));
    assert_eq!((said(&rig.sent(link)), rig.files.partial()), (vec![], 0));
    go_on(&mut rig);
    assert_eq!((said(&rig.sent(link)), rig.files.partial()), (vec![FileControl::Have(7)], 7));
    // One that is killed has what it said, and says so.
    stall(&rig, true);
    rig.input(link, &piece(5, 1, 7, 3));
    assert_eq!((said(&rig.sent(link)), rig.files.waiting()), (vec![], 3));
    let rig = rig.crash();
    assert_eq!((rig.files.partial(), rig.files.waiting()), (7, 0));
}

#[test]
fn messages_pass_by_a_file_whose_disk_is_busy() {
    let mut pair = Pair::new();
    stall(&pair.server, true);
    send(&mut pair.client, 1, SMALL);
    pair.pump();
    assert_eq!((pair.server.files.waiting(), pair.server.files.partial()), (SMALL, 0));
    plain(&mut pair.client, 2);
    pair.run();
    assert_eq!(pair.server_read(), [2]);
    go_on(&mut pair.server);
    pair.run();
    assert_eq!(pair.server_read(), [2, 1]);
    check_arrived(&mut pair, &[(1, SMALL)]);
}

#[test]
fn what_finds_no_room_holds_its_link_back_until_the_disk_goes_on() {
    let mut pair = Pair::new();
    stall(&pair.server, true);
    send(&mut pair.client, 1, 3_000_000);
    pair.pump();
    assert!(pair.server.input(pair.ends.1, b"") == Reading::Paused);
    assert!((QUEUE - 64 * 1024..=QUEUE).contains(&pair.server.files.waiting()));
    // The window is full: no more comes than what it holds.
    assert!(pair.client.files.moved().0 <= 1 << 20);
    for _ in 0..1000 {
        go_on(&mut pair.server);
        stall(&pair.server, true);
        pair.pump();
    }
    go_on(&mut pair.server);
    pair.run();
    assert_eq!(pair.server_read(), [1]);
    check_arrived(&mut pair, &[(1, 3_000_000)]);
    assert_eq!(pair.server.files.moved().1, 3_000_000, "no byte was written twice");
}

#[test]
fn a_file_of_another_link_does_not_hold_one_back_for_good() {
    let (mut rig, link) = opened();
    let other = rig.link("c2");
    stall(&rig, true);
    let header = r#"{"message_type": "any", "source_id": "c2", "with_binary": true,
        "with_file": {"src_path": "/there", "dst_name": "g", "dst_type": "t"}}"#;
    rig.input(other, &message_with_binary(header, b"1", &vec![7; QUEUE]));
    rig.input(link, &[offer(5, 1, 10), piece(5, 1, 0, 4)].concat());
    assert!(rig.input(link, &piece(5, 1, 4, 3)) == Reading::Paused);
    // It ends, and what waited of it with it.
    rig.closed(other, Cause::ClosedByPeer);
    go_on(&mut rig);
    assert!(rig.input(link, b"") == Reading::Open);
    assert_eq!(rig.files.partial(), 7);
}

#[test]
fn a_disk_that_fails_late_has_the_file_come_again() {
    // Before its end is known, and behind it.
    for has_ended in [false, true] {
        let (mut rig, link) = opened();
        stall(&rig, true);
        rig.files.set_faults(|faults| faults.room = Some(5));
        rig.input(link, &[offer(5, 1, 10), piece(5, 1, 0, 4), piece(5, 1, 4, 6)].concat());
        if has_ended {
            rig.input(link, &end(5, 1));
        }
        assert_eq!(said(&rig.sent(link)), [FileControl::Have(0)]);
        go_on(&mut rig);
        let told_of = said(&rig.sent(link));
        let is_late = |said: &FileControl| matches!(said, FileControl::Settled(Verdict::Later(_)));
        assert!(told_of.last().is_some_and(is_late), "{told_of:?}");
        assert!(told(&rig, |e| matches!(e, Event::File { trouble: FileTrouble::Waits, .. })));
        assert_eq!((rig.files.open(), rig.files.partial()), (0, 4));
        // What still comes of it is passed over.
        rig.files.set_faults(|faults| faults.room = None);
        let rest = if has_ended { vec![] } else { end(5, 1) };
        rig.input(link, &[rest, offer(5, 2, 10)].concat());
        assert_eq!(said(&rig.sent(link)), [FileControl::Have(4)]);
    }
}

#[test]
fn a_full_disk_that_is_found_late_has_room_later() {
    let mut pair = Pair::new();
    stall(&pair.server, true);
    pair.server.files.set_faults(|faults| faults.room = Some(100_000));
    send(&mut pair.client, 1, SMALL);
    pair.pump();
    go_on(&mut pair.server);
    pair.run();
    assert!(pair.server_read().is_empty());
    pair.server.files.set_faults(|faults| faults.room = None);
    pair.pass(Duration::from_secs(4));
    pair.run();
    assert_eq!(pair.server_read(), [1]);
    check_arrived(&mut pair, &[(1, SMALL)]);
}

#[test]
fn a_link_that_is_cut_while_the_disk_is_busy_goes_on_with_what_is_written() {
    const SIZE: usize = 400_000;
    for cut in (0..SIZE + 2000).step_by(23_011) {
        for lag in [1, 3] {
            let mut pair = Pair::new();
            pair.server.files.set_faults(|faults| (faults.lag, faults.stalled) = (lag, cut % 2 == 0));
            send(&mut pair.client, 1, SIZE);
            pair.left = cut;
            pair.pump();
            pair.reconnect();
            stall(&pair.server, false);
            pair.run();
            assert_eq!(pair.server_read(), [1], "cut after {cut} bytes");
            check_arrived(&mut pair, &[(1, SIZE)]);
            assert_eq!(pair.server.files.moved().1, SIZE as u64, "no byte was written twice, cut after {cut}");
        }
    }
}

#[test]
fn a_plain_frame_with_a_file_waits_for_the_disk_and_keeps_its_order() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    stall(&rig, true);
    let contents = bytes(1, 3 * QUEUE);
    let stream = [with_file("f", b"data", b"own", &contents), typed_from("any", "c1", b"behind")].concat();
    let mut reading = Reading::Open;
    for part in stream.chunks(50_000) {
        reading = rig.input(link, part);
    }
    assert_eq!((reading, rig.files.arrived().len()), (Reading::Paused, 0));
    assert!(rig.files.waiting() <= QUEUE);
    go_on(&mut rig);
    assert_eq!(rig.files.arrived(), [("f".to_owned(), contents)]);
    let data: Vec<Vec<u8>> = app_reads(&mut rig).into_iter().map(|(_, data, _)| data).collect();
    assert_eq!(data, [&b"data"[..], b"behind"]);
    assert_eq!((acks(&mut rig, link), rig.files.open()), (1, 0));
    assert!(rig.input(link, b"") == Reading::Open);
}

#[test]
fn a_plain_frame_whose_file_fails_late_comes_with_the_error() {
    for size in [QUEUE / 2, 3 * QUEUE] {
        let mut rig = Rig::server();
        let link = rig.link("c1");
        stall(&rig, true);
        rig.files.set_faults(|faults| faults.room = Some(1000));
        let contents = bytes(1, size);
        let stream = [with_file("f", b"data", b"", &contents), typed_from("any", "c1", b"behind")].concat();
        for part in stream.chunks(50_000) {
            rig.input(link, part);
        }
        go_on(&mut rig);
        let read = app_reads(&mut rig);
        let data: Vec<&[u8]> = read.iter().map(|(_, data, _)| data.as_slice()).collect();
        assert_eq!(data, [&b"data"[..], b"behind"]);
        assert!(read[0].0["with_file"]["file_error"].as_str().unwrap().contains("no space left"));
        assert_eq!((rig.files.open(), rig.files.waiting(), rig.files.arrived().len()), (0, 0, 0));
    }
}

#[test]
fn a_link_that_ends_while_the_disk_is_busy_leaves_nothing_of_a_plain_frames_file() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    stall(&rig, true);
    let stream = with_file("f", b"data", b"", &bytes(1, 3 * QUEUE));
    for part in stream[..2 * QUEUE].chunks(50_000) {
        rig.input(link, part);
    }
    rig.closed(link, Cause::ClosedByPeer);
    go_on(&mut rig);
    assert_eq!((rig.files.open(), rig.files.waiting(), rig.files.arrived().len()), (0, 0, 0));
}
