//! The apps that receive: those that say nothing, those that acknowledge, and those that know by number what they had.

use std::time::Instant;

use aioconnectors::wire::frame::Frame;
use aioconnectors::wire::header::Header;
use aioconnectors::wire::receipts::{FromReceiver, ReceiverWelcome};
use serde_json::Value;

use crate::network::{Owner, Purpose};
use crate::tap::Seen;
use crate::world::World;

/// What an app that receives says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Nothing.
    Silent,
    /// What it is done with.
    Acknowledges,
    /// The same, and it passes over what it had already.
    Resumes,
}

/// One connection of such an app.
#[derive(Debug, Default)]
pub struct Visit {
    pub number: usize,
    /// What it has to write.
    out: Vec<u8>,
    welcome: Option<ReceiverWelcome>,
    /// Messages that came before the welcome.
    early: Vec<(usize, Vec<u8>)>,
    /// Messages that it has dealt with.
    pub done: u64,
    /// Those of them that it has acknowledged.
    acknowledged: u64,
}

/// An app that receives one type of message.
#[derive(Debug)]
pub struct Receiver {
    pub node: usize,
    pub message_type: &'static str,
    pub manner: Manner,
    pub listens: bool,
    /// It reads nothing before.
    pub asleep_until: Option<Instant>,
    /// The inbox that it knows, and the number of the last message that it had of it.
    pub had: Option<(u64, u64)>,
    pub visits: Vec<Visit>,
}

impl Receiver {
    pub fn new(node: usize, message_type: &'static str, manner: Manner) -> Self {
        Self { node, message_type, manner, listens: true, asleep_until: None, had: None, visits: Vec::new() }
    }

    pub fn reads(&self, now: Instant) -> bool {
        self.asleep_until.is_none_or(|until| until <= now)
    }

    /// A connector has connected.
    pub fn visited(&mut self, number: usize) {
        let mut visit = Visit { number, ..Visit::default() };
        if self.manner != Manner::Silent {
            visit.out = FromReceiver::Acknowledges { resume: self.manner == Manner::Resumes }.encode();
        }
        self.visits.push(visit);
    }

    /// Whether it takes a message as new, which has this place on the connection.
    fn is_new(&mut self, visit: usize) -> bool {
        let visit = &mut self.visits[visit];
        visit.done += 1;
        let Some(welcome) = visit.welcome else { return true };
        let number = welcome.count + visit.done;
        let is_new = self.had.is_none_or(|(inbox, had)| inbox != welcome.inbox || had < number);
        if is_new {
            self.had = Some((welcome.inbox, number));
        }
        is_new
    }
}

impl World {
    /// Apps that receive write what they have to say.
    pub fn acknowledge_all(&mut self) -> bool {
        let mut busy = false;
        for app in 0..self.receivers.len() {
            let receiver = &mut self.receivers[app];
            if receiver.manner == Manner::Silent || !receiver.reads(self.now) {
                continue;
            }
            for visit in &mut receiver.visits {
                let Some(connection) = self.connections.get_mut(&visit.number) else { continue };
                let is_due = self.fair_weather || self.rng.u8(..4) == 0;
                if visit.done > visit.acknowledged && is_due {
                    visit.acknowledged = visit.done;
                    visit.out.extend(FromReceiver::Done(visit.done).encode());
                }
                if visit.out.is_empty() {
                    continue;
                }
                let taken = connection.pipes[1].write(&visit.out, self.now, &mut self.rng);
                visit.out.drain(..taken);
                busy |= taken > 0;
            }
        }
        busy
    }

    /// An app that receives reads.
    pub fn read_receiver(&mut self, number: usize, side: usize, app: usize) {
        let bytes = self.take(number, side);
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let seen = connection.sides[side].read.pass(&bytes);
        let Some(visit) = self.receivers[app].visits.iter().position(|v| v.number == number) else { return };
        for Seen { message, bytes, .. } in seen {
            let Some(message) = message else {
                self.welcomed(app, visit, &bytes);
                continue;
            };
            let receiver = &mut self.receivers[app];
            if receiver.manner == Manner::Resumes && receiver.visits[visit].welcome.is_none() {
                receiver.visits[visit].early.push((message, bytes));
            } else {
                self.receive(app, visit, message, &bytes);
            }
        }
        let done = self.receivers[app].visits[visit].done;
        assert!(self.profile.preserve_receive_socket || done <= 1, "one message a connection, not {done}");
    }

