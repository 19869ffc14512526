//! Folders and files beneath a folder, however the names came and whatever is done to the folders meanwhile: no link is
//! followed, nothing leads out.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::fcntl::{self, AtFlags, OFlag, OpenHow, RenameFlags, ResolveFlag, openat, openat2, renameat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, fchownat, linkat, unlinkat};

use super::background;
use super::error::refused;
use super::owner::Owner;
use crate::core::files::FileError;

/// How often a path is tried again that changes while it is looked up.
const AGAIN_MAX: usize = 16;

/// Who sees to it that no link is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// The kernel, over the whole path at once (`openat2`, Linux 5.6).
    Kernel,
    /// We, name by name: each is opened in its folder, and is no link.
    Walk,
}

impl How {
    /// What this system offers. A sandbox may forbid the call that the kernel has.
    pub(super) fn best() -> Self {
        static BEST: OnceLock<How> = OnceLock::new();
        *BEST.get_or_init(|| {
            let root = fcntl::open("/", FOLDER, Mode::empty());
            match root.and_then(|root| openat2(root, ".", beneath(FOLDER))) {
                Ok(_) => How::Kernel,
                Err(_) => How::Walk,
            }
        })
    }
}

/// A folder, to work in: not to be listed, which takes other rights.
const FOLDER: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

fn beneath(flags: OFlag) -> OpenHow {
    OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS)
}

/// A folder that is open.
#[derive(Debug)]
pub(super) struct Folder {
    handle: OwnedFd,
    /// What it was opened by, for errors.
    pub path: PathBuf,
    /// Folders in which folders were made on the way here.
    pub changed: Vec<OwnedFd>,
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

/// A file that is about to lose its name.
#[derive(Debug)]
pub(super) struct Held(Option<OwnedFd>);

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(file) = self.0.take()
            && let Ok(found) = fstat(&file)
        {
            background::close(file, u64::try_from(found.st_size).unwrap_or(0));
        }
    }
}

/// Whether and for whom missing folders are made.
#[derive(Clone, Copy, Debug)]
pub(super) enum Missing {
    /// They are an error.
    Fail,
    /// They are made, and given to an owner.
    Make(Option<Owner>),
}

impl Folder {
    /// Opens the folder `parts` beneath `base`. `base` is the operator's word: links in it are followed.
    ///
    /// # Errors
    /// It is not there, or a part of it is a link or no folder.
    pub(super) fn open(how: How, base: &Path, parts: &[String], missing: Missing) -> Result<Self, FileError> {
        let path = parts.iter().fold(base.to_owned(), |path, part| path.join(part));
        let mut folder = Self::open_base(base, missing)?;
        if how == How::Kernel && !parts.is_empty() {
            match enter(how, folder.as_fd(), parts.join("/").as_ref()) {
                Ok(handle) => return Ok(Self { handle, path, changed: folder.changed }),
                Err(Errno::ENOENT) if matches!(missing, Missing::Make(_)) => {}
                Err(error) => return Err(wrong_folder(&path, error)),
            }
        }
        let mut shown = base.to_owned();
        for part in parts {
            shown.push(part);
            folder = folder.enter_or_make(how, part, missing).map_err(|error| wrong_folder(&shown, error))?;
        }
        folder.path = path;
        Ok(folder)
    }

    fn open_base(base: &Path, missing: Missing) -> Result<Self, FileError> {
        let open = || fcntl::open(base, FOLDER, Mode::empty());
        let (handle, changed) = match (open(), missing) {
            (Err(Errno::ENOENT), Missing::Make(owner)) => {
                let changed = make_base(base, owner)?;
                (open(), changed)
            }
            (opened, _) => (opened, Vec::new()),
        };
        let handle = handle.map_err(|error| wrong_folder(base, error))?;
        Ok(Self { handle, path: base.to_owned(), changed })
    }

    fn enter_or_make(mut self, how: How, name: &str, missing: Missing) -> Result<Self, Errno> {
        let handle = match (enter(how, self.as_fd(), name.as_ref()), missing) {
            (Err(Errno::ENOENT), Missing::Make(owner)) => {
                match mkdirat(&self.handle, name, Mode::from_bits_truncate(0o777)) {
                    // Another transfer may have made it just now.
                    Ok(()) | Err(Errno::EEXIST) => {}
                    Err(error) => return Err(error),
                }
                let made = enter(how, self.as_fd(), name.as_ref())?;
                give(self.as_fd(), name, owner);
                self.changed.push(self.handle);
                made
            }
            (entered, _) => entered?,
        };
        Ok(Self { handle, path: self.path, changed: self.changed })
    }

    /// The same folder again.
    pub(super) fn duplicate(&self) -> Result<Self, FileError> {
        let all = (self.handle.try_clone(), self.changed.iter().map(OwnedFd::try_clone).collect());
        match all {
            (Ok(handle), Ok(changed)) => Ok(Self { handle, path: self.path.clone(), changed }),
            (Err(error), _) | (_, Err(error)) => Err(refused("use the folder", &self.path, error)),
        }
    }

