//! Files of publications: kept in a folder of the broker's own until the last subscriber has them.
//!
//! ```text
//! connector_files_dirpath/files_ROLE_UID/published/    mode 0700
//!     ID                          a file that is whole
//!     .aioconnectors-ID.part      one that comes
//! ```
//! They have `max_size_published_files` bytes together, those that come just now counted as long as they will be. Which of them
//! are needed the core says (`hold`, `let_go`); those of publishers with link 2 are also known to the journal, until the
//! message is taken over.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::background;
use super::beneath::Missing;
use super::beside::Writers;
use super::disk::{DiskFiles, Open};
use super::journal::{Journal, Place, make_private};
use super::order::{Order, Request};
use super::source::Source;
use super::target::Target;
use crate::core::files::{FileError, FileId, Incoming, NotKept, Stamp, Step, Wrote};

/// The files of publications.
#[derive(Debug)]
pub(super) struct Published {
    pub folder: PathBuf,
    /// Bytes that they may have together.
    pub most: u64,
    /// By their names.
    files: BTreeMap<String, Kept>,
    /// What the last life has left is known.
    swept: bool,
}

#[derive(Debug)]
struct Kept {
    size: u64,
    /// There is a publication that has it.
    held: bool,
}

/// A copy that is being made.
#[derive(Debug)]
pub(super) struct Copying {
    source: Source,
    pub target: Box<Target>,
    /// What was read and had no room among what waits to be written.
    held: Vec<u8>,
}

/// How far a copy has come.
#[derive(Debug)]
pub(super) enum Copied {
    /// There is more to copy.
    Some,
    /// It goes on when something is written.
    Waits,
    /// All is copied.
    All,
}

impl Copying {
    /// Copies some more.
    pub(super) fn step(&mut self, buffer: &mut [u8], writers: &mut Writers, id: u64) -> Result<Copied, FileError> {
        let read = if self.held.is_empty() { self.source.read_through(buffer)? } else { 0 };
        let bytes = if self.held.is_empty() { &buffer[..read] } else { &self.held };
        if bytes.is_empty() {
            // It is what it was, or else no copy of anything.
            return self.source.hash().map(|_| Copied::All);
        }
        if self.target.write(bytes, writers, id)? != Wrote::Full {
            self.held.clear();
            return Ok(Copied::Some);
        }
        if self.held.is_empty() {
            self.held = bytes.to_vec();
        }
        Ok(Copied::Waits)
    }
}

impl Published {
    pub(super) fn new(folder: PathBuf, most: u64) -> Self {
        Self { folder, most, files: BTreeMap::new(), swept: false }
    }

    /// The name of a file that lies in the folder.
    fn name_of(&self, path: &str) -> Option<String> {
        let path = Path::new(path);
        let name = path.file_name()?.to_str()?;
        (path.parent()? == self.folder && !name.starts_with('.')).then(|| name.to_owned())
    }

    /// That so many bytes have room beside the files of other names.
    fn check_room(&self, name: &str, size: u64) -> Result<(), NotKept> {
        let others = self.files.iter().filter(|(other, _)| *other != name).map(|(_, kept)| kept.size);
        let used: u64 = others.fold(0, u64::saturating_add);
        if used.saturating_add(size) <= self.most {
            return Ok(());
        }
        let most = self.most;
        let why = format!(
            "a file of {size} bytes has no room among those that are published: they have {used} bytes, and \
             max_size_published_files allows {most}"
        );
        Err(NotKept::NoRoom { later: size <= most, why })
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).to_string_lossy().into_owned()
    }

    fn put(&mut self, name: &str, size: u64) {
        let held = self.files.get(name).is_some_and(|kept| kept.held);
        self.files.insert(name.to_owned(), Kept { size, held });
    }

    /// What is there of a file is closed: so much of the room it has until it is gone on with.
    pub(super) fn closed(&mut self, target: &Target) {
        if target.order.place.base == self.folder {
            self.put(&target.order.place.name, target.size() - target.wants().0);
        }
    }

    /// Removes a file, if it is there.
    fn remove(&mut self, name: &str) {
        let path = self.folder.join(name);
        let size = self.files.remove(name).map_or(0, |kept| kept.size);
        // Its blocks are given back when the last that holds it lets it go.
        let held = fs::File::open(&path);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                log::warn!("{} was published, and cannot be removed: {error}", path.display());
            }
            _ => {}
        }
        background::close(held, size);
    }
}

