//! What tests of files have in common.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{DiskFiles, OwnFolders, Setup};
use crate::config::FileRecv;
use crate::core::files::{FileError, FileHash, FileId, Files, Incoming, Stamp, Step, TransferKey, Wrote};

/// Files of a connector, in a folder that is removed with it.
pub(super) struct Rig {
    pub dir: TempDir,
    pub files: DiskFiles,
    /// Rings when there is something to do.
    bell: Receiver<()>,
    pub config: FileRecv,
    pub max: u64,
    pub synced: bool,
}

impl Rig {
    /// Files of `dst_type` `any` go to `in/{source_id}`.
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let target_directory = dir.path().join("in/{source_id}").to_str().unwrap().to_owned();
        let config = FileRecv { target_directory, owner: None, override_existing: false };
        let mut rig = Self::over(dir, config);
        rig.start();
        rig
    }

    fn over(dir: TempDir, config: FileRecv) -> Self {
        let setup = setup(dir.path(), &config, u64::MAX, false);
        Self { dir, files: DiskFiles::open(setup), bell: channel().1, config, max: u64::MAX, synced: false }
    }

    /// Dies, without any care for what is under way, and begins its next life.
    pub(super) fn start(&mut self) {
        let (ring, bell) = channel();
        self.bell = bell;
        self.files = DiskFiles::open(setup(self.dir.path(), &self.config, self.max, self.synced));
        self.files.set_waker(move || _ = ring.send(()));
    }

    pub(super) fn overriding(mut self) -> Self {
        self.config.override_existing = true;
        self.start();
        self
    }

    pub(super) fn synced(mut self) -> Self {
        self.synced = true;
        self.start();
        self
    }

    /// The file that is received from `client1` under a name.
    pub(super) fn target(&self, name: &str) -> PathBuf {
        self.dir.path().join("in/client1").join(name)
    }

    pub(super) fn journal(&self) -> PathBuf {
        self.dir.path().join("files")
    }

    /// Names in the target folder, sorted.
    pub(super) fn there(&self) -> Vec<String> {
        names(&self.dir.path().join("in/client1"))
    }

    /// Entries in the journal.
    pub(super) fn entries(&self) -> usize {
        names(&self.journal()).len()
    }

    /// Forgets a message's file, and those before it.
    pub(super) fn forget(&mut self, key: &TransferKey) {
        self.files.forget(key);
        self.files.errands.finish();
    }

    /// Closes a file.
    pub(super) fn close(&mut self, file: FileId) {
        self.files.close(file);
        self.files.errands.finish();
    }

    /// Works until `file` is done, or cannot be.
    pub(super) fn wait(&mut self, file: FileId) -> Result<Step, FileError> {
        self.wait_for(file, |result| !matches!(result, Ok(Step::Written(_))))
    }

    /// Works until this is said of `file`.
    pub(super) fn wait_for(
        &mut self,
        file: FileId,
        is_it: impl Fn(&Result<Step, FileError>) -> bool,
    ) -> Result<Step, FileError> {
        loop {
            let (done, more) = self.files.work();
            if let Some((_, result)) = done.into_iter().find(|(id, result)| *id == file && is_it(result)) {
                return result;
            }
            if !more {
                self.bell.recv_timeout(Duration::from_secs(60)).expect("it is being worked on");
            }
        }
    }

    /// A step that is done, at once or later.
    pub(super) fn done(&mut self, file: FileId, step: Step) -> Result<u64, FileError> {
        match step {
            Step::Done(bytes) => Ok(bytes),
            Step::Working => match self.wait(file)? {
                Step::Done(bytes) => Ok(bytes),
                step => panic!("it is done, and not: {step:?}"),
            },
            Step::Written(_) => panic!("only work says so"),
        }
    }

    /// Writes these bytes, however long that takes.
    pub(super) fn write(&mut self, file: FileId, bytes: &[u8]) -> Result<(), FileError> {
        while self.files.write(file, bytes)? == Wrote::Full {
            self.wait_for(file, |_| true)?;
        }
        Ok(())
    }

    pub(super) fn begin(&mut self, incoming: &Incoming<'_>) -> Result<(FileId, u64), FileError> {
        let (file, step) = self.files.begin(incoming)?;
        Ok((file, self.done(file, step)?))
    }

    pub(super) fn finish(&mut self, file: FileId, hash: Option<&FileHash>) -> Result<u64, FileError> {
        let step = self.files.finish(file, hash)?;
        self.done(file, step)
    }

    /// Receives a file whole.
    pub(super) fn receive(
        &mut self,
        key: Option<&TransferKey>,
        with_file: &Value,
        bytes: &[u8],
    ) -> Result<(), FileError> {
        let header = header(with_file);
        let (file, there) = self.begin(&incoming(key, &header, bytes.len() as u64))?;
        let rest = &bytes[usize::try_from(there).unwrap()..];
        let mut written = Ok(());
        for piece in rest.chunks(100) {
            written = written.and_then(|()| self.write(file, piece));
        }
        let finished = written.and_then(|()| self.finish(file, key.map(|_| hash(bytes)).as_ref()));
        self.close(file);
        finished.map(|_| ())
    }
}

