//! Links of the first kind: files go out behind their messages, in pieces if they are large.

use std::time::Duration;

use aioconnectors::core::{Cause, Covered, Id, OnFull, Settings};
use aioconnectors::wire::control::ack;
use aioconnectors::wire::frame::Frame;
use serde_json::{Value, json};

use crate::rig::{Rig, any_to, message, message_with_binary};

/// A message of an app with a file, for the peer `c1`.
fn with(with_file: &Value, data: &[u8], own: &[u8]) -> Vec<u8> {
    asking(&json!({"with_file": with_file}), data, own)
}

fn asking(more: &Value, data: &[u8], own: &[u8]) -> Vec<u8> {
    let mut header = json!({"message_type": "any", "destination_id": "c1"});
    header.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    if own.is_empty() {
        return message(&header.to_string(), data);
    }
    header["with_binary"] = true.into();
    message_with_binary(&header.to_string(), data, own)
}

fn file(path: &str) -> Value {
    json!({"src_path": path, "dst_name": "f", "dst_type": "t", "mine": [1]})
}

/// A frame that the peer gets.
#[derive(Debug, PartialEq)]
struct Came {
    header: Value,
    data: Vec<u8>,
    own: Vec<u8>,
    file: Vec<u8>,
}

/// The whole frames in `bytes`, as a Python connector reads them.
fn came(mut bytes: &[u8]) -> Vec<Came> {
    let mut out = Vec::new();
    while let Some(length) = bytes.first_chunk::<4>() {
        let size = 4 + u32::from_le_bytes(*length) as usize;
        let Some(one) = bytes.get(..size) else { break };
        bytes = &bytes[size..];
        let frame = Frame::parse(one).unwrap();
        let header: Value = serde_json::from_slice(frame.header()).unwrap();
        assert_eq!(header["with_binary"] == true, frame.binary().is_some(), "{header}");
        let offset = header["with_file"]["binary_offset"].as_u64().unwrap_or(0) as usize;
        let (own, file) = frame.binary().unwrap_or_default().split_at(offset);
        out.push(Came { data: frame.data().to_vec(), own: own.to_vec(), file: file.to_vec(), header });
    }
    out
}

fn contents(size: usize) -> Vec<u8> {
    (0..size).map(|n| (n * 7 + n / 251) as u8).collect()
}

/// The data of frames, those of pieces with their number.
fn names(frames: &[Came]) -> Vec<String> {
    let name = |came: &Came| {
        let piece = came.header["with_file"]["chunked"][1].as_u64();
        let data = String::from_utf8_lossy(&came.data);
        piece.map_or_else(|| data.to_string(), |piece| format!("{data}{piece}"))
    };
    frames.iter().map(name).collect()
}

fn pieces_of(size: u64) -> impl FnOnce(&mut Settings) {
    move |settings| settings.chunk_max = size
}

#[test]
fn a_file_goes_out_behind_its_message_whatever_the_connection_takes_at_a_time() {
    for size in [0, 1, 100, 300_000] {
        for own in [&b""[..], b"own"] {
            for room in [1, 7, 1000, usize::MAX] {
                if room == 1 && size > 100 {
                    continue;
                }
                let mut rig = Rig::server();
                let (link, app) = (rig.link("c1"), rig.app());
                rig.files.put("/s", &contents(size));
                rig.input(
                    app,
                    &[any_to("c1", b"before"), with(&file("/s"), b"data", own), any_to("c1", b"behind")].concat(),
                );
                let mut bytes = Vec::new();
                loop {
                    let more = rig.sent_up_to(link, room);
                    if more.is_empty() {
                        break;
                    }
                    bytes.extend(more);
                }
                let frames = came(&bytes);
                assert_eq!(names(&frames), ["before", "data", "behind"]);
                assert_eq!((frames[1].own.as_slice(), &frames[1].file), (own, &contents(size)));
                let mut expected = file("/s");
                if !own.is_empty() {
                    expected["binary_offset"] = own.len().into();
                }
                assert_eq!(frames[1].header["with_file"], expected, "all else is as the app has written it");
                assert!(!rig.files.has("/s"), "the peer has it");
                assert_eq!(rig.files.open(), 0);
            }
        }
    }
}

