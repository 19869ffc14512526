//! What goes out: own frames first, then the queue, as far as there is room.

use std::time::Instant;

use super::conn::{Conn, Kind, Link, State};
use super::connector::{Connector, SCRATCH};
use super::durable::RingRef;
use super::event::Cause;
use super::peer::{Lane, Peer};
use super::settings::CONTROL_HIGH;
use super::slots::Id;
use super::timers::Timer;
use crate::ring::Ring;

impl Connector {
    /// Gives what is to be sent on a connection to `sink`, at most `budget` bytes of it. The sink says how much it has
    /// taken; if that is not all, the shell calls again when the connection has room. Whether there is more to send
    /// than the budget allowed.
    pub fn transmit(&mut self, id: Id, budget: usize, now: Instant, sink: &mut dyn FnMut(&[u8]) -> usize) -> bool {
        let Some(conn) = self.conns.get_mut(id) else { return false };
        conn.told_to_write = false;
        let (mut left, mut has_room) = (budget, true);
        if let (None, Kind::Link(Link { state: State::Up { peer }, link2: Some(_), .. })) = (&conn.closing, &conn.kind)
        {
            let peer = *peer;
            if !self.untold.is_empty() {
                self.tell_untold_of(id);
            }
            self.offer_files(id, peer, now);
        }
        while left > 0 && has_room {
            match self.transmit_once(id, left, now, sink) {
                Some((taken, offered)) => {
                    left -= taken;
                    has_room = taken == offered;
                }
                None => break,
            }
        }
        if left < budget
            && let Some(conn) = self.conns.get_mut(id)
        {
            conn.progress = true;
        }
        let pending = self.after_transmit(id, left < budget, now);
        self.check_drained(now);
        pending && has_room
    }

    /// Offers one piece; how much was taken of how much.
    fn transmit_once(
        &mut self,
        id: Id,
        left: usize,
        now: Instant,
        sink: &mut dyn FnMut(&[u8]) -> usize,
    ) -> Option<(usize, usize)> {
        let conn = self.conns.get_mut(id)?;
        match &conn.kind {
            _ if conn.closing.is_some() => conn.control.offer(left, sink),
            Kind::Link(Link { state: State::Up { peer }, link2: Some(_), .. }) => {
                let peer = *peer;
                self.transmit_records(id, peer, left, now, sink)
            }
            Kind::Link(Link { state: State::Up { peer }, .. }) => {
                let peer = *peer;
                self.transmit_frames(id, peer, left, now, sink)
            }
            Kind::Delivery(_) => self.transmit_to_app(id, left, now, sink),
            // Bytes of the handshake count as well: what is confirmed is counted from the connection's beginning.
            Kind::Link(_) => {
                let sent = conn.control.offer(left, sink)?;
                conn.link_mut()?.written += sent.0 as u64;
                Some(sent)
            }
            Kind::App(_) | Kind::Admin(_) => conn.control.offer(left, sink),
        }
    }

    /// Offers one piece of what waits for a peer on a link of the first kind: plain frames.
    fn transmit_frames(
        &mut self,
        id: Id,
        peer_id: Id,
        left: usize,
        now: Instant,
        sink: &mut dyn FnMut(&[u8]) -> usize,
    ) -> Option<(usize, usize)> {
        if let Some(feed) = self.feed_to_send(id, peer_id) {
            return self.transmit_feed_frames(id, peer_id, feed, left, now, sink);
        }
        let Conn { kind: Kind::Link(link), control, .. } = self.conns.get_mut(id)? else { return None };
        let mut peer = self.peers.get_mut(peer_id).filter(|p| p.link == Some(id));
        let mid = peer.as_ref().and_then(|p| p.mid_frame());
        if mid.is_none() && !control.is_empty() {
            let sent = control.offer(left, sink)?;
            link.written += sent.0 as u64;
            return Some(sent);
        }
        let peer = peer.as_mut()?;
        let number = mid.or_else(|| peer.next_frame_lane(link))?;
        // Frames that wait to go ahead do so as soon as the frame that was begun is out; types take turns.
        let alone = !peer.lanes.others_wait(number, Lane::has_unsent);
        let has_file = peer.lanes[number].files.is_some();
        let ring = peer.lanes[number].ring.as_mut()?;
        if ring.check_front(left.min(SCRATCH)).is_err() {
            let (name, message_type) = (peer.name.clone(), peer.lanes[number].message_type.clone());
            self.ring_damaged(RingRef::Outbox(peer_id, number), &name, &message_type, now);
            return Some((0, 0));
        }
        if has_file {
            return self.transmit_file(id, peer_id, number, left, now, sink);
        }
        let (taken, offered) = offer(ring, left, control.is_empty() && alone, &mut self.scratch, sink);
        let completed = ring.sent(taken);
        link.written += taken as u64;
        link.since_piece += taken as u64;
        if completed > 0 {
            link.mark(number, ring.front_sequence().unwrap_or(ring.next_sequence()));
        }
        peer.sent(number, taken, Lane::may_begin_frame);
        Some((taken, offered))
    }

