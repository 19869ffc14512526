//! Cuts what comes on a connection into frames, or into pieces of another kind.
//!
//! A frame that brings a file may be far larger than memory should be. With [`Deframer::set_divide`] such a frame is
//! handed out in parts: its message, as soon as that is there, then what follows, as it comes.

use super::frame::{BODY_MIN, Frame, FrameError, HEADER_START, LENGTH_SIZE, part, read_u32};

/// Cuts a stream of bytes into frames.
///
/// Whole frames are handed out where they lie in the input; only the incomplete one at the end is copied and kept.
/// Memory grows with the bytes that came, never with a length that a frame only claims.
#[derive(Debug)]
pub struct Deframer {
    pub(super) kept: Vec<u8>,
    /// What lies before it in `kept` was handed out.
    start: usize,
    /// Bytes of a frame that was divided that were not handed out.
    pub(super) rest: usize,
    rules: Rules,
}

/// What a stream is cut into.
#[derive(Clone, Copy, Debug)]
pub enum Unit {
    /// Frames.
    Frame,
    /// Pieces whose size follows from their first bytes in another way.
    Other {
        /// Bytes that tell the size.
        head: usize,
        /// The length that the head gives, to be held against the limit, and the size of the whole piece.
        measure: fn(&[u8]) -> (usize, usize),
    },
}

/// Says of a header whether its frame is to be handed out in parts, and how many bytes of its binary belong to the
/// first one.
pub type Divide = fn(&[u8]) -> Option<u64>;