#[test]
fn the_source_is_removed_when_the_peer_has_it_and_not_before() {
    for (delete, is_kept) in [(json!(true), false), (json!(false), true), (Value::Null, true)] {
        let mut rig = Rig::server();
        let (link, app) = (rig.link("c1"), rig.app());
        rig.files.put("/s", &contents(5000));
        let mut with_file = file("/s");
        with_file["delete"] = delete;
        rig.input(app, &with(&with_file, b"data", b""));
        let sent = rig.sent_unconfirmed(link, usize::MAX).len() as u64;
        rig.core.confirmed(link, sent - 1, rig.now);
        rig.drain();
        assert!(rig.files.has("/s"));
        rig.core.confirmed(link, sent, rig.now);
        rig.drain();
        assert_eq!(rig.files.has("/s"), is_kept);
        assert_eq!(rig.events().iter().filter(|e| e.to_string().contains("removed")).count(), 0);
    }
}

#[test]
fn a_source_that_cannot_be_read_has_its_message_go_without() {
    let gone = file("/gone");
    let odd = [json!("odd"), json!({"dst_name": "f"}), json!({"src_path": 7}), json!([1])];
    for with_file in [vec![gone], odd.to_vec()].concat() {
        let mut rig = Rig::server();
        let (link, app) = (rig.link("c1"), rig.app());
        rig.input(app, &[with(&with_file, b"data", b"own"), any_to("c1", b"behind")].concat());
        let bytes = rig.sent(link);
        let frames = came(&bytes);
        assert_eq!((names(&frames), frames[0].own.as_slice()), (vec!["data".into(), "behind".into()], &b"own"[..]));
        let error = frames[0].header["with_file"]["file_error"].as_str().unwrap();
        assert!(!error.is_empty() && frames[0].file.is_empty());
        rig.closed(link, Cause::ClosedByPeer);
        let again = rig.link("c1");
        assert_eq!(rig.sent(again), b"", "it was taken");
    }
}

#[test]
fn a_source_that_cannot_be_opened_for_now_is_waited_for_and_others_go() {
    let mut rig = Rig::server();
    let (link, app) = (rig.link("c1"), rig.app());
    rig.files.put("/s", b"contents");
    rig.files.set_faults(|faults| faults.busy = true);
    rig.input(app, &[with(&file("/s"), b"data", b""), any_to("c1", b"behind")].concat());
    assert_eq!(names(&came(&rig.sent(link))), ["behind"]);
    for _ in 0..3 {
        rig.pass(Duration::from_secs(4));
        assert_eq!(rig.sent(link), b"");
    }
    assert_eq!(rig.events().iter().filter(|event| event.to_string().contains("too many")).count(), 1, "told once");
    rig.files.set_faults(|faults| faults.busy = false);
    rig.pass(Duration::from_secs(4));
    let frames = came(&rig.sent(link));
    assert_eq!((names(&frames), frames[0].file.as_slice()), (vec!["data".to_owned()], &b"contents"[..]));
    assert!(!rig.files.has("/s"));
}

#[test]
fn an_app_that_says_itself_that_there_is_no_file_is_believed() {
    let mut rig = Rig::server();
    let (link, app) = (rig.link("c1"), rig.app());
    rig.files.put("/s", b"contents");
    let mut with_file = file("/s");
    with_file["file_error"] = "none".into();
    rig.input(app, &with(&with_file, b"data", b""));
    let frames = came(&rig.sent(link));
    assert_eq!((&frames[0].header["with_file"]["file_error"], frames[0].file.len()), (&json!("none"), 0));
    assert!(rig.files.has("/s"));
}

