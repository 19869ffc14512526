//! Files on their way to peers.
//!
//! ```text
//! Idle ─ the source is open ─ `_file` ─▶ Offered ─ `_file_have` ─▶ Seeking ─▶ Sending ─ all read ─ `_file_end` ─▶ Ended
//! Ended, or Offered without a source ─ `_file_settled` done, refused ─▶ Settled: the message goes
//! any ─ the source was changed, or `_file_settled` again ─▶ Idle, at most AGAIN_MAX times
//! any ─ it cannot be read, or `_file_settled` later ─▶ Idle, for FILE_AGAIN
//! any ─ the link is gone ─▶ Idle
//! ```
//!
//! A file whose hash is known was read whole before: it is offered without being opened, as its receiver may have it.

use std::time::Instant;

use super::conn::{Conn, Kind, Link};
use super::connector::Connector;
use super::durable::RingRef;
use super::event::Cause;
use super::file_lane::{FileLane, Outgoing, Stage};
use super::file_link::{
    AGAIN_MAX, FILE_AGAIN, FILES_AHEAD, FILES_KEPT, FILES_OPEN, FILES_OPEN_AHEAD, FileTrouble, MESSAGE_SHARE,
    OFFERS_HIGH, PIECE, PIECE_RECORD, PIECES, Removal, Work,
};
use super::files::{FileError, FileId, Step};
use super::slots::Id;
use super::timers::Timer;
use crate::wire::file::{FileControl, Offered, PIECE_HEAD, Piece, TransferId, Verdict};
use crate::wire::frame::Frame;
use crate::wire::record::{self, RECORD_HEADER, complete_record};

impl Connector {
    fn file_lane(&mut self, peer: Id, lane: usize) -> Option<&mut FileLane> {
        self.peers.get_mut(peer)?.lanes.get_mut(lane)?.files.as_deref_mut()
    }

    fn outgoing(&mut self, peer: Id, lane: usize, number: u64) -> Option<&mut Outgoing> {
        self.file_lane(peer, lane)?.find_mut(number)
    }

    /// Offers the files of messages that are to be sent next.
    pub(super) fn offer_files(&mut self, id: Id, peer_id: Id, now: Instant) {
        let Some(peer) = self.peers.get(peer_id).filter(|p| p.link == Some(id)) else { return };
        let lanes: Vec<usize> = (0..peer.lanes.len()).filter(|lane| peer.may_offer(*lane)).collect();
        self.hold_offers(id, false);
        for lane in lanes {
            self.look_for_files(peer_id, lane, now);
            while let Some(number) = self.next_to_offer(peer_id, lane, now) {
                if self.conns.get(id).is_some_and(|conn| conn.control.used() > OFFERS_HIGH) {
                    self.hold_offers(id, true);
                    break;
                }
                if !self.offer_file(id, peer_id, lane, number, now) {
                    break;
                }
            }
            self.review_files(peer_id, lane);
        }
    }

    fn hold_offers(&mut self, id: Id, held: bool) {
        if let Some(files) = self.link_files(id) {
            files.holds_offers = held;
        }
    }

    /// Whether there are files to be offered as soon as what was said has gone out.
    pub(super) fn holds_offers(&self, id: Id) -> bool {
        let link2 = self.conns.get(id).and_then(|c| c.link()).and_then(|link| link.link2.as_ref());
        link2.is_some_and(|link2| link2.files.holds_offers)
    }

    /// Finds out the files of the first messages of a lane that were not sent.
    fn look_for_files(&mut self, peer_id: Id, lane: usize, now: Instant) {
        let Some(entry) = self.peers.get_mut(peer_id).and_then(|p| p.lanes.get_mut(lane)) else { return };
        let (Some(ring), Some(files)) = (&mut entry.ring, &mut entry.files) else { return };
        // Those whose messages were given up to make room, or are damaged.
        let gone = files.take_below(ring.first_sequence().unwrap_or(u64::MAX));
        if ring.check_front(1).is_err() {
            let message_type = entry.message_type.clone();
            let name = self.peers.get(peer_id).map(|p| p.name.clone()).unwrap_or_default();
            self.ring_damaged(RingRef::Outbox(peer_id, lane), &name, &message_type, now);
        } else if let Some(front) = ring.front_sequence() {
            let looked = (front, ring.next_sequence());
            let is_known =
                |old: (u64, u64)| old == looked || (old.0 == front && files.from(front).count() >= FILES_AHEAD);
            if !files.looked.is_some_and(is_known) && files.transfers.len() < FILES_KEPT {
                files.looked = Some(looked);
                ring.unsent_frames().take(FILES_AHEAD).for_each(|(view, frame)| files.add(view.sequence, frame));
            }
        }
        for transfer in gone {
            self.close_source(transfer.file);
        }
    }

