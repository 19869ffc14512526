//! The connectors of this machine that can be found: those with a config where systemd's unit has it, and those in the
//! list of running ones.

use std::env;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::api::{ApiError, ConnectorApi, FILES_DIR};
use crate::remote;
use crate::wire::names::uid;

/// Where the unit `aioconnectorsd@NAME` has `NAME.json`.
pub const INSTANCES: &str = "/etc/aioconnectors";

/// Another folder in place of [`INSTANCES`].
pub const INSTANCES_VARIABLE: &str = "AIOCONNECTORS_CONFIGS";

/// Another folder in place of [`FILES_DIR`], for its list of running connectors.
pub const FILES_VARIABLE: &str = "AIOCONNECTORS_FILES";

/// The list's name.
const LIST: &str = "active_connectors.json";

/// Longest list of running connectors that is read, bytes.
const LIST_MAX: u64 = 1024 * 1024;

/// Most connectors that are looked at; further ones are passed over.
const KNOWN_MAX: usize = 1000;

/// Longest wait for a connector to accept a connection. One that is busy for longer counts as running.
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);

/// Where connectors are looked for.
#[derive(Clone, Debug)]
pub struct Places {
    /// The folder with the configs of systemd's instances.
    pub instances: PathBuf,
    /// The folder with the list of running connectors.
    pub files: PathBuf,
}

impl Places {
    /// Those of the system, or as the environment says.
    pub fn of_system() -> Self {
        let folder = |name: &str, default: &str| match env::var_os(name) {
            Some(value) if !value.is_empty() => PathBuf::from(value),
            _ => PathBuf::from(default),
        };
        Self { instances: folder(INSTANCES_VARIABLE, INSTANCES), files: folder(FILES_VARIABLE, FILES_DIR) }
    }

    /// The list of running connectors.
    pub fn list(&self) -> PathBuf {
        self.files.join(LIST)
    }

    /// The config of the instance `name`. `None` if that is no name of one.
    pub fn instance(&self, name: &str) -> Option<PathBuf> {
        let is_name = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0']);
        is_name.then(|| self.instances.join(format!("{name}.json")))
    }
}

/// A connector that can be found by its name.
#[derive(Debug)]
pub struct Known {
    /// What `--name` takes: an instance's name, a client's name, or a server's address as `127.0.0.1:10673`.
    pub name: String,
    /// Its config, if it is known where that is.
    pub config: Option<PathBuf>,
    /// How it is spoken to, or what is wrong with its config.
    pub api: Result<ConnectorApi, ApiError>,
}

impl Known {
    /// The connector whose config is at `path`.
    fn instance(name: String, path: PathBuf) -> Self {
        Self { name, api: ConnectorApi::from_file(&path), config: Some(path) }
    }

    /// An entry of the list: a client's name, or a server's `HOST PORT`. The list does not say where its config is.
    fn listed(entry: &str, files: &Path) -> Self {
        let server = entry.rsplit_once(' ').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
        let (name, builder) = match server {
            Some((host, port)) => (format!("{host}:{port}"), ConnectorApi::server(host, port)),
            None => (entry.to_owned(), ConnectorApi::client(entry)),
        };
        Self { name, api: builder.files_dir(files).build(), config: None }
    }

    /// Whether it is named so, if it is not an instance's name: as the list names it, or a server's id does.
    fn is_named(&self, name: &str) -> bool {
        self.name == name || self.api.as_ref().is_ok_and(|api| api.id() == name || uid(api.id()) == name)
    }

    /// Whether it accepts connections. One that this user must not speak to does.
    pub fn runs(&self) -> bool {
        let Ok(api) = &self.api else { return false };
        match remote::connect(api.remote().path(), LOOK_TIMEOUT) {
            Ok(_) => true,
            Err(error) => !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused),
        }
    }
}

/// What was found, and what could not be looked at.
#[derive(Debug, Default)]
pub struct Found {
    /// The connectors, instances first.
    pub all: Vec<Known>,
    /// Folders and files that could not be read, each with the reason.
    pub unread: Vec<String>,
}

impl Found {
    /// Looks in these places.
    pub fn look(places: &Places) -> Self {
        let mut found = Self::default();
        match instances(&places.instances) {
            Ok(instances) => found.all = instances,
            Err(error) => found.unread(&places.instances, &error),
        }
        let list = places.list();
        match read_list(&list) {
            Ok(entries) => entries.iter().for_each(|entry| found.add(Known::listed(entry, &places.files))),
            Err(error) => found.unread(&list, &error),
        }
        found.all.truncate(KNOWN_MAX);
        found
    }

