//! What is known of files that come, across the connector's death: a small file for each in a folder of its own.
//!
//! ```text
//! connector_files_dirpath/files_ROLE_UID/    mode 0700
//!     ID.file     a file that comes, or has come and whose message was not taken over yet
//!     SET.pieces  a file that comes in pieces
//! ```
//! A file's entry is written before there is anything of it on the disk, and again, as `named`, before what has come gets
//! its name. So what a crash leaves says how far it was:
//!
//! | entry | partial file | then |
//! | --- | --- | --- |
//! | none | | nothing is there |
//! | `partial` | none | nothing is there |
//! | `partial` | there | so many bytes are there |
//! | `named` | there | all is there and has no name yet |
//! | `named` | none | it has its name, or had it and was taken away since |

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::unistd::{Gid, Uid};
use serde_json::{Value, json};

use super::error::refused;
use super::names;
use super::owner::Owner;
use crate::core::files::{FileError, Stamp, TransferKey};

/// Most files that are known of at a time.
const ENTRIES_MAX: usize = 65_536;

const FILE: &str = "file";
const PIECES: &str = "pieces";
/// What an entry is called while it is written.
const DRAFT: &str = "draft";

/// Where a file is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The operator's folder.
    pub base: PathBuf,
    /// Folders beneath it.
    pub folders: Vec<String>,
    /// Its name.
    pub name: String,
}

impl Place {
    /// The whole path, for errors and the log.
    pub(super) fn path(&self) -> PathBuf {
        self.folders.iter().fold(self.base.clone(), |path, folder| path.join(folder)).join(&self.name)
    }
}

/// A file that comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// None if it cannot be gone on with after this life of the connector.
    pub key: Option<TransferKey>,
    pub size: u64,
    pub stamp: Stamp,
    pub place: Place,
    /// The name of what there is of it, in the same folder.
    pub partial: String,
    /// It was about to get its name.
    pub named: bool,
    /// The file that it is a piece of.
    pub set: Option<String>,
}

/// A file that comes in pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PieceSet {
    /// Where the whole is to be.
    pub place: Place,
    /// How many pieces.
    pub count: u32,
    /// Whether it may take the place of a file.
    pub overrides: bool,
    /// Whose it is to be.
    pub owner: Option<Owner>,
    /// The whole was about to get its name.
    pub joined: bool,
}

/// An entry as it is to be written, by whatever thread.
#[derive(Debug)]
pub(super) struct Record {
    path: PathBuf,
    text: String,
}

impl Record {
    /// Writes it in one step: whoever reads finds the old one or the new one.
    pub(super) fn write(&self, synced: bool) -> Result<(), FileError> {
        self.try_write(synced).map_err(|error| refused("write", &self.path, error))
    }

