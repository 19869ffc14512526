//! Two connectors with a link between them, an app that sends at one and an app that receives at the other. What passes
//! is not looked at, so that it costs nothing here.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aioconnectors::core::settings::HELLO_WAIT;
use aioconnectors::core::{Connector, Covered, Id, Mode, Output, Secured, Settings, Sync};
use aioconnectors::wire::frame;
use aioconnectors::wire::names::Role;

use crate::disk::Disks;

pub const SERVER: &str = "('10.0.0.1', 10673)";

/// The name of the client.
pub const CLIENT: &str = "c1";

/// Bytes that a connection takes at a time; all that a turn of these tests has.
const BUDGET: usize = 1 << 20;

pub fn settings(role: Role) -> Settings {
    Settings {
        id: if role == Role::Server { SERVER.into() } else { CLIENT.into() },
        role,
        server_id: SERVER.into(),
        mode: Mode::Plain,
        send_types: ["any".to_owned()].into(),
        recv_types: vec!["any".to_owned()],
        pubsub_broker: false,
        subscribe: Vec::new(),
        preserve_send_socket: true,
        preserve_receive_socket: true,
        connect_timeout: Duration::from_secs(10),
        send_timeout: Duration::from_secs(50),
        keep_alive: None,
        reconnect: true,
        max_message_size: 1 << 20,
        queue_max_bytes: 64 << 20,
        link2: true,
        chunk_max: 200 << 20,
        persist_send: Covered::None,
        persist_recv: Covered::None,
        max_ring_bytes: 1 << 30,
        sync: Sync::Os,
        on_full: BTreeMap::new(),
        priorities: BTreeMap::new(),
        session_ttl: Duration::from_secs(86_400),
        started_at: 1_800_000_000,
        start_sequence: 1_800_000_000_000_000,
        shutdown_timeout: Duration::from_secs(10),
        seed: 1,
    }
}

/// So many frames with this header and so much data, in one piece.
pub fn frames(header: &str, size: usize, count: usize) -> Vec<u8> {
    let (data, mut out) = (vec![7; size], Vec::new());
    for _ in 0..count {
        frame::encode(header.as_bytes(), &data, None, &mut out).unwrap();
    }
    out
}

/// A server, where an app sends, and its client, where an app receives.
pub struct Pair {
    pub ends: [Connector; 2],
    links: [Id; 2],
    /// The app that sends, at the server.
    app: Id,
    /// Another one at the client; it answers.
    answerer: Id,
    /// The connection to the app that receives, once there is one.
    pub receiver: Option<Id>,
    now: Instant,
    disks: [Disks; 2],
    /// What is on its way, used again.
    wire: Vec<u8>,
    /// Bytes that the apps of the server, and those of the client, were sent.
    pub read: [usize; 2],
}

impl Pair {
    /// With these settings changed at both ends.
    pub fn new(change: impl Fn(&mut Settings)) -> Self {
        let now = Instant::now();
        let disks = <[Disks; 2]>::default();
        let mut ends = [(Role::Server, &disks[0]), (Role::Client, &disks[1])].map(|(role, disks)| {
            let mut settings = settings(role);
            change(&mut settings);
            let mut connector = Connector::new(settings);
            connector.restore_places(disks.places());
            connector.start(now);
            connector
        });
        let links = [ends[0].accept_link(([10, 0, 0, 2], 4000).into(), now); 2];
        let (app, answerer) = (ends[0].accept_app(), ends[1].accept_app());
        let wire = Vec::with_capacity(BUDGET);
        let mut pair = Self { ends, links, app, answerer, receiver: None, now, disks, wire, read: [0; 2] };
        pair.do_outputs(1);
        for (end, link) in pair.ends.iter_mut().zip(pair.links) {
            end.secured(link, Secured::Anonymous, false, now);
        }
        pair.run();
        pair
    }

    /// The app sends this, and it goes all its way.
    pub fn send(&mut self, bytes: &[u8]) {
        self.ends[0].input(self.app, bytes, self.now);
        self.run();
    }

    /// The app at the other end sends this, and it goes all its way.
    pub fn answer(&mut self, bytes: &[u8]) {
        self.ends[1].input(self.answerer, bytes, self.now);
        self.run();
    }

    /// The app that receives is known not to acknowledge what it gets.
    pub fn pass_hello(&mut self) {
        self.ends[1].timeout(self.now + HELLO_WAIT);
        self.run();
    }

    /// Moves what there is, there and back, twice: messages, and that they were taken over.
    fn run(&mut self) {
        for from in [0, 1, 0, 1] {
            self.do_outputs(from);
            self.pass(from);
            self.do_outputs(1 - from);
            self.deliver();
        }
    }

    /// Moves all that waits on the link from one end to the other.
    fn pass(&mut self, from: usize) {
        self.wire.clear();
        let wire = &mut self.wire;
        while self.ends[from].transmit(self.links[from], BUDGET, self.now, &mut |piece| {
            wire.extend_from_slice(piece);
            piece.len()
        }) {}
        if !self.wire.is_empty() {
            self.ends[1 - from].input(self.links[1 - from], &self.wire, self.now);
        }
    }

    /// Has the apps read all.
    fn deliver(&mut self) {
        for (end, app) in [(0, Some(self.app)), (1, self.receiver)] {
            let Some(app) = app else { continue };
            let read = &mut self.read[end];
            while self.ends[end].transmit(app, BUDGET, self.now, &mut |piece| {
                *read += piece.len();
                piece.len()
            }) {}
            self.do_outputs(end);
        }
    }

    fn do_outputs(&mut self, at: usize) {
        let (end, now) = (&mut self.ends[at], self.now);
        end.settle(now);
        while let Some(output) = end.poll_output() {
            match output {
                Output::Dial(id) => {
                    end.opened(id, Some(([10, 0, 0, 1], 4000).into()), now);
                    self.links[at] = id;
                }
                Output::DialApp(id, _) => {
                    end.opened(id, None, now);
                    self.receiver = Some(id);
                }
                Output::OpenRing(name) => {
                    let opened = self.disks[at].open(&name, 1);
                    end.ring_opened(&name, opened, now);
                    end.settle(now);
                }
                // The other machine has it at once.
                Output::Confirm(id) => end.confirmed(id, u64::MAX, now),
                _ => {}
            }
        }
    }
}
