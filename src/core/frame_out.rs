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
use super::event::{Cause, Event};
use super::files::{FileError, FileId, PIECE_MAX, Stamp};
use super::frame_in::with_error;
use super::ledger::Reason;
use super::peer::{Lane, Peer};
use super::slots::Id;
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
pub(super) struct Attached {
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
}

/// The files of a lane's messages, by their numbers.
pub(super) type Sources = BTreeMap<u64, Attached>;

/// A frame with a file on its way out.
#[derive(Debug)]
pub(super) struct FileOut {
    lane: usize,
    /// The message's number.
    sequence: u64,
    source: Option<FileId>,
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
            header = with_error(&header, why)?;
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

impl Peer {
    /// The lane whose next message goes out on a link of the first kind.
    pub fn next_frame_lane(&self, link: &Link) -> Option<usize> {
        let resting = link.file_out.as_ref().and_then(|out| out.lets_others(link.since_piece));
        let others = resting
            .and_then(|resting| self.next_lane(|lane| lane.has_unsent() && lane.front_sequence() != Some(resting)));
        others.or_else(|| self.next_lane(Lane::has_unsent))
    }
}

impl Lane {
    /// The file of the oldest message goes, as the message did.
    pub fn give_up_source(&mut self, sequence: u64) -> Option<(String, Stamp)> {
        let Attached { path, delete, stamp, failed, .. } = self.sources.remove(&sequence)?;
        (delete && failed.is_none()).then_some((path, stamp))
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
        if link.file_out.as_ref().is_none_or(|out| (out.lane, out.sequence) != (lane, sequence)) {
            self.begin_file_out(id, peer, lane, sequence, now)?;
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
        if let Some(ring) = self.peers.get_mut(peer)?.lanes[lane].ring.as_mut().filter(|_| taken > 0) {
            ring.set_begun(true);
        }
        if is_out {
            self.frame_is_out(id, peer, now)?;
        }
        Some((taken, offered))
    }

    /// Opens the file of the next message of a lane.
    fn begin_file_out(&mut self, id: Id, peer: Id, lane: usize, sequence: u64, now: Instant) -> Option<()> {
        let before = self.conns.get_mut(id)?.link_mut()?.file_out.take();
        if let Some(source) = before.and_then(|out| out.source) {
            self.files.close(source);
        }
        let entry = self.peers.get_mut(peer)?.lanes.get_mut(lane)?;
        let message_type = entry.message_type.clone();
        let queued = entry.ring.as_ref()?.front()?;
        // One that cannot be read is found when its frame is to be made.
        let frame = Frame::parse(queued).ok();
        let with_file = frame.as_ref().map(|frame| WithFile::of(frame.header())).unwrap_or_default();
        let attached = entry.sources.entry(sequence).or_default();
        (attached.path, attached.delete) = (with_file.src_path().unwrap_or_default().to_owned(), with_file.delete());
        let (room, chunk) = (frame.as_ref().map_or(0, room_in_frame), self.settings.chunk_max);
        let known = attached.failed.clone().or_else(|| with_file.error());
        let opened = if known.is_some() { Ok(None) } else { open(self.files.as_mut(), attached).map(Some) };
        let (source, size) = match &opened {
            Ok(Some(source)) => (Some(*source), attached.stamp.size),
            Ok(None) | Err(_) => (None, 0),
        };
        let piece_size = if with_file.is_piece() { room } else { chunk.clamp(1, room.max(1)) };
        let mut failed = known.or_else(|| opened.err().map(|error| error.to_string()));
        if with_file.is_piece() && size > room {
            failed = Some(format!("{} has {size} bytes, and no frame has room for more than {room}", attached.path));
        }
        let count = if failed.is_some() { 1 } else { size.div_ceil(piece_size).max(1) };
        let index = if failed.is_some() { 0 } else { attached.next.min(count - 1) };
        let news = failed.clone().filter(|_| attached.failed.is_none() && with_file.error().is_none());
        attached.failed = failed;
        let shape = Shape::default();
        let out = FileOut { lane, sequence, source, index, count, piece_size, size, shape, sent: 0 };
        self.conns.get_mut(id)?.link_mut()?.file_out = Some(Box::new(out));
        if let Some(why) = news {
            self.goes_without_file(peer, &message_type, &why, now);
        }
        self.shape_frame(id, peer, now)
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
        let attached = self.peers.get(peer)?.lanes.get(out.lane)?.sources.get(&out.sequence)?;
        match out.shape(queued, attached.failed.as_deref(), number) {
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
        let lane = self.peers.get_mut(peer)?.lanes.get_mut(out.lane)?;
        let message_type = lane.message_type.clone();
        if let Some(attached) = lane.sources.get_mut(&out.sequence) {
            attached.failed = Some(error.to_string());
        }
        self.goes_without_file(peer, &message_type, &error.to_string(), now);
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
        if let Some(attached) = lane.sources.get_mut(&sequence) {
            attached.next = pieces;
        }
        match acknowledged_by {
            Some(by) => link.piece_acks.push_back(PieceAck { number: by, lane: number, sequence, pieces }),
            None => link.marks.push_back(Mark { until: link.written, lane: number, below: sequence, pieces }),
        }
        link.since_piece = 0;
        self.shape_frame(id, peer, now)
    }

    /// The peer has a piece that was to be acknowledged, and so those before it.
    pub(super) fn piece_acknowledged(&mut self, id: Id, peer: Id, number: u64) {
        let Some(link) = self.conns.get_mut(id).and_then(|c| c.link_mut()) else { return };
        while let Some(ack) = link.piece_acks.front().copied().filter(|ack| ack.number <= number) {
            link.piece_acks.pop_front();
            let lane = self.peers.get_mut(peer).and_then(|p| p.lanes.get_mut(ack.lane));
            if let Some(attached) = lane.and_then(|lane| lane.sources.get_mut(&ack.sequence)) {
                attached.done = ack.pieces;
            }
        }
    }

    /// A link has ended: its file is closed.
    pub(super) fn leave_file_out(&mut self, link: &mut Link) {
        if let Some(source) = link.file_out.take().and_then(|out| out.source) {
            self.files.close(source);
        }
    }

    /// Removes the files that peers have. What their messages were is kept by now: a crash does not have them sent again.
    pub(super) fn remove_sources(&mut self) {
        for (path, stamp) in std::mem::take(&mut self.to_remove) {
            if let Err(error) = self.files.remove(&path, &stamp) {
                self.tell(Event::SourceStays { path, why: error.to_string() });
            }
        }
    }
}

/// Opens the source of a message.
fn open(files: &mut dyn super::files::Files, attached: &mut Attached) -> Result<FileId, FileError> {
    if attached.path.is_empty() {
        return Err(FileError::Refused("with_file has no src_path that is a string".to_owned()));
    }
    let (source, stamp) = files.open(&attached.path)?;
    if attached.next > 0 && attached.stamp != stamp {
        files.close(source);
        let path = &attached.path;
        return Err(FileError::Changed(format!("{path} was changed while it was sent in pieces")));
    }
    attached.stamp = stamp;
    Ok(source)
}

/// A link has ended, or a new one begins: what is not confirmed goes again.
pub(super) fn rewind(sources: &mut Sources) {
    sources.values_mut().for_each(|attached| attached.next = attached.done);
}