#[test]
fn a_source_that_shrinks_amid_its_frame_costs_the_link_and_the_message_goes_without() {
    let mut rig = Rig::server();
    let (link, app) = (rig.link("c1"), rig.app());
    rig.files.put("/s", &contents(600_000));
    rig.input(app, &[with(&file("/s"), b"data", b""), any_to("c1", b"behind")].concat());
    rig.sent_up_to(link, 1000);
    rig.files.put("/s", &contents(300_000));
    rig.sent(link);
    assert!(rig.is_closed(link));
    let told = |text: &str| text.contains("/s has become shorter") && text.contains("cut");
    assert!(rig.events().iter().any(|event| told(&event.to_string())));
    let again = rig.link("c1");
    let frames = came(&rig.sent(again));
    assert_eq!(names(&frames), ["data", "behind"]);
    assert!(frames[0].header["with_file"]["file_error"].as_str().unwrap().contains("/s has become shorter"));
    assert!(rig.files.has("/s"), "what was not sent is not removed");
    assert_eq!(rig.files.open(), 0);
}

#[test]
fn a_source_that_shrinks_before_its_first_byte_goes_out_does_not_cost_the_link() {
    let mut rig = Rig::server();
    let (link, app) = (rig.link("c1"), rig.app());
    rig.files.put("/s", &contents(1000));
    rig.input(app, &with(&file("/s"), b"data", b""));
    rig.sent_up_to(link, 0);
    rig.files.put("/s", b"");
    // What was read already is sent.
    let frames = came(&rig.sent(link));
    assert!(!rig.is_closed(link));
    assert_eq!(frames[0].file, contents(1000));
}

#[test]
fn nothing_comes_in_the_middle_of_a_file() {
    let mut rig = Rig::server();
    let (link, app) = (rig.link("c1"), rig.app());
    rig.files.put("/s", &contents(1_000_000));
    rig.input(app, &with(&file("/s"), b"data", b""));
    let mut bytes = rig.sent_up_to(link, 1000);
    let ping = r#"{"message_type": "_ping", "source_id": "c1", "await_response": true, "request_id": 5}"#;
    rig.input(link, &message(ping, b""));
    let other = r#"{"message_type": "other", "destination_id": "c1"}"#;
    rig.input(app, &message(other, b"other"));
    bytes.extend(rig.sent(link));
    let frames = came(&bytes);
    assert_eq!(names(&frames), ["data", "", "other"]);
    assert_eq!((&frames[0].file, &frames[1].header["response_id"]), (&contents(1_000_000), &json!(5)));
}

#[test]
fn a_large_file_goes_as_pieces_as_python_apps_cut_it() {
    for (size, count) in [(1000, 1), (1001, 2), (2000, 2), (11_500, 12)] {
        let mut rig = Rig::server_with(pieces_of(1000));
        let (link, app) = (rig.link("c1"), rig.app());
        rig.files.put("/s", &contents(size));
        rig.input(
            app,
            &[asking(&json!({"with_file": file("/s"), "tag": "t"}), b"data", b"own"), any_to("c1", b"behind")].concat(),
        );
        let mut frames = came(&rig.sent(link));
        frames.retain(|came| came.data != b"behind");
        assert_eq!(frames.len(), count);
        let whole: Vec<u8> = frames.iter().flat_map(|came| came.file.clone()).collect();
        assert_eq!(whole, contents(size));
        for (at, came) in frames.iter().enumerate() {
            assert_eq!((came.data.as_slice(), came.own.as_slice()), (&b"data"[..], &b"own"[..]));
            let mut expected = file("/s");
            if count > 1 {
                let base = "f__aioconnectors_chunk";
                // So that names are in the order of the pieces, as a Python connector joins them.
                let width = count.to_string().len();
                expected["dst_name"] = format!("{base}_{:0width$}_{count}", at + 1).into();
                expected["chunked"] = json!([base, at + 1, count]);
            }
            expected["binary_offset"] = 3.into();
            assert_eq!((&came.header["with_file"], &came.header["tag"]), (&expected, &json!("t")));
        }
        assert!(!rig.files.has("/s"));
    }
}

