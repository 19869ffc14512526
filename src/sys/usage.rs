//! What this process uses of the machine, and what a disk has left for it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::sys::statvfs::statvfs;
use nix::sys::time::TimeValLike;
use nix::unistd::{SysconfVar, sysconf};

/// Bytes of memory that are resident.
#[must_use]
pub fn resident_bytes() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    let page = sysconf(SysconfVar::PAGE_SIZE).ok()??;
    Some(pages * u64::try_from(page).ok()?)
}

/// Files that are open.
#[must_use]
pub fn open_files() -> Option<u64> {
    const FOLDER: &str = "/proc/self/fd";
    // Linux 6.2 and later count them as the folder's size.
    match fs::metadata(FOLDER).ok()?.len() {
        0 => Some(fs::read_dir(FOLDER).ok()?.count() as u64),
        count => Some(count),
    }
}

/// The most files that may be open.
#[must_use]
pub fn open_files_max() -> Option<u64> {
    getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(now, _)| now)
}

/// Time that processors have worked for it.
#[must_use]
pub fn cpu_time() -> Option<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let microseconds = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    u64::try_from(microseconds).ok().map(Duration::from_micros)
}

/// Bytes that the disk of this folder has for somebody who is not root.
#[must_use]
#[allow(clippy::useless_conversion, reason = "the system's numbers are of another size elsewhere")]
pub fn disk_free(folder: &Path) -> Option<u64> {
    let disk = statvfs(folder).ok()?;
    Some(u64::from(disk.blocks_available()).saturating_mul(u64::from(disk.fragment_size())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_uses_something() {
        assert!(resident_bytes().unwrap() > 100_000);
        let (open, most) = (open_files().unwrap(), open_files_max().unwrap());
        assert!(open >= 3 && open <= most, "{open} of {most}");
        assert!(cpu_time().is_some());
        assert!(disk_free(Path::new("/")).is_some());
        assert_eq!(disk_free(Path::new("/there is no such folder")), None);
    }
}
