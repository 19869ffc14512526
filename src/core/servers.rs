//! A client's server has one address or several, the preferred one first: which is dialled next, and when it is gone back
//! to the first.
//!
//! ```text
//! no link      the first, then the others in their order, DELAY_MIN apart; after the last one the wait of `Backoff`
//! link ended   after STABLE_PERIOD or later: from the first on; before: the next one, its address counts as failed
//! link 2 to another than the first
//!              after `return_after` the first is dialled beside it; when that link is up it takes the other's place;
//!              if it does not come up, all stays, and the first is tried again after `return_after`
//! ```
//!
//! A link to the first that is up and ends early has flapped: with each time in a row the wait doubles, up to
//! [`RETURN_MAX`], until one has lasted as long.
//!
//! - The peer's name is made of the first address, wherever the link leads, and so are those of queues and sockets.
//! - All addresses are meant to lead to one server. Places and epochs are that server's, so nothing is lost or repeated
//!   on links of the second kind, whichever way its bytes take. With two servers behind them (a failover pair) each
//!   message is taken over by one of them at least; what was on its way when the link moved may be taken over by both,
//!   and what one server keeps for this client waits there until it comes back.
//! - A link of the first kind is not left for the first address: what it has on its way could come twice, and a server
//!   of the Python package does not bear two links of one client.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::backoff::STABLE_PERIOD;
use super::conn::{Link, State};
use super::connector::Connector;
use super::event::{Cause, Event};
use super::settings::HANDSHAKE_TIMEOUT;
use super::slots::Id;
use super::timers::Timer;
use crate::wire::control::CloseReason;

/// Longest wait before the first address is gone back to, if links to it end early.
pub const RETURN_MAX: Duration = Duration::from_secs(3600);

/// Most addresses of a server; the config allows fewer.
pub const SERVERS_MAX: usize = 255;

/// The addresses of a client's server.
#[derive(Debug)]
pub(super) struct Servers {
    /// What they are called in what the operator is told; at least one.
    names: Vec<String>,
    /// How long a link leads elsewhere before the first is tried.
    return_after: Option<Duration>,
    /// The one that is dialled next.
    next: u8,
    /// Attempts in a row that came to no link that lasted, since the last wait.
    tried: usize,
    /// Links to the first in a row that ended early.
    flaps: u32,
    /// Why the last attempt at each has failed; none once there was a link.
    failures: Vec<Option<Cause>>,
    /// What connections end with that are not open in time, if that is not the ordinary cause.
    overdue: HashMap<Id, Cause>,
    /// The connection that is to lead back to the first, beside the link that there is.
    returning: Option<Id>,
}

/// What comes after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// The next address.
    Next,
    /// The first address, after the wait that is due.
    Round,
}

impl Servers {
    pub fn new(names: Vec<String>, return_after: Option<Duration>) -> Self {
        let (failures, overdue) = (vec![None; names.len()], HashMap::new());
        Self { names, return_after, next: 0, tried: 0, flaps: 0, failures, overdue, returning: None }
    }

    /// The first address is next, and what failed before is told anew.
    pub fn begin_anew(&mut self) {
        (self.next, self.tried) = (0, 0);
        self.failures.fill(None);
    }

    fn name(&self, at: u8) -> String {
        self.names.get(usize::from(at)).cloned().unwrap_or_default()
    }

    /// Whether an attempt failed as the one before did.
    fn fails_again(&mut self, at: u8, cause: &Cause) -> bool {
        let Some(last) = self.failures.get_mut(usize::from(at)) else { return false };
        last.replace(cause.clone()).as_ref() == Some(cause)
    }

    /// There is no link any more, or none came: its address, and how long it was up, if it was.
    fn ended(&mut self, at: u8, lived: Option<Duration>) -> Wait {
        if at == 0 && self.names.len() > 1 && lived.is_some() {
            self.lived(lived.unwrap_or_default());
        }
        if lived.is_some_and(|lived| lived >= STABLE_PERIOD) {
            (self.next, self.tried) = (0, 0);
            return Wait::Round;
        }
        self.tried += 1;
        if self.tried >= self.names.len() {
            (self.next, self.tried) = (0, 0);
            return Wait::Round;
        }
        // There are at most as many as fit.
        self.next = ((usize::from(at) + 1) % self.names.len()) as u8;
        Wait::Next
    }

    /// A link to the first has ended.
    fn lived(&mut self, lived: Duration) {
        let was_well = self.return_wait().is_none_or(|wait| lived >= wait);
        self.flaps = if was_well { 0 } else { self.flaps.saturating_add(1) };
    }

    /// How long a link leads elsewhere before the first is tried.
    fn return_wait(&self) -> Option<Duration> {
        let wait = self.return_after?;
        Some(wait.saturating_mul(2_u32.saturating_pow(self.flaps)).min(RETURN_MAX.max(wait)))
    }
}

