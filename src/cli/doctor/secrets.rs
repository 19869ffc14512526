//! Files that are for the connector alone, and those that it must read.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::patient::{Patient, user_name};
use super::report::Report;
use crate::certs::Layout;
use crate::certs::folder::DEFAULT;
use crate::tokens::{INVITATIONS_FILE, SERVER_FILE};
use crate::wire::names::{Role, uid};

const PART: &str = "permissions";

/// Most keys of clients that are looked at, and those that are named.
const KEYS_MAX: usize = 20_000;
const NAMED_MAX: usize = 3;

pub(super) fn check(patient: &Patient, report: &mut Report) {
    let before = (report.errors(), report.warnings());
    readable(patient, &patient.path, report);
    if let Ok(file) = fs::metadata(&patient.path)
        && file.mode() & 0o002 != 0
    {
        let what = format!("everybody can write to {}, mode {:o}", patient.path.display(), file.mode() & 0o7777);
        report.error(PART, what, format!("chmod o-w {}", patient.path.display()));
    }
    for path in files(patient) {
        secret(patient, &path, report);
    }
    if patient.config.use_ssl && patient.config.role() == Role::Server {
        keys_of_clients(patient, report);
    }
    if before == (report.errors(), report.warnings()) {
        report.ok(PART, format!("keys and tokens are for {} alone", patient.user));
    }
}

/// Secrets of this connector that may be there.
fn files(patient: &Patient) -> Vec<PathBuf> {
    let config = &patient.config;
    let (layout, tokens) = (Layout::new(&config.certificates_directory_path), &config.tokens_directory_path);
    let mut files = Vec::new();
    if config.use_ssl && config.role() == Role::Server {
        files.push(layout.server_key());
        if config.server_ca {
            files.push(layout.ca_key());
        }
    }
    if config.role() == Role::Server {
        files.extend([tokens.join(SERVER_FILE), tokens.join(INVITATIONS_FILE)]);
    } else {
        if config.use_ssl {
            files.push(layout.own_key(&config.id()));
        }
        files
            .extend([Some(tokens.join(uid(&config.id()))), config.enrollment_token_path.clone()].into_iter().flatten());
    }
    files
}

fn secret(patient: &Patient, path: &Path, report: &mut Report) {
    let shown = path.display();
    let file = match fs::metadata(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return report.warning(PART, format!("{shown} cannot be looked at"), "run this as root or as its owner");
        }
        // Whether it must be there others say.
        Err(_) => return,
    };
    if file.mode() & 0o077 != 0 {
        let what = format!("{shown} is open to others, mode {:o}", file.mode() & 0o7777);
        report.error(PART, what, format!("chmod 600 {shown}; who could read it may have a copy"));
    }
    readable(patient, path, report);
}

fn readable(patient: &Patient, path: &Path, report: &mut Report) {
    let (user, shown) = (&patient.user, path.display());
    if let Ok(file) = fs::metadata(path)
        && !user.may(&file, 4)
    {
        let what =
            format!("{user} cannot read {shown}: it is of {}, mode {:o}", user_name(file.uid()), file.mode() & 0o7777);
        report.error(PART, what, format!("chown {user} {shown}"));
    }
}

/// A server may have keys of its clients, which it has made: many.
fn keys_of_clients(patient: &Patient, report: &mut Report) {
    let folder = Layout::new(&patient.config.certificates_directory_path).clients();
    let Ok(entries) = fs::read_dir(&folder) else { return };
    let mut open: Vec<String> = entries
        .filter_map(Result::ok)
        .take(KEYS_MAX)
        .filter(|entry| entry.path().extension().is_some_and(|end| end == "key"))
        // The key of the shared certificate is no secret: every client has it.
        .filter(|entry| !entry.file_name().to_string_lossy().starts_with(DEFAULT))
        .filter(|entry| entry.metadata().is_ok_and(|file| file.is_file() && file.mode() & 0o077 != 0))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    open.sort();
    if !open.is_empty() {
        let named = open[..open.len().min(NAMED_MAX)].join(", ");
        let what = format!("{} keys of clients in {} are open to others: {named}", open.len(), folder.display());
        report.error(PART, what, format!("chmod 600 {}/*.key", folder.display()));
    }
}
