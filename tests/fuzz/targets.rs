//! What must hold for any bytes.

use std::ops::Range;

use aioconnectors::ring::header::{DATA_AT, Header as Page, PAGE, update};
use aioconnectors::ring::recover::{recover, walk};
use aioconnectors::ring::{Checkpoint, Durable, Ring};
use aioconnectors::wire::file::{FileControl, Piece};
use aioconnectors::wire::frame::{self, Deframer, Part};
use aioconnectors::wire::header::{self, Header};
use aioconnectors::wire::record::{Head, NewRecord, ORIGIN, frame_crc, read_record, write_record};
use aioconnectors::wire::with_file::file_begins;

/// The longest frame that the deframer under test takes.
const LIMIT: usize = 4096;

/// The frames in pieces of a stream, and why it ended early if it did.
fn cut(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, Option<String>) {
    let (mut deframer, mut out, mut fed) = (Deframer::new(LIMIT), Vec::new(), 0);
    for piece in pieces {
        fed += piece.len();
        let mut frames = deframer.feed(piece);
        loop {
            match frames.next() {
                Ok(Some(frame)) => out.push(frame.bytes().to_vec()),
                Ok(None) => break,
                Err(error) => return (out, Some(error.to_string())),
            }
        }
        drop(frames);
        assert!(deframer.kept() <= fed.min(LIMIT + 4), "no more is kept than one frame");
    }
    (out, None)
}

/// The same of a stream whose files are handed out in parts, which are put together again.
fn cut_and_divided(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, Option<String>) {
    let (mut deframer, mut out, mut fed) = (Deframer::new(LIMIT), Vec::<Vec<u8>>::new(), 0);
    deframer.set_divide(file_begins);
    let mut left = 0;
    for piece in pieces {
        fed += piece.len();
        let mut frames = deframer.feed(piece);
        loop {
            match frames.next_part() {
                Ok(Some(Part::Frame(frame))) => out.push(frame.bytes().to_vec()),
                Ok(Some(Part::Head(frame, rest))) => {
                    assert!(rest > 0 && frame.bytes().len() <= LIMIT + 4 && file_begins(frame.header()).is_some());
                    left = rest;
                    out.push(frame.bytes().to_vec());
                }
                Ok(Some(Part::Rest(bytes))) => {
                    assert!(!bytes.is_empty() && bytes.len() <= left, "it is of the file");
                    left -= bytes.len();
                    out.last_mut().expect("its head came first").extend_from_slice(bytes);
                }
                Ok(None) => break,
                Err(error) => return (out, Some(error.to_string())),
            }
        }
        drop(frames);
        assert!(deframer.kept() <= fed.min(LIMIT + 65_535), "no more is kept than the message of a frame");
    }
    (out, None)
}

/// Streams are cut the same with and without parts, but that what is too long as a whole may have parts that are not.
pub fn divided(bytes: &[u8]) {
    let size = bytes.first().map_or(1, |b| usize::from(*b) % 40 + 1);
    let whole = cut_and_divided(&[bytes]);
    assert_eq!(whole, cut_and_divided(&bytes.chunks(size).collect::<Vec<_>>()), "pieces of {size} bytes");
    // What is wrong in a frame that is to be divided may be seen before the frame is there.
    let (undivided, _) = cut(&[bytes]);
    assert_eq!(whole.0[..undivided.len()], undivided);
}

pub fn deframer(bytes: &[u8]) {
    let size = bytes.first().map_or(1, |b| usize::from(*b) % 40 + 1);
    let whole = cut(&[bytes]);
    assert_eq!(whole, cut(&bytes.chunks(size).collect::<Vec<_>>()), "pieces of {size} bytes");
    for bytes in whole.0 {
        let frame = frame::Frame::parse(&bytes).unwrap();
        let mut again = Vec::new();
        frame::encode(frame.header(), frame.data(), frame.binary(), &mut again).unwrap();
        assert_eq!(again, bytes, "what is read is written the same");
    }
}

pub fn header(json: &[u8]) {
    let Ok(parsed) = Header::parse(json) else { return };
    let source = header::json_string("someone \"else\"");
    let Ok(rewritten) = header::rewrite(json, &[("source_id", Some(source)), ("transport_id", None)]) else { return };
    let again = Header::parse(&rewritten).expect("what was rewritten is read");
    let expected = Header { source_id: Some("someone \"else\"".into()), transport_id: None, ..parsed };
    assert_eq!(again, expected, "nothing else has changed");
}

pub fn record(mut bytes: &[u8]) {
    while let Some(head) = Head::at(bytes, 0) {
        let Some(one) = bytes.get(..head.size()) else {
            return assert!(read_record(bytes).is_err() || head.size() <= bytes.len() + 8);
        };
        if let Ok((view, frame)) = read_record(one) {
            let origin = view.origin;
            let frame_crc = Some(frame_crc(&[frame]));
            let flags = view.flags;
            let new = NewRecord { sequence: view.sequence, flags, origin, length: frame.len(), frame_crc };
            let mut again = vec![0; one.len()];
            write_record(&mut again, &new, &[frame]);
            let end = head.frame_range().end;
            assert_eq!(again[..end], one[..end], "what is read is written the same");
            assert_eq!(flags & ORIGIN != 0, origin.is_some());
        }
        bytes = &bytes[head.size()..];
    }
}

