//! Outboxes: messages of apps on their way to peers, a lane for each type.
//!
//! A lane that is full holds its apps up while the peer is connected, and refuses while it is away; `on_full` sets
//! something else for a type. One app's wait is no other's: each waits for its own lane.

use std::time::{Duration, Instant};

use super::connector::Connector;
use super::durable::{RingName, RingRef};
use super::event::{Cause, Output};
use super::ledger::Reason;
use super::peer::Lane;
use super::requests;
use super::settings::{OUTBOX_HIGH, OnFull};
use super::slots::Id;
use super::timers::Timer;
use crate::ring::{PushError, Ring, Sums};
use crate::wire::control;
use crate::wire::file::lane_of;
use crate::wire::frame::{self, Frame};
use crate::wire::header::Header;
use crate::wire::record::{self, Origin};

/// Wait before a queue's file that could not be opened, or had no room, is tried again.
pub(super) const STORE_AGAIN: Duration = Duration::from_secs(1);

/// What became of a message on its way into an outbox.
#[derive(Debug)]
pub(super) enum Queued {
    /// It is in.
    Taken,
    /// Its app waits until there is room.
    Blocked,
    /// It does not go in.
    Refused(Reason),
    /// The app's connection must end.
    End(Cause),
}

/// A message, as it is queued.
#[derive(Debug)]
pub(super) struct Letter<'a> {
    pub frame: &'a Frame<'a>,
    /// The header in place of the frame's own.
    pub header: Option<&'a [u8]>,
    pub flags: u8,
    pub origin: Option<Origin>,
}

impl Connector {
    /// The lane of this name towards a peer, which is there; made if it is new.
    pub(super) fn lane_for(&mut self, peer: Id, name: &str) -> usize {
        let message_type = lane_of(name).0;
        let durable = self.settings.persist_send.covers(message_type) || message_type == control::PUBSUB_STORED;
        // A peer that was forgotten meanwhile remembers numbers: those of a lane that is made anew go on behind them.
        let (epoch, limit, sequence) = (self.settings.seed, self.settings.queue_max_bytes, self.stamp);
        let class = self.classes.of(lane_of(name).0);
        let Some(peer) = self.peers.get_mut(peer) else { return 0 };
        if let Some(lane) = peer.lane(name) {
            return lane;
        }
        let mut lane = Lane::new(name, class, epoch, durable);
        lane.row = self.traffic.row(&peer.name, message_type);
        lane.ring = (!durable).then(|| Ring::heap(limit, sequence, Sums::WhenSent));
        peer.lanes.push(lane);
        peer.lanes.len() - 1
    }

    /// A lane for what was stored under another name of the peer. Nothing comes into it; it is sent first.
    pub(super) fn old_lane(&mut self, peer: Id, name: &str) -> usize {
        let class = self.classes.of(lane_of(name).0);
        let Some(peer) = self.peers.get_mut(peer) else { return 0 };
        let mut lane = Lane::new(name, class, 0, true);
        lane.row = self.traffic.row(&peer.name, lane_of(name).0);
        lane.is_old = true;
        peer.lanes.push(lane);
        peer.lanes.len() - 1
    }

    /// Has the lane's file opened if it is not yet. Whether the lane is ready, or else why not.
    pub(super) fn open_lane(&mut self, peer_id: Id, lane: usize, now: Instant) -> Result<bool, Reason> {
        let Some(peer) = self.peers.get_mut(peer_id) else { return Ok(false) };
        let entry = &mut peer.lanes[lane];
        if entry.ring.is_some() {
            return Ok(true);
        }
        if entry.opening {
            return Ok(false);
        }
        if self.store_again.is_some_and(|at| at > now) {
            return Err(Reason::StoreFailed);
        }
        entry.opening = true;
        let name = RingName::Outbox { peer: peer.name.clone(), message_type: entry.name() };
        self.outputs.push_back(Output::OpenRing(name));
        Ok(false)
    }

