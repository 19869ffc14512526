//! Links of the second kind: records in lanes, acknowledged, taken up where they stopped.
//!
//! ```text
//! each side  ─ `_link`: what it has of the other's lanes ─▶  up when both were said
//! sender     ─ `_lane`: this lane, these numbers ─▶ records … ─▶ keeps them until `_taken`
//! receiver   ─ `_taken`: all below this number ─▶            no room: `_stop`, and when there is, `_go`
//! ```
//!
//! - What is sent of a lane are the records of its queue as they lie there, in the order of their numbers. Numbers grow;
//!   they need not follow each other. In between, [`record::SWITCH`] names the lane that the next records belong to, and
//!   [`record::CONTROL`] has the connectors' own frames.
//! - The receiver drops what it has already: a number that is not greater than the last one of the lane.
//! - A record is taken over when it is kept (in a queue that lies in a file, saved), or the app has it, or it is for the
//!   connector itself. Until then the sender keeps it, and has at most the receiver's window of them on their way.
//! - A lane's numbers have an epoch. With another epoch, the receiver begins anew. A sender that hears of a number that
//!   it has not given yet was set back to an earlier state; it gives greater ones from then on.
//! - Messages with files have lanes of their own: `file_link`.
//! - Messages with the same header may come in one record, behind a record with the header: `runs_in`, `runs_out`.
//! - A receiver without room for a record drops it and all that follow in the lane, and says `_stop` with the number
//!   from which on they must come again. The sender says `_lane` before it sends them, after a `_go`.

use std::time::Instant;

use super::conn::State;
use super::connector::{Connector, Step};
use super::durable::RingRef;
use super::event::{Cause, Event};
use super::feed::feed_number;
use super::file_link::LinkFiles;
use super::places::Key;
use super::renewal::Renewal;
use super::settings::{WINDOW_MAX, WINDOW_MIN};
use super::slots::Id;
use super::traffic::Count;
use crate::wire::control;
use crate::wire::file::{lane_name, lane_of};
use crate::wire::frame::{Frame, Unit};
use crate::wire::header::Header;
use crate::wire::link::{FEATURES, LinkControl, LinkHello, MOVES, PlaceSaid, RENEWAL, RUNS};
use crate::wire::record::{self, Head, RECORD_HEADER, RecordView};
use crate::wire::topics;

/// Most places that are said: so many fit into the first frame of a peer. Of others the peer sends again what it keeps,
/// and what is here already is dropped.
const PLACES_MAX: usize = 400;

/// Places of a peer for types that are not received here.
const OTHER_PLACES: u32 = 16;

/// Most lanes that a peer may open on a link.
const LANES_MAX: usize = 4096;

/// The greatest number that a peer is believed to have been given, though this side does not know it any more. New
/// messages to all get greater ones, and there must be enough of those.
const NUMBER_MAX: u64 = record::SEQUENCE_MAX / 2;

/// Lanes of the connectors' own types.
const OWN_LANES: [&str; 3] = [control::PING, control::PUBSUB, control::PUBSUB_STORED];

/// Those of them that may have files.
const OWN_FILE_LANES: [&str; 2] = [control::PUBSUB, control::PUBSUB_STORED];

/// What comes on such a link.
pub(super) const RECORDS: Unit = Unit::Other { head: RECORD_HEADER, measure: record_measure };

fn record_measure(head: &[u8]) -> (usize, usize) {
    Head::at(head, 0).map_or((usize::MAX, usize::MAX), |head| (head.length as usize, head.size()))
}

/// What is known on a link of the second kind.
#[derive(Debug, Default)]
pub(super) struct Link2 {
    /// Most bytes of a lane that may be on their way.
    pub window: usize,
    /// Where the peer stood when the link came up.
    pub said: Vec<PlaceSaid>,
    /// The lane whose records go out.
    pub out: Option<usize>,
    /// The peer's lanes.
    lanes: Vec<Option<InLane>>,
    /// The lane whose records come.
    current: usize,
    pub files: LinkFiles,
    pub renewal: Renewal,
    /// The peer takes runs.
    pub takes_runs: bool,
    /// The header of the runs that go out, and of those that come, as they were said.
    pub header_out: Vec<u8>,
    pub header_in: Vec<u8>,
}

