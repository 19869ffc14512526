//! Looking at a spool folder without changing it, be it in use or not.
//!
//! What a running connector does meanwhile is not seen as damage: if its ring has moved on since, it is read again.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use super::aside::{self, REPAIRED};
use super::error::StoreError;
use super::lock;
use super::names::RING;
use super::walk::{Step, Walk};
use super::window::Window;
use crate::ring::header::{DATA_AT, Header, Identity};
use crate::ring::memory::Checkpoint;
use crate::ring::recover::{Damage, newest_header};
use crate::wire::record::RecordView;

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
#[derive(Clone, Debug)]
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
    /// The messages behind it have this number or a greater one.
    pub behind: u64,
}

/// Whether a file is of no use any more: a ring that `is_needed` does not name, or one that lies aside.
#[must_use]
pub fn is_remain(found: &Found, is_needed: &dyn Fn(&Identity) -> bool) -> bool {
    match (found.state, &found.header) {
        (State::InPlace, Ok(header)) => !is_needed(&header.identity),
        // It may be needed: a version that knows its format, or a repair, can tell.
        (State::InPlace, Err(_)) => false,
        (State::Aside | State::Repaired, _) => true,
    }
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
    /// With `live` a connector may be working with it. It uses no room again before it has written a new header. So what
    /// is damaged is looked up in the header of that moment: if the ring has moved on, reading goes on where it is by
    /// then, up to the messages that were there at the beginning.
    ///
    /// # Errors
    /// It cannot be read, or whom it tells has failed.
    pub fn read(&self, live: bool, on: OnRecord<'_>) -> Result<Report, ReadError> {
        let mut report = Report::default();
        let Ok(first) = &self.header else {
            self.search(&mut report, on)?;
            return Ok(report);
        };
        let (mut header, mut told) = (first.clone(), 0);
        while let Some(now) = self.round(&header, &mut told, live, &mut report, on)? {
            if told >= first.checkpoint.next_sequence {
                break;
            }
            header = now;
        }
        Ok(report)
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

    /// Reads on from the record with the number `told`. The new header, if the ring has moved on meanwhile.
    fn round(
        &self,
        header: &Header,
        told: &mut u64,
        live: bool,
        report: &mut Report,
        on: OnRecord<'_>,
    ) -> Result<Option<Header>, ReadError> {
        let mut walk = Walk::new(self.window()?, header);
        while let Some(step) = walk.next().map_err(|source| self.unreadable(source))? {
            match step {
                Step::Record { view, .. } if view.sequence < *told => {}
                Step::Record { at, view, frame, .. } => {
                    *told = view.sequence + 1;
                    tell(at, &view, &frame, report, on)?;
                }
                Step::Damaged { at, bytes, is_one } => {
                    let behind = walk.number();
                    if live && let Some(now) = self.moved_on(header, behind)? {
                        return Ok(Some(now));
                    }
                    let offset = at + DATA_AT as u64;
                    if report.damage.iter().all(|known| known.offset != offset) {
                        report.damage.push(DamagedBytes { offset, bytes, is_one, behind });
                    }
                }
            }
        }
        Ok(None)
    }

    /// The header as it is now, if what was kept under `header` need not be there any more from the number `from` on.
    fn moved_on(&self, header: &Header, from: u64) -> Result<Option<Header>, StoreError> {
        let Ok(now) = header_at(&self.path)? else { return Ok(None) };
        let layout = |header: &Header| (header.epoch, header.capacity, header.checkpoint.moved_at);
        let is_other = now.checkpoint.released_to > from || layout(&now) != layout(header);
        Ok(is_other.then_some(now))
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

#[cfg(test)]
#[path = "inspect_tests.rs"]
mod tests;
