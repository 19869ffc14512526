//! How much of files may be on its way on a link: enough that the link never waits, little enough that messages do not
//! wait behind it.
//!
//! One piece a round is timed, from when it is sent until the peer says that it has it. What was on its way then, times
//! the shortest time ever seen, by the time that it took, is what the link itself holds: the product of bandwidth and
//! delay. The window goes towards one and a half times that, so it grows while the link has room for more, and shrinks
//! when pieces begin to wait for each other.

use std::time::{Duration, Instant};

use crate::wire::file::TransferId;

/// The window of a new link. At 500 MB/s, what TLS does on one core, these are 2 ms.
pub const START: usize = 1024 * 1024;

/// The smallest window: two pieces, so that one is under way while the other is written.
pub const LEAST: usize = 128 * 1024;

/// The largest window: what a link of 5 Gbit/s holds in a tenth of a second.
pub const MOST: usize = 64 * 1024 * 1024;

/// Times below this one say more of turns of the loop than of the link.
const TURN: Duration = Duration::from_millis(1);

/// After so long the shortest time is measured anew, in one round with the smallest window: ways through a network
/// change.
const MEMORY: Duration = Duration::from_secs(10);

/// A piece that is timed.
#[derive(Clone, Copy, Debug)]
struct Timed {
    id: TransferId,
    /// The offset behind it in its file.
    until: u64,
    at: Instant,
    /// Bytes that were on their way with it, its own among them.
    on_way: usize,
}

/// The window of a link.
#[derive(Debug)]
pub(super) struct Window {
    size: usize,
    timed: Option<Timed>,
    /// The shortest time, and since when that holds.
    shortest: Option<(Duration, Instant)>,
    /// The window has held a piece back since the round began.
    limited: bool,
    /// The shortest time is measured anew.
    probing: bool,
}

impl Default for Window {
    fn default() -> Self {
        Self { size: START, timed: None, shortest: None, limited: false, probing: false }
    }
}

impl Window {
    pub fn size(&self) -> usize {
        if self.probing { LEAST } else { self.size }
    }

    /// Whether `more` bytes may go out while `on_way` are on their way. One piece always may.
    pub fn has_room(&self, on_way: usize, more: usize) -> bool {
        on_way == 0 || on_way + more <= self.size()
    }

    /// A piece was held back.
    pub fn held_back(&mut self) {
        self.limited = true;
    }

    /// A piece of this file, up to `until`, has gone out; with it `on_way` bytes are on their way.
    pub fn sent(&mut self, id: TransferId, until: u64, on_way: usize, now: Instant) {
        if self.timed.is_none() {
            self.timed = Some(Timed { id, until, at: now, on_way });
        }
    }

    /// The peer has all of this file up to `until`.
    pub fn arrived(&mut self, id: TransferId, until: u64, now: Instant) {
        let Some(timed) = self.timed.filter(|timed| timed.id == id && timed.until <= until) else { return };
        self.timed = None;
        let took = now.saturating_duration_since(timed.at).max(TURN);
        let shortest = match self.shortest {
            Some((shortest, since)) if !self.probing && shortest < took => (shortest, since),
            _ => (took, now),
        };
        self.shortest = Some(shortest);
        if !std::mem::take(&mut self.probing) && std::mem::take(&mut self.limited) {
            self.adapt(timed.on_way, shortest.0, took);
        }
        self.probing = now.saturating_duration_since(shortest.1) >= MEMORY;
    }

    /// Half as much again as the link holds; but a time that was long once is no reason to shrink by much.
    fn adapt(&mut self, on_way: usize, shortest: Duration, took: Duration) {
        let held = on_way as u128 * shortest.as_micros() / took.as_micros().max(1);
        let wanted = usize::try_from(held * 3 / 2).unwrap_or(MOST);
        self.size = wanted.clamp(self.size - self.size / 8, self.size * 2).clamp(LEAST, MOST);
    }

    /// Nothing more is said of this file.
    pub fn gone(&mut self, id: TransferId) {
        self.timed = self.timed.filter(|timed| timed.id != id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE: usize = 64 * 1024;

    /// Sends pieces for so many rounds over a link of this bandwidth, bytes a second, and delay; the window at the end,
    /// and the longest time that a piece took in the last rounds.
    fn window_after(rounds: usize, bandwidth: u64, delay: Duration) -> (usize, Duration) {
        let (mut window, start) = (Window::default(), Instant::now());
        let id = TransferId { lane: 0, number: 1, attempt: 1 };
        // When each piece that is on its way is known to have arrived.
        let mut flying: std::collections::VecDeque<(u64, Instant, Instant)> = std::collections::VecDeque::new();
        let (mut now, mut sent, mut free, mut seen, mut longest) = (start, 0_u64, start, 0, Duration::ZERO);
        while seen < rounds {
            let on_way = flying.len() * PIECE;
            if window.has_room(on_way, PIECE) {
                sent += PIECE as u64;
                free = free.max(now) + Duration::from_micros(PIECE as u64 * 1_000_000 / bandwidth);
                flying.push_back((sent, now, free + delay));
                window.sent(id, sent, on_way + PIECE, now);
                continue;
            }
            window.held_back();
            let (until, at, arrives) = flying.pop_front().unwrap();
            now = now.max(arrives);
            let was_timed = window.timed.is_some_and(|timed| timed.until == until);
            window.arrived(id, until, now);
            seen += usize::from(was_timed);
            if seen + 10 > rounds {
                longest = longest.max(now - at);
            }
        }
        (window.size, longest)
    }

    #[test]
    fn the_window_grows_until_a_long_link_is_full() {
        let (size, _) = window_after(40, 100_000_000, Duration::from_millis(100));
        assert!((10_000_000..20_000_000).contains(&size), "{size}");
    }

    #[test]
    fn it_grows_no_further_than_its_bound() {
        let (size, _) = window_after(60, 100_000_000_000, Duration::from_millis(500));
        assert_eq!(size, MOST);
    }

    #[test]
    fn on_a_slow_link_it_shrinks_so_that_little_waits() {
        let (size, longest) = window_after(60, 1_250_000, Duration::from_millis(20));
        assert!(size < 200_000, "{size}");
        assert!(longest < Duration::from_millis(400), "{longest:?}");
    }

    #[test]
    fn on_a_fast_link_pieces_take_few_milliseconds() {
        let (_, longest) = window_after(60, 500_000_000, Duration::from_micros(100));
        assert!(longest < Duration::from_millis(4), "{longest:?}");
    }

    #[test]
    fn a_way_that_became_longer_is_found_out() {
        let (mut window, start) = (Window::default(), Instant::now());
        let id = TransferId { lane: 0, number: 1, attempt: 1 };
        let mut at = start;
        for round in 0..200_u64 {
            let took = Duration::from_millis(if round < 20 { 2 } else { 200 });
            window.held_back();
            window.sent(id, round, window.size(), at);
            at += took;
            window.arrived(id, round, at);
        }
        assert!(window.shortest.unwrap().0 == Duration::from_millis(200));
        assert!(window.size > START, "it was measured anew, so it grows again: {}", window.size);
    }
}
