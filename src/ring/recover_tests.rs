use super::super::testing::{File, flush, identity};
use super::super::{Ring, header};
use super::*;
use crate::wire::record::{read_record, record_size};

const LIMIT: usize = 60_000;

fn push(ring: &mut Ring, frame: &[u8]) {
    let origin = Origin { slot: 3, generation: 1, count: ring.next_sequence() };
    ring.push(&[frame], 0, Some(origin)).unwrap();
}

/// A file with some records before its checkpoint, and some behind it.
fn sample(before: u8, behind: u8) -> File {
    let file = File::new();
    let mut ring = file.open(LIMIT).0;
    (0..before).for_each(|n| push(&mut ring, &[n; 20]));
    ring.checkpoint();
    (before..before + behind).for_each(|n| push(&mut ring, &[n; 20]));
    flush(&mut ring);
    file
}

/// All frames that a ring gives out, with their numbers. What is damaged is given up.
fn drain(ring: &mut Ring) -> Vec<(u64, Vec<u8>)> {
    let mut all = Vec::new();
    loop {
        match ring.raw(1 << 30, u64::MAX).map(<[u8]>::to_vec) {
            Ok(run) if run.is_empty() => return all,
            Ok(run) => {
                let mut rest = &run[..];
                while let Some(head) = Head::at(rest, 0) {
                    let (view, frame) = read_record(&rest[..head.size()]).unwrap();
                    all.push((view.sequence, frame.to_vec()));
                    rest = &rest[head.size()..];
                }
                ring.raw_sent(run.len());
            }
            Err(_) => assert!(ring.skip_damaged().records > 0, "it gets less"),
        }
    }
}

fn numbers(all: &[(u64, Vec<u8>)]) -> Vec<u64> {
    all.iter().map(|(sequence, _)| *sequence).collect()
}

#[test]
fn a_file_without_content_holds_no_ring() {
    let zeros = [0; DATA_AT];
    for (pages, data) in [(&zeros[..0], &zeros[..0]), (&zeros[..100], &[]), (&zeros, &[]), (&zeros, &zeros)] {
        assert_eq!(recover(pages, data, None), Ok(None));
    }
}

#[test]
fn a_file_that_is_shorter_than_its_header_is_damage() {
    let file = sample(1, 0);
    let bytes = file.bytes.borrow();
    assert_eq!(recover(&bytes[..PAGE], &[], None), Err(Damage::Short { length: PAGE }));
}

#[test]
fn both_pages_bad_is_damage() {
    let file = sample(1, 0);
    file.bytes.borrow_mut()[..DATA_AT].fill(0);
    assert_eq!(file.look(), Err(Damage::NoHeader));
    file.bytes.borrow_mut()[..DATA_AT].fill(7);
    assert_eq!(file.look(), Err(Damage::NoHeader));
}

#[test]
fn of_two_pages_the_newer_counts_and_of_one_that_one() {
    let file = sample(2, 1);
    let newest = file.look().unwrap().unwrap();
    assert_eq!((newest.header.generation, newest.checkpoint.records, newest.tail_records), (2, 3, 1));
    let at = (newest.header.generation % 2) as usize * PAGE;
    file.bytes.borrow_mut()[at + 20] ^= 1;
    let older = file.look().unwrap().unwrap();
    assert_eq!((older.header.generation, older.checkpoint.records, older.tail_records), (1, 3, 3));
}

#[test]
fn another_version_and_anothers_ring_are_not_touched() {
    let file = sample(1, 0);
    let other = Identity { peer: "another".to_owned(), ..identity() };
    let bytes = file.bytes.borrow().clone();
    let refused = recover(&bytes[..DATA_AT], &bytes[DATA_AT..], Some(&other));
    assert!(matches!(refused, Err(Damage::OtherIdentity { .. })), "{refused:?}");
    assert!(recover(&bytes[..DATA_AT], &bytes[DATA_AT..], None).unwrap().is_some(), "tools open any");
    for page in [0, PAGE] {
        file.bytes.borrow_mut()[page + 8..page + 12].copy_from_slice(&(header::FORMAT + 1).to_le_bytes());
    }
    assert_eq!(file.look(), Err(Damage::OtherFormat(header::FORMAT + 1)));
}

