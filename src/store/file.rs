//! A file that is mapped, and whose space on the disk is reserved: to write into it never fails.
//!
//! A page of a mapped file for which there is no room on the disk ends the process (SIGBUS). So no byte is used before
//! the system has promised room for it: `posix_fallocate`, whose failure is an error like any other. File systems that
//! write in new places (btrfs, ZFS) promise less; on a disk of theirs that is full to the last byte the process can end
//! so nevertheless, and goes on where it was when it is started again.
//!
//! No descriptor is kept: there may be thousands of files, and descriptors are for peers and apps. The mapping stays,
//! syncs do not need one (see [`Map::sync`]), and for growth, which is rare, the file is opened again by its name. That it
//! is the same file is checked: one that was removed would take in messages that no restart finds.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{OFlag, posix_fallocate};

use super::error::StoreError;
use crate::sys::Map;
use crate::sys::map::PAGE;

/// Address space that is set aside for a file at most, bytes. What grows beyond is mapped anew, each time with as much
/// again in reserve.
const RESERVE_MAX: usize = 4 << 30;

/// When room was refused, it is not asked for again within that: to find out costs the system time, and those who want it
/// may come with every message.
const NO_ROOM_AGAIN: Duration = Duration::from_secs(1);

/// See above.
#[derive(Debug)]
pub(super) struct MappedFile {
    path: PathBuf,
    device: u64,
    inode: u64,
    map: Map,
    /// Its name may not be on the disk yet.
    named_newly: bool,
    /// When how many bytes were refused last, and by which error number.
    refused: Option<(Instant, usize, i32)>,
}

impl MappedFile {
    /// Makes a file of `length` zero bytes which is expected to grow to `reserve` bytes, under a name that is free.
    ///
    /// # Errors
    /// The name is taken, or there is no room.
    pub(super) fn create(path: &Path, length: usize, reserve: usize) -> Result<Self, StoreError> {
        let open = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path);
        let file = open.map_err(|source| StoreError::io("create", path, source))?;
        let made = Self::of(&file, path, length, reserve);
        if made.is_err() {
            // Best effort: what is left is of a name that the next attempt removes.
            _ = fs::remove_file(path);
        }
        made
    }

    /// Opens a file, all of it, which is expected to grow to `reserve` bytes. Its space is reserved if it was not.
    ///
    /// # Errors
    /// It cannot be read and written, or has no room on the disk (a copy can have holes).
    pub(super) fn open(path: &Path, reserve: usize) -> Result<Self, StoreError> {
        let file = open(path).map_err(|source| StoreError::io("open", path, source))?;
        let length = file.metadata().map_err(|source| StoreError::io("open", path, source))?.len();
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        Self::of(&file, path, length, reserve)
    }

    fn of(file: &File, path: &Path, length: usize, reserve: usize) -> Result<Self, StoreError> {
        let failed = |source| StoreError::io("map", path, source);
        let meta = file.metadata().map_err(failed)?;
        if meta.blocks().saturating_mul(512) < length as u64 {
            allocate(file, path, meta.len(), 0, length)?;
        }
        let map = Map::new(file, reserve.min(RESERVE_MAX), length).map_err(failed)?;
        Ok(Self { path: path.to_owned(), device: meta.dev(), inode: meta.ino(), map, named_newly: true, refused: None })
    }

    /// Its name.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it another name, taking that from whoever has it.
    pub(super) fn rename(&mut self, path: PathBuf) -> Result<(), StoreError> {
        fs::rename(&self.path, &path).map_err(|source| StoreError::io("create", &path, source))?;
        self.path = path;
        self.named_newly = true;
        Ok(())
    }

    /// All of it.
    pub(super) fn bytes(&self) -> &[u8] {
        self.map.bytes()
    }

    /// All of it, to write.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        self.map.bytes_mut()
    }

    /// Grows it to `length` bytes or a little more; the new ones are zero.
    ///
    /// # Errors
    /// There is no room. All is as it was.
    pub(super) fn grow(&mut self, length: usize) -> Result<(), StoreError> {
        let old = self.bytes().len();
        let length = length.saturating_add(PAGE - 1) / PAGE * PAGE;
        if length <= old {
            return Ok(());
        }
        if let Some(refused) = self.refused_lately(length) {
            return Err(refused);
        }
        let file = self.reopen()?;
        let grown = allocate(&file, &self.path, old as u64, old, length)
            .and_then(|()| self.map.grow(&file, length).map_err(|source| StoreError::io("map", &self.path, source)));
        if let Err(error) = &grown {
            self.refused = error.os_error().map(|number| (Instant::now(), length, number));
            // What was reserved before the room ended, or the map did, is given back if that can be.
            _ = file.set_len(old as u64);
        }
        grown
    }

    fn refused_lately(&self, wanted: usize) -> Option<StoreError> {
        let (at, least, number) = self.refused?;
        let source = io::Error::from_raw_os_error(number);
        let (path, length) = (self.path.clone(), self.bytes().len() as u64);
        let is_same = at.elapsed() < NO_ROOM_AGAIN && wanted >= least;
        is_same.then_some(StoreError::NoRoom { path, length, wanted: wanted as u64, source })
    }

    /// Cuts it to `length` bytes.
    ///
    /// # Errors
    /// The system refuses; then no more than these can be used, but the others still take up room.
    pub(super) fn cut(&mut self, length: usize) -> Result<(), StoreError> {
        let file = self.reopen()?;
        self.map.restrict(length);
        file.set_len(length as u64).map_err(|source| StoreError::io("cut", &self.path, source))
    }

    /// All that was written is on the disk when this returns; the file's name too.
    ///
    /// # Errors
    /// The disk has failed.
    pub(super) fn sync(&mut self) -> Result<(), StoreError> {
        self.map.sync().map_err(|source| StoreError::io("sync", &self.path, source))?;
        if self.named_newly {
            sync_folder_of(&self.path)?;
            self.named_newly = false;
        }
        Ok(())
    }

    /// See [`Map::cool`].
    pub(super) fn cool(&self, range: Range<usize>) {
        self.map.cool(range);
    }

    fn reopen(&self) -> Result<File, StoreError> {
        let file = match open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StoreError::Replaced { path: self.path.clone() });
            }
            Err(error) => return Err(StoreError::io("open", &self.path, error)),
        };
        let meta = file.metadata().map_err(|source| StoreError::io("open", &self.path, source))?;
        if (meta.dev(), meta.ino()) != (self.device, self.inode) {
            return Err(StoreError::Replaced { path: self.path.clone() });
        }
        Ok(file)
    }
}

