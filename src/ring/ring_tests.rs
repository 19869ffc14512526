use std::collections::VecDeque;

use super::testing::File;
use super::{PushError, Ring, Sums};
use crate::wire::record::{Head, Origin, RECORD_HEADER, read_record, record_size};

fn take(ring: &mut Ring, count: usize) -> Vec<u8> {
    let mut out = vec![0; count];
    ring.check_front(count).unwrap();
    let got = ring.peek(&mut out);
    out.truncate(got);
    ring.sent(got);
    out
}

fn put(ring: &mut Ring, frame: &[u8]) -> u64 {
    ring.push(&[frame], 0, None).unwrap()
}

/// The frames in a run of records.
fn frames(mut run: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while let Some(head) = crate::wire::record::Head::at(run, 0) {
        frames.push(read_record(&run[..head.size()]).unwrap().1.to_vec());
        run = &run[head.size()..];
    }
    frames
}

#[test]
fn frames_come_out_in_order_and_whole() {
    let mut ring = Ring::heap(1024, 1, Sums::Never);
    ring.push(&[b"one", b"two"], 0, None).unwrap();
    put(&mut ring, b"three");
    assert_eq!(take(&mut ring, 100), b"onetwothree");
    assert_eq!(ring.len(), 2);
    ring.release_sent();
    assert!(ring.is_empty() && ring.used() == 0);
}

#[test]
fn what_was_sent_and_not_released_is_sent_again_whole_after_a_rewind() {
    let mut ring = Ring::heap(1024, 1, Sums::Never);
    put(&mut ring, b"aaaa");
    put(&mut ring, b"bbbb");
    assert_eq!(take(&mut ring, 6), b"aaaa", "only the first is cut");
    assert_eq!(take(&mut ring, 2), b"bb");
    assert!(ring.is_mid_frame());
    ring.release_sent();
    ring.rewind();
    assert_eq!(take(&mut ring, 100), b"bbbb");
}

#[test]
fn only_what_was_sent_is_released_one_by_one() {
    let mut ring = Ring::heap(1024, 1, Sums::Never);
    for frame in [b"aa", b"bb", b"cc"] {
        put(&mut ring, frame);
    }
    take(&mut ring, 4);
    assert_eq!((ring.release(1, &mut |_| ()), ring.len()), (1, 2));
    assert_eq!((ring.release(5, &mut |_| ()), ring.len()), (1, 1));
    ring.rewind();
    assert_eq!(take(&mut ring, 100), b"cc");
}

#[test]
fn a_full_ring_refuses_and_says_how_full_it_is() {
    let mut ring = Ring::heap(64, 1, Sums::Never);
    put(&mut ring, &[0; 16]);
    put(&mut ring, &[0; 16]);
    assert_eq!(ring.push(&[b""], 0, None), Err(PushError::Full { used: 64, limit: 64 }));
}

#[test]
fn one_frame_larger_than_the_limit_fits_into_an_empty_ring() {
    for mut ring in [Ring::heap(64, 1, Sums::Never), File::new().open(64).0] {
        put(&mut ring, &[7; 100_000]);
        assert!(ring.push(&[b""], 0, None).is_err());
        assert_eq!(take(&mut ring, 200_000), [7; 100_000]);
        ring.release_sent();
        put(&mut ring, &[8; 300_000]);
        ring.check_invariants();
    }
}

#[test]
fn an_empty_ring_gives_its_memory_back() {
    for mut ring in [Ring::heap(1 << 20, 1, Sums::Never), File::new().open(1 << 20).0] {
        put(&mut ring, &[0; 100_000]);
        ring.give_back();
        assert!(ring.capacity() > 0, "not while it is in use");
        take(&mut ring, 100_000);
        ring.release_sent();
        ring.checkpoint();
        ring.give_back();
        assert_eq!(ring.capacity(), 0);
        put(&mut ring, b"again");
        assert_eq!(take(&mut ring, 100), b"again");
    }
}

