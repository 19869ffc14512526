//! Apps that count: as many sockets as there are types, in one thread.

use std::io::{ErrorKind, Read};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use mio::net::{UnixListener, UnixStream};
use mio::{Events, Interest, Poll, Token};

use crate::Failure;
use crate::client::{Heard, Number, Speech};

/// Read at once, bytes.
const READ: usize = 1024 * 1024;

/// What has come.
pub struct Counted {
    pub received: u64,
    /// Messages that were not the next of their stream.
    pub out_of_order: u64,
    /// When the first message came, and the last one.
    pub begin: Instant,
    pub end: Instant,
}

/// Doors that connectors connect to, and the connections.
pub struct Counter {
    poll: Poll,
    doors: Vec<UnixListener>,
    connections: Vec<Connection>,
    buffer: Vec<u8>,
}

struct Connection {
    stream: UnixStream,
    /// The beginning of a frame whose rest has not come.
    rest: Vec<u8>,
}

impl Counter {
    pub fn listen(paths: &[PathBuf]) -> Result<Self, Failure> {
        let (poll, mut doors) = (Poll::new()?, Vec::new());
        for (at, path) in paths.iter().enumerate() {
            let mut door = UnixListener::bind(path)?;
            poll.registry().register(&mut door, Token(at), Interest::READABLE)?;
            doors.push(door);
        }
        Ok(Self { poll, doors, connections: Vec::new(), buffer: vec![0; READ] })
    }

    /// Counts `count` messages of so many streams that have this `lane`, until all have come or none comes for `patience`.
    pub fn count(&mut self, lane: u8, streams: usize, count: u64, patience: Duration) -> Result<Counted, Failure> {
        let now = Instant::now();
        let mut tally = Tally { lane, next: vec![0; streams], received: 0, out_of_order: 0 };
        let (mut events, mut begin, mut end) = (Events::with_capacity(1024), None, now);
        while tally.received < count && end.elapsed() < patience {
            self.poll.poll(&mut events, Some(patience))?;
            let before = tally.received;
            for event in &events {
                let Token(token) = event.token();
                match token.checked_sub(self.doors.len()) {
                    None => self.accept(token)?,
                    Some(connection) => self.connections[connection].read(&mut self.buffer, &mut tally)?,
                }
            }
            if tally.received > before {
                end = Instant::now();
                begin.get_or_insert(end);
            }
        }
        let Tally { received, out_of_order, .. } = tally;
        Ok(Counted { received, out_of_order, begin: begin.unwrap_or(now), end })
    }

    fn accept(&mut self, door: usize) -> Result<(), Failure> {
        loop {
            match self.doors[door].accept() {
                Ok((mut stream, _)) => {
                    let token = Token(self.doors.len() + self.connections.len());
                    self.poll.registry().register(&mut stream, token, Interest::READABLE)?;
                    self.connections.push(Connection { stream, rest: Vec::new() });
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e.into()),
            }
        }
    }
}

impl Connection {
    /// Reads all that is there. A connection that has ended is read no more.
    fn read(&mut self, buffer: &mut [u8], tally: &mut Tally) -> Result<(), Failure> {
        loop {
            let kept = self.rest.len();
            buffer[..kept].copy_from_slice(&self.rest);
            let end = match self.stream.read(&mut buffer[kept..]) {
                Ok(0) => return Ok(()),
                Ok(n) => kept + n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e.into()),
            };
            let taken = tally.take(&buffer[..end])?;
            self.rest.clear();
            self.rest.extend_from_slice(&buffer[taken..end]);
        }
    }
}

struct Tally {
    lane: u8,
    /// The next number of each stream.
    next: Vec<u64>,
    received: u64,
    out_of_order: u64,
}

impl Tally {
    /// Counts the frames that are whole; how many bytes they are.
    fn take(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        let (speech, mut taken) = (Speech::frames(""), 0);
        while let Some((size, Heard::Message { data, .. })) = speech.hear(&bytes[taken..])? {
            self.message(&bytes[taken..][data]);
            taken += size;
        }
        Ok(taken)
    }

    fn message(&mut self, data: &[u8]) {
        let Some(number) = Number::of(data).filter(|number| number.lane == self.lane) else { return };
        let Some(next) = self.next.get_mut(usize::from(number.round)) else { return };
        self.received += 1;
        self.out_of_order += u64::from(number.at != *next);
        *next = number.at + 1;
    }
}
