//! Reading and writing small files, whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::Error;

/// Nothing that is read here comes near this; the bundle of all public CAs has about 220 KB.
const READ_MAX: u64 = 4 << 20;

/// Mode of a file with a private key.
pub(crate) const SECRET: u32 = 0o600;
/// Mode of a file that all may read, as far as the umask lets them.
pub(super) const PUBLIC: u32 = 0o644;

/// A file that changed less than this ago can change again without its time changing: clocks of file systems tick
/// slowly, up to 2 s on FAT.
const SETTLED: Duration = Duration::from_secs(2);

/// Reads a file of at most 4 MiB.
pub(crate) fn read(path: &Path, what: &'static str) -> Result<Vec<u8>, Error> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => Error::Missing { what, path: path.to_owned() },
        _ => io_error("read", path, source),
    };
    let mut bytes = Vec::new();
    let mut file = File::open(path).map_err(failed)?.take(READ_MAX + 1);
    file.read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > READ_MAX {
        return Err(Error::TooLarge { path: path.to_owned(), limit: READ_MAX });
    }
    Ok(bytes)
}

pub(super) fn io_error(doing: &'static str, path: &Path, source: io::Error) -> Error {
    Error::Io { doing, path: path.to_owned(), source }
}

/// The name under which a file is written before it gets its own.
pub(super) fn draft_of(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.tmp"))
}

/// Writes a file so that nobody ever sees a part of it: draft, sync, rename, sync of the folder.
pub(crate) fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    write_draft(path, bytes, mode)?;
    promote(path)
}

/// Writes and syncs the draft of a file. The mode holds from its creation on.
pub(super) fn write_draft(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    let draft = draft_of(path);
    // What an interrupted run left could have other rights.
    remove_if_there(&draft)?;
    let written = OpenOptions::new().write(true).create_new(true).mode(mode).open(&draft).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(|source| {
        let _ = fs::remove_file(&draft);
        io_error("write", path, source)
    })
}

/// Gives a draft its own name.
pub(super) fn promote(path: &Path) -> Result<(), Error> {
    let draft = draft_of(path);
    fs::rename(&draft, path).map_err(|source| {
        let _ = fs::remove_file(&draft);
        io_error("write", path, source)
    })?;
    sync_folder(path)
}

/// Gives a file another name in the same folder, in place of what has it.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    fs::rename(from, to).map_err(|source| io_error("rename", from, source))?;
    sync_folder(to)
}

fn sync_folder(path: &Path) -> Result<(), Error> {
    let Some(folder) = path.parent() else { return Ok(()) };
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|source| io_error("sync", folder, source))
}

pub(crate) fn remove_if_there(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(io_error("remove", path, source)),
        _ => Ok(()),
    }
}

/// Whether something has this name, be it a link to nothing.
pub(super) fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// By what a change of a file or folder is noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    // The time of the last change of any kind; unlike the modification time it cannot be set back by a copy.
    changed: (i64, i64),
    settled: bool,
}

impl Stamp {
    /// The stamp of what `path` leads to; none if there is nothing.
    pub(super) fn of(path: &Path) -> io::Result<Option<Self>> {
        match fs::metadata(path) {
            Ok(meta) => Ok(Some(Self::new(&meta, SystemTime::now()))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn new(meta: &fs::Metadata, now: SystemTime) -> Self {
        let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let settled_before = since_epoch.saturating_sub(SETTLED).as_secs();
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.len(),
            changed: (meta.ctime(), meta.ctime_nsec()),
            settled: i64::try_from(settled_before).is_ok_and(|before| meta.ctime() < before),
        }
    }

    /// Whether what was read when the file had this stamp is still what it holds, now that it has the stamp `now`.
    pub(super) fn holds(&self, now: &Self) -> bool {
        self.settled && self == now
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_file_is_secret_even_over_the_open_draft_of_an_interrupted_run() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.key");
        fs::write(draft_of(&path), "old").unwrap();
        fs::set_permissions(draft_of(&path), fs::Permissions::from_mode(0o666)).unwrap();
        write_whole(&path, b"new", SECRET).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!exists(&draft_of(&path)));
    }

    #[test]
    fn what_changed_just_now_is_not_taken_for_settled() {
        let dir = tempfile::tempdir().unwrap();
        let meta = fs::metadata(dir.path()).unwrap();
        let fresh = Stamp::new(&meta, SystemTime::now());
        assert!(!fresh.holds(&fresh));
        let later = Stamp::new(&meta, SystemTime::now() + Duration::from_secs(10));
        assert!(later.holds(&later));
    }

    #[test]
    fn a_missing_file_is_told_from_an_unreadable_one() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(read(&dir.path().join("none"), "a test"), Err(Error::Missing { .. })));
        assert!(matches!(read(dir.path(), "a test"), Err(Error::Io { .. })));
    }

    #[test]
    fn a_huge_file_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("huge");
        File::create(&path).unwrap().set_len(READ_MAX + 1).unwrap();
        assert!(matches!(read(&path, "a test"), Err(Error::TooLarge { .. })));
    }
}
