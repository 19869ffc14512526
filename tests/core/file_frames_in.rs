//! Links of the first kind: files that messages bring are written as their bytes come.

use std::time::Duration;

use aioconnectors::core::{Cause, Event, Id, Reading, Settings};
use aioconnectors::wire::frame::Frame;
use serde_json::{Value, json};

use crate::rig::{Rig, message, message_with_binary, typed_from};

/// A message of the peer with a file, as a Python connector sends it: the app's own binary, then the file.
pub fn with_file(name: &str, data: &[u8], own: &[u8], file: &[u8]) -> Vec<u8> {
    let mut with_file = json!({"src_path": "/there", "dst_name": name, "dst_type": "t"});
    if !own.is_empty() {
        with_file["binary_offset"] = own.len().into();
    }
    with(&with_file, data, own, file)
}

fn with(with_file: &Value, data: &[u8], own: &[u8], file: &[u8]) -> Vec<u8> {
    let binary = [own, file].concat();
    let mut header = json!({"message_type": "any", "source_id": "c1", "with_file": with_file, "transport_id": 7});
    if binary.is_empty() {
        return message(&header.to_string(), data);
    }
    header["with_binary"] = true.into();
    message_with_binary(&header.to_string(), data, &binary)
}

/// What an app gets: header, data, binary.
pub type Got = (Value, Vec<u8>, Option<Vec<u8>>);

fn got(bytes: &[u8]) -> Vec<Got> {
    let (mut rest, mut out) = (bytes, Vec::new());
    while let Some(length) = rest.first_chunk::<4>() {
        let (one, after) = rest.split_at(4 + u32::from_le_bytes(*length) as usize);
        let frame = Frame::parse(one).unwrap();
        let header = serde_json::from_slice(frame.header()).unwrap();
        out.push((header, frame.data().to_vec(), frame.binary().map(<[u8]>::to_vec)));
        rest = after;
    }
    out
}

/// What the app that listens reads now.
pub fn app_reads(rig: &mut Rig) -> Vec<Got> {
    let app = rig.open_app();
    got(&rig.sent(app))
}

pub fn acks(rig: &mut Rig, link: Id) -> usize {
    got(&rig.sent(link)).iter().filter(|(header, ..)| header["message_type"] == "_ack").count()
}

#[test]
fn a_file_and_its_message_arrive_however_the_bytes_are_cut() {
    let stream = [
        typed_from("any", "c1", b"before"),
        with_file("f", b"data", b"own", b"contents"),
        typed_from("any", "c1", b"behind"),
    ]
    .concat();
    for first in 0..=stream.len() {
        for size in [1, 7, stream.len()] {
            let mut rig = Rig::server();
            let link = rig.link("c1");
            let pieces = [&stream[..first]].into_iter().chain(stream[first..].chunks(size));
            for piece in pieces {
                assert_eq!(rig.input(link, piece), Reading::Open);
            }
            assert_eq!(rig.files.arrived(), [("f".to_owned(), b"contents".to_vec())], "cut at {first}, {size}");
            let read = app_reads(&mut rig);
            let data: Vec<&[u8]> = read.iter().map(|(_, data, _)| data.as_slice()).collect();
            assert_eq!(data, [&b"before"[..], b"data", b"behind"]);
            let (header, _, binary) = &read[1];
            assert_eq!((binary.as_deref(), &header["with_binary"]), (Some(&b"own"[..]), &json!(true)));
            assert_eq!((header.get("transport_id"), header["with_file"].get("file_error")), (None, None));
            assert_eq!(acks(&mut rig, link), 1);
            assert_eq!(rig.files.open(), 0);
        }
    }
}

#[test]
fn a_message_without_own_binary_reaches_the_app_without_any() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    rig.input(link, &with_file("f", b"data", b"", b"contents"));
    let (header, _, binary) = app_reads(&mut rig).remove(0);
    assert_eq!((header.get("with_binary"), binary), (None, None));
    assert_eq!(header["with_file"]["dst_name"], "f");
}

#[test]
fn an_empty_file_is_made() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    rig.input(link, &[with_file("f", b"1", b"", b""), with_file("g", b"2", b"own", b"")].concat());
    assert_eq!(rig.files.arrived(), [("f".to_owned(), vec![]), ("g".to_owned(), vec![])]);
    let read = app_reads(&mut rig);
    assert_eq!((&read[0].2, &read[1].2), (&None, &Some(b"own".to_vec())));
}

#[test]
fn a_large_file_passes_a_small_limit_of_messages() {
    let mut rig = Rig::server_with(|s| s.max_message_size = 1024);
    let link = rig.link("c1");
    let contents = vec![7; 3_000_000];
    for piece in with_file("f", b"data", b"own", &contents).chunks(100_000) {
        rig.input(link, piece);
    }
    assert_eq!(rig.files.arrived(), [("f".to_owned(), contents)]);
    // What would lie in memory is bounded as ever.
    let limit = 1024 + 65_535;
    rig.input(link, &with_file("g", &vec![1; limit], b"", b"contents"));
    assert!(rig.is_closed(link));
}

