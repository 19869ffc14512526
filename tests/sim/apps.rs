//! The apps that send and ask.

use std::collections::VecDeque;

use aioconnectors::wire::frame::Frame;
use aioconnectors::wire::header::Header;
use aioconnectors::wire::receipts::{Hello, Level, ToSender};
use serde_json::Value;

use crate::model::Outcome;
use crate::network::{Owner, Purpose};
use crate::tap::Seen;
use crate::world::World;

/// Streams from here on are sessions.
pub const SESSIONS: usize = 1 << 40;

/// What an app is to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The message of this number in the model.
    Message(usize),
    Garbage,
    /// That it wants receipts.
    Hello,
}

/// With the bytes of it.
pub type Letter = (What, Vec<u8>);

/// What an app that has receipts knows.
#[derive(Clone, Debug)]
pub struct Receipts {
    pub level: Level,
    /// It has a session, and sends again what has no receipt.
    pub session: bool,
    /// The level that the connector has granted on this connection.
    pub granted: Option<Level>,
    /// Its messages, of the session or else of the connection.
    pub log: Vec<usize>,
    /// So many of them have a receipt.
    pub passed: u64,
}

impl Receipts {
    pub fn new(level: Level, session: bool) -> Self {
        Self { level, session, granted: None, log: Vec::new(), passed: 0 }
    }

    fn has_open(&self) -> bool {
        self.session && (self.passed as usize) < self.log.len()
    }
}

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
    pub receipts: Option<Receipts>,
}

impl Sender {
    /// Its connection is gone; what it has not begun to write, it writes on the next. With a session it looks then.
    pub fn disconnected(&mut self) {
        (self.connection, self.close_after) = (None, None);
        if self.written > 0 {
            self.letters.pop_front();
            self.written = 0;
        }
        self.letters.retain(|(what, _)| *what != What::Hello);
        if let Some(receipts) = &mut self.receipts {
            receipts.granted = None;
            if receipts.session {
                self.letters.clear();
            } else {
                (receipts.log, receipts.passed) = (Vec::new(), 0);
            }
        }
    }

    pub fn has_session(&self) -> bool {
        self.receipts.as_ref().is_some_and(|r| r.session)
    }

    /// All that it wrote is read, or has its receipt.
    pub fn is_done(&self) -> bool {
        self.letters.is_empty() && self.receipts.as_ref().is_none_or(|r| !r.has_open())
    }

    /// It is to write a message.
    pub fn post(&mut self, number: usize, bytes: Vec<u8>) {
        if let Some(receipts) = self.receipts.as_mut().filter(|r| r.session) {
            receipts.log.push(number);
            if receipts.granted.is_none() {
                return;
            }
        }
        self.letters.push_back((What::Message(number), bytes));
    }
}

