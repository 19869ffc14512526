//! A connector, and what its shell would know.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use aioconnectors::core::{Cause, Connector, Covered, Event, Id, KeepAlive, Mode, OnFull, Settings, Sync};
use aioconnectors::wire::names::{Role, server_id};
use aioconnectors::wire::receipts::Level;
use fastrand::Rng;

use crate::disk::{Backup, Disk};
use crate::file_system::FileSystem;
use crate::files::NodeFiles;
use crate::gates;
use crate::published::patterns;

/// The types that apps send; the last two are refused, here and there.
pub const SENT: [&str; 5] = ["one", "two", "three", "unwanted", "forbidden"];
/// The types that apps receive.
pub const RECEIVED: [&str; 3] = ["one", "two", "three"];

/// What the worlds of a test are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Climate {
    /// Nothing fails, and all apps listen and read.
    Calm,
    /// Networks and apps fail, connectors stop; nothing is stored.
    Rough,
    /// Messages are stored, processes and machines die.
    Deadly,
}

/// What all connectors of a world have in common.
#[derive(Clone, Debug)]
pub struct Profile {
    pub climate: Climate,
    pub calm: bool,
    pub clients: usize,
    pub mode: Mode,
    pub keep_alive: bool,
    pub preserve_send_socket: bool,
    pub preserve_receive_socket: bool,
    pub queue_max_bytes: usize,
    pub max_ring_bytes: usize,
    /// Bodies are small, or large enough to fill queues.
    pub large: bool,
    /// Some messages ask for an acknowledgement one by one.
    pub waits_ack: bool,
    pub sync: Sync,
    /// Machines fail, not only processes.
    pub power: bool,
    /// Disks fill up and fail.
    pub bad_disks: bool,
    /// Nodes are set back to what they were.
    pub backups: bool,
    pub on_full: BTreeMap<String, OnFull>,
    pub priorities: BTreeMap<String, f64>,
    /// What each node is like.
    pub nodes: Vec<Traits>,
    /// The server asks about its clients.
    pub gates: bool,
    /// The server is a broker, and clients subscribe.
    pub pubsub: bool,
}

/// What differs from node to node.
#[derive(Clone, Debug)]
pub struct Traits {
    pub link2: bool,
    pub persist_send: Covered,
    pub persist_recv: Covered,
    /// What it subscribes to, in worlds with a broker.
    pub subscribes: Vec<&'static str>,
}

impl Climate {
    /// What names its test with publications.
    pub fn test_of_publications(self) -> &'static str {
        match self {
            Climate::Calm => "publications_all_arrive",
            Climate::Rough => "of_publications",
            Climate::Deadly => "publications_for_those",
        }
    }

    /// What names its test.
    pub fn test(self) -> &'static str {
        match self {
            Climate::Calm => "where_nothing_fails",
            Climate::Rough => "whatever_fails",
            Climate::Deadly => "what_is_stored",
        }
    }
}

fn covered(rng: &mut Rng) -> Covered {
    match rng.u8(..4) {
        0 => Covered::None,
        1 => Covered::Types(SENT.iter().filter(|_| rng.bool()).map(ToString::to_string).collect()),
        _ => Covered::All,
    }
}

