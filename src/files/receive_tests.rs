//! Files that come: written, gone on with after a crash at any point, named.

use std::env;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;
use std::time::SystemTime;

use serde_json::json;

use super::background::LARGE;
use super::hook::{Asked, Folder, TargetHook};
use super::stale::{PARTIAL_KEPT, WHOLE_KEPT};
use super::testing::{Rig, SmallDisk, bytes, hash, header, incoming, is_root, key, names, refusal};
use crate::core::files::{FileError, Files, Incoming, PIECE_MAX, Stamp, Step};

#[test]
fn a_file_is_there_whole_or_not_at_all() {
    for mut rig in [Rig::new(), Rig::new().synced()] {
        let sent = bytes(1000);
        let (key, header) = (key(1), header(&json!({"dst_name": "sub/a.bin"})));
        let (file, there) = rig.begin(&incoming(Some(&key), &header, 1000)).unwrap();
        assert_eq!(there, 0);
        for piece in sent.chunks(300) {
            rig.files.write(file, piece).unwrap();
            assert!(!rig.target("sub/a.bin").exists());
        }
        assert!(rig.files.write(file, b"x").is_err(), "more than was announced");
        rig.finish(file, Some(&hash(&sent))).unwrap();
        assert_eq!(fs::read(rig.target("sub/a.bin")).unwrap(), sent);
        let others = 0o777 & fs::metadata(rig.target("sub/a.bin")).unwrap().mode();
        assert_eq!(others, rig.files.mode);
        assert_eq!(names(&rig.target("sub")), ["a.bin"]);
        assert_eq!(rig.entries(), 1);
        rig.forget(&key);
        assert_eq!(rig.entries(), 0);
    }
}

#[test]
fn an_empty_file_is_a_file() {
    let mut rig = Rig::new();
    rig.receive(Some(&key(1)), &json!({"dst_name": "empty"}), b"").unwrap();
    rig.receive(None, &json!({"dst_name": "empty2"}), b"").unwrap();
    assert_eq!(rig.there(), ["empty", "empty2"]);
}

#[test]
fn a_file_of_the_first_kind_of_link_leaves_nothing_behind() {
    let mut rig = Rig::new();
    rig.receive(None, &json!({"dst_name": "a"}), &bytes(1000)).unwrap();
    assert_eq!((rig.there(), rig.entries()), (vec!["a".to_owned()], 0));

    let header = header(&json!({"dst_name": "b"}));
    let (file, _) = rig.begin(&incoming(None, &header, 1000)).unwrap();
    rig.files.write(file, &bytes(500)).unwrap();
    assert_eq!((rig.there().len(), rig.entries()), (2, 1));
    rig.close(file);
    assert_eq!((rig.there(), rig.entries()), (vec!["a".to_owned()], 0));

    let (file, _) = rig.begin(&incoming(None, &header, 1000)).unwrap();
    rig.files.write(file, &bytes(500)).unwrap();
    rig.start();
    assert_eq!((rig.there(), rig.entries()), (vec!["a".to_owned()], 0), "nobody could go on with it");
}

#[test]
fn a_file_goes_on_where_it_stopped_after_a_cut_and_after_a_crash() {
    let mut rig = Rig::new();
    let sent = bytes(3 * PIECE_MAX);
    let (key, header) = (key(1), header(&json!({"dst_name": "a"})));
    let coming = incoming(Some(&key), &header, sent.len() as u64);
    let mut there = 0;
    for round in 1..=4 {
        let (file, known) = rig.begin(&coming).unwrap();
        assert_eq!(known, there as u64, "round {round}");
        let until = (there + PIECE_MAX / 2 + round).min(sent.len());
        rig.files.write(file, &sent[there..until]).unwrap();
        there = until;
        match round {
            1 => rig.close(file),
            2 => rig.start(),
            // The link is another, and the file was not closed.
            _ => {}
        }
    }
    let (file, _) = rig.begin(&coming).unwrap();
    rig.files.write(file, &sent[there..]).unwrap();
    rig.finish(file, Some(&hash(&sent))).unwrap();
    assert_eq!(fs::read(rig.target("a")).unwrap(), sent);
    assert_eq!(rig.there(), ["a"]);
}