fn open(path: &Path) -> io::Result<File> {
    // A link would lead out of the folder.
    OpenOptions::new().read(true).write(true).custom_flags(OFlag::O_NOFOLLOW.bits()).open(path)
}

/// Has the system promise room for the bytes from `from` to `to` of a file that has `length` bytes.
fn allocate(file: &File, path: &Path, length: u64, from: usize, to: usize) -> Result<(), StoreError> {
    if to == from {
        return Ok(());
    }
    let no_room = |source| StoreError::NoRoom { path: path.to_owned(), length, wanted: to as u64, source };
    let offset = |n: usize| i64::try_from(n).map_err(|_| no_room(Errno::EFBIG.into()));
    let (from, to) = (offset(from)?, offset(to)?);
    loop {
        match posix_fallocate(file, from, to - from) {
            Ok(()) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(no_room(error.into())),
        }
    }
}

/// The names in the folder of `path` are on the disk when this returns.
pub(super) fn sync_folder_of(path: &Path) -> Result<(), StoreError> {
    let Some(folder) = path.parent() else { return Ok(()) };
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|source| StoreError::io("sync", folder, source))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use nix::sys::resource::{Resource, getrlimit, setrlimit};

    use super::*;

    const KIB: usize = 1024;

    #[test]
    fn a_file_keeps_what_was_written_while_it_grows_and_is_cut() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let mut file = MappedFile::create(&path, 8 * KIB, 64 * KIB).unwrap();
        file.bytes_mut()[8 * KIB - 1] = 7;
        file.grow(100 * KIB + 1).unwrap();
        assert_eq!((file.bytes()[8 * KIB - 1], file.bytes().len()), (7, 104 * KIB));
        assert!(file.bytes()[8 * KIB..].iter().all(|byte| *byte == 0));
        file.bytes_mut()[104 * KIB - 1] = 8;
        file.sync().unwrap();
        drop(file);

        let mut file = MappedFile::open(&path, 64 * KIB).unwrap();
        assert_eq!((file.bytes()[8 * KIB - 1], file.bytes()[104 * KIB - 1]), (7, 8));
        file.cut(8 * KIB).unwrap();
        assert_eq!((file.bytes().len(), fs::metadata(&path).unwrap().len()), (8 * KIB, 8 * KIB as u64));
        file.grow(9 * KIB).unwrap();
        assert_eq!(file.bytes()[8 * KIB..], [0; 4 * KIB]);
        file.grow(KIB).unwrap();
        assert_eq!(file.bytes().len(), 12 * KIB, "growing never cuts");
    }

    #[test]
    fn space_is_reserved_also_for_a_copy_with_holes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let blocks = |path: &Path| fs::metadata(path).unwrap().blocks() * 512;
        let mut file = MappedFile::create(&path, KIB, 0).unwrap();
        file.grow(1024 * KIB).unwrap();
        assert!(blocks(&path) >= 1024 * KIB as u64);
        let holes = dir.path().join("holes");
        File::create(&holes).unwrap().set_len(1024 * KIB as u64).unwrap();
        MappedFile::open(&holes, 0).unwrap();
        assert!(blocks(&holes) >= 1024 * KIB as u64);
    }

    #[test]
    fn a_file_that_was_removed_or_replaced_does_not_grow() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let mut file = MappedFile::create(&path, KIB, 0).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(matches!(file.grow(8 * KIB), Err(StoreError::Replaced { .. })));
        fs::write(&path, "another").unwrap();
        assert!(matches!(file.grow(8 * KIB), Err(StoreError::Replaced { .. })));
        assert!(matches!(file.cut(0), Err(StoreError::Replaced { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"another");
        file.bytes_mut()[0] = 1;
    }

    #[test]
    fn links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("f"), "x").unwrap();
        std::os::unix::fs::symlink("f", dir.path().join("link")).unwrap();
        assert!(MappedFile::open(&dir.path().join("link"), 0).is_err());
    }

    /// The limit holds for a process and the signal for all its threads, so the test runs itself anew with a word in the
    /// environment.
    #[test]
    fn a_file_size_limit_is_an_error_that_leaves_the_file_as_it_was() {
        const CHILD: &str = "AIOCONNECTORS_TEST_SIZE_LIMIT";
        let name = "store::file::tests::a_file_size_limit_is_an_error_that_leaves_the_file_as_it_was";
        if std::env::var_os(CHILD).is_none() {
            let mut child = std::process::Command::new(std::env::current_exe().unwrap());
            let output = child.args(["--exact", name, "--test-threads=1"]).env(CHILD, "1").output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && text.contains("1 passed"), "{output:?}");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        crate::sys::size_limit::ignore_size_signal().unwrap();
        let mut file = MappedFile::create(&path, 64 * KIB, 0).unwrap();
        let (_, most) = getrlimit(Resource::RLIMIT_FSIZE).unwrap();
        setrlimit(Resource::RLIMIT_FSIZE, 128 * KIB as u64, most).unwrap();
        let error = file.grow(256 * KIB).unwrap_err();
        assert!(matches!(error, StoreError::NoRoom { length: 65536, wanted: 262_144, .. }), "{error}");
        assert!(error.to_string().contains("ulimit -f"), "{error}");
        assert_eq!(fs::metadata(&path).unwrap().len(), 64 * KIB as u64);
        file.grow(128 * KIB).unwrap();
        file.bytes_mut()[128 * KIB - 1] = 9;
        let mut found = [0];
        File::open(&path).unwrap().read_exact_at(&mut found, 128 * KIB as u64 - 1).unwrap();
        assert_eq!(found, [9]);
    }

    #[test]
    fn a_full_disk_is_an_error_that_leaves_the_file_as_it_was() {
        let Some(disk) = crate::store::testing::SmallDisk::mount(1024 * KIB) else { return };
        let path = disk.path().join("f");
        let mut file = MappedFile::create(&path, 64 * KIB, 0).unwrap();
        file.bytes_mut().fill(1);
        let error = file.grow(4096 * KIB).unwrap_err();
        assert!(matches!(error, StoreError::NoRoom { .. }), "{error}");
        assert!(error.to_string().contains("the disk is full"), "{error}");
        assert_eq!((file.bytes().len(), fs::metadata(&path).unwrap().len()), (64 * KIB, 64 * KIB as u64));
        assert_eq!(file.grow(4096 * KIB).unwrap_err().to_string(), error.to_string(), "as it was a moment ago");
        file.grow(512 * KIB).unwrap();
        file.bytes_mut().fill(2);
        assert!(MappedFile::create(&disk.path().join("g"), 1024 * KIB, 0).is_err());
        assert!(!disk.path().join("g").exists());
    }

    #[test]
    fn a_large_file_whose_pages_are_cooled_does_not_count_as_memory() {
        const ALL: usize = 300 << 20;
        const STEP: usize = 1 << 20;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let mut file = MappedFile::create(&path, ALL, ALL).unwrap();
        let mut most = 0;
        for at in (0..ALL).step_by(STEP) {
            file.bytes_mut()[at..at + STEP].fill(5);
            file.cool(at..at + STEP);
            if at % (STEP * 50) == 0 {
                most = most.max(crate::store::testing::resident_kib(&path));
            }
        }
        assert!(most.max(crate::store::testing::resident_kib(&path)) < 8 * 1024, "{most} KiB were resident");
        assert!(file.bytes().iter().step_by(4000).all(|byte| *byte == 5));
    }
}
