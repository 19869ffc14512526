//! How long a client waits before it dials again.

use std::time::Duration;

/// Longest wait after a failure: the Python connector retries every 5 s, so a server expects no more than that.
pub const DELAY_MAX: Duration = Duration::from_secs(5);

/// Wait after the first failure; it doubles up to [`DELAY_MAX`].
const DELAY_MIN: Duration = Duration::from_millis(100);

/// A link that was up for so long was well: the next failure counts as the first.
pub const STABLE_PERIOD: Duration = Duration::from_secs(10);

/// Wait after another connection took this one's place under the same name: two machines with one name must not throw
/// each other out in turn. It doubles up to [`REPLACED_MAX`].
pub const REPLACED_MIN: Duration = Duration::from_secs(60);

/// Longest wait after having been replaced.
pub const REPLACED_MAX: Duration = Duration::from_secs(3600);

/// Counts failures, and gives the wait after each.
#[derive(Debug)]
pub struct Backoff {
    failures: u32,
    replacements: u32,
    random: u64,
}

impl Backoff {
    /// `seed` sets the jitter, so that clients that lost one server do not come back all at once.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { failures: 0, replacements: 0, random: seed }
    }

    /// The link was well for [`STABLE_PERIOD`].
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// The wait before the next attempt: none at first, then doubling, between half and the whole of it at random.
    pub fn after_failure(&mut self) -> Duration {
        let doublings = self.failures;
        self.failures = self.failures.saturating_add(1);
        match doublings.checked_sub(1) {
            None => Duration::ZERO,
            Some(doublings) => self.jitter(double(DELAY_MIN, doublings, DELAY_MAX)),
        }
    }

    /// The wait before the next of several addresses is tried, which others may have left their server for as well.
    pub fn between_addresses(&mut self) -> Duration {
        self.jitter(DELAY_MIN)
    }

    /// The wait after another connection took the place of this one, which was up for `lifetime`. While two take each
    /// other's place in turn each is up for as long as the other waits, so only more than the longest wait is well.
    pub fn after_replacement(&mut self, lifetime: Duration) -> Duration {
        if lifetime > REPLACED_MAX {
            self.replacements = 0;
        }
        let delay = double(REPLACED_MIN, self.replacements, REPLACED_MAX);
        self.replacements = self.replacements.saturating_add(1);
        self.jitter(delay)
    }

    /// Between half and the whole of it at random.
    pub fn jitter(&mut self, delay: Duration) -> Duration {
        // SplitMix64 (Steele, Lea, Flood 2014): one addition and three shifts are enough for a jitter.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let fraction = (z >> 32) as f64 / f64::from(u32::MAX);
        delay.mul_f64(0.5 + fraction / 2.0)
    }
}

fn double(start: Duration, times: u32, limit: Duration) -> Duration {
    start.saturating_mul(2_u32.saturating_pow(times)).min(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_from_none_to_the_limit_with_jitter() {
        let mut backoff = Backoff::new(1);
        assert_eq!(backoff.after_failure(), Duration::ZERO);
        for doublings in 0..40 {
            let (wait, whole) = (backoff.after_failure(), double(DELAY_MIN, doublings, DELAY_MAX));
            assert!(wait >= whole / 2 && wait <= whole, "{wait:?} of {whole:?}");
        }
        backoff.reset();
        assert_eq!(backoff.after_failure(), Duration::ZERO);
    }

    #[test]
    fn a_replaced_client_stays_away_for_long() {
        let (mut backoff, wait) = (Backoff::new(2), Duration::from_secs(100));
        assert!(backoff.after_replacement(wait) >= REPLACED_MIN / 2);
        for _ in 0..50 {
            backoff.after_replacement(wait);
            backoff.reset();
        }
        assert!(backoff.after_replacement(wait) >= REPLACED_MAX / 2);
        assert!(backoff.after_replacement(2 * REPLACED_MAX) <= REPLACED_MIN);
    }
}