    fn try_write(&self, synced: bool) -> io::Result<()> {
        let draft = self.path.with_extension(DRAFT);
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(self.text.as_bytes())?;
        if synced {
            file.sync_all()?;
        }
        fs::rename(&draft, &self.path)?;
        match self.path.parent() {
            Some(folder) if synced => File::open(folder)?.sync_all(),
            _ => Ok(()),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Journal {
    folder: PathBuf,
    entries: BTreeMap<String, Entry>,
    /// The entries of each lane, peer and type, by epoch and number.
    lanes: HashMap<(String, String), BTreeMap<(u64, u64), String>>,
    sets: BTreeMap<String, PieceSet>,
}

/// When each entry and each set that was found had been written.
pub(super) type Ages = BTreeMap<String, SystemTime>;

/// Makes a folder that is the connector's alone.
pub(super) fn make_private(folder: &Path) -> Result<(), FileError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| refused("make the folder", folder, error))
}

impl Journal {
    /// Reads what is in `folder`, which need not be there. What cannot be read is logged and left alone.
    pub(super) fn open(folder: &Path) -> (Self, Ages) {
        let mut journal =
            Self { folder: folder.to_owned(), entries: BTreeMap::new(), lanes: HashMap::new(), sets: BTreeMap::new() };
        let mut ages = Ages::new();
        match fs::read_dir(folder) {
            Ok(found) => found.flatten().for_each(|found| journal.take_up(&found.path(), &mut ages)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => log::error!("{}: files that were coming are not gone on with: {error}", folder.display()),
        }
        (journal, ages)
    }

    fn take_up(&mut self, path: &Path, ages: &mut Ages) {
        let text = |part: Option<&std::ffi::OsStr>| part.and_then(|part| part.to_str()).unwrap_or_default().to_owned();
        let (id, kind) = (text(path.file_stem()), text(path.extension()));
        let read = fs::read(path).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        let known = match kind.as_str() {
            FILE => read.as_ref().and_then(entry).map(|entry| self.list(&id, entry)),
            PIECES => read.as_ref().and_then(piece_set).map(|set| {
                self.sets.insert(id.clone(), set);
            }),
            DRAFT => {
                // One that stays is written over when its entry is.
                let _ = fs::remove_file(path);
                return;
            }
            _ => return,
        };
        let written = fs::metadata(path).and_then(|found| found.modified());
        match known {
            Some(()) => {
                ages.insert(id, written.unwrap_or_else(|_| SystemTime::now()));
            }
            None => log::error!("{} cannot be understood: it is left alone, look at it and remove it", path.display()),
        }
    }

    fn list(&mut self, id: &str, entry: Entry) {
        if let Some(key) = &entry.key {
            let lane = self.lanes.entry((key.peer.clone(), key.message_type.clone())).or_default();
            lane.insert((key.epoch, key.sequence), id.to_owned());
        }
        self.entries.insert(id.to_owned(), entry);
    }

    /// The id of a message's file.
    pub(super) fn id(key: &TransferKey) -> String {
        names::id(&[&key.peer, &key.message_type, &key.epoch.to_string(), &key.sequence.to_string()])
    }

    pub(super) fn get(&self, id: &str) -> Option<&Entry> {
        self.entries.get(id)
    }

    /// Writes an entry down.
    pub(super) fn put(&mut self, id: &str, entry: Entry) -> Result<(), FileError> {
        if self.entries.len() >= ENTRIES_MAX && !self.entries.contains_key(id) {
            return Err(FileError::Later(format!("{ENTRIES_MAX} files are under way, which is the most")));
        }
        self.make_folder()?;
        self.record(id, FILE, &entry_json(&entry)).write(false)?;
        self.list(id, entry);
        Ok(())
    }

    /// Notes that a file is about to get its name; it counts once the record is written.
    pub(super) fn name(&mut self, id: &str) -> Option<Record> {
        let entry = self.entries.get_mut(id)?;
        entry.named = true;
        let value = entry_json(entry);
        Some(self.record(id, FILE, &value))
    }

    /// Strikes an entry out.
    pub(super) fn remove(&mut self, id: &str) -> Option<Entry> {
        let entry = self.take(id)?;
        unlink(&self.path(id, FILE));
        Some(entry)
    }

    /// The file of an entry, also of one that was struck out.
    pub(super) fn file_of(&self, id: &str) -> PathBuf {
        self.path(id, FILE)
    }

    /// Takes an entry out, whose file is still to be removed.
    pub(super) fn take(&mut self, id: &str) -> Option<Entry> {
        let entry = self.entries.remove(id)?;
        if let Some(key) = &entry.key {
            let name = (key.peer.clone(), key.message_type.clone());
            if let Some(lane) = self.lanes.get_mut(&name) {
                lane.remove(&(key.epoch, key.sequence));
                if lane.is_empty() {
                    self.lanes.remove(&name);
                }
            }
        }
        Some(entry)
    }

    /// What of a lane needs not be known any more once `key` does not: it, smaller numbers, other epochs.
    pub(super) fn until(&self, key: &TransferKey) -> Vec<String> {
        let lane = self.lanes.get(&(key.peer.clone(), key.message_type.clone()));
        let over = |(epoch, sequence): &(u64, u64)| *epoch != key.epoch || *sequence <= key.sequence;
        let all = lane.into_iter().flatten().filter(|(number, _)| over(number));
        all.map(|(_, id)| id.clone()).collect()
    }

    pub(super) fn ids(&self) -> Vec<String> {
        self.entries.keys().cloned().collect()
    }

    pub(super) fn sets(&self) -> Vec<(String, PieceSet)> {
        self.sets.iter().map(|(id, set)| (id.clone(), set.clone())).collect()
    }

    pub(super) fn set(&self, id: &str) -> Option<&PieceSet> {
        self.sets.get(id)
    }

    /// Writes a set of pieces down.
    pub(super) fn put_set(&mut self, id: &str, set: PieceSet) -> Result<(), FileError> {
        if self.sets.len() >= ENTRIES_MAX && !self.sets.contains_key(id) {
            return Err(FileError::Later(format!("{ENTRIES_MAX} files in pieces are under way, which is the most")));
        }
        self.make_folder()?;
        self.record(id, PIECES, &set_json(&set)).write(false)?;
        self.sets.insert(id.to_owned(), set);
        Ok(())
    }

    /// Notes that the whole is about to get its name; it counts once the record is written.
    pub(super) fn join(&mut self, id: &str) -> Option<Record> {
        let set = self.sets.get_mut(id)?;
        set.joined = true;
        let value = set_json(set);
        Some(self.record(id, PIECES, &value))
    }

    /// Strikes a set out.
    pub(super) fn remove_set(&mut self, id: &str) {
        if self.sets.remove(id).is_some() {
            unlink(&self.path(id, PIECES));
        }
    }

    fn make_folder(&self) -> Result<(), FileError> {
        make_private(&self.folder)
    }

    fn record(&self, id: &str, kind: &str, value: &Value) -> Record {
        Record { path: self.path(id, kind), text: format!("{value}\n") }
    }

    fn path(&self, id: &str, kind: &str) -> PathBuf {
        self.folder.join(format!("{id}.{kind}"))
    }
}

/// Removes the file of an entry.
pub(super) fn unlink(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        log::warn!("{}: cannot be removed: {error}", path.display());
    }
}

fn place_json(place: &Place) -> Value {
    json!({"base": place.base.to_string_lossy(), "folders": place.folders, "name": place.name})
}

fn entry_json(entry: &Entry) -> Value {
    let key = entry.key.as_ref().map(|key| {
        json!({
            "peer": key.peer, "message_type": key.message_type, "epoch": key.epoch, "sequence": key.sequence,
        })
    });
    let Stamp { size, changed, inode } = entry.stamp;
    json!({
        "state": if entry.named { "named" } else { "partial" },
        "key": key,
        "size": entry.size,
        "stamp": {"size": size, "changed": changed, "inode": inode},
        "place": place_json(&entry.place),
        "partial": entry.partial,
        "set": entry.set,
    })
}

fn set_json(set: &PieceSet) -> Value {
    let owner = set.owner.map(|Owner { user, group }| [user.as_raw(), group.as_raw()]);
    json!({
        "place": place_json(&set.place),
        "count": set.count,
        "override_existing": set.overrides,
        "owner": owner,
        "joined": set.joined,
    })
}

/// Names that are read back are checked again: somebody else may have written them.
fn name(value: &Value) -> Option<String> {
    value.as_str().filter(|name| !name.contains(['/', '\0']) && !matches!(*name, "" | "." | "..")).map(str::to_owned)
}

fn place(value: &Value) -> Option<Place> {
    let base = value["base"].as_str().filter(|base| base.starts_with('/'))?.into();
    let folders = value["folders"].as_array()?.iter().map(name).collect::<Option<_>>()?;
    Some(Place { base, folders, name: name(&value["name"])? })
}

fn entry(value: &Value) -> Option<Entry> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let key = match &value["key"] {
        Value::Null => None,
        key => Some(TransferKey {
            peer: text(&key["peer"])?,
            message_type: text(&key["message_type"])?,
            epoch: key["epoch"].as_u64()?,
            sequence: key["sequence"].as_u64()?,
        }),
    };
    let stamp = &value["stamp"];
    Some(Entry {
        key,
        size: value["size"].as_u64()?,
        stamp: Stamp {
            size: stamp["size"].as_u64()?,
            changed: stamp["changed"].as_u64()?,
            inode: stamp["inode"].as_u64()?,
        },
        place: place(&value["place"])?,
        partial: name(&value["partial"])?,
        named: match value["state"].as_str()? {
            "partial" => false,
            "named" => true,
            _ => return None,
        },
        set: match &value["set"] {
            Value::Null => None,
            set => Some(name(set)?),
        },
    })
}

