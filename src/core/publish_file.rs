//! Publications with files, on their way into a broker: the file is kept first, then the message goes into its topic.
//!
//! - From a peer with link 2 a file comes as all do (`file_in`), but is kept apart; so it goes on where it stopped.
//! - From a peer with link 1 it is written as its frame comes (`frame_in`).
//! - From an app on this machine it is copied, piece by piece, while the app's connection waits. So a publication never
//!   depends on a file that is not the broker's own.
//!
//! Where there is no room for a file, a publisher that can wait does, as long as subscribers are being sent others. Else
//! the message is published without it.

use std::time::Instant;

use super::conn::Kind;
use super::connector::{Connector, Step};
use super::event::Cause;
use super::file_in::{Incoming as Known, Stage};
use super::file_lane::Attached;
use super::file_link::{FILE_AGAIN, FILES_OPEN, FileTrouble, Removal, Work};
use super::files::{FileError, FileId, Incoming, NotKept, Stamp, Step as Progress};
use super::frame_in::FileIn;
use super::lane_in::Came;
use super::ledger::Reason;
use super::slots::Id;
use super::timers::Timer;
use super::topics::Published;
use crate::wire::control;
use crate::wire::file::TransferId;
use crate::wire::frame::Frame;
use crate::wire::header::Header;
use crate::wire::record::Origin;

/// What a publication has of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Brings {
    /// It has none, or says itself why not.
    Nothing,
    /// It is kept under this path.
    Kept(String),
    /// It has none, for this reason.
    Failed(String),
}

/// Whether the file of an app's publication is there.
pub(super) enum OfApp {
    /// It is, or there is none.
    Ready(Brings),
    /// The app waits for it.
    Waits,
}

/// A file that an app on this machine publishes.
#[derive(Debug)]
pub(super) struct Copying {
    source: String,
    delete: bool,
    stamp: Stamp,
    /// What is being copied.
    file: Option<FileId>,
    brings: Brings,
    /// There is no room for it yet, as was told.
    waits: bool,
}

impl Connector {
    /// Why a publication's file is not taken, if that is known from its header.
    pub(super) fn why_not_published(&mut self, header: &Header<'_>, now: Instant) -> Option<FileError> {
        let refused = |why: &str| Some(FileError::Refused(why.to_owned()));
        if !self.settings.pubsub_broker {
            return refused("this connector is no broker of publications");
        }
        let message_type = header.publishes.as_deref().unwrap_or_default();
        if crate::wire::topics::check_published(message_type).is_err() {
            return refused("its message's type cannot be published");
        }
        let topic = match self.topic_for(message_type, true, now) {
            Ok(Some(topic)) => topic,
            Ok(None) => return refused("nobody has subscribed to its message's type"),
            Err(_) => return refused("there are too many types"),
        };
        // A disk may have room again.
        self.open_topic(topic, now).err().map(|_| FileError::Later("no room for messages of its type".to_owned()))
    }

    /// Link 2: makes room for the file of a publication.
    pub(super) fn begin_published(
        &mut self,
        link: Id,
        file: TransferId,
        incoming: &Incoming<'_>,
    ) -> Result<(FileId, Progress), FileError> {
        let begun = self.files.begin_published(incoming);
        let (target, step, path) = begun.map_err(|why| self.not_kept(why))?;
        if let Some(known) = self.incoming(link, file) {
            known.path = Some(path);
        }
        Ok((target, step))
    }

    /// Link 1: the same. Such a peer cannot wait.
    pub(super) fn begin_published_frame(
        &mut self,
        incoming: &Incoming<'_>,
    ) -> Result<(FileId, Progress, String), FileError> {
        self.files.begin_published(incoming).map_err(|why| match why {
            NotKept::NoRoom { why, .. } => FileError::Refused(why),
            NotKept::Failed(error) => error,
        })
    }

    /// A message of a lane of files that is a publication, whose file is settled. None if it is another.
    pub(super) fn published_in_lane(
        &mut self,
        id: Id,
        peer: Id,
        lane: usize,
        frame: &Frame<'_>,
        origin: Origin,
        now: Instant,
    ) -> Option<Came> {
        if !self.settings.pubsub_broker {
            return None;
        }
        let bad = |error: &dyn std::fmt::Display| Some(Came::End(Cause::BadInput(error.to_string())));
        let header = match Header::parse(frame.header()) {
            Ok(header) if header.message_type == control::PUBSUB && header.publishes.is_some() => header,
            Ok(_) => return None,
            Err(error) => return bad(&error),
        };
        let file = TransferId { lane: lane as u32, number: origin.count, attempt: 0 };
        let brings = match self.incoming(id, file) {
            Some(Known { stage: Stage::Settled(None), path: Some(path), .. }) => Brings::Kept(path.clone()),
            Some(Known { stage: Stage::Settled(Some(why)), .. }) => Brings::Failed(why.clone()),
            _ => return bad(&format!("message {} comes before its file was settled", origin.count)),
        };
        match self.wrong_source(peer, &header, now) {
            Some(Step::End(cause)) => return Some(Came::End(cause)),
            Some(_) => {
                self.not_published(&brings, Reason::WrongSource);
                self.message_of_file_came(id, lane, origin.count);
                return Some(Came::Done(None));
            }
            None => {}
        }
        match self.publish_from(id, frame, &header, &brings, Some(origin), now) {
            // It comes again.
            Ok(Published::Waits(topic)) => Some(Came::Published(Published::Waits(topic))),
            Ok(published) => {
                self.message_of_file_came(id, lane, origin.count);
                Some(Came::Published(published))
            }
            Err(cause) => Some(Came::End(cause)),
        }
    }

