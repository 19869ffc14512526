//! Waiting for events, never for times.

use std::thread;
use std::time::{Duration, Instant};

/// How long an event may take before a test gives up on it. Far beyond what a slow machine needs.
pub const LIMIT: Duration = Duration::from_secs(90);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Asks again and again until there is an answer; panics with `what` when [`LIMIT`] has passed.
#[track_caller]
pub fn until<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    within(LIMIT, ask).unwrap_or_else(|| panic!("waited {} s in vain for: {what}", LIMIT.as_secs()))
}

/// Asks again and again until there is an answer or `limit` has passed.
pub fn within<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() >= end {
            return None;
        }
        thread::sleep(PAUSE);
    }
}

/// Looks all the time for `window`, and says what it saw first that should not be.
pub fn never_within<T>(window: Duration, look: impl FnMut() -> Option<T>) -> Result<(), T> {
    within(window, look).map_or(Ok(()), Err)
}