impl DiskFiles {
    /// See `Files::begin_published`.
    pub(super) fn receive_published(&mut self, incoming: &Incoming<'_>) -> Result<(FileId, Step, String), NotKept> {
        let name = incoming.key.map_or_else(|| format!("{:032x}", fastrand::u128(..)), Journal::id);
        let path = self.published.path(&name);
        if incoming.key.is_some() {
            if self.naming.contains(&name) {
                return Err(FileError::Later("the file is being written through to the disk".to_owned()).into());
            }
            let size = fs::metadata(&path).ok().map(|found| found.len());
            let is_whole = self.journal.get(&name).is_some_and(|entry| entry.named) && size == Some(incoming.size);
            if is_whole {
                let id = self.next_id()?;
                self.published.put(&name, incoming.size);
                self.open.insert(id, Open::Whole { size: incoming.size, set: None });
                return Ok((FileId(id), Step::Done(incoming.size), path));
            }
        }
        self.published.check_room(&name, incoming.size)?;
        let request = Request::read(incoming, self.setup.max_receive)?;
        let id = self.next_id()?;
        let step = self.prepare_published(id, &request, &name)?;
        Ok((FileId(id), step, path))
    }

    fn prepare_published(&mut self, id: u64, request: &Request, name: &str) -> Result<Step, NotKept> {
        let folder = self.published.folder.clone();
        let place = Place { base: folder.clone(), folders: Vec::new(), name: name.to_owned() };
        let order = Order { place, owner: None, overrides: true, piece: None };
        make_private(&folder)?;
        let folder = self.folder(&order.place, Missing::Fail)?;
        let step = self.prepare_in(id, request, order, folder)?;
        self.published.put(name, request.size);
        Ok(step)
    }

    /// See `Files::copy_published`.
    pub(super) fn copy(&mut self, path: &str) -> Result<(FileId, Stamp, String), NotKept> {
        let source = Source::open(path, self.setup.max_send)?;
        let stamp = source.stamp();
        let name = format!("{:032x}", fastrand::u128(..));
        self.published.check_room(&name, stamp.size)?;
        let id = self.next_id()?;
        let request = Request::of_copy(stamp);
        self.prepare_published(id, &request, &name)?;
        let Some(Open::Target(target)) = self.open.remove(&id) else {
            return Err(FileError::Later("the copy was not begun".to_owned()).into());
        };
        self.open.insert(id, Open::Copying(Box::new(Copying { source, target, held: Vec::new() })));
        self.jobs.push_back(id);
        Ok((FileId(id), stamp, self.published.path(&name)))
    }

    /// All is copied: it gets its name.
    pub(super) fn copied(&mut self, id: u64) -> Option<Result<Step, FileError>> {
        let Some(Open::Copying(copying)) = self.open.remove(&id) else { return None };
        self.open.insert(id, Open::Target(copying.target));
        match self.end(FileId(id), None) {
            Ok(Step::Working) => None,
            ended => Some(ended),
        }
    }

    /// There is nothing to be gone on with of a file that came to this place.
    pub(super) fn dropped_at(&mut self, place: &Place) {
        let Published { folder, files, swept, .. } = &mut self.published;
        if place.base != *folder || files.get(&place.name).is_some_and(|kept| kept.held) {
            return;
        }
        if *swept {
            self.published.remove(&place.name);
        } else {
            // A publication that is not known yet may have it.
            files.remove(&place.name);
        }
    }

    /// See `Files::hold`.
    pub(super) fn hold_file(&mut self, path: &str) {
        let Some(name) = self.published.name_of(path) else { return };
        let size = fs::metadata(path).map_or(0, |found| found.len());
        self.published.files.insert(name, Kept { size, held: true });
    }

    /// See `Files::let_go`.
    pub(super) fn let_go_of_file(&mut self, path: &str) {
        if let Some(name) = self.published.name_of(path) {
            self.published.remove(&name);
        }
    }

    /// See `Files::sweep_published`.
    pub(super) fn sweep(&mut self) {
        self.published.swept = true;
        let folder = self.published.folder.clone();
        let mut known = BTreeSet::new();
        for id in self.journal.ids() {
            let Some(entry) = self.journal.get(&id).filter(|entry| entry.place.base == folder) else { continue };
            known.extend([entry.place.name.clone(), entry.partial.clone()]);
            let there = fs::metadata(folder.join(&entry.partial)).map(|found| found.len());
            let (name, size) = (entry.place.name.clone(), there.unwrap_or(if entry.named { entry.size } else { 0 }));
            self.published.put(&name, size);
        }
        let found = fs::read_dir(&folder).into_iter().flatten().flatten();
        for found in found {
            let name = found.file_name().to_string_lossy().into_owned();
            let is_held = self.published.files.get(&name).is_some_and(|kept| kept.held);
            if !is_held && !known.contains(&name) {
                log::info!("{} was published, and nobody waits for it: removed", found.path().display());
                self.published.remove(&name);
            }
        }
    }
}
