//! The message frame: what every socket carries, between apps and connectors and between connectors.
//!
//! ```text
//! u32 length of all that follows | u16 length of header | header: JSON object
//!                                | u32 length of data   | data
//!                                | u32 length of binary | binary      (only with "with_binary": true)
//! ```
//! All integers are little endian.

use std::fmt;
use std::ops::Range;

/// Size of the length that a frame begins with, bytes.
pub const LENGTH_SIZE: usize = 4;

/// The smallest length that a frame can name: an empty header and empty data.
const BODY_MIN: usize = 2 + 4;

/// Longest header: its length is a `u16`.
pub const HEADER_MAX: usize = u16::MAX as usize;

/// Why bytes are not a frame. Offsets count from the frame's first byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The frame says that it is longer than the limit of this connection.
    TooLong {
        /// The length that it says, bytes.
        length: usize,
        /// The longest that is taken.
        limit: usize,
    },
    /// The frame says that it is too short to hold its own parts.
    TooShort {
        /// The length that it says, bytes.
        length: usize,
    },
    /// A part reaches beyond the frame's end.
    PartBeyondEnd {
        /// The part's name.
        part: &'static str,
        /// Where the part begins.
        offset: usize,
        /// The length that it says, bytes.
        length: usize,
        /// Bytes from there to the frame's end.
        left: usize,
    },
    /// Bytes follow the last part.
    TrailingBytes {
        /// Where they begin.
        offset: usize,
        /// How many they are.
        count: usize,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::TooLong { length, limit } => {
                write!(f, "a frame of {length} bytes is over the limit of {limit}")?;
                if begins_tls(*length) {
                    write!(f, " (it begins like TLS, which is not expected here)")
                } else {
                    Ok(())
                }
            }
            FrameError::TooShort { length } => {
                write!(f, "a frame of {length} bytes cannot hold a header and data, {BODY_MIN} is the least")
            }
            FrameError::PartBeyondEnd { part, offset, length, left } => {
                write!(f, "the {part} at byte {offset} has {length} bytes, but the frame has {left} left")
            }
            FrameError::TrailingBytes { offset, count } => {
                write!(f, "{count} bytes at byte {offset} belong to no part of the frame")
            }
        }
    }
}

impl std::error::Error for FrameError {}

/// Whether the bytes that were taken for this length begin a TLS record: its kind, then version 3.0 to 3.4.
fn begins_tls(length: usize) -> bool {
    let [kind, major, minor, ..] = length.to_le_bytes();
    (0x14..=0x17).contains(&kind) && major == 3 && minor <= 4
}

/// One whole frame in memory, its parts found and within bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    bytes: &'a [u8],
    data_start: usize,
    data_end: usize,
}

const HEADER_START: usize = LENGTH_SIZE + 2;

impl<'a> Frame<'a> {
    /// Finds the parts of the one frame that `bytes` are, its length included.
    ///
    /// # Errors
    /// A length that does not fit the others.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let total = bytes.len();
        if total < LENGTH_SIZE + BODY_MIN {
            return Err(FrameError::TooShort { length: total.saturating_sub(LENGTH_SIZE) });
        }
        let header_end = HEADER_START + usize::from(u16::from_le_bytes([bytes[4], bytes[5]]));
        let data_start = header_end + LENGTH_SIZE;
        if data_start > total {
            let left = total - HEADER_START;
            let length = header_end - HEADER_START + LENGTH_SIZE;
            return Err(FrameError::PartBeyondEnd { part: "header", offset: HEADER_START, length, left });
        }
        let data = part("data", bytes, header_end)?;
        let frame = Self { bytes, data_start, data_end: data.end };
        if data.end < total {
            let binary = part("binary", bytes, data.end)?;
            if binary.end < total {
                return Err(FrameError::TrailingBytes { offset: binary.end, count: total - binary.end });
            }
        }
        Ok(frame)
    }

    /// The whole frame, its length included.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The JSON text of the header, not yet looked at.
    #[must_use]
    pub fn header(&self) -> &'a [u8] {
        &self.bytes[HEADER_START..self.data_start - LENGTH_SIZE]
    }

    /// The application's data.
    #[must_use]
    pub fn data(&self) -> &'a [u8] {
        &self.bytes[self.data_start..self.data_end]
    }

    /// The application's binary, if the frame has that part.
    #[must_use]
    pub fn binary(&self) -> Option<&'a [u8]> {
        self.bytes.get(self.data_end + LENGTH_SIZE..)
    }

    /// All that follows the header: the data and, if there is one, the binary, each with its length.
    #[must_use]
    pub fn after_header(&self) -> &'a [u8] {
        &self.bytes[self.data_start - LENGTH_SIZE..]
    }
}

