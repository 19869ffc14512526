//! Receipts: what an app that asked for them is told of its messages.
//!
//! A message of such an app carries its [`Origin`] into the outbox: whose it is, and its number there. When the peer has
//! taken it over, and the outbox gives it up, the origin says whose count goes on. With a session, the count of messages
//! that were taken in is a place: it outlives the connection and the process, and what an app sends again because it
//! does not know that it came, is passed over.

use std::collections::BTreeMap;
use std::time::Instant;

use super::connector::{Connector, Step};
use super::event::Cause;
use super::ledger::Reason;
use super::peer::Lane;
use super::places::Key;
use super::settings::{Covered, Settings};
use super::slots::Id;
use crate::wire::frame::Frame;
use crate::wire::header::Header;
use crate::wire::receipts::{Hello, Level, Receipt, Refused, RefusedReason, Welcome};
use crate::wire::record::Origin;

/// Most messages of an app that asked for the level `delivered` that may be on their way; beyond that it waits.
pub const OUTSTANDING_MAX: u64 = 1 << 20;

/// Set in an origin's slot: it is no place, but a connection of this life of the connector.
const CONNECTION: u32 = 1 << 31;

/// Which numbers have passed: all below one, and ranges beyond it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Passed {
    /// All below this number.
    pub all: u64,
    /// Ranges beyond it, that do not touch: from, to (not included).
    beyond: BTreeMap<u64, u64>,
}

impl Passed {
    /// This number has passed.
    pub fn add(&mut self, number: u64) {
        if number < self.all {
            return;
        }
        if number == self.all {
            self.all += 1;
        } else {
            let before = self.beyond.range(..=number).next_back().map(|(from, to)| (*from, *to));
            match before {
                Some((_, to)) if to > number => return,
                Some((from, to)) if to == number => self.beyond.insert(from, number + 1),
                _ => self.beyond.insert(number, number + 1),
            };
            let from = before.filter(|(_, to)| *to == number).map_or(number, |(from, _)| from);
            if let Some(to) = self.beyond.remove(&(number + 1)) {
                self.beyond.insert(from, to);
            }
        }
        self.join();
    }

    /// All below this number have passed.
    pub fn raise(&mut self, all: u64) {
        self.all = self.all.max(all);
        self.join();
    }

    fn join(&mut self) {
        while let Some((from, to)) = self.beyond.first_key_value().map(|(from, to)| (*from, *to))
            && from <= self.all
        {
            self.all = self.all.max(to);
            self.beyond.remove(&from);
        }
    }
}

/// A session in this life of the connector.
#[derive(Debug)]
pub(super) struct Session {
    /// The connection that it goes on with.
    conn: Option<Id>,
    /// What peers have taken over.
    delivered: Passed,
    /// So many were taken in before this life: which of those beyond `delivered` were taken over is not known before all
    /// that was stored then has gone.
    held_at_start: u64,
}

/// What an app is told on a connection.
#[derive(Debug)]
pub(super) struct Receipts {
    level: Level,
    /// The session's place, and its generation.
    session: Option<(u32, u32)>,
    /// Messages that have come, those that came before counted.
    seen: u64,
    /// The last receipt said so.
    told: u64,
    /// Without a session: what peers have taken over.
    delivered: Passed,
    listed: bool,
    /// The connection waits for messages to be delivered.
    waits: bool,
}

impl Settings {
    fn grant(&self, asked: Level) -> Level {
        if asked == Level::Stored && self.persist_send == Covered::None { Level::Accepted } else { asked }
    }
}

