//! What is taken out of a ring: looked at, sent, given up.

use super::ring::{Damaged, Ring, Run, Skipped, Sums, locate};
use crate::wire::record::{Head, RECORD_HEADER, RecordView, sum_record, write_skip};

/// What is called for each record that is given up.
type OnRelease<'a> = &'a mut dyn FnMut(&RecordView);

/// Whole records that were sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gone {
    /// Their bytes in the ring.
    pub bytes: usize,
    /// How many they are; not none.
    pub records: usize,
    /// The number of the last.
    pub last: u64,
}

/// What is to be sent next: offsets of the beginning of its first record, of what was not sent of that, of the end of
/// what goes out, and of the end of its last record.
#[derive(Clone, Copy, Debug, Default)]
struct Next {
    start: usize,
    from: usize,
    to: usize,
    end: usize,
}

impl Ring {
    /// The record of index `index`, which `offset` leads to, checked if it was not.
    pub(super) fn record(&mut self, index: usize, offset: usize) -> Result<(usize, Head), Damaged> {
        let damaged = Damaged { offset, sequence: self.verified_to, records: self.records - index };
        let (at, head) = self.locate(offset).ok_or(damaged)?;
        if index >= self.verified {
            let numbers = self.verified_to..self.next_sequence;
            if !numbers.contains(&head.sequence) || !head.is_sound(&self.memory.bytes()[at + RECORD_HEADER..]) {
                return Err(Damaged { offset: at, ..damaged });
            }
            (self.verified, self.verified_to) = (index + 1, head.sequence + 1);
        }
        Ok((at, head))
    }

    /// How many records are wholly sent: the index of the next one.
    fn sent_records(&self) -> usize {
        self.records - self.unsent
    }

    /// What of the record that `next` leads to was not sent of its frame: from where to where, counted from its start.
    fn rest(&self, head: &Head) -> (usize, usize) {
        let frame = head.frame_range();
        (self.next_sent.clamp(frame.start, frame.end), frame.end)
    }

    /// The rest of the first frame that is not wholly sent. A durable ring gives it only after
    /// [`Ring::check_front`].
    #[must_use]
    pub fn front(&self) -> Option<&[u8]> {
        if self.unsent == 0 || self.sent_records() >= self.verified {
            return None;
        }
        let (at, head) = self.locate(self.next)?;
        let (from, to) = self.rest(&head);
        self.memory.bytes().get(at + from..at + to)
    }

    /// Checks what `front`, and `peek` of so many bytes, would give out: they give out only what was checked. What is
    /// damaged is found when it is the next.
    ///
    /// # Errors
    /// The next record is damaged.
    pub fn check_front(&mut self, bytes: usize) -> Result<(), Damaged> {
        if !self.is_durable {
            return Ok(());
        }
        let (mut offset, mut seen) = (self.next, 0);
        for index in self.sent_records()..self.records {
            match self.record(index, offset) {
                Ok((at, head)) => {
                    seen += head.length as usize;
                    offset = at + head.size();
                }
                Err(damaged) if index == self.sent_records() => return Err(damaged),
                Err(_) => break,
            }
            if seen >= bytes {
                break;
            }
        }
        Ok(())
    }

    /// Copies what is to be sent next, frame behind frame, into `out`; how many bytes. Whole frames, but the first is cut to
    /// what there is room for. Moves no cursor. A durable ring gives only what [`Ring::check_front`] has seen.
    pub fn peek(&mut self, out: &mut [u8]) -> usize {
        let bytes = self.memory.bytes();
        let (mut offset, mut filled, mut run) = (self.next, 0, Run::default());
        for _ in self.sent_records()..self.records.min(self.verified) {
            let Some((at, head)) = locate(bytes, offset) else { break };
            let (from, to) = if filled == 0 { self.rest(&head) } else { bounds(&head) };
            let frame = &bytes[at + from..at + to];
            let Some(room) = out.get_mut(filled..filled + frame.len()) else {
                if filled == 0 {
                    out.copy_from_slice(&frame[..out.len()]);
                    filled = out.len();
                }
                break;
            };
            room.copy_from_slice(frame);
            filled += frame.len();
            offset = at + head.size();
            let (records, size) = (run.records + 1, run.size + head.size());
            run = Run { bytes: filled, records, size, end: offset, last: head.sequence };
        }
        self.run = run;
        filled
    }

