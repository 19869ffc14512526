use super::deframer::*;
use super::frame::{Frame, FrameError, encode};

const HEADER: &[u8] = br#"{"message_type": "any"}"#;

fn sample(data: &[u8], binary: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    encode(HEADER, data, binary, &mut out).unwrap();
    out
}

fn collect(deframer: &mut Deframer, input: &[u8], out: &mut Vec<Vec<u8>>) {
    let mut frames = deframer.feed(input);
    while let Some(frame) = frames.next().unwrap() {
        out.push(frame.bytes().to_vec());
    }
}

#[test]
fn frames_split_at_every_byte_give_the_same_messages() {
    let frames = [sample(b"one", None), sample(b"", Some(b"")), sample(&[7; 300], Some(b"xyz"))];
    let stream = frames.concat();
    for first in 0..=stream.len() {
        for second in first..=stream.len() {
            let (mut deframer, mut out) = (Deframer::new(4096), Vec::new());
            for piece in [&stream[..first], &stream[first..second], &stream[second..]] {
                collect(&mut deframer, piece, &mut out);
            }
            assert_eq!(out, frames, "cut at {first} and {second}");
            assert_eq!(deframer.kept(), 0);
        }
    }
}

#[test]
fn frames_like_the_one_before_are_given_as_long_as_there_are_such() {
    let (like, other) = (sample(b"a", None), sample(b"b", Some(b"")));
    let stream = [&like[..], &sample(b"", None), &other, &like, &like[..9]].concat();
    let mut deframer = Deframer::new(4096);
    let mut frames = deframer.feed(&stream);
    assert_eq!(frames.next_like(HEADER).unwrap().data(), b"a");
    frames.give_back();
    assert_eq!(frames.next_like(HEADER).unwrap().data(), b"a");
    assert!(frames.next_like(b"{}").is_none(), "another header");
    assert_eq!(frames.next_like(HEADER).unwrap().data(), b"");
    assert!(frames.next_like(HEADER).is_none(), "it has a binary");
    assert_eq!(frames.next().unwrap().unwrap().binary(), Some(&b""[..]));
    assert_eq!(frames.next_like(HEADER).unwrap().data(), b"a");
    assert!(frames.next_like(HEADER).is_none(), "it is cut");
    drop(frames);
    assert_eq!(deframer.kept(), 9);
    let mut frames = deframer.feed(&like[9..]);
    assert!(frames.next_like(HEADER).is_none(), "not all of it lies in the input");
    assert_eq!(frames.next().unwrap().unwrap().data(), b"a");
    drop(frames);
    assert!(Deframer::new(10).feed(&like).next_like(HEADER).is_none(), "longer than the limit");
}

#[test]
fn a_deframer_at_rest_holds_little_memory_whatever_has_come() {
    let frame = sample(&[b'x'; 300_000], None);
    let (mut deframer, mut out) = (Deframer::new(1_000_000), Vec::new());
    for piece in frame.repeat(2).chunks(200_000) {
        collect(&mut deframer, piece, &mut out);
    }
    assert_eq!(out.len(), 2);
    assert!(deframer.kept.capacity() <= KEPT_CAPACITY);
}

#[test]
fn a_frame_held_back_comes_again_with_all_behind_it() {
    let frames = [sample(b"one", None), sample(b"two", None), sample(b"three", None)];
    let stream = frames.concat();
    for cut in 0..=stream.len() {
        for held in 0..3 {
            let (mut deframer, mut out, mut refused) = (Deframer::new(4096), Vec::new(), false);
            for piece in [&stream[..cut], &stream[cut..], &[], &[]] {
                let mut feed = deframer.feed(piece);
                while let Some(frame) = feed.next().unwrap() {
                    if out.len() == held && !refused {
                        refused = true;
                        feed.hold_back();
                        break;
                    }
                    out.push(frame.bytes().to_vec());
                }
            }
            assert_eq!(out, frames, "cut at {cut}, frame {held} held back");
        }
    }
}

#[test]
fn a_length_over_the_limit_is_refused_before_its_bytes_arrive() {
    let mut deframer = Deframer::new(100);
    let error = deframer.feed(&101u32.to_le_bytes()).next().unwrap_err();
    assert_eq!(error, FrameError::TooLong { length: 101, limit: 100 });
    assert_eq!(error.to_string(), "a frame of 101 bytes is over the limit of 100");
    let tls = FrameError::TooLong { length: 0x0001_0316, limit: 100 };
    assert!(tls.to_string().ends_with("(it begins like TLS, which is not expected here)"));
    let error = Deframer::new(100).feed(&5u32.to_le_bytes()).next().unwrap_err();
    assert_eq!(error, FrameError::TooShort { length: 5 });
}

const WITH_FILE: &[u8] = br#"{"message_type": "any", "with_file": {"binary_offset": 3}}"#;

fn with_file(data: &[u8], binary: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode(WITH_FILE, data, Some(binary), &mut out).unwrap();
    out
}

fn dividing(limit: usize) -> Deframer {
    let mut deframer = Deframer::new(limit);
    deframer.set_divide(|header| (header == WITH_FILE).then_some(3));
    deframer
}

