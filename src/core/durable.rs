//! Queues that lie in files: the shell opens the files, the core saves what has changed once a turn.
//!
//! What is done in which order, so that a crash at any place neither loses nor repeats:
//!
//! 1. records are in the queues' memory, and on the disk if `persistence_sync` is `always`;
//! 2. places say that what has come is taken over, and are kept in the same way;
//! 3. queues save where they begin and end;
//! 4. only then peers and apps are told that their messages are safe.
//!
//! A crash between 1 and 3 leaves records behind the saved end, with their origins: they are found when the file is
//! opened, and repair the places.

use std::collections::BTreeMap;
use std::time::Instant;

use super::connector::Connector;
use super::event::{Event, Output};
use super::ledger::Reason;
use super::outbox::STORE_AGAIN;
use super::places::Places;
use super::settings::{Sync, TAKEN_WAIT};
use super::slots::Id;
use super::subscriptions::Subscriptions;
use super::timers::Timer;
use crate::ring::recover::Recovered;
use crate::ring::{Durable, Memory, Ring};
use crate::wire::link::LinkControl;
use crate::wire::names::Role;
use crate::wire::record::Origin;

/// What names a queue that lies in a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RingName {
    /// Messages of a type towards a peer.
    Outbox {
        /// The peer's name.
        peer: String,
        /// The type; of messages with files the name of their lane ([`lane_name`](crate::wire::file::lane_name)).
        message_type: String,
    },
    /// Messages of a type towards the app that receives it.
    Inbox {
        /// The type.
        message_type: String,
    },
    /// Messages that were published under a type.
    Topic {
        /// The type.
        message_type: String,
    },
}

impl std::fmt::Display for RingName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RingName::Outbox { peer, message_type } => {
                write!(f, "the stored messages of type {message_type:?} for {peer}")
            }
            RingName::Inbox { message_type } => write!(f, "the stored messages of type {message_type:?} for apps"),
            RingName::Topic { message_type } => {
                write!(f, "the stored messages of type {message_type:?} for subscribers")
            }
        }
    }
}

/// A queue's file that was opened.
#[derive(Debug)]
pub struct Opened {
    /// Its bytes.
    pub memory: Box<dyn Durable>,
    /// What is in it.
    pub recovered: Recovered,
}

/// A queue that has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RingRef {
    /// Of a peer, the lane.
    Outbox(Id, usize),
    Inbox(usize),
    Topic(Id),
}

impl Connector {
    /// What this connector knows of how far it has come is in `memory`, and is kept there. Before all else.
    pub fn restore_places(&mut self, memory: Memory) {
        self.places = Places::new(memory);
    }

    /// Who has subscribed for good is in `memory`, and is kept there. Before all else.
    pub fn restore_subscriptions(&mut self, memory: Memory) {
        self.topics.subscriptions = Subscriptions::new(memory);
    }

    /// A queue's file is open, or is not, for this reason. Those that are there from before are given so as well,
    /// before [`Connector::start`].
    pub fn ring_opened(&mut self, name: &RingName, opened: Result<Opened, String>, now: Instant) {
        match name {
            RingName::Outbox { peer, message_type } => {
                // What a client has stored is for its server, also if that had another address then.
                let is_old = self.settings.role == Role::Client && *peer != self.settings.server_id;
                let peer = if is_old { self.settings.server_id.clone() } else { peer.clone() };
                let peer = self.peers.find_or_add(&peer, &self.classes);
                let lane = if is_old { self.old_lane(peer, message_type) } else { self.lane_for(peer, message_type) };
                self.outbox_opened(name, peer, lane, opened, now);
            }
            RingName::Inbox { message_type } => {
                if let Some(inbox) = self.inbox_for(message_type) {
                    self.inbox_opened(name, inbox, opened, now);
                }
            }
            RingName::Topic { message_type } => self.topic_opened(name, message_type, opened, now),
        }
    }

    /// Whether messages of this type are received here.
    #[must_use]
    pub fn receives(&self, message_type: &str) -> bool {
        self.inbox_of_type.contains_key(message_type) || self.is_subscribed(message_type)
    }

    /// Whether the file of this queue is in use, or is being opened.
    #[must_use]
    pub fn holds_ring(&self, name: &RingName) -> bool {
        match name {
            RingName::Outbox { peer, message_type } => {
                let peer = self.peers.find(peer).and_then(|id| self.peers.get(id));
                let lane = peer.and_then(|peer| Some(&peer.lanes[peer.lane(message_type)?]));
                lane.is_some_and(|lane| lane.durable && (lane.ring.is_some() || lane.opening))
            }
            RingName::Inbox { message_type } => {
                self.inbox_of_type.get(message_type).is_some_and(|inbox| self.inboxes[*inbox].durable)
            }
            RingName::Topic { message_type } => self.topics.find(message_type).is_some(),
        }
    }

