//! Putting another certificate in the place of a server's own, and the first one back.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use super::{Error, Layout, Pair, files};

/// Puts the certificate in `pem`, with the key beside it (`.key` in place of its ending), in the place of the server's
/// own in `dir` (`certificates_directory_path`), whose first one is kept as `server.pem.org` and `server.key.org`. A
/// server that runs uses it from the next connection on. `now` is in Unix seconds.
///
/// # Errors
/// The certificate and the key do not fit or cannot be used, or a file cannot be written.
pub fn replace_server(dir: &Path, pem: &Path, now: i64) -> Result<Pair, Error> {
    let layout = Layout::new(dir);
    let (certificate, key) = (layout.server_certificate(), layout.server_key());
    let new = Pair::load(pem, &pem.with_extension("key"), now)?;
    let what = "the server's certificate or key";
    let (new_certificate, new_key) = (files::read(pem, what)?, files::read(&pem.with_extension("key"), what)?);
    for (path, mode) in [(&certificate, files::PUBLIC), (&key, files::SECRET)] {
        if !files::exists(&original(path)) {
            put(path, &original(path), &files::read(path, what)?, mode)?;
        }
    }
    put(&key, &key, &new_key, files::SECRET)?;
    put(&certificate, &certificate, &new_certificate, files::PUBLIC)?;
    Ok(new)
}

/// Puts the first certificate of the server in `dir` back, and its key.
///
/// # Errors
/// None was kept, it cannot be used, or a file cannot be written.
pub fn revert_server(dir: &Path, now: i64) -> Result<Pair, Error> {
    let layout = Layout::new(dir);
    let (certificate, key) = (layout.server_certificate(), layout.server_key());
    let first = Pair::load(&original(&certificate), &original(&key), now)?;
    files::rename(&original(&key), &key)?;
    files::rename(&original(&certificate), &certificate)?;
    Ok(first)
}

/// Where the first one is kept.
fn original(path: &Path) -> PathBuf {
    let mut name = path.file_name().map_or_else(OsString::new, OsString::from);
    name.push(".org");
    path.with_file_name(name)
}

/// Writes a file whole, for the owner of the one that `like` is: the server must be able to read it, whoever writes it.
fn put(like: &Path, path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    files::write_draft(path, bytes, mode)?;
    if let Ok(meta) = fs::metadata(like) {
        // Only root can give files away, and only root need do it.
        let _ = chown(files::draft_of(path), Some(meta.uid()), Some(meta.gid()));
    }
    files::promote(path)
}