    /// Offers one piece of an inbox.
    fn transmit_to_app(
        &mut self,
        id: Id,
        left: usize,
        now: Instant,
        sink: &mut dyn FnMut(&[u8]) -> usize,
    ) -> Option<(usize, usize)> {
        let one_frame = !self.settings.preserve_receive_socket;
        let Conn { kind: Kind::Delivery(delivery), control, closing, .. } = self.conns.get_mut(id)? else {
            return None;
        };
        let index = delivery.inbox;
        let inbox = &mut self.inboxes[index];
        if !inbox.ring.is_mid_frame() && !control.is_empty() {
            return control.offer(left, sink);
        }
        // What one connection is for goes out once; the rest waits for the next.
        if !delivery.opened || (one_frame && delivery.sent > 0) || !inbox.ring.has_unsent() {
            return None;
        }
        if inbox.ring.check_front(left.min(SCRATCH)).is_err() {
            let message_type = inbox.message_type.clone();
            self.inbox_damaged(index, &message_type, now);
            return None;
        }
        let gather = !one_frame && control.is_empty();
        let (taken, offered) = offer(&mut inbox.ring, left, gather, &mut self.scratch, sink);
        let completed = inbox.ring.sent(taken);
        delivery.sent += completed as u64;
        if delivery.done.is_none() && one_frame && completed > 0 {
            *closing = Some(Cause::Done);
        }
        if delivery.silent || (delivery.done.is_none() && one_frame) {
            self.release_inbox(index, completed);
        }
        Some((taken, offered))
    }

    /// What follows from having sent: those who waited for room go on, a closing connection closes. Whether there is
    /// more to send.
    fn after_transmit(&mut self, id: Id, took_some: bool, now: Instant) -> bool {
        let Some(conn) = self.conns.get(id) else { return false };
        if let Some(cause) = conn.closing.clone().filter(|_| conn.control.is_empty()) {
            self.close(id, cause, now);
            return false;
        }
        if conn.awaits_control && conn.control.used() <= CONTROL_HIGH / 2 {
            self.unblock(vec![id], now);
        }
        self.unblock_after(id, took_some, now);
        self.ask_confirmed(id, now);
        let pending = self.has_pending(id);
        let timer = match self.conns.get(id).map(|conn| &conn.kind) {
            // What was sent and waits for its acknowledgement is not pending here, but its app must go on as well.
            Some(Kind::Delivery(delivery)) if !self.inboxes[delivery.inbox].ring.is_empty() => {
                Timer::Unread(delivery.inbox)
            }
            _ if pending => Timer::Progress(id),
            _ => return pending,
        };
        self.timers.arm_if_idle(timer, now + self.settings.send_timeout);
        pending
    }

    /// Goes on with those who waited for room in the queue of this connection, if there is enough now.
    fn unblock_after(&mut self, id: Id, took_some: bool, now: Instant) {
        match self.conns.get(id).map(|conn| &conn.kind) {
            Some(Kind::Link(Link { state: State::Up { peer }, .. })) => {
                let peer = *peer;
                self.unblock_lanes(peer, now);
            }
            Some(Kind::Delivery(delivery)) => {
                let index = delivery.inbox;
                let inbox = &mut self.inboxes[index];
                inbox.progress |= took_some;
                inbox.stalled &= !took_some;
                let waiting = inbox.take_waiting();
                self.unblock(waiting, now);
            }
            _ => {}
        }
    }

    /// Whether there is something to send on a connection.
    fn has_pending(&self, id: Id) -> bool {
        let Some(conn) = self.conns.get(id) else { return false };
        let queued = match &conn.kind {
            Kind::Link(Link { state: State::Up { peer }, link2: Some(_), .. }) if conn.closing.is_none() => {
                self.lanes_pending(id, *peer)
            }
            Kind::Link(link @ Link { state: State::Up { peer }, .. }) if conn.closing.is_none() => {
                let has_more = |p: &Peer| p.mid_frame().is_some() || p.next_frame_lane(link).is_some();
                let has_unsent = self.peers.get(*peer).is_some_and(|p| p.link == Some(id) && has_more(p));
                has_unsent || self.feeds_pending(id, *peer)
            }
            Kind::Delivery(delivery) => {
                let takes_more = self.settings.preserve_receive_socket || delivery.sent == 0;
                delivery.opened && takes_more && self.inboxes[delivery.inbox].ring.has_unsent()
            }
            _ => false,
        };
        queued || !conn.control.is_empty()
    }

    pub(super) fn check_progress(&mut self, id: Id, now: Instant) {
        let pending = self.has_pending(id);
        let Some(conn) = self.conns.get_mut(id) else { return };
        if !pending {
            return;
        }
        if std::mem::take(&mut conn.progress) {
            self.timers.arm(Timer::Progress(id), now + self.settings.send_timeout);
            return;
        }
        self.close(id, Cause::SendTimeout(self.settings.send_timeout), now);
    }
}

/// Offers the next piece of a queue: large frames from where they lie, small ones gathered.
fn offer(
    ring: &mut Ring,
    left: usize,
    gather: bool,
    scratch: &mut [u8],
    sink: &mut dyn FnMut(&[u8]) -> usize,
) -> (usize, usize) {
    let front = ring.front().unwrap_or_default();
    let piece = if !gather || front.len() >= scratch.len() {
        &front[..front.len().min(left)]
    } else {
        let room = scratch.len().min(left);
        let filled = ring.peek(&mut scratch[..room]);
        &scratch[..filled]
    };
    (sink(piece), piece.len())
}
