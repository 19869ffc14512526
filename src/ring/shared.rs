//! A ring that many read, each at its own pace: what is in it lies there once.
//!
//! Its readers stand outside of it. It gives up what it is told to; who tells it asks all readers how far they are. A
//! reader that is further behind than the ring begins goes on where it begins.
//!
//! A reader knows an offset, and how often the ring had moved what it holds when that was true. After a move it finds its
//! place again: by how far things were moved if that was once, else by the number of its next record.

use super::ring::{Damaged, PushError, Ring, Run, Skipped};
use crate::wire::record::{Head, Origin, RECORD_HEADER};

/// How often a ring has moved what it holds, and the last time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Layout {
    /// How often.
    pub moves: u64,
    /// What lay before this offset then,
    first: usize,
    /// was moved up so far; 0 if it was another kind of move.
    by: usize,
}

impl Layout {
    /// The ring begins anew.
    pub fn begin_anew(&mut self) {
        *self = Self { moves: self.moves + 1, first: 0, by: 0 };
    }

    /// What lay before `first` was moved up.
    pub fn moved_up(&mut self, first: usize, by: usize) {
        *self = Self { moves: self.moves + 1, first, by };
    }
}

/// Where somebody is in a [`Shared`] ring.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    /// Where its next record is, as of so many moves.
    offset: usize,
    moves: u64,
    /// Bytes of that record that were sent, what stands before the frame counted.
    begun: usize,
    /// Its next record has this number or a greater one.
    sequence: u64,
    /// Records, and their bytes, of the ring's whole life that lie behind it.
    records: u64,
    bytes: u64,
    run: Run,
}

impl Reader {
    /// The number of its next record, or a smaller one that none has.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Bytes of records of the ring's whole life that lie behind it.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A record was sent in part.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        self.begun > 0
    }
}

/// The ring.
#[derive(Debug)]
pub struct Shared {
    ring: Ring,
    /// Records, and their bytes, that it has given up.
    gone: u64,
    gone_bytes: u64,
}

impl Shared {
    /// Nobody else sends from this ring.
    #[must_use]
    pub fn new(ring: Ring) -> Self {
        Self { ring, gone: 0, gone_bytes: 0 }
    }

    /// The ring.
    #[must_use]
    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    /// The ring, to be saved, synced, or given back when it is empty.
    pub fn ring_mut(&mut self) -> &mut Ring {
        &mut self.ring
    }

    /// The ring, to be let go of.
    #[must_use]
    pub fn into_ring(self) -> Ring {
        self.ring
    }