    /// The flags of the first record that is not wholly sent; none of a durable ring that has not seen it yet.
    #[must_use]
    pub fn front_flags(&self) -> u8 {
        if self.unsent == 0 || self.sent_records() >= self.verified {
            return 0;
        }
        self.locate(self.next).map_or(0, |(_, head)| head.flags)
    }

    /// Whether the first record that is not wholly sent counts as sent in part, of which the connection has got none of
    /// its own bytes: something else that stands for it goes out.
    pub fn set_begun(&mut self, begun: bool) {
        if self.unsent > 0 {
            (self.next_sent, self.run) = (usize::from(begun), Run::default());
        }
    }

    /// `count` more bytes of frames were sent; how many frames that completed.
    pub fn sent(&mut self, mut count: usize) -> usize {
        let mut completed = 0;
        let run = std::mem::take(&mut self.run);
        if count == run.bytes && count > 0 {
            self.pass_run(run);
            return run.records;
        }
        while self.unsent > 0 && self.sent_records() < self.verified {
            let Some((at, head)) = self.locate(self.next) else { break };
            let (from, to) = self.rest(&head);
            if count < to - from {
                self.next_sent = if count > 0 { from + count } else { self.next_sent };
                break;
            }
            count -= to - from;
            self.pass(at, &head);
            completed += 1;
        }
        completed
    }

    /// The next records, which are this run, count as sent.
    fn pass_run(&mut self, run: Run) {
        (self.next, self.next_sent) = (run.end, 0);
        self.unsent -= run.records;
        self.unsent_used = self.unsent_used.saturating_sub(run.size);
        self.mark(run);
    }

    /// The next record counts as sent.
    fn pass(&mut self, at: usize, head: &Head) {
        (self.next, self.next_sent) = (at + head.size(), 0);
        if !self.marks.is_empty() {
            self.mark(Run { bytes: 0, records: 1, size: head.size(), end: self.next, last: head.sequence });
        } else {
            self.unmarked += 1;
        }
        self.unsent -= 1;
        self.unsent_used = self.unsent_used.saturating_sub(head.size());
    }

    /// What is to be sent next as it lies in memory: whole records, as far as they lie together, with numbers smaller
    /// than `below` and at most `max_bytes`; but at least one, or the rest of one that was sent in part, cut to
    /// `max_bytes`. Empty if there is none.
    ///
    /// # Errors
    /// The next record is damaged. What was given out before is sound.
    pub fn raw(&mut self, max_bytes: usize, below: u64) -> Result<&[u8], Damaged> {
        let Next { start, from, to, end } = self.next_to_send(max_bytes, below)?;
        if self.sums == Sums::WhenSent {
            self.sum(start, end);
        }
        Ok(&self.memory.bytes()[from..to])
    }

    /// As [`Ring::raw`], for one who sends only what the records hold: they may lack checksums. Only whole ones: empty also
    /// if the next was sent in part, or is longer than `max_bytes`.
    ///
    /// # Errors
    /// The next record is damaged. What was given out before is sound.
    pub fn unsummed(&mut self, max_bytes: usize, below: u64) -> Result<&[u8], Damaged> {
        if self.next_sent > 0 {
            return Ok(&[]);
        }
        let Next { from, .. } = self.next_to_send(max_bytes, below)?;
        Ok(&self.memory.bytes()[from..from + self.run.bytes])
    }

    /// What these records hold was sent, the first ones of what [`Ring::unsummed`] gave out.
    pub fn unsummed_sent(&mut self, sent: &Gone) {
        let given = std::mem::take(&mut self.run);
        debug_assert!(sent.bytes <= given.bytes && sent.records <= given.records, "no more than was given out");
        let end = given.end - given.bytes + sent.bytes;
        self.pass_run(Run { bytes: sent.bytes, records: sent.records, size: sent.bytes, end, last: sent.last });
    }

