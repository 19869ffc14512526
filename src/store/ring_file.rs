//! The memory of a ring that lies in a file: two header pages, then the records.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::aside;
use super::error::StoreError;
use super::file::MappedFile;
use super::syncs::Syncs;
use crate::ring::header::{self, DATA_AT, Header, Identity, PAGE};
use crate::ring::memory::{Checkpoint, Durable};

/// See the module.
#[derive(Debug)]
pub(super) struct RingFile {
    file: MappedFile,
    epoch: u64,
    generation: u64,
    /// What was saved last.
    saved: Checkpoint,
    /// Which of the two pages is the older one.
    older: usize,
    synced: bool,
    syncs: Arc<Syncs>,
}

impl RingFile {
    /// Makes the file of an empty ring, which is expected to grow to `limit` bytes of records. It appears under its name
    /// whole, or not at all.
    ///
    /// # Errors
    /// There is no room for it, the folder cannot be written, or the identity is too long.
    pub(super) fn create(
        path: &Path,
        identity: &Identity,
        epoch: u64,
        limit: usize,
        synced: bool,
    ) -> Result<Self, StoreError> {
        let draft = draft_of(path);
        let page = |generation| {
            let (checkpoint, identity) = (Checkpoint::default(), identity.clone());
            let header = Header { generation, epoch, capacity: 0, checkpoint, identity };
            header.to_page().ok_or_else(|| StoreError::IdentityTooLong { identity: Box::new(header.identity) })
        };
        let pages = [page(1)?, page(0)?];
        let mut file = MappedFile::create(&draft, DATA_AT, DATA_AT.saturating_add(limit))?;
        file.bytes_mut().copy_from_slice(&pages.concat());
        file.rename(path.to_owned())?;
        let (saved, syncs) = (Checkpoint::default(), Arc::default());
        Ok(Self { file, epoch, generation: 1, saved, older: 1, synced, syncs })
    }

    /// The ring of a file whose newest header is `header`. A page that is not good is made so, by that one.
    pub(super) fn new(mut file: MappedFile, header: &Header, synced: bool) -> Self {
        let pages = [0, PAGE].map(|at| file.bytes().get(at..at + PAGE).and_then(|page| Header::read(page).ok()));
        let is_newest = |page: &Option<Header>| page.as_ref() == Some(header);
        let older = if is_newest(&pages[0]) { 1 } else { 0 };
        if pages[older].is_none()
            && let Some(page) = header.to_page()
        {
            file.bytes_mut()[older * PAGE..(older + 1) * PAGE].copy_from_slice(&page);
        }
        let Header { generation, epoch, checkpoint: saved, .. } = *header;
        Self { file, epoch, generation, saved, older, synced, syncs: Arc::default() }
    }

    /// Has its syncs counted with others.
    pub(super) fn timed(self, syncs: &Arc<Syncs>) -> Self {
        Self { syncs: Arc::clone(syncs), ..self }
    }
}

/// What the name of a file ends with until it is whole.
pub(super) const DRAFT: &str = "new";

/// The name that a file has until it is whole. What an interrupted run has left there is removed at the next start.
pub(super) fn draft_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(DRAFT);
    name.into()
}

impl Durable for RingFile {
    fn bytes(&self) -> &[u8] {
        &self.file.bytes()[DATA_AT..]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.file.bytes_mut()[DATA_AT..]
    }

    fn grow(&mut self, capacity: usize) -> Result<(), String> {
        self.file.grow(DATA_AT.saturating_add(capacity)).map_err(|error| error.to_string())
    }

    fn shrink(&mut self) {
        // What was saved must not speak of what is cut off, for this process may end between the two.
        if self.saved.records > 0 {
            return;
        }
        let (next_sequence, released_to) = (self.saved.next_sequence, self.saved.released_to);
        self.save(&Checkpoint { next_sequence, released_to, ..Checkpoint::default() });
        if let Err(error) = self.file.cut(DATA_AT) {
            log::warn!("{error}: an empty queue keeps its room on the disk");
        }
    }

    fn sync(&mut self) -> Result<(), String> {
        self.syncs.time(|| self.file.sync()).map_err(|error| error.to_string())
    }

    fn is_synced(&self) -> bool {
        self.synced
    }

    fn save(&mut self, checkpoint: &Checkpoint) {
        self.generation += 1;
        self.saved = *checkpoint;
        let capacity = self.bytes().len() as u64;
        let page = &mut self.file.bytes_mut()[self.older * PAGE..(self.older + 1) * PAGE];
        header::update(page, self.generation, self.epoch, capacity, checkpoint);
        self.older = 1 - self.older;
    }

    fn cool(&mut self, range: Range<usize>) {
        self.file.cool(range.start.saturating_add(DATA_AT)..range.end.saturating_add(DATA_AT));
    }

    fn quarantine(&mut self) -> Result<String, String> {
        let copy = aside::put_copy_aside(self.file.path());
        copy.map(|to| to.display().to_string()).map_err(|error| error.to_string())
    }

    fn discard(self: Box<Self>) {
        if let Err(error) = fs::remove_file(self.file.path()) {
            log::warn!("{}", StoreError::io("remove", self.file.path(), error));
        }
    }
}
