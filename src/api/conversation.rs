//! A connection on which the connector answers an app that sends: the hello, the welcome, receipts and refusals.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::connection;
use super::error::{ApiError, Step};
use super::receipt_error::ReceiptError;
use super::request::Deadline;
use crate::wire::frame::{Deframer, Frame, HEADER_MAX};
use crate::wire::header::Header;
use crate::wire::receipts::{Hello, ToSender, Welcome};

/// Longest frame that tells of receipts, bytes: a header, and lengths.
const FRAME_MAX: usize = HEADER_MAX + 64;

/// Read at once, bytes.
const READ_SIZE: usize = 16 * 1024;

/// The app's end of such a connection.
pub(super) struct Conversation {
    path: PathBuf,
    stream: UnixStream,
    write_timeout: Duration,
    deframer: Deframer,
    buffer: Vec<u8>,
    /// The last read had a time limit.
    timed: bool,
    said: VecDeque<ToSender>,
}

impl Conversation {
    /// Connects and says hello.
    pub fn open(path: &Path, hello: &Hello, write_timeout: Duration) -> Result<Self, ApiError> {
        let mut talk = Self {
            path: path.to_owned(),
            stream: connection::connect(path, write_timeout)?,
            write_timeout,
            deframer: Deframer::new(FRAME_MAX),
            buffer: vec![0; READ_SIZE],
            timed: false,
            said: VecDeque::new(),
        };
        talk.write(&hello.encode())?;
        Ok(talk)
    }

    /// The connector's answer to the hello.
    pub fn welcome(&mut self, wanted: &Hello, or_lower: bool, deadline: Deadline) -> Result<Welcome, ApiError> {
        let welcome = match self.next(Some(deadline)) {
            Ok(ToSender::Welcome(welcome)) => welcome,
            Ok(_) => return Err(self.bad(ReceiptError::OutOfTurn)),
            Err(ApiError::TimedOut { path, after, .. }) => return Err(ApiError::NoReceipts { path, after }),
            Err(error) => return Err(error),
        };
        let (expected, found) = (wanted.receipts, welcome.level);
        if found > expected {
            return Err(self.bad(ReceiptError::Level { expected, found }));
        }
        if found < expected && !or_lower {
            return Err(ApiError::LevelNotGranted { path: self.path.clone(), wanted: expected, granted: found });
        }
        if wanted.session.is_some() && welcome.count.is_none() {
            return Err(self.bad(ReceiptError::NoCount));
        }
        Ok(welcome)
    }

    /// Writes whole frames.
    pub fn write(&mut self, frames: &[u8]) -> Result<(), ApiError> {
        let (_, error) = connection::write(&mut self.stream, frames, &self.path, self.write_timeout);
        error.map_or(Ok(()), Err)
    }

    /// A second handle of the connection.
    pub fn handle(&self) -> Result<UnixStream, ApiError> {
        self.stream.try_clone().map_err(|e| ApiError::io(&self.path, Step::Connect, e))
    }

    /// The next thing that the connector says.
    pub fn next(&mut self, deadline: Option<Deadline>) -> Result<ToSender, ApiError> {
        loop {
            if let Some(said) = self.said.pop_front() {
                return Ok(said);
            }
            self.hear(deadline)?;
        }
    }

    /// Reads once, and understands what is whole: see [`take_said`](Self::take_said).
    pub fn hear(&mut self, deadline: Option<Deadline>) -> Result<(), ApiError> {
        let input = match self.read(deadline) {
            Ok(0) => return Err(ApiError::Closed { path: self.path.clone() }),
            Ok(n) => &self.buffer[..n],
            Err(e) => match e.kind() {
                ErrorKind::ConnectionReset => return Err(ApiError::Closed { path: self.path.clone() }),
                ErrorKind::TimedOut => {
                    let after = deadline.map_or(Duration::ZERO, |d| d.timeout);
                    return Err(ApiError::TimedOut { path: self.path.clone(), step: Step::AwaitReceipt, after });
                }
                // Of a read that ends at the deadline the next one says that it is over.
                ErrorKind::WouldBlock | ErrorKind::Interrupted => return Ok(()),
                _ => return Err(ApiError::io(&self.path, Step::AwaitReceipt, e)),
            },
        };
        let mut frames = self.deframer.feed(input);
        let bad_frame = |source| ApiError::BadFrame { path: self.path.clone(), source };
        while let Some(frame) = frames.next().map_err(bad_frame)? {
            self.said.push_back(understand(&frame, &self.path)?);
        }
        Ok(())
    }

    /// What was heard and not yet taken.
    pub fn take_said(&mut self) -> impl Iterator<Item = ToSender> {
        self.said.drain(..)
    }

    fn read(&mut self, deadline: Option<Deadline>) -> io::Result<usize> {
        let timeout = match deadline {
            Some(deadline) => Some(deadline.left().ok_or(ErrorKind::TimedOut)?),
            None => None,
        };
        if std::mem::replace(&mut self.timed, timeout.is_some()) || timeout.is_some() {
            self.stream.set_read_timeout(timeout)?;
        }
        self.stream.read(&mut self.buffer)
    }

    /// The error that says what the connector should not have said.
    pub fn bad(&self, source: ReceiptError) -> ApiError {
        ApiError::BadReceipt { path: self.path.clone(), source }
    }
}

fn understand(frame: &Frame<'_>, path: &Path) -> Result<ToSender, ApiError> {
    let header = Header::parse(frame.header());
    let header = header.map_err(|source| ApiError::BadHeader { path: path.to_owned(), source })?;
    let said = ToSender::parse(&header, frame.header());
    said.map_err(|e| ApiError::BadReceipt { path: path.to_owned(), source: ReceiptError::NotUnderstood(e) })
}
