//! A broker and its clients, joined back to back.

use std::time::Duration;

use aioconnectors::core::{Cause, Covered, Id, Output, Secured, Settings};
use aioconnectors::wire::admin::encode_request;
use aioconnectors::wire::names::Role;
use aioconnectors::wire::topics::Pattern;
use serde_json::Map;

use crate::disk::Disks;
use crate::rig::{Rig, message, settings};

pub struct Client {
    pub rig: Rig,
    /// The two ends of its link.
    pub ends: Option<(Id, Id)>,
    /// It takes nothing from its link.
    pub is_slow: bool,
    /// What its apps have read: types and data.
    pub read: Vec<(String, Vec<u8>)>,
}

pub struct Net {
    pub broker: Rig,
    pub clients: Vec<Client>,
}

pub fn patterns(texts: &[&str]) -> Vec<Pattern> {
    texts.iter().map(|text| Pattern::parse(text).unwrap()).collect()
}

pub fn broker(change: impl FnOnce(&mut Settings)) -> Rig {
    let mut settings = settings(Role::Server);
    settings.pubsub_broker = true;
    change(&mut settings);
    Rig::new(settings)
}

/// An app's publication.
pub fn publication(message_type: &str, data: &[u8]) -> Vec<u8> {
    message(&format!(r#"{{"message_type": "_pubsub", "message_type_publish": "{message_type}", "tag": "t"}}"#), data)
}

/// Keeps publications on disk, on whichever side.
pub fn stores(settings: &mut Settings) {
    settings.persist_send = Covered::All;
}

impl Client {
    /// Its apps read what there is, and are done with it: they say nothing. Whether there was something.
    pub fn read(&mut self) -> bool {
        let new = self.rig.read_apps();
        let has_read = !new.is_empty();
        self.read.extend(new);
        if has_read {
            self.rig.pass(Duration::from_millis(1100));
        }
        has_read
    }
}

impl Net {
    pub fn new(change: impl FnOnce(&mut Settings)) -> Self {
        Self { broker: broker(change), clients: Vec::new() }
    }

    /// A client that subscribes to these; its number.
    pub fn add(&mut self, name: &str, subscribes: &[&str]) -> usize {
        self.add_with(name, subscribes, |_| {})
    }

    pub fn add_with(&mut self, name: &str, subscribes: &[&str], change: impl FnOnce(&mut Settings)) -> usize {
        let mut settings = settings(Role::Client);
        (settings.id, settings.subscribe) = (name.to_owned(), patterns(subscribes));
        settings.seed = 1000 + self.clients.len() as u64 * 100;
        change(&mut settings);
        let rig = Rig::new(settings);
        self.clients.push(Client { rig, ends: None, is_slow: false, read: Vec::new() });
        self.connect(self.clients.len() - 1);
        self.pump();
        self.clients.len() - 1
    }

    /// A client dials, as soon as it wants to, and is let in.
    pub fn connect(&mut self, number: usize) {
        let client = &mut self.clients[number];
        for _ in 0..100 {
            match client.rig.dialled() {
                Some(id) if !client.rig.is_closed(id) => break,
                _ => client.rig.pass(Duration::from_millis(200)),
            }
        }
        let ours = client.rig.open_dialled(Secured::Anonymous);
        let theirs = self.broker.accept_link();
        self.broker.secured(theirs, Secured::Anonymous);
        client.ends = Some((ours, theirs));
    }

    pub fn cut(&mut self, number: usize) {
        let client = &mut self.clients[number];
        let Some((ours, theirs)) = client.ends.take() else { return };
        for (rig, end) in [(&mut client.rig, ours), (&mut self.broker, theirs)] {
            if !rig.is_closed(end) {
                rig.closed(end, Cause::Failed("cut".to_owned()));
            }
        }
        client.rig.outputs.retain(|output| matches!(output, Output::DialApp(..)));
        client.rig.pass(Duration::from_secs(10));
    }

    /// One step: each link moves at most so many bytes each way. Whether something moved.
    pub fn step(&mut self, room: usize) -> bool {
        let mut moved = false;
        for number in 0..self.clients.len() {
            let client = &mut self.clients[number];
            let Some((ours, theirs)) = client.ends else { continue };
            let up = client.rig.sent_up_to(ours, room);
            self.broker.input(theirs, &up);
            let room = if client.is_slow { 0 } else { room };
            let down = self.broker.sent_up_to(theirs, room);
            client.rig.input(ours, &down);
            moved |= !up.is_empty() || !down.is_empty();
        }
        moved
    }

    pub fn pump(&mut self) {
        while self.step(usize::MAX) {}
    }

    /// All that can move moves, apps included.
    pub fn run(&mut self) {
        loop {
            self.pump();
            let mut read = false;
            for client in &mut self.clients {
                read |= client.read();
            }
            if !read && !self.step(usize::MAX) {
                return;
            }
        }
    }

    /// The broker is killed and comes back; links are gone, and come again if asked for.
    pub fn crash_broker(&mut self, change: impl FnOnce(Disks) -> Disks) {
        for client in &mut self.clients {
            if let Some((ours, _)) = client.ends.take() {
                if !client.rig.is_closed(ours) {
                    client.rig.closed(ours, Cause::Failed("cut".to_owned()));
                }
                client.rig.outputs.retain(|output| matches!(output, Output::DialApp(..)));
                client.rig.pass(Duration::from_secs(10));
            }
        }
        let old = std::mem::replace(&mut self.broker, Rig::server());
        let disks = change(old.disks.clone());
        self.broker = old.restart_on(disks);
    }

    pub fn crash_client(&mut self, number: usize) {
        self.cut(number);
        let client = &mut self.clients[number];
        let old = std::mem::replace(&mut client.rig, Rig::server());
        client.rig = old.crash();
    }

    /// An app of this client publishes.
    pub fn publish(&mut self, number: usize, message_type: &str, data: &[u8]) {
        let app = self.clients[number].rig.app();
        self.clients[number].rig.input(app, &publication(message_type, data));
    }

    /// What waits at the broker or a client.
    pub fn queues(&mut self, client: Option<usize>) -> String {
        let rig = client.map_or(&mut self.broker, |number| &mut self.clients[number].rig);
        let admin = rig.core.accept_admin(rig.now);
        rig.input(admin, &encode_request("peek_queues__sync", &Map::new()));
        String::from_utf8(rig.sent(admin)[4..].to_vec()).unwrap()
    }

    /// What a client has read, as texts `TYPE DATA`.
    pub fn read(&self, number: usize) -> Vec<String> {
        let read = self.clients[number].read.iter();
        read.map(|(message_type, data)| format!("{message_type} {}", String::from_utf8_lossy(data))).collect()
    }
}
