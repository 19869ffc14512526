//! The way of a file that comes: where it goes, what is there of it, its end.

use std::sync::Arc;

use nix::fcntl::{OFlag, PosixFadviseAdvice, posix_fadvise};

use super::background;
use super::beneath::{Folder, How, Missing, is_file};
use super::beside::BESIDE;
use super::disk::{DiskFiles, Open, unknown};
use super::hook;
use super::join::{Join, is_complete, remove_pieces};
use super::journal::{Entry, Journal, PieceSet, Place, unlink};
use super::names;
use super::naming::{Naming, exists};
use super::order::{Order, Piece, Request, real};
use super::target::{Lies, Target, check_room};
use crate::core::files::{FileError, FileHash, FileId, Files, Incoming, Step, TransferKey, Worked};

/// What is being named, on the loop or beside it.
#[derive(Debug)]
pub(super) struct Named {
    /// Whose id it has.
    pub file: u64,
    naming: Naming,
    what: What,
    /// What came of it.
    result: Result<(), FileError>,
}

#[derive(Debug)]
enum What {
    Target(Box<Target>),
    Whole { set: String, size: u64 },
}

impl What {
    /// Its entry or set in the journal.
    fn id(&self) -> &str {
        match self {
            What::Target(target) => &target.id,
            What::Whole { set, .. } => set,
        }
    }

    /// Bytes of the file.
    fn size(&self) -> u64 {
        match self {
            What::Target(target) => target.size(),
            What::Whole { size, .. } => *size,
        }
    }
}

/// Names it.
pub(super) fn name(named: &mut Named) {
    named.result = named.naming.run();
}

impl DiskFiles {
    /// See [`crate::core::files::Files::begin`].
    pub(super) fn receive(&mut self, incoming: &Incoming<'_>) -> Result<(FileId, Step), FileError> {
        if let Some(key) = incoming.key {
            let entry = Journal::id(key);
            if self.naming.contains(&entry) {
                return Err(FileError::Later("the file is being written through to the disk".to_owned()));
            }
            if self.errands.has(&entry) {
                return Err(FileError::Later("what was there of the file is being removed".to_owned()));
            }
            if let Some(open) = self.whole(key, incoming.size)? {
                let id = self.next_id()?;
                self.open.insert(id, open);
                return Ok((FileId(id), Step::Done(incoming.size)));
            }
        }
        let request = Request::read(incoming, self.setup.max_receive)?;
        request.config(&self.setup.receive)?;
        let id = self.next_id()?;
        let step = match self.hook.ask(id, incoming.header) {
            hook::Asked::Now(folder) => self.prepare(id, request, folder)?,
            hook::Asked::Later => {
                self.open.insert(id, Open::Asking(Box::new(request)));
                Step::Working
            }
        };
        Ok((FileId(id), step))
    }

    /// A hook has answered.
    pub(super) fn answered(&mut self, id: u64, folder: hook::Folder) -> Option<Result<Step, FileError>> {
        let Some(Open::Asking(request)) = self.open.remove(&id) else { return None };
        match self.prepare(id, *request, folder) {
            Ok(Step::Working) => None,
            done => Some(done),
        }
    }

    /// A file that was not closed, because its link is another now, is gone on with under another id.
    fn let_go_of(&mut self, entry: &str) {
        let is_it = |open: &Open| matches!(open, Open::Target(target) if target.id == entry);
        let earlier: Vec<u64> = self.open.iter().filter(|(_, open)| is_it(open)).map(|(id, _)| *id).collect();
        earlier.into_iter().for_each(|id| self.close(FileId(id)));
    }

    /// A target is closed. What is there of it is kept, if it can be gone on with.
    pub(super) fn leave(&mut self, id: u64, target: Box<Target>) {
        let is_kept = target.keyed && self.journal.get(&target.id).is_some();
        if let Some(beside) = target.beside() {
            self.writers.give_up(beside);
            if is_kept && !beside.is_idle() {
                self.leaving.insert(id, (target.id.clone(), Arc::clone(beside)));
            }
        }
        if is_kept {
            self.published.closed(&target);
        } else {
            self.journal.take(&target.id);
            self.dropped_at(&target.order.place);
            let (entry, path) = (target.id.clone(), self.journal.file_of(&target.id));
            self.errands.run(&entry, move || {
                target.discard();
                unlink(&path);
            });
        }
    }

