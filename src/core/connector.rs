//! The connector: owner of all connections, queues and tables, and its verbs.
//!
//! It does no I/O and knows no clock. The shell tells it what happened (`accept_…`, `opened`, `secured`, `input`,
//! `closed`, `timeout`), asks it for what is to be sent (`transmit`) and does what [`Connector::poll_output`] says.
//! The shell must take all outputs after each call, before it makes the next: ids of closed connections come back.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use super::backoff::Backoff;
use super::conn::{App, Conn, Kind, Link, State};
use super::delivery::Inbox;
use super::event::{Cause, Event, Output};
use super::ledger::{Ledger, Reason};
use super::peer::Peers;
use super::settings::{
    CONTROL_HIGH, HANDSHAKE_TIMEOUT, LINGER, REPORT_PERIOD, Settings, TIDY_PERIOD, UNIDENTIFIED_MAX,
};
use super::slots::{Id, Slots};
use super::timers::{Timer, Timers};
use crate::ring::Ring;
use crate::wire::control::CloseReason;
use crate::wire::frame::{Deframer, Frame};
use crate::wire::names::Role;

/// Bytes that are gathered from small frames for one write: four TLS records.
const SCRATCH: usize = 64 * 1024;

/// What became of a frame.
#[derive(Debug)]
pub(super) enum Step {
    /// It is done with.
    Taken,
    /// It is done with, and the peer is known from now on.
    Identified,
    /// There is no room for it now; the connection waits.
    Blocked,
    /// The connection must end.
    End(Cause),
}

/// Whether the shell may go on reading from a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// It may.
    Open,
    /// Not until [`Output::Resume`].
    Paused,
}

/// The connector.
#[derive(Debug)]
pub struct Connector {
    pub(super) settings: Settings,
    pub(super) conns: Slots<Conn>,
    pub(super) peers: Peers,
    pub(super) inboxes: Vec<Inbox>,
    pub(super) inbox_of_type: HashMap<String, usize>,
    /// Requests of all apps that await their answer.
    pub(super) requests: usize,
    /// Ids that were made up for requests that came without.
    pub(super) made_up_ids: u64,
    pub(super) ledger: Ledger,
    pub(super) timers: Timers,
    pub(super) backoff: Backoff,
    pub(super) outputs: VecDeque<Output>,
    scratch: Vec<u8>,
    pub(super) stopping: bool,
    stopped: bool,
}

