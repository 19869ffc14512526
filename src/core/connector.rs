//! The connector: owner of all connections, queues and tables, and its verbs.
//!
//! It does no I/O and knows no clock. The shell tells it what happened (`accept_…`, `opened`, `secured`, `input`,
//! `closed`, `timeout`), asks it for what is to be sent (`transmit`) and does what [`Connector::poll_output`] says.
//! The shell must take all outputs after each call, before it makes the next: ids of closed connections come back.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use super::access::Access;
use super::admission::Rates;
use super::backoff::Backoff;
use super::conn::{App, Conn, Kind, Link, State};
use super::delivery::Inbox;
use super::durable::{RingName, RingRef};
use super::event::{Cause, Event, Output};
use super::file_link::Transfers;
use super::files::{Files, NoFiles};
use super::frame_out::Piece;
use super::gate::Gates;
use super::invitations::Enrolment;
use super::ledger::Ledger;
use super::life::Life;
use super::limits::Crowd;
use super::link2;
use super::peer::Peers;
use super::places::Places;
use super::priority::Classes;
use super::receipts::Session;
use super::requests::Requests;
use super::servers::Servers;
use super::settings::{
    CLIENT_CONTROL_HIGH, CONTROL_HIGH, HANDSHAKE_TIMEOUT, HELLO_WAIT, HELLO_WAIT_AGAIN, LINGER, Settings, TIDY_PERIOD,
};
use super::slots::{Id, Slots};
use super::subscriber::received_types;
use super::timers::{Timer, Timers};
use super::token_link::Tokens;
use super::topics::Topics;
use super::traffic::Traffic;
use crate::ring::Ring;
use crate::wire::frame::{Deframer, Frame, FrameError, Part, Unit};
use crate::wire::names::Role;
use crate::wire::receipts::RefusedReason;
use crate::wire::record::{self, Origin};
use crate::wire::with_file::file_begins;

/// Bytes that TLS seals as one record (RFC 8446, 5.1); of what lies across several the receiver makes a copy first.
pub(super) const TLS_RECORD: usize = 16 * 1024;

/// Bytes that are gathered from small frames for one write.
pub(super) const SCRATCH: usize = 4 * TLS_RECORD;

/// Records with one of these are not messages.
const NO_MESSAGE: u8 = record::CONTROL | record::SWITCH | record::FILE | record::HEADER;

/// What became of a frame.
#[derive(Debug)]
pub(super) enum Step {
    /// It is done with.
    Taken,
    /// It is done with, and the peer is known from now on.
    Identified,
    /// It is done with, and what follows are records.
    Records,
    /// There is no room for it now; the connection waits.
    Blocked,
    /// It is done with, but nothing more is looked at before something else is done.
    Waits,
    /// So many of its first bytes are done with; those that follow are a file's.
    Divided(usize),
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
    /// How urgent the types are.
    pub(super) classes: Classes,
    pub(super) inboxes: Vec<Inbox>,
    pub(super) inbox_of_type: HashMap<String, usize>,
    /// Connections of peers that were accepted.
    pub(super) crowd: Crowd,
    /// What is published, on a broker.
    pub(super) topics: Topics,
    /// On a client, the link on which its subscriptions were said last.
    pub(super) subscribed_on: Option<Id>,
    /// Requests of all apps that await their answer.
    pub(super) requests: Requests,
    /// How far this connector has come in what others send it.
    pub(super) places: Places,
    /// The lanes that belong to places: the link, the lane's number.
    pub(super) lane_of_place: HashMap<u32, (Id, u32)>,
    /// Apps' sessions by their places.
    pub(super) sessions: HashMap<u32, Session>,
    /// Apps' connections with receipts to come.
    pub(super) to_receipt: Vec<Id>,
    /// Queues in files that changed since they were saved, and since they were synced.
    pub(super) dirty: Vec<RingRef>,
    pub(super) unsynced: Vec<RingRef>,
    /// Places whose messages came into queues in files since they were saved.
    pub(super) stored: Vec<u32>,
    /// Before then no file is tried again, and which one has failed, as was told.
    pub(super) store_again: Option<Instant>,
    /// Of which lanes' places peers are told with what goes out next, and how much was taken over when they were kept.
    pub(super) untold: BTreeMap<u32, u64>,
    /// Apps whose sessions wait for the disk.
    pub(super) greeting: Vec<Id>,
    /// It was told that there is no room for all places.
    pub(super) places_told: bool,
    pub(super) store_failure: Option<RingName>,
    /// Origins of messages that queues give up: memory that is used again.
    pub(super) released: Vec<Origin>,
    /// When this life began.
    pub(super) began: Option<Instant>,
    /// The number of the next message to a peer: numbers rise over all peers and types, so the smallest is the oldest.
    pub(super) stamp: u64,
    /// Who is asked about clients.
    pub(super) gates: Gates,
    /// Who may come in, and who may do what.
    pub(super) access: Access,
    /// How much clients have sent, of those that may not send as much as they like.
    pub(super) rates: Rates,
    /// Types whose app may not receive them, as was told.
    pub(super) receivers_refused: HashSet<String>,
    /// By what clients are known, if by tokens.
    pub(super) tokens: Option<Tokens>,
    /// With what clients enrol.
    pub(super) enrolment: Enrolment,
    /// Files that messages bring.
    pub(super) files: Box<dyn Files>,
    pub(super) transfers: Transfers,
    /// Bytes of a file on their way out on a link of the first kind.
    pub(super) piece: Piece,
    pub(super) ledger: Ledger,
    pub(super) traffic: Traffic,
    pub(super) timers: Timers,
    pub(super) backoff: Backoff,
    /// The addresses of a client's server.
    pub(super) servers: Servers,
    pub(super) outputs: VecDeque<Output>,
    pub(super) scratch: Vec<u8>,
    pub(super) stopping: bool,
    pub(super) stopped: bool,
    /// What admins want of both.
    pub(super) life: Life,
}

