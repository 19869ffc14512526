//! The record: a frame with its length, checksum and number, as it lies in a ring, in a file, and on a link between
//! two connectors of this kind.
//!
//! ```text
//! u32 length of the frame | u32 CRC-32C | u64 flags and number | [origin, 16 bytes] | frame | padding
//! ```
//! All integers are little endian. The flags are the top 8 bits of the last word, the sequence number is the other 56.
//! The origin is there if the flag [`ORIGIN`] is. Zeros pad a record to a multiple of [`ALIGNMENT`].
//!
//! The CRC is over the frame, then the origin, then the length and the word of flags and number. The frame comes first,
//! so one pass over it ([`frame_crc`]) serves all records that it is put into.
//!
//! In memory, two lengths that no record has say where the next record is: [`WRAP`] and [`SKIP`]. They are never sent.

use std::fmt;

use crc32c::crc32c_append;

/// Bytes before the origin or the frame.
pub const RECORD_HEADER: usize = 16;

/// Bytes of an [`Origin`].
pub const ORIGIN_SIZE: usize = 16;

/// Records begin at multiples of it.
pub const ALIGNMENT: usize = 8;

/// In place of a length: the next record is at offset 0.
pub const WRAP: u32 = u32::MAX;

/// In place of a length: what lies here was damaged and given up. The last word is how many bytes on the next record
/// is; the CRC is over that word alone.
pub const SKIP: u32 = u32::MAX - 1;

/// The longest frame that a record holds, bytes.
pub const RECORD_FRAME_MAX: usize = SKIP as usize - 1;

/// The greatest sequence number.
pub const SEQUENCE_MAX: u64 = (1 << 56) - 1;

/// Flag: an [`Origin`] stands before the frame.
pub const ORIGIN: u8 = 1;

/// Flag: the sender waits for an acknowledgement of this message by the peer.
pub const WAITS_ACK: u8 = 2;

/// Flag, on a link only: the frame is one of the connectors' own messages.
pub const CONTROL: u8 = 4;

/// Flag, on a link only: the frame is a lane's number, a `u32`; the records that follow are of that lane.
pub const SWITCH: u8 = 8;

/// Flag, on a link only: the frame is a piece of a file ([`Piece`](super::file::Piece)).
pub const FILE: u8 = 16;

/// Flag, on a link only: the frame is the header of the messages in runs that follow ([`runs`](super::runs)).
pub const HEADER: u8 = 32;

/// Flag, on a link only: the frame is messages that have the same header ([`runs`](super::runs)).
pub const RUN: u8 = 64;

/// Whose message a record holds: a place in the table of places, and the message's number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Index of the place.
    pub slot: u32,
    /// How often that place was given to another before.
    pub generation: u32,
    /// The message's number among those of the place.
    pub count: u64,
}

impl Origin {
    fn to_bytes(self) -> [u8; ORIGIN_SIZE] {
        let mut bytes = [0; ORIGIN_SIZE];
        bytes[..4].copy_from_slice(&self.slot.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.generation.to_le_bytes());
        bytes[8..].copy_from_slice(&self.count.to_le_bytes());
        bytes
    }

    /// From the first bytes of a record's body; `None` if there are too few.
    fn read(body: &[u8]) -> Option<Self> {
        let (slot, rest) = body.split_first_chunk()?;
        let (generation, rest) = rest.split_first_chunk()?;
        let (count, _) = rest.split_first_chunk()?;
        let (slot, generation) = (u32::from_le_bytes(*slot), u32::from_le_bytes(*generation));
        Some(Self { slot, generation, count: u64::from_le_bytes(*count) })
    }
}

/// What a record says besides its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordView {
    /// Its number, greater than those of all records before it in the ring.
    pub sequence: u64,
    /// [`ORIGIN`], [`WAITS_ACK`], [`CONTROL`], [`SWITCH`], [`FILE`], [`HEADER`], [`RUN`].
    pub flags: u8,
    /// Whose message it is, if that is kept.
    pub origin: Option<Origin>,
}

/// The first bytes of a record, as they stand there: nothing is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Bytes of the frame, or [`WRAP`], or [`SKIP`].
    pub length: u32,
    /// The checksum; 0 in a ring that keeps none, or that makes it when the record is sent.
    pub crc: u32,
    /// The flags.
    pub flags: u8,
    /// The sequence number.
    pub sequence: u64,
}

impl Head {
    /// The head that stands at `at`; `None` if there are too few bytes.
    #[must_use]
    pub fn at(bytes: &[u8], at: usize) -> Option<Self> {
        let (head, _) = bytes.get(at..)?.split_first_chunk()?;
        Some(Self::new(head))
    }