#[test]
fn what_is_there_of_another_source_is_thrown_away() {
    let mut rig = Rig::new();
    let (key, header) = (key(1), header(&json!({"dst_name": "a"})));
    let mut coming = incoming(Some(&key), &header, 1000);
    let (file, _) = rig.begin(&coming).unwrap();
    rig.files.write(file, &bytes(600)).unwrap();
    rig.close(file);
    coming.stamp.changed += 1;
    assert_eq!(rig.begin(&coming).unwrap().1, 0);
    // It goes elsewhere now.
    let (file, _) = rig.begin(&coming).unwrap();
    rig.files.write(file, &bytes(600)).unwrap();
    rig.config.target_directory = rig.dir.path().join("else").to_str().unwrap().to_owned();
    rig.start();
    assert_eq!(rig.begin(&coming).unwrap().1, 0);
    assert_eq!(rig.there(), [""; 0], "the old one is gone");
}

#[test]
fn a_hash_that_is_another_leaves_nothing() {
    let mut rig = Rig::new();
    let (key, header) = (key(1), header(&json!({"dst_name": "a"})));
    let coming = incoming(Some(&key), &header, 1000);
    let (file, _) = rig.begin(&coming).unwrap();
    rig.files.write(file, &bytes(1000)).unwrap();
    let error = rig.finish(file, Some(&hash(b"else"))).unwrap_err();
    assert!(matches!(error, FileError::Changed(_)), "{error}");
    assert_eq!((rig.there().len(), rig.entries()), (0, 0));
    assert_eq!(rig.begin(&coming).unwrap().1, 0);
}

#[test]
fn a_file_that_became_whole_before_a_crash_is_not_written_again() {
    let mut rig = Rig::new();
    let sent = bytes(1000);
    rig.receive(Some(&key(1)), &json!({"dst_name": "a"}), &sent).unwrap();
    for taken_away in [false, true] {
        if taken_away {
            fs::remove_file(rig.target("a")).unwrap();
        }
        rig.start();
        let (key, header) = (key(1), header(&json!({"dst_name": "a"})));
        let (file, there) = rig.begin(&incoming(Some(&key), &header, 1000)).unwrap();
        assert_eq!(there, 1000);
        assert_eq!(rig.finish(file, Some(&hash(&sent))), Ok(1000));
        assert_eq!(rig.target("a").exists(), !taken_away);
    }
    fs::remove_dir_all(rig.dir.path().join("in")).unwrap();
    rig.receive(Some(&key(1)), &json!({"dst_name": "a"}), &sent).unwrap();
    assert!(!rig.target("a").exists(), "its reader has taken the whole folder away");
}

#[test]
fn a_crash_between_note_and_name_is_made_good() {
    let mut rig = Rig::new();
    let sent = bytes(1000);
    let (key, header) = (key(1), header(&json!({"dst_name": "a"})));
    let coming = incoming(Some(&key), &header, 1000);
    let (file, _) = rig.begin(&coming).unwrap();
    rig.files.write(file, &sent).unwrap();
    let id = super::journal::Journal::id(&key);
    rig.files.journal.name(&id).unwrap().write(false).unwrap();
    rig.start();
    let (file, there) = rig.begin(&coming).unwrap();
    assert_eq!(there, 1000);
    rig.finish(file, Some(&hash(&sent))).unwrap();
    assert_eq!(rig.there(), ["a"]);

    // The disk knows no renaming that leaves others alone, and the connector died between link and unlink.
    fs::hard_link(rig.target("a"), rig.target(&super::names::partial(&id))).unwrap();
    rig.start();
    let (file, there) = rig.begin(&coming).unwrap();
    assert_eq!((there, rig.finish(file, Some(&hash(&sent)))), (1000, Ok(1000)));
    assert_eq!(rig.there(), ["a"]);
}

