//! Reading a file here and there without holding it in memory, and without mapping it: another process may cut it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes that are read at a time, if they are there.
const CHUNK: usize = 256 * 1024;

/// A part of a file that counts from an offset, of which some bytes are at hand.
#[derive(Debug)]
pub(super) struct Window {
    file: File,
    /// Where the part begins in the file, and how long it is.
    origin: u64,
    length: u64,
    at: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// The part of `file` from `origin` on, as long as it is now.
    pub(super) fn new(file: File, origin: u64) -> io::Result<Self> {
        let length = file.metadata()?.len().saturating_sub(origin);
        Ok(Self { file, origin, length, at: 0, bytes: Vec::new() })
    }

    /// Bytes of the part.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// The bytes from `at` on, `count` of them or those that there are.
    pub(super) fn get(&mut self, at: u64, count: usize) -> io::Result<&[u8]> {
        let left = self.length.saturating_sub(at);
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(count);
        let held = self.at + self.bytes.len() as u64;
        if at < self.at || at + count as u64 > held {
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(count.max(CHUNK));
            self.bytes.resize(wanted, 0);
            let read = self.fill(at);
            // What was read last is no longer there.
            self.at = at;
            self.bytes.truncate(*read.as_ref().unwrap_or(&0));
            read?;
        }
        let from = usize::try_from(at - self.at).unwrap_or(usize::MAX).min(self.bytes.len());
        let to = (from + count).min(self.bytes.len());
        Ok(&self.bytes[from..to])
    }

    fn fill(&mut self, at: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < self.bytes.len() {
            match self.file.read_at(&mut self.bytes[filled..], self.origin + at + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn bytes_are_found_in_any_order_and_none_beyond_the_end() {
        let mut file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..CHUNK as u32 / 2).flat_map(u32::to_le_bytes).collect();
        file.write_all(b"head").unwrap();
        file.write_all(&bytes).unwrap();
        let mut window = Window::new(file, 4).unwrap();
        assert_eq!(window.length(), bytes.len() as u64);
        for (at, count) in [(0, 8), (CHUNK - 2, 8), (4, 4), (100, CHUNK * 3), (bytes.len() - 3, 8), (bytes.len(), 8)] {
            let end = (at + count).min(bytes.len());
            assert_eq!(window.get(at as u64, count).unwrap(), &bytes[at..end], "{at} {count}");
        }
        assert!(window.get(u64::MAX, 8).unwrap().is_empty());
    }

    #[test]
    fn a_file_that_is_cut_meanwhile_is_shorter() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[1; 100]).unwrap();
        let mut window = Window::new(file.try_clone().unwrap(), 0).unwrap();
        file.set_len(10).unwrap();
        assert_eq!(window.get(5, 50).unwrap(), [1; 5]);
        assert!(window.get(50, 8).unwrap().is_empty());
    }
}