    fn outbox_opened(&mut self, name: &RingName, peer: Id, lane: usize, opened: Result<Opened, String>, now: Instant) {
        let (limit, sequence) = (self.settings.max_ring_bytes, self.stamp);
        let Some(entry) = self.peers.get_mut(peer).and_then(|p| p.lanes.get_mut(lane)) else { return };
        entry.opening = false;
        let waiting = std::mem::take(&mut entry.blocked);
        match opened {
            Ok(Opened { memory, recovered }) => {
                (entry.epoch, entry.durable) = (recovered.header.epoch, true);
                let ring = Ring::durable(memory, recovered.checkpoint, limit, sequence);
                entry.begins = ring.next_sequence();
                entry.taken = recovered.checkpoint.released_to;
                self.stamp = self.stamp.max(entry.begins);
                entry.ages.opened(&ring, now);
                (entry.ring, entry.lacks_file) = (Some(ring), false);
                self.repaired(name, RingRef::Outbox(peer, lane), &recovered.origins, now);
                self.lane_opened(peer, lane, now);
            }
            Err(why) => {
                entry.lacks_file = true;
                self.store_failed(name, why, now);
            }
        }
        self.unblock(waiting, now);
    }

    fn inbox_opened(&mut self, name: &RingName, index: usize, opened: Result<Opened, String>, now: Instant) {
        let inbox = &mut self.inboxes[index];
        let was_waited_for = std::mem::take(&mut inbox.opening);
        let waiting = if was_waited_for { std::mem::take(&mut inbox.blocked) } else { Vec::new() };
        match opened {
            Ok(Opened { memory, recovered }) => {
                inbox.epoch = recovered.header.epoch;
                // Numbers from 1 without gaps: apps count on them.
                inbox.ring = Ring::durable(memory, recovered.checkpoint, self.settings.max_ring_bytes, 1);
                inbox.ages.opened(&inbox.ring, now);
                (inbox.durable, inbox.lacks_file) = (true, false);
                self.repaired(name, RingRef::Inbox(index), &recovered.origins, now);
                self.dial_app(index);
            }
            Err(why) => {
                inbox.lacks_file = true;
                self.store_failed(name, why, now);
            }
        }
        self.go_on(index);
        self.unblock(waiting, now);
    }

    /// Before anything comes into a queue that was opened, what its last records say is known and kept.
    pub(super) fn repaired(&mut self, name: &RingName, which: RingRef, origins: &[Origin], now: Instant) {
        self.places.repair(origins, matches!(which, RingRef::Topic(_)));
        self.list(which);
        if let Err((_, why)) = self.keep(self.settings.sync == Sync::Always) {
            self.store_failed(name, why, now);
        }
    }

    /// Asks for the files of the inboxes that are to lie in files.
    pub(super) fn open_inboxes(&mut self) {
        for inbox in &mut self.inboxes {
            if self.settings.persist_recv.covers(&inbox.message_type) && !inbox.durable {
                inbox.lacks_file = true;
                let name = RingName::Inbox { message_type: inbox.message_type.clone() };
                self.outputs.push_back(Output::OpenRing(name));
            }
        }
    }

    /// A queue could not be opened, written or kept.
    pub(super) fn store_failed(&mut self, name: &RingName, why: String, now: Instant) {
        self.store_again = Some(now + STORE_AGAIN);
        self.timers.arm_if_idle(Timer::StoreAgain, now + STORE_AGAIN);
        // One line for a burst: what is said of the next message differs in the size that it needs.
        if self.store_failure.as_ref() != Some(name) {
            self.store_failure = Some(name.clone());
            self.tell(Event::StoreFailed { name: name.clone(), why });
        }
    }

    /// Has a queue saved at the end of the turn.
    pub(super) fn list(&mut self, which: RingRef) {
        let listed = match which {
            RingRef::Outbox(peer, lane) => {
                self.peers.get_mut(peer).and_then(|p| Some(&mut p.lanes.get_mut(lane)?.listed))
            }
            RingRef::Inbox(inbox) => Some(&mut self.inboxes[inbox].listed),
            RingRef::Topic(topic) => self.topics.get_mut(topic).map(|topic| &mut topic.listed),
        };
        if let Some(listed) = listed
            && !std::mem::replace(listed, true)
        {
            self.dirty.push(which);
        }
    }

