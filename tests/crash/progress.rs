//! A count that grows, and waiting for it.

use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::common::wait;

/// Counts something; others wait until it has got so far.
pub struct Progress {
    what: &'static str,
    count: Mutex<u64>,
    changed: Condvar,
}

impl Progress {
    pub fn new(what: &'static str) -> Progress {
        Progress { what, count: Mutex::new(0), changed: Condvar::new() }
    }

    pub fn get(&self) -> u64 {
        *self.count.lock().unwrap()
    }

    /// It never goes back.
    pub fn set(&self, count: u64) {
        let mut current = self.count.lock().unwrap();
        *current = count.max(*current);
        self.changed.notify_all();
    }

    pub fn add(&self, count: u64) {
        *self.count.lock().unwrap() += count;
        self.changed.notify_all();
    }

    /// Waits until the count is `count` at least; panics if it stands still for [`wait::LIMIT`].
    #[track_caller]
    pub fn wait(&self, count: u64) {
        let reached = self.reach(count, wait::LIMIT);
        assert!(reached, "{} of {count} {}, then no more for {} s", self.get(), self.what, wait::LIMIT.as_secs());
    }

    /// Waits until the count is `count` at least; false if it stands still for `patience`.
    pub fn reach(&self, count: u64, patience: Duration) -> bool {
        let mut current = self.count.lock().unwrap();
        let (mut last, mut end) = (*current, Instant::now() + patience);
        while *current < count {
            let Some(left) = end.checked_duration_since(Instant::now()) else { return false };
            current = self.changed.wait_timeout(current, left).unwrap().0;
            if *current != last {
                (last, end) = (*current, Instant::now() + patience);
            }
        }
        true
    }
}
