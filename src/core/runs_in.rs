//! Runs of a peer: messages that have the same header, which came ahead of them.

use std::time::Instant;

use super::connector::{Connector, Step};
use super::event::Cause;
use super::slots::Id;
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

    /// Takes the messages one by one; how many they were.
    fn run_messages(&mut self, id: Id, first: u64, header: &RunHeader<'_>, body: &[u8], now: Instant) -> (usize, Step) {
        let (mut count, mut whole) = (0, Vec::new());
        for behind in header.messages(body) {
            let sequence = first.saturating_add(count as u64);
            let step = match behind {
                Ok(behind) => match self.keep_of_run(id, sequence, header, behind, now) {
                    Some(step) => step,
                    None => self.message_of_run(id, sequence, header, behind, &mut whole, now),
                },
                Err(error) => Step::End(Cause::BadInput(format!("in the run of message {first}: {error}"))),
            };
            if let Step::End(_) = step {
                return (count, step);
            }
            count += 1;
        }
        (count, Step::Taken)
    }

    /// A message like the one before it, for the same inbox; `None` if it is none.
    fn keep_of_run(
        &mut self,
        id: Id,
        sequence: u64,
        header: &RunHeader<'_>,
        behind: &[u8],
        now: Instant,
    ) -> Option<Step> {
        let link = self.conns.get(id)?.link()?;
        let memo = link.memo.as_ref().filter(|memo| memo.is_of(header.header, header.with_binary))?;
        let way = (memo.inbox, memo.row as usize);
        let (lane, open, slot, has_files) = self.current_lane(id)?;
        let place = self.places.get(slot)?;
        if !open || has_files || sequence < place.received || self.stopping {
            return None;
        }
        let origin = Origin { slot, generation: place.generation, count: sequence };
        let prefix = frame::prefix(header.header.len(), behind.len()).ok()?;
        if self.keep_message(way, &[&prefix, header.header, behind], origin, now) {
            self.places.receive(slot, sequence);
        } else {
            self.stop_lane(id, lane, slot, way.0);
        }
        Some(Step::Taken)
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
