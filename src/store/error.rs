//! Why a spool cannot be used, or a file of it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::ring::header::{FORMAT, IDENTITY_MAX, Identity, Kind};

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
        /// The version of its format; this program reads and writes [`FORMAT`].
        found: u32,
    },
    /// A file is the ring of another connector, peer or type. It stays as it is.
    OtherIdentity {
        /// The file.
        path: PathBuf,
        /// Whose it should be.
        expected: Box<Identity>,
        /// Whose it is.
        found: Box<Identity>,
    },
    /// A file is a ring, under a name that is another's. It stays as it is.
    Misnamed {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        found: Box<Identity>,
    },
    /// The names of peer and type do not fit into a file's header.
    IdentityTooLong {
        /// Whose ring it would be.
        identity: Box<Identity>,
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

    /// The error number of the system, if room was refused.
    pub(super) fn os_error(&self) -> Option<i32> {
        match self {
            StoreError::NoRoom { source, .. } => source.raw_os_error(),
            _ => None,
        }
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
            StoreError::OtherVersion { path, found } => {
                let path = path.display();
                write!(f, "{path} is of format {found}, this program reads and writes format {FORMAT}: ")?;
                f.write_str("let the version that wrote it send its messages, or move it away")
            }
            StoreError::OtherIdentity { path, expected, found } => {
                let path = path.display();
                write!(f, "{path} is the queue of {}, not of {}: move it away", describe(found), describe(expected))
            }
            StoreError::Misnamed { path, found } => {
                let path = path.display();
                write!(f, "{path} is the queue of {}, under the name of another: move it away", describe(found))
            }
            StoreError::IdentityTooLong { identity } => {
                let length = identity.peer.len() + identity.message_type.len();
                write!(f, "a queue on disk has room for names of about {IDENTITY_MAX} bytes, these have {length}")
            }
            StoreError::TooManyBad { path, limit } => {
                let path = path.display();
                write!(
                    f,
                    "{path} is damaged and {limit} of it were put aside already: look at them, and move them away"
                )
            }
        }
    }
}

/// Whose ring it is, in words.
#[must_use]
pub fn describe(identity: &Identity) -> String {
    let Identity { kind, connector, peer, message_type } = identity;
    match kind {
        Kind::Outbox => format!("messages of type {message_type:?} from {connector:?} to {peer:?}"),
        Kind::Inbox => format!("messages of type {message_type:?} that {connector:?} received"),
        Kind::Topic => format!("messages of type {message_type:?} that were published at {connector:?}"),
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
