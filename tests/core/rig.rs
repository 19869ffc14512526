//! One connector on a bench: the test plays the shell, the network and the clock.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aioconnectors::core::{Cause, Connector, Covered, Event, Id, Mode, Output, Reading, Secured, Settings, Sync};
use aioconnectors::wire::control::{HANDSHAKE_NO_SSL, HELLO, own_frame};
use aioconnectors::wire::frame::{self, Frame};
use aioconnectors::wire::names::Role;
use serde_json::Value;

use crate::disk::Disks;
use crate::file_system::FileSystem;

pub const SERVER: &str = "('10.0.0.1', 10673)";

/// A frame with this header and data.
pub fn message(header: &str, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::encode(header.as_bytes(), data, None, &mut out).unwrap();
    out
}

/// A frame with this header, data and binary.
pub fn message_with_binary(header: &str, data: &[u8], binary: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::encode(header.as_bytes(), data, Some(binary), &mut out).unwrap();
    out
}

/// A message of the type `any` to `destination`.
pub fn any_to(destination: &str, data: &[u8]) -> Vec<u8> {
    message(&format!(r#"{{"message_type": "any", "destination_id": "{destination}"}}"#), data)
}

/// A message of a type, as it comes from the peer `source`.
pub fn typed_from(message_type: &str, source: &str, data: &[u8]) -> Vec<u8> {
    message(&format!(r#"{{"message_type": "{message_type}", "source_id": "{source}"}}"#), data)
}

/// A server's answer to the question with this id.
pub fn ping_answer(id: &str) -> Vec<u8> {
    message(&format!(r#"{{"message_type": "_ping", "source_id": "s", "response_id": "{id}"}}"#), b"")
}

/// The frames in `bytes`: their headers, and their data.
pub fn frames(mut bytes: &[u8]) -> Vec<(Value, Vec<u8>)> {
    let mut out = Vec::new();
    while let Some(length) = bytes.first_chunk::<4>() {
        let (one, rest) = bytes.split_at(4 + u32::from_le_bytes(*length) as usize);
        let frame = Frame::parse(one).unwrap();
        out.push((serde_json::from_slice(frame.header()).unwrap(), frame.data().to_vec()));
        bytes = rest;
    }
    out
}

/// What a connector is told by default.
pub fn settings(role: Role) -> Settings {
    Settings {
        id: if role == Role::Server { SERVER.into() } else { "c1".into() },
        role,
        server_id: SERVER.into(),
        mode: Mode::Plain,
        send_types: ["any", "other"].map(String::from).into(),
        recv_types: ["any", "other"].map(String::from).into(),
        pubsub_broker: false,
        subscribe: Vec::new(),
        preserve_send_socket: true,
        preserve_receive_socket: true,
        connect_timeout: Duration::from_secs(10),
        send_timeout: Duration::from_secs(50),
        keep_alive: None,
        reconnect: true,
        max_message_size: 64 << 20,
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

/// The bench.
pub struct Rig {
    pub core: Connector,
    pub now: Instant,
    /// What the core said, all but `Write`.
    pub outputs: Vec<Output>,
    /// Bytes that went out on a connection.
    sent: BTreeMap<Id, u64>,
    /// Where queues in files are.
    pub disks: Disks,
    /// Where files are.
    pub files: FileSystem,
    settings: Settings,
    /// The headers of what apps have read.
    pub headers: Vec<Value>,
    /// Apps that receive, whose connections are open: what they receive, and how many of their messages were read.
    apps: BTreeMap<Id, String>,
}

impl Rig {
    pub fn new(settings: Settings) -> Self {
        Self::on(settings, Disks::default(), FileSystem::default(), Instant::now())
    }

    /// A connector that finds its files on these disks.
    pub fn on(settings: Settings, disks: Disks, files: FileSystem, now: Instant) -> Self {
        let mut core = Connector::new(settings.clone());
        core.set_files(files.start());
        let (outputs, sent, apps) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        let mut rig = Self { core, now, outputs, sent, disks, files, settings, headers: Vec::new(), apps };
        rig.core.restore_places(rig.disks.places());
        rig.core.restore_subscriptions(rig.disks.subscriptions());
        for name in rig.disks.names() {
            let opened = rig.disks.open(&name, rig.settings.seed);
            rig.core.ring_opened(&name, opened, now);
        }
        rig.core.start(now);
        rig.drain();
        rig
    }

    /// The process is killed, and starts again a second later: only what is on its disks is left.
    pub fn crash(self) -> Self {
        let disks = self.disks.clone();
        self.restart_on(disks)
    }

    /// The same, with other disks.
    pub fn restart_on(self, disks: Disks) -> Self {
        let Self { core, mut settings, files, now, .. } = self;
        drop(core);
        settings.seed += 1;
        settings.started_at += 1;
        settings.start_sequence += 1_000_000;
        Self::on(settings, disks, files, now + Duration::from_secs(1))
    }

    pub fn server() -> Self {
        Self::new(settings(Role::Server))
    }

    pub fn server_with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = settings(Role::Server);
        change(&mut settings);
        Self::new(settings)
    }

    pub fn client_with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = settings(Role::Client);
        change(&mut settings);
        Self::new(settings)
    }

    pub fn drain(&mut self) {
        while self.core.work(self.now) {}
        self.core.settle(self.now);
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Write(_) | Output::Confirm(_) => {}
                Output::OpenRing(name) => {
                    let opened = self.disks.open(&name, self.settings.seed);
                    self.core.ring_opened(&name, opened, self.now);
                    self.core.settle(self.now);
                }
                output => self.outputs.push(output),
            }
        }
        self.core.check_invariants();
    }

    pub fn input(&mut self, id: Id, bytes: &[u8]) -> Reading {
        let reading = self.core.input(id, bytes, self.now);
        self.drain();
        reading
    }

    /// All that is sent on a connection.
    pub fn sent(&mut self, id: Id) -> Vec<u8> {
        self.sent_up_to(id, usize::MAX)
    }

    /// What is sent on a connection that has room for so many bytes.
    pub fn sent_up_to(&mut self, id: Id, room: usize) -> Vec<u8> {
        let out = self.sent_unconfirmed(id, room);
        // The other machine has it at once.
        self.core.confirmed(id, self.sent[&id], self.now);
        self.drain();
        out
    }

    /// The same, but nothing says that the other machine has it.
    pub fn sent_unconfirmed(&mut self, id: Id, room: usize) -> Vec<u8> {
        let mut out = Vec::new();
        self.core.transmit(id, 1 << 30, self.now, &mut |bytes| {
            let taken = bytes.len().min(room - out.len());
            out.extend_from_slice(&bytes[..taken]);
            taken
        });
        *self.sent.entry(id).or_default() += out.len() as u64;
        self.drain();
        out
    }

    pub fn closed(&mut self, id: Id, cause: Cause) {
        self.core.closed(id, cause, self.now);
        self.drain();
    }

    pub fn secured(&mut self, id: Id, secured: Secured) {
        self.core.secured(id, secured, false, self.now);
        self.drain();
    }

    /// The same, with a TLS that has found that both sides speak the second kind of link.
    pub fn secured_for_link2(&mut self, id: Id, secured: Secured) {
        self.core.secured(id, secured, true, self.now);
        self.drain();
    }

    pub fn stop(&mut self) {
        self.core.stop(self.now);
        self.drain();
    }

    pub fn accept_link(&mut self) -> Id {
        let id = self.core.accept_link(([10, 0, 0, 9], 4000).into(), self.now);
        self.drain();
        id
    }

    /// A link without TLS with the client of this name.
    pub fn link(&mut self, name: &str) -> Id {
        let id = self.accept_link();
        self.secured(id, Secured::Anonymous);
        self.input(id, &own_frame(HANDSHAKE_NO_SSL, name, HELLO));
        id
    }

    /// Opens the connection that the client last wanted to its server.
    pub fn open_dialled(&mut self, secured: Secured) -> Id {
        let id = self.dialled().expect("the client dials");
        self.core.opened(id, Some(([10, 0, 0, 1], 10673).into()), self.now);
        self.drain();
        self.secured(id, secured);
        id
    }

    /// The client's link to its server, which has answered.
    pub fn up(&mut self) -> Id {
        let id = self.open_dialled(Secured::Anonymous);
        self.sent(id);
        self.input(id, &ping_answer("link_check"));
        id
    }

    pub fn dialled(&self) -> Option<Id> {
        self.outputs.iter().rev().find_map(|o| if let Output::Dial(id) = o { Some(*id) } else { None })
    }

    pub fn app(&mut self) -> Id {
        self.core.accept_app()
    }

    /// Opens the connection that was last wanted to an app that receives.
    pub fn open_app(&mut self) -> Id {
        let id = self.dialled_app().expect("the app is dialled");
        self.core.opened(id, None, self.now);
        self.drain();
        id
    }

    pub fn dialled_app(&self) -> Option<Id> {
        self.outputs.iter().rev().find_map(|o| if let Output::DialApp(id, _) = o { Some(*id) } else { None })
    }

    /// What all apps that listen read now: types and data. They say nothing. Headers are kept.
    pub fn read_apps(&mut self) -> Vec<(String, Vec<u8>)> {
        let mut out = Vec::new();
        loop {
            for output in std::mem::take(&mut self.outputs) {
                if let Output::DialApp(id, message_type) = &output {
                    self.apps.insert(*id, message_type.clone());
                    self.core.opened(*id, None, self.now);
                } else {
                    self.outputs.push(output);
                }
            }
            self.drain();
            let before = out.len();
            for (id, message_type) in self.apps.clone() {
                for (header, data) in frames(&self.sent(id)) {
                    self.headers.push(header);
                    out.push((message_type.clone(), data));
                }
            }
            if out.len() == before && !self.outputs.iter().any(|o| matches!(o, Output::DialApp(..))) {
                return out;
            }
        }
    }

    pub fn is_closed(&self, id: Id) -> bool {
        self.outputs.contains(&Output::Close(id))
    }

    pub fn is_resumed(&self, id: Id) -> bool {
        self.outputs.contains(&Output::Resume(id))
    }

    pub fn events(&self) -> Vec<&Event> {
        self.outputs.iter().filter_map(|o| if let Output::Tell(event) = o { Some(event) } else { None }).collect()
    }

    /// Lets time pass, from deadline to deadline.
    pub fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.core.next_deadline().filter(|at| *at <= until) {
            self.now = at;
            self.core.timeout(at);
            self.drain();
        }
        self.now = until;
    }

    /// The ledger in short: peer, type, reason, messages.
    pub fn ledger(&self) -> Vec<String> {
        let entries = self.core.ledger().iter();
        entries.map(|(e, n)| format!("{} {} {} {n}", e.peer, e.message_type, e.reason)).collect()
    }
}
