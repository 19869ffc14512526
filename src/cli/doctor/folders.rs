//! Folders: that they are there, whose they are, and how much room their disks have.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;

use super::super::progress::size;
use super::patient::{Patient, user_name};
use super::report::Report;
use crate::config::Coverage;
use crate::wire::names::Role;

const PART: &str = "folders";
const DISKS: &str = "disks";

/// Bytes without which a connector that stores messages soon stops taking them.
const FREE_LEAST: u64 = 16 << 20;
/// Bytes below which it is time to look.
const FREE_FEW: u64 = 256 << 20;
/// Of all inodes one in so many should be free.
const INODES_SHARE: u64 = 100;

pub(super) fn check(patient: &Patient, report: &mut Report) {
    let config = &patient.config;
    let paths = config.socket_paths();
    let mut folders = vec![("connector_files_dirpath", config.connector_files_dirpath.clone(), true)];
    if config.is_given("default_logger_dirpath") {
        folders.push(("default_logger_dirpath", config.default_logger_dirpath.clone(), true));
    }
    if config.use_ssl && config.role() == Role::Server && !config.ssl_allow_all {
        let made = config.certificates_directory_path.join("certificates/server/client-certs");
        folders.push(("certificates_directory_path", made, false));
    }
    for recv in config.file_recv_config.values() {
        // What comes behind a key in braces is made as it is needed.
        let fixed = recv.target_directory.split('{').next().unwrap_or_default();
        folders.push(("file_recv_config", PathBuf::from(fixed), true));
    }
    let before = report.errors();
    for (key, path, is_made) in &folders {
        look(patient, key, path, *is_made, report);
    }
    for path in [paths.spool(), paths.files()] {
        if let Ok(folder) = fs::metadata(&path) {
            private(patient, &path, &folder, report);
        }
    }
    if report.errors() == before {
        report.ok(PART, format!("{} can write to all of them", patient.user));
    }
    disks(patient, folders.iter().map(|(_, path, _)| path.as_path()), report);
}

fn look(patient: &Patient, key: &str, path: &Path, is_made: bool, report: &mut Report) {
    let (user, shown) = (&patient.user, path.display());
    match fs::metadata(path) {
        Ok(folder) if !folder.is_dir() => {
            report.error(PART, format!("{key}: {shown} is no folder"), "move it away, or name another one");
        }
        Ok(folder) => {
            if !user.may(&folder, 7) {
                let (owner, mode) = (user_name(folder.uid()), folder.mode() & 0o7777);
                let what = format!("{key}: {user} cannot write to {shown}: it is of {owner}, mode {mode:o}");
                report.error(PART, what, format!("chown {user} {shown}"));
            }
            open_to_all(key, path, &folder, report);
        }
        Err(error) if error.kind() == ErrorKind::NotFound && is_made => not_there(patient, key, path, report),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let advice = "'aioconnectorsctl create-certificates' makes such a folder";
            report.error(PART, format!("{key}: {shown} is missing"), advice);
        }
        Err(error) => report.error(PART, format!("{key}: {shown}: {error}"), "run this as root or as its owner"),
    }
}

/// The connector makes it, if it may.
fn not_there(patient: &Patient, key: &str, path: &Path, report: &mut Report) {
    let above = path.ancestors().skip(1).find_map(|above| Some((above, fs::metadata(above).ok()?)));
    let Some((above, folder)) = above.filter(|(_, folder)| !patient.user.may(folder, 3)) else { return };
    let (user, shown, above) = (&patient.user, path.display(), above.display());
    let what =
        format!("{key}: {shown} is missing, and {user} cannot make it in {above}: mode {:o}", folder.mode() & 0o7777);
    report.error(PART, what, format!("install -d -o {user} {shown}"));
}

/// Who may write to the folder of the sockets can put others in their place.
fn open_to_all(key: &str, path: &Path, folder: &Metadata, report: &mut Report) {
    let is_sticky = folder.mode() & 0o1000 != 0;
    if folder.mode() & 0o002 != 0 && !is_sticky {
        let what = format!("{key}: everybody can write to {}, mode {:o}", path.display(), folder.mode() & 0o7777);
        report.error(PART, what, format!("chmod o-w {}", path.display()));
    }
}

/// Queues and notes of files are the connector's alone.
fn private(patient: &Patient, path: &Path, folder: &Metadata, report: &mut Report) {
    let (user, shown) = (&patient.user, path.display());
    if !user.owns(folder) {
        let what = format!("{shown} is of {}, the connector is run by {user}", user_name(folder.uid()));
        report.error(PART, what, format!("chown -R {user} {shown}"));
    }
    if folder.mode() & 0o077 != 0 {
        let what = format!("{shown} is open to others, mode {:o}", folder.mode() & 0o7777);
        report.warning(PART, what, format!("chmod 700 {shown}"));
    }
}

/// Each disk once.
fn disks<'a>(patient: &Patient, paths: impl Iterator<Item = &'a Path>, report: &mut Report) {
    let mut seen = BTreeSet::new();
    let config = &patient.config;
    let stores = [&config.disk_persistence_send, &config.disk_persistence_recv].iter().any(|c| **c != Coverage::None);
    for path in paths {
        let Some(path) = path.ancestors().find(|path| path.exists()) else { continue };
        let Ok(device) = fs::metadata(path).map(|folder| folder.dev()) else { continue };
        if !seen.insert(device) {
            continue;
        }
        let Ok(disk) = statvfs(path) else { continue };
        let (shown, free) = (path.display(), disk.blocks_available().saturating_mul(disk.fragment_size()));
        let (inodes, inodes_free) = (disk.files(), disk.files_available());
        let advice = if stores { "make room: messages are stored there" } else { "make room" };
        if free < FREE_LEAST {
            report.error(DISKS, format!("the disk of {shown} is full: {} are free", size(free)), advice);
        } else if free < FREE_FEW {
            report.warning(DISKS, format!("the disk of {shown} has {} left", size(free)), advice);
        }
        if inodes > 0 && inodes_free == 0 {
            report.error(DISKS, format!("the disk of {shown} takes no more files: no inode is free"), "remove files");
        } else if inodes > 0 && inodes_free < inodes / INODES_SHARE {
            let what = format!("the disk of {shown} takes only {inodes_free} more files (inodes)");
            report.warning(DISKS, what, "remove files");
        }
        if free >= FREE_FEW && (inodes == 0 || inodes_free >= inodes / INODES_SHARE) {
            report.ok(DISKS, format!("the disk of {shown} has {} free", size(free)));
        }
    }
}
