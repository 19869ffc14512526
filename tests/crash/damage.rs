//! Files that were spoilt between stop and start: the connector starts, says so in one line, keeps what was spoilt, and
//! delivers all the rest.

use std::fs;

use fastrand::Rng;

use crate::files::{DATA, HEAD, PAGE, RingFile, files};
use crate::receiver::{Manner, Receiver};
use crate::seed::rounds;
use crate::session::Session;
use crate::stopped::{Outcome, Queue, STORED, Stopped};

/// Messages that an app leaves where they are, so that a queue goes round its file.
const UNTAKEN: u64 = 60;

/// Spoils the file of both kinds of queues, and says what must have become of the messages.
#[track_caller]
fn spoil(test: &'static str, spoil: impl Fn(&mut RingFile, &mut Rng), check: impl Fn(&Outcome)) {
    for queue in [Queue::Outbox, Queue::Inbox] {
        let mut stopped = Stopped::with_messages(test, queue, |setup| setup);
        let mut ring = stopped.ring();
        let (records, _) = ring.records();
        assert_eq!(records.len() as u64, STORED, "records in {}", ring.path.display());
        spoil(&mut ring, &mut stopped.random);
        ring.write();
        eprintln!("{test}: {queue:?} {}", ring.path.display());
        check(&stopped.go_on());
    }
}

fn flip(bytes: &mut [u8], at: usize, random: &mut Rng) {
    bytes[at] ^= 1 << random.u8(..8);
}

#[test]
fn one_header_page_is_enough_whichever_it_is() {
    let test = "one_header_page_is_enough_whichever_it_is";
    for page in 0..2 {
        let zero = |ring: &mut RingFile, _: &mut Rng| ring.bytes[page * PAGE..(page + 1) * PAGE].fill(0);
        spoil(test, zero, Outcome::assert_exact);
    }
}

#[test]
fn a_flipped_bit_in_a_header_page_has_the_other_one_count() {
    let test = "a_flipped_bit_in_a_header_page_has_the_other_one_count";
    let flip_newer = |ring: &mut RingFile, random: &mut Rng| {
        let at = ring.newer_page() * PAGE + random.usize(..200);
        flip(&mut ring.bytes, at, random);
    };
    spoil(test, flip_newer, Outcome::assert_exact);
}

#[test]
fn without_a_header_page_the_file_is_put_aside_and_a_new_one_used() {
    let test = "without_a_header_page_the_file_is_put_aside_and_a_new_one_used";
    let zero_both = |ring: &mut RingFile, _: &mut Rng| ring.bytes[..DATA].fill(0);
    spoil(test, zero_both, |outcome| outcome.assert_lost(0..STORED));
}

#[test]
fn a_flipped_bit_in_a_frame_costs_that_message_alone() {
    let test = "a_flipped_bit_in_a_frame_costs_that_message_alone";
    let flip_frame = |ring: &mut RingFile, random: &mut Rng| {
        let frame = ring.records().0[100].frame.clone();
        flip(&mut ring.bytes, random.usize(frame), random);
    };
    spoil(test, flip_frame, |outcome| outcome.assert_lost(100..101));
}

#[test]
fn a_flipped_bit_in_a_checksum_or_a_number_costs_that_message_alone() {
    let test = "a_flipped_bit_in_a_checksum_or_a_number_costs_that_message_alone";
    let flip_head = |ring: &mut RingFile, random: &mut Rng| {
        // The top byte of the last word holds the flags, one of which says how long the record is.
        let at = ring.records().0[100].at + random.usize(4..HEAD - 1);
        flip(&mut ring.bytes, at, random);
    };
    spoil(test, flip_head, |outcome| outcome.assert_lost(100..101));
}

#[test]
fn a_record_whose_length_is_spoilt_takes_no_message_before_it_along() {
    let test = "a_record_whose_length_is_spoilt_takes_no_message_before_it_along";
    let flip_length = |ring: &mut RingFile, random: &mut Rng| {
        let at = ring.records().0[100].at + random.usize(..4);
        let before = ring.bytes[at];
        flip(&mut ring.bytes, at, random);
        eprintln!("{test}: {before} became {} at byte {}", ring.bytes[at], at % 8);
    };
    spoil(test, flip_length, |outcome| {
        let lost = outcome.tally.lost(outcome.sent);
        assert!(lost.len() == 1 && lost[0].start == 100 && lost[0].end <= STORED, "{lost:?}");
        outcome.assert_put_aside();
    });
}

#[test]
fn zeros_in_the_middle_take_no_message_before_them_along() {
    let test = "zeros_in_the_middle_take_no_message_before_them_along";
    let zero = |ring: &mut RingFile, _: &mut Rng| {
        let at = ring.records().0[100].at;
        ring.bytes[at..at + PAGE].fill(0);
    };
    spoil(test, zero, |outcome| {
        let lost = outcome.tally.lost(outcome.sent);
        assert!(lost.len() == 1 && lost[0].start == 100 && lost[0].end <= STORED, "{lost:?}");
        outcome.assert_put_aside();
    });
}

