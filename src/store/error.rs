//! Why a spool cannot be used, or a file of it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

/// Each prints as one line.
#[derive(Debug)]
pub enum StoreError {
    /// Another process works with the folder.
    InUse {
        /// The folder.
        folder: PathBuf,
        /// The process, if its lock file says so.
        pid: Option<u32>,
    },
    /// The system refused something.
    Io {
        /// What was tried: a verb, as in "read".
        doing: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file cannot have the size that it needs: the disk, a quota or a limit of the process stands against it.
    NoRoom {
        /// The file.
        path: PathBuf,
        /// The size that it has, bytes.
        length: u64,
        /// The size that it should get, bytes.
        wanted: u64,
        /// What the system said.
        source: io::Error,
    },
    /// A file was removed or replaced while it was in use.
    Replaced {
        /// Its name, which belongs to another file now, or to none.
        path: PathBuf,
    },
    /// A file was written by a version that does not go with this one. It stays as it is.
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The one that this program reads and writes.
        expected: u32,
    },
    /// A file was put aside before, and again, and so on: nobody looks after it.
    TooManyBad {
        /// The file that should be put aside.
        path: PathBuf,
        /// How many there may be of it.
        limit: u32,
    },
}

impl StoreError {
    /// Of a call that the system refused; a verb in `doing`.
    pub(super) fn io(doing: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        StoreError::Io { doing, path: path.to_owned(), source: source.into() }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::InUse { folder, pid } => {
                write!(f, "the spool folder {} is in use by ", folder.display())?;
                match pid {
                    Some(pid) => write!(f, "process {pid}"),
                    None => f.write_str("another process"),
                }?;
                f.write_str(": one connector a folder")
            }
            StoreError::Io { doing, path, source } => write!(f, "cannot {doing} {}: {source}", path.display()),
            StoreError::NoRoom { path, length, wanted, source } => {
                let path = path.display();
                write!(f, "{path} cannot grow from {length} to {wanted} bytes: {}", no_room(source))
            }
            StoreError::Replaced { path } => {
                write!(f, "{} was removed or replaced while it was in use: restart the connector", path.display())
            }
            StoreError::OtherVersion { path, found, expected } => {
                let path = path.display();
                write!(f, "{path} is of version {found}, this program reads and writes version {expected}: ")?;
                f.write_str("let the version that wrote it send its messages, or move it away")
            }
            StoreError::TooManyBad { path, limit } => {
                let path = path.display();
                write!(f, "{path} is damaged and {limit} of it were put aside already: look at them, and move them away")
            }
        }
    }
}

/// What the system's word means for who has to help.
fn no_room(source: &io::Error) -> String {
    let hint = match source.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOSPC) => "the disk is full",
        Some(Errno::EDQUOT) => "the disk quota is used up",
        Some(Errno::EFBIG) => "the limit for the size of a file is reached, of the process (ulimit -f) or the disk",
        _ => return source.to_string(),
    };
    format!("{hint} ({source})")
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StoreError::Io { source, .. } | StoreError::NoRoom { source, .. } => Some(source),
            _ => None,
        }
    }
}
