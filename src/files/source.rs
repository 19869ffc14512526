//! Files that are sent.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{self, AtFlags, OFlag, PosixFadviseAdvice};
use nix::libc;
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::background;
use super::error::refused;
use crate::core::files::{FileError, FileHash, Stamp, Step};

/// The disk is asked for so many bytes ahead of what is read, so that the loop need not wait for it.
const AHEAD: u64 = 4 * 1024 * 1024;

/// Read at a time, from a multiple of it on: few calls, and the hash is quick only with much that lies together, and that
/// begins where its own parts do.
const BLOCK: usize = 256 * 1024;

/// Most sources that have a block. Others are read as they are asked for.
pub(super) const BLOCKS_MAX: usize = 32;

/// The blocks of all sources: each holds one of these.
#[derive(Clone, Debug, Default)]
pub(super) struct Blocks(Arc<()>);

/// What was read of a source ahead of what was asked for.
#[derive(Debug)]
struct Block {
    bytes: Vec<u8>,
    /// Those before were handed out.
    at: usize,
    _counted: Blocks,
}

impl Block {
    fn new(blocks: &Blocks) -> Option<Self> {
        (Arc::strong_count(&blocks.0) <= BLOCKS_MAX).then(|| Self {
            bytes: Vec::with_capacity(BLOCK),
            at: 0,
            _counted: blocks.clone(),
        })
    }

    fn rest(&self) -> &[u8] {
        &self.bytes[self.at..]
    }
}

/// A file that is sent.
#[derive(Debug)]
pub(super) struct Source {
    file: File,
    path: PathBuf,
    stamp: Stamp,
    /// When anything about it was changed, nanoseconds since 1970, and how many names it had.
    touched: (u64, u64),
    /// Bytes that were handed out. Those in the block follow them; the hash is of all.
    position: u64,
    block: Option<Block>,
    hasher: blake3::Hasher,
    /// Where it goes on, if what lies before is still to be read.
    goal: u64,
}

impl Source {
    /// Opens it. A pipe is not waited for.
    pub(super) fn open(path: &str, max: u64) -> Result<Self, FileError> {
        if path.is_empty() || path.contains('\0') {
            return Err(FileError::Refused(format!("with_file.src_path {path:?} is not the path of a file")));
        }
        let path = PathBuf::from(path);
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
        let opened = File::options().read(true).custom_flags(flags).open(&path);
        let file = opened.map_err(|error| refused("read", &path, error))?;
        let found = file.metadata().map_err(|error| refused("look at", &path, error))?;
        if !found.is_file() {
            let path = path.display();
            return Err(FileError::Refused(format!("{path} is not a plain file, and only those can be sent")));
        }
        if found.len() > max {
            return Err(FileError::Refused(format!(
                "{} has {} bytes, and max_size_file_upload_send allows {max}",
                path.display(),
                found.len()
            )));
        }
        want(&file, 0);
        let stamp =
            Stamp { size: found.len(), changed: nanoseconds(found.mtime(), found.mtime_nsec()), inode: found.ino() };
        let touched = (nanoseconds(found.ctime(), found.ctime_nsec()), found.nlink());
        let hasher = blake3::Hasher::new();
        Ok(Self { file, path, stamp, touched, position: 0, block: None, hasher, goal: 0 })
    }

    pub(super) fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Goes on at `offset`, once what lies before is read.
    pub(super) fn seek(&mut self, offset: u64) -> Result<Step, FileError> {
        if offset > self.stamp.size {
            let path = self.path.display();
            let size = self.stamp.size;
            return Err(FileError::Refused(format!("{path} has {size} bytes: it cannot be read from {offset} on")));
        }
        if offset < self.position {
            self.hasher.reset();
            (self.position, self.block) = (0, None);
        }
        self.goal = offset;
        Ok(if self.position == offset { Step::Done(offset) } else { Step::Working })
    }

    /// Reads on towards the goal; whether it is reached.
    pub(super) fn approach(&mut self, buffer: &mut [u8], blocks: &Blocks) -> Result<Option<u64>, FileError> {
        let left = self.goal.saturating_sub(self.position);
        let length = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        self.read(&mut buffer[..length], blocks)?;
        Ok((self.position >= self.goal).then_some(self.position))
    }

    pub(super) fn read(&mut self, into: &mut [u8], blocks: &Blocks) -> Result<usize, FileError> {
        let left = usize::try_from(self.stamp.size - self.position).unwrap_or(usize::MAX);
        let wanted = into.len().min(left);
        let mut rest = &mut into[..wanted];
        while !rest.is_empty() {
            let ahead = self.block.as_ref().map_or(&[][..], Block::rest);
            let count = ahead.len().min(rest.len());
            let now;
            (now, rest) = rest.split_at_mut(count);
            now.copy_from_slice(&ahead[..count]);
            self.position += count as u64;
            if let Some(block) = &mut self.block {
                block.at += count;
            }
            if !rest.is_empty() && !self.fill_block(rest.len(), blocks)? {
                self.read_through(rest)?;
                break;
            }
        }
        if self.position == self.stamp.size {
            self.block = None;
        }
        Ok(wanted)
    }

