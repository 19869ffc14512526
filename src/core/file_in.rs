//! Files that come from peers.
//!
//! ```text
//! `_file` ─ room is made ─▶ Beginning ─ `_file_have` ─▶ Coming ─ pieces, `_file_end` ─▶ Finishing ─ done ─▶ Settled
//! `_file` with an error; any ─ it is refused ─▶ Settled: its message comes with the error
//! any ─ no room, or not what was sent ─▶ Dropped, until it is offered again
//! ```
//!
//! Pieces may be written late, on a disk that is busy. The peer is told of what is written, so its window keeps it from
//! sending more than that. A peer that sends more nevertheless has its link held back.
//!
//! What is known of a file here ends with its link, or when its message has come. A file that was begun is closed then,
//! and stays with [`Files`](super::files::Files) until its message is taken over, or will never come.

use std::time::Instant;

use serde_json::Value;

use super::conn::Link;
use super::connector::{Connector, Step as Reply};
use super::event::Cause;
use super::file_lane::header_with_error;
use super::file_link::{FILES_OPEN, FileTrouble, OFFERED_LANE, OFFERED_LINK, Work};
use super::files::{self, FileError, FileHash, FileId, Stamp, Step, TransferKey, Wrote};
use super::lane_in::Came;
use super::slots::Id;
use crate::wire::control;
use crate::wire::file::{FileControl, Offered, Piece, TransferId, Verdict, shortened};
use crate::wire::frame::{self, Frame};
use crate::wire::header::Header;
use crate::wire::names::Role;
use crate::wire::record::{Origin, RecordView};
use crate::wire::topics;

/// Characters of a file's name that the operator is told.
const NAME_SHOWN: usize = 256;

/// Where a file is on its way in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Room is made for it, or what is there is looked at.
    Beginning,
    /// Its pieces come.
    Coming,
    /// All has come; it is checked and gets its name.
    Finishing,
    /// Its message may come: with this error, if there is one.
    Settled(Option<String>),
    /// What still comes of this attempt is passed over.
    Dropped,
}

/// A file on its way in.
#[derive(Debug)]
pub(super) struct Incoming {
    attempt: u32,
    pub stage: Stage,
    file: Option<FileId>,
    size: u64,
    /// Bytes of it that have come, and of these, those that are written: what the peer is told of.
    at: u64,
    written: u64,
    /// The peer is to be told of these bytes.
    listed: bool,
    /// As the operator is told of it.
    name: String,
    /// The operator was told that it waits.
    told: bool,
    /// It is published, and kept under this path.
    pub path: Option<String>,
}

impl Incoming {
    /// Its name, its bytes and how many are there, while they come.
    pub fn progress(&self) -> Option<(&str, u64, u64)> {
        matches!(self.stage, Stage::Coming | Stage::Finishing).then_some((&self.name, self.size, self.at))
    }
}

/// A lane of a peer for messages with files.
struct Lane {
    peer: String,
    message_type: String,
    slot: u32,
}

impl Lane {
    /// What the messages in it have as their type.
    fn type_of_messages(&self) -> &str {
        match self.message_type.as_str() {
            control::PUBSUB_STORED => control::PUBSUB,
            name => topics::type_of_lane(name).unwrap_or(name),
        }
    }
}

impl Connector {
    pub(super) fn incoming(&mut self, link: Id, file: TransferId) -> Option<&mut Incoming> {
        self.link_files(link)?.incoming.get_mut(&(file.lane, file.number))
    }

    /// The lane of files that a peer has opened under this number.
    fn lane_of_files(&self, link: Id, lane: u32) -> Option<Lane> {
        let link = self.conns.get(link)?.link()?;
        let (slot, message_type) = link.link2.as_ref()?.file_lane(lane)?;
        let peer = self.peers.get(link.peer()?)?.name.clone();
        Some(Lane { peer, message_type: message_type.to_owned(), slot })
    }