    fn welcomed(&mut self, app: usize, visit: usize, bytes: &[u8]) {
        assert_eq!(self.receivers[app].manner, Manner::Resumes, "a welcome is for those who asked for it");
        let frame = Frame::parse(bytes).unwrap_or_else(|e| panic!("{e}"));
        let header = Header::parse(frame.header()).unwrap_or_else(|e| panic!("{e}"));
        let welcome = ReceiverWelcome::parse(&header, frame.header()).unwrap_or_else(|e| panic!("{e}"));
        let entry = &mut self.receivers[app].visits[visit];
        assert_eq!(entry.welcome, None, "one welcome a connection");
        entry.welcome = Some(welcome);
        for (message, bytes) in std::mem::take(&mut entry.early) {
            self.receive(app, visit, message, &bytes);
        }
    }

    fn receive(&mut self, app: usize, visit: usize, message: usize, bytes: &[u8]) {
        let receiver = &mut self.receivers[app];
        let (node, message_type) = (receiver.node, receiver.message_type);
        let message = self.model.seen_at(message, node);
        let (on, is_new) = (receiver.visits[visit].number, receiver.is_new(visit));
        self.say(&format_args!("{message_type} of {node} gets {message} on {on}, new: {is_new}"));
        if is_new {
            self.model.deliver(message, node, message_type, bytes);
            self.think_of_answer(node, message, bytes);
        } else {
            // It comes again: its file may be gone.
            let whole = self.model.whole_of(message);
            let _error = self.model.messages[message].draft.check(whole, bytes);
            let delivered = self.model.messages[message].delivered;
            let wild = self.model.messages[message].wild;
            assert!(delivered > 0 || wild, "message {message} has a number that was used before");
        }
    }

    fn think_of_answer(&mut self, node: usize, message: usize, bytes: &[u8]) {
        if self.model.messages[message].draft.request.is_some() && self.rng.u8(..8) > 0 {
            let header = Frame::parse(bytes).map(|f| f.header()).unwrap_or_default();
            let header: Value = serde_json::from_slice(header).unwrap_or_default();
            self.to_answer.push((node, message, header["request_id"].clone()));
        }
    }

    /// A connection with an app that receives ends; `by_app` says who ends it first.
    pub fn visit_over(&mut self, number: usize) {
        let Some(connection) = self.connections.get(&number) else { return };
        let Owner::Core(node, _) = connection.sides[0].owner else { return };
        let stopping = self.nodes[node].stopping;
        let core = &connection.sides[0];
        let receiver = self.receivers.iter().find(|r| r.visits.iter().any(|v| v.number == number));
        let manner = receiver.map_or(Manner::Silent, |r| r.manner);
        let known = if core.hello_read && !stopping { core.acknowledged as usize } else { 0 };
        for (message, ..) in &core.handed[known.min(core.handed.len())..] {
            self.model.messages[*message].spare += u32::from(manner == Manner::Acknowledges);
        }
    }

    /// The app itself lets go of a connection: what it has not read is lost, unless the connector waits for its word.
    pub fn visitor_leaves(&mut self, number: usize, app: usize) {
        let receiver = &mut self.receivers[app];
        let manner = receiver.manner;
        let Some(at) = receiver.visits.iter().position(|v| v.number == number) else { return };
        let visit = receiver.visits.remove(at);
        let Some(connection) = self.connections.get(&number) else { return };
        assert_eq!(connection.purpose, Purpose::Receive);
        let core = &connection.sides[0];
        let stopping = self.nodes[receiver.node].stopping;
        if manner == Manner::Silent || !core.hello_read || stopping {
            for (message, ..) in core.handed.iter().skip(visit.done as usize) {
                self.model.messages[*message].excused.1 = true;
            }
        }
    }
}
