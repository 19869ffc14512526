//! The lanes of a peer, and what is known of all of them together, so that nothing a message needs is looked for in all:
//! which lane has a name, which has the oldest message that was not sent, how much memory they have.
//!
//! A lane is changed where it lies. So the one that was given out last to be changed is looked at itself, and noted when
//! the next one is given out; all others are as they were noted. After a change of all they are noted anew.

use std::collections::{BTreeSet, HashMap};
use std::ops::{Deref, Index, IndexMut};

use super::peer::Lane;
use crate::ring::Ring;

/// A lane stays at its place.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    list: Vec<Lane>,
    notes: Vec<Note>,
    /// Those by name that get new messages.
    by_name: HashMap<String, usize>,
    /// Those that get nothing new.
    old: Vec<usize>,
    has_files: bool,
    /// Lanes with messages that were not sent: the class, the number of the first of these, the lane.
    unsent: BTreeSet<(usize, u64, usize)>,
    /// Lanes that have sent a message in part.
    begun: BTreeSet<usize>,
    /// Lanes that apps wait for.
    waited_for: BTreeSet<usize>,
    /// Bytes in memory of the process, by class.
    in_memory: Vec<usize>,
    /// Bytes in all lanes.
    used: usize,
    /// The lane that may have changed since it was noted.
    open: Option<usize>,
    /// All may have.
    stale: bool,
}

/// A lane, as it was when it was noted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Note {
    /// The number of the first message that was not sent.
    unsent: Option<u64>,
    begun: bool,
    waited_for: bool,
    used: usize,
    in_memory: usize,
}

impl Note {
    fn of(lane: &Lane) -> Self {
        let used = lane.ring.as_ref().map_or(0, Ring::used);
        Self {
            unsent: unsent(lane),
            begun: lane.is_mid_frame(),
            waited_for: !lane.blocked.is_empty(),
            used,
            in_memory: if lane.durable { 0 } else { used },
        }
    }
}

/// A front that cannot be read is damage, which is found when it is to be sent.
fn unsent(lane: &Lane) -> Option<u64> {
    lane.has_unsent().then(|| lane.front_sequence().unwrap_or(0))
}

impl Lanes {
    pub fn push(&mut self, lane: Lane) {
        let at = self.list.len();
        if lane.is_old {
            self.old.push(at)
        } else {
            _ = self.by_name.insert(lane.name(), at)
        }
        self.has_files |= lane.files.is_some();
        if self.in_memory.len() <= lane.class {
            self.in_memory.resize(lane.class + 1, 0);
        }
        self.list.push(lane);
        self.notes.push(Note::default());
        self.give_out(at);
    }

    pub fn get_mut(&mut self, at: usize) -> Option<&mut Lane> {
        if at < self.list.len() {
            self.give_out(at);
        }
        self.list.get_mut(at)
    }

    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, Lane> {
        self.stale = true;
        self.list.iter_mut()
    }

    /// The lane of this name that gets new messages.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// Lanes that get nothing new.
    pub fn old(&self) -> impl Iterator<Item = &Lane> {
        self.old.iter().map(|at| &self.list[*at])
    }

    /// Whether there is one for messages with files.
    pub fn has_files(&self) -> bool {
        self.has_files
    }

    /// All classes there are lanes of.
    pub fn classes(&self) -> std::ops::Range<usize> {
        0..self.in_memory.len()
    }

    /// The lane of this class that `may` send, of those that have something, and whose next message is the oldest.
    pub fn oldest(&self, class: usize, may: impl Fn(&Lane) -> bool) -> Option<usize> {
        let may = |at: usize| self.list[at].class == class && may(&self.list[at]);
        let front = |at: usize| unsent(&self.list[at]).filter(|_| may(at)).map(|front| (front, at));
        if self.stale {
            return (0..self.list.len()).filter_map(front).min().map(|(_, at)| at);
        }
        let noted = self.unsent.range((class, 0, 0)..(class + 1, 0, 0));
        let noted = noted.filter(|(.., at)| self.open != Some(*at)).find(|(.., at)| may(*at));
        let noted = noted.map(|(_, front, at)| (*front, *at));
        noted.into_iter().chain(self.open.and_then(front)).min().map(|(_, at)| at)
    }

    /// Whether any other lane `may` send, of those that have something.
    pub fn others_wait(&self, lane: usize, may: impl Fn(&Lane) -> bool) -> bool {
        let waits = |at: usize| at != lane && self.list[at].has_unsent() && may(&self.list[at]);
        if self.stale {
            return (0..self.list.len()).any(waits);
        }
        self.open.is_some_and(waits) || self.unsent.iter().any(|(.., at)| waits(*at))
    }