/// What a stream of frames that may be divided gives.
#[derive(Debug)]
pub enum Part<'a> {
    /// A whole frame.
    Frame(Frame<'a>),
    /// A frame's header, its data and the beginning of its binary, and how many bytes follow: never none.
    Head(Frame<'a>, usize),
    /// Bytes that follow the last head.
    Rest(&'a [u8]),
}

/// Memory that an idle deframer may hold, bytes. There is one a connection, and thousands of those may be idle.
pub(super) const KEPT_CAPACITY: usize = 4 * 1024;

/// How the stream is cut.
#[derive(Debug)]
struct Rules {
    limit: usize,
    unit: Unit,
    divide: Option<Divide>,
    /// What `divide` has said of the frame that is the next: it is asked once.
    said: Option<Option<u64>>,
}

/// What bytes begin with.
#[derive(Debug, PartialEq, Eq)]
enum Front {
    /// Something that is not to be seen yet: so many bytes are needed to see more.
    Needs(usize),
    /// Something of `size` bytes that is there, and `rest` bytes of it to follow.
    Ready { size: usize, rest: usize },
}

impl Rules {
    fn look(&mut self, bytes: &[u8]) -> Result<Front, FrameError> {
        if let Unit::Other { head, measure } = self.unit {
            let Some(head) = bytes.get(..head) else { return Ok(Front::Needs(head)) };
            return match measure(head) {
                (length, _) if length > self.limit => Err(self.too_long(length)),
                (_, size) => Ok(whole(bytes, size)),
            };
        }
        match read_u32(bytes, 0) {
            None => Ok(Front::Needs(LENGTH_SIZE)),
            Some(length) if length < BODY_MIN => Err(FrameError::TooShort { length }),
            Some(length) if length > self.limit && self.divide.is_none() => Err(self.too_long(length)),
            Some(length) if length > self.limit || bytes.len() < LENGTH_SIZE + length => self.look_into(bytes, length),
            Some(length) => Ok(whole(bytes, LENGTH_SIZE + length)),
        }
    }

    /// A frame of this length that is not there as a whole, or would be too long as a whole.
    fn look_into(&mut self, bytes: &[u8], length: usize) -> Result<Front, FrameError> {
        let total = LENGTH_SIZE + length;
        let Some(divide) = self.divide else { return Ok(whole(bytes, total)) };
        let Some(start) = bytes.first_chunk::<HEADER_START>() else { return Ok(Front::Needs(HEADER_START)) };
        let header_end = HEADER_START + usize::from(u16::from_le_bytes([start[4], start[5]]));
        if header_end + LENGTH_SIZE > total {
            return Err(FrameError::header_beyond_end(total, header_end));
        }
        // Garbage is not waited for: no header that brings a file begins with anything else.
        if length > self.limit && bytes.get(HEADER_START).is_some_and(|first| *first != b'{') {
            return Err(self.too_long(length));
        }
        if self.said.is_none() {
            let Some(header) = bytes.get(HEADER_START..header_end) else { return Ok(Front::Needs(header_end)) };
            self.said = Some(divide(header));
        }
        match self.said.flatten() {
            Some(own) => self.look_for_head(bytes, header_end, total, own),
            None if length > self.limit => Err(self.too_long(length)),
            None => Ok(whole(bytes, total)),
        }
    }

    /// The same for a frame that is handed out in parts, with `own` bytes of its binary in the first.
    fn look_for_head(&self, bytes: &[u8], header_end: usize, total: usize, own: u64) -> Result<Front, FrameError> {
        let data_start = header_end + LENGTH_SIZE;
        let Some(length) = read_u32(bytes, header_end) else { return Ok(Front::Needs(data_start)) };
        let data = part("data", data_start, length, total)?;
        self.check(data.end)?;
        if data.end == total {
            return Ok(whole(bytes, total));
        }
        if data.end + LENGTH_SIZE > total {
            return Err(FrameError::TrailingBytes { offset: data.end, count: total - data.end });
        }
        let start = data.end + LENGTH_SIZE;
        let Some(length) = read_u32(bytes, data.end).filter(|_| bytes.len() >= start) else {
            return Ok(Front::Needs(start));
        };
        let binary = part("binary", start, length, total)?;
        if binary.end < total {
            return Err(FrameError::TrailingBytes { offset: binary.end, count: total - binary.end });
        }
        let size = start + length.min(usize::try_from(own).unwrap_or(usize::MAX));
        self.check(size)?;
        Ok(if bytes.len() < size { Front::Needs(size) } else { Front::Ready { size, rest: total - size } })
    }

    /// What is to be gathered must not be too long either.
    fn check(&self, size: usize) -> Result<(), FrameError> {
        let length = size - LENGTH_SIZE;
        if length > self.limit { Err(self.too_long(length)) } else { Ok(()) }
    }

    fn too_long(&self, length: usize) -> FrameError {
        FrameError::TooLong { length, limit: self.limit }
    }
}

fn whole(bytes: &[u8], size: usize) -> Front {
    if bytes.len() < size { Front::Needs(size) } else { Front::Ready { size, rest: 0 } }
}

impl Deframer {
    /// A deframer for frames of which none may be longer than `limit` bytes, their length not counted.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        let rules = Rules { limit, unit: Unit::Frame, divide: None, said: None };
        Self { kept: Vec::new(), start: 0, rest: 0, rules }
    }

    /// Changes the limit for the frames to come. Of frames that are divided it is the limit of their first parts.
    pub fn set_limit(&mut self, limit: usize) {
        self.rules.limit = limit;
    }

    /// From now on these frames are handed out in parts, by [`Frames::next_part`], unless they are there as a whole.
    pub fn set_divide(&mut self, divide: Divide) {
        self.rules.divide = Some(divide);
    }

    /// Bytes that are kept until the rest of their frame arrives.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.kept.len() - self.start
    }

    /// The frames in what was kept and `input` behind it.
    pub fn feed<'d, 'i: 'd>(&'d mut self, input: &'i [u8]) -> Frames<'d, 'i> {
        Frames { after: self.rest, deframer: self, input, taken: 0 }
    }

    /// Moves bytes from `input` until something is ready at the beginning of `kept`; its size and what follows it, or
    /// `None` when the input does not reach.
    fn complete(&mut self, input: &mut &[u8]) -> Result<Option<(usize, usize)>, FrameError> {
        loop {
            let needs = match self.rules.look(&self.kept[self.start..])? {
                Front::Ready { size, rest } => return Ok(Some((size, rest))),
                Front::Needs(needs) => needs,
            };
            if input.is_empty() {
                return Ok(None);
            }
            let (more, left) = input.split_at((needs - self.kept()).min(input.len()));
            self.kept.extend_from_slice(more);
            *input = left;
        }
    }

    fn skip(&mut self, count: usize) {
        self.start += count;
        if self.start == self.kept.len() {
            self.kept.clear();
            self.start = 0;
            // Given back whole: shrunk in place it would leave a hole behind each remainder.
            if self.kept.capacity() > KEPT_CAPACITY {
                self.kept = Vec::new();
            }
        }
    }

    fn keep(&mut self, rest: &[u8]) {
        self.kept.drain(..self.start);
        self.start = 0;
        self.kept.extend_from_slice(rest);
    }
}

/// The frames of one input; see [`Deframer::feed`].
///
/// Input that was not handed out goes to the deframer when this is dropped, so nothing is lost by stopping early.
#[derive(Debug)]
pub struct Frames<'d, 'i> {
    deframer: &'d mut Deframer,
    input: &'i [u8],
    /// Size of what was handed out last: it counts as taken only at the next call.
    taken: usize,
    /// Bytes of a divided frame that are to be handed out when it is taken.
    after: usize,
}

