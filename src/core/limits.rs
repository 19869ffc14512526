//! How many connections of peers there may be: in all, from one address, and of those that have not said who they are.
//!
//! A newcomer for whom there is no room is refused. If only those that have not said who they are are too many, the oldest
//! one of the address that has most of them gives way instead: who is honest says in no time who it is, so it is somebody
//! who holds a place without using it, and who floods a server from one address drives out only himself.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use super::conn::{Link, State};
use super::connector::Connector;
use super::event::{Cause, Event};
use super::settings::UNIDENTIFIED_MAX;
use super::slots::Id;

/// Connections of peers at a time, unless the config says otherwise.
pub const CONNECTIONS: usize = 16_384;

/// The same from one address: three quarters, so that no single one can take all the room.
pub const CONNECTIONS_PER_ADDRESS: usize = CONNECTIONS / 4 * 3;

/// Connections that have not said who they are, at a time.
pub const UNIDENTIFIED: usize = 1024;

/// Most refused connections that are told one by one before the next report; further ones are counted.
pub const REFUSED_TOLD: u64 = 20;

/// How much room there is for connections of peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time.
    pub connections: usize,
    /// The same from one address, or from one network of 64 bits in IPv6.
    pub per_address: usize,
    /// Those that have not said who they are.
    pub unidentified: usize,
    /// Bytes of the first message of a peer, before it has said who it is.
    pub first_message: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: CONNECTIONS,
            per_address: CONNECTIONS_PER_ADDRESS,
            unidentified: UNIDENTIFIED,
            first_message: UNIDENTIFIED_MAX,
        }
    }
}

/// Whose connections are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Origin(IpAddr);

impl Origin {
    fn of(remote: SocketAddr) -> Self {
        // Who has an address in IPv6 has all those of its network.
        const NETWORK: u128 = !(u64::MAX as u128);
        match remote.ip().to_canonical() {
            IpAddr::V6(ip) => Self(Ipv6Addr::from_bits(ip.to_bits() & NETWORK).into()),
            ip => Self(ip),
        }
    }
}

/// The connections that were accepted.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    pub limits: Limits,
    all: usize,
    of_origin: HashMap<Origin, usize>,
    /// Those that have not said who they are, in the order in which they came.
    unidentified: BTreeMap<u64, (Id, Origin)>,
    unidentified_of: HashMap<Origin, usize>,
    arrivals: u64,
    /// Connections that ended before their peer was known: since the start, and since the last report.
    refused: u64,
    refused_lately: u64,
    /// The connector stops, and all were told so.
    pub told_of_end: bool,
    /// The connector stops, and had something for this peer when it was last looked.
    pub waited_for: Option<Id>,
}

fn less(counts: &mut HashMap<Origin, usize>, origin: Origin) {
    if let Some(count) = counts.get_mut(&origin) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&origin);
        }
    }
}

impl Crowd {
    /// Which limit keeps a newcomer out.
    fn is_full(&self, remote: SocketAddr) -> Option<&'static str> {
        if self.all >= self.limits.connections {
            return Some("max_connections");
        }
        let here = self.of_origin.get(&Origin::of(remote)).copied().unwrap_or_default();
        (here >= self.limits.per_address).then_some("max_connections_per_address")
    }

    /// Who gives way to a newcomer, if somebody has to.
    fn surplus(&self) -> Option<Id> {
        if self.unidentified.len() < self.limits.unidentified {
            return None;
        }
        let (most, _) = self.unidentified_of.iter().max_by_key(|(origin, count)| (**count, **origin))?;
        self.unidentified.values().find(|(_, origin)| origin == most).map(|(id, _)| *id)
    }

    /// Whether nothing more is to be done before those are gone who were told of the end.
    pub fn goes(&self) -> bool {
        self.told_of_end && self.all > 0
    }

    /// Somebody has come. Its number.
    pub fn arrive(&mut self, id: Id, remote: SocketAddr) -> u64 {
        let origin = Origin::of(remote);
        self.arrivals += 1;
        self.all += 1;
        *self.of_origin.entry(origin).or_default() += 1;
        *self.unidentified_of.entry(origin).or_default() += 1;
        self.unidentified.insert(self.arrivals, (id, origin));
        self.arrivals
    }

    fn identified(&mut self, arrival: u64) {
        if let Some((_, origin)) = self.unidentified.remove(&arrival) {
            less(&mut self.unidentified_of, origin);
        }
    }

    fn leave(&mut self, arrival: u64, remote: SocketAddr) {
        self.identified(arrival);
        self.all -= 1;
        less(&mut self.of_origin, Origin::of(remote));
    }
}

