//! Lanes of messages with files: what is known of the files of such a lane, on the side that sends them.

use std::collections::VecDeque;
use std::time::Instant;

use serde_json::Value;

use super::files::{FileHash, FileId, Stamp};
use crate::wire::file::shortened;
use crate::wire::frame::{Frame, HEADER_MAX};
use crate::wire::header::{self, HeaderError};
use crate::wire::with_file::WithFile;

/// The files of a lane, for the messages that wait in it.
#[derive(Debug, Default)]
pub(super) struct FileLane {
    /// In the order of their messages.
    pub transfers: VecDeque<Outgoing>,
    /// Messages with smaller numbers may be sent: their files are settled.
    pub settled: u64,
    /// The first number that was not sent, and the next one that will be given, when it was last looked for files.
    pub looked: Option<(u64, u64)>,
}

/// Where a file is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It is to be offered; not before then.
    Idle(Option<Instant>),
    /// The peer was told of it, and has not answered.
    Offered,
    /// What the peer has of it is read once more, for the hash.
    Seeking,
    /// Its pieces go out.
    Sending,
    /// All was sent; the peer has not said what became of it.
    Ended,
    /// Its message may be sent.
    Settled,
}

/// A file on its way out.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// The number of its message.
    pub sequence: u64,
    pub path: String,
    /// It is removed when the peer has it.
    pub delete: bool,
    pub file: Option<FileId>,
    pub stamp: Stamp,
    /// Known when all was read once.
    pub hash: Option<FileHash>,
    /// How often it was offered.
    pub attempt: u32,
    /// How often it had to come again from its beginning.
    pub again: u32,
    pub stage: Stage,
    /// Bytes that were sent, and those that the peer has.
    pub sent: u64,
    pub arrived: u64,
    /// Why it cannot be sent.
    pub failed: Option<String>,
    /// The peer has it whole.
    pub is_there: bool,
    /// The operator was told that it waits.
    pub told: bool,
}

impl Outgoing {
    /// The file of the message of this number.
    pub fn new(sequence: u64, message: &[u8]) -> Self {
        let header = Frame::parse(message).map(|frame| frame.header()).unwrap_or_default();
        let (attached, failed) = match Attached::read(header) {
            Ok(attached) => (attached, None),
            Err(why) => (Attached::default(), Some(why.to_owned())),
        };
        Self {
            sequence,
            path: attached.path,
            delete: attached.delete,
            file: None,
            stamp: Stamp::default(),
            hash: None,
            attempt: 0,
            again: 0,
            stage: Stage::Idle(None),
            sent: 0,
            arrived: 0,
            failed,
            is_there: false,
            told: false,
        }
    }

    /// Bytes of it that are on their way.
    pub fn on_way(&self) -> usize {
        match self.stage {
            Stage::Sending | Stage::Ended => usize::try_from(self.sent - self.arrived).unwrap_or(usize::MAX),
            _ => 0,
        }
    }

    pub fn is_due(&self, now: Instant) -> bool {
        matches!(self.stage, Stage::Idle(at) if at.is_none_or(|at| at <= now))
    }
}

impl FileLane {
    /// The files of messages from this number on.
    pub fn from(&self, sequence: u64) -> impl Iterator<Item = &Outgoing> {
        let at = self.transfers.partition_point(|t| t.sequence < sequence);
        self.transfers.range(at..)
    }

    pub fn find_mut(&mut self, sequence: u64) -> Option<&mut Outgoing> {
        let at = self.transfers.partition_point(|t| t.sequence < sequence);
        self.transfers.get_mut(at).filter(|t| t.sequence == sequence)
    }

    /// Adds a file, unless it is known.
    pub fn add(&mut self, sequence: u64, message: &[u8]) {
        let at = self.transfers.partition_point(|t| t.sequence < sequence);
        if self.transfers.get(at).is_none_or(|t| t.sequence != sequence) {
            self.transfers.insert(at, Outgoing::new(sequence, message));
        }
    }

    /// Takes out the files of messages with smaller numbers.
    pub fn take_below(&mut self, sequence: u64) -> Vec<Outgoing> {
        let at = self.transfers.partition_point(|t| t.sequence < sequence);
        self.transfers.drain(..at).collect()
    }

    /// Finds out which messages may be sent, of those from `front` on.
    pub fn settle(&mut self, front: u64) {
        let mut settled = 0;
        for transfer in self.from(front) {
            settled = transfer.sequence;
            if transfer.stage != Stage::Settled {
                break;
            }
            settled += 1;
        }
        self.settled = settled;
    }
}

/// What a message's `with_file` says to its sender's connector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Attached {
    pub path: String,
    pub delete: bool,
}