impl Link2 {
    /// Nothing more is taken in of a lane.
    pub fn close_lane(&mut self, lane: usize) {
        if let Some(Some(entry)) = self.lanes.get_mut(lane) {
            entry.open = false;
        }
    }

    /// The place and the type of a lane of the peer, if it is one of messages with files.
    pub fn file_lane(&self, lane: u32) -> Option<(u32, &str)> {
        let lane = self.lanes.get(lane as usize)?.as_ref()?;
        Some((lane.slot, lane.files.as_deref()?))
    }

    /// Ends the other lane of messages with files of the same type, if there is one; its number.
    pub fn end_other_lane(&mut self, lane: u32) -> Option<usize> {
        let of_type = self.lanes.get(lane as usize)?.as_ref()?.files.clone();
        let is_it = |l: &Option<InLane>| l.as_ref().is_some_and(|l| l.files.is_some() && l.files == of_type);
        let other = (0..self.lanes.len()).find(|at| *at != lane as usize && is_it(&self.lanes[*at]))?;
        self.lanes[other] = None;
        Some(other)
    }
}

/// A lane of the peer.
#[derive(Debug)]
struct InLane {
    /// How far this side has come in it.
    slot: u32,
    /// Its records are taken in.
    open: bool,
    /// The type, if it is a lane of messages with files.
    files: Option<Box<str>>,
}

impl Connector {
    /// Says where this side stands in the lanes of the peer. All that it sends from now on are records.
    pub(super) fn say_link(&mut self, id: Id, peer: &str) {
        let window = self.window() as u64;
        let received = || self.inboxes.iter().map(|inbox| inbox.message_type.as_str());
        let own = OWN_LANES.iter().map(|own| (*own).to_owned());
        let own = own.chain(OWN_FILE_LANES.iter().map(|own| lane_name(own)));
        let (with_files, published) = (received().map(lane_name), received().map(topics::lane_name));
        let published = published.flat_map(|lane| [lane_name(&lane), lane]);
        let lanes = own.chain(received().map(str::to_owned)).chain(published).chain(with_files);
        let place_of = |message_type: String| {
            let place = self.places.get(self.places.find(Key::lane(peer, &message_type))?)?;
            let (epoch, received, taken) = (place.epoch, place.received, place.taken);
            Some(PlaceSaid { message_type, epoch, received, taken })
        };
        let moves = self.is_returning(id).then_some(MOVES);
        // A client whose messages are counted is to wait behind each one that is too much.
        let is_counted = self.counts_messages(peer);
        let features = FEATURES.into_iter().filter(|feature| !is_counted || *feature != RUNS);
        let features = features.chain(moves).map(str::to_owned).collect();
        let hello = LinkHello { window, places: lanes.filter_map(place_of).take(PLACES_MAX).collect(), features };
        let said = hello.encode(&self.settings.id);
        self.send_control(id, said);
        if let Some(link) = self.conns.get_mut(id).and_then(|c| c.link_mut()) {
            link.says_records = true;
            link.link2 = Some(Box::default());
        }
    }

    /// The bytes of a lane that a peer may have on their way: less when there are many peers.
    fn window(&self) -> usize {
        let peers = self.peers.iter().filter(|(_, p)| p.link.is_some()).count() + 1;
        (self.settings.queue_max_bytes / peers).clamp(WINDOW_MIN, WINDOW_MAX)
    }