    /// A publication goes nowhere, and so its file.
    pub(super) fn not_published(&mut self, brings: &Brings, reason: Reason) -> Published {
        if let Brings::Kept(path) = brings {
            self.transfers.let_go.push(path.clone());
        }
        Published::Refused(reason)
    }

    /// What follows for the file of a publication from what became of that.
    pub(super) fn published_with_file(&mut self, topic: Id, brings: &Brings, published: Published) -> Published {
        let Brings::Kept(path) = brings else { return published };
        match published {
            Published::Stored | Published::Taken { .. } => {
                self.files.hold(path);
                // The number that it was given last.
                let number = self.stamp - 1;
                if let Some(files) = self.topics.get_mut(topic).and_then(|topic| topic.files.as_mut()) {
                    files.insert(number, path.clone());
                }
                published
            }
            Published::Waits(_) => published,
            Published::Refused(reason) => self.not_published(brings, reason),
        }
    }

    /// Link 1: the file of a publication has come, or will not: the message goes into its topic.
    pub(super) fn publish_frame_with_file(&mut self, id: Id, peer: Id, file_in: Box<FileIn>, now: Instant) -> Step {
        let published = match self.publish_file_in(id, &file_in, now) {
            Ok((published, bytes)) => (published, bytes),
            Err(cause) => return Step::End(cause),
        };
        let (published, bytes) = published;
        let Ok(frame) = Frame::parse(&bytes) else { return Step::Taken };
        let transport_id = file_in.transport_id;
        match self.after_publication(id, peer, &frame, transport_id, published, now) {
            Step::Blocked => {
                if let Some(link) = self.conns.get_mut(id).and_then(|c| c.link_mut()) {
                    link.file_in = Some(file_in);
                }
                Step::Waits
            }
            step => step,
        }
    }

    /// The same when its link has ended.
    pub(super) fn publish_last_frame(&mut self, id: Id, peer: Id, file_in: &FileIn, now: Instant) {
        let Ok((published, bytes)) = self.publish_file_in(id, file_in, now) else { return };
        let reason = match published {
            Published::Waits(_) => Reason::ConnectionEnded,
            Published::Refused(reason) => reason,
            Published::Stored | Published::Taken { .. } => return,
        };
        self.not_published(&file_in.brings(), reason);
        if let Ok(frame) = Frame::parse(&bytes) {
            self.count_publication(peer, &frame, reason, now);
        }
    }

    /// Publishes it; what became of it, and the frame as it was published.
    fn publish_file_in(&mut self, id: Id, file_in: &FileIn, now: Instant) -> Result<(Published, Vec<u8>), Cause> {
        let bytes = file_in.for_app()?;
        let bad = |error: &dyn std::fmt::Display| Cause::BadInput(error.to_string());
        let frame = Frame::parse(&bytes).map_err(|error| bad(&error))?;
        let header = Header::parse(frame.header()).map_err(|error| bad(&error))?;
        let published = self.publish_from(id, &frame, &header, &file_in.brings(), None, now)?;
        Ok((published, bytes))
    }

