//! Links of the first kind: messages whose files go out behind them, read as the connection takes them.
//!
//! A message with a file is one frame: header, data, binary; the file's bytes are the end of the binary. Nothing may
//! come in between. A file of more than `max_size_chunk_upload` bytes goes as pieces, as Python apps cut it: each is a
//! frame of its own with the message's data and binary, and between two of them others have as many bytes as a piece.
//!
//! - The message stays in its lane until all of it is confirmed, as others do. On the next link it goes on with the first
//!   piece that is not confirmed. Of those that ask for an acknowledgement each piece is acknowledged, by a number of its
//!   own; the last one has the message's.
//! - Who awaits an answer to a message in pieces gets that to the last one, which alone asks for it.
//! - A source that cannot be read has its message go without: the header says why. If it fails amid a frame, what the
//!   frame has promised cannot be given, so the link is cut, and the message goes without on the next.
//! - The source is removed after its message was given up.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Instant;

use super::confirm::Mark;
use super::conn::Link;
use super::connector::Connector;
use super::event::Cause;
use super::file_lane::header_with_error;
use super::file_link::{FILE_AGAIN, FileTrouble, Removal};
use super::files::{FileError, FileId, Files, PIECE_MAX, Stamp};
use super::ledger::Reason;
use super::peer::{Lane, Peer};
use super::slots::Id;
use super::timers::Timer;
use crate::wire::frame::{self, Frame, HEADER_MAX};
use crate::wire::header::{self, Change};
use crate::wire::record;
use crate::wire::with_file::WithFile;

/// Numbers that pieces are acknowledged by are greater than those of all messages.
const PIECE_NUMBERS: u64 = record::SEQUENCE_MAX + 1;

/// Room that the header of a message with a file must have left for what may have to be said of that, bytes: the reason
/// why it does not come, a length, the names of pieces.
const FILE_ROOM: usize = 4096;

/// The file of a message that is on its way, or was sent and is not given up yet.
#[derive(Debug, Default)]
pub(super) struct Source {
    path: String,
    /// It is removed when the peer has it.
    delete: bool,
    stamp: Stamp,
    /// Pieces that the peer has.
    pub done: u64,
    /// The piece that goes out next on this link.
    next: u64,
    /// Why the message goes without it.
    failed: Option<String>,
    /// It cannot be opened for now, and the operator was told.
    pub waits: bool,
    told: bool,
}

impl Source {
    /// Opens it; no more than `limit` bytes of it can be sent.
    fn open(&mut self, files: &mut dyn Files, limit: u64) -> Result<FileId, FileError> {
        let path = &self.path;
        if path.is_empty() {
            return Err(FileError::Refused("with_file has no src_path".to_owned()));
        }
        let (file, stamp) = files.open(path)?;
        let refused = if self.next > 0 && self.stamp != stamp {
            FileError::Changed(format!("{path} was changed while it was sent in pieces"))
        } else if stamp.size > limit {
            FileError::Refused(format!("{path} has {} bytes, and a frame has room for {limit}", stamp.size))
        } else {
            self.stamp = stamp;
            return Ok(file);
        };
        files.close(file);
        Err(refused)
    }
}

/// The files of a lane's messages, by their numbers.
pub(super) type Sources = BTreeMap<u64, Source>;

/// A frame with a file on its way out.
#[derive(Debug)]
pub(super) struct FileOut {
    lane: usize,
    /// The message's number.
    sequence: u64,
    pub source: Option<FileId>,
    /// Which piece it is, counted from 0, of how many; bytes of one, and of the file.
    index: u64,
    count: u64,
    piece_size: u64,
    size: u64,
    shape: Shape,
    /// Bytes of the frame that went out.
    sent: u64,
}