    /// The number of the first message whose file is to be offered now.
    fn next_to_offer(&mut self, peer: Id, lane: usize, now: Instant) -> Option<u64> {
        let entry = self.peers.get(peer)?.lanes.get(lane)?;
        let front = entry.front_sequence()?;
        let files = entry.files.as_deref()?;
        let number = files.from(front).find(|t| t.is_due(now)).map(|t| t.sequence);
        let waits = files.from(front).filter_map(|t| if let Stage::Idle(at) = t.stage { at } else { None }).min();
        if let Some(at) = waits.filter(|_| number.is_none()) {
            self.timers.arm_if_idle(Timer::Files, at);
        }
        number
    }

    /// Offers a file; false if it waits for another to be closed.
    fn offer_file(&mut self, id: Id, peer_id: Id, lane: usize, number: u64, now: Instant) -> bool {
        let Some(transfer) = self.outgoing(peer_id, lane, number) else { return false };
        if transfer.failed.is_none() && transfer.hash.is_none() {
            match self.open_source(id, peer_id, lane, number) {
                Ok(true) => {}
                Ok(false) => return false,
                Err(FileError::Refused(why)) => self.cannot_send(peer_id, lane, number, why, now),
                Err(error) => {
                    self.source_failed(peer_id, lane, number, error, now);
                    return true;
                }
            }
        }
        let Some(entry) = self.peers.get_mut(peer_id).and_then(|p| p.lanes.get_mut(lane)) else { return false };
        let is_announced = entry.announced;
        let (Some(ring), Some(files)) = (&entry.ring, &mut entry.files) else { return false };
        let Some(transfer) = files.find_mut(number) else { return false };
        let Some((_, message)) = ring.unsent_frames().find(|(view, _)| view.sequence == number) else {
            // The message is damaged, or one before it.
            let source = transfer.file.take();
            files.transfers.retain(|t| t.sequence != number);
            files.looked = None;
            self.close_source(source);
            return true;
        };
        let header = Frame::parse(message).map(|frame| frame.header().to_vec()).unwrap_or_default();
        transfer.attempt += 1;
        (transfer.stage, transfer.sent, transfer.arrived) = (Stage::Offered, 0, 0);
        let file = TransferId { lane: lane as u32, number, attempt: transfer.attempt };
        let offered = match &transfer.failed {
            Some(why) => Offered::Failed(why.clone()),
            None => {
                let super::files::Stamp { size, changed, inode } = transfer.stamp;
                Offered::File { size, changed, inode }
            }
        };
        if !is_announced {
            self.say_lane(id, peer_id, lane);
        }
        self.say_of_file(id, file, &FileControl::Offer(offered), &header);
        true
    }

    /// Opens a source, unless it is open; whether it is. If not, the link waits for another to be closed.
    fn open_source(&mut self, link: Id, peer: Id, lane: usize, number: u64) -> Result<bool, FileError> {
        let front = self.peers.get(peer).and_then(|p| p.lanes.get(lane)?.front_sequence());
        let Some(transfer) = self.outgoing(peer, lane, number).filter(|t| t.file.is_none()) else { return Ok(true) };
        let path = transfer.path.clone();
        let most = if front == Some(number) { FILES_OPEN } else { FILES_OPEN_AHEAD };
        if self.transfers.sources >= most {
            self.transfers.waiting.insert(link);
            return Ok(false);
        }
        let (file, stamp) = self.files.open(&path)?;
        self.transfers.sources += 1;
        if let Some(transfer) = self.outgoing(peer, lane, number) {
            let was = transfer.hash.is_some().then_some(transfer.stamp);
            (transfer.file, transfer.stamp) = (Some(file), stamp);
            if was.is_some_and(|was| was != stamp) {
                return Err(FileError::Changed(format!("{path} was changed since it was sent first")));
            }
        }
        Ok(true)
    }

