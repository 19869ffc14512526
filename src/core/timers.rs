//! What is due when.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use super::slots::Id;

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Timer {
    /// A connection must have been opened, secured and identified.
    Handshake(Id),
    /// It is time for the next keep-alive of a link.
    KeepAlive(Id),
    /// The answer to a keep-alive is overdue.
    KeepAliveAnswer(Id),
    /// A connection with something to send must have taken some of it.
    Progress(Id),
    /// The last words to a connection must have gone out.
    Linger(Id),
    /// A request has waited for as long as its app wanted: its number.
    Answer(u64),
    /// It is to be asked what TCP has confirmed of a link.
    Confirm(Id),
    /// The link has been up for long enough to forget earlier failures.
    Stable(Id),
    /// The app of an inbox must have taken some of what is in it.
    Unread(usize),
    /// An app that receives has had time to say that it acknowledges.
    Hello(Id),
    /// An app that could not take a connection is tried again: the inbox.
    DialApp(usize),
    /// A client may send more again.
    Rate(Id),
    /// The server is dialled again.
    Redial,
    /// The first address of the server is tried, while the link leads to another.
    Return,
    /// Files that could not be sent are tried again.
    Files,
    /// Queues in files that could not be written are tried again.
    StoreAgain,
    /// What has changed in queues in files is to lie on the disk.
    Sync,
    /// Peers are told of what was taken over of them, though nothing else goes to them.
    Taken,
    /// What was dropped lately is reported.
    Report,
    /// Memory of queues that stayed empty is given back.
    Tidy,
    /// Draining has lasted long enough.
    Shutdown,
    /// A connector that rests begins again.
    Begin,
}

/// At most one deadline for each [`Timer`].
#[derive(Debug, Default)]
pub struct Timers {
    armed: HashMap<Timer, Instant>,
    order: BTreeSet<(Instant, Timer)>,
}

impl Timers {
    /// Sets the deadline, in place of an earlier one.
    pub fn arm(&mut self, timer: Timer, at: Instant) {
        self.disarm(timer);
        self.armed.insert(timer, at);
        self.order.insert((at, timer));
    }

    /// Sets the deadline unless there is one.
    pub fn arm_if_idle(&mut self, timer: Timer, at: Instant) {
        if !self.armed.contains_key(&timer) {
            self.arm(timer, at);
        }
    }

    /// Forgets the deadline.
    pub fn disarm(&mut self, timer: Timer) {
        if let Some(at) = self.armed.remove(&timer) {
            self.order.remove(&(at, timer));
        }
    }

    /// Forgets all deadlines of a connection.
    pub fn disarm_connection(&mut self, id: Id) {
        use Timer::{Confirm, Handshake, Hello, KeepAlive, KeepAliveAnswer, Linger, Progress, Rate, Stable};
        for timer in [Confirm, Handshake, Hello, KeepAlive, KeepAliveAnswer, Progress, Linger, Rate, Stable] {
            self.disarm(timer(id));
        }
    }

    /// The next deadline.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes one timer that is due.
    pub fn due(&mut self, now: Instant) -> Option<Timer> {
        let (at, timer) = *self.order.first()?;
        if at > now {
            return None;
        }
        self.disarm(timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn timers_come_due_in_order_and_once() {
        let (mut timers, start) = (Timers::default(), Instant::now());
        let at = |s| start + Duration::from_secs(s);
        timers.arm(Timer::Redial, at(2));
        timers.arm(Timer::Report, at(1));
        timers.arm(Timer::Redial, at(3));
        timers.arm_if_idle(Timer::Report, at(9));
        assert_eq!(timers.next(), Some(at(1)));
        assert_eq!(timers.due(at(0)), None);
        assert_eq!(timers.due(at(2)), Some(Timer::Report));
        assert_eq!(timers.due(at(2)), None);
        assert_eq!(timers.due(at(3)), Some(Timer::Redial));
        assert_eq!(timers.next(), None);
    }
}