fn read_u32(bytes: &[u8], at: usize) -> Option<usize> {
    let four = bytes.get(at..at + LENGTH_SIZE)?;
    Some(u32::from_le_bytes([four[0], four[1], four[2], four[3]]) as usize)
}

/// Where the part is whose length stands at `at`.
fn part(name: &'static str, bytes: &[u8], at: usize) -> Result<Range<usize>, FrameError> {
    let start = at + LENGTH_SIZE;
    let Some(length) = read_u32(bytes, at) else {
        return Err(FrameError::TrailingBytes { offset: at, count: bytes.len() - at });
    };
    let left = bytes.len() - start;
    if length > left {
        return Err(FrameError::PartBeyondEnd { part: name, offset: start, length, left });
    }
    Ok(start..start + length)
}

/// Why a message cannot be written as a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EncodeError {
    /// The header is longer than [`HEADER_MAX`].
    HeaderTooLong(usize),
    /// The frame would be longer than a `u32` can say.
    FrameTooLong(usize),
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EncodeError::HeaderTooLong(n) => write!(f, "a header of {n} bytes, {HEADER_MAX} is the most"),
            EncodeError::FrameTooLong(n) => write!(f, "a frame of {n} bytes, {} is the most", u32::MAX),
        }
    }
}

impl std::error::Error for EncodeError {}

/// Appends one frame to `out`. A `binary` of `None` leaves that part out; the header must then not say `with_binary`.
///
/// # Errors
/// A part that is too long for its length; `out` is then as it was.
pub fn encode(header: &[u8], data: &[u8], binary: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let rest = LENGTH_SIZE + data.len() + binary.map_or(0, |b| LENGTH_SIZE + b.len());
    let (length, header_length) = lengths(header.len(), rest)?;
    out.reserve(LENGTH_SIZE + length as usize);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&header_length.to_le_bytes());
    out.extend_from_slice(header);
    // The parts are shorter than the whole, which fits.
    out.extend_from_slice(&(data.len() as u32).to_le_bytes());
    out.extend_from_slice(data);
    if let Some(binary) = binary {
        out.extend_from_slice(&(binary.len() as u32).to_le_bytes());
        out.extend_from_slice(binary);
    }
    Ok(())
}

/// The first six bytes of a frame whose header has `header` bytes and is followed by `rest` bytes.
///
/// # Errors
/// A part that is too long for its length.
pub fn prefix(header: usize, rest: usize) -> Result<[u8; HEADER_START], EncodeError> {
    let (length, header_length) = lengths(header, rest)?;
    let (l, h) = (length.to_le_bytes(), header_length.to_le_bytes());
    Ok([l[0], l[1], l[2], l[3], h[0], h[1]])
}

fn lengths(header: usize, rest: usize) -> Result<(u32, u16), EncodeError> {
    let header_length = u16::try_from(header).map_err(|_| EncodeError::HeaderTooLong(header))?;
    let total = 2 + header + rest;
    let length = u32::try_from(total).map_err(|_| EncodeError::FrameTooLong(total))?;
    Ok((length, header_length))
}

