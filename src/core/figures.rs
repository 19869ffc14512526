//! How a connector stands and what has passed, in numbers: what `show_status` answers and metrics are written from.
//!
//! The core counts what it decides; what only the shell knows is in [`Host`], and in members that say so. Sizes are in
//! bytes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::AddAssign;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::age::Ages;
use super::connector::Connector;
use super::delivery::Inbox;
use super::ledger::Entry;
use super::peer::{Lane, Peer};
use super::slots::Id;
use super::traffic::{Count, Links, ReceiptCounts, RequestCounts};
use crate::ring::Ring;
use crate::wire::names::Role;

/// All numbers of a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// The connector's id.
    pub id: String,
    /// What it is.
    pub role: Role,
    /// It takes nothing new any more, or has stopped.
    pub state: RunState,
    /// Since its start.
    pub uptime: Duration,
    /// All peers that were here, and those for which something waits.
    pub peers: Vec<PeerFigures>,
    /// The same by type.
    pub types: Vec<TypeFigures>,
    /// Types that are received.
    pub inboxes: Vec<InboxFigures>,
    /// Types that are published.
    pub topics: Vec<TopicFigures>,
    /// Messages that were not delivered.
    pub ledger: Vec<(Entry, u64)>,
    /// What apps were told.
    pub receipts: ReceiptCounts,
    /// Requests of apps.
    pub requests: RequestCounts,
    /// Those of them that wait for their answer.
    pub requests_waiting: usize,
    /// Connections of peers that ended before it was known who was there.
    pub refused_links: u64,
    /// Queues in files.
    pub stored: Stored,
    /// What the shell knows.
    pub host: Host,
}

/// Whether a connector works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// It does.
    Running,
    /// What is queued still goes out.
    Stopping,
    /// It does not.
    Stopped,
}

impl RunState {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            RunState::Running => "running",
            RunState::Stopping => "stopping",
            RunState::Stopped => "stopped",
        }
    }
}

/// A peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerFigures {
    /// Its name.
    pub name: String,
    /// Its link; none while it is away.
    pub link: Option<Id>,
    /// Where it is.
    pub address: Option<SocketAddr>,
    /// For how long it has been connected, or away.
    pub since: Option<Duration>,
    /// The kind of its link: 1 or 2.
    pub link_kind: Option<u8>,
    /// The shell: what protects the link.
    pub tls: Option<&'static str>,
    /// How often it came back.
    pub reconnects: u64,
    /// From the last keep-alive to its answer.
    pub round_trip: Option<Duration>,
    /// An admin wants nothing of it.
    pub ignored: bool,
    /// Messages that wait for it, or that it has not taken over.
    pub queued: Count,
    /// For how long the oldest of them has waited.
    pub oldest: Option<Duration>,
    /// Those of them that went out.
    pub unconfirmed: u64,
    /// What it has taken over.
    pub sent: Count,
    /// What was taken over from it.
    pub received: Count,
}

/// What passes between here and a peer of one type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypeFigures {
    /// The peer.
    pub peer: String,
    /// The type.
    pub message_type: String,
    /// What it has taken over.
    pub sent: Count,
    /// What was taken over from it.
    pub received: Count,
    /// What waits for it, or was not taken over.
    pub queued: Count,
}

/// A type that is received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxFigures {
    /// The type.
    pub message_type: String,
    /// Its app is connected.
    pub connected: bool,
    /// What waits for the app, or that it is not done with.
    pub queued: Count,
    /// For how long the oldest of that has waited.
    pub oldest: Option<Duration>,
    /// What the app is done with.
    pub delivered: Count,
}

/// A type that is published here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicFigures {
    /// The type.
    pub message_type: String,
    /// Peers that have subscribed to it.
    pub subscribers: usize,
    /// What waits for at least one of them.
    pub stored: Count,
}

/// Queues in files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Bytes of their records.
    pub bytes: u64,
    /// Bytes that the fullest of them has room for.
    pub room: u64,
    /// Bytes that each may have.
    pub limit: u64,
}

/// What the shell knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Host {
    /// The config file.
    pub config: Option<PathBuf>,
    /// The address of the server.
    pub server: Option<(String, u16)>,
    /// Where queues are stored.
    pub store: Option<Store>,
    /// Syncs of files of queues.
    pub syncs: Syncs,
    /// Turns of the loop.
    pub turns: Turns,
    /// The certificate that the connector shows.
    pub certificate: Option<CertificateFigures>,
    /// The process.
    pub process: Process,
}

/// Where queues are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// The folder.
    pub path: PathBuf,
    /// Bytes that the disk has for the connector.
    pub disk_free: Option<u64>,
    /// Until it is full, if it goes on filling as in the last minutes.
    pub lasts: Option<Duration>,
}

/// Syncs of files of queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Syncs {
    /// How many.
    pub count: u64,
    /// What they took together.
    pub total: Duration,
    /// What the longest took.
    pub longest: Duration,
}

