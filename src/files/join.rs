//! Files that come in pieces, as the Python package cuts them: joined when all are there.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use nix::fcntl::OFlag;

use super::beneath::Folder;
use super::error::refused;
use super::journal::PieceSet;
use super::names;
use super::target::check_room;
use crate::core::files::FileError;

/// Bytes that are copied at a time.
const STEP: u64 = 1024 * 1024;

/// A file that is being joined: a copy of its pieces in the order of their numbers.
#[derive(Debug)]
pub(super) struct Join {
    pub id: String,
    pub set: PieceSet,
    /// What is said of its last piece when it is done, bytes.
    pub size: u64,
    folder: Folder,
    out: File,
    /// The piece that is copied, and what of it is open.
    index: u32,
    piece: Option<File>,
}

/// Whether all pieces are there. They come in order mostly, so the one after `index` is looked for first.
pub(super) fn is_complete(folder: &Folder, id: &str, count: u32, index: u32) -> Result<bool, FileError> {
    for index in (index + 1..=count).chain(1..=index.min(count)) {
        if folder.look(&names::piece(id, index))?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Removes all that is there of a set.
pub(super) fn remove_pieces(folder: &Folder, id: &str, count: u32) -> Result<(), FileError> {
    folder.remove(&names::joined(id))?;
    (1..=count).try_for_each(|index| folder.remove(&names::piece(id, index)))
}

impl Join {
    /// Begins to join, if the whole has `max` bytes at most. The last piece had `last`.
    pub(super) fn new(
        folder: Folder,
        id: &str,
        set: PieceSet,
        (last, max): (u64, u64),
        promised: &dyn Fn(u64) -> u64,
    ) -> Result<Self, FileError> {
        let mut size = 0_u64;
        for index in 1..=set.count {
            let found = folder.look(&names::piece(id, index))?;
            size = size.saturating_add(found.map_or(0, |found| u64::try_from(found.st_size).unwrap_or(0)));
        }
        if size > max {
            let path = set.place.path();
            let path = path.display();
            let why = format!("{path} has {size} bytes in all, and max_size_file_upload_recv allows {max}");
            return Err(FileError::Refused(why));
        }
        check_room(&folder, size, promised)?;
        let out = folder.create(&names::joined(id))?;
        Ok(Self { id: id.to_owned(), set, size: last, folder, out, index: 1, piece: None })
    }

    /// Copies some more; whether that is all.
    pub(super) fn step(&mut self) -> Result<bool, FileError> {
        if self.index > self.set.count {
            return Ok(true);
        }
        let name = names::piece(&self.id, self.index);
        let path = self.folder.path.join(&name);
        let mut piece = match self.piece.take() {
            Some(piece) => piece,
            None => self.folder.open_file(&name, OFlag::O_RDONLY)?,
        };
        // The kernel copies, without the bytes coming here, where the disk can do that.
        let copied = io::copy(&mut piece.by_ref().take(STEP), &mut self.out);
        match copied.map_err(|error| refused("join the pieces, now", &path, error))? {
            0 => self.index += 1,
            _ => self.piece = Some(piece),
        }
        Ok(false)
    }

    /// The whole, which has no name yet.
    pub(super) fn into_parts(mut self) -> Result<(File, Folder), FileError> {
        let rewound = self.out.seek(SeekFrom::Start(0));
        rewound.map_err(|error| refused("join", &self.set.place.path(), error))?;
        Ok((self.out, self.folder))
    }
}