/// Cuts a stream of bytes into frames.
///
/// Whole frames are handed out where they lie in the input; only the incomplete one at the end is copied and kept.
/// Memory grows with the bytes that came, never with a length that a frame only claims.
#[derive(Debug)]
pub struct Deframer {
    kept: Vec<u8>,
    /// What lies before it in `kept` was handed out.
    start: usize,
    limit: usize,
    unit: Unit,
}

/// What a stream is cut into.
#[derive(Clone, Copy, Debug)]
pub enum Unit {
    /// Frames.
    Frame,
    /// Pieces whose size follows from their first bytes in another way.
    Other {
        /// Bytes that tell the size.
        head: usize,
        /// The length that the head gives, to be held against the limit, and the size of the whole piece.
        measure: fn(&[u8]) -> (usize, usize),
    },
}

impl Unit {
    fn head(self) -> usize {
        if let Unit::Other { head, .. } = self { head } else { LENGTH_SIZE }
    }
}

/// Memory that an idle deframer may hold, bytes. There is one a connection, and thousands of those may be idle.
const KEPT_CAPACITY: usize = 4 * 1024;

impl Deframer {
    /// A deframer for frames of which none may be longer than `limit` bytes, their length not counted.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { kept: Vec::new(), start: 0, limit, unit: Unit::Frame }
    }

    /// Changes the limit for the frames to come.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Bytes that are kept until the rest of their frame arrives.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.kept.len() - self.start
    }

    /// The frames in what was kept and `input` behind it.
    pub fn feed<'d, 'i: 'd>(&'d mut self, input: &'i [u8]) -> Frames<'d, 'i> {
        Frames { deframer: self, input, taken: 0 }
    }

    /// The size of the frame that `bytes` begin with, as soon as its length is there.
    fn frame_size(&self, bytes: &[u8]) -> Result<Option<usize>, FrameError> {
        if let Unit::Other { head, measure } = self.unit {
            let Some(head) = bytes.get(..head) else { return Ok(None) };
            return match measure(head) {
                (length, _) if length > self.limit => Err(FrameError::TooLong { length, limit: self.limit }),
                (_, size) => Ok(Some(size)),
            };
        }
        match read_u32(bytes, 0) {
            None => Ok(None),
            Some(length) if length > self.limit => Err(FrameError::TooLong { length, limit: self.limit }),
            Some(length) if length < BODY_MIN => Err(FrameError::TooShort { length }),
            Some(length) => Ok(Some(LENGTH_SIZE + length)),
        }
    }

    /// Moves bytes from `input` until `kept` has a whole frame; its size, or `None` when the input does not reach.
    fn complete(&mut self, input: &mut &[u8]) -> Result<Option<usize>, FrameError> {
        loop {
            let have = self.kept.len() - self.start;
            let head = self.unit.head();
            let wanted = self.frame_size(&self.kept[self.start..])?.unwrap_or(head);
            if have >= wanted && have >= head {
                return Ok(Some(wanted));
            }
            if input.is_empty() {
                return Ok(None);
            }
            let (more, rest) = input.split_at((wanted - have).min(input.len()));
            self.kept.extend_from_slice(more);
            *input = rest;
        }
    }

    fn skip(&mut self, count: usize) {
        self.start += count;
        if self.start == self.kept.len() {
            self.kept.clear();
            self.start = 0;
            // Given back whole: shrunk in place it would leave a hole behind each remainder.
            if self.kept.capacity() > KEPT_CAPACITY {
                self.kept = Vec::new();
            }
        }
    }

    fn keep(&mut self, rest: &[u8]) {
        self.kept.drain(..self.start);
        self.start = 0;
        self.kept.extend_from_slice(rest);
    }
}

/// The frames of one input; see [`Deframer::feed`].
///
/// Input that was not handed out goes to the deframer when this is dropped, so nothing is lost by stopping early.
#[derive(Debug)]
pub struct Frames<'d, 'i> {
    deframer: &'d mut Deframer,
    input: &'i [u8],
    /// Size of the frame that was handed out last: it counts as taken only at the next call.
    taken: usize,
}