/// What a connection that was dialled is about, before it is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialStep {
    /// A hook that may take so long is asked for the proxy's credentials.
    Hook(Duration),
    /// It is being connected.
    Connect,
    /// This proxy was reached, and is asked for a tunnel.
    Proxy(String),
}

impl Connector {
    /// Names the addresses of a client's server, in the order in which they are dialled, and says after how long elsewhere
    /// it goes back to the first. Before all else; without it there is one. An empty list changes nothing; of a longer one
    /// than `SERVERS_MAX` the rest is left out.
    pub fn set_servers(&mut self, mut names: Vec<String>, return_after: Option<Duration>) {
        names.truncate(SERVERS_MAX);
        if !names.is_empty() {
            self.servers = Servers::new(names, return_after);
        }
    }

    /// Which of the server's addresses a connection is for.
    #[must_use]
    pub fn server_of(&self, id: Id) -> usize {
        self.conns.get(id).and_then(|conn| conn.link()).map_or(0, |link| link.server.into())
    }

    /// Whether a connection is to take the place of a link to another address.
    #[must_use]
    pub fn is_returning(&self, id: Id) -> bool {
        self.servers.returning == Some(id)
    }

    /// A connection that was dialled has begun another step on its way to be open, which has a time of its own.
    pub fn dial_step(&mut self, id: Id, step: DialStep, now: Instant) {
        let connect_timeout = self.settings.connect_timeout;
        if self.conns.get(id).and_then(|conn| conn.link()).is_none() {
            return;
        }
        let (within, overdue) = match step {
            DialStep::Hook(timeout) => {
                let why = "hook_proxy_authorization has not answered".to_owned();
                (timeout.saturating_add(HANDSHAKE_TIMEOUT), Some(Cause::Failed(why)))
            }
            DialStep::Connect => (connect_timeout, None),
            DialStep::Proxy(proxy) => {
                let seconds = HANDSHAKE_TIMEOUT.as_secs();
                let why = format!(
                    "proxy {proxy} was reached and opened no tunnel within {seconds} s: does it reach the server, and \
                     is proxy.ssl_server right?"
                );
                (HANDSHAKE_TIMEOUT, Some(Cause::Failed(why)))
            }
        };
        match overdue {
            Some(cause) => self.servers.overdue.insert(id, cause),
            None => self.servers.overdue.remove(&id),
        };
        self.timers.arm(Timer::Handshake(id), now + within);
    }

    /// Why a connection ends that is not open in time.
    pub(super) fn overdue(&self, id: Id) -> Cause {
        let ordinary = Cause::ConnectTimeout(self.settings.connect_timeout);
        self.servers.overdue.get(&id).cloned().unwrap_or(ordinary)
    }

    /// The address that is dialled next.
    pub(super) fn next_server(&self) -> u8 {
        self.servers.next
    }

    /// How long after now, and why, the server is dialled again, after a link or an attempt has ended.
    pub(super) fn next_dial(&mut self, link: &Link, cause: &Cause, now: Instant) -> (Duration, Event) {
        let lived = link.up_since.map(|since| now.saturating_duration_since(since));
        let after = if link.said == Some(CloseReason::Replaced) {
            self.servers.next = link.server;
            self.backoff.after_replacement(lived.unwrap_or_default())
        } else {
            match self.servers.ended(link.server, lived) {
                Wait::Next => self.backoff.between_addresses(),
                Wait::Round => self.backoff.after_failure(),
            }
        };
        // The end of a link has been told with its cause.
        let repeated = self.servers.fails_again(link.server, cause) || (lived.is_some() && after.is_zero());
        let server = self.servers.name(link.server);
        (after, Event::DialAgain { server, after, cause: cause.clone(), repeated })
    }

    /// The next connection is to the same address.
    pub(super) fn stay_with(&mut self, link: &Link) {
        self.servers.next = link.server;
    }

    /// A client's link is up.
    pub(super) fn reached_server(&mut self, id: Id, now: Instant) {
        let Some(link) = self.conns.get(id).and_then(|conn| conn.link()) else { return };
        let (at, is_link2) = (link.server, link.link2.is_some());
        self.servers.returning.take_if(|returning| *returning == id);
        if let Some(failure) = self.servers.failures.get_mut(usize::from(at)) {
            *failure = None;
        }
        if at > 0 && is_link2 {
            self.go_back_later(now);
        }
    }

    /// A client's link has been up for [`STABLE_PERIOD`]: failures before it count no more.
    pub(super) fn link_lasts(&mut self) {
        self.backoff.reset();
        self.servers.tried = 0;
    }

    fn go_back_later(&mut self, now: Instant) -> Option<Duration> {
        // Clients that left a server together do not come back all at once.
        let wait = self.backoff.jitter(self.servers.return_wait()?);
        self.timers.arm(Timer::Return, now + wait);
        Some(wait)
    }