#[test]
fn what_an_app_has_cut_already_is_not_cut_again() {
    let mut rig = Rig::server_with(pieces_of(1000));
    let (link, app) = (rig.link("c1"), rig.app());
    rig.files.put("/s", &contents(2500));
    let mut with_file = file("/s");
    with_file["chunked"] = json!(["f__aioconnectors_chunk", 1, 2]);
    rig.input(app, &with(&with_file, b"data", b""));
    let frames = came(&rig.sent(link));
    assert_eq!((frames.len(), &frames[0].file, &frames[0].header["with_file"]), (1, &contents(2500), &with_file));
}

#[test]
fn between_pieces_others_have_their_share() {
    let mut rig = Rig::server_with(pieces_of(1000));
    let (link, app) = (rig.link("c1"), rig.app());
    rig.files.put("/s", &contents(3000));
    rig.input(app, &with(&file("/s"), b"data", b""));
    let mut bytes = rig.sent_up_to(link, 10);
    let header = r#"{"message_type": "other", "destination_id": "c1"}"#;
    for n in 0..6 {
        rig.input(app, &message(header, &[b'a' + n; 400]));
    }
    bytes.extend(rig.sent(link));
    let order: Vec<String> = names(&came(&bytes)).iter().map(|name| name.chars().last().unwrap().to_string()).collect();
    // Their share is as many bytes as a piece has, small frames going out together.
    let at = |name: &str| order.iter().position(|other| other == name).unwrap();
    assert!(at("1") < at("a") && at("a") < at("2") && at("3") < order.len(), "{order:?}");
    assert_eq!(order.len(), 9);
}

#[test]
fn an_answer_to_a_message_in_pieces_is_asked_for_with_the_last() {
    let mut rig = Rig::server_with(pieces_of(1000));
    let (link, app) = (rig.link("c1"), rig.app());
    rig.files.put("/s", &contents(2500));
    rig.input(app, &asking(&json!({"with_file": file("/s"), "await_response": true, "request_id": 9}), b"data", b""));
    let frames = came(&rig.sent(link));
    let asks: Vec<bool> = frames.iter().map(|came| came.header["await_response"] == true).collect();
    assert_eq!(asks, [false, false, true]);
    assert!(frames.iter().all(|came| came.header["request_id"] == 9));
}

/// The numbers that frames are to be acknowledged by.
fn numbers(frames: &[Came]) -> Vec<u64> {
    frames.iter().filter_map(|came| came.header["transport_id"].as_u64()).collect()
}

#[test]
fn pieces_are_acknowledged_one_by_one_and_then_the_message() {
    let mut rig = Rig::server_with(pieces_of(1000));
    let (link, app) = (rig.link("c1"), rig.app());
    rig.files.put("/s", &contents(3500));
    rig.input(app, &asking(&json!({"with_file": file("/s"), "wait_for_ack": true}), b"data", b""));
    let frames = came(&rig.sent(link));
    let asked = numbers(&frames);
    assert_eq!((names(&frames).len(), asked.len()), (4, 4));
    let mut unique = asked.clone();
    unique.dedup();
    assert_eq!(unique, asked);
    rig.input(link, &[ack("c1", asked[0]), ack("c1", asked[1])].concat());
    rig.closed(link, Cause::ClosedByPeer);
    let again = rig.link("c1");
    let frames = came(&rig.sent(again));
    assert_eq!(names(&frames), ["data3", "data4"], "it goes on behind what the peer has");
    assert_eq!(numbers(&frames)[1], asked[3], "the message keeps its number");
    rig.input(again, &ack("c1", numbers(&frames)[0]));
    assert!(rig.files.has("/s"));
    rig.input(again, &ack("c1", asked[3]));
    assert!(!rig.files.has("/s"));
    rig.closed(again, Cause::ClosedByPeer);
    let third = rig.link("c1");
    assert_eq!(rig.sent(third), b"");
}