impl Attached {
    /// Reads a message's header.
    ///
    /// # Errors
    /// What is not as it must be.
    pub fn read(header: &[u8]) -> Result<Self, &'static str> {
        let header: Value = serde_json::from_slice(header).unwrap_or_default();
        let Some(with_file) = header["with_file"].as_object() else { return Err("with_file is not an object") };
        match with_file.get("src_path") {
            Some(Value::String(path)) => {
                // What is neither true nor false does not make a file go away.
                let delete = with_file.get("delete").is_none_or(|delete| delete == &Value::Bool(true));
                Ok(Self { path: path.clone(), delete })
            }
            Some(_) => Err("with_file has a src_path that is not a string"),
            None => Err("with_file has no src_path"),
        }
    }
}

/// The value of `with_file` for a message that goes without its file. Its binary, of `own` bytes, is the app's: Python
/// connectors would take it for the file.
pub(super) fn with_file_error(header: &[u8], why: &str, own: usize) -> String {
    let with_file = WithFile::of(header).failed(shortened(why));
    if own > 0 { with_file.behind(own as u64).to_json() } else { with_file.to_json() }
}

/// A message's header that says why its file is not there. If that is too long for a header, the other keys of
/// `with_file` go, or all of it.
///
/// # Errors
/// The header cannot be changed.
pub(super) fn header_with_error(header: &[u8], why: &str) -> Result<Vec<u8>, HeaderError> {
    for value in [with_file_error(header, why, 0), with_file_error(b"", why, 0)] {
        let changed = header::rewrite(header, &[("with_file", Some(value))])?;
        if changed.len() <= HEADER_MAX {
            return Ok(changed);
        }
    }
    header::rewrite(header, &[("with_file", None)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_attached_is_read_or_what_is_wrong_is_said() {
        let read = |with: &str| Attached::read(format!("{{\"with_file\": {with}}}").as_bytes());
        let at = |delete| Ok(Attached { path: "/x".into(), delete });
        assert_eq!(read(r#"{"src_path": "/x"}"#), at(true));
        assert_eq!(read(r#"{"src_path": "/x", "delete": true}"#), at(true));
        for kept in ["false", "null", "0", "\"no\""] {
            assert_eq!(read(&format!(r#"{{"src_path": "/x", "delete": {kept}}}"#)), at(false));
        }
        for bad in ["null", "7", "[]", "\"/x\"", "{}", r#"{"src_path": 7}"#, r#"{"src_path": null}"#] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(Attached::read(b"no JSON").is_err());
    }

    #[test]
    fn an_error_stands_in_with_file_and_all_else_stays() {
        let header = br#"{"a": 1.50, "with_file": {"src_path": "/x", "file_error": "old"}, "b": 2}"#;
        let changed = header_with_error(header, "new").unwrap();
        assert_eq!(changed, br#"{"a": 1.50, "with_file": {"src_path":"/x","file_error":"new"}, "b": 2}"#);
        let changed = header_with_error(br#"{"with_file": "odd"}"#, "new").unwrap();
        assert_eq!(changed, br#"{"with_file": {"file_error":"new"}}"#);
    }

    #[test]
    fn a_header_that_would_be_too_long_loses_some_of_it() {
        let long = format!(r#"{{"with_file": {{"src_path": "{}"}}}}"#, "x".repeat(HEADER_MAX - 60));
        let changed = header_with_error(long.as_bytes(), &"y".repeat(100)).unwrap();
        assert!(changed.starts_with(br#"{"with_file": {"file_error":"yyy"#) && changed.len() < 200);
        let long = format!(r#"{{"with_file": 1, "a": "{}"}}"#, "x".repeat(HEADER_MAX - 60));
        let changed = header_with_error(long.as_bytes(), &"y".repeat(100)).unwrap();
        assert!(changed.starts_with(br#"{"a": "xxx"#));
    }

    #[test]
    fn messages_may_be_sent_up_to_the_first_whose_file_is_not_settled() {
        let mut lane = FileLane::default();
        for sequence in [5, 9, 7] {
            lane.add(sequence, b"");
        }
        lane.add(7, b"");
        assert_eq!(lane.transfers.iter().map(|t| t.sequence).collect::<Vec<_>>(), [5, 7, 9]);
        lane.settle(5);
        assert_eq!(lane.settled, 5);
        for sequence in [5, 9] {
            lane.find_mut(sequence).unwrap().stage = Stage::Settled;
        }
        lane.settle(5);
        assert_eq!(lane.settled, 7);
        lane.settle(8);
        assert_eq!(lane.settled, 10, "the others were sent");
        assert_eq!(lane.take_below(8).len(), 2);
        lane.settle(10);
        assert_eq!((lane.settled, lane.find_mut(9).is_some(), lane.find_mut(8).is_some()), (0, true, false));
    }
}
