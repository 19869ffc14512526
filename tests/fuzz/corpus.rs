//! What is right, to be made worse.

use aioconnectors::ring::Checkpoint;
use aioconnectors::ring::header::{DATA_AT, Header, Identity, Kind, PAGE};
use aioconnectors::wire::file::{FileControl, Offered, Piece, TransferId, Verdict};
use aioconnectors::wire::link::{LinkHello, PlaceSaid};
use aioconnectors::wire::record::{
    CONTROL, NewRecord, Origin, WAITS_ACK, append_record, frame_crc, record_size, write_record, write_wrap,
};

use crate::rig::{message, message_with_binary};

const HEADERS: [&str; 8] = [
    r#"{"message_type": "any", "source_id": "c1"}"#,
    r#"{"message_type": "_ping", "await_response": true, "request_id": 5, "destination_id": "('10.0.0.1', 10673)"}"#,
    r#"{"message_type": "any", "response_id": "a\u00e9\"b", "with_binary": true, "tag": null}"#,
    r#"{"message_type": "any", "with_file": {"src_path": "/x", "binary_offset": 3}, "wait_for_ack": true}"#,
    r#"{"message_type":"_hello","receipts":"delivered","session":"s"}"#,
    r#"{"message_type": "_handshake_no_ssl", "source_id": "c1", "link": 2}"#,
    r#"{"transport_id": 17, "message_type": "any", "source_id": "c1", "error": "x", "list": [1, {"a": []}]}"#,
    r#" { "message_type" : "any" , "source_id" : "one" , "source_id" : "two" } "#,
];

pub fn headers() -> Vec<Vec<u8>> {
    HEADERS.iter().map(|header| header.as_bytes().to_vec()).collect()
}

pub fn frames() -> Vec<Vec<u8>> {
    let mut out: Vec<Vec<u8>> = HEADERS.iter().map(|header| message(header, b"data")).collect();
    out.push(message_with_binary(HEADERS[2], b"", b"binary"));
    out.push(message_with_binary(HEADERS[3], b"data", b"ownfile"));
    out.push(message_with_binary(HEADERS[3], b"", &[9; 6000]));
    out.push(message(HEADERS[0], &[7; 3000]));
    out.push(out.concat());
    out
}

pub fn records() -> Vec<Vec<u8>> {
    let mut stream = Vec::new();
    for (number, frame) in frames().iter().enumerate() {
        append_record(&mut stream, number as u64, if number % 2 == 0 { CONTROL } else { WAITS_ACK }, &[frame]);
    }
    vec![stream, ring(3, 9), ring(0, 1)]
}

/// What is said of files, and pieces of them.
pub fn files_said() -> Vec<Vec<u8>> {
    let id = TransferId { lane: 1, number: 1 << 50, attempt: 2 };
    let why = || "no \"room\"".to_owned();
    let all = [
        FileControl::Offer(Offered::File { size: 1 << 40, changed: 5, inode: 6 }),
        FileControl::Offer(Offered::Failed(why())),
        FileControl::Have(77),
        FileControl::End([0xA5; 32]),
        FileControl::Settled(Verdict::Done),
        FileControl::Settled(Verdict::Refused(why())),
        FileControl::Settled(Verdict::Later(why())),
        FileControl::Settled(Verdict::Again(why())),
    ];
    let mut out: Vec<Vec<u8>> = all.iter().map(|said| said.encode("c1", id, HEADERS[3].as_bytes())).collect();
    out.push([&Piece::head(id, 1 << 33)[..], b"bytes"].concat());
    out
}

/// Records with these numbers, one behind the other, every second one with an origin.
fn ring(first: u64, end: u64) -> Vec<u8> {
    let mut out = Vec::new();
    for sequence in first..end {
        let frame = message(HEADERS[0], &vec![sequence as u8; 10 * sequence as usize]);
        let origin = (sequence % 2 == 0).then_some(Origin { slot: 1, generation: 2, count: sequence });
        let (length, frame_crc) = (frame.len(), Some(frame_crc(&[&frame])));
        let at = out.len();
        out.resize(at + record_size(length, origin.is_some()), 0);
        write_record(&mut out[at..], &NewRecord { sequence, flags: 0, origin, length, frame_crc }, &[&frame]);
    }
    out
}

