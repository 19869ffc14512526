//! Messages on their way to a peer that have the same header: it goes ahead once, and they follow as runs.

use crate::ring::Gone;
use crate::wire::frame::Frame;
use crate::wire::record::{self, Head, RECORD_HEADER, complete_record, record_size};
use crate::wire::runs::{RUN_HEADER_MAX, RunHeader};

/// Messages whose frames are longer than so many of their headers are sent as they lie: a copy would cost more than the
/// headers do.
const HEADERS_MAX: usize = 8;

/// The next message of a queue, and what is behind it.
struct Next<'a> {
    sequence: u64,
    frame: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Next<'a> {
    /// The message that `records` begin with, if it may be in a run.
    fn of(records: &'a [u8]) -> Option<Self> {
        let head = Head::new(records.first_chunk()?);
        let size = head.size();
        if head.flags != 0 || size > records.len() {
            return None;
        }
        Some(Self { sequence: head.sequence, frame: &records[head.frame_range()], rest: &records[size..] })
    }

    /// What follows the header, if that is this one.
    fn behind(&self, header: &RunHeader<'_>) -> Option<&'a [u8]> {
        let length = header.header.len();
        let (start, rest) = self.frame.split_at_checked(RunHeader::FRAME_START)?;
        let (own, behind) = rest.split_at_checked(length)?;
        let is_same = usize::from(u16::from_le_bytes([start[4], start[5]])) == length && own == header.header;
        (is_same && header.is_one_message(behind)).then_some(behind)
    }
}

/// Makes runs of the messages that `records` begin with, in `out`, as far as there is room and they have headers that
/// repeat. `said` is the header that was sent last, as in its record. How many bytes these are, and which records.
pub(super) fn gather(records: &[u8], said: &mut Vec<u8>, out: &mut [u8]) -> (usize, Gone) {
    let (mut filled, mut gone) = (0, Gone::default());
    while let Some(first) = Next::of(&records[gone.bytes..]) {
        let Some(room) = say_header(&first, said, &mut out[filled..]) else { break };
        let Ok(header) = RunHeader::parse(said) else { break };
        let (made, run) = gather_run(&records[gone.bytes..], &header, &mut out[filled + room..]);
        if run.records == 0 {
            break;
        }
        filled += room + made;
        gone = Gone { bytes: gone.bytes + run.bytes, records: gone.records + run.records, last: run.last };
    }
    (filled, gone)
}

/// Says the header of a message, if it was not said last and the next message has it too: how many bytes that takes.
/// `None` if the message is not to go in a run.
fn say_header(first: &Next<'_>, said: &mut Vec<u8>, out: &mut [u8]) -> Option<usize> {
    if RunHeader::parse(said).is_ok_and(|header| first.behind(&header).is_some()) {
        return Some(0);
    }
    let frame = Frame::parse(first.frame).ok()?;
    let header = RunHeader { with_binary: frame.binary().is_some(), header: frame.header() };
    if header.header.len() > RUN_HEADER_MAX || frame.bytes().len() > HEADERS_MAX * header.header.len() {
        return None;
    }
    Next::of(first.rest)?.behind(&header)?;
    let parts = header.parts();
    let length = parts.iter().map(|part| part.len()).sum();
    let to = out.get_mut(..record_size(length, false) + record_size(frame.after_header().len(), false))?;
    // There is room for the message as well: what counts as said goes out.
    said.clear();
    parts.iter().for_each(|part| said.extend_from_slice(part));
    to[RECORD_HEADER..RECORD_HEADER + length].copy_from_slice(said);
    Some(complete_record(to, 0, record::HEADER, length))
}

