//! What TCP has not confirmed.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

mod request {
    use nix::libc::{TIOCOUTQ, c_int};

    // Of a socket the request is called SIOCOUTQ, in linux/sockios.h; its number is that of TIOCOUTQ.
    nix::ioctl_read_bad!(unconfirmed, TIOCOUTQ, c_int);
}

/// Bytes that were written to a TCP socket and that the other machine has not acknowledged, be they sent or not.
///
/// Acknowledged is what the other machine's system has taken; its program need not have read it. A connection that was
/// shut down for writing counts one more, for its end, until that is acknowledged.
///
/// # Errors
/// It is no socket, or not one of TCP.
pub fn unconfirmed_bytes(socket: &impl AsFd) -> io::Result<usize> {
    let mut count = 0;
    // SAFETY: the request writes one int to the address that it is given, which is that of one; the descriptor is open
    // for as long as `socket` is borrowed.
    unsafe { request::unconfirmed(socket.as_fd().as_raw_fd(), &raw mut count) }?;
    Ok(usize::try_from(count).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn what_does_not_fit_into_the_other_side_is_unconfirmed_until_it_reads() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        assert_eq!(unconfirmed_bytes(&near).unwrap(), 0);

        near.set_nonblocking(true).unwrap();
        let mut written = 0;
        while let Ok(count) = near.write(&[7; 65536]) {
            written += count;
        }
        let left = unconfirmed_bytes(&near).unwrap();
        assert!(left > 0 && left <= written, "{left} of {written}");

        far.read_exact(&mut vec![0; written]).unwrap();
        let end = Instant::now() + Duration::from_secs(20);
        while unconfirmed_bytes(&near).unwrap() > 0 {
            assert!(Instant::now() < end, "all was read, but not all is acknowledged");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_file_has_no_such_count() {
        assert!(unconfirmed_bytes(&tempfile::tempfile().unwrap()).is_err());
    }
}
