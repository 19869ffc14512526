//! Files in pieces, as the Python package sends them.

use std::fs::{self, File};
use std::time::SystemTime;

use serde_json::{Value, json};

use super::stale::PARTIAL_KEPT;
use super::testing::{Rig, bytes, hash, header, header_from, incoming, key, names, refusal};
use crate::core::files::{FileError, Files, Step};

fn piece(name: &str, index: usize, count: usize) -> Value {
    let base = format!("{name}__aioconnectors_chunk");
    json!({"dst_name": format!("{base}_{index}_{count}"), "chunked": [base, index, count]})
}

#[test]
fn pieces_are_joined_in_the_order_of_their_numbers() {
    for sync in [false, true] {
        let mut rig = if sync { Rig::new().synced() } else { Rig::new() };
        let sent = bytes(3_000_000);
        let pieces: Vec<&[u8]> = sent.chunks(250_001).collect();
        assert_eq!(pieces.len(), 12);
        for (index, bytes) in (1..).zip(&pieces) {
            assert_eq!(rig.there().iter().filter(|name| !name.starts_with('.')).count(), 0);
            rig.receive(None, &piece("a.bin", index, 12), bytes).unwrap();
        }
        assert_eq!(rig.there(), ["a.bin"]);
        assert_eq!(fs::read(rig.target("a.bin")).unwrap(), sent);
        assert_eq!(rig.entries(), 0);
    }
}

#[test]
fn pieces_come_in_any_order_into_folders() {
    let mut rig = Rig::new();
    for index in [2, 3, 1] {
        rig.receive(Some(&key(index)), &piece("sub/a", index as usize, 3), index.to_string().as_bytes()).unwrap();
    }
    assert_eq!(fs::read(rig.target("sub/a")).unwrap(), b"123");
    assert_eq!(names(&rig.target("sub")), ["a"]);
    rig.forget(&key(3));
    assert_eq!(rig.entries(), 0);
}

#[test]
fn pieces_of_two_senders_do_not_mix_even_in_one_folder() {
    let mut rig = Rig::new().overriding();
    rig.config.target_directory = rig.dir.path().join("in").to_str().unwrap().to_owned();
    rig.start();
    for index in 1..=2 {
        for source in ["one", "two"] {
            let header = header_from(source, &piece("a", index, 2));
            let text = format!("{source}{index}");
            let (file, _) = rig.begin(&incoming(None, &header, text.len() as u64)).unwrap();
            rig.files.write(file, text.as_bytes()).unwrap();
            rig.finish(file, None).unwrap();
            if (source, index) == ("one", 2) {
                assert_eq!(fs::read(rig.dir.path().join("in/a")).unwrap(), b"one1one2");
            }
        }
    }
    assert_eq!(fs::read(rig.dir.path().join("in/a")).unwrap(), b"two1two2");
    assert_eq!(names(&rig.dir.path().join("in")), ["a"]);
}

#[test]
fn pieces_of_a_file_that_exists_are_refused() {
    let mut rig = Rig::new();
    rig.receive(None, &piece("a", 1, 2), b"1").unwrap();
    fs::write(rig.target("a"), "mine").unwrap();
    assert!(refusal(rig.receive(None, &piece("a", 2, 2), b"2")).contains("exists"));

    // It comes into being while the last piece is on its way.
    fs::remove_file(rig.target("a")).unwrap();
    let header = header(&piece("a", 2, 2));
    let (file, _) = rig.begin(&incoming(None, &header, 1)).unwrap();
    rig.files.write(file, b"2").unwrap();
    fs::write(rig.target("a"), "mine").unwrap();
    assert!(refusal(rig.finish(file, None)).contains("exists"));
    assert_eq!((rig.there(), rig.entries()), (vec!["a".to_owned()], 0), "the pieces are gone");
    assert_eq!(fs::read(rig.target("a")).unwrap(), b"mine");
}

#[test]
fn the_whole_has_a_limit_too() {
    let mut rig = Rig::new();
    rig.max = 10;
    rig.start();
    rig.receive(None, &piece("a", 1, 2), &[1; 6]).unwrap();
    let error = refusal(rig.receive(None, &piece("a", 2, 2), &[2; 6]));
    assert!(error.contains("12 bytes in all") && error.contains("max_size_file_upload_recv"), "{error}");
    assert_eq!((rig.there().len(), rig.entries()), (0, 0));
}