    /// From the first bytes of a record.
    #[must_use]
    pub fn new(bytes: &[u8; RECORD_HEADER]) -> Self {
        let [a, b, c, d, e, f, g, h, word @ ..] = *bytes;
        let word = u64::from_le_bytes(word);
        Self {
            length: u32::from_le_bytes([a, b, c, d]),
            crc: u32::from_le_bytes([e, f, g, h]),
            flags: (word >> 56) as u8,
            sequence: word & SEQUENCE_MAX,
        }
    }

    /// The head with another length and checksum, from 8 bytes.
    #[must_use]
    pub fn with_first_half(self, half: [u8; 8]) -> Self {
        let [a, b, c, d, e, f, g, h] = half;
        Self { length: u32::from_le_bytes([a, b, c, d]), crc: u32::from_le_bytes([e, f, g, h]), ..self }
    }

    /// Whether no record is here, but a mark that says where it is.
    #[must_use]
    pub fn is_mark(&self) -> bool {
        self.length >= SKIP
    }

    /// Where the mark at `at` leads; `None` if it is damaged or none.
    #[must_use]
    pub fn leads_to(&self, at: usize) -> Option<usize> {
        let step = usize::try_from(self.word()).ok()?;
        match self.length {
            WRAP => Some(0),
            SKIP if self.crc == skip_crc(self.word()) && step > 0 => at.checked_add(step),
            _ => None,
        }
    }

    /// Bytes of the whole record, with padding.
    #[must_use]
    pub fn size(&self) -> usize {
        record_size(self.length as usize, self.flags & ORIGIN != 0)
    }

    /// Bytes before the frame.
    #[must_use]
    pub fn before_frame(&self) -> usize {
        if self.flags & ORIGIN == 0 { RECORD_HEADER } else { RECORD_HEADER + ORIGIN_SIZE }
    }

    /// The frame's place in the record.
    #[must_use]
    pub fn frame_range(&self) -> std::ops::Range<usize> {
        self.before_frame()..self.before_frame() + self.length as usize
    }

    /// Whether the checksum is right; `body` is what lies behind the head, and may be longer than the record.
    #[must_use]
    pub fn is_sound(&self, body: &[u8]) -> bool {
        if self.is_mark() {
            return false;
        }
        let range = self.frame_range();
        let Some(frame) = body.get(range.start - RECORD_HEADER..range.end - RECORD_HEADER) else { return false };
        let origin = if self.flags & ORIGIN == 0 { None } else { Origin::read(body) };
        record_crc(crc32c_append(0, frame), self.length, self.word(), origin) == self.crc
    }

    /// What the record says besides its frame; `body` is what lies behind the head.
    #[must_use]
    pub fn view(&self, body: &[u8]) -> RecordView {
        let origin = if self.flags & ORIGIN == 0 { None } else { Origin::read(body) };
        RecordView { sequence: self.sequence, flags: self.flags, origin }
    }

    fn word(&self) -> u64 {
        word(self.flags, self.sequence)
    }
}

fn word(flags: u8, sequence: u64) -> u64 {
    u64::from(flags) << 56 | sequence
}

/// A record's checksum is wrong, or it is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadRecord {
    /// What its head says.
    pub head: Head,
}

impl fmt::Display for BadRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record {} with a frame of {} bytes has a wrong checksum", self.head.sequence, self.head.length)
    }
}

impl std::error::Error for BadRecord {}

/// Reads a whole record, of [`Head::size`] bytes, and checks it.
///
/// # Errors
/// The checksum is wrong.
pub fn read_record(record: &[u8]) -> Result<(RecordView, &[u8]), BadRecord> {
    let mark = Head { length: WRAP, crc: 0, flags: 0, sequence: 0 };
    let head = Head::at(record, 0).ok_or(BadRecord { head: mark })?;
    let body = record.get(RECORD_HEADER..).unwrap_or_default();
    match record.get(head.frame_range()) {
        Some(frame) if head.is_sound(body) => Ok((head.view(body), frame)),
        _ => Err(BadRecord { head }),
    }
}

/// Bytes that a record with a frame of `length` bytes takes.
#[must_use]
pub const fn record_size(length: usize, has_origin: bool) -> usize {
    let before = if has_origin { RECORD_HEADER + ORIGIN_SIZE } else { RECORD_HEADER };
    before + length.next_multiple_of(ALIGNMENT)
}

/// The checksum of a frame that is given in parts: what all records that hold it have in common.
#[must_use]
pub fn frame_crc(parts: &[&[u8]]) -> u32 {
    parts.iter().fold(0, |crc, part| crc32c_append(crc, part))
}

