//! [`Files`] on the disk.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::background::{Background, Bell};
use super::beneath::How;
use super::beside::{BESIDE, Beside, Writers};
use super::errands::Errands;
use super::hook::{Folder as Hooked, NoHook, TargetHook};
use super::join::Join;
use super::journal::Journal;
use super::order::{OwnFolders, Request};
use super::owner::Owners;
use super::published::{Copied, Copying, Published};
use super::receive::{Named, name};
use super::source::{self, Blocks, Source};
use super::target::Target;
use crate::config::FileRecv;
use crate::core::files::{
    FileError, FileHash, FileId, Files, Incoming, NotKept, PIECE_MAX, Stamp, Step, TransferKey, Worked, Wrote,
};

/// Most files that are open at a time.
const OPEN_MAX: usize = 1024;

/// How long a call of [`Files::work`] goes on.
const WORK_TIME: Duration = Duration::from_millis(1);

/// What the config says of files.
#[derive(Debug)]
pub struct Setup {
    /// `file_recv_config`: where files go, by `dst_type`.
    pub receive: BTreeMap<String, FileRecv>,
    /// `max_size_file_upload_recv`, bytes.
    pub max_receive: u64,
    /// `max_size_file_upload_send`, bytes.
    pub max_send: u64,
    /// The folder of the entries of files that come. It is made when the first one does.
    pub journal: PathBuf,
    /// Where no file goes.
    pub own: OwnFolders,
    /// `max_size_published_files`, bytes.
    pub max_published: u64,
    /// Whether a file must lie on the disk before it counts.
    pub synced: bool,
}

/// Something that has a [`FileId`].
#[derive(Debug)]
pub(super) enum Open {
    Source(Box<Source>),
    /// A hook is asked where it goes.
    Asking(Box<Request>),
    /// A thread still writes what an earlier link brought of it.
    Behind(Box<(Request, Hooked)>),
    Target(Box<Target>),
    /// It is copied, to be published.
    Copying(Box<Copying>),
    /// It is written through and named.
    Naming,
    /// The whole of this set of pieces is joined.
    Joining(Box<Join>),
    /// It was there already; the set that it is a piece of.
    Whole {
        size: u64,
        set: Option<String>,
    },
}

/// See the module.
#[derive(Debug)]
pub struct DiskFiles {
    pub(super) setup: Setup,
    pub(super) how: How,
    pub(super) journal: Journal,
    pub(super) published: Published,
    pub(super) hook: Box<dyn TargetHook>,
    pub(super) owners: Owners,
    pub(super) background: Background<Named>,
    pub(super) open: BTreeMap<u64, Open>,
    /// Write long files.
    pub(super) writers: Writers,
    /// Files that were closed while a thread was writing them: by ticket, their entries.
    pub(super) leaving: BTreeMap<u64, (String, Arc<Beside>)>,
    pub(super) errands: Errands,
    /// Entries and sets that threads are naming.
    pub(super) naming: BTreeSet<String>,
    /// Those that there is more to do for.
    pub(super) jobs: VecDeque<u64>,
    /// Copies that wait until more may be written.
    stalled: Vec<u64>,
    /// What became known outside of [`Files::work`].
    pub(super) ready: Vec<Worked>,
    /// The rights of files that are received.
    pub(super) mode: u32,
    last: u64,
    /// One piece, for all that is read here.
    buffer: Vec<u8>,
    /// What sources that are sent have read ahead.
    blocks: Blocks,
}

impl DiskFiles {
    /// Files as `setup` has it. What the last life of the connector left and cannot be gone on with is removed.
    #[must_use]
    pub fn open(setup: Setup) -> Self {
        let (journal, ages) = Journal::open(&setup.journal);
        let published = Published::new(setup.journal.join("published"), setup.max_published);
        let mut files = Self {
            setup,
            published,
            how: How::best(),
            journal,
            hook: Box::new(NoHook),
            owners: Owners::default(),
            background: Background::new(name),
            writers: Writers::new(),
            leaving: BTreeMap::new(),
            errands: Errands::default(),
            open: BTreeMap::new(),
            naming: BTreeSet::new(),
            jobs: VecDeque::new(),
            stalled: Vec::new(),
            ready: Vec::new(),
            mode: usual_mode(),
            last: 0,
            buffer: Vec::new(),
            blocks: Blocks::default(),
        };
        files.remove_stale(&ages);
        files
    }