    pub(super) fn ring_mut(&mut self, which: RingRef) -> Option<&mut Ring> {
        match which {
            RingRef::Outbox(peer, lane) => self.peers.get_mut(peer)?.lanes.get_mut(lane)?.ring.as_mut(),
            RingRef::Inbox(inbox) => Some(&mut self.inboxes[inbox].ring),
            RingRef::Topic(topic) => Some(self.topics.get_mut(topic)?.shared.as_mut()?.ring_mut()),
        }
    }

    fn ring_name(&self, which: RingRef) -> Option<RingName> {
        match which {
            RingRef::Outbox(peer, lane) => {
                let peer = self.peers.get(peer)?;
                let message_type = peer.lanes.get(lane)?.name();
                Some(RingName::Outbox { peer: peer.name.clone(), message_type })
            }
            RingRef::Inbox(inbox) => Some(RingName::Inbox { message_type: self.inboxes[inbox].message_type.clone() }),
            RingRef::Topic(topic) => Some(RingName::Topic { message_type: self.topics.get(topic)?.name() }),
        }
    }

    /// Makes what has happened last, as far as `persistence_sync` says, and tells those who wait to hear of it. The
    /// shell calls it after it has read, and after it has written.
    pub fn settle(&mut self, now: Instant) {
        self.settle_topics(now);
        let subscribed = self.topics.subscriptions.is_unsynced() && self.settings.sync != Sync::Os;
        if !self.dirty.is_empty() || !self.stored.is_empty() || self.places.is_dirty() || subscribed {
            let sync = self.settings.sync == Sync::Always;
            if let Err((name, why)) = self.keep(sync) {
                return self.store_failed(&name, why, now);
            }
            match self.places.lacks_room.clone() {
                Some(why) if !std::mem::replace(&mut self.places_told, true) => {
                    self.tell(Event::StoreFailed { name: places_name(), why });
                }
                Some(_) => {}
                None => self.places_told = false,
            }
            // It is over when the last attempt is long past.
            let lasts = self.store_again.is_some_and(|at| at + STORE_AGAIN > now);
            self.store_failure = self.store_failure.take().filter(|_| lasts);
            if let Sync::Interval(interval) = self.settings.sync {
                self.timers.arm_if_idle(Timer::Sync, now + interval);
            }
        }
        self.tell_taken(now);
        self.settle_files(now);
        self.tell_receipts(now);
    }

    fn keep(&mut self, sync: bool) -> Result<(), (RingName, String)> {
        let dirty = std::mem::take(&mut self.dirty);
        let kept = self.keep_all(&dirty, sync);
        if kept.is_err() {
            self.dirty = dirty;
            return kept;
        }
        for which in &dirty {
            match *which {
                RingRef::Outbox(peer, lane) => {
                    if let Some(lane) = self.peers.get_mut(peer).and_then(|p| p.lanes.get_mut(lane)) {
                        lane.listed = false;
                    }
                }
                RingRef::Inbox(inbox) => self.inboxes[inbox].listed = false,
                RingRef::Topic(topic) => {
                    if let Some(topic) = self.topics.get_mut(topic) {
                        topic.listed = false;
                    }
                }
            }
        }
        if self.saves_later(sync) {
            self.unsynced.extend(dirty);
        }
        kept
    }

    fn keep_all(&mut self, dirty: &[RingRef], sync: bool) -> Result<(), (RingName, String)> {
        if sync {
            // Before what was published: it would else be kept for nobody.
            self.topics.subscriptions.sync().map_err(|why| (places_name(), why))?;
            self.sync_rings(dirty)?;
        }
        for slot in std::mem::take(&mut self.stored) {
            self.places.take_received(slot);
        }
        self.places.save(sync).map_err(|why| (places_name(), why))?;
        if self.saves_later(sync) {
            return Ok(());
        }
        for which in dirty {
            if let Some(ring) = self.ring_mut(*which) {
                ring.checkpoint();
            }
        }
        if sync { self.sync_rings(dirty) } else { Ok(()) }
    }

    /// With an interval, where a queue ends is saved only when what is in it lies on the disk: if the machine died in
    /// between, the disk could have the one without the other.
    fn saves_later(&self, sync: bool) -> bool {
        !sync && matches!(self.settings.sync, Sync::Interval(_))
    }

    /// Who is told apart from now on is known before any of its messages is stored: else a crash between the two would
    /// leave messages of nobody, which come again. Whether it is known.
    pub(super) fn keep_places(&mut self, now: Instant) -> bool {
        // With what the places count already: a machine that dies must not have the count without the messages.
        let kept = self.keep(self.settings.sync == Sync::Always);
        let is_kept = kept.is_ok();
        if let Err((name, why)) = kept {
            self.store_failed(&name, why, now);
        }
        is_kept
    }