    /// Records of its whole life.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.gone + self.ring.records as u64
    }

    /// Bytes of all those.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.gone_bytes + self.ring.used as u64
    }

    /// See [`Ring::push`].
    ///
    /// # Errors
    /// There is no room for it.
    pub fn push(&mut self, parts: &[&[u8]], flags: u8, origin: Option<Origin>) -> Result<u64, PushError> {
        self.ring.push(parts, flags, origin)
    }

    /// Gives up all records with a smaller number; how many. None of them may be one that a reader has begun. It ends at
    /// a record that is damaged.
    pub fn release_to(&mut self, sequence: u64) -> u64 {
        let (records, used) = (self.ring.records, self.ring.used);
        self.ring.release_to(sequence, &mut |_| ());
        self.gone += (records - self.ring.records) as u64;
        self.gone_bytes += (used - self.ring.used) as u64;
        (records - self.ring.records) as u64
    }

    /// The number behind the oldest records that have so many bytes together, or all.
    pub fn behind_oldest(&mut self, bytes: usize) -> u64 {
        let (mut offset, mut passed, mut behind) = (self.ring.first, 0, self.ring.released_to);
        for index in 0..self.ring.records {
            let Ok((at, head)) = self.record(index, offset, behind) else { break };
            (offset, behind, passed) = (at + head.size(), head.sequence + 1, passed + head.size());
            if passed >= bytes {
                break;
            }
        }
        behind
    }

    /// A reader whose next record is the first with this number or a greater one.
    pub fn reader(&mut self, sequence: u64) -> Reader {
        let mut reader = Reader::default();
        self.find(&mut reader, sequence);
        reader
    }

    /// A reader of what comes from now on.
    #[must_use]
    pub fn reader_at_end(&self) -> Reader {
        Reader {
            offset: self.ring.end,
            moves: self.ring.layout.moves,
            begun: 0,
            sequence: self.ring.next_sequence,
            records: self.total(),
            bytes: self.total_bytes(),
            run: Run::default(),
        }
    }

    /// The reader's next record is the first with this number or a greater one, wherever it was.
    pub fn seek(&mut self, reader: &mut Reader, sequence: u64) {
        self.refresh(reader);
        if sequence < reader.sequence {
            return self.find(reader, sequence);
        }
        (reader.begun, reader.run) = (0, Run::default());
        self.walk(reader, sequence);
    }

    /// Records that the reader has still to read.
    #[must_use]
    pub fn unsent(&self, reader: &Reader) -> u64 {
        self.total() - reader.records.max(self.gone)
    }

    /// Their bytes.
    #[must_use]
    pub fn unsent_bytes(&self, reader: &Reader) -> u64 {
        self.total_bytes() - reader.bytes.max(self.gone_bytes)
    }

    /// Records that the reader has still to read with a smaller number.
    pub fn unsent_below(&mut self, reader: &Reader, sequence: u64) -> u64 {
        let mut to = reader.clone();
        self.seek(&mut to, sequence.max(reader.sequence));
        to.records - reader.records.max(self.gone).min(to.records)
    }

    /// From the ring's beginning.
    fn find(&mut self, reader: &mut Reader, sequence: u64) {
        *reader = Reader {
            offset: self.ring.first,
            moves: self.ring.layout.moves,
            begun: 0,
            sequence: self.ring.released_to,
            records: self.gone,
            bytes: self.gone_bytes,
            run: Run::default(),
        };
        self.walk(reader, sequence);
    }

    /// Passes over all records with a smaller number. It ends at one that is damaged.
    fn walk(&mut self, reader: &mut Reader, sequence: u64) {
        while reader.records < self.total() {
            match self.record(self.index(reader), reader.offset, reader.sequence) {
                Ok((at, head)) if head.sequence < sequence => pass(reader, at, &head),
                _ => break,
            }
        }
        // Of a record that is there the number is known.
        if reader.records == self.total() {
            reader.sequence = reader.sequence.max(sequence.min(self.ring.next_sequence));
        }
    }

    fn index(&self, reader: &Reader) -> usize {
        (reader.records - self.gone) as usize
    }

    /// What has moved is found again, and what was given up is passed over.
    pub fn refresh(&mut self, reader: &mut Reader) {
        if reader.records < self.gone {
            let sequence = reader.sequence;
            return self.find(reader, sequence);
        }
        let layout = self.ring.layout;
        if reader.moves == layout.moves {
            return;
        }
        reader.run = Run::default();
        if layout.by > 0 && reader.moves + 1 == layout.moves && reader.offset != layout.first {
            reader.offset += if reader.offset < layout.first { layout.by } else { 0 };
            reader.moves = layout.moves;
            return;
        }
        let (begun, sequence) = (reader.begun, reader.sequence);
        self.find(reader, sequence);
        reader.begun = begun;
    }

    /// The record of this index, which `offset` leads to, checked if it was not. Its number is not smaller than `from`.
    fn record(&mut self, index: usize, offset: usize, from: u64) -> Result<(usize, Head), Damaged> {
        if index <= self.ring.verified {
            return self.ring.record(index, offset);
        }
        // Some before it were not checked: a reader that came later does not wait for those that are away.
        let damaged = Damaged { offset, sequence: from, records: self.ring.records - index };
        let (at, head) = self.ring.locate(offset).ok_or(damaged)?;
        let is_sound = head.is_sound(&self.ring.memory.bytes()[at + RECORD_HEADER..]);
        if is_sound && (from..self.ring.next_sequence).contains(&head.sequence) { Ok((at, head)) } else { Err(damaged) }
    }

    /// What a reader is to be sent next as it lies in memory: see [`Ring::raw`].
    ///
    /// # Errors
    /// The next record is damaged.
    pub fn raw(&mut self, reader: &mut Reader, max_bytes: usize, below: u64) -> Result<&[u8], Damaged> {
        self.refresh(reader);
        reader.run = Run::default();
        if reader.records == self.total() {
            return Ok(&[]);
        }
        let first = self.index(reader);
        let (start, head) = self.record(first, reader.offset, reader.sequence)?;
        let from = start + reader.begun.min(head.size());
        if reader.begun == 0 && head.sequence >= below {
            return Ok(&[]);
        }
        let (mut end, mut records, mut last) = (start + head.size(), 1, head.sequence);
        while first + records < self.ring.records && end - from < max_bytes {
            // A mark is where records cease to lie together.
            match Head::at(self.ring.memory.bytes(), end) {
                Some(head) if !head.is_mark() && head.sequence < below && end + head.size() - from <= max_bytes => {}
                _ => break,
            }
            let Ok((_, head)) = self.record(first + records, end, last + 1) else { break };
            (end, records, last) = (end + head.size(), records + 1, head.sequence);
        }
        if end - from > max_bytes {
            return Ok(&self.ring.memory.bytes()[from..from + max_bytes]);
        }
        reader.run = Run { bytes: end - from, records, size: end - start, end, last };
        Ok(&self.ring.memory.bytes()[from..end])
    }

    /// `count` bytes of what [`Shared::raw`] gave out were sent; how many records that completed.
    pub fn raw_sent(&mut self, reader: &mut Reader, mut count: usize) -> usize {
        let run = std::mem::take(&mut reader.run);
        if count == run.bytes && count > 0 {
            (reader.offset, reader.begun, reader.sequence) = (run.end, 0, run.last + 1);
            reader.records += run.records as u64;
            reader.bytes += run.size as u64;
            return run.records;
        }
        let mut completed = 0;
        while count > 0 && reader.records < self.total() {
            let Some((at, head)) = self.ring.locate(reader.offset) else { break };
            let left = head.size().saturating_sub(reader.begun);
            if count < left {
                reader.begun += count;
                break;
            }
            count -= left;
            pass(reader, at, &head);
            completed += 1;
        }
        completed
    }

    /// The rest of the reader's next frame.
    ///
    /// # Errors
    /// It is damaged.
    pub fn front(&mut self, reader: &mut Reader) -> Result<&[u8], Damaged> {
        self.refresh(reader);
        if reader.records == self.total() {
            return Ok(&[]);
        }
        let (at, head) = self.record(self.index(reader), reader.offset, reader.sequence)?;
        let (from, to) = rest(&head, reader.begun);
        Ok(&self.ring.memory.bytes()[at + from..at + to])
    }

    /// Copies what the reader is to be sent next, frame behind frame, into `out`; how many bytes. The reader stays.
    ///
    /// # Errors
    /// Its next frame is damaged.
    pub fn peek(&mut self, reader: &mut Reader, out: &mut [u8]) -> Result<usize, Damaged> {
        self.refresh(reader);
        let (mut at_record, mut filled) = (reader.clone(), 0);
        while at_record.records < self.total() && filled < out.len() {
            let record = self.record(self.index(&at_record), at_record.offset, at_record.sequence);
            let (at, head) = match record {
                Ok(record) => record,
                Err(_) if filled > 0 => break,
                Err(damaged) => return Err(damaged),
            };
            let (from, to) = rest(&head, at_record.begun);
            let frame = &self.ring.memory.bytes()[at + from..at + to];
            let count = frame.len().min(out.len() - filled);
            out[filled..filled + count].copy_from_slice(&frame[..count]);
            filled += count;
            pass(&mut at_record, at, &head);
        }
        Ok(filled)
    }

    /// `count` more bytes of the reader's frames were sent; how many frames that completed.
    pub fn sent(&mut self, reader: &mut Reader, mut count: usize) -> usize {
        let mut completed = 0;
        reader.run = Run::default();
        while reader.records < self.total() {
            let Some((at, head)) = self.ring.locate(reader.offset) else { break };
            let (from, to) = rest(&head, reader.begun);
            if count < to - from {
                reader.begun = if count > 0 { from + count } else { reader.begun };
                break;
            }
            count -= to - from;
            pass(reader, at, &head);
            completed += 1;
        }
        completed
    }

    /// Gives the rest of the record that a reader has begun, as it is to be sent, and has the reader pass over it.
    /// With `frames` it is sent without what stands before the frame.
    pub fn take_begun(&mut self, reader: &mut Reader, frames: bool) -> Vec<u8> {
        self.refresh(reader);
        if reader.begun == 0 || reader.records == self.total() {
            return Vec::new();
        }
        let Some((at, head)) = self.ring.locate(reader.offset) else { return Vec::new() };
        let (from, to) = if frames { rest(&head, reader.begun) } else { (reader.begun.min(head.size()), head.size()) };
        let out = self.ring.memory.bytes()[at + from..at + to].to_vec();
        pass(reader, at, &head);
        out
    }

    /// Bytes that [`Shared::take_begun`] would give.
    pub fn begun_left(&mut self, reader: &mut Reader) -> usize {
        self.refresh(reader);
        if reader.begun == 0 {
            return 0;
        }
        self.ring.locate(reader.offset).map_or(0, |(_, head)| head.size().saturating_sub(reader.begun))
    }

    /// Damage was found: gives up the oldest record that is not as it was written, as [`Ring::skip_damaged`] does.
    pub fn skip_damaged(&mut self) -> Skipped {
        let (mut offset, mut index) = (self.ring.first, 0);
        while index < self.ring.records {
            let Ok((at, head)) = self.ring.record(index, offset) else { break };
            (offset, index) = (at + head.size(), index + 1);
        }
        let (records, used) = (self.ring.records, self.ring.used);
        let skipped = self.ring.skip_damaged();
        // Readers behind it have passed it as well.
        self.gone += (records - self.ring.records) as u64;
        self.gone_bytes += (used - self.ring.used) as u64;
        self.ring.layout.begin_anew();
        self.ring.layout.begin_anew();
        skipped
    }

    /// Checks what must always hold of a reader; for tests.
    ///
    /// # Panics
    /// When it does not.
    pub fn check_reader(&self, reader: &Reader) {
        assert!(reader.records <= self.total() && reader.bytes <= self.total_bytes(), "it is not beyond the end");
        if reader.moves != self.ring.layout.moves || reader.records < self.gone {
            return;
        }
        let (mut offset, mut bytes) = (self.ring.first, self.gone_bytes);
        for _ in self.gone..reader.records {
            let Some((at, head)) = self.ring.locate(offset) else { return assert!(self.ring.is_durable) };
            assert!(head.sequence < reader.sequence, "what is behind it has a smaller number");
            (offset, bytes) = (at + head.size(), bytes + head.size() as u64);
        }
        assert_eq!(bytes, reader.bytes, "bytes are those of the records");
        if reader.records < self.total() {
            assert_eq!(self.ring.locate(offset).map(|r| r.0), self.ring.locate(reader.offset).map(|r| r.0));
        }
    }
}

fn pass(reader: &mut Reader, at: usize, head: &Head) {
    (reader.offset, reader.begun, reader.sequence) = (at + head.size(), 0, head.sequence + 1);
    reader.records += 1;
    reader.bytes += head.size() as u64;
}

/// What of a record was not sent of its frame, if so much of the record was: from where to where.
fn rest(head: &Head, begun: usize) -> (usize, usize) {
    let frame = head.frame_range();
    (begun.clamp(frame.start, frame.end), frame.end)
}