/// The frames that parts belong to, put together again. What is not held back is taken: the part of number `held`
/// is, once.
fn put_together(deframer: &mut Deframer, pieces: &[&[u8]], held: usize) -> Vec<Vec<u8>> {
    let (mut out, mut number, mut refused): (Vec<Vec<u8>>, _, _) = (Vec::new(), 0, false);
    for piece in pieces {
        let mut frames = deframer.feed(piece);
        while let Some(part) = frames.next_part().unwrap() {
            if number == held && !refused {
                refused = true;
                frames.hold_back();
                break;
            }
            number += 1;
            match part {
                Part::Frame(frame) => out.push(frame.bytes().to_vec()),
                Part::Head(frame, _) => {
                    assert_eq!((frame.header(), frame.data()), (WITH_FILE, &b"data"[..]));
                    assert_eq!(frame.binary(), Some(&b"own"[..]));
                    out.push(frame.bytes().to_vec());
                }
                Part::Rest(bytes) => out.last_mut().unwrap().extend_from_slice(bytes),
            }
        }
    }
    out
}

#[test]
fn a_frame_that_is_divided_comes_whole_in_its_parts_however_it_is_cut() {
    let frames = [sample(b"one", None), with_file(b"data", b"ownfile bytes"), sample(b"", Some(b"x"))];
    let stream = frames.concat();
    for first in 0..=stream.len() {
        for second in first..=stream.len() {
            let pieces = [&stream[..first], &stream[first..second], &stream[second..]];
            // The whole of it is over the limit, its first part is not.
            let mut deframer = dividing(frames[1].len() - 6);
            assert_eq!(put_together(&mut deframer, &pieces, usize::MAX), frames, "cut at {first} and {second}");
            assert_eq!((deframer.kept(), deframer.rest), (0, 0));
        }
    }
}

#[test]
fn a_part_held_back_comes_again_with_all_behind_it() {
    let frames = [sample(b"one", None), with_file(b"data", b"ownfile bytes"), sample(b"", Some(b"x"))];
    let stream = frames.concat();
    for cut in 0..=stream.len() {
        for held in 0..6 {
            let pieces = [&stream[..cut], &stream[cut..], &[], &[]];
            let mut deframer = dividing(4096);
            assert_eq!(put_together(&mut deframer, &pieces, held), frames, "cut at {cut}, part {held} held back");
        }
    }
}

#[test]
fn a_frame_that_came_whole_can_be_divided_all_the_same() {
    let stream = [sample(b"one", None), with_file(b"data", b"ownfile bytes"), sample(b"two", None)].concat();
    for cut in 0..=stream.len() {
        let (mut deframer, mut rest, mut whole) = (Deframer::new(4096), Vec::new(), 0);
        for piece in [&stream[..cut], &stream[cut..], &[]] {
            let mut frames = deframer.feed(piece);
            loop {
                let first = match frames.next_part().unwrap() {
                    Some(Part::Frame(frame)) if frame.header() == WITH_FILE => {
                        let (head, left) = frame.divided(3);
                        assert_eq!((head.binary(), left), (Some(&b"own"[..]), 10));
                        head.bytes().len()
                    }
                    Some(Part::Frame(_)) => {
                        whole += 1;
                        continue;
                    }
                    Some(Part::Rest(bytes)) => {
                        rest.extend_from_slice(bytes);
                        continue;
                    }
                    _ => break,
                };
                frames.divide_last(first);
            }
        }
        assert_eq!((rest.as_slice(), whole), (&b"file bytes"[..], 2), "cut at {cut}");
    }
}

#[test]
fn memory_does_not_grow_with_what_follows_the_first_part() {
    let frame = with_file(b"data", &[b'x'; 1_000_000]);
    let (mut deframer, mut largest) = (dividing(1000), 0);
    let mut came = 0;
    for piece in frame.chunks(10_000) {
        let mut frames = deframer.feed(piece);
        while let Some(part) = frames.next_part().unwrap() {
            if let Part::Rest(bytes) = part {
                came += bytes.len();
            }
        }
        drop(frames);
        largest = largest.max(deframer.kept.capacity());
    }
    assert_eq!(came, 1_000_000 - 3);
    assert!(largest <= 20_000, "{largest}");
}

#[test]
fn what_does_not_fit_is_refused_before_it_comes() {
    let whole = with_file(&[b'd'; 600], b"ownfile");
    let refused = |frame: &[u8], limit: usize| {
        let mut deframer = dividing(limit);
        let mut frames = deframer.feed(frame);
        frames.next_part().map(|_| ()).unwrap_err()
    };
    // The data alone is over the limit: it is not gathered.
    let header_end = 6 + WITH_FILE.len();
    let length = header_end + 600;
    assert_eq!(refused(&whole[..header_end + 4], 500), FrameError::TooLong { length, limit: 500 });
    let mut beyond = whole.clone();
    beyond[header_end + 2] = 1;
    let error = refused(&beyond[..header_end + 4], 4096);
    assert_eq!(error, Frame::parse(&beyond).unwrap_err());
    let at = header_end + 4 + 600;
    for (length, cut) in [(200, at + 4), (6, at + 4)] {
        let mut beyond = whole.clone();
        beyond[at] = length;
        assert_eq!(refused(&beyond[..cut], 4096), Frame::parse(&beyond).unwrap_err());
    }
    // A frame that is not divided is refused as soon as its header has said so.
    let ordinary = sample(&[0; 600], None);
    let error = refused(&ordinary[..6 + HEADER.len()], 500);
    assert_eq!(error, FrameError::TooLong { length: ordinary.len() - 4, limit: 500 });
}
