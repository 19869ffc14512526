//! A file-size limit is an error, not an end.

use std::io;

use nix::sys::signal::{SigHandler, Signal, signal};

/// From now on a file that reaches the limit of its size (`RLIMIT_FSIZE`) is an error of the call that grows it. Without
/// this the system ends the process, with SIGXFSZ.
///
/// It holds for the whole process; calling it again changes nothing.
///
/// # Errors
/// The system refuses it, which it does for no signal that can be ignored.
pub fn ignore_size_signal() -> io::Result<()> {
    // SAFETY: to ignore a signal installs no handler, so no code runs at a moment that it is not made for.
    unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) }?;
    Ok(())
}
