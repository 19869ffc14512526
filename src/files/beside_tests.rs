//! Tests of files that are written beside the loop.

use std::fs;
use std::sync::Arc;

use serde_json::json;

use super::beside::{BESIDE, Beside, QUEUE_ALL, QUEUE_FILE};
use super::disk::Open;
use super::testing::{Rig, SmallDisk, bytes, hash, header, incoming, key};
use crate::core::files::{FileError, FileId, Files, PIECE_MAX, Step, Wrote};

/// A file whose bytes have begun to come: the writer's side of it.
fn writer(rig: &Rig, file: FileId) -> Arc<Beside> {
    match &rig.files.open[&file.0] {
        Open::Target(target) => Arc::clone(target.beside().unwrap()),
        other => panic!("it is not being written: {other:?}"),
    }
}

/// Has a piece written, and knows that it is; the writer.
fn begun(rig: &mut Rig, file: FileId, piece: &[u8]) -> Arc<Beside> {
    assert_eq!(rig.files.write(file, piece), Ok(Wrote::Taken));
    rig.wait_for(file, |result| *result == Ok(Step::Written(piece.len() as u64))).unwrap();
    writer(rig, file)
}

/// Waits until a thread is amid a piece.
fn start(rig: &mut Rig, writer: &Beside) {
    rig.files.work();
    while !writer.is_at_it() {
        std::thread::yield_now();
    }
}

fn length_of_partial(rig: &Rig) -> u64 {
    let name = rig.there().into_iter().find(|name| name.ends_with(".part")).unwrap();
    fs::metadata(rig.target(&name)).unwrap().len()
}

#[test]
fn a_busy_disk_holds_back_bytes_and_not_the_loop() {
    let mut rig = Rig::new();
    let sent = bytes(QUEUE_FILE + 4 * PIECE_MAX + 77);
    let (key, header) = (key(1), header(&json!({"dst_name": "a"})));
    let (file, _) = rig.begin(&incoming(Some(&key), &header, sent.len() as u64)).unwrap();
    let writer = begun(&mut rig, file, &sent[..PIECE_MAX]);
    let stall = writer.stall();
    let mut at = PIECE_MAX;
    while rig.files.write(file, &sent[at..(at + 50_000).min(sent.len())]).unwrap() == Wrote::Taken {
        at += 50_000;
    }
    assert!((QUEUE_FILE - 50_000..=QUEUE_FILE).contains(&(at - PIECE_MAX)), "{at} bytes wait");
    assert!(rig.files.work().0.is_empty(), "nothing is said to be there that is not");
    drop(stall);
    let mut there = PIECE_MAX as u64;
    while there < at as u64 {
        let Step::Written(now) = rig.wait_for(file, |_| true).unwrap() else { panic!("it is not whole") };
        assert!((there..=at as u64).contains(&now), "{now} after {there}");
        assert!(length_of_partial(&rig) >= now);
        there = now;
    }
    let writer = writer.stall();
    assert_eq!(rig.files.write(file, &sent[at..]), Ok(Wrote::Taken));
    assert_eq!(rig.files.finish(file, Some(&hash(&sent))), Ok(Step::Working));
    assert!(!rig.target("a").exists());
    drop(writer);
    assert_eq!(rig.wait(file), Ok(Step::Done(sent.len() as u64)));
    assert_eq!(fs::read(rig.target("a")).unwrap(), sent);
    assert_eq!(rig.there(), ["a"]);
}

#[test]
fn what_waits_of_all_files_is_bounded() {
    let mut rig = Rig::new();
    let piece = bytes(PIECE_MAX);
    let (mut all, mut writers) = (0, Vec::new());
    let files = (0..2 * QUEUE_ALL / QUEUE_FILE).map(|number| {
        let (key, header) = (key(number as u64), header(&json!({"dst_name": format!("{number}")})));
        let (file, _) = rig.begin(&incoming(Some(&key), &header, 1 << 30)).unwrap();
        writers.push(begun(&mut rig, file, &piece));
        file
    });
    let files: Vec<FileId> = files.collect();
    let stalls: Vec<_> = writers.iter().map(|writer| writer.stall()).collect();
    for file in &files {
        while rig.files.write(*file, &piece).unwrap() == Wrote::Taken {
            all += piece.len();
        }
    }
    assert_eq!(all, QUEUE_ALL);
    drop(stalls);
    // One that is given up gives its room to others.
    files[1..].iter().for_each(|file| rig.close(*file));
    for _ in 0..2 * QUEUE_FILE / PIECE_MAX {
        rig.write(files[0], &piece).unwrap();
    }
}

