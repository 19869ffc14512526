//! The end of a world: it comes to rest, and every message is accounted for.

use std::collections::BTreeMap;
use std::time::Duration;

use aioconnectors::wire::admin::encode_request;
use aioconnectors::wire::control::PUBSUB;
use serde_json::{Map, Value};

use crate::file_system::Faults;
use crate::model::Message;
use crate::network::{Pipe, Purpose};
use crate::node::Node;
use crate::published::Part;
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
        for node in &mut self.nodes {
            node.disk.set_trouble(false, false);
            node.disk.calm();
            node.files.set_faults(|faults| *faults = Faults { slow: faults.slow, ..Faults::default() });
            node.doom = None;
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
            // Who has ended just now is started before the clock goes on.
            if self.nodes.iter().any(|node| node.stopped || node.rests) {
                continue;
            }
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
        open.flat_map(|c| &c.pipes).all(Pipe::is_empty) && self.senders.values().all(|s| s.is_done())
    }

    fn check_rest(&mut self) {
        if self.trace {
            self.nodes.iter().for_each(|node| println!("CORE {:?}", node.core));
        }
        for (number, connection) in &self.connections {
            assert!(
                connection.purpose != Purpose::Link { client: usize::MAX, first_kind: false },
                "strangers are sent away"
            );
            for pipe in connection.pipes.iter().filter(|_| !connection.has_ended()) {
                assert!(pipe.is_empty(), "something is left on connection {number}, {:?}", connection.purpose);
            }
        }
        for (app, sender) in &self.senders {
            let next = sender.letters.front().map(|(what, _)| *what);
            let open = sender.receipts.as_ref().and_then(|r| r.log.get(r.passed as usize));
            let open = open.map(|number| (number, &self.model.messages[*number]));
            assert!(sender.is_done(), "app {app} has something left: {next:?}, no receipt for {open:?}");
        }
        for (number, node) in self.nodes.iter().enumerate() {
            let expected = if number == 0 { self.profile.clients } else { 1 };
            assert_eq!(node.peers_up, expected, "{} has its links", node.id);
        }
    }

    /// Every message was delivered, or is in a ledger, or something has happened that explains its loss.
    pub fn balance(&mut self) {
        for node in 0..self.nodes.len() {
            let queued = self.queued(node);
            assert_eq!(queued, 0, "{} has delivered all that it has", self.nodes[node].id);
        }
        self.model.require_copies();
        let mut missing: BTreeMap<(usize, Option<usize>, &str), Vec<usize>> = BTreeMap::new();
        for (number, message) in self.model.messages.iter().enumerate().filter(|(_, m)| m.is_missing()) {
            missing.entry((message.from, message.to, message.draft.message_type)).or_default().push(number);
        }
        let ledgers: Vec<_> = self.nodes.iter().map(Node::ledger).collect();
        for ((from, to, message_type), numbers) in missing {
            let count = |node: usize, peer: &str| {
                ledgers[node].get(&(peer.to_owned(), message_type.to_owned())).copied().unwrap_or_default()
            };
            let at_source = match self.model.messages[numbers[0]].part {
                // What was published and refused, by the broker or before, is counted as its publisher's: no subscriber
                // gets it.
                Part::Copy(whole) => {
                    let publisher = self.model.messages[whole].from;
                    let of = |node: usize, types: &str| -> u64 {
                        ledgers[node].iter().filter(|((_, of), _)| of == types).map(|(_, n)| n).sum()
                    };
                    of(from, message_type) + of(publisher, PUBSUB)
                }
                _ => count(from, to.map_or("nobody", |to| &self.nodes[to].id)),
            };
            let there = to.map_or(0, |to| count(to, &self.nodes[from].id));
            let stored = to.is_none() && self.model.messages[numbers[0]].stored.0;
            assert!(
                numbers.len() as u64 <= at_source + there || stored,
                "messages of type {message_type} from {from} to {to:?} are lost: {numbers:?}; ledgers have {at_source} and \
                 {there}; the first is {:?}",
                self.model.messages[numbers[0]]
            );
        }
        for (node, ledger) in self.nodes.iter().zip(&ledgers) {
            let dropped: u64 = ledger.values().sum();
            assert_eq!(node.reported, dropped, "what was dropped was reported");
        }
        self.model.check_sources(self.profile.calm);
        for node in &self.nodes {
            assert_eq!(node.files.open(), 0, "{} has no file open", node.id);
            assert!(!self.profile.calm || node.files.remembered() == 0, "{} has forgotten what is over", node.id);
            let kept = if self.profile.backups { 0 } else { node.files.published_for_good() };
            assert_eq!(kept, 0, "{} has let go of what was published", node.id);
        }
        if self.profile.calm {
            self.check_all_delivered();
        }
    }

    fn check_all_delivered(&self) {
        let is_for_apps = |m: &Message| m.draft.message_type != "_ping" && !matches!(m.part, Part::Published(_));
        for node in &self.nodes {
            let dropped = node.core.ledger();
            assert_eq!(dropped.total(), 0, "{} has dropped nothing in a calm world: {dropped:?}", node.id);
        }
        for (number, message) in self.model.messages.iter().enumerate().filter(|(_, m)| is_for_apps(m)) {
            assert_eq!(message.delivered, 1, "message {number} of a calm world: {message:?}");
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
        let to_send = answer["queue_send"].as_object().into_iter().flatten().filter(|(peer, _)| *peer != "nobody");
        let to_send: u64 = to_send.filter_map(|(_, n)| n.as_u64()).sum();
        answer["queue_recv"].as_u64().unwrap_or(u64::MAX) + to_send
    }
}
