//! Links of the first kind: files that messages bring, written as their bytes come.
//!
//! ```text
//! header, data, own binary ─▶ Opening ─▶ Open ─ all bytes ─▶ Finishing ─▶ Done ─┬▶ the message goes its way
//!                                └──────────┴─ refused, no room ─▶ Failed ──────┘
//! ```
//!
//! Bytes of a file that has failed are read and dropped; the message then says why. While [`Files`](super::files::Files)
//! works on the file, while too much of it waits to be written, and while the message waits for room in its inbox, the
//! link is not read: its order is kept.

use std::time::Instant;

use super::conn::{Link, State};
use super::connector::{Connector, Step};
use super::event::Cause;
use super::file_lane::header_with_error;
use super::file_link::{FileTrouble, Work};
use super::files::{FileError, FileId, Incoming, Stamp, Step as Progress, Wrote};
use super::for_app::{ForApp, Way};
use super::publish_file::Brings;
use super::slots::Id;
use crate::wire::control;
use crate::wire::frame::{self, Frame};
use crate::wire::header::{self, Change, Header};
use crate::wire::with_file::WithFile;

/// A message whose file is on its way in.
#[derive(Debug)]
pub(super) struct FileIn {
    /// The header as the app gets it, if the file does not fail.
    header: Vec<u8>,
    data: Vec<u8>,
    /// The app's own binary.
    own: Vec<u8>,
    /// What the peer wants acknowledged.
    pub transport_id: Option<u64>,
    /// Bytes of the file that are to come.
    left: usize,
    target: Target,
    /// It is published, and kept under this path if it is kept.
    published: Option<Option<String>>,
}

/// Where the bytes go.
#[derive(Debug)]
enum Target {
    /// Room is being made for them.
    Opening(FileId),
    Open(FileId),
    /// All are written; the file is getting its name.
    Finishing(FileId),
    /// The file is there.
    Done,
    /// Nowhere, for this reason.
    Failed(String),
}

impl FileIn {
    /// The file that is open.
    fn file(&self) -> Option<FileId> {
        match self.target {
            Target::Opening(file) | Target::Open(file) | Target::Finishing(file) => Some(file),
            Target::Done | Target::Failed(_) => None,
        }
    }

    /// All came, and it is known what became of it.
    fn is_ready(&self) -> bool {
        self.left == 0 && self.file().is_none()
    }

    /// What a publication has of it.
    pub fn brings(&self) -> Brings {
        match (&self.target, self.published.clone().flatten()) {
            (Target::Failed(why), _) => Brings::Failed(why.clone()),
            (_, Some(path)) => Brings::Kept(path),
            (_, None) => Brings::Nothing,
        }
    }

    /// The path of the copy of a file that is published, if it is whole.
    pub fn kept(&self) -> Option<String> {
        if let Target::Done = self.target { self.published.clone().flatten() } else { None }
    }

    /// The frame that the app gets.
    pub fn for_app(&self) -> Result<Vec<u8>, Cause> {
        let changed = match &self.target {
            Target::Failed(why) => Some(header_with_error(&self.header, why)),
            _ => None,
        };
        let changed = changed.transpose().map_err(|error| Cause::BadInput(error.to_string()))?;
        let binary = (!self.own.is_empty()).then_some(self.own.as_slice());
        let mut out = Vec::new();
        let encoded = frame::encode(changed.as_deref().unwrap_or(&self.header), &self.data, binary, &mut out);
        encoded.map_err(|error| Cause::BadInput(error.to_string()))?;
        Ok(out)
    }
}

impl Connector {
    /// The message of a frame whose last `size` bytes are a file that is to come.
    pub(super) fn file_head(&mut self, id: Id, head: &Frame<'_>, size: usize, now: Instant) -> Step {
        if let Some(step) = self.is_held_back(id) {
            return step;
        }
        let header = match Header::parse(head.header()) {
            Ok(header) => header,
            Err(error) => return Step::End(Cause::BadInput(error.to_string())),
        };
        let state = |connector: &Self| connector.conns.get(id).and_then(|c| c.link()).map(|link| link.state);
        if state(self) == Some(State::Checking) {
            let server = self.settings.server_id.clone();
            self.link_up(id, &server, now);
        }
        let Some(State::Up { peer }) = state(self) else {
            return Step::End(Cause::BadInput("a file came before it was known from whom".to_owned()));
        };
        // What follows is passed over where no file is under way.
        if let Some(step) = self.wrong_source(peer, &header, now) {
            return step;
        }
        if let Some(step) = self.refused_frame(id, peer, &header, now) {
            return step;
        }
        match self.begin_target(id, peer, head, size, &header, now) {
            Step::Taken => self.go_on_with_frame(id, now),
            step => step,
        }
    }