    /// Reads the next block, if less than that is wanted, and more is there; whether it was read.
    fn fill_block(&mut self, wanted: usize, blocks: &Blocks) -> Result<bool, FileError> {
        let left = usize::try_from(self.stamp.size - self.position).unwrap_or(usize::MAX);
        let until_next = BLOCK - (self.position % BLOCK as u64) as usize;
        let length = until_next.min(left);
        if wanted >= length {
            return Ok(false);
        }
        let Some(mut block) = self.block.take().or_else(|| Block::new(blocks)) else { return Ok(false) };
        block.bytes.resize(length, 0);
        block.at = 0;
        self.read_next(&mut block.bytes, self.position)?;
        self.block = Some(block);
        Ok(true)
    }

    /// Reads the next bytes without a block, for who asks for many at a time and always does so.
    pub(super) fn read_through(&mut self, into: &mut [u8]) -> Result<usize, FileError> {
        let left = usize::try_from(self.stamp.size - self.position).unwrap_or(usize::MAX);
        let count = into.len().min(left);
        self.read_next(&mut into[..count], self.position)?;
        self.position += count as u64;
        Ok(count)
    }

    /// Reads what the hash has not seen yet, which begins at `offset`.
    fn read_next(&mut self, into: &mut [u8], offset: u64) -> Result<(), FileError> {
        self.read_at(offset, into)?;
        self.hasher.update(into);
        let end = offset + into.len() as u64;
        if offset / AHEAD != end / AHEAD {
            want(&self.file, end / AHEAD + 1);
        }
        Ok(())
    }

    /// What lies at `offset`. It is no part of the hash.
    pub(super) fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<(), FileError> {
        match self.file.read_exact_at(into, offset) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(self.shorter()),
            Err(error) => Err(refused("read", &self.path, error)),
            Ok(()) => Ok(()),
        }
    }

    fn shorter(&self) -> FileError {
        let (path, size) = (self.path.display(), self.stamp.size);
        FileError::Changed(format!("{path} had {size} bytes and has become shorter while it was sent"))
    }

    /// The hash of all of it, if it is what it was.
    pub(super) fn hash(&self) -> Result<FileHash, FileError> {
        let found = self.file.metadata().map_err(|error| refused("look at", &self.path, error))?;
        let (path, stamp) = (self.path.display(), self.stamp);
        if self.position != stamp.size {
            let read = self.position;
            return Err(FileError::Refused(format!("{path}: {read} of {} bytes were read, not all", stamp.size)));
        }
        if found.len() < stamp.size {
            return Err(self.shorter());
        }
        let changed = nanoseconds(found.mtime(), found.mtime_nsec()) != stamp.changed;
        let touched = nanoseconds(found.ctime(), found.ctime_nsec()) != self.touched.0;
        // A name less or more is no change of what is in it.
        let renamed = found.nlink() != self.touched.1;
        if found.len() == stamp.size && (changed || (touched && !renamed)) {
            return Err(FileError::Changed(format!("{path} was changed while it was sent")));
        }
        Ok(*self.hasher.finalize().as_bytes())
    }
}

/// Asks the disk for the part of a file with this number. It is a hint, and need not be taken.
fn want(file: &File, part: u64) {
    if let (Ok(offset), Ok(length)) = (i64::try_from(part * AHEAD), i64::try_from(AHEAD)) {
        let _ = fcntl::posix_fadvise(file, offset, length, PosixFadviseAdvice::POSIX_FADV_WILLNEED);
    }
}

/// A time as the system gives it; before 1970 all times are the same.
fn nanoseconds(seconds: i64, nanoseconds: i64) -> u64 {
    let all = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
    u64::try_from(all).unwrap_or(0)
}

/// Removes a source, if it is still the file that was sent. One that is gone is removed.
pub(super) fn remove(path: &str, stamp: &Stamp) -> Result<(), FileError> {
    let path = Path::new(path);
    let Some(name) = path.file_name() else {
        return Err(FileError::Refused(format!("{} is not the path of a file", path.display())));
    };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let look = |result: Result<FileStat, Errno>| match result {
        Err(Errno::ENOENT) => Ok(None),
        Ok(found) => Ok(Some(found)),
        Err(error) => Err(refused("remove", path, error)),
    };
    let folder = fcntl::open(parent, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty());
    let folder = match folder {
        Ok(folder) => folder,
        Err(Errno::ENOENT) => return Ok(()),
        Err(error) => return Err(refused("remove", path, error)),
    };
    let Some(mut found) = look(fstatat(&folder, name, AtFlags::AT_SYMLINK_NOFOLLOW))? else { return Ok(()) };
    if SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT == SFlag::S_IFLNK {
        // The app named a link: what was sent is what it leads to, what is removed is the link, as in Python.
        let Some(led_to) = look(fstatat(&folder, name, AtFlags::empty()))? else { return Ok(()) };
        found = led_to;
    }
    let changed = nanoseconds(found.st_mtime, found.st_mtime_nsec);
    let now = Stamp { size: u64::try_from(found.st_size).unwrap_or(0), changed, inode: found.st_ino };
    if now != *stamp {
        let path = path.display();
        return Err(FileError::Changed(format!("{path} stays: it is no longer the file that was sent")));
    }
    // Its blocks are given back when the last that holds it lets it go.
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let held = fcntl::openat(&folder, name, flags, Mode::empty());
    let removed = match unlinkat(&folder, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(error) => Err(refused("remove", path, error)),
    };
    background::close(held, stamp.size);
    removed
}