    /// Has `hook` asked where files go.
    pub fn set_hook(&mut self, hook: Box<dyn TargetHook>) {
        self.hook = hook;
    }

    /// Has `wake` called, by any thread, when there is something for [`Files::work`].
    pub fn set_waker(&mut self, wake: impl Fn() + Send + Sync + 'static) {
        self.background.bell = Bell(Arc::new(wake));
        self.writers.bell = self.background.bell.clone();
    }

    pub(super) fn next_id(&mut self) -> Result<u64, FileError> {
        if self.open.len() >= OPEN_MAX {
            return Err(FileError::Later(format!("{OPEN_MAX} files are open, which is the most")));
        }
        self.last += 1;
        Ok(self.last)
    }

    /// Has `id` worked on, or says how far it has come.
    pub(super) fn work_on(&mut self, id: u64, step: &Step) {
        if *step == Step::Working {
            self.jobs.push_back(id);
        }
    }

    fn source(&mut self, id: FileId) -> Result<&mut Source, FileError> {
        match self.open.get_mut(&id.0) {
            Some(Open::Source(source)) => Ok(source),
            _ => Err(unknown(id)),
        }
    }

    /// Goes on with one of them: how far it has come if that is all, or that it is not.
    fn go_on(&mut self, id: u64) -> Option<Result<Step, FileError>> {
        self.buffer.resize(PIECE_MAX, 0);
        let come = match self.open.get_mut(&id)? {
            Open::Source(source) => source.approach(&mut self.buffer, &self.blocks),
            Open::Target(target) => target.approach(&mut self.buffer),
            Open::Copying(copying) => match copying.step(&mut self.buffer, &mut self.writers, id) {
                Ok(Copied::Some) => Ok(None),
                Ok(Copied::Waits) => {
                    self.stalled.push(id);
                    return None;
                }
                Ok(Copied::All) => return self.copied(id),
                Err(error) => Err(error),
            },
            Open::Joining(join) => match join.step() {
                Ok(false) => Ok(None),
                Ok(true) => return self.joined(id),
                Err(error) => return Some(Err(self.not_joined(id, error))),
            },
            Open::Asking(_) | Open::Behind(_) | Open::Naming | Open::Whole { .. } => return None,
        };
        match come {
            Ok(None) => {
                self.jobs.push_back(id);
                None
            }
            Ok(Some(bytes)) => Some(Ok(Step::Done(bytes))),
            Err(error) => Some(Err(error)),
        }
    }
}

/// A call for a file that is not open, or not for that.
pub(super) fn unknown(id: FileId) -> FileError {
    FileError::Refused(format!("no file {} is open for that", id.0))
}

/// What the system gives new files: all may read and write, but for what this process masks.
fn usual_mode() -> u32 {
    // To ask for the mask by the call for it is to change it, for all threads.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    let mask = mask.and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok()).unwrap_or(0o022);
    0o666 & !mask
}

impl Files for DiskFiles {
    fn open(&mut self, path: &str) -> Result<(FileId, Stamp), FileError> {
        let id = self.next_id()?;
        let source = Source::open(path, self.setup.max_send)?;
        let stamp = source.stamp();
        self.open.insert(id, Open::Source(Box::new(source)));
        Ok((FileId(id), stamp))
    }

    fn seek(&mut self, source: FileId, offset: u64) -> Result<Step, FileError> {
        let step = self.source(source)?.seek(offset)?;
        self.jobs.retain(|job| *job != source.0);
        self.work_on(source.0, &step);
        Ok(step)
    }