#[test]
fn a_file_that_was_cut_is_damage_only_if_records_are_gone() {
    let file = sample(3, 0);
    let end = file.look().unwrap().unwrap().checkpoint.end as usize;
    file.bytes.borrow_mut().truncate(DATA_AT + end);
    let (mut ring, _) = file.open(LIMIT);
    assert_eq!(numbers(&drain(&mut ring)), [1, 2, 3]);
    push(&mut ring, b"more");
    file.bytes.borrow_mut().truncate(DATA_AT + end - 8);
    assert_eq!(file.look(), Err(Damage::Cut { needed: end as u64, length: end as u64 - 8 }));
}

#[test]
fn an_empty_ring_that_was_cut_keeps_its_numbers() {
    let file = sample(3, 0);
    let (mut ring, _) = file.open(LIMIT);
    ring.release_to(9, &mut |_| ());
    push(&mut ring, b"more");
    ring.release_to(9, &mut |_| ());
    ring.checkpoint();
    file.bytes.borrow_mut().truncate(DATA_AT);
    let (mut ring, _) = file.open(LIMIT);
    assert_eq!((ring.next_sequence(), ring.len()), (5, 0));
    push(&mut ring, b"more");
    assert_eq!(numbers(&drain(&mut ring)), [5]);
}

#[test]
fn whole_records_behind_the_checkpoint_are_taken_in_and_their_origins_told() {
    let found = sample(2, 3).look().unwrap().unwrap();
    assert_eq!((found.checkpoint.records, found.tail_records, found.checkpoint.next_sequence), (5, 3, 6));
    assert_eq!(found.origins.iter().map(|o| o.count).collect::<Vec<_>>(), [3, 4, 5]);
    assert_eq!(found.checkpoint.used, 5 * record_size(20, true) as u64);
}

#[test]
fn a_torn_record_ends_the_tail() {
    let file = sample(2, 3);
    let at = DATA_AT + 3 * record_size(20, true) + 40;
    file.bytes.borrow_mut()[at] ^= 1;
    assert_eq!(numbers(&drain(&mut file.open(LIMIT).0)), [1, 2, 3]);
}

#[test]
fn what_was_behind_a_torn_record_does_not_come_back_behind_the_next() {
    let file = sample(1, 2);
    let at = DATA_AT + record_size(20, true) + 40;
    file.bytes.borrow_mut()[at] ^= 1;
    let (mut ring, _) = file.open(LIMIT);
    push(&mut ring, b"as long as the other");
    flush(&mut ring);
    let all = drain(&mut file.open(LIMIT).0);
    assert_eq!(all[1..], [(2, b"as long as the other".to_vec())]);
}

#[test]
fn what_was_given_up_before_is_no_tail() {
    let file = sample(3, 0);
    let (mut ring, _) = file.open(LIMIT);
    ring.release_to(9, &mut |_| ());
    ring.checkpoint();
    let found = file.look().unwrap().unwrap();
    assert_eq!((found.checkpoint.end, found.tail_records), (0, 0), "it begins at the beginning, where record 1 was");
}

/// A file with a wrapped ring of large records.
fn wrapped() -> (File, Ring) {
    let file = File::new();
    let mut ring = file.open(LIMIT).0;
    loop {
        push(&mut ring, &[7; 5000]);
        if ring.wrapped {
            return (file, ring);
        }
        if ring.len() > 2 {
            let to = ring.first_sequence().unwrap() + 1;
            ring.release_to(to, &mut |_| ());
            ring.checkpoint();
        }
    }
}

