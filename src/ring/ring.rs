//! A first-in first-out queue of records with two cursors: what is done with lies before `first`, what was sent and is
//! not yet done with between `first` and `next`, what is still to be sent behind `next`.
//!
//! The ring starts without memory or with little, doubles it while there is more to keep, up to what its limit needs,
//! and gives it back when it is asked to and empty. Records never move, but when a wrapped ring grows.
//!
//! The last [`RECORD_HEADER`] bytes of memory hold no record: wherever a record ends there is room for a mark, so what
//! leads from one to the next does not depend on how much memory there is.
//!
//! In a durable ring nothing is trusted that was not checked: each record is checked once, before it is first given out
//! or passed over. Room that was given up is used again only when a checkpoint says that it was.

use std::collections::VecDeque;
use std::fmt;

use super::memory::{Checkpoint, Durable, Memory};
use super::older::Older;
use super::shared::Layout;
use crate::wire::record::{
    Head, NewRecord, Origin, RECORD_FRAME_MAX, RECORD_HEADER, SEQUENCE_MAX, frame_crc, record_size, write_record,
    write_wrap,
};

/// A frame was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushError {
    /// The ring has no room for it.
    Full {
        /// Bytes in use.
        used: usize,
        /// The most that may be in use.
        limit: usize,
    },
    /// There is no more memory or disk space, or the ring is damaged: why.
    Failed(String),
}

impl fmt::Display for PushError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { used, limit } => write!(f, "the queue is full: {used} of {limit} bytes are in use"),
            Self::Failed(why) => write!(f, "the queue cannot take more: {why}"),
        }
    }
}

impl std::error::Error for PushError {}

/// A record of a durable ring is not what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// Where it lies, or should: an offset in the ring's memory.
    pub offset: usize,
    /// Its number is this one or a greater one.
    pub sequence: u64,
    /// Records from there on, this one among them.
    pub records: usize,
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset, sequence, records } = self;
        write!(f, "the record at offset {offset}, number {sequence} or greater, first of {records}, is damaged")
    }
}

impl std::error::Error for Damaged {}

/// When the records of a ring in memory of the process get their checksums. Those of a durable ring always have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sums {
    /// They have none: they never leave as they lie ([`Ring::raw`]).
    Never,
    /// When they come: they leave more than once.
    AtPush,
    /// When they leave as they lie; of most, only what they hold leaves.
    WhenSent,
}

/// What became of damage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Records that were given up.
    pub records: u64,
    /// Where a copy of the damaged ring is, or why there is none.
    pub copy: Result<String, String>,
}

/// What [`Ring::raw`] or [`Ring::peek`] gave out last, so that it need not be walked over again. What was sent must be
/// said by the method that goes with it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Run {
    /// Bytes that were given out.
    pub bytes: usize,
    pub records: usize,
    /// Bytes of those records, what was sent before counted.
    pub size: usize,
    /// Offset behind them.
    pub end: usize,
    /// The number of the last.
    pub last: u64,
}

/// What the checkpoints know; of no use in memory of the process.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Kept {
    /// From here to the end nothing may be overwritten: a checkpoint speaks of it. Whether that is wrapped.
    pub hold: usize,
    pub hold_wraps: bool,
    /// `first` of the last checkpoint, and the next number then: what a sync makes last.
    pub saved: usize,
    pub saved_next: u64,
    /// Offset of the first record that came after the last [`Ring::checkpoint`], and those records and their bytes.
    pub tail: usize,
    pub tail_records: usize,
    pub tail_used: usize,
    /// The number that was next then.
    pub next_sequence: u64,
    /// Something changed since then.
    pub dirty: bool,
    /// What was written, and what was given up, from here on may still be in memory.
    pub warm_end: usize,
    pub warm_first: usize,
    /// The memory was given back since the last record came.
    pub shrunk: bool,
}

