//! From record to record through a ring file that may be damaged, for the tools.
//!
//! The connector stops at damage and asks; this goes on behind it: at the next record if the damaged one's length leads
//! there, else at the first place where a record with a right checksum and a number that can be begins.

use std::io;

use super::window::Window;
use crate::ring::header::Header;
use crate::ring::memory::Checkpoint;
use crate::wire::record::{ALIGNMENT, Head, RECORD_HEADER, RecordView, SEQUENCE_MAX, WRAP};

/// What stands next in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A record, and its frame.
    Record {
        /// Where it begins, counted from the beginning of the records.
        at: u64,
        /// Its bytes.
        size: u64,
        /// What it says.
        view: RecordView,
        /// The frame.
        frame: Vec<u8>,
    },
    /// Bytes that are no sound record.
    Damaged {
        /// Where they begin, counted from the beginning of the records.
        at: u64,
        /// How many they are.
        bytes: u64,
        /// Whether a single record is lost. If not, it is not known how many.
        is_one: bool,
    },
}

/// Where the walk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Among records that the checkpoint knows of.
    Known,
    /// Behind them: the first one that is not sound is the end.
    Tail,
    /// Anywhere in a file without a header: all that is sound counts.
    Anywhere,
    /// At the end.
    Done,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Walk {
    window: Window,
    place: Place,
    at: u64,
    checkpoint: Checkpoint,
    /// The length that the part had when the checkpoint was written.
    capacity: u64,
    /// Records go on at the beginning.
    wraps: bool,
    /// All further records have this number or a greater one.
    sequence: u64,
}

impl Walk {
    /// Through the records that the header's checkpoint knows of and those that were put behind them later.
    pub(super) fn new(window: Window, header: &Header) -> Self {
        let Header { checkpoint, capacity, .. } = *header;
        let (at, wraps, sequence) = (checkpoint.first, checkpoint.wrapped, checkpoint.released_to);
        Self { window, place: Place::Known, at, checkpoint, capacity, wraps, sequence }
    }

    /// Through all that looks like a record, also those that were given up: nothing is known of the file. They come in
    /// the order in which they lie.
    pub(super) fn anywhere(window: Window) -> Self {
        let capacity = window.length();
        let checkpoint = Checkpoint { end: capacity, ..Checkpoint::default() };
        Self { window, place: Place::Anywhere, at: 0, checkpoint, capacity, wraps: false, sequence: 0 }
    }

