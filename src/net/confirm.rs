//! Which plaintext is in which sealed bytes: TCP confirms the latter, the core wants to know of the former.

use std::collections::VecDeque;

/// Most places in the sealed bytes that are remembered. When there are more, every second one is given up: what lies
/// between two is confirmed a little later then, never too early.
pub const CHECKPOINTS_MAX: usize = 256;

/// When so many sealed bytes are confirmed, so much plaintext is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Checkpoint {
    sealed: u64,
    plain: u64,
}

/// The places of one connection.
#[derive(Debug, Default)]
pub(super) struct Sealed {
    /// In the order of their numbers; what is confirmed is gone.
    checkpoints: VecDeque<Checkpoint>,
    /// Plaintext that was sealed.
    plain: u64,
    confirmed: u64,
}

impl Sealed {
    /// `plain` bytes more were sealed; with them the connection has made `sealed` bytes in all.
    pub fn add(&mut self, sealed: u64, plain: usize) {
        self.plain += plain as u64;
        if self.checkpoints.len() >= CHECKPOINTS_MAX {
            // The newest goes on being remembered: else a link that falls silent would never have all confirmed.
            let mut at = self.checkpoints.len();
            self.checkpoints.retain(|_| {
                at -= 1;
                at.is_multiple_of(2)
            });
        }
        self.checkpoints.push_back(Checkpoint { sealed, plain: self.plain });
    }

    /// So many sealed bytes are confirmed; how much plaintext that is.
    pub fn confirm(&mut self, sealed: u64) -> u64 {
        while let Some(checkpoint) = self.checkpoints.front().filter(|c| c.sealed <= sealed) {
            self.confirmed = checkpoint.plain;
            self.checkpoints.pop_front();
        }
        self.confirmed
    }

    /// Plaintext that is known to be confirmed.
    pub fn confirmed(&self) -> u64 {
        self.confirmed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plaintext_is_confirmed_when_all_of_its_sealed_bytes_are() {
        let mut sealed = Sealed::default();
        // A handshake of 500 bytes, and 22 bytes a record.
        for n in 1..=100 {
            sealed.add(500 + n * 122, 100);
        }
        for (confirmed, plain) in
            [(0, 0), (621, 0), (622, 100), (743, 100), (744, 200), (12_699, 9900), (12_700, 10_000)]
        {
            assert_eq!(sealed.confirm(confirmed), plain, "{confirmed}");
        }
        assert!(sealed.checkpoints.is_empty());
    }

    #[test]
    fn however_much_is_unconfirmed_few_places_are_kept_and_none_says_too_much() {
        let mut rng = fastrand::Rng::with_seed(7);
        let (mut sealed, mut made, mut plain, mut most) = (Sealed::default(), 300, 0, 0);
        let mut all = Vec::new();
        for _ in 0..50_000 {
            let piece = rng.usize(1..70_000);
            made += piece as u64 + 22;
            plain += piece as u64;
            sealed.add(made, piece);
            all.push((made, plain));
            assert!(sealed.checkpoints.len() <= CHECKPOINTS_MAX);
            if rng.u32(..1000) == 0 {
                let confirmed = rng.u64(..=made);
                let is_in = all.iter().rev().find(|(made, _)| *made <= confirmed).map_or(0, |(_, plain)| *plain);
                most = most.max(is_in);
                assert!(sealed.confirm(confirmed) <= most);
            }
        }
        assert_eq!(sealed.confirm(made), plain, "all is confirmed in the end");
    }
}