    /// The other side says where it stands, and sends records from now on: the link is up.
    pub(super) fn link_hello(
        &mut self,
        id: Id,
        name: &str,
        frame: &Frame<'_>,
        header: &Header<'_>,
        now: Instant,
    ) -> Step {
        let hello = match LinkHello::parse(header, frame.data()) {
            Ok(hello) => hello,
            Err(error) => return Step::End(Cause::BadInput(error.to_string())),
        };
        if let Some(place) = hello.places.iter().find(|place| place.received > NUMBER_MAX) {
            let what = format!(
                "it has had message {} of type {:?}: no message has such a number",
                place.received, place.message_type
            );
            return Step::End(Cause::BadInput(what));
        }
        let said = self.conns.get(id).and_then(|c| c.link()).is_some_and(|link| link.says_records);
        if !said {
            self.say_link(id, name);
        }
        if let Some(link) = self.conns.get_mut(id).and_then(|c| c.link_mut()) {
            link.moves = hello.features.iter().any(|name| name == MOVES);
        }
        self.link_up(id, name, now);
        let Some(link) = self.conns.get_mut(id).and_then(|c| c.link_mut()) else { return Step::Taken };
        let State::Up { peer } = link.state else { return Step::Taken };
        if let Some(link2) = &mut link.link2 {
            link2.window = usize::try_from(hello.window).unwrap_or(usize::MAX).max(1);
            link2.said = hello.places;
            link2.renewal.is_known = hello.features.iter().any(|name| name == RENEWAL);
            link2.takes_runs = hello.features.iter().any(|name| name == RUNS);
        }
        let lanes = self.peers.get(peer).map_or(0, |peer| peer.lanes.len());
        (0..lanes).for_each(|lane| self.resume(id, peer, lane, now));
        self.resume_feeds(id, peer);
        self.want_write(id);
        Step::Records
    }

    /// The file of a lane is open: if the link is up, it goes on there.
    pub(super) fn lane_opened(&mut self, peer: Id, lane: usize, now: Instant) {
        let Some(link) = self.peers.get(peer).and_then(|p| p.link) else { return };
        self.resume(link, peer, lane, now);
        self.want_write(link);
    }

    /// Goes on in a lane where the peer stands.
    fn resume(&mut self, id: Id, peer_id: Id, lane: usize, now: Instant) {
        let link2 = self.conns.get(id).and_then(|c| c.link()).and_then(|link| link.link2.as_ref());
        let Some(peer) = self.peers.get_mut(peer_id) else { return };
        let (name, Some(entry), Some(link2)) = (peer.name.clone(), peer.lanes.get_mut(lane), link2) else { return };
        if entry.mirrors.is_some() {
            // Its feed does that.
            return;
        }
        let lane_name = entry.name();
        let Some(ring) = &mut entry.ring else { return };
        let said = |p: &&PlaceSaid| p.message_type == lane_name && p.epoch == entry.epoch;
        let Some(place) = link2.said.iter().find(said) else { return };
        let (message_type, received, taken) = (entry.message_type.clone(), place.received, place.taken);
        if received > ring.next_sequence() {
            // New messages get numbers that the peer has not had yet.
            ring.set_next_sequence(received);
            self.tell(Event::SetBack { peer: name, message_type });
        } else if taken < entry.taken {
            // Said once: it goes on from there.
            entry.taken = taken;
            self.tell(Event::PeerSetBack { peer: name, message_type });
        }
        self.release_taken(peer_id, lane, taken, now);
        if let Some(ring) = self.ring_mut(RingRef::Outbox(peer_id, lane)) {
            ring.skip_to(received);
            // What the peer has not taken over yet is said to be of this lane, though none of it is sent again: it may
            // fill the window, and then nothing else would say so.
            if ring.in_flight_bytes() > 0 {
                self.say_lane(id, peer_id, lane);
            }
        }
    }

    pub(super) fn say_lane(&mut self, id: Id, peer: Id, number: usize) {
        let Some(lane) = self.peers.get_mut(peer).and_then(|p| p.lanes.get_mut(number)) else { return };
        lane.announced = true;
        let said = lane.said(number).encode(&self.settings.id);
        self.send_control(id, said);
    }

    /// The peer has taken over a lane's records below `next`.
    fn release_taken(&mut self, peer: Id, lane: usize, next: u64, now: Instant) {
        let mut released = std::mem::take(&mut self.released);
        let Some(entry) = self.peers.get_mut(peer).and_then(|p| p.lanes.get_mut(lane)) else { return };
        let (durable, has_files, mirrors) = (entry.durable, entry.files.is_some(), entry.mirrors);
        entry.taken = entry.taken.max(next);
        if let Some(ring) = &mut entry.ring {
            let (sent, _) =
                Count::released(ring, |ring| ring.release_to(next, &mut |view| released.extend(view.origin)));
            self.traffic.sent(entry.row, sent);
        }
        if durable {
            self.list(RingRef::Outbox(peer, lane));
        }
        if has_files {
            self.files_taken(peer, lane, next);
        }
        if let Some(topic) = mirrors {
            self.mirror_taken(peer, topic, next);
        }
        self.delivered(&released);
        released.clear();
        self.released = released;
        self.unblock_lanes(peer, now);
    }