    /// The next step, none at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Step>> {
        loop {
            match self.place {
                Place::Done => return Ok(None),
                Place::Tail => return self.tail(),
                Place::Known if self.is_at_end() => {
                    if let Some(missing) = self.leave() {
                        return Ok(Some(missing));
                    }
                }
                Place::Known => {
                    if !self.follow_mark()? {
                        return self.known().map(Some);
                    }
                }
                Place::Anywhere => match self.find(self.at)? {
                    Some(at) => return self.take(at).map(Some),
                    None => self.place = Place::Done,
                },
            }
        }
    }

    /// All further records have this number or a greater one.
    pub(super) fn number(&self) -> u64 {
        self.sequence
    }

    /// Leaves out the records that the checkpoint knows of.
    pub(super) fn go_to_tail(&mut self) {
        (self.place, self.at, self.wraps) = (Place::Tail, self.checkpoint.end, false);
    }

    /// The number of the record that is next, not checked.
    pub(super) fn first_number(&mut self) -> io::Result<Option<u64>> {
        while self.follow_mark()? {}
        Ok(self.head(self.at)?.filter(|head| !head.is_mark()).map(|head| head.sequence))
    }

    /// Where the records from here on end, at the latest.
    fn end(&self) -> u64 {
        if self.wraps { self.window.length() } else { self.checkpoint.end.min(self.window.length()) }
    }

    fn is_at_end(&self) -> bool {
        self.at + RECORD_HEADER as u64 > self.end()
    }

    /// Goes on behind the last record of a part; what is missing of that, if the file was cut.
    fn leave(&mut self) -> Option<Step> {
        let (at, length) = (self.at, self.window.length());
        let should_end = if self.wraps { self.capacity } else { self.checkpoint.end };
        if self.wraps {
            (self.at, self.wraps) = (0, false);
        } else {
            self.place = Place::Tail;
        }
        let bytes = should_end.saturating_sub(at.max(length));
        (bytes > 0).then_some(Step::Damaged { at: at.max(length), bytes, is_one: false })
    }

    /// Goes where a mark leads; whether there was one that leads on.
    fn follow_mark(&mut self) -> io::Result<bool> {
        let Some(head) = self.head(self.at)? else { return Ok(false) };
        let to = usize::try_from(self.at).ok().and_then(|at| head.leads_to(at)).map(|to| to as u64);
        match to {
            Some(0) if head.length == WRAP && self.wraps => (self.at, self.wraps) = (0, false),
            Some(to) if to > self.at && to <= self.end() => self.at = to,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The head at `at`. Where the beginning of the ring was being moved to when the process died, it lacks its first
    /// half.
    fn head(&mut self, at: u64) -> io::Result<Option<Head>> {
        let Some(head) = Head::at(self.window.get(at, RECORD_HEADER)?, 0) else { return Ok(None) };
        if head.length == WRAP && self.checkpoint.moved_at == at + 1 {
            let half = self.window.get(0, 8)?.first_chunk().copied();
            return Ok(half.map(|half| head.with_first_half(half)));
        }
        Ok(Some(head))
    }

    /// The head of the record at `at`, if it is sound, ends before `end`, and its number can be.
    fn sound(&mut self, at: u64, end: u64) -> io::Result<Option<Head>> {
        let Some(head) = self.head(at)?.filter(|head| !head.is_mark()) else { return Ok(None) };
        let size = head.size() as u64;
        let numbers = match self.place {
            Place::Known => self.sequence..self.checkpoint.next_sequence,
            Place::Tail | Place::Done => self.sequence..SEQUENCE_MAX,
            Place::Anywhere => 1..SEQUENCE_MAX,
        };
        if at.saturating_add(size) > end || !numbers.contains(&head.sequence) {
            return Ok(None);
        }
        let body = self.window.get(at + RECORD_HEADER as u64, head.size() - RECORD_HEADER)?;
        Ok(head.is_sound(body).then_some(head))
    }

    /// The record at the place of the walk, or what is there instead.
    fn known(&mut self) -> io::Result<Step> {
        let (at, end) = (self.at, self.end());
        if self.sound(at, end)?.is_some() {
            return self.take(at);
        }
        let head = self.head(at)?.filter(|head| !head.is_mark());
        if let Some(next) = head.map(|head| at.saturating_add(head.size() as u64)).filter(|next| *next <= end)
            && self.leads_on(next)?
        {
            self.at = next;
            return Ok(Step::Damaged { at, bytes: next - at, is_one: true });
        }
        let next = self.find(at + ALIGNMENT as u64)?.unwrap_or(end);
        self.at = next;
        Ok(Step::Damaged { at, bytes: next - at, is_one: false })
    }

    /// Whether a record, a mark or the end is at `at`.
    fn leads_on(&mut self, at: u64) -> io::Result<bool> {
        let end = self.end();
        if at == end || self.sound(at, end)?.is_some() {
            return Ok(true);
        }
        let head = self.head(at)?;
        Ok(head.is_some_and(|head| head.length == WRAP && self.wraps))
    }

    /// The first sound record from `from` on.
    fn find(&mut self, from: u64) -> io::Result<Option<u64>> {
        let end = self.end();
        let mut at = from;
        while at + RECORD_HEADER as u64 <= end {
            if self.sound(at, end)?.is_some() {
                return Ok(Some(at));
            }
            at += ALIGNMENT as u64;
        }
        Ok(None)
    }

    /// Takes the record at `at`, which is sound.
    pub(super) fn take(&mut self, at: u64) -> io::Result<Step> {
        let gone = || io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter than it was");
        let head = self.head(at)?.ok_or_else(gone)?;
        let body = self.window.get(at + RECORD_HEADER as u64, head.size() - RECORD_HEADER)?;
        let range = head.frame_range();
        let frame = body.get(range.start - RECORD_HEADER..range.end - RECORD_HEADER).ok_or_else(gone)?.to_vec();
        let view = head.view(body);
        self.at = at + head.size() as u64;
        self.sequence = head.sequence + 1;
        Ok(Step::Record { at, size: head.size() as u64, view, frame })
    }

    /// The next record that the checkpoint does not know of.
    fn tail(&mut self) -> io::Result<Option<Step>> {
        self.sequence = self.sequence.max(self.checkpoint.next_sequence);
        loop {
            let end = if self.checkpoint.wrapped { self.checkpoint.first } else { self.window.length() };
            if self.sound(self.at, end)?.is_some() {
                return self.take(self.at).map(Some);
            }
            let head = self.head(self.at)?;
            let to = head.zip(usize::try_from(self.at).ok()).and_then(|(head, at)| head.leads_to(at));
            match to.map(|to| to as u64) {
                // They went on at the beginning, as far as the oldest record.
                Some(0) if !self.checkpoint.wrapped => (self.at, self.checkpoint.wrapped) = (0, true),
                Some(to) if to > self.at && to <= end => self.at = to,
                _ => {
                    self.place = Place::Done;
                    return Ok(None);
                }
            }
        }
    }
}
