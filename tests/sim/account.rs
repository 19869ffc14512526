//! The end of a world: it comes to rest, and every message is accounted for.

use std::time::Duration;

use aioconnectors::wire::admin::encode_request;
use serde_json::{Map, Value};

use crate::model::{Outcome, Place};
use crate::network::{Pipe, Purpose};
use crate::world::World;

/// Time in which all must come to rest: longer than any timeout, and than what a client that was replaced waits.
const REST: Duration = Duration::from_secs(300);

/// Most events on the way.
const EVENTS_MAX: usize = 200_000;

impl World {
    /// Nothing fails from now on, all apps listen and read, and what is under way comes to its end.
    pub fn come_to_rest(&mut self) {
        self.say(&"fair weather from now on");
        self.fair_weather = true;
        for receiver in &mut self.receivers {
            (receiver.listens, receiver.asleep_until) = (true, None);
        }
        for connection in self.connections.values_mut() {
            for side in connection.sides.iter_mut().filter(|side| side.notice_at.is_some()) {
                side.notice_at = Some(self.now);
            }
        }
        let until = self.now + REST;
        for _ in 0..EVENTS_MAX {
            while !self.to_answer.is_empty() {
                self.answer();
            }
            self.restart_some();
            self.pump();
            if self.now >= until && self.is_empty() {
                return self.check_rest();
            }
            self.tick(until.saturating_duration_since(self.now).max(Duration::from_secs(1)));
        }
        self.check_rest();
        panic!("no rest within {EVENTS_MAX} events");
    }

    /// Nothing is on its way.
    fn is_empty(&self) -> bool {
        let open = self.connections.values().filter(|c| !c.has_ended());
        open.flat_map(|c| &c.pipes).all(Pipe::is_empty) && self.senders.values().all(|s| s.letters.is_empty())
    }

    fn check_rest(&mut self) {
        for (number, connection) in &self.connections {
            assert!(connection.purpose != Purpose::Link { client: usize::MAX }, "strangers are sent away");
            for pipe in connection.pipes.iter().filter(|_| !connection.has_ended()) {
                assert!(pipe.is_empty(), "something is left on connection {number}, {:?}", connection.purpose);
            }
        }
        for (app, sender) in &self.senders {
            let next = sender.letters.front().and_then(|(message, _)| *message);
            assert!(sender.letters.is_empty(), "app {app} has something left to write, message {next:?} first");
        }
        for (number, node) in self.nodes.iter().enumerate() {
            let expected = if number == 0 { self.profile.clients } else { 1 };
            assert_eq!(node.peers_up, expected, "{} has its links", node.id);
        }
    }

    /// Every message is somewhere.
    pub fn balance(&mut self) {
        for (number, message) in self.model.messages.iter().enumerate() {
            let ended = |c: usize| self.connections.get(&c).is_none_or(|c| c.has_ended());
            match message.place {
                Place::InSocket(c) => assert!(ended(c), "message {number} was not read: {message:?}"),
                Place::OnLink(c) => assert!(ended(c), "message {number} did not cross its link: {message:?}"),
                Place::AtApp(c) => assert!(ended(c), "message {number} was not read by its app: {message:?}"),
                Place::Drafted | Place::Entered | Place::Arrived | Place::Delivered => {}
            }
        }
        for node in 0..self.nodes.len() {
            let (sure, unsure) = self.model.kept_by(node);
            let (dropped, queued) = (self.nodes[node].dropped(), self.queued(node));
            let range = sure..=sure + unsure;
            assert!(
                range.contains(&(dropped + queued)),
                "{} has taken {range:?} messages that went no further; its ledgers have {dropped}, its queues {queued}",
                self.nodes[node].id
            );
            assert_eq!(self.nodes[node].reported, dropped, "what was dropped was reported");
        }
        self.check_requests();
        if self.profile.calm {
            self.check_all_delivered();
        }
    }

    /// An answer that went to another app had no asker any more; that one may learn of it a moment later.
    fn check_requests(&self) {
        for message in &self.model.messages {
            if let (Some(request), Place::Delivered) = (message.answers, message.place) {
                assert_ne!(self.model.requests[&request], Outcome::Waiting, "request {request} knows its answer");
            }
        }
    }

    fn check_all_delivered(&self) {
        for (number, message) in self.model.messages.iter().enumerate() {
            assert_eq!(message.place, Place::Delivered, "message {number} of a calm world: {message:?}");
        }
        for node in &self.nodes {
            assert_eq!(node.core.ledger().total(), 0, "nothing was dropped in a calm world");
        }
    }

    /// The messages that a node's queues hold, as it tells an admin.
    fn queued(&mut self, node: usize) -> u64 {
        let core = &mut self.nodes[node].core;
        let id = core.accept_admin(self.now);
        core.input(id, &encode_request("peek_queues__sync", &Map::new()), self.now);
        let mut answer = Vec::new();
        core.transmit(id, usize::MAX, self.now, &mut |bytes| {
            answer.extend_from_slice(bytes);
            bytes.len()
        });
        self.outputs(node, None);
        let answer: Value = serde_json::from_slice(&answer[4..]).unwrap_or_default();
        let to_send: u64 = answer["queue_send"].as_object().into_iter().flatten().filter_map(|(_, n)| n.as_u64()).sum();
        answer["queue_recv"].as_u64().unwrap_or(u64::MAX) + to_send
    }
}