#[test]
fn numbers_begin_where_they_are_told_to_and_only_rise() {
    let mut ring = Ring::heap(1024, 1000, Sums::Never);
    assert_eq!(put(&mut ring, b"a"), 1000);
    ring.set_next_sequence(5);
    assert_eq!(put(&mut ring, b"b"), 1001);
    ring.set_next_sequence(2000);
    assert_eq!((put(&mut ring, b"c"), ring.next_sequence()), (2000, 2001));
    take(&mut ring, 1);
    assert_eq!((ring.first_sequence(), ring.front_sequence()), (Some(1000), Some(1001)));
    ring.release_sent();
    assert_eq!((ring.released_to(), ring.first_sequence()), (1001, Some(1001)));
}

#[test]
fn raw_gives_whole_records_below_a_number_and_the_rest_of_one_that_was_cut() {
    for sums in [Sums::AtPush, Sums::WhenSent] {
        let mut ring = Ring::heap(4096, 1, sums);
        for frame in [&[1; 24], &[2; 24], &[3; 24]] {
            put(&mut ring, frame);
        }
        assert_eq!(frames(ring.raw(1000, u64::MAX).unwrap()), [[1; 24], [2; 24], [3; 24]]);
        assert_eq!(frames(ring.raw(1000, 3).unwrap()).len(), 2);
        assert_eq!(frames(ring.raw(1000, 1).unwrap()).len(), 0);
        assert_eq!(frames(ring.raw(100, u64::MAX).unwrap()).len(), 2);
        let whole = ring.raw(1000, u64::MAX).unwrap().to_vec();
        assert_eq!(ring.raw(30, u64::MAX).unwrap(), &whole[..30], "longer than allowed");
        assert_eq!((ring.raw_sent(30), ring.is_mid_frame()), (0, true));
        assert_eq!((ring.in_flight_bytes(), ring.unsent_bytes()), (30, 90));
        assert_eq!(ring.raw(1000, 2).unwrap(), &whole[30..40], "what was begun is finished");
        assert_eq!(ring.raw_sent(10), 1);
        assert_eq!(ring.raw(1000, u64::MAX).unwrap(), &whole[40..]);
        assert_eq!((ring.raw_sent(80), ring.unsent(), ring.in_flight_bytes()), (2, 0, 120));
        assert_eq!(ring.raw(1000, u64::MAX).unwrap(), b"");
    }
}

#[test]
fn what_records_hold_is_given_without_checksums_and_sent_as_a_whole() {
    let mut ring = Ring::heap(4096, 1, Sums::WhenSent);
    for frame in [&[1; 24], &[2; 24], &[3; 24]] {
        put(&mut ring, frame);
    }
    let unsummed = ring.unsummed(1000, 3).unwrap();
    assert_eq!(unsummed.len(), 80);
    assert_eq!(Head::new(unsummed.first_chunk().unwrap()).crc, 0);
    assert_eq!(ring.raw_sent(40), 1, "one of the two");
    assert_eq!(frames(ring.raw(1000, u64::MAX).unwrap()), [[2; 24], [3; 24]]);
    assert_eq!(ring.raw_sent(10), 0);
    assert_eq!(ring.unsummed(1000, u64::MAX).unwrap(), b"", "what was begun goes out as it lies");
    ring.rewind();
    assert_eq!(frames(ring.raw(1000, u64::MAX).unwrap()), [[1; 24], [2; 24], [3; 24]]);
}

#[test]
fn what_is_released_is_told_of_whether_it_was_sent_or_not() {
    let mut ring = Ring::heap(4096, 10, Sums::Never);
    let origin = Origin { slot: 1, generation: 2, count: 3 };
    ring.push(&[b"a"], 0, Some(origin)).unwrap();
    put(&mut ring, b"b");
    put(&mut ring, b"c");
    let mut told = Vec::new();
    assert_eq!(ring.release_to(12, &mut |view| told.push((view.sequence, view.origin))), 2);
    assert_eq!(told, [(10, Some(origin)), (11, None)]);
    assert_eq!(take(&mut ring, 100), b"c");
    ring.check_invariants();
}