impl Connector {
    /// An app wants receipts.
    pub(super) fn app_hello(&mut self, id: Id, frame: &Frame<'_>, header: &Header<'_>, now: Instant) -> Step {
        let hello = match Hello::parse(header, frame.header()) {
            Ok(hello) => hello,
            Err(error) => return Step::End(Cause::BadInput(error.to_string())),
        };
        if self.conns.get_mut(id).and_then(|c| c.app_mut()).is_none_or(|app| app.receipts.is_some() || app.has_sent) {
            return Step::End(Cause::BadInput("a _hello must be an app's first message, and its only one".to_owned()));
        }
        let level = self.settings.grant(hello.receipts);
        let session = hello.session.map(|name| self.attach(id, &name, now));
        let (seen, delivered) = match session {
            Some((slot, _)) => self.session_counts(slot),
            None => (0, 0),
        };
        let told = if level == Level::Delivered { delivered } else { seen };
        let welcome = Welcome {
            level,
            connector: self.settings.id.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            count: session.map(|_| told),
        };
        self.send_control(id, welcome.encode());
        if let Some(app) = self.conns.get_mut(id).and_then(|c| c.app_mut()) {
            let receipts = Receipts {
                level,
                session,
                seen: told,
                told,
                delivered: Passed::default(),
                listed: false,
                waits: false,
            };
            app.receipts = Some(Box::new(receipts));
        }
        Step::Taken
    }

    /// Has a session go on with a connection; one that it had before is let go.
    fn attach(&mut self, id: Id, name: &str, now: Instant) -> (u32, u32) {
        let unix = self.unix(now);
        let slot = self.places.find_or_add(Key::session(name), unix);
        self.places.change(slot, |place| place.seen = unix);
        let place = self.places.get(slot).map_or((0, 0, 0), |p| (p.generation, p.taken, p.other));
        let (generation, taken, delivered) = place;
        let fresh = || Session {
            conn: None,
            delivered: Passed { all: delivered, beyond: BTreeMap::new() },
            held_at_start: taken,
        };
        let session = self.sessions.entry(slot).or_insert_with(fresh);
        if let Some(old) = session.conn.replace(id)
            && old != id
        {
            self.close(old, Cause::Replaced, now);
            if let Some(session) = self.sessions.get_mut(&slot) {
                session.conn = Some(id);
            }
        }
        if self.is_old_gone() {
            self.raise_delivered(slot);
        }
        self.keep_places(now);
        (slot, generation)
    }

    /// All that was stored in an earlier life has gone: so has what the session had there.
    fn raise_delivered(&mut self, slot: u32) {
        let Some(session) = self.sessions.get_mut(&slot) else { return };
        session.delivered.raise(session.held_at_start);
        let all = session.delivered.all;
        if self.places.get(slot).is_some_and(|place| place.other != all) {
            self.places.change(slot, |place| place.other = all);
        }
    }

    /// A queue of an earlier life has gone: the receipts of all sessions are looked at.
    pub(super) fn old_queue_gone(&mut self) {
        let conns: Vec<Id> = self.sessions.values().filter_map(|session| session.conn).collect();
        conns.into_iter().for_each(|id| self.list_receipts(Some(id)));
    }

    /// Messages of a session that were taken in, and those that were taken over by peers.
    fn session_counts(&self, slot: u32) -> (u64, u64) {
        let taken = self.places.get(slot).map_or(0, |place| place.taken);
        (taken, self.sessions.get(&slot).map_or(0, |session| session.delivered.all.min(taken)))
    }

    /// The connection of an app with receipts is gone.
    pub(super) fn detach_session(&mut self, id: Id, receipts: &Receipts, now: Instant) {
        let Some((slot, _)) = receipts.session else { return };
        let unix = self.unix(now);
        self.places.change(slot, |place| place.seen = unix);
        if let Some(session) = self.sessions.get_mut(&slot).filter(|s| s.conn == Some(id)) {
            session.conn = None;
        }
    }

    /// Forgets sessions of apps that were not there for `session_ttl`.
    pub(super) fn forget_sessions(&mut self, now: Instant) {
        let oldest = self.unix(now).saturating_sub(self.settings.session_ttl.as_secs());
        for slot in self.places.sessions_before(oldest) {
            if self.sessions.get(&slot).is_none_or(|session| session.conn.is_none()) {
                self.sessions.remove(&slot);
                self.places.remove(slot);
            }
        }
    }

