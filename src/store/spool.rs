//! The spool: the folder of a connector's queues on disk.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::aside;
use super::error::StoreError;
use super::file::MappedFile;
use super::inspect::{self, Found, State, is_remain};
use super::lock::FolderLock;
use super::names;
use super::places::PlacesFile;
use super::ring_file::{DRAFT, RingFile};
use super::syncs::Syncs;
use crate::ring::header::{DATA_AT, Identity, Kind};
use crate::ring::memory::{Checkpoint, Durable};
use crate::ring::recover::{Damage, Recovered, recover};
use crate::sys::size_limit::ignore_size_signal;
use crate::wire::record::Origin;

/// The name of the table of places.
pub(super) const PLACES: &str = "places";

/// The name of the table of subscriptions.
pub(super) const SUBSCRIPTIONS: &str = "subscriptions";

/// The folder, locked for this process until it is dropped.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    synced: bool,
    syncs: Arc<Syncs>,
    _lock: FolderLock,
}

/// A ring that lies in a file.
#[derive(Debug)]
pub struct Opened {
    /// What it lies in.
    pub memory: Box<dyn Durable>,
    /// Where its records are.
    pub checkpoint: Checkpoint,
    /// The number that the ring got when it was made, at random: another ring of its name has another one.
    pub epoch: u64,
    /// The origins of records that the last checkpoint did not know of: places that may be behind.
    pub origins: Vec<Origin>,
    /// The file that was found damaged and put aside, so that this one is new.
    pub put_aside: Option<PutAside>,
}

/// What a folder holds when a connector starts.
#[derive(Debug, Default)]
pub struct Existing {
    /// Whose rings there are.
    pub rings: Vec<Identity>,
    /// What was damaged.
    pub put_aside: Vec<PutAside>,
    /// What cannot be used and stays where it is.
    pub unusable: Vec<StoreError>,
}

/// A damaged file that is out of the way. It prints as one line, which is to be logged as an error.
#[derive(Debug)]
pub struct PutAside {
    /// Its name.
    pub path: PathBuf,
    /// The name that it has now.
    pub to: PathBuf,
    /// What is wrong with it.
    pub damage: Damage,
}

impl fmt::Display for PutAside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, to) = (self.path.display(), self.to.display());
        write!(f, "{path} is damaged: {}; it was put aside as {to} and a new one is used: ", self.damage)?;
        f.write_str("'aioconnectorsctl spool repair' gets out of it what can be read")
    }
}

