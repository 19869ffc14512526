//! The end: what is queued still goes out, as far as time allows; what is left is counted.

use std::time::Instant;

use super::conn::{Conn, Kind, Link, State};
use super::connector::Connector;
use super::event::{Cause, Output};
use super::ledger::Reason;
use super::peer::{Lane, Peer};
use super::slots::Id;
use super::timers::Timer;
use crate::ring::Ring;
use crate::wire::control::CloseReason;
use crate::wire::frame::{Frame, Part};
use crate::wire::header::Header;
use crate::wire::record;

impl Connector {
    /// Begins the end: what is queued is still sent, and when it is, or when the time for it is over,
    /// [`Output::Stopped`] comes. The shell accepts no connections any more, and reads only what
    /// [`Connector::reads_while_stopping`] names.
    pub fn stop(&mut self, now: Instant) {
        if !self.ends_rest(now) && !self.stopping {
            self.drain(now);
        }
    }

    /// Has what is queued go out, and takes nothing more.
    pub(super) fn drain(&mut self, now: Instant) {
        self.stopping = true;
        (self.crowd.told_of_end, self.crowd.waited_for) = (false, None);
        self.unsubscribe();
        self.timers.arm(Timer::Shutdown, now + self.settings.shutdown_timeout);
        self.timers.disarm(Timer::Redial);
        let opening: Vec<Id> = self.conns.iter().filter(|(_, c)| is_opening(c)).map(|(id, _)| id).collect();
        for id in opening {
            self.close(id, Cause::Stopping, now);
        }
        self.fail_all_requests(now);
        let receivers: Vec<Id> = self.inboxes.iter().filter_map(|inbox| inbox.conn).collect();
        for id in receivers {
            self.no_hello(id, now);
        }
        self.check_drained(now);
    }

    /// Ends at once: what is queued in memory is counted as dropped, and [`Output::Stopped`] comes.
    pub fn halt(&mut self, now: Instant) {
        self.forget_rest();
        self.stopping = true;
        self.end(now);
    }

    /// Whether a connection is read on while the connector stops, for the acknowledgements that come on it: without them
    /// what has arrived would wait in its queue to the end of the time for it, and go out a second time in the next life.
    ///
    /// - A link of the second kind: messages that come on it are passed over, and stay with the peer.
    /// - A link of the first kind only while a message waits for its `_ack`: what comes besides has left the peer
    ///   already, and is delivered as far as time allows.
    /// - An app that receives and acknowledges, or may still say so.
    #[must_use]
    pub fn reads_while_stopping(&mut self, id: Id) -> bool {
        let awaits_ack = |lane: &mut Lane| {
            let oldest = lane.ring.as_mut().and_then(Ring::oldest);
            oldest.is_some_and(|view| view.flags & record::WAITS_ACK != 0)
        };
        match self.conns.get(id).map(|conn| &conn.kind) {
            Some(Kind::Link(Link { link2: Some(_), .. })) => true,
            Some(Kind::Link(Link { state: State::Up { peer }, .. })) => {
                let peer = self.peers.get_mut(*peer).filter(|peer| peer.link == Some(id));
                peer.is_some_and(|peer| peer.lanes.iter_mut().any(awaits_ack))
            }
            Some(Kind::Delivery(delivery)) => delivery.done.is_some() || !delivery.silent,
            _ => false,
        }
    }

    pub(super) fn check_drained(&mut self, now: Instant) {
        if self.has_answered() {
            return self.end(now);
        }
        // All are looked at for each of many that send their last and go: what one look can say is remembered.
        if !self.stopping || self.stopped || self.crowd.goes() || !self.is_drained() {
            return;
        }
        let links: Vec<Id> = self.conns.iter().filter(|(_, c)| c.link().is_some()).map(|(id, _)| id).collect();
        if links.is_empty() {
            self.end(now);
        }
        for id in links {
            if self.conns.get(id).is_some_and(|c| c.closing.is_none()) {
                self.say_goodbye(id, CloseReason::Stopping, now);
            }
        }
        self.crowd.told_of_end = true;
    }