    fn next_to_send(&mut self, max_bytes: usize, below: u64) -> Result<Next, Damaged> {
        self.run = Run::default();
        if self.unsent == 0 {
            return Ok(Next::default());
        }
        let first = self.sent_records();
        let (start, head) = self.record(first, self.next)?;
        let from = start + self.next_sent.min(head.size());
        if self.next_sent == 0 && head.sequence >= below {
            return Ok(Next::default());
        }
        let (mut end, mut records, mut last) = (start + head.size(), 1, head.sequence);
        while first + records < self.records && end - from < max_bytes {
            // A mark is where records cease to lie together.
            let head = match Head::at(self.memory.bytes(), end) {
                Some(head) if !head.is_mark() && head.sequence < below && end + head.size() - from <= max_bytes => head,
                _ => break,
            };
            if self.is_durable && self.record(first + records, end).is_err() {
                break;
            }
            (end, records, last) = (end + head.size(), records + 1, head.sequence);
        }
        if end - from > max_bytes {
            return Ok(Next { start, from, to: from + max_bytes, end });
        }
        self.run = Run { bytes: end - from, records, size: end - start, end, last };
        Ok(Next { start, from, to: end, end })
    }

    /// The records from `at` to `end`, which lie together, get the checksums that they lack.
    fn sum(&mut self, mut at: usize, end: usize) {
        let bytes = self.memory.bytes_mut();
        while at < end {
            at += sum_record(&mut bytes[at..end]).unwrap_or(end - at);
        }
    }

    /// `count` bytes of what [`Ring::raw`] gave out were sent; how many records that completed.
    pub fn raw_sent(&mut self, mut count: usize) -> usize {
        let run = std::mem::take(&mut self.run);
        if count == run.bytes && count > 0 {
            self.pass_run(run);
            return run.records;
        }
        let mut completed = 0;
        while count > 0 && self.unsent > 0 && self.sent_records() < self.verified {
            let Some((at, head)) = self.locate(self.next) else { break };
            let left = head.size().saturating_sub(self.next_sent);
            if count < left {
                self.next_sent += count;
                break;
            }
            count -= left;
            self.pass(at, &head);
            completed += 1;
        }
        completed
    }

    /// What the oldest record says besides its frame; `None` if there is none, or it is damaged.
    pub fn oldest(&mut self) -> Option<RecordView> {
        if self.records == 0 {
            return None;
        }
        let (at, head) = self.record(0, self.first).ok()?;
        Some(head.view(&self.memory.bytes()[at + RECORD_HEADER..at + head.size()]))
    }

    /// Gives up all that was wholly sent: its room is free.
    pub fn release_sent(&mut self) {
        self.release(self.records, &mut |_| ());
    }

    /// Gives up the oldest `count` records, of those that were wholly sent; how many those were. Each is told of.
    pub fn release(&mut self, count: usize, on: OnRelease<'_>) -> usize {
        let count = count.min(self.sent_records());
        if count > 0 && count == self.sent_records() && !self.is_durable && self.is_without_origins() {
            self.release_all_sent();
            return count;
        }
        (0..count).take_while(|_| self.release_first(on, |_| true)).count()
    }

    /// Gives up all records with a smaller number, whether they were sent or not, but not one that was sent in part;
    /// how many those were. Each is told of. It ends at a record that is damaged.
    pub fn release_to(&mut self, sequence: u64, on: OnRelease<'_>) -> usize {
        let mut count = 0;
        while self.records > 0 && !self.is_begun() {
            count += match self.release_run(sequence) {
                0 if self.release_first(on, |head| head.sequence < sequence) => 1,
                0 => break,
                records => records,
            };
        }
        count
    }

    /// Nobody is to be told of the records that are kept.
    fn is_without_origins(&self) -> bool {
        self.released_to > self.last_origin
    }

    /// Gives up the oldest run that was sent whole, if all of its numbers are smaller; how many records those are.
    fn release_run(&mut self, sequence: u64) -> usize {
        if self.unmarked > 0 || !self.is_without_origins() {
            return 0;
        }
        let Some(run) = self.marks.front().copied().filter(|run| run.last < sequence) else { return 0 };
        self.marks.pop_front();
        if run.end <= self.first {
            (self.wrapped, self.wrap_at) = (false, None);
        }
        (self.first, self.released_to) = (run.end, run.last + 1);
        self.records -= run.records;
        self.used = self.used.saturating_sub(run.size);
        run.records
    }

    /// Gives up all that was wholly sent, at once.
    fn release_all_sent(&mut self) {
        if self.next <= self.first {
            (self.wrapped, self.wrap_at) = (false, None);
        }
        self.first = self.next;
        (self.records, self.used) = (self.unsent, self.unsent_used);
        self.released_to = self.front_sequence().unwrap_or(self.next_sequence);
        self.forget_marks();
    }

    /// A run was sent whole.
    fn mark(&mut self, run: Run) {
        if !self.is_durable {
            self.marks.push_back(run);
        }
    }