/// What a frame is made of, in this order.
#[derive(Debug, Default)]
struct Shape {
    /// The frame's length and its header.
    lead: Vec<u8>,
    /// Where the queued frame has its data, with their length.
    data: Range<usize>,
    /// The length of its binary, if there is one.
    binary: Vec<u8>,
    /// Where the queued frame has the app's own binary.
    own: Range<usize>,
    /// Which bytes of the file.
    file: Range<u64>,
    /// The number that this piece is to be acknowledged by.
    number: Option<u64>,
}

/// A piece of a message that the peer is to acknowledge.
#[derive(Clone, Copy, Debug)]
pub(super) struct PieceAck {
    number: u64,
    lane: usize,
    sequence: u64,
    /// With it the peer has so many pieces.
    pieces: u64,
}

/// Bytes of a frame that were read and are not sent: one buffer for all links. Whose bytes give way has them read again.
#[derive(Debug, Default)]
pub(super) struct Piece {
    bytes: Vec<u8>,
    /// The link, and where in the frame that is on its way there they stand.
    of: Option<(Id, Range<u64>)>,
}

impl Shape {
    /// Bytes before those of the file.
    fn before_file(&self) -> u64 {
        (self.lead.len() + self.data.len() + self.binary.len() + self.own.len()) as u64
    }

    fn total(&self) -> u64 {
        self.before_file() + (self.file.end - self.file.start)
    }

    /// Copies what stands from byte `at` on and comes before the file; how many bytes.
    fn copy(&self, queued: &[u8], at: u64, to: &mut [u8]) -> usize {
        let (mut skip, mut filled) = (usize::try_from(at).unwrap_or(usize::MAX), 0);
        let parts = [&self.lead[..], &queued[self.data.clone()], &self.binary[..], &queued[self.own.clone()]];
        for part in parts {
            let from = skip.min(part.len());
            skip -= from;
            let part = &part[from..];
            let count = part.len().min(to.len() - filled);
            to[filled..filled + count].copy_from_slice(&part[..count]);
            filled += count;
        }
        filled
    }
}

impl FileOut {
    fn is_last(&self) -> bool {
        self.index + 1 >= self.count
    }

    /// Some of its frame has gone out.
    pub fn is_amid(&self) -> bool {
        self.sent > 0
    }

    /// The source's path, its bytes and how many of them went out: of the piece that goes out, what its frame has
    /// beyond the file's own bytes is counted as if it came last.
    pub fn progress<'a>(&self, peer: &'a Peer) -> Option<(&'a str, u64, u64)> {
        let source = peer.lanes.get(self.lane)?.sources.get(&self.sequence)?;
        let of_piece = self.sent.min(self.shape.file.end - self.shape.file.start);
        Some((&source.path, self.size, (self.index * self.piece_size + of_piece).min(self.size)))
    }

    /// The message that others may go before now, though it is older: a piece of it was the last that went out.
    pub fn lets_others(&self, since_piece: u64) -> Option<u64> {
        (self.index > 0 && self.sent == 0 && since_piece < self.piece_size).then_some(self.sequence)
    }

    /// Makes the frame that goes out next of the queued one.
    fn shape(&mut self, queued: &[u8], failed: Option<&str>, number: Option<u64>) -> Result<(), Cause> {
        let bad = |error: &dyn std::fmt::Display| Cause::BadInput(error.to_string());
        let frame = Frame::parse(queued).map_err(|error| bad(&error))?;
        let own = frame.binary().unwrap_or_default().len();
        let start = self.index * self.piece_size;
        let file = if failed.is_some() { 0..0 } else { start..self.size.min(start + self.piece_size) };
        let length = own as u64 + (file.end - file.start);
        let mut with_file = WithFile::of(frame.header());
        if self.count > 1 {
            with_file = with_file.piece(self.index + 1, self.count);
        }
        // An empty file's message says it as well: else its own binary would be taken for the file.
        if own > 0 || with_file.binary_offset().is_some() {
            with_file = with_file.behind(own as u64);
        }
        let mut changes: Vec<Change<'_>> = vec![("with_file", Some(with_file.to_json()))];
        changes.push(("with_binary", (length > 0).then(|| "true".to_owned())));
        if !self.is_last() {
            changes.push(("await_response", None));
            changes.push(("transport_id", number.map(|number| number.to_string())));
        }
        let mut header = header::rewrite(frame.header(), &changes).map_err(|error| bad(&error))?;
        if let Some(why) = failed {
            header = header_with_error(&header, why).map_err(|error| bad(&error))?;
        }
        let data = queued.len() - frame.after_header().len();
        let data = data..data + frame::LENGTH_SIZE + frame.data().len();
        let binary = if length > 0 { u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes().to_vec() } else { vec![] };
        let rest = data.len() as u64 + binary.len() as u64 + length;
        let prefix = frame::prefix(header.len(), usize::try_from(rest).unwrap_or(usize::MAX));
        let mut lead = prefix.map_err(|error| bad(&error))?.to_vec();
        lead.extend_from_slice(&header);
        self.shape = Shape { lead, data, binary, own: queued.len() - own..queued.len(), file, number };
        self.sent = 0;
        Ok(())
    }
}

