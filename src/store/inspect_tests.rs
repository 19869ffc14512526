//! Reading rings from outside: damaged ones, and those that a connector is working with.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::*;
use crate::ring::header::{Kind, PAGE};
use crate::ring::{PushError, Ring};
use crate::store::Spool;

const LIMIT: usize = 64 * 1024;

fn identity() -> Identity {
    let text = |text: &str| text.to_owned();
    Identity { kind: Kind::Inbox, connector: text("c1"), peer: String::new(), message_type: text("any") }
}

fn ring(spool: &Spool) -> Ring {
    let opened = spool.open_ring(&identity(), LIMIT).unwrap();
    Ring::durable(opened.memory, opened.checkpoint, LIMIT, 1)
}

/// A ring of about 400 messages of many sizes, wrapped, of which the last 5 came behind the checkpoint.
fn wrapped(spool: &Spool) -> Ring {
    let mut ring = ring(spool);
    let mut number = 0_u64;
    let mut push = |ring: &mut Ring| {
        number += 1;
        let frame = [&number.to_le_bytes()[..], &vec![number as u8; (number * 7 % 200) as usize]].concat();
        ring.push(&[&frame], 0, None)
    };
    let is_wrapped = || found(spool).header.unwrap().checkpoint.wrapped;
    while !is_wrapped() {
        while push(&mut ring).is_ok() {}
        let (first, next) = (ring.first_sequence().unwrap(), ring.next_sequence());
        ring.release_to(first + (next - first) / 2, &mut |_| ());
        ring.checkpoint();
    }
    while ring.used() < LIMIT * 3 / 4 {
        push(&mut ring).unwrap();
    }
    ring.checkpoint();
    (0..5).for_each(|_| _ = push(&mut ring).unwrap());
    ring
}

fn found(spool: &Spool) -> Found {
    list(spool.folder()).unwrap().files.into_iter().next().unwrap()
}

fn read(found: &Found) -> (Vec<(u64, Vec<u8>)>, Report) {
    let mut all = Vec::new();
    let report = found.read(false, &mut |_, view, frame| {
        all.push((view.sequence, frame.to_vec()));
        Ok(())
    });
    (all, report.unwrap())
}

fn kept(ring: &Ring) -> Vec<(u64, Vec<u8>)> {
    ring.frames().map(|(view, frame)| (view.sequence, frame.to_vec())).collect()
}

#[test]
fn a_wrapped_ring_is_read_as_the_connector_reads_it_and_summed_up() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), false).unwrap();
    let ring = wrapped(&spool);
    let found = found(&spool);
    assert!(found.header.as_ref().unwrap().checkpoint.wrapped);
    let (all, report) = read(&found);
    assert_eq!((all, report.damage.len()), (kept(&ring), 0));
    let numbers = Some((ring.first_sequence().unwrap(), ring.next_sequence() - 1));
    let expected = Summary { messages: ring.len() as u64, bytes: ring.used() as u64, numbers };
    assert_eq!(found.summary().unwrap(), Some(expected));
}

#[test]
fn whatever_eight_bytes_are_damaged_at_most_one_message_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), false).unwrap();
    let ring = wrapped(&spool);
    let all = kept(&ring);
    drop(ring);
    let found = found(&spool);
    let mut opened = spool.open_ring(&identity(), LIMIT).unwrap();
    let length = opened.memory.bytes().len();
    for at in (0..length).step_by(8 * 43) {
        let data = opened.memory.bytes_mut();
        let before: [u8; 8] = data[at..at + 8].try_into().unwrap();
        data[at..at + 8].iter_mut().for_each(|byte| *byte ^= 0x5A);
        let (seen, report) = read(&found);
        opened.memory.bytes_mut()[at..at + 8].copy_from_slice(&before);
        // What came behind the checkpoint ends where it is torn.
        let in_tail = all.iter().rev().take(5).any(|message| !seen.contains(message));
        let missing = all.iter().filter(|message| !seen.contains(message)).count();
        assert!(missing <= 1 || in_tail && missing <= 5, "{at}: {missing} missing");
        assert!(seen.iter().all(|message| all.contains(message)), "{at}: what was never there");
        assert!(missing == 0 || in_tail || !report.damage.is_empty(), "{at}");
    }
}

#[test]
fn a_cut_ring_says_that_its_end_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), false).unwrap();
    let mut ring = ring(&spool);
    for _ in 0..100 {
        ring.push(&[&[1; 100]], 0, None).unwrap();
    }
    ring.checkpoint();
    drop(ring);
    let whole = found(&spool);
    let length = DATA_AT as u64 + 50 * 120 + 60;
    fs::OpenOptions::new().write(true).open(&whole.path).unwrap().set_len(length).unwrap();
    let (all, report) = read(&whole);
    assert_eq!(all.len(), 50);
    assert_eq!(report.damage.last().map(|damage| damage.offset + damage.bytes), Some(DATA_AT as u64 + 100 * 120));
}

#[test]
fn without_a_header_all_messages_are_found_by_their_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), false).unwrap();
    let ring = wrapped(&spool);
    let all = kept(&ring);
    drop(ring);
    let path = found(&spool).path;
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, [&[0; 2 * PAGE][..], &bytes[DATA_AT..]].concat()).unwrap();
    let found = found(&spool);
    assert_eq!(found.header, Err(Damage::NoHeader));
    let (seen, _) = read(&found);
    assert!(seen.is_sorted() && seen.ends_with(&all[all.len() - 20..]));
    assert!(all.iter().all(|message| seen.contains(message)));
}

/// Pushes and gives up messages as a connector does, until it is told to stop.
fn work(mut ring: Ring, stop: &AtomicBool) {
    let mut number = 0_usize;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        match ring.push(&[&vec![number as u8; number % 900]], 0, None) {
            Ok(_) => {}
            Err(PushError::Full { .. }) => {
                let (first, len) = (ring.first_sequence().unwrap(), ring.len() as u64);
                ring.release_to(first + len / 3 + 1, &mut |_| ());
                ring.checkpoint();
            }
            Err(error) => panic!("{error}"),
        }
        if number.is_multiple_of(17) {
            ring.checkpoint();
        }
    }
}

#[test]
fn what_a_running_connector_does_meanwhile_is_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), false).unwrap();
    let ring = ring(&spool);
    let stop = AtomicBool::new(false);
    let folder = spool.folder();
    let read_often = || {
        let mut messages = 0;
        for _ in 0..100 {
            let mut last = 0;
            let found = list(folder).unwrap().files.remove(0);
            let report = found.read(true, &mut |_, view, frame| {
                assert!(view.sequence > last && frame.iter().all(|byte| *byte == frame[0]));
                last = view.sequence;
                Ok(())
            });
            let report = report.unwrap();
            assert_eq!(report.damage, [], "nothing is damaged");
            messages += report.messages;
        }
        messages
    };
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(read_often));
            stop.store(true, Ordering::Relaxed);
            result
        });
        work(ring, &stop);
        assert!(reader.join().unwrap().is_ok_and(|messages| messages > 0));
    });
}