impl Connector {
    /// Limits the connections of peers. Before all else; without it there are the default limits.
    pub fn set_limits(&mut self, limits: Limits) {
        self.crowd.limits = limits;
    }

    /// Whether one more connection of a peer can be accepted. It may cost another one its place.
    pub fn has_room(&mut self, remote: SocketAddr, now: Instant) -> bool {
        if let Some(limit) = self.crowd.is_full(remote) {
            self.tell_refused(Some(remote), Cause::NoRoom(limit), now);
            return false;
        }
        if let Some(surplus) = self.crowd.surplus() {
            self.close(surplus, Cause::GaveWay, now);
        }
        true
    }

    /// Whether this is an accepted link of which it is not known yet who is at its other end.
    #[must_use]
    pub fn is_unidentified(&self, id: Id) -> bool {
        let link = self.conns.get(id).and_then(|conn| conn.link());
        link.is_some_and(|link| link.arrival.is_some() && !matches!(link.state, State::Up { .. }))
    }

    /// Who is at the other end of a link has become known.
    pub(super) fn identified(&mut self, id: Id) {
        if let Some(arrival) = self.conns.get(id).and_then(|conn| conn.link()?.arrival) {
            self.crowd.identified(arrival);
        }
    }

    /// A link has ended.
    pub(super) fn leaves(&mut self, link: &Link) {
        if let (Some(arrival), Some(remote)) = (link.arrival, link.remote) {
            self.crowd.leave(arrival, remote);
        }
    }

    /// A connection ended before its peer was known. Of a flood of them most are only counted.
    pub(super) fn tell_refused(&mut self, remote: Option<SocketAddr>, cause: Cause, now: Instant) {
        self.crowd.refused += 1;
        self.crowd.refused_lately += 1;
        if self.crowd.refused_lately <= REFUSED_TOLD {
            self.tell(Event::LinkRefused { remote, cause });
        }
        self.report_soon(now);
    }

    /// How many refused connections the operator was not told of one by one.
    pub(super) fn report_refused(&mut self) {
        let untold = std::mem::take(&mut self.crowd.refused_lately).saturating_sub(REFUSED_TOLD);
        if untold > 0 {
            self.tell(Event::MoreRefused { count: untold });
        }
    }

    /// Connections that ended before their peer was known, since the start.
    #[must_use]
    pub fn refused_links(&self) -> u64 {
        self.crowd.refused
    }

    /// Checks what must always hold of the counts.
    pub(super) fn check_crowd(&self) {
        let accepted = || self.conns.iter().filter_map(|(_, conn)| conn.link()).filter(|link| link.arrival.is_some());
        assert_eq!(accepted().count(), self.crowd.all, "all accepted links are counted");
        assert_eq!(self.crowd.of_origin.values().sum::<usize>(), self.crowd.all, "by address as well");
        let unidentified = accepted().filter(|link| !matches!(link.state, State::Up { .. })).count();
        assert_eq!(unidentified, self.crowd.unidentified.len(), "those that are not known are counted");
        assert_eq!(self.crowd.unidentified_of.values().sum::<usize>(), unidentified, "by address as well");
    }
}
