//! The simulated network: byte streams that arrive late, in pieces cut at random places, with limited room.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use aioconnectors::core::Id;
use fastrand::Rng;

use crate::tap::Tap;

/// One direction of a connection.
#[derive(Debug)]
pub struct Pipe {
    flying: VecDeque<(Instant, Vec<u8>)>,
    arrived: Vec<u8>,
    /// What lies before it in `arrived` was read.
    start: usize,
    /// Bytes of both.
    held: usize,
    /// Bytes that have arrived since the beginning.
    pub arrived_total: u64,
    capacity: usize,
    delay_ms: Range<u64>,
    /// When the piece that was written last arrives: a stream keeps its order.
    last: Instant,
    /// The writer has closed: the end comes behind what was written.
    pub ended: bool,
    /// The reader has closed: all that is written vanishes.
    pub void: bool,
    /// The wire is cut: nothing arrives any more, and the room is used up by what is never confirmed.
    pub cut: bool,
}

impl Pipe {
    pub fn new(capacity: usize, delay_ms: Range<u64>, now: Instant) -> Self {
        let (flying, arrived) = (VecDeque::new(), Vec::new());
        Self {
            flying,
            arrived,
            start: 0,
            held: 0,
            arrived_total: 0,
            capacity,
            delay_ms,
            last: now,
            ended: false,
            void: false,
            cut: false,
        }
    }

    /// Takes what there is room for, in pieces that arrive at different times; how many bytes.
    pub fn write(&mut self, bytes: &[u8], now: Instant, rng: &mut Rng) -> usize {
        if self.void {
            return bytes.len();
        }
        let mut count = bytes.len().min(self.capacity - self.held);
        if count > 1 && rng.u8(..8) == 0 {
            count = rng.usize(1..count);
        }
        self.held += count;
        if self.cut {
            return count;
        }
        let mut rest = &bytes[..count];
        while !rest.is_empty() {
            let size = if rng.bool() { rest.len() } else { rng.usize(1..=rest.len()) };
            let (piece, behind) = rest.split_at(size);
            let delay = if self.delay_ms.is_empty() { 0 } else { rng.u64(self.delay_ms.clone()) };
            self.last = self.last.max(now + Duration::from_millis(delay));
            self.flying.push_back((self.last, piece.to_vec()));
            rest = behind;
        }
        count
    }

    /// Lets what is due arrive.
    pub fn arrive(&mut self, now: Instant) {
        while self.flying.front().is_some_and(|(at, _)| *at <= now) {
            let (_, piece) = self.flying.pop_front().unwrap_or_else(|| unreachable!("it was just seen"));
            self.arrived_total += piece.len() as u64;
            self.arrived.extend_from_slice(&piece);
        }
    }

    pub fn next_arrival(&self) -> Option<Instant> {
        self.flying.front().map(|(at, _)| *at)
    }

    /// Takes up to `most` bytes that arrived.
    pub fn read(&mut self, most: usize) -> Vec<u8> {
        let count = most.min(self.arrived.len() - self.start);
        self.held -= count;
        let bytes = self.arrived[self.start..][..count].to_vec();
        self.start += count;
        if !self.is_readable() {
            self.arrived.clear();
            self.start = 0;
        }
        bytes
    }

    pub fn is_readable(&self) -> bool {
        self.start < self.arrived.len()
    }

    pub fn has_room(&self) -> bool {
        self.void || self.held < self.capacity
    }

    pub fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// All that was written was read, and nothing more comes.
    pub fn is_at_end(&self) -> bool {
        self.ended && !self.cut && self.flying.is_empty() && !self.is_readable()
    }

    /// Loses what is on its way.
    pub fn lose(&mut self) {
        self.flying.clear();
        self.arrived.clear();
        (self.start, self.held) = (0, 0);
    }
}

/// Who is at an end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A connector, which knows the connection by this id.
    Core(usize, Id),
    /// An app that sends.
    Sender(usize),
    /// An app that receives.
    Receiver(usize),
    /// Somebody who connects to a server and says nothing of use.
    Stranger,
    /// It has closed.
    Nobody,
}

/// One end of a connection.
#[derive(Debug)]
pub struct Side {
    pub owner: Owner,
    /// The core takes no more for now.
    pub paused: bool,
    /// The last write was taken whole.
    pub writable: bool,
    /// The core knows whose link it is.
    pub identified: bool,
    /// The core looks at nothing that comes any more.
    pub discarding: bool,
    /// When this side learns that the connection is cut.
    pub notice_at: Option<Instant>,
    /// Messages that were read last, of which the core may have put some back.
    pub unsure: Vec<usize>,
    /// Whole frames that an app has written.
    pub frames_written: usize,
    pub read: Tap,
    pub written: Tap,
    /// A connector wrote these messages whole: of each how far from the beginning it ends, and what was written with it.
    pub handed: Vec<(usize, u64, u64)>,
    /// Bytes that a connector has written.
    pub written_total: u64,
    /// The app that receives has acknowledged so many of them, and the connector has read that.
    pub acknowledged: u64,
    /// The connector has read that the app acknowledges.
    pub hello_read: bool,
}

impl Side {
    pub fn new(owner: Owner) -> Self {
        Self {
            owner,
            paused: false,
            writable: true,
            identified: false,
            discarding: false,
            notice_at: None,
            unsure: Vec::new(),
            frames_written: 0,
            read: Tap::default(),
            written: Tap::default(),
            handed: Vec::new(),
            written_total: 0,
            acknowledged: 0,
            hello_read: false,
        }
    }
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Two connectors; the client is this node. Of the first kind, where one of them knows no other.
    Link { client: usize, first_kind: bool },
    /// An app sends to its connector.
    Send,
    /// A connector hands messages to an app.
    Receive,
}

/// A connection: what side 0 writes into pipe 0, side 1 reads.
#[derive(Debug)]
pub struct Connection {
    pub purpose: Purpose,
    pub sides: [Side; 2],
    pub pipes: [Pipe; 2],
    /// What becomes of the messages on it, now that it has ended, was thought of.
    pub settled: bool,
    /// The app that sends on it wants receipts.
    pub receipts: bool,
}

impl Connection {
    pub fn new(purpose: Purpose, owners: [Owner; 2], pipes: [Pipe; 2]) -> Self {
        Self { purpose, sides: owners.map(Side::new), pipes, settled: false, receipts: false }
    }

    /// Loses all that is on its way; each side learns of it at a time of its own.
    pub fn cut(&mut self, notice: [Instant; 2]) {
        for (index, pipe) in self.pipes.iter_mut().enumerate() {
            pipe.lose();
            pipe.cut = true;
            self.sides[index].notice_at = Some(notice[index]);
        }
    }

    pub fn is_cut(&self) -> bool {
        self.pipes[0].cut
    }

    /// One side lets go: what it wrote still arrives, what it has not read is lost.
    pub fn close(&mut self, side: usize) {
        self.sides[side].owner = Owner::Nobody;
        self.pipes[side].ended = true;
        self.pipes[1 - side].lose();
        self.pipes[1 - side].void = true;
    }

    pub fn has_ended(&self) -> bool {
        self.is_cut() || self.sides.iter().any(|side| side.owner == Owner::Nobody)
    }

    pub fn is_over(&self) -> bool {
        self.sides.iter().all(|side| side.owner == Owner::Nobody)
    }
}