impl Profile {
    pub fn random(rng: &mut Rng, climate: Climate) -> Self {
        let clients = rng.usize(1..4);
        let (calm, deadly) = (climate == Climate::Calm, climate == Climate::Deadly);
        let stores = deadly || (calm && rng.bool());
        let nodes = (0..=clients).map(|_| {
            let link2 = rng.u8(..5) > 0;
            let (persist_send, persist_recv) =
                if stores { (covered(rng), covered(rng)) } else { (Covered::None, Covered::None) };
            Traits { link2, persist_send, persist_recv, subscribes: Vec::new() }
        });
        let nodes = nodes.collect();
        let sync = [Sync::Os, Sync::Always, Sync::Interval(Duration::from_millis(700))][rng.usize(..3)];
        let policies = [OnFull::Block, OnFull::Reject, OnFull::DropOldest];
        let on_full: Vec<&str> = SENT[..3].iter().copied().filter(|_| !calm && rng.u8(..3) == 0).collect();
        let urgent = SENT[..3].iter().filter(|_| rng.u8(..3) == 0);
        let priorities = urgent.map(|t| (t.to_string(), f64::from(t.len() as u8 % 5) - 2.0)).collect();
        Self {
            climate,
            calm,
            clients,
            mode: [Mode::Plain, Mode::AllowAll, Mode::Certificates][rng.usize(..3)],
            keep_alive: rng.bool(),
            preserve_send_socket: rng.u8(..5) > 0,
            preserve_receive_socket: rng.u8(..5) > 0,
            queue_max_bytes: if calm || rng.u8(..4) > 0 { 64 << 20 } else { rng.usize(1000..2_000_000) },
            max_ring_bytes: if calm || rng.u8(..4) > 0 { 64 << 20 } else { rng.usize(1000..500_000) },
            large: rng.u8(..4) == 0,
            waits_ack: rng.u8(..4) == 0,
            power: deadly && sync == Sync::Always,
            sync,
            bad_disks: deadly && rng.u8(..3) == 0,
            backups: deadly && rng.u8(..5) == 0,
            on_full: on_full.into_iter().map(|t| (t.to_string(), policies[rng.usize(..3)])).collect(),
            priorities,
            nodes,
            gates: rng.u8(..3) == 0,
            pubsub: false,
        }
    }
}

/// A connector and what is around it.
#[derive(Debug)]
pub struct Node {
    pub number: usize,
    pub id: String,
    pub role: Role,
    pub core: Connector,
    /// It stores some of what apps send.
    pub stores: bool,
    /// It has no disk: its next life knows nothing of this one.
    pub forgets: bool,
    pub disk: Disk,
    /// The files of its machine.
    pub files: FileSystem,
    pub backup: Option<Backup>,
    /// It was set back: what it says of earlier times is not what it said then.
    pub set_back: bool,
    /// It dies after so many more moments.
    pub doom: Option<u32>,
    /// When it dies, its machine does.
    pub power: bool,
    /// Messages of apps that it was given in the call that is under way.
    pub busy_with: Vec<usize>,
    /// The simulation's connections by the core's ids.
    pub ends: BTreeMap<Id, usize>,
    pub to_write: Vec<Id>,
    /// The core did something since it was last checked.
    pub touched: bool,
    pub stopping: bool,
    pub stopped: bool,
    /// An admin has stopped it, and nothing is on its way any more.
    pub rests: bool,
    /// A client has a certificate of its own.
    pub certificate: bool,
    /// Messages that the operator was told were dropped.
    pub reported: u64,
    /// The ledgers of earlier lives: messages by peer and type.
    pub buried: BTreeMap<(String, String), u64>,
    pub lives: u64,
    pub peers_up: usize,
    pub enrolled: usize,
    pub replaced: usize,
    pub crashes: usize,
}

impl Node {
    pub fn new(number: usize, profile: &Profile, disk_seed: u64) -> Self {
        let role = if number == 0 { Role::Server } else { Role::Client };
        let id = if number == 0 { server_id("10.0.0.1", 10673) } else { format!("client-{number}") };
        Self {
            number,
            core: Connector::new(settings(number, 1, &id, role, profile, Duration::ZERO)),
            id,
            role,
            stores: profile.nodes[number].persist_send != Covered::None,
            forgets: profile.climate == Climate::Rough,
            disk: Disk::new(disk_seed),
            files: FileSystem::default(),
            backup: None,
            set_back: false,
            doom: None,
            power: false,
            busy_with: Vec::new(),
            ends: BTreeMap::new(),
            to_write: Vec::new(),
            touched: false,
            stopping: false,
            stopped: true,
            rests: false,
            certificate: false,
            reported: 0,
            buried: BTreeMap::new(),
            lives: 0,
            peers_up: 0,
            enrolled: 0,
            replaced: 0,
            crashes: 0,
        }
    }

    /// The process is gone: what it had open is closed, its ledger is kept.
    pub fn end(&mut self, profile: &Profile, crashed: bool) {
        for (entry, messages) in self.core.ledger().iter() {
            *self.buried.entry((entry.peer.clone(), entry.message_type.clone())).or_default() += messages;
        }
        if crashed {
            self.reported = self.buried.values().sum();
        }
        let idle = Connector::new(settings(self.number, 0, &self.id, self.role, profile, Duration::ZERO));
        drop(std::mem::replace(&mut self.core, idle));
        assert!(crashed || self.files.open() == 0, "{} has left files open", self.id);
        (self.stopping, self.stopped, self.rests) = (true, true, false);
        (self.doom, self.peers_up) = (None, 0);
        self.busy_with.clear();
        self.ends.clear();
        self.to_write.clear();
    }