    /// Puts a message of an app into a lane, or has the app wait for it.
    pub(super) fn enqueue(&mut self, app: Id, peer_id: Id, lane: usize, letter: &Letter<'_>, now: Instant) -> Queued {
        match self.open_lane(peer_id, lane, now) {
            Ok(true) => {}
            Ok(false) => return self.wait_for_lane(app, peer_id, lane),
            Err(reason) => return Queued::Refused(reason),
        }
        if self.was_stored(peer_id, lane, letter.origin) {
            return Queued::Taken;
        }
        if self.is_held(peer_id, lane) {
            return self.wait_for_lane(app, peer_id, lane);
        }
        let prefix = match letter.header {
            None => None,
            Some(header) => match frame::prefix(header.len(), letter.frame.after_header().len()) {
                Ok(prefix) => Some((prefix, header)),
                Err(error) => return Queued::End(Cause::BadInput(error.to_string())),
            },
        };
        let parts: [&[u8]; 3] = match &prefix {
            None => [letter.frame.bytes(), &[], &[]],
            Some((prefix, header)) => [prefix, header, letter.frame.after_header()],
        };
        let Some(peer) = self.peers.get_mut(peer_id) else { return Queued::Taken };
        let link = peer.link;
        let limit = self.settings.queue_max_bytes;
        let beside = peer.in_memory_beside(lane, limit);
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if self.access.client_queue_max.is_some_and(|most| peer.used().saturating_add(length) > most) {
            return self.too_much_for_client(app, peer_id, lane, now);
        }
        let entry = &mut peer.lanes[lane];
        let Some(ring) = &mut entry.ring else { return Queued::Taken };
        ring.set_next_sequence(self.stamp);
        let used = beside + ring.used();
        let pushed = if beside > 0 && used + length > limit {
            Err(PushError::Full { used, limit })
        } else {
            ring.push(&parts, letter.flags, letter.origin)
        };
        match pushed {
            Ok(number) => {
                self.stamp = number + 1;
                entry.ages.came(number, ring, now);
                if entry.durable {
                    self.list(RingRef::Outbox(peer_id, lane));
                } else {
                    self.lies_in_memory(letter.origin, now);
                }
                if let Some(link) = link {
                    self.want_write(link);
                }
                Queued::Taken
            }
            Err(error) => self.no_room(app, peer_id, lane, &parts, letter, error, now),
        }
    }

    /// All that waits for a client is as much as may: its apps wait where they would for a lane, or it is refused.
    fn too_much_for_client(&mut self, app: Id, peer_id: Id, lane: usize, now: Instant) -> Queued {
        let Some(peer) = self.peers.get(peer_id) else { return Queued::Taken };
        let (goes_on, has_some, entry) = (peer.is_there(), peer.used() > 0, &peer.lanes[lane]);
        match self.on_full(&entry.message_type) {
            Some(OnFull::Block) => {
                // Another lane may be the one that empties: it is looked again.
                self.timers.arm_if_idle(Timer::StoreAgain, now + STORE_AGAIN);
                self.wait_for_lane(app, peer_id, lane)
            }
            None if goes_on && has_some => self.wait_for_lane(app, peer_id, lane),
            _ => Queued::Refused(Reason::QueueFull),
        }
    }

    /// Whether a message that an app sends again, because it may be lost, was stored: then it is not lost. It has gone,
    /// else it would be known to wait.
    fn was_stored(&mut self, peer: Id, lane: usize, origin: Option<Origin>) -> bool {
        let is_durable = self.peers.get(peer).is_some_and(|peer| peer.lanes[lane].durable);
        let Some(origin) = origin.filter(|origin| is_durable && self.is_perhaps_lost(origin)) else { return false };
        self.delivered(&[origin]);
        true
    }

