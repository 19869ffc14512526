//! What outlasts the process: checkpoints, growth that survives a crash at any step, and room that is used again only
//! when it may be.

use super::memory::{Checkpoint, Memory};
use super::ring::{PushError, Ring, Run};
use crate::wire::record::{Head, RECORD_HEADER, WRAP};

/// The least that memory is taken, bytes.
const CAPACITY_MIN: usize = 16 * 1024;

/// Memory beyond the limit, bytes: between the newest record and the oldest there is always some that is too short for
/// a record.
const SLACK: usize = 64 * 1024;

/// Rings with less waiting than this stay in memory, bytes.
const COOL_FROM: usize = 4 * 1024 * 1024;

/// What is not needed soon is told in pieces of this size, bytes.
const COOL_STEP: usize = 1024 * 1024;

/// A ring whose memory has grown so large goes round in all of it, however little is in it: what is behind is let go.
const COOL_CAPACITY: usize = 32 * 1024 * 1024;

impl Ring {
    /// More memory, for a record of `size` bytes. In it the records still lie where they were, but those at the
    /// beginning of a wrapped ring, which move behind the others.
    pub(super) fn grow(&mut self, size: usize) -> Result<(), PushError> {
        let wrap_at = if self.wrapped { Some(self.find_wrap()?) } else { None };
        let needed = wrap_at.unwrap_or(0) + self.end + size + RECORD_HEADER;
        let most = self.limit().max(self.used).saturating_add(SLACK.max(2 * size)).max(needed);
        let mut capacity = self.capacity().max(CAPACITY_MIN / 2);
        while capacity < needed || capacity == self.capacity() {
            capacity = capacity.saturating_mul(2);
        }
        let capacity = capacity.min(most).next_multiple_of(8);
        // A disk that is nearly full may have room for this record, though not for twice as many.
        let grown = self.memory.grow(capacity).or_else(|_| self.memory.grow(needed.next_multiple_of(8)));
        grown.map_err(PushError::Failed)?;
        match wrap_at {
            Some(at) => self.straighten(at),
            None => Ok(()),
        }
    }

    /// Where the mark is that leads to the beginning.
    fn find_wrap(&self) -> Result<usize, PushError> {
        if let Some(at) = self.wrap_at {
            return Ok(at);
        }
        let bytes = self.memory.bytes();
        let mut at = self.first;
        for _ in 0..=self.records {
            let Some(head) = Head::at(bytes, at) else { break };
            at = match head.length {
                WRAP => return Ok(at),
                _ if head.is_mark() => head.leads_to(at).unwrap_or(usize::MAX),
                _ => at.saturating_add(head.size()),
            };
        }
        Err(PushError::Failed(format!("the queue is damaged before offset {at}")))
    }

    /// Moves what lies at the beginning to the mark that led there.
    ///
    /// The mark is replaced last. While it stands, the old checkpoint and the new one are both true: the old one knows
    /// nothing of the copy, the new one says that the copy lacks its first bytes.
    fn straighten(&mut self, at: usize) -> Result<(), PushError> {
        let length = self.end;
        self.memory.bytes_mut().copy_within(8..length, at + 8);
        self.sync_if_needed()?;
        // In a ring that is full to the last byte the beginning of the oldest record is also the end of the newest.
        let (first, sent, settled) = (self.first, self.records - self.unsent, self.records - self.kept.tail_records);
        let move_up = |offset: &mut usize, records_before: usize| {
            if *offset < first || (*offset == first && records_before > 0) {
                *offset += at;
            }
        };
        move_up(&mut self.next, sent);
        move_up(&mut self.kept.tail, settled);
        move_up(&mut self.older.end, self.older.records);
        move_up(&mut self.kept.warm_end, 1);
        self.end += at;
        self.layout.moved_up(first, at);
        self.forget_marks();
        (self.wrapped, self.wrap_at, self.run) = (false, None, Run::default());
        self.save(at as u64 + 1);
        let synced = self.sync_if_needed();
        // Also if the disk fails: the ring in memory must be whole.
        self.memory.bytes_mut().copy_within(0..8, at);
        synced?;
        self.sync_if_needed()?;
        (self.kept.hold, self.kept.hold_wraps) = (self.first, false);
        Ok(())
    }

    /// Finishes a move that a crash has interrupted.
    pub(super) fn finish_move(&mut self, moved_at: u64) {
        let Some(at) = moved_at.checked_sub(1).and_then(|at| usize::try_from(at).ok()) else { return };
        let bytes = self.memory.bytes_mut();
        if Head::at(bytes, at).is_some_and(|head| head.length == WRAP) {
            bytes.copy_within(0..8, at);
        }
    }

    /// What is kept: the records up to the last [`Ring::checkpoint`], without those that were given up since.
    fn known(&self, moved_at: u64) -> Checkpoint {
        let kept = &self.kept;
        let records = self.records - kept.tail_records;
        Checkpoint {
            first: self.first as u64,
            end: kept.tail as u64,
            wrapped: self.wrapped && records > 0 && kept.tail <= self.first,
            records: records as u64,
            used: (self.used - kept.tail_used) as u64,
            next_sequence: kept.next_sequence.max(self.released_to),
            released_to: self.released_to,
            moved_at,
        }
    }

