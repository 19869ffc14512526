//! The shell: one loop around the core. It owns the sockets, does what the core says, and tells it what happened.
//!
//! One turn: wait for events; read from those who have something, a bounded amount each; let the core do what is due,
//! and keep what it has taken in; write what it has, and keep what that has changed. Who could read or write more has a
//! turn again before the loop waits.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token, Waker};

use super::buffers::{Buffers, READ_SIZE};
use super::dial::Resolver;
use super::doors::Doors;
use super::hooks::ActiveHooks;
use super::listener::UnixServer;
use super::meter::Meter;
use super::open::Dialled;
use super::rings::Rings;
use super::route::Route;
use super::scrapes::{ScrapeListener, Scrapes};
use super::security::{Secure, Security};
use super::session::{Handler, Session};
use super::stop::Signals;
use super::stream::{End, Received, Stream};
use super::tls::{self, Refusals};
use super::to_core::ToCore;
use super::tokens::ActiveTokens;
use crate::core::{Cause, Connector, Id, OwnerWork, Secured};
use crate::files::DiskFiles;
use crate::wire::names::SocketPaths;

/// Bytes that one connection may send before others have a turn.
const WRITE_BUDGET: usize = 256 * 1024;

/// Longest wait for the other side to have read what was sent before the connection was closed.
const LINGER: Duration = Duration::from_secs(1);

/// Most closed connections whose end is waited for; further ones are cut off.
const LINGERING_MAX: usize = 256;

/// Bytes that are still read of an app's connection when the connector stops: more than a Unix socket holds.
const LAST_READ: usize = 4 * 1024 * 1024;

/// Time that a turn gives to connections of which it is not known yet who is there.
const HANDSHAKES_TIME: Duration = Duration::from_millis(2);

pub(super) const LINKS: Token = Token(0);
pub(super) const APPS: Token = Token(1);
const ADMINS: Token = Token(2);
const SIGNALS: Token = Token(3);
const WAKER: Token = Token(4);
pub(super) const SCRAPE_LISTENER: Token = Token(5);
/// A connection's token is this and its place in the core's table.
const CONNECTIONS: usize = 16;
/// A scraper's token is this and its place.
pub(super) const SCRAPES: usize = 1 << 47;
/// A closed connection's token is this and a number.
const LINGERING: usize = 1 << 48;

/// What a shell is made of.
#[derive(Debug)]
pub struct Parts {
    /// The core.
    pub connector: Connector,
    /// How links are protected.
    pub security: Security,
    /// Where links and apps come in.
    pub doors: Doors,
    /// A client's way to its server.
    pub route: Option<Route>,
    /// Where admins connect.
    pub admins: UnixServer,
    /// Where the other sockets are.
    pub paths: SocketPaths,
    /// Where queues are stored.
    pub rings: Rings,
    /// The address of the server, as the config has it.
    pub server: (String, u16),
    /// Where the config is from: what admins change is written there.
    pub config_file: Option<PathBuf>,
    /// Files that messages bring; the core gets them when the loop can be woken for them.
    pub files: Option<DiskFiles>,
    /// Who is asked about clients.
    pub hooks: ActiveHooks,
    /// Files of tokens.
    pub tokens: ActiveTokens,
    /// Where programs connect that read the metrics.
    pub scrapes: Option<ScrapeListener>,
    /// The process's signals, if they are the connector's.
    pub signals: Option<Signals>,
    /// Longest time for what is queued to go out at the end.
    pub shutdown_timeout: Duration,
    /// Longest wait for a peer's machine to confirm what was sent to it.
    pub send_timeout: Duration,
}

/// What the owner of the loop is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// To let it go on.
    GoOn,
    /// To read the config again (SIGHUP).
    Reload,
    /// To end: all is done.
    End,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: Id,
    pub(super) stream: Stream,
    pub(super) kind: Kind,
    /// The core takes no more for now.
    paused: bool,
    /// It is in the list of those to be read.
    listed: bool,
    /// Bytes that are still read of it once the connector stops.
    last_read: usize,
}

impl Entry {
    fn is_opening(&self) -> bool {
        matches!(&self.kind, Kind::Link(link) if link.opening)
    }

    /// Why TLS failed, and, if the peer did not like it, the certificate that it was shown.
    fn explain(&self, error: &rustls::Error) -> String {
        let Kind::Link(link) = &self.kind else { return error.to_string() };
        let why = tls::explain(error, &link.refusals);
        match (&link.shown, error) {
            (Some(shown), rustls::Error::AlertReceived(_)) => format!("{why}; it was shown {shown}"),
            _ => why,
        }
    }
}

