//! What the system says of a file, as the core understands it: whether it may work later.

use std::io;
use std::path::Path;

use nix::errno::Errno;

use crate::core::files::FileError;

/// Of a call that the system refused for `path`; a verb in `doing`, as in "read".
pub(super) fn refused(doing: &str, path: &Path, error: impl Into<io::Error>) -> FileError {
    let error = error.into();
    let errno = error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw);
    let why = format!("cannot {doing} {}: {}", path.display(), explain(errno, &error));
    if may_pass(errno) { FileError::Later(why) } else { FileError::Refused(why) }
}

/// Whether somebody may put it right without doing something about this file.
fn may_pass(errno: Errno) -> bool {
    use Errno::{EAGAIN, EDQUOT, EIO, EMFILE, ENFILE, ENOMEM, ENOSPC, EROFS, ESTALE, ETIMEDOUT};
    matches!(errno, EAGAIN | EDQUOT | EIO | EMFILE | ENFILE | ENOMEM | ENOSPC | EROFS | ESTALE | ETIMEDOUT)
}

fn explain(errno: Errno, error: &io::Error) -> String {
    let hint = match errno {
        Errno::ENOSPC => "the disk is full",
        Errno::EDQUOT => "the disk quota is used up",
        Errno::EFBIG => "it is larger than this process or the disk allows (ulimit -f)",
        Errno::ENAMETOOLONG => "a name is too long: most disks allow 255 bytes, 4,096 for a whole path",
        Errno::ELOOP => "there is a link in the path, and links are not followed there",
        Errno::EXDEV => "the path leads out of its folder",
        _ => return error.to_string(),
    };
    format!("{hint} ({error})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_may_have_room_later_and_a_forbidden_file_stays_forbidden() {
        let path = Path::new("/data/in/a");
        let full = refused("write", path, Errno::ENOSPC);
        assert!(matches!(&full, FileError::Later(why) if why.contains("/data/in/a") && why.contains("disk is full")));
        let forbidden = refused("write", path, Errno::EACCES);
        assert!(matches!(&forbidden, FileError::Refused(why) if why.contains("cannot write /data/in/a")));
    }
}
