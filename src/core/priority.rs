//! Priorities: which message types go first when several wait for a peer.
//!
//! Types of one number are a class; the class of the smallest number is the most urgent one, and has index 0. Within a
//! class what came first goes first. A class that waits gets its share all the same: [`SHARE`] of what it and the more
//! urgent classes send, measured in bytes. So a flood of the urgent does not stop the others, and a flood of the others
//! delays the urgent by what is on its way, and by one turn or message.

use std::collections::{BTreeMap, HashMap};

/// A class that waits gets one byte in so many that go out of it and of more urgent classes, at least.
pub const SHARE: i64 = 16;

/// Bytes that go out of a class in a row, if others wait: then the more urgent have their turn again.
pub const TURN: usize = 64 * 1024;

/// Bytes of more urgent classes after which it is a waiting class's turn.
const PATIENCE: i64 = (SHARE - 1) * TURN as i64;

/// What a class that had a turn can owe at most for it: a message that is longer than its turn goes out whole.
const DEBT_MAX: i64 = SHARE * PATIENCE;

/// The classes of all types.
#[derive(Debug, Default)]
pub(super) struct Classes {
    of_type: HashMap<String, usize>,
    unlisted: usize,
    count: usize,
}

impl Classes {
    /// Of types with these priorities; those that are not listed have 0.
    pub fn new(priorities: &BTreeMap<String, f64>) -> Self {
        // Both zeros are one number.
        let number = |priority: &f64| priority + 0.0;
        let mut numbers: Vec<f64> = priorities.values().map(number).chain([0.0]).collect();
        numbers.sort_by(f64::total_cmp);
        numbers.dedup();
        let class = |priority: f64| numbers.iter().position(|number| *number == priority).unwrap_or(0);
        let of_type = priorities.iter().map(|(t, priority)| (t.clone(), class(number(priority)))).collect();
        Self { of_type, unlisted: class(0.0), count: numbers.len() }
    }

    pub fn of(&self, message_type: &str) -> usize {
        self.of_type.get(message_type).copied().unwrap_or(self.unlisted)
    }

    /// The turns that lanes of these classes take.
    pub fn turns(&self) -> Turns {
        let count = if self.count < 2 { 0 } else { self.count };
        Turns { classes: vec![Class::default(); count] }
    }
}

/// Whose turn it is, at one peer. Without classes it says nothing, and costs nothing.
#[derive(Debug, Default)]
pub(super) struct Turns {
    classes: Vec<Class>,
}

#[derive(Clone, Debug, Default)]
struct Class {
    /// Bytes of more urgent classes that went out while it waited, less [`SHARE`] for each byte of its own turns.
    passed_over: i64,
    waits: bool,
}

impl Turns {
    /// All types are of one class.
    pub fn are_equal(&self) -> bool {
        self.classes.is_empty()
    }

    /// The class whose turn it is, of these that could send.
    pub fn next(&self, classes: impl Iterator<Item = usize> + Clone) -> Option<usize> {
        let passed_over = |class: usize| self.classes.get(class).map_or(0, |class| class.passed_over);
        let due = classes.clone().filter(|class| passed_over(*class) >= PATIENCE);
        due.max_by_key(|class| passed_over(*class)).or_else(|| classes.min())
    }

    /// So many bytes of a class went out, and these classes could have sent as well.
    pub fn sent(&mut self, class: usize, bytes: usize, waiting: impl Iterator<Item = usize>) {
        self.classes.iter_mut().for_each(|class| class.waits = false);
        for class in waiting {
            if let Some(class) = self.classes.get_mut(class) {
                class.waits = true;
            }
        }
        let bytes = i64::try_from(bytes).unwrap_or(DEBT_MAX).min(DEBT_MAX);
        let more_urgent_waits = self.classes.iter().take(class).any(|class| class.waits);
        if let Some(own) = self.classes.get_mut(class) {
            // What nobody else wanted to send is not held against it.
            let owed = own.passed_over - bytes * (SHARE - 1);
            own.passed_over = if more_urgent_waits { owed.max(-DEBT_MAX) } else { 0 };
        }
        for less_urgent in self.classes.iter_mut().skip(class + 1) {
            let passed_over = less_urgent.passed_over + bytes;
            less_urgent.passed_over = passed_over.min(if less_urgent.waits { 2 * PATIENCE } else { 0 });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn priorities(list: &[(&str, f64)]) -> BTreeMap<String, f64> {
        list.iter().map(|(message_type, priority)| ((*message_type).to_owned(), *priority)).collect()
    }

    #[test]
    fn the_smallest_number_is_the_most_urgent_and_what_is_not_listed_has_0() {
        let classes = Classes::new(&priorities(&[("a", 2.5), ("b", -1.0), ("c", 2.5), ("d", -0.0)]));
        assert_eq!(["a", "b", "c", "d", "e"].map(|t| classes.of(t)), [2, 0, 2, 1, 1]);
        assert!(!classes.turns().are_equal());
    }

    #[test]
    fn types_of_one_number_take_no_turns() {
        assert!(Classes::new(&BTreeMap::new()).turns().are_equal());
        assert!(Classes::new(&priorities(&[("a", 0.0), ("b", -0.0)])).turns().are_equal());
    }

    /// What each class has sent of a long flood of all, in pieces of these sizes.
    fn flood(pieces: &[usize]) -> Vec<usize> {
        let classes = Classes::new(&pieces.iter().zip(0..).map(|(_, n)| (n.to_string(), f64::from(n))).collect());
        let (mut turns, all) = (classes.turns(), 0..pieces.len());
        let mut sent = vec![0; pieces.len()];
        for _ in 0..400_000 {
            let class = turns.next(all.clone()).unwrap();
            sent[class] += pieces[class];
            turns.sent(class, pieces[class], all.clone());
        }
        sent
    }

    #[test]
    fn a_class_that_waits_gets_its_share_of_what_goes_out_and_hardly_more() {
        for pieces in [[100, 100, 100], [65_536, 300, 70_000], [300, 1_000_000, 40_000], [9_000, 65_536, 100]] {
            let sent = flood(&pieces);
            for class in 1..sent.len() {
                let share = sent[class] as f64 / sent[..=class].iter().sum::<usize>() as f64;
                assert!((0.060..0.066).contains(&share), "class {class} of {pieces:?}: {share}");
            }
        }
    }

    #[test]
    fn the_most_urgent_of_many_classes_is_not_stopped_by_the_shares_of_the_others() {
        let sent = flood(&[1000; 20]);
        let share = sent[0] as f64 / sent.iter().sum::<usize>() as f64;
        assert!(share > 0.28, "(15/16)^19 is 0.29: {share}");
    }

    #[test]
    fn what_a_class_sent_while_nobody_else_wanted_to_is_not_held_against_it() {
        let mut turns = Classes::new(&priorities(&[("low", 1.0)])).turns();
        turns.sent(1, 1 << 30, [1].into_iter());
        let mut passed = 0;
        while turns.next(0..2) == Some(0) {
            turns.sent(0, TURN, 0..2);
            passed += TURN;
        }
        assert_eq!(passed, 15 * TURN);
    }

    #[test]
    fn a_class_that_did_not_wait_has_no_turn_to_come() {
        let mut turns = Classes::new(&priorities(&[("low", 1.0)])).turns();
        turns.sent(0, 1 << 30, [0].into_iter());
        assert_eq!(turns.next(0..2), Some(0));
    }
}