#[test]
fn a_wrapped_ring_is_found_as_it_was() {
    let (file, mut ring) = wrapped();
    for behind in [true, false] {
        flush(&mut ring);
        let found = file.look().unwrap().unwrap();
        assert_eq!((found.tail_records > 0, found.checkpoint.wrapped), (behind, true));
        assert_eq!(numbers(&drain(&mut file.open(LIMIT).0)), ring.frames().map(|r| r.0.sequence).collect::<Vec<_>>());
        ring.checkpoint();
    }
    let bytes = file.bytes.borrow().clone();
    let cut = recover(&bytes[..DATA_AT], &bytes[DATA_AT..bytes.len() - 8], None);
    assert!(matches!(cut, Err(Damage::Cut { .. })), "{cut:?}");
}

#[test]
fn a_move_that_was_interrupted_is_finished() {
    let (file, mut ring) = wrapped();
    ring.checkpoint();
    let before: Vec<u64> = ring.frames().map(|r| r.0.sequence).collect();
    file.is_watched.set(true);
    while file.steps.borrow().is_empty() {
        push(&mut ring, &[8; 5000]);
    }
    let steps = file.steps.borrow().clone();
    let mut moved = 0;
    for step in steps {
        *file.bytes.borrow_mut() = step;
        let found = file.look().unwrap().unwrap();
        moved += usize::from(found.checkpoint.moved_at > 0);
        let data = &file.bytes.borrow()[DATA_AT..].to_vec();
        let walked: Vec<u64> = walk(data, &found.checkpoint).map(|r| r.view.sequence).collect();
        assert!(walked.starts_with(&before), "{walked:?}");
        assert_eq!(numbers(&drain(&mut file.open(LIMIT).0)), walked);
    }
    assert!(moved > 0, "one of the steps is between the checkpoint and the mark");
}

#[test]
fn a_smaller_limit_takes_nothing_more_until_there_is_room_and_a_greater_one_at_once() {
    let file = sample(10, 0);
    let (mut ring, _) = file.open(100);
    assert!(matches!(ring.push(&[b""], 0, None), Err(super::super::PushError::Full { limit: 100, .. })));
    assert_eq!(drain(&mut ring).len(), 10);
    ring.release_sent();
    push(&mut ring, b"room");
    let (mut ring, _) = sample(10, 0).open(1 << 30);
    push(&mut ring, &[0; 1 << 20]);
    assert_eq!(drain(&mut ring).len(), 11);
}

#[test]
fn a_damaged_record_is_found_when_it_is_its_turn_and_given_up_alone() {
    for way in 0..3 {
        let file = sample(4, 0);
        let at = DATA_AT + record_size(20, true) + 40;
        file.bytes.borrow_mut()[at] ^= 1;
        let (mut ring, _) = file.open(LIMIT);
        assert_eq!((ring.len(), ring.front()), (4, None), "nothing that was not checked is given out");
        let damaged = match way {
            0 => {
                assert_eq!(ring.raw(1 << 20, u64::MAX).unwrap().len(), record_size(20, true), "up to the damage");
                ring.raw_sent(record_size(20, true));
                ring.raw(1 << 20, u64::MAX).unwrap_err()
            }
            1 => {
                let mut out = [0; 100];
                ring.check_front(100).unwrap();
                assert_eq!(ring.peek(&mut out), 20, "up to the damage");
                ring.sent(20);
                ring.check_front(100).unwrap_err()
            }
            _ => {
                assert_eq!(ring.release_to(9, &mut |_| ()), 1, "up to the damage");
                ring.check_front(1).unwrap_err()
            }
        };
        assert_eq!((damaged.offset, damaged.sequence, damaged.records), (record_size(20, true), 2, 3));
        let skipped = ring.skip_damaged();
        assert_eq!((skipped.records, skipped.copy), (1, Ok("type.bad-1".to_owned())));
        ring.check_invariants();
        assert_eq!(numbers(&drain(&mut ring)), [3, 4]);
        push(&mut ring, b"more");
        flush(&mut ring);
        let again = numbers(&drain(&mut file.open(LIMIT).0));
        assert_eq!(again, if way == 2 { vec![3, 4, 5] } else { vec![1, 3, 4, 5] });
    }
}