    /// The lane that has sent a message in part.
    pub fn begun(&self) -> Option<usize> {
        if self.stale {
            return self.list.iter().position(Lane::is_mid_frame);
        }
        let noted = self.begun.iter().copied().find(|at| self.open != Some(*at));
        noted.or_else(|| self.open.filter(|at| self.list[*at].is_mid_frame()))
    }

    /// Lanes that apps wait for.
    pub fn waited_for(&mut self) -> Vec<usize> {
        self.settle();
        self.waited_for.iter().copied().collect()
    }

    /// Bytes in all lanes.
    pub fn used(&self) -> usize {
        if self.stale {
            return self.list.iter().filter_map(|lane| lane.ring.as_ref()).map(Ring::used).sum();
        }
        let open = self.open.map_or(0, |at| Note::of(&self.list[at]).used);
        open + self.used - self.open.map_or(0, |at| self.notes[at].used)
    }

    /// Bytes that lanes beside this one have in memory of the process: those of less urgent classes, and the others.
    pub fn in_memory_beside(&mut self, lane: usize) -> (usize, usize) {
        // Nearly always it is this one that is to be noted, and it does not count.
        if self.stale || self.open != Some(lane) {
            self.settle();
        }
        let (class, own) = (self.list[lane].class, self.notes[lane].in_memory);
        let less_urgent = self.in_memory[class + 1..].iter().sum();
        let others: usize = self.in_memory[..=class].iter().sum();
        (less_urgent, others - own)
    }

    /// This one is about to be changed.
    fn give_out(&mut self, at: usize) {
        if self.open != Some(at) {
            self.settle();
            self.open = Some(at);
        }
    }

    /// Notes what may have changed.
    fn settle(&mut self) {
        if std::mem::take(&mut self.stale) {
            self.open = None;
            (0..self.list.len()).for_each(|at| self.note(at));
        } else if let Some(at) = self.open.take() {
            self.note(at);
        }
    }

    fn note(&mut self, at: usize) {
        let (lane, new) = (&self.list[at], Note::of(&self.list[at]));
        let old = std::mem::replace(&mut self.notes[at], new);
        if new == old {
            return;
        }
        if new.unsent != old.unsent {
            old.unsent.inspect(|front| _ = self.unsent.remove(&(lane.class, *front, at)));
            new.unsent.inspect(|front| _ = self.unsent.insert((lane.class, *front, at)));
        }
        for (is, was, set) in
            [(new.begun, old.begun, &mut self.begun), (new.waited_for, old.waited_for, &mut self.waited_for)]
        {
            match (is, was) {
                (true, false) => _ = set.insert(at),
                (false, true) => _ = set.remove(&at),
                _ => {}
            }
        }
        self.used = self.used + new.used - old.used;
        self.in_memory[lane.class] = self.in_memory[lane.class] + new.in_memory - old.in_memory;
    }

    /// Checks that what is noted is so; for tests.
    pub fn check(&self) {
        let fresh = |at: &usize| !self.stale && self.open != Some(*at);
        for at in (0..self.list.len()).filter(fresh) {
            assert_eq!(self.notes[at], Note::of(&self.list[at]), "lane {at} is as it was noted");
        }
        let used: usize = self.notes.iter().map(|note| note.used).sum();
        let in_memory: usize = self.notes.iter().map(|note| note.in_memory).sum();
        assert_eq!((used, in_memory), (self.used, self.in_memory.iter().sum::<usize>()), "bytes are counted");
        let unsent = self.notes.iter().filter(|note| note.unsent.is_some()).count();
        assert_eq!(unsent, self.unsent.len(), "lanes with messages to send are known");
    }
}

impl Deref for Lanes {
    type Target = [Lane];

    fn deref(&self) -> &[Lane] {
        &self.list
    }
}

impl Index<usize> for Lanes {
    type Output = Lane;

    fn index(&self, at: usize) -> &Lane {
        &self.list[at]
    }
}

impl IndexMut<usize> for Lanes {
    fn index_mut(&mut self, at: usize) -> &mut Lane {
        self.give_out(at);
        &mut self.list[at]
    }
}

impl<'a> IntoIterator for &'a Lanes {
    type Item = &'a Lane;
    type IntoIter = std::slice::Iter<'a, Lane>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.iter()
    }
}

impl IntoIterator for Lanes {
    type Item = Lane;
    type IntoIter = std::vec::IntoIter<Lane>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::core::slots::Id;

    fn lane(name: &str, class: usize, durable: bool) -> Lane {
        let mut lane = Lane::new(name, class, 1, durable);
        lane.ring = Some(Ring::heap(1 << 20, 1, crate::ring::Sums::WhenSent));
        lane
    }