    /// The peer offers a file.
    pub(super) fn file_offered(
        &mut self,
        id: Id,
        peer: Id,
        file: TransferId,
        offered: &Offered,
        frame: &Frame<'_>,
        now: Instant,
    ) -> Option<Cause> {
        let Some(lane) = self.lane_of_files(id, file.lane) else {
            return Some(Cause::BadInput(format!("it offers a file in lane {}, which is none for files", file.lane)));
        };
        let place = self.places.get(lane.slot)?;
        let (epoch, received) = (place.epoch, place.received);
        // A connector that stops takes nothing more: it is offered again.
        if self.stopping {
            return None;
        }
        if file.number < received || self.places.is_there(lane.slot, file.number) {
            self.say_of_file(id, file, &FileControl::Settled(Verdict::Done), b"");
            return None;
        }
        let said = frame.binary().unwrap_or_default();
        let header = match Header::parse(said) {
            Ok(header) if header.message_type == lane.type_of_messages() && header.with_file => header,
            Ok(_) => return Some(Cause::BadInput("it offers a file with the header of another message".to_owned())),
            Err(error) => return Some(Cause::BadInput(error.to_string())),
        };
        if let Some(cause) = self.add_incoming(id, file, name_in(said)) {
            return Some(cause);
        }
        let &Offered::File { size, changed, inode } = offered else {
            let why = if let Offered::Failed(why) = offered { why.clone() } else { String::new() };
            self.settle_incoming(id, file, Stage::Settled(Some(why)), Verdict::Done);
            return None;
        };
        let is_its_own = self.settings.role == Role::Client || header.source_id.as_deref() == Some(&lane.peer);
        let refused = |why: &str| Some(FileError::Refused(why.to_owned()));
        let untaken = if !is_its_own {
            refused("its message names another source_id than the peer's own")
        } else if header.publishes.is_some() && header.message_type == control::PUBSUB {
            self.why_not_published(&header, now)
        } else if self.inbox_for(&header.message_type).is_none() {
            refused("its message's type is not received")
        } else if self.refused_from(peer, &header).is_some() {
            refused("its message is not let through")
        } else {
            None
        };
        let begun = match untaken {
            Some(why) => Err(why),
            None if self.transfers.targets >= FILES_OPEN => {
                Err(FileError::Later(format!("{FILES_OPEN} files are open already")))
            }
            None => {
                let Lane { peer, message_type, .. } = lane;
                let key = TransferKey { peer, message_type, epoch, sequence: file.number };
                let stamp = Stamp { size, changed, inode };
                let incoming = files::Incoming { key: Some(&key), header: said, size, stamp };
                if header.message_type == control::PUBSUB {
                    self.begin_published(id, file, &incoming)
                } else {
                    self.files.begin(&incoming)
                }
            }
        };
        self.begun(id, peer, file, size, begun, now)
    }

    /// Notes that a file was offered, in place of an earlier attempt.
    fn add_incoming(&mut self, id: Id, file: TransferId, name: String) -> Option<Cause> {
        let files = self.link_files(id)?;
        let lane = (file.lane, 0)..=(file.lane, u64::MAX);
        let key = (file.lane, file.number);
        let old = files.incoming.get(&key);
        if old.is_some_and(|old| old.attempt >= file.attempt) {
            return Some(Cause::BadInput(format!("it offers file {} for the second time as the same", file.number)));
        }
        let in_lane = files.incoming.range(lane).count();
        if old.is_none() && (in_lane >= OFFERED_LANE || files.incoming.len() >= OFFERED_LINK) {
            let limit = if in_lane >= OFFERED_LANE { OFFERED_LANE } else { OFFERED_LINK };
            return Some(Cause::BadInput(format!("it offers more than {limit} files ahead of their messages")));
        }
        let (attempt, stage, told) = (file.attempt, Stage::Beginning, old.is_some_and(|old| old.told));
        let (file, size, path) = (None, 0, None);
        let new = Incoming { attempt, stage, file, size, at: 0, written: 0, listed: false, name, told, path };
        let old = files.incoming.insert(key, new);
        self.close_incoming(old);
        None
    }

