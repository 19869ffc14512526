//! Rings in files, on good days and bad ones. A process that is killed leaves its files as one that just lets go of them:
//! what is mapped is the file.

use std::os::unix::fs::{FileExt, PermissionsExt};

use tempfile::TempDir;

use super::super::testing::{SmallDisk, resident_kib};
use super::*;
use crate::ring::header::PAGE;
use crate::ring::{PushError, Ring};

const LIMIT: usize = 1 << 20;

fn outbox(peer: &str) -> Identity {
    let text = |text: &str| text.to_owned();
    Identity { kind: Kind::Outbox, connector: text("c1"), peer: text(peer), message_type: text("any") }
}

fn inbox() -> Identity {
    Identity { kind: Kind::Inbox, peer: String::new(), ..outbox("") }
}

fn place() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("spool_client_c1");
    (dir, folder)
}

/// Opens the ring of a peer, and nothing may be wrong with it.
#[track_caller]
fn ring(spool: &Spool, identity: &Identity) -> Ring {
    let opened = spool.open_ring(identity, LIMIT).unwrap();
    assert!(opened.put_aside.is_none(), "{}", opened.put_aside.unwrap());
    Ring::durable(opened.memory, opened.checkpoint, LIMIT, 1)
}

fn frames(ring: &Ring) -> Vec<Vec<u8>> {
    ring.frames().map(|(_, frame)| frame.to_vec()).collect()
}

fn numbered(from: u32, to: u32) -> Vec<Vec<u8>> {
    (from..to).map(|number| format!("message {number}").into_bytes()).collect()
}

fn push(ring: &mut Ring, frames: &[Vec<u8>]) {
    for frame in frames {
        ring.push(&[frame], 0, None).unwrap();
    }
}

/// A folder with one ring of 20 messages, of which the checkpoint knows 10; and the ring's file.
fn with_ring() -> (TempDir, Spool, PathBuf) {
    let (dir, folder) = place();
    let spool = Spool::open(&folder, false).unwrap();
    let mut ring = ring(&spool, &outbox("p"));
    push(&mut ring, &numbered(0, 10));
    ring.checkpoint();
    push(&mut ring, &numbered(10, 20));
    (dir, spool, folder.join("send_p_any.ring"))
}

