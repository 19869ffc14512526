//! Receipts: what an app that asked for them is told of its messages.
//!
//! A message of such an app carries its [`Origin`] into the outbox: whose it is, and its number there. When the peer has
//! taken it over, and the outbox gives it up, the origin says whose count goes on. With a session, the count of messages
//! that were taken in is a place: it outlives the connection and the process, and what an app sends again because it
//! does not know that it came, is passed over.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::time::Instant;

use super::connector::{Connector, Step};
use super::event::Cause;
use super::ledger::Reason;
use super::outbox::STORE_AGAIN;
use super::places::{Key, Place};
use super::settings::{Covered, Settings};
use super::slots::Id;
use super::timers::Timer;
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

    /// These numbers have passed.
    pub fn add_range(&mut self, range: Range<u64>) {
        let (mut from, mut to) = (range.start.max(self.all), range.end);
        if from >= to {
            return;
        }
        // Those that touch it become part of it: the last of them first.
        while let Some((start, end)) = self.beyond.range(..=to).next_back().map(|(start, end)| (*start, *end))
            && end >= from
        {
            (from, to) = (from.min(start), to.max(end));
            self.beyond.remove(&start);
        }
        self.beyond.insert(from, to);
        self.join();
    }

    /// Those below this number that have not passed.
    pub fn missing(&self, below: u64) -> Vec<Range<u64>> {
        let (mut out, mut from) = (Vec::new(), self.all);
        for (start, end) in self.beyond.iter().chain(std::iter::once((&below, &below))) {
            let gap = from..(*start).min(below);
            out.extend((!gap.is_empty()).then_some(gap));
            from = from.max(*end);
        }
        out
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
    /// So many were taken in before this life. Those that `delivered` lacks wait in queues that are stored; or they are
    /// delivered; or, if some were not stored, perhaps they are lost. None: this was found out.
    earlier: Option<u64>,
    /// Some of those were not stored.
    was_in_memory: bool,
    /// Those that are perhaps lost: the app sends them again, and they are taken in.
    again: VecDeque<Range<u64>>,
}

impl Session {
    /// As its place has it.
    fn new(place: &Place) -> Self {
        Self {
            conn: None,
            delivered: Passed { all: place.other, beyond: BTreeMap::new() },
            earlier: Some(place.taken),
            was_in_memory: place.epoch == IN_MEMORY,
            again: VecDeque::new(),
        }
    }
}