#[test]
fn a_link_that_is_cut_at_any_byte_loses_no_file() {
    let total = 3 * 400 + 2 * 60 + 1100 + 250;
    for cut in (0..total).step_by(13) {
        let mut rig = Rig::server_with(pieces_of(100));
        let (link, app) = (rig.link("c1"), rig.app());
        rig.files.put("/s", &contents(250));
        rig.files.put("/small", &contents(40));
        let small = with(&file("/small"), b"small", b"own");
        rig.input(
            app,
            &[any_to("c1", b"before"), with(&file("/s"), b"data", b"own"), small, any_to("c1", b"behind")].concat(),
        );
        let mut frames = came(&rig.sent_up_to(link, cut));
        assert_eq!(rig.files.has("/s"), !names(&frames).contains(&"data3".to_owned()), "cut at {cut}");
        rig.closed(link, Cause::ClosedByPeer);
        assert_eq!(rig.files.open(), 0);
        let again = rig.link("c1");
        frames.extend(came(&rig.sent(again)));
        // Small messages go out together, and are confirmed together: they may come again.
        let mut order = names(&frames);
        order.dedup();
        let mut seen = std::collections::BTreeSet::new();
        order.retain(|name| seen.insert(name.clone()));
        // Messages without files pass those with files by.
        let (mut files, mut others) = (order.clone(), order);
        files.retain(|name| name.starts_with("data") || name == "small");
        others.retain(|name| name.starts_with("be"));
        assert_eq!(files, ["data1", "data2", "data3", "small"], "cut at {cut}");
        assert_eq!(others, ["before", "behind"], "cut at {cut}");
        let pieces = frames.iter().filter(|came| came.data == b"data").flat_map(|came| came.file.clone());
        assert_eq!(pieces.collect::<Vec<u8>>(), contents(250), "each piece came once, cut at {cut}");
        assert!(!rig.files.has("/s") && !rig.files.has("/small"));
    }
}

#[test]
fn a_source_that_changes_between_its_pieces_is_not_mixed() {
    let mut rig = Rig::server_with(pieces_of(100));
    let (link, app) = (rig.link("c1"), rig.app());
    rig.files.put("/s", &contents(250));
    rig.input(app, &with(&file("/s"), b"data", b""));
    let first = rig.sent_up_to(link, 700);
    assert!(!came(&first).is_empty() && came(&first).len() < 3);
    rig.closed(link, Cause::ClosedByPeer);
    rig.files.put("/s", &contents(251));
    let again = rig.link("c1");
    let frames = came(&rig.sent(again));
    assert_eq!((frames.len(), frames[0].file.len()), (1, 0));
    assert!(frames[0].header["with_file"]["file_error"].as_str().unwrap().contains("changed"));
    assert!(rig.files.has("/s"));
}

#[test]
fn two_links_share_a_buffer_and_no_bytes() {
    let mut rig = Rig::server_with(pieces_of(50_000));
    let (one, two, app) = (rig.link("c1"), rig.link("c2"), rig.app());
    rig.files.put("/1", &contents(120_000));
    rig.files.put("/2", &vec![9; 120_000]);
    rig.input(app, &with(&file("/1"), b"data", b""));
    rig.input(app, &asking(&json!({"with_file": file("/2"), "destination_id": "c2"}), b"data", b""));
    let mut bytes = [Vec::new(), Vec::new()];
    loop {
        let more = [rig.sent_up_to(one, 701), rig.sent_up_to(two, 1009)];
        if more.iter().all(Vec::is_empty) {
            break;
        }
        bytes.iter_mut().zip(&more).for_each(|(all, more)| all.extend(more));
    }
    let whole = bytes.map(|bytes| came(&bytes).into_iter().flat_map(|came| came.file).collect::<Vec<u8>>());
    assert_eq!(whole, [contents(120_000), vec![9; 120_000]]);
}