#[test]
fn a_record_that_leads_nowhere_takes_all_behind_it_along() {
    let file = sample(4, 0);
    file.bytes.borrow_mut()[DATA_AT + record_size(20, true)] ^= 128;
    let (mut ring, _) = file.open(LIMIT);
    ring.raw(1, u64::MAX).unwrap();
    assert_eq!(ring.skip_damaged().records, 3);
    ring.check_invariants();
    push(&mut ring, b"more");
    flush(&mut ring);
    assert_eq!(numbers(&drain(&mut ring)), [1, 5]);
    assert_eq!(numbers(&drain(&mut file.open(LIMIT).0)), [1, 5]);
}

#[test]
fn a_record_that_leads_nowhere_takes_nothing_along_that_came_after_the_opening() {
    for wrapped in [false, true] {
        let file = sample(4, 0);
        if wrapped {
            let mut ring = file.open(LIMIT).0;
            // Until the ring goes round its memory, with the oldest at its end.
            while !ring.wrapped {
                push(&mut ring, &[0; 20]);
                ring.rewind();
                ring.raw(1 << 20, u64::MAX).unwrap();
                if ring.len() > 4 {
                    ring.release_to(ring.next_sequence() - 4, &mut |_| ());
                }
                ring.checkpoint();
            }
            flush(&mut ring);
        }
        let (mut ring, _) = file.open(LIMIT);
        let (old, next) = (ring.len() as u64, ring.next_sequence());
        let second = ring.locate(ring.first).map(|(at, head)| ring.locate(at + head.size()).unwrap().0).unwrap();
        ring.memory.bytes_mut()[second + 3] ^= 127;
        push(&mut ring, b"new");
        push(&mut ring, b"newer");
        ring.raw(1, u64::MAX).unwrap();
        assert_eq!(ring.skip_damaged().records, old - 1, "wrapped: {wrapped}");
        ring.check_invariants();
        push(&mut ring, b"newest");
        ring.checkpoint();
        flush(&mut ring);
        let expected = [next - old, next, next + 1, next + 2];
        assert_eq!(numbers(&drain(&mut ring)), expected, "wrapped: {wrapped}");
        assert_eq!(numbers(&drain(&mut file.open(LIMIT).0)), expected, "wrapped: {wrapped}");
    }
}

#[test]
fn a_walk_shows_what_is_sound_and_what_is_not() {
    let file = sample(4, 1);
    let found = file.look().unwrap().unwrap();
    let mut data = file.bytes.borrow()[DATA_AT..].to_vec();
    let seen = |data: &[u8]| walk(data, &found.checkpoint).map(|r| (r.view.sequence, r.sound)).collect::<Vec<_>>();
    assert_eq!(seen(&data), [(1, true), (2, true), (3, true), (4, true), (5, true)]);
    data[record_size(20, true) + 40] ^= 1;
    assert_eq!(seen(&data), [(1, true), (2, false), (3, true), (4, true), (5, true)]);
    data[record_size(20, true)] ^= 128;
    assert_eq!(seen(&data), [(1, true)]);
    let mut walk = walk(&data, &found.checkpoint);
    assert_eq!((walk.by_ref().count(), walk.lost()), (1, 4));
}

