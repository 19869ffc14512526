//! What is counted, and told once in a while.

use std::time::Instant;

use super::connector::Connector;
use super::event::Event;
use super::ledger::{Ledger, Reason};
use super::settings::REPORT_PERIOD;
use super::timers::Timer;

impl Connector {
    pub(super) fn count_drop(&mut self, peer: &str, message_type: &str, reason: Reason, messages: u64, now: Instant) {
        if messages > 0 {
            self.ledger.count(peer, message_type, reason, messages);
            self.report_soon(now);
        }
    }

    pub(super) fn report(&mut self) {
        for (entry, messages) in self.ledger.report() {
            self.tell(Event::Dropped { entry, messages });
        }
        self.report_files();
        self.report_refused();
    }

    /// Has what was counted told, once the time for it has come.
    pub(super) fn report_soon(&mut self, now: Instant) {
        self.timers.arm_if_idle(Timer::Report, now + REPORT_PERIOD);
    }

    /// The messages that were not delivered since the start.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}
