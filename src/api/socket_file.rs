//! The socket file of an app that waits for messages.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use log::{info, warn};

use super::error::{ApiError, Step};

/// Who may connect: the owner and the group.
const MODE: u32 = 0o770;

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
    match UnixStream::connect(path) {
        Err(e) if e.kind() == ErrorKind::ConnectionRefused => {}
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(fail(e)),
        Ok(_) => return Err(ApiError::InUse { path: path.to_owned() }),
    }
    warn!("{} is of a process that is gone; taking it over", path.display());
    fs::remove_file(path).map_err(fail)
}

/// Makes `nobody` and `nogroup` own the file, so that connectors that gave up their rights can connect.
fn give_to_nobody(path: &Path) -> io::Result<()> {
    let uid = id_of("/etc/passwd", "nobody")?;
    let gid = id_of("/etc/group", "nogroup").or_else(|_| id_of("/etc/group", "nobody"))?;
    std::os::unix::fs::lchown(path, Some(uid), Some(gid))
}

fn id_of(file: &str, name: &str) -> io::Result<u32> {
    let text = fs::read_to_string(file)?;
    id_in(&text, name).ok_or_else(|| io::Error::new(ErrorKind::NotFound, format!("{file} has no {name}")))
}

/// The number of `name` in lines of `NAME:PASSWORD:NUMBER:...`.
fn id_in(text: &str, name: &str) -> Option<u32> {
    let mut lines = text.lines().map(|line| line.split(':'));
    lines.find_map(|mut fields| (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_by_whole_names() {
        let text = "root:x:0:0:root:/root:/bin/sh\nnobody2:x:7:7::/:/\nnobody:x:65534:65534:nobody:/:/bin/false\n";
        assert_eq!((id_in(text, "nobody"), id_in(text, "root"), id_in(text, "none")), (Some(65534), Some(0), None));
    }

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
