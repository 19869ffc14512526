//! Files of publications, on the disk.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::json;

use super::testing::{Rig, bytes, hash, header, incoming, key, names};
use crate::core::files::{FileError, FileId, Files, NotKept, Step, TransferKey};

impl Rig {
    fn published(&self) -> PathBuf {
        self.journal().join("published")
    }

    /// Receives a file whole that is published; its path.
    fn publish(&mut self, key: Option<&TransferKey>, bytes: &[u8]) -> Result<String, NotKept> {
        let header = header(&json!({"dst_name": "../anything", "dst_type": "unknown"}));
        let (file, step, path) = self.files.begin_published(&incoming(key, &header, bytes.len() as u64))?;
        let there = self.done(file, step)?;
        self.files.write(file, &bytes[usize::try_from(there).unwrap()..])?;
        self.finish(file, key.map(|_| hash(bytes)).as_ref())?;
        self.files.close(file);
        Ok(path)
    }

    fn copy(&mut self, path: &str) -> Result<String, NotKept> {
        let (file, _, copy) = self.files.copy_published(path)?;
        let result = self.wait(file);
        self.files.close(file);
        Ok(result.map(|_| copy)?)
    }

    /// Begins to receive a file, writes some of it, and lets it be.
    fn begin_some(&mut self, key: Option<&TransferKey>, bytes: &[u8], size: u64) -> FileId {
        let header = header(&json!({"dst_name": "x"}));
        let (file, _, _) = self.files.begin_published(&incoming(key, &header, size)).unwrap();
        self.files.write(file, bytes).unwrap();
        file
    }
}

/// Whether there may be room later, of what has none now.
fn later<T: std::fmt::Debug>(result: Result<T, NotKept>) -> bool {
    match result {
        Err(NotKept::NoRoom { later, why }) => {
            assert!(why.contains("max_size_published_files"), "{why}");
            later
        }
        other => panic!("there was to be no room: {other:?}"),
    }
}

#[test]
fn a_file_is_kept_until_it_is_let_go() {
    for synced in [false, true] {
        let mut rig = if synced { Rig::new().synced() } else { Rig::new() };
        rig.files.sweep_published();
        let source = rig.dir.path().join("source");
        fs::write(&source, bytes(600_000)).unwrap();
        let paths = [
            rig.publish(Some(&key(1)), &bytes(1000)).unwrap(),
            rig.publish(None, &bytes(0)).unwrap(),
            rig.copy(source.to_str().unwrap()).unwrap(),
        ];
        for (path, size) in paths.iter().zip([1000, 0, 600_000]) {
            rig.files.hold(path);
            assert_eq!(fs::read(path).unwrap(), bytes(size));
        }
        rig.files.forget(&key(1));
        assert_eq!(names(&rig.published()).len(), 3, "it is held, though its message was taken over");
        assert_eq!(fs::metadata(rig.published()).unwrap().permissions().mode() & 0o777, 0o700);
        paths.iter().for_each(|path| rig.files.let_go(path));
        assert!(names(&rig.published()).is_empty());
        assert_eq!(rig.entries(), 1, "the folder");
        assert!(source.exists() && rig.there().is_empty());
    }
}

#[test]
fn only_what_lies_in_the_folder_is_let_go() {
    let mut rig = Rig::new();
    let other = rig.dir.path().join("other");
    fs::write(&other, "x").unwrap();
    let inside = rig.published().join("../../other");
    for path in [other.to_str().unwrap(), inside.to_str().unwrap(), "other", "", "/"] {
        rig.files.let_go(path);
    }
    assert!(other.exists());
}

#[test]
fn they_have_so_much_room_together() {
    let mut rig = Rig::new();
    rig.max = 1000;
    rig.start();
    rig.files.sweep_published();
    let first = rig.publish(Some(&key(1)), &bytes(600)).unwrap();
    rig.files.hold(&first);
    assert!(!later(rig.publish(None, &bytes(1001))));
    assert!(later(rig.publish(None, &bytes(401))));
    let source = rig.dir.path().join("source");
    fs::write(&source, bytes(401)).unwrap();
    assert!(later(rig.copy(source.to_str().unwrap())));
    // What is on its way counts as long as it will be, and when it stops as long as it is.
    let file = rig.begin_some(Some(&key(2)), b"12345", 400);
    assert!(later(rig.publish(None, &bytes(1))));
    rig.files.close(file);
    let second = rig.publish(None, &bytes(395)).unwrap();
    assert!(later(rig.publish(None, &bytes(1))));
    rig.files.let_go(&first);
    rig.files.forget(&key(2));
    let file = rig.begin_some(None, b"1", 605);
    rig.files.close(file);
    rig.files.let_go(&second);
    assert!(names(&rig.published()).is_empty());
    rig.publish(None, &bytes(1000)).unwrap();
}

#[test]
fn a_start_leaves_what_is_held_and_what_is_gone_on_with() {
    let mut rig = Rig::new();
    rig.files.sweep_published();
    let held = rig.publish(Some(&key(1)), &bytes(100)).unwrap();
    rig.files.hold(&held);
    rig.files.forget(&key(1));
    let whole = rig.publish(Some(&key(2)), &bytes(200)).unwrap();
    rig.begin_some(Some(&key(3)), b"12345", 400);
    rig.publish(None, &bytes(300)).unwrap();
    rig.begin_some(None, b"12345", 400);
    assert_eq!(names(&rig.published()).len(), 5);
    rig.start();
    rig.files.hold(&held);
    rig.files.sweep_published();
    assert_eq!(names(&rig.published()).len(), 3);
    // One that was whole is, and needs no bytes; the other goes on.
    let header = header(&json!({"dst_name": "x"}));
    let begun = rig.files.begin_published(&incoming(Some(&key(2)), &header, 200)).unwrap();
    assert_eq!((begun.1, &begun.2), (Step::Done(200), &whole));
    rig.finish(begun.0, None).unwrap();
    let (file, step, _) = rig.files.begin_published(&incoming(Some(&key(3)), &header, 400)).unwrap();
    assert_eq!(rig.done(file, step), Ok(5));
    rig.files.close(file);
    // Their messages will never come.
    rig.files.forget(&key(3));
    assert_eq!(names(&rig.published()).len(), 1);
    assert!(PathBuf::from(held).exists());
}

#[test]
fn one_that_was_whole_and_is_gone_comes_again() {
    let mut rig = Rig::new();
    rig.files.sweep_published();
    let path = rig.publish(Some(&key(1)), &bytes(100)).unwrap();
    fs::remove_file(&path).unwrap();
    rig.start();
    rig.files.sweep_published();
    assert_eq!(rig.publish(Some(&key(1)), &bytes(100)).unwrap(), path);
    assert_eq!(fs::read(path).unwrap(), bytes(100));
}

#[test]
fn what_cannot_be_copied_leaves_nothing() {
    let mut rig = Rig::new();
    rig.files.sweep_published();
    let source = rig.dir.path().join("source");
    assert!(matches!(rig.copy(source.to_str().unwrap()), Err(NotKept::Failed(FileError::Refused(_)))));
    fs::write(&source, bytes(3_000_000)).unwrap();
    let (file, ..) = rig.files.copy_published(source.to_str().unwrap()).unwrap();
    fs::write(&source, bytes(10)).unwrap();
    assert!(matches!(rig.wait(file), Err(FileError::Changed(_))));
    rig.files.close(file);
    assert!(names(&rig.published()).is_empty());
    assert_eq!(rig.entries(), 1, "the folder");
}
