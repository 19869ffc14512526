//! Links of the first kind, with peers that acknowledge nothing by themselves: what TCP has not confirmed is kept, and
//! sent again on the next link. The shell knows how much TCP has confirmed; the core knows which messages that were.
//!
//! A message whose app has set `wait_for_ack` is kept until the peer's `_ack` names its number, and so are those behind
//! it; they are sent meanwhile.

use std::time::{Duration, Instant};

use super::conn::{Link, State};
use super::connector::Connector;
use super::durable::RingRef;
use super::event::Output;
use super::slots::Id;
use super::timers::Timer;
use crate::wire::record;

/// Time between two questions to the shell how much TCP has confirmed, while something is not.
const CONFIRM_PERIOD: Duration = Duration::from_millis(100);

/// Bytes after which it is asked at once.
const CONFIRM_BYTES: u64 = 256 * 1024;

/// Bytes on a link, and which messages they end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    /// When so many bytes of the connection are confirmed,
    until: u64,
    /// so many records of this lane are.
    lane: usize,
    records: usize,
}

impl Link {
    /// Messages of a lane went out whole.
    pub(super) fn mark(&mut self, lane: usize, records: usize) {
        if records > 0 {
            self.marks.push_back(Mark { until: self.written, lane, records });
        }
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
        let Some(link) = self.conns.get_mut(id).and_then(|c| c.link_mut()) else { return };
        let State::Up { peer } = link.state else { return };
        let mut lanes: Vec<usize> = Vec::new();
        while let Some(mark) = link.marks.front().copied().filter(|mark| mark.until <= bytes) {
            link.marks.pop_front();
            let Some(entry) = self.peers.get_mut(peer).filter(|p| p.link == Some(id)) else { return };
            entry.lanes[mark.lane].confirmed += mark.records;
            lanes.push(mark.lane);
        }
        lanes.sort_unstable();
        lanes.dedup();
        for lane in lanes {
            self.release_confirmed(peer, lane, now);
        }
        self.check_drained(now);
    }

    /// The peer has a message that was to be acknowledged.
    pub(super) fn peer_acknowledges(&mut self, peer: Id, number: u64, now: Instant) {
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
        while entry.confirmed > 0 {
            let Some(oldest) = ring.oldest() else { break };
            if oldest.flags & record::WAITS_ACK != 0 && !entry.acknowledged.remove(&oldest.sequence) {
                break;
            }
            if ring.release(1, &mut |view| released.extend(view.origin)) == 0 {
                break;
            }
            entry.confirmed -= 1;
        }
        if let Some(first) = ring.first_sequence() {
            entry.acknowledged = entry.acknowledged.split_off(&first);
        } else {
            entry.acknowledged.clear();
        }
        if entry.durable {
            self.list(RingRef::Outbox(peer, lane));
        }
        self.delivered(&released);
        released.clear();
        self.released = released;
        self.unblock_lane(peer, lane, now);
    }
}