/// The queue.
#[derive(Debug)]
pub struct Ring {
    pub(super) memory: Memory,
    limit: usize,
    pub(super) sums: Sums,
    pub(super) is_durable: bool,
    /// Offset of the oldest record. As all offsets: or of a mark that leads there.
    pub(super) first: usize,
    /// Offset of the first record that is not wholly sent.
    pub(super) next: usize,
    /// Bytes of that record that were sent, what stands before the frame counted.
    pub(super) next_sent: usize,
    /// Offset behind the newest record.
    pub(super) end: usize,
    /// The newest record lies before the oldest.
    pub(super) wrapped: bool,
    /// Where the mark is that leads to the beginning, if that is known.
    pub(super) wrap_at: Option<usize>,
    /// Records, and those of them that are not wholly sent.
    pub(super) records: usize,
    pub(super) unsent: usize,
    /// Bytes of these and of those.
    pub(super) used: usize,
    pub(super) unsent_used: usize,
    /// The number of the next record.
    pub(super) next_sequence: u64,
    pub(super) released_to: u64,
    /// So many of the oldest records are known to be sound; in memory of the process all are.
    pub(super) verified: usize,
    /// Records behind those have this number or a greater one.
    pub(super) verified_to: u64,
    pub(super) run: Run,
    /// In memory of the process: runs that were sent whole, from the `unmarked` oldest records on. They are given up
    /// without a look at each record.
    pub(super) marks: VecDeque<Run>,
    pub(super) unmarked: usize,
    /// The newest record with an origin, of which must be told when it is given up.
    pub(super) last_origin: u64,
    pub(super) kept: Kept,
    /// In memory of the process there are none.
    pub(super) older: Older,
    /// Where a copy is of the ring as it was when damage was found in it.
    pub(super) copy: Option<String>,
    /// What those must know who remember offsets.
    pub(super) layout: Layout,
}

impl Ring {
    /// An empty ring in memory of the process that holds at most `limit` bytes of records, of which the first gets the
    /// number `first_sequence`.
    ///
    /// One record always fits into an empty ring: a message may be larger than the queue is meant to be long.
    #[must_use]
    pub fn heap(limit: usize, first_sequence: u64, sums: Sums) -> Self {
        let kept = Checkpoint { next_sequence: first_sequence, released_to: first_sequence, ..Checkpoint::default() };
        Self::new(Memory::Heap(Vec::new()), &kept, limit, sums)
    }

    /// A ring that lies in `memory`, with what [`super::recover`] found there, or a default for a new one. Nothing of
    /// it counts as sent. The next record gets the number `first_sequence_at_least` or a greater one.
    ///
    /// What the ring's tail says of other tables must be put there and kept before [`Ring::checkpoint`], and that must
    /// come before the first push.
    #[must_use]
    pub fn durable(
        memory: Box<dyn Durable>,
        recovered: Checkpoint,
        limit: usize,
        first_sequence_at_least: u64,
    ) -> Self {
        let mut ring = Self::new(Memory::Durable(memory), &recovered, limit, Sums::AtPush);
        ring.set_next_sequence(first_sequence_at_least);
        ring.finish_move(recovered.moved_at);
        ring
    }

    fn new(memory: Memory, kept: &Checkpoint, limit: usize, sums: Sums) -> Self {
        // Recovery has seen that all of these are within memory.
        let [first, end, records, used] = [kept.first, kept.end, kept.records, kept.used].map(|n| n as usize);
        let is_durable = matches!(memory, Memory::Durable(_));
        Self {
            limit,
            sums,
            is_durable,
            first,
            next: first,
            next_sent: 0,
            end,
            wrapped: kept.wrapped,
            wrap_at: None,
            records,
            unsent: records,
            used,
            unsent_used: used,
            next_sequence: kept.next_sequence,
            released_to: kept.released_to,
            verified: if is_durable { 0 } else { usize::MAX },
            verified_to: kept.released_to,
            run: Run::default(),
            marks: VecDeque::new(),
            unmarked: 0,
            last_origin: if is_durable { u64::MAX } else { 0 },
            kept: Kept {
                hold: first,
                hold_wraps: kept.wrapped,
                saved: first,
                saved_next: kept.next_sequence,
                tail: end,
                next_sequence: kept.next_sequence,
                dirty: is_durable,
                warm_end: end,
                warm_first: first,
                ..Kept::default()
            },
            older: if is_durable { Older { records, used, end } } else { Older::default() },
            memory,
            copy: None,
            layout: Layout::default(),
        }
    }

