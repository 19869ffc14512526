//! How many files the connector may have open: each connection is one.

use std::fs;

use nix::sys::resource::{Resource, getrlimit};

use super::patient::Patient;
use super::report::Report;
use super::run;
use crate::wire::names::Role;

const PART: &str = "limits";

/// Files that a connector may need without any connection of a peer: queues, apps, files on their way.
const OTHERS: u64 = 256;

pub(super) fn check(patient: &Patient, report: &mut Report) {
    let (whose, files) = limit(patient);
    let config = &patient.config;
    let wanted = match config.role() {
        Role::Server if config.is_given("max_connections") => config.max_connections.saturating_add(OTHERS),
        Role::Server => 2 * OTHERS,
        Role::Client => OTHERS,
    };
    if files < wanted {
        let what = format!("{whose} allows {files} open files, {wanted} are wanted");
        report.warning(PART, what, "LimitNOFILE= in the unit, or 'ulimit -n'; or a smaller max_connections");
    } else {
        report.ok(PART, format!("{whose} allows {files} open files"));
    }
    if config.role() == Role::Server && config.max_connections_per_address > config.max_connections {
        let what = "max_connections_per_address is over max_connections, so it limits nothing";
        report.warning(PART, what, "make it smaller");
    }
}

/// The limit of the process that runs, of the unit, or of whoever asks.
fn limit(patient: &Patient) -> (&'static str, u64) {
    let running = || {
        let text = fs::read_to_string(format!("/proc/{}/limits", patient.daemon.as_ref()?.pid)).ok()?;
        let soft = text.lines().find_map(|line| line.strip_prefix("Max open files"))?.split_whitespace().next()?;
        Some(("the connector's process", number(soft)))
    };
    let by_unit = || {
        let soft = run::value(&patient.unit.as_ref()?.said, "LimitNOFILE")?;
        Some(("the unit", number(soft)))
    };
    let own = || ("this shell", getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft));
    running().or_else(by_unit).unwrap_or_else(own)
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or(u64::MAX)
}
