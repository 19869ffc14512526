//! The size of a terminal.

use std::os::fd::{AsFd, AsRawFd};

mod request {
    use nix::libc::{TIOCGWINSZ, winsize};

    nix::ioctl_read_bad!(window_size, TIOCGWINSZ, winsize);
}

/// Columns and rows of the terminal that this is. `None` if it is none, or does not say.
pub fn size(terminal: &impl AsFd) -> Option<(usize, usize)> {
    let mut size = nix::libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the request writes one winsize to the address that it is given, which is that of one; the descriptor is
    // open for as long as `terminal` is borrowed.
    unsafe { request::window_size(terminal.as_fd().as_raw_fd(), &raw mut size) }.ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then(|| (size.ws_col.into(), size.ws_row.into()))
}

#[cfg(test)]
mod tests {
    use nix::pty::{Winsize, openpty};

    use super::*;

    #[test]
    fn a_terminal_has_a_size_and_a_file_has_none() {
        let size_of = |ws_col, ws_row| {
            let pty = openpty(&Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 }, None).unwrap();
            size(&pty.slave)
        };
        assert_eq!(size_of(40, 24), Some((40, 24)));
        assert_eq!(size_of(0, 0), None, "a terminal need not know");
        assert_eq!(size(&tempfile::tempfile().unwrap()), None);
    }
}
