//! A first-in first-out queue of frames with two cursors: what is done with lies before `first`, what was sent and is
//! not yet done with between `first` and `next`, what is still to be sent behind `next`.
//!
//! The ring starts without memory, doubles it while there is more to keep, up to its limit, and gives it back when it
//! is asked to and empty.

use std::fmt;

use super::layout::{ALIGNMENT, RECORD_HEADER, length_at, record_size, write_record, write_wrap};
use super::memory::{Heap, Memory};

/// First capacity, bytes.
const CAPACITY_MIN: usize = 16 * 1024;

/// A frame was not taken: the ring has no room for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// Bytes in use.
    pub used: usize,
    /// The most that may be in use.
    pub limit: usize,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the queue is full: {} of {} bytes are in use", self.used, self.limit)
    }
}

impl std::error::Error for Full {}

/// The queue.
#[derive(Debug)]
pub struct Ring<M = Heap> {
    memory: M,
    limit: usize,
    /// Offset of the oldest record.
    first: usize,
    /// Offset of the first record that is not wholly sent.
    next: usize,
    /// Bytes of that record's frame that were sent.
    next_sent: usize,
    /// Offset behind the newest record.
    end: usize,
    /// The newest record lies before the oldest.
    wrapped: bool,
    /// Records, and those of them that are not wholly sent.
    records: usize,
    unsent: usize,
    /// Bytes of all records.
    used: usize,
    sequence: u64,
}

impl<M: Memory> Ring<M> {
    /// An empty ring that holds at most `limit` bytes, record headers counted.
    ///
    /// One record always fits into an empty ring: a message may be larger than the queue is meant to be long.
    pub fn new(memory: M, limit: usize) -> Self {
        Self {
            memory,
            limit,
            first: 0,
            next: 0,
            next_sent: 0,
            end: 0,
            wrapped: false,
            records: 0,
            unsent: 0,
            used: 0,
            sequence: 0,
        }
    }

