//! Files in memory, which outlast the connector that has them open, with all that can go wrong with files.

use std::cell::{RefCell, RefMut};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use aioconnectors::core::files::{
    FileError, FileHash, FileId, Files, Incoming, NotKept, Stamp, Step, TransferKey, Worked, Wrote,
};
use serde_json::Value;

/// Bytes that wait to be written, if that is done late.
pub const QUEUE: usize = 200_000;

/// Where files of publications are kept.
const PUBLISHED: &str = "/published/";

/// What goes wrong.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Targets have no room for more than this in all.
    pub room: Option<usize>,
    /// Nothing can be opened or begun for now.
    pub busy: bool,
    /// What may take long does, for so many calls of `work`.
    pub slow: u32,
    /// What is written is written late: after so many calls of `work`, one piece after the other.
    pub lag: u32,
    /// The disk is busy: nothing is written for now, and all waits.
    pub stalled: bool,
    /// A source is changed after so many bytes of it were read.
    pub change_after: Option<u64>,
    /// What is written is not what is kept: one bit of it.
    pub flips: bool,
    /// Files of publications have no more bytes than this together.
    pub published: Option<u64>,
}

/// What is there of a file of a peer's message.
#[derive(Clone, Debug)]
struct Part {
    bytes: Vec<u8>,
    size: u64,
    stamp: Stamp,
    name: String,
    /// It has its name.
    whole: bool,
    /// It is published, and kept under this path.
    kept: Option<String>,
}

#[derive(Clone, Debug)]
enum Open {
    Source {
        path: String,
        stamp: Stamp,
        at: u64,
    },
    Target {
        key: TransferKey,
    },
    /// One of a link of the first kind: nothing is remembered of it.
    Loose {
        name: String,
        bytes: Vec<u8>,
        size: u64,
        ends: bool,
        kept: Option<String>,
    },
}

#[derive(Debug, Default)]
struct State {
    sources: BTreeMap<String, (Vec<u8>, Stamp)>,
    parts: BTreeMap<TransferKey, Part>,
    /// Files of publications that are held.
    held: BTreeSet<String>,
    /// Files that have their names, in the order in which they got them.
    arrived: Vec<(String, Vec<u8>)>,
    open: BTreeMap<FileId, Open>,
    /// What is done later: after so many calls, and for `finish` with which hash.
    later: Vec<(FileId, u32, Option<FileHash>)>,
    /// What is written later: after so many calls.
    writing: VecDeque<(FileId, Vec<u8>, u32)>,
    faults: Faults,
    next: u64,
    /// Bytes that were read, and written.
    moved: (u64, u64),
    /// How often sources were changed, and targets damaged.
    harmed: BTreeMap<String, u32>,
}

/// All files of a machine.
#[derive(Clone, Debug, Default)]
pub struct FileSystem(Rc<RefCell<State>>);

impl FileSystem {
    /// As a connector has them that starts: nothing is open.
    pub fn start(&self) -> Box<dyn Files> {
        let mut state = self.state();
        state.open.clear();
        state.later.clear();
        state.writing.clear();
        state.held.clear();
        drop(state);
        Box::new(self.clone())
    }

    fn state(&self) -> RefMut<'_, State> {
        self.0.borrow_mut()
    }

    /// Puts a file there for an app to send.
    pub fn put(&self, path: &str, bytes: &[u8]) {
        let mut state = self.state();
        state.next += 1;
        let stamp = Stamp { size: bytes.len() as u64, changed: state.next, inode: state.next };
        state.sources.insert(path.to_owned(), (bytes.to_vec(), stamp));
    }

    pub fn has(&self, path: &str) -> bool {
        self.state().sources.contains_key(path)
    }

    pub fn set_faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.state().faults);
    }

    /// The files that came whole, in their order.
    pub fn arrived(&self) -> Vec<(String, Vec<u8>)> {
        self.state().arrived.clone()
    }

    /// What came under this name, as often as it did.
    pub fn arrived_as(&self, name: &str) -> Vec<Vec<u8>> {
        let is_it = |(other, _): &&(String, Vec<u8>)| other == name;
        self.state().arrived.iter().filter(is_it).map(|(_, bytes)| bytes.clone()).collect()
    }

    /// Files that are kept for subscribers.
    pub fn published(&self) -> usize {
        self.state().sources.keys().filter(|path| path.starts_with(PUBLISHED)).count()
    }

    /// Those of them that are not known by a key: a publisher that died may have left such a one.
    pub fn published_for_good(&self) -> usize {
        let state = self.state();
        let is_known = |path: &String| state.parts.values().any(|part| part.kept.as_ref() == Some(path));
        state.sources.keys().filter(|path| path.starts_with(PUBLISHED) && !is_known(path)).count()
    }

    /// Bytes that are there of files that are not whole.
    pub fn partial(&self) -> usize {
        self.state().parts.values().filter(|p| !p.whole).map(|p| p.bytes.len()).sum()
    }

    /// Messages whose files are remembered.
    pub fn remembered(&self) -> usize {
        self.state().parts.len()
    }

    /// How often the source of this path was changed, or the target of this name damaged.
    pub fn harmed(&self, name: &str) -> u32 {
        self.state().harmed.get(name).copied().unwrap_or(0)
    }

    /// Bytes that wait to be written.
    pub fn waiting(&self) -> usize {
        self.state().queued()
    }

    /// Files that are open.
    pub fn open(&self) -> usize {
        self.state().open.len()
    }

    /// Bytes that were read, and written.
    pub fn moved(&self) -> (u64, u64) {
        self.state().moved
    }

    /// The machine dies: of what is not whole only the beginning is there.
    pub fn lose_tails(&self, keep: impl Fn(usize) -> usize) {
        for part in self.state().parts.values_mut().filter(|p| !p.whole) {
            let kept = keep(part.bytes.len()).min(part.bytes.len());
            part.bytes.truncate(kept);
        }
    }
}