    pub(super) fn close_source(&mut self, file: Option<super::files::FileId>) {
        let Some(file) = file else { return };
        self.files.close(file);
        self.transfers.working.remove(&file);
        self.transfers.sources -= 1;
        for link in std::mem::take(&mut self.transfers.waiting) {
            self.want_write(link);
        }
    }

    /// A file will not be sent: its message goes without it, which the peer is told next.
    fn cannot_send(&mut self, peer: Id, lane: usize, number: u64, why: String, now: Instant) {
        let Some(transfer) = self.outgoing(peer, lane, number) else { return };
        let file = transfer.file.take();
        (transfer.stage, transfer.hash, transfer.is_there) = (Stage::Idle(None), None, false);
        transfer.failed = Some(why.clone());
        self.close_source(file);
        self.tell_of_source(peer, lane, number, FileTrouble::NotSent, &why, now);
    }

    fn tell_of_source(&mut self, peer: Id, lane: usize, number: u64, trouble: FileTrouble, why: &str, now: Instant) {
        let path = self.outgoing(peer, lane, number).map(|t| t.path.clone()).unwrap_or_default();
        let name = self.peers.get(peer).map(|p| p.name.clone()).unwrap_or_default();
        self.tell_file(&name, &path, trouble, why, now);
    }

    /// Something could not be done with a source.
    fn source_failed(&mut self, peer: Id, lane: usize, number: u64, error: FileError, now: Instant) {
        let Some(transfer) = self.outgoing(peer, lane, number) else { return };
        let file = transfer.file.take();
        transfer.is_there = false;
        match error {
            FileError::Refused(why) => self.cannot_send(peer, lane, number, why, now),
            FileError::Later(why) => self.send_later(peer, lane, number, &why, now),
            FileError::Changed(why) => {
                transfer.again += 1;
                (transfer.stage, transfer.hash) = (Stage::Idle(None), None);
                if transfer.again > AGAIN_MAX {
                    let why = format!("{why}; it was sent {} times", AGAIN_MAX + 1);
                    self.cannot_send(peer, lane, number, why, now);
                }
            }
        }
        self.close_source(file);
        self.review_files(peer, lane);
        if let Some(link) = self.peers.get(peer).and_then(|p| p.link) {
            self.want_write(link);
        }
    }

    /// A file is offered again after a while; told once.
    fn send_later(&mut self, peer: Id, lane: usize, number: u64, why: &str, now: Instant) {
        let Some(transfer) = self.outgoing(peer, lane, number) else { return };
        transfer.stage = Stage::Idle(Some(now + FILE_AGAIN));
        let was_told = std::mem::replace(&mut transfer.told, true);
        let file = transfer.file.take();
        self.close_source(file);
        self.timers.arm_if_idle(Timer::Files, now + FILE_AGAIN);
        if !was_told {
            self.tell_of_source(peer, lane, number, FileTrouble::Waits, why, now);
        }
    }

    /// Files that waited are tried again.
    pub(super) fn files_again(&mut self, now: Instant) {
        self.sources_again();
        self.publishers_again(now);
        let links: Vec<Id> = self.peers.iter().filter(|(_, p)| p.has_files()).filter_map(|(_, p)| p.link).collect();
        links.into_iter().for_each(|link| self.want_write(link));
    }

    /// The peer says how much of a file it has: to go on from there, or because it has more now.
    pub(super) fn file_arrived(
        &mut self,
        id: Id,
        peer: Id,
        file: TransferId,
        bytes: u64,
        now: Instant,
    ) -> Option<Cause> {
        let lane = file.lane as usize;
        let transfer = self.outgoing(peer, lane, file.number).filter(|t| t.attempt == file.attempt)?;
        let most = if transfer.stage == Stage::Offered { transfer.stamp.size } else { transfer.sent };
        let is_meant = transfer.failed.is_none() && bytes <= most;
        match transfer.stage {
            Stage::Offered if is_meant => self.go_on_with_file(id, peer, file, bytes, now),
            Stage::Sending | Stage::Ended if is_meant => {
                let more = bytes.saturating_sub(transfer.arrived);
                transfer.arrived += more;
                if let Some(files) = self.link_files(id) {
                    files.window.arrived(file, bytes, more, now);
                }
            }
            Stage::Offered | Stage::Sending | Stage::Ended => {
                return Some(Cause::BadInput(format!("it has {bytes} bytes of a file of which {most} were offered")));
            }
            Stage::Idle(_) | Stage::Seeking | Stage::Settled => {}
        }
        self.review_files(peer, lane);
        self.want_write(id);
        None
    }

