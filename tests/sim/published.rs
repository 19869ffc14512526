//! Publications: who subscribes to what, and what must become of what is published.
//!
//! A publication is a message to the broker, and a copy of it, with a number of its own, to each subscriber. Streams carry
//! the publication's number: whose copy it is follows from where it is seen. A copy is a message as others are, of the
//! broker's: what excuses its loss, or that it comes again, is in the table of `model`; what has happened to the
//! publication counts as well.
//!
//! A copy must come if the subscription lasts and the publisher has heard that the broker has taken the publication over;
//! or if nothing fails. Other subscriptions end with their link, and nobody knows whether before or after a publication.

use std::collections::BTreeMap;

use aioconnectors::wire::receipts::Level;
use aioconnectors::wire::topics::Pattern;
use fastrand::Rng;

use crate::message::Draft;
use crate::model::{Message, Model};
use crate::node::Profile;
use crate::world::{SENDERS, World};

/// The types that are published.
pub const PUBLISHED: [&str; 3] = ["pub.one", "pub.two", "pub.two.more"];

/// What clients subscribe to.
const PATTERNS: [&str; 4] = ["pub.one", "pub.two", "pub.*", "pub.>"];

/// What a message of the model is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// A message to a peer.
    #[default]
    Whole,
    /// A publication: the numbers of its copies, by the nodes of their subscribers.
    Published(BTreeMap<usize, usize>),
    /// What a subscriber gets of this publication.
    Copy(usize),
}

/// The patterns as the config has them.
pub fn patterns(texts: &[&str]) -> Vec<Pattern> {
    texts.iter().map(|text| Pattern::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))).collect()
}

impl Profile {
    /// The server is a broker.
    pub fn publish(&mut self, rng: &mut Rng) {
        self.pubsub = true;
        for traits in &mut self.nodes[1..] {
            traits.subscribes = PATTERNS.into_iter().filter(|_| rng.u8(..3) == 0).collect();
        }
        // Somebody wants each.
        let some = rng.usize(1..self.nodes.len());
        self.nodes[some].subscribes.push("pub.>");
    }

    /// Whether a node gets what is published under a type.
    fn subscribes(&self, node: usize, message_type: &str) -> bool {
        patterns(&self.nodes[node].subscribes).iter().any(|pattern| pattern.matches(message_type))
    }

    /// Whether its subscription to a type outlasts its link.
    fn lasts(&self, node: usize, message_type: &str) -> bool {
        let broker = &self.nodes[0];
        broker.link2 && self.nodes[node].link2 && broker.persist_send.covers(message_type)
    }
}

impl Model {
    /// The number of what is seen at a node, or on its way there, where a stream has this one.
    pub fn seen_at(&self, number: usize, node: usize) -> usize {
        match &self.messages[number].part {
            Part::Published(copies) => copies.get(&node).copied().unwrap_or(number),
            Part::Whole | Part::Copy(_) => number,
        }
    }

    /// The publication that a message is a copy of.
    pub fn whole_of(&self, number: usize) -> usize {
        if let Part::Copy(whole) = self.messages[number].part { whole } else { number }
    }

    /// Whether a copy may come without its file for what its publication or its subscription is.
    pub fn may_lack_file(&self, number: usize) -> bool {
        let Part::Copy(whole) = self.messages[number].part else { return false };
        let (copy, whole) = (&self.messages[number], &self.messages[whole]);
        let is_first_kind = !(self.files[whole.from].1 && self.files[0].1);
        !copy.lasts || whole.spare > 0 || whole.wild || is_first_kind
    }

    /// What the broker had in memory, and had not taken over from its publishers, is published again.
    pub fn broker_ended(&mut self) {
        let copies = self.messages.iter_mut().filter(|m| matches!(m.part, Part::Copy(_)) && !m.lasts);
        copies.for_each(|copy| copy.spare += u32::from(copy.entered));
    }

    /// The end: which copies must have come.
    pub fn require_copies(&mut self) {
        for number in 0..self.messages.len() {
            let Part::Copy(whole) = self.messages[number].part else { continue };
            let publication = &self.messages[whole];
            let is_taken = publication.promised == Some(Level::Delivered) && !publication.refused && !publication.wild;
            let second_kind = publication.from == 0 || (self.files[publication.from].1 && self.files[0].1);
            let copy = &mut self.messages[number];
            copy.required = copy.lasts && is_taken && second_kind;
        }
    }
}

impl World {
    /// An app publishes something.
    pub fn publish_some(&mut self) {
        let app = self.rng.usize(..self.nodes.len() * SENDERS);
        let node = self.senders[&app].node;
        if self.nodes[node].stopping {
            return;
        }
        let style = self.style();
        let message_type = PUBLISHED[self.rng.usize(..PUBLISHED.len())];
        for _ in 0..self.rng.usize(1..6) {
            let (draft, _) = self.draft(node, style);
            let destination = self.nodes[0].id.clone();
            let draft = Draft { message_type, destination, publishes: true, waits_ack: false, ..draft };
            let number = self.post(app, draft.clone(), Some(0), None);
            let mut copies = BTreeMap::new();
            for subscriber in 1..self.nodes.len() {
                if self.profile.subscribes(subscriber, message_type) {
                    let mut copy = Message::new(draft.clone(), 0, Some(subscriber), None);
                    let stored_at = |node: usize| &self.profile.nodes[node];
                    copy.stored = (
                        stored_at(0).persist_send.covers(message_type),
                        stored_at(subscriber).persist_recv.covers(message_type),
                    );
                    (copy.part, copy.lasts) = (Part::Copy(number), self.profile.lasts(subscriber, message_type));
                    copies.insert(subscriber, self.model.draft(copy));
                }
            }
            self.model.messages[number].part = Part::Published(copies);
        }
    }
}