    /// Records in the ring.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Bytes of all records.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used
    }

    /// The most bytes that records may have together.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Records that are not wholly sent.
    #[must_use]
    pub fn unsent(&self) -> usize {
        self.unsent
    }

    /// Whether there is something to send.
    #[must_use]
    pub fn has_unsent(&self) -> bool {
        self.unsent > 0
    }

    /// Bytes of records that were not sent.
    #[must_use]
    pub fn unsent_bytes(&self) -> usize {
        self.unsent_used.saturating_sub(self.next_sent)
    }

    /// Bytes of records that were sent and are not given up.
    #[must_use]
    pub fn in_flight_bytes(&self) -> usize {
        self.used.saturating_sub(self.unsent_bytes())
    }

    /// Whether a record was sent in part: nothing else may be written to the connection before its rest.
    #[must_use]
    pub fn is_mid_frame(&self) -> bool {
        self.next_sent > 0
    }

    /// Bytes of memory.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.memory.bytes().len()
    }

    /// Whether the ring outlasts the process.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.is_durable
    }

    /// The number of the next record.
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// The next record gets this number or a greater one.
    pub fn set_next_sequence(&mut self, at_least: u64) {
        let next = self.next_sequence.max(at_least).min(SEQUENCE_MAX);
        self.kept.dirty |= self.is_durable && next != self.next_sequence;
        self.next_sequence = next;
    }

    /// The highest number that was given up, and 1: all records have this number or a greater one.
    #[must_use]
    pub fn released_to(&self) -> u64 {
        self.released_to
    }

    /// The number of the oldest record. In a durable ring it may be unchecked.
    #[must_use]
    pub fn first_sequence(&self) -> Option<u64> {
        self.sequence_at(self.records, self.first)
    }

    /// The number of the first record that is not wholly sent. In a durable ring it may be unchecked.
    #[must_use]
    pub fn front_sequence(&self) -> Option<u64> {
        self.sequence_at(self.unsent, self.next)
    }

    fn sequence_at(&self, records: usize, offset: usize) -> Option<u64> {
        if records == 0 {
            return None;
        }
        self.locate(offset).map(|(_, head)| head.sequence)
    }

    /// The record that `offset` leads to: its place and its head. `None` only if the ring is damaged.
    pub(super) fn locate(&self, offset: usize) -> Option<(usize, Head)> {
        locate(self.memory.bytes(), offset)
    }

    /// Puts a frame at the end, given in parts; its number.
    ///
    /// # Errors
    /// There is no room for it.
    pub fn push(&mut self, parts: &[&[u8]], flags: u8, origin: Option<Origin>) -> Result<u64, PushError> {
        let length: usize = parts.iter().map(|p| p.len()).sum();
        let sequence = self.next_sequence;
        if length > RECORD_FRAME_MAX || sequence >= SEQUENCE_MAX {
            return Err(PushError::Failed(format!("record {sequence} of {length} bytes is beyond what can be")));
        }
        let size = record_size(length, origin.is_some());
        if self.records > 0 && self.used.saturating_add(size) > self.limit {
            return Err(self.full());
        }
        let at = self.make_room(size)?;
        let frame_crc = (self.sums == Sums::AtPush).then(|| frame_crc(parts));
        let new = NewRecord { sequence, flags, origin, length, frame_crc };
        write_record(&mut self.memory.bytes_mut()[at..at + size], &new, parts);
        if origin.is_some() {
            self.last_origin = self.last_origin.max(sequence);
        }
        self.next_sequence += 1;
        self.end = at + size;
        self.records += 1;
        self.unsent += 1;
        self.used += size;
        self.unsent_used += size;
        if self.is_durable {
            self.after_push(size);
        }
        Ok(sequence)
    }

    fn full(&self) -> PushError {
        PushError::Full { used: self.used, limit: self.limit }
    }

    /// Where a record of `size` bytes can be written.
    fn make_room(&mut self, size: usize) -> Result<usize, PushError> {
        if self.records == 0 && !self.is_durable {
            self.reset();
        }
        if let Some(at) = self.place(size) {
            return Ok(at);
        }
        if self.is_durable {
            self.free_released()?;
            if let Some(at) = self.place(size) {
                return Ok(at);
            }
        }
        self.grow(size)?;
        self.place(size).ok_or(self.full())
    }

    /// Where a record of `size` bytes can be written, if there is room in the memory that there is.
    fn place(&mut self, size: usize) -> Option<usize> {
        let (start, wraps) =
            if self.is_durable { (self.kept.hold, self.kept.hold_wraps) } else { (self.first, self.wrapped) };
        if wraps {
            return (start.saturating_sub(self.end) >= size).then_some(self.end);
        }
        if self.end + size + RECORD_HEADER <= self.capacity() {
            return Some(self.end);
        }
        // A file that was cut may lack the room for the mark.
        if start < size || self.end + RECORD_HEADER > self.capacity() {
            return None;
        }
        write_wrap(self.memory.bytes_mut(), self.end);
        (self.wrap_at, self.wrapped, self.kept.hold_wraps) = (Some(self.end), true, true);
        self.end = 0;
        Some(0)
    }

    /// An empty ring begins at the beginning again.
    pub(super) fn reset(&mut self) {
        (self.first, self.next, self.next_sent, self.end, self.wrapped) = (0, 0, 0, 0, false);
        self.run = Run::default();
        self.layout.begin_anew();
        self.forget_marks();
        let kept = &mut self.kept;
        (kept.hold, kept.hold_wraps, kept.tail) = (0, false, 0);
        (kept.warm_end, kept.warm_first) = (0, 0);
    }

    /// Gives up all records and, if it is memory of the process, that; how many records there were.
    pub fn clear(&mut self) -> usize {
        let records = self.records;
        self.released_to = if records > 0 { self.next_sequence } else { self.released_to };
        (self.records, self.unsent, self.used, self.unsent_used) = (0, 0, 0, 0);
        (self.first, self.next, self.next_sent, self.wrapped) = (self.end, self.end, 0, false);
        self.forget_marks();
        (self.kept.tail, self.kept.tail_records, self.kept.tail_used) = (self.end, 0, 0);
        (self.kept.dirty, self.run, self.older) = (self.is_durable, Run::default(), Older::default());
        if self.is_durable {
            (self.verified, self.verified_to) = (0, self.released_to);
        }
        self.give_back();
        records
    }

    /// Checks what must always hold; for tests.
    ///
    /// # Panics
    /// When it does not.
    pub fn check_invariants(&self) {
        let (mut offset, mut used, mut last) = (self.first, 0, self.released_to);
        for index in 0..self.records {
            // A damaged ring is one that this cannot be said of.
            let Some((at, head)) = self.locate(offset) else { return assert!(self.is_durable, "heap is sound") };
            if self.is_durable && !head.is_sound(&self.memory.bytes()[at + RECORD_HEADER..]) {
                return;
            }
            if index == self.records - self.unsent {
                assert_eq!(self.locate(self.next).map(|r| r.0), Some(at), "the send cursor is at a record");
                assert_eq!(self.unsent_used, self.used - used, "what is unsent is what was not sent");
            }
            assert!(head.sequence >= last, "numbers rise");
            (last, used, offset) = (head.sequence + 1, used + head.size(), at + head.size());
        }
        let marked: usize = self.marks.iter().map(|mark| mark.records).sum();
        let sent = self.records - self.unsent;
        assert!(self.marks.is_empty() || marked + self.unmarked == sent, "marks are of what was sent");
        assert!(self.next_sequence >= last, "the next number is greater than all");
        assert_eq!(used, self.used, "bytes in use are those of the records");
        assert!(self.records == 0 || offset == self.end, "the last record ends where the next is written");
        assert!(self.next_sent == 0 || self.unsent > 0, "what was sent in part is unsent");
        assert!(self.kept.tail_records <= self.records && self.kept.tail_used <= self.used, "the tail is a part");
    }
}

/// The record that `offset` leads to: its place and its head. `None` if there is none, or it ends beyond memory.
pub(super) fn locate(bytes: &[u8], offset: usize) -> Option<(usize, Head)> {
    let (mut at, mut head) = (offset, Head::at(bytes, offset)?);
    if head.is_mark() {
        (at, head) = follow(bytes, at, head)?;
    }
    (at + head.size() <= bytes.len()).then_some((at, head))
}

/// Where marks lead: to the beginning at most once, else forwards.
fn follow(bytes: &[u8], mut at: usize, mut head: Head) -> Option<(usize, Head)> {
    let mut wraps = 0;
    while head.is_mark() {
        let to = head.leads_to(at)?;
        wraps += usize::from(to <= at);
        if wraps > 1 {
            return None;
        }
        (at, head) = (to, Head::at(bytes, to)?);
    }
    Some((at, head))
}