#[derive(Debug)]
pub(super) enum Kind {
    Link(Box<LinkEntry>),
    App,
    Delivery,
    Admin,
}

#[derive(Debug)]
pub(super) struct LinkEntry {
    /// It was dialled and is not open yet.
    pub(super) opening: bool,
    /// The proxy that it was dialled to has been reached.
    pub(super) reached: bool,
    /// What is known of the peer once TLS is done, on a client.
    known: Option<Secured>,
    refusals: Refusals,
    /// The certificate that is shown to the peer, for the log if it is refused.
    shown: Option<String>,
}

impl LinkEntry {
    pub(super) fn new(secure: Secure, opening: bool) -> (Option<Session>, Self) {
        let Secure { session, known, refusals, shown } = secure;
        (session, Self { opening, reached: false, known, refusals, shown })
    }
}

/// The loop and all that it owns.
pub struct Shell {
    pub(super) poll: Poll,
    pub(super) parts: Parts,
    pub(super) waker: Arc<Waker>,
    pub(super) resolver: Resolver,
    /// Connections to be opened to names that are being looked up.
    pub(super) dialled: HashMap<Id, Dialled>,
    buffers: Buffers,
    pub(super) connections: Vec<Option<Entry>>,
    /// Connections that may have something to read.
    to_read: Vec<Id>,
    /// Connections that may have something to send.
    pub(super) to_write: Vec<Id>,
    pub(super) lingering: HashMap<Token, (Stream, Instant)>,
    closed: usize,
    pub(super) accept_again: Option<Instant>,
    /// The last attempt to accept failed, and the log says so.
    pub(super) accept_fails: bool,
    /// Types whose app could not be connected to for an unusual reason, and the log says so.
    pub(super) unreachable_apps: HashSet<String>,
    /// Nothing is accepted or read any more.
    pub(super) stopping: bool,
    pub(super) ended: bool,
    /// A signal to stop has come.
    pub(super) told_to_end: bool,
    pub(super) wish: Wish,
    /// An admin has ordered a rest, a hard one if this says so.
    pub(super) rest_ordered: Option<bool>,
    /// What admins want of the owner of the loop.
    pub(super) owner_work: Vec<OwnerWork>,
    /// There is more to do for files.
    works: bool,
    /// When the certificates are looked at.
    pub(super) certificates_at: Instant,
    pub(super) meter: Meter,
    pub(super) scrapes: Scrapes,
}

impl Shell {
    /// A shell around `parts`, ready to turn.
    ///
    /// # Errors
    /// The system's.
    pub fn new(mut parts: Parts) -> io::Result<Self> {
        let poll = Poll::new()?;
        let registry = poll.registry();
        parts.doors.register(registry, LINKS, APPS)?;
        registry.register(&mut parts.admins.listener, ADMINS, Interest::READABLE)?;
        if let Some(scrapes) = &mut parts.scrapes {
            scrapes.register(registry)?;
        }
        if let Some(signals) = &mut parts.signals {
            signals.register(registry, SIGNALS)?;
        }
        let waker = Arc::new(Waker::new(registry, WAKER)?);
        let resolver = Resolver::new(Arc::clone(&waker));
        let wake = Arc::clone(&waker);
        // A waker that fails leaves the answer for the next turn.
        parts.hooks.wake_with(move || drop(wake.wake()));
        if let Some(mut files) = parts.files.take() {
            let wake = Arc::clone(&waker);
            files.set_waker(move || _ = wake.wake());
            parts.connector.set_files(Box::new(files));
        }
        let now = Instant::now();
        let mut shell = Self {
            poll,
            parts,
            waker,
            resolver,
            dialled: HashMap::new(),
            buffers: Buffers::default(),
            connections: Vec::new(),
            to_read: Vec::new(),
            to_write: Vec::new(),
            lingering: HashMap::new(),
            closed: 0,
            accept_again: None,
            accept_fails: false,
            unreachable_apps: HashSet::new(),
            stopping: false,
            ended: false,
            told_to_end: false,
            wish: Wish::GoOn,
            rest_ordered: None,
            owner_work: Vec::new(),
            works: false,
            certificates_at: now,
            meter: Meter::default(),
            scrapes: Scrapes::default(),
        };
        shell.parts.connector.start(now);
        shell.do_outputs(now);
        Ok(shell)
    }