    /// A thread has written more of a file, or has failed, or is done with one that was closed.
    pub(super) fn come_further(&mut self, ticket: u64) -> Vec<Worked> {
        if self.leaving.get(&ticket).is_some_and(|(_, beside)| beside.is_idle()) {
            return self.leaving.remove(&ticket).map(|(entry, _)| self.go_on_behind(&entry)).unwrap_or_default();
        }
        let Some(Open::Target(target)) = self.open.get(&ticket) else { return Vec::new() };
        let result = match target.written() {
            Ok(_) if target.ending.is_some() && !target.is_being_written() => {
                let hash = target.ending.flatten();
                self.end(FileId(ticket), hash.as_ref())
            }
            written => written.map(Step::Written),
        };
        if result == Ok(Step::Working) { Vec::new() } else { vec![(FileId(ticket), result)] }
    }

    /// Goes on with a file whose earlier bytes are written now.
    fn go_on_behind(&mut self, entry: &str) -> Vec<Worked> {
        let is_it = |open: &Open| matches!(open, Open::Behind(b) if b.0.key.as_ref().map(Journal::id).as_deref() == Some(entry));
        let behind: Vec<u64> = self.open.iter().filter(|(_, open)| is_it(open)).map(|(id, _)| *id).collect();
        let mut done = Vec::new();
        for id in behind {
            let Some(Open::Behind(behind)) = self.open.remove(&id) else { continue };
            match self.prepare(id, behind.0, behind.1) {
                Ok(Step::Working) => {}
                result => done.push((FileId(id), result)),
            }
        }
        done
    }

    /// The message's file, if it is there whole.
    fn whole(&self, key: &TransferKey, size: u64) -> Result<Option<Open>, FileError> {
        let Some(entry) = self.journal.get(&Journal::id(key)).filter(|entry| entry.named) else { return Ok(None) };
        let is_there = match self.folder(&entry.place, Missing::Fail) {
            Ok(folder) => is_unnamed(&folder, entry)?,
            Err(FileError::Later(why)) => return Err(FileError::Later(why)),
            // Without its folder there is nothing that could still be named.
            Err(_) => false,
        };
        Ok((!is_there).then(|| Open::Whole { size, set: entry.set.clone() }))
    }

    pub(super) fn folder(&self, place: &Place, missing: Missing) -> Result<Folder, FileError> {
        Folder::open(self.how, &place.base, &place.folders, missing)
    }

    /// Makes room for it, and looks what is there of it.
    fn prepare(&mut self, id: u64, request: Request, hooked: hook::Folder) -> Result<Step, FileError> {
        if let Some(entry) = request.key.as_ref().map(Journal::id) {
            self.let_go_of(&entry);
            // Its length would be that of what is there so far.
            if self.leaving.values().any(|(leaving, _)| *leaving == entry) {
                self.open.insert(id, Open::Behind(Box::new((request, hooked))));
                return Ok(Step::Working);
            }
        }
        let order = request.order(&self.setup.receive, hooked, &mut self.owners)?;
        let path = order.place.path();
        self.setup.own.check(path.parent().unwrap_or(&path))?;
        let folder = self.folder(&order.place, Missing::Make(order.owner))?;
        self.setup.own.check(&real(&folder.path))?;
        self.prepare_in(id, &request, order, folder)
    }

    /// The same in its folder, which is open.
    pub(super) fn prepare_in(
        &mut self,
        id: u64,
        request: &Request,
        order: Order,
        folder: Folder,
    ) -> Result<Step, FileError> {
        check_free(&folder, &order)?;
        let entry = Entry {
            key: request.key.clone(),
            size: request.size,
            stamp: request.stamp,
            place: order.place.clone(),
            partial: String::new(),
            named: false,
            set: order.piece.as_ref().map(|piece| piece.set.clone()),
        };
        if let Some(piece) = &order.piece {
            self.begin_set(piece, &order)?;
        }
        let (lies, written) = self.lay(&folder, entry)?;
        let promised = |disk| self.promised(disk);
        if let Err(error) = check_room(&folder, request.size - written, &promised) {
            if request.key.is_none() {
                self.discard(&lies.0);
            }
            return Err(error);
        }
        let (entry_id, partial, file) = lies;
        let lies = Lies { id: entry_id, partial, folder, file };
        let target = Target::new(lies, request.key.is_some(), order, request.size, written);
        let step = if target.is_behind() { Step::Working } else { Step::Done(written) };
        self.open.insert(id, Open::Target(Box::new(target)));
        self.work_on(id, &step);
        Ok(step)
    }

