//! The files of queues, read by code of its own, so that they can be spoilt where it hurts.
//!
//! A file has two header pages and the data behind them; a record is `u32 length | u32 CRC | u64 flags and number |
//! [origin, 16 bytes] | frame | padding to 8`.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Bytes of a header page.
pub const PAGE: usize = 4096;

/// Where the data begins.
pub const DATA: usize = 2 * PAGE;

/// In place of a record's length: the next record is the first of the data area.
pub const WRAP: u32 = u32::MAX;

/// Bytes of a record before its origin or its frame.
pub const HEAD: usize = 16;

/// The flag of a record that has an origin.
const ORIGIN: u64 = 1 << 56;

/// A record, by places in the file.
#[derive(Clone, Debug)]
pub struct Record {
    pub at: usize,
    pub frame: Range<usize>,
}

/// The file of a queue.
pub struct RingFile {
    pub path: PathBuf,
    pub bytes: Vec<u8>,
}

impl RingFile {
    pub fn read(path: &Path) -> RingFile {
        let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        RingFile { path: path.to_owned(), bytes }
    }

    /// The one ring of a folder whose name begins so.
    #[track_caller]
    pub fn find(folder: &Path, start: &str) -> RingFile {
        let files = rings(folder);
        let is_it = |path: &&PathBuf| name(path).starts_with(start);
        let found = files.iter().find(is_it);
        RingFile::read(found.unwrap_or_else(|| panic!("no {start}….ring among {files:?}")))
    }

    pub fn write(&self) {
        fs::write(&self.path, &self.bytes).unwrap_or_else(|error| panic!("{}: {error}", self.path.display()));
    }

    fn u32_at(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes[at..at + 4].try_into().expect("four bytes"))
    }

    fn u64_at(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes[at..at + 8].try_into().expect("eight bytes"))
    }

    fn number(&self, page: usize, index: usize) -> u64 {
        self.u64_at(page * PAGE + 16 + 8 * index)
    }

    /// Which of the two pages was written last.
    pub fn newer_page(&self) -> usize {
        usize::from(self.number(1, 0) > self.number(0, 0))
    }

    /// Whether the records go on at the beginning of the data area.
    pub fn is_wrapped(&self) -> bool {
        self.number(self.newer_page(), 5) != 0
    }

    /// The records from the first on, and where the mark is at which they go on at the beginning.
    pub fn records(&self) -> (Vec<Record>, Option<usize>) {
        let page = self.newer_page();
        let [first, end] = [3, 4].map(|index| DATA + usize::try_from(self.number(page, index)).expect("an offset"));
        let (mut at, mut mark, mut records) = (first, None, Vec::new());
        let mut wrapped = self.is_wrapped();
        while wrapped || at < end {
            let length = self.u32_at(at);
            if length == WRAP {
                (mark, at, wrapped) = (Some(at), DATA, false);
                continue;
            }
            let origin = if self.u64_at(at + 8) & ORIGIN == 0 { 0 } else { 16 };
            let begin = at + HEAD + origin;
            let frame = begin..begin + length as usize;
            records.push(Record { at, frame: frame.clone() });
            at = frame.end.next_multiple_of(8);
        }
        (records, mark)
    }
}

/// All ring files of a folder.
pub fn rings(folder: &Path) -> Vec<PathBuf> {
    let mut rings: Vec<_> = files(folder).into_iter().filter(|path| name(path).ends_with(".ring")).collect();
    rings.sort();
    rings
}

/// Files that were put aside.
pub fn put_aside(folder: &Path) -> Vec<PathBuf> {
    files(folder).into_iter().filter(|path| name(path).contains(".bad-")).collect()
}

pub fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file()).collect()
}

pub fn name(path: &Path) -> String {
    path.file_name().expect("a name").to_string_lossy().into_owned()
}

/// Copies the files of a folder into another, which is made anew.
pub fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).expect("a folder");
    for file in files(from) {
        fs::copy(&file, to.join(name(&file))).expect("a copy");
    }
}