fn file(how: u8, checkpoint: Checkpoint, data: Vec<u8>) -> Vec<u8> {
    let identity = Identity {
        kind: Kind::Outbox,
        connector: "server".to_owned(),
        peer: "c1".to_owned(),
        message_type: "any".to_owned(),
    };
    let capacity = data.len() as u64;
    let mut out = vec![how];
    for generation in [5, 4] {
        let header = Header { generation, epoch: 7, capacity, checkpoint, identity: identity.clone() };
        out.extend(header.to_page().unwrap());
    }
    assert_eq!(out.len(), 1 + DATA_AT.max(2 * PAGE));
    out.extend(data);
    out
}

/// Files of rings: straight with and without a tail behind the checkpoint, wrapped, empty.
pub fn files() -> Vec<Vec<u8>> {
    let (head, tail) = (ring(1, 5), ring(5, 9));
    let straight = Checkpoint {
        end: head.len() as u64,
        records: 4,
        used: head.len() as u64,
        next_sequence: 5,
        released_to: 1,
        ..Checkpoint::default()
    };
    let mut with_tail = [head.clone(), tail.clone()].concat();
    with_tail.resize(with_tail.len() + 64, 0);
    // The newer half lies before the older one.
    let mut wrapped = ring(5, 9);
    let end = wrapped.len() as u64;
    wrapped.resize(wrapped.len() + 128, 0);
    let first = wrapped.len() as u64;
    wrapped.extend(&head);
    let mark = wrapped.len();
    wrapped.resize(mark + 64, 0);
    write_wrap(&mut wrapped, mark);
    let used = (head.len() + tail.len()) as u64;
    let around =
        Checkpoint { first, end, wrapped: true, records: 8, used, next_sequence: 9, released_to: 1, moved_at: 0 };
    let mut out = Vec::new();
    for how in 0..4 {
        out.push(file(how, straight, with_tail.clone()));
        out.push(file(how, around, wrapped.clone()));
        out.push(file(how, Checkpoint::default(), Vec::new()));
    }
    out
}

/// Scripts for the link target: steps and what they need.
pub fn talks() -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for how in [0, 1, 3, 7, 15, 128, 131] {
        // A link of each state, then lanes, messages, words about them, cuts and crashes.
        for state in 0..8 {
            let mut talk = vec![how, state, 0, 5];
            talk.extend([0, 3, 0, 0, 1, 0]);
            for n in 0..4 {
                talk.extend([5, n, 0, 40, 0, 7, 60]);
                talk.extend([1, 2, n, 0, 3, 1, 2, 3]);
                talk.extend([2, 4, 0, 5 + 4 * n, 8, 3]);
                talk.extend([8, 1, 8, 2, 1, 9, 100]);
            }
            // A file of each side: offered, in pieces, ended, settled, its message.
            talk.extend([
                0, 3, 3, 4, 1, 0, 0, 9, 3, 5, 1, 0, 9, 3, 5, 1, 1, 10, 0, 10, 9, 3, 5, 1, 2, 9, 3, 5, 1, 3, 0,
            ]);
            talk.extend([12, 0, 2, 7, 200, 0, 9, 3, 5, 1, 4, 0, 7, 250, 0, 9, 3, 5, 1, 5, 0, 2, 5, 4, 1, 3]);
            talk.extend([3, 5, 0, 1, 7, 200, 3, 6, 0, 7, 200, 10, 5, 0, 40, 11, 5, 1, 0, 1, 5, 1, 7, 250]);
            out.push(talk);
        }
    }
    // Files on links of the first kind, both ways.
    for how in [0, 1, 128] {
        let mut talk = vec![how, 8];
        for cut in [0, 0, 200] {
            talk.extend([0, 10, 3, 100, 0, 0, cut, 12, 50, 1, 1, 0, 7, 200, 8, 3, 7, 250, 9, 100]);
        }
        talk.extend([10, 8, 0, 10, 3, 100, 0, 0, 0, 7, 200]);
        out.push(talk);
    }
    let place = PlaceSaid { message_type: "any".to_owned(), epoch: 1, received: 5, taken: 4 };
    let hello = LinkHello { window: 1000, places: vec![place], features: vec!["renewal".into()] }.encode("c1");
    let mut raw = vec![0, 4, 0, 0, hello.len() as u8];
    raw.extend(hello);
    out.push(raw);
    out
}
