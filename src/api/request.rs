//! Waiting for the answer to one message.

use std::io::{ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::FRAME_MAX;
use super::error::{ApiError, Step};
use super::message::{Message, MessageReader};
use super::requester::understand;
use crate::wire::frame::Deframer;

/// Read at once, bytes.
const READ_SIZE: usize = 16 * 1024;

/// When waiting ends.
#[derive(Clone, Copy)]
pub(super) struct Deadline {
    start: Instant,
    pub timeout: Duration,
}

impl Deadline {
    pub fn after(timeout: Duration) -> Self {
        Self { start: Instant::now(), timeout }
    }

    /// The time left; `None` when it is over.
    pub fn left(self) -> Option<Duration> {
        self.timeout.checked_sub(self.start.elapsed()).filter(|left| !left.is_zero())
    }
}

/// Reads the one frame that the connector answers on `stream`, whose other end is at `path`.
pub(super) fn read_answer(mut stream: UnixStream, path: &Path, deadline: Deadline) -> Result<Message, ApiError> {
    let fail = |e| ApiError::io(path, Step::AwaitAnswer, e);
    let timed_out = || ApiError::TimedOut { path: path.into(), step: Step::AwaitAnswer, after: deadline.timeout };
    let mut deframer = Deframer::new(FRAME_MAX);
    let mut buffer = [0; READ_SIZE];
    loop {
        stream.set_read_timeout(Some(deadline.left().ok_or_else(timed_out)?)).map_err(fail)?;
        let input = match stream.read(&mut buffer) {
            Ok(0) => return Err(ApiError::NoAnswer { path: path.into() }),
            Ok(n) => &buffer[..n],
            Err(e) => match e.kind() {
                ErrorKind::ConnectionReset => return Err(ApiError::NoAnswer { path: path.into() }),
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => continue,
                _ => return Err(fail(e)),
            },
        };
        let bad_frame = |source| ApiError::BadFrame { path: path.into(), source };
        if let Some(frame) = deframer.feed(input).next().map_err(bad_frame)? {
            return understand(&frame, path, &mut MessageReader::default())?.1;
        }
    }
}
