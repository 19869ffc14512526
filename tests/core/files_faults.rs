//! Files of a peer that does not do what it must.

use aioconnectors::core::{Cause, Covered, Event, FileTrouble, Id, Reading};
use aioconnectors::wire::control::own_frame;
use aioconnectors::wire::file::{FileControl, Offered, PIECE_MAX, Piece, TransferId, Verdict, lane_name};
use aioconnectors::wire::frame::Frame;
use aioconnectors::wire::header::Header;
use aioconnectors::wire::record::{CONTROL, FILE, Head, append_record, read_record};

use crate::files::bytes;
use crate::link2::{control_record, lane, up};
use crate::pair::told;
use crate::rig::{Rig, message};

const HEADER: &str = r#"{"message_type": "any", "source_id": "c1", "with_file": {"src_path": "/f", "dst_name": "f"}}"#;

fn id(number: u64, attempt: u32) -> TransferId {
    TransferId { lane: 0, number, attempt }
}

fn say(id: TransferId, said: &FileControl) -> Vec<u8> {
    control_record(&said.encode("c1", id, HEADER.as_bytes()))
}

pub fn offer(number: u64, attempt: u32, size: u64) -> Vec<u8> {
    say(id(number, attempt), &FileControl::Offer(Offered::File { size, changed: 1, inode: 1 }))
}

fn failed(number: u64, attempt: u32) -> Vec<u8> {
    say(id(number, attempt), &FileControl::Offer(Offered::Failed("it is gone".to_owned())))
}

pub fn end(number: u64, attempt: u32) -> Vec<u8> {
    say(id(number, attempt), &FileControl::End([7; 32]))
}

fn piece_of(id: TransferId, offset: u64, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    append_record(&mut out, id.number, FILE, &[&Piece::head(id, offset), bytes]);
    out
}

pub fn piece(number: u64, attempt: u32, offset: u64, length: usize) -> Vec<u8> {
    piece_of(id(number, attempt), offset, &bytes(0, length))
}

fn letter(number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    append_record(&mut out, number, 0, &[&message(HEADER, b"x")]);
    out
}

/// A server and the link of a client that the test plays, which has opened a lane of files.
pub fn opened() -> (Rig, Id) {
    let mut rig = Rig::server();
    let link = up(&mut rig, 1 << 20, &[]);
    rig.input(link, &lane(0, &lane_name("any"), 1));
    rig.sent(link);
    (rig, link)
}

/// What is said of files.
pub fn said(mut bytes: &[u8]) -> Vec<FileControl> {
    let mut out = Vec::new();
    while let Some(head) = Head::at(bytes, 0) {
        let (one, rest) = bytes.split_at(head.size());
        let (view, body) = read_record(one).unwrap();
        if view.flags == CONTROL {
            let frame = Frame::parse(body).unwrap();
            let header = Header::parse(frame.header()).unwrap();
            out.extend(FileControl::parse(&header, frame.data()).unwrap().map(|said| said.1));
        }
        bytes = rest;
    }
    out
}

/// The link is ended for what was said, and nothing is left open.
fn check_refused(before: &[Vec<u8>], last: &[u8], why: &str) {
    let (mut rig, link) = opened();
    for one in before {
        rig.input(link, one);
        assert!(!rig.is_closed(link), "it is ended too early, when this should be the cause: {why}");
    }
    assert_eq!(rig.input(link, last), Reading::Paused, "{why}");
    let is_it = |e: &Event| matches!(e, Event::PeerDown { cause: Cause::BadInput(what), .. } if what.contains(why));
    assert!(told(&rig, is_it), "{why} is not in {:?}", rig.events());
    assert_eq!(rig.files.open(), 0);
}