    /// Goes on with a file at this byte.
    fn go_on_with_file(&mut self, id: Id, peer: Id, file: TransferId, from: u64, now: Instant) {
        let (lane, number) = (file.lane as usize, file.number);
        let Some(transfer) = self.outgoing(peer, lane, number) else { return };
        (transfer.sent, transfer.arrived) = (from, from);
        if let Some(hash) = transfer.hash.filter(|_| from == transfer.stamp.size) {
            transfer.stage = Stage::Ended;
            return self.say_of_file(id, file, &FileControl::End(hash), b"");
        }
        match self.open_source(id, peer, lane, number) {
            Ok(true) => {}
            Ok(false) => {
                // It is offered again when there is one more.
                if let Some(transfer) = self.outgoing(peer, lane, number) {
                    transfer.stage = Stage::Idle(None);
                }
                return;
            }
            Err(error) => return self.source_failed(peer, lane, number, error, now),
        }
        let Some(transfer) = self.outgoing(peer, lane, number) else { return };
        let Some(source) = transfer.file else { return };
        transfer.stage = Stage::Seeking;
        let sought = if from == 0 { Ok(Step::Done(0)) } else { self.files.seek(source, from) };
        match sought {
            Ok(Step::Working) => {
                self.transfers.working.insert(source, Work::Source(peer, lane, number));
            }
            sought => self.source_ready(peer, lane, number, sought, now),
        }
        self.want_write(id);
    }

    /// A source is where it is to be read from.
    pub(super) fn source_ready(
        &mut self,
        peer: Id,
        lane: usize,
        number: u64,
        sought: Result<Step, FileError>,
        now: Instant,
    ) {
        let Some(link) = self.peers.get(peer).and_then(|p| p.link) else { return };
        let Some(transfer) = self.outgoing(peer, lane, number).filter(|t| t.stage == Stage::Seeking) else { return };
        match sought {
            Ok(_) => {
                transfer.stage = Stage::Sending;
                if transfer.sent == transfer.stamp.size {
                    self.end_file(link, peer, lane, number, now);
                }
            }
            Err(error) => self.source_failed(peer, lane, number, error, now),
        }
        self.review_files(peer, lane);
        self.want_write(link);
    }

    /// All of a file was sent.
    fn end_file(&mut self, id: Id, peer: Id, lane: usize, number: u64, now: Instant) {
        let Some(transfer) = self.outgoing(peer, lane, number) else { return };
        let Some(source) = transfer.file else { return };
        let file = TransferId { lane: lane as u32, number, attempt: transfer.attempt };
        match self.files.hash(source) {
            Ok(hash) => {
                if let Some(transfer) = self.outgoing(peer, lane, number) {
                    (transfer.stage, transfer.hash, transfer.file) = (Stage::Ended, Some(hash), None);
                }
                self.close_source(Some(source));
                self.say_of_file(id, file, &FileControl::End(hash), b"");
            }
            Err(error) => self.source_failed(peer, lane, number, error, now),
        }
    }