#[test]
fn a_record_that_was_begun_is_neither_released_nor_dropped() {
    let mut ring = Ring::heap(100, 1, Sums::Never);
    put(&mut ring, b"aaaa");
    put(&mut ring, b"bbbb");
    take(&mut ring, 2);
    assert_eq!(ring.release_to(9, &mut |_| ()), 0);
    assert_eq!(ring.drop_oldest(100, &mut |_, _| ()), 0);
    assert_eq!(take(&mut ring, 100), b"aabbbb");
}

#[test]
fn the_oldest_are_dropped_until_another_fits() {
    let mut ring = Ring::heap(96, 1, Sums::Never);
    for frame in [b"a", b"b", b"c", b"d"] {
        put(&mut ring, frame);
    }
    let mut dropped = Vec::new();
    let room = record_size(20, false);
    assert_eq!(ring.drop_oldest(room, &mut |view, frame| dropped.push((view.sequence, frame.to_vec()))), 2);
    assert_eq!(dropped, [(1, b"a".to_vec()), (2, b"b".to_vec())]);
    assert_eq!(put(&mut ring, &[b'e'; 20]), 5);
    assert_eq!(take(&mut ring, 100), [&b"cd"[..], &[b'e'; 20]].concat());
}

#[test]
fn skip_to_counts_what_the_other_side_has_as_sent() {
    let mut ring = Ring::heap(4096, 1, Sums::Never);
    for frame in [b"a", b"b", b"c"] {
        put(&mut ring, frame);
    }
    take(&mut ring, 3);
    ring.skip_to(2);
    assert_eq!((ring.unsent(), ring.front_sequence()), (2, Some(2)));
    assert_eq!(take(&mut ring, 100), b"bc");
    ring.skip_to(0);
    assert_eq!(take(&mut ring, 100), b"abc");
}

#[test]
fn all_frames_can_be_looked_at() {
    let mut ring = Ring::heap(4096, 1, Sums::Never);
    put(&mut ring, b"a");
    put(&mut ring, b"b");
    take(&mut ring, 1);
    let all: Vec<_> = ring.frames().map(|(view, frame)| (view.sequence, frame.to_vec())).collect();
    assert_eq!(all, [(1, b"a".to_vec()), (2, b"b".to_vec())]);
}

#[test]
fn clearing_gives_up_all() {
    for mut ring in [Ring::heap(1 << 20, 1, Sums::Never), File::new().open(1 << 20).0] {
        put(&mut ring, b"a");
        put(&mut ring, b"b");
        take(&mut ring, 1);
        assert_eq!((ring.clear(), ring.len(), ring.used(), ring.has_unsent()), (2, 0, 0, false));
        assert_eq!((put(&mut ring, b"c"), ring.released_to()), (3, 3));
        assert_eq!(take(&mut ring, 9), b"c");
        ring.check_invariants();
    }
}

#[test]
fn a_frame_of_no_bytes_does_not_hold_up_the_others() {
    let mut ring = Ring::heap(4096, 1, Sums::Never);
    put(&mut ring, b"");
    put(&mut ring, b"a");
    put(&mut ring, b"");
    assert_eq!((take(&mut ring, 9), ring.unsent()), (b"a".to_vec(), 0));
}

#[test]
fn a_disk_that_is_full_is_a_reason() {
    let file = File::new();
    file.room.set(20_000);
    let mut ring = file.open(1 << 20).0;
    put(&mut ring, &[0; 10_000]);
    let refused = ring.push(&[&[0; 10_000]], 0, None);
    assert_eq!(refused, Err(PushError::Failed("no space left on device".to_owned())));
    take(&mut ring, 10_000);
    ring.release_sent();
    put(&mut ring, &[0; 10_000]);
}

#[test]
fn memory_is_at_most_what_the_limit_needs() {
    let mut ring = Ring::heap(1 << 20, 1, Sums::Never);
    while ring.push(&[&[0; 1000]], 0, None).is_ok() {}
    assert!(ring.used() > (1 << 20) - 2000, "{}", ring.used());
    assert!(ring.capacity() <= (1 << 20) + 64 * 1024, "{}", ring.capacity());
}

