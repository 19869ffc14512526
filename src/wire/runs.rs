//! Runs: messages that have the same header, together in one record on a link of the second kind. The header goes ahead
//! once.
//!
//! ```text
//! HEADER record: u8 parts of each message: 1 for data, 2 for data and binary | header
//! RUN record:    a message behind the other: u32 length of data | data | [u32 length of binary | binary]
//! ```
//! All integers are little endian. The messages of a run are of the lane whose turn it is, have the header of the last
//! [`HEADER`](super::record::HEADER) record, and numbers in a row, of which the record has the first. Nobody waits for an
//! acknowledgement of them. So each is what follows the header in its frame, and the frame is made again from both.
//!
//! Who can take runs says so by the feature [`RUNS`](super::link::RUNS).

use super::frame::{FrameError, HEADER_START, LENGTH_SIZE, part, read_u32};

/// The longest header that is sent once, bytes: a peer keeps so much.
pub const RUN_HEADER_MAX: usize = 4096;

/// The header of the messages in runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunHeader<'a> {
    /// The messages have data and binary, not only data.
    pub with_binary: bool,
    /// The header, not yet looked at.
    pub header: &'a [u8],
}

/// The frame of a record with a header is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunHeaderError {
    /// It says that messages have so many parts; 1 and 2 are right. `None` if it is empty.
    Parts(Option<u8>),
    /// The header is longer than [`RUN_HEADER_MAX`]: its bytes.
    TooLong(usize),
}

impl std::fmt::Display for RunHeaderError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Parts(None) => f.write_str("the record with a header of runs is empty"),
            Self::Parts(Some(parts)) => write!(f, "messages of a run have 1 or 2 parts behind the header, not {parts}"),
            Self::TooLong(length) => write!(f, "a header of runs has {length} bytes, {RUN_HEADER_MAX} is the most"),
        }
    }
}

impl std::error::Error for RunHeaderError {}

impl<'a> RunHeader<'a> {
    /// Bytes of a frame before its header.
    pub const FRAME_START: usize = HEADER_START;

    /// From the frame of a [`HEADER`](super::record::HEADER) record.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(body: &'a [u8]) -> Result<Self, RunHeaderError> {
        let (parts, header) = body.split_first().ok_or(RunHeaderError::Parts(None))?;
        if header.len() > RUN_HEADER_MAX {
            return Err(RunHeaderError::TooLong(header.len()));
        }
        match parts {
            1 => Ok(Self { with_binary: false, header }),
            2 => Ok(Self { with_binary: true, header }),
            other => Err(RunHeaderError::Parts(Some(*other))),
        }
    }

    /// The parts of the frame of such a record.
    #[must_use]
    pub fn parts(&self) -> [&'a [u8]; 2] {
        [if self.with_binary { &[2] } else { &[1] }, self.header]
    }

    /// What follows the header in each message of a run. An error is the last: the rest cannot be read.
    pub fn messages(self, run: &[u8]) -> impl Iterator<Item = Result<&[u8], FrameError>> {
        let mut rest = run;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let message = self.measure(rest).map(|size| {
                let (message, behind) = rest.split_at(size);
                rest = behind;
                message
            });
            if message.is_err() {
                rest = &[];
            }
            Some(message)
        })
    }

    /// Whether `bytes` are what follows the header in one message.
    #[must_use]
    pub fn is_one_message(&self, bytes: &[u8]) -> bool {
        self.measure(bytes) == Ok(bytes.len())
    }

    /// Bytes of the message that `run` begins with.
    fn measure(&self, run: &[u8]) -> Result<usize, FrameError> {
        let data = measure_part("data", run, 0)?;
        if self.with_binary { measure_part("binary", run, data) } else { Ok(data) }
    }
}

/// Where a part ends whose length stands at `at`.
fn measure_part(name: &'static str, run: &[u8], at: usize) -> Result<usize, FrameError> {
    let cut = FrameError::PartBeyondEnd { part: name, offset: at, length: LENGTH_SIZE, left: run.len() - at };
    let length = read_u32(run, at).ok_or(cut)?;
    Ok(part(name, at + LENGTH_SIZE, length, run.len())?.end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::{Frame, encode};

    fn behind_header(data: &[u8], binary: Option<&[u8]>) -> Vec<u8> {
        let mut frame = Vec::new();
        encode(b"{}", data, binary, &mut frame).unwrap();
        Frame::parse(&frame).unwrap().after_header().to_vec()
    }

    #[test]
    fn a_header_comes_back_as_it_was_said() {
        for with_binary in [false, true] {
            let said = RunHeader { with_binary, header: b"{\"message_type\": \"any\"}" };
            assert_eq!(RunHeader::parse(&said.parts().concat()), Ok(said));
        }
    }

    #[test]
    fn headers_that_are_none_are_refused() {
        assert_eq!(RunHeader::parse(b""), Err(RunHeaderError::Parts(None)));
        assert_eq!(RunHeader::parse(b"\x03{}"), Err(RunHeaderError::Parts(Some(3))));
        let long = vec![1; RUN_HEADER_MAX + 2];
        assert_eq!(RunHeader::parse(&long), Err(RunHeaderError::TooLong(RUN_HEADER_MAX + 1)));
    }

    #[test]
    fn a_run_gives_its_messages_one_by_one() {
        for binary in [None, Some(&b"bin"[..]), Some(b"")] {
            let all = [behind_header(b"one", binary), behind_header(b"", binary), behind_header(&[7; 300], binary)];
            let header = RunHeader { with_binary: binary.is_some(), header: b"{}" };
            let run = all.concat();
            let got: Result<Vec<&[u8]>, FrameError> = header.messages(&run).collect();
            assert_eq!(got.unwrap(), all);
        }
    }

    #[test]
    fn a_run_that_is_cut_ends_with_an_error() {
        let header = RunHeader { with_binary: true, header: b"{}" };
        let all = [behind_header(b"one", Some(b"two")), behind_header(b"three", Some(b"four"))];
        let run = all.concat();
        for cut in 1..run.len() {
            let got: Vec<_> = header.messages(&run[..cut]).collect();
            let whole = usize::from(cut >= all[0].len());
            assert_eq!(got.iter().filter(|message| message.is_ok()).count(), whole, "cut at {cut}");
            assert_eq!(got.last().unwrap().is_err(), cut != all[0].len(), "cut at {cut}");
        }
    }
}
