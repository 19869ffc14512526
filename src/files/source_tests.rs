//! Sources on their bad days.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use nix::sys::stat::Mode;

use super::source::BLOCKS_MAX;
use super::testing::{Rig, bytes, hash, refusal};
use crate::core::files::{FileError, FileId, Files, PIECE_MAX, Stamp, Step};

fn source(rig: &mut Rig, bytes: &[u8]) -> (String, FileId, Stamp) {
    let path = rig.dir.path().join("source").to_str().unwrap().to_owned();
    fs::write(&path, bytes).unwrap();
    // As it was for a while: what is done to it now can be told from that.
    let before = SystemTime::now() - Duration::from_secs(60);
    File::options().write(true).open(&path).unwrap().set_modified(before).unwrap();
    let (id, stamp) = rig.files.open(&path).unwrap();
    (path, id, stamp)
}

fn read_all(rig: &mut Rig, id: FileId) -> Result<Vec<u8>, FileError> {
    let (mut all, mut piece) = (Vec::new(), vec![0; 1000]);
    loop {
        match rig.files.read(id, &mut piece)? {
            0 => return Ok(all),
            length => all.extend_from_slice(&piece[..length]),
        }
    }
}

#[test]
fn a_source_is_read_in_pieces_and_hashed() {
    let mut rig = Rig::new();
    let sent = bytes(12_345);
    let (_, id, stamp) = source(&mut rig, &sent);
    assert_eq!(stamp.size, 12_345);
    assert!(refusal(rig.files.hash(id)).contains("not all"));
    assert_eq!(read_all(&mut rig, id), Ok(sent.clone()));
    assert_eq!(rig.files.hash(id), Ok(hash(&sent)));
    rig.files.close(id);
    assert!(rig.files.hash(id).is_err());
}

#[test]
fn what_lies_before_is_hashed_all_the_same() {
    let mut rig = Rig::new();
    let sent = bytes(3 * PIECE_MAX + 5);
    let (_, id, _) = source(&mut rig, &sent);
    for offset in [PIECE_MAX + 7, 3, 2 * PIECE_MAX, sent.len(), 0] {
        let step = rig.files.seek(id, offset as u64).unwrap();
        assert_eq!(rig.done(id, step), Ok(offset as u64));
        assert_eq!(read_all(&mut rig, id).unwrap(), sent[offset..], "from {offset} on");
        assert_eq!(rig.files.hash(id), Ok(hash(&sent)));
    }
    assert!(refusal(rig.files.seek(id, sent.len() as u64 + 1)).contains("source"));
    assert_eq!(rig.files.seek(id, sent.len() as u64), Ok(Step::Done(sent.len() as u64)));
}

#[test]
fn more_sources_than_have_blocks_are_read_in_turns_and_come_as_they_are() {
    let mut rig = Rig::new();
    let size = |number: usize| 2 * PIECE_MAX + number * 4099;
    let sent = bytes(size(BLOCKS_MAX + 8));
    let mut sources: Vec<(FileId, Vec<u8>)> = Vec::new();
    for number in 0..BLOCKS_MAX + 8 {
        let path = rig.dir.path().join(format!("source{number}"));
        fs::write(&path, &sent[..size(number)]).unwrap();
        sources.push((rig.files.open(path.to_str().unwrap()).unwrap().0, Vec::new()));
    }
    let mut piece = vec![0; PIECE_MAX / 8 - 32];
    let mut goes_on = true;
    while goes_on {
        goes_on = false;
        for (id, came) in &mut sources {
            let length = rig.files.read(*id, &mut piece).unwrap();
            came.extend_from_slice(&piece[..length]);
            goes_on |= length > 0;
        }
    }
    for (number, (id, came)) in sources.iter().enumerate() {
        assert!(came == &sent[..size(number)], "source {number}");
        assert_eq!(rig.files.hash(*id), Ok(hash(came)));
    }
}

#[test]
fn only_plain_files_are_sent_and_nothing_is_waited_for() {
    let mut rig = Rig::new();
    let fifo = rig.dir.path().join("fifo");
    nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    for (path, why) in [
        (fifo.to_str().unwrap(), "not a plain file"),
        (rig.dir.path().to_str().unwrap(), "not a plain file"),
        ("/dev/zero", "not a plain file"),
        ("/no/such/file", "cannot read /no/such/file"),
        ("", "not the path of a file"),
        ("a\0b", "not the path of a file"),
    ] {
        let error = refusal(rig.files.open(path));
        assert!(error.contains(why), "{path:?}: {error}");
    }
}