/// Random pushes, sends, releases, drops and rewinds against a plain queue that does the same.
struct Model {
    ring: Ring,
    random: fastrand::Rng,
    queue: VecDeque<(u64, Vec<u8>)>,
    /// How many of those were sent whole, and what of the next.
    sent: usize,
    part: usize,
}

impl Model {
    fn step(&mut self) {
        match self.random.u8(..20) {
            0..9 => self.push(),
            9..12 => self.send_frames(),
            12..15 => self.send_raw(),
            15 => self.release_some(),
            16 => self.release_to(),
            17 => self.drop_some(),
            18 => self.rewind(),
            _ => self.ring.checkpoint(),
        }
        if self.random.u8(..50) == 0 {
            self.ring.give_back();
        }
        self.ring.check_invariants();
        assert_eq!((self.ring.len(), self.ring.unsent()), (self.queue.len(), self.queue.len() - self.sent));
    }

    fn push(&mut self) {
        let frame = vec![self.random.u8(..); self.random.usize(1..3000)];
        let size = record_size(frame.len(), true);
        let is_full = !self.queue.is_empty() && self.ring.used() + size > self.ring.limit();
        let origin = Origin { slot: 1, generation: 1, count: frame.len() as u64 };
        match self.ring.push(&[&frame[..1], &frame[1..]], 0, Some(origin)) {
            Ok(sequence) => self.queue.push_back((sequence, frame)),
            Err(error) => assert!(is_full, "{error}"),
        }
    }

    fn advance(&mut self, mut count: usize, size: impl Fn(&[u8]) -> usize) {
        while self.sent < self.queue.len() {
            let left = size(&self.queue[self.sent].1) - self.part;
            if count < left {
                self.part += count;
                return;
            }
            (count, self.part, self.sent) = (count - left, 0, self.sent + 1);
            if count == 0 {
                return;
            }
        }
    }

    fn send_frames(&mut self) {
        // One way of sending a connection.
        if self.part > 0 {
            self.rewind();
        }
        let unsent: Vec<&[u8]> = self.queue.iter().skip(self.sent).map(|(_, f)| f.as_slice()).collect();
        let unsent = unsent.concat();
        let got = take(&mut self.ring, self.random.usize(1..8000));
        assert_eq!(got, unsent[..got.len()]);
        self.advance(got.len(), <[u8]>::len);
        if self.part > 0 {
            let rest = self.ring.front().unwrap().to_vec();
            assert_eq!(rest, self.queue[self.sent].1[self.part..]);
            self.ring.sent(rest.len());
            (self.part, self.sent) = (0, self.sent + 1);
        }
    }

    fn send_raw(&mut self) {
        let below = self.ring.next_sequence().saturating_sub(self.random.u64(..4));
        let max = self.random.usize(1..9000);
        let mut got = self.ring.raw(max, below).unwrap().to_vec();
        assert!(got.len() <= max);
        if self.part == 0 {
            let first = self.queue.get(self.sent).filter(|(sequence, _)| *sequence < below);
            assert_eq!(got.is_empty(), first.is_none());
        }
        if self.random.bool() {
            got.truncate(self.random.usize(..=got.len()));
        }
        let before = self.sent;
        let mut run = vec![0; self.part];
        run.extend(&got);
        self.advance(got.len(), |frame| record_size(frame.len(), true));
        assert_eq!(self.ring.raw_sent(got.len()), self.sent - before);
        let mut at = 0;
        for (_, frame) in self.queue.range(before..self.sent) {
            let start = at + RECORD_HEADER + 16;
            let from = start.max(run.len() - got.len());
            if from < start + frame.len() {
                assert_eq!(run[from..start + frame.len()], frame[from - start..]);
            }
            at += record_size(frame.len(), true);
        }
    }

    fn gone(&mut self, count: usize) {
        self.queue.drain(..count);
        self.sent = self.sent.saturating_sub(count);
    }

