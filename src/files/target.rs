//! A file that is received, until it gets its name.

use std::fs::File;
use std::os::unix::fs::FileExt;

use nix::sys::stat::fstat;
use nix::sys::statvfs::fstatvfs;

use super::beneath::Folder;
use super::error::refused;
use super::order::Order;
use crate::core::files::{FileError, FileHash};

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
    /// Bytes that are there.
    written: u64,
    /// Bytes that the hash is of, if there is one; without a key nobody asks for it.
    hashed: u64,
    hasher: Option<blake3::Hasher>,
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
        Self { id, keyed, order, partial, folder, file, size, written, hashed: 0, hasher }
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Bytes that are still to come, and the disk that they need room on.
    pub(super) fn wants(&self) -> (u64, Option<u64>) {
        (self.size - self.written, fstat(&self.file).ok().map(|found| found.st_dev))
    }

    /// Whether bytes that are there are still to be read.
    pub(super) fn is_behind(&self) -> bool {
        self.hasher.is_some() && self.hashed < self.written
    }

    /// Reads on what is there from before; how much that is, once all of it was read.
    pub(super) fn approach(&mut self, buffer: &mut [u8]) -> Result<Option<u64>, FileError> {
        let left = usize::try_from(self.written - self.hashed).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        let piece = &mut buffer[..length];
        let path = || self.folder.path.join(&self.partial);
        self.file.read_exact_at(piece, self.hashed).map_err(|error| refused("read", &path(), error))?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(piece);
        }
        self.hashed += length as u64;
        Ok((!self.is_behind()).then_some(self.written))
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        let path = || self.folder.path.join(&self.order.place.name);
        if self.is_behind() {
            let why = format!("{}: what is there of it is still being read", path().display());
            return Err(FileError::Refused(why));
        }
        if bytes.len() as u64 > self.size - self.written {
            let why = format!("{}: there are more than the {} bytes that were announced", path().display(), self.size);
            return Err(FileError::Refused(why));
        }
        if let Err(error) = self.file.write_all_at(bytes, self.written) {
            // What is too much would be cut off later as well: a file has what `written` says or more.
            let _ = self.file.set_len(self.written);
            return Err(refused("write", &path(), error));
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        self.written += bytes.len() as u64;
        self.hashed = self.written;
        Ok(())
    }

    /// That all of it is there, and is what was sent.
    pub(super) fn check(&self, hash: Option<&FileHash>) -> Result<(), FileError> {
        let path = self.folder.path.join(&self.order.place.name);
        let path = path.display();
        if self.written != self.size || self.is_behind() {
            let (there, size) = (self.written, self.size);
            return Err(FileError::Refused(format!("{path}: {there} of {size} bytes are there, not all")));
        }
        match (hash, &self.hasher) {
            (None, _) => Ok(()),
            (Some(hash), Some(hasher)) if hasher.finalize().as_bytes() == hash => Ok(()),
            (Some(_), Some(_)) => Err(FileError::Changed(format!("{path}: what came is not what was sent"))),
            (Some(_), None) => Err(FileError::Refused(format!("{path}: no hash was kept of it"))),
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
