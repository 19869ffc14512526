//! A connector, and what its shell would know.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use aioconnectors::core::{Cause, Connector, Covered, Event, Id, KeepAlive, Mode, Settings, Sync};
use aioconnectors::wire::names::{Role, server_id};
use fastrand::Rng;

/// The types that apps send; the last two are refused, here and there.
pub const SENT: [&str; 5] = ["one", "two", "three", "unwanted", "forbidden"];
/// The types that apps receive.
pub const RECEIVED: [&str; 3] = ["one", "two", "three"];

/// What all connectors of a world have in common.
#[derive(Clone, Debug)]
pub struct Profile {
    pub clients: usize,
    pub mode: Mode,
    pub keep_alive: bool,
    pub preserve_send_socket: bool,
    pub preserve_receive_socket: bool,
    pub queue_max_bytes: usize,
    /// Nothing fails, and all apps listen and read.
    pub calm: bool,
    /// Bodies are small, or large enough to fill queues.
    pub large: bool,
}

impl Profile {
    pub fn random(rng: &mut Rng, calm: bool) -> Self {
        Self {
            clients: rng.usize(1..4),
            mode: [Mode::Plain, Mode::AllowAll, Mode::Certificates][rng.usize(..3)],
            keep_alive: rng.bool(),
            preserve_send_socket: rng.u8(..5) > 0,
            preserve_receive_socket: rng.u8(..5) > 0,
            queue_max_bytes: if rng.u8(..4) > 0 { 64 << 20 } else { rng.usize(1000..2_000_000) },
            calm,
            large: rng.u8(..4) == 0,
        }
    }
}

/// A connector and what is around it.
#[derive(Debug)]
pub struct Node {
    pub id: String,
    pub role: Role,
    pub core: Connector,
    /// The simulation's connections by the core's ids.
    pub ends: BTreeMap<Id, usize>,
    pub to_write: Vec<Id>,
    pub stopping: bool,
    pub stopped: bool,
    /// A client has a certificate of its own.
    pub certificate: bool,
    /// Messages that the operator was told were dropped.
    pub reported: u64,
    /// Messages in the ledgers of earlier lives.
    pub buried: u64,
    pub lives: u64,
    pub peers_up: usize,
    pub enrolled: usize,
    pub replaced: usize,
}

impl Node {
    pub fn new(number: usize, lives: u64, profile: &Profile) -> Self {
        let role = if number == 0 { Role::Server } else { Role::Client };
        let id = if number == 0 { server_id("10.0.0.1", 10673) } else { format!("client-{number}") };
        Self {
            core: Connector::new(settings(number, lives, &id, role, profile)),
            id,
            role,
            ends: BTreeMap::new(),
            to_write: Vec::new(),
            stopping: false,
            stopped: false,
            certificate: false,
            reported: 0,
            buried: 0,
            lives,
            peers_up: 0,
            enrolled: 0,
            replaced: 0,
        }
    }

    /// The connector starts again, with nothing but its certificate.
    pub fn restart(&mut self, number: usize, profile: &Profile, now: Instant) {
        assert!(self.stopped, "it has ended before");
        let earlier = std::mem::replace(self, Self::new(number, self.lives + 1, profile));
        self.buried = earlier.buried + earlier.core.ledger().total();
        (self.reported, self.certificate) = (earlier.reported, earlier.certificate);
        self.core.start(now);
    }

    pub fn hear(&mut self, event: &Event) {
        match event {
            Event::Dropped { messages, .. } => self.reported += messages,
            Event::PeerUp { .. } => self.peers_up += 1,
            Event::PeerDown { cause, .. } => {
                self.peers_up -= 1;
                self.replaced += usize::from(*cause == Cause::Replaced);
            }
            Event::Enrolled => self.enrolled += 1,
            Event::NotDialledAgain => panic!("clients dial again"),
            Event::AdminRefused { cause } => panic!("the admin asks what is right: {cause}"),
            _ => {}
        }
    }

    pub fn dropped(&self) -> u64 {
        self.buried + self.core.ledger().total()
    }
}

fn settings(number: usize, lives: u64, id: &str, role: Role, profile: &Profile) -> Settings {
    let (period, timeout) = (Duration::from_secs(10), Duration::from_secs(5));
    let send_types: HashSet<String> = SENT[..4].iter().map(ToString::to_string).collect();
    Settings {
        id: id.to_owned(),
        role,
        server_id: server_id("10.0.0.1", 10673),
        mode: profile.mode,
        send_types,
        recv_types: RECEIVED.iter().map(ToString::to_string).collect(),
        preserve_send_socket: profile.preserve_send_socket,
        preserve_receive_socket: profile.preserve_receive_socket,
        connect_timeout: Duration::from_secs(10),
        send_timeout: Duration::from_secs(50),
        keep_alive: profile.keep_alive.then_some(KeepAlive { period, timeout, unanswered_max: 2 }),
        reconnect: true,
        max_message_size: 16 << 20,
        queue_max_bytes: profile.queue_max_bytes,
        link2: true,
        persist_send: Covered::None,
        persist_recv: Covered::None,
        max_ring_bytes: 1 << 30,
        sync: Sync::Os,
        on_full: BTreeMap::new(),
        session_ttl: Duration::from_secs(86_400),
        started_at: 1_800_000_000,
        start_sequence: 1_800_000_000_000_000,
        shutdown_timeout: Duration::from_secs(8),
        seed: number as u64 + 1000 * lives,
    }
}