    fn release_some(&mut self) {
        let mut told = Vec::new();
        let count = self.ring.release(self.random.usize(..20), &mut |view| told.push(view.sequence));
        assert!(count <= self.sent);
        assert!(self.queue.iter().map(|(sequence, _)| *sequence).take(count).eq(told));
        self.gone(count);
    }

    fn release_to(&mut self) {
        let Some((first, _)) = self.queue.front() else { return };
        let to = first + self.random.u64(..6);
        let mut is_meant = self.queue.iter().take_while(|(sequence, _)| *sequence < to).count();
        if self.part > 0 {
            is_meant = is_meant.min(self.sent);
        }
        assert_eq!(self.ring.release_to(to, &mut |_| ()), is_meant);
        self.gone(is_meant);
    }

    fn drop_some(&mut self) {
        let mut dropped = Vec::new();
        let room = self.random.usize(..3000);
        let count = self.ring.drop_oldest(room, &mut |view, frame| dropped.push((view.sequence, frame.to_vec())));
        assert!(self.queue.iter().take(count).eq(&dropped));
        self.gone(count);
    }

    fn rewind(&mut self) {
        self.ring.rewind();
        (self.sent, self.part) = (0, 0);
    }
}

#[test]
fn a_ring_behaves_as_a_queue_whatever_is_done_to_it() {
    for seed in 0..120 {
        let mut random = fastrand::Rng::with_seed(seed);
        let limit = 17_000 + random.usize(..20_000);
        let ring = match seed % 4 {
            0 => Ring::heap(limit, 1, Sums::AtPush),
            1 => Ring::heap(limit, 1, Sums::WhenSent),
            2 => File::new().open(limit).0,
            _ => {
                let file = File::new();
                file.synced.set(true);
                file.open(limit).0
            }
        };
        let mut model = Model { ring, random, queue: VecDeque::new(), sent: 0, part: 0 };
        println!("seed {seed}");
        for _ in 0..600 {
            model.step();
        }
    }
}

#[test]
fn a_ring_that_is_full_to_the_last_byte_grows_and_stays_in_order() {
    for mut ring in [Ring::heap(1 << 20, 1, Sums::Never), File::new().open(1 << 20).0] {
        // Two records of 8 KiB, less the mark's room, fill the first memory; the third takes the place of the first.
        let sizes = [8192 - 16, 8192 - 16, 8192 - 16, 100];
        let frame = |n: usize| vec![n as u8; sizes[n] - RECORD_HEADER];
        put(&mut ring, &frame(0));
        put(&mut ring, &frame(1));
        assert_eq!(take(&mut ring, sizes[0] - RECORD_HEADER), frame(0));
        ring.release_sent();
        ring.checkpoint();
        put(&mut ring, &frame(2));
        assert_eq!(take(&mut ring, 1 << 20), [frame(1), frame(2)].concat());
        ring.checkpoint();
        put(&mut ring, &frame(3));
        ring.check_invariants();
        assert_eq!(take(&mut ring, 1 << 20), frame(3));
    }
}

#[test]
fn the_frames_that_were_not_sent_are_given_on_their_own() {
    let mut ring = Ring::heap(1 << 20, 5, Sums::AtPush);
    for frame in [&b"one"[..], b"two", b"three"] {
        ring.push(&[frame], 0, None).unwrap();
    }
    let unsent =
        |ring: &Ring| ring.unsent_frames().map(|(view, frame)| (view.sequence, frame.to_vec())).collect::<Vec<_>>();
    assert_eq!(unsent(&ring).len(), 3);
    let size = ring.raw(1, u64::MAX).unwrap().len();
    ring.raw_sent(size);
    assert_eq!(unsent(&ring).len(), 3, "one was sent in part");
    ring.skip_to(6);
    assert_eq!(unsent(&ring), [(6, b"two".to_vec()), (7, b"three".to_vec())]);
    ring.skip_to(9);
    assert!(unsent(&ring).is_empty());
}
