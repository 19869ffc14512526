//! Messages that have the same header go in runs over a link of the second kind.

use std::time::Duration;

use aioconnectors::core::{Event, Id, Mode, Secured};
use aioconnectors::wire::control::{HANDSHAKE_NO_SSL, HANDSHAKE_SSL, PING};
use aioconnectors::wire::frame::Frame;
use aioconnectors::wire::link::{LinkControl, LinkHello, RUNS, greeting};
use aioconnectors::wire::record::{HEADER, Head, RUN, append_record, read_record};
use aioconnectors::wire::runs::RunHeader;

use crate::link2::{FIRST, Said, lane, records, up};
use crate::pair::{Pair, told};
use crate::rig::{Rig, any_to, message_with_binary, typed_from};

/// What follows the header in a frame.
fn behind_header(frame: &[u8]) -> Vec<u8> {
    Frame::parse(frame).unwrap().after_header().to_vec()
}

/// The record with the header of this frame.
fn header_record(frame: &[u8]) -> Vec<u8> {
    let frame = Frame::parse(frame).unwrap();
    let header = RunHeader { with_binary: frame.binary().is_some(), header: frame.header() };
    let mut out = Vec::new();
    append_record(&mut out, 0, HEADER, &header.parts());
    out
}

/// Messages of the client with numbers in a row.
fn run(first: u64, messages: &[&[u8]]) -> Vec<u8> {
    let bodies: Vec<Vec<u8>> = messages.iter().map(|data| behind_header(&typed_from("any", "c1", data))).collect();
    let mut out = Vec::new();
    append_record(&mut out, first, RUN, &bodies.iter().map(Vec::as_slice).collect::<Vec<_>>());
    out
}

/// The flags of the records in `bytes`.
fn flags(mut bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(head) = Head::at(bytes, 0) {
        out.push(read_record(&bytes[..head.size()]).unwrap().0.flags);
        bytes = &bytes[head.size()..];
    }
    out
}

/// A link to a client whose lane 0 is open, and that has said the header of its messages.
fn server_with_run(change: impl FnOnce(&mut aioconnectors::core::Settings)) -> (Rig, Id) {
    let mut rig = Rig::server_with(change);
    let link = up(&mut rig, 1 << 20, &[]);
    rig.input(link, &lane(0, "any", 7));
    rig.input(link, &header_record(&typed_from("any", "c1", b"")));
    (rig, link)
}

fn read(rig: &mut Rig) -> Vec<Vec<u8>> {
    rig.read_apps().into_iter().map(|(_, data)| data).collect()
}

#[test]
fn a_header_that_repeats_goes_over_the_line_once_and_messages_arrive_as_they_were() {
    let mut pair = Pair::new();
    let (app, mut expected) = (pair.server.app(), Vec::new());
    for n in 0..100_u8 {
        let data = vec![n; usize::from(n)];
        pair.server.input(app, &any_to("c1", &data));
        expected.push(data);
    }
    let sent = pair.server.sent(pair.ends.1);
    assert_eq!(flags(&sent).iter().filter(|f| [0, HEADER, RUN].contains(f)).count(), 2, "a header and a run");
    assert!(sent.len() < 100 * 50 + 100 * 8 + 300, "{} bytes", sent.len());
    pair.client.input(pair.ends.0, &sent);
    pair.run();
    assert_eq!(pair.read.0.iter().map(|(_, data)| data.clone()).collect::<Vec<_>>(), expected);
}

#[test]
fn a_later_message_with_the_header_that_was_said_needs_no_header() {
    let mut pair = Pair::new();
    let app = pair.server.app();
    for n in 0..2 {
        pair.server.input(app, &any_to("c1", &[n]));
    }
    pair.run();
    pair.server.input(app, &any_to("c1", &[2]));
    let sent = pair.server.sent(pair.ends.1);
    assert_eq!(flags(&sent), [RUN]);
    pair.client.input(pair.ends.0, &sent);
    pair.run();
    assert_eq!(pair.client_read(), [0, 1, 2]);
}

#[test]
fn messages_with_binary_keep_it() {
    let mut pair = Pair::new();
    let app = pair.server.app();
    let header = r#"{"message_type": "any", "destination_id": "c1", "with_binary": true}"#;
    for n in 0..3 {
        pair.server.input(app, &message_with_binary(header, &[n], &[n + 10; 5]));
    }
    pair.pump();
    let inbox = pair.client.dialled_app().unwrap();
    pair.client.core.opened(inbox, None, pair.client.now);
    pair.client.drain();
    let out = pair.client.sent(inbox);
    let (mut rest, mut got) = (&out[..], Vec::new());
    while !rest.is_empty() {
        let length = u32::from_le_bytes(rest[..4].try_into().unwrap()) as usize + 4;
        let frame = Frame::parse(&rest[..length]).unwrap();
        got.push((frame.data().to_vec(), frame.binary().unwrap().to_vec()));
        rest = &rest[length..];
    }
    assert_eq!(got, (0..3).map(|n| (vec![n], vec![n + 10; 5])).collect::<Vec<_>>());
}

#[test]
fn a_peer_that_does_not_take_runs_gets_records() {
    let mut rig = Rig::server();
    let link = up(&mut rig, 1 << 20, &[]);
    let app = rig.app();
    for n in 0..3 {
        rig.input(app, &any_to("c1", &[n]));
    }
    let said = records(&rig.sent(link));
    assert!(
        matches!(said[..], [Said::Link(LinkControl::Lane { .. }), Said::Switch(0), Said::Data(..), ..]),
        "{said:?}"
    );
    assert_eq!(said.len(), 5);
}

