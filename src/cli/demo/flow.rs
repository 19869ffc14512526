//! One direction of the demo's traffic: numbered messages as fast as they go, and what arrives of them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::api::{ApiError, ConnectorApi, Message};

/// Data of a message, bytes: its number, its time, and padding.
pub const DATA: usize = 100;

/// Messages between two looks at whether to stop.
const BATCH: u64 = 256;

/// Counts of one direction.
pub struct Flow {
    /// Both ends read the same clock: they are in one process.
    start: Instant,
    stop: AtomicBool,
    sent: AtomicU64,
    received: AtomicU64,
    out_of_order: AtomicU64,
    delays: Mutex<Vec<Duration>>,
}

impl Flow {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            stop: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            out_of_order: AtomicU64::new(0),
            delays: Mutex::default(),
        })
    }

    /// Sends until it is stopped.
    pub fn send(&self, api: &ConnectorApi, message_type: &str, destination: &str) -> Result<(), ApiError> {
        let mut sender = api.sender();
        let mut data = [b'.'; DATA];
        while !self.stop.load(Ordering::Relaxed) {
            // One reading of the clock is exact enough for as many as go out in one write.
            data[8..16].copy_from_slice(&self.now().to_le_bytes());
            for number in (self.sent()..).take(BATCH as usize) {
                data[..8].copy_from_slice(&number.to_le_bytes());
                let message = api.send_message(message_type).destination(destination).bytes(&data);
                message.send_with(&mut sender)?;
            }
            self.sent.fetch_add(BATCH, Ordering::Relaxed);
        }
        sender.flush()
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Counts a message that has arrived.
    pub fn receive(&self, message: &Message) {
        let expected = self.received.fetch_add(1, Ordering::Relaxed);
        let word = |at: usize| message.data().get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
        if word(0) != Some(expected) {
            self.out_of_order.fetch_add(1, Ordering::Relaxed);
        }
        if expected.is_multiple_of(BATCH)
            && let Some(sent) = word(8)
        {
            self.delays().push(Duration::from_nanos(self.now().saturating_sub(sent)));
        }
    }

    fn delays(&self) -> MutexGuard<'_, Vec<Duration>> {
        self.delays.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the delays of some of the messages since the last time.
    pub fn take_delays(&self) -> Vec<Duration> {
        std::mem::take(&mut self.delays())
    }

    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    pub fn out_of_order(&self) -> u64 {
        self.out_of_order.load(Ordering::Relaxed)
    }
}

/// The value below which `share` (0 to 1) of `sorted` lie.
pub fn percentile(sorted: &[Duration], share: f64) -> Option<Duration> {
    let last = sorted.len().checked_sub(1)?;
    Some(sorted[(last as f64 * share).round() as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_values_themselves() {
        let values: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(percentile(&values, 0.5), Some(Duration::from_millis(51)));
        assert_eq!(percentile(&values, 0.99), Some(Duration::from_millis(99)));
        assert_eq!(percentile(&[], 0.5), None);
    }
}
