//! Other connectors of this machine that would be in this one's way.

use std::fs;

use super::super::known::{Found, Known};
use super::patient::Patient;
use super::report::Report;
use crate::config::Config;
use crate::wire::names::Role;

const PART: &str = "others";

/// Most configs of others that are read.
const CONFIGS_MAX: usize = 200;

pub(super) fn check(patient: &Patient, report: &mut Report) {
    let found = Found::look(&patient.places);
    for Known { name, config, .. } in found.all.iter().take(CONFIGS_MAX) {
        let Some(path) = config.as_ref().and_then(|path| fs::canonicalize(path).ok()) else { continue };
        if path == patient.path {
            continue;
        }
        // What is wrong with it itself, who asks for it is told.
        if let Ok(loaded) = Config::load(&path) {
            compare(&patient.config, &loaded.config, name, report);
        }
    }
}

fn compare(own: &Config, other: &Config, name: &str, report: &mut Report) {
    if own.socket_paths().commander() == other.socket_paths().commander() {
        let what = format!("{name} has the same name and the same connector_files_dirpath: only one of both can run");
        return report.error(PART, what, "give one of them another folder or another client_name");
    }
    let same_server = own.server_sockaddr.first == other.server_sockaddr.first;
    match (own.role(), other.role()) {
        (Role::Server, Role::Server) if same_server => {
            let what = format!("{name} is a server at {} too: only one of both can run", own.server_sockaddr.first);
            report.error(PART, what, "give one of them another port");
        }
        (Role::Client, Role::Client) if same_server && own.client_name == other.client_name => {
            let what = format!("{name} has the same client_name at the same server: they end each other's links");
            report.error(PART, what, "give one of them another client_name");
        }
        _ => {}
    }
    let logs =
        |config: &Config| config.is_given("default_logger_dirpath").then(|| config.default_logger_dirpath.clone());
    if logs(own).is_some_and(|folder| logs(other) == Some(folder)) {
        let what = format!("{name} logs to the same file: lines get lost when it is rotated");
        report.warning(PART, what, "give one of them another default_logger_dirpath");
    }
}