    /// Notes that a piece of a file is to come.
    fn begin_set(&mut self, piece: &Piece, order: &Order) -> Result<(), FileError> {
        let Piece { set, count, whole, .. } = piece;
        let is_joined = |open: &Open| matches!(open, Open::Joining(join) if join.id == *set);
        if self.naming.contains(set) || self.open.values().any(is_joined) {
            let path = whole.path();
            return Err(FileError::Later(format!("{} is being joined from pieces that came before", path.display())));
        }
        if self.journal.set(set).is_some_and(|set| set.joined) {
            self.discard_set(set);
        }
        let (overrides, owner) = (order.overrides, order.owner);
        let pieces = PieceSet { place: whole.clone(), count: *count, overrides, owner, joined: false };
        self.journal.put_set(set, pieces)
    }

    /// Opens the partial file of an entry, which has one afterwards: what is there of it, if it is of the same source and
    /// goes to the same place, else an empty one.
    fn lay(&mut self, folder: &Folder, mut entry: Entry) -> Result<((String, String, std::fs::File), u64), FileError> {
        let chance = || format!("{:032x}", fastrand::u128(..));
        let id = entry.key.as_ref().map_or_else(chance, Journal::id);
        entry.partial = names::partial(&id);
        let partial = entry.partial.clone();
        match self.journal.get(&id) {
            Some(known) if Entry { named: false, ..known.clone() } == entry => {
                if let Ok(file) = folder.open_file(&partial, OFlag::O_RDWR) {
                    let length = file.metadata().map_or(0, |found| found.len());
                    if length <= entry.size {
                        // It will be read from its beginning on. That is a hint only.
                        let _ = posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_SEQUENTIAL);
                        self.journal.put(&id, entry)?;
                        return Ok(((id, partial, file), length));
                    }
                }
            }
            Some(_) => self.discard(&id),
            None => {}
        }
        self.journal.put(&id, entry)?;
        match folder.create(&partial) {
            Ok(file) => Ok(((id, partial, file), 0)),
            Err(error) => {
                self.journal.remove(&id);
                Err(error)
            }
        }
    }

    /// Bytes on a disk that files which are open still need.
    fn promised(&self, disk: u64) -> u64 {
        let targets = self.open.values().filter_map(|open| match open {
            Open::Target(target) => Some(target.wants()),
            Open::Copying(copying) => Some(copying.target.wants()),
            _ => None,
        });
        targets.filter(|(_, on)| *on == Some(disk)).map(|(bytes, _)| bytes).sum()
    }

    /// See [`crate::core::files::Files::finish`].
    pub(super) fn end(&mut self, file: FileId, hash: Option<&FileHash>) -> Result<Step, FileError> {
        match self.open.remove(&file.0) {
            Some(Open::Target(target)) => self.end_target(file.0, target, hash),
            Some(Open::Whole { size, set }) => self.join(file.0, size, set.as_deref(), 0),
            Some(other) => {
                self.open.insert(file.0, other);
                Err(unknown(file))
            }
            None => Err(unknown(file)),
        }
    }

    fn end_target(&mut self, id: u64, mut target: Box<Target>, hash: Option<&FileHash>) -> Result<Step, FileError> {
        if target.is_being_written() {
            target.ending = Some(hash.copied());
            self.open.insert(id, Open::Target(target));
            return Ok(Step::Working);
        }
        if let Err(error) = target.check(hash) {
            if matches!(error, FileError::Changed(_)) {
                self.discard_target(target);
            } else {
                self.open.insert(id, Open::Target(target));
            }
            return Err(error);
        }
        match self.naming(&target) {
            Ok(naming) => self.name(Named { file: id, naming, what: What::Target(target), result: Ok(()) }),
            Err(error) => Err(self.unnamed(id, What::Target(target), error)),
        }
    }

    fn naming(&mut self, target: &Target) -> Result<Naming, FileError> {
        let Order { place, owner, overrides, piece } = &target.order;
        // The folder may be another one by now.
        let to = self.folder(place, Missing::Make(*owner))?;
        Ok(Naming {
            file: target.file()?,
            from: target.folder.duplicate()?,
            partial: target.partial.clone(),
            to,
            name: place.name.clone(),
            overrides: *overrides || piece.is_some(),
            owner: *owner,
            mode: self.mode,
            record: if target.keyed { self.journal.name(&target.id) } else { None },
            synced: self.setup.synced,
        })
    }

    /// Names it at once, or on a thread if it must lie on the disk before, or is long. A file system may see to that on
    /// its own when a name passes from one file to another, as ext4 does, and takes its time for a long one.
    fn name(&mut self, mut named: Named) -> Result<Step, FileError> {
        if self.setup.synced || named.what.size() >= BESIDE {
            self.open.insert(named.file, Open::Naming);
            self.naming.insert(named.what.id().to_owned());
            self.background.start(named);
            return Ok(Step::Working);
        }
        name(&mut named);
        self.named(named)
    }

    /// A thread has named it.
    pub(super) fn named_later(&mut self, named: Named) -> Option<Result<Step, FileError>> {
        let id = named.file;
        let is_closed = self.open.remove(&id).is_none();
        self.naming.remove(named.what.id());
        let result = self.named(named);
        if is_closed {
            self.close(FileId(id));
            return None;
        }
        (result != Ok(Step::Working)).then_some(result)
    }

    fn named(&mut self, named: Named) -> Result<Step, FileError> {
        let Named { file, what, result, .. } = named;
        if let Err(error) = result {
            return Err(self.unnamed(file, what, error));
        }
        match what {
            What::Target(target) => {
                log::debug!("{} was received: {} bytes", target.order.place.path().display(), target.size());
                if !target.keyed || self.journal.get(&target.id).is_none() {
                    // The entry was written once more when the file was about to be named.
                    self.journal.take(&target.id);
                    let path = self.journal.file_of(&target.id);
                    self.errands.run(&target.id, move || unlink(&path));
                }
                let (set, index) = match &target.order.piece {
                    Some(piece) => (Some(piece.set.as_str()), piece.index),
                    None => (None, 0),
                };
                self.join(file, target.size(), set, index)
            }
            What::Whole { set, size } => {
                self.discard_set(&set);
                Ok(Step::Done(size))
            }
        }
    }

    /// It could not be named. What may work later is kept.
    fn unnamed(&mut self, id: u64, what: What, error: FileError) -> FileError {
        match (what, &error) {
            (What::Target(target), FileError::Later(_)) => _ = self.open.insert(id, Open::Target(target)),
            (What::Target(target), _) => self.discard_target(target),
            (What::Whole { set, size }, FileError::Later(_)) => {
                self.open.insert(id, Open::Whole { size, set: Some(set) });
            }
            (What::Whole { set, .. }, _) => self.discard_set(&set),
        }
        error
    }

    /// Begins to join the pieces of a set, if all are there.
    fn join(&mut self, id: u64, size: u64, set: Option<&str>, index: u32) -> Result<Step, FileError> {
        let Some(set) = set else { return Ok(Step::Done(size)) };
        let Some(pieces) = self.journal.set(set).cloned() else { return Ok(Step::Done(size)) };
        let is_joined = |open: &Open| matches!(open, Open::Joining(join) if join.id == set);
        if self.open.values().any(is_joined) {
            return Ok(Step::Done(size));
        }
        match self.begin_join(set, pieces, size, index) {
            Ok(None) => Ok(Step::Done(size)),
            Ok(Some(join)) => {
                self.open.insert(id, Open::Joining(Box::new(join)));
                self.jobs.push_back(id);
                Ok(Step::Working)
            }
            Err(error) => Err(self.unnamed(id, What::Whole { set: set.to_owned(), size }, error)),
        }
    }

    fn begin_join(&mut self, id: &str, set: PieceSet, size: u64, index: u32) -> Result<Option<Join>, FileError> {
        if self.naming.contains(id) {
            return Err(FileError::Later("the whole is being written through to the disk".to_owned()));
        }
        let folder = self.folder(&set.place, Missing::Fail)?;
        if set.joined {
            if folder.look(&names::joined(id))?.is_none() {
                // It had been named before the connector was stopped.
                remove_pieces(&folder, id, set.count)?;
                self.journal.remove_set(id);
                return Ok(None);
            }
            self.journal.put_set(id, PieceSet { joined: false, ..set.clone() })?;
        }
        if !is_complete(&folder, id, set.count, index)? {
            return Ok(None);
        }
        let promised = |disk| self.promised(disk);
        Join::new(folder, id, set, (size, self.setup.max_receive), &promised).map(Some)
    }

    /// All pieces are copied: the whole gets its name.
    pub(super) fn joined(&mut self, id: u64) -> Option<Result<Step, FileError>> {
        let Some(Open::Joining(join)) = self.open.remove(&id) else { return None };
        let (set, pieces) = (join.id.clone(), join.set.clone());
        let what = What::Whole { set: set.clone(), size: join.size };
        let to = self.folder(&pieces.place, Missing::Fail);
        let (file, from, to) = match to.and_then(|to| join.into_parts().map(|(file, from)| (file, from, to))) {
            Ok(parts) => parts,
            Err(error) => return Some(Err(self.unnamed(id, what, error))),
        };
        let naming = Naming {
            file,
            from,
            partial: names::joined(&set),
            to,
            name: pieces.place.name,
            overrides: pieces.overrides,
            owner: pieces.owner,
            mode: self.mode,
            record: self.journal.join(&set),
            synced: self.setup.synced,
        };
        let result = self.name(Named { file: id, naming, what, result: Ok(()) });
        (result != Ok(Step::Working)).then_some(result)
    }

    /// The pieces could not be joined.
    pub(super) fn not_joined(&mut self, id: u64, error: FileError) -> FileError {
        match self.open.remove(&id) {
            Some(Open::Joining(join)) => self.unnamed(id, What::Whole { set: join.id, size: join.size }, error),
            _ => error,
        }
    }

    /// Removes what there is of a file, and its entry.
    pub(super) fn discard(&mut self, id: &str) {
        let Some(entry) = self.journal.remove(id) else { return };
        remove_partial(self.how, &entry);
        self.dropped_at(&entry.place);
    }

    /// The same beside the loop: it is not begun anew at once.
    pub(super) fn discard_later(&mut self, id: &str) {
        let Some(entry) = self.journal.take(id) else { return };
        self.dropped_at(&entry.place);
        let (how, path) = (self.how, self.journal.file_of(id));
        self.errands.run(id, move || {
            remove_partial(how, &entry);
            unlink(&path);
        });
    }

    /// The same of one that is open, and may be begun anew at once.
    pub(super) fn discard_target(&mut self, target: Box<Target>) {
        target.discard();
        self.journal.remove(&target.id);
        let (size, place) = (target.size(), target.order.place.clone());
        background::close(target, size);
        self.dropped_at(&place);
    }
}

