//! What two connectors of ours say to each other of files, on a link of the second kind.
//!
//! ```text
//! sender    ─ `_file`: this message's file, so long ─▶
//! receiver  ◀─ `_file_have`: go on at this byte ─       later: so much has come
//! sender    ─ pieces … ─▶                               records with the flag `FILE`
//! sender    ─ `_file_end`: that was all, this is its hash ─▶
//! receiver  ◀─ `_file_settled`: done, or refused, or later, or again ─
//! sender    ─ the message itself, in its lane ─▶
//! ```
//!
//! - Messages with files go in lanes of their own, one beside the ordinary lane of each type: [`lane_name`]. A record of
//!   such a lane is sent when its file is settled, and not before.
//! - A file is named by its lane on this link, the number of its message there, and the attempt: what comes of an
//!   earlier attempt is passed over.
//! - `_file` has the message's header as its binary part. If the sender cannot read the file it says why in place of the
//!   length, and the receiver settles it at once.
//! - The data of all four is a JSON list that begins with lane, number, attempt.
//!
//! A piece is a record of its own ([`record`](super::record)), whose number is that of the message:
//!
//! ```text
//! u64 offset in the file | u32 lane | u32 attempt | bytes, 1 to PIECE_MAX
//! ```
//! All integers are little endian.

use std::fmt;

use serde_json::{Value, json};

use super::control::ControlError;
use super::frame;
use super::header::{Header, HeaderWriter};

/// Offers a file.
pub const FILE: &str = "_file";
/// Says how much of a file is there.
pub const HAVE: &str = "_file_have";
/// Says that all bytes were sent, and their hash.
pub const END: &str = "_file_end";
/// Says what became of a file.
pub const SETTLED: &str = "_file_settled";

/// Most bytes of a piece.
pub const PIECE_MAX: usize = 256 * 1024;

/// Bytes of a piece's record before those of the file.
pub const PIECE_HEAD: usize = 16;

/// Longest text that says why something cannot be done with a file, bytes; of longer ones the beginning is kept.
pub const WHY_MAX: usize = 1024;

/// What the name of a lane for messages with files ends with. No message type has a `/`.
const FILES: &str = "/files";

/// The name of the lane for messages of a type that have files.
#[must_use]
pub fn lane_name(message_type: &str) -> String {
    format!("{message_type}{FILES}")
}

/// The message type of a lane of this name, and whether it is one for messages with files.
#[must_use]
pub fn lane_of(name: &str) -> (&str, bool) {
    name.strip_suffix(FILES).map_or((name, false), |message_type| (message_type, true))
}

/// Names a file on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransferId {
    /// The lane on this link.
    pub lane: u32,
    /// The number of its message in that lane.
    pub number: u64,
    /// Counts how often it was offered.
    pub attempt: u32,
}

/// What is offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offered {
    /// A file.
    File {
        /// Its length, bytes.
        size: u64,
        /// When it was changed last, nanoseconds since 1970.
        changed: u64,
        /// Its number in its file system.
        inode: u64,
    },
    /// There is none, for this reason.
    Failed(String),
}

/// What became of a file at its receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It has its name, or its receiver knows that it will not come: the message may follow.
    Done,
    /// It is not taken, for this reason; the message may follow.
    Refused(String),
    /// There is no room for it now, for this reason; it is to be offered again.
    Later(String),
    /// What came is not what was sent, for this reason: it is to come again from its beginning.
    Again(String),
}

impl Verdict {
    fn parts(&self) -> (&'static str, &str) {
        match self {
            Verdict::Done => ("done", ""),
            Verdict::Refused(why) => ("refused", why),
            Verdict::Later(why) => ("later", why),
            Verdict::Again(why) => ("again", why),
        }
    }
}

/// What is said of files, besides their pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileControl {
    /// The next file of a lane; its message's header comes with it.
    Offer(Offered),
    /// So many bytes of it are there.
    Have(u64),
    /// All bytes were sent; this is their hash.
    End([u8; 32]),
    /// What became of it.
    Settled(Verdict),
}

