//! Crashes at any step. What is allowed when a ring is opened again:
//!
//! - A record whose push had returned and that was not given up is there, in order, as it was pushed.
//! - A record that was given up before the last checkpoint is not there. One that was given up later may be.
//! - The record whose push was under way is there, whole, or not.
//! - The origins of all records that came after the last checkpoint and are there are told.
//!
//! If the machine dies, only what was pushed before the last settlement (sync, checkpoint, sync) must be there.

use std::collections::BTreeMap;

use super::Ring;
use super::testing::{File, flush};
use crate::wire::record::{Origin, read_record};

/// Far more than what a ring takes beyond its limit.
const LIMIT: usize = 200_000;

struct World {
    file: File,
    ring: Ring,
    random: fastrand::Rng,
    /// All frames that were ever pushed, by number.
    pushed: BTreeMap<u64, Vec<u8>>,
    /// Those that are in the ring.
    kept: BTreeMap<u64, Vec<u8>>,
    /// At the last checkpoint: what was given up before, and the next number.
    floor: u64,
    ceiling: u64,
    /// At the last settlement: the next number, and what was given up before.
    settled: u64,
    settled_floor: u64,
}

impl World {
    fn new(seed: u64, is_synced: bool) -> Self {
        let file = File::new();
        file.is_watched.set(true);
        file.synced.set(is_synced);
        let mut ring = file.open(LIMIT).0;
        ring.sync().unwrap();
        let random = fastrand::Rng::with_seed(seed);
        let (pushed, kept) = (BTreeMap::new(), BTreeMap::new());
        Self { file, ring, random, pushed, kept, floor: 0, ceiling: 1, settled: 1, settled_floor: 0 }
    }

    fn step(&mut self) {
        match self.random.u8(..16) {
            0..7 => self.push(),
            7 | 8 => self.send(),
            9 | 10 => {
                let count = self.random.usize(..30);
                self.ring.release(count, &mut |_| ());
            }
            11 => {
                let to = self.ring.first_sequence().unwrap_or(0) + self.random.u64(..20);
                self.ring.release_to(to, &mut |_| ());
            }
            12 => drop(self.ring.drop_oldest(self.random.usize(..2000), &mut |_, _| ())),
            13 => self.ring.rewind(),
            14 => self.checkpoint(),
            _ => self.ring.give_back(),
        }
        let floor = self.ring.released_to();
        self.kept.retain(|sequence, _| *sequence >= floor);
        self.ring.check_invariants();
        assert_eq!(self.ring.len(), self.kept.len());
    }

    fn push(&mut self) {
        let length = if self.random.u8(..3) == 0 { 20_000 } else { 300 };
        let frame = vec![self.random.u8(..); self.random.usize(..length)];
        let sequence = self.ring.next_sequence();
        let origin = Origin { slot: 0, generation: 0, count: sequence };
        // It may have begun to be written when the crash comes.
        self.pushed.insert(sequence, frame.clone());
        if self.ring.push(&[&frame], 0, Some(origin)).is_ok() {
            self.kept.insert(sequence, frame);
        }
    }

    fn send(&mut self) {
        let max = self.random.usize(1..6000);
        let count = self.ring.raw(max, u64::MAX).unwrap().len();
        self.ring.raw_sent(count);
    }

    fn checkpoint(&mut self) {
        // A checkpoint must not be ahead of what it speaks of if the machine may die.
        if self.file.synced.get() {
            self.ring.sync().unwrap();
        }
        self.ring.checkpoint();
        if self.random.bool() {
            self.ring.sync().unwrap();
            (self.settled, self.settled_floor) = (self.ring.next_sequence(), self.ring.released_to());
        }
    }

    /// One step, in which the process may die. `None`: nothing happened.
    fn step_and_maybe_die(&mut self) {
        flush(&mut self.ring);
        self.file.steps.borrow_mut().clear();
        let mut states = vec![self.file.bytes.borrow().clone()];
        let (before, released) = (self.kept.clone(), self.ring.released_to());
        self.step();
        flush(&mut self.ring);
        states.append(&mut self.file.steps.borrow_mut());
        // Most calls write once; those that take several steps are the more interesting.
        if self.random.u8(..if states.len() > 3 { 4 } else { 20 }) == 0 {
            let at = self.random.usize(..states.len());
            let torn = mix(&mut self.random, &states[at], &states[(at + 1).min(states.len() - 1)], 8);
            let must: Vec<u64> = before.keys().copied().filter(|s| self.kept.contains_key(s)).collect();
            // In the middle of a checkpoint it is open whether there was one.
            let ceiling = if self.ring.is_dirty() { self.ceiling } else { self.ring.next_sequence() };
            let floor = self.floor.min(released);
            let reuses = self.random.bool();
            self.reopen(torn, &must, floor, ceiling, reuses);
        } else if !self.ring.is_dirty() {
            (self.floor, self.ceiling) = (self.ring.released_to(), self.ring.next_sequence());
        }
    }

