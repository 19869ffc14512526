//! Damaged files are put aside as `NAME.bad-N`, N from 1 on: never removed, never in the way.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::error::StoreError;

/// How many files of one name may lie aside. Each may be as large as a queue on disk: nobody looks after them.
pub const BAD_FILES_MAX: u32 = 100;

/// What stands before the number.
const BAD: &str = ".bad-";

/// What is added to the name when what could be read of the file was put into a ring.
pub(super) const REPAIRED: &str = ".repaired";

/// The name under which a file is put aside next.
fn next_name(path: &Path) -> Result<PathBuf, StoreError> {
    for number in 1..=BAD_FILES_MAX {
        let with = |end: &str| {
            let mut name = OsString::from(path);
            name.push(format!("{BAD}{number}{end}"));
            PathBuf::from(name)
        };
        if ["", REPAIRED].iter().all(|end| with(end).symlink_metadata().is_err()) {
            return Ok(with(""));
        }
    }
    Err(StoreError::TooManyBad { path: path.to_owned(), limit: BAD_FILES_MAX })
}

/// Puts a file aside; where it is then.
///
/// # Errors
/// The folder cannot be written, or too many lie there.
pub(super) fn put_aside(path: &Path) -> Result<PathBuf, StoreError> {
    let to = next_name(path)?;
    fs::rename(path, &to).map_err(|source| StoreError::io("rename", path, source))?;
    Ok(to)
}

/// Puts a copy of a file aside, which stays in use; where the copy is.
///
/// # Errors
/// There is no room for it, or too many lie there.
pub(super) fn put_copy_aside(path: &Path) -> Result<PathBuf, StoreError> {
    let to = next_name(path)?;
    if let Err(source) = fs::copy(path, &to) {
        // Half a copy helps nobody.
        _ = fs::remove_file(&to);
        return Err(StoreError::io("copy", path, source));
    }
    Ok(to)
}

/// Whether a file of this name was put aside; the name that it had if so.
#[must_use]
pub fn name_before(name: &str) -> Option<&str> {
    let (before, number) = name.rsplit_once(BAD)?;
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_put_aside_one_by_one_up_to_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.ring");
        for number in 1..=BAD_FILES_MAX {
            fs::write(&path, number.to_string()).unwrap();
            let to = if number % 2 == 0 { put_aside(&path) } else { put_copy_aside(&path) }.unwrap();
            assert_eq!(to, dir.path().join(format!("x.ring.bad-{number}")));
            assert_eq!(fs::read_to_string(to).unwrap(), number.to_string());
            assert_eq!(path.exists(), number % 2 != 0);
        }
        fs::write(&path, "one more").unwrap();
        assert!(matches!(put_aside(&path), Err(StoreError::TooManyBad { limit: BAD_FILES_MAX, .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "one more");
    }

    #[test]
    fn names_tell_what_lies_aside() {
        assert_eq!(name_before("recv_any.ring.bad-12"), Some("recv_any.ring"));
        for name in ["recv_any.ring", "recv_any.ring.bad-", "recv_any.ring.bad-x"] {
            assert_eq!(name_before(name), None);
        }
    }
}
