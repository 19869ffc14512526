//! Programs that the config names as hooks.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::unistd::{AccessFlags, Uid, access};

/// Everybody may write.
const OTHERS_WRITE: u32 = 0o002;

/// In such a folder everybody may write, but nobody may replace what is another's.
const STICKY: u32 = 0o1000;

/// The super-user.
const ROOT: u32 = 0;

/// A program that answers a hook's questions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    path: Arc<Path>,
}

/// Why a program cannot be a hook.
#[derive(Debug)]
pub enum ProgramError {
    /// The path does not begin with `/`.
    Relative(PathBuf),
    /// It cannot be looked at.
    Unreadable(PathBuf, io::Error),
    /// It is no plain file.
    NotAFile(PathBuf),
    /// This process may not execute it.
    NotExecutable(PathBuf),
    /// Everybody may write to it, or may put another one into its folder: this is the one.
    Writable(PathBuf),
    /// It belongs to neither root nor this process's user, but to the user of this number.
    Owner(PathBuf, u32),
}

impl fmt::Display for ProgramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProgramError::Relative(path) => write!(f, "{} is no absolute path", path.display()),
            ProgramError::Unreadable(path, error) => write!(f, "{}: {error}", path.display()),
            ProgramError::NotAFile(path) => write!(f, "{} is no file", path.display()),
            ProgramError::NotExecutable(path) => write!(f, "{} may not be executed", path.display()),
            ProgramError::Writable(path) => write!(f, "everybody may write to {}", path.display()),
            ProgramError::Owner(path, uid) => {
                write!(f, "{} belongs to the user {uid}; it must be root's or this process's own", path.display())
            }
        }
    }
}

impl std::error::Error for ProgramError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ProgramError::Unreadable(_, error) => Some(error),
            _ => None,
        }
    }
}

impl Program {
    /// The program at `path`, if it can be executed and nobody could have put it there but root and this process's user.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(path: &Path) -> Result<Self, ProgramError> {
        if !path.is_absolute() {
            return Err(ProgramError::Relative(path.to_owned()));
        }
        let unreadable = |error| ProgramError::Unreadable(path.to_owned(), error);
        let file = fs::metadata(path).map_err(unreadable)?;
        if !file.is_file() {
            return Err(ProgramError::NotAFile(path.to_owned()));
        }
        if ![ROOT, Uid::effective().as_raw()].contains(&file.uid()) {
            return Err(ProgramError::Owner(path.to_owned(), file.uid()));
        }
        if file.mode() & OTHERS_WRITE != 0 {
            return Err(ProgramError::Writable(path.to_owned()));
        }
        if let Some(folder) = path.parent() {
            let mode = fs::metadata(folder).map_err(unreadable)?.mode();
            if mode & OTHERS_WRITE != 0 && mode & STICKY == 0 {
                return Err(ProgramError::Writable(folder.to_owned()));
            }
        }
        // The super-user may execute a file only if somebody may.
        access(path, AccessFlags::X_OK).map_err(|_| ProgramError::NotExecutable(path.to_owned()))?;
        Ok(Self { path: path.into() })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[track_caller]
    fn refused(path: &Path, word: &str) {
        let error = Program::new(path).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_program_must_be_there_be_executable_and_be_safe_from_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hook");
        refused(Path::new("bin/hook"), "absolute");
        refused(&path, "No such file");
        refused(dir.path(), "no file");
        fs::write(&path, "#!/bin/sh\n").unwrap();
        set_mode(&path, 0o644);
        refused(&path, "executed");
        set_mode(&path, 0o757);
        refused(&path, "everybody");
        set_mode(&path, 0o755);
        assert_eq!(Program::new(&path).unwrap().path(), path);
        set_mode(dir.path(), 0o777);
        refused(&path, "everybody");
        set_mode(dir.path(), 0o1777);
        assert!(Program::new(&path).is_ok(), "nobody may replace it");
        assert!(Program::new(Path::new("/bin/true")).is_ok(), "root's");
    }
}