    fn step_and_maybe_lose_power(&mut self) {
        self.step();
        flush(&mut self.ring);
        self.file.steps.borrow_mut().clear();
        if self.random.u8(..20) == 0 {
            let (old, new) = (self.file.on_disk.borrow().clone(), self.file.bytes.borrow().clone());
            let torn = mix(&mut self.random, &old, &new, 4096);
            let must: Vec<u64> = self.kept.keys().copied().filter(|s| *s < self.settled).collect();
            self.reopen(torn, &must, self.settled_floor, u64::MAX, false);
            self.file.on_disk.borrow_mut().clone_from(&self.file.bytes.borrow());
        }
    }

    /// Numbers of records that came to nothing may be given out again only if `reuses`, for want of a clock.
    fn reopen(&mut self, bytes: Vec<u8>, must: &[u64], floor: u64, ceiling: u64, reuses: bool) {
        *self.file.bytes.borrow_mut() = bytes;
        let (ring, found) = self.file.open(LIMIT);
        self.ring = ring;
        let there = drain(&mut self.ring);
        for sequence in must {
            assert!(there.contains_key(sequence), "{sequence} is lost; there are {:?}", there.keys());
        }
        for (sequence, frame) in &there {
            assert!(*sequence >= floor, "{sequence} is back, though it was given up before {floor}");
            assert!(Some(frame) == self.pushed.get(sequence), "{sequence} is not as it was");
        }
        let origins: Vec<u64> = found.iter().flat_map(|f| &f.origins).map(|o| o.count).collect();
        for sequence in there.range(ceiling..).map(|(s, _)| s) {
            assert!(origins.contains(sequence), "the origin of {sequence} is told");
        }
        self.ring.rewind();
        self.kept = there;
        if !reuses {
            self.ring.set_next_sequence(self.pushed.last_key_value().map_or(1, |(sequence, _)| sequence + 1));
        }
        let next = self.ring.next_sequence();
        self.pushed.clone_from(&self.kept);
        self.ring.sync().unwrap();
        self.ring.checkpoint();
        self.ring.sync().unwrap();
        (self.floor, self.ceiling) = (self.ring.released_to(), next);
        (self.settled, self.settled_floor) = (next, self.floor);
    }
}

/// All records that the ring gives out; those that are damaged are given up.
fn drain(ring: &mut Ring) -> BTreeMap<u64, Vec<u8>> {
    let mut there = BTreeMap::new();
    while ring.has_unsent() {
        match ring.raw(1, u64::MAX).map(<[u8]>::len) {
            Ok(_) => {}
            Err(_) => {
                assert!(ring.skip_damaged().records > 0, "it gets less");
                continue;
            }
        }
        let (view, frame) = ring.frames().nth(there.len()).map(|(v, f)| (v, f.to_vec())).unwrap();
        assert!(there.last_key_value().is_none_or(|(last, _)| *last < view.sequence), "numbers rise");
        there.insert(view.sequence, frame);
        let whole = ring.raw(usize::MAX / 2, view.sequence + 1).unwrap();
        let (view, length) = (read_record(whole).unwrap().0, whole.len());
        assert_eq!((ring.raw_sent(length), there.contains_key(&view.sequence)), (1, true));
    }
    there
}

/// What is left when some pieces were written and others not.
fn mix(random: &mut fastrand::Rng, old: &[u8], new: &[u8], piece: usize) -> Vec<u8> {
    let mut mixed = new.to_vec();
    let (all_old, all_new) = (random.u8(..4) == 0, random.u8(..4) == 0);
    for (at, to) in mixed.chunks_mut(piece).enumerate() {
        let zeros = vec![0; to.len()];
        let from = old.get(at * piece..at * piece + to.len()).unwrap_or(&zeros);
        if !all_new && (all_old || random.bool()) {
            to.copy_from_slice(from);
        }
    }
    mixed
}

/// More seeds than a few for a long run: `RING_SEEDS=2000`.
fn seeds() -> std::ops::Range<u64> {
    0..std::env::var("RING_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(12)
}

#[test]
fn what_was_pushed_is_there_after_the_process_dies_at_any_step() {
    for seed in seeds() {
        println!("seed {seed}");
        let mut world = World::new(seed, seed % 2 == 0);
        (0..400).for_each(|_| world.step_and_maybe_die());
    }
}

#[test]
fn what_was_settled_is_there_after_the_machine_dies_at_any_step() {
    for seed in seeds() {
        println!("seed {seed}");
        let mut world = World::new(seed, true);
        (0..400).for_each(|_| world.step_and_maybe_lose_power());
    }
}
