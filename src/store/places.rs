//! The file of the table of places: slots from its beginning on, each with a checksum of its own, so it needs no header.

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::aside;
use super::error::StoreError;
use super::file::MappedFile;
use super::syncs::Syncs;
use crate::ring::memory::{Checkpoint, Durable};
use crate::sys::map::PAGE;

/// Address space for 64 Ki places of 64 bytes.
const RESERVE: usize = 4 << 20;

/// See the module.
#[derive(Debug)]
pub(super) struct PlacesFile {
    file: MappedFile,
    synced: bool,
    syncs: Arc<Syncs>,
}

impl PlacesFile {
    /// Opens the table at `path`, or makes an empty one. Its length is one of whole pages.
    ///
    /// # Errors
    /// It cannot be read and written, or there is no room for it.
    pub(super) fn open(path: &Path, synced: bool, syncs: &Arc<Syncs>) -> Result<Self, StoreError> {
        let file = match path.symlink_metadata() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => MappedFile::create(path, PAGE, RESERVE)?,
            _ => {
                let mut file = MappedFile::open(path, RESERVE)?;
                file.grow(file.bytes().len().max(PAGE))?;
                file
            }
        };
        Ok(Self { file, synced, syncs: Arc::clone(syncs) })
    }
}

impl Durable for PlacesFile {
    fn bytes(&self) -> &[u8] {
        self.file.bytes()
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        self.file.bytes_mut()
    }

    fn grow(&mut self, capacity: usize) -> Result<(), String> {
        self.file.grow(capacity).map_err(|error| error.to_string())
    }

    /// Nothing is given back: a place's slot never moves.
    fn shrink(&mut self) {}

    fn sync(&mut self) -> Result<(), String> {
        self.syncs.time(|| self.file.sync()).map_err(|error| error.to_string())
    }

    fn is_synced(&self) -> bool {
        self.synced
    }

    /// There is none to write: each slot stands for itself.
    fn save(&mut self, _: &Checkpoint) {}

    fn cool(&mut self, range: Range<usize>) {
        self.file.cool(range);
    }

    fn quarantine(&mut self) -> Result<String, String> {
        aside::put_copy_aside(self.file.path()).map(|to| to.display().to_string()).map_err(|error| error.to_string())
    }

    fn discard(self: Box<Self>) {
        if let Err(error) = fs::remove_file(self.file.path()) {
            log::warn!("{}", StoreError::io("remove", self.file.path(), error));
        }
    }
}