#[test]
fn an_entry_without_its_partial_file_begins_anew() {
    let mut rig = Rig::new();
    let (key, header) = (key(1), header(&json!({"dst_name": "a"})));
    let coming = incoming(Some(&key), &header, 1000);
    let (file, _) = rig.begin(&coming).unwrap();
    rig.files.write(file, &bytes(600)).unwrap();
    rig.close(file);
    let partial = rig.target(&rig.there()[0]);
    fs::remove_file(&partial).unwrap();
    assert_eq!(rig.begin(&coming).unwrap().1, 0);
    // Nor is one believed that has more than there can be.
    fs::write(&partial, bytes(1001)).unwrap();
    rig.start();
    assert_eq!(rig.begin(&coming).unwrap().1, 0);
}

#[test]
fn a_lane_that_goes_on_forgets_what_lies_behind() {
    let mut rig = Rig::new();
    for number in 1..=4 {
        let (key, header) = (key(number), header(&json!({"dst_name": format!("{number}")})));
        let (file, _) = rig.begin(&incoming(Some(&key), &header, 10)).unwrap();
        rig.files.write(file, b"12345").unwrap();
        if number != 2 {
            rig.close(file);
        }
    }
    rig.forget(&key(3));
    assert_eq!((rig.there().len(), rig.entries()), (1, 1));
    let mut other = key(0);
    other.epoch += 1;
    rig.forget(&other);
    assert_eq!((rig.there().len(), rig.entries()), (0, 0));
}

#[test]
fn what_nobody_has_gone_on_with_for_long_is_removed_at_a_start() {
    let mut rig = Rig::new();
    let (key1, header1) = (key(1), header(&json!({"dst_name": "partial"})));
    let (file, _) = rig.begin(&incoming(Some(&key1), &header1, 10)).unwrap();
    rig.files.write(file, b"12345").unwrap();
    rig.receive(Some(&key(2)), &json!({"dst_name": "whole"}), b"1").unwrap();
    rig.start();
    assert_eq!((rig.there().len(), rig.entries()), (2, 2));
    for (kept, left) in [(PARTIAL_KEPT, 1), (WHOLE_KEPT, 0)] {
        for name in names(&rig.journal()) {
            let entry = File::options().write(true).open(rig.journal().join(name)).unwrap();
            entry.set_modified(SystemTime::now() - kept).unwrap();
        }
        rig.start();
        assert_eq!((rig.there(), rig.entries()), (vec!["whole".to_owned()], left));
    }
}

#[test]
fn of_two_files_to_one_name_the_second_is_refused() {
    for sync in [false, true] {
        let mut rig = if sync { Rig::new().synced() } else { Rig::new() };
        let header = header(&json!({"dst_name": "a"}));
        let (one, _) = rig.begin(&incoming(Some(&key(1)), &header, 3)).unwrap();
        let (two, _) = rig.begin(&incoming(Some(&key(2)), &header, 3)).unwrap();
        rig.files.write(two, b"two").unwrap();
        rig.files.write(one, b"one").unwrap();
        rig.finish(two, Some(&hash(b"two"))).unwrap();
        let error = refusal(rig.finish(one, Some(&hash(b"one"))));
        assert!(error.contains("client1/a exists") && error.contains("override_existing"), "{error}");
        assert_eq!(fs::read(rig.target("a")).unwrap(), b"two");
        assert_eq!(rig.there(), ["a"]);
        let error = refusal(rig.begin(&incoming(Some(&key(3)), &header, 3)));
        assert!(error.contains("client1/a exists"), "{error}");
    }
}

