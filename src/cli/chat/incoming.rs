//! Files that come: they lie aside, in a folder of their own, until they are wanted; then they are moved to where the
//! user is. Nothing is overwritten, and nothing gets outside.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

use tempfile::TempDir;

/// Longest path of a file in a folder, bytes.
const PATH_MAX: usize = 1024;

/// Most names that are tried when one is taken.
const NAMES_MAX: u32 = 1000;

/// Most offers that are open.
const OFFERS_MAX: usize = 100;

/// The folders of a chat.
pub struct Incoming {
    /// Where wanted files go.
    place: PathBuf,
    /// Where all files come to first. It lies in the other one, so that a file is moved without copying.
    aside: TempDir,
    /// Offers that were accepted: the folder of each, if it is one.
    offers: HashMap<String, Option<PathBuf>>,
}

impl Incoming {
    /// # Errors
    /// The folder cannot be written.
    pub fn new(place: &Path) -> io::Result<Self> {
        let place = place.canonicalize()?;
        let aside = tempfile::Builder::new().prefix(".aioconnectors-chat-").tempdir_in(&place)?;
        Ok(Self { place, aside, offers: HashMap::new() })
    }

    /// Where the connector puts files.
    pub fn aside(&self) -> &Path {
        self.aside.path()
    }

    /// Its files are wanted. Returns the name of the new folder, if it is one.
    ///
    /// # Errors
    /// In words.
    pub fn accept(&mut self, id: String, name: &str, folder: bool) -> Result<(), String> {
        if self.offers.len() >= OFFERS_MAX {
            return Err(format!("{OFFERS_MAX} uploads are open already"));
        }
        let root = if folder {
            Some(self.reserve(&self.place, plain_name(name)?, |path| fs::create_dir(path)).map_err(told)?)
        } else {
            None
        };
        self.offers.insert(id, root);
        Ok(())
    }

    /// Whether the offer was accepted.
    pub fn is_accepted(&self, id: &str) -> bool {
        self.offers.contains_key(id)
    }

    /// No more files come of an offer.
    pub fn done(&mut self, id: &str) {
        self.offers.remove(id);
    }

    /// Takes a file that lies aside as `kept_name`: it is that of `path` in the offer `id`, or `path` is its name.
    /// Returns where it is now.
    ///
    /// # Errors
    /// In words; the file is gone.
    pub fn take(&self, kept_name: &str, id: Option<&str>, path: &str) -> Result<PathBuf, String> {
        let result = self.try_take(kept_name, id, path);
        if result.is_err() {
            self.discard(kept_name);
        }
        result
    }

    fn try_take(&self, kept_name: &str, id: Option<&str>, path: &str) -> Result<PathBuf, String> {
        let kept = self.aside().join(plain_name(kept_name)?);
        if !fs::symlink_metadata(&kept).map_err(|e| format!("it did not arrive: {e}"))?.is_file() {
            return Err("what arrived is no file".to_owned());
        }
        let root = id.and_then(|id| self.offers.get(id)).and_then(Option::as_deref);
        let folder = match (root, path.rsplit_once('/')) {
            (Some(root), Some((folders, _))) => root.join(inner_path(folders)?),
            (Some(root), None) => root.to_owned(),
            (None, _) => self.place.clone(),
        };
        let name = plain_name(if root.is_some() { path.rsplit('/').next().unwrap_or(path) } else { path })?;
        fs::create_dir_all(&folder).map_err(told)?;
        let new = |path: &Path| OpenOptions::new().write(true).create_new(true).open(path).map(drop);
        let target = self.reserve(&folder, name, new).map_err(told)?;
        fs::rename(&kept, &target).map_err(|e| {
            // The empty file only held the name.
            _ = fs::remove_file(&target);
            told(e)
        })?;
        Ok(target)
    }

    /// Removes a file that is not wanted.
    pub fn discard(&self, kept_name: &str) {
        if let Ok(name) = plain_name(kept_name)
            && let Err(e) = fs::remove_file(self.aside().join(name))
        {
            log::debug!("{kept_name}: {e}");
        }
    }

