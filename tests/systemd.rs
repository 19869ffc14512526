//! The unit, as systemd's own tools see it. Where there is no systemd there is nothing to be seen.

use std::process::Command;

const UNIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/systemd/aioconnectorsd@.service");

/// The most that systemd may find the unit exposed, of 10.
const EXPOSURE_MAX: f64 = 1.5;

/// What `systemd-analyze` says, if it is there.
fn analyze(arguments: &[&str]) -> Option<String> {
    let output = Command::new("systemd-analyze").args(arguments).arg(UNIT).output().ok();
    let Some(output) = output else {
        eprintln!("systemd-analyze is not installed: the unit was not looked at");
        return None;
    };
    Some(format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn the_unit_is_as_closed_as_it_is_said_to_be() {
    let Some(said) = analyze(&["security", "--offline=true"]) else { return };
    let line = said.lines().find(|line| line.contains("Overall exposure level")).unwrap_or_else(|| panic!("{said}"));
    let level = line.rsplit(": ").next().and_then(|rest| rest.split(' ').next()).and_then(|level| level.parse().ok());
    assert!(level.is_some_and(|level: f64| level <= EXPOSURE_MAX), "{said}");
}

#[test]
fn systemd_knows_all_that_the_unit_says() {
    let Some(said) = analyze(&["verify"]) else { return };
    let complaints = said.lines().filter(|line| line.contains(UNIT) || line.contains("Unknown"));
    // What is not installed here is not the unit's fault.
    assert_eq!(complaints.collect::<Vec<_>>(), Vec::<&str>::new(), "{said}");
}
