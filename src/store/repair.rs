//! Getting messages out of damaged files, with the connector stopped.
//!
//! | what is repaired | what is done |
//! | --- | --- |
//! | a ring's file with damaged messages | a new file with the others takes its place, their numbers and epoch as they were: a peer that has some of them takes none twice |
//! | a ring's file without a header | it is put aside, and what is found in it is put into a new ring |
//! | a file that was put aside whole, before a new ring began | what is found in it is put behind what the ring has by now |
//! | a copy, put aside when the connector found damage and went on behind it | only what the connector could not go on to: what lies behind the place where the way from message to message ends |
//!
//! In a file without a header it cannot be told what was already sent: such messages can arrive twice.
//! What was put aside stays, under a name that says that it was repaired.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::aside::{self, REPAIRED};
use super::error::StoreError;
use super::file::sync_folder_of;
use super::inspect::{Found, ReadError, Report, State, header_at};
use super::ring_file::{RingFile, draft_of};
use super::spool::{Spool, name_of};
use crate::ring::Ring;
use crate::ring::header::{Header, Identity, Kind};
use crate::ring::memory::Checkpoint;
use crate::ring::recover::Damage;
use crate::wire::frame::Frame;
use crate::wire::header::Header as FrameHeader;
use crate::wire::record::{ORIGIN, Origin};

/// What became of a file.
#[derive(Debug)]
pub struct Repaired {
    /// The ring's file that holds the messages now.
    pub into: PathBuf,
    /// How many were put into it.
    pub messages: u64,
    /// What could not be read.
    pub report: Report,
    /// Where the damaged file is.
    pub kept: PathBuf,
}

/// Why a file was not repaired. It is as it was, or lies aside.
#[derive(Debug)]
pub enum RepairError {
    /// A file cannot be read or written.
    Store(StoreError),
    /// A ring takes no more: the disk is full.
    Push(String),
    /// Nothing says whose messages these are.
    Nameless {
        /// The file.
        path: PathBuf,
    },
}

impl fmt::Display for RepairError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RepairError::Store(error) => error.fmt(f),
            RepairError::Push(why) => f.write_str(why),
            RepairError::Nameless { path } => {
                let path = path.display();
                write!(
                    f,
                    "nothing in {path} says whose messages these are; 'aioconnectorsctl spool export' prints them"
                )
            }
        }
    }
}

impl std::error::Error for RepairError {}

impl From<StoreError> for RepairError {
    fn from(error: StoreError) -> Self {
        RepairError::Store(error)
    }
}

impl From<ReadError> for RepairError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::File(error) => RepairError::Store(error),
            ReadError::Told(error) => RepairError::Push(error.to_string()),
        }
    }
}

/// More than a ring can have: the limit of the config does not matter here, for no new message comes in.
const LIMIT: usize = 1 << 48;

impl Spool {
    /// Repairs a file; `None` if there is nothing to repair. No ring of the folder may be open.
    ///
    /// # Errors
    /// See [`RepairError`].
    pub fn repair(&self, found: &Found) -> Result<Option<Repaired>, RepairError> {
        match (found.state, &found.header) {
            (State::Repaired, _) => Ok(None),
            (State::InPlace, Ok(header)) => self.rebuild(found, header),
            (State::InPlace, Err(Damage::OtherFormat(version))) => {
                Err(StoreError::OtherVersion { path: found.path.clone(), found: *version }.into())
            }
            (State::InPlace, Err(_)) => {
                let identity = self.identity_of(found, &found.name)?;
                let path = aside::put_aside(&found.path)?;
                let aside = Found { path, state: State::Aside, ..found.clone() };
                self.salvage(&aside, &identity).map(Some)
            }
            (State::Aside, _) => {
                let name = aside::name_before(&found.name).unwrap_or(&found.name);
                let identity = self.identity_of(found, name)?;
                self.salvage(found, &identity).map(Some)
            }
        }
    }

