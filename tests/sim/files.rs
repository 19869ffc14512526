//! The files of a node, and what goes wrong with them.

use aioconnectors::core::files::{
    FileError, FileHash, FileId, Files, Incoming, NotKept, Stamp, Step, TransferKey, Worked, Wrote,
};

use crate::disk::Disk;
use crate::file_system::FileSystem;
use crate::world::World;

/// A machine's files as a process has them that may be dead: then nothing changes any more.
#[derive(Debug)]
pub struct NodeFiles {
    files: Box<dyn Files>,
    disk: Disk,
}

impl NodeFiles {
    pub fn new(files: &FileSystem, disk: &Disk) -> Self {
        Self { files: files.start(), disk: disk.share() }
    }

    fn lives(&self) -> Result<(), FileError> {
        if self.disk.touch() { Ok(()) } else { Err(FileError::Later("the process is dead".to_owned())) }
    }
}

impl Files for NodeFiles {
    fn open(&mut self, path: &str) -> Result<(FileId, Stamp), FileError> {
        self.files.open(path)
    }

    fn seek(&mut self, source: FileId, offset: u64) -> Result<Step, FileError> {
        self.files.seek(source, offset)
    }

    fn read(&mut self, source: FileId, into: &mut [u8]) -> Result<usize, FileError> {
        self.files.read(source, into)
    }

    fn read_at(&mut self, source: FileId, offset: u64, into: &mut [u8]) -> Result<(), FileError> {
        self.files.read_at(source, offset, into)
    }

    fn hash(&mut self, source: FileId) -> Result<FileHash, FileError> {
        self.files.hash(source)
    }

    fn remove(&mut self, path: &str, stamp: &Stamp) -> Result<(), FileError> {
        self.lives()?;
        self.files.remove(path, stamp)
    }

    fn begin(&mut self, incoming: &Incoming<'_>) -> Result<(FileId, Step), FileError> {
        self.lives()?;
        self.files.begin(incoming)
    }

    fn begin_published(&mut self, incoming: &Incoming<'_>) -> Result<(FileId, Step, String), NotKept> {
        self.lives()?;
        self.files.begin_published(incoming)
    }

    fn copy_published(&mut self, path: &str) -> Result<(FileId, Stamp, String), NotKept> {
        self.lives()?;
        self.files.copy_published(path)
    }

    fn hold(&mut self, path: &str) {
        if self.lives().is_ok() {
            self.files.hold(path);
        }
    }

    fn let_go(&mut self, path: &str) {
        if self.lives().is_ok() {
            self.files.let_go(path);
        }
    }

    fn sweep_published(&mut self) {
        if self.lives().is_ok() {
            self.files.sweep_published();
        }
    }

    fn write(&mut self, target: FileId, bytes: &[u8]) -> Result<Wrote, FileError> {
        self.lives()?;
        self.files.write(target, bytes)
    }

    fn finish(&mut self, target: FileId, hash: Option<&FileHash>) -> Result<Step, FileError> {
        self.lives()?;
        self.files.finish(target, hash)
    }

    fn close(&mut self, file: FileId) {
        self.files.close(file);
    }

    fn forget(&mut self, key: &TransferKey) {
        if self.lives().is_ok() {
            self.files.forget(key);
        }
    }

    fn work(&mut self) -> (Vec<Worked>, bool) {
        if self.disk.is_frozen() { (Vec::new(), false) } else { self.files.work() }
    }
}

impl World {
    /// The length of a message's file, if it is to have one.
    pub fn file_size(&mut self) -> Option<usize> {
        Some(match self.rng.u8(..40) {
            0 => 0,
            1..5 => self.rng.usize(..2000),
            5 => self.rng.usize(..100_000),
            6 if self.profile.large => self.rng.usize(..500_000),
            _ => return None,
        })
    }

    /// Something goes wrong with the files of a node, or nothing does any more.
    pub fn harm_files(&mut self) {
        let node = self.rng.usize(..self.nodes.len());
        let (kind, size) = (self.rng.u8(..9), self.rng.usize(..150_000));
        self.nodes[node].files.set_faults(|faults| match kind {
            0 => faults.room = Some(size),
            1 => faults.busy = true,
            2 => faults.slow = size as u32 % 4,
            3 => faults.change_after = Some(size as u64),
            4 => faults.flips = true,
            5 => faults.lag = size as u32 % 4,
            _ => (faults.room, faults.busy) = (None, false),
        });
    }
}