impl FileControl {
    /// The frame that says it of this file; `header` is that of the file's message, for an offer.
    #[must_use]
    pub fn encode(&self, source_id: &str, id: TransferId, header: &[u8]) -> Vec<u8> {
        let TransferId { lane, number, attempt } = id;
        let (message_type, data) = match self {
            FileControl::Offer(Offered::File { size, changed, inode }) => {
                (FILE, json!([lane, number, attempt, size, changed, inode]))
            }
            FileControl::Offer(Offered::Failed(why)) => (FILE, json!([lane, number, attempt, shortened(why)])),
            FileControl::Have(bytes) => (HAVE, json!([lane, number, attempt, bytes])),
            FileControl::End(hash) => (END, json!([lane, number, attempt, hex(hash)])),
            FileControl::Settled(verdict) => {
                let (word, why) = verdict.parts();
                (SETTLED, json!([lane, number, attempt, word, shortened(why)]))
            }
        };
        let data = data.to_string();
        let mut own = HeaderWriter::new();
        own.text("message_type", message_type).text("source_id", source_id);
        let binary = (message_type == FILE).then_some(header);
        own.flag("with_binary", binary.is_some());
        let mut out = Vec::new();
        let written = frame::encode(&own.finish(), data.as_bytes(), binary, &mut out);
        debug_assert!(written.is_ok(), "an own frame is short: {written:?}");
        out
    }

    /// Reads the data of such a frame; `None` if it is of another type.
    ///
    /// # Errors
    /// It does not say what it must.
    pub fn parse(header: &Header<'_>, data: &[u8]) -> Result<Option<(TransferId, Self)>, ControlError> {
        let kind = header.message_type.as_ref();
        if ![FILE, HAVE, END, SETTLED].contains(&kind) {
            return Ok(None);
        }
        let fail = |problem: &str| ControlError::new(&header.message_type, problem);
        let data: Value = serde_json::from_slice(data).map_err(|e| fail(&e.to_string()))?;
        let said = Self::read(kind, &data);
        said.map(Some).ok_or_else(|| fail("lane, number, attempt, and what is said of that file are expected"))
    }

    fn read(kind: &str, data: &Value) -> Option<(TransferId, Self)> {
        let short = |value: &Value| value.as_u64().and_then(|n| u32::try_from(n).ok());
        let id = TransferId { lane: short(&data[0])?, number: data[1].as_u64()?, attempt: short(&data[2])? };
        let text = |value: &Value| value.as_str().map(|text| shortened(text).to_owned());
        let said = match kind {
            FILE if data[3].is_string() => FileControl::Offer(Offered::Failed(text(&data[3])?)),
            FILE => {
                let (size, changed, inode) = (data[3].as_u64()?, data[4].as_u64()?, data[5].as_u64()?);
                FileControl::Offer(Offered::File { size, changed, inode })
            }
            HAVE => FileControl::Have(data[3].as_u64()?),
            END => FileControl::End(from_hex(data[3].as_str()?)?),
            _ => FileControl::Settled(match data[3].as_str()? {
                "done" => Verdict::Done,
                "refused" => Verdict::Refused(text(&data[4])?),
                "later" => Verdict::Later(text(&data[4])?),
                "again" => Verdict::Again(text(&data[4])?),
                _ => return None,
            }),
        };
        Some((id, said))
    }
}

/// The beginning of a text, at most [`WHY_MAX`] bytes of it.
#[must_use]
pub fn shortened(text: &str) -> &str {
    let mut end = text.len().min(WHY_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (at, byte) in out.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(out)
}

/// Some bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Of which file.
    pub id: TransferId,
    /// Where they stand in it.
    pub offset: u64,
    /// The bytes.
    pub bytes: &'a [u8],
}

/// What came is no piece: it has no bytes of a file, or too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPiece(usize);

impl fmt::Display for BadPiece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a piece of a file has {} bytes, {} to {} were expected",
            self.0,
            PIECE_HEAD + 1,
            PIECE_HEAD + PIECE_MAX
        )
    }
}

impl std::error::Error for BadPiece {}

impl<'a> Piece<'a> {
    /// Reads the body of a record with the flag `FILE`, whose number is `number`.
    ///
    /// # Errors
    /// It is too short, or too long.
    pub fn parse(number: u64, body: &'a [u8]) -> Result<Self, BadPiece> {
        let bad = BadPiece(body.len());
        let (offset, rest) = body.split_first_chunk().ok_or(bad)?;
        let (lane, rest) = rest.split_first_chunk().ok_or(bad)?;
        let (attempt, bytes) = rest.split_first_chunk().ok_or(bad)?;
        if bytes.is_empty() || bytes.len() > PIECE_MAX {
            return Err(bad);
        }
        let (lane, attempt) = (u32::from_le_bytes(*lane), u32::from_le_bytes(*attempt));
        Ok(Self { id: TransferId { lane, number, attempt }, offset: u64::from_le_bytes(*offset), bytes })
    }