/// The checksum of a record whose frame has the checksum `frame_crc`.
fn record_crc(frame_crc: u32, length: u32, word: u64, origin: Option<Origin>) -> u32 {
    let mut rest = [0; ORIGIN_SIZE + 12];
    let mut at = 0;
    if let Some(origin) = origin {
        rest[..ORIGIN_SIZE].copy_from_slice(&origin.to_bytes());
        at = ORIGIN_SIZE;
    }
    rest[at..at + 4].copy_from_slice(&length.to_le_bytes());
    rest[at + 4..at + 12].copy_from_slice(&word.to_le_bytes());
    crc32c_append(frame_crc, &rest[..at + 12])
}

/// What is written besides the frame's bytes.
#[derive(Clone, Copy, Debug)]
pub struct NewRecord {
    /// Its number, at most [`SEQUENCE_MAX`].
    pub sequence: u64,
    /// Its flags; [`ORIGIN`] is added where there is one.
    pub flags: u8,
    /// Whose message it is.
    pub origin: Option<Origin>,
    /// Bytes of the frame, at most [`RECORD_FRAME_MAX`].
    pub length: usize,
    /// The frame's checksum ([`frame_crc`]), if the record gets one.
    pub frame_crc: Option<u32>,
}

/// Writes a record whose frame is given in parts to the beginning of `to`, where there must be room for it.
pub fn write_record(to: &mut [u8], new: &NewRecord, parts: &[&[u8]]) {
    let to = &mut to[..record_size(new.length, new.origin.is_some())];
    let flags = if new.origin.is_some() { new.flags | ORIGIN } else { new.flags & !ORIGIN };
    let (length, word) = (new.length as u32, word(flags, new.sequence));
    let crc = new.frame_crc.map_or(0, |crc| record_crc(crc, length, word, new.origin));
    to[..4].copy_from_slice(&length.to_le_bytes());
    to[4..8].copy_from_slice(&crc.to_le_bytes());
    to[8..16].copy_from_slice(&word.to_le_bytes());
    let mut at = RECORD_HEADER;
    if let Some(origin) = new.origin {
        to[at..at + ORIGIN_SIZE].copy_from_slice(&origin.to_bytes());
        at += ORIGIN_SIZE;
    }
    for part in parts {
        to[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    to[at..].fill(0);
}

/// Adds a record with its checksum to `out`: for what is sent without lying in a ring.
pub fn append_record(out: &mut Vec<u8>, sequence: u64, flags: u8, parts: &[&[u8]]) {
    let length = parts.iter().map(|p| p.len()).sum();
    let new = NewRecord { sequence, flags, origin: None, length, frame_crc: Some(frame_crc(parts)) };
    let at = out.len();
    out.resize(at + record_size(length, false), 0);
    write_record(&mut out[at..], &new, parts);
}

/// Makes a record of a frame of `length` bytes that lies in `to` behind room for the head, where there must be room for
/// the padding as well; the record's size. So what is read from elsewhere need not be copied once more.
pub fn complete_record(to: &mut [u8], sequence: u64, flags: u8, length: usize) -> usize {
    let (size, flags) = (record_size(length, false), flags & !ORIGIN);
    let word = word(flags, sequence);
    let crc = record_crc(crc32c_append(0, &to[RECORD_HEADER..RECORD_HEADER + length]), length as u32, word, None);
    to[..4].copy_from_slice(&(length as u32).to_le_bytes());
    to[4..8].copy_from_slice(&crc.to_le_bytes());
    to[8..16].copy_from_slice(&word.to_le_bytes());
    to[RECORD_HEADER + length..size].fill(0);
    size
}

/// Gives the record at the beginning of `bytes`, which was written without a checksum, the right one; its size. A record
/// that has one is left alone.
pub fn sum_record(bytes: &mut [u8]) -> Option<usize> {
    let head = Head::at(bytes, 0)?;
    let (frame, size) = (head.frame_range(), head.size());
    if head.crc == 0 && size <= bytes.len() {
        let origin = if head.flags & ORIGIN == 0 { None } else { Origin::read(&bytes[RECORD_HEADER..]) };
        let crc = record_crc(crc32c_append(0, &bytes[frame]), head.length, head.word(), origin);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    }
    Some(size)
}

/// Writes the mark that the next record is at offset 0 to `at`, where there must be room for a head.
pub fn write_wrap(bytes: &mut [u8], at: usize) {
    bytes[at..at + 4].copy_from_slice(&WRAP.to_le_bytes());
}

fn skip_crc(size: u64) -> u32 {
    crc32c_append(0, &size.to_le_bytes())
}

/// Writes the mark that the next record is `size` bytes on to `at`, where there must be room for a head.
pub fn write_skip(bytes: &mut [u8], at: usize, size: usize) {
    let size = size as u64;
    bytes[at..at + 4].copy_from_slice(&SKIP.to_le_bytes());
    bytes[at + 4..at + 8].copy_from_slice(&skip_crc(size).to_le_bytes());
    bytes[at + 8..at + 16].copy_from_slice(&size.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: Origin = Origin { slot: 7, generation: 3, count: 1 << 40 };

    fn record(origin: Option<Origin>, flags: u8, parts: &[&[u8]]) -> Vec<u8> {
        let length = parts.iter().map(|p| p.len()).sum();
        let new = NewRecord { sequence: SEQUENCE_MAX, flags, origin, length, frame_crc: Some(frame_crc(parts)) };
        let mut bytes = vec![0xEE; record_size(length, origin.is_some())];
        write_record(&mut bytes, &new, parts);
        bytes
    }

    #[test]
    fn a_record_comes_back_as_it_was_written() {
        for origin in [None, Some(SOME)] {
            for length in 0..20 {
                let frame: Vec<u8> = (1..=length).collect();
                let bytes = record(origin, WAITS_ACK, &[&frame[..frame.len() / 2], &frame[frame.len() / 2..]]);
                let head = Head::at(&bytes, 0).unwrap();
                assert_eq!(head.size(), bytes.len(), "the size is known from the head alone");
                let (view, got) = read_record(&bytes).unwrap();
                let flags = if origin.is_some() { WAITS_ACK | ORIGIN } else { WAITS_ACK };
                assert_eq!((view, got), (RecordView { sequence: SEQUENCE_MAX, flags, origin }, &frame[..]));
            }
        }
    }

    #[test]
    fn the_layout_is_as_documented() {
        let bytes = record(Some(SOME), 0, &[b"abc"]);
        let crc = crc32c::crc32c(&[b"abc", &bytes[16..32], &bytes[..4], &bytes[8..16]].concat());
        assert_eq!(bytes[..4], 3_u32.to_le_bytes());
        assert_eq!(bytes[4..8], crc.to_le_bytes());
        assert_eq!(bytes[8..16], [255, 255, 255, 255, 255, 255, 255, 1]);
        assert_eq!(bytes[32..], *b"abc\0\0\0\0\0");
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let bytes = record(Some(SOME), 0, &[b"some frame"]);
        let covered = RECORD_HEADER + ORIGIN_SIZE + 10;
        for bit in 0..covered * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(read_record(&flipped).is_err(), "bit {bit}");
        }
        for cut in 0..covered {
            assert!(read_record(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn memory_that_is_zero_holds_no_record() {
        assert!(read_record(&[0; 64]).is_err());
    }

    #[test]
    fn marks_lead_on_and_are_no_records() {
        let mut bytes = [0; 64];
        write_wrap(&mut bytes, 8);
        write_skip(&mut bytes, 40, 24);
        let (wrap, skip) = (Head::at(&bytes, 8).unwrap(), Head::at(&bytes, 40).unwrap());
        assert_eq!((wrap.leads_to(8), skip.leads_to(40)), (Some(0), Some(64)));
        assert!(wrap.is_mark() && skip.is_mark());
        bytes[50] ^= 1;
        assert_eq!(Head::at(&bytes, 40).unwrap().leads_to(40), None, "a damaged mark leads nowhere");
    }

    #[test]
    fn a_record_that_is_made_where_its_frame_lies_is_as_others() {
        for length in 0..20 {
            let mut expected = Vec::new();
            append_record(&mut expected, 7, FILE, &[&vec![5; length]]);
            let mut made = vec![0xEE; 64];
            made[RECORD_HEADER..RECORD_HEADER + length].fill(5);
            let size = complete_record(&mut made, 7, FILE, length);
            assert_eq!(made[..size], expected);
        }
    }

    #[test]
    fn a_record_gets_its_checksum_later_as_it_would_at_once() {
        for origin in [None, Some(SOME)] {
            let expected = record(origin, 0, &[b"some frame"]);
            let mut later = expected.clone();
            later[4..8].fill(0);
            for _ in 0..2 {
                assert_eq!(sum_record(&mut later), Some(expected.len()));
                assert_eq!(later, expected);
            }
        }
    }

    #[test]
    fn a_record_that_is_appended_can_be_read() {
        let mut out = vec![1, 2, 3];
        append_record(&mut out, 5, CONTROL, &[b"ping"]);
        let (view, frame) = read_record(&out[3..]).unwrap();
        assert_eq!((view.sequence, view.flags, frame), (5, CONTROL, &b"ping"[..]));
    }
}