    fn save(&mut self, moved_at: u64) {
        let known = self.known(moved_at);
        (self.kept.saved, self.kept.saved_next) = (self.first, self.next_sequence);
        let wrapped = self.wrapped;
        let Memory::Durable(durable) = &mut self.memory else { return };
        durable.save(&known);
        if !durable.is_synced() {
            (self.kept.hold, self.kept.hold_wraps) = (self.first, wrapped);
        }
    }

    fn sync_if_needed(&mut self) -> Result<(), PushError> {
        match self.memory.durable() {
            Some(durable) if durable.is_synced() => durable.sync().map_err(PushError::Failed),
            _ => Ok(()),
        }
    }

    /// Makes the room of records that were given up usable, ahead of the next checkpoint. What came since the last one
    /// is still left to be found by the next open: what other tables know of it may not be kept yet.
    pub(super) fn free_released(&mut self) -> Result<(), PushError> {
        if (self.kept.hold, self.kept.hold_wraps) == (self.first, self.wrapped) {
            return Ok(());
        }
        self.sync_if_needed()?;
        self.save(0);
        self.sync_if_needed()?;
        (self.kept.hold, self.kept.hold_wraps) = (self.first, self.wrapped);
        Ok(())
    }

    /// Keeps where the ring stands, if something changed. All that other tables must know of its records is kept.
    ///
    /// If the ring must survive the death of the machine ([`super::Durable::is_synced`]), [`Ring::sync`] comes before:
    /// a checkpoint that is ahead of its records may find those of an earlier life in their place.
    pub fn checkpoint(&mut self) {
        if !self.kept.dirty {
            return;
        }
        let is_synced = self.memory.durable().is_some_and(|d| d.is_synced());
        if self.records == 0 && (!is_synced || (self.kept.hold, self.kept.hold_wraps) == (self.first, false)) {
            self.reset();
        }
        (self.kept.tail, self.kept.tail_records, self.kept.tail_used) = (self.end, 0, 0);
        self.kept.next_sequence = self.next_sequence;
        self.save(0);
        self.kept.dirty = false;
    }

    /// What was written is on the disk when this returns.
    ///
    /// # Errors
    /// The disk says why not.
    pub fn sync(&mut self) -> Result<(), String> {
        let Some(durable) = self.memory.durable() else { return Ok(()) };
        durable.sync()?;
        let (start, end) = (self.kept.saved, self.end);
        let is_new = self.kept.saved_next != self.next_sequence;
        self.kept.hold_wraps = end < start || (end == start && (is_new || self.wrapped));
        self.kept.hold = start;
        Ok(())
    }

    /// Whether something changed since the last checkpoint.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        self.kept.dirty
    }

    /// Gives back the memory of an empty ring.
    pub fn give_back(&mut self) {
        if self.records > 0 {
            return;
        }
        if let Memory::Heap(bytes) = &mut self.memory {
            *bytes = Vec::new();
            self.reset();
            return;
        }
        let is_free = (self.kept.hold, self.kept.hold_wraps) == (self.first, false);
        if self.kept.dirty || self.kept.shrunk || !is_free {
            return;
        }
        self.reset();
        if let Some(durable) = self.memory.durable() {
            durable.shrink();
        }
        self.kept.shrunk = true;
        self.save(0);
    }

    /// The ring is not needed any more. What outlasts the process is removed if it is empty.
    pub fn discard(self) {
        let is_empty = self.is_empty();
        if let Memory::Durable(durable) = self.memory
            && is_empty
        {
            durable.discard();
        }
    }

    /// Damage was given up: the checkpoint must not speak of it.
    pub(super) fn rest_after_damage(&mut self) {
        self.kept.dirty = self.is_durable;
        self.run = Run::default();
        self.save(0);
    }

    /// A record of `size` bytes was put at the end.
    pub(super) fn after_push(&mut self, size: usize) {
        self.kept.tail_records += 1;
        self.kept.tail_used += size;
        (self.kept.dirty, self.kept.shrunk) = (true, false);
        // What is left of older records must not look as if it followed this one.
        let behind = self.end + RECORD_HEADER;
        let limit = if self.kept.hold_wraps { self.kept.hold } else { self.capacity() };
        if behind <= limit {
            self.memory.bytes_mut()[self.end..behind].fill(0);
        }
        self.cool_end();
    }

    /// The oldest record was given up.
    pub(super) fn after_release(&mut self) {
        self.kept.dirty = true;
        if self.kept.tail_records > self.records {
            (self.kept.tail, self.kept.tail_records, self.kept.tail_used) = (self.first, self.records, self.used);
        }
        let warm = self.kept.warm_first;
        if self.first < warm || self.first - warm >= COOL_STEP {
            self.kept.warm_first = self.first;
            let is_large = self.used >= COOL_FROM || self.capacity() >= COOL_CAPACITY;
            if is_large && warm < self.first {
                self.cool(warm..self.first);
            }
        }
    }

    /// What was pushed long before it will be sent need not stay in memory.
    fn cool_end(&mut self) {
        let warm = self.kept.warm_end;
        if self.end < warm || self.end - warm >= COOL_STEP {
            self.kept.warm_end = self.end;
            if self.unsent_bytes() >= COOL_FROM && warm < self.end {
                self.cool(warm..self.end);
            }
        }
    }

    fn cool(&mut self, range: std::ops::Range<usize>) {
        if let Some(durable) = self.memory.durable() {
            durable.cool(range);
        }
    }
}
