//! Folders and ports that no other test has.

use std::collections::HashSet;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tempfile::TempDir;

/// A folder of a test's own, removed at its end.
///
/// It lies in `/tmp` whatever `TMPDIR` says: a socket's path may have 104 bytes, and some systems' own choice is long.
pub struct Place {
    folder: TempDir,
}

impl Place {
    pub fn new() -> Place {
        let folder = tempfile::Builder::new().prefix("aio").tempdir_in("/tmp").expect("a temporary folder in /tmp");
        Place { folder }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }
}

/// A TCP port of 127.0.0.1 that was free a moment ago and that no other caller in this process got.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("the port's number").port();
        if GIVEN.lock().unwrap().get_or_insert_default().insert(port) {
            return port;
        }
    }
}