    fn receipts_mut(&mut self, id: Id) -> Option<&mut Receipts> {
        self.conns.get_mut(id)?.app_mut()?.receipts.as_deref_mut()
    }

    /// What is to be done with an app's next message before it is looked at: nothing, or it is here already, or it waits.
    pub(super) fn before_message(&mut self, id: Id) -> Option<Step> {
        let receipts = self.receipts_mut(id)?;
        let (seen, session, level) = (receipts.seen, receipts.session, receipts.level);
        if let Some((slot, _)) = session {
            let (taken, delivered) = self.session_counts(slot);
            if seen < taken {
                self.receipts_mut(id)?.seen += 1;
                return Some(Step::Taken);
            }
            return self.too_many(id, level, seen - delivered);
        }
        let delivered = self.receipts_mut(id)?.delivered.all;
        self.too_many(id, level, seen - delivered)
    }

    fn too_many(&mut self, id: Id, level: Level, outstanding: u64) -> Option<Step> {
        if level != Level::Delivered || outstanding < OUTSTANDING_MAX {
            return None;
        }
        self.receipts_mut(id)?.waits = true;
        Some(Step::Blocked)
    }

    /// What an app's next message carries with it, so that its way can be followed.
    pub(super) fn next_origin(&self, id: Id) -> Option<Origin> {
        let Some(super::conn::Kind::App(app)) = self.conns.get(id).map(|c| &c.kind) else { return None };
        let receipts = app.receipts.as_deref()?;
        match receipts.session {
            Some((slot, generation)) => Some(Origin { slot, generation, count: receipts.seen }),
            None if receipts.level == Level::Delivered => Some(self.connection_origin(id, receipts.seen)),
            None => None,
        }
    }

    fn connection_origin(&self, id: Id, count: u64) -> Origin {
        // Mixed with the life's own number, so that what is left of an earlier life is nobody's.
        Origin { slot: CONNECTION | id.index() as u32, generation: id.generation() ^ self.settings.seed as u32, count }
    }

    /// An app's message was taken in, or was refused.
    pub(super) fn passed(&mut self, id: Id, refused: Option<Reason>) {
        let Some(receipts) = self.receipts_mut(id) else { return };
        let (number, session) = (receipts.seen, receipts.session);
        receipts.seen += 1;
        let was_listed = std::mem::replace(&mut receipts.listed, true);
        if !was_listed {
            self.to_receipt.push(id);
        }
        if let Some((slot, generation)) = session {
            self.places.take(Origin { slot, generation, count: number });
        }
        if let Some(reason) = refused {
            let reason = RefusedReason::from_word(reason.word());
            self.send_control(id, Refused { index: number + 1, reason }.encode());
            self.never_delivered(id, session, number);
        }
    }

    /// An app's message goes no further: it counts as delivered.
    fn never_delivered(&mut self, id: Id, session: Option<(u32, u32)>, number: u64) {
        let origin = match session {
            Some((slot, generation)) => Origin { slot, generation, count: number },
            None => self.connection_origin(id, number),
        };
        self.delivered(&[origin]);
    }

    /// Refuses an app's message that could not even be read: the frame that says so.
    pub(super) fn refused(&mut self, id: Id, reason: RefusedReason) -> Vec<u8> {
        let (number, session) = self.receipts_mut(id).map_or((0, None), |receipts| (receipts.seen, receipts.session));
        self.passed(id, None);
        self.never_delivered(id, session, number);
        Refused { index: number + 1, reason }.encode()
    }

    /// Messages of these origins are with their peers, or will never be.
    pub(super) fn delivered(&mut self, origins: &[Origin]) {
        for origin in origins {
            if origin.slot & CONNECTION != 0 {
                self.delivered_on(origin);
                continue;
            }
            let Some(place) = self.places.get(origin.slot).filter(|p| p.generation == origin.generation) else {
                continue;
            };
            let (taken, all) = (place.taken, place.other);
            let fresh =
                || Session { conn: None, delivered: Passed { all, beyond: BTreeMap::new() }, held_at_start: taken };
            let session = self.sessions.entry(origin.slot).or_insert_with(fresh);
            session.delivered.add(origin.count);
            let (all, conn) = (session.delivered.all, session.conn);
            if all != place.other {
                self.places.change(origin.slot, |place| place.other = all);
            }
            self.list_receipts(conn);
        }
    }