    /// The peer says what became of a file.
    pub(super) fn file_settled(
        &mut self,
        id: Id,
        peer: Id,
        file: TransferId,
        verdict: Verdict,
        now: Instant,
    ) -> Option<Cause> {
        let (lane, number) = (file.lane as usize, file.number);
        let transfer = self.outgoing(peer, lane, number).filter(|t| t.attempt == file.attempt)?;
        if matches!(transfer.stage, Stage::Idle(_) | Stage::Settled) {
            return None;
        }
        let is_over = transfer.stage == Stage::Ended || transfer.stage == Stage::Offered;
        match verdict {
            Verdict::Done if !is_over => {
                return Some(Cause::BadInput("it is done with a file that was not sent whole".to_owned()));
            }
            Verdict::Done => {
                transfer.is_there = transfer.stage == Stage::Ended;
                transfer.stage = Stage::Settled;
            }
            Verdict::Refused(why) => {
                (transfer.stage, transfer.hash, transfer.is_there) = (Stage::Settled, None, false);
                self.tell_of_source(peer, lane, number, FileTrouble::NotTaken, &why, now);
            }
            Verdict::Later(why) => self.send_later(peer, lane, number, &why, now),
            Verdict::Again(why) => self.source_failed(peer, lane, number, FileError::Changed(why), now),
        }
        if let Some(transfer) = self.outgoing(peer, lane, number).filter(|t| t.stage == Stage::Settled) {
            let source = transfer.file.take();
            self.close_source(source);
        }
        if let Some(files) = self.link_files(id) {
            files.window.gone(file);
        }
        self.review_files(peer, lane);
        self.want_write(id);
        None
    }

    /// The peer has taken over the messages of a lane below `next`: their files are done with.
    pub(super) fn files_taken(&mut self, peer_id: Id, lane: usize, next: u64) {
        let taken = self.file_lane(peer_id, lane).map(|files| files.take_below(next)).unwrap_or_default();
        let peer = self.peers.get(peer_id).map(|p| p.name.clone()).unwrap_or_default();
        for transfer in taken {
            self.close_source(transfer.file);
            if transfer.is_there && transfer.delete {
                let (peer, path, stamp) = (peer.clone(), transfer.path, transfer.stamp);
                self.transfers.removals.push(Removal { peer, path, stamp });
            }
        }
        self.review_files(peer_id, lane);
    }

    /// The peer's link is gone, or another one begins: what the peer has not taken over is offered again.
    pub(super) fn rewind_files(&mut self, peer_id: Id) {
        let Some(peer) = self.peers.get_mut(peer_id) else { return };
        let mut open = Vec::new();
        for files in peer.lanes.iter_mut().filter_map(|lane| lane.files.as_deref_mut()) {
            (files.settled, files.looked) = (0, None);
            for transfer in &mut files.transfers {
                open.extend(transfer.file.take());
                (transfer.stage, transfer.failed) = (Stage::Idle(None), None);
            }
        }
        for file in open {
            self.close_source(Some(file));
        }
    }

    /// Finds out anew which messages of a lane may be sent, and what of files goes out on the link.
    fn review_files(&mut self, peer_id: Id, lane: usize) {
        let Some(peer) = self.peers.get_mut(peer_id) else { return };
        if let Some(entry) = peer.lanes.get_mut(lane) {
            let front = entry.front_sequence().unwrap_or(u64::MAX);
            if let Some(files) = &mut entry.files {
                files.settle(front);
            }
        }
        let all = || peer.lanes.iter().filter_map(|lane| lane.files.as_deref()).flat_map(|files| &files.transfers);
        let sending = all().filter(|t| t.stage == Stage::Sending).count();
        let on_way = all().map(Outgoing::on_way).sum();
        let link = peer.link;
        if let Some(files) = link.and_then(|link| self.link_files(link)) {
            (files.sending, files.on_way) = (sending, on_way);
        }
    }

    /// Whether a piece may go out on a link: none is held back by the window.
    pub(super) fn may_send_piece(&self, id: Id) -> bool {
        let link2 = self.conns.get(id).and_then(|c| c.link()).and_then(|link| link.link2.as_ref());
        link2.is_some_and(|l| l.files.sending > 0 && l.files.window.has_room(l.files.on_way, PIECES * PIECE))
    }

    /// Whether it is the turn of a piece, and not of a message.
    pub(super) fn is_turn_of_piece(&mut self, id: Id, peer_id: Id) -> bool {
        let may = self.may_send_piece(id);
        let Some(Conn { kind: Kind::Link(Link { link2: Some(link2), .. }), control, .. }) = self.conns.get_mut(id)
        else {
            return false;
        };
        if !may {
            link2.files.window.held_back();
            return false;
        }
        let Some(peer) = self.peers.get(peer_id).filter(|p| p.link == Some(id)) else { return false };
        if !control.is_empty() || peer.mid_frame().is_some() {
            return false;
        }
        let window = link2.window;
        let is_due = link2.files.since >= MESSAGE_SHARE;
        let messages_wait = !is_due && peer.next_lane(|lane| lane.may_send(window)).is_some();
        !messages_wait && if is_due { !self.feed_is_begun(peer_id) } else { !self.feeds_pending(id, peer_id) }
    }