    fn lanes(count: usize, classes: usize) -> Lanes {
        let mut lanes = Lanes::default();
        (0..count).for_each(|at| lanes.push(lane(&format!("type{at}"), at % classes, at % 5 == 4)));
        lanes
    }

    fn push(lane: &mut Lane, number: u64) {
        let ring = lane.ring.as_mut().unwrap();
        ring.set_next_sequence(number);
        ring.push(&[b"\x02\0\0\0{}"], 0, None).unwrap();
    }

    /// What is known of all equals what is found when each is looked at.
    fn assert_known(lanes: &mut Lanes) {
        lanes.check();
        let of = |class: usize, at: &usize| lanes[*at].class == class && lanes[*at].has_unsent();
        for class in lanes.classes() {
            let odd = |at: &usize| lanes[*at].front_sequence().unwrap_or(0) % 2 == 1;
            let all = || (0..lanes.len()).filter(|at| of(class, at));
            let oldest = |at: &usize| lanes[*at].front_sequence();
            assert_eq!(lanes.oldest(class, |_| true), all().min_by_key(oldest));
            let is_odd = |lane: &Lane| lane.front_sequence().unwrap_or(0) % 2 == 1;
            assert_eq!(lanes.oldest(class, is_odd), all().filter(odd).min_by_key(oldest));
        }
        for lane in 0..lanes.len() {
            let others = (0..lanes.len()).any(|at| at != lane && lanes[at].has_unsent());
            assert_eq!(lanes.others_wait(lane, |_| true), others);
        }
        assert_eq!(lanes.begun(), lanes.iter().position(Lane::is_mid_frame));
        let used = |lane: &Lane| lane.ring.as_ref().map_or(0, Ring::used);
        assert_eq!(lanes.used(), lanes.iter().map(used).sum::<usize>());
        let waited_for: Vec<usize> = (0..lanes.len()).filter(|at| !lanes[*at].blocked.is_empty()).collect();
        assert_eq!(lanes.waited_for(), waited_for);
        for at in 0..lanes.len() {
            let beside = |wanted: &dyn Fn(usize) -> bool| -> usize {
                let others = lanes.iter().enumerate().filter(|(other, _)| *other != at);
                others.filter(|(_, other)| !other.durable && wanted(other.class)).map(|(_, lane)| used(lane)).sum()
            };
            let class = lanes[at].class;
            let expected = (beside(&|other| other > class), beside(&|other| other <= class));
            // Its own bytes count for nobody if it lies in a file; it is not asked then.
            if !lanes[at].durable {
                assert_eq!(lanes.in_memory_beside(at), expected);
            }
        }
    }

    #[test]
    fn what_is_known_of_all_lanes_is_what_a_look_at_each_finds() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut lanes = lanes(random.usize(1..12), random.usize(1..4));
            for number in 1..60 {
                let at = random.usize(0..lanes.len());
                match random.usize(0..8) {
                    0..3 => push(&mut lanes[at], number),
                    3 if lanes.begun().is_none() => _ = lanes[at].ring.as_mut().unwrap().sent(3),
                    4 => _ = lanes.begun().map(|at| lanes[at].ring.as_mut().unwrap().sent(3)),
                    5 => {
                        let ring = lanes.get_mut(at).unwrap().ring.as_mut().unwrap();
                        ring.skip_to(number);
                        ring.release_to(number, &mut |_| ());
                    }
                    6 => lanes[at].blocked.push(Id::new(number as u32, 0)),
                    7 => lanes.iter_mut().for_each(Lane::rewind),
                    _ => lanes.iter_mut().for_each(|lane| lane.blocked.clear()),
                }
                if random.bool() {
                    assert_known(&mut lanes);
                }
            }
        }
    }

    #[test]
    fn whose_turn_it_is_is_known_without_a_look_at_each_lane() {
        let mut lanes = lanes(1000, 1);
        (0..1000).for_each(|at| push(&mut lanes[at], 2000 - at as u64));
        let asked = Cell::new(0);
        let may = |_: &Lane| {
            asked.set(asked.get() + 1);
            true
        };
        assert_eq!(lanes.oldest(0, may), Some(999));
        assert!(lanes.others_wait(999, may));
        assert!(asked.get() <= 4, "{} lanes were asked", asked.get());
    }

    #[test]
    fn a_lane_is_found_by_its_name_and_an_old_one_is_not() {
        let mut lanes = lanes(3, 1);
        let mut old = lane("type1", 0, true);
        old.is_old = true;
        lanes.push(old);
        lanes.push(lane(&crate::wire::file::lane_name("type1"), 0, false));
        let file_lane = crate::wire::file::lane_name("type1");
        assert_eq!(["type1", &file_lane, "none"].map(|name| lanes.find(name)), [Some(1), Some(4), None]);
        assert_eq!(lanes.old().count(), 1);
    }
}