/// Most bytes of a file that fit into a frame beside a message's own.
fn room_in_frame(frame: &Frame<'_>) -> u64 {
    let own = HEADER_MAX + 16 + frame.data().len() + frame.binary().unwrap_or_default().len();
    u64::from(u32::MAX).saturating_sub(own as u64)
}

/// Whether a header has room for what may have to be said of its message's file.
pub(super) fn has_room_for_file(header: &[u8]) -> bool {
    // The pieces' name stands there twice more at most, with its escapes.
    let with_file = WithFile::of(header);
    let longest = [with_file.clone().piece(u64::MAX, u64::MAX), with_file].map(|with| with.to_json().len());
    let room = header.len() + (longest[0] - longest[1].min(longest[0])) + FILE_ROOM;
    room <= HEADER_MAX && header::rewrite(header, &[]).is_ok()
}

impl Link {
    /// Whether others may go before the next piece of this lane's file.
    pub fn rests_from(&self, lane: usize) -> bool {
        self.file_out.as_ref().is_some_and(|out| out.lane == lane && out.lets_others(self.since_piece).is_some())
    }
}

impl Peer {
    /// The lane whose next message goes out on a link of the first kind.
    pub fn next_frame_lane(&self, link: &Link) -> Option<usize> {
        let resting = link.file_out.as_ref().and_then(|out| Some((out.lets_others(link.since_piece)?, out.lane)));
        // Less urgent ones have no more than their share.
        let may_before = |(sequence, lane): (u64, usize)| {
            let class = self.lanes[lane].class;
            move |other: &Lane| {
                other.may_begin_frame() && other.front_sequence() != Some(sequence) && other.class <= class
            }
        };
        resting
            .and_then(|resting| self.next_lane(may_before(resting)))
            .or_else(|| self.next_lane(Lane::may_begin_frame))
    }
}

impl Lane {
    /// Whether it has something to send on a link of the first kind, and its file, if it brings one, can be opened.
    pub fn may_begin_frame(&self) -> bool {
        let waits = || self.sources.get(&self.front_sequence()?).map(|source| source.waits);
        self.has_unsent() && (self.sources.is_empty() || waits() != Some(true))
    }

    /// These messages were given up because the peer has them: their files, if they are to be removed. Others below
    /// `first` were given up to make room; their files stay.
    pub fn give_up_sources(&mut self, had: &[u64], first: u64) -> Vec<(String, Stamp)> {
        let had = had.iter().filter_map(|sequence| self.sources.remove(sequence));
        let sent = had.filter(|source| source.delete && source.failed.is_none());
        let sent = sent.map(|source| (source.path, source.stamp)).collect();
        self.sources = self.sources.split_off(&first);
        sent
    }
}