/// Removes what there is of a file.
fn remove_partial(how: How, entry: &Entry) {
    let Place { base, folders, .. } = &entry.place;
    let folder = Folder::open(how, base, folders, Missing::Fail);
    if let Err(error) = folder.and_then(|folder| folder.remove(&entry.partial)) {
        log::debug!("what there is of {} stays: {error}", entry.place.path().display());
    }
}

/// Whether a file that was about to be named has no name yet. One that has both names, because it was linked and not
/// unlinked, has its name.
fn is_unnamed(folder: &Folder, entry: &Entry) -> Result<bool, FileError> {
    let Some(partial) = folder.look(&entry.partial)? else { return Ok(false) };
    let named = folder.look(&entry.place.name)?;
    if named.is_some_and(|named| (named.st_ino, named.st_dev) == (partial.st_ino, partial.st_dev)) {
        folder.remove(&entry.partial)?;
        return Ok(false);
    }
    Ok(true)
}

/// That the name is free, or may be taken. It is looked at again, by the kernel, when the file gets it.
fn check_free(folder: &Folder, order: &Order) -> Result<(), FileError> {
    let name = order.piece.as_ref().map_or(&order.place.name, |piece| &piece.whole.name);
    let path = folder.path.join(name);
    match folder.look(name)? {
        None => Ok(()),
        Some(found) if !is_file(&found) => {
            let path = path.display();
            Err(FileError::Refused(format!("{path} is a link, a folder or a device, and only a file is replaced")))
        }
        Some(_) if order.overrides => Ok(()),
        Some(_) => Err(exists(&path.display().to_string())),
    }
}
