//! The queues on disk.

use super::super::progress::size;
use super::patient::Patient;
use super::report::Report;
use crate::store::inspect::{self, ReadError, State};

const PART: &str = "queues";

/// Bytes of queues that are read at most: more would take long.
const READ_MAX: u64 = 1 << 30;

pub(super) fn check(patient: &Patient, report: &mut Report) {
    let folder = patient.config.socket_paths().spool();
    if folder.symlink_metadata().is_err() {
        return;
    }
    let config = patient.path.display();
    let listing = match inspect::list(&folder) {
        Ok(listing) => listing,
        Err(error) => return report.warning(PART, error.to_string(), "run this as root or as its owner"),
    };
    let aside = listing.files.iter().filter(|found| found.state == State::Aside).count();
    if aside > 0 {
        let what = format!("{aside} damaged files lie aside in {}", folder.display());
        let advice = format!("'aioconnectorsctl spool repair {config}' brings back what can be read of them");
        report.warning(PART, what, advice);
    }
    let (live, before) = (listing.holder.is_some(), report.errors());
    let (mut read, mut left, mut messages) = (0, 0, 0);
    for found in listing.files.iter().filter(|found| found.state == State::InPlace) {
        if read + found.length > READ_MAX {
            left += 1;
            continue;
        }
        read += found.length;
        let advice = format!("'aioconnectorsctl spool verify {config}' says more, 'spool repair' mends it");
        match found.read(live, &mut |_, _, _| Ok(())) {
            Ok(read) => {
                messages += read.messages;
                if let Err(damage) = &found.header {
                    report.error(PART, format!("{}: {damage}", found.name), advice);
                } else if !read.damage.is_empty() {
                    let bytes: u64 = read.damage.iter().map(|damage| damage.bytes).sum();
                    report.error(PART, format!("{}: {bytes} bytes are damaged", found.name), advice);
                }
            }
            Err(ReadError::File(error)) => report.error(PART, error.to_string(), advice),
            Err(ReadError::Told(_)) => {}
        }
    }
    if left > 0 {
        let what = format!("{left} queues were not read: there is more than {}", size(READ_MAX));
        report.warning(PART, what, format!("'aioconnectorsctl spool verify {config}' reads all"));
    }
    if report.errors() == before {
        report.ok(PART, format!("{messages} messages in {} on disk, no damage", size(read)));
    }
}
