//! What is found in a ring's file, and what is done about it. Pure over the file's bytes.
//!
//! | # | what is found | what is done |
//! | --- | --- | --- |
//! | 1 | no content, or zeros only | a new ring: [`recover`] gives `None` |
//! | 2 | shorter than the header pages, not zero | [`Damage::Short`] |
//! | 3 | both pages bad | [`Damage::NoHeader`] |
//! | 4 | one page bad (a crash while it was written) | the other one counts |
//! | 5 | both pages good | the newer generation counts |
//! | 6 | no good page, one of another version | [`Damage::OtherFormat`]: not ours to touch |
//! | 7 | another connector's, peer's or type's ring | [`Damage::OtherIdentity`]: not ours to touch |
//! | 8 | the data ends before the last record | [`Damage::Cut`] |
//! | 9 | the data is shorter or longer than the capacity, but all records are there | they count |
//! | 10 | the ring is wrapped | nothing special |
//! | 11 | a move was interrupted ([`Checkpoint::moved_at`]) | it is left to [`super::Ring::durable`], which may write |
//! | 12 | whole records behind the checkpoint | they are taken in; their origins are told |
//! | 13 | a torn record there | it ends the ring: nobody was told that it was kept |
//! | 14 | older records there | they were given up before: they do not count |
//! | 15 | flipped bits in a record before the checkpoint | not looked for here, which would read all of the file: the ring checks each record before it is given out |
//! | 16 | a ring that was made for a greater or a smaller limit | the limit is no part of the file: a ring with more in it than it may hold takes no more until there is room |
//!
//! Damage means: the file is put aside, whole, and a new ring begins. [`walk`] reads what is still sound.

use std::fmt;

use super::header::{BadPage, DATA_AT, Header, Identity, PAGE};
use super::memory::Checkpoint;
use crate::wire::record::{Head, Origin, RECORD_HEADER, RecordView, SKIP, WRAP};

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The page that counts, as it stands in the file.
    pub header: Header,
    /// Where the ring stands, what lies behind the page's checkpoint taken in.
    pub checkpoint: Checkpoint,
    /// Records that were taken in.
    pub tail_records: u64,
    /// The origins that those have, in their order.
    pub origins: Vec<Origin>,
}

/// Why a file holds no ring that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The file is shorter than its header.
    Short {
        /// Bytes there are.
        length: usize,
    },
    /// Both header pages are damaged, or it is no ring's file.
    NoHeader,
    /// It was written in another version of the format.
    OtherFormat(u32),
    /// It is another's.
    OtherIdentity {
        /// Whose it should be.
        expected: Box<Identity>,
        /// Whose it is.
        found: Box<Identity>,
    },
    /// The end of the file is missing.
    Cut {
        /// Bytes of data that the header speaks of.
        needed: u64,
        /// Bytes of data that are there.
        length: u64,
    },
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { length } => write!(f, "the file has {length} bytes, its header alone should have {DATA_AT}"),
            Self::NoHeader => write!(f, "both header pages are damaged, or this is no queue's file"),
            Self::OtherFormat(version) => write!(f, "the file is of format {version}, which this version cannot read"),
            Self::OtherIdentity { expected, found } => {
                write!(f, "the file is of another queue: {found:?}, where {expected:?} was expected")
            }
            Self::Cut { needed, length } => write!(f, "the file ends after {length} of {needed} bytes of messages"),
        }
    }
}

impl std::error::Error for Damage {}

/// Looks at a file's header pages (its first [`DATA_AT`] bytes, or fewer if it has fewer) and at its data, which is the
/// rest. `None`: there is no ring in it yet. With `expected` another's ring is refused.
///
/// How long this takes depends on what was written since the last checkpoint, not on what is in the ring.
///
/// # Errors
/// The file holds no ring that can be used.
pub fn recover(pages: &[u8], data: &[u8], expected: Option<&Identity>) -> Result<Option<Recovered>, Damage> {
    let Some(header) = newest_header(pages, data)? else { return Ok(None) };
    if let Some(expected) = expected.filter(|expected| **expected != header.identity) {
        let (expected, found) = (Box::new(expected.clone()), Box::new(header.identity));
        return Err(Damage::OtherIdentity { expected, found });
    }
    let mut checkpoint = header.checkpoint;
    let length = data.len() as u64;
    let needed = match () {
        () if checkpoint.records == 0 => 0,
        // How far the upper part reaches is not known without reading it.
        () if checkpoint.wrapped => header.capacity,
        () => checkpoint.end,
    };
    if needed > length {
        return Err(Damage::Cut { needed, length });
    }
    if checkpoint.first.max(checkpoint.end) > length {
        (checkpoint.first, checkpoint.end) = (0, 0);
    }
    let origins = take_in_tail(data, &mut checkpoint);
    let tail_records = checkpoint.records - header.checkpoint.records;
    Ok(Some(Recovered { header, checkpoint, tail_records, origins }))
}