#[test]
fn a_stored_message_brings_its_file_after_a_crash() {
    let mut rig = Rig::server_with(|s| s.persist_send = Covered::All);
    let app = rig.app();
    rig.files.put("/s", &contents(5000));
    rig.input(app, &with(&file("/s"), b"data", b"own"));
    let mut rig = rig.crash();
    let link = rig.link("c1");
    let frames = came(&rig.sent_up_to(link, 2000));
    assert_eq!(frames, []);
    let mut rig = rig.crash();
    let link = rig.link("c1");
    let frames = came(&rig.sent(link));
    assert_eq!((frames.len(), &frames[0].file), (1, &contents(5000)));
    assert!(!rig.files.has("/s"));
}

#[test]
fn a_message_that_made_room_keeps_its_file_and_the_next_has_its_turn() {
    let mut rig = Rig::server_with(|s| {
        s.queue_max_bytes = 3000;
        s.on_full.insert("any".into(), OnFull::DropOldest);
        s.chunk_max = 100;
    });
    let (link, app) = (rig.link("c1"), rig.app());
    rig.files.put("/1", &contents(250));
    rig.files.put("/2", &contents(250));
    rig.input(app, &with(&file("/1"), &[b'1'; 900], b""));
    // The first piece is out, and nothing is amid a frame.
    let mut bytes = Vec::new();
    while came(&bytes).is_empty() {
        bytes.extend(rig.sent_unconfirmed(link, 1));
    }
    rig.files.put("/3", &contents(50));
    rig.input(app, &[with(&file("/2"), &[b'2'; 900], b""), with(&file("/3"), &[b'3'; 1500], b"")].concat());
    bytes.extend(rig.sent(link));
    let kept: Vec<(u8, usize)> = came(&bytes).iter().map(|came| (came.data[0], came.file.len())).collect();
    assert_eq!(kept[..1], [(b'1', 100)]);
    assert_eq!(kept.last().map(|last| last.0), Some(b'3'));
    assert!(rig.files.has("/1"), "{kept:?}");
    assert_eq!(rig.files.open(), 0);
}

#[test]
fn a_header_without_room_for_what_is_said_of_its_file_is_refused() {
    let mut rig = Rig::server();
    let (link, app): (Id, Id) = (rig.link("c1"), rig.app());
    let mut with_file = file("/s");
    with_file["dst_name"] = "x".repeat(40_000).into();
    rig.input(app, &with(&with_file, b"data", b""));
    assert_eq!(rig.sent(link), b"");
    assert_eq!(rig.ledger(), ["c1 any header_too_long 1"]);
}

#[test]
fn an_empty_with_file_is_no_file() {
    let mut rig = Rig::server();
    let (link, app) = (rig.link("c1"), rig.app());
    rig.input(app, &with(&json!({}), b"data", b"own"));
    let bytes = rig.sent(link);
    let frame = Frame::parse(&bytes).unwrap();
    let header: Value = serde_json::from_slice(frame.header()).unwrap();
    assert_eq!((&header["with_file"], frame.binary()), (&json!({}), Some(&b"own"[..])));
}

#[test]
fn stopping_waits_until_a_file_is_out() {
    let mut rig = Rig::server_with(pieces_of(100_000));
    let (link, app) = (rig.link("c1"), rig.app());
    rig.files.put("/s", &contents(300_000));
    rig.input(app, &with(&file("/s"), b"data", b""));
    let mut bytes = rig.sent_up_to(link, 150_000);
    rig.stop();
    rig.pass(Duration::from_secs(1));
    bytes.extend(rig.sent(link));
    let whole: Vec<u8> = came(&bytes).into_iter().flat_map(|came| came.file).collect();
    assert_eq!(whole, contents(300_000));
    assert!(!rig.files.has("/s"));
}