    fn unread(&mut self, path: &Path, error: &io::Error) {
        if error.kind() != ErrorKind::NotFound {
            self.unread.push(format!("{} cannot be read: {error}", path.display()));
        }
    }

    /// Adds one, unless it is there as an instance.
    fn add(&mut self, known: Known) {
        let socket = |known: &Known| known.api.as_ref().ok().map(|api| api.remote().path().to_owned());
        let new = socket(&known);
        if new.is_none() || !self.all.iter().any(|other| socket(other) == new) {
            self.all.push(known);
        }
    }

    /// The one with this name, an instance before others.
    pub fn named(self, name: &str) -> Option<Known> {
        let mut all = self.all;
        let is_instance = |known: &Known| known.config.is_some() && known.name == name;
        let index = all.iter().position(is_instance).or_else(|| all.iter().position(|known| known.is_named(name)));
        index.map(|index| all.swap_remove(index))
    }

    /// Their names.
    pub fn names(&self) -> Vec<&str> {
        self.all.iter().map(|known| known.name.as_str()).collect()
    }
}

fn instances(folder: &Path) -> io::Result<Vec<Known>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "json") && paths.len() < KNOWN_MAX {
            paths.push(path);
        }
    }
    paths.sort();
    // A name that is no text cannot be typed as --name.
    let known = |path: PathBuf| Some(Known::instance(path.file_stem()?.to_str()?.to_owned(), path));
    Ok(paths.into_iter().filter_map(known).collect())
}

/// The list's entries. One that is damaged is an error: connectors begin it anew.
fn read_list(path: &Path) -> io::Result<Vec<String>> {
    if fs::metadata(path)?.len() > LIST_MAX {
        return Err(io::Error::other(format!("it is longer than {LIST_MAX} bytes")));
    }
    let entries: Vec<String> = serde_json::from_slice(&fs::read(path)?)?;
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    fn places() -> (tempfile::TempDir, Places) {
        let dir = tempfile::tempdir().unwrap();
        let places = Places { instances: dir.path().join("etc"), files: dir.path().join("files") };
        fs::create_dir(&places.instances).unwrap();
        fs::create_dir(&places.files).unwrap();
        (dir, places)
    }

    #[test]
    fn an_instance_that_is_listed_as_well_is_there_once() {
        let (_dir, places) = places();
        let config = serde_json::json!({"client_name": "c1", "connector_files_dirpath": places.files});
        fs::write(places.instances.join("first.json"), config.to_string()).unwrap();
        fs::write(places.instances.join("notes.txt"), "").unwrap();
        fs::write(places.list(), r#"["127.0.0.1 10673", "c1", "c2"]"#).unwrap();
        let found = Found::look(&places);
        assert_eq!(found.names(), ["first", "127.0.0.1:10673", "c2"]);
        assert!(found.unread.is_empty() && found.all.iter().all(|known| !known.runs()), "{found:?}");
        for (name, expected) in [
            ("first", Some("first")),
            ("c1", Some("first")),
            ("('127.0.0.1', 10673)", Some("127.0.0.1:10673")),
            ("127001_10673", Some("127.0.0.1:10673")),
            ("c3", None),
        ] {
            let named = Found::look(&places).named(name).map(|known| known.name);
            assert_eq!(named.as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn who_listens_runs_and_who_left_a_socket_does_not() {
        let (_dir, places) = places();
        fs::write(places.list(), r#"["c1"]"#).unwrap();
        let runs = || Found::look(&places).all[0].runs();
        let socket = UnixListener::bind(places.files.join("uds_path_commander_c1")).unwrap();
        assert!(runs());
        drop(socket);
        assert!(!runs());
    }

    #[test]
    fn what_is_damaged_is_told_and_the_rest_is_found() {
        let (_dir, places) = places();
        fs::write(places.instances.join("bad.json"), "{").unwrap();
        fs::write(places.list(), "[1]").unwrap();
        let found = Found::look(&places);
        assert!(found.names() == ["bad"] && found.all[0].api.is_err(), "{found:?}");
        assert!(found.unread[0].contains("active_connectors.json cannot be read: "), "{found:?}");
        assert!(places.instance("../x").is_none() && places.instance(".x").is_none());
    }
}
