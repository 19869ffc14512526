//! Files on links of the second kind: what both directions have in common. The messages are in
//! [`file`](crate::wire::file), the two sides in `file_out` and `file_in`.
//!
//! - **Apart from messages.** A message with a file goes into a lane of its own beside that of its type (`file_lane`), so
//!   that others pass it by. The lane is a queue as others are: stored, counted and taken over in the same way.
//! - **Files first.** A message of such a lane is sent when its file is settled, so its app finds the file in its place,
//!   or reads in `with_file.file_error` why it is not there.
//! - **Gone on with.** A file is known by its message: the lane's epoch, the message's number. After a cut, or a restart
//!   of either side, it is offered again, and goes on with the byte that the receiver names. What a receiver has of files
//!   that will never come is forgotten with the first message taken over behind them.
//! - **Shares.** Messages go first. A file gets [`PIECES`] after every [`MESSAGE_SHARE`] bytes of them at least, and all of
//!   the link while there are none. Lanes take turns. How much is on its way is up to [`Window`].
//! - **Memory.** The pieces of one turn for the connector; what a connection does not take of them waits there, for as
//!   long as it must.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use super::connector::{Connector, Step, TLS_RECORD};
use super::event::{Cause, Event};
use super::file_in::Incoming;
use super::file_window::Window;
use super::files::{FileId, Stamp};
use super::settings::{REPORT_PERIOD, Sync};
use super::slots::Id;
use super::timers::Timer;
use crate::wire::file::{FileControl, PIECE_HEAD, PIECE_MAX, TransferId};
use crate::wire::frame::Frame;
use crate::wire::header::Header;
use crate::wire::record::RECORD_HEADER;

/// Bytes of a record with a piece of a file.
pub(super) const PIECE_RECORD: usize = TLS_RECORD;

/// Bytes of a file in a piece.
pub(super) const PIECE: usize = PIECE_RECORD - RECORD_HEADER - PIECE_HEAD;

/// Pieces that go out at once: as much as is sealed at once, so that a message waits for no more than that.
pub(super) const PIECES: usize = 4;

/// Bytes of messages that go out before a file gets its turn, if both wait: so it has a third of the link at least.
pub const MESSAGE_SHARE: usize = 2 * PIECES * PIECE_RECORD;

/// Files of a lane that are under way at a time: small ones are sent while the answers to others are still to come.
pub const FILES_AHEAD: usize = 8;

/// Files of a lane that are known of: those whose messages the peer has not taken over yet as well.
pub const FILES_KEPT: usize = 1024;

/// Sources that are open at a time, and targets: others wait for one to be closed.
pub const FILES_OPEN: usize = 512;

/// Beyond so many sources only the first file of a lane is opened, so that no lane keeps others from theirs.
pub const FILES_OPEN_AHEAD: usize = 128;

/// Bytes of what this side says that may wait for a link when another file is offered. Offers bring headers, which may be
/// long; two sides that wait for each other to read what they say would wait for ever.
pub const OFFERS_HIGH: usize = 64 * 1024;

/// Files of a lane that a peer may have offered without their messages, and of a link.
pub const OFFERED_LANE: usize = 64;
/// Of all lanes of a link.
pub const OFFERED_LINK: usize = 1024;

/// A file that could not be read or written for now is tried again after so long.
pub const FILE_AGAIN: Duration = Duration::from_secs(3);

/// How often a file comes again from its beginning, because it was changed or damaged on its way.
pub const AGAIN_MAX: u32 = 3;

/// Files that the operator is told of in each [`REPORT_PERIOD`]; others are counted.
pub const TOLD_MAX: u32 = 10;

/// What a record of the longest piece, or the offer of a file with the longest header, has beyond the file's bytes.
const OVERHEAD: usize = 4096;

/// The longest record that files need on a link, bytes.
pub(super) const RECORD_MAX: usize = PIECE_MAX + PIECE_HEAD + RECORD_HEADER + OVERHEAD;

/// What something that takes long is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Work {
    /// A source: the peer, its lane, the message's number.
    Source(Id, usize, u64),
    /// A target: the link, and which of its files.
    Target(Id, TransferId),
    /// A target on a link of the first kind.
    Frame(Id),
    /// The copy of a file that an app here publishes: the app's connection.
    Copy(Id),
}