#[test]
fn files_that_may_override_come_one_after_the_other() {
    let mut rig = Rig::new().overriding();
    let header = header(&json!({"dst_name": "a"}));
    let (one, _) = rig.begin(&incoming(Some(&key(1)), &header, 3)).unwrap();
    let (two, _) = rig.begin(&incoming(None, &header, 3)).unwrap();
    rig.files.write(two, b"two").unwrap();
    rig.files.write(one, b"one").unwrap();
    rig.finish(two, None).unwrap();
    assert_eq!(fs::read(rig.target("a")).unwrap(), b"two");
    let reader = File::open(rig.target("a")).unwrap();
    rig.finish(one, Some(&hash(b"one"))).unwrap();
    assert_eq!(fs::read(rig.target("a")).unwrap(), b"one");
    assert_eq!(std::io::read_to_string(reader).unwrap(), "two", "who reads the old one has it whole");
}

#[test]
fn a_folder_that_is_removed_meanwhile_is_made_again() {
    let mut rig = Rig::new();
    let (key, header) = (key(1), header(&json!({"dst_name": "sub/a"})));
    let coming = incoming(Some(&key), &header, 3);
    let (file, _) = rig.begin(&coming).unwrap();
    rig.files.write(file, b"one").unwrap();
    fs::remove_dir_all(rig.dir.path().join("in")).unwrap();
    let error = rig.finish(file, Some(&hash(b"one"))).unwrap_err();
    assert!(matches!(&error, FileError::Changed(why) if why.contains("removed")), "{error}");
    rig.receive(Some(&key), &json!({"dst_name": "sub/a"}), b"one").unwrap();
    assert_eq!(fs::read(rig.target("sub/a")).unwrap(), b"one");
}

#[test]
fn a_folder_that_is_moved_away_meanwhile_gets_no_file() {
    let mut rig = Rig::new();
    let (key, header) = (key(1), header(&json!({"dst_name": "a"})));
    let (file, _) = rig.begin(&incoming(Some(&key), &header, 3)).unwrap();
    rig.files.write(file, b"one").unwrap();
    fs::rename(rig.dir.path().join("in"), rig.dir.path().join("old")).unwrap();
    rig.finish(file, Some(&hash(b"one"))).unwrap();
    assert_eq!(rig.there(), ["a"]);
    assert_eq!(names(&rig.dir.path().join("old/client1")), [""; 0]);
}

#[test]
fn a_file_is_given_to_its_owner_before_it_is_seen() {
    if !is_root() {
        return eprintln!("skipped: only root gives files away");
    }
    let mut rig = Rig::new();
    rig.config.owner = Some("nobody:root".to_owned());
    rig.start();
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap().uid.as_raw();
    rig.receive(Some(&key(1)), &json!({"dst_name": "sub/a"}), b"1").unwrap();
    for made in ["", "sub", "sub/a"] {
        assert_eq!(fs::metadata(rig.target(made)).unwrap().uid(), nobody, "{made}");
    }
    assert_eq!(fs::metadata(rig.dir.path().join("in")).unwrap().uid(), nobody);
    // The message's word goes before the config's, and one that means nobody is passed over.
    rig.receive(None, &json!({"dst_name": "b", "owner": "root:root"}), b"1").unwrap();
    rig.receive(None, &json!({"dst_name": "c", "owner": "no-such-user:root"}), b"1").unwrap();
    assert_eq!(fs::metadata(rig.target("b")).unwrap().uid(), 0);
    assert_eq!(fs::metadata(rig.target("c")).unwrap().uid(), 0);
}

