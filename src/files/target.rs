//! A file that is received, until it gets its name.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use nix::sys::stat::fstat;
use nix::sys::statvfs::fstatvfs;

use super::beneath::Folder;
use super::beside::{BESIDE, Beside, Writers};
use super::error::refused;
use super::order::Order;
use crate::core::files::{FileError, FileHash, Wrote};

/// See the module.
#[derive(Debug)]
pub(super) struct Target {
    /// Its entry in the journal.
    pub id: String,
    /// Whether it can be gone on with later.
    pub keyed: bool,
    pub order: Order,
    /// The name that it lies under so far.
    pub partial: String,
    pub folder: Folder,
    file: File,
    size: u64,
    /// Bytes that are there, or will be when what was handed over is written.
    taken: u64,
    /// Bytes that the hash is of, if there is one; without a key nobody asks for it.
    hashed: u64,
    /// Of a long file `beside` has it.
    hasher: Option<blake3::Hasher>,
    beside: Option<Arc<Beside>>,
    /// It is finished, with this hash, as soon as all is written.
    pub ending: Option<Option<FileHash>>,
}

/// Where a target lies.
pub(super) struct Lies {
    pub id: String,
    pub partial: String,
    pub folder: Folder,
    pub file: File,
}

impl Target {
    pub(super) fn new(lies: Lies, keyed: bool, order: Order, size: u64, written: u64) -> Self {
        let Lies { id, partial, folder, file } = lies;
        let hasher = keyed.then(blake3::Hasher::new);
        let (taken, hashed, beside, ending) = (written, 0, None, None);
        Self { id, keyed, order, partial, folder, file, size, taken, hashed, hasher, beside, ending }
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Bytes that are still to come, and the disk that they need room on.
    pub(super) fn wants(&self) -> (u64, Option<u64>) {
        (self.size - self.written().unwrap_or(0), fstat(&self.file).ok().map(|found| found.st_dev))
    }

    /// Bytes that are there.
    ///
    /// # Errors
    /// Those of writing beside the loop.
    pub(super) fn written(&self) -> Result<u64, FileError> {
        self.beside.as_ref().map_or(Ok(self.taken), |beside| beside.written())
    }

    /// What of it is written beside the loop.
    pub(super) fn beside(&self) -> Option<&Arc<Beside>> {
        self.beside.as_ref()
    }

    /// Whether something of it is still to be written.
    pub(super) fn is_being_written(&self) -> bool {
        self.beside.as_ref().is_some_and(|beside| !beside.is_done())
    }

    /// Whether bytes that are there are still to be read.
    pub(super) fn is_behind(&self) -> bool {
        self.hasher.is_some() && self.hashed < self.taken
    }

    /// Reads on what is there from before; how much that is, once all of it was read.
    pub(super) fn approach(&mut self, buffer: &mut [u8]) -> Result<Option<u64>, FileError> {
        let left = usize::try_from(self.taken - self.hashed).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        let piece = &mut buffer[..length];
        let path = || self.folder.path.join(&self.partial);
        self.file.read_exact_at(piece, self.hashed).map_err(|error| refused("read", &path(), error))?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(piece);
        }
        self.hashed += length as u64;
        Ok((!self.is_behind()).then_some(self.taken))
    }

    /// Writes the next bytes, or, of a long file, has `writers` write them, under this ticket.
    pub(super) fn write(&mut self, bytes: &[u8], writers: &mut Writers, ticket: u64) -> Result<Wrote, FileError> {
        let path = || self.folder.path.join(&self.order.place.name);
        if self.is_behind() {
            let why = format!("{}: what is there of it is still being read", path().display());
            return Err(FileError::Refused(why));
        }
        if bytes.len() as u64 > self.size - self.taken {
            let why = format!("{}: there are more than the {} bytes that were announced", path().display(), self.size);
            return Err(FileError::Refused(why));
        }
        if self.size >= BESIDE {
            return self.write_beside(bytes, writers, ticket);
        }
        if let Err(error) = self.file.write_all_at(bytes, self.taken) {
            // What is too much would be cut off later as well: a file has what is written of it or more.
            let _ = self.file.set_len(self.taken);
            return Err(refused("write", &path(), error));
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        self.taken += bytes.len() as u64;
        self.hashed = self.taken;
        Ok(Wrote::Done)
    }

    fn write_beside(&mut self, bytes: &[u8], writers: &mut Writers, ticket: u64) -> Result<Wrote, FileError> {
        let beside = match &self.beside {
            Some(beside) => beside,
            None => {
                let path = self.folder.path.join(&self.order.place.name);
                let new = Beside::new(ticket, self.file()?, path, self.hasher.take(), self.taken);
                self.beside.insert(Arc::new(new))
            }
        };
        beside.written()?;
        if !writers.push(beside, bytes) {
            return Ok(Wrote::Full);
        }
        self.taken += bytes.len() as u64;
        Ok(Wrote::Taken)
    }

    /// That all of it is there, and is what was sent.
    pub(super) fn check(&self, hash: Option<&FileHash>) -> Result<(), FileError> {
        let path = self.folder.path.join(&self.order.place.name);
        let path = path.display();
        let there = self.written()?;
        if there != self.size || self.is_behind() {
            let size = self.size;
            return Err(FileError::Refused(format!("{path}: {there} of {size} bytes are there, not all")));
        }
        let found = match (&self.beside, &self.hasher) {
            (Some(beside), _) => beside.hash(),
            (None, hasher) => hasher.as_ref().map(|hasher| *hasher.finalize().as_bytes()),
        };
        match (hash, found) {
            (None, _) => Ok(()),
            (Some(hash), Some(found)) if found == *hash => Ok(()),
            (Some(_), Some(_)) => Err(FileError::Changed(format!("{path}: what came is not what was sent"))),
            (Some(_), None) => Err(FileError::Refused(format!("{path}: no hash was kept of it"))),
        }
    }

    /// Removes what there is of it.
    pub(super) fn discard(&self) {
        if let Err(error) = self.folder.remove(&self.partial) {
            log::warn!("what there is of a file stays: {error}");
        }
    }

    pub(super) fn file(&self) -> Result<File, FileError> {
        self.file.try_clone().map_err(|error| refused("use", &self.folder.path.join(&self.partial), error))
    }
}

/// That so many more bytes fit on a folder's disk, beside those that were promised to others.
pub(super) fn check_room(folder: &Folder, bytes: u64, promised: &dyn Fn(u64) -> u64) -> Result<(), FileError> {
    // A disk that does not say is asked by writing to it.
    let (Ok(disk), Ok(found)) = (fstatvfs(folder), fstat(folder)) else { return Ok(()) };
    let free = disk.blocks_available().saturating_mul(disk.fragment_size());
    let promised = promised(found.st_dev);
    if disk.blocks() == 0 || bytes.saturating_add(promised) <= free {
        return Ok(());
    }
    let path = folder.path.display();
    let others = if promised == 0 { String::new() } else { format!(", of which {promised} are for others") };
    Err(FileError::Later(format!("{path}: a file needs {bytes} bytes, and {free} are free there{others}")))
}