/// A frame that says something of a file, or the body of a piece.
pub fn files(bytes: &[u8]) {
    if let Ok(piece) = Piece::parse(7, bytes) {
        let again = [&Piece::head(piece.id, piece.offset)[..], piece.bytes].concat();
        assert_eq!(again, bytes, "what is read is written the same");
    }
    let Ok(frame) = frame::Frame::parse(bytes) else { return };
    let Ok(header) = Header::parse(frame.header()) else { return };
    let Ok(Some((id, said))) = FileControl::parse(&header, frame.data()) else { return };
    let again = said.encode("c1", id, b"{}");
    let frame = frame::Frame::parse(&again).unwrap();
    let header = Header::parse(frame.header()).unwrap();
    assert_eq!(FileControl::parse(&header, frame.data()).unwrap(), Some((id, said)), "what was read is written");
}

/// Memory that is nothing but bytes.
#[derive(Debug)]
struct Plain(Vec<u8>);

impl Durable for Plain {
    fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    fn grow(&mut self, capacity: usize) -> Result<(), String> {
        if capacity > 1 << 22 {
            return Err("no room".to_owned());
        }
        self.0.resize(capacity, 0);
        Ok(())
    }

    fn shrink(&mut self) {
        self.0.clear();
    }

    fn sync(&mut self) -> Result<(), String> {
        Ok(())
    }

    fn save(&mut self, _: &Checkpoint) {}

    fn cool(&mut self, _: Range<usize>) {}

    fn quarantine(&mut self) -> Result<String, String> {
        Ok("a copy".to_owned())
    }

    fn discard(self: Box<Self>) {}
}

/// Gives a page that was changed its checksum, so that what it says is looked at.
fn reseal(page: &mut [u8]) {
    let number = |at: usize| u64::from_le_bytes(page[at..at + 8].try_into().unwrap());
    let [generation, epoch, capacity, first, end, wrapped, records, used, next_sequence, released_to, moved_at] =
        std::array::from_fn(|i| number(16 + 8 * i));
    let wrapped = wrapped != 0;
    let checkpoint = Checkpoint { first, end, wrapped, records, used, next_sequence, released_to, moved_at };
    update(page, generation, epoch, capacity, &checkpoint);
}

/// The first byte says whether the pages get new checksums; then the file follows.
pub fn recovery(bytes: &[u8]) {
    let Some((how, file)) = bytes.split_first() else { return };
    let mut file = file.to_vec();
    if how % 2 == 1 && file.len() >= DATA_AT {
        file[..DATA_AT].chunks_exact_mut(PAGE).for_each(reseal);
    }
    let (pages, data) = file.split_at(file.len().min(DATA_AT));
    let Ok(Some(found)) = recover(pages, data, None) else { return };
    let kept = found.checkpoint;
    assert!(kept.first.max(kept.end) <= data.len() as u64, "the ring is within the file");
    assert_eq!(kept.records, found.header.checkpoint.records + found.tail_records);
    assert!(found.origins.len() as u64 <= found.tail_records);
    assert_eq!(Page::read(&found.header.to_page().unwrap()), Ok(found.header.clone()));
    let sound = walk(data, &kept).take_while(|walked| walked.sound).count();
    let mut ring = Ring::durable(Box::new(Plain(data.to_vec())), kept, 1 << 20, 0);
    // The walk looks at the order of numbers as well.
    assert!(ring.frames().count() >= sound, "the ring has what the walk sees");
    empty(&mut ring, how / 2, kept.records);
    // A page that says what was never so, and is sealed all the same, need only do no harm.
    if how & 1 == 0 && ring.push(&[b"one more"], 0, None).is_ok() {
        ring.checkpoint();
        assert_eq!(ring.check_front(1), Ok(()), "it takes more");
        assert_eq!(ring.front(), Some(&b"one more"[..]), "it takes more");
    }
}

/// Has all that is in the ring sent and given up; it must come to an end.
fn empty(ring: &mut Ring, how: u8, records: u64) {
    for _ in 0..=2 * records.min(1 << 20) {
        if ring.is_empty() {
            return;
        }
        let sent = if how & 1 == 0 {
            ring.raw(1 << 16, u64::MAX).map(<[u8]>::len).map(|count| ring.raw_sent(count))
        } else {
            ring.check_front(1 << 16).map(|()| ring.front().map_or(0, <[u8]>::len)).map(|count| ring.sent(count))
        };
        match sent {
            Ok(0) => ring.rewind(),
            Ok(_) => ring.release_sent(),
            Err(_) => assert!(ring.skip_damaged().records > 0, "damage is got rid of"),
        }
    }
    assert!(ring.is_empty(), "it comes to an end");
}