    /// What stands before the bytes of a piece.
    #[must_use]
    pub fn head(id: TransferId, offset: u64) -> [u8; PIECE_HEAD] {
        let mut head = [0; PIECE_HEAD];
        head[..8].copy_from_slice(&offset.to_le_bytes());
        head[8..12].copy_from_slice(&id.lane.to_le_bytes());
        head[12..].copy_from_slice(&id.attempt.to_le_bytes());
        head
    }
}

#[cfg(test)]
mod tests {
    use super::super::control;
    use super::super::frame::Frame;
    use super::*;

    const ID: TransferId = TransferId { lane: 3, number: (1 << 56) - 1, attempt: u32::MAX };

    fn read(bytes: &[u8]) -> Result<Option<(TransferId, FileControl)>, ControlError> {
        let frame = Frame::parse(bytes).unwrap();
        FileControl::parse(&Header::parse(frame.header()).unwrap(), frame.data())
    }

    #[test]
    fn what_is_said_is_read_back() {
        let why = || "é\"".to_owned();
        let verdicts = [Verdict::Done, Verdict::Refused(why()), Verdict::Later(why()), Verdict::Again(why())];
        let mut all = vec![
            FileControl::Offer(Offered::File { size: u64::MAX, changed: 7, inode: u64::MAX }),
            FileControl::Offer(Offered::Failed(why())),
            FileControl::Have(u64::MAX),
            FileControl::End(std::array::from_fn(|n| n as u8 * 8)),
        ];
        all.extend(verdicts.map(FileControl::Settled));
        for said in all {
            assert_eq!(read(&said.encode("c1", ID, b"{}")).unwrap(), Some((ID, said)));
        }
        assert_eq!(read(&control::own_frame("_ping", "c1", b"")).unwrap(), None);
    }

    #[test]
    fn an_offer_brings_the_header_of_its_message() {
        let bytes = FileControl::Offer(Offered::Failed(String::new())).encode("c1", ID, b"{\"a\": 1}");
        let frame = Frame::parse(&bytes).unwrap();
        assert!(Header::parse(frame.header()).unwrap().with_binary);
        assert_eq!(frame.binary(), Some(&b"{\"a\": 1}"[..]));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let hash = "0".repeat(63);
        let ends = [format!("[1, 2, 3, \"{hash}\"]"), format!("[1, 2, 3, \"{hash}é\"]"), "[1, 2, 3]".to_owned()];
        let all = ends.iter().map(|data| (END, data.as_str())).chain([
            (FILE, "[1, 2, 3]"),
            (FILE, "[1, 2, 3, 4, 5, -1]"),
            (FILE, "[4294967296, 2, 3, 4, 5, 6]"),
            (HAVE, "[1, 2, 3, 1.5]"),
            (SETTLED, "[1, 2, 3, \"maybe\", \"\"]"),
            (SETTLED, "[1, 2, 3, \"later\"]"),
            (SETTLED, "{}"),
        ]);
        for (kind, data) in all {
            let error = read(&control::own_frame(kind, "c1", data.as_bytes())).unwrap_err();
            assert!(error.to_string().contains(kind), "{kind} {data}: {error}");
        }
    }

    #[test]
    fn a_long_reason_is_shortened_between_characters() {
        let long = "é".repeat(WHY_MAX);
        assert_eq!(shortened(&long).len(), WHY_MAX);
        assert_eq!(shortened(&format!("x{long}")).len(), WHY_MAX - 1);
        let said = FileControl::Settled(Verdict::Refused(long.clone()));
        let short = FileControl::Settled(Verdict::Refused(shortened(&long).to_owned()));
        assert_eq!(read(&said.encode("c1", ID, b"")).unwrap(), Some((ID, short)));
    }

    #[test]
    fn pieces_come_back_and_others_are_refused() {
        let mut body = Piece::head(ID, u64::MAX - 1).to_vec();
        assert_eq!(Piece::parse(ID.number, &body), Err(BadPiece(PIECE_HEAD)));
        body.extend(b"abc");
        assert_eq!(Piece::parse(ID.number, &body), Ok(Piece { id: ID, offset: u64::MAX - 1, bytes: b"abc" }));
        body.resize(PIECE_HEAD + PIECE_MAX, 0);
        assert!(Piece::parse(1, &body).is_ok());
        body.push(0);
        assert!(Piece::parse(1, &body).unwrap_err().to_string().contains("262161 bytes"));
        assert!(Piece::parse(1, &[]).is_err());
    }

    #[test]
    fn the_lane_of_files_has_a_name_that_no_type_has() {
        assert_eq!(lane_of(&lane_name("any")), ("any", true));
        assert_eq!(lane_of("any"), ("any", false));
        assert_eq!(lane_of("/files"), ("", true));
    }
}
