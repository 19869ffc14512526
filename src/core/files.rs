//! What the core asks of files: sources are read, targets are written, a piece at a time.
//!
//! The core says what is read and written when; the shell knows paths, folders, owners and hashes. All that takes long
//! (reading again what is there already, writing through to the disk) goes on behind [`Step::Working`], in steps of
//! [`Files::work`], so that messages pass it by.

use std::fmt;

pub use crate::wire::file::PIECE_MAX;

/// A file that is open, as a source or as a target. Numbers are not used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(pub u64);

/// What a source was when it was opened. A file with another one is another file, or has other contents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Its length, bytes.
    pub size: u64,
    /// When it was changed last, nanoseconds since 1970.
    pub changed: u64,
    /// Its number in its file system.
    pub inode: u64,
}

/// A message with a file, for as long as either side remembers it: the record that the message is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransferKey {
    /// The connector that sends it.
    pub peer: String,
    /// The lane's type.
    pub message_type: String,
    /// The life of the lane's numbers.
    pub epoch: u64,
    /// The record's number.
    pub sequence: u64,
}

/// A file that is to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming<'a> {
    /// Its message, if it is of the second kind of link: what is there of it from before is gone on with.
    pub key: Option<&'a TransferKey>,
    /// The message's header, with its `with_file`.
    pub header: &'a [u8],
    /// Its length, bytes.
    pub size: u64,
    /// What the source was: what is there of another one is thrown away.
    pub stamp: Stamp,
}

/// How far something that may take long has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is done; of something that is to be gone on with, this many bytes are there.
    Done(u64),
    /// [`Files::work`] does it, and says when it is done.
    Working,
    /// So many bytes of a target are written, and it is not done with: more comes, or is still being written. Only
    /// [`Files::work`] says so.
    Written(u64),
}

/// What became of bytes that are to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrote {
    /// They are written.
    Done,
    /// They will be, behind those before them: [`Files::work`] says when ([`Step::Written`]), or that they cannot.
    Taken,
    /// Too much waits to be written: none of them were taken. [`Files::work`] is called when there may be room.
    Full,
}

/// What was worked on in the background and is done.
pub type Worked = (FileId, Result<Step, FileError>);

/// Why something cannot be done with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileError {
    /// It will not work later either: what is wrong, with the file's name, and what would be right. It goes to the app
    /// as the message's `file_error`.
    Refused(String),
    /// There is no room, or the disk fails: it may work later.
    Later(String),
    /// The source is not what it was when it was opened.
    Changed(String),
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileError::Refused(why) | FileError::Later(why) | FileError::Changed(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for FileError {}

/// Why a file that is published cannot be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotKept {
    /// There is no room among the files of publications; whether there could be when others are gone, and what is said
    /// of it.
    NoRoom {
        /// It has room if there is no other.
        later: bool,
        /// The sizes.
        why: String,
    },
    /// Something else.
    Failed(FileError),
}

impl From<FileError> for NotKept {
    fn from(error: FileError) -> Self {
        NotKept::Failed(error)
    }
}

/// Hash of all bytes of a file: BLAKE3.
pub type FileHash = [u8; 32];

/// Files, as the core sees them. No call takes longer than it takes to read or write one piece, and none but those of
/// small files waits for a disk that is busy.
pub trait Files: fmt::Debug {
    /// Opens a source. It is read from its beginning.
    ///
    /// # Errors
    /// There is no such file, it must not be read, it is not a plain file, or is longer than
    /// `max_size_file_upload_send`.
    fn open(&mut self, path: &str) -> Result<(FileId, Stamp), FileError>;

    /// Goes on reading at `offset`. What lies before it is part of the hash all the same.
    ///
    /// # Errors
    /// It cannot be read.
    fn seek(&mut self, source: FileId, offset: u64) -> Result<Step, FileError>;

    /// Reads the next bytes, as many as `into` has room for; less only at the end that the file had when it was opened.
    ///
    /// # Errors
    /// It cannot be read, or is shorter than it was.
    fn read(&mut self, source: FileId, into: &mut [u8]) -> Result<usize, FileError>;

    /// Fills `into` with the source's bytes from `offset` on. It has no part in the hash, and moves nothing that `read`
    /// and `seek` go on from.
    ///
    /// # Errors
    /// It cannot be read, or is shorter than it was.
    fn read_at(&mut self, source: FileId, offset: u64, into: &mut [u8]) -> Result<(), FileError>;

    /// The hash of what was read, which is all.
    ///
    /// # Errors
    /// The source was changed since it was opened. A file that has only grown was not: what it had is sent.
    fn hash(&mut self, source: FileId) -> Result<FileHash, FileError>;

    /// Removes a source that the peer has; a file that was put in its place since is left.
    ///
    /// # Errors
    /// It stays: why.
    fn remove(&mut self, path: &str, stamp: &Stamp) -> Result<(), FileError>;

