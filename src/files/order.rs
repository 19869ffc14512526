//! What a message and the config say of a file that is to come.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use serde_json::{Map, Value};

use super::hook;
use super::journal::Place;
use super::names;
use super::owner::{Owner, Owners};
use crate::config::FileRecv;
use crate::core::files::{FileError, Incoming, Stamp, TransferKey};

/// A message's wish, as far as it can be judged without the disk.
#[derive(Debug)]
pub(super) struct Request {
    pub key: Option<TransferKey>,
    pub size: u64,
    pub stamp: Stamp,
    header: Map<String, Value>,
}

/// Where a file goes, and how.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub place: Place,
    pub owner: Option<Owner>,
    pub overrides: bool,
    pub piece: Option<Piece>,
}

/// What it is a piece of.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub set: String,
    pub index: u32,
    pub count: u32,
    /// Where the whole goes.
    pub whole: Place,
}

impl Request {
    /// Reads the message.
    pub(super) fn read(incoming: &Incoming<'_>, max: u64) -> Result<Self, FileError> {
        let header = match serde_json::from_slice(incoming.header) {
            Ok(Value::Object(header)) => header,
            _ => return Err(FileError::Refused("the message's header is not a JSON object".to_owned())),
        };
        let request = Self { key: incoming.key.cloned(), size: incoming.size, stamp: incoming.stamp, header };
        if let Some(error) = request.said("file_error") {
            return Err(FileError::Refused(format!("the sender has no file: {}", names::shown(error))));
        }
        if request.size > max {
            let name = names::shown(request.said("dst_name").unwrap_or_default());
            return Err(FileError::Refused(format!(
                "the file {name} has {} bytes, and max_size_file_upload_recv allows {max}",
                request.size
            )));
        }
        Ok(request)
    }

    /// That of a copy of a source: no message says anything of it.
    pub(super) fn of_copy(stamp: Stamp) -> Self {
        Self { key: None, size: stamp.size, stamp, header: Map::new() }
    }

    /// A text of the message's `with_file`.
    fn said(&self, key: &str) -> Option<&str> {
        self.header.get("with_file")?.get(key)?.as_str().filter(|text| !text.is_empty())
    }

    /// What `file_recv_config` has for it.
    pub(super) fn config<'a>(
        &self,
        receive: &'a BTreeMap<String, FileRecv>,
    ) -> Result<(&'a str, &'a FileRecv), FileError> {
        let Some(dst_type) = self.said("dst_type") else {
            return Err(FileError::Refused(
                "with_file has no dst_type: it names an entry of file_recv_config".to_owned(),
            ));
        };
        let found = receive.get_key_value(dst_type).map(|(name, config)| (name.as_str(), config));
        found.ok_or_else(|| {
            let shown = names::shown(dst_type);
            FileError::Refused(format!("file_recv_config of the receiving connector has no dst_type {shown}"))
        })
    }

    /// Where it goes: as the config says, and a hook.
    pub(super) fn order(
        &self,
        receive: &BTreeMap<String, FileRecv>,
        hooked: hook::Folder,
        owners: &mut Owners,
    ) -> Result<Order, FileError> {
        let (dst_type, config) = self.config(receive)?;
        let in_config = |why: String| FileError::Refused(format!("file_recv_config.{dst_type}: {why}"));
        let (mut base, mut folders) = names::fill(&config.target_directory, &self.header).map_err(in_config)?;
        match hooked {
            hook::Folder::AsConfigured => {}
            hook::Folder::Refused(why) => return Err(FileError::Refused(why)),
            hook::Folder::Named(path) => (base, folders) = hooked_folder(base, folders, &path)?,
        }
        let dst_name = self.said("dst_name").unwrap_or_default();
        let (beneath, name) = names::dst_name(dst_name).map_err(FileError::Refused)?;
        folders.extend(beneath);
        let owner = self.said("owner").or(config.owner.as_deref()).and_then(|owner| owners.find(owner));
        let place = Place { base, folders, name };
        let overrides = config.override_existing;
        match self.header.get("with_file").and_then(|with_file| with_file.get("chunked")) {
            None | Some(Value::Null) => Ok(Order { place, owner, overrides, piece: None }),
            Some(chunked) => self.piece(chunked, dst_name, Order { place, owner, overrides, piece: None }),
        }
    }

    /// A piece lies beside the whole, under a name that is none that an app could mean, and apart from those of others.
    fn piece(&self, chunked: &Value, dst_name: &str, order: Order) -> Result<Order, FileError> {
        let names::Chunk { index, count, whole } = names::chunk(chunked, dst_name).map_err(FileError::Refused)?;
        names::check_name(&whole).map_err(|why| {
            FileError::Refused(format!("with_file.chunked: {} cannot be a file's name: {why}", names::shown(&whole)))
        })?;
        let source = self.header.get("source_id").and_then(Value::as_str).unwrap_or_default();
        let whole = Place { name: whole, ..order.place.clone() };
        let path = whole.path();
        let set = names::id(&[source, &path.to_string_lossy(), &count.to_string()]);
        let place = Place { name: names::piece(&set, index), ..order.place };
        Ok(Order { place, piece: Some(Piece { set, index, count, whole }), ..order })
    }
}

fn hooked_folder(base: PathBuf, mut folders: Vec<String>, path: &Path) -> Result<(PathBuf, Vec<String>), FileError> {
    let wrong = |why: &str| FileError::Refused(format!("hook_target_directory answered {path:?}: {why}"));
    if path.to_str().is_none() {
        return Err(wrong("it is not UTF-8"));
    }
    if path.is_absolute() {
        return Ok((path.to_owned(), Vec::new()));
    }
    for part in path.components() {
        match part {
            Component::Normal(part) => {
                let part = part.to_string_lossy();
                names::check_name(&part).map_err(|why| wrong(&why))?;
                folders.push(part.into_owned());
            }
            Component::CurDir => {}
            _ => {
                return Err(wrong(
                    "it leads elsewhere: a folder beneath the target directory is right, or an absolute path",
                ));
            }
        }
    }
    Ok((base, folders))
}

/// Folders of the connector itself, to which no message brings a file.
#[derive(Clone, Debug, Default)]
pub struct OwnFolders {
    /// Nothing is put directly into these, where sockets and logs are, nor into folders in them with names of the
    /// connectors' own.
    pub folders: Vec<PathBuf>,
}

/// What the names of connectors' own folders begin with: certificates, queues, what is noted of files.
const OWN_NAMES: [&str; 3] = ["certificates", "spool_", "files_"];

impl OwnFolders {
    /// That the folder at `path` is none of them.
    pub(super) fn check(&self, path: &Path) -> Result<(), FileError> {
        let is_own = self.folders.iter().any(|own| is_own(path, own) || is_own(path, &real(own)));
        if !is_own {
            return Ok(());
        }
        let path = path.display();
        Err(FileError::Refused(format!("{path} is the connector's own folder: file_recv_config must lead elsewhere")))
    }
}

fn is_own(path: &Path, own: &Path) -> bool {
    let Ok(beneath) = path.strip_prefix(own) else { return false };
    let Some(first) = beneath.components().next() else { return true };
    let first = first.as_os_str().to_string_lossy();
    OWN_NAMES.iter().any(|name| first.starts_with(name))
}

/// Where a path leads, if it leads anywhere.
pub(super) fn real(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}