/// Some hash: all bytes and their places count.
fn hash(bytes: &[u8]) -> FileHash {
    let mut sums = [0xcbf2_9ce4_8422_2325_u64; 4];
    for (at, byte) in bytes.iter().enumerate() {
        let sum = &mut sums[at % 4];
        *sum = (*sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let mut out = [0; 32];
    for (at, sum) in sums.iter().enumerate() {
        out[at * 8..at * 8 + 8].copy_from_slice(&(sum ^ bytes.len() as u64).to_le_bytes());
    }
    out
}

impl State {
    fn id(&mut self) -> FileId {
        self.next += 1;
        FileId(self.next)
    }

    fn later(&mut self, file: FileId, hash: Option<FileHash>) -> Option<Step> {
        let calls = self.faults.slow;
        if calls > 0 {
            self.later.push((file, calls, hash));
        }
        (calls > 0).then_some(Step::Working)
    }

    fn source(&self, file: FileId) -> (String, Stamp, u64) {
        match self.open.get(&file) {
            Some(Open::Source { path, stamp, at }) => (path.clone(), *stamp, *at),
            other => panic!("{file:?} is a source, not {other:?}"),
        }
    }

    /// Whether a file of this name came.
    fn is_there(&self, name: &str) -> bool {
        self.arrived.iter().any(|(other, _)| other == name)
    }

    fn target(&mut self, file: FileId) -> TransferKey {
        match self.open.get(&file) {
            Some(Open::Target { key }) => key.clone(),
            other => panic!("{file:?} is a target, not {other:?}"),
        }
    }

    fn finish(&mut self, file: FileId, expected: Option<&FileHash>) -> Result<Step, FileError> {
        if let Some(Open::Loose { name, bytes, size, kept, .. }) = self.open.get(&file).cloned() {
            assert_eq!((bytes.len() as u64, expected), (size, None), "all is there, and there is no hash");
            self.open.remove(&file);
            self.arrives(name, bytes, kept);
            return Ok(Step::Done(size));
        }
        let key = self.target(file);
        self.open.remove(&file);
        let Some(part) = self.parts.get_mut(&key) else { panic!("what is finished was begun: {key:?}") };
        if part.whole {
            return Ok(Step::Done(part.size));
        }
        assert_eq!(part.bytes.len() as u64, part.size, "all is there before it is finished");
        if expected != Some(&hash(&part.bytes)) {
            self.parts.remove(&key);
            return Err(FileError::Changed("the hash is another".to_owned()));
        }
        part.whole = true;
        let (name, bytes, size) = (part.name.clone(), std::mem::take(&mut part.bytes), part.size);
        let kept = part.kept.clone();
        self.arrives(name, bytes, kept);
        Ok(Step::Done(size))
    }

    /// A file has its name.
    fn arrives(&mut self, name: String, bytes: Vec<u8>, kept: Option<String>) {
        let Some(path) = kept else { return self.arrived.push((name, bytes)) };
        self.next += 1;
        let stamp = Stamp { size: bytes.len() as u64, changed: self.next, inode: self.next };
        self.sources.insert(path, (bytes, stamp));
    }

    /// That a file has room among those of publications.
    fn check_published(&self, path: &str, size: u64) -> Result<(), NotKept> {
        let Some(most) = self.faults.published else { return Ok(()) };
        let whole = self.sources.iter().filter(|(other, _)| other.starts_with(PUBLISHED) && *other != path);
        let parts = self.parts.values().filter(|p| p.kept.as_deref().is_some_and(|kept| kept != path) && !p.whole);
        let loose = |open: &Open| if let Open::Loose { kept: Some(_), size, .. } = open { *size } else { 0 };
        let used = whole.map(|(_, (_, stamp))| stamp.size).sum::<u64>() + parts.map(|p| p.size).sum::<u64>();
        if used + self.open.values().map(loose).sum::<u64>() + size <= most {
            return Ok(());
        }
        Err(NotKept::NoRoom { later: size <= most, why: format!("{size} bytes have no room") })
    }

    fn there(&self, file: FileId) -> u64 {
        match self.open.get(&file) {
            Some(Open::Source { at, .. }) => *at,
            Some(Open::Target { key }) => {
                self.parts.get(key).map_or(0, |p| if p.whole { p.size } else { p.bytes.len() as u64 })
            }
            Some(Open::Loose { bytes, .. }) => bytes.len() as u64,
            None => 0,
        }
    }

    fn is_written_later(&self, file: FileId) -> bool {
        self.writing.iter().any(|(other, ..)| *other == file)
    }

    fn queued(&self) -> usize {
        self.writing.iter().map(|(_, bytes, _)| bytes.len()).sum()
    }

    /// Writes what has waited long enough.
    fn write_on(&mut self) -> Vec<Worked> {
        let mut done = Vec::new();
        if self.faults.stalled {
            return done;
        }
        if let Some((.., calls)) = self.writing.front_mut() {
            *calls = calls.saturating_sub(1);
        }
        while self.writing.front().is_some_and(|(.., calls)| *calls == 0) {
            let Some((file, bytes, _)) = self.writing.pop_front() else { break };
            match self.put(file, &bytes) {
                Ok(()) => done.push((file, Ok(Step::Written(self.there(file))))),
                Err(error) => {
                    self.writing.retain(|(other, ..)| *other != file);
                    self.later.retain(|later| later.0 != file);
                    done.push((file, Err(error)));
                }
            }
        }
        done
    }

    fn put(&mut self, target: FileId, bytes: &[u8]) -> Result<(), FileError> {
        let state = self;
        let loose = state.open.values().map(|o| if let Open::Loose { bytes, .. } = o { bytes.len() } else { 0 });
        let used: usize = state.parts.values().map(|p| p.bytes.len()).chain(loose).sum();
        if state.faults.room.is_some_and(|room| used + bytes.len() > room) {
            return Err(FileError::Later("no space left".to_owned()));
        }
        if let Some(Open::Loose { bytes: there, size, .. }) = state.open.get_mut(&target) {
            there.extend_from_slice(bytes);
            assert!(there.len() as u64 <= *size, "no more is written than was said");
            state.moved.1 += bytes.len() as u64;
            return Ok(());
        }
        let (key, flips) = (state.target(target), std::mem::take(&mut state.faults.flips));
        let Some(part) = state.parts.get_mut(&key) else { panic!("what is written was begun: {key:?}") };
        assert!(!part.whole, "what is whole is not written again");
        part.bytes.extend_from_slice(bytes);
        if flips && let Some(last) = part.bytes.last_mut() {
            *last ^= 1;
            let name = part.name.clone();
            *state.harmed.entry(name).or_default() += 1;
        }
        let part = &state.parts[&key];
        assert!(part.bytes.len() as u64 <= part.size, "no more is written than was said");
        state.moved.1 += bytes.len() as u64;
        Ok(())
    }
}

impl FileSystem {
    fn begin_as(&mut self, incoming: &Incoming<'_>, kept: Option<String>) -> Result<(FileId, Step), FileError> {
        let mut state = self.state();
        let header: Value = serde_json::from_slice(incoming.header).unwrap();
        let name = header["with_file"]["dst_name"].as_str().unwrap_or("nameless").to_owned();
        if name.contains("..") {
            return Err(FileError::Refused(format!("{name} leads elsewhere")));
        }
        if state.faults.busy {
            return Err(FileError::Later("too many open files".to_owned()));
        }
        let Some(key) = incoming.key.cloned() else {
            if kept.is_none() && state.is_there(&name) {
                return Err(FileError::Refused(format!("{name} is there already")));
            }
            let file = state.id();
            state.open.insert(file, Open::Loose { name, bytes: Vec::new(), size: incoming.size, ends: false, kept });
            return Ok((file, state.later(file, None).unwrap_or(Step::Done(0))));
        };
        let is_open = |open: &Open| matches!(open, Open::Target { key: other } if *other == key);
        assert!(!state.open.values().any(is_open), "one target a message");
        let (size, stamp) = (incoming.size, incoming.stamp);
        let goes_on = state.parts.get(&key).is_some_and(|p| p.whole || (p.size, p.stamp) == (size, stamp));
        if !goes_on {
            state.parts.insert(key.clone(), Part { bytes: Vec::new(), size, stamp, name, whole: false, kept });
        }
        // What is whole is what was sent, whatever has become of the source since.
        if let Some(part) = state.parts.get_mut(&key) {
            part.size = size;
        }
        let file = state.id();
        state.open.insert(file, Open::Target { key });
        let there = state.there(file).min(size);
        Ok((file, state.later(file, None).unwrap_or(Step::Done(there))))
    }
}

impl Files for FileSystem {
    fn open(&mut self, path: &str) -> Result<(FileId, Stamp), FileError> {
        let mut state = self.state();
        if state.faults.busy {
            return Err(FileError::Later("too many open files".to_owned()));
        }
        let Some((_, stamp)) = state.sources.get(path).cloned() else {
            return Err(FileError::Refused(format!("there is no file {path}")));
        };
        let file = state.id();
        state.open.insert(file, Open::Source { path: path.to_owned(), stamp, at: 0 });
        Ok((file, stamp))
    }

    fn seek(&mut self, source: FileId, offset: u64) -> Result<Step, FileError> {
        let mut state = self.state();
        let (_, stamp, _) = state.source(source);
        assert!(offset <= stamp.size, "what there is not is not sought");
        if let Some(Open::Source { at, .. }) = state.open.get_mut(&source) {
            *at = offset;
        }
        Ok(state.later(source, None).unwrap_or(Step::Done(offset)))
    }

    fn read(&mut self, source: FileId, into: &mut [u8]) -> Result<usize, FileError> {
        let mut state = self.state();
        assert!(!state.later.iter().any(|l| l.0 == source), "what is worked on is not read");
        let (path, stamp, at) = state.source(source);
        assert!(!into.is_empty() && at + into.len() as u64 <= stamp.size, "no more is read than there is");
        if !path.starts_with(PUBLISHED) && state.faults.change_after.is_some_and(|after| at >= after) {
            state.faults.change_after = None;
            state.next += 1;
            let next = state.next;
            *state.harmed.entry(path.clone()).or_default() += 1;
            if let Some((bytes, stamp)) = state.sources.get_mut(&path) {
                bytes.iter_mut().for_each(|byte| *byte = byte.wrapping_add(1));
                stamp.changed = next;
            }
        }
        let Some((bytes, _)) = state.sources.get(&path) else {
            return Err(FileError::Changed(format!("{path} is gone")));
        };
        let rest = bytes.get(at as usize..).unwrap_or_default();
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        state.moved.0 += count as u64;
        if let Some(Open::Source { at, .. }) = state.open.get_mut(&source) {
            *at += count as u64;
        }
        Ok(count)
    }

    fn read_at(&mut self, source: FileId, offset: u64, into: &mut [u8]) -> Result<(), FileError> {
        let mut state = self.state();
        let (path, ..) = state.source(source);
        let rest = state.sources.get(&path).and_then(|(bytes, _)| bytes.get(offset as usize..)).unwrap_or_default();
        let Some(part) = rest.get(..into.len()) else {
            return Err(FileError::Changed(format!("{path} has become shorter")));
        };
        into.copy_from_slice(part);
        state.moved.0 += into.len() as u64;
        Ok(())
    }

    fn hash(&mut self, source: FileId) -> Result<FileHash, FileError> {
        let state = self.state();
        let (path, stamp, at) = state.source(source);
        assert_eq!(at, stamp.size, "all was read");
        match state.sources.get(&path) {
            Some((bytes, now)) if *now == stamp => Ok(hash(&bytes[..stamp.size as usize])),
            _ => Err(FileError::Changed(format!("{path} was changed"))),
        }
    }

    fn remove(&mut self, path: &str, stamp: &Stamp) -> Result<(), FileError> {
        let mut state = self.state();
        match state.sources.get(path) {
            Some((_, now)) if now == stamp => drop(state.sources.remove(path)),
            Some(_) => return Err(FileError::Refused("it is another file now".to_owned())),
            None => return Err(FileError::Refused("there is no such file".to_owned())),
        }
        Ok(())
    }

    fn begin(&mut self, incoming: &Incoming<'_>) -> Result<(FileId, Step), FileError> {
        self.begin_as(incoming, None)
    }

    fn begin_published(&mut self, incoming: &Incoming<'_>) -> Result<(FileId, Step, String), NotKept> {
        let name =
            incoming.key.map_or_else(|| format!("by chance {}", self.state().next + 1), |key| format!("{key:?}"));
        let path = format!("{PUBLISHED}{name}");
        self.state().check_published(&path, incoming.size)?;
        let (file, step) = self.begin_as(incoming, Some(path.clone()))?;
        Ok((file, step, path))
    }

    fn copy_published(&mut self, path: &str) -> Result<(FileId, Stamp, String), NotKept> {
        let mut state = self.state();
        let Some((bytes, stamp)) = state.sources.get(path).cloned() else {
            return Err(FileError::Refused(format!("there is no file {path}")).into());
        };
        let file = state.id();
        let copy = format!("{PUBLISHED}copy {}", file.0);
        state.check_published(&copy, stamp.size)?;
        let (name, size, kept) = (String::new(), stamp.size, Some(copy.clone()));
        state.open.insert(file, Open::Loose { name, bytes, size, ends: true, kept });
        let calls = state.faults.slow.max(1);
        state.later.push((file, calls, None));
        Ok((file, stamp, copy))
    }

    fn hold(&mut self, path: &str) {
        self.state().held.insert(path.to_owned());
    }

    fn let_go(&mut self, path: &str) {
        let mut state = self.state();
        assert!(path.starts_with(PUBLISHED), "only the connector's own copies are let go");
        state.held.remove(path);
        state.sources.remove(path);
    }

    fn sweep_published(&mut self) {
        let mut state = self.state();
        let State { sources, held, parts, .. } = &mut *state;
        let is_known = |path: &String| held.contains(path) || parts.values().any(|p| p.kept.as_ref() == Some(path));
        sources.retain(|path, _| !path.starts_with(PUBLISHED) || is_known(path));
    }

    fn write(&mut self, target: FileId, bytes: &[u8]) -> Result<Wrote, FileError> {
        let mut state = self.state();
        assert!(!state.later.iter().any(|l| l.0 == target), "what is worked on is not written");
        assert!(state.open.contains_key(&target), "{target:?} is open");
        let (Faults { lag, stalled, .. }, queued) = (state.faults.clone(), state.queued());
        if lag == 0 && !stalled && !state.is_written_later(target) {
            return state.put(target, bytes).map(|()| Wrote::Done);
        }
        if queued > 0 && queued + bytes.len() > QUEUE {
            return Ok(Wrote::Full);
        }
        state.writing.push_back((target, bytes.to_vec(), lag));
        Ok(Wrote::Taken)
    }

    fn finish(&mut self, target: FileId, hash: Option<&FileHash>) -> Result<Step, FileError> {
        let mut state = self.state();
        if let Some(Open::Loose { ends, .. }) = state.open.get_mut(&target) {
            *ends = true;
        }
        if let Some(step) = state.later(target, hash.copied()) {
            return Ok(step);
        }
        if state.is_written_later(target) {
            state.later.push((target, 1, hash.copied()));
            return Ok(Step::Working);
        }
        state.finish(target, hash)
    }

    fn close(&mut self, file: FileId) {
        let mut state = self.state();
        state.open.remove(&file);
        state.later.retain(|l| l.0 != file);
        state.writing.retain(|w| w.0 != file);
    }

    fn forget(&mut self, key: &TransferKey) {
        let mut state = self.state();
        let State { parts, sources, held, .. } = &mut *state;
        parts.retain(|other, part| {
            let is_of_lane = (&other.peer, &other.message_type) == (&key.peer, &key.message_type);
            let stays = !is_of_lane || (other.epoch == key.epoch && other.sequence > key.sequence);
            if let Some(path) = part.kept.as_ref().filter(|path| !stays && !held.contains(*path)) {
                sources.remove(path);
            }
            stays
        });
    }

    fn work(&mut self) -> (Vec<Worked>, bool) {
        let mut state = self.state();
        let mut done = state.write_on();
        for (file, calls, hash) in std::mem::take(&mut state.later) {
            if calls > 1 || state.is_written_later(file) {
                state.later.push((file, calls.max(2) - 1, hash));
            } else if hash.is_some() || matches!(state.open.get(&file), Some(Open::Loose { ends: true, .. })) {
                done.push((file, state.finish(file, hash.as_ref())));
            } else {
                done.push((file, Ok(Step::Done(state.there(file)))));
            }
        }
        let stalled = state.faults.stalled;
        let waits = |file: FileId| stalled && state.is_written_later(file);
        let more = state.later.iter().any(|later| !waits(later.0)) || (!stalled && !state.writing.is_empty());
        (done, more)
    }
}
