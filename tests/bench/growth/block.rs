//! Messages of several headers in turn, in one piece of memory, numbered anew for each time that they are written.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::PATIENCE;
use crate::Failure;
use crate::client::{Number, Speech};

/// Written at once, bytes at least.
const BLOCK: usize = 256 * 1024;

/// One after the other, each header's as often as each other's.
pub struct Block {
    bytes: Vec<u8>,
    messages: Vec<Message>,
}

struct Message {
    end: usize,
    data_at: usize,
    stream: u16,
}

impl Block {
    /// At least `least` messages of `size` bytes of data. A stream is a header's place in the list, counted from `first`.
    pub fn new(headers: &[String], first: usize, size: usize, least: usize) -> Result<Self, Failure> {
        let data = vec![b'.'; size.max(8)];
        let mut block = Self { bytes: Vec::new(), messages: Vec::new() };
        while block.messages.len() < least {
            for (stream, header) in (first..).zip(headers) {
                let message = Speech::frames(header).message(&data)?;
                let data_at = block.bytes.len() + message.data_at;
                block.bytes.extend_from_slice(&message.bytes);
                block.messages.push(Message { end: block.bytes.len(), data_at, stream: u16::try_from(stream)? });
            }
        }
        Ok(block)
    }

    /// The first `count` messages, or all; `next` has each stream's next number.
    pub fn numbered(&mut self, lane: u8, next: &mut [u64], count: usize) -> (&[u8], usize) {
        let count = count.min(self.messages.len());
        let mut end = 0;
        for message in &self.messages[..count] {
            let at = &mut next[usize::from(message.stream)];
            let number = Number { lane, round: message.stream, at: *at };
            self.bytes[message.data_at..message.data_at + 8].copy_from_slice(&number.bytes());
            (*at, end) = (*at + 1, message.end);
        }
        (&self.bytes[..end], count)
    }
}

/// What an app sends.
#[derive(Clone, Copy)]
pub struct Load {
    /// Bytes of data in a message.
    pub size: usize,
    pub messages: u64,
    /// Each measurement has one of its own.
    pub lane: u8,
    /// The first number of each stream.
    pub from: u64,
}

/// Writes messages with these headers in turn, as fast as they are taken.
pub fn blast(entry: &Path, headers: &[String], load: Load) -> Result<(), Failure> {
    let mut stream = UnixStream::connect(entry)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut block = Block::new(headers, 0, load.size, BLOCK.div_ceil(load.size))?;
    let (mut next, mut sent) = (vec![load.from; headers.len()], 0);
    while sent < load.messages {
        let left = usize::try_from(load.messages - sent)?;
        let (bytes, messages) = block.numbered(load.lane, &mut next, left);
        stream.write_all(bytes)?;
        sent += messages as u64;
    }
    Ok(())
}