impl Connector {
    /// Offers one piece of the frame whose turn it is in a lane, which brings a file.
    pub(super) fn transmit_file(
        &mut self,
        id: Id,
        peer: Id,
        lane: usize,
        left: usize,
        now: Instant,
        sink: &mut dyn FnMut(&[u8]) -> usize,
    ) -> Option<(usize, usize)> {
        let sequence = self.peers.get(peer)?.lanes[lane].front_sequence()?;
        let link = self.conns.get_mut(id)?.link_mut()?;
        let is_another = link.file_out.as_ref().is_none_or(|out| (out.lane, out.sequence) != (lane, sequence));
        if is_another && !self.begin_file_out(id, peer, lane, sequence, now)? {
            return Some((0, 0));
        }
        let piece = match self.fill_piece(id, peer) {
            Ok(piece) => piece?,
            Err(error) => return self.source_broke(id, peer, &error, now),
        };
        let bytes = &self.piece.bytes[piece];
        let bytes = &bytes[..bytes.len().min(left)];
        let (taken, offered) = (sink(bytes), bytes.len());
        let link = self.conns.get_mut(id)?.link_mut()?;
        let out = link.file_out.as_mut()?;
        link.written += taken as u64;
        out.sent += taken as u64;
        let is_out = out.sent == out.shape.total();
        let entry = self.peers.get_mut(peer)?;
        if let Some(ring) = entry.lanes[lane].ring.as_mut().filter(|_| taken > 0) {
            ring.set_begun(true);
        }
        entry.sent(lane, taken, Lane::may_begin_frame);
        if is_out {
            self.frame_is_out(id, peer, now)?;
        }
        Some((taken, offered))
    }

    /// Opens the file of the next message of a lane. Whether its frame can go out now.
    fn begin_file_out(&mut self, id: Id, peer: Id, lane: usize, sequence: u64, now: Instant) -> Option<bool> {
        let before = self.conns.get_mut(id)?.link_mut()?.file_out.take();
        if let Some(file) = before.and_then(|out| out.source) {
            self.files.close(file);
        }
        let entry = self.peers.get_mut(peer)?.lanes.get_mut(lane)?;
        // One that cannot be read is found when its frame is to be made.
        let frame = entry.ring.as_ref()?.front().and_then(|queued| Frame::parse(queued).ok());
        let with_file = frame.as_ref().map(|frame| WithFile::of(frame.header())).unwrap_or_default();
        let room = frame.as_ref().map_or(0, room_in_frame);
        let source = entry.sources.entry(sequence).or_default();
        (source.path, source.delete) = (with_file.src_path().unwrap_or_default().to_owned(), with_file.delete());
        // An app may say itself that there is no file.
        source.failed = source.failed.take().or_else(|| with_file.error());
        let limit = if with_file.is_piece() { room } else { u64::MAX };
        let opened = if source.failed.is_some() { Ok(None) } else { source.open(self.files.as_mut(), limit).map(Some) };
        let file = match opened {
            Ok(file) => file,
            Err(error) => {
                let is_later = matches!(error, FileError::Later(_));
                self.source_fails(peer, lane, sequence, &error, is_later, now);
                if is_later {
                    return Some(false);
                }
                None
            }
        };
        let source = self.peers.get(peer)?.lanes.get(lane)?.sources.get(&sequence)?;
        let size = if file.is_some() { source.stamp.size } else { 0 };
        let piece_size = if with_file.is_piece() { room } else { self.settings.chunk_max.clamp(1, room.max(1)) };
        let count = size.div_ceil(piece_size.max(1)).max(1);
        let index = if file.is_some() { source.next.min(count - 1) } else { 0 };
        let shape = Shape::default();
        let out = FileOut { lane, sequence, source: file, index, count, piece_size, size, shape, sent: 0 };
        self.conns.get_mut(id)?.link_mut()?.file_out = Some(Box::new(out));
        self.shape_frame(id, peer, now).map(|()| true)
    }