    fn delivered_on(&mut self, origin: &Origin) {
        let generation = origin.generation ^ self.settings.seed as u32;
        let id = Id::new(origin.slot & !CONNECTION, generation);
        if let Some(receipts) = self.receipts_mut(id) {
            receipts.delivered.add(origin.count);
            self.list_receipts(Some(id));
        }
    }

    fn list_receipts(&mut self, conn: Option<Id>) {
        let Some(id) = conn else { return };
        if let Some(receipts) = self.receipts_mut(id)
            && !std::mem::replace(&mut receipts.listed, true)
        {
            self.to_receipt.push(id);
        }
    }

    /// Messages that were given up to make room for others: who sent them learns of it.
    pub(super) fn refuse_later(&mut self, origins: &[Origin], reason: Reason) {
        for origin in origins {
            let id = if origin.slot & CONNECTION != 0 {
                Some(Id::new(origin.slot & !CONNECTION, origin.generation ^ self.settings.seed as u32))
            } else {
                self.sessions.get(&origin.slot).and_then(|session| session.conn)
            };
            if let Some(id) = id.filter(|id| self.receipts_mut(*id).is_some()) {
                let reason = RefusedReason::from_word(reason.word());
                self.send_control(id, Refused { index: origin.count + 1, reason }.encode());
            }
        }
        self.delivered(origins);
    }

    /// Sends the receipts that are due, one an app at most.
    pub(super) fn tell_receipts(&mut self, now: Instant) {
        if self.to_receipt.is_empty() {
            return;
        }
        let all_old_gone = self.is_old_gone();
        let mut waited = Vec::new();
        for id in std::mem::take(&mut self.to_receipt) {
            let Some(receipts) = self.receipts_mut(id) else { continue };
            receipts.listed = false;
            let (level, session, seen) = (receipts.level, receipts.session, receipts.seen);
            let delivered = receipts.delivered.all;
            let (held, delivered) = match session {
                Some((slot, _)) => {
                    if all_old_gone {
                        self.raise_delivered(slot);
                    }
                    self.session_counts(slot)
                }
                None => (seen, delivered),
            };
            let count = if level == Level::Delivered { delivered } else { held };
            let Some(receipts) = self.receipts_mut(id) else { continue };
            if receipts.waits && seen.saturating_sub(delivered) <= OUTSTANDING_MAX / 2 {
                receipts.waits = false;
                waited.push(id);
            }
            if count > receipts.told {
                receipts.told = count;
                self.send_control(id, Receipt { level, count }.encode());
            }
        }
        self.unblock(waited, now);
    }

    /// Whether all that was stored in an earlier life is gone.
    fn is_old_gone(&self) -> bool {
        !self.peers.iter().flat_map(|(_, peer)| &peer.lanes).any(Lane::is_of_earlier_life)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_pass_in_any_order_count_when_all_before_them_have() {
        let mut rng = fastrand::Rng::with_seed(5);
        for _ in 0..200 {
            let mut numbers: Vec<u64> = (0..rng.u64(1..60)).collect();
            rng.shuffle(&mut numbers);
            let (mut passed, mut had) = (Passed::default(), std::collections::BTreeSet::new());
            for number in numbers.iter().copied().chain(numbers.iter().copied().take(3)) {
                passed.add(number);
                had.insert(number);
                let all = (0..).find(|n| !had.contains(n)).unwrap_or_default();
                assert_eq!(passed.all, all);
                let beyond: Vec<u64> = passed.beyond.iter().flat_map(|(from, to)| *from..*to).collect();
                assert_eq!(beyond, had.iter().copied().filter(|n| *n > all).collect::<Vec<_>>());
            }
            assert!(passed.beyond.is_empty());
        }
    }
}
