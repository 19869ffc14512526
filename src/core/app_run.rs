//! Messages of an app that are like the one before: what is the same for all of them is looked at once.

use std::time::Instant;

use super::conn::AppMemo;
use super::connector::Connector;
use super::durable::RingRef;
use super::peer::Lane;
use super::settings::{CONTROL_HIGH, OUTBOX_HIGH, OnFull};
use super::slots::Id;
use crate::ring::{PushError, Ring};
use crate::wire::frame::{self, Frame, Frames};

impl Connector {
    /// Takes messages that have the header of the app's last one and follow it, as far as there is room for them and
    /// nobody is to be told of each. What is left is looked at one by one.
    pub(super) fn app_run(&mut self, id: Id, frames: &mut Frames<'_, '_>, now: Instant) {
        if !self.settings.preserve_send_socket || self.access.client_queue_max.is_some() {
            return;
        }
        let Some(conn) = self.conns.get_mut(id).filter(|conn| conn.closing.is_none()) else { return };
        if conn.control.used() > CONTROL_HIGH {
            return;
        }
        let Some(app) = conn.app_mut().filter(|app| app.receipts.is_none()) else { return };
        let Some(memo) = app.memo.take_if(|memo| !memo.with_binary) else { return };
        self.take_run(&memo, frames, now);
        if let Some(app) = self.conns.get_mut(id).and_then(|conn| conn.app_mut()) {
            app.memo = Some(memo);
        }
    }

    fn take_run(&mut self, memo: &AppMemo, frames: &mut Frames<'_, '_>, now: Instant) {
        let limit = self.settings.queue_max_bytes;
        let Some(peer) = self.peers.get_mut(memo.peer) else { return };
        let (is_there, link) = (peer.is_there(), peer.link);
        let beside = peer.in_memory_beside(memo.lane, limit);
        let lane = &mut peer.lanes[memo.lane];
        let high = high(lane, is_there, self.settings.on_full.get(&lane.message_type));
        let Some(ring) = lane.ring.as_mut().filter(|_| is_there || lane.durable) else { return };
        let mut first = None;
        while ring.unsent_bytes() < high
            && let Some(frame) = frames.next_like(&memo.header)
        {
            ring.set_next_sequence(self.stamp);
            let has_room = beside == 0 || beside + ring.used() + frame.bytes().len() <= limit;
            let Some(number) = has_room.then(|| push(ring, memo, &frame).ok()).flatten() else {
                frames.give_back();
                break;
            };
            self.stamp = number + 1;
            first.get_or_insert(number);
        }
        let Some(first) = first else { return };
        lane.ages.came(first, ring, now);
        if lane.durable {
            self.list(RingRef::Outbox(memo.peer, memo.lane));
        }
        if let Some(link) = link {
            self.want_write(link);
        }
    }
}

/// With so many bytes to send it is to be looked whether the next message has to wait.
fn high(lane: &Lane, is_there: bool, on_full: Option<&OnFull>) -> usize {
    let is_waited_for = is_there && !(lane.durable && lane.stopped);
    match on_full {
        None if is_waited_for => OUTBOX_HIGH,
        Some(OnFull::Block) => OUTBOX_HIGH,
        None | Some(OnFull::Reject | OnFull::DropOldest) => usize::MAX,
    }
}

fn push(ring: &mut Ring, memo: &AppMemo, frame: &Frame<'_>) -> Result<u64, PushError> {
    let Some(header) = &memo.rewritten else { return ring.push(&[frame.bytes()], 0, None) };
    let behind = frame.after_header();
    let prefix = frame::prefix(header.len(), behind.len()).map_err(|error| PushError::Failed(error.to_string()))?;
    ring.push(&[&prefix, header, behind], 0, None)
}