    /// Messages in the ring.
    pub fn len(&self) -> usize {
        self.records
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Bytes of all records.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Messages that are not wholly sent.
    pub fn unsent(&self) -> usize {
        self.unsent
    }

    /// Whether there is something to send.
    pub fn has_unsent(&self) -> bool {
        self.unsent > 0
    }

    /// Whether a frame was sent in part: nothing else may be written to the connection before its rest.
    pub fn is_mid_frame(&self) -> bool {
        self.next_sent > 0
    }

    /// Puts a frame at the end, given in parts; its sequence number, counted from 1.
    ///
    /// # Errors
    /// There is no room for it.
    pub fn push(&mut self, parts: &[&[u8]]) -> Result<u64, Full> {
        let length = parts.iter().map(|p| p.len()).sum();
        if self.records > 0 && self.used + record_size(length) > self.limit {
            return Err(self.full());
        }
        let at = self.make_room(record_size(length))?;
        self.sequence += 1;
        write_record(self.memory.bytes_mut(), at, self.sequence, length, parts);
        self.end = at + record_size(length);
        self.records += 1;
        self.unsent += 1;
        self.used += record_size(length);
        Ok(self.sequence)
    }

    fn full(&self) -> Full {
        Full { used: self.used, limit: self.limit }
    }

    /// Where a record of `size` bytes can be written.
    fn make_room(&mut self, size: usize) -> Result<usize, Full> {
        if self.records == 0 {
            self.reset();
        }
        let capacity = self.memory.bytes().len();
        let room = if self.wrapped { self.first } else { capacity } - self.end;
        if room >= size {
            return Ok(self.end);
        }
        if !self.wrapped && self.first >= size {
            write_wrap(self.memory.bytes_mut(), self.end);
            self.wrapped = true;
            return Ok(0);
        }
        self.grow(size)?;
        Ok(self.end)
    }

    fn reset(&mut self) {
        (self.first, self.next, self.next_sent, self.end, self.wrapped) = (0, 0, 0, 0, false);
    }

    /// Moves to larger memory, in which the records lie in order from the beginning.
    fn grow(&mut self, size: usize) -> Result<(), Full> {
        // Free memory is in two pieces at most, so with room for two records one of them takes this one: the next
        // records of this size find room without another move.
        let wanted = self.used + 2 * size;
        let capacity = wanted.next_power_of_two().max(CAPACITY_MIN).min(self.limit.max(self.used) + 2 * size);
        let mut memory = self.memory.other(capacity.next_multiple_of(ALIGNMENT)).ok_or(self.full())?;
        let (mut from, mut to, mut next) = (self.first, 0, 0);
        for index in 0..self.records {
            let (at, length) = self.record(from);
            let size = record_size(length);
            memory.bytes_mut()[to..to + size].copy_from_slice(&self.memory.bytes()[at..at + size]);
            (from, to) = (at + size, to + size);
            if index + 1 == self.records - self.unsent {
                next = to;
            }
        }
        self.memory = memory;
        (self.first, self.next, self.end, self.wrapped) = (0, next, to, false);
        Ok(())
    }

    /// The record at `offset` or, where the records go on at the beginning, there: its place and its frame's length.
    fn record(&self, offset: usize) -> (usize, usize) {
        let bytes = self.memory.bytes();
        match length_at(bytes, offset) {
            Some(length) => (offset, length),
            None => (0, length_at(bytes, 0).unwrap_or(0)),
        }
    }

    /// The rest of the first frame that is not wholly sent.
    pub fn front(&self) -> Option<&[u8]> {
        if self.unsent == 0 {
            return None;
        }
        let (at, length) = self.record(self.next);
        Some(&self.memory.bytes()[at + RECORD_HEADER + self.next_sent..at + RECORD_HEADER + length])
    }

    /// Copies what is to be sent next, frame behind frame, into `out`; how many bytes. Moves no cursor.
    pub fn peek(&self, out: &mut [u8]) -> usize {
        let bytes = self.memory.bytes();
        let (mut offset, mut skip, mut filled) = (self.next, self.next_sent, 0);
        for _ in 0..self.unsent {
            let (at, length) = self.record(offset);
            let frame = &bytes[at + RECORD_HEADER + skip..at + RECORD_HEADER + length];
            let count = frame.len().min(out.len() - filled);
            out[filled..filled + count].copy_from_slice(&frame[..count]);
            filled += count;
            if filled == out.len() {
                break;
            }
            (offset, skip) = (at + record_size(length), 0);
        }
        filled
    }

    /// `count` more bytes were sent; how many frames that completed.
    pub fn sent(&mut self, mut count: usize) -> usize {
        let mut completed = 0;
        while count > 0 && self.unsent > 0 {
            let (at, length) = self.record(self.next);
            let left = length - self.next_sent;
            if count < left {
                self.next_sent += count;
                break;
            }
            count -= left;
            (self.next, self.next_sent) = (at + record_size(length), 0);
            self.unsent -= 1;
            completed += 1;
        }
        completed
    }

    /// Gives up all that was wholly sent: its room is free.
    pub fn release_sent(&mut self) {
        self.release(self.records);
    }

    /// Gives up the oldest `count` records, of those that were wholly sent; how many those were.
    pub fn release(&mut self, count: usize) -> usize {
        let count = count.min(self.records - self.unsent);
        (0..count).for_each(|_| self.drop_first());
        count
    }

    fn drop_first(&mut self) {
        let (at, length) = self.record(self.first);
        if at < self.first || self.first == self.memory.bytes().len() {
            self.wrapped = false;
        }
        self.first = at + record_size(length);
        self.records -= 1;
        self.used -= record_size(length);
    }

    /// All that is in the ring counts as not sent again: the connection is gone.
    pub fn rewind(&mut self) {
        (self.next, self.next_sent, self.unsent) = (self.first, 0, self.records);
    }

    /// Gives up all records and the memory; how many there were.
    pub fn clear(&mut self) -> usize {
        let records = self.records;
        (self.records, self.unsent, self.used) = (0, 0, 0);
        self.reset();
        self.give_back();
        records
    }

    /// Gives back the memory of an empty ring.
    pub fn give_back(&mut self) {
        if self.records == 0
            && let Some(memory) = self.memory.other(0)
        {
            self.reset();
            self.memory = memory;
        }
    }

    /// Bytes of memory.
    pub fn capacity(&self) -> usize {
        self.memory.bytes().len()
    }

    /// Checks what must always hold; for tests.
    ///
    /// # Panics
    /// When it does not.
    pub fn check_invariants(&self) {
        let (mut offset, mut used) = (self.first, 0);
        for index in 0..self.records {
            if index == self.records - self.unsent {
                assert_eq!(self.record(self.next).0, self.record(offset).0, "the send cursor is at a record");
            }
            let (at, length) = self.record(offset);
            used += record_size(length);
            offset = at + record_size(length);
        }
        assert_eq!(used, self.used, "bytes in use are those of the records");
        assert!(self.records == 0 || offset == self.end, "the last record ends where the next is written");
        assert!(self.used <= self.limit || self.records == 1, "the limit holds, but for a single record");
        assert!(self.next_sent == 0 || self.unsent > 0, "what was sent in part is unsent");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    fn take(ring: &mut Ring, count: usize) -> Vec<u8> {
        let mut out = vec![0; count];
        let got = ring.peek(&mut out);
        out.truncate(got);
        ring.sent(got);
        out
    }

    #[test]
    fn frames_come_out_in_order_and_whole() {
        let mut ring: Ring = Ring::new(Heap::default(), 1024);
        ring.push(&[b"one", b"two"]).unwrap();
        ring.push(&[b"three"]).unwrap();
        assert_eq!(take(&mut ring, 100), b"onetwothree");
        assert_eq!(ring.len(), 2);
        ring.release_sent();
        assert!(ring.is_empty() && ring.used() == 0);
    }

    #[test]
    fn what_was_sent_and_not_released_is_sent_again_whole_after_a_rewind() {
        let mut ring: Ring = Ring::new(Heap::default(), 1024);
        ring.push(&[b"aaaa"]).unwrap();
        ring.push(&[b"bbbb"]).unwrap();
        assert_eq!(take(&mut ring, 6), b"aaaabb");
        assert!(ring.is_mid_frame());
        ring.release_sent();
        ring.rewind();
        assert_eq!(take(&mut ring, 100), b"bbbb");
    }

    #[test]
    fn only_what_was_sent_is_released_one_by_one() {
        let mut ring: Ring = Ring::new(Heap::default(), 1024);
        for frame in [b"aa", b"bb", b"cc"] {
            ring.push(&[frame]).unwrap();
        }
        take(&mut ring, 4);
        assert_eq!((ring.release(1), ring.len()), (1, 2));
        assert_eq!((ring.release(5), ring.len()), (1, 1));
        ring.rewind();
        assert_eq!(take(&mut ring, 100), b"cc");
    }

    #[test]
    fn a_full_ring_refuses_and_says_how_full_it_is() {
        let mut ring: Ring = Ring::new(Heap::default(), 64);
        ring.push(&[&[0; 16]]).unwrap();
        ring.push(&[&[0; 16]]).unwrap();
        assert_eq!(ring.push(&[b""]), Err(Full { used: 64, limit: 64 }));
    }

    #[test]
    fn one_frame_larger_than_the_limit_fits_into_an_empty_ring() {
        let mut ring: Ring = Ring::new(Heap::default(), 64);
        ring.push(&[&[7; 1000]]).unwrap();
        assert!(ring.push(&[b""]).is_err());
        assert_eq!(take(&mut ring, 2000), [7; 1000]);
    }

    #[test]
    fn an_empty_ring_gives_its_memory_back() {
        let mut ring: Ring = Ring::new(Heap::default(), 1 << 20);
        ring.push(&[&[0; 100_000]]).unwrap();
        ring.give_back();
        assert!(ring.capacity() > 0, "not while it is in use");
        take(&mut ring, 100_000);
        ring.release_sent();
        ring.give_back();
        assert_eq!(ring.capacity(), 0);
    }

    /// Random pushes, sends, releases and rewinds against a plain queue that does the same.
    #[test]
    fn a_ring_behaves_as_a_queue_whatever_is_done_to_it() {
        for seed in 0..60 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut ring: Ring = Ring::new(Heap::default(), 17_000 + random.usize(..20_000));
            let (mut model, mut sent, mut part): (VecDeque<Vec<u8>>, usize, usize) = (VecDeque::new(), 0, 0);
            for _ in 0..400 {
                match random.u8(..10) {
                    0..5 => {
                        let frame = vec![random.u8(..); 1 + random.usize(..3000)];
                        if ring.push(&[&frame]).is_ok() {
                            model.push_back(frame);
                        }
                    }
                    5..8 => {
                        let unsent: Vec<&[u8]> = model.iter().skip(sent).map(Vec::as_slice).collect();
                        let got = take(&mut ring, random.usize(..8000));
                        assert_eq!(got, unsent.concat()[part..part + got.len()], "seed {seed}");
                        part += got.len();
                        while sent < model.len() && part >= model[sent].len() {
                            part -= model[sent].len();
                            sent += 1;
                        }
                    }
                    8 => {
                        ring.release_sent();
                        model.drain(..model.len() - ring.len());
                        sent = 0;
                    }
                    _ => {
                        ring.rewind();
                        (sent, part) = (0, 0);
                    }
                }
                ring.check_invariants();
            }
        }
    }
}