impl Frames<'_, '_> {
    /// The next whole frame; `None` when there is none left.
    ///
    /// # Errors
    /// A frame that is too long or whose parts do not fit; the stream cannot be read on.
    #[allow(clippy::should_implement_trait)] // each frame is lent, which an iterator cannot do
    pub fn next(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        self.next_piece()?.map(Frame::parse).transpose()
    }

    /// The bytes of the next whole piece, whatever the stream is cut into; `None` when there is none left.
    ///
    /// # Errors
    /// A piece that is too long; the stream cannot be read on.
    pub fn next_piece(&mut self) -> Result<Option<&[u8]>, FrameError> {
        self.take_last();
        let found = self.find()?;
        Ok(found.map(|(size, _)| self.front(size)))
    }

    /// The next frame, or the next part of one that is handed out in parts; `None` when there is nothing left.
    ///
    /// # Errors
    /// A frame that is too long or whose parts do not fit; the stream cannot be read on.
    pub fn next_part(&mut self) -> Result<Option<Part<'_>>, FrameError> {
        self.take_last();
        let rest = self.deframer.rest;
        if rest > 0 {
            let kept = self.deframer.kept();
            let size = rest.min(if kept > 0 { kept } else { self.input.len() });
            (self.taken, self.after) = (size, rest - size);
            return Ok((size > 0).then(|| Part::Rest(self.front(size))));
        }
        Ok(match self.find()? {
            None => None,
            Some((size, 0)) => Some(Part::Frame(Frame::parse(self.front(size))?)),
            Some((size, rest)) => Some(Part::Head(Frame::head(self.front(size))?, rest)),
        })
    }

    /// The next frame, if it lies in the input as a whole, has this header, and nothing but data behind it: then there is
    /// little to look at. `None` says nothing of what comes.
    pub fn next_like(&mut self, header: &[u8]) -> Option<Frame<'_>> {
        self.take_last();
        if self.deframer.kept() > 0 || self.deframer.rest > 0 {
            return None;
        }
        let frame = Frame::with_header(self.input, header)?;
        if frame.bytes().len() - LENGTH_SIZE > self.deframer.rules.limit {
            return None;
        }
        (self.taken, self.after) = (frame.bytes().len(), 0);
        Some(frame)
    }

    /// What was handed out last is handed out again.
    pub fn give_back(&mut self) {
        self.taken = 0;
    }

    /// The size of what is ready, and how many bytes of it follow.
    fn find(&mut self) -> Result<Option<(usize, usize)>, FrameError> {
        let found = if self.deframer.kept() > 0 {
            self.deframer.complete(&mut self.input)?
        } else {
            match self.deframer.rules.look(self.input)? {
                Front::Ready { size, rest } => Some((size, rest)),
                Front::Needs(_) => None,
            }
        };
        if let Some((size, rest)) = found {
            (self.taken, self.after) = (size, rest);
        }
        Ok(found)
    }

    /// The next `size` bytes, which are there.
    fn front(&self, size: usize) -> &[u8] {
        let Deframer { kept, start, .. } = &*self.deframer;
        if self.deframer.kept() > 0 { &kept[*start..*start + size] } else { &self.input[..size] }
    }

    /// What the stream is cut into now.
    #[must_use]
    pub fn unit(&self) -> Unit {
        self.deframer.rules.unit
    }

    /// Cuts what follows into something else.
    pub fn set_unit(&mut self, unit: Unit) {
        self.deframer.rules.unit = unit;
    }

    fn take_last(&mut self) {
        let taken = std::mem::take(&mut self.taken);
        if taken == 0 {
            return;
        }
        self.deframer.rest = self.after;
        self.deframer.rules.said = None;
        if self.deframer.kept() > 0 {
            self.deframer.skip(taken);
        } else {
            self.input = &self.input[taken..];
        }
    }

    /// Changes the limit for the frames to come.
    pub fn set_limit(&mut self, limit: usize) {
        self.deframer.set_limit(limit);
    }

    /// As [`Deframer::set_divide`].
    pub fn set_divide(&mut self, divide: Divide) {
        self.deframer.set_divide(divide);
    }

    /// Of the frame that was handed out last only the first `size` bytes are taken: the others come as
    /// [`Part::Rest`]. More than it has are all of it.
    pub fn divide_last(&mut self, size: usize) {
        let first = size.min(self.taken);
        self.after += self.taken - first;
        self.taken = first;
    }

    /// Gives the last frame, or part, back: it will be the first of the next input.
    pub fn hold_back(mut self) {
        self.taken = 0;
    }
}

impl Drop for Frames<'_, '_> {
    fn drop(&mut self) {
        self.take_last();
        if !self.input.is_empty() {
            self.deframer.keep(self.input);
        }
    }
}