#[test]
fn a_peer_that_says_what_it_must_not_is_let_go_with_the_cause() {
    let offered = || vec![offer(5, 1, 10)];
    check_refused(&[], &piece(5, 1, 0, 3), "was not offered");
    check_refused(&offered(), &piece(5, 2, 0, 3), "before it was asked for");
    check_refused(&offered(), &piece(5, 1, 1, 3), "0 of 10 have come");
    check_refused(&offered(), &piece(5, 1, u64::MAX, 3), "0 of 10 have come");
    check_refused(&offered(), &piece(5, 1, 0, 11), "0 of 10 have come");
    check_refused(&offered(), &end(5, 1), "0 of 10 bytes");
    check_refused(&offered(), &offer(5, 1, 10), "second time");
    check_refused(&offered(), &letter(5), "before its file was settled");
    check_refused(&[], &letter(5), "before its file was settled");
    check_refused(&[offer(5, 1, 5), piece(5, 1, 0, 5)], &piece(5, 1, 5, 1), "5 of 5 have come");
    let long = piece(5, 1, 0, PIECE_MAX + 1);
    check_refused(&[offer(5, 1, 1 << 40)], &long, "were expected");
    let mut empty = Vec::new();
    append_record(&mut empty, 5, FILE, &[&Piece::head(id(5, 1), 0)]);
    check_refused(&offered(), &empty, "has 16 bytes");
    check_refused(&offered(), &control_record(&own_frame("_file_end", "c1", b"[0, 5, 1]")), "not understood");
    let elsewhere = FileControl::Offer(Offered::File { size: 1, changed: 1, inode: 1 });
    let elsewhere = elsewhere.encode("c1", TransferId { lane: 1, ..id(5, 1) }, HEADER.as_bytes());
    check_refused(&[], &control_record(&elsewhere), "which is none for files");
    let other = FileControl::Offer(Offered::Failed(String::new()));
    let other = other.encode("c1", id(5, 1), br#"{"message_type": "other", "with_file": {}}"#);
    check_refused(&[], &control_record(&other), "another message");
    let garbage = FileControl::Offer(Offered::Failed(String::new())).encode("c1", id(5, 1), b"garbage");
    check_refused(&[], &control_record(&garbage), "JSON");
}

#[test]
fn a_peer_that_offers_too_many_files_is_let_go() {
    let many: Vec<Vec<u8>> = (0..64).map(|number| offer(number, 1, 10)).collect();
    check_refused(&many, &offer(64, 1, 10), "more than 64 files");
}

#[test]
fn what_comes_late_of_an_earlier_attempt_or_of_a_file_that_is_settled_is_passed_over() {
    let (mut rig, link) = opened();
    rig.files.set_faults(|f| f.room = Some(4));
    rig.input(link, &[offer(5, 1, 10), piece(5, 1, 0, 5), piece(5, 1, 5, 5), end(5, 1)].concat());
    assert!(matches!(&said(&rig.sent(link))[..], [FileControl::Have(0), FileControl::Settled(Verdict::Later(_))]));
    rig.files.set_faults(|f| f.room = None);
    rig.input(link, &[offer(5, 2, 10), piece(5, 1, 0, 5), end(5, 1), piece(5, 2, 0, 10)].concat());
    assert_eq!(said(&rig.sent(link)), [FileControl::Have(0), FileControl::Have(10)]);
    // It gives up.
    rig.input(link, &[failed(5, 3), piece(5, 2, 0, 5), piece(5, 3, 0, 5), letter(5), piece(5, 3, 5, 5)].concat());
    assert_eq!(said(&rig.sent(link)), [FileControl::Settled(Verdict::Done)]);
    assert!(!rig.is_closed(link));
    assert_eq!(rig.read_apps().len(), 1);
    assert_eq!(rig.headers[0]["with_file"]["file_error"], "it is gone");
    // What it offers of a message that has come is done with.
    rig.input(link, &offer(5, 4, 10));
    assert_eq!(said(&rig.sent(link)), [FileControl::Settled(Verdict::Done)]);
    assert_eq!(rig.files.open(), 0);
}

#[test]
fn a_client_cannot_have_files_kept_as_if_they_were_of_another() {
    let (mut rig, link) = opened();
    let other = r#"{"message_type": "any", "source_id": "c2", "with_file": {"src_path": "/f", "dst_name": "f"}}"#;
    let offered = FileControl::Offer(Offered::File { size: 1, changed: 1, inode: 1 });
    rig.input(link, &control_record(&offered.encode("c1", id(5, 1), other.as_bytes())));
    assert!(matches!(&said(&rig.sent(link))[..], [FileControl::Settled(Verdict::Refused(_))]));
    let is_it =
        |e: &Event| matches!(e, Event::File { trouble: FileTrouble::Refused, why, .. } if why.contains("source_id"));
    assert!(told(&rig, is_it));
}

#[test]
fn files_of_a_type_that_is_not_received_are_refused_before_a_byte_of_them_came() {
    let mut rig = Rig::server_with(|s| s.recv_types = vec!["other".to_owned()]);
    let link = up(&mut rig, 1 << 20, &[]);
    rig.input(link, &lane(0, &lane_name("any"), 1));
    rig.sent(link);
    rig.input(link, &offer(5, 1, 10));
    assert!(matches!(&said(&rig.sent(link))[..], [FileControl::Settled(Verdict::Refused(_))]));
    rig.input(link, &letter(5));
    assert_eq!(rig.ledger(), ["c1 any type_not_allowed 1"]);
}

#[test]
fn answers_that_make_no_sense_end_the_link_or_are_passed_over() {
    let setup = || {
        let mut rig = Rig::server();
        let link = up(&mut rig, 1 << 20, &[]);
        rig.files.put("/f", &bytes(1, 100_000));
        let app = rig.app();
        let header = r#"{"message_type": "any", "destination_id": "c1", "with_file": {"src_path": "/f"}}"#;
        rig.input(app, &message(header, b"x"));
        let offered = said(&rig.sent(link));
        assert!(matches!(&offered[..], [FileControl::Offer(Offered::File { size: 100_000, .. })]), "{offered:?}");
        (rig, link)
    };
    let number = crate::link2::FIRST;
    let verdict = |verdict| FileControl::Settled(verdict);
    for (bad, why) in [
        (vec![FileControl::Have(100_001)], "100001 bytes of a file"),
        (vec![FileControl::Have(0), FileControl::Have(1)], "1 bytes of a file"),
        (vec![FileControl::Have(0), verdict(Verdict::Done)], "not sent whole"),
    ] {
        let (mut rig, link) = setup();
        for said in &bad {
            rig.input(link, &say(id(number, 1), said));
        }
        let is_it = |e: &Event| matches!(e, Event::PeerDown { cause: Cause::BadInput(what), .. } if what.contains(why));
        assert!(told(&rig, is_it), "{why} is not in {:?}", rig.events());
        assert_eq!(rig.files.open(), 0);
    }
    let (mut rig, link) = setup();
    let old = [FileControl::Have(500), verdict(Verdict::Done), verdict(Verdict::Again("x".to_owned()))];
    for said in &old {
        rig.input(link, &say(id(number, 0), said));
        rig.input(link, &say(id(number + 1, 1), said));
        rig.input(link, &say(TransferId { lane: 7, ..id(number, 1) }, said));
    }
    assert!(!rig.is_closed(link) && said(&rig.sent(link)).is_empty());
}

#[test]
fn stored_messages_in_a_lane_of_files_that_are_damaged_are_skipped() {
    let mut rig = Rig::server_with(|s| s.persist_send = Covered::All);
    let app = rig.app();
    for number in 0..3 {
        let header = r#"{"message_type": "any", "destination_id": "c1", "with_file": {"src_path": "/f"}}"#;
        rig.input(app, &message(header, &[number]));
    }
    let disks = rig.disks.clone();
    let mut rig = rig.restart_on(disks);
    let name = rig.disks.names().into_iter().next().unwrap();
    assert!(name.to_string().contains("any/files"), "{name}");
    let link = up(&mut rig, 1 << 20, &[]);
    let offers = said(&rig.sent(link));
    assert_eq!(offers.len(), 3, "{offers:?}");
}