/// Turns of the loop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turns {
    /// How many.
    pub count: u64,
    /// What they took together, without waiting for something to do.
    pub busy: Duration,
    /// How many took no longer than this.
    pub buckets: Vec<(Duration, u64)>,
    /// System calls that they made for messages, besides one a turn to wait.
    pub calls: Calls,
}

/// System calls on open connections of peers, apps and admins. What messages cost besides is rare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Reads, also those that found nothing.
    pub reads: u64,
    /// Writes, also those that found no room.
    pub writes: u64,
    /// What TCP was asked or told.
    pub others: u64,
}

impl AddAssign for Calls {
    fn add_assign(&mut self, more: Self) {
        self.reads += more.reads;
        self.writes += more.writes;
        self.others += more.others;
    }
}

/// The certificate that the connector shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFigures {
    /// Whose it is.
    pub subject: String,
    /// Its end, Unix seconds.
    pub not_after: i64,
    /// Until then, seconds; negative when it is over.
    pub expires_in: i64,
}

/// The process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub id: u32,
    /// Memory that is resident, bytes.
    pub resident: Option<u64>,
    /// Open files.
    pub open_files: Option<u64>,
    /// The most of them.
    pub files_max: Option<u64>,
    /// Processor time.
    pub cpu: Option<Duration>,
}

impl Connector {
    /// How it stands and what has passed, as far as the core knows. It looks at every queue once.
    #[must_use]
    pub fn figures(&self, now: Instant) -> Figures {
        let mut types = self.types_passed();
        let mut peers = self.peers_known(now);
        for (_, peer) in self.peers.iter() {
            for lane in &peer.lanes {
                if let Some(ring) = &lane.ring {
                    let (key, name) = ((peer.name.clone(), lane.message_type.clone()), &lane.message_type);
                    let entry = types.entry(key).or_insert_with(|| type_figures(&peer.name, name));
                    entry.queued = entry.queued.plus(Count::of_ring(ring));
                }
            }
        }
        for entry in types.values() {
            if let Some(peer) = peers.get_mut(&entry.peer) {
                (peer.sent, peer.received) = (peer.sent.plus(entry.sent), peer.received.plus(entry.received));
            }
        }
        let state = match (self.stopped, self.stopping) {
            (true, _) => RunState::Stopped,
            (_, true) => RunState::Stopping,
            _ => RunState::Running,
        };
        Figures {
            id: self.settings.id.clone(),
            role: self.settings.role,
            state,
            uptime: self.began.map(|began| now.saturating_duration_since(began)).unwrap_or_default(),
            peers: peers.into_values().collect(),
            types: types.into_values().collect(),
            inboxes: self.inboxes.iter().map(|inbox| inbox_figures(inbox, now)).collect(),
            topics: self.topics_known(),
            ledger: self.ledger.iter().map(|(entry, count)| (entry.clone(), count)).collect(),
            receipts: self.traffic.receipts,
            requests: self.traffic.requests,
            requests_waiting: self.requests.len(),
            refused_links: self.refused_links(),
            stored: self.stored(),
            host: Host::default(),
        }
    }

    fn types_passed(&self) -> BTreeMap<(String, String), TypeFigures> {
        let figures = self.traffic.rows().map(|row| TypeFigures {
            sent: row.sent,
            received: row.received,
            ..type_figures(&row.peer, &row.message_type)
        });
        figures.map(|row| ((row.peer.clone(), row.message_type.clone()), row)).collect()
    }

    fn peers_known(&self, now: Instant) -> BTreeMap<String, PeerFigures> {
        let links = self.traffic.links();
        let away = links.iter().map(|(name, links)| {
            let figures = PeerFigures {
                name: name.clone(),
                link: None,
                address: None,
                since: links.since.map(|since| now.saturating_duration_since(since)),
                link_kind: None,
                tls: None,
                reconnects: links.up.saturating_sub(1),
                round_trip: None,
                ignored: self.access.ignored.covers(name),
                queued: Count::default(),
                oldest: None,
                unconfirmed: 0,
                sent: Count::default(),
                received: Count::default(),
            };
            (name.clone(), figures)
        });
        let mut all: BTreeMap<String, PeerFigures> = away.collect();
        for (id, peer) in self.peers.iter() {
            let known = links.get(&peer.name).copied().unwrap_or_default();
            all.insert(peer.name.clone(), self.peer_figures(id, peer, known, now));
        }
        all
    }

    fn peer_figures(&self, id: Id, peer: &Peer, links: Links, now: Instant) -> PeerFigures {
        let link = peer.link.and_then(|link| self.conns.get(link)?.link());
        let oldest = |lane: &Lane| lane.ring.as_ref().and_then(|ring| lane.ages.oldest(ring, now));
        let rings = || peer.lanes.iter().filter_map(|lane| lane.ring.as_ref());
        let feeds = Count { messages: self.feeds_unsent(id) as u64, bytes: self.feeds_unsent_bytes(id) };
        PeerFigures {
            name: peer.name.clone(),
            link: peer.link,
            address: link.and_then(|link| link.remote),
            since: links.since.map(|since| now.saturating_duration_since(since)),
            link_kind: link.map(|link| if link.link2.is_some() { 2 } else { 1 }),
            tls: None,
            reconnects: links.up.saturating_sub(1),
            round_trip: links.round_trip.filter(|_| link.is_some()),
            ignored: self.access.ignored.covers(&peer.name),
            queued: rings().map(Count::of_ring).fold(feeds, Count::plus),
            oldest: peer.lanes.iter().filter_map(oldest).max(),
            unconfirmed: rings().map(|ring| (ring.len() - ring.unsent()) as u64).sum(),
            sent: Count::default(),
            received: Count::default(),
        }
    }