    /// What stands under a name; of a link, the link itself. `None` if nothing does.
    pub(super) fn look(&self, name: &str) -> Result<Option<FileStat>, FileError> {
        match fstatat(&self.handle, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::ENOENT) => Ok(None),
            Err(error) => Err(refused("look at", &self.path.join(name), error)),
        }
    }

    /// Makes a file that only this connector reads.
    pub(super) fn create(&self, name: &str) -> Result<File, FileError> {
        self.remove(name)?;
        self.open_file(name, OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL)
    }

    /// Opens a plain file.
    pub(super) fn open_file(&self, name: &str, flags: OFlag) -> Result<File, FileError> {
        let path = self.path.join(name);
        let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = openat(&self.handle, name, flags, Mode::from_bits_truncate(0o600));
        let file = File::from(file.map_err(|error| refused("open", &path, error))?);
        match file.metadata() {
            Ok(found) if found.is_file() => Ok(file),
            Ok(_) => Err(FileError::Refused(format!("{} is not a plain file", path.display()))),
            Err(error) => Err(refused("look at", &path, error)),
        }
    }

    /// Holds what stands under a name, so that its end, when it has lost its name, is not waited for. Drop it when it has.
    pub(super) fn hold(&self, name: &str) -> Held {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        Held(openat(&self.handle, name, flags, Mode::empty()).ok())
    }

    /// Removes a file; one that is not there is removed.
    pub(super) fn remove(&self, name: &str) -> Result<(), FileError> {
        let _held = self.hold(name);
        match unlinkat(&self.handle, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(error) => Err(refused("remove", &self.path.join(name), error)),
        }
    }

    /// Gives the file `old` the name `new` in the folder `to`. Unless it `replaces`, there must be none of that name, and
    /// that is seen to by the kernel.
    pub(super) fn rename(&self, old: &str, to: &Folder, new: &str, replaces: bool) -> Result<(), Errno> {
        let flags = if replaces { RenameFlags::empty() } else { RenameFlags::RENAME_NOREPLACE };
        match renameat2(&self.handle, old, &to.handle, new, flags) {
            Err(Errno::EINVAL | Errno::ENOSYS) if !replaces => self.link_and_unlink(old, to, new),
            renamed => renamed,
        }
    }

    /// The same where the disk knows no such renaming: a file has both names for a moment.
    pub(super) fn link_and_unlink(&self, old: &str, to: &Folder, new: &str) -> Result<(), Errno> {
        linkat(&self.handle, old, &to.handle, new, AtFlags::empty())?;
        unlinkat(&self.handle, old, UnlinkatFlags::NoRemoveDir)
    }

    /// Writes through what names there are in it.
    pub(super) fn sync(&self) -> Result<(), FileError> {
        let all = std::iter::once(&self.handle).chain(&self.changed);
        all.into_iter().try_for_each(sync_folder).map_err(|error| refused("write through", &self.path, error))
    }
}

/// A handle that is not for reading cannot be synced.
fn sync_folder(handle: &OwnedFd) -> Result<(), Errno> {
    let readable = openat(handle, ".", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty());
    match readable.and_then(|folder| nix::unistd::fsync(&folder)) {
        // A folder that we may write and not read, or a disk that cannot do it: then it is the system's to decide.
        Err(Errno::EACCES | Errno::EINVAL) => Ok(()),
        synced => synced,
    }
}

fn enter(how: How, folder: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
    if how == How::Walk {
        return openat(folder, name, FOLDER | OFlag::O_NOFOLLOW, Mode::empty());
    }
    for _ in 0..AGAIN_MAX {
        match openat2(folder, name, beneath(FOLDER)) {
            // Something was renamed meanwhile, so that the kernel could not be sure.
            Err(Errno::EAGAIN) => {}
            entered => return entered,
        }
    }
    Err(Errno::EAGAIN)
}

/// Makes a folder that the operator has named. Only the last one is given to the owner: who has the folder above could
/// put another one in its place. Returns the folders in which others were made, that one's first.
fn make_base(base: &Path, owner: Option<Owner>) -> Result<Vec<OwnedFd>, FileError> {
    let made: Vec<&Path> = base.ancestors().take_while(|path| !path.exists()).collect();
    fs::create_dir_all(base).map_err(|error| wrong_folder(base, to_errno(&error)))?;
    let parents = made.iter().filter_map(|made| made.parent());
    let changed = parents.map(|parent| fcntl::open(parent, FOLDER, Mode::empty())).collect::<Result<Vec<_>, _>>();
    let changed = changed.map_err(|error| wrong_folder(base, error))?;
    if let (Some(parent), Some(name)) = (changed.first(), base.file_name().and_then(OsStr::to_str)) {
        give(parent.as_fd(), name, owner);
    }
    Ok(changed)
}

fn to_errno(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw)
}

/// A folder that cannot be given to its owner is of use nevertheless, as in Python.
fn give(parent: BorrowedFd<'_>, name: &str, owner: Option<Owner>) {
    let Some(Owner { user, group }) = owner else { return };
    if let Err(error) = fchownat(parent, name, Some(user), Some(group), AtFlags::AT_SYMLINK_NOFOLLOW) {
        log::warn!("the folder {name:?} for received files cannot be given to its owner: {error}");
    }
}

fn wrong_folder(path: &Path, error: Errno) -> FileError {
    match error {
        Errno::ENOTDIR => {
            let path = path.display();
            FileError::Refused(format!("{path} is a link or no folder, and files go to folders, not through links"))
        }
        error => refused("use the folder", path, error),
    }
}

/// Whether something that was found is a plain file.
pub(super) fn is_file(found: &FileStat) -> bool {
    SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG
}
