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

pub use super::deframer::{Deframer, Frames, Part, Unit};

/// Size of the length that a frame begins with, bytes.
pub const LENGTH_SIZE: usize = 4;

/// The smallest length that a frame can name: an empty header and empty data.
pub(super) const BODY_MIN: usize = 2 + 4;

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

impl FrameError {
    /// A frame of `total` bytes is too short for its header, which ends at `header_end`, and the data's length.
    pub(super) fn header_beyond_end(total: usize, header_end: usize) -> Self {
        let length = header_end - HEADER_START + LENGTH_SIZE;
        FrameError::PartBeyondEnd { part: "header", offset: HEADER_START, length, left: total - HEADER_START }
    }
}

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

pub(super) const HEADER_START: usize = LENGTH_SIZE + 2;

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
            return Err(FrameError::header_beyond_end(total, header_end));
        }
        let data = part_at("data", bytes, header_end)?;
        let frame = Self { bytes, data_start, data_end: data.end };
        if data.end < total {
            let binary = part_at("binary", bytes, data.end)?;
            if binary.end < total {
                return Err(FrameError::TrailingBytes { offset: binary.end, count: total - binary.end });
            }
        }
        Ok(frame)
    }

    /// The frame that `bytes` begin with, if it is there as a whole, has this header, and nothing but data behind it.
    pub(super) fn with_header(bytes: &'a [u8], header: &[u8]) -> Option<Self> {
        let start = bytes.first_chunk::<HEADER_START>()?;
        if usize::from(u16::from_le_bytes([start[4], start[5]])) != header.len() {
            return None;
        }
        let data_start = HEADER_START + header.len() + LENGTH_SIZE;
        let bytes = bytes.get(..LENGTH_SIZE + read_u32(bytes, 0)?)?;
        let is_same = bytes.get(HEADER_START..data_start - LENGTH_SIZE)? == header;
        let has_data_only = data_start + read_u32(bytes, data_start - LENGTH_SIZE)? == bytes.len();
        (is_same && has_data_only).then_some(Self { bytes, data_start, data_end: bytes.len() })
    }

    /// The parts of a frame whose end is not there: `bytes` have its header, its data and, unless they end there, the
    /// beginning of its binary.
    ///
    /// # Errors
    /// The data or the binary does not begin in `bytes`.
    pub(super) fn head(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let start = bytes.get(..HEADER_START).ok_or(FrameError::TooShort { length: bytes.len() })?;
        let header_end = HEADER_START + usize::from(u16::from_le_bytes([start[4], start[5]]));
        let data = part_at("data", bytes, header_end)?;
        Ok(Self { bytes, data_start: data.start, data_end: data.end })
    }

    /// The same frame without its binary's bytes from `own` on, and how many those are.
    #[must_use]
    pub fn divided(&self, own: u64) -> (Self, usize) {
        let binary = self.binary().map_or(0, <[u8]>::len);
        let file = binary.saturating_sub(usize::try_from(own).unwrap_or(usize::MAX));
        (Self { bytes: &self.bytes[..self.bytes.len() - file], ..*self }, file)
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

pub(super) fn read_u32(bytes: &[u8], at: usize) -> Option<usize> {
    let four = bytes.get(at..at + LENGTH_SIZE)?;
    Some(u32::from_le_bytes([four[0], four[1], four[2], four[3]]) as usize)
}

/// Where a part is that begins at `start` and says that it has `length` bytes, in a frame of `total` bytes.
pub(super) fn part(name: &'static str, start: usize, length: usize, total: usize) -> Result<Range<usize>, FrameError> {
    let left = total - start;
    if length > left {
        return Err(FrameError::PartBeyondEnd { part: name, offset: start, length, left });
    }
    Ok(start..start + length)
}

/// The same for the part whose length stands at `at` in the frame that `bytes` are.
fn part_at(name: &'static str, bytes: &[u8], at: usize) -> Result<Range<usize>, FrameError> {
    let Some(length) = read_u32(bytes, at) else {
        return Err(FrameError::TrailingBytes { offset: at, count: bytes.len() - at });
    };
    part(name, at + LENGTH_SIZE, length, bytes.len())
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

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &[u8] = br#"{"message_type": "any"}"#;

    fn sample(data: &[u8], binary: Option<&[u8]>) -> Vec<u8> {
        let mut out = Vec::new();
        encode(HEADER, data, binary, &mut out).unwrap();
        out
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
