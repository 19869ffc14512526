//! Connecting to a Unix socket, with a time limit.

use std::io::{self, ErrorKind};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// Most connections of this process that may be waited for at a time. A connector that stands still, with its line of
/// connections full, would else gather a thread for each attempt.
pub(crate) const CONNECTING_MAX: usize = 64;

static CONNECTING: AtomicUsize = AtomicUsize::new(0);

/// Connects to the socket `path`.
///
/// The system has a connection wait while the line of those that were not accepted is full, without limit, and std
/// cannot say otherwise to a Unix socket. So a thread connects, and is left alone when it takes too long.
pub(crate) fn connect(path: &Path, timeout: Duration) -> io::Result<UnixStream> {
    let place = Place::take()?;
    let (sender, connected) = mpsc::sync_channel(1);
    let path = path.to_owned();
    thread::Builder::new().name("aioconnectors-dial".into()).spawn(move || {
        let result = UnixStream::connect(&path);
        drop(place);
        // Nobody waits any more if it took too long: then the connection ends here.
        _ = sender.send(result);
    })?;
    match connected.recv_timeout(timeout) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => Err(ErrorKind::TimedOut.into()),
        Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("the thread that connects has panicked")),
    }
}

/// One of the [`CONNECTING_MAX`]; dropped, it is free again.
struct Place;

impl Place {
    fn take() -> io::Result<Self> {
        let more = |taken: usize| (taken < CONNECTING_MAX).then_some(taken + 1);
        match CONNECTING.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(_) => Ok(Self),
            Err(taken) => {
                Err(io::Error::new(ErrorKind::TimedOut, format!("{taken} connections are being waited for already")))
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        CONNECTING.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_listener_whose_line_is_full_is_not_waited_for_without_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let mut line = Vec::new();
        let error = loop {
            match connect(&path, Duration::from_millis(50)) {
                Ok(stream) => line.push(stream),
                Err(e) => break e,
            }
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(!line.is_empty(), "those that fit in the line are connected");
        drop(listener);
        assert_eq!(connect(&path, Duration::from_secs(20)).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }
}