impl Frames<'_, '_> {
    /// The next whole frame; `None` when there is none left.
    ///
    /// # Errors
    /// A frame that is too long or whose parts do not fit; the stream cannot be read on.
    #[allow(clippy::should_implement_trait)] // each frame is lent, which an iterator cannot do
    pub fn next(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        self.next_piece()?.map(Frame::parse).transpose()
    }

    /// The bytes of the next whole piece, whatever the stream is cut into; `None` when there is none left.
    ///
    /// # Errors
    /// A piece that is too long; the stream cannot be read on.
    pub fn next_piece(&mut self) -> Result<Option<&[u8]>, FrameError> {
        self.take_last();
        if self.deframer.kept() > 0 {
            let Some(size) = self.deframer.complete(&mut self.input)? else { return Ok(None) };
            self.taken = size;
            let start = self.deframer.start;
            return Ok(Some(&self.deframer.kept[start..start + size]));
        }
        let Some(size) = self.deframer.frame_size(self.input)? else { return Ok(None) };
        let Some(bytes) = self.input.get(..size) else { return Ok(None) };
        self.taken = size;
        Ok(Some(bytes))
    }

    /// What the stream is cut into now.
    #[must_use]
    pub fn unit(&self) -> Unit {
        self.deframer.unit
    }

    /// Cuts what follows into something else.
    pub fn set_unit(&mut self, unit: Unit) {
        self.deframer.unit = unit;
    }

    fn take_last(&mut self) {
        let taken = std::mem::take(&mut self.taken);
        if self.deframer.kept() > 0 {
            self.deframer.skip(taken);
        } else {
            self.input = &self.input[taken..];
        }
    }

    /// Changes the limit for the frames to come.
    pub fn set_limit(&mut self, limit: usize) {
        self.deframer.set_limit(limit);
    }

    /// Gives the last frame back: it will be the first of the next input.
    pub fn hold_back(mut self) {
        self.taken = 0;
    }
}

impl Drop for Frames<'_, '_> {
    fn drop(&mut self) {
        self.take_last();
        if !self.input.is_empty() {
            self.deframer.keep(self.input);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn parts_come_back_as_they_were_written() {
        let bytes = sample(b"data", Some(b"\0bin"));
        let frame = Frame::parse(&bytes).unwrap();
        assert_eq!((frame.header(), frame.data(), frame.binary()), (HEADER, &b"data"[..], Some(&b"\0bin"[..])));
        let bytes = sample(b"", None);
        let frame = Frame::parse(&bytes).unwrap();
        assert_eq!((frame.data(), frame.binary(), frame.after_header()), (&b""[..], None, &[0u8; 4][..]));
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

    #[test]
    fn parts_that_do_not_fit_are_named() {
        let mut bytes = sample(b"data", None);
        bytes[4] = 200;
        let error = Frame::parse(&bytes).unwrap_err();
        assert_eq!(error, FrameError::PartBeyondEnd { part: "header", offset: 6, length: 204, left: 31 });
        let mut bytes = sample(b"data", None);
        let at = 6 + HEADER.len();
        bytes[at] = 9;
        let error = Frame::parse(&bytes).unwrap_err();
        assert_eq!(error, FrameError::PartBeyondEnd { part: "data", offset: at + 4, length: 9, left: 4 });
        let mut bytes = sample(b"data", Some(b"bin"));
        bytes.push(0);
        let error = Frame::parse(&bytes).unwrap_err();
        assert_eq!(error, FrameError::TrailingBytes { offset: bytes.len() - 1, count: 1 });
    }

    #[test]
    fn what_does_not_fit_its_length_field_is_not_written() {
        let mut out = vec![1];
        let header = vec![b' '; HEADER_MAX + 1];
        assert_eq!(encode(&header, b"", None, &mut out), Err(EncodeError::HeaderTooLong(HEADER_MAX + 1)));
        assert_eq!(out, [1]);
    }
}
