//! Many messages in one piece of memory, numbered anew for each time that they are written.

use super::speech::{Message, Speech};
use crate::Failure;

/// Written at once, bytes at least.
const BLOCK: usize = 256 * 1024;

/// Most messages of a block: no more are unacknowledged at a time, where that is counted.
pub const BLOCK_MESSAGES: usize = 4096;

/// What a message's data begins with: who sent it, in which repeat, and which of its messages it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    pub lane: u8,
    pub round: u16,
    pub at: u64,
}

impl Number {
    /// Of an app that is the only one and sends once.
    pub const FIRST: Number = Number { lane: 0, round: 0, at: 0 };

    /// Of messages that only try the way.
    pub const PROBE: Number = Number { lane: u8::MAX, round: u16::MAX, at: (1 << 40) - 1 };

    pub fn bytes(self) -> [u8; 8] {
        (self.at | u64::from(self.round) << 40 | u64::from(self.lane) << 56).to_le_bytes()
    }

    pub fn of(data: &[u8]) -> Option<Self> {
        let number = u64::from_le_bytes(*data.first_chunk()?);
        Some(Self { lane: (number >> 56) as u8, round: (number >> 40) as u16, at: number & ((1 << 40) - 1) })
    }
}

/// Messages of one size.
pub struct Block {
    bytes: Vec<u8>,
    message: usize,
    data_at: usize,
    packet_at: Option<usize>,
}

impl Block {
    pub fn new(speech: &Speech, data: usize) -> Result<Self, Failure> {
        let Message { bytes, data_at, packet_at } = speech.message(&vec![b'.'; data.max(8)])?;
        let count = BLOCK.div_ceil(bytes.len()).min(BLOCK_MESSAGES);
        Ok(Self { message: bytes.len(), bytes: bytes.repeat(count), data_at, packet_at })
    }

    pub fn messages(&self) -> u64 {
        (self.bytes.len() / self.message) as u64
    }

    /// The first `count` messages, numbered from `first`.
    pub fn numbered(&mut self, first: Number, count: u64) -> &[u8] {
        let end = self.message * count as usize;
        for (at, message) in (first.at..).zip(self.bytes[..end].chunks_exact_mut(self.message)) {
            message[self.data_at..self.data_at + 8].copy_from_slice(&Number { at, ..first }.bytes());
            if let Some(packet_at) = self.packet_at {
                // 0 is no number of a packet.
                let packet = (1 + at % u64::from(u16::MAX)) as u16;
                message[packet_at..packet_at + 2].copy_from_slice(&packet.to_be_bytes());
            }
        }
        &self.bytes[..end]
    }
}
