//! The socket file of an app that waits for messages.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

use log::info;

use super::error::{ApiError, Step};
use super::users;
use crate::remote;

/// Who may connect: the owner and the group.
const MODE: u32 = 0o770;

/// Who does not take a connection within this is busy, and so lives.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Listens at `path`, where the file of a process that is gone gives way.
pub(super) fn listen(path: &Path, any_connector_owner: bool) -> Result<UnixListener, ApiError> {
    let fail = |e| ApiError::io(path, Step::Listen, e);
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(fail)?;
    }
    let listener = match UnixListener::bind(path) {
        Err(e) if e.kind() == ErrorKind::AddrInUse => {
            remove_stale(path)?;
            UnixListener::bind(path).map_err(fail)?
        }
        other => other.map_err(fail)?,
    };
    fs::set_permissions(path, fs::Permissions::from_mode(MODE)).map_err(fail)?;
    if any_connector_owner && let Err(e) = give_to_nobody(path) {
        // Only root may; others share the connector's user or group.
        info!("{} keeps its owner: {e}", path.display());
    }
    Ok(listener)
}

/// Removes a socket file at which nobody listens.
fn remove_stale(path: &Path) -> Result<(), ApiError> {
    let fail = |e| ApiError::io(path, Step::Listen, e);
    if !fs::symlink_metadata(path).map_err(fail)?.file_type().is_socket() {
        return Err(ApiError::NotASocket { path: path.to_owned() });
    }
    match remote::connect(path, PROBE_TIMEOUT) {
        Err(e) if e.kind() == ErrorKind::ConnectionRefused => {}
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) if e.kind() != ErrorKind::TimedOut => return Err(fail(e)),
        Ok(_) | Err(_) => return Err(ApiError::InUse { path: path.to_owned() }),
    }
    info!("{}: left by a process that is gone, taken over", path.display());
    fs::remove_file(path).map_err(fail)
}

/// Makes `nobody` and `nogroup` own the file, so that connectors that gave up their rights can connect.
fn give_to_nobody(path: &Path) -> io::Result<()> {
    let (uid, gid) = users::nobody()?;
    std::os::unix::fs::lchown(path, Some(uid), Some(gid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_a_dead_process_is_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new").join("s");
        drop(listen(&path, false).unwrap());
        assert!(path.exists(), "closing does not remove the file");
        let _listener = listen(&path, false).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
    }

    #[test]
    fn the_socket_of_a_living_process_and_other_files_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (socket, file) = (dir.path().join("s"), dir.path().join("f"));
        let _listener = listen(&socket, false).unwrap();
        assert!(matches!(listen(&socket, false), Err(ApiError::InUse { .. })));
        fs::write(&file, "mine").unwrap();
        assert!(matches!(listen(&file, false), Err(ApiError::NotASocket { .. })));
        assert_eq!(fs::read(&file).unwrap(), b"mine");
    }
}