    pub(super) fn wait_for_lane(&mut self, app: Id, peer: Id, lane: usize) -> Queued {
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.lanes[lane].blocked.push(app);
        }
        Queued::Blocked
    }

    fn on_full(&self, message_type: &str) -> Option<OnFull> {
        self.settings.on_full.get(message_type).copied()
    }

    /// Whether an app must wait because a connected peer does not keep up, or the peer's queues in memory are full.
    fn is_held(&self, peer: Id, lane: usize) -> bool {
        let Some(peer) = self.peers.get(peer) else { return false };
        let lane = &peer.lanes[lane];
        let Some(ring) = lane.ring.as_ref().filter(|ring| ring.unsent_bytes() >= OUTBOX_HIGH) else { return false };
        // What lies in a file may wait there for a peer that has said that it has no room, and for files.
        let connected = peer.is_there() && !(lane.durable && (lane.stopped || lane.files.is_some()));
        match self.on_full(&lane.message_type) {
            None => connected,
            Some(OnFull::Block) => connected || ring.used() >= self.lane_limit(lane),
            Some(OnFull::Reject | OnFull::DropOldest) => false,
        }
    }

    fn lane_limit(&self, lane: &Lane) -> usize {
        if lane.durable { self.settings.max_ring_bytes } else { self.settings.queue_max_bytes }
    }

    /// There was no room for a message.
    #[expect(clippy::too_many_arguments, reason = "what was tried, and for whom")]
    fn no_room(
        &mut self,
        app: Id,
        peer_id: Id,
        lane: usize,
        parts: &[&[u8]],
        letter: &Letter<'_>,
        error: PushError,
        now: Instant,
    ) -> Queued {
        let Some(peer) = self.peers.get(peer_id) else { return Queued::Taken };
        let (connected, entry) = (peer.is_there(), &peer.lanes[lane]);
        // Its own lane may be empty while those of other types have all the room.
        let waits = entry.len() > 0 || matches!(error, PushError::Full { used, .. } if used > 0);
        let policy = self.on_full(&entry.message_type);
        let reason = match &error {
            PushError::Full { .. } => Reason::QueueFull,
            PushError::Failed(why) => {
                let name = RingName::Outbox { peer: peer.name.clone(), message_type: entry.name() };
                let why = why.clone();
                self.store_failed(&name, why, now);
                Reason::StoreFailed
            }
        };
        match policy {
            Some(OnFull::DropOldest) => self.push_over_oldest(peer_id, lane, parts, letter, reason, now),
            Some(OnFull::Reject) => Queued::Refused(reason),
            Some(OnFull::Block) => {
                // What frees a disk is not told: it is looked again.
                self.timers.arm_if_idle(Timer::StoreAgain, now + STORE_AGAIN);
                self.wait_for_lane(app, peer_id, lane)
            }
            None if connected && waits => self.wait_for_lane(app, peer_id, lane),
            None => Queued::Refused(reason),
        }
    }

    /// Makes room by giving up the oldest messages.
    fn push_over_oldest(
        &mut self,
        peer_id: Id,
        lane: usize,
        parts: &[&[u8]],
        letter: &Letter<'_>,
        reason: Reason,
        now: Instant,
    ) -> Queued {
        let length = record::record_size(parts.iter().map(|part| part.len()).sum(), letter.origin.is_some());
        let (mut given_up, mut unsent) = (Vec::new(), Vec::new());
        let Some(peer) = self.peers.get_mut(peer_id) else { return Queued::Taken };
        // What other lanes have in memory is not theirs to give up.
        let beside = peer.in_memory_beside(lane, self.settings.queue_max_bytes);
        let (name, link, entry) = (peer.name.clone(), peer.link, &mut peer.lanes[lane]);
        let (message_type, durable) = (entry.message_type.clone(), entry.durable);
        let Some(ring) = &mut entry.ring else { return Queued::Refused(reason) };
        // A request that went out may still be answered.
        let asked = if peer.requests.is_empty() { u64::MAX } else { ring.front_sequence().unwrap_or(u64::MAX) };
        let dropped = ring.drop_oldest(length.saturating_add(beside), &mut |view, frame| {
            given_up.extend(view.origin);
            unsent.extend(if view.sequence >= asked { requests::key_of(frame) } else { None });
        });
        let pushed = ring.push(parts, letter.flags, letter.origin);
        self.stamp = self.stamp.max(ring.next_sequence());
        if let Ok(number) = pushed {
            entry.ages.came(number, ring, now);
        }
        if durable {
            self.list(RingRef::Outbox(peer_id, lane));
        } else {
            self.lies_in_memory(letter.origin, now);
        }
        if let Some(link) = link {
            self.want_write(link);
        }
        self.count_drop(&name, &message_type, reason, dropped as u64, now);
        self.refuse_later(&given_up, reason);
        unsent.iter().for_each(|key| self.fail_unsent(peer_id, key, reason, now));
        if pushed.is_ok() { Queued::Taken } else { Queued::Refused(reason) }
    }

    /// Goes on with those who waited for lanes of a peer that have room now.
    pub(super) fn unblock_lanes(&mut self, peer: Id, now: Instant) {
        let lanes = self.peers.get_mut(peer).map(|peer| peer.lanes.waited_for()).unwrap_or_default();
        for lane in lanes {
            let waiting = self.peers.get_mut(peer).map(|peer| peer.lanes[lane].take_waiting()).unwrap_or_default();
            self.unblock(waiting, now);
        }
    }

    /// Goes on with all who waited for a disk.
    pub(super) fn store_again(&mut self, now: Instant) {
        if let Some(at) = self.store_again.filter(|at| *at > now) {
            return self.timers.arm(Timer::StoreAgain, at);
        }
        self.open_inboxes();
        self.topics_again(now);
        let greeting = std::mem::take(&mut self.greeting);
        self.unblock(greeting, now);
        for id in self.peers.ids() {
            let lanes = self.peers.get(id).map_or(0, |peer| peer.lanes.len());
            for lane in 0..lanes {
                if self.peers.get(id).is_some_and(|peer| peer.lanes[lane].lacks_file) {
                    // Who sends to it meanwhile is told what became of that.
                    _ = self.open_lane(id, lane, now);
                }
            }
            let waiting = self.peers.get_mut(id).map(super::peer::Peer::take_blocked).unwrap_or_default();
            self.unblock(waiting, now);
        }
        self.go_on_with_lanes(now);
    }

    /// The number of a message that is to be kept until the peer has acknowledged it by this number.
    pub(super) fn ack_number(&self, peer: Id, lane: usize, header: &Header<'_>) -> Option<u64> {
        let ring = self.peers.get(peer)?.lanes[lane].ring.as_ref()?;
        // No connector acknowledges a ping: it answers.
        let waits = header.wait_for_ack && header.message_type != control::PING;
        waits.then(|| ring.next_sequence().max(self.stamp))
    }
}
