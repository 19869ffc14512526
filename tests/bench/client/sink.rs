//! The app that counts.

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::PATIENCE;
use super::block::Number;
use super::connection::{Connection, Place};
use super::speech::{Heard, Speech};
use crate::{Failure, cpu};

/// Between two looks at what cannot be waited for.
const LOOK: Duration = Duration::from_millis(1);

/// What has arrived.
pub struct Counted {
    pub received: u64,
    pub out_of_order: u64,
    /// When the first message came.
    pub begin: Option<Instant>,
    /// When the last message came.
    pub end: Instant,
    pub cpu: Duration,
}

/// Where messages come out; it keeps its connection from one repeat to the next.
pub struct Sink {
    /// To connectors apps listen; to others they connect.
    door: Result<UnixListener, Place>,
    speech: Speech,
    connection: Option<Connection>,
}

/// What is expected: so many messages of so many senders each, in this repeat.
pub struct Expected {
    pub lanes: usize,
    pub round: u16,
    pub count: u64,
}

impl Sink {
    /// An app that a connector connects to.
    pub fn listen(path: &Path) -> Result<Self, Failure> {
        let listener = UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        Ok(Self { door: Ok(listener), speech: Speech::frames(""), connection: None })
    }

    /// An app that connects to a broker, and subscribes.
    pub fn subscribe(place: Place, speech: Speech) -> Result<Self, Failure> {
        let connection = Connection::open(&place, &speech, true)?;
        Ok(Self { door: Err(place), speech, connection: Some(connection) })
    }

    /// Counts the messages of one sender that has no other repeats, until the last one has come.
    pub fn count(&mut self, count: u64) -> Result<Counted, Failure> {
        self.count_all(&Expected { lanes: 1, round: 0, count })
    }

    /// Counts until the last message of each sender has come, or nothing comes any more.
    pub fn count_all(&mut self, expected: &Expected) -> Result<Counted, Failure> {
        let begin = cpu::thread();
        let mut tally = Tally::new(expected);
        while tally.left > 0 && self.read(PATIENCE)? {
            let Some(connection) = &mut self.connection else { continue };
            tally.take(connection)?;
        }
        let mut counted = tally.counted;
        counted.cpu = cpu::thread() - begin;
        Ok(counted)
    }

    /// Whether anything comes within `time`.
    pub fn wait_probe(&mut self, time: Duration) -> Result<bool, Failure> {
        let expected = Expected { lanes: 0, round: 0, count: 0 };
        let start = Instant::now();
        while start.elapsed() < time {
            let mut tally = Tally::new(&expected);
            if self.read(time)?
                && let Some(connection) = &mut self.connection
            {
                tally.take(connection)?;
                if tally.probes > 0 {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Reads once; `false` when nothing comes for so long. A connection that has ended is made again.
    fn read(&mut self, patience: Duration) -> Result<bool, Failure> {
        let start = Instant::now();
        while start.elapsed() < patience {
            match &mut self.connection {
                None => self.connection = self.connect()?,
                Some(connection) => {
                    connection.set_patience(patience)?;
                    match connection.read() {
                        Ok(came) => return Ok(came),
                        Err(_) => self.connection = None,
                    }
                }
            }
        }
        Ok(false)
    }

    fn connect(&self) -> Result<Option<Connection>, Failure> {
        match &self.door {
            Ok(door) => Connection::accept(door, &self.speech),
            Err(place) => {
                thread::sleep(LOOK);
                Connection::open(place, &self.speech, true).map(Some)
            }
        }
    }
}

/// How far a count has come.
struct Tally {
    counted: Counted,
    round: u16,
    count: u64,
    /// The next number of each sender.
    next: Vec<u64>,
    /// Senders whose last message has not come.
    left: usize,
    probes: u64,
    acknowledgements: Vec<u8>,
}

impl Tally {
    fn new(expected: &Expected) -> Self {
        let counted = Counted { received: 0, out_of_order: 0, begin: None, end: Instant::now(), cpu: Duration::ZERO };
        let Expected { lanes, round, count } = *expected;
        Self { counted, round, count, next: vec![0; lanes], left: lanes, probes: 0, acknowledgements: Vec::new() }
    }

    /// Counts what has been read, and acknowledges it where that is wanted.
    fn take(&mut self, from: &mut Connection) -> Result<(), Failure> {
        let mut pings = 0;
        let before = self.counted.received;
        while let Some((heard, data)) = from.hear()? {
            match heard {
                Heard::Message { packet, .. } => {
                    if let Some(packet) = packet {
                        self.acknowledgements.extend_from_slice(&Speech::acknowledgement(packet));
                    }
                    self.message(data);
                }
                Heard::Ping => pings += 1,
                _ => {}
            }
        }
        if self.counted.received > before {
            self.counted.end = Instant::now();
            self.counted.begin.get_or_insert(self.counted.end);
        }
        if !self.acknowledgements.is_empty() {
            from.write(&self.acknowledgements)?;
            self.acknowledgements.clear();
        }
        for _ in 0..pings {
            from.write(b"PONG\r\n")?;
        }
        Ok(())
    }

    #[inline]
    fn message(&mut self, data: &[u8]) {
        let Some(number) = Number::of(data) else { return };
        let next = match self.next.get_mut(usize::from(number.lane)) {
            Some(next) if number.round == self.round => next,
            // Late, of a repeat before this one, or only trying the way.
            _ => {
                self.probes += u64::from(number == Number::PROBE);
                return;
            }
        };
        self.counted.received += 1;
        self.counted.out_of_order += u64::from(number.at != *next);
        let was_left = *next < self.count;
        // What comes a second time takes nothing back.
        *next = (*next).max(number.at + 1);
        self.left -= usize::from(was_left && *next >= self.count);
    }
}