    /// Writes the ring anew, without what is damaged.
    fn rebuild(&self, found: &Found, header: &Header) -> Result<Option<Repaired>, RepairError> {
        if found.read(false, &mut |_, _, _| Ok(()))?.damage.is_empty() {
            return Ok(None);
        }
        let draft = draft_of(&found.path);
        let memory = RingFile::create(&draft, &header.identity, header.epoch, LIMIT, false)?;
        let first = header.checkpoint.released_to;
        let empty = Checkpoint { next_sequence: first, released_to: first, ..Checkpoint::default() };
        let mut ring = Ring::durable(Box::new(memory), empty, LIMIT, first);
        let report = found.read(false, &mut |_, view, frame| {
            ring.set_next_sequence(view.sequence);
            push(&mut ring, frame, view.flags, view.origin)
        })?;
        ring.set_next_sequence(header.checkpoint.next_sequence);
        keep(&mut ring)?;
        drop(ring);
        let kept = mark_repaired(&aside::put_aside(&found.path)?)?;
        rename(&draft, &found.path)?;
        Ok(Some(Repaired { into: found.path.clone(), messages: report.messages, report, kept }))
    }

    /// Puts what can be read of a file that lies aside behind what the ring holds.
    fn salvage(&self, found: &Found, identity: &Identity) -> Result<Repaired, RepairError> {
        let into = self.folder().join(name_of(identity));
        let opened = self.open_ring(identity, LIMIT)?;
        // The connector's own copy: it went on with the ring of the same epoch.
        let is_copy = found.header.as_ref().is_ok_and(|header| header.epoch == opened.epoch);
        let from = if is_copy { lost_from(found)? } else { Some(0) };
        let mut ring = Ring::durable(opened.memory, opened.checkpoint, LIMIT, now());
        let mut messages = 0;
        let report = found.read(false, &mut |_, view, frame| {
            if from.is_none_or(|from| view.sequence < from) {
                return Ok(());
            }
            messages += 1;
            push(&mut ring, frame, view.flags, None)
        })?;
        keep(&mut ring)?;
        let kept = mark_repaired(&found.path)?;
        Ok(Repaired { into, messages, report, kept })
    }

    /// Whose messages a file holds: as its header says, or that of the ring of its name, or the messages themselves.
    fn identity_of(&self, found: &Found, name: &str) -> Result<Identity, RepairError> {
        if let Ok(header) = &found.header {
            return Ok(header.identity.clone());
        }
        let place = self.folder().join(name);
        if place != found.path
            && let Ok(Ok(header)) = header_at(&place)
        {
            return Ok(header.identity);
        }
        let mut identity = None;
        found.read(false, &mut |_, _, frame| {
            identity = identity.take().or_else(|| identity_in(frame, name));
            Ok(())
        })?;
        identity.ok_or_else(|| RepairError::Nameless { path: found.path.clone() })
    }
}

/// The identity that a ring with this message and of this file name has, if that can be.
fn identity_in(frame: &[u8], name: &str) -> Option<Identity> {
    let frame = Frame::parse(frame).ok()?;
    let header = FrameHeader::parse(frame.header()).ok()?;
    let (source, destination) = (header.source_id?.into_owned(), header.destination_id?.into_owned());
    let message_type = header.message_type.into_owned();
    let outbox = Identity { kind: Kind::Outbox, connector: source, peer: destination.clone(), message_type };
    let inbox = Identity {
        kind: Kind::Inbox,
        connector: destination,
        peer: String::new(),
        message_type: outbox.message_type.clone(),
    };
    [outbox, inbox].into_iter().find(|identity| name_of(identity) == name)
}

/// The least number of the messages that the connector could not go on to, if there are any.
fn lost_from(found: &Found) -> Result<Option<u64>, RepairError> {
    let report = found.read(false, &mut |_, _, _| Ok(()))?;
    Ok(report.damage.iter().find(|damage| !damage.is_one).map(|damage| damage.behind))
}

fn push(ring: &mut Ring, frame: &[u8], flags: u8, origin: Option<Origin>) -> io::Result<()> {
    ring.push(&[frame], flags & !ORIGIN, origin).map(|_| ()).map_err(|error| io::Error::other(error.to_string()))
}

/// Has the disk hold what was put into a ring.
fn keep(ring: &mut Ring) -> Result<(), RepairError> {
    ring.checkpoint();
    ring.sync().map_err(RepairError::Push)
}

fn mark_repaired(path: &Path) -> Result<PathBuf, StoreError> {
    let mut to = OsString::from(path);
    to.push(REPAIRED);
    let to = PathBuf::from(to);
    rename(path, &to)?;
    Ok(to)
}

fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    fs::rename(from, to).map_err(|source| StoreError::io("rename", from, source))?;
    sync_folder_of(to)
}

/// Microseconds since 1970: where numbers begin, as a connector's do.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(0)
}