/// The header page that counts; `None` in a file without content.
///
/// # Errors
/// There is none.
pub fn newest_header(pages: &[u8], data: &[u8]) -> Result<Option<Header>, Damage> {
    let is_zero = |bytes: &[u8]| bytes.iter().all(|b| *b == 0);
    if is_zero(pages) && is_zero(data) {
        return Ok(None);
    }
    let length = pages.len();
    if length < DATA_AT {
        return Err(Damage::Short { length });
    }
    match (Header::read(&pages[..PAGE]), Header::read(&pages[PAGE..DATA_AT])) {
        (Ok(a), Ok(b)) => Ok(Some(if a.generation > b.generation { a } else { b })),
        (Ok(header), Err(_)) | (Err(_), Ok(header)) => Ok(Some(header)),
        (Err(BadPage::OtherFormat(version)), Err(_)) | (Err(_), Err(BadPage::OtherFormat(version))) => {
            Err(Damage::OtherFormat(version))
        }
        (Err(_), Err(_)) => Err(Damage::NoHeader),
    }
}

/// Takes in the records that lie behind the checkpoint; their origins.
fn take_in_tail(data: &[u8], checkpoint: &mut Checkpoint) -> Vec<Origin> {
    let mut origins = Vec::new();
    let (mut at, mut wrapped) = (checkpoint.end, checkpoint.wrapped);
    loop {
        let limit = if wrapped { checkpoint.first } else { data.len() as u64 };
        let offset = usize::try_from(at).unwrap_or(usize::MAX);
        let Some(mut head) = Head::at(data, offset) else { break };
        if head.length == WRAP && checkpoint.moved_at == at + 1 {
            let Some(half) = data.first_chunk() else { break };
            head = head.with_first_half(*half);
        }
        match head.length {
            WRAP if !wrapped => {
                (at, wrapped) = (0, true);
                continue;
            }
            SKIP => match head.leads_to(offset) {
                Some(to) if to as u64 <= limit => {
                    at = to as u64;
                    continue;
                }
                _ => break,
            },
            _ => {}
        }
        let body = &data[offset + RECORD_HEADER..];
        let behind = at.saturating_add(head.size() as u64);
        if behind > limit || head.sequence < checkpoint.next_sequence || !head.is_sound(body) {
            break;
        }
        at = behind;
        (checkpoint.end, checkpoint.wrapped) = (behind, wrapped);
        checkpoint.records += 1;
        checkpoint.used += head.size() as u64;
        checkpoint.next_sequence = head.sequence + 1;
        origins.extend(head.view(body).origin);
    }
    origins
}

/// A record as [`walk`] finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walked<'a> {
    /// Where it lies in the data.
    pub offset: usize,
    /// What it says besides its frame; to be believed only if it is sound.
    pub view: RecordView,
    /// Its frame; to be believed only if it is sound.
    pub frame: &'a [u8],
    /// Its checksum is right, and its number is greater than those before.
    pub sound: bool,
}

/// All records of a ring, checked. It goes on behind a damaged one if that leads to a sound one; else it ends there,
/// and [`Walk::lost`] says how many more there should be.
#[must_use]
pub fn walk<'a>(data: &'a [u8], checkpoint: &Checkpoint) -> Walk<'a> {
    Walk {
        data,
        at: usize::try_from(checkpoint.first).unwrap_or(usize::MAX),
        left: checkpoint.records,
        numbers: (checkpoint.released_to, checkpoint.next_sequence),
        moved_at: checkpoint.moved_at.checked_sub(1).and_then(|at| usize::try_from(at).ok()),
        wrapped: checkpoint.wrapped,
    }
}

/// See [`walk`].
#[derive(Clone, Debug)]
pub struct Walk<'a> {
    data: &'a [u8],
    at: usize,
    left: u64,
    /// From where to below where numbers may still be.
    numbers: (u64, u64),
    moved_at: Option<usize>,
    /// A mark may still lead to the beginning.
    wrapped: bool,
}

impl<'a> Walk<'a> {
    /// Records that were not found.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.left
    }

    /// The record that `at` leads to: where, its head, what is behind its head, and whether the beginning was passed.
    fn locate(&self, mut at: usize, mut wrapped: bool) -> Option<(usize, Head, &'a [u8], bool)> {
        loop {
            let mut head = Head::at(self.data, at)?;
            if head.length == WRAP && self.moved_at == Some(at) {
                head = head.with_first_half(*self.data.first_chunk()?);
            }
            match head.length {
                WRAP if wrapped => (at, wrapped) = (0, false),
                SKIP => at = head.leads_to(at)?,
                WRAP => return None,
                _ => return Some((at, head, &self.data[at + RECORD_HEADER..], wrapped)),
            }
        }
    }

    fn is_sound(&self, head: &Head, body: &[u8]) -> bool {
        (self.numbers.0..self.numbers.1).contains(&head.sequence) && head.is_sound(body)
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Walked<'a>;

    fn next(&mut self) -> Option<Walked<'a>> {
        if self.left == 0 {
            return None;
        }
        let (offset, head, body, wrapped) = self.locate(self.at, self.wrapped)?;
        let range = head.frame_range();
        let frame = body.get(range.start - RECORD_HEADER..range.end - RECORD_HEADER)?;
        let (sound, behind) = (self.is_sound(&head, body), offset + head.size());
        let leads_on = || self.locate(behind, wrapped).is_some_and(|(_, head, body, _)| self.is_sound(&head, body));
        if !sound && self.left > 1 && !leads_on() {
            self.at = usize::MAX;
            return None;
        }
        if sound {
            self.numbers.0 = head.sequence + 1;
        }
        (self.at, self.wrapped, self.left) = (behind, wrapped, self.left - 1);
        Some(Walked { offset, view: head.view(body), frame, sound })
    }
}

#[cfg(test)]
#[path = "recover_tests.rs"]
mod tests;