    fn read(&mut self, source: FileId, into: &mut [u8]) -> Result<usize, FileError> {
        match self.open.get_mut(&source.0) {
            Some(Open::Source(open)) => open.read(into, &self.blocks),
            _ => Err(unknown(source)),
        }
    }

    fn read_at(&mut self, source: FileId, offset: u64, into: &mut [u8]) -> Result<(), FileError> {
        self.source(source)?.read_at(offset, into)
    }

    fn hash(&mut self, source: FileId) -> Result<FileHash, FileError> {
        self.source(source)?.hash()
    }

    fn remove(&mut self, path: &str, stamp: &Stamp) -> Result<(), FileError> {
        if stamp.size < BESIDE {
            return source::remove(path, stamp);
        }
        let (path, stamp) = (path.to_owned(), *stamp);
        // The core is not told of what goes wrong then, the operator is.
        self.errands.run(&path.clone(), move || {
            if let Err(error) = source::remove(&path, &stamp) {
                log::warn!("a file that was sent stays: {error}");
            }
        });
        Ok(())
    }

    fn begin(&mut self, incoming: &Incoming<'_>) -> Result<(FileId, Step), FileError> {
        self.receive(incoming)
    }

    fn begin_published(&mut self, incoming: &Incoming<'_>) -> Result<(FileId, Step, String), NotKept> {
        self.receive_published(incoming)
    }

    fn copy_published(&mut self, path: &str) -> Result<(FileId, Stamp, String), NotKept> {
        self.copy(path)
    }

    fn hold(&mut self, path: &str) {
        self.hold_file(path);
    }

    fn let_go(&mut self, path: &str) {
        self.let_go_of_file(path);
    }

    fn sweep_published(&mut self) {
        self.sweep();
    }

    fn write(&mut self, target: FileId, bytes: &[u8]) -> Result<Wrote, FileError> {
        match self.open.get_mut(&target.0) {
            Some(Open::Target(open)) => open.write(bytes, &mut self.writers, target.0),
            _ => Err(unknown(target)),
        }
    }

    fn finish(&mut self, target: FileId, hash: Option<&FileHash>) -> Result<Step, FileError> {
        self.end(target, hash)
    }

    fn close(&mut self, file: FileId) {
        self.jobs.retain(|job| *job != file.0);
        self.stalled.retain(|job| *job != file.0);
        match self.open.remove(&file.0) {
            Some(Open::Target(target)) => self.leave(file.0, target),
            Some(Open::Copying(copying)) => self.leave(file.0, copying.target),
            Some(Open::Asking(_)) => self.hook.forget(file.0),
            _ => {}
        }
    }

    fn forget(&mut self, key: &TransferKey) {
        for id in self.journal.until(key) {
            self.discard_later(&id);
        }
    }

    fn work(&mut self) -> (Vec<Worked>, bool) {
        let mut done = std::mem::take(&mut self.ready);
        self.writers.go_on();
        while let Some((ticket, folder)) = self.hook.answer() {
            done.extend(self.answered(ticket, folder).map(|result| (FileId(ticket), result)));
        }
        while let Some(named) = self.background.answer() {
            let id = named.file;
            done.extend(self.named_later(named).map(|result| (FileId(id), result)));
        }
        while let Some(ticket) = self.writers.come_further() {
            done.extend(self.come_further(ticket));
        }
        // Each turn, and at least when something is written.
        self.jobs.extend(self.stalled.drain(..));
        let start = Instant::now();
        while let Some(id) = self.jobs.pop_front() {
            done.extend(self.go_on(id).map(|result| (FileId(id), result)));
            if start.elapsed() >= WORK_TIME {
                break;
            }
        }
        if !self.stalled.is_empty() {
            self.writers.go_on();
        }
        if self.jobs.is_empty() {
            // Nothing is kept for what is rare.
            self.buffer = Vec::new();
        }
        (done, !self.jobs.is_empty())
    }
}
