//! Looking at a spool folder without changing it, be it in use or not.
//!
//! What a running connector does meanwhile is not seen as damage: if its ring has moved on since, it is read again.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use super::aside;
use super::error::StoreError;
use super::lock;
use super::names::RING;
use super::walk::{Step, Walk};
use super::window::Window;
use crate::ring::header::{DATA_AT, Header};
use crate::ring::memory::Checkpoint;
use crate::ring::recover::{Damage, newest_header};
use crate::wire::record::RecordView;

/// What is added to the name of a file that lies aside when what could be read of it was put into a ring.
pub(super) const REPAIRED: &str = ".repaired";

/// How often a ring that changes under the reader's eyes is read anew.
const READ_AGAIN_MAX: usize = 10;

/// A spool folder.
#[derive(Debug)]
pub struct Listing {
    /// The folder.
    pub folder: PathBuf,
    /// Whether a connector works with it; its process, if that is known.
    pub holder: Option<Option<u32>>,
    /// The files of rings, by name.
    pub files: Vec<Found>,
}

/// A file that holds a ring, or did.
#[derive(Debug)]
pub struct Found {
    /// Its name in the folder.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Whether it is used.
    pub state: State,
    /// Its size, bytes.
    pub length: u64,
    /// Its header.
    pub header: Result<Header, Damage>,
}

/// Whether a file of a ring is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is the ring's file.
    InPlace,
    /// It was put aside because it is damaged.
    Aside,
    /// It was put aside, and what could be read of it was put into a ring.
    Repaired,
}

impl State {
    fn of(name: &str) -> Option<Self> {
        if name.ends_with(RING) {
            return Some(Self::InPlace);
        }
        let (before, state) = match name.strip_suffix(REPAIRED) {
            Some(before) => (before, Self::Repaired),
            None => (name, Self::Aside),
        };
        aside::name_before(before).filter(|name| name.ends_with(RING)).map(|_| state)
    }
}

/// What the records of a file are, without a look at each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Messages that wait.
    pub messages: u64,
    /// Their bytes, those of their records counted.
    pub bytes: u64,
    /// The numbers of the oldest and the newest one.
    pub numbers: Option<(u64, u64)>,
}

/// What the records of a file are, each looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Messages that can be read.
    pub messages: u64,
    /// The bytes of their frames.
    pub bytes: u64,
    /// What cannot.
    pub damage: Vec<DamagedBytes>,
}

/// A part of a file that holds no sound record, where one should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DamagedBytes {
    /// Where it begins in the file.
    pub offset: u64,
    /// How many bytes it has.
    pub bytes: u64,
    /// Whether a single message is lost. If not, it is not known how many.
    pub is_one: bool,
}

/// Lists the rings of a spool folder, used or put aside.
///
/// # Errors
/// The folder cannot be read.
pub fn list(folder: &Path) -> Result<Listing, StoreError> {
    let failed = |source| StoreError::io("read", folder, source);
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(state) = State::of(&name) else { continue };
        match look(name, entry.path(), state) {
            Ok(found) => files.push(found),
            // The connector has removed it meanwhile.
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Listing { folder: folder.to_owned(), holder: lock::holder(folder)?, files })
}

fn look(name: String, path: PathBuf, state: State) -> Result<Found, StoreError> {
    let file = open(&path)?;
    let length = file.metadata().map_err(|source| StoreError::io("read", &path, source))?.len();
    let header = read_header(&file).map_err(|source| StoreError::io("read", &path, source))?;
    Ok(Found { name, path, state, length, header })
}

fn open(path: &Path) -> Result<File, StoreError> {
    let open = File::options().read(true).custom_flags(OFlag::O_NOFOLLOW.bits()).open(path);
    open.map_err(|source| StoreError::io("read", path, source))
}

/// The header of a ring's file; damage besides that is not looked for.
pub(super) fn header_at(path: &Path) -> Result<Result<Header, Damage>, StoreError> {
    read_header(&open(path)?).map_err(|source| StoreError::io("read", path, source))
}

fn read_header(file: &File) -> io::Result<Result<Header, Damage>> {
    let mut window = Window::new(file.try_clone()?, 0)?;
    Ok(newest_header(window.get(0, DATA_AT)?, &[]).and_then(|header| header.ok_or(Damage::NoHeader)))
}

/// Who is told of a record: where it is in the file, what it says, its frame.
pub type OnRecord<'a> = &'a mut dyn FnMut(u64, &RecordView, &[u8]) -> io::Result<()>;

/// Why the records of a file were not read to the end.
#[derive(Debug)]
pub enum ReadError {
    /// The file cannot be read.
    File(StoreError),
    /// Who was told of them could not do with them what is to be done.
    Told(io::Error),
}