    /// Protects links that come from now on in another way.
    pub fn set_security(&mut self, security: Security) {
        self.parts.security = security;
    }

    /// The peers that are connected.
    #[must_use]
    pub fn connected(&self) -> Vec<&str> {
        self.parts.connector.connected_peers().map(|(name, _)| name).collect()
    }

    /// One turn of the loop; it waits for no longer than `at_most`, if that is given.
    ///
    /// # Errors
    /// The poller's; the loop cannot go on.
    pub fn turn(&mut self, events: &mut Events, at_most: Option<Duration>) -> io::Result<Wish> {
        let patience = self.patience().into_iter().chain(at_most).min();
        match self.poll.poll(events, patience) {
            Err(e) if e.kind() != io::ErrorKind::Interrupted => return Err(e),
            _ => {}
        }
        let now = Instant::now();
        for event in events.iter() {
            self.event(event, now);
        }
        if self.stopping {
            // Whether the core wants to hear of a connection changes as its queues drain.
            self.ids(|kind| matches!(kind, Kind::Link(_) | Kind::Delivery)).into_iter().for_each(|id| self.list(id));
        }
        self.read_all(now);
        self.works = self.parts.connector.work(now);
        self.parts.connector.timeout(now);
        self.check_certificates(now);
        self.parts.connector.settle(now);
        self.do_outputs(now);
        self.write_all(now);
        self.parts.connector.settle(now);
        self.do_outputs(now);
        self.rest_as_ordered(now);
        self.let_go(now);
        self.accept_again(now);
        self.serve_scrapes(now);
        self.measure_turn(now);
        if self.ended && self.lingering.is_empty() {
            return Ok(Wish::End);
        }
        Ok(std::mem::replace(&mut self.wish, Wish::GoOn))
    }

    /// How long the loop may wait for events.
    fn patience(&self) -> Option<Duration> {
        let discards = self.lingering.values().any(|(stream, _)| stream.readable);
        let is_over = self.ended && self.lingering.is_empty();
        let discards = discards || self.scrapes.is_busy();
        if is_over || discards || self.works || !self.to_read.is_empty() || !self.to_write.is_empty() {
            return Some(Duration::ZERO);
        }
        let shutdown = self.parts.shutdown_timeout;
        let lingering = self.lingering.values().map(|(stream, until)| let_go_at(stream, *until, shutdown)).min();
        let certificates = Some(self.certificates_at);
        let scrapes = self.scrapes.next_deadline();
        let next = [self.parts.connector.next_deadline(), lingering, self.accept_again, certificates, scrapes];
        let next = next.into_iter().flatten().min();
        // A millisecond more than needed: the poller counts in those, and must not wake before the time.
        next.map(|at| at.saturating_duration_since(Instant::now()) + Duration::from_millis(1))
    }

    fn event(&mut self, event: &mio::event::Event, now: Instant) {
        match event.token() {
            LINKS => self.accept_links(now),
            APPS => self.accept_apps(now),
            ADMINS => self.accept_admins(now),
            SIGNALS => self.take_signals(now),
            SCRAPE_LISTENER => self.scrapes.listener_event(),
            WAKER => {
                self.take_answers(now);
                self.take_verdicts(now);
                self.take_token_answers(now);
            }
            Token(token) if token >= LINGERING => {
                if let Some((stream, _)) = self.lingering.get_mut(&Token(token)) {
                    stream.ready(event);
                }
            }
            Token(token) if token >= SCRAPES => self.scrapes.event(token - SCRAPES, event),
            Token(token) => self.connection_event(token - CONNECTIONS, event, now),
        }
    }

    pub(super) fn ids(&self, wanted: impl Fn(&Kind) -> bool) -> Vec<Id> {
        self.connections.iter().flatten().filter(|e| wanted(&e.kind)).map(|e| e.id).collect()
    }

    pub(super) fn add(&mut self, id: Id, mut stream: Stream, kind: Kind, now: Instant) {
        if let Err(error) = stream.register_for_reading(self.poll.registry(), token_of(id)) {
            self.parts.connector.closed(id, Cause::Failed(error.to_string()), now);
            return self.do_outputs(now);
        }
        if self.connections.len() <= id.index() {
            self.connections.resize_with(id.index() + 1, || None);
        }
        debug_assert!(self.connections[id.index()].is_none(), "the core's outputs are taken before ids come back");
        self.connections[id.index()] =
            Some(Entry { id, stream, kind, paused: false, listed: false, last_read: LAST_READ });
        self.list(id);
    }

