//! A file in memory.
//!
//! More of the file is mapped than it has: addresses cost nothing, and a file that grows later need not be mapped anew.
//! What lies beyond the file's end must not be touched (the system answers with SIGBUS), so a [`Map`] gives out only its
//! *usable* bytes, which it has checked to be there.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::slice;

use memmap2::{MmapOptions, MmapRaw, UncheckedAdvice};

/// Bytes of a page; those of a larger page are a multiple of it.
pub const PAGE: usize = 4096;

/// The first bytes of a file, mapped for reading and writing and shared: what is written is in the file, though not
/// synced, from that moment on, whatever becomes of this process.
///
/// Whoever holds it sees to it that nobody else cuts the file or writes into it; the lock of its folder does that.
#[derive(Debug)]
pub struct Map {
    map: MmapRaw,
    /// The file is at least as long, and the mapping too.
    usable: usize,
}

impl Map {
    /// Maps `reserve` bytes of `file`, or only `usable` if there is no address space for so many. `usable` bytes can be
    /// used at once.
    ///
    /// # Errors
    /// The file is shorter than `usable` bytes, or it cannot be mapped for reading and writing.
    pub fn new(file: &File, reserve: usize, usable: usize) -> io::Result<Self> {
        check_length(file, usable)?;
        Ok(Self { map: map(file, reserve, usable)?, usable })
    }

    /// The usable bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping is as long as `usable` at least and lives as long as `self`; the file is as long too, so
        // every page can be read. Within this process only `self` reaches these bytes.
        unsafe { slice::from_raw_parts(self.map.as_ptr(), self.usable) }
    }

    /// The usable bytes, to write.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`; and `self` is borrowed mutably, so there is no other reference to them.
        unsafe { slice::from_raw_parts_mut(self.map.as_mut_ptr(), self.usable) }
    }

    /// `usable` bytes can be used from now on: the file, which must be the one that is mapped, has grown. If more than
    /// was reserved, it is mapped anew, with as much again in reserve.
    ///
    /// # Errors
    /// As those of [`Map::new`]; then all is as it was.
    pub fn grow(&mut self, file: &File, usable: usize) -> io::Result<()> {
        check_length(file, usable)?;
        if usable > self.map.len() {
            self.map = map(file, usable.saturating_mul(2), usable)?;
        }
        self.usable = usable;
        Ok(())
    }

    /// Only the first `usable` bytes can be used from now on, so that the file can be cut.
    pub fn restrict(&mut self, usable: usize) {
        self.usable = self.usable.min(usable);
    }

    /// All that was written is on the disk when this returns, as with fdatasync. (msync of a shared mapping is that,
    /// for its file, without a descriptor.)
    ///
    /// # Errors
    /// The disk has failed. The system says so once; what could not be written may be lost.
    pub fn sync(&self) -> io::Result<()> {
        self.map.flush_range(0, self.usable)
    }

    /// The whole pages within `range` need not stay resident: they count no more as memory of this process. What they
    /// hold is kept by the system as that of any file, and comes back when it is touched.
    pub fn cool(&self, range: Range<usize>) {
        let (start, end) = (range.start.next_multiple_of(PAGE), range.end.min(self.usable) / PAGE * PAGE);
        if start < end {
            // SAFETY: in a shared mapping of a file this changes no byte: the next access finds the page of the file,
            // with all that was written. It is a wish; that it fails (pages larger than ours) harms nothing.
            _ = unsafe { self.map.unchecked_advise_range(UncheckedAdvice::DontNeed, start, end - start) };
        }
    }
}

fn check_length(file: &File, usable: usize) -> io::Result<()> {
    let length = file.metadata()?.len();
    if length < usable as u64 {
        let text = format!("the file has {length} bytes, it should have {usable}");
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
    }
    Ok(())
}

fn map(file: &File, reserve: usize, usable: usize) -> io::Result<MmapRaw> {
    let map = |length: usize| MmapOptions::new().len(length).map_raw(file);
    // A mapping of no bytes is an error of the system's.
    let least = usable.max(1);
    if reserve > least { map(reserve).or_else(|_| map(least)) } else { map(least) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(length: u64) -> File {
        let file = tempfile::tempfile().unwrap();
        file.set_len(length).unwrap();
        file
    }

    #[test]
    fn a_file_grows_within_and_beyond_what_is_reserved() {
        let file = file(8);
        let mut map = Map::new(&file, PAGE * 4, 8).unwrap();
        map.bytes_mut().copy_from_slice(b"12345678");
        for usable in [PAGE * 2, PAGE * 4, PAGE * 9] {
            assert!(map.grow(&file, usable).is_err(), "the file is too short yet");
            assert!(map.bytes().len() < usable);
            file.set_len(usable as u64).unwrap();
            map.grow(&file, usable).unwrap();
            assert_eq!((&map.bytes()[..8], map.bytes().len()), (&b"12345678"[..], usable));
            map.bytes_mut()[usable - 1] = 1;
        }
    }

    #[test]
    fn what_was_written_is_in_the_file_and_what_was_cut_cannot_be_used() {
        let file = file(PAGE as u64 * 2);
        let mut map = Map::new(&file, PAGE * 2, PAGE * 2).unwrap();
        map.bytes_mut()[..5].copy_from_slice(b"hello");
        map.sync().unwrap();
        let mut found = [0; 5];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut found, 0).unwrap();
        assert_eq!(&found, b"hello");
        map.restrict(PAGE);
        file.set_len(PAGE as u64).unwrap();
        assert_eq!(map.bytes().len(), PAGE);
        map.sync().unwrap();
    }

    #[test]
    fn cooled_pages_keep_what_was_written() {
        let file = file(PAGE as u64 * 4);
        let mut map = Map::new(&file, PAGE * 4, PAGE * 4).unwrap();
        map.bytes_mut().fill(9);
        for range in [0..PAGE * 4, 5..PAGE * 3 + 5, PAGE..PAGE, PAGE * 3..PAGE * 90, 7..9] {
            map.cool(range);
        }
        assert!(map.bytes().iter().all(|byte| *byte == 9));
    }

    #[test]
    fn more_than_the_addresses_there_are_falls_back_to_what_is_needed() {
        let file = file(8);
        let mut map = Map::new(&file, isize::MAX as usize - PAGE, 8).unwrap();
        assert_eq!(map.bytes().len(), 8);
        file.set_len(PAGE as u64).unwrap();
        map.grow(&file, PAGE).unwrap();
        assert_eq!(map.bytes().len(), PAGE);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_not_mapped() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"x").unwrap();
        assert!(Map::new(&File::open(file.path()).unwrap(), 1, 1).is_err());
    }
}
