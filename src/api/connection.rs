//! The connection on which an app hands messages to its connector.

use std::io::{self, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use log::debug;

use super::error::{ApiError, Step};
use crate::remote;

/// A connector may take so long to take a connection, however short the time for a message is: it has many to take.
const CONNECT_TIMEOUT_MIN: Duration = Duration::from_secs(1);

/// Connects to a connector's socket, for `timeout` at most, or [`CONNECT_TIMEOUT_MIN`];
/// writing on it gives up when no byte is taken for `timeout`.
pub(super) fn connect(path: &Path, timeout: Duration) -> Result<UnixStream, ApiError> {
    let connect_timeout = timeout.max(CONNECT_TIMEOUT_MIN);
    let fail = |e: io::Error| match e.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => ApiError::NotRunning { path: path.to_owned() },
        ErrorKind::TimedOut => {
            ApiError::TimedOut { path: path.to_owned(), step: Step::Connect, after: connect_timeout }
        }
        _ => ApiError::io(path, Step::Connect, e),
    };
    let stream = remote::connect(path, connect_timeout).map_err(fail)?;
    stream.set_write_timeout(Some(timeout)).map_err(|e| ApiError::io(path, Step::Connect, e))?;
    Ok(stream)
}

/// Frames that did not go out: those that begin at `from`, and why.
#[derive(Debug)]
pub(super) struct Unsent {
    pub from: usize,
    pub error: ApiError,
}

/// A connection that is made when it is needed, and kept.
#[derive(Debug)]
pub(super) struct Connection {
    path: PathBuf,
    timeout: Duration,
    keep: bool,
    stream: Option<UnixStream>,
}

impl Connection {
    /// A connection to the socket `path`, made anew for each write unless `keep`. A write fails when the connector
    /// takes no byte for `timeout`.
    pub fn new(path: PathBuf, timeout: Duration, keep: bool) -> Self {
        Self { path, timeout, keep, stream: None }
    }

    /// Writes whole frames, on a new connection if the kept one is broken: the frame that was cut off there goes out
    /// again whole, for the connector never saw the end of it.
    pub fn write(&mut self, frames: &[u8]) -> Result<(), Unsent> {
        let mut from = 0;
        if let Some(mut stream) = self.stream.take() {
            match self.write_on(&mut stream, frames) {
                Ok(()) => {
                    self.stream = Some(stream);
                    return Ok(());
                }
                Err(Unsent { from: sent, error: ApiError::Closed { .. } }) => from = sent,
                Err(unsent) => return Err(unsent),
            }
            debug!("the connector at {} has closed the connection; connecting again", self.path.display());
        }
        let rest = frames.get(from..).unwrap_or_default();
        let stream = self.open(rest).map_err(|u| Unsent { from: from + u.from, ..u })?;
        self.stream = Some(stream).filter(|_| self.keep);
        Ok(())
    }

    /// Writes whole frames on a new connection.
    pub fn open(&self, frames: &[u8]) -> Result<UnixStream, Unsent> {
        let mut stream = connect(&self.path, self.timeout).map_err(|error| Unsent { from: 0, error })?;
        self.write_on(&mut stream, frames)?;
        Ok(stream)
    }

    fn write_on(&self, stream: &mut UnixStream, frames: &[u8]) -> Result<(), Unsent> {
        match write(stream, frames, &self.path, self.timeout) {
            (_, None) => Ok(()),
            (written, Some(error)) => Err(Unsent { from: frame_start(frames, written), error }),
        }
    }
}

/// Writes all of `bytes` to the connector at `path`, or says how many were written and why not more.
pub(super) fn write(
    stream: &mut UnixStream,
    bytes: &[u8],
    path: &Path,
    timeout: Duration,
) -> (usize, Option<ApiError>) {
    let (written, error) = write_all(stream, bytes);
    let error = error.map(|error| match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            ApiError::TimedOut { path: path.to_owned(), step: Step::Write, after: timeout }
        }
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::WriteZero => {
            ApiError::Closed { path: path.to_owned() }
        }
        _ => ApiError::io(path, Step::Write, error),
    });
    (written, error)
}

/// Writes as `Write::write_all` does, and says how much was written when it fails.
fn write_all(stream: &mut UnixStream, bytes: &[u8]) -> (usize, Option<io::Error>) {
    let mut written = 0;
    while written < bytes.len() {
        match stream.write(&bytes[written..]) {
            Ok(0) => return (written, Some(ErrorKind::WriteZero.into())),
            Ok(n) => written += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return (written, Some(e)),
        }
    }
    (written, None)
}

/// Where the frame begins that has the byte at `offset`; `frames` are whole frames, one after another.
fn frame_start(frames: &[u8], offset: usize) -> usize {
    let mut start = 0;
    while start < frames.len() {
        let next = frame_end(frames, start);
        if next > offset {
            return start;
        }
        start = next;
    }
    start
}

/// Where the frame ends that begins at `start`.
pub(super) fn frame_end(frames: &[u8], start: usize) -> usize {
    match frames.get(start..).and_then(<[u8]>::first_chunk::<4>) {
        Some(length) => start + 4 + u32::from_le_bytes(*length) as usize,
        None => frames.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_of_an_offset_is_found() {
        let frames = [&2u32.to_le_bytes()[..], b"ab", &0u32.to_le_bytes(), &1u32.to_le_bytes(), b"c"].concat();
        let starts: Vec<usize> = (0..=frames.len()).map(|at| frame_start(&frames, at)).collect();
        assert_eq!(starts, [0, 0, 0, 0, 0, 0, 6, 6, 6, 6, 10, 10, 10, 10, 10, 15]);
    }
}
