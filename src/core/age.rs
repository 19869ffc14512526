//! How long the oldest message of a queue has waited, without a time in each message.
//!
//! About once a second the number of the message that comes is noted with the time: all from there to the next note came
//! in that second. So an age is at most a second too long. If the queue is long, notes are thinned out, and an age is at
//! most a thirty-second part of the longest too long.
//!
//! What was stored in an earlier life of the connector counts from the beginning of this one: it is at least as old.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::ring::Ring;

/// Time between two notes.
const PERIOD: Duration = Duration::from_secs(1);

/// Most notes of a queue; then every other one is given up, and there are half as many from then on.
const NOTES_MAX: usize = 64;

/// The notes of a queue.
#[derive(Debug)]
pub(super) struct Ages {
    /// From this number on, messages came at this time or later.
    notes: VecDeque<(u64, Instant)>,
    /// The next message from then on is noted.
    due: Option<Instant>,
    period: Duration,
}

impl Default for Ages {
    fn default() -> Self {
        Self { notes: VecDeque::new(), due: None, period: PERIOD }
    }
}

impl Ages {
    /// A message of this number has come into the queue.
    pub fn came(&mut self, number: u64, ring: &Ring, now: Instant) {
        if self.due.is_none_or(|due| due <= now) {
            self.note(number, ring.first_sequence().unwrap_or(number), now);
        }
    }

    /// The queue was there before, and is opened.
    pub fn opened(&mut self, ring: &Ring, now: Instant) {
        *self = Self::default();
        if let Some(first) = ring.first_sequence() {
            self.note(first, first, now);
        }
    }

    /// `first` is the oldest message that is in the queue.
    fn note(&mut self, number: u64, first: u64, now: Instant) {
        while self.notes.get(1).is_some_and(|(next, _)| *next <= first) {
            self.notes.pop_front();
        }
        if self.notes.len() < NOTES_MAX / 4 {
            self.period = PERIOD;
        } else if self.notes.len() >= NOTES_MAX {
            let mut is_kept = false;
            self.notes.retain(|_| {
                is_kept = !is_kept;
                is_kept
            });
            self.period *= 2;
        }
        self.notes.push_back((number, now));
        self.due = Some(now + self.period);
    }

    /// For how long the message of this number has waited; none if nothing is known of it.
    pub fn age(&self, number: u64, now: Instant) -> Option<Duration> {
        let after = self.notes.partition_point(|(from, _)| *from <= number);
        let (_, at) = self.notes.get(after.saturating_sub(1))?;
        Some(now.saturating_duration_since(*at))
    }

    /// The same for the oldest message of a queue.
    pub fn oldest(&self, ring: &Ring, now: Instant) -> Option<Duration> {
        self.age(ring.first_sequence()?, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::Sums;

    /// Messages that come every 100 ms; the oldest `kept` of them wait.
    fn ages(count: u64, kept: u64) -> (Ages, Ring, Instant) {
        let (mut ages, mut ring, start) = (Ages::default(), Ring::heap(1 << 20, 1, Sums::Never), Instant::now());
        for n in 0..count {
            let number = ring.push(&[b"m"], 0, None).unwrap();
            ages.came(number, &ring, start + Duration::from_millis(100) * n as u32);
            let released = number.saturating_sub(kept);
            ring.release_to(released + 1, &mut |_| ());
        }
        (ages, ring, start + Duration::from_millis(100) * (count as u32 - 1))
    }

    #[test]
    fn an_age_is_right_to_a_second_at_most_too_long() {
        for kept in [1, 5, 17, 100, 300] {
            let (ages, ring, now) = ages(1000, kept);
            let (told, real) = (ages.oldest(&ring, now).unwrap(), Duration::from_millis(100) * (kept as u32 - 1));
            assert!(told >= real && told <= real + PERIOD, "{told:?} for {real:?}");
            assert!(ages.notes.len() <= kept as usize / 10 + 3, "notes of what is gone are given up");
        }
    }

    #[test]
    fn a_long_queue_has_few_notes() {
        let (ages, ring, now) = ages(20_000, 10_000);
        assert!(ages.notes.len() <= NOTES_MAX);
        let (told, real) = (ages.oldest(&ring, now).unwrap(), Duration::from_millis(999_900));
        assert!(told >= real && told <= real + real / 16, "{told:?} for {real:?}");
    }

    #[test]
    fn nothing_waits_in_an_empty_queue() {
        let (ages, mut ring, now) = ages(10, 1);
        ring.release_to(u64::MAX, &mut |_| ());
        assert_eq!(ages.oldest(&ring, now), None);
    }

    #[test]
    fn what_was_there_before_is_as_old_as_its_opening_at_least() {
        let mut ring = Ring::heap(1 << 20, 77, Sums::Never);
        ring.push(&[b"m"], 0, None).unwrap();
        let (mut ages, now) = (Ages::default(), Instant::now());
        ages.opened(&ring, now);
        assert_eq!(ages.oldest(&ring, now + PERIOD), Some(PERIOD));
    }
}
