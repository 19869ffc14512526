//! The list of running connectors in `connector_files_dirpath`, for the Python tools.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};

use crate::config::Config;
use crate::wire::names::Role;

/// Longest wait for the lock of the list.
const TURN_TIMEOUT: Duration = Duration::from_secs(5);

/// Wait before that lock is tried again.
const TURN_AGAIN: Duration = Duration::from_millis(2);

/// The list's name.
const ACTIVE_CONNECTORS: &str = "active_connectors.json";

/// The connector's entry in the list of running ones; gone when this is dropped.
pub(super) struct ActiveConnector {
    path: PathBuf,
    name: String,
}

impl ActiveConnector {
    pub(super) fn add(config: &Config) -> Self {
        let name = match config.role() {
            Role::Server => format!("{} {}", config.server_sockaddr.first.host, config.server_sockaddr.first.port),
            Role::Client => config.id(),
        };
        let active = Self { path: config.connector_files_dirpath.join(ACTIVE_CONNECTORS), name };
        active.change(|names| {
            names.insert(active.name.clone());
        });
        active
    }

    fn change(&self, change: impl FnOnce(&mut BTreeSet<String>)) {
        if let Err(error) = self.rewrite(change) {
            log::warn!("{}: the list of running connectors cannot be written: {error}", self.path.display());
        }
    }

    /// Rewrites the list whole; a list that cannot be read is begun anew. Connectors that share the folder take turns.
    fn rewrite(&self, change: impl FnOnce(&mut BTreeSet<String>)) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        let _turn = take_turn(folder);
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        let mut names: BTreeSet<String> = serde_json::from_str(&text).unwrap_or_default();
        change(&mut names);
        let mut draft = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o644)).tempfile_in(folder)?;
        serde_json::to_writer(&mut draft, &names)?;
        draft.persist(&self.path)?;
        Ok(())
    }
}

/// The lock of a folder. Without it, since it cannot be had or another holds it for too long, a list may lack a name:
/// that is better than a connector that does not start.
fn take_turn(folder: &Path) -> Option<Flock<File>> {
    let mut file = File::open(folder).ok()?;
    let start = Instant::now();
    while start.elapsed() < TURN_TIMEOUT {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Some(lock),
            Err((unlocked, _)) => file = unlocked,
        }
        thread::sleep(TURN_AGAIN);
    }
    None
}

impl Drop for ActiveConnector {
    fn drop(&mut self) {
        self.change(|names| {
            names.remove(&self.name);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connectors_that_start_and_stop_at_once_keep_one_list() {
        let dir = tempfile::tempdir().unwrap();
        let add = &|name: String| {
            let active = ActiveConnector { path: dir.path().join(ACTIVE_CONNECTORS), name };
            active.rewrite(|names| _ = names.insert(active.name.clone())).unwrap();
            active
        };
        let _running: Vec<ActiveConnector> = thread::scope(|scope| {
            let stay: Vec<_> = (0..8).map(|number| scope.spawn(move || add(format!("stays{number}")))).collect();
            for number in 0..8 {
                scope.spawn(move || drop(add(format!("goes{number}"))));
            }
            stay.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let list: Vec<String> = serde_json::from_slice(&fs::read(dir.path().join(ACTIVE_CONNECTORS)).unwrap()).unwrap();
        assert_eq!(list, (0..8).map(|n| format!("stays{n}")).collect::<Vec<_>>());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no draft is left");
    }
}