impl Connector {
    /// A connector at rest.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let inboxes: Vec<Inbox> = settings.recv_types.iter().map(|t| Inbox::new(t)).collect();
        let inbox_of_type = settings.recv_types.iter().cloned().zip(0..).collect();
        let backoff = Backoff::new(settings.seed);
        Self {
            settings,
            conns: Slots::default(),
            peers: Peers::default(),
            inboxes,
            inbox_of_type,
            requests: 0,
            made_up_ids: 0,
            ledger: Ledger::default(),
            timers: Timers::default(),
            backoff,
            outputs: VecDeque::new(),
            scratch: vec![0; SCRATCH],
            stopping: false,
            stopped: false,
        }
    }

    /// Begins its work: a client dials its server.
    pub fn start(&mut self, now: Instant) {
        self.timers.arm(Timer::Tidy, now + TIDY_PERIOD);
        if self.settings.role == Role::Client {
            self.dial(now);
        }
    }

    /// A peer's connection was accepted; report `secured` when TLS is done, or at once without TLS.
    pub fn accept_link(&mut self, remote: SocketAddr, now: Instant) -> Id {
        let id = self.add_link(Some(remote));
        self.timers.arm(Timer::Handshake(id), now + HANDSHAKE_TIMEOUT);
        id
    }

    /// An app's connection was accepted.
    pub fn accept_app(&mut self) -> Id {
        self.conns.insert(Conn::new(Kind::App(App::default()), self.settings.max_message_size))
    }

    /// An admin's connection was accepted. It is for one request, which must come in time.
    pub fn accept_admin(&mut self, now: Instant) -> Id {
        let id = self.conns.insert(Conn::new(Kind::Admin(Vec::new()), 0));
        self.timers.arm(Timer::Handshake(id), now + HANDSHAKE_TIMEOUT);
        id
    }

    pub(super) fn add_link(&mut self, remote: Option<SocketAddr>) -> Id {
        let link = Link { state: State::Opening, remote, memo: None, unanswered: 0, replaced: false, up_since: None };
        self.conns.insert(Conn::new(Kind::Link(link), UNIDENTIFIED_MAX))
    }

    /// The connection that was to be opened is open.
    pub fn opened(&mut self, id: Id, remote: Option<SocketAddr>, now: Instant) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        match &mut conn.kind {
            Kind::Link(link) => {
                link.remote = remote;
                self.timers.arm(Timer::Handshake(id), now + HANDSHAKE_TIMEOUT);
            }
            Kind::Delivery { opened, .. } => {
                *opened = true;
                self.want_write(id);
            }
            Kind::App(_) | Kind::Admin(_) => {}
        }
    }

    /// Bytes came from a connection, decrypted where it has TLS.
    pub fn input(&mut self, id: Id, bytes: &[u8], now: Instant) -> Reading {
        let Some(conn) = self.conns.get_mut(id) else { return Reading::Paused };
        if conn.closing.is_some() {
            return Reading::Open;
        }
        match &mut conn.kind {
            Kind::Link(_) | Kind::App(_) => self.feed(id, bytes, now),
            Kind::Delivery { .. } => {}
            Kind::Admin(_) => self.admin_input(id, bytes, now),
        }
        self.check_drained(now);
        match self.conns.get(id) {
            Some(conn) if !conn.paused => Reading::Open,
            _ => Reading::Paused,
        }
    }

    /// Hands the frames in `bytes` on, until there are no more or one finds no room.
    pub(super) fn feed(&mut self, id: Id, bytes: &[u8], now: Instant) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let mut deframer = std::mem::replace(&mut conn.deframer, Deframer::new(0));
        let paused = conn.paused;
        let end = self.feed_frames(id, &mut deframer, bytes, paused, now);
        let limit = self.settings.link_frame_max();
        if let Some(conn) = self.conns.get_mut(id) {
            conn.deframer = deframer;
            if conn.is_up() {
                conn.deframer.set_limit(limit);
            }
        }
        if let Some(cause) = end {
            self.close(id, cause, now);
        }
    }

    fn feed_frames(
        &mut self,
        id: Id,
        deframer: &mut Deframer,
        bytes: &[u8],
        paused: bool,
        now: Instant,
    ) -> Option<Cause> {
        let mut frames = deframer.feed(bytes);
        if paused {
            return None;
        }
        loop {
            let step = match frames.next() {
                Ok(Some(frame)) => self.frame(id, &frame, now),
                Ok(None) => return None,
                Err(error) => return Some(Cause::BadInput(error.to_string())),
            };
            match step {
                Step::Taken => {}
                Step::Identified => frames.set_limit(self.settings.link_frame_max()),
                Step::Blocked => {
                    frames.hold_back();
                    self.pause(id);
                    return None;
                }
                Step::End(cause) => return Some(cause),
            }
        }
    }

    fn frame(&mut self, id: Id, frame: &Frame<'_>, now: Instant) -> Step {
        let Some(conn) = self.conns.get_mut(id) else { return Step::Taken };
        if conn.closing.is_some() {
            return Step::Taken;
        }
        conn.awaits_control = conn.control.used() > CONTROL_HIGH;
        if conn.awaits_control {
            return Step::Blocked;
        }
        match &conn.kind {
            Kind::App(_) => self.app_frame(id, frame, now),
            Kind::Link(_) => self.link_frame(id, frame, now),
            Kind::Delivery { .. } | Kind::Admin(_) => Step::Taken,
        }
    }

    fn pause(&mut self, id: Id) {
        if let Some(conn) = self.conns.get_mut(id) {
            conn.paused = true;
        }
    }

    /// Goes on with connections that waited for room.
    pub(super) fn unblock(&mut self, waiting: Vec<Id>, now: Instant) {
        for id in waiting {
            let Some(conn) = self.conns.get_mut(id) else { continue };
            if !conn.paused || conn.closing.is_some() {
                continue;
            }
            (conn.paused, conn.awaits_control) = (false, false);
            self.feed(id, &[], now);
            if self.conns.get(id).is_some_and(|conn| !conn.paused) {
                self.outputs.push_back(Output::Resume(id));
            }
        }
    }

    /// The connection ended on its own, or could not be opened.
    pub fn closed(&mut self, id: Id, cause: Cause, now: Instant) {
        // A connection that was being closed ends for the reason that it was closed for.
        let cause = match self.conns.get(id) {
            Some(conn) => conn.closing.clone().unwrap_or_else(|| conn.amid_message(cause)),
            None => return,
        };
        self.close(id, cause, now);
        self.check_drained(now);
    }

    pub(super) fn close(&mut self, id: Id, cause: Cause, now: Instant) {
        let Some(conn) = self.conns.remove(id) else { return };
        self.timers.disarm_connection(id);
        self.outputs.push_back(Output::Close(id));
        match conn.kind {
            Kind::Link(link) => self.link_closed(id, &link, cause, now),
            Kind::App(app) => self.app_closed(id, app, cause),
            Kind::Delivery { inbox, opened } => self.delivery_closed(inbox, opened, conn.progress, &cause, now),
            Kind::Admin(_) => {
                if let Cause::BadInput(_) | Cause::HandshakeTimeout(_) = cause {
                    self.tell(Event::AdminRefused { cause });
                }
            }
        }
    }

    /// Sends `last` and closes the connection once it has gone out.
    pub(super) fn finish(&mut self, id: Id, last: Vec<u8>, cause: Cause, now: Instant) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.closing = Some(cause);
        conn.control.push(last);
        self.timers.arm(Timer::Linger(id), now + LINGER);
        self.want_write(id);
    }

    fn linger_over(&mut self, id: Id, now: Instant) {
        let cause = self.conns.get(id).and_then(|c| c.closing.clone()).unwrap_or(Cause::Done);
        self.close(id, cause, now);
    }

    pub(super) fn want_write(&mut self, id: Id) {
        if let Some(conn) = self.conns.get_mut(id)
            && !conn.told_to_write
        {
            conn.told_to_write = true;
            self.outputs.push_back(Output::Write(id));
        }
    }

    pub(super) fn send_control(&mut self, id: Id, frame: Vec<u8>) {
        if let Some(conn) = self.conns.get_mut(id) {
            conn.control.push(frame);
            self.want_write(id);
        }
    }

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
        let one_frame = matches!(conn.kind, Kind::Delivery { .. }) && !self.settings.preserve_receive_socket;
        let ring = match &conn.kind {
            Kind::Link(Link { state: State::Up { peer }, .. }) if conn.closing.is_none() => {
                self.peers.get_mut(*peer).filter(|p| p.link == Some(id)).map(|p| &mut p.outbox)
            }
            Kind::Delivery { inbox, opened: true } if conn.closing.is_none() => Some(&mut self.inboxes[*inbox].ring),
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
        ring.release_sent();
        if one_frame && completed > 0 {
            conn.closing = Some(Cause::Done);
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
        if pending {
            let timer = match self.conns.get(id).map(|conn| &conn.kind) {
                Some(Kind::Delivery { inbox, .. }) => Timer::Unread(*inbox),
                _ => Timer::Progress(id),
            };
            self.timers.arm_if_idle(timer, now + self.settings.send_timeout);
        }
        pending
    }

    /// The connections that waited for room in the queue of this one, if there is enough now.
    fn take_waiting(&mut self, id: Id, took_some: bool) -> Vec<Id> {
        match self.conns.get(id).map(|conn| &conn.kind) {
            Some(Kind::Link(Link { state: State::Up { peer }, .. })) => self.take_waiting_for_peer(*peer),
            Some(Kind::Delivery { inbox, .. }) => {
                let inbox = &mut self.inboxes[*inbox];
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
            Kind::Delivery { inbox, opened: true } => self.inboxes[*inbox].ring.has_unsent(),
            _ => false,
        };
        queued || !conn.control.is_empty()
    }

    /// The next thing for the shell to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Connector::timeout`] must be called, if nothing else happens.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Does what is due.
    pub fn timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.due(now) {
            match timer {
                Timer::Handshake(id) => self.handshake_overdue(id, now),
                Timer::KeepAlive(id) => self.keep_alive(id, now),
                Timer::KeepAliveAnswer(id) => self.keep_alive_overdue(id, now),
                Timer::Progress(id) => self.check_progress(id, now),
                Timer::Linger(id) => self.linger_over(id, now),
                Timer::Stable(_) => self.backoff.reset(),
                Timer::Unread(inbox) => self.check_unread(inbox, now),
                Timer::DialApp(inbox) => self.dial_app(inbox),
                Timer::Redial => self.dial(now),
                Timer::Report => self.report(),
                Timer::Tidy => self.tidy(now),
                Timer::Shutdown => self.end(now),
            }
        }
        self.check_drained(now);
    }

    fn check_progress(&mut self, id: Id, now: Instant) {
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

    fn tidy(&mut self, now: Instant) {
        for id in self.peers.ids() {
            if let Some(peer) = self.peers.get_mut(id) {
                peer.outbox.give_back();
            }
        }
        self.inboxes.iter_mut().for_each(|inbox| inbox.ring.give_back());
        self.timers.arm(Timer::Tidy, now + TIDY_PERIOD);
    }

    pub(super) fn count_drop(&mut self, peer: &str, message_type: &str, reason: Reason, messages: u64, now: Instant) {
        if messages > 0 {
            self.ledger.count(peer, message_type, reason, messages);
            self.timers.arm_if_idle(Timer::Report, now + REPORT_PERIOD);
        }
    }

    fn report(&mut self) {
        for (entry, messages) in self.ledger.report() {
            self.tell(Event::Dropped { entry, messages });
        }
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Tell(event));
    }

    /// The messages that were not delivered since the start.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Begins the end: what is queued is still sent, and when it is, or when the time for it is over,
    /// [`Output::Stopped`] comes. The shell accepts no connections any more and reads nothing more.
    pub fn stop(&mut self, now: Instant) {
        if self.stopping {
            return;
        }
        self.stopping = true;
        self.timers.arm(Timer::Shutdown, now + self.settings.shutdown_timeout);
        self.timers.disarm(Timer::Redial);
        let opening: Vec<Id> = self.conns.iter().filter(|(_, c)| is_opening(c)).map(|(id, _)| id).collect();
        for id in opening {
            self.close(id, Cause::Stopping, now);
        }
        self.check_drained(now);
    }

    pub(super) fn check_drained(&mut self, now: Instant) {
        if !self.stopping || self.stopped || !self.is_drained() {
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
    }

    fn is_drained(&self) -> bool {
        self.peers.iter().all(|(_, p)| p.link.is_none() || p.outbox.is_empty())
            && self.inboxes.iter().all(|i| i.ring.is_empty())
            && self.conns.iter().all(|(_, c)| !(c.paused && matches!(c.kind, Kind::App(_))))
    }

    fn end(&mut self, now: Instant) {
        if self.stopped {
            return;
        }
        self.stopped = true;
        for id in self.peers.ids() {
            let Some(peer) = self.peers.get_mut(id) else { continue };
            let (name, mut frames) = (peer.name.clone(), Vec::new());
            drain_types(&mut peer.outbox, &mut frames);
            for (message_type, _, count) in frames {
                self.count_drop(&name, &message_type, Reason::Stopping, count, now);
            }
        }
        for inbox in 0..self.inboxes.len() {
            self.drop_inbox(inbox, Reason::Stopping, now);
        }
        self.report();
        self.outputs.push_back(Output::Stopped);
    }

    /// Checks what must always hold; for tests.
    ///
    /// # Panics
    /// When it does not.
    pub fn check_invariants(&self) {
        for blocked in self.peers.iter().map(|(_, p)| &p.blocked).chain(self.inboxes.iter().map(|i| &i.blocked)) {
            let mut waiting: Vec<Id> = blocked.iter().copied().filter(|id| self.conns.get(*id).is_some()).collect();
            waiting.sort_unstable();
            assert!(waiting.windows(2).all(|two| two[0] != two[1]), "nobody waits twice for the same room");
        }
        for (id, peer) in self.peers.iter() {
            peer.outbox.check_invariants();
            let is_up =
                |link: Id| self.conns.get(link).and_then(Conn::link).map(|l| l.state) == Some(State::Up { peer: id });
            assert!(peer.link.is_none_or(is_up), "the link of peer {} is up", peer.name);
            assert!(
                peer.link.is_some() || peer.blocked.is_empty(),
                "nobody waits for peer {} while it is away",
                peer.name
            );
            assert!(
                peer.link.is_some() || peer.requests.is_empty(),
                "no request waits for peer {} while it is away",
                peer.name
            );
        }
        let waiting: usize = self.peers.iter().map(|(_, p)| p.requests.len()).sum();
        assert_eq!(waiting, self.requests, "requests are counted");
        for inbox in &self.inboxes {
            inbox.ring.check_invariants();
            assert!(inbox.conn.is_none_or(|c| self.conns.get(c).is_some()), "the app's connection is there");
        }
    }
}

fn is_opening(conn: &Conn) -> bool {
    conn.link().is_some() && !conn.is_up()
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

/// Takes all frames out of a queue that will not be sent: their types, sources, and how many of each in a row.
pub(super) fn drain_types(ring: &mut Ring, out: &mut Vec<(String, String, u64)>) {
    use crate::wire::header::Header;
    ring.rewind();
    let mut last: Vec<u8> = Vec::new();
    while let Some(bytes) = ring.front() {
        let length = bytes.len();
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
        ring.sent(length);
        ring.release_sent();
    }
    ring.clear();
}
