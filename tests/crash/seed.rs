//! What is drawn by chance, and how to draw it again.

use std::thread;

use fastrand::Rng;

/// The chance of one test. It names its seed when the test fails.
pub struct Seed {
    seed: u64,
    test: &'static str,
}

impl Seed {
    /// From the environment, or a new one.
    pub fn new(test: &'static str) -> Seed {
        let seed = variable("AIOCONNECTORS_CRASH_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000_000));
        eprintln!("{test}: seed {seed}");
        Seed { seed, test }
    }

    pub fn random(&self) -> Rng {
        Rng::with_seed(self.seed)
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("to see it again: AIOCONNECTORS_CRASH_SEED={} cargo test --test crash {}", self.seed, self.test);
        }
    }
}

/// How many messages a test sends: `every_day`, or what the environment says.
pub fn messages(every_day: u64) -> u64 {
    variable("AIOCONNECTORS_CRASH_MESSAGES").unwrap_or(every_day)
}

/// How often a test kills a connector: `every_day`, or what the environment says.
pub fn kills(every_day: u64) -> u64 {
    variable("AIOCONNECTORS_CRASH_KILLS").unwrap_or(every_day)
}

/// How many rounds a test plays that spoils files by chance: `every_day`, or what the environment says.
pub fn rounds(every_day: u64) -> u64 {
    variable("AIOCONNECTORS_CRASH_ROUNDS").unwrap_or(every_day)
}

/// How many MiB a file has that is sent: `every_day`, or what the environment says.
pub fn file_size(every_day: u64) -> u64 {
    variable("AIOCONNECTORS_CRASH_MEGABYTES").unwrap_or(every_day)
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|e| panic!("{name}: {e}")))
}

/// `count` numbers of messages from one deed to the next, less than `all` together.
pub fn gaps(random: &mut Rng, count: usize, all: u64) -> Vec<u64> {
    let mut moments: Vec<u64> = (0..count).map(|_| random.u64(1..all)).collect();
    moments.sort_unstable();
    let mut before = 0;
    moments.into_iter().map(|moment| moment - std::mem::replace(&mut before, moment)).collect()
}
