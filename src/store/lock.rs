//! One process works with a spool folder.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::error::StoreError;

/// The file that is locked. It holds the number of the process that locked it last, and is never removed: two processes
/// could lock two files of that name.
pub(super) const LOCK_FILE: &str = "lock";

/// How long to wait for the lock: a connector that was just killed, or a tool that looks whether one runs, lets it go
/// within that.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// Wait before the lock is tried again.
const LOCK_AGAIN: Duration = Duration::from_millis(5);

/// The lock of a folder, until it is dropped or the process ends, however that happens.
#[derive(Debug)]
pub(super) struct FolderLock(#[expect(dead_code, reason = "it is held, not looked at")] Flock<File>);

impl FolderLock {
    /// Locks `folder`.
    ///
    /// # Errors
    /// Another process has the lock, or the folder is not to be written.
    pub(super) fn take(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(LOCK_FILE);
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let mut file = open.map_err(|source| StoreError::io("write", &path, source))?;
        let start = Instant::now();
        loop {
            let (unlocked, error) = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => return Self::sign(lock).map_err(|source| StoreError::io("write", &path, source)),
                Err(refused) => refused,
            };
            file = unlocked;
            if error != Errno::EWOULDBLOCK {
                return Err(StoreError::io("lock", &path, error));
            }
            if start.elapsed() >= LOCK_TIMEOUT {
                return Err(StoreError::InUse { folder: folder.to_owned(), pid: read_pid(&mut file) });
            }
            thread::sleep(LOCK_AGAIN);
        }
    }

    fn sign(lock: Flock<File>) -> io::Result<Self> {
        lock.set_len(0)?;
        (&*lock).write_all(format!("{}\n", std::process::id()).as_bytes())?;
        Ok(Self(lock))
    }
}

/// The process that has the lock of `folder`: none, or one, with its number if the lock file says so.
///
/// # Errors
/// The lock file cannot be read.
pub(super) fn holder(folder: &Path) -> Result<Option<Option<u32>>, StoreError> {
    let path = folder.join(LOCK_FILE);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::io("read", &path, error)),
    };
    // Shared, so that two that look do not find each other.
    match Flock::lock(file, FlockArg::LockSharedNonblock) {
        Ok(_) => Ok(None),
        Err((mut file, Errno::EWOULDBLOCK)) => Ok(Some(read_pid(&mut file))),
        Err((_, error)) => Err(StoreError::io("lock", &path, error)),
    }
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_who_locks_a_folder_is_told_who_was_first() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(holder(dir.path()).unwrap(), None);
        let lock = FolderLock::take(dir.path()).unwrap();
        let pid = Some(std::process::id());
        assert_eq!(holder(dir.path()).unwrap(), Some(pid));
        let error = FolderLock::take(dir.path()).unwrap_err();
        assert!(matches!(&error, StoreError::InUse { folder, pid: p } if folder == dir.path() && *p == pid), "{error}");
        let words = [format!("process {}", std::process::id()), dir.path().display().to_string()];
        assert!(words.iter().all(|word| error.to_string().contains(word)), "{error}");
        drop(lock);
        assert_eq!(holder(dir.path()).unwrap(), None);
        FolderLock::take(dir.path()).unwrap();
    }

    #[test]
    fn a_lock_that_is_let_go_while_another_waits_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let lock = FolderLock::take(dir.path()).unwrap();
        thread::scope(|scope| {
            let waits = scope.spawn(|| FolderLock::take(dir.path()));
            drop(lock);
            waits.join().unwrap().unwrap();
        });
    }
}