    /// Offers some pieces of a file to the connection; how much was taken of how much.
    pub(super) fn transmit_piece(
        &mut self,
        id: Id,
        peer_id: Id,
        left: usize,
        now: Instant,
        sink: &mut dyn FnMut(&[u8]) -> usize,
    ) -> Option<(usize, usize)> {
        let turn = self.link_files(id)?.turn;
        let (lane, number) = self.peers.get(peer_id)?.next_to_send(turn)?;
        let transfer = self.outgoing(peer_id, lane, number)?;
        let (source, offset, attempt) = (transfer.file?, transfer.sent, transfer.attempt);
        let to_send = transfer.stamp.size - offset;
        let file = TransferId { lane: lane as u32, number, attempt };
        let mut pieces = std::mem::take(&mut self.transfers.pieces);
        let most = (left / PIECE_RECORD).clamp(1, PIECES);
        let sent = match self.read_pieces(source, file, (offset, to_send), most, &mut pieces) {
            Ok((size, count)) => {
                self.pieces_are_read(id, peer_id, file, count, now);
                let offered = &pieces[..size.min(left)];
                let taken = sink(offered);
                // What the connection has no room for waits there, before all that is said next.
                if let Some(conn) = self.conns.get_mut(id)
                    && taken < size
                {
                    conn.control.push(pieces[taken..size].to_vec());
                }
                self.end_if_whole(id, peer_id, lane, number, now);
                (taken, offered.len())
            }
            Err(error) => {
                self.source_failed(peer_id, lane, number, error, now);
                (0, 0)
            }
        };
        self.transfers.pieces = pieces;
        Some(sent)
    }

    /// Reads the next pieces of a source, at most so many, and makes records of them; the size of these, and how many
    /// bytes of the file they have.
    fn read_pieces(
        &mut self,
        source: FileId,
        file: TransferId,
        (offset, to_send): (u64, u64),
        most: usize,
        pieces: &mut Vec<u8>,
    ) -> Result<(usize, usize), FileError> {
        pieces.resize(PIECES * PIECE_RECORD, 0);
        let (mut size, mut count) = (0, 0);
        for record in pieces.chunks_exact_mut(PIECE_RECORD).take(most) {
            let left = usize::try_from(to_send).unwrap_or(usize::MAX) - count;
            let (wanted, begin) = (left.min(PIECE), RECORD_HEADER + PIECE_HEAD);
            if wanted == 0 {
                break;
            }
            record[RECORD_HEADER..begin].copy_from_slice(&Piece::head(file, offset + count as u64));
            if self.files.read(source, &mut record[begin..begin + wanted])? != wanted {
                return Err(FileError::Changed("the file has become shorter".to_owned()));
            }
            size += complete_record(record, file.number, record::FILE, PIECE_HEAD + wanted);
            count += wanted;
        }
        Ok((size, count))
    }

    fn pieces_are_read(&mut self, id: Id, peer: Id, file: TransferId, count: usize, now: Instant) {
        let Some(transfer) = self.outgoing(peer, file.lane as usize, file.number) else { return };
        transfer.sent += count as u64;
        let sent = transfer.sent;
        if let Some(files) = self.link_files(id) {
            files.on_way += count;
            (files.since, files.turn) = (0, file.lane as usize + 1);
            files.window.sent(file, sent, now);
        }
    }

    fn end_if_whole(&mut self, id: Id, peer: Id, lane: usize, number: u64, now: Instant) {
        let is_whole = |t: &&mut Outgoing| t.stage == Stage::Sending && t.sent == t.stamp.size;
        if self.outgoing(peer, lane, number).as_ref().is_some_and(is_whole) {
            self.end_file(id, peer, lane, number, now);
            self.review_files(peer, lane);
        }
    }
}