#[test]
fn what_of_a_run_was_there_before_does_not_come_twice() {
    let (mut rig, link) = server_with_run(|_| {});
    rig.input(link, &run(FIRST, &[b"a", b"b"]));
    rig.input(link, &run(FIRST, &[b"a", b"b", b"c"]));
    assert_eq!(read(&mut rig), [b"a", b"b", b"c"]);
}

#[test]
fn a_run_that_finds_no_room_in_its_middle_is_told_from_where_it_must_come_again() {
    let (mut rig, link) = server_with_run(|settings| settings.queue_max_bytes = 400);
    let big = [7; 150];
    rig.input(link, &run(FIRST, &[&big, &big, &big, &big]));
    let stop = |said: &Said| if let Said::Link(LinkControl::Stop { next, .. }) = said { Some(*next) } else { None };
    let next = records(&rig.sent(link)).iter().find_map(stop).expect("it was stopped");
    assert_eq!(next, FIRST + 2);
    assert_eq!(read(&mut rig).len(), 2);
    // What an app has read is done with when it has had the time to say that it acknowledges.
    rig.pass(Duration::from_secs(2));
    assert!(records(&rig.sent(link)).contains(&Said::Link(LinkControl::Go { lane: 0 })));
    rig.input(link, &lane(0, "any", 7));
    rig.input(link, &run(FIRST + 2, &[&big, &big]));
    assert_eq!(read(&mut rig).len(), 2);
}

#[test]
fn runs_that_are_none_end_the_link_and_say_why() {
    let record = |number, flags, frame: &[u8]| {
        let mut out = Vec::new();
        append_record(&mut out, number, flags, &[frame]);
        out
    };
    let cases = [
        (header_record(&typed_from(PING, "c1", b"")), "\"_ping\" come in a run"),
        (record(0, HEADER, b"\x05{}"), "1 or 2 parts"),
        (record(FIRST, RUN, b"\x05\0\0\0ab"), "has 5 bytes"),
    ];
    for (bad, why) in cases {
        let (mut rig, link) = server_with_run(|_| {});
        rig.input(link, &bad);
        assert!(told(&rig, |e| matches!(e, Event::PeerDown { cause, .. } if cause.to_string().contains(why))), "{why}");
    }
    let mut rig = Rig::server();
    let link = up(&mut rig, 1 << 20, &[]);
    rig.input(link, &lane(0, "any", 7));
    rig.input(link, &run(FIRST, &[b"a"]));
    assert!(told(
        &rig,
        |e| matches!(e, Event::PeerDown { cause, .. } if cause.to_string().contains("before the header"))
    ));
}

#[test]
fn both_sides_say_that_they_take_runs() {
    let mut rig = Rig::client_with(|_| {});
    let link = rig.open_dialled(aioconnectors::core::Secured::Anonymous);
    rig.sent(link);
    rig.input(
        link,
        &LinkHello { window: 1 << 20, places: vec![], features: vec![RUNS.to_owned()] }.encode(crate::rig::SERVER),
    );
    let said = rig.sent(link);
    let hello = Frame::parse(&said[..4 + u32::from_le_bytes(said[..4].try_into().unwrap()) as usize]).unwrap();
    assert!(String::from_utf8_lossy(hello.data()).contains(RUNS));
}

/// What is offered to a connection at a time while 2,000 messages of 100 bytes go out on it.
fn offered(mode: Mode) -> Vec<Vec<u8>> {
    let mut rig = Rig::server_with(|settings| settings.mode = mode);
    let link = rig.accept_link();
    if mode == Mode::Plain {
        rig.secured(link, Secured::Anonymous);
        rig.input(link, &greeting(HANDSHAKE_NO_SSL, "c1"));
    } else {
        rig.secured_for_link2(link, Secured::Anonymous);
        rig.input(link, &greeting(HANDSHAKE_SSL, "c1"));
    }
    rig.sent(link);
    let hello = LinkHello { window: 1 << 20, places: vec![], features: vec![RUNS.to_owned()] };
    rig.input(link, &hello.encode("c1"));
    let app = rig.app();
    for _ in 0..2000 {
        rig.input(app, &any_to("c1", &[7; 100]));
    }
    let mut offered = Vec::new();
    rig.core.transmit(link, 1 << 30, rig.now, &mut |bytes| {
        offered.push(bytes.to_vec());
        bytes.len()
    });
    offered.retain(|bytes| flags(bytes).contains(&RUN));
    offered
}

#[test]
fn over_tls_each_run_is_within_one_of_its_records() {
    let offered = offered(Mode::AllowAll);
    assert!(offered.len() > 10, "{}", offered.len());
    for bytes in &offered {
        assert!(bytes.len() <= 16 * 1024, "{} bytes", bytes.len());
    }
    let nearly_full = offered.iter().filter(|bytes| bytes.len() > 16 * 1024 - 200).count();
    assert_eq!(nearly_full, offered.len() - 1, "all but the last");
}

#[test]
fn without_tls_runs_are_as_long_as_is_written_at_a_time() {
    let offered = offered(Mode::Plain);
    assert!(offered.len() < 10 && offered[0].len() > 32 * 1024, "{}: {}", offered.len(), offered[0].len());
}
