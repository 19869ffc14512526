//! How long the disk takes to have what was stored.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Syncs of the files of a spool.
#[derive(Debug, Default)]
pub struct Syncs {
    count: AtomicU64,
    nanoseconds: AtomicU64,
    longest: AtomicU64,
}

impl Syncs {
    /// Does a sync, and counts it.
    pub(super) fn time<T>(&self, sync: impl FnOnce() -> T) -> T {
        let begin = Instant::now();
        let result = sync();
        let took = u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.count.fetch_add(1, Ordering::Relaxed);
        self.nanoseconds.fetch_add(took, Ordering::Relaxed);
        self.longest.fetch_max(took, Ordering::Relaxed);
        result
    }

    /// How many there were, what they took together, and what the longest took.
    #[must_use]
    pub fn read(&self) -> (u64, Duration, Duration) {
        let time = |of: &AtomicU64| Duration::from_nanos(of.load(Ordering::Relaxed));
        (self.count.load(Ordering::Relaxed), time(&self.nanoseconds), time(&self.longest))
    }
}
