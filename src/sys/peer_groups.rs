//! The groups of who is at the other end of a Unix socket.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use nix::libc;

/// Most groups that are asked for; the system allows 65,536.
const GROUPS_MAX: usize = 65_536;

/// The supplementary groups that the process at the other end had when it connected, or began to listen.
///
/// # Errors
/// The system's: it is no Unix socket, or the system cannot tell (Linux 4.13 and later can).
pub fn peer_groups(socket: &impl AsFd) -> io::Result<Vec<u32>> {
    let mut groups: Vec<libc::gid_t> = vec![0; 64];
    loop {
        // At most GROUPS_MAX numbers of four bytes, which fits.
        let mut length = (groups.len() * size_of::<libc::gid_t>()) as libc::socklen_t;
        // SAFETY: the system writes at most `length` bytes to `groups`, which has as many, and how many they are to
        // `length`. Both live until the call is over, as does the descriptor, for `socket` is borrowed.
        let result = unsafe {
            libc::getsockopt(
                socket.as_fd().as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        let count = length as usize / size_of::<libc::gid_t>();
        if result == 0 {
            groups.truncate(count);
            return Ok(groups);
        }
        let error = io::Error::last_os_error();
        let is_short = error.raw_os_error() == Some(libc::ERANGE) && (groups.len() + 1..=GROUPS_MAX).contains(&count);
        if !is_short {
            return Err(error);
        }
        groups.resize(count, 0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_groups_are_those_of_the_process_that_connected() {
        let (near, _far) = UnixStream::pair().unwrap();
        let mut own: Vec<u32> = nix::unistd::getgroups().unwrap().into_iter().map(nix::unistd::Gid::as_raw).collect();
        let mut found = peer_groups(&near).unwrap();
        (own.sort_unstable(), found.sort_unstable());
        assert_eq!(found, own);
    }

    #[test]
    fn a_file_has_none() {
        assert!(peer_groups(&tempfile::tempfile().unwrap()).is_err());
    }
}