impl Spool {
    /// Opens the folder, which is made if it is not there, for its owner only. From now on a limit for the size of files
    /// is an error for this process and no more its end. With `synced`, rings are told that they must survive the death
    /// of the machine as well.
    ///
    /// # Errors
    /// Another process works with it, or it cannot be made or written.
    pub fn open(folder: &Path, synced: bool) -> Result<Self, StoreError> {
        ignore_size_signal().map_err(|source| StoreError::io("write", folder, source))?;
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
                return Err(StoreError::io("make the folder", folder, source));
            }
            _ => {}
        }
        let lock = FolderLock::take(folder)?;
        remove_drafts(folder)?;
        Ok(Self { folder: folder.to_owned(), synced, syncs: Arc::default(), _lock: lock })
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// How long the disk takes for its files.
    #[must_use]
    pub fn syncs(&self) -> &Syncs {
        &self.syncs
    }

    /// The rings in the folder, as they are found when a connector starts. Files without a header are put aside.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn rings(&self) -> Result<Existing, StoreError> {
        let mut existing = Existing::default();
        for found in inspect::list(&self.folder)?.files.into_iter().filter(|found| found.state == State::InPlace) {
            match found.header {
                // As of a copy: the ring itself is found under its own name.
                Ok(header) if found.path.file_name() != Some(OsStr::new(&name_of(&header.identity))) => {
                    let (path, found) = (found.path, Box::new(header.identity));
                    existing.unusable.push(StoreError::Misnamed { path, found });
                }
                Ok(header) => existing.rings.push(header.identity),
                Err(Damage::OtherFormat(version)) => {
                    existing.unusable.push(StoreError::OtherVersion { path: found.path, found: version });
                }
                Err(damage) => match aside::put_aside(&found.path) {
                    Ok(to) => existing.put_aside.push(PutAside { path: found.path, to, damage }),
                    Err(error) => existing.unusable.push(error),
                },
            }
        }
        Ok(existing)
    }

    /// Removes the files of rings that `is_needed` does not name, and all that lie aside; which those were. It must name
    /// those that are open.
    ///
    /// # Errors
    /// One cannot be removed; others may be gone.
    pub fn remove_remains(&self, is_needed: &dyn Fn(&Identity) -> bool) -> Result<Vec<PathBuf>, StoreError> {
        let mut removed = Vec::new();
        for found in inspect::list(&self.folder)?.files.into_iter().filter(|found| is_remain(found, is_needed)) {
            self.remove(&found)?;
            removed.push(found.path);
        }
        Ok(removed)
    }

    /// Removes a file, which must not be open.
    ///
    /// # Errors
    /// The system refuses.
    pub fn remove(&self, found: &Found) -> Result<(), StoreError> {
        fs::remove_file(&found.path).map_err(|source| StoreError::io("remove", &found.path, source))
    }

    /// Opens the ring of `identity`, or makes it. It is expected to grow to `limit` bytes. It must not be open already.
    ///
    /// A damaged file is put aside and a new one takes its place, see [`Opened::put_aside`].
    ///
    /// # Errors
    /// The disk is full, the folder cannot be written, or the file is of another version or another's. It is then as it
    /// was.
    pub fn open_ring(&self, identity: &Identity, limit: usize) -> Result<Opened, StoreError> {
        let path = self.folder.join(name_of(identity));
        let file = match MappedFile::open(&path, DATA_AT.saturating_add(limit)) {
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => None,
            other => Some(other?),
        };
        let damage = match file.map(|file| self.reopen(file, &path, identity)) {
            Some(Ok(Ok(opened))) => return Ok(opened),
            Some(Ok(Err(damage))) => Some(damage),
            Some(Err(error)) => return Err(error),
            None => None,
        };
        let put_aside = match damage {
            Some(damage) => Some(PutAside { to: aside::put_aside(&path)?, path: path.clone(), damage }),
            None => None,
        };
        let epoch = fastrand::u64(1..);
        let memory = Box::new(RingFile::create(&path, identity, epoch, limit, self.synced)?.timed(&self.syncs));
        Ok(Opened { memory, checkpoint: Checkpoint::default(), epoch, origins: Vec::new(), put_aside })
    }

    /// The ring of a file that is there; or else what is wrong with the file, so that it is to be put aside.
    fn reopen(&self, file: MappedFile, path: &Path, identity: &Identity) -> Result<Result<Opened, Damage>, StoreError> {
        let (pages, data) = file.bytes().split_at(DATA_AT.min(file.bytes().len()));
        let path = || path.to_owned();
        match recover(pages, data, Some(identity)) {
            Ok(Some(recovered)) => {
                let Recovered { header, checkpoint, origins, .. } = recovered;
                let memory = Box::new(RingFile::new(file, &header, self.synced).timed(&self.syncs));
                Ok(Ok(Opened { memory, checkpoint, epoch: header.epoch, origins, put_aside: None }))
            }
            // Our files get their name when their header is written: zeros are no new ring, but a lost one.
            Ok(None) => Ok(Err(Damage::NoHeader)),
            Err(Damage::OtherFormat(found)) => Err(StoreError::OtherVersion { path: path(), found }),
            Err(Damage::OtherIdentity { expected, found }) => {
                Err(StoreError::OtherIdentity { path: path(), expected, found })
            }
            Err(damage) => Ok(Err(damage)),
        }
    }

    /// Opens the table of places, or makes an empty one: memory of slots, without a header.
    ///
    /// # Errors
    /// The disk is full, or the folder cannot be written.
    pub fn open_places(&self) -> Result<Box<dyn Durable>, StoreError> {
        Ok(Box::new(PlacesFile::open(&self.folder.join(PLACES), self.synced, &self.syncs)?))
    }

    /// Opens the table of subscriptions, or makes an empty one: memory of slots, without a header.
    ///
    /// # Errors
    /// The disk is full, or the folder cannot be written.
    pub fn open_subscriptions(&self) -> Result<Box<dyn Durable>, StoreError> {
        Ok(Box::new(PlacesFile::open(&self.folder.join(SUBSCRIPTIONS), self.synced, &self.syncs)?))
    }
}

/// Removes files that were being made when a process ended: they hold nothing that is not elsewhere.
fn remove_drafts(folder: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::io("read", folder, source);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|end| end == DRAFT) {
            fs::remove_file(&path).map_err(|source| StoreError::io("remove", &path, source))?;
        }
    }
    Ok(())
}

/// The name of a ring's file.
#[must_use]
pub fn name_of(identity: &Identity) -> String {
    match identity.kind {
        Kind::Outbox => names::outbox(&identity.peer, &identity.message_type),
        Kind::Inbox => names::inbox(&identity.message_type),
        Kind::Topic => names::topic(&identity.message_type),
    }
}

#[cfg(test)]
#[path = "spool_tests.rs"]
mod tests;
