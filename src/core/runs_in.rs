//! Runs of a peer: messages that have the same header, which came ahead of them.

use std::time::Instant;

use super::connector::{Connector, Step};
use super::durable::RingRef;
use super::event::Cause;
use super::slots::Id;
use super::traffic::Count;
use crate::wire::control;
use crate::wire::frame::{self, Frame};
use crate::wire::header::Header;
use crate::wire::record::{Origin, RecordView};
use crate::wire::runs::RunHeader;

impl Connector {
    /// The peer says the header of the messages in the runs to come.
    pub(super) fn run_header(&mut self, id: Id, body: &[u8]) -> Step {
        let said = match RunHeader::parse(body) {
            Ok(said) => said,
            Err(error) => return Step::End(Cause::BadInput(error.to_string())),
        };
        // Each of these would be answered, and there is no end to what fits into one run.
        if Header::parse(said.header).is_ok_and(|header| header.message_type == control::PING) {
            let what = format!("messages of type {:?} come in a run", control::PING);
            return Step::End(Cause::BadInput(what));
        }
        if let Some(header_in) = self.header_in(id) {
            header_in.clear();
            header_in.extend_from_slice(body);
        }
        Step::Taken
    }

    fn header_in(&mut self, id: Id) -> Option<&mut Vec<u8>> {
        Some(&mut self.conns.get_mut(id)?.link_mut()?.link2.as_mut()?.header_in)
    }

    /// A run of messages of the lane whose turn it is.
    pub(super) fn run(&mut self, id: Id, view: &RecordView, body: &[u8], now: Instant) -> Step {
        let Some(said) = self.header_in(id).map(std::mem::take) else { return Step::Taken };
        let (count, step) = match RunHeader::parse(&said) {
            Ok(header) => self.run_messages(id, view.sequence, &header, body, now),
            Err(_) => (0, Step::End(Cause::BadInput("a run comes before the header of its messages".to_owned()))),
        };
        if let Some(header_in) = self.header_in(id) {
            *header_in = said;
        }
        self.charge_messages(id, count.saturating_sub(1), now);
        step
    }

    /// Takes the messages; how many they were.
    fn run_messages(&mut self, id: Id, first: u64, header: &RunHeader<'_>, body: &[u8], now: Instant) -> (usize, Step) {
        let (mut rest, mut count, mut whole) = (body, 0, Vec::new());
        loop {
            let kept = self.keep_run(id, first.saturating_add(count as u64), header, rest, now).unwrap_or_default();
            count += kept.messages as usize;
            rest = &rest[kept.bytes as usize..];
            let Some(behind) = header.messages(rest).next() else { return (count, Step::Taken) };
            let step = match behind {
                Ok(behind) => {
                    rest = &rest[behind.len()..];
                    self.message_of_run(id, first.saturating_add(count as u64), header, behind, &mut whole, now)
                }
                Err(error) => Step::End(Cause::BadInput(format!("in the run of message {first}: {error}"))),
            };
            if let Step::End(_) = step {
                return (count, step);
            }
            count += 1;
        }
    }

    /// Keeps messages of a run that are for the inbox of those before, as far as there is room: how many, and their bytes
    /// in the run. What is the same for all of them is looked at once.
    fn keep_run(&mut self, id: Id, first: u64, header: &RunHeader<'_>, run: &[u8], now: Instant) -> Option<Count> {
        let link = self.conns.get(id)?.link()?;
        let memo = link.memo.as_ref().filter(|memo| memo.is_of(header.header, header.with_binary))?;
        let (index, row) = (memo.inbox, memo.row as usize);
        let (_, open, slot, has_files) = self.current_lane(id)?;
        let place = self.places.get(slot)?;
        let inbox = &mut self.inboxes[index];
        if !open || has_files || first < place.received || self.stopping || inbox.lacks_file {
            return None;
        }
        let high = if inbox.durable { usize::MAX } else { self.settings.queue_max_bytes };
        let mut origin = Origin { slot, generation: place.generation, count: first };
        let (mut count, mut number) = (Count::default(), None);
        for behind in header.messages(run).map_while(Result::ok) {
            let Ok(prefix) = frame::prefix(header.header.len(), behind.len()) else { break };
            if inbox.ring.used() >= high {
                break;
            }
            let parts = [&prefix, header.header, behind];
            // What did not work is tried again by itself, and told.
            let Ok(came) = inbox.ring.push(&parts, 0, inbox.durable.then_some(origin)) else { break };
            number.get_or_insert(came);
            origin.count += 1;
            count.add(1, behind.len() as u64);
        }
        inbox.ages.came(number?, &inbox.ring, now);
        self.kept_run(index, row, Origin { count: first, ..origin }, header, count);
        Some(count)
    }

    /// Messages of a run, of which `first` is the first one, are in an inbox.
    fn kept_run(&mut self, index: usize, row: usize, first: Origin, header: &RunHeader<'_>, count: Count) {
        let inbox = &mut self.inboxes[index];
        if inbox.durable {
            if self.stored.last() != Some(&first.slot) {
                self.stored.push(first.slot);
            }
            self.list(RingRef::Inbox(index));
        } else {
            inbox.came_of(Some(first), count.messages);
        }
        let heads = (RunHeader::FRAME_START + header.header.len()) as u64;
        self.traffic.received_all(row, Count { bytes: count.bytes + heads * count.messages, ..count });
        self.places.receive(first.slot, first.count + count.messages - 1);
        self.pass_on(index);
    }

    /// Any other message of a run: as if it had come in a record of its own. `whole` is memory to use.
    fn message_of_run(
        &mut self,
        id: Id,
        sequence: u64,
        header: &RunHeader<'_>,
        behind: &[u8],
        whole: &mut Vec<u8>,
        now: Instant,
    ) -> Step {
        let Ok(prefix) = frame::prefix(header.header.len(), behind.len()) else {
            return Step::End(Cause::BadInput(format!("message {sequence} of a run is longer than any")));
        };
        whole.clear();
        [&prefix, header.header, behind].iter().for_each(|part| whole.extend_from_slice(part));
        match Frame::parse(whole) {
            Ok(frame) => self.data_record(id, sequence, &frame, now),
            Err(error) => Step::End(Cause::BadInput(error.to_string())),
        }
    }
}