#[test]
fn a_file_that_was_cut_off_is_put_aside_and_what_comes_later_goes_on() {
    let test = "a_file_that_was_cut_off_is_put_aside_and_what_comes_later_goes_on";
    let cut = |ring: &mut RingFile, random: &mut Rng| {
        let (records, _) = ring.records();
        let last = records.last().expect("a record").at;
        ring.bytes.truncate(random.usize(100..last));
    };
    spoil(test, cut, |outcome| {
        let lost = outcome.tally.lost(outcome.sent);
        assert!(lost.len() == 1 && lost[0].end == STORED, "{lost:?}");
        outcome.assert_put_aside();
    });
}

#[test]
fn garbage_behind_the_last_record_is_nothing() {
    let test = "garbage_behind_the_last_record_is_nothing";
    let garbage = |ring: &mut RingFile, random: &mut Rng| {
        let end = ring.records().0.last().expect("a record").frame.end.next_multiple_of(8);
        ring.bytes[end..].fill_with(|| random.u8(..));
    };
    spoil(test, garbage, Outcome::assert_exact);
}

#[test]
fn a_spoilt_table_of_places_costs_no_message() {
    let test = "a_spoilt_table_of_places_costs_no_message";
    for queue in [Queue::Outbox, Queue::Inbox] {
        let mut stopped = Stopped::with_messages(test, queue, |setup| setup);
        let mut places = RingFile::read(&stopped.spool().join("places"));
        places.bytes.fill_with(|| stopped.random.u8(..));
        places.write();
        let outcome = stopped.go_on();
        // A peer whose place is lost is sent again what it has: that may be twice, but never lost.
        assert_eq!(outcome.tally.lost(outcome.sent), [], "{}", outcome.tally.describe(outcome.sent));
    }
}

/// The queue goes round its file: the first messages were taken, and later ones lie before them.
#[test]
fn a_spoilt_mark_where_the_queue_goes_round_takes_no_message_before_it_along() {
    let test = "a_spoilt_mark_where_the_queue_goes_round_takes_no_message_before_it_along";
    let mut stopped = Stopped::with_messages(test, Queue::Inbox, |setup| setup);
    stopped.pair.server.start_again();
    let (socket, path) = (stopped.pair.client.setup.send_socket(), stopped.ring().path);
    while !goes_round(&RingFile::read(&path)) {
        assert!(stopped.count < 100 * STORED, "the queue never goes round its file");
        let end = stopped.count - UNTAKEN;
        let receiver = Receiver::listen_to(stopped.pair.server.setup.receive_socket("any"), Manner::Resumes, end);
        receiver.wait_number(end - 1);
        drop(receiver);
        let route = stopped.route.clone().numbered_from(stopped.count);
        Session::new(&stopped.count.to_string(), "delivered", socket.clone(), route).send_to(UNTAKEN);
        stopped.count += UNTAKEN;
    }
    stopped.pair.server.kill();
    let mut ring = stopped.ring();
    let (records, mark) = ring.records();
    let mark = mark.expect("a queue that goes round");
    let lower = records.iter().filter(|record| record.at < records[0].at).count() as u64;
    let (count, first) = (stopped.count, stopped.count - records.len() as u64);
    flip(&mut ring.bytes, mark + stopped.random.usize(..4), &mut stopped.random);
    ring.write();
    eprintln!("{test}: {count} sent, {} records from {first} on, {lower} of them before the first", records.len());
    let outcome = stopped.go_on();
    let lost: Vec<_> = outcome.tally.lost(outcome.sent).into_iter().filter(|range| range.end > first).collect();
    assert!(lost.len() == 1 && lost[0].start == count - lower && lost[0].end <= count, "{lost:?}");
    outcome.assert_put_aside();
}

/// Whether there are records on both sides of the mark.
fn goes_round(ring: &RingFile) -> bool {
    let (records, _) = ring.records();
    ring.is_wrapped() && records[0].at > records[records.len() - 1].at
}

/// Whatever is spoilt: the connector runs, nothing wrong is delivered, and later messages arrive.
#[test]
fn whatever_is_spoilt_nothing_wrong_is_delivered_and_later_messages_arrive() {
    let test = "whatever_is_spoilt_nothing_wrong_is_delivered_and_later_messages_arrive";
    for round in 0..rounds(6) {
        let queue = if round % 2 == 0 { Queue::Outbox } else { Queue::Inbox };
        let mut stopped = Stopped::with_messages(test, queue, |setup| setup);
        for path in files(&stopped.spool()) {
            let mut bytes = fs::read(&path).expect("a file");
            let deed = spoil_at_random(&mut bytes, &mut stopped.random);
            fs::write(&path, bytes).expect("a file that can be written");
            eprintln!("{test}: {} {deed}", path.display());
        }
        stopped.go_on();
    }
}

fn spoil_at_random(bytes: &mut Vec<u8>, random: &mut Rng) -> String {
    if bytes.is_empty() {
        return "is empty".into();
    }
    let at = random.usize(..bytes.len());
    let end = (at + random.usize(1..3 * PAGE)).min(bytes.len());
    match random.u8(..5) {
        0 => bytes.truncate(at),
        1 => bytes[at..end].fill(0),
        2 => bytes[at..end].fill_with(|| random.u8(..)),
        3 => {
            for _ in 0..20 {
                let at = random.usize(..bytes.len());
                flip(bytes, at, random);
            }
            return "has 20 flipped bits".into();
        }
        _ => return "is as it was".into(),
    }
    format!("is spoilt from {at} on")
}