    /// One record of a peer.
    pub(super) fn link_record(&mut self, id: Id, view: &RecordView, body: &[u8], now: Instant) -> Step {
        if view.flags & record::SWITCH != 0 {
            return self.switch(id, body);
        }
        if view.flags & record::FILE != 0 {
            return self.file_piece(id, view, body, now);
        }
        if view.flags & record::HEADER != 0 {
            return self.run_header(id, body);
        }
        if view.flags & record::RUN != 0 {
            return self.run(id, view, body, now);
        }
        let frame = match Frame::parse(body) {
            Ok(frame) => frame,
            Err(error) => return Step::End(Cause::BadInput(error.to_string())),
        };
        if view.flags & record::CONTROL != 0 {
            return self.control_record(id, &frame, now);
        }
        self.data_record(id, view.sequence, &frame, now)
    }

    fn switch(&mut self, id: Id, body: &[u8]) -> Step {
        let lane = body.try_into().map(u32::from_le_bytes).ok().and_then(|lane| usize::try_from(lane).ok());
        let link2 = self.conns.get_mut(id).and_then(|c| c.link_mut()).and_then(|l| l.link2.as_mut());
        match (link2, lane) {
            (Some(link2), Some(lane)) if link2.lanes.get(lane).is_some_and(Option::is_some) => {
                link2.current = lane;
                Step::Taken
            }
            _ => Step::End(Cause::BadInput(format!("records come of a lane that was not opened: {lane:?}"))),
        }
    }

    /// The current lane: its number, whether its records are taken in, its place, and whether they have files.
    pub(super) fn current_lane(&self, id: Id) -> Option<(usize, bool, u32, bool)> {
        let link2 = self.conns.get(id)?.link()?.link2.as_ref()?;
        let lane = link2.lanes.get(link2.current)?.as_ref()?;
        Some((link2.current, lane.open, lane.slot, lane.files.is_some()))
    }

    fn control_record(&mut self, id: Id, frame: &Frame<'_>, now: Instant) -> Step {
        let header = match Header::parse(frame.header()) {
            Ok(header) => header,
            Err(error) => return Step::End(Cause::BadInput(error.to_string())),
        };
        let Some(State::Up { peer }) = self.conns.get(id).and_then(|c| c.link()).map(|l| l.state) else {
            return Step::Taken;
        };
        match header.message_type.as_ref() {
            control::PING if header.await_response => return self.answer_ping(id, frame, &header),
            control::PING => return self.ping_answer(id, peer, frame, &header, now),
            control::CLOSE => return self.peer_says_goodbye(id, frame, &header),
            control::SSL => return self.renewal_message(id, peer, frame, &header),
            control::PUBSUB if self.settings.pubsub_broker => {
                return self.subscriber_says(id, peer, frame, &header, now);
            }
            _ => {}
        }
        match LinkControl::parse(&header, frame.data()) {
            Ok(Some(said)) => self.link_control(id, peer, said, now),
            Ok(None) => self.file_control(id, peer, &header, frame, now),
            Err(error) => Step::End(Cause::BadInput(error.to_string())),
        }
    }

    fn link_control(&mut self, id: Id, peer: Id, said: LinkControl, now: Instant) -> Step {
        match said {
            LinkControl::Lane { lane, message_type, epoch, released } => {
                self.open_in_lane(id, peer, lane, &message_type, epoch, released, now)
            }
            LinkControl::Taken(lanes) => {
                for (lane, next) in lanes {
                    if let Some(cause) = self.lane_taken(peer, lane, next, now) {
                        return Step::End(cause);
                    }
                }
                self.want_write(id);
                Step::Taken
            }
            LinkControl::Stop { lane, next } => self.lane_stopped(peer, lane, next),
            LinkControl::Go { lane } => {
                if let Some(feed) = feed_number(lane) {
                    self.feed_goes_on(peer, feed);
                } else if let Some(lane) = self.out_lane(peer, lane) {
                    lane.stopped = false;
                }
                self.want_write(id);
                Step::Taken
            }
        }
    }

    fn out_lane(&mut self, peer: Id, lane: u32) -> Option<&mut super::peer::Lane> {
        self.peers.get_mut(peer)?.lanes.get_mut(usize::try_from(lane).ok()?)
    }