#[test]
fn a_file_that_is_refused_is_passed_over_and_the_app_reads_why() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    let stream = [with_file("../f", b"data", b"own", &[1; 5000]), typed_from("any", "c1", b"behind")].concat();
    for piece in stream.chunks(600) {
        assert_eq!(rig.input(link, piece), Reading::Open);
    }
    let read = app_reads(&mut rig);
    assert_eq!(read[0].0["with_file"]["file_error"], "../f leads elsewhere");
    assert_eq!((read[0].2.as_deref(), read[1].1.as_slice()), (Some(&b"own"[..]), &b"behind"[..]));
    assert_eq!(rig.files.arrived(), []);
    let told = |event: &&Event| event.to_string().contains("../f leads elsewhere");
    assert_eq!(rig.events().iter().filter(|event| told(event)).count(), 1);
    assert_eq!(acks(&mut rig, link), 1);
}

#[test]
fn a_full_disk_drops_the_file_and_not_the_message() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    rig.files.set_faults(|faults| faults.room = Some(3000));
    for piece in with_file("f", b"data", b"", &[1; 5000]).chunks(600) {
        rig.input(link, piece);
    }
    let (header, data, binary) = app_reads(&mut rig).remove(0);
    assert_eq!(
        (&header["with_file"]["file_error"], data.as_slice(), binary),
        (&json!("no space left"), &b"data"[..], None)
    );
    assert_eq!((rig.files.arrived().len(), rig.files.open()), (0, 0));
    rig.files.set_faults(|faults| faults.room = None);
    rig.input(link, &with_file("f", b"data", b"", &[1; 5000]));
    assert_eq!(rig.files.arrived().len(), 1);
}

#[test]
fn a_reason_that_has_no_room_in_the_header_takes_the_place_of_the_rest() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    let name = format!("../{}", "x".repeat(65_000));
    rig.input(link, &with_file(&name, b"data", b"", b"contents"));
    let (header, ..) = app_reads(&mut rig).remove(0);
    assert_eq!(header["with_file"].as_object().unwrap().len(), 1);
    assert!(header["with_file"]["file_error"].as_str().unwrap().starts_with("../xxx"));
}

#[test]
fn what_takes_long_holds_the_link_and_nothing_else() {
    let stream = [with_file("f", b"1", b"", &[1; 5000]), typed_from("any", "c1", b"2")].concat();
    for size in [700, stream.len()] {
        let mut rig = Rig::server();
        let (link, other) = (rig.link("c1"), rig.link("c2"));
        rig.files.set_faults(|faults| faults.slow = 1);
        let (mut paused, mut times) = (0, 0);
        for piece in stream.chunks(size) {
            paused += usize::from(rig.core.input(link, piece, rig.now) == Reading::Paused);
            times += 1;
            rig.input(other, &typed_from("other", "c2", b"x"));
        }
        assert!(paused >= 1 && times >= 1);
        rig.drain();
        assert!(rig.is_resumed(link));
        assert_eq!(rig.files.arrived(), [("f".to_owned(), vec![1; 5000])]);
        let read: Vec<Vec<u8>> =
            rig.read_apps().into_iter().filter(|(of, _)| of == "any").map(|(_, data)| data).collect();
        assert_eq!(read, [b"1".to_vec(), b"2".to_vec()]);
        assert_eq!(acks(&mut rig, link), 1);
    }
}

#[test]
fn a_link_that_is_cut_amid_a_file_leaves_nothing_of_it() {
    let frame = with_file("f", b"data", b"own", b"contents");
    for slow in [0, 1] {
        for cut in 0..frame.len() {
            let mut rig = Rig::server();
            let link = rig.link("c1");
            rig.files.set_faults(|faults| faults.slow = slow);
            rig.core.input(link, &frame[..cut], rig.now);
            rig.core.closed(link, Cause::ClosedByPeer, rig.now);
            rig.drain();
            assert_eq!((rig.files.arrived().len(), rig.files.open(), rig.dialled_app()), (0, 0, None), "cut at {cut}");
        }
    }
}

#[test]
fn a_link_that_is_cut_while_the_file_is_finished_leaves_nothing_of_it() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    let frame = with_file("f", b"data", b"own", b"contents");
    rig.input(link, &frame[..frame.len() - 1]);
    rig.files.set_faults(|faults| faults.slow = 1);
    assert_eq!(rig.core.input(link, &frame[frame.len() - 1..], rig.now), Reading::Paused);
    rig.core.closed(link, Cause::ClosedByPeer, rig.now);
    rig.drain();
    assert_eq!((rig.files.arrived().len(), rig.files.open(), rig.dialled_app()), (0, 0, None));
}

#[test]
fn a_type_that_is_not_received_brings_no_file() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    let frame = with_file("f", b"data", b"", &[1; 5000]);
    let mut other = frame.clone();
    let at = other.windows(5).position(|five| five == b"\"any\"").unwrap();
    other[at + 1..at + 4].copy_from_slice(b"odd");
    for piece in [other, frame].concat().chunks(900) {
        rig.input(link, piece);
    }
    assert_eq!(rig.files.arrived().len(), 1, "the second one's");
    assert_eq!(rig.ledger(), ["c1 odd type_not_allowed 1"]);
    assert_eq!(acks(&mut rig, link), 2);
}