/// What a connector knows of files, besides those of each lane and link.
#[derive(Debug, Default)]
pub(super) struct Transfers {
    /// The records of pieces, while they are made and sent.
    pub pieces: Vec<u8>,
    /// What is worked on in the background.
    pub working: HashMap<FileId, Work>,
    /// Open sources and targets.
    pub sources: usize,
    pub targets: usize,
    /// Links that wait for a source to be closed.
    pub waiting: BTreeSet<Id>,
    /// Links whose next bytes of a file found no room among those that wait to be written.
    pub held: Vec<Id>,
    /// Sources that their peers have: removed when that is kept.
    pub removals: Vec<Removal>,
    /// Files of publications that are no more: removed when that is kept.
    pub let_go: Vec<String>,
    /// The same with an interval, which saves at its end only that they are no more: a process that dies before has the
    /// messages again.
    pub let_go_later: Vec<String>,
    /// Apps that wait for room among the files of publications.
    pub publishers: Vec<Id>,
    /// Files that have come further since the peer was told.
    pub arrived: Vec<(Id, TransferId)>,
    /// When the operator was told of the first of so many files, and how many since then were not told.
    told: Option<(Instant, u32)>,
    untold: u64,
}

impl Transfers {
    /// Holds a link back until [`Files::work`](super::files::Files::work) has been called: too much waits to be written.
    pub fn hold_back(&mut self, link: Id) -> Step {
        if !self.held.contains(&link) {
            self.held.push(link);
        }
        Step::Blocked
    }
}

/// A source that is to be removed.
#[derive(Debug)]
pub(super) struct Removal {
    pub peer: String,
    pub path: String,
    pub stamp: Stamp,
}

/// The files of a link.
#[derive(Debug, Default)]
pub(super) struct LinkFiles {
    /// Files whose pieces go out, and bytes of files that are on their way.
    pub sending: usize,
    pub on_way: usize,
    /// Bytes of messages that were sent since the last piece.
    pub since: usize,
    /// The lane whose turn it is.
    pub turn: usize,
    /// Some are not offered before what was said has gone out.
    pub holds_offers: bool,
    pub window: Window,
    /// What the peer has offered and sent no message for yet, by lane and number.
    pub incoming: BTreeMap<(u32, u64), Incoming>,
}

impl LinkFiles {
    /// So many bytes of messages have gone out.
    pub fn message_sent(&mut self, bytes: usize, now: Instant) {
        self.since += bytes;
        self.window.message_sent(now);
    }
}

/// What the operator is told of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileTrouble {
    /// It cannot be sent; its message goes without it.
    NotSent,
    /// The peer does not take it; its message goes without it.
    NotTaken,
    /// It is not taken from the peer; its message comes without it.
    Refused,
    /// It waits, here or at the peer, and is tried again.
    Waits,
    /// The peer has it, and it cannot be removed here.
    Stays,
}

impl Connector {
    pub(super) fn link_files(&mut self, id: Id) -> Option<&mut LinkFiles> {
        Some(&mut self.conns.get_mut(id)?.link_mut()?.link2.as_mut()?.files)
    }

    /// Goes on with what takes long with files, and with what follows from its end. The shell calls it once a turn,
    /// before [`Connector::settle`]. Whether there is more to do at once.
    pub fn work(&mut self, now: Instant) -> bool {
        let (done, more) = self.files.work();
        for (file, result) in done {
            let Some(work) = self.transfers.working.get(&file).copied() else { continue };
            match result {
                Ok(super::files::Step::Working) => continue,
                Ok(super::files::Step::Written(bytes)) => {
                    self.target_written(work, bytes);
                    continue;
                }
                _ => _ = self.transfers.working.remove(&file),
            }
            let end = match work {
                Work::Source(peer, lane, number) => {
                    self.source_ready(peer, lane, number, result, now);
                    None
                }
                Work::Frame(link) => {
                    self.target_worked(link, file, result, now);
                    None
                }
                Work::Copy(app) => {
                    self.copy_worked(app, file, result, now);
                    None
                }
                Work::Target(link, id) => self.target_ready(link, id, result, now).map(|cause| (link, cause)),
            };
            if let Some((link, cause)) = end {
                self.close(link, cause, now);
            }
        }
        // Some of what waited to be written may be by now.
        let held = std::mem::take(&mut self.transfers.held);
        self.unblock(held, now);
        more
    }