impl World {
    /// Apps that send write what there is room for.
    pub fn send_all(&mut self) -> bool {
        let mut busy = false;
        for app in self.senders.keys().copied().collect::<Vec<_>>() {
            let Some(sender) = self.senders.get(&app) else { continue };
            if sender.is_done() && sender.close_after.is_none() {
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

    /// Its connector is gone: what it has not begun to write was never sent, but in a session.
    fn give_up(&mut self, app: usize) {
        let Some(sender) = self.senders.get_mut(&app).filter(|s| !s.has_session()) else { return };
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
            if let Some(receipts) = &sender.receipts {
                let session = receipts.session.then(|| format!("session of {app}"));
                let hello = Hello { receipts: receipts.level, session };
                sender.letters.push_front((What::Hello, hello.encode()));
                if let Some(connection) = self.connections.get_mut(&number) {
                    connection.receipts = true;
                }
            }
        }
        number
    }

    fn write_letters(&mut self, app: usize, number: usize) -> bool {
        let (Some(sender), Some(connection)) = (self.senders.get_mut(&app), self.connections.get_mut(&number)) else {
            return false;
        };
        let one_a_connection = !self.profile.preserve_send_socket && sender.receipts.is_none();
        let mut busy = false;
        while let Some((what, bytes)) = sender.letters.front().filter(|_| sender.close_after != Some(0)) {
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
            match (*what, &mut sender.receipts) {
                (What::Message(_), Some(receipts)) if receipts.session => {}
                (What::Message(message), receipts) => {
                    self.model.messages[message].stream = number;
                    receipts.iter_mut().for_each(|r| r.log.push(message));
                }
                // Behind garbage nothing can be understood any more.
                (What::Garbage, _) => sender.close_after = Some(0),
                (What::Hello, _) => {}
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

    /// An app that asked reads its answer, one that wants receipts these; others must not get anything.
    pub fn read_sender(&mut self, number: usize, side: usize, app: usize) {
        let bytes = self.take(number, side);
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let seen = connection.sides[side].read.pass(&bytes);
        let sender = &self.senders[&app];
        let (asks, pings, has_receipts) = (sender.asks, sender.pings, sender.receipts.is_some());
        for Seen { message, bytes, .. } in seen {
            if has_receipts {
                self.read_receipt(app, &bytes);
                continue;
            }
            let request = asks.unwrap_or_else(|| panic!("an app that asks nothing got an answer"));
            let frame = Frame::parse(&bytes).unwrap_or_else(|e| panic!("{e}"));
            let header: Value = serde_json::from_slice(frame.header()).unwrap_or_default();
            match (header["error"].as_str(), message) {
                (Some(error), _) => {
                    assert!(["disconnected_during_wait", "stopping", "queue_full"].contains(&error), "{error}");
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

    fn read_receipt(&mut self, app: usize, bytes: &[u8]) {
        let frame = Frame::parse(bytes).unwrap_or_else(|e| panic!("{e}"));
        let header = Header::parse(frame.header()).unwrap_or_else(|e| panic!("{e}"));
        let said = ToSender::parse(&header, frame.header()).unwrap_or_else(|e| panic!("{e}"));
        let Some(sender) = self.senders.get_mut(&app) else { return };
        let node = &self.nodes[sender.node];
        let Some(receipts) = &mut sender.receipts else { return };
        match said {
            ToSender::Welcome(welcome) => {
                assert!(receipts.granted.is_none(), "one welcome a connection");
                assert_eq!(welcome.connector, node.id);
                assert_eq!(welcome.level, node.grants(receipts.level), "the level that is granted");
                assert_eq!(welcome.count.is_some(), receipts.session, "a session has a count");
                receipts.granted = Some(welcome.level);
                if let Some(count) = welcome.count {
                    if count < receipts.passed && node.forgets {
                        assert_eq!(count, 0, "it forgets all or nothing");
                        let open = receipts.log.split_off(receipts.passed as usize);
                        for number in &open {
                            self.model.messages[*number].spare += 1;
                        }
                        (receipts.log, receipts.passed) = (open, 0);
                    } else if node.set_back {
                        receipts.passed = count.min(receipts.passed);
                    }
                    self.passed(app, welcome.level, count);
                    self.write_behind(app, count);
                }
            }
            ToSender::Receipt(receipt) => {
                assert_eq!(Some(receipt.level), receipts.granted, "receipts are of the level that was granted");
                assert!(receipt.count > receipts.passed || receipts.session, "a receipt says something new");
                self.passed(app, receipt.level, receipt.count);
            }
            ToSender::Refused(refused) => {
                let number = receipts.log[refused.index as usize - 1];
                self.model.messages[number].refused = true;
            }
        }
    }

    fn passed(&mut self, app: usize, level: Level, count: u64) {
        let Some(receipts) = self.senders.get_mut(&app).and_then(|s| s.receipts.as_mut()) else { return };
        assert!(count <= receipts.log.len() as u64, "no more receipts than messages: {count}, {receipts:?}");
        assert!(count >= receipts.passed, "what has a receipt keeps it: {count}, {receipts:?}");
        let new = receipts.log[receipts.passed as usize..count as usize].to_vec();
        receipts.passed = count;
        for number in new {
            if !self.model.messages[number].refused {
                self.model.promise(number, level);
            }
        }
    }

    /// A session goes on behind so many messages.
    fn write_behind(&mut self, app: usize, count: u64) {
        let Some(sender) = self.senders.get_mut(&app) else { return };
        let Some(receipts) = &sender.receipts else { return };
        for number in &receipts.log[count as usize..] {
            let bytes = self.model.messages[*number].draft.encode(*number);
            sender.letters.push_back((What::Message(*number), bytes));
        }
    }
}