    /// The connector starts, with what its disk and its certificate folder hold.
    pub fn start(&mut self, profile: &Profile, since: Duration, now: Instant) {
        assert!(self.stopped, "it has ended before");
        self.lives += 1;
        self.core = Connector::new(settings(self.number, self.lives, &self.id, self.role, profile, since));
        if self.number % 2 == 1 {
            // Two ways to the one server: the link moves while all else goes on.
            self.core.set_servers(vec!["first".to_owned(), "second".to_owned()], Some(Duration::from_secs(2)));
        }
        if profile.gates {
            self.core.set_gates(gates::ALL);
        }
        self.core.set_files(Box::new(NodeFiles::new(&self.files, &self.disk)));
        (self.stopping, self.stopped) = (false, false);
        (self.peers_up, self.enrolled, self.replaced) = (0, 0, 0);
        if !self.forgets {
            let synced = profile.sync == Sync::Always;
            self.core.restore_places(self.disk.places(synced));
            if profile.pubsub && self.role == Role::Server {
                self.core.restore_subscriptions(self.disk.subscriptions(synced));
            }
            for name in self.disk.names() {
                let opened = self.disk.open(&self.id, &name, synced);
                self.core.ring_opened(&name, opened, now);
            }
        }
        self.core.start(now);
    }

    /// The level that it grants an app that asks for this one.
    pub fn grants(&self, asked: Level) -> Level {
        if asked == Level::Stored && !self.stores { Level::Accepted } else { asked }
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
            Event::RingDamaged { name, .. } => panic!("{}: nothing damages {name}", self.id),
            _ => {}
        }
    }

    /// Messages in its ledgers, of all its lives.
    pub fn ledger(&self) -> BTreeMap<(String, String), u64> {
        let mut all = self.buried.clone();
        for (entry, messages) in self.core.ledger().iter() {
            *all.entry((entry.peer.clone(), entry.message_type.clone())).or_default() += messages;
        }
        all
    }
}

/// Numbers that look like random ones: for what must differ from life to life.
fn scatter(number: usize, lives: u64) -> u64 {
    (number as u64 + 1000 * lives + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29) ^ 0x5bd1_e995
}

fn settings(number: usize, lives: u64, id: &str, role: Role, profile: &Profile, since: Duration) -> Settings {
    let (period, timeout) = (Duration::from_secs(10), Duration::from_secs(5));
    let send_types: HashSet<String> = SENT[..4].iter().map(ToString::to_string).collect();
    let traits = &profile.nodes[number];
    Settings {
        id: id.to_owned(),
        role,
        server_id: server_id("10.0.0.1", 10673),
        mode: profile.mode,
        send_types,
        recv_types: RECEIVED.iter().map(ToString::to_string).collect(),
        pubsub_broker: profile.pubsub && role == Role::Server,
        subscribe: patterns(&traits.subscribes),
        preserve_send_socket: profile.preserve_send_socket,
        preserve_receive_socket: profile.preserve_receive_socket,
        connect_timeout: Duration::from_secs(10),
        send_timeout: Duration::from_secs(50),
        keep_alive: profile.keep_alive.then_some(KeepAlive { period, timeout, unanswered_max: 2 }),
        reconnect: true,
        max_message_size: 16 << 20,
        queue_max_bytes: profile.queue_max_bytes,
        link2: traits.link2,
        chunk_max: 200 << 20,
        persist_send: traits.persist_send.clone(),
        persist_recv: traits.persist_recv.clone(),
        max_ring_bytes: profile.max_ring_bytes,
        sync: profile.sync,
        on_full: profile.on_full.clone(),
        priorities: profile.priorities.clone(),
        session_ttl: Duration::from_secs(86_400 * 3650),
        started_at: 1_800_000_000 + since.as_secs(),
        start_sequence: 1_800_000_000_000_000 + since.as_micros() as u64,
        shutdown_timeout: Duration::from_secs(8),
        seed: scatter(number, lives),
    }
}