    /// What a peer says of a file.
    pub(super) fn file_control(
        &mut self,
        id: Id,
        peer: Id,
        header: &Header<'_>,
        frame: &Frame<'_>,
        now: Instant,
    ) -> Step {
        let (file, said) = match FileControl::parse(header, frame.data()) {
            Ok(Some(said)) => said,
            // Something that a later version says.
            Ok(None) => return Step::Taken,
            Err(error) => return Step::End(Cause::BadInput(error.to_string())),
        };
        let end = match said {
            FileControl::Offer(offered) => self.file_offered(id, peer, file, &offered, frame, now),
            FileControl::End(hash) => self.file_ended(id, file, &hash, now),
            FileControl::Have(bytes) => self.file_arrived(id, peer, file, bytes, now),
            FileControl::Settled(verdict) => self.file_settled(id, peer, file, verdict, now),
        };
        end.map_or(Step::Taken, Step::End)
    }

    pub(super) fn say_of_file(&mut self, id: Id, file: TransferId, said: &FileControl, header: &[u8]) {
        let frame = said.encode(&self.settings.id, file, header);
        self.send_control(id, frame);
    }

    /// What follows for files when all that has happened is kept: peers are told how much of theirs has come, and sources
    /// that they have are removed.
    pub(super) fn settle_files(&mut self, now: Instant) {
        for (id, file) in std::mem::take(&mut self.transfers.arrived) {
            self.tell_arrived(id, file);
        }
        let gone = std::mem::take(&mut self.transfers.let_go);
        match self.settings.sync {
            Sync::Interval(interval) if !gone.is_empty() => {
                self.transfers.let_go_later.extend(gone);
                self.timers.arm_if_idle(Timer::Sync, now + interval);
            }
            Sync::Interval(_) | Sync::Os | Sync::Always => self.let_go(&gone, now),
        }
        for Removal { peer, path, stamp } in std::mem::take(&mut self.transfers.removals) {
            if let Err(error) = self.files.remove(&path, &stamp) {
                self.tell_file(&peer, &path, FileTrouble::Stays, &error.to_string(), now);
            }
        }
    }

    /// What has changed in queues is saved: files of messages that have gone go too.
    pub(super) fn settle_files_later(&mut self, now: Instant) {
        let gone = std::mem::take(&mut self.transfers.let_go_later);
        self.let_go(&gone, now);
    }

    fn let_go(&mut self, gone: &[String], now: Instant) {
        if !gone.is_empty() {
            gone.iter().for_each(|path| self.files.let_go(path));
            self.publishers_again(now);
        }
    }

    /// Tells the operator of a file, unless there were many lately.
    pub(super) fn tell_file(&mut self, peer: &str, file: &str, trouble: FileTrouble, why: &str, now: Instant) {
        let (since, count) = match self.transfers.told {
            Some((since, count)) if now.saturating_duration_since(since) < REPORT_PERIOD => (since, count + 1),
            _ => (now, 1),
        };
        self.transfers.told = Some((since, count));
        if count > TOLD_MAX {
            self.transfers.untold += 1;
            return self.timers.arm_if_idle(Timer::Report, now + REPORT_PERIOD);
        }
        let (peer, file, why) = (peer.to_owned(), file.to_owned(), why.to_owned());
        self.tell(Event::File { peer, file, trouble, why });
    }

    /// How many files there were that the operator was not told of.
    pub(super) fn report_files(&mut self) {
        let count = std::mem::take(&mut self.transfers.untold);
        if count > 0 {
            self.tell(Event::MoreFiles { count });
        }
    }

    /// Closes all files: the connector has ended.
    pub(super) fn close_files(&mut self) {
        for peer in self.peers.ids() {
            self.rewind_files(peer);
        }
        let links: Vec<Id> = self.conns.iter().filter(|(_, c)| c.link().is_some()).map(|(id, _)| id).collect();
        for id in links {
            self.drop_incoming(id);
            self.drop_frames(id);
        }
    }
}