#[test]
fn what_was_pushed_is_there_again_whether_a_checkpoint_knew_of_it_or_not() {
    let (_dir, spool, path) = with_ring();
    let epoch = spool.open_ring(&outbox("p"), LIMIT).unwrap().epoch;
    for round in 0..5 {
        let opened = spool.open_ring(&outbox("p"), LIMIT).unwrap();
        assert_eq!(opened.epoch, epoch);
        let mut ring = Ring::durable(opened.memory, opened.checkpoint, LIMIT, 1);
        assert_eq!(frames(&ring), numbered(0, 20 + round));
        push(&mut ring, &numbered(20 + round, 21 + round));
    }
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(spool.folder()).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_ring_grows_shrinks_and_grows_again_over_restarts() {
    let (_dir, folder) = place();
    let spool = Spool::open(&folder, true).unwrap();
    let path = folder.join("recv_any.ring");
    let length = || fs::metadata(&path).unwrap().len();
    let mut kept = ring(&spool, &inbox());
    assert_eq!(length(), DATA_AT as u64);
    for _ in 0..3 {
        push(&mut kept, &vec![vec![7; 1000]; 500]);
        assert!(length() > 500_000);
        kept.checkpoint();
        kept.sync().unwrap();
        drop(kept);
        kept = ring(&spool, &inbox());
        assert_eq!(frames(&kept), vec![vec![7; 1000]; 500]);
        let next = kept.next_sequence();
        assert_eq!(kept.release_to(next, &mut |_| ()), 500);
        for _ in 0..2 {
            kept.checkpoint();
            kept.sync().unwrap();
            kept.give_back();
        }
        assert_eq!(length(), DATA_AT as u64);
        drop(kept);
        kept = ring(&spool, &inbox());
        assert!(kept.is_empty() && kept.next_sequence() >= next);
    }
    kept.discard();
    assert!(!path.exists());
}

#[test]
fn origins_behind_the_checkpoint_are_told() {
    let (_dir, folder) = place();
    let spool = Spool::open(&folder, false).unwrap();
    let origin = |count| Some(Origin { slot: 3, generation: 1, count });
    let mut ring = ring(&spool, &outbox("p"));
    ring.push(&[b"known"], 0, origin(1)).unwrap();
    ring.checkpoint();
    ring.push(&[b"new"], 0, origin(2)).unwrap();
    ring.push(&[b"without"], 0, None).unwrap();
    ring.push(&[b"newer"], 0, origin(3)).unwrap();
    drop(ring);
    let opened = spool.open_ring(&outbox("p"), LIMIT).unwrap();
    assert_eq!(opened.origins.iter().map(|origin| origin.count).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn a_cut_file_loses_nothing_that_the_checkpoint_knew_of_without_a_word() {
    let (_dir, spool, path) = with_ring();
    let whole = fs::read(&path).unwrap();
    let record = 16 + 16;
    let in_data = (0..=20 * record).step_by(8).flat_map(|at| [DATA_AT + at, DATA_AT + at + 1]);
    let in_pages = [0, 1, 8, 12, 100, PAGE - 1, PAGE, PAGE + 1, DATA_AT - 1];
    for length in in_pages.into_iter().chain(in_data) {
        fs::write(&path, &whole[..length]).unwrap();
        let opened = spool.open_ring(&outbox("p"), LIMIT).unwrap();
        let ring = Ring::durable(opened.memory, opened.checkpoint, LIMIT, 1);
        let Some(aside) = opened.put_aside else {
            // The checkpoint knew of ten; the others may be torn off, from the end.
            let found = frames(&ring);
            assert!(found.len() >= 10 && found == numbered(0, found.len() as u32), "{length}");
            continue;
        };
        assert!(ring.is_empty() && length < DATA_AT + 10 * record, "{length}: {aside}");
        assert_eq!(fs::read(&aside.to).unwrap(), whole[..length]);
        let line = aside.to_string();
        assert!(line.contains("send_p_any.ring.bad-1") && line.lines().count() == 1, "{line}");
        fs::remove_file(&aside.to).unwrap();
    }
}

#[test]
fn a_flipped_byte_anywhere_in_the_header_changes_nothing() {
    let (_dir, spool, path) = with_ring();
    let whole = fs::read(&path).unwrap();
    for at in (0..DATA_AT).step_by(7) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        fs::write(&path, &bytes).unwrap();
        let mut ring = ring(&spool, &outbox("p"));
        assert_eq!(frames(&ring), numbered(0, 20), "{at}");
        // The bad page is good again: now the other one may go.
        ring.checkpoint();
        drop(ring);
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(&[0; PAGE], if at < PAGE { PAGE as u64 } else { 0 }).unwrap();
        assert_eq!(frames(&self::ring(&spool, &outbox("p"))), numbered(0, 20), "{at}");
    }
}

#[test]
fn zeroed_files_are_put_aside_and_a_flipped_message_is_found_by_the_ring() {
    let (_dir, spool, path) = with_ring();
    let whole = fs::read(&path).unwrap();
    for zeros in [0..DATA_AT, 0..whole.len()] {
        let mut bytes = whole.clone();
        bytes[zeros].fill(0);
        fs::write(&path, bytes).unwrap();
        let aside = spool.open_ring(&outbox("p"), LIMIT).unwrap().put_aside.unwrap();
        assert_eq!(aside.damage, Damage::NoHeader);
    }
    let mut bytes = whole.clone();
    bytes[DATA_AT + 16] ^= 1;
    fs::write(&path, bytes).unwrap();
    let mut ring = ring(&spool, &outbox("p"));
    assert!(ring.check_front(1).is_err());
    let skipped = ring.skip_damaged();
    assert_eq!((skipped.records, skipped.copy), (1, Ok(format!("{}.bad-3", path.display()))));
    assert_eq!(frames(&ring), numbered(1, 20));
}

#[test]
fn another_version_and_anothers_ring_stay_as_they_are() {
    let (_dir, spool, path) = with_ring();
    let mut bytes = fs::read(&path).unwrap();
    let other = spool.folder().join("send_q_any.ring");
    fs::copy(&path, &other).unwrap();
    let error = spool.open_ring(&outbox("q"), LIMIT).unwrap_err();
    assert!(matches!(error, StoreError::OtherIdentity { .. }), "{error}");
    assert!(error.to_string().contains("\"p\"") && error.to_string().contains("\"q\""), "{error}");

    (bytes[8], bytes[PAGE + 8]) = (2, 2);
    fs::write(&path, &bytes).unwrap();
    let error = spool.open_ring(&outbox("p"), LIMIT).unwrap_err();
    assert!(matches!(error, StoreError::OtherVersion { found: 2, .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap(), bytes);

    let existing = spool.rings().unwrap();
    assert_eq!(existing.rings, []);
    let unusable = |wanted: fn(&StoreError) -> bool| existing.unusable.iter().filter(|e| wanted(e)).count();
    assert_eq!(unusable(|e| matches!(e, StoreError::OtherVersion { found: 2, .. })), 1);
    assert_eq!(unusable(|e| matches!(e, StoreError::Misnamed { .. })), 1, "the copy");
}

#[test]
fn the_rings_of_a_folder_are_listed_and_what_is_none_is_put_aside() {
    let (_dir, spool, path) = with_ring();
    ring(&spool, &inbox());
    fs::write(spool.folder().join("recv_x.ring"), "no ring").unwrap();
    fs::write(super::super::ring_file::draft_of(&path), "interrupted").unwrap();
    let (folder, _) = (spool.folder().to_owned(), drop(spool));
    let spool = Spool::open(&folder, false).unwrap();
    assert!(!super::super::ring_file::draft_of(&path).exists());
    let mut existing = spool.rings().unwrap();
    existing.rings.sort_by(|a, b| a.peer.cmp(&b.peer));
    assert_eq!(existing.rings, [inbox(), outbox("p")]);
    assert!(existing.unusable.is_empty());
    assert_eq!(existing.put_aside.len(), 1);
    assert_eq!(existing.put_aside[0].to, spool.folder().join("recv_x.ring.bad-1"));
}

#[test]
fn remains_are_what_is_not_needed_and_what_lies_aside() {
    let (_dir, spool, path) = with_ring();
    ring(&spool, &inbox());
    fs::write(spool.folder().join("recv_any.ring.bad-1"), "x").unwrap();
    let removed = spool.remove_remains(&|identity| identity.kind == Kind::Inbox).unwrap();
    assert_eq!(removed, [spool.folder().join("recv_any.ring.bad-1"), path]);
    assert_eq!(spool.rings().unwrap().rings, [inbox()]);
}

#[test]
fn a_folder_has_one_owner_and_one_that_cannot_be_made_is_named() {
    let (dir, folder) = place();
    let spool = Spool::open(&folder, false).unwrap();
    let error = Spool::open(&folder, false).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    drop(spool);
    Spool::open(&folder, false).unwrap();
    let error = Spool::open(&dir.path().join("no/such"), false).unwrap_err();
    assert!(error.to_string().contains("no/such"), "{error}");
}

#[test]
fn places_keep_their_bytes_and_grow_by_pages() {
    let (_dir, folder) = place();
    let spool = Spool::open(&folder, false).unwrap();
    let mut places = spool.open_places().unwrap();
    assert_eq!(places.bytes(), [0; 4096]);
    places.bytes_mut()[4095] = 9;
    places.grow(4097).unwrap();
    assert_eq!((places.bytes().len(), places.bytes()[4095]), (8192, 9));
    places.sync().unwrap();
    drop(places);
    // A table that was cut still has whole pages, the missing slots empty.
    fs::OpenOptions::new().write(true).open(folder.join(PLACES)).unwrap().set_len(5000).unwrap();
    let places = spool.open_places().unwrap();
    assert_eq!((places.bytes().len(), places.bytes()[4095]), (8192, 9));
}

#[test]
fn on_a_full_disk_a_message_is_refused_and_all_others_stay() {
    let Some(disk) = SmallDisk::mount(512 * 1024) else { return };
    let folder = disk.path().join("spool");
    let spool = Spool::open(&folder, false).unwrap();
    let mut kept = ring(&spool, &inbox());
    let mut count = 0;
    let refused = loop {
        match kept.push(&[&[5; 1000]], 0, None) {
            Ok(_) => count += 1,
            Err(refused) => break refused,
        }
    };
    assert!(matches!(&refused, PushError::Failed(why) if why.contains("the disk is full")), "{refused}");
    assert!(count > 100, "{count}");
    kept.checkpoint();
    drop(kept);
    assert_eq!(ring(&spool, &inbox()).len(), count);
}

#[test]
fn a_folder_that_cannot_be_written_is_not_opened_but_can_be_looked_at() {
    let Some(disk) = SmallDisk::mount(512 * 1024) else { return };
    let folder = disk.path().join("spool");
    drop(Spool::open(&folder, false).unwrap());
    disk.make_read_only();
    let error = Spool::open(&folder, false).unwrap_err().to_string();
    assert!(error.contains("lock") && error.contains("Read-only"), "{error}");
    assert!(inspect::list(&folder).unwrap().files.is_empty());
}

#[test]
fn a_queue_of_200_megabytes_takes_little_memory() {
    let (_dir, folder) = place();
    let spool = Spool::open(&folder, false).unwrap();
    let limit = 512 << 20;
    let opened = spool.open_ring(&inbox(), limit).unwrap();
    let mut ring = Ring::durable(opened.memory, opened.checkpoint, limit, 1);
    let frame = vec![3; 64 * 1024];
    for _ in 0..3200 {
        ring.push(&[&frame], 0, None).unwrap();
    }
    ring.checkpoint();
    let resident = resident_kib(&folder.join("recv_any.ring"));
    assert!(resident < 16 * 1024, "{resident} KiB are resident");
}