fn setup(dir: &Path, config: &FileRecv, max: u64, synced: bool) -> Setup {
    Setup {
        receive: BTreeMap::from([("any".to_owned(), config.clone())]),
        max_receive: max,
        max_published: max,
        max_send: max,
        journal: dir.join("files"),
        own: OwnFolders { folders: vec![dir.join("own")] },
        synced,
    }
}

pub(super) fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = match fs::read_dir(folder) {
        Ok(found) => found.map(|file| file.unwrap().file_name().into_string().unwrap()).collect(),
        Err(_) => Vec::new(),
    };
    names.sort();
    names
}

pub(super) fn key(sequence: u64) -> TransferKey {
    TransferKey { peer: "client1".to_owned(), message_type: "any".to_owned(), epoch: 5, sequence }
}

/// A message's header.
pub(super) fn header(with_file: &Value) -> Vec<u8> {
    header_from("client1", with_file)
}

pub(super) fn header_from(source: &str, with_file: &Value) -> Vec<u8> {
    let mut with_file = with_file.clone();
    with_file.as_object_mut().unwrap().entry("dst_type").or_insert(json!("any"));
    json!({"message_type": "any", "source_id": source, "with_file": with_file}).to_string().into_bytes()
}

pub(super) fn incoming<'a>(key: Option<&'a TransferKey>, header: &'a [u8], size: u64) -> Incoming<'a> {
    Incoming { key, header, size, stamp: Stamp { size, changed: 1, inode: 2 } }
}

pub(super) fn hash(bytes: &[u8]) -> FileHash {
    *blake3::hash(bytes).as_bytes()
}

/// Bytes that are nowhere the same.
pub(super) fn bytes(length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(length as u64);
    (0..length).map(|_| random.u8(..)).collect()
}

/// The text of an error that says that it will not work later either.
pub(super) fn refusal<T: std::fmt::Debug>(result: Result<T, FileError>) -> String {
    match result {
        Err(FileError::Refused(why)) => why,
        other => panic!("expected a refusal: {other:?}"),
    }
}

/// A disk of a few bytes, in memory, until it is dropped.
pub(super) struct SmallDisk(pub PathBuf);

impl SmallDisk {
    /// `None`, with a word, where the tests may not mount one: that takes root.
    pub(super) fn mount(at: &Path, bytes: usize) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "aioconnectors-test"]).arg(at);
        match mount.output() {
            Ok(output) if output.status.success() => Some(Self(at.to_owned())),
            other => {
                eprintln!("skipped: no small disk can be mounted here: {other:?}");
                None
            }
        }
    }

    /// From now on nothing can be written to it.
    pub(super) fn make_read_only(&self) {
        let output = Command::new("mount").args(["-o", "remount,ro"]).arg(&self.0).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

/// Whether this process may do everything, so that what is forbidden is not.
pub(super) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}