    /// Room was made for a file, or not.
    fn begun(
        &mut self,
        id: Id,
        peer: Id,
        file: TransferId,
        size: u64,
        begun: Result<(FileId, Step), FileError>,
        now: Instant,
    ) -> Option<Cause> {
        let (target, step) = match begun {
            Ok(begun) => begun,
            Err(error) => {
                self.target_failed(id, peer, file, error, now);
                return None;
            }
        };
        self.transfers.targets += 1;
        let entry = self.incoming(id, file)?;
        (entry.file, entry.size) = (Some(target), size);
        match step {
            Step::Working => {
                self.transfers.working.insert(target, Work::Target(id, file));
                None
            }
            done => self.target_ready(id, file, Ok(done), now),
        }
    }

    /// Something that took long with a target is done.
    pub(super) fn target_ready(
        &mut self,
        id: Id,
        file: TransferId,
        result: Result<Step, FileError>,
        now: Instant,
    ) -> Option<Cause> {
        let peer = self.conns.get(id)?.link()?.peer()?;
        let entry = self.incoming(id, file).filter(|entry| entry.attempt == file.attempt)?;
        match (&entry.stage, result) {
            (_, Err(error)) => self.target_failed(id, peer, file, error, now),
            (Stage::Beginning, Ok(Step::Done(bytes))) => {
                let bytes = bytes.min(entry.size);
                (entry.stage, entry.at, entry.written) = (Stage::Coming, bytes, bytes);
                self.say_of_file(id, file, &FileControl::Have(bytes), b"");
            }
            (Stage::Finishing, Ok(_)) => {
                // It was closed with that.
                entry.file = None;
                self.transfers.targets -= 1;
                self.settle_incoming(id, file, Stage::Settled(None), Verdict::Done);
            }
            (_, Ok(_)) => {}
        }
        None
    }

    /// A file is settled, or dropped, which the peer is told.
    fn settle_incoming(&mut self, id: Id, file: TransferId, stage: Stage, verdict: Verdict) {
        let Some(entry) = self.incoming(id, file) else { return };
        entry.stage = stage;
        let target = entry.file.take();
        self.close_target(target);
        self.say_of_file(id, file, &FileControl::Settled(verdict), b"");
    }

    /// Something could not be done with a target.
    fn target_failed(&mut self, id: Id, peer: Id, file: TransferId, error: FileError, now: Instant) {
        let peer = self.peers.get(peer).map(|p| p.name.clone()).unwrap_or_default();
        let Some(entry) = self.incoming(id, file) else { return };
        let name = entry.name.clone();
        match error {
            FileError::Refused(why) => {
                self.tell_file(&peer, &name, FileTrouble::Refused, &why, now);
                self.settle_incoming(id, file, Stage::Settled(Some(why.clone())), Verdict::Refused(why));
            }
            FileError::Later(why) => {
                if !std::mem::replace(&mut entry.told, true) {
                    self.tell_file(&peer, &name, FileTrouble::Waits, &why, now);
                }
                self.settle_incoming(id, file, Stage::Dropped, Verdict::Later(why));
            }
            FileError::Changed(why) => self.settle_incoming(id, file, Stage::Dropped, Verdict::Again(why)),
        }
    }

    fn close_target(&mut self, file: Option<FileId>) {
        if let Some(file) = file {
            self.files.close(file);
            self.transfers.working.remove(&file);
            self.transfers.targets -= 1;
        }
    }

    /// These files are of no use on their link any more.
    pub(super) fn close_incoming(&mut self, files: impl IntoIterator<Item = Incoming>) {
        files.into_iter().for_each(|entry| self.close_target(entry.file));
    }

