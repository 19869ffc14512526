//! A child process as a descriptor, which can be waited for together with others.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::process::Child;

use nix::libc;

/// A descriptor that becomes readable when `child` has ended. Linux 5.3 and later.
///
/// # Errors
/// The system's: it knows of no such thing, or has no descriptor left.
pub fn end_of(child: &Child) -> io::Result<OwnedFd> {
    // SAFETY: the call takes two plain numbers and returns one. The process id is that of a child that `child` has not
    // waited for, or the call fails: it is of no other process.
    let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, child.id(), 0) };
    match i32::try_from(descriptor) {
        // SAFETY: the system has just given it to this process, and nobody else knows of it.
        Ok(descriptor @ 0..) => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn the_end_of_a_child_can_be_waited_for() {
        let mut child = Command::new("/bin/sleep").arg("1000").spawn().unwrap();
        let end = end_of(&child).unwrap();
        let is_over = |wait: PollTimeout| poll(&mut [PollFd::new(end.as_fd(), PollFlags::POLLIN)], wait).unwrap() == 1;
        assert!(!is_over(PollTimeout::ZERO));
        child.kill().unwrap();
        assert!(is_over(PollTimeout::NONE));
        child.wait().unwrap();
    }
}