#[test]
fn pieces_that_make_no_sense_are_refused() {
    let mut rig = Rig::new();
    for wrong in [
        json!({"dst_name": "a__aioconnectors_chunk_1_2", "chunked": ["b__aioconnectors_chunk", 1, 2]}),
        json!({"dst_name": "a__aioconnectors_chunk_1_2", "chunked": ["a__aioconnectors_chunk", 3, 2]}),
        json!({"dst_name": "a", "chunked": true}),
        json!({"dst_name": "..__aioconnectors_chunk_1_1", "chunked": ["..__aioconnectors_chunk", 1, 1]}),
    ] {
        let error = refusal(rig.receive(None, &wrong, b"1"));
        assert!(error.contains("chunked"), "{error}");
    }
}

#[test]
fn a_crash_at_any_point_of_the_joining_is_made_good() {
    // After so many steps of work, with the last piece there.
    for steps in 0..6 {
        let mut rig = Rig::new();
        // No thread goes on in the next life.
        let sent = bytes(1_500_000);
        let (one, two) = sent.split_at(800_000);
        rig.receive(Some(&key(1)), &piece("a", 1, 2), one).unwrap();
        let (key, header) = (key(2), header(&piece("a", 2, 2)));
        let coming = incoming(Some(&key), &header, two.len() as u64);
        let (file, _) = rig.begin(&coming).unwrap();
        rig.write(file, two).unwrap();
        assert_eq!(rig.files.finish(file, Some(&hash(two))), Ok(Step::Working));
        for _ in 0..steps {
            rig.files.work();
        }
        rig.start();
        let (file, there) = rig.begin(&coming).unwrap();
        assert_eq!(there, two.len() as u64);
        rig.finish(file, Some(&hash(two))).unwrap();
        assert_eq!(rig.there(), ["a"], "after {steps} steps");
        assert_eq!(fs::read(rig.target("a")).unwrap(), sent);
        rig.forget(&key);
        assert_eq!(rig.entries(), 0);
    }
}

#[test]
fn a_whole_that_was_named_before_a_crash_is_not_joined_again() {
    let mut rig = Rig::new();
    rig.receive(Some(&key(1)), &piece("a", 1, 2), b"1").unwrap();
    let (key, header) = (key(2), header(&piece("a", 2, 2)));
    let coming = incoming(Some(&key), &header, 1);
    let (file, _) = rig.begin(&coming).unwrap();
    rig.files.write(file, b"2").unwrap();
    assert_eq!(rig.files.finish(file, Some(&hash(b"2"))), Ok(Step::Working));
    // It is named and dies before the pieces are removed.
    let set = rig.files.journal.sets().remove(0).0;
    rig.files.journal.join(&set).unwrap().write(false).unwrap();
    fs::rename(rig.target(&super::names::joined(&set)), rig.target("a")).unwrap();
    assert_eq!(rig.there().len(), 3);
    rig.start();
    assert_eq!(rig.there(), ["a"]);
    let (file, there) = rig.begin(&coming).unwrap();
    assert_eq!((there, rig.finish(file, Some(&hash(b"2")))), (1, Ok(1)));
    assert_eq!(rig.there(), ["a"]);
}

#[test]
fn pieces_whose_others_do_not_come_are_removed_at_a_start() {
    let mut rig = Rig::new();
    rig.receive(None, &piece("a", 1, 2), b"1").unwrap();
    rig.start();
    assert_eq!((rig.there().len(), rig.entries()), (1, 1));
    for name in names(&rig.journal()) {
        let entry = File::options().write(true).open(rig.journal().join(name)).unwrap();
        entry.set_modified(SystemTime::now() - PARTIAL_KEPT).unwrap();
    }
    rig.start();
    assert_eq!((rig.there().len(), rig.entries()), (0, 0));
}

#[test]
fn a_file_may_come_in_pieces_again() {
    let mut rig = Rig::new().overriding();
    rig.receive(None, &piece("a", 1, 3), b"x").unwrap();
    for round in ["abc", "xyz"] {
        for index in 1..=3 {
            rig.receive(None, &piece("a", index, 3), &round.as_bytes()[index - 1..index]).unwrap();
        }
        assert_eq!(fs::read_to_string(rig.target("a")).unwrap(), round);
    }
    assert_eq!(rig.there(), ["a"]);
}

#[test]
fn a_piece_waits_while_the_one_before_it_of_that_name_is_joined() {
    let mut rig = Rig::new().overriding();
    rig.receive(None, &piece("a", 1, 2), &bytes(2_000_000)).unwrap();
    let header = header(&piece("a", 2, 2));
    let (file, _) = rig.begin(&incoming(None, &header, 1)).unwrap();
    rig.files.write(file, b"2").unwrap();
    assert_eq!(rig.files.finish(file, None), Ok(Step::Working));
    let again = rig.files.begin(&incoming(None, &header, 1)).unwrap_err();
    assert!(matches!(again, FileError::Later(_)), "{again}");
    rig.wait(file).unwrap();
    rig.receive(None, &piece("a", 1, 2), b"1").unwrap();
}