    /// Makes room for a file that is to come, as its message and the config say; how much of it is there from before.
    ///
    /// With a key of a file that is there whole already, because its message was not taken over before a crash, all of
    /// it is there, and [`Files::finish`] has nothing to do.
    ///
    /// # Errors
    /// Nothing is set up for its `dst_type`, its name leads elsewhere, there is one already, it is too long, no room.
    fn begin(&mut self, incoming: &Incoming<'_>) -> Result<(FileId, Step), FileError>;

    /// The same for a file that is published: it is kept here, for its subscribers, and opened under the path that comes
    /// back too. Whole, it stays until [`Files::let_go`], if it is held; else until its key is forgotten.
    ///
    /// # Errors
    /// There is no room for it.
    fn begin_published(&mut self, incoming: &Incoming<'_>) -> Result<(FileId, Step, String), NotKept>;

    /// Copies a source, as [`Files::open`] takes it, to where files of publications are kept, with [`Files::work`]; then
    /// it is closed. Its stamp, and the copy's path.
    ///
    /// # Errors
    /// It cannot be read, or there is no room for it.
    fn copy_published(&mut self, path: &str) -> Result<(FileId, Stamp, String), NotKept>;

    /// There is a publication with the file of this path.
    fn hold(&mut self, path: &str);

    /// There is none any more: the file is removed.
    fn let_go(&mut self, path: &str);

    /// All publications of the last life are known, and hold their files: others that it left are removed, unless they
    /// are known by a key.
    fn sweep_published(&mut self);

    /// Writes the next bytes, or has them written: then it is not known yet that there is room for them.
    ///
    /// # Errors
    /// There is no room. What was written of the bytes does not count.
    fn write(&mut self, target: FileId, bytes: &[u8]) -> Result<Wrote, FileError>;

    /// All bytes were handed over: when they are written, checks the hash, if there is one, writes through as `persistence_sync` says, and gives
    /// the file its name. Done, it is closed.
    ///
    /// # Errors
    /// `Changed`: the hash is another, nothing is left of it, and it must come again from its beginning.
    fn finish(&mut self, target: FileId, hash: Option<&FileHash>) -> Result<Step, FileError>;

    /// Closes a source or target. What was written of a target with a key is kept for later, of others it is removed.
    /// What was taken and is not written yet is dropped.
    /// What is closed already stays so: after an error the core closes the file, whatever it was.
    fn close(&mut self, file: FileId);

    /// The message of this file was taken over, or will never come: nothing of it needs to be known any more. Nor of
    /// others of its lane that have smaller numbers or another epoch.
    fn forget(&mut self, key: &TransferKey);

    /// Goes on with what takes long, for a millisecond or so. What is done now, and whether there is more to do at
    /// once; what waits for the disk wakes the shell when it is done. It is called after all that was written, before
    /// the shell waits for anything.
    fn work(&mut self) -> (Vec<Worked>, bool);
}

/// No files at all: each message goes without its own.
#[derive(Debug, Default)]
pub struct NoFiles;

const NO_FILES: &str = "this connector has no access to files";

impl NoFiles {
    fn refused<T>() -> Result<T, FileError> {
        Err(FileError::Refused(NO_FILES.to_owned()))
    }
}

impl Files for NoFiles {
    fn open(&mut self, _: &str) -> Result<(FileId, Stamp), FileError> {
        Self::refused()
    }

    fn seek(&mut self, _: FileId, _: u64) -> Result<Step, FileError> {
        Self::refused()
    }

    fn read(&mut self, _: FileId, _: &mut [u8]) -> Result<usize, FileError> {
        Self::refused()
    }

    fn read_at(&mut self, _: FileId, _: u64, _: &mut [u8]) -> Result<(), FileError> {
        Self::refused()
    }

    fn hash(&mut self, _: FileId) -> Result<FileHash, FileError> {
        Self::refused()
    }

    fn remove(&mut self, _: &str, _: &Stamp) -> Result<(), FileError> {
        Self::refused()
    }

    fn begin(&mut self, _: &Incoming<'_>) -> Result<(FileId, Step), FileError> {
        Self::refused()
    }

    fn begin_published(&mut self, _: &Incoming<'_>) -> Result<(FileId, Step, String), NotKept> {
        Ok(Self::refused()?)
    }

    fn copy_published(&mut self, _: &str) -> Result<(FileId, Stamp, String), NotKept> {
        Ok(Self::refused()?)
    }

    fn hold(&mut self, _: &str) {}

    fn let_go(&mut self, _: &str) {}

    fn sweep_published(&mut self) {}

    fn write(&mut self, _: FileId, _: &[u8]) -> Result<Wrote, FileError> {
        Self::refused()
    }

    fn finish(&mut self, _: FileId, _: Option<&FileHash>) -> Result<Step, FileError> {
        Self::refused()
    }

    fn close(&mut self, _: FileId) {}

    fn forget(&mut self, _: &TransferKey) {}

    fn work(&mut self) -> (Vec<Worked>, bool) {
        (Vec::new(), false)
    }
}
