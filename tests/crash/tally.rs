//! What came, number by number.

use std::fmt;
use std::ops::Range;

/// Counts what a receiving app was given.
#[derive(Clone, Default)]
pub struct Tally {
    /// How often each number came.
    times: Vec<u8>,
    /// How many came.
    pub received: u64,
    /// A number that had come before.
    pub twice: u64,
    /// A number that came for the first time behind a greater one.
    pub late: u64,
    /// What was altered on the way, or never sent.
    pub wrong: Vec<String>,
    /// The number before, and the first of those that follow when something is not as it should be.
    pub first_faults: Vec<String>,
}

/// Faults that a message of failure shows.
const SHOWN: usize = 10;

impl Tally {
    pub fn take(&mut self, number: Result<u64, String>) {
        self.received += 1;
        let number = match number {
            Ok(number) => number,
            Err(wrong) => return self.wrong.push(wrong),
        };
        let index = usize::try_from(number).expect("few messages");
        // A number that nobody sends is seen at the end, as one beyond those that were sent.
        if self.times.len() <= index {
            if self.times.len() < index {
                self.fault(format!("{number} came when {} was expected", self.times.len()));
            }
            self.times.resize(index + 1, 0);
        } else if self.times[index] > 0 {
            self.twice += 1;
            self.fault(format!("{number} came again, when {} was expected", self.times.len()));
        } else {
            self.late += 1;
            self.fault(format!("{number} came late, when {} was expected", self.times.len()));
        }
        self.times[index] = self.times[index].saturating_add(1);
    }

    fn fault(&mut self, text: String) {
        if self.first_faults.len() < SHOWN {
            self.first_faults.push(text);
        }
    }

    /// One more than the greatest number that came.
    pub fn end(&self) -> u64 {
        self.times.len() as u64
    }

    /// Whether this number came.
    pub fn has(&self, number: u64) -> bool {
        usize::try_from(number).ok().and_then(|index| self.times.get(index)).is_some_and(|times| *times > 0)
    }

    /// Of the numbers below `sent` those that never came, in ranges.
    pub fn lost(&self, sent: u64) -> Vec<Range<u64>> {
        let mut lost: Vec<Range<u64>> = Vec::new();
        for number in (0..sent).filter(|number| !self.has(*number)) {
            match lost.last_mut() {
                Some(range) if range.end == number => range.end += 1,
                _ => lost.push(number..number + 1),
            }
        }
        lost
    }

    pub fn lost_count(&self, sent: u64) -> u64 {
        self.lost(sent).iter().map(|range| range.end - range.start).sum()
    }

    /// Every one of `sent` numbers came once, in order, unaltered, and nothing else.
    #[track_caller]
    pub fn assert_exact(&self, sent: u64) {
        let exact = self.received == sent && self.lost(sent).is_empty();
        assert!(exact && self.twice == 0 && self.late == 0 && self.wrong.is_empty(), "{}", self.describe(sent));
        assert_eq!(self.end(), sent, "numbers came that nobody sent");
    }

    /// Nothing was altered, nothing came that was not sent, and nothing came late.
    #[track_caller]
    pub fn assert_order(&self, sent: u64) {
        assert!(self.wrong.is_empty() && self.late == 0 && self.end() <= sent, "{}", self.describe(sent));
    }

    /// The figures in one line, and the first faults.
    pub fn describe(&self, sent: u64) -> String {
        let lost = self.lost(sent);
        let mut text = format!("{sent} sent, {self}, {} lost", self.lost_count(sent));
        for (name, faults) in [
            ("lost", lost.iter().take(SHOWN).map(|range| format!("{range:?}")).collect::<Vec<_>>()),
            ("first faults", self.first_faults.clone()),
            ("wrong", self.wrong.iter().take(SHOWN).cloned().collect()),
        ] {
            if !faults.is_empty() {
                text += &format!("\n  {name}: {}", faults.join("; "));
            }
        }
        text
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { received, twice, late, wrong, .. } = self;
        write!(f, "{received} received, {twice} twice, {late} out of order, {} wrong", wrong.len())
    }
}