/// Opens whatever is in the file and does all that can be done: no panic, and nothing but what was pushed.
fn use_whatever_it_is(file: &File, pushed: &[(u64, Vec<u8>)], what: &str) {
    let Ok((mut ring, found)) = file.try_open(LIMIT) else { return };
    if let Some(found) = found {
        let data = file.bytes.borrow()[DATA_AT..].to_vec();
        let walked = walk(&data, &found.checkpoint).filter(|r| r.sound);
        for record in walked {
            assert!(pushed.contains(&(record.view.sequence, record.frame.to_vec())), "{what}");
        }
    }
    ring.frames().for_each(|(view, frame)| assert!(pushed.contains(&(view.sequence, frame.to_vec())), "{what}"));
    let all = drain(&mut ring);
    assert!(all.iter().all(|one| pushed.contains(one)), "{what}: {:?}", numbers(&all));
    ring.check_invariants();
    let (mut ring, _) = file.try_open(LIMIT).unwrap();
    ring.skip_to(3);
    ring.release_to(2, &mut |_| ());
    ring.drop_oldest(LIMIT - 100, &mut |view, frame| {
        assert!(pushed.contains(&(view.sequence, frame.to_vec())), "{what}");
    });
    (0..3).for_each(|_| drop(ring.push(&[&[9; 3000]], 0, None)));
    drain(&mut ring);
    ring.release_sent();
    ring.clear();
    ring.checkpoint();
    ring.give_back();
}

/// A small ring that wraps: three records in memory that has room for hardly more.
fn small() -> (File, Vec<(u64, Vec<u8>)>) {
    let file = File::new();
    let mut ring = file.open(LIMIT).0;
    for n in 0..12 {
        push(&mut ring, &[n; 3000]);
        if ring.len() > 3 {
            let to = ring.first_sequence().unwrap() + 1;
            ring.release_to(to, &mut |_| ());
        }
        if n % 3 == 0 {
            ring.checkpoint();
        }
    }
    flush(&mut ring);
    (file, (0..12).map(|n| (u64::from(n) + 1, vec![n; 3000])).collect())
}

#[test]
fn no_flipped_bit_makes_a_wrong_frame() {
    let (straight, wrapped) = (sample(3, 2), small());
    let pushed = (0..5).map(|n| (u64::from(n) + 1, vec![n; 20])).collect::<Vec<(u64, Vec<u8>)>>();
    for (is_large, (file, pushed)) in [(false, (straight, pushed)), (true, wrapped)] {
        let bytes = file.bytes.borrow().clone();
        let found = file.look().unwrap().unwrap();
        let whole = walk(&bytes[DATA_AT..], &found.checkpoint).map(|r| r.offset).collect::<Vec<_>>();
        // All bits of what is not the inside of a large frame, and some of that.
        let heads = whole.iter().flat_map(|at| DATA_AT + at..DATA_AT + at + 60);
        let ends = DATA_AT + found.checkpoint.end as usize;
        let places = (0..200).chain(PAGE..PAGE + 200).chain(heads).chain(ends..ends + 16);
        for at in places.chain((0..bytes.len()).step_by(1999)) {
            // Where there is much to flip, one bit of each byte.
            for bit in if is_large { at % 8..at % 8 + 1 } else { 0..8 } {
                file.bytes.borrow_mut().clone_from(&bytes);
                file.bytes.borrow_mut()[at] ^= 1 << bit;
                use_whatever_it_is(&file, &pushed, &format!("bit {bit} of byte {at}"));
            }
        }
    }
}

#[test]
fn no_cut_makes_a_wrong_frame() {
    let (file, pushed) = small();
    let bytes = file.bytes.borrow().clone();
    for length in (0..bytes.len()).step_by(37).chain(DATA_AT..DATA_AT + 100) {
        *file.bytes.borrow_mut() = bytes[..length].to_vec();
        use_whatever_it_is(&file, &pushed, &format!("cut at {length}"));
    }
}

#[test]
fn no_zeroed_or_random_stretch_makes_a_wrong_frame() {
    let (file, pushed) = small();
    let bytes = file.bytes.borrow().clone();
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let at = random.usize(..bytes.len());
        let length = random.usize(..=(bytes.len() - at).min(9000));
        file.bytes.borrow_mut().clone_from(&bytes);
        let is_zero = random.bool();
        file.bytes.borrow_mut()[at..at + length].fill_with(|| if is_zero { 0 } else { random.u8(..) });
        use_whatever_it_is(&file, &pushed, &format!("seed {seed}"));
    }
}
