//! The systemd unit, and who runs the connector.

use super::patient::{Patient, Who, user_name};
use super::report::Report;
use super::run;
use nix::unistd::User;

const PART: &str = "unit";

/// Restarts that are as good as none.
const RESTARTS_MAX: u64 = 3;

pub(super) fn check(patient: &Patient, report: &mut Report) {
    running(patient, report);
    let Some(unit) = &patient.unit else { return };
    let value = |key: &str| run::value(&unit.said, key).unwrap_or_default();
    let (name, state, result) = (&unit.name, value("ActiveState"), value("Result"));
    let journal = format!("'journalctl -u {name} -n 50' says why");
    match state {
        "active" => report.ok(PART, format!("{name} is active ({})", value("SubState"))),
        "failed" => report.error(PART, format!("{name} has failed: {result}"), journal.clone()),
        "activating" if value("SubState") == "auto-restart" => {
            report.error(PART, format!("{name} ends again and again: {result}"), journal.clone());
        }
        _ => report.warning(PART, format!("{name} is {state}"), format!("'systemctl enable --now {name}' starts it")),
    }
    if value("NRestarts").parse::<u64>().is_ok_and(|restarts| restarts > RESTARTS_MAX) {
        report.warning(PART, format!("{name} was restarted {} times", value("NRestarts")), journal);
    }
    if state == "active" && value("UnitFileState") == "disabled" {
        let advice = format!("'systemctl enable {name}'");
        report.warning(PART, format!("{name} will not be started with the machine"), advice);
    }
    other_user(patient, value("User"), report);
}

fn running(patient: &Patient, report: &mut Report) {
    match &patient.daemon {
        Some(daemon) => {
            let user = user_name(daemon.uid.as_raw());
            report.ok("daemon", format!("the connector runs: process {}, user {user}", daemon.pid));
            if daemon.uid.is_root() {
                let advice = "run it as a user of its own, as the unit aioconnectorsd@ does";
                report.warning("daemon", "the connector runs as root", advice);
            }
        }
        None => {
            let socket = patient.config.socket_paths().commander();
            let what = format!("the connector does not run: nobody answers at {}", socket.display());
            report.warning("daemon", what, "start it, and look again");
        }
    }
}

/// A connector that somebody has started by hand writes files that the unit's user cannot change.
fn other_user(patient: &Patient, unit_user: &str, report: &mut Report) {
    let user = if unit_user.is_empty() { "root" } else { unit_user };
    let Ok(Some(found)) = User::from_name(user) else {
        return report.error(PART, format!("its user {user} is unknown"), "systemd-sysusers makes it");
    };
    let runs: Option<&Who> = patient.daemon.as_ref().map(|_| &patient.user);
    if let Some(runs) = runs.filter(|runs| runs.uid() != found.uid) {
        let advice = "stop it, and let the unit start it; then see to the owners of its files";
        report.error(PART, format!("the connector runs as {runs}, its unit as {user}"), advice);
    }
}
