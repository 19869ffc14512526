//! What tests of the store have in common.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// A disk of a few bytes, in memory, until it is dropped.
pub(super) struct SmallDisk(TempDir);

impl SmallDisk {
    /// `None`, with a word, where the tests may not mount one: that takes root.
    pub(super) fn mount(bytes: usize) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "aioconnectors-test"]).arg(dir.path());
        match mount.output() {
            Ok(output) if output.status.success() => Some(Self(dir)),
            other => {
                eprintln!("skipped: no small disk can be mounted here: {other:?}");
                None
            }
        }
    }

    /// From now on nothing can be written to it.
    pub(super) fn make_read_only(&self) {
        let output = Command::new("mount").args(["-o", "remount,ro"]).arg(self.path()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        _ = Command::new("umount").arg("-l").arg(self.path()).output();
    }
}

/// KiB of a mapped file that count as memory of this process.
pub(super) fn resident_kib(path: &Path) -> u64 {
    let maps = fs::read_to_string("/proc/self/smaps").unwrap();
    let mut lines = maps.lines().skip_while(|line| !line.ends_with(path.to_str().unwrap()));
    let line = lines.find_map(|line| line.strip_prefix("Rss:")).expect("the file is mapped");
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
