//! The clock of this machine.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::patient::Patient;
use super::report::Report;
use super::run;
use crate::certs::x509::date;

const PART: &str = "clock";

/// No machine that runs this has an earlier time: the first day of 2025, in Unix seconds.
const EARLIEST: i64 = 1_735_689_600;
/// Seconds by which a file may be younger than now.
const YOUNGER_MAX: i64 = 120;
/// Most files whose times are looked at.
const FILES_MAX: usize = 1000;

pub(super) fn check(patient: &Patient, report: &mut Report) {
    let now = date(patient.now);
    if patient.now < EARLIEST {
        let what = format!("it says {now}: certificates are not valid yet at that time");
        return report.error(PART, what, "set it: 'timedatectl set-ntp true'");
    }
    let entries = fs::read_dir(&patient.config.connector_files_dirpath).into_iter().flatten().take(FILES_MAX);
    let newest = entries.filter_map(|entry| Some(entry.ok()?.metadata().ok()?.mtime())).max();
    if let Some(newest) = newest.filter(|newest| *newest > patient.now + YOUNGER_MAX) {
        let what = format!("it says {now}, but there are files from {}: it went back", date(newest));
        report.warning(PART, what, "set it: 'timedatectl set-ntp true'");
    }
    let said =
        run::output("timedatectl", &["show", "--property=NTP", "--property=NTPSynchronized"]).unwrap_or_default();
    match run::value(&said, "NTPSynchronized") {
        Some("yes") => report.ok(PART, format!("{now}, synchronized")),
        Some("no") => {
            let what = format!("{now}; it is not synchronized with other clocks");
            report.warning(PART, what, "'timedatectl set-ntp true', or another time service");
        }
        _ if report.is_sick(PART) => {}
        _ => report.ok(PART, format!("{now}; whether it is synchronized is not known")),
    }
}