/// Stands in a session's place, for the epoch that it has not: some of its messages lie in memory of the process.
const IN_MEMORY: u64 = 1;

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
        if level == Level::Delivered && hello.session.is_some() && self.waits_for_file(id) {
            return Step::Blocked;
        }
        let session = match hello.session.map(|name| self.attach(id, &name, level, now)) {
            Some(None) => {
                self.greeting.push(id);
                return Step::Blocked;
            }
            attached => attached.flatten(),
        };
        let (seen, delivered) = match session {
            Some((slot, _)) => self.session_counts(slot),
            None => (0, 0),
        };
        let told = match session {
            // Nobody would know after a crash: the app begins again, and what is here already is passed over.
            Some((slot, _)) if !self.places.has_room(slot) => 0,
            _ if level == Level::Delivered => delivered,
            _ => seen,
        };
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

    /// Whether a queue's file cannot be opened now, which may have messages of a session. Who is told of these waits.
    fn waits_for_file(&mut self, id: Id) -> bool {
        for peer in self.peers.ids() {
            let lanes = self.peers.get_mut(peer).map(|peer| peer.lanes.iter_mut());
            if let Some(lane) = lanes.into_iter().flatten().find(|lane| lane.lacks_file) {
                lane.blocked.push(id);
                return true;
            }
        }
        false
    }

    /// Has a session go on with a connection; one that it had before is let go. `None` if what it counts cannot be kept
    /// now: if the machine died, an app would have been told of more than there is.
    fn attach(&mut self, id: Id, name: &str, level: Level, now: Instant) -> Option<(u32, u32)> {
        let unix = self.unix(now);
        let slot = self.places.find_or_add(Key::session(name), unix);
        self.places.change(slot, |place| place.seen = unix);
        let place = self.places.get(slot)?;
        let generation = place.generation;
        let session = self.sessions.entry(slot).or_insert_with(|| Session::new(place));
        if let Some(old) = session.conn.replace(id)
            && old != id
        {
            self.close(old, Cause::Replaced, now);
            if let Some(session) = self.sessions.get_mut(&slot) {
                session.conn = Some(id);
            }
        }
        if level == Level::Delivered {
            self.look_back(slot, generation);
        }
        if self.keep_places(now) {
            return Some((slot, generation));
        }
        if let Some(session) = self.sessions.get_mut(&slot) {
            session.conn = None;
        }
        None
    }

    /// Finds out what became of a session's messages of the connector's earlier life, once.
    fn look_back(&mut self, slot: u32, generation: u32) {
        let Some(session) = self.sessions.get_mut(&slot) else { return };
        let Some(earlier) = session.earlier.filter(|earlier| *earlier > session.delivered.all) else { return };
        let mut known = session.delivered.clone();
        for lane in self.peers.iter().flat_map(|(_, peer)| &peer.lanes).filter(|lane| lane.durable) {
            let Some(ring) = &lane.ring else { continue };
            let views = ring.views().take_while(|view| view.sequence < lane.begins);
            let origins = views.filter_map(|view| view.origin);
            origins.filter(|o| (o.slot, o.generation) == (slot, generation)).for_each(|o| known.add(o.count));
        }
        session.earlier = None;
        let missing = known.missing(earlier);
        if session.was_in_memory {
            session.again = missing.into();
            return;
        }
        missing.into_iter().for_each(|range| session.delivered.add_range(range));
        let all = session.delivered.all;
        self.places.change(slot, |place| place.other = all);
    }

    /// Whether a message of a session, which was taken in before, is perhaps lost since.
    fn is_lost(&self, slot: u32, number: u64) -> bool {
        self.sessions.get(&slot).is_some_and(|session| session.again.iter().any(|range| range.contains(&number)))
    }

    /// The same for what an app sends again.
    pub(super) fn is_perhaps_lost(&self, origin: &Origin) -> bool {
        origin.slot & CONNECTION == 0 && self.is_lost(origin.slot, origin.count)
    }

    /// A message of a session lies in memory of the process: if that dies, it is lost.
    pub(super) fn lies_in_memory(&mut self, origin: Option<Origin>, now: Instant) {
        let Some(slot) = origin.map(|origin| origin.slot).filter(|slot| slot & CONNECTION == 0) else { return };
        if self.places.get(slot).is_some_and(|place| place.epoch != IN_MEMORY) {
            self.places.change(slot, |place| place.epoch = IN_MEMORY);
            // Before a later one can be stored, which says that all before it were taken in.
            self.keep_places(now);
        }
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
            if seen < taken && !self.is_lost(slot, seen) {
                self.receipts_mut(id)?.seen += 1;
                self.list_receipts(Some(id));
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
            if let Some(session) = self.sessions.get_mut(&slot) {
                while let Some(range) = session.again.front_mut().filter(|range| range.start <= number) {
                    range.start = range.end.min(number + 1);
                    if range.is_empty() {
                        session.again.pop_front();
                    } else {
                        break;
                    }
                }
            }
        }
        if let Some(reason) = refused {
            self.traffic.receipts.refused += 1;
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
        self.traffic.receipts.refused += 1;
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
            let session = self.sessions.entry(origin.slot).or_insert_with(|| Session::new(place));
            session.delivered.add(origin.count);
            let (all, conn) = (session.delivered.all, session.conn);
            if all != place.other {
                self.places.change(origin.slot, |place| {
                    place.other = all;
                    if all >= place.taken {
                        place.epoch = 0;
                    }
                });
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
                self.traffic.receipts.refused += 1;
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
        let (mut waited, mut later) = (Vec::new(), Vec::new());
        for id in std::mem::take(&mut self.to_receipt) {
            let Some(receipts) = self.receipts_mut(id) else { continue };
            // After a crash nobody would know how far the session has come.
            if receipts.session.is_some_and(|(slot, _)| !self.places.has_room(slot)) {
                later.push(id);
                continue;
            }
            let Some(receipts) = self.receipts_mut(id) else { continue };
            receipts.listed = false;
            let (level, session, seen) = (receipts.level, receipts.session, receipts.seen);
            let delivered = receipts.delivered.all;
            let (held, delivered) = match session {
                Some((slot, _)) => self.session_counts(slot),
                None => (seen, delivered),
            };
            let count = if level == Level::Delivered { delivered } else { held };
            let Some(receipts) = self.receipts_mut(id) else { continue };
            if receipts.waits && seen.saturating_sub(delivered) <= OUTSTANDING_MAX / 2 {
                receipts.waits = false;
                waited.push(id);
            }
            if count > receipts.told {
                let told = count - std::mem::replace(&mut receipts.told, count);
                self.traffic.receipts.told(level, told);
                self.send_control(id, Receipt { level, count }.encode());
            }
        }
        if !later.is_empty() {
            self.timers.arm_if_idle(Timer::StoreAgain, now + STORE_AGAIN);
        }
        self.to_receipt.append(&mut later);
        self.unblock(waited, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_as_good_as_their_numbers() {
        let mut rng = fastrand::Rng::with_seed(6);
        for _ in 0..300 {
            let (mut ranges, mut numbers) = (Passed::default(), Passed::default());
            for _ in 0..rng.usize(..12) {
                let from = rng.u64(..40);
                let range = from..from + rng.u64(..9);
                ranges.add_range(range.clone());
                range.for_each(|number| numbers.add(number));
                assert_eq!(ranges, numbers);
            }
            let below = rng.u64(..50);
            let missing: Vec<u64> = ranges.missing(below).into_iter().flatten().collect();
            let has = |n: u64| n < numbers.all || numbers.beyond.iter().any(|(from, to)| (*from..*to).contains(&n));
            assert_eq!(missing, (0..below).filter(|n| !has(*n)).collect::<Vec<_>>());
        }
    }

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
