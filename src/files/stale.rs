//! What the last life of a connector left of files that were coming, when the next one begins.

use std::time::{Duration, SystemTime};

use super::beneath::{Folder, Missing};
use super::disk::DiskFiles;
use super::join::remove_pieces;
use super::journal::{Ages, PieceSet};

/// What is there of a file, or of its pieces, is removed if nobody has gone on with it for so long.
pub(super) const PARTIAL_KEPT: Duration = Duration::from_secs(7 * 86_400);

/// That a file is there whole is known for so long, if its message is never taken over.
pub(super) const WHOLE_KEPT: Duration = Duration::from_secs(90 * 86_400);

impl DiskFiles {
    /// Removes what cannot be gone on with, and what nobody has gone on with for long.
    pub(super) fn remove_stale(&mut self, ages: &Ages) {
        let age = |id: &str| {
            let written = ages.get(id).copied().unwrap_or(SystemTime::now());
            SystemTime::now().duration_since(written).unwrap_or_default()
        };
        for id in self.journal.ids() {
            let Some(entry) = self.journal.get(&id) else { continue };
            let kept = if entry.named { WHOLE_KEPT } else { PARTIAL_KEPT };
            if entry.key.is_some() && age(&id) < kept {
                continue;
            }
            if entry.key.is_some() {
                let path = entry.place.path();
                log::warn!("{}: nobody has gone on with it for {} days, given up", path.display(), days(kept));
            }
            self.discard(&id);
        }
        for (id, set) in self.journal.sets() {
            if set.joined || age(&id) >= PARTIAL_KEPT {
                self.remove_stale_set(&id, &set);
            }
        }
    }

    fn remove_stale_set(&mut self, id: &str, set: &PieceSet) {
        if !set.joined {
            let (path, days) = (set.place.path(), days(PARTIAL_KEPT));
            log::warn!("{}: no piece of it has come for {days} days, the others are removed", path.display());
        } else if self.is_joined_unnamed(id, set) {
            return;
        }
        self.discard_set(id);
    }

    /// The whole was to be named when the connector was stopped, and was not: its pieces are there.
    fn is_joined_unnamed(&self, id: &str, set: &PieceSet) -> bool {
        let folder = Folder::open(self.how, &set.place.base, &set.place.folders, Missing::Fail);
        folder.is_ok_and(|folder| matches!(folder.look(&super::names::joined(id)), Ok(Some(_))))
    }

    /// Removes all that is there of a set of pieces.
    pub(super) fn discard_set(&mut self, id: &str) {
        let Some(set) = self.journal.set(id).cloned() else { return };
        let folder = Folder::open(self.how, &set.place.base, &set.place.folders, Missing::Fail);
        if let Err(error) = folder.and_then(|folder| remove_pieces(&folder, id, set.count)) {
            log::debug!("pieces of {} stay: {error}", set.place.path().display());
        }
        self.journal.remove_set(id);
    }
}

fn days(time: Duration) -> u64 {
    time.as_secs() / 86_400
}
