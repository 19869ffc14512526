//! What the loop measures of itself, and how fast the store fills.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::core::figures::{Calls, Stored, Turns};

/// What turns are sorted by: how many took no longer.
const BUCKETS: [Duration; 10] = [
    Duration::from_micros(100),
    Duration::from_micros(300),
    Duration::from_millis(1),
    Duration::from_millis(3),
    Duration::from_millis(10),
    Duration::from_millis(30),
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_secs(1),
    Duration::from_secs(3),
];

/// Time between two looks at how full the store is.
const LOOK_PERIOD: Duration = Duration::from_secs(10);

/// Looks that are remembered: five minutes.
const LOOKS: usize = 31;

/// Turns of the loop, and how full the store was.
#[derive(Debug, Default)]
pub(super) struct Meter {
    /// The last is for those that took longer than all.
    counts: [u64; BUCKETS.len() + 1],
    busy: Duration,
    calls: Calls,
    looks: VecDeque<(Instant, u64)>,
}

impl Meter {
    /// A turn took so long, waiting not counted.
    pub fn turned(&mut self, took: Duration) {
        self.busy += took;
        let bucket = BUCKETS.iter().position(|most| took <= *most).unwrap_or(BUCKETS.len());
        self.counts[bucket] += 1;
    }

    /// System calls were made.
    pub fn called(&mut self, calls: Calls) {
        self.calls += calls;
    }

    /// What turns took.
    pub fn turns(&self) -> Turns {
        let mut count = 0;
        let buckets = BUCKETS.iter().zip(self.counts).map(|(most, turns)| {
            count += turns;
            (*most, count)
        });
        let buckets = buckets.collect();
        Turns { count: self.counts.iter().sum(), busy: self.busy, buckets, calls: self.calls }
    }

    /// Whether it is time for another look at the store.
    pub fn is_look_due(&self, now: Instant) -> bool {
        self.looks.back().is_none_or(|(last, _)| *last + LOOK_PERIOD <= now)
    }

    /// The store has so many bytes now.
    pub fn look(&mut self, bytes: u64, now: Instant) {
        if self.looks.len() == LOOKS {
            self.looks.pop_front();
        }
        self.looks.push_back((now, bytes));
    }

    /// How long the store lasts if it goes on filling as since the earliest look; none if it does not fill.
    pub fn lasts(&self, stored: Stored, disk_free: Option<u64>, now: Instant) -> Option<Duration> {
        let (since, before) = *self.looks.front()?;
        let time = now.saturating_duration_since(since);
        let more = stored.bytes.checked_sub(before).filter(|more| *more > 0)?;
        if time < LOOK_PERIOD {
            return None;
        }
        // That all of it goes into the fullest queue is the worst that can be.
        let room = disk_free.map_or(stored.room, |free| free.min(stored.room));
        Duration::try_from_secs_f64(time.as_secs_f64() * room as f64 / more as f64).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_in_all_buckets_from_its_own_on() {
        let mut meter = Meter::default();
        for took in [50, 100, 101, 2_000_000, 10_000_000] {
            meter.turned(Duration::from_micros(took));
        }
        let turns = meter.turns();
        let counts: Vec<u64> = turns.buckets.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [2, 3, 3, 3, 3, 3, 3, 3, 3, 4]);
        assert_eq!((turns.count, turns.busy), (5, Duration::from_micros(12_000_251)));
    }

    #[test]
    fn a_store_lasts_as_long_as_its_room_at_the_rate_of_the_last_minutes() {
        let (mut meter, start) = (Meter::default(), Instant::now());
        let stored = |bytes| Stored { bytes, room: 10_000 - bytes, limit: 10_000 };
        for look in 0..100 {
            let now = start + LOOK_PERIOD * look;
            assert!(meter.is_look_due(now));
            meter.look(u64::from(look) * 10, now);
        }
        let now = start + LOOK_PERIOD * 99;
        assert!(!meter.is_look_due(now + LOOK_PERIOD / 2));
        assert_eq!(meter.looks.len(), LOOKS);
        // A byte a second, 9,010 bytes of room.
        let second = |lasts: Option<Duration>| lasts.unwrap().as_secs_f64().round() as u64;
        assert_eq!(second(meter.lasts(stored(990), None, now)), 9010);
        assert_eq!(second(meter.lasts(stored(990), Some(60), now)), 60);
        assert_eq!(meter.lasts(stored(300), None, now), None, "it empties");
        assert_eq!(Meter::default().lasts(stored(1), None, now), None, "nothing is known yet");
    }
}