#[test]
fn a_full_disk_has_room_later() {
    let mut rig = Rig::new();
    let Some(disk) = SmallDisk::mount(&rig.dir.path().join("in"), 1 << 20) else { return };
    let sent = bytes(700_000);
    let (one, two) = (key(1), key(2));
    let (header1, header2) = (header(&json!({"dst_name": "1"})), header(&json!({"dst_name": "2"})));
    let (file, _) = rig.begin(&incoming(Some(&one), &header1, 700_000)).unwrap();
    let coming = incoming(Some(&two), &header2, 700_000);
    let error = rig.begin(&coming).unwrap_err();
    assert!(matches!(&error, FileError::Later(why) if why.contains("700000 are for others")), "{error}");

    rig.files.write(file, &sent[..100_000]).unwrap();
    fs::write(rig.dir.path().join("in/other"), bytes(600_000)).unwrap();
    let error = rig.files.write(file, &sent[100_000..]).unwrap_err();
    assert!(matches!(&error, FileError::Later(why) if why.contains("disk is full")), "{error}");
    rig.close(file);
    let error = rig.begin(&incoming(Some(&one), &header1, 700_000)).unwrap_err();
    assert!(matches!(&error, FileError::Later(why) if why.contains("600000 bytes")), "{error}");

    fs::remove_file(rig.dir.path().join("in/other")).unwrap();
    let (file, there) = rig.begin(&incoming(Some(&one), &header1, 700_000)).unwrap();
    assert_eq!(there, 100_000, "what did not find room whole does not count");
    rig.files.write(file, &sent[100_000..]).unwrap();
    rig.finish(file, Some(&hash(&sent))).unwrap();
    assert_eq!(fs::read(rig.target("1")).unwrap(), sent);
    drop(disk);
}

#[test]
fn a_disk_that_nothing_can_be_written_to_may_be_better_later() {
    let mut rig = Rig::new();
    let Some(disk) = SmallDisk::mount(&rig.dir.path().join("in"), 1 << 20) else { return };
    disk.make_read_only();
    let header = header(&json!({"dst_name": "1"}));
    let error = rig.begin(&incoming(Some(&key(1)), &header, 7)).unwrap_err();
    assert!(matches!(&error, FileError::Later(why) if why.contains("client1")), "{error}");
    assert_eq!(rig.entries(), 0);
}

/// In a process of its own, so that the memory of other tests does not count.
#[test]
fn long_files_take_no_memory() {
    const ALONE: &str = "AIOCONNECTORS_TEST_ALONE";
    if env::var_os(ALONE).is_none() {
        let mut alone = Command::new(env::current_exe().unwrap());
        alone.args(["--exact", "files::receive_tests::long_files_take_no_memory"]).env(ALONE, "1");
        let output = alone.output().unwrap();
        return assert!(output.status.success(), "{output:?}");
    }
    let mut rig = Rig::new();
    let size = 64 * PIECE_MAX as u64;
    let (key, header) = (key(1), header(&json!({"dst_name": "a"})));
    let coming = Incoming { stamp: Stamp::default(), ..incoming(Some(&key), &header, size) };
    let piece = bytes(PIECE_MAX);
    let before = resident();
    let (file, _) = rig.begin(&coming).unwrap();
    (0..63).for_each(|_| rig.write(file, &piece).unwrap());
    rig.wait_for(file, |result| *result == Ok(Step::Written(63 * PIECE_MAX as u64))).unwrap();
    rig.close(file);
    let (file, there) = rig.begin(&coming).unwrap();
    assert_eq!(there, 63 * PIECE_MAX as u64);
    rig.files.write(file, &piece).unwrap();
    let mut hasher = blake3::Hasher::new();
    (0..64).for_each(|_| _ = hasher.update(&piece));
    rig.finish(file, Some(hasher.finalize().as_bytes())).unwrap();
    let grown = resident().saturating_sub(before);
    assert!(grown < 8 << 20, "{grown} bytes more for a file of {size}");
}

/// Bytes of memory of this process.
fn resident() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[derive(Debug)]
struct Slow(Vec<u64>, Folder);

impl TargetHook for Slow {
    fn ask(&mut self, ticket: u64, _: &[u8]) -> Asked<Folder> {
        self.0.push(ticket);
        Asked::Later
    }

    fn answer(&mut self) -> Option<(u64, Folder)> {
        self.0.pop().map(|ticket| (ticket, self.1.clone()))
    }

    fn forget(&mut self, ticket: u64) {
        self.0.retain(|asked| *asked != ticket);
    }
}