fn piece_set(value: &Value) -> Option<PieceSet> {
    let count = u32::try_from(value["count"].as_u64()?).ok().filter(|count| *count <= names::PIECES_MAX)?;
    let raw = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
    let owner = match &value["owner"] {
        Value::Null => None,
        owner => Some(Owner { user: Uid::from_raw(raw(&owner[0])?), group: Gid::from_raw(raw(&owner[1])?) }),
    };
    Some(PieceSet {
        place: place(&value["place"])?,
        count,
        overrides: value["override_existing"].as_bool()?,
        owner,
        joined: value["joined"].as_bool()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(epoch: u64, sequence: u64) -> TransferKey {
        TransferKey { peer: "p".to_owned(), message_type: "any".to_owned(), epoch, sequence }
    }

    fn an_entry(key: Option<TransferKey>) -> Entry {
        let place = Place { base: "/data".into(), folders: vec!["a".to_owned()], name: "b".to_owned() };
        let stamp = Stamp { size: 7, changed: u64::MAX, inode: 3 };
        Entry { key, size: 7, stamp, place, partial: ".x.part".to_owned(), named: false, set: None }
    }

    #[test]
    fn what_was_written_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("files");
        let mut journal = Journal::open(&folder).0;
        let id = Journal::id(&key(1, 2));
        journal.put(&id, an_entry(Some(key(1, 2)))).unwrap();
        journal.put("other", an_entry(None)).unwrap();
        let owner = Some(Owner { user: Uid::from_raw(5), group: Gid::from_raw(6) });
        let set = PieceSet { place: an_entry(None).place, count: 3, overrides: true, owner, joined: false };
        journal.put_set("set", set.clone()).unwrap();
        journal.name(&id).unwrap().write(true).unwrap();
        fs::write(folder.join("broken.file"), "{").unwrap();
        fs::write(folder.join("x.draft"), "{").unwrap();

        let (mut read, ages) = Journal::open(&folder);
        assert_eq!(read.get(&id), Some(&Entry { named: true, ..an_entry(Some(key(1, 2))) }));
        assert_eq!(read.get("other"), Some(&an_entry(None)));
        assert_eq!(read.sets(), [("set".to_owned(), set)]);
        assert_eq!(ages.len(), 3);
        read.remove(&id);
        read.remove("other");
        read.remove_set("set");
        let left: Vec<_> = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert_eq!(left, ["broken.file"]);
    }

    #[test]
    fn a_lane_forgets_what_lies_before_and_other_lives() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path()).0;
        for (epoch, sequence) in [(1, 1), (1, 9), (2, 4), (2, 5), (2, 6)] {
            let key = key(epoch, sequence);
            journal.put(&Journal::id(&key), an_entry(Some(key))).unwrap();
        }
        let mut until = journal.until(&key(2, 5));
        let mut expected = [(1, 1), (1, 9), (2, 4), (2, 5)].map(|(e, s)| Journal::id(&key(e, s)));
        until.sort();
        expected.sort();
        assert_eq!(until, expected);
        let other = TransferKey { peer: "q".to_owned(), ..key(2, 5) };
        assert!(journal.until(&other).is_empty());
    }
}