impl Connector {
    /// A connector at rest.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let types = received_types(&settings);
        let inboxes: Vec<Inbox> = types.iter().map(|t| Inbox::new(t, settings.seed)).collect();
        let inbox_of_type = types.into_iter().zip(0..).collect();
        let classes = Classes::new(&settings.priorities);
        let servers = Servers::new(vec![settings.server_id.clone()], None);
        let (backoff, stamp) = (Backoff::new(settings.seed), settings.start_sequence);
        Self {
            settings,
            conns: Slots::default(),
            peers: Peers::default(),
            classes,
            inboxes,
            inbox_of_type,
            crowd: Crowd::default(),
            topics: Topics::default(),
            subscribed_on: None,
            requests: Requests::default(),
            places: Places::default(),
            lane_of_place: HashMap::new(),
            sessions: HashMap::new(),
            to_receipt: Vec::new(),
            dirty: Vec::new(),
            unsynced: Vec::new(),
            stored: Vec::new(),
            store_again: None,
            untold: BTreeMap::new(),
            greeting: Vec::new(),
            places_told: false,
            store_failure: None,
            released: Vec::new(),
            began: None,
            stamp,
            gates: Gates::default(),
            access: Access::default(),
            rates: Rates::default(),
            receivers_refused: HashSet::new(),
            tokens: None,
            enrolment: Enrolment::default(),
            files: Box::new(NoFiles),
            transfers: Transfers::default(),
            piece: Piece::default(),
            ledger: Ledger::default(),
            traffic: Traffic::default(),
            timers: Timers::default(),
            backoff,
            servers,
            outputs: VecDeque::new(),
            scratch: vec![0; SCRATCH],
            stopping: false,
            stopped: false,
            life: Life::default(),
        }
    }

    /// Has the files of messages read and written by `files`. Before all else; without it there are none.
    pub fn set_files(&mut self, files: Box<dyn Files>) {
        self.files = files;
    }

    /// Begins its work: a client dials its server.
    pub fn start(&mut self, now: Instant) {
        self.began = Some(now);
        self.timers.arm(Timer::Tidy, now + TIDY_PERIOD);
        self.open_inboxes();
        self.hold_published();
        if self.settings.role == Role::Client {
            self.dial(now);
        }
    }

    /// A peer's connection was accepted; report `secured` when TLS is done, or at once without TLS.
    pub fn accept_link(&mut self, remote: SocketAddr, now: Instant) -> Id {
        let id = self.add_link(Some(remote));
        let arrival = self.crowd.arrive(id, remote);
        if let Some(link) = self.conns.get_mut(id).and_then(Conn::link_mut) {
            link.arrival = Some(arrival);
        }
        self.timers.arm(Timer::Handshake(id), now + HANDSHAKE_TIMEOUT);
        id
    }

    /// An app's connection was accepted.
    pub fn accept_app(&mut self) -> Id {
        self.conns.insert(Conn::new(Kind::App(App::default()), self.settings.max_message_size))
    }

    pub(super) fn add_link(&mut self, remote: Option<SocketAddr>) -> Id {
        self.conns.insert(Conn::new(Kind::Link(Link::new(remote)), self.crowd.limits.first_message))
    }

    /// The connection that was to be opened is open.
    pub fn opened(&mut self, id: Id, remote: Option<SocketAddr>, now: Instant) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        match &mut conn.kind {
            Kind::Link(link) => {
                link.remote = remote;
                self.timers.arm(Timer::Handshake(id), now + HANDSHAKE_TIMEOUT);
            }
            Kind::Delivery(delivery) => {
                delivery.opened = true;
                let inbox = &mut self.inboxes[delivery.inbox];
                inbox.away = false;
                let wait = if inbox.acknowledges { HELLO_WAIT_AGAIN } else { HELLO_WAIT };
                self.timers.arm(Timer::Hello(id), now + wait);
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
            Kind::Link(_) => {
                self.charge_bytes(id, bytes.len(), now);
                self.feed(id, bytes, now);
                self.slow_down(id, now);
            }
            Kind::App(_) | Kind::Delivery(_) => self.feed(id, bytes, now),
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
        let amid_file = |conn: &Conn| !conn.paused && conn.link().is_some_and(|link| link.file_in.is_some());
        if self.conns.get(id).is_some_and(amid_file) {
            match self.go_on_with_frame(id, now) {
                Step::Waits => self.pause(id),
                Step::End(cause) => return self.close(id, cause, now),
                _ => {}
            }
        }
        let Some(conn) = self.conns.get_mut(id) else { return };
        let mut deframer = std::mem::replace(&mut conn.deframer, Deframer::new(0));
        deframer.set_limit(conn.frame_limit);
        if conn.link().is_some_and(Link::brings_files) {
            deframer.set_divide(file_begins);
        }
        let paused = conn.paused;
        let end = self.feed_frames(id, &mut deframer, bytes, paused, now);
        if let Some(conn) = self.conns.get_mut(id) {
            conn.deframer = deframer;
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
        let is_app = self.conns.get(id).is_some_and(|conn| conn.app().is_some());
        loop {
            if is_app {
                self.app_run(id, &mut frames, now);
            }
            let step = match frames.unit() {
                Unit::Frame => match frames.next_part() {
                    Ok(Some(Part::Frame(frame))) => self.frame(id, &frame, now),
                    Ok(Some(Part::Head(head, size))) => self.file_head(id, &head, size, now),
                    Ok(Some(Part::Rest(bytes))) => self.file_bytes(id, bytes, now),
                    Ok(None) => return None,
                    Err(error) => return self.not_a_frame(id, &error, now),
                },
                Unit::Other { .. } => match frames.next_piece() {
                    Ok(Some(bytes)) => self.record(id, bytes, now),
                    Ok(None) => return None,
                    Err(error) => return Some(Cause::BadInput(error.to_string())),
                },
            };
            let step = match step {
                Step::Divided(first) => {
                    frames.divide_last(first);
                    self.go_on_with_frame(id, now)
                }
                step => step,
            };
            match step {
                Step::Taken | Step::Divided(_) => {}
                Step::Identified => {
                    frames.set_limit(self.settings.link_frame_max());
                    if self.conns.get(id).and_then(Conn::link).is_some_and(Link::brings_files) {
                        frames.set_divide(file_begins);
                    }
                }
                Step::Records => {
                    frames.set_limit(self.settings.record_frame_max());
                    frames.set_unit(link2::RECORDS);
                }
                Step::Blocked => {
                    frames.hold_back();
                    self.pause(id);
                    return None;
                }
                Step::Waits => {
                    self.pause(id);
                    return None;
                }
                Step::End(cause) => return Some(cause),
            }
        }
    }

    /// Whether what comes on a connection is not to be looked at, now or at all.
    pub(super) fn is_held_back(&mut self, id: Id) -> Option<Step> {
        let Some(conn) = self.conns.get_mut(id).filter(|conn| conn.closing.is_none()) else { return Some(Step::Taken) };
        let is_asked_about = conn.link().is_some_and(|link| matches!(link.state, State::Asking { .. }));
        let is_client = self.settings.role == Role::Client && conn.link().is_some();
        conn.awaits_control = conn.control.used() > if is_client { CLIENT_CONTROL_HIGH } else { CONTROL_HIGH };
        (conn.awaits_control || is_asked_about).then_some(Step::Blocked)
    }

    /// One record of a link of the second kind.
    fn record(&mut self, id: Id, bytes: &[u8], now: Instant) -> Step {
        if let Some(step) = self.is_held_back(id) {
            return step;
        }
        match record::read_record(bytes) {
            Ok((view, frame)) if view.flags & NO_MESSAGE == 0 => {
                self.counted(id, now, |core| core.link_record(id, &view, frame, now))
            }
            Ok((view, frame)) => self.link_record(id, &view, frame, now),
            Err(error) => Step::End(Cause::BadInput(error.to_string())),
        }
    }

    fn frame(&mut self, id: Id, frame: &Frame<'_>, now: Instant) -> Step {
        if let Some(step) = self.is_held_back(id) {
            return step;
        }
        let Some(conn) = self.conns.get(id) else { return Step::Taken };
        match &conn.kind {
            Kind::App(_) => self.app_frame(id, frame, now),
            Kind::Link(_) => self.counted(id, now, |core| core.link_frame(id, frame, now)),
            Kind::Delivery(_) => self.receiver_frame(id, frame, now),
            Kind::Admin(_) => Step::Taken,
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
            (conn.paused, conn.awaits_control, conn.awaits_rate) = (false, false, false);
            self.feed(id, &[], now);
            self.slow_down(id, now);
            if self.conns.get(id).is_some_and(|conn| !conn.paused) {
                self.outputs.push_back(Output::Resume(id));
            }
        }
    }

    /// The connection ended on its own, or could not be opened.
    pub fn closed(&mut self, id: Id, cause: Cause, now: Instant) {
        // A connection that was being closed ends for the reason that it was closed for.
        let cause = match self.conns.get(id) {
            Some(conn) => conn.closing.clone().unwrap_or_else(|| conn.cause_of_end(cause)),
            None => return,
        };
        self.close(id, cause, now);
        self.check_drained(now);
    }

    pub(super) fn close(&mut self, id: Id, cause: Cause, now: Instant) {
        let Some(mut conn) = self.conns.remove(id) else { return };
        self.timers.disarm_connection(id);
        self.rates.forget_link(id);
        self.outputs.push_back(Output::Close(id));
        self.count_held(&mut conn, now);
        match conn.kind {
            Kind::Link(mut link) => {
                self.leave_frames(id, &mut link, now);
                self.link_closed(id, &mut link, cause, now);
            }
            Kind::App(app) => self.app_closed(id, app, conn.caller, cause, now),
            Kind::Delivery(delivery) => self.delivery_closed(&delivery, conn.progress, cause, now),
            Kind::Admin(_) => {
                self.life.admins.retain(|admin| *admin != id);
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
        let last = as_said(conn, last);
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
            let frame = as_said(conn, frame);
            conn.control.push(frame);
            self.want_write(id);
        }
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
                Timer::Confirm(id) => self.confirm_due(id, now),
                Timer::Answer(request) => self.request_overdue(request, now),
                Timer::Stable(_) => self.link_lasts(),
                Timer::Hello(id) => self.no_hello(id, now),
                Timer::Unread(inbox) => self.check_unread(inbox, now),
                Timer::DialApp(inbox) => self.dial_app(inbox),
                Timer::Rate(id) => self.rate_over(id, now),
                Timer::Redial => self.dial(now),
                Timer::Return => self.go_back(now),
                Timer::Files => self.files_again(now),
                Timer::StoreAgain => self.store_again(now),
                Timer::Sync => self.sync_now(now),
                Timer::Taken => self.tell_untold(),
                Timer::Report => self.report(),
                Timer::Tidy => self.tidy(now),
                Timer::Shutdown => self.time_is_over(now),
                Timer::Begin => self.begin_due(),
            }
        }
        self.check_drained(now);
    }

    fn tidy(&mut self, now: Instant) {
        for id in self.peers.ids() {
            let Some(peer) = self.peers.get_mut(id) else { continue };
            peer.give_up_old();
            peer.lanes.iter_mut().filter_map(|lane| lane.ring.as_mut()).for_each(Ring::give_back);
        }
        self.inboxes.iter_mut().for_each(|inbox| inbox.ring.give_back());
        self.tidy_topics();
        self.forget_sessions(now);
        self.rates.tidy(now);
        self.timers.arm(Timer::Tidy, now + TIDY_PERIOD);
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Tell(event));
    }

    /// Seconds since 1970.
    pub(super) fn unix(&self, now: Instant) -> u64 {
        let lived = self.began.map_or(0, |began| now.saturating_duration_since(began).as_secs());
        self.settings.started_at + lived
    }

    /// What came cannot be cut into frames any more. An app with receipts learns which message it was.
    fn not_a_frame(&mut self, id: Id, error: &FrameError, now: Instant) -> Option<Cause> {
        let cause = Cause::BadInput(error.to_string());
        let has_receipts = self.conns.get_mut(id).and_then(|c| c.app_mut()).is_some_and(|app| app.receipts.is_some());
        if !has_receipts {
            return Some(cause);
        }
        let reason =
            if let FrameError::TooLong { .. } = error { RefusedReason::TooLarge } else { RefusedReason::BadFrame };
        let refused = self.refused(id, reason);
        self.finish(id, refused, cause, now);
        None
    }
}

/// A frame of the connector's own as the connection carries it.
fn as_said(conn: &Conn, frame: Vec<u8>) -> Vec<u8> {
    if conn.link().is_none_or(|link| !link.says_records) {
        return frame;
    }
    let mut out = Vec::new();
    record::append_record(&mut out, 0, record::CONTROL, &[&frame]);
    out
}
