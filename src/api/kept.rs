//! Messages that a connector has not confirmed yet: whole frames, one behind the other.

use crate::wire::frame::LENGTH_SIZE;

/// Released bytes in front are given up when they are so many, and half of all.
const RELEASED_MAX: usize = 1024 * 1024;

/// A queue of frames. They are written from a place in it on, and stay until they are released.
#[derive(Debug, Default)]
pub(super) struct Kept {
    bytes: Vec<u8>,
    /// Where the oldest frame begins.
    start: usize,
    /// What is before this was written.
    written: usize,
    messages: u64,
}

impl Kept {
    /// Appends what `encode` appends: one frame, or nothing if it fails.
    pub fn push<E>(&mut self, encode: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        encode(&mut self.bytes)?;
        self.messages += 1;
        Ok(())
    }

    /// How many messages there are.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// Their bytes.
    pub fn used(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// What is still to be written; it may begin within a frame.
    pub fn unwritten(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// So many bytes of [`unwritten`](Self::unwritten) were written.
    pub fn wrote(&mut self, count: usize) {
        self.written = (self.written + count).min(self.bytes.len());
    }

    /// All is to be written again.
    pub fn rewind(&mut self) {
        self.written = self.start;
    }

    /// Lets the oldest messages go, if so many have been written whole; else says how many have been.
    pub fn release(&mut self, count: u64) -> Result<(), u64> {
        let mut end = self.start;
        for released in 0..count {
            match self.frame_end(end) {
                Some(next) if next <= self.written => end = next,
                _ => return Err(released),
            }
        }
        self.start = end;
        self.messages -= count;
        self.give_back();
        Ok(())
    }

    fn frame_end(&self, start: usize) -> Option<usize> {
        let length = self.bytes.get(start..)?.first_chunk::<LENGTH_SIZE>()?;
        Some(start + LENGTH_SIZE + u32::from_le_bytes(*length) as usize)
    }

    fn give_back(&mut self) {
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.bytes.shrink_to(RELEASED_MAX);
        } else if self.start >= RELEASED_MAX && self.start >= self.bytes.len() / 2 {
            self.bytes.drain(..self.start);
        } else {
            return;
        }
        self.written -= self.start;
        self.start = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::encode;

    fn push(kept: &mut Kept, data: &[u8]) {
        kept.push(|out| encode(b"{}", data, None, out)).unwrap();
    }

    fn write_all(kept: &mut Kept) {
        kept.wrote(kept.unwritten().len());
    }

    #[test]
    fn only_what_was_written_whole_is_released() {
        let mut kept = Kept::default();
        push(&mut kept, b"one");
        push(&mut kept, b"two");
        let all = kept.used();
        assert_eq!(kept.release(1), Err(0));
        kept.wrote(all - 1);
        assert_eq!(kept.release(2), Err(1));
        assert_eq!((kept.messages(), kept.used()), (2, all));
        kept.release(1).unwrap();
        assert_eq!((kept.messages(), kept.used(), kept.unwritten().len()), (1, all / 2, 1));
        kept.rewind();
        assert_eq!(kept.unwritten().len(), all / 2);
        write_all(&mut kept);
        assert_eq!(kept.release(2), Err(1));
        kept.release(1).unwrap();
        assert_eq!((kept.messages(), kept.used(), kept.unwritten().len()), (0, 0, 0));
    }

    #[test]
    fn memory_stays_within_what_is_kept() {
        let mut kept = Kept::default();
        for number in 0..2000u32 {
            push(&mut kept, &[number as u8; 10_000]);
            write_all(&mut kept);
            if number >= 10 {
                kept.release(1).unwrap();
            }
            assert!(kept.bytes.len() <= 2 * RELEASED_MAX);
        }
        assert_eq!(kept.messages(), 10);
        assert_eq!(kept.bytes[kept.start + LENGTH_SIZE + 2 + 2 + LENGTH_SIZE], 1990u32 as u8, "the oldest of ten");
    }

    #[test]
    fn what_cannot_be_encoded_is_not_there() {
        let mut kept = Kept::default();
        assert_eq!(kept.push(|_| Err("no")), Err("no"));
        assert_eq!((kept.messages(), kept.used()), (0, 0));
    }
}