#[test]
fn another_source_brings_no_file() {
    let mut rig = Rig::server();
    let link = rig.link("c2");
    for piece in with_file("f", b"data", b"", &[1; 5000]).chunks(900) {
        rig.input(link, piece);
    }
    assert_eq!((rig.files.arrived().len(), rig.ledger()), (0, vec!["c2 any wrong_source 1".to_owned()]));
}

#[test]
fn before_a_peer_is_known_no_file_is_taken() {
    let mut rig = Rig::server();
    let link = rig.accept_link();
    rig.secured(link, aioconnectors::core::Secured::Anonymous);
    rig.input(link, &with_file("f", b"data", b"", &[1; 100_000])[..70_000]);
    assert!(rig.is_closed(link));
    assert_eq!(rig.files.open(), 0);
}

#[test]
fn the_first_message_of_a_server_may_bring_a_file() {
    for size in [500, 100_000] {
        let mut rig = Rig::client_with(|s| s.link2 = false);
        let link = rig.open_dialled(aioconnectors::core::Secured::Anonymous);
        rig.sent(link);
        for piece in with_file("f", b"data", b"", &[1; 5000]).chunks(size) {
            rig.input(link, piece);
        }
        assert_eq!(rig.files.arrived().len(), 1);
        assert_eq!(app_reads(&mut rig).len(), 1);
    }
}

#[test]
fn a_message_that_says_why_its_file_is_not_there_keeps_its_own_binary() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    let failed = json!({"dst_name": "f", "file_error": "gone"});
    rig.input(link, &with(&failed, b"1", b"own", b""));
    let cut = json!({"dst_name": "f", "file_error": "gone", "binary_offset": 3});
    rig.input(link, &with(&cut, b"2", b"own", b"rest"));
    let read = app_reads(&mut rig);
    assert_eq!((read[0].2.as_deref(), read[1].2.as_deref()), (Some(&b"own"[..]), Some(&b"own"[..])));
    assert_eq!(rig.files.arrived(), []);
}

/// An inbox that takes nothing more.
fn fill_inbox(rig: &mut Rig, link: Id) -> Vec<u8> {
    let filler = typed_from("any", "c1", &[0; 1 << 20]);
    for _ in 0..4 {
        rig.input(link, &filler);
    }
    filler
}

#[test]
fn a_message_whose_file_has_come_waits_for_room_in_its_inbox() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    fill_inbox(&mut rig, link);
    let stream = [with_file("f", b"1", b"", b"contents"), typed_from("any", "c1", b"2")].concat();
    assert_eq!(rig.input(link, &stream), Reading::Paused);
    assert_eq!((rig.files.arrived().len(), acks(&mut rig, link)), (1, 0));
    let app = rig.open_app();
    let mut read = got(&rig.sent(app));
    rig.pass(Duration::from_secs(2));
    read.extend(got(&rig.sent(app)));
    assert_eq!(
        read.iter().map(|(_, data, _)| data.len()).collect::<Vec<_>>(),
        [1 << 20, 1 << 20, 1 << 20, 1 << 20, 1, 1]
    );
    assert_eq!(acks(&mut rig, link), 1);
}

#[test]
fn a_message_whose_file_has_come_outlives_its_link() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    fill_inbox(&mut rig, link);
    assert_eq!(rig.input(link, &with_file("f", b"1", b"", b"contents")), Reading::Paused);
    rig.closed(link, Cause::ClosedByPeer);
    let read = app_reads(&mut rig);
    assert_eq!(read.last().map(|(_, data, _)| data.as_slice()), Some(&b"1"[..]));
    assert_eq!(rig.ledger(), [""; 0]);
}

#[test]
fn a_connector_that_stops_leaves_no_half_file() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    let frame = with_file("f", b"data", b"own", &[1; 5000]);
    rig.input(link, &frame[..3000]);
    rig.stop();
    rig.sent(link);
    rig.pass(Duration::from_secs(20));
    assert_eq!((rig.files.arrived().len(), rig.files.open()), (0, 0));
}

/// A client of a Python server that asks for signs of life.
fn asking(settings: &mut Settings) {
    let second = Duration::from_secs(1);
    settings.link2 = false;
    settings.keep_alive =
        Some(aioconnectors::core::KeepAlive { period: 10 * second, timeout: second, unanswered_max: 2 });
}

#[test]
fn a_peer_in_the_middle_of_a_file_need_not_answer_a_sign_of_life() {
    let mut rig = Rig::client_with(asking);
    let link = rig.up();
    let frame = with_file("f", b"data", b"", &[1; 5000]);
    for piece in frame.chunks(500) {
        rig.input(link, piece);
        rig.sent(link);
        rig.pass(Duration::from_secs(11));
    }
    assert!(!rig.is_closed(link));
    assert_eq!(rig.files.arrived().len(), 1);
    rig.sent(link);
    for _ in 0..4 {
        rig.pass(Duration::from_secs(11));
        rig.sent(link);
    }
    assert!(rig.is_closed(link));
}
