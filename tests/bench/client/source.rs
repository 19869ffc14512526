//! The app that blasts.

use std::time::Duration;

use super::block::{BLOCK_MESSAGES, Block, Number};
use super::connection::{Connection, Place};
use super::speech::{Heard, Speech};
use crate::{Failure, cpu};

/// Where messages go in.
pub struct Source {
    pub place: Place,
    pub speech: Speech,
}

impl Source {
    pub fn connect(&self) -> Result<Connection, Failure> {
        Connection::open(&self.place, &self.speech, false)
    }

    /// Writes `count` messages with `size` bytes of data each, as fast as they are taken, and closes the connection when
    /// the broker has read them all. What that has cost the app.
    pub fn blast(&self, mut to: Connection, first: Number, size: usize, count: u64) -> Result<Duration, Failure> {
        let begin = cpu::thread();
        let mut block = Block::new(&self.speech, size)?;
        let (mut sent, mut untaken) = (0, 0);
        while sent < count {
            let messages = block.messages().min(count - sent);
            to.write(block.numbered(Number { at: first.at + sent, ..first }, messages))?;
            sent += messages;
            if self.speech.is_acknowledged() {
                untaken += messages;
                // Room for the next block, so that no more than two are on their way.
                while untaken > BLOCK_MESSAGES as u64 {
                    to.wait(&Heard::Taken)?;
                    untaken -= 1;
                }
            }
        }
        for _ in 0..untaken {
            to.wait(&Heard::Taken)?;
        }
        to.flush()?;
        Ok(cpu::thread() - begin)
    }

    /// One message that only tries the way.
    pub fn probe(&self) -> Result<(), Failure> {
        self.blast(self.connect()?, Number::PROBE, 8, 1).map(drop)
    }
}
