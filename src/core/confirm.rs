//! Links of the first kind, with peers that acknowledge nothing by themselves: what TCP has not confirmed is kept, and
//! sent again on the next link. The shell knows how much TCP has confirmed; the core knows which messages that were.
//!
//! A message whose app has set `wait_for_ack` is kept until the peer's `_ack` names its number, and so are those behind
//! it; they are sent meanwhile.

use std::time::{Duration, Instant};

use super::conn::Link;
use super::connector::Connector;
use super::durable::RingRef;
use super::event::Output;
use super::feed::FEEDS_FROM;
use super::slots::Id;
use super::timers::Timer;
use super::traffic::Count;
use crate::wire::record;

/// Time between two questions to the shell how much TCP has confirmed, while something is not.
const CONFIRM_PERIOD: Duration = Duration::from_millis(100);

/// Bytes after which it is asked at once.
const CONFIRM_BYTES: u64 = 256 * 1024;

/// Bytes on a link, and which messages they end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    /// When so many bytes of the connection are confirmed,
    pub until: u64,
    /// all records of this lane with smaller numbers are,
    pub lane: usize,
    pub below: u64,
    /// and so many pieces of the one with that number.
    pub pieces: u64,
}

impl Link {
    /// The messages of a lane with smaller numbers went out whole.
    pub(super) fn mark(&mut self, lane: usize, below: u64) {
        self.marks.push_back(Mark { until: self.written, lane, below, pieces: 0 });
    }
}

impl Connector {
    /// The shell is asked what is confirmed when there was enough to confirm, or time has passed.
    pub(super) fn ask_confirmed(&mut self, id: Id, now: Instant) {
        let Some(link) = self.conns.get_mut(id).and_then(|c| c.link_mut()) else { return };
        if link.marks.is_empty() {
            return;
        }
        if link.written - link.asked >= CONFIRM_BYTES {
            link.asked = link.written;
            self.outputs.push_back(Output::Confirm(id));
        }
        self.timers.arm_if_idle(Timer::Confirm(id), now + CONFIRM_PERIOD);
    }

    pub(super) fn confirm_due(&mut self, id: Id, now: Instant) {
        let Some(link) = self.conns.get_mut(id).and_then(|c| c.link_mut()) else { return };
        if !link.marks.is_empty() {
            link.asked = link.written;
            self.outputs.push_back(Output::Confirm(id));
            self.timers.arm(Timer::Confirm(id), now + CONFIRM_PERIOD);
        }
    }

    /// The other machine has confirmed so many of the bytes that were given out by [`Connector::transmit`] for this
    /// connection.
    pub fn confirmed(&mut self, id: Id, bytes: u64, now: Instant) {
        let mut last = None;
        while let Some((peer, mark)) = self.take_mark(id, bytes) {
            if let Some(feed) = mark.lane.checked_sub(FEEDS_FROM) {
                self.feed_taken(peer, feed, mark.below);
                continue;
            }
            if let Some(lane) = last.filter(|lane| *lane != mark.lane) {
                self.release_confirmed(peer, lane, now);
            }
            if let Some(entry) = self.peers.get_mut(peer).filter(|p| p.link == Some(id)) {
                let lane = &mut entry.lanes[mark.lane];
                lane.confirmed = mark.below;
                if let Some(attached) = lane.sources.get_mut(&mark.below).filter(|_| mark.pieces > 0) {
                    attached.done = mark.pieces;
                }
                last = Some(mark.lane);
            }
        }
        let peer = self.conns.get(id).and_then(|c| c.link()).and_then(Link::peer);
        if let (Some(peer), Some(lane)) = (peer, last) {
            self.release_confirmed(peer, lane, now);
        }
        self.check_drained(now);
    }

    /// The first mark that is confirmed, and the link's peer.
    fn take_mark(&mut self, id: Id, bytes: u64) -> Option<(Id, Mark)> {
        let link = self.conns.get_mut(id)?.link_mut()?;
        let peer = link.peer()?;
        link.marks.front().filter(|mark| mark.until <= bytes)?;
        Some((peer, link.marks.pop_front()?))
    }

    /// The peer has a message that was to be acknowledged.
    pub(super) fn peer_acknowledges(&mut self, id: Id, peer: Id, number: u64, now: Instant) {
        if number > record::SEQUENCE_MAX {
            return self.piece_acknowledged(id, peer, number);
        }
        let Some(entry) = self.peers.get_mut(peer) else { return };
        let holds = |lane: &super::peer::Lane| {
            let ring = lane.ring.as_ref();
            ring.is_some_and(|r| r.first_sequence().is_some_and(|first| (first..r.next_sequence()).contains(&number)))
        };
        let lanes: Vec<usize> = (0..entry.lanes.len()).filter(|at| holds(&entry.lanes[*at])).collect();
        for lane in lanes {
            if let Some(entry) = self.peers.get_mut(peer) {
                entry.lanes[lane].acknowledged.insert(number);
            }
            self.release_confirmed(peer, lane, now);
        }
    }

    /// Gives up what is confirmed, up to the first that is to be acknowledged and is not.
    fn release_confirmed(&mut self, peer: Id, lane: usize, now: Instant) {
        let mut released = std::mem::take(&mut self.released);
        let Some(entry) = self.peers.get_mut(peer).and_then(|p| p.lanes.get_mut(lane)) else { return };
        let Some(ring) = &mut entry.ring else { return };
        let has_files = !entry.sources.is_empty();
        let (mut given_up, queued) = (Vec::new(), Count::of_ring(ring));
        while let Some(oldest) = ring.oldest().filter(|oldest| oldest.sequence < entry.confirmed) {
            if oldest.flags & record::WAITS_ACK != 0 && !entry.acknowledged.remove(&oldest.sequence) {
                break;
            }
            if ring.release(1, &mut |view| released.extend(view.origin)) == 0 {
                break;
            }
            if has_files {
                given_up.push(oldest.sequence);
            }
        }
        self.traffic.sent(entry.row, queued.minus(Count::of_ring(ring)));
        let first = ring.first_sequence().unwrap_or(u64::MAX);
        let mirrors = entry.mirrors.map(|topic| (topic, first.min(ring.next_sequence())));
        if !entry.acknowledged.is_empty() {
            entry.acknowledged = entry.acknowledged.split_off(&first);
        }
        let removals = if has_files { entry.give_up_sources(&given_up, first) } else { Vec::new() };
        if entry.durable {
            self.list(RingRef::Outbox(peer, lane));
        }
        if let Some((topic, next)) = mirrors {
            self.mirror_taken(peer, topic, next);
        }
        self.sources_are_sent(peer, removals);
        self.delivered(&released);
        released.clear();
        self.released = released;
        self.unblock_lanes(peer, now);
    }
}
