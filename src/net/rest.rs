//! A connector that an admin stops and starts: the doors close and open, the loop turns all the while.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::Value;

use super::doors::Doors;
use super::shell::{APPS, Kind, LINKS, Shell};
use super::stream::Received;
use crate::core::{Id, LifeWork, OwnerWork, Restart};

impl Shell {
    /// Whether an admin has stopped the connector, which has come to rest.
    #[must_use]
    pub fn is_resting(&self) -> bool {
        self.parts.connector.is_resting()
    }

    /// What admins want of the owner of the loop since the last call.
    pub fn take_owner_work(&mut self) -> Vec<OwnerWork> {
        std::mem::take(&mut self.owner_work)
    }

    /// Answers an admin on behalf of the owner.
    pub fn owner_answers(&mut self, id: Id, result: Result<String, String>, now: Instant) {
        self.parts.connector.owner_answers(id, result, now);
        self.do_outputs(now);
    }

    /// Says whether this admin's restart would do.
    pub fn restart_prepared(&mut self, id: Id, restart: Restart, result: Result<(), String>, now: Instant) {
        self.parts.connector.restart_prepared(id, restart, result, now);
        self.do_outputs(now);
        self.rest_as_ordered(now);
    }

    /// Ends a connector that rests, for another life; admins who wait for it to serve again are told that it does.
    pub fn end_for_another_life(&mut self, now: Instant) {
        self.parts.connector.end_when_answered(Ok(()), now);
        self.do_outputs(now);
    }

    /// Ends a connector that rests for good, as a signal does.
    pub fn end_for_good(&mut self, now: Instant) {
        self.told_to_end = true;
        self.parts.connector.end_when_answered(Err("an admin has ended the connector"), now);
        self.do_outputs(now);
    }

    /// What of the config admins may see from now on.
    pub fn set_attributes(&mut self, attributes: BTreeMap<&'static str, Value>) {
        self.parts.connector.set_attributes(attributes);
    }

    pub(super) fn life_work(&mut self, work: LifeWork, now: Instant) {
        match work {
            LifeWork::Rest { hard } => self.rest_ordered = Some(hard || self.rest_ordered == Some(true)),
            LifeWork::Open => self.open_again(now),
            LifeWork::Rests => log::info!("stopped by an admin: only admins are answered now"),
            LifeWork::Owner(work) => self.owner_work.push(work),
        }
    }

    /// Begins the rest that an admin has ordered. What apps have sent before is taken, unless it is a hard stop.
    pub(super) fn rest_as_ordered(&mut self, now: Instant) {
        let Some(hard) = self.rest_ordered.take() else { return };
        if self.ended {
            return;
        }
        if !self.stopping {
            log::info!("{}", if hard { "stopping at once" } else { "stopping: what is queued is sent first" });
            self.take_last_words(hard, now);
        }
        self.parts.doors.close();
        self.parts.connector.rest(hard, now);
        self.do_outputs(now);
    }

    /// Nothing new is accepted from now on; what apps have sent is taken, unless `hard`.
    pub(super) fn take_last_words(&mut self, hard: bool, now: Instant) {
        if hard {
            self.stopping = true;
            return;
        }
        self.accept_apps(now);
        self.stopping = true;
        for id in self.ids(|kind| matches!(kind, Kind::App)) {
            if let Some(entry) = self.entry(id) {
                // What has come since the poller was asked counts, too.
                entry.stream.readable = true;
            }
            while matches!(self.receive(id, now), Some(Received::More)) {}
        }
    }

    /// Opens the doors of a connector that rests, which serves again then; if that fails, it goes on resting.
    pub fn open_again(&mut self, now: Instant) {
        if !self.is_resting() {
            return;
        }
        let doors: &mut Doors = &mut self.parts.doors;
        match doors.open_again(self.poll.registry(), LINKS, APPS) {
            Ok(()) => {
                self.stopping = false;
                self.accept_again = Some(now);
                log::info!("started again");
                self.parts.connector.begin_again(now);
            }
            Err(why) => {
                log::error!("not started again, the connector stays stopped: {why}");
                self.parts.connector.not_begun(&why, now);
            }
        }
        self.do_outputs(now);
    }
}