    /// A path in `folder` that nobody has: `name`, or with a number before its ending.
    fn reserve(&self, folder: &Path, name: &str, make: impl Fn(&Path) -> io::Result<()>) -> io::Result<PathBuf> {
        let (stem, ending) = match name.rsplit_once('.') {
            Some((stem, ending)) if !stem.is_empty() => (stem, format!(".{ending}")),
            _ => (name, String::new()),
        };
        for number in 0..NAMES_MAX {
            let path = match number {
                0 => folder.join(name),
                number => folder.join(format!("{stem} ({number}){ending}")),
            };
            match make(&path) {
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                result => return result.map(|()| path),
            }
        }
        Err(ErrorKind::AlreadyExists.into())
    }
}

fn told(error: io::Error) -> String {
    format!("it cannot be written: {error}")
}

/// A name that is one, and leads nowhere else.
fn plain_name(name: &str) -> Result<&str, String> {
    let is_plain =
        matches!(Path::new(name).components().collect::<Vec<_>>()[..], [Component::Normal(only)] if only == name);
    if is_plain && name.len() <= PATH_MAX && !name.contains(char::is_control) {
        Ok(name)
    } else {
        Err(format!("{name:?} cannot be the name of a file"))
    }
}

/// A path that stays inside.
fn inner_path(path: &str) -> Result<PathBuf, String> {
    if path.len() > PATH_MAX {
        return Err(format!("a path of {} bytes is too long", path.len()));
    }
    path.split('/').map(plain_name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incoming() -> (TempDir, Incoming) {
        let dir = tempfile::tempdir().unwrap();
        let incoming = Incoming::new(dir.path()).unwrap();
        (dir, incoming)
    }

    fn come(incoming: &Incoming, name: &str) {
        fs::write(incoming.aside().join(name), name).unwrap();
    }

    #[test]
    fn a_file_is_moved_and_overwrites_none() {
        let (dir, incoming) = incoming();
        for expected in ["a.txt", "a (1).txt", "a (2).txt"] {
            come(&incoming, "k");
            assert_eq!(incoming.take("k", None, "a.txt").unwrap(), incoming.place.join(expected));
        }
        assert_eq!(fs::read(dir.path().join("a (2).txt")).unwrap(), b"k");
        assert_eq!(fs::read_dir(incoming.aside()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_keeps_its_inner_paths_under_a_name_of_its_own() {
        let (dir, mut incoming) = incoming();
        fs::create_dir(dir.path().join("top")).unwrap();
        incoming.accept("id".to_owned(), "top", true).unwrap();
        come(&incoming, "id-0");
        come(&incoming, "id-1");
        incoming.take("id-0", Some("id"), "x/y/f").unwrap();
        incoming.take("id-1", Some("id"), "g").unwrap();
        assert!(dir.path().join("top (1)/x/y/f").is_file() && dir.path().join("top (1)/g").is_file());
        incoming.done("id");
        assert!(!incoming.is_accepted("id"));
    }

    #[test]
    fn nothing_gets_outside() {
        let (dir, mut incoming) = incoming();
        incoming.accept("id".to_owned(), "top", true).unwrap();
        for path in ["../f", "a/../../f", "/etc/f", "a//f", "", ".", "..", "a/", "./f", "a\0f", "a/\nf"] {
            come(&incoming, "k");
            assert!(incoming.take("k", Some("id"), path).is_err(), "{path:?}");
            assert!(incoming.take("k", None, path).is_err(), "{path:?}");
            assert_eq!(fs::read_dir(incoming.aside()).unwrap().count(), 0, "what is not taken is discarded");
        }
        for kept in ["../x", "/etc/passwd", ""] {
            assert!(incoming.take(kept, None, "f").is_err(), "{kept:?}");
        }
        assert!(incoming.accept("b".to_owned(), "../top", true).is_err());
        fs::create_dir(incoming.aside().join("k")).unwrap();
        assert!(incoming.take("k", None, "f").is_err(), "a folder is no file");
        let outside: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(outside.len(), 2, "the accepted folder and the one aside: {outside:?}");
    }
}