    /// It is time to go back to the first address: it is dialled beside the link that there is.
    pub(super) fn go_back(&mut self, now: Instant) {
        let peer = self.peers.find(&self.settings.server_id).and_then(|id| self.peers.get(id));
        let link = peer.and_then(|peer| self.conns.get(peer.link?)).and_then(|conn| conn.link());
        let is_elsewhere = link.is_some_and(|link| link.server > 0 && link.link2.is_some());
        if is_elsewhere && !self.stopping && self.servers.returning.is_none() {
            self.servers.returning = Some(self.dial_address(0, now));
        }
    }

    /// Whether a link is on its way that is to take the place of the one that there is, or was until now: its server may
    /// have ended that one for it.
    pub(super) fn is_moving(&self) -> bool {
        let link = self.servers.returning.and_then(|id| self.conns.get(id)).and_then(|conn| conn.link());
        link.is_some_and(|link| link.state != State::Opening)
    }

    /// A client's link or an attempt to get one has ended.
    pub(super) fn client_link_ended(&mut self, id: Id, link: &Link, cause: Cause, now: Instant) {
        self.servers.overdue.remove(&id);
        let was_returning = self.servers.returning.take_if(|returning| *returning == id).is_some();
        if was_returning {
            self.end_move(now);
        }
        if self.stopping {
            return;
        }
        let is_there = self.conns.iter().any(|(_, conn)| conn.link().is_some() && conn.closing.is_none());
        if !is_there && !self.stores_token(id, link, &cause) {
            self.dial_again(link, cause, now);
        } else if is_there && was_returning {
            let repeated = self.servers.fails_again(0, &cause);
            let (server, after) = (self.servers.name(0), self.go_back_later(now).unwrap_or_default());
            self.tell(Event::StaysAway { server, after, cause, repeated });
        } else if is_there && link.server == 0 && link.up_since.is_some() {
            self.servers.lived(now.saturating_duration_since(link.up_since.unwrap_or(now)));
        }
    }

    /// No link comes in the place of the one that has ended: what waited for that waits no more.
    fn end_move(&mut self, now: Instant) {
        let Some(peer_id) = self.peers.find(&self.settings.server_id) else { return };
        let Some(peer) = self.peers.get_mut(peer_id) else { return };
        if std::mem::take(&mut peer.moves) {
            let waiting = peer.take_blocked();
            self.fail_requests(peer_id, now);
            self.unblock(waiting, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const SECOND: Duration = Duration::from_secs(1);

    fn servers(count: usize) -> Servers {
        Servers::new((0..count).map(|at| at.to_string()).collect(), Some(MINUTE))
    }

    /// The addresses that are dialled while none answers, and `|` for the wait after each round.
    fn dialled(servers: &mut Servers, attempts: usize) -> String {
        let mut out = String::new();
        for _ in 0..attempts {
            let at = servers.next;
            out.push_str(&at.to_string());
            if servers.ended(at, None) == Wait::Round {
                out.push('|');
            }
        }
        out
    }

    #[test]
    fn addresses_are_dialled_in_their_order_and_then_there_is_a_wait() {
        assert_eq!(dialled(&mut servers(1), 3), "0|0|0|");
        assert_eq!(dialled(&mut servers(3), 7), "012|012|0");
    }

    #[test]
    fn after_a_link_that_lasted_it_begins_with_the_first() {
        let mut servers = servers(3);
        dialled(&mut servers, 1);
        assert_eq!((servers.next, servers.ended(1, Some(MINUTE))), (1, Wait::Round));
        assert_eq!(dialled(&mut servers, 4), "012|0");
    }

    #[test]
    fn an_address_whose_links_end_early_has_failed() {
        let mut servers = servers(2);
        assert_eq!((servers.ended(0, Some(SECOND)), servers.next), (Wait::Next, 1));
        assert_eq!((servers.ended(1, Some(SECOND)), servers.next), (Wait::Round, 0));
    }

    #[test]
    fn the_wait_before_it_goes_back_doubles_while_the_first_flaps() {
        let mut servers = servers(2);
        let mut waits = Vec::new();
        for _ in 0..8 {
            waits.push(servers.return_wait().unwrap().as_secs());
            servers.ended(0, Some(SECOND));
        }
        assert_eq!(waits, [60, 120, 240, 480, 960, 1920, 3600, 3600]);
        servers.ended(0, None);
        assert_eq!(servers.return_wait(), Some(RETURN_MAX), "an attempt that came to nothing is no link that ended");
        servers.ended(0, Some(RETURN_MAX));
        assert_eq!(servers.return_wait(), Some(MINUTE));
        assert_eq!(Servers::new(vec![String::new()], None).return_wait(), None);
    }
}