    /// A source cannot be read: its message goes without, or waits.
    fn source_fails(&mut self, peer: Id, lane: usize, sequence: u64, error: &FileError, waits: bool, now: Instant) {
        let Some(entry) = self.peers.get_mut(peer) else { return };
        let name = entry.name.clone();
        let Some(source) = entry.lanes[lane].sources.get_mut(&sequence) else { return };
        let (path, why) = (source.path.clone(), error.to_string());
        let is_known = waits && std::mem::replace(&mut source.told, true);
        source.waits = waits;
        source.failed = (!waits).then(|| why.clone());
        if waits {
            self.timers.arm_if_idle(Timer::Files, now + FILE_AGAIN);
        }
        if !is_known {
            let trouble = if waits { FileTrouble::Waits } else { FileTrouble::NotSent };
            self.tell_file(&name, &path, trouble, &why, now);
        }
    }

    /// Makes the frame that goes out next, of the message whose file is on its way.
    fn shape_frame(&mut self, id: Id, peer: Id, now: Instant) -> Option<()> {
        if self.piece.of.as_ref().is_some_and(|(owner, _)| *owner == id) {
            self.piece.of = None;
        }
        let link = self.conns.get_mut(id)?.link_mut()?;
        let out = link.file_out.as_mut()?;
        let ring = self.peers.get(peer)?.lanes.get(out.lane)?.ring.as_ref()?;
        let (flags, queued) = (ring.front_flags(), ring.front()?);
        let number = (flags & record::WAITS_ACK != 0 && !out.is_last()).then(|| {
            link.piece_number += 1;
            PIECE_NUMBERS + link.piece_number
        });
        let source = self.peers.get(peer)?.lanes.get(out.lane)?.sources.get(&out.sequence)?;
        match out.shape(queued, source.failed.as_deref(), number) {
            Ok(()) => Some(()),
            Err(_) => self.pass_over_message(id, peer, now),
        }
    }

    /// No frame can be made of a message: it goes nowhere.
    fn pass_over_message(&mut self, id: Id, peer: Id, now: Instant) -> Option<()> {
        let link = self.conns.get_mut(id)?.link_mut()?;
        let out = link.file_out.take()?;
        if let Some(source) = out.source {
            self.files.close(source);
        }
        let entry = self.peers.get_mut(peer)?;
        let (name, lane) = (entry.name.clone(), entry.lanes.get_mut(out.lane)?);
        let (message_type, ring) = (lane.message_type.clone(), lane.ring.as_mut()?);
        let length = ring.front()?.len();
        ring.sent(length);
        lane.sources.remove(&out.sequence);
        self.count_drop(&name, &message_type, Reason::HeaderTooLong, 1, now);
        None
    }

    /// The next bytes of the frame that is on its way on a link, as they lie in the buffer.
    fn fill_piece(&mut self, id: Id, peer: Id) -> Result<Option<Range<usize>>, FileError> {
        let out = self.conns.get(id).and_then(|c| c.link()).and_then(|link| link.file_out.as_ref());
        let Some(out) = out else { return Ok(None) };
        if let Some((owner, range)) = &self.piece.of
            && *owner == id
            && range.contains(&out.sent)
        {
            return Ok(Some((out.sent - range.start) as usize..(range.end - range.start) as usize));
        }
        let ring = self.peers.get(peer).and_then(|p| p.lanes[out.lane].ring.as_ref());
        let Some(queued) = ring.and_then(|ring| ring.front()) else { return Ok(None) };
        let Piece { bytes, of } = &mut self.piece;
        bytes.resize(PIECE_MAX, 0);
        let count = (out.shape.total() - out.sent).min(PIECE_MAX as u64);
        let to = &mut bytes[..count as usize];
        *of = None;
        let filled = out.shape.copy(queued, out.sent, to);
        if let Some(source) = out.source.filter(|_| filled < to.len()) {
            let offset = out.shape.file.start + out.sent + filled as u64 - out.shape.before_file();
            self.files.read_at(source, offset, &mut to[filled..])?;
        }
        *of = Some((id, out.sent..out.sent + count));
        Ok(Some(0..count as usize))
    }