    /// The oldest record is given up by itself.
    fn unmark(&mut self, head: &Head) {
        match self.marks.front_mut() {
            _ if self.unmarked > 0 => self.unmarked -= 1,
            Some(run) if run.records > 1 => {
                (run.records, run.size) = (run.records - 1, run.size.saturating_sub(head.size()));
            }
            _ => {
                self.marks.pop_front();
            }
        }
    }

    /// What was sent is no longer known by runs.
    pub(super) fn forget_marks(&mut self) {
        self.marks.clear();
        self.unmarked = self.records - self.unsent;
    }

    /// The oldest record was sent in part.
    fn is_begun(&self) -> bool {
        self.unsent == self.records && self.next_sent > 0
    }

    fn release_first(&mut self, on: OnRelease<'_>, is_meant: impl Fn(&Head) -> bool) -> bool {
        let Ok((at, head)) = self.record(0, self.first) else { return false };
        if !is_meant(&head) {
            return false;
        }
        on(&head.view(&self.memory.bytes()[at + RECORD_HEADER..at + head.size()]));
        self.remove_first(at, &head);
        true
    }

    /// Gives up the oldest records until one of `room_for` bytes fits, header counted, but none that was sent in part;
    /// how many those were. Each is told of, with its frame. It ends at a record that is damaged.
    pub fn drop_oldest(&mut self, room_for: usize, on: &mut dyn FnMut(&RecordView, &[u8])) -> usize {
        let mut count = 0;
        while self.records > 0 && !self.is_begun() && self.used.saturating_add(room_for) > self.limit() {
            let Ok((at, head)) = self.record(0, self.first) else { break };
            let record = &self.memory.bytes()[at..at + head.size()];
            on(&head.view(&record[RECORD_HEADER..]), &record[head.frame_range()]);
            self.remove_first(at, &head);
            count += 1;
        }
        count
    }

    /// The oldest record, which is at `at`, leaves the ring.
    fn remove_first(&mut self, at: usize, head: &Head) {
        if at < self.first {
            (self.wrapped, self.wrap_at) = (false, None);
        }
        self.first = at + head.size();
        self.unmark(head);
        self.records -= 1;
        self.used = self.used.saturating_sub(head.size());
        self.released_to = head.sequence + 1;
        if self.unsent > self.records {
            (self.unsent, self.unsent_used) = (self.records, self.used);
            (self.next, self.next_sent, self.run) = (self.first, 0, Run::default());
            self.forget_marks();
        }
        if self.records == 0 && self.first != self.end {
            // A damaged file may hold more than its header counts.
            (self.first, self.next, self.next_sent) = (self.end, self.end, 0);
            (self.wrapped, self.wrap_at, self.run) = (false, None, Run::default());
        }
        if self.records == 0 {
            (self.used, self.unsent_used) = (0, 0);
        }
        if self.is_durable {
            self.verified = self.verified.saturating_sub(1);
            self.older.drop_one(head.size());
            self.after_release();
        }
    }

    /// All that is in the ring counts as not sent again: the connection is gone.
    pub fn rewind(&mut self) {
        (self.next, self.next_sent, self.run) = (self.first, 0, Run::default());
        (self.unsent, self.unsent_used) = (self.records, self.used);
        self.forget_marks();
    }

    /// All records with a smaller number count as sent, all others as not sent. It ends at a record that is damaged.
    pub fn skip_to(&mut self, sequence: u64) {
        self.rewind();
        while self.unsent > 0 {
            match self.record(self.sent_records(), self.next) {
                Ok((at, head)) if head.sequence < sequence => self.pass(at, &head),
                _ => break,
            }
        }
    }

    /// Gives up the record that was found damaged: the oldest that was not seen to be sound. If it does not lead to a
    /// sound one, all behind it that were there when the ring was opened go as well. A copy of all is kept before, the
    /// first time.
    pub fn skip_damaged(&mut self) -> Skipped {
        let copy = match (self.copy.take(), self.memory.durable()) {
            (Some(copy), _) => Ok(copy),
            (None, Some(durable)) => durable.quarantine(),
            (None, None) => Err("it lies in memory of the process".to_owned()),
        };
        self.copy = copy.as_ref().ok().cloned();
        let (mut offset, mut index, mut used) = (self.first, 0, 0);
        while index < self.records.min(self.verified) {
            let Ok((at, head)) = self.record(index, offset) else { break };
            (offset, index, used) = (at + head.size(), index + 1, used + head.size());
        }
        let records = if index == self.records {
            0
        } else if let Some((at, size)) = self.passable(index, offset) {
            write_skip(self.memory.bytes_mut(), at, size);
            self.forget(index, size);
            1
        } else {
            self.leap_to_newer(index, offset, used).unwrap_or_else(|| self.cut(index, offset, used))
        };
        self.rest_after_damage();
        Skipped { records: records as u64, copy }
    }