    pub(super) fn entry(&mut self, id: Id) -> Option<&mut Entry> {
        self.connections.get_mut(id.index())?.as_mut().filter(|e| e.id == id)
    }

    /// Has a connection read in this turn.
    pub(super) fn list(&mut self, id: Id) {
        if let Some(entry) = self.entry(id)
            && !entry.listed
            && entry.stream.readable
        {
            entry.listed = true;
            self.to_read.push(id);
        }
    }

    fn connection_event(&mut self, index: usize, event: &mio::event::Event, now: Instant) {
        let Some(Some(entry)) = self.connections.get_mut(index) else { return };
        let could_write = entry.stream.writable;
        entry.stream.ready(event);
        // The poller that fails here goes on telling of too much.
        let _ = entry.stream.watch_room(self.poll.registry(), token_of(entry.id));
        let (id, can_write) = (entry.id, entry.stream.writable && !could_write);
        if entry.is_opening() {
            return self.opening_event(id, now);
        }
        self.list(id);
        if can_write {
            self.to_write.push(id);
        }
    }

    /// Begins TLS, or, without it, tells the core that there is none.
    pub(super) fn secure(&mut self, id: Id, now: Instant) {
        if matches!(self.parts.security, Security::Plain) {
            self.parts.connector.secured(id, Secured::Anonymous, false, now);
        } else {
            let end = self.with_handler(id, now, |stream, _, handler| stream.begin(handler).err()).flatten();
            if let Some(end) = end {
                self.ended(id, &end, now);
            }
        }
        self.do_outputs(now);
    }

    /// Runs `work` on a connection's stream, with a handler that leads to the core.
    fn with_handler<T>(
        &mut self,
        id: Id,
        now: Instant,
        work: impl FnOnce(&mut Stream, &mut Buffers, &mut dyn Handler) -> T,
    ) -> Option<T> {
        let entry = self.connections.get_mut(id.index())?.as_mut().filter(|e| e.id == id)?;
        let known = if let Kind::Link(link) = &entry.kind { link.known.clone() } else { None };
        let (connector, security) = (&mut self.parts.connector, &self.parts.security);
        let mut handler = ToCore { connector, security, id, now, known };
        let result = work(&mut entry.stream, &mut self.buffers, &mut handler);
        self.meter.called(entry.stream.take_calls());
        Some(result)
    }

    pub(super) fn buffers(&mut self) -> &mut Buffers {
        &mut self.buffers
    }

    fn read_all(&mut self, now: Instant) {
        let (strangers, known): (Vec<Id>, Vec<Id>) =
            std::mem::take(&mut self.to_read).into_iter().partition(|id| self.parts.connector.is_unidentified(*id));
        known.into_iter().for_each(|id| self.read_listed(id, now));
        // Handshakes cost the processor much: those of a flood of them must not hold up who is known.
        let mut strangers = strangers.into_iter();
        let begin = Instant::now();
        while begin.elapsed() < HANDSHAKES_TIME
            && let Some(id) = strangers.next()
        {
            self.read_listed(id, now);
        }
        self.to_read.extend(strangers);
    }

    fn read_listed(&mut self, id: Id, now: Instant) {
        if let Some(entry) = self.entry(id) {
            entry.listed = false;
        }
        if let Some(Received::More) = self.receive(id, now) {
            self.list(id);
        }
    }

    /// Reads from one connection, once.
    pub(super) fn receive(&mut self, id: Id, now: Instant) -> Option<Received> {
        let stopping = self.stopping;
        let entry = self.entry(id)?;
        let is_read = match &entry.kind {
            Kind::Admin => true,
            Kind::App => !stopping || entry.last_read > 0,
            Kind::Link(_) | Kind::Delivery => !stopping || self.parts.connector.reads_while_stopping(id),
        };
        if !is_read || self.entry(id)?.paused {
            return None;
        }
        let received = self.with_handler(id, now, |stream, buffers, handler| stream.receive(buffers, handler))?;
        if let Some(entry) = self.entry(id) {
            entry.paused = matches!(received, Received::Paused);
            // When the connector stops, an app is read until it has nothing more, or for so much.
            let is_drained = stopping && matches!(received, Received::Drained);
            let read = if is_drained { LAST_READ } else { READ_SIZE * usize::from(stopping) };
            entry.last_read = entry.last_read.saturating_sub(read);
        }
        // What came before the end counts before the end does.
        self.do_outputs(now);
        if let Received::End(end) = &received {
            self.ended(id, end, now);
        }
        Some(received)
    }

