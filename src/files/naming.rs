//! The last step of a file: written through, given to its owner, and named. Readers see it from then on, and whole.

use std::fs::{File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::unistd::fchown;

use super::beneath::Folder;
use super::error::refused;
use super::journal::Record;
use super::owner::Owner;
use crate::core::files::FileError;

/// That files cannot be given to their owner was told.
static TOLD: AtomicBool = AtomicBool::new(false);

/// What is to be done, in this order, by whatever thread.
#[derive(Debug)]
pub(super) struct Naming {
    pub file: File,
    /// Where it lies, and under which name.
    pub from: Folder,
    pub partial: String,
    /// Where it goes: mostly the same folder. It is another if somebody has moved that one away.
    pub to: Folder,
    pub name: String,
    pub overrides: bool,
    pub owner: Option<Owner>,
    /// Its rights.
    pub mode: u32,
    /// That it is about to be named: written before it is.
    pub record: Option<Record>,
    /// Whether it must lie on the disk when this is done.
    pub synced: bool,
}

impl Naming {
    /// Does it.
    pub(super) fn run(&self) -> Result<(), FileError> {
        let path = self.to.path.join(&self.name);
        self.is_there()?;
        self.give();
        if let Err(error) = self.file.set_permissions(Permissions::from_mode(self.mode)) {
            log::warn!("{}: its rights stay those of its owner alone: {error}", path.display());
        }
        if self.synced {
            self.file.sync_all().map_err(|error| refused("write through", &path, error))?;
        }
        if let Some(record) = &self.record {
            record.write(self.synced)?;
        }
        let _replaced = self.overrides.then(|| self.to.hold(&self.name));
        match self.from.rename(&self.partial, &self.to, &self.name, self.overrides) {
            Ok(()) if self.synced => self.from.sync().and_then(|()| self.to.sync()),
            Ok(()) => Ok(()),
            Err(Errno::EEXIST) => Err(exists(&path.display().to_string())),
            Err(Errno::ENOENT) => Err(self.gone()),
            // The folder was moved to another disk: it cannot be renamed, and comes again.
            Err(Errno::EXDEV) => Err(self.gone()),
            Err(error) => Err(refused("give a received file the name", &path, error)),
        }
    }

    /// What was written still lies under its name. If not, and it were noted that it is about to be renamed, that would
    /// look as if it had been.
    fn is_there(&self) -> Result<(), FileError> {
        let found = self.from.look(&self.partial)?;
        let own = self.file.metadata().map_err(|error| refused("look at", &self.from.path, error))?;
        let is_same = found.is_some_and(|found| (found.st_ino, found.st_dev) == (own.ino(), own.dev()));
        if is_same { Ok(()) } else { Err(self.gone()) }
    }

    fn gone(&self) -> FileError {
        let (name, folder) = (&self.name, self.from.path.display());
        FileError::Changed(format!("{name} was being received in {folder}, which was moved or removed meanwhile"))
    }

    fn give(&self) {
        let Some(Owner { user, group }) = self.owner else { return };
        if let Err(error) = fchown(&self.file, Some(user), Some(group)) {
            // As in Python, it is of use nevertheless. What fails for one file fails for all.
            let level = if TOLD.swap(true, Ordering::Relaxed) { log::Level::Debug } else { log::Level::Warn };
            let path = self.to.path.join(&self.name);
            log::log!(
                level,
                "{}: cannot be given to {user}:{group}, it stays the connector's: {error}",
                path.display()
            );
        }
    }
}

/// There is one of that name.
pub(super) fn exists(path: &str) -> FileError {
    FileError::Refused(format!("{path} exists, and override_existing is not set for it in file_recv_config"))
}