impl From<StoreError> for ReadError {
    fn from(error: StoreError) -> Self {
        ReadError::File(error)
    }
}

impl Found {
    /// How much waits in it: what its header says, and what was put behind that since. `None` without a header.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn summary(&self) -> Result<Option<Summary>, StoreError> {
        let Ok(header) = &self.header else { return Ok(None) };
        let Checkpoint { records, used, next_sequence, .. } = header.checkpoint;
        let mut summary = Summary { messages: records, bytes: used, numbers: None };
        let mut walk = Walk::new(self.window()?, header);
        let first = walk.first_number().map_err(|source| self.unreadable(source))?;
        summary.numbers = first.filter(|_| records > 0).map(|first| (first, next_sequence.saturating_sub(1)));
        walk.go_to_tail();
        while let Some(Step::Record { view, size, .. }) = walk.next().map_err(|source| self.unreadable(source))? {
            summary.messages += 1;
            summary.bytes += size;
            summary.numbers = Some((summary.numbers.map_or(view.sequence, |(first, _)| first), view.sequence));
        }
        Ok(Some(summary))
    }

    /// Reads every record, and tells of those that are sound, in their order. A file without a header is searched for
    /// records, and those that were given up are found as well.
    ///
    /// With `live` a connector may be working with it. It uses no room again before it has written a new header; so
    /// damage under the same header is damage, and under a new one it is none: then the rest is read as it is by then.
    ///
    /// # Errors
    /// It cannot be read, or whom it tells has failed.
    pub fn read(&self, live: bool, on: OnRecord<'_>) -> Result<Report, ReadError> {
        let mut report = Report::default();
        let Ok(mut header) = self.header.clone() else {
            self.search(&mut report, on)?;
            return Ok(report);
        };
        let (mut rounds, mut told) = (0, 0);
        loop {
            let is_final = !live || rounds > READ_AGAIN_MAX;
            let mut walk = Walk::new(self.window()?, &header);
            let damage = self.round(&mut walk, &mut told, is_final, &mut report, on)?;
            if is_final || damage.is_empty() {
                report.damage = damage;
                return Ok(report);
            }
            let now = header_at(&self.path)?.unwrap_or_else(|_| header.clone());
            rounds = if now == header { READ_AGAIN_MAX + 1 } else { rounds + 1 };
            header = now;
        }
    }

    /// Tells of all that looks like a record, by number.
    fn search(&self, report: &mut Report, on: OnRecord<'_>) -> Result<(), ReadError> {
        let mut walk = Walk::anywhere(self.window()?);
        let mut found = Vec::new();
        while let Some(step) = walk.next().map_err(|source| self.unreadable(source))? {
            if let Step::Record { at, view, .. } = step {
                found.push((view.sequence, at));
            }
        }
        // When a ring grew, records may have moved: they are found twice.
        found.sort_unstable();
        found.dedup_by_key(|(sequence, _)| *sequence);
        for (_, at) in found {
            if let Step::Record { at, view, frame, .. } = walk.take(at).map_err(|source| self.unreadable(source))? {
                tell(at, &view, &frame, report, on)?;
            }
        }
        Ok(())
    }

    /// Reads on from the record with the number `told`. The damage that it finds; it ends there if that is not `final`.
    fn round(
        &self,
        walk: &mut Walk,
        told: &mut u64,
        is_final: bool,
        report: &mut Report,
        on: OnRecord<'_>,
    ) -> Result<Vec<DamagedBytes>, ReadError> {
        let mut found = Vec::new();
        while let Some(step) = walk.next().map_err(|source| self.unreadable(source))? {
            match step {
                Step::Record { view, .. } if view.sequence < *told => {}
                Step::Record { at, view, frame, .. } => {
                    *told = view.sequence + 1;
                    tell(at, &view, &frame, report, on)?;
                }
                Step::Damaged { at, bytes, is_one } => {
                    found.push(DamagedBytes { offset: at + DATA_AT as u64, bytes, is_one });
                    if !is_final {
                        break;
                    }
                }
            }
        }
        Ok(found)
    }

    fn window(&self) -> Result<Window, StoreError> {
        Window::new(open(&self.path)?, DATA_AT as u64).map_err(|source| self.unreadable(source))
    }

    fn unreadable(&self, source: io::Error) -> StoreError {
        StoreError::io("read", &self.path, source)
    }
}

fn tell(at: u64, view: &RecordView, frame: &[u8], report: &mut Report, on: OnRecord<'_>) -> Result<(), ReadError> {
    report.messages += 1;
    report.bytes += frame.len() as u64;
    on(at + DATA_AT as u64, view, frame).map_err(ReadError::Told)
}
