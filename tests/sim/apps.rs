//! The apps: those that send and ask, and those that receive and answer.

use std::collections::VecDeque;
use std::time::Instant;

use aioconnectors::wire::frame::Frame;
use serde_json::Value;

use crate::model::{Outcome, Place};
use crate::network::{Owner, Purpose};
use crate::tap::Seen;
use crate::world::World;

/// A message that an app is to write, and the number of it in the model; `None` is garbage.
pub type Letter = (Option<usize>, Vec<u8>);

/// An app that sends, or asks.
#[derive(Debug, Default)]
pub struct Sender {
    pub node: usize,
    pub connection: Option<usize>,
    /// What it still has to write, and how much of the first it has written.
    pub letters: VecDeque<Letter>,
    pub written: usize,
    /// The request whose answer it waits for. Such an app ends with its answer.
    pub asks: Option<usize>,
    /// It asks the other connector for an echo.
    pub pings: bool,
    /// It closes once it has written this many bytes more.
    pub close_after: Option<usize>,
}

impl Sender {
    /// Its connection is gone; what it has not begun to write, it writes on the next.
    pub fn disconnected(&mut self) {
        self.connection = None;
        self.close_after = None;
        if self.written > 0 {
            self.letters.pop_front();
            self.written = 0;
        }
    }
}

/// An app that receives one type of message.
#[derive(Debug)]
pub struct Receiver {
    pub node: usize,
    pub message_type: &'static str,
    pub listens: bool,
    /// It reads nothing before.
    pub asleep_until: Option<Instant>,
}

impl Receiver {
    pub fn reads(&self, now: Instant) -> bool {
        self.asleep_until.is_none_or(|until| until <= now)
    }
}

impl World {
    /// Apps that send write what there is room for.
    pub fn send_all(&mut self) -> bool {
        let mut busy = false;
        for app in self.senders.keys().copied().collect::<Vec<_>>() {
            let Some(sender) = self.senders.get(&app) else { continue };
            if sender.letters.is_empty() && sender.close_after.is_none() {
                continue;
            }
            let node = sender.node;
            if self.nodes[node].stopping {
                self.give_up(app);
                continue;
            }
            let Some(number) = sender.connection.or_else(|| Some(self.connect_app(app, node))) else { continue };
            busy |= self.write_letters(app, number);
        }
        busy
    }

    /// Its connector is gone: what it has not begun to write was never sent.
    fn give_up(&mut self, app: usize) {
        let Some(sender) = self.senders.get_mut(&app) else { return };
        sender.letters.truncate(usize::from(sender.written > 0));
        if sender.connection.is_none() {
            sender.letters.clear();
            if let Some(request) = sender.asks {
                self.model.end_request(request, Outcome::GivenUp);
                self.senders.remove(&app);
            }
        }
    }

    fn connect_app(&mut self, app: usize, node: usize) -> usize {
        let id = self.nodes[node].core.accept_app();
        let number = self.connect(Purpose::Send, [Owner::Sender(app), Owner::Core(node, id)]);
        if let Some(sender) = self.senders.get_mut(&app) {
            sender.connection = Some(number);
        }
        number
    }

    fn write_letters(&mut self, app: usize, number: usize) -> bool {
        let one_a_connection = !self.profile.preserve_send_socket;
        let (Some(sender), Some(connection)) = (self.senders.get_mut(&app), self.connections.get_mut(&number)) else {
            return false;
        };
        let mut busy = false;
        while let Some((message, bytes)) = sender.letters.front().filter(|_| sender.close_after != Some(0)) {
            if one_a_connection && connection.sides[0].frames_written > 0 {
                break;
            }
            let most = sender.close_after.unwrap_or(usize::MAX).min(bytes.len() - sender.written);
            let taken = connection.pipes[0].write(&bytes[sender.written..][..most], self.now, &mut self.rng);
            busy |= taken > 0;
            sender.written += taken;
            sender.close_after = sender.close_after.map(|left| left - taken);
            if sender.written < bytes.len() {
                break;
            }
            match *message {
                Some(message) => {
                    self.model.came(message, Place::InSocket(number));
                    self.model.messages[message].stream = number;
                }
                // Behind garbage nothing can be understood any more.
                None => sender.close_after = Some(0),
            }
            connection.sides[0].frames_written += 1;
            sender.written = 0;
            sender.letters.pop_front();
        }
        if sender.close_after == Some(0) {
            self.let_go(number, 0);
            return true;
        }
        busy
    }

    /// An app that receives reads.
    pub fn read_receiver(&mut self, number: usize, side: usize, app: usize) {
        let bytes = self.take(number, side);
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let seen = connection.sides[side].read.pass(&bytes);
        connection.sides[side].frames_read += seen.len();
        let frames = connection.sides[side].frames_read;
        assert!(self.profile.preserve_receive_socket || frames <= 1, "one message a connection, not {frames}");
        let (node, message_type) = (self.receivers[app].node, self.receivers[app].message_type);
        for Seen { message, bytes } in seen {
            let message = message.unwrap_or_else(|| panic!("an app got a message that no app has sent"));
            self.model.deliver(message, node, message_type, &bytes);
            self.think_of_answer(node, message, &bytes);
        }
    }

    fn think_of_answer(&mut self, node: usize, message: usize, bytes: &[u8]) {
        if self.model.messages[message].draft.request.is_some() && self.rng.u8(..8) > 0 {
            let header = Frame::parse(bytes).map(|f| f.header()).unwrap_or_default();
            let header: Value = serde_json::from_slice(header).unwrap_or_default();
            self.to_answer.push((node, message, header["request_id"].clone()));
        }
    }

    /// An app that asked reads its answer; one that did not must not get any.
    pub fn read_sender(&mut self, number: usize, side: usize, app: usize) {
        let bytes = self.take(number, side);
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let seen = connection.sides[side].read.pass(&bytes);
        let sender = &self.senders[&app];
        let (asks, pings) = (sender.asks, sender.pings);
        for Seen { message, bytes } in seen {
            let request = asks.unwrap_or_else(|| panic!("an app that asks nothing got an answer"));
            let frame = Frame::parse(&bytes).unwrap_or_else(|e| panic!("{e}"));
            let header: Value = serde_json::from_slice(frame.header()).unwrap_or_default();
            match (header["error"].as_str(), message) {
                (Some(error), _) => {
                    assert_eq!(error, "disconnected_during_wait");
                    self.model.end_request(request, Outcome::Error);
                }
                (None, Some(answer)) => self.model.answer(request, answer, &bytes),
                (None, None) => {
                    assert!(pings && header["message_type"] == "_ping", "an answer that nobody gave: {header}");
                    self.model.end_request(request, Outcome::Answered);
                }
            }
        }
        // It stays for a while, to see whether a second answer comes.
        let is_answered = asks.is_some_and(|request| self.model.requests[&request] != Outcome::Waiting);
        if is_answered && self.rng.bool() {
            self.let_go(number, side);
        }
    }
}