#[test]
fn a_disk_that_turns_out_to_be_full_is_told_later_and_the_file_goes_on() {
    let mut rig = Rig::new();
    let Some(disk) = SmallDisk::mount(&rig.dir.path().join("in"), 3 << 20) else { return };
    let sent = bytes(BESIDE as usize + 900_000);
    let (key, header) = (key(1), header(&json!({"dst_name": "a"})));
    let coming = incoming(Some(&key), &header, sent.len() as u64);
    let (file, _) = rig.begin(&coming).unwrap();
    begun(&mut rig, file, &sent[..PIECE_MAX]);
    fs::write(rig.dir.path().join("in/other"), bytes(2_000_000)).unwrap();
    let mut failed = Ok(());
    for piece in sent[PIECE_MAX..].chunks(PIECE_MAX) {
        failed = failed.and_then(|()| rig.write(file, piece));
    }
    let failed = failed.and_then(|()| rig.wait_for(file, Result::is_err).map(drop));
    assert!(matches!(&failed, Err(FileError::Later(why)) if why.contains("disk is full")), "{failed:?}");
    assert!(rig.files.write(file, &sent[..1]).is_err() && rig.files.finish(file, Some(&hash(&sent))).is_err());
    rig.close(file);

    fs::remove_file(rig.dir.path().join("in/other")).unwrap();
    let (file, there) = rig.begin(&coming).unwrap();
    assert!(there >= PIECE_MAX as u64 && there < sent.len() as u64, "{there}");
    rig.write(file, &sent[there as usize..]).unwrap();
    rig.finish(file, Some(&hash(&sent))).unwrap();
    assert_eq!(fs::read(rig.target("a")).unwrap(), sent);
    drop(disk);
}

#[test]
fn a_failure_behind_the_end_comes_in_place_of_the_name() {
    let mut rig = Rig::new();
    let Some(disk) = SmallDisk::mount(&rig.dir.path().join("in"), 3 << 20) else { return };
    let sent = bytes(BESIDE as usize + 900_000);
    let header = header(&json!({"dst_name": "a"}));
    let (file, _) = rig.begin(&incoming(None, &header, sent.len() as u64)).unwrap();
    let writer = begun(&mut rig, file, &sent[..PIECE_MAX]);
    fs::write(rig.dir.path().join("in/other"), bytes(2_000_000)).unwrap();
    let stall = writer.stall();
    sent[PIECE_MAX..].chunks(PIECE_MAX).for_each(|piece| rig.write(file, piece).unwrap());
    assert_eq!(rig.files.finish(file, None), Ok(Step::Working));
    drop(stall);
    let error = rig.wait(file).unwrap_err();
    assert!(matches!(&error, FileError::Later(why) if why.contains("disk is full")), "{error}");
    rig.close(file);
    assert_eq!((names(&rig), rig.entries()), (vec![], 0));
    drop(disk);
}

/// Names in the target folder.
fn names(rig: &Rig) -> Vec<String> {
    rig.there()
}

#[test]
fn a_file_that_comes_again_waits_for_what_is_being_written() {
    let mut rig = Rig::new();
    let sent = bytes(10 * PIECE_MAX);
    let (key, header) = (key(1), header(&json!({"dst_name": "a"})));
    let coming = incoming(Some(&key), &header, sent.len() as u64);
    for is_closed in [true, false] {
        let (file, there) = rig.begin(&coming).unwrap();
        rig.write(file, &sent[there as usize..there as usize + PIECE_MAX]).unwrap();
        let writer = writer(&rig, file);
        rig.wait_for(file, |_| true).unwrap();
        let stall = writer.stall();
        let before = there as usize + PIECE_MAX;
        sent[before..].chunks(PIECE_MAX).take(4).for_each(|piece| rig.write(file, piece).unwrap());
        start(&mut rig, &writer);
        // The link has ended; or there is another one, and nobody knows of the end yet.
        if is_closed {
            rig.close(file);
        }
        let (again, step) = rig.files.begin(&coming).unwrap();
        assert_eq!(step, Step::Working, "it is not known yet how much is there");
        assert!(rig.files.work().0.iter().all(|(id, _)| *id != again));
        drop(stall);
        let there = rig.done(again, step).unwrap() as usize;
        assert_eq!(there, before + PIECE_MAX, "what was begun is there, what waited is dropped");
        assert_eq!(length_of_partial(&rig), there as u64);
        rig.close(again);
    }
    let (file, there) = rig.begin(&coming).unwrap();
    rig.write(file, &sent[there as usize..]).unwrap();
    rig.finish(file, Some(&hash(&sent))).unwrap();
    assert_eq!(fs::read(rig.target("a")).unwrap(), sent);
}

#[test]
fn one_that_is_given_up_amid_a_write_leaves_nothing() {
    for key in [None, Some(key(1))] {
        let mut rig = Rig::new();
        let header = header(&json!({"dst_name": "a"}));
        let sent = bytes(6 * PIECE_MAX);
        let (file, _) = rig.begin(&incoming(key.as_ref(), &header, sent.len() as u64)).unwrap();
        let writer = begun(&mut rig, file, &sent[..PIECE_MAX]);
        let stall = writer.stall();
        sent[PIECE_MAX..].chunks(PIECE_MAX).for_each(|piece| rig.write(file, piece).unwrap());
        assert_eq!(rig.files.finish(file, key.as_ref().map(|_| hash(&sent)).as_ref()), Ok(Step::Working));
        start(&mut rig, &writer);
        if let Some(key) = &key {
            rig.forget(key);
        }
        rig.close(file);
        drop(stall);
        assert_eq!((rig.there().len(), rig.entries()), (0, 0));
        // Nothing is made again by a thread.
        rig.receive(None, &json!({"dst_name": "b"}), &sent).unwrap();
        assert_eq!((rig.there(), rig.entries()), (vec!["b".to_owned()], 0));
    }
}
