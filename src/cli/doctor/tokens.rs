//! Files of tokens.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::patient::Patient;
use super::report::Report;
use crate::config::Enrollment;
use crate::tokens::{ClientFile, INVITATIONS_FILE, InvitationsFile, SERVER_FILE, ServerFile, TokenError};
use crate::wire::names::{Role, uid};

const PART: &str = "tokens";

pub(super) fn check(patient: &Patient, report: &mut Report) {
    let config = &patient.config;
    let dir = &config.tokens_directory_path;
    let is_server = config.role() == Role::Server;
    if config.uses_tokens() && is_server {
        load(&dir.join(SERVER_FILE), report, || {
            ServerFile::new(dir).load().map(|table| format!("{} clients have tokens", table.len()))
        });
    }
    if config.enrollment == Enrollment::Token && is_server {
        load(&dir.join(INVITATIONS_FILE), report, || {
            let now = u64::try_from(patient.now).unwrap_or_default();
            let good = InvitationsFile::new(dir).load()?.iter().filter(|(_, i)| i.expires > now).count();
            Ok(format!("{good} tokens for enrolment are good"))
        });
    }
    if config.uses_tokens() && !is_server {
        let name = config.id();
        load(&dir.join(uid(&name)), report, || {
            let there = ClientFile::new(dir, &name).load()?.is_some();
            Ok(if there { "this client has its token" } else { "the file has no token" }.to_owned())
        });
    }
    if let Some(path) = config.enrollment_token_path.as_ref().filter(|_| !is_server)
        && fs::metadata(path).is_err()
    {
        let what = format!("enrollment_token_path: {} cannot be read", path.display());
        report.warning(PART, what, "it is needed only until this client has enrolled");
    }
}

/// To read such a file closes it to others. So one that is open is not read: that it is open is said elsewhere.
fn load(path: &Path, report: &mut Report, load: impl FnOnce() -> Result<String, TokenError>) {
    match fs::metadata(path) {
        Ok(file) if file.mode() & 0o077 != 0 => {}
        Ok(_) => match load() {
            Ok(what) => report.ok(PART, what),
            Err(error) => report.error(PART, error.to_string(), "restore it; who has a token is let in only with it"),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {
            report.ok(PART, format!("there is no {} yet", path.display()));
        }
        Err(error) => {
            let what = format!("{} cannot be read: {error}", path.display());
            report.warning(PART, what, "run this as root or as its owner");
        }
    }
}
