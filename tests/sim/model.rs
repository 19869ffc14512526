//! The shadow model: what was written, how far each message came, and what must hold of all of them.

use std::collections::BTreeMap;

use crate::message::Draft;

/// How far a message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The app has not written all of it.
    Drafted,
    /// It is in the socket between app and connector: this connection.
    InSocket(usize),
    /// Its connector has read it.
    Entered,
    /// It is wholly written to this connection with another connector.
    OnLink(usize),
    /// The other connector has read it.
    Arrived,
    /// It is wholly written to this connection with the receiving app.
    AtApp(usize),
    /// The app has it; or, if it is for the connector itself, that has.
    Delivered,
}

/// A message.
#[derive(Debug)]
pub struct Message {
    pub draft: Draft,
    /// The node that it goes from.
    pub from: usize,
    /// The node that it goes to, if there is one of that name.
    pub to: Option<usize>,
    /// The connection of the app that wrote it.
    pub stream: usize,
    pub place: Place,
    /// It was read, but the connection ended while the core had put some of what was read back.
    pub unsure: bool,
    /// It answers this message.
    pub answers: Option<usize>,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Waiting,
    Answered,
    Error,
    ConnectionEnded,
    /// The app did not want to wait any longer.
    GivenUp,
}

/// All messages, and all requests by their message.
#[derive(Debug, Default)]
pub struct Model {
    pub messages: Vec<Message>,
    pub requests: BTreeMap<usize, Outcome>,
    /// The newest message that was delivered of a stream, to a node.
    newest: BTreeMap<(usize, Option<usize>, &'static str), usize>,
    pub delivered: u64,
}

impl Model {
    pub fn draft(&mut self, message: Message) -> usize {
        self.messages.push(message);
        self.messages.len() - 1
    }

    /// A message has come to a place: each goes forward, and is nowhere twice.
    pub fn came(&mut self, number: usize, place: Place) {
        let message = &mut self.messages[number];
        let before = message.place;
        let is_forward = std::mem::discriminant(&before) != std::mem::discriminant(&place) && before < place;
        assert!(is_forward, "message {number} was at {before:?} and comes to {place:?}: {message:?}");
        message.place = place;
    }

    /// An app that listens has got a message.
    pub fn deliver(&mut self, number: usize, node: usize, message_type: &str, bytes: &[u8]) {
        self.came(number, Place::Delivered);
        self.delivered += 1;
        let message = &self.messages[number];
        message.draft.check(number, bytes);
        assert_eq!(message.to, Some(node), "message {number} came to the right connector");
        assert_eq!(message.draft.message_type, message_type, "message {number} came to the right app");
        if let Some(request) = message.answers {
            let outcome = self.requests[&request];
            assert_ne!(outcome, Outcome::Waiting, "an answer went to another app while its asker waits");
        }
        let stream = (message.stream, message.to, message.draft.message_type);
        let newest = self.newest.insert(stream, number);
        assert!(newest < Some(number), "message {number} came after {newest:?} of the same app");
    }

    /// The asker has got an answer.
    pub fn answer(&mut self, request: usize, answer: usize, bytes: &[u8]) {
        self.end_request(request, Outcome::Answered);
        self.came(answer, Place::Delivered);
        self.delivered += 1;
        let message = &self.messages[answer];
        message.draft.check(answer, bytes);
        assert_eq!(message.answers, Some(request), "the answer is that to the question");
    }

    pub fn end_request(&mut self, request: usize, outcome: Outcome) {
        let before = self.requests.insert(request, outcome);
        assert_eq!(before, Some(Outcome::Waiting), "request {request} ends once, now with {outcome:?}");
    }

    /// Messages of which nobody but this node can know where they are: those that it has taken and not given on, for
    /// certain and perhaps.
    pub fn kept_by(&self, node: usize) -> (u64, u64) {
        let (mut sure, mut unsure) = (0, 0);
        for message in &self.messages {
            let is_here = match message.place {
                Place::Entered => message.from == node,
                Place::Arrived => message.to == Some(node),
                _ => false,
            };
            match (is_here, message.unsure) {
                (true, true) => unsure += 1,
                (true, false) => sure += 1,
                _ => {}
            }
        }
        (sure, unsure)
    }
}