    /// Makes room for the file of a message.
    pub(super) fn begin_target(
        &mut self,
        id: Id,
        peer: Id,
        head: &Frame<'_>,
        size: usize,
        header: &Header<'_>,
        now: Instant,
    ) -> Step {
        let own = head.binary().unwrap_or_default().to_vec();
        let mut changes: Vec<Change<'_>> = vec![("transport_id", None)];
        if own.is_empty() {
            changes.push(("with_binary", None));
        }
        let for_app = match header::rewrite(head.header(), &changes) {
            Ok(for_app) => for_app,
            Err(error) => return Step::End(Cause::BadInput(error.to_string())),
        };
        let is_published = header.message_type == control::PUBSUB && self.settings.pubsub_broker;
        let mut path = None;
        let refused = if is_published { self.why_not_published(header, now) } else { None };
        let target = if let Some(why) = refused {
            Target::Failed(why.to_string())
        } else if is_published || self.inbox_of_type.contains_key(header.message_type.as_ref()) {
            let incoming = Incoming { key: None, header: head.header(), size: size as u64, stamp: Stamp::default() };
            let begun = if is_published {
                self.begin_published_frame(&incoming).map(|(file, step, kept_at)| {
                    path = Some(kept_at);
                    (file, step)
                })
            } else {
                self.files.begin(&incoming)
            };
            match begun {
                Ok((file, Progress::Done(_) | Progress::Written(_))) => Target::Open(file),
                Ok((file, Progress::Working)) => {
                    self.transfers.working.insert(file, Work::Frame(id));
                    Target::Opening(file)
                }
                Err(error) => self.target_refused(peer, head.header(), &error, now),
            }
        } else {
            Target::Failed("messages of this type are not received here".to_owned())
        };
        let (data, transport_id) = (head.data().to_vec(), header.transport_id);
        if let Some(link) = self.conns.get_mut(id).and_then(|c| c.link_mut()) {
            let (header, left, published) = (for_app, size, is_published.then_some(path));
            link.file_in = Some(Box::new(FileIn { header, data, own, transport_id, left, target, published }));
        }
        Step::Taken
    }

    /// Tells that a message comes without its file.
    fn target_refused(&mut self, peer: Id, header: &[u8], error: &FileError, now: Instant) -> Target {
        let peer = self.peers.get(peer).map(|p| p.name.clone()).unwrap_or_default();
        let why = error.to_string();
        self.tell_file(&peer, WithFile::of(header).dst_name(), FileTrouble::Refused, &why, now);
        Target::Failed(why)
    }

    fn file_in(&mut self, id: Id) -> Option<&mut FileIn> {
        self.conns.get_mut(id)?.link_mut()?.file_in.as_deref_mut()
    }

    /// Bytes of the file that is under way.
    pub(super) fn file_bytes(&mut self, id: Id, bytes: &[u8], now: Instant) -> Step {
        if let Some(step) = self.is_held_back(id) {
            return step;
        }
        let Some(link) = self.conns.get_mut(id).and_then(|c| c.link_mut()) else { return Step::Taken };
        link.heard = true;
        let Some(file_in) = &mut link.file_in else { return Step::Taken };
        if let Target::Open(file) = file_in.target {
            match self.files.write(file, bytes) {
                Ok(Wrote::Full) => return self.transfers.hold_back(id),
                Ok(Wrote::Taken) => _ = self.transfers.working.insert(file, Work::Frame(id)),
                Ok(Wrote::Done) => {}
                Err(error) => self.drop_target(id, file, &error, now),
            }
        }
        if let Some(file_in) = self.file_in(id) {
            file_in.left = file_in.left.saturating_sub(bytes.len());
        }
        self.go_on_with_frame(id, now)
    }

    /// A file cannot be written: what is there of it goes.
    fn drop_target(&mut self, id: Id, file: FileId, error: &FileError, now: Instant) {
        self.files.close(file);
        self.transfers.working.remove(&file);
        let Some(peer) = self.conns.get(id).and_then(|c| c.link()).and_then(Link::peer) else { return };
        let Some(header) = self.file_in(id).map(|file_in| file_in.header.clone()) else { return };
        let target = self.target_refused(peer, &header, error, now);
        if let Some(file_in) = self.file_in(id) {
            file_in.target = target;
        }
    }

    /// Does what is next for the file that is under way on a link, if there is one.
    pub(super) fn go_on_with_frame(&mut self, id: Id, now: Instant) -> Step {
        let Some(link) = self.conns.get_mut(id).and_then(|c| c.link_mut()) else { return Step::Taken };
        let Some(file_in) = &mut link.file_in else { return Step::Taken };
        match file_in.target {
            Target::Opening(_) | Target::Finishing(_) => return Step::Waits,
            _ if file_in.left > 0 => return Step::Taken,
            Target::Open(file) => match self.files.finish(file, None) {
                Ok(Progress::Done(_) | Progress::Written(_)) => file_in.target = Target::Done,
                Ok(Progress::Working) => {
                    file_in.target = Target::Finishing(file);
                    self.transfers.working.insert(file, Work::Frame(id));
                    return Step::Waits;
                }
                Err(error) => self.drop_target(id, file, &error, now),
            },
            Target::Done | Target::Failed(_) => {}
        }
        self.pass_on_message(id, now)
    }

