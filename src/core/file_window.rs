//! How much of files may be on its way on a link: enough that the link never waits, little enough that messages do not
//! wait behind it.
//!
//! One piece a round is timed, from when it is sent until the peer says that it has it. What has arrived in between, by
//! the time that it took, is the link's bandwidth; times the shortest time ever seen it is what the link itself holds. The
//! window goes towards one and a half times that, so it grows while the link has room for more, and shrinks when pieces
//! begin to wait for each other.

use std::time::{Duration, Instant};

use crate::wire::file::TransferId;

/// The window of a new link. At 500 MB/s, what TLS does on one core, these are 2 ms.
pub const START: usize = 1024 * 1024;

/// The smallest window: two pieces, so that one is under way while the other is written.
pub const LEAST: usize = 128 * 1024;

/// The largest window: what a link of 5 Gbit/s holds in a tenth of a second.
pub const MOST: usize = 64 * 1024 * 1024;

/// A link is taken to hold what it carries in so long at least: peers say what they have once a turn of their loop, and a
/// loop that shares its cores comes to its turn only so often.
const TURN: Duration = Duration::from_millis(2);

/// The same while messages go out beside files: each waits for about as long behind what is on its way. Measured over
/// loopback with a thousand messages a second, the slowest in a hundred took 3 ms with this, and 9 with [`TURN`].
const TURN_BESIDE: Duration = Duration::from_micros(500);

/// Without a message for so long the link is for files alone.
const QUIET: Duration = Duration::from_millis(100);

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
    /// Bytes that had arrived by then.
    arrived: u64,
}

/// The window of a link.
#[derive(Debug)]
pub(super) struct Window {
    size: usize,
    /// Bytes of files that have arrived.
    arrived: u64,
    timed: Option<Timed>,
    /// The shortest time, and since when that holds.
    shortest: Option<(Duration, Instant)>,
    /// When a message went out last.
    message: Option<Instant>,
    /// The window has held a piece back since the round began.
    limited: bool,
    /// The shortest time is measured anew.
    probing: bool,
}

impl Default for Window {
    fn default() -> Self {
        Self { size: START, arrived: 0, timed: None, shortest: None, message: None, limited: false, probing: false }
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

    /// A message has gone out.
    pub fn message_sent(&mut self, now: Instant) {
        self.message = Some(now);
    }

    /// A piece was held back.
    pub fn held_back(&mut self) {
        self.limited = true;
    }

    /// A piece of this file, up to `until`, has gone out.
    pub fn sent(&mut self, id: TransferId, until: u64, now: Instant) {
        if self.timed.is_none() {
            self.timed = Some(Timed { id, until, at: now, arrived: self.arrived });
        }
    }

    /// The peer has all of this file up to `until`, of which it was not known of the last `bytes`.
    pub fn arrived(&mut self, id: TransferId, until: u64, bytes: u64, now: Instant) {
        self.arrived += bytes;
        let Some(timed) = self.timed.filter(|timed| timed.id == id && timed.until <= until) else { return };
        self.timed = None;
        let took = now.saturating_duration_since(timed.at);
        let shortest = match self.shortest {
            Some((shortest, since)) if !self.probing && shortest < took => (shortest, since),
            _ => (took, now),
        };
        self.shortest = Some(shortest);
        if !std::mem::take(&mut self.probing) && std::mem::take(&mut self.limited) {
            let is_beside = self.message.is_some_and(|at| now.saturating_duration_since(at) < QUIET);
            let least = if is_beside { TURN_BESIDE } else { TURN };
            self.adapt(self.arrived - timed.arrived, shortest.0.max(least), took);
        }
        self.probing = now.saturating_duration_since(shortest.1) >= MEMORY;
    }

    /// Half as much again as the link holds; but a time that was long once is no reason to shrink by much.
    fn adapt(&mut self, arrived: u64, shortest: Duration, took: Duration) {
        let held = u128::from(arrived) * shortest.as_micros() / took.as_micros().max(1);
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
                window.sent(id, sent, now);
                continue;
            }
            window.held_back();
            let (until, at, arrives) = flying.pop_front().unwrap();
            now = now.max(arrives);
            let was_timed = window.timed.is_some_and(|timed| timed.until == until);
            window.arrived(id, until, PIECE as u64, now);
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

    /// A peer that says what it has only each time that it comes to its turn; the sender fills its window in between.
    #[test]
    fn a_peer_that_speaks_seldom_does_not_hold_a_fast_link_up() {
        let (mut window, start) = (Window::default(), Instant::now());
        let id = TransferId { lane: 0, number: 1, attempt: 1 };
        let (bandwidth, mut at, mut sent) = (600_000_000, start, 0);
        for round in 0..500_u64 {
            // Now and then it comes to its turn early: that is the shortest time.
            let turn = Duration::from_micros(if round % 10 == 0 { 200 } else { 2500 });
            let carried = (bandwidth * turn.as_micros() / 1_000_000) as usize / PIECE * PIECE;
            let mut on_way = 0;
            while on_way < carried && window.has_room(on_way, PIECE) {
                (sent, on_way) = (sent + PIECE as u64, on_way + PIECE);
                window.sent(id, sent, at);
            }
            if on_way < carried {
                window.held_back();
            }
            at += turn;
            window.arrived(id, sent, on_way as u64, at);
        }
        let carried = sent as f64 / (at - start).as_secs_f64() / bandwidth as f64;
        assert!(carried > 0.9, "{carried:.2} of the link, with a window of {}", window.size);
    }

    #[test]
    fn beside_messages_less_of_a_file_is_on_its_way() {
        let of = |is_beside: bool| {
            let (mut window, mut at) = (Window::default(), Instant::now());
            let id = TransferId { lane: 0, number: 1, attempt: 1 };
            for round in 1..100_u64 {
                if is_beside {
                    window.message_sent(at);
                }
                // 500 MB/s, and no delay: all that is on its way waits. The first piece goes alone.
                let carried = if round == 1 { PIECE } else { window.size() } as u64;
                if round > 1 {
                    window.held_back();
                }
                window.sent(id, round, at);
                at += Duration::from_nanos(carried * 2);
                window.arrived(id, round, carried, at);
            }
            window.size
        };
        let (alone, beside) = (of(false), of(true));
        assert!((1_200_000..1_800_000).contains(&alone), "{alone}");
        assert!((300_000..450_000).contains(&beside), "{beside}");
    }

    #[test]
    fn a_way_that_became_longer_is_found_out() {
        let (mut window, start) = (Window::default(), Instant::now());
        let id = TransferId { lane: 0, number: 1, attempt: 1 };
        let mut at = start;
        for round in 0..200_u64 {
            let took = Duration::from_millis(if round < 20 { 2 } else { 200 });
            window.held_back();
            window.sent(id, round, at);
            at += took;
            window.arrived(id, round, window.size() as u64, at);
        }
        assert!(window.shortest.unwrap().0 == Duration::from_millis(200));
        assert!(window.size > START, "it was measured anew, so it grows again: {}", window.size);
    }
}