#[test]
fn a_hook_may_say_where_a_file_goes() {
    let mut rig = Rig::new();
    let elsewhere = rig.dir.path().join("elsewhere");
    for (answer, to) in [
        (Folder::AsConfigured, rig.target("a")),
        (Folder::Named("x/./y".into()), rig.target("x/y/a")),
        (Folder::Named(elsewhere.clone()), elsewhere.join("a")),
    ] {
        rig.files.set_hook(Box::new(Slow(Vec::new(), answer)));
        let header = header(&json!({"dst_name": "a"}));
        let (file, step) = rig.files.begin(&incoming(None, &header, 1)).unwrap();
        assert_eq!(step, Step::Working);
        assert_eq!(rig.wait(file), Ok(Step::Done(0)));
        rig.files.write(file, b"1").unwrap();
        rig.finish(file, None).unwrap();
        assert!(to.exists(), "{to:?}");
    }
    for (answer, why) in [
        (Folder::Refused("not today".to_owned()), "not today"),
        (Folder::Named("../x".into()), "leads elsewhere"),
        (Folder::Named(rig.dir.path().join("own")), "own folder"),
    ] {
        rig.files.set_hook(Box::new(Slow(Vec::new(), answer)));
        let header = header(&json!({"dst_name": "b"}));
        let (file, _) = rig.files.begin(&incoming(None, &header, 1)).unwrap();
        let error = refusal(rig.wait(file));
        assert!(error.contains(why), "{error}");
        rig.close(file);
    }
    // Closed before the answer: nothing is said of it.
    rig.files.set_hook(Box::new(Slow(Vec::new(), Folder::AsConfigured)));
    let header = header(&json!({"dst_name": "c"}));
    let (file, _) = rig.files.begin(&incoming(None, &header, 1)).unwrap();
    rig.close(file);
    assert_eq!(rig.files.work(), (Vec::new(), false));
}

#[test]
fn a_file_that_is_closed_while_it_is_written_through_is_named_all_the_same() {
    let mut rig = Rig::new().synced();
    let (key, header) = (key(1), header(&json!({"dst_name": "a"})));
    let coming = incoming(Some(&key), &header, 3);
    let (file, _) = rig.begin(&coming).unwrap();
    rig.files.write(file, b"one").unwrap();
    assert_eq!(rig.files.finish(file, Some(&hash(b"one"))), Ok(Step::Working));
    rig.close(file);
    let (file, there) = loop {
        // Until the thread is done, it must be asked again.
        match rig.begin(&coming) {
            Err(FileError::Later(_)) => assert_eq!(rig.files.work().0, []),
            begun => break begun.unwrap(),
        }
    };
    assert_eq!((there, rig.finish(file, Some(&hash(b"one")))), (3, Ok(3)));
    assert_eq!(rig.there(), ["a"]);
}

#[test]
fn a_large_file_takes_the_name_of_another_beside_the_loop() {
    let mut rig = Rig::new().overriding();
    for (number, size) in [(1, 20), (2, LARGE as usize)] {
        let sent = bytes(size);
        let (key, header) = (key(number), header(&json!({"dst_name": "a"})));
        let (file, _) = rig.begin(&incoming(Some(&key), &header, size as u64)).unwrap();
        sent.chunks(PIECE_MAX).for_each(|piece| rig.write(file, piece).unwrap());
        let step = rig.files.finish(file, Some(&hash(&sent))).unwrap();
        assert_eq!(step == Step::Working, size == LARGE as usize);
        assert_eq!(rig.done(file, step), Ok(size as u64));
        assert_eq!(fs::read(rig.target("a")).unwrap(), sent);
    }
}

#[test]
fn nobody_else_reads_what_is_not_whole() {
    let mut rig = Rig::new();
    let header = header(&json!({"dst_name": "a"}));
    rig.begin(&incoming(Some(&key(1)), &header, 3)).unwrap();
    let partial = rig.target(&rig.there()[0]);
    assert_eq!(fs::metadata(partial).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(rig.journal()).unwrap().permissions().mode() & 0o777, 0o700);
}