    /// What is stored need not go out: it is there when the connector starts again.
    fn is_drained(&mut self) -> bool {
        let goes_out = |peer: &Peer| {
            // A stored message whose file is on its way is left: both are gone on with.
            let goes_on = |lane: &Lane| {
                let first = lane.ring.as_ref().and_then(Ring::first_sequence);
                !lane.durable || first.is_some_and(|first| first < lane.may_send_below())
            };
            let waits = |lane: &Lane| lane.is_mid_frame() || (lane.len() > 0 && !lane.stopped && goes_on(lane));
            peer.link.is_some() && peer.lanes.iter().any(waits)
        };
        if self.crowd.waited_for.and_then(|id| self.peers.get(id)).is_some_and(goes_out) {
            return false;
        }
        self.crowd.waited_for = self.peers.iter().find(|(_, peer)| goes_out(peer)).map(|(id, _)| id);
        self.crowd.waited_for.is_none()
            && !self.topics_drain()
            && self.inboxes.iter().all(|i| i.ring.is_empty() || i.away)
            && self.conns.iter().all(|(_, c)| !is_held_up(c))
    }

    /// There is no more time for what was waited for.
    pub(super) fn time_is_over(&mut self, now: Instant) {
        self.wait_for_no_answers();
        self.end(now);
    }

    pub(super) fn end(&mut self, now: Instant) {
        if self.stopped || self.settles_down(now) {
            return;
        }
        self.stopped = true;
        let paused: Vec<Id> = self.conns.iter().filter(|(_, c)| c.paused).map(|(id, _)| id).collect();
        for id in paused {
            self.close(id, Cause::Stopping, now);
        }
        self.empty_mirrors();
        for id in self.peers.ids() {
            let Some(peer) = self.peers.get_mut(id) else { continue };
            let name = peer.name.clone();
            let in_memory = peer.lanes.iter_mut().filter(|lane| !lane.durable).filter_map(|lane| lane.ring.as_mut());
            let lost: Vec<_> = in_memory
                .flat_map(|ring| {
                    let types = types_in(ring);
                    ring.clear();
                    types
                })
                .collect();
            for (message_type, _, count) in lost {
                self.count_drop(&name, &message_type, Reason::Stopping, count, now);
            }
        }
        self.end_topics(now);
        for inbox in 0..self.inboxes.len() {
            if !self.inboxes[inbox].durable {
                self.drop_inbox(inbox, Reason::Stopping, now);
            }
        }
        self.settle(now);
        self.close_files();
        // With an interval, what is stored and what has gone would else be known as of the last one only.
        self.sync_now(now);
        self.report();
        self.outputs.push_back(Output::Stopped);
    }

    /// Counts the messages that a connection held back for want of room, and that end with it.
    pub(super) fn count_held(&mut self, conn: &mut Conn, now: Instant) {
        let peer = match &conn.kind {
            _ if !conn.paused => return,
            // Nothing of somebody who was not let in counts.
            Kind::Link(Link { state: State::Asking { .. }, .. }) => return,
            // Its sender has them, and knows that they did not arrive.
            Kind::Link(Link { link2: Some(_), .. }) => return,
            Kind::App(app) if app.receipts.is_some() => return,
            Kind::Link(Link { state: State::Up { peer }, .. }) => self.peers.get(*peer).map(|p| p.name.clone()),
            _ => None,
        };
        let reason = if self.stopping { Reason::Stopping } else { Reason::ConnectionEnded };
        let mut frames = conn.deframer.feed(&[]);
        while let Ok(Some(part)) = frames.next_part() {
            // The rest of a file is not a message.
            let (Part::Frame(frame) | Part::Head(frame, _)) = part else { continue };
            let header = Header::parse(frame.header()).unwrap_or_default();
            let destination = header.destination_id.as_deref().unwrap_or(&self.settings.server_id);
            let peer = peer.as_deref().unwrap_or(destination).to_owned();
            self.count_drop(&peer, &header.message_type, reason, 1, now);
        }
    }
}

/// An app whose messages were not all taken, or that was not told yet what became of its requests.
fn is_held_up(conn: &Conn) -> bool {
    let Kind::App(app) = &conn.kind else { return false };
    conn.paused || (app.has_last_words && !conn.control.is_empty())
}

fn is_opening(conn: &Conn) -> bool {
    conn.link().is_some() && !conn.is_up()
}

/// The messages in a queue: their types, sources, and how many of each in a row.
pub(super) fn types_in(ring: &Ring) -> Vec<(String, String, u64)> {
    let (mut out, mut last) = (Vec::<(String, String, u64)>::new(), Vec::new());
    for (_, bytes) in ring.frames() {
        let header = Frame::parse(bytes).map(|f| f.header()).unwrap_or_default();
        match out.last_mut() {
            Some((_, _, count)) if header == last => *count += 1,
            _ => {
                last = header.to_vec();
                let header = Header::parse(header).unwrap_or_default();
                let source = header.source_id.unwrap_or_default().into_owned();
                out.push((header.message_type.into_owned(), source, 1));
            }
        }
    }
    out
}
