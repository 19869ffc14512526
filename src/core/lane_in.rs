//! Messages of a peer that come in a lane of a link of the second kind.

use std::time::Instant;

use super::conn::State;
use super::connector::{Connector, Step};
use super::durable::{RingName, RingRef};
use super::event::Cause;
use super::for_app::{ForApp, Way};
use super::slots::Id;
use super::topics::Published;
use crate::ring::PushError;
use crate::wire::control;
use crate::wire::frame::Frame;
use crate::wire::header::Header;
use crate::wire::link::LinkControl;
use crate::wire::record::Origin;

/// What became of a message that came in a lane.
pub(super) enum Came {
    /// It is in an inbox.
    Kept,
    /// There is nothing more to do with it. Others of its lane may wait in this inbox.
    Done(Option<usize>),
    /// There is no room for it in this inbox.
    NoRoom(usize),
    /// It was published.
    Published(Published),
    End(Cause),
}

impl Connector {
    pub(super) fn data_record(&mut self, id: Id, sequence: u64, frame: &Frame<'_>, now: Instant) -> Step {
        let Some((lane, open, slot, has_files)) = self.current_lane(id) else {
            return Step::End(Cause::BadInput("a record comes before its lane was opened".to_owned()));
        };
        let Some(State::Up { peer }) = self.conns.get(id).and_then(|c| c.link()).map(|l| l.state) else {
            return Step::Taken;
        };
        let Some(place) = self.places.get(slot) else { return Step::Taken };
        if !open || sequence < place.received {
            // The sender does not know that it was taken over: it may not have been told.
            if sequence < place.taken && self.places.moved.last() != Some(&slot) {
                self.places.moved.push(slot);
            }
            return Step::Taken;
        }
        // A connector that stops takes nothing more: it stays with the sender, which does not wait if it stops too.
        if self.stopping {
            self.close_lane(id, lane, slot);
            return Step::Taken;
        }
        let origin = Origin { slot, generation: place.generation, count: sequence };
        if self.places.is_there(slot, sequence) {
            self.came_again(id, lane, has_files, origin);
            return Step::Taken;
        }
        let came = if has_files {
            self.file_message(id, peer, lane, frame, origin, now)
        } else {
            self.lane_message(id, peer, frame, origin, now)
        };
        match came {
            Came::Kept => self.places.receive(slot, sequence),
            Came::Done(inbox) => {
                self.places.receive(slot, sequence);
                // Those before it in its lane are taken over first.
                if !inbox.is_some_and(|inbox| self.inboxes[inbox].done_behind(origin)) {
                    self.places.take(origin);
                }
            }
            Came::NoRoom(inbox) => self.stop_lane(id, lane, slot, inbox),
            Came::Published(published) => self.lane_published(id, lane, origin, published, (peer, frame), now),
            Came::End(cause) => return Step::End(cause),
        }
        Step::Taken
    }

    /// A crash has left this message in a queue, though not all before it.
    fn came_again(&mut self, id: Id, lane: usize, has_files: bool, origin: Origin) {
        self.places.receive(origin.slot, origin.count);
        self.stored.push(origin.slot);
        if has_files {
            self.message_of_file_came(id, lane, origin.count);
        }
    }

    pub(super) fn lane_message(&mut self, id: Id, peer: Id, frame: &Frame<'_>, origin: Origin, now: Instant) -> Came {
        let memo = self.conns.get(id).and_then(|c| c.link()).and_then(|link| link.memo.as_ref());
        if let Some(memo) = memo.filter(|memo| memo.is_of(frame.header(), frame.binary().is_some())) {
            let way = (memo.inbox, memo.row as usize);
            return self.keep_or_stop(way, frame.bytes(), origin, now);
        }
        if let Some(published) = self.publish_again(id, frame, Some(origin), now) {
            return Came::Published(published);
        }
        let header = match Header::parse(frame.header()) {
            // The bytes of a file are not in the frame on this kind of link.
            Ok(header) => Header { with_file: false, ..header },
            Err(error) => return Came::End(Cause::BadInput(error.to_string())),
        };
        if header.await_response || header.response_id.is_some() {
            self.places.has_time(origin);
        }
        let refused = self.wrong_source(peer, &header, now).or_else(|| self.not_let_through(peer, &header, now));
        let step = match refused {
            Some(step) => step,
            None if header.message_type == control::PUBSUB && self.settings.pubsub_broker => {
                return self.for_broker(id, peer, frame, &header, origin, now);
            }
            None if header.message_type == control::PING && header.await_response => {
                self.answer_ping(id, frame, &header)
            }
            None => match self.for_app(id, peer, frame, &header, now) {
                Ok(Some(ForApp { inbox, row, changed })) => {
                    return self.keep_or_stop((inbox, row), changed.as_deref().unwrap_or(frame.bytes()), origin, now);
                }
                Ok(None) => Step::Taken,
                Err(cause) => Step::End(cause),
            },
        };
        let inbox = self.inbox_of_type.get(header.message_type.as_ref()).copied();
        if let Step::End(cause) = step { Came::End(cause) } else { Came::Done(inbox) }
    }

    fn keep_or_stop(&mut self, way: Way, bytes: &[u8], origin: Origin, now: Instant) -> Came {
        if self.keep_message(way, &[bytes], origin, now) { Came::Kept } else { Came::NoRoom(way.0) }
    }

    /// Puts a message that came in a lane into an inbox, and counts it in this row; whether there was room for it.
    pub(super) fn keep_message(&mut self, (index, row): Way, parts: &[&[u8]], origin: Origin, now: Instant) -> bool {
        let inbox = &mut self.inboxes[index];
        if inbox.lacks_file || !inbox.durable && inbox.ring.used() >= self.settings.queue_max_bytes {
            return false;
        }
        match inbox.ring.push(parts, 0, inbox.durable.then_some(origin)) {
            Ok(number) => inbox.ages.came(number, &inbox.ring, now),
            Err(PushError::Full { .. }) => return false,
            Err(PushError::Failed(why)) => {
                let name = RingName::Inbox { message_type: inbox.message_type.clone() };
                self.store_failed(&name, why, now);
                return false;
            }
        }
        if inbox.durable {
            if self.stored.last() != Some(&origin.slot) {
                self.stored.push(origin.slot);
            }
            self.list(RingRef::Inbox(index));
        } else {
            inbox.came_of(Some(origin), 1);
        }
        self.traffic.received(row, parts.iter().map(|part| part.len()).sum());
        self.pass_on(index);
        true
    }

    /// There is no room for a lane's records: they are to come again later.
    pub(super) fn stop_lane(&mut self, id: Id, lane: usize, slot: u32, inbox: usize) {
        self.inboxes[inbox].stopped.push((id, lane as u32));
        self.close_lane(id, lane, slot);
    }

    /// Takes nothing more of a lane, and says so.
    pub(super) fn close_lane(&mut self, id: Id, lane: usize, slot: u32) {
        let next = self.places.get(slot).map_or(0, |place| place.received);
        let Some(link2) = self.conns.get_mut(id).and_then(|c| c.link_mut()).and_then(|l| l.link2.as_mut()) else {
            return;
        };
        link2.close_lane(lane);
        let said = LinkControl::Stop { lane: lane as u32, next }.encode(&self.settings.id);
        self.send_control(id, said);
    }
}