    /// A piece has come.
    pub(super) fn file_piece(&mut self, id: Id, view: &RecordView, body: &[u8], now: Instant) -> Reply {
        let piece = match Piece::parse(view.sequence, body) {
            Ok(piece) => piece,
            Err(error) => return Reply::End(Cause::BadInput(error.to_string())),
        };
        let Some(peer) = self.conns.get(id).and_then(|c| c.link()).and_then(Link::peer) else { return Reply::Taken };
        let wrong = |what: String| Reply::End(Cause::BadInput(format!("a piece of file {} {what}", view.sequence)));
        let Some(entry) = self.incoming(id, piece.id) else {
            // The end of one whose message has come without it.
            let slot = self.lane_of_files(id, piece.id.lane).map(|lane| lane.slot);
            let is_old = slot.and_then(|slot| self.places.get(slot)).is_some_and(|p| view.sequence < p.received);
            return if is_old { Reply::Taken } else { wrong("comes, which was not offered".to_owned()) };
        };
        match entry.stage {
            _ if piece.id.attempt < entry.attempt => return Reply::Taken,
            Stage::Settled(_) | Stage::Dropped if piece.id.attempt == entry.attempt => return Reply::Taken,
            Stage::Coming if piece.id.attempt == entry.attempt => {}
            _ => return wrong("comes before it was asked for".to_owned()),
        }
        let (at, size) = (entry.at, entry.size);
        if piece.offset != at || piece.bytes.len() as u64 > size - at {
            let (offset, length) = (piece.offset, piece.bytes.len());
            return wrong(format!("is for bytes {offset} to {offset} and {length}; {at} of {size} have come"));
        }
        let Some(target) = entry.file else { return Reply::Taken };
        let until = at + piece.bytes.len() as u64;
        match self.files.write(target, piece.bytes) {
            Ok(Wrote::Full) => return self.transfers.hold_back(id),
            Ok(wrote) => {
                if let Some(entry) = self.incoming(id, piece.id) {
                    entry.at = until;
                }
                let work = Work::Target(id, piece.id);
                match wrote {
                    Wrote::Done => self.target_written(work, until),
                    _ => _ = self.transfers.working.insert(target, work),
                }
            }
            Err(error) => self.target_failed(id, peer, piece.id, error, now),
        }
        Reply::Taken
    }

    /// So many bytes of a target are written.
    pub(super) fn target_written(&mut self, work: Work, bytes: u64) {
        let Work::Target(link, file) = work else { return };
        let Some(entry) = self.incoming(link, file).filter(|entry| entry.attempt == file.attempt) else { return };
        entry.written = bytes.min(entry.at);
        if !std::mem::replace(&mut entry.listed, true) {
            self.transfers.arrived.push((link, file));
        }
    }

    /// Tells the peer how much of a file is there.
    pub(super) fn tell_arrived(&mut self, id: Id, file: TransferId) {
        let Some(entry) = self.incoming(id, file).filter(|entry| entry.attempt == file.attempt) else { return };
        entry.listed = false;
        let written = entry.written;
        if matches!(entry.stage, Stage::Coming | Stage::Finishing) {
            self.say_of_file(id, file, &FileControl::Have(written), b"");
        }
    }

    /// The peer has sent all of a file.
    pub(super) fn file_ended(&mut self, id: Id, file: TransferId, hash: &FileHash, now: Instant) -> Option<Cause> {
        let entry = self.incoming(id, file).filter(|entry| entry.attempt == file.attempt)?;
        match entry.stage {
            Stage::Coming if entry.at == entry.size => {}
            Stage::Settled(_) | Stage::Dropped => return None,
            Stage::Beginning | Stage::Coming | Stage::Finishing => {
                let (at, size) = (entry.at, entry.size);
                let what = format!("file {} is said to be at its end, {at} of {size} bytes have come", file.number);
                return Some(Cause::BadInput(what));
            }
        }
        entry.stage = Stage::Finishing;
        let target = entry.file?;
        match self.files.finish(target, Some(hash)) {
            Ok(Step::Working) => {
                self.transfers.working.insert(target, Work::Target(id, file));
                None
            }
            result => self.target_ready(id, file, result, now),
        }
    }