    fn sync_rings(&mut self, rings: &[RingRef]) -> Result<(), (RingName, String)> {
        for which in rings {
            let synced = self.ring_mut(*which).map_or(Ok(()), Ring::sync);
            if let (Err(why), Some(name)) = (synced, self.ring_name(*which)) {
                return Err((name, why));
            }
        }
        Ok(())
    }

    /// It is time to have all that has changed lie on the disk.
    pub(super) fn sync_now(&mut self, now: Instant) {
        let mut rings = std::mem::take(&mut self.unsynced);
        rings.sort_unstable();
        rings.dedup();
        if let Err((name, why)) = self.keep_all(&rings, true) {
            self.unsynced = rings;
            return self.store_failed(&name, why, now);
        }
        self.settle_files_later(now);
    }

    /// Tells peers how much of their lanes was taken over, now that it is kept. Where the last message was a request or an
    /// answer, the word of it waits for what goes the other way soon, and goes with that.
    fn tell_taken(&mut self, now: Instant) {
        let mut moved = std::mem::take(&mut self.places.moved);
        let mut lately = std::mem::take(&mut self.places.moved_lately);
        if self.stopping {
            moved.append(&mut lately);
            moved.extend(std::mem::take(&mut self.untold).into_keys());
        } else if !lately.is_empty() {
            let taken = |slot: u32| Some((slot, self.places.get(slot)?.taken));
            self.untold.extend(lately.drain(..).filter_map(taken));
            self.timers.arm_if_idle(Timer::Taken, now + TAKEN_WAIT);
        }
        // Most turns have nothing to tell.
        if !moved.is_empty() {
            moved.sort_unstable();
            moved.dedup();
            self.untold.retain(|slot, _| moved.binary_search(slot).is_err());
            self.tell_links(self.by_link(moved.iter().map(|slot| (*slot, u64::MAX))));
            moved.clear();
        }
        // Their memory is used again.
        (self.places.moved, self.places.moved_lately) = (moved, lately);
    }

    /// What is told of these places, of each no more than so much, by the links that it is told on.
    fn by_link(&self, taken: impl Iterator<Item = (u32, u64)>) -> BTreeMap<Id, Vec<(u32, u64)>> {
        let mut by_link: BTreeMap<Id, Vec<(u32, u64)>> = BTreeMap::new();
        for (slot, most) in taken {
            if let (Some((link, lane)), Some(place)) = (self.lane_of_place.get(&slot), self.places.get(slot)) {
                by_link.entry(*link).or_default().push((*lane, place.taken.min(most)));
            }
        }
        by_link
    }

    fn tell_links(&mut self, by_link: BTreeMap<Id, Vec<(u32, u64)>>) {
        for (link, lanes) in by_link {
            // At the end the peer may not hear it any more, and offers a file again that must be known then.
            if !self.stopping {
                lanes.iter().for_each(|(lane, next)| self.forget_files(link, *lane, *next));
            }
            let said = LinkControl::Taken(lanes).encode(&self.settings.id);
            self.send_control(link, said);
        }
    }

    /// Something goes out on a link: what its peer was not told of goes with it. Not what was taken over since: that is not
    /// kept yet.
    pub(super) fn tell_untold_of(&mut self, link: Id) {
        let is_of = |slot: &u32| self.lane_of_place.get(slot).is_some_and(|(of, _)| *of == link);
        let (told, later): (BTreeMap<_, _>, _) =
            std::mem::take(&mut self.untold).into_iter().partition(|(slot, _)| is_of(slot));
        self.untold = later;
        self.tell_links(self.by_link(told.into_iter()));
    }

    /// Nothing went out to them for long enough.
    pub(super) fn tell_untold(&mut self) {
        let untold = std::mem::take(&mut self.untold);
        self.tell_links(self.by_link(untold.into_iter()));
    }

    /// A record that was to be sent is not as it was written: what can be read goes on, the rest is counted.
    pub(super) fn ring_damaged(&mut self, which: RingRef, peer: &str, message_type: &str, now: Instant) {
        let Some(name) = self.ring_name(which) else { return };
        let Some(ring) = self.ring_mut(which) else { return };
        let skipped = ring.skip_damaged();
        self.list(which);
        self.count_drop(peer, message_type, Reason::Damaged, skipped.records, now);
        self.tell(Event::RingDamaged { name, kept: skipped.copy, records: skipped.records });
    }
}

/// What stands for the table of places where a queue is named.
fn places_name() -> RingName {
    RingName::Inbox { message_type: "(places)".to_owned() }
}
