//! What goes out: own frames first, then the queue, as far as there is room.

use std::time::Instant;

use super::conn::{Kind, Link, State};
use super::connector::Connector;
use super::event::Cause;
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
        while left > 0 && has_room {
            match self.transmit_once(id, left, sink) {
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
    fn transmit_once(&mut self, id: Id, left: usize, sink: &mut dyn FnMut(&[u8]) -> usize) -> Option<(usize, usize)> {
        let conn = self.conns.get_mut(id)?;
        let one_frame = matches!(conn.kind, Kind::Delivery(_)) && !self.settings.preserve_receive_socket;
        let ring = match &conn.kind {
            Kind::Link(Link { state: State::Up { peer }, .. }) if conn.closing.is_none() => {
                self.peers.get_mut(*peer).filter(|p| p.link == Some(id)).map(|p| &mut p.outbox)
            }
            Kind::Delivery(delivery) if delivery.opened && conn.closing.is_none() => {
                // What one connection is for goes out once; the rest waits for the next.
                (!one_frame || delivery.sent == 0).then(|| &mut self.inboxes[delivery.inbox].ring)
            }
            _ => None,
        };
        let mid_frame = ring.as_ref().is_some_and(|r| r.is_mid_frame());
        if let Some(front) = conn.control.front().filter(|_| !mid_frame) {
            let front = &front[..front.len().min(left)];
            let offered = front.len();
            let taken = sink(front);
            conn.control.sent(taken);
            return Some((taken, offered));
        }
        let ring = ring.filter(|r| r.has_unsent())?;
        // Frames that wait to go ahead do so as soon as the frame that was begun is out.
        let gather = !one_frame && conn.control.is_empty();
        let (taken, offered) = offer(ring, left, gather, &mut self.scratch, sink);
        let completed = ring.sent(taken);
        match &mut conn.kind {
            Kind::Delivery(delivery) => {
                delivery.sent += completed as u64;
                if delivery.silent || (delivery.done.is_none() && one_frame) {
                    ring.release_sent();
                }
                if delivery.done.is_none() && one_frame && completed > 0 {
                    conn.closing = Some(Cause::Done);
                }
            }
            _ => ring.release_sent(),
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
        let waiting = self.take_waiting(id, took_some);
        self.unblock(waiting, now);
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

    /// The connections that waited for room in the queue of this one, if there is enough now.
    fn take_waiting(&mut self, id: Id, took_some: bool) -> Vec<Id> {
        match self.conns.get(id).map(|conn| &conn.kind) {
            Some(Kind::Link(Link { state: State::Up { peer }, .. })) => self.take_waiting_for_peer(*peer),
            Some(Kind::Delivery(delivery)) => {
                let inbox = &mut self.inboxes[delivery.inbox];
                inbox.progress |= took_some;
                inbox.stalled &= !took_some;
                inbox.take_waiting()
            }
            _ => Vec::new(),
        }
    }

    /// Whether there is something to send on a connection.
    fn has_pending(&self, id: Id) -> bool {
        let Some(conn) = self.conns.get(id) else { return false };
        let queued = match &conn.kind {
            Kind::Link(Link { state: State::Up { peer }, .. }) if conn.closing.is_none() => {
                self.peers.get(*peer).is_some_and(|p| p.link == Some(id) && p.outbox.has_unsent())
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
    ring: &Ring,
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