    /// The place and size of the damaged record that `offset` leads to, if it leads to a sound one.
    fn passable(&self, index: usize, offset: usize) -> Option<(usize, usize)> {
        let (at, head) = self.locate(offset)?;
        let (behind, next) = self.locate(at + head.size())?;
        let numbers = self.verified_to..self.next_sequence;
        let is_sound = next.is_sound(&self.memory.bytes()[behind + RECORD_HEADER..]);
        (index + 1 < self.records && is_sound && numbers.contains(&next.sequence)).then_some((at, head.size()))
    }

    /// One record of `size` bytes, at index `index`, is no more.
    fn forget(&mut self, index: usize, size: usize) {
        if index >= self.sent_records() {
            self.unsent -= 1;
            self.unsent_used = self.unsent_used.saturating_sub(size);
        }
        if index < self.older.records {
            self.older.drop_one(size);
        }
        let kept = &mut self.kept;
        if index >= self.records - kept.tail_records {
            kept.tail_records -= 1;
            kept.tail_used = kept.tail_used.saturating_sub(size);
        }
        self.records -= 1;
        self.used = self.used.saturating_sub(size);
    }

    /// The ring ends at `offset`, behind `index` records of `used` bytes; how many are gone.
    fn cut(&mut self, index: usize, offset: usize, used: usize) -> usize {
        let gone = self.records - index;
        let sent = self.sent_records().min(index);
        let settled = (self.records - self.kept.tail_records).min(index);
        let kept_sent_used = self.used.saturating_sub(self.unsent_used).min(used);
        (self.records, self.used, self.end) = (index, used, offset);
        (self.unsent, self.unsent_used) = (index - sent, used - kept_sent_used);
        if self.unsent == 0 {
            (self.next, self.next_sent) = (offset, 0);
        }
        if settled == index {
            (self.kept.tail, self.kept.tail_records, self.kept.tail_used) = (offset, 0, 0);
        } else {
            self.kept.tail_records = index - settled;
            self.kept.tail_used = self.kept.tail_used.min(used);
        }
        self.wrapped = self.wrapped && offset < self.first;
        self.kept.hold_wraps = offset < self.kept.hold;
        self.verified = self.verified.min(index);
        gone
    }

    /// All records that are kept, with their frames. In a durable ring it ends at a record that is damaged.
    pub fn frames(&self) -> impl Iterator<Item = (RecordView, &[u8])> {
        self.frames_from(0, self.first)
    }

    /// The same of those that are not wholly sent.
    pub fn unsent_frames(&self) -> impl Iterator<Item = (RecordView, &[u8])> {
        self.frames_from(self.sent_records(), self.next)
    }

    fn frames_from(&self, mut index: usize, mut offset: usize) -> impl Iterator<Item = (RecordView, &[u8])> {
        std::iter::from_fn(move || {
            if index == self.records {
                return None;
            }
            let (at, head) = self.locate(offset)?;
            let record = &self.memory.bytes()[at..at + head.size()];
            if index >= self.verified && !head.is_sound(&record[RECORD_HEADER..]) {
                return None;
            }
            (offset, index) = (at + head.size(), index + 1);
            Some((head.view(&record[RECORD_HEADER..]), &record[head.frame_range()]))
        })
    }

    /// What all records that are kept say besides their frames, unchecked: only their heads are read. It ends where they
    /// do not lead on.
    pub fn views(&self) -> impl Iterator<Item = RecordView> {
        let (mut offset, mut index) = (self.first, 0);
        std::iter::from_fn(move || {
            if index == self.records {
                return None;
            }
            let (at, head) = self.locate(offset)?;
            (offset, index) = (at + head.size(), index + 1);
            Some(head.view(&self.memory.bytes()[at + RECORD_HEADER..at + head.size()]))
        })
    }
}

fn bounds(head: &Head) -> (usize, usize) {
    let frame = head.frame_range();
    (frame.start, frame.end)
}