    /// The file of a message has come, or will not: the message goes its way.
    fn pass_on_message(&mut self, id: Id, now: Instant) -> Step {
        let Some(link) = self.conns.get_mut(id).and_then(|c| c.link_mut()) else { return Step::Taken };
        let (Some(peer), Some(file_in)) = (link.peer(), link.file_in.take()) else { return Step::Taken };
        let way = if file_in.published.is_some() {
            return self.publish_frame_with_file(id, peer, file_in, now);
        } else {
            self.way_of(id, peer, &file_in, now)
        };
        let step = match way {
            Ok(Some((way, frame))) => self.deliver(way, &[&frame], peer, id, now),
            Ok(None) => Step::Taken,
            Err(cause) => return Step::End(cause),
        };
        match (step, file_in.transport_id) {
            (Step::Blocked, _) => {
                if let Some(link) = self.conns.get_mut(id).and_then(|c| c.link_mut()) {
                    link.file_in = Some(file_in);
                }
                Step::Waits
            }
            (Step::Taken, Some(transport_id)) => {
                self.send_control(id, control::ack(&self.settings.id, transport_id));
                Step::Taken
            }
            (step, _) => step,
        }
    }

    /// The inbox that a message is for, and what its app gets; `None` if there is nothing more to do with it.
    fn way_of(&mut self, id: Id, peer: Id, file_in: &FileIn, now: Instant) -> Result<Option<(Way, Vec<u8>)>, Cause> {
        let bytes = file_in.for_app()?;
        let bad = |error: &dyn std::fmt::Display| Cause::BadInput(error.to_string());
        let frame = Frame::parse(&bytes).map_err(|error| bad(&error))?;
        let header = Header::parse(frame.header()).map_err(|error| bad(&error))?;
        let for_app = self.for_app(id, peer, &frame, &header, now)?;
        let bytes = |changed: Option<Vec<u8>>| changed.unwrap_or_else(|| frame.bytes().to_vec());
        Ok(for_app.map(|ForApp { inbox, row, changed }| ((inbox, row), bytes(changed))))
    }

    /// What took long with the file of a message on this link is done.
    pub(super) fn target_worked(&mut self, id: Id, file: FileId, result: Result<Progress, FileError>, now: Instant) {
        let Some(file_in) = self.file_in(id).filter(|file_in| file_in.file() == Some(file)) else { return };
        match (result, &file_in.target) {
            (Err(error), _) => self.drop_target(id, file, &error, now),
            (Ok(_), Target::Opening(_)) => file_in.target = Target::Open(file),
            (Ok(_), _) => file_in.target = Target::Done,
        }
        self.unblock(vec![id], now);
    }

    /// The connector has ended amid what comes and goes on a link. Links that waited for something are closed by now.
    pub(super) fn drop_frames(&mut self, id: Id) {
        let Some(link) = self.conns.get_mut(id).and_then(|c| c.link_mut()) else { return };
        let target = link.file_in.take().and_then(|file_in| file_in.file());
        let source = link.file_out.take().and_then(|out| out.source);
        for file in [target, source].into_iter().flatten() {
            self.files.close(file);
        }
    }

    /// A link has ended: nobody sends the rest of what comes, nobody takes that of what goes.
    pub(super) fn leave_frames(&mut self, id: Id, link: &mut Link, now: Instant) {
        if let Some(source) = link.file_out.take().and_then(|out| out.source) {
            self.files.close(source);
        }
        self.leave_file_in(id, link, now);
    }

    /// A link has ended amid a file, or while its message waited for room: that goes its way, an incomplete one never
    /// was.
    fn leave_file_in(&mut self, id: Id, link: &mut Link, now: Instant) {
        let Some(file_in) = link.file_in.take() else { return };
        if let Some(file) = file_in.file() {
            self.transfers.working.remove(&file);
            self.files.close(file);
        }
        let Some(peer) = link.peer().filter(|_| file_in.is_ready()) else {
            self.transfers.let_go.extend(file_in.kept());
            return;
        };
        if file_in.published.is_some() {
            return self.publish_last_frame(id, peer, &file_in, now);
        }
        let Ok(Some((way, frame))) = self.way_of(id, peer, &file_in, now) else { return };
        self.deliver_over_limit(way, &frame, peer, now);
    }
}