    fn topics_known(&self) -> Vec<TopicFigures> {
        let mut all: BTreeMap<&str, TopicFigures> = BTreeMap::new();
        for (_, topic) in self.topics.iter() {
            let stored = topic.shared.as_ref().map(|shared| Count::of_ring(shared.ring())).unwrap_or_default();
            let (message_type, subscribers) = (topic.message_type.clone(), topic.readers.len());
            let new = TopicFigures { message_type, subscribers: 0, stored: Count::default() };
            let entry = all.entry(&topic.message_type).or_insert(new);
            // Messages with files have a topic of their own, with the same subscribers.
            entry.subscribers = entry.subscribers.max(subscribers);
            entry.stored = entry.stored.plus(stored);
        }
        all.into_values().collect()
    }

    /// What queues in files have and may have.
    #[must_use]
    pub fn stored(&self) -> Stored {
        let lanes = self.peers.iter().flat_map(|(_, peer)| peer.lanes.iter()).filter_map(|lane| lane.ring.as_ref());
        let inboxes = self.inboxes.iter().map(|inbox| &inbox.ring);
        let topics = self.topics.iter().filter_map(|(_, topic)| Some(topic.shared.as_ref()?.ring()));
        let limit = self.settings.max_ring_bytes as u64;
        let mut stored = Stored { bytes: 0, room: limit, limit };
        for ring in lanes.chain(inboxes).chain(topics).filter(|ring| ring.is_durable()) {
            let used = ring.used() as u64;
            stored.bytes += used;
            stored.room = stored.room.min(limit.saturating_sub(used));
        }
        stored
    }

    fn feeds_unsent_bytes(&self, peer: Id) -> u64 {
        let feeds = self.topics_of(peer).into_iter().filter_map(|topic| self.topics.unsent_bytes(topic, peer));
        feeds.sum()
    }

    /// A publication of a peer has come.
    pub(super) fn publication_came(&mut self, peer: Id, bytes: usize) {
        let known = self.peers.get(peer).and_then(|peer| peer.publications);
        let row = known.unwrap_or_else(|| self.row_of(peer, crate::wire::control::PUBSUB));
        if known.is_none()
            && let Some(peer) = self.peers.get_mut(peer)
        {
            peer.publications = Some(row);
        }
        self.traffic.received(row, bytes);
    }

    pub(super) fn link_came_up(&mut self, peer: &str, now: Instant) {
        if let Some(links) = self.traffic.links_mut(peer) {
            (links.up, links.since, links.asked_at) = (links.up + 1, Some(now), None);
        }
    }

    pub(super) fn link_went_down(&mut self, peer: &str, now: Instant) {
        if let Some(links) = self.traffic.links_mut(peer) {
            links.since = Some(now);
        }
    }

    /// A keep-alive goes to the server.
    pub(super) fn keep_alive_asked(&mut self, now: Instant) {
        if let Some(links) = self.traffic.links_mut(&self.settings.server_id) {
            links.asked_at.get_or_insert(now);
        }
    }

    /// The answer to a keep-alive has come.
    pub(super) fn keep_alive_answered(&mut self, peer: Id, now: Instant) {
        let Some(peer) = self.peers.get(peer) else { return };
        if let Some(links) = self.traffic.links_mut(&peer.name)
            && let Some(asked_at) = links.asked_at.take()
        {
            links.round_trip = Some(now.saturating_duration_since(asked_at));
        }
    }
}

fn type_figures(peer: &str, message_type: &str) -> TypeFigures {
    TypeFigures { peer: peer.to_owned(), message_type: message_type.to_owned(), ..TypeFigures::default() }
}

fn inbox_figures(inbox: &Inbox, now: Instant) -> InboxFigures {
    let waits = Count::of_ring(&inbox.ring);
    // To an app that does not acknowledge, what went out is delivered.
    let queued = if inbox.waiting() < inbox.ring.len() {
        Count { messages: inbox.waiting() as u64, bytes: waits.bytes.min(inbox.ring.unsent_bytes() as u64) }
    } else {
        waits
    };
    let Inbox { message_type, conn, ages, ring, delivered, away, .. } = inbox;
    let oldest = |ages: &Ages, ring: &Ring| ages.oldest(ring, now);
    InboxFigures {
        message_type: message_type.clone(),
        connected: conn.is_some() && !away,
        queued,
        oldest: if queued.messages > 0 { oldest(ages, ring) } else { None },
        delivered: *delivered,
    }
}