#[test]
fn a_source_that_is_too_long_is_refused() {
    let mut rig = Rig::new();
    rig.max = 10;
    rig.start();
    let path = rig.dir.path().join("long");
    fs::write(&path, [0; 11]).unwrap();
    let error = refusal(rig.files.open(path.to_str().unwrap()));
    assert!(error.contains("has 11 bytes, and max_size_file_upload_send allows 10"), "{error}");
    fs::write(&path, [0; 10]).unwrap();
    assert_eq!(rig.files.open(path.to_str().unwrap()).unwrap().1.size, 10);
}

#[test]
fn a_source_that_grows_is_sent_as_it_was() {
    let mut rig = Rig::new();
    let sent = bytes(5000);
    let (path, id, _) = source(&mut rig, &sent);
    File::options().append(true).open(&path).unwrap().write_all(b"more").unwrap();
    assert_eq!(read_all(&mut rig, id), Ok(sent.clone()));
    assert_eq!(rig.files.hash(id), Ok(hash(&sent)));
}

#[test]
fn a_source_that_shrinks_or_is_written_over_is_noticed() {
    let mut rig = Rig::new();
    let (path, id, _) = source(&mut rig, &bytes(5000));
    File::options().write(true).open(&path).unwrap().set_len(4000).unwrap();
    let error = read_all(&mut rig, id).unwrap_err();
    assert!(matches!(&error, FileError::Changed(why) if why.contains(&path) && why.contains("shorter")), "{error}");

    let (path, id, _) = source(&mut rig, &bytes(5000));
    read_all(&mut rig, id).unwrap();
    File::options().write(true).open(&path).unwrap().write_all_at(b"x", 7).unwrap();
    assert!(matches!(rig.files.hash(id), Err(FileError::Changed(_))));

    // Somebody has set the clock of the file back.
    let (path, id, stamp) = source(&mut rig, &bytes(5000));
    read_all(&mut rig, id).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    // Not before the clock of the disk has gone on.
    let touched = |file: &File| file.metadata().map(|found| (found.ctime(), found.ctime_nsec())).unwrap();
    let before = touched(&file);
    while touched(&file) == before {
        file.write_all_at(b"x", 7).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_nanos(stamp.changed)).unwrap();
    }
    assert!(matches!(rig.files.hash(id), Err(FileError::Changed(_))));
}

#[test]
fn a_source_that_is_removed_while_it_is_sent_is_sent() {
    let mut rig = Rig::new();
    let sent = bytes(5000);
    let (path, id, stamp) = source(&mut rig, &sent);
    fs::remove_file(&path).unwrap();
    assert_eq!(read_all(&mut rig, id), Ok(sent.clone()));
    assert_eq!(rig.files.hash(id), Ok(hash(&sent)));
    assert_eq!(rig.files.remove(&path, &stamp), Ok(()));
}

#[test]
fn only_the_file_that_was_sent_is_removed() {
    let mut rig = Rig::new();
    let (path, _, stamp) = source(&mut rig, b"abc");
    fs::rename(&path, format!("{path}.old")).unwrap();
    fs::write(&path, b"xyz").unwrap();
    let error = rig.files.remove(&path, &stamp).unwrap_err();
    assert!(error.to_string().contains("no longer the file that was sent"), "{error}");
    assert!(Path::new(&path).exists());

    let (path, _, stamp) = source(&mut rig, b"abc");
    File::options().append(true).open(&path).unwrap().write_all(b"more").unwrap();
    assert!(rig.files.remove(&path, &stamp).is_err(), "what was appended was not sent");

    let (path, _, stamp) = source(&mut rig, b"abc");
    let link = format!("{path}.link");
    symlink(&path, &link).unwrap();
    assert_eq!(rig.files.remove(&link, &stamp), Ok(()));
    assert!(!Path::new(&link).exists() && Path::new(&path).exists());
    assert_eq!(rig.files.remove(&path, &stamp), Ok(()));
    assert!(!Path::new(&path).exists());
    assert_eq!(rig.files.remove("/no/such/folder/file", &stamp), Ok(()));
}
