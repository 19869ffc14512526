//! A pair of connectors, one of which is stopped with messages in its queue, and what becomes of them when it starts again.

use std::ops::Range;
use std::path::PathBuf;

use fastrand::Rng;

use crate::common::Setup;
use crate::files::{self, RingFile};
use crate::message::Route;
use crate::pair::{Pair, Security};
use crate::receiver::{Manner, Receiver};
use crate::seed::Seed;
use crate::session::Session;
use crate::tally::Tally;

/// Messages in a queue when it is spoilt.
pub const STORED: u64 = 300;

/// Messages that come after it.
const LATER: u64 = 50;

/// Which queue it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// The client's, towards the server.
    Outbox,
    /// The server's, towards its app.
    Inbox,
}

/// Two connectors, one of which was stopped with messages in its queue.
pub struct Stopped {
    pub queue: Queue,
    pub pair: Pair,
    pub route: Route,
    /// Messages that were sent so far.
    pub count: u64,
    pub random: Rng,
    _seed: Seed,
}

/// What came after a file was spoilt.
pub struct Outcome {
    pub queue: Queue,
    pub tally: Tally,
    pub sent: u64,
    /// Names of files that were put aside.
    pub aside: Vec<String>,
    /// Complaints of the connector whose file was spoilt.
    pub complaints: Vec<String>,
}

impl Stopped {
    #[track_caller]
    pub fn with_messages(test: &'static str, queue: Queue, change: impl Fn(Setup) -> Setup) -> Stopped {
        let seed = Seed::new(test);
        let mut pair = Pair::start_with(Security::Plain, change);
        let route = Route::new("any", &pair.client.setup, &pair.server.setup);
        if queue == Queue::Outbox {
            pair.server.kill();
        }
        let level = if queue == Queue::Outbox { "stored" } else { "delivered" };
        let session = Session::new("first", level, pair.client.setup.send_socket(), route.clone());
        session.send_to(STORED);
        match queue {
            Queue::Outbox => pair.client.kill(),
            Queue::Inbox => pair.server.kill(),
        }
        Stopped { queue, pair, route, count: STORED, random: seed.random(), _seed: seed }
    }

    /// The file of the queue.
    pub fn ring(&self) -> RingFile {
        match self.queue {
            Queue::Outbox => RingFile::find(&self.spool(), "send_"),
            Queue::Inbox => RingFile::find(&self.spool(), "recv_"),
        }
    }

    /// The folder of the queue.
    pub fn spool(&self) -> PathBuf {
        match self.queue {
            Queue::Outbox => self.pair.client.spool(),
            Queue::Inbox => self.pair.server.spool(),
        }
    }

    /// Messages that come after those in the queue.
    fn later(&self, level: &'static str) -> Session {
        let route = self.route.clone().numbered_from(self.count);
        Session::new("later", level, self.pair.client.setup.send_socket(), route)
    }

    /// Starts all again, has some more stored behind what was there, and then all delivered.
    #[track_caller]
    pub fn go_on(mut self) -> Outcome {
        if self.queue == Queue::Outbox {
            self.pair.client.start_again();
            self.later("stored").send_to(LATER);
            self.pair.server.start_again();
        } else {
            self.pair.server.start_again();
            self.later("delivered").send_to(LATER);
        }
        let receiver = self.receiver();
        self.finish(&receiver)
    }

    /// Starts all again, waits until what was there has come, and only then sends some more.
    #[track_caller]
    pub fn drain_and_go_on(mut self) -> Outcome {
        let receiver = self.receiver();
        self.pair.server.start_again();
        if self.queue == Queue::Outbox {
            self.pair.client.start_again();
        }
        receiver.wait_number(self.count - 1);
        self.pair.wait_empty();
        self.later("delivered").send_to(LATER);
        self.finish(&receiver)
    }

    #[track_caller]
    fn receiver(&self) -> Receiver {
        Receiver::listen(self.pair.server.setup.receive_socket("any"), Manner::Resumes)
    }

    #[track_caller]
    fn finish(mut self, receiver: &Receiver) -> Outcome {
        receiver.wait_number(self.count + LATER - 1);
        self.pair.wait_empty();
        self.pair.assert_sound();
        receiver.assert_no_complaints();
        let Pair { client, server, .. } = &self.pair;
        let spoilt = if self.queue == Queue::Outbox { client } else { server };
        let outcome = Outcome {
            queue: self.queue,
            tally: receiver.tally(),
            sent: self.count + LATER,
            aside: files::put_aside(&spoilt.spool()).iter().map(|path| files::name(path)).collect(),
            complaints: spoilt.process.complaints(),
        };
        outcome.tally.assert_order(outcome.sent);
        outcome
    }
}

impl Outcome {
    #[track_caller]
    pub fn assert_exact(&self) {
        self.tally.assert_exact(self.sent);
        assert!(self.aside.is_empty(), "{:?}", self.aside);
    }

    /// These messages are missing, no others; a copy of the file is kept, and one line says so.
    #[track_caller]
    pub fn assert_lost(&self, lost: Range<u64>) {
        let all = self.tally.describe(self.sent);
        assert_eq!(self.tally.lost(self.sent), [lost], "{all}\n{:#?}", self.complaints);
        // An inbox with a gap counts anew, so its app is given again what it has not acknowledged.
        assert!(self.tally.twice == 0 || self.queue == Queue::Inbox && self.tally.twice < STORED, "{all}");
        self.assert_put_aside();
    }

    #[track_caller]
    pub fn assert_put_aside(&self) {
        assert_eq!(self.aside.len(), 1, "one file is put aside: {:?}\n{:#?}", self.aside, self.complaints);
        let lines: Vec<_> = self.complaints.iter().filter(|line| line.contains(&self.aside[0])).collect();
        assert_eq!(lines.len(), 1, "one line says that {} was put aside: {:#?}", self.aside[0], self.complaints);
    }
}