    /// The peer has taken over records; an error if it never got them.
    fn lane_taken(&mut self, peer: Id, lane: u32, next: u64, now: Instant) -> Option<Cause> {
        if let Some(feed) = feed_number(lane) {
            let is_right = self.feed_taken(peer, feed, next);
            return (!is_right).then(|| Cause::BadInput(format!("it takes over what was not published: {next}")));
        }
        let entry = self.out_lane(peer, lane)?;
        let ring = entry.ring.as_ref()?;
        // Less may have been sent on this link than the peer has had of the lane before.
        let most = ring.next_sequence();
        if next > most {
            return Some(Cause::BadInput(format!("it takes over what there is not: {next}, {most} is the most")));
        }
        let lane = usize::try_from(lane).ok()?;
        self.release_taken(peer, lane, next, now);
        None
    }

    fn lane_stopped(&mut self, peer: Id, lane: u32, next: u64) -> Step {
        if let Some(feed) = feed_number(lane) {
            self.feed_stopped(peer, feed, next);
        }
        if let Some(lane) = self.out_lane(peer, lane) {
            (lane.stopped, lane.announced) = (true, false);
            lane.go_back = Some(next);
            lane.go_back_if_whole();
        }
        Step::Taken
    }

    #[expect(clippy::too_many_arguments, reason = "what the peer says of its lane")]
    fn open_in_lane(
        &mut self,
        id: Id,
        peer: Id,
        lane: u32,
        message_type: &str,
        epoch: u64,
        released: u64,
        now: Instant,
    ) -> Step {
        let number = lane as usize;
        if number >= LANES_MAX {
            return Step::End(Cause::BadInput(format!("it opens lane {lane}, {LANES_MAX} is the most")));
        }
        let Some(name) = self.peers.get(peer).map(|p| p.name.clone()) else { return Step::Taken };
        self.check_subscribed(id, message_type);
        let slot = self.places.find_or_add(self.lane_key(&name, message_type, lane), self.unix(now));
        let place = self.places.get(slot).map_or((0, 0, 0), |p| (p.epoch, p.received, p.taken));
        if place.0 != epoch {
            self.places.begin_epoch(slot, epoch);
        } else if place.1 < released {
            self.tell(Event::SetBack { peer: name, message_type: message_type.to_owned() });
        }
        let unix = self.unix(now);
        self.places.change(slot, |place| place.seen = unix);
        if place.0 != epoch {
            self.keep_places(now);
        }
        self.lane_of_place.insert(slot, (id, lane));
        if place.0 == epoch && place.2 > released {
            // What was taken over while there was nobody to be told.
            self.places.moved.push(slot);
        }
        let Some(link2) = self.conns.get_mut(id).and_then(|c| c.link_mut()).and_then(|l| l.link2.as_mut()) else {
            return Step::Taken;
        };
        if link2.lanes.len() <= number {
            link2.lanes.resize_with(number + 1, || None);
        }
        let (of_type, has_files) = lane_of(message_type);
        link2.lanes[number] = Some(InLane { slot, open: true, files: has_files.then(|| of_type.into()) });
        self.end_earlier_lane(id, lane);
        self.forget_files(id, lane, if place.0 == epoch { released.max(place.2) } else { released });
        Step::Taken
    }

    /// What a lane's place is known by. Types that are not received here have a few places together: a peer could make
    /// up any number of them, and so push out the places of others. Their messages go no further anyhow.
    fn lane_key(&self, peer: &str, message_type: &str, lane: u32) -> Key {
        let of = topics::type_of_lane(message_type).unwrap_or(lane_of(message_type).0);
        if self.receives(of) || OWN_LANES.contains(&lane_of(message_type).0) {
            return Key::lane(peer, message_type);
        }
        Key::lane(peer, &format!("\0{}", lane % OTHER_PLACES))
    }

    /// Forgets which lanes came on a link that is gone.
    pub(super) fn forget_lanes(&mut self, id: Id) {
        self.lane_of_place.retain(|_, (link, _)| *link != id);
        for inbox in &mut self.inboxes {
            inbox.stopped.retain(|(link, _)| *link != id);
        }
        self.topics.forget_link(id);
    }
}