    /// A message whose file is settled.
    pub(super) fn file_message(
        &mut self,
        id: Id,
        peer: Id,
        lane: usize,
        frame: &Frame<'_>,
        origin: Origin,
        now: Instant,
    ) -> Came {
        if let Some(came) = self.published_in_lane(id, peer, lane, frame, origin, now) {
            return came;
        }
        let changed = match self.with_settled_file(id, lane, origin.count, frame) {
            Ok(changed) => changed,
            Err(cause) => return Came::End(cause),
        };
        let came = match changed.as_deref().map(Frame::parse) {
            None => self.lane_message(id, peer, frame, origin, now),
            Some(Ok(changed)) => self.lane_message(id, peer, &changed, origin, now),
            Some(Err(error)) => return Came::End(Cause::BadInput(error.to_string())),
        };
        if let Came::Kept | Came::Done(_) = came {
            self.message_of_file_came(id, lane, origin.count);
        }
        came
    }

    /// A message of a lane of files has come: it is as it came, or this one in its place, which says why its file is not
    /// there.
    fn with_settled_file(
        &mut self,
        id: Id,
        lane: usize,
        sequence: u64,
        frame: &Frame<'_>,
    ) -> Result<Option<Vec<u8>>, Cause> {
        let file = TransferId { lane: lane as u32, number: sequence, attempt: 0 };
        let bad = |error: &dyn std::fmt::Display| Cause::BadInput(error.to_string());
        match self.incoming(id, file).map(|entry| &entry.stage) {
            Some(Stage::Settled(None)) => Ok(None),
            Some(Stage::Settled(Some(why))) => {
                let header = header_with_error(frame.header(), shortened(why)).map_err(|e| bad(&e))?;
                let mut out = Vec::new();
                frame::encode(&header, frame.data(), frame.binary(), &mut out).map_err(|e| bad(&e))?;
                Ok(Some(out))
            }
            _ => Err(Cause::BadInput(format!("message {sequence} comes before its file was settled"))),
        }
    }

    /// A message of a lane of files was kept: its file, and those before it, are of no use on this link any more.
    pub(super) fn message_of_file_came(&mut self, id: Id, lane: usize, sequence: u64) {
        let Some(files) = self.link_files(id) else { return };
        let lane = lane as u32;
        let done: Vec<(u32, u64)> = files.incoming.range((lane, 0)..=(lane, sequence)).map(|(key, _)| *key).collect();
        let done: Vec<Incoming> = done.iter().filter_map(|key| files.incoming.remove(key)).collect();
        self.close_incoming(done);
    }

    /// Messages of a lane of files below `next` are taken over, or were before the lane was opened: what is there of
    /// their files, and of other lives of the lane, is forgotten.
    pub(super) fn forget_files(&mut self, link: Id, lane: u32, next: u64) {
        let Some(Lane { peer, message_type, slot }) = self.lane_of_files(link, lane) else { return };
        let Some(place) = self.places.get(slot) else { return };
        let key = TransferKey { peer, message_type, epoch: place.epoch, sequence: next.saturating_sub(1) };
        self.files.forget(&key);
    }

    /// Nothing more comes on a link: its files are closed.
    pub(super) fn drop_incoming(&mut self, link: Id) {
        let incoming = self.link_files(link).map(|files| std::mem::take(&mut files.incoming));
        self.close_incoming(incoming.unwrap_or_default().into_values());
    }

    /// A lane of files takes the place of an earlier one of its type on the same link, of which nothing more may come:
    /// two targets of one message must not be open.
    pub(super) fn end_earlier_lane(&mut self, link: Id, lane: u32) {
        let link2 = self.conns.get_mut(link).and_then(|c| c.link_mut()).and_then(|l| l.link2.as_mut());
        let Some(earlier) = link2.and_then(|link2| link2.end_other_lane(lane)) else { return };
        self.message_of_file_came(link, earlier, u64::MAX);
    }
}

/// A file's name as the operator is told it, from the header of its message.
fn name_in(header: &[u8]) -> String {
    let header: Value = serde_json::from_slice(header).unwrap_or_default();
    let with_file = &header["with_file"];
    let name = [&with_file["dst_name"], &with_file["src_path"]].into_iter().find_map(Value::as_str);
    name.unwrap_or("without a name").chars().take(NAME_SHOWN).collect()
}