/// One run of the messages that `records` begin with, with numbers in a row.
fn gather_run(records: &[u8], header: &RunHeader<'_>, out: &mut [u8]) -> (usize, Gone) {
    let (mut rest, mut filled, mut count) = (records, RECORD_HEADER, 0);
    let Some(first) = Next::of(records).map(|next| next.sequence) else { return (0, Gone::default()) };
    while let Some(next) = Next::of(rest).filter(|next| next.sequence == first + count as u64)
        && let Some(behind) = next.behind(header)
        && let end = filled + behind.len()
        && record_size(end - RECORD_HEADER, false) <= out.len()
    {
        out[filled..end].copy_from_slice(behind);
        (rest, filled, count) = (next.rest, end, count + 1);
    }
    if count == 0 {
        return (0, Gone::default());
    }
    let made = complete_record(out, first, record::RUN, filled - RECORD_HEADER);
    (made, Gone { bytes: records.len() - rest.len(), records: count, last: first + count as u64 - 1 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::{Ring, Sums};
    use crate::wire::frame::encode;
    use crate::wire::record::{RUN, read_record};

    /// A header, data and perhaps a binary.
    type Sample<'a> = (&'a str, &'a [u8], Option<&'a [u8]>);

    fn ring(messages: &[Sample<'_>]) -> Ring {
        let mut ring = Ring::heap(1 << 20, 1, Sums::WhenSent);
        for (header, data, binary) in messages {
            let mut frame = Vec::new();
            encode(header.as_bytes(), data, *binary, &mut frame).unwrap();
            ring.push(&[&frame], 0, None).unwrap();
        }
        ring
    }

    /// The records in what was made: of runs the number and the messages, else no number.
    fn read(mut made: &[u8]) -> Vec<(Option<u64>, usize)> {
        let (mut out, mut header) = (Vec::new(), Vec::new());
        while let Some(head) = Head::at(made, 0) {
            let (view, frame) = read_record(&made[..head.size()]).unwrap();
            if view.flags == RUN {
                let header = RunHeader::parse(&header).unwrap();
                assert!(header.messages(frame).all(|message| message.is_ok()));
                out.push((Some(view.sequence), header.messages(frame).count()));
            } else {
                header = frame.to_vec();
                out.push((None, 0));
            }
            made = &made[head.size()..];
        }
        out
    }

    const A: &str = "{\"message_type\": \"a\"}";
    const B: &str = "{\"message_type\": \"b\"}";

    #[test]
    fn a_header_that_repeats_is_said_once() {
        let mut ring = ring(&[(A, b"1", None), (A, b"22", None), (B, b"3", None), (B, b"", None), (A, b"5", None)]);
        let (mut said, mut out) = (Vec::new(), vec![0; 4096]);
        let (made, gone) = gather(ring.unsummed(4096, u64::MAX).unwrap(), &mut said, &mut out);
        assert_eq!(read(&out[..made]), [(None, 0), (Some(1), 2), (None, 0), (Some(3), 2)]);
        assert_eq!((gone.records, gone.last), (4, 4), "the last one's header does not repeat");
        ring.unsummed_sent(&gone);
        ring.check_invariants();
        assert_eq!(ring.unsent(), 1);
        let (made, _) = gather(ring.unsummed(4096, u64::MAX).unwrap(), &mut said, &mut out);
        assert_eq!(made, 0);
        let (made, _) = gather(ring.unsummed(4096, u64::MAX).unwrap(), &mut [b"\x01", A.as_bytes()].concat(), &mut out);
        assert_eq!(read_record(&out[..made]).unwrap().0.sequence, 5, "what was said need not be said again");
    }

    #[test]
    fn messages_with_binary_and_without_are_not_in_one_run() {
        let mut ring = ring(&[(A, b"1", Some(b"x")), (A, b"2", Some(b"")), (A, b"3", None), (A, b"4", None)]);
        let (mut said, mut out) = (Vec::new(), vec![0; 4096]);
        let (made, _) = gather(ring.unsummed(4096, u64::MAX).unwrap(), &mut said, &mut out);
        assert_eq!(read(&out[..made]), [(None, 0), (Some(1), 2), (None, 0), (Some(3), 2)]);
    }

    #[test]
    fn what_has_no_room_or_a_gap_in_its_numbers_is_left_for_the_next_run() {
        let mut ring = ring(&[(A, b"1", None), (A, b"2", None)]);
        ring.set_next_sequence(10);
        let mut frame = Vec::new();
        encode(A.as_bytes(), b"3", None, &mut frame).unwrap();
        ring.push(&[&frame], 0, None).unwrap();
        let records = ring.unsummed(4096, u64::MAX).unwrap();
        for room in 0..200 {
            let (mut said, mut out) = (Vec::new(), vec![0; room]);
            let (made, gone) = gather(records, &mut said, &mut out);
            assert_eq!((made == 0, said.is_empty()), (gone.records == 0, gone.records == 0), "with {room} bytes");
            read(&out[..made]);
        }
        let (mut said, mut out) = (Vec::new(), vec![0; 4096]);
        let (made, _) = gather(records, &mut said, &mut out);
        assert_eq!(read(&out[..made]), [(None, 0), (Some(1), 2), (Some(10), 1)]);
    }

    #[test]
    fn long_messages_and_those_with_more_to_say_go_as_they_lie() {
        let long = vec![0; HEADERS_MAX * A.len()];
        let (mut said, mut out) = (Vec::new(), vec![0; 1 << 16]);
        let mut long = ring(&[(A, &long, None), (A, &long, None)]);
        assert_eq!(gather(long.unsummed(1 << 16, u64::MAX).unwrap(), &mut said, &mut out), (0, Gone::default()));
        let mut waits = Ring::heap(1 << 20, 1, Sums::WhenSent);
        for _ in 0..2 {
            waits.push(&[b"\x0a\0\0\0\x02\0{}\0\0\0\0"], record::WAITS_ACK, None).unwrap();
        }
        assert_eq!(gather(waits.unsummed(1 << 16, u64::MAX).unwrap(), &mut said, &mut out), (0, Gone::default()));
    }
}
