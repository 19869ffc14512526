//! The two apps: one blasts numbered frames, one counts them.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use aioconnectors::wire::frame::encode;

use crate::{Failure, cpu};

/// Written at once, bytes at least.
const BLOCK: usize = 256 * 1024;

/// Read at once, bytes.
const READ: usize = 1024 * 1024;

/// Without a message for so long, the rest is lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// What an app has to say when it is done.
pub struct Sent {
    pub cpu: Duration,
}

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

/// Frames of one size, whose data begins with a number.
struct Block {
    bytes: Vec<u8>,
    frame: usize,
    number_at: usize,
}

impl Block {
    fn new(header: &str, data: usize) -> Result<Self, Failure> {
        let mut one = Vec::new();
        encode(header.as_bytes(), &vec![b'.'; data], None, &mut one)?;
        let count = BLOCK.div_ceil(one.len());
        Ok(Self { number_at: one.len() - data, frame: one.len(), bytes: one.repeat(count) })
    }

    fn frames(&self) -> u64 {
        (self.bytes.len() / self.frame) as u64
    }

    /// The first `count` frames, numbered from `first`.
    fn numbered(&mut self, first: u64, count: u64) -> &[u8] {
        let end = self.frame * count as usize;
        for (number, frame) in (first..).zip(self.bytes[..end].chunks_exact_mut(self.frame)) {
            frame[self.number_at..self.number_at + 8].copy_from_slice(&number.to_le_bytes());
        }
        &self.bytes[..end]
    }
}

/// Writes `count` frames to the socket at `path`, on one connection, as fast as they are taken.
pub fn blast(path: &Path, header: &str, data: usize, count: u64) -> Result<Sent, Failure> {
    let begin = cpu::thread();
    let mut block = Block::new(header, data)?;
    let mut stream = UnixStream::connect(path)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut next = 0;
    while next < count {
        let frames = block.frames().min(count - next);
        stream.write_all(block.numbered(next, frames))?;
        next += frames;
    }
    Ok(Sent { cpu: cpu::thread() - begin })
}

/// The socket that messages come out of; it keeps its connection from one repeat to the next, as the connector does.
pub struct Counter {
    listener: UnixListener,
    stream: Option<UnixStream>,
    buffer: Vec<u8>,
}

impl Counter {
    pub fn listen(path: &Path) -> Result<Self, Failure> {
        let listener = UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, stream: None, buffer: vec![0; READ] })
    }

    /// Counts frames until the one numbered `count - 1` has come.
    pub fn count(&mut self, count: u64) -> Result<Counted, Failure> {
        let begin = cpu::thread();
        let mut counted =
            Counted { received: 0, out_of_order: 0, begin: None, end: Instant::now(), cpu: Duration::ZERO };
        let (mut kept, mut expected) = (0, 0);
        while expected < count {
            let Some(read) = self.read(kept)? else { break };
            let have = kept + read;
            let mut at = 0;
            while let Some((size, number)) = frame_at(&self.buffer[at..have]) {
                counted.received += 1;
                counted.out_of_order += u64::from(number != expected);
                expected = number + 1;
                at += size;
            }
            self.buffer.copy_within(at..have, 0);
            kept = have - at;
            counted.end = Instant::now();
            counted.begin.get_or_insert(counted.end);
        }
        counted.cpu = cpu::thread() - begin;
        Ok(counted)
    }

    /// Reads behind the `kept` bytes; `None` when nothing comes any more.
    fn read(&mut self, kept: usize) -> Result<Option<usize>, Failure> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let Some(stream) = &mut self.stream else {
                self.stream = self.accept()?;
                continue;
            };
            match stream.read(&mut self.buffer[kept..]) {
                Ok(0) if kept > 0 => return Err("the connection ended within a frame".into()),
                Ok(0) => self.stream = None,
                Ok(n) => return Ok(Some(n)),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(None)
    }

    fn accept(&mut self) -> Result<Option<UnixStream>, Failure> {
        match self.listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                Ok(Some(stream))
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                thread::sleep(Duration::from_millis(1));
                Ok(None)
            }
            Err(e) => Err(e.into()),
        }
    }
}

/// The size of the whole frame that `bytes` begin with, and the number in its data. Trusts its lengths: both ends are
/// ours, and this must cost next to nothing.
fn frame_at(bytes: &[u8]) -> Option<(usize, u64)> {
    let size = 4 + u32::from_le_bytes(*bytes.first_chunk()?) as usize;
    let frame = bytes.get(..size)?;
    let header = usize::from(u16::from_le_bytes([frame[4], frame[5]]));
    let number = frame[6 + header + 4..].first_chunk()?;
    Some((size, u64::from_le_bytes(*number)))
}