    /// The file of a publication of an app on this machine: it is copied first.
    pub(super) fn file_of_app(&mut self, id: Id, frame: &Frame<'_>, header: &Header<'_>, now: Instant) -> OfApp {
        if !header.with_file {
            return OfApp::Ready(Brings::Nothing);
        }
        let known = self.conns.get(id).and_then(|conn| conn.app()?.copying.as_ref());
        let was_told = known.is_some_and(|copying| copying.waits);
        if let Some(copying) = known.filter(|copying| !copying.waits) {
            return if copying.file.is_some() { OfApp::Waits } else { OfApp::Ready(copying.brings.clone()) };
        }
        let later = match self.why_not_published(header, now) {
            None => None,
            Some(FileError::Later(why)) => Some(why),
            // Nobody gets it: it is not worth a copy.
            Some(FileError::Refused(_) | FileError::Changed(_)) => return OfApp::Ready(Brings::Nothing),
        };
        let Attached { path, delete } = match Attached::read(frame.header()) {
            Ok(attached) => attached,
            Err(why) => return OfApp::Ready(Brings::Failed(why.to_owned())),
        };
        let begun = match later {
            Some(why) => Err(FileError::Later(why)),
            None if self.transfers.sources >= FILES_OPEN => {
                Err(FileError::Later(format!("{FILES_OPEN} files are open already")))
            }
            None => self.files.copy_published(&path).map_err(|why| self.not_kept(why)),
        };
        let own = self.settings.id.clone();
        let nothing = (None, Stamp::default(), Brings::Nothing, true);
        let (file, stamp, brings, waits) = match begun {
            Ok((file, stamp, copy)) => {
                self.transfers.sources += 1;
                self.transfers.working.insert(file, Work::Copy(id));
                (Some(file), stamp, Brings::Kept(copy), false)
            }
            Err(FileError::Later(why)) => {
                if !was_told {
                    self.tell_file(&own, &path, FileTrouble::Waits, &why, now);
                }
                self.transfers.publishers.push(id);
                self.timers.arm_if_idle(Timer::Files, now + FILE_AGAIN);
                nothing
            }
            Err(FileError::Refused(why) | FileError::Changed(why)) => {
                self.tell_file(&own, &path, FileTrouble::NotSent, &why, now);
                return OfApp::Ready(Brings::Failed(why));
            }
        };
        if let Some(app) = self.conns.get_mut(id).and_then(|conn| conn.app_mut()) {
            app.copying = Some(Box::new(Copying { source: path, delete, stamp, file, brings, waits }));
        }
        OfApp::Waits
    }

    /// A copy is there, or cannot be made.
    pub(super) fn copy_worked(&mut self, app: Id, file: FileId, result: Result<Progress, FileError>, now: Instant) {
        let copying = self.conns.get_mut(app).and_then(|conn| conn.app_mut()?.copying.as_mut());
        let Some(copying) = copying.filter(|copying| copying.file == Some(file)) else { return };
        copying.file = None;
        self.transfers.sources -= 1;
        if let Err(error) = result {
            let (why, source) = (error.to_string(), copying.source.clone());
            (copying.brings, copying.delete) = (Brings::Failed(why.clone()), false);
            self.files.close(file);
            let own = self.settings.id.clone();
            self.tell_file(&own, &source, FileTrouble::NotSent, &why, now);
        }
        self.unblock(vec![app], now);
    }

    /// The publication of an app on this machine has gone its way: what it was copied of goes when that is kept, if it is
    /// to go.
    pub(super) fn file_of_app_is_published(&mut self, id: Id, published: &Published) {
        if let Published::Waits(_) = published {
            return;
        }
        let Some(app) = self.conns.get_mut(id).and_then(|conn| conn.app_mut()) else { return };
        let Some(copying) = app.copying.take() else { return };
        let is_kept = matches!(published, Published::Stored | Published::Taken { .. });
        if is_kept && copying.delete && matches!(copying.brings, Brings::Kept(_)) {
            let Copying { source: path, stamp, .. } = *copying;
            self.transfers.removals.push(Removal { peer: self.settings.id.clone(), path, stamp });
        }
    }

    /// The app's connection has ended before its publication went its way.
    pub(super) fn end_copy(&mut self, copying: Option<Box<Copying>>) {
        let Some(copying) = copying else { return };
        if let Some(file) = copying.file {
            self.files.close(file);
            self.transfers.working.remove(&file);
            self.transfers.sources -= 1;
        } else if let Brings::Kept(path) = copying.brings {
            self.transfers.let_go.push(path);
        }
    }

    /// A file that has no room waits, if others go out, or are about to; else its message goes without.
    fn not_kept(&self, why: NotKept) -> FileError {
        match why {
            NotKept::NoRoom { later: true, why } if self.files_flow() || self.files_come() => FileError::Later(why),
            NotKept::NoRoom { why, .. } => FileError::Refused(why),
            NotKept::Failed(error) => error,
        }
    }

    /// Whether the file of a publication is on its way in, or its message is.
    fn files_come(&self) -> bool {
        let comes =
            |known: &Known| known.path.is_some() && !matches!(known.stage, Stage::Dropped | Stage::Settled(Some(_)));
        self.conns.iter().any(|(_, conn)| match &conn.kind {
            Kind::Link(link) => {
                let whole = link.file_in.as_ref().is_some_and(|file_in| matches!(file_in.brings(), Brings::Kept(_)));
                whole || link.link2.as_ref().is_some_and(|link2| link2.files.incoming.values().any(comes))
            }
            Kind::App(app) => app.copying.as_ref().is_some_and(|copying| copying.file.is_some()),
            Kind::Delivery(_) | Kind::Admin(_) => false,
        })
    }

    /// Apps that waited for room for their files try again.
    pub(super) fn publishers_again(&mut self, now: Instant) {
        let waiting = std::mem::take(&mut self.transfers.publishers);
        if !waiting.is_empty() {
            self.unblock(waiting, now);
        }
    }
}