    /// Tells the core that a connection is gone.
    fn ended(&mut self, id: Id, end: &End, now: Instant) {
        let Some(entry) = self.entry(id) else { return };
        let cause = match end {
            End::Closed => Cause::ClosedByPeer,
            End::Io(error) => Cause::Failed(error.to_string()),
            End::Tls(error) => Cause::Failed(entry.explain(error)),
            End::Seal(error) => Cause::Failed(error.to_string()),
        };
        // What has arrived is not to be sent again on the next link.
        self.confirm(id, now);
        self.parts.connector.closed(id, cause, now);
        self.do_outputs(now);
    }

    fn write_all(&mut self, now: Instant) {
        let ids = std::mem::take(&mut self.to_write);
        // What apps wait for goes before what peers are told of it, which costs more.
        let is_link = |shell: &mut Self, id| shell.entry(id).is_some_and(|entry| matches!(entry.kind, Kind::Link(_)));
        for links in [false, true] {
            for id in &ids {
                if is_link(self, *id) == links {
                    self.transmit(*id, now);
                }
            }
        }
    }

    fn transmit(&mut self, id: Id, now: Instant) {
        let Some(entry) = self.connections.get_mut(id.index()).and_then(Option::as_mut).filter(|e| e.id == id) else {
            return;
        };
        if !entry.stream.writable || entry.is_opening() {
            return;
        }
        let (stream, buffers, mut end) = (&mut entry.stream, &mut self.buffers, None);
        let more = self.parts.connector.transmit(id, WRITE_BUDGET, now, &mut |bytes| {
            stream.send(bytes, buffers).unwrap_or_else(|e| {
                end.get_or_insert(e);
                0
            })
        });
        let gathered = stream.send_gathered(buffers);
        if end.is_none() {
            end = gathered.and_then(|()| stream.flush()).err().map(End::Io);
        }
        if let Err(error) = stream.watch_room(self.poll.registry(), token_of(id)) {
            end.get_or_insert(End::Io(error));
        }
        self.meter.called(stream.take_calls());
        match end {
            Some(end) => self.ended(id, &end, now),
            None if more => self.to_write.push(id),
            None => {}
        }
        self.do_outputs(now);
    }

    pub(super) fn resume(&mut self, id: Id) {
        if let Some(entry) = self.entry(id) {
            entry.paused = false;
        }
        self.list(id);
    }

    /// Lets go of a connection. The end of a link is waited for, because closing a socket that still has something to
    /// read makes TCP throw away what the other side has not read yet.
    pub(super) fn close(&mut self, id: Id, now: Instant) {
        self.forget_dialled(id);
        self.parts.hooks.clients.forget(id);
        self.parts.tokens.forget(id);
        let Some(slot) = self.connections.get_mut(id.index()) else { return };
        let Some(mut entry) = slot.take_if(|e| e.id == id) else { return };
        let is_open = matches!(entry.kind, Kind::Link(_)) && !entry.is_opening();
        if !is_open || self.lingering.len() >= LINGERING_MAX {
            return;
        }
        let token = Token(LINGERING + self.closed);
        self.closed += 1;
        let ended = entry.stream.end(&mut self.buffers);
        if ended.is_ok() && entry.stream.reregister(self.poll.registry(), token).is_ok() {
            self.lingering.insert(token, (entry.stream, now + LINGER));
        }
    }

    /// Drops closed connections whose other side has ended too, or whose time is over.
    fn let_go(&mut self, now: Instant) {
        let (buffers, shutdown) = (&mut self.buffers, self.parts.shutdown_timeout);
        self.lingering.retain(|_, (stream, until)| {
            let over = let_go_at(stream, *until, shutdown) <= now
                || (stream.has_pending() && stream.flush_and_shut().is_err());
            !over && !stream.discard(buffers)
        });
    }
}

fn token_of(id: Id) -> Token {
    Token(CONNECTIONS + id.index())
}

/// When a closed connection is dropped, whether or not its other side has ended: later if there is something to send.
fn let_go_at(stream: &Stream, until: Instant, shutdown_timeout: Duration) -> Instant {
    if stream.has_pending() { until + shutdown_timeout } else { until }
}