    /// A source cannot be read on: its message goes without. What was promised by a frame that has begun cannot be given.
    fn source_broke(&mut self, id: Id, peer: Id, error: &FileError, now: Instant) -> Option<(usize, usize)> {
        let out = self.conns.get_mut(id)?.link_mut()?.file_out.take()?;
        if let Some(source) = out.source {
            self.files.close(source);
        }
        self.source_fails(peer, out.lane, out.sequence, error, false, now);
        if out.sent > 0 {
            let why = format!("a file could not be sent to its end, so the link was cut amid it: {error}");
            self.close(id, Cause::Failed(why), now);
            return None;
        }
        Some((0, 0))
    }

    /// The last byte of a frame with a file has gone out.
    fn frame_is_out(&mut self, id: Id, peer: Id, now: Instant) -> Option<()> {
        let link = self.conns.get_mut(id)?.link_mut()?;
        let out = link.file_out.as_mut()?;
        let (number, sequence) = (out.lane, out.sequence);
        let lane = self.peers.get_mut(peer)?.lanes.get_mut(number)?;
        let ring = lane.ring.as_mut()?;
        if out.is_last() {
            let length = ring.front()?.len();
            ring.sent(length);
            let below = ring.front_sequence().unwrap_or(ring.next_sequence());
            let source = out.source;
            link.file_out = None;
            link.mark(number, below);
            if let Some(source) = source {
                self.files.close(source);
            }
            return Some(());
        }
        ring.set_begun(false);
        out.index += 1;
        let (pieces, acknowledged_by) = (out.index, out.shape.number);
        if let Some(source) = lane.sources.get_mut(&sequence) {
            source.next = pieces;
        }
        match acknowledged_by {
            Some(by) => link.piece_acks.push_back(PieceAck { number: by, lane: number, sequence, pieces }),
            None => link.marks.push_back(Mark { until: link.written, lane: number, below: sequence, pieces }),
        }
        link.since_piece = 0;
        self.shape_frame(id, peer, now)
    }

    /// The peer has these files: they are removed when that is kept.
    pub(super) fn sources_are_sent(&mut self, peer: Id, sources: Vec<(String, Stamp)>) {
        // Nearly always there are none: then this needs no memory.
        if sources.is_empty() {
            return;
        }
        let Some(peer) = self.peers.get(peer).map(|p| p.name.clone()) else { return };
        let removal = |(path, stamp)| Removal { peer: peer.clone(), path, stamp };
        self.transfers.removals.extend(sources.into_iter().map(removal));
    }

    /// Sources that could not be opened are tried again.
    pub(super) fn sources_again(&mut self) {
        for id in self.peers.ids() {
            let Some(peer) = self.peers.get_mut(id) else { continue };
            for source in peer.lanes.iter_mut().flat_map(|lane| lane.sources.values_mut()) {
                source.waits = false;
            }
        }
    }

    /// The peer has a piece that was to be acknowledged, and so those before it.
    pub(super) fn piece_acknowledged(&mut self, id: Id, peer: Id, number: u64) {
        let Some(link) = self.conns.get_mut(id).and_then(|c| c.link_mut()) else { return };
        while let Some(ack) = link.piece_acks.front().copied().filter(|ack| ack.number <= number) {
            link.piece_acks.pop_front();
            let lane = self.peers.get_mut(peer).and_then(|p| p.lanes.get_mut(ack.lane));
            if let Some(source) = lane.and_then(|lane| lane.sources.get_mut(&ack.sequence)) {
                source.done = ack.pieces;
            }
        }
    }
}

/// A link has ended, or a new one begins: what is not confirmed goes again.
pub(super) fn rewind(sources: &mut Sources) {
    sources.values_mut().for_each(|source| (source.next, source.waits) = (source.done, false));
}
