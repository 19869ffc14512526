//! What goes out of topics: a feed for each subscriber of a topic.
//!
//! On a link of the second kind a feed is a lane. Its numbers are those of the topic, its name is
//! [`lane_name`]; it is taken over, stopped and taken up again as lanes are. On links of the first kind its messages are
//! plain frames, and taken over when TCP has confirmed them.
//!
//! Feeds and lanes take turns: the oldest message goes first.

use std::collections::VecDeque;
use std::time::Instant;

use super::conn::{Conn, Kind, Link};
use super::connector::{Connector, SCRATCH};
use super::event::Event;
use super::peer::Peer;
use super::priority::TURN;
use super::slots::Id;
use super::traffic::Count;
use crate::ring::{Reader, Shared};
use crate::wire::link::{LinkControl, PlaceSaid};
use crate::wire::record;
use crate::wire::topics::lane_name;

/// The numbers of feeds on a link begin here; those of lanes lie below.
pub(super) const FEEDS_FROM: usize = 2048;

/// Most feeds of a peer: its link has so many numbers for them.
const FEEDS_MAX: usize = 2048;

/// The feed that a lane's number is of, if it is of one.
pub(super) fn feed_number(lane: u32) -> Option<usize> {
    usize::try_from(lane).ok()?.checked_sub(FEEDS_FROM)
}

/// A subscriber of a topic.
#[derive(Debug)]
pub(super) struct Feed {
    /// It waits for its peer while that is away.
    pub lasts: bool,
    pub reader: Reader,
    /// Its row in the counts.
    pub row: usize,
    /// The peer has taken over all records with smaller numbers.
    pub taken: u64,
    /// The same, as far as the peer has said so: what it was not sent for want of room, or from before its subscription,
    /// it knows nothing of.
    told: u64,
    /// Bytes of the topic's life up to there, as far as that is known.
    taken_bytes: u64,
    /// What was sent: all below this number, bytes of the topic's life up to there, and how many messages at a time.
    sent: VecDeque<(u64, u64, u64)>,
    /// Link 2: the peer was told of it.
    announced: bool,
    /// Link 2: the peer has no room for it.
    stopped: bool,
    /// Link 2: where to go back to as soon as the record that was begun is out.
    go_back: Option<u64>,
}

/// A number of a peer's feeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FeedSlot {
    /// It is of no feed.
    Free,
    /// The peer may still speak of the feed that it had.
    Spoilt,
    /// It is of this topic.
    Of(Id),
}

impl Feed {
    /// One that gets all records from this number on.
    pub fn new(lasts: bool, from: u64) -> Self {
        Self {
            lasts,
            reader: Reader::default(),
            row: 0,
            taken: from,
            told: 0,
            taken_bytes: 0,
            sent: VecDeque::new(),
            announced: false,
            stopped: false,
            go_back: None,
        }
    }

    /// Its topic is there, or its link is gone: it begins with what was not taken over.
    pub fn begin(&mut self, shared: &mut Shared) {
        self.reader = shared.reader(self.taken);
        (self.announced, self.stopped, self.go_back) = (false, false, None);
        self.sent.clear();
        self.taken_bytes = self.reader.bytes();
    }

    /// Bytes that were sent and not taken over.
    pub fn in_flight(&self) -> u64 {
        self.reader.bytes().saturating_sub(self.taken_bytes)
    }

    /// Bytes of messages that were not sent.
    pub fn unsent_bytes(&self, shared: &Shared) -> u64 {
        shared.unsent_bytes(&self.reader)
    }

    /// All that was sent is taken over.
    pub fn is_done(&self) -> bool {
        self.in_flight() == 0 && !self.reader.is_begun()
    }

    /// Whether its peer takes what there is.
    pub fn takes(&self, peer: Option<&Peer>) -> bool {
        !self.stopped && peer.is_some_and(|peer| peer.link.is_some())
    }

    fn may_send(&self, shared: &Shared, window: u64) -> bool {
        let on_the_way = self.in_flight();
        let is_open = !self.stopped && self.go_back.is_none() && (on_the_way == 0 || on_the_way < window);
        is_open && shared.unsent(&self.reader) > 0
    }

    /// So many messages went out whole.
    pub fn has_sent(&mut self, messages: usize) {
        self.sent.push_back((self.reader.sequence(), self.reader.bytes(), messages as u64));
    }

    /// The peer has taken over all records with smaller numbers. How many of those that were sent on this link.
    pub fn take(&mut self, next: u64) -> Count {
        (self.taken, self.told) = (self.taken.max(next), self.told.max(next));
        let (mut messages, before) = (0, self.taken_bytes);
        while let Some((_, bytes, count)) = self.sent.front().copied().filter(|(below, ..)| *below <= next) {
            self.taken_bytes = bytes;
            messages += count;
            self.sent.pop_front();
        }
        let mut count = Count::default();
        count.add_records(messages, self.taken_bytes.saturating_sub(before));
        count
    }

    /// It does not get what it was not sent below this number. What was sent stays on its way.
    pub fn skip_to(&mut self, shared: &mut Shared, until: u64) {
        if self.reader.sequence() < until {
            let before = self.reader.bytes();
            shared.seek(&mut self.reader, until);
            let skipped = self.reader.bytes() - before;
            self.taken_bytes += skipped;
            self.sent.iter_mut().for_each(|(_, bytes, _)| *bytes += skipped);
        }
        self.taken = self.taken.max(until);
    }

    /// Records were found damaged, and are no more.
    pub fn find_again(&mut self, shared: &mut Shared) {
        shared.refresh(&mut self.reader);
        if self.sent.is_empty() {
            self.taken_bytes = self.reader.bytes();
        }
    }

    fn go_back_if_whole(&mut self, shared: &mut Shared) {
        if let Some(next) = self.go_back.filter(|_| !self.reader.is_begun()) {
            shared.seek(&mut self.reader, next.max(self.taken));
            self.go_back = None;
            self.sent.clear();
            self.taken_bytes = self.reader.bytes();
        }
    }
}

impl Peer {
    /// A number for a feed of this topic; false if there is none.
    fn number_feed(&mut self, topic: Id) -> bool {
        if self.feeds.contains(&FeedSlot::Of(topic)) {
            return true;
        }
        match self.feeds.iter().position(|slot| *slot == FeedSlot::Free) {
            Some(free) => self.feeds[free] = FeedSlot::Of(topic),
            None if self.feeds.len() < FEEDS_MAX => self.feeds.push(FeedSlot::Of(topic)),
            None => return false,
        }
        true
    }

    /// The feed of a topic is no more; `spoilt` if the peer may still speak of it.
    pub fn free_feed(&mut self, topic: Id, spoilt: bool) {
        if let Some(slot) = self.feeds.iter_mut().find(|slot| **slot == FeedSlot::Of(topic)) {
            *slot = if spoilt && self.link.is_some() { FeedSlot::Spoilt } else { FeedSlot::Free };
        }
    }

    fn topic_of(&self, number: usize) -> Option<Id> {
        match self.feeds.get(number)? {
            FeedSlot::Of(topic) => Some(*topic),
            FeedSlot::Free | FeedSlot::Spoilt => None,
        }
    }
}

impl Connector {
    /// A peer subscribes to a topic: it gets all records from this number on. If it did already, it may last now.
    pub(super) fn add_reader(&mut self, topic_id: Id, peer: &str, lasts: bool, from: u64) {
        if self.topics.get(topic_id).is_none_or(|topic| !self.gets(peer, &topic.message_type)) {
            return;
        }
        let peer_id = self.peers.find_or_add(peer, &self.classes);
        let Some(topic) = self.topics.get_mut(topic_id) else { return };
        if let Some(feed) = topic.readers.get_mut(&peer_id) {
            feed.lasts |= lasts;
            return;
        }
        let message_type = topic.message_type.clone();
        if !self.peers.get_mut(peer_id).is_some_and(|peer| peer.number_feed(topic_id)) {
            let why = format!("it has {FEEDS_MAX} types, which is the most");
            return self.tell(Event::SubscriptionRefused { peer: peer.to_owned(), pattern: message_type, why });
        }
        let Some(topic) = self.topics.get_mut(topic_id) else { return };
        let mut feed = Feed::new(lasts, from);
        feed.row = self.traffic.row(peer, &message_type);
        if let Some(shared) = &mut topic.shared {
            feed.begin(shared);
        }
        topic.readers.insert(peer_id, feed);
        self.topics.touch(topic_id);
    }

    /// A peer gets nothing more of a topic.
    pub(super) fn remove_reader(&mut self, topic_id: Id, peer_id: Id) {
        let Some(topic) = self.topics.get_mut(topic_id) else { return };
        let Some(mut feed) = topic.readers.remove(&peer_id) else { return };
        let (mut rest, mut spoilt) = (Vec::new(), !feed.is_done() && topic.files.is_none());
        if let Some(shared) = topic.shared.as_mut().filter(|_| feed.reader.is_begun()) {
            let link = self.peers.get(peer_id).and_then(|peer| peer.link);
            let plain = link.and_then(|id| self.conns.get(id)?.link()).is_some_and(|link| link.link2.is_none());
            // Nothing else may be written before it.
            rest = shared.take_begun(&mut feed.reader, plain);
            spoilt = true;
        }
        self.topics.touch(topic_id);
        self.end_mirror(topic_id, peer_id);
        let Some(peer) = self.peers.get_mut(peer_id) else { return };
        peer.free_feed(topic_id, spoilt);
        if let Some(conn) = peer.link.filter(|_| !rest.is_empty()).and_then(|link| self.conns.get_mut(link)) {
            conn.control.push_next(rest);
        }
    }

    /// The topics of a peer's feeds.
    pub(super) fn topics_of(&self, peer: Id) -> Vec<Id> {
        let Some(peer) = self.peers.get(peer) else { return Vec::new() };
        (0..peer.feeds.len()).filter_map(|number| peer.topic_of(number)).collect()
    }

    /// A peer's link has ended, or a new one begins: feeds that do not last end, others begin again.
    pub(super) fn rewind_feeds(&mut self, peer_id: Id) {
        let Some(peer) = self.peers.get_mut(peer_id) else { return };
        if peer.feeds.is_empty() {
            return;
        }
        let ours = peer.feeds.iter_mut().filter(|slot| **slot == FeedSlot::Spoilt);
        ours.for_each(|slot| *slot = FeedSlot::Free);
        for topic_id in self.topics_of(peer_id) {
            self.empty_mirror(topic_id, peer_id);
            let Some(topic) = self.topics.get_mut(topic_id) else { continue };
            match topic.readers.get_mut(&peer_id) {
                Some(feed) if feed.lasts => {
                    if let Some(shared) = &mut topic.shared {
                        feed.begin(shared);
                    }
                }
                _ => {
                    topic.readers.remove(&peer_id);
                    self.end_mirror(topic_id, peer_id);
                    if let Some(peer) = self.peers.get_mut(peer_id) {
                        peer.free_feed(topic_id, false);
                    }
                }
            }
            self.topics.touch(topic_id);
        }
    }

    /// Goes on in a peer's feeds where the peer stands.
    pub(super) fn resume_feeds(&mut self, id: Id, peer: Id) {
        for topic in self.topics_of(peer) {
            self.resume_feed(id, peer, topic);
        }
    }

    /// The same for all subscribers of a topic: its file is open.
    pub(super) fn resume_readers(&mut self, topic: Id, _now: Instant) {
        let Some(entry) = self.topics.get(topic) else { return };
        let peers: Vec<Id> = entry.readers.keys().copied().collect();
        for peer in peers {
            if let Some(link) = self.peers.get(peer).and_then(|peer| peer.link) {
                self.resume_feed(link, peer, topic);
            }
        }
    }

    fn resume_feed(&mut self, id: Id, peer_id: Id, topic_id: Id) {
        let Some(topic) = self.topics.get(topic_id) else { return };
        let (name, message_type) = (lane_name(&topic.name()), topic.message_type.clone());
        let has_files = topic.files.is_some();
        let said = |p: &&PlaceSaid| p.message_type == name && p.epoch == topic.epoch;
        let link2 = self.conns.get(id).and_then(|c| c.link()).and_then(|link| link.link2.as_ref());
        let Some((received, taken)) = link2.and_then(|l| l.said.iter().find(said)).map(|p| (p.received, p.taken))
        else {
            return;
        };
        let Some((feed, shared)) = self.topics.reader_mut(topic_id, peer_id) else { return };
        let set_back = received > shared.ring().next_sequence();
        if set_back {
            // New messages get numbers that the peer has not had yet.
            shared.ring_mut().set_next_sequence(received);
        }
        let (messages, before) = (shared.unsent_below(&feed.reader, taken), feed.reader.bytes());
        feed.take(taken);
        shared.seek(&mut feed.reader, feed.taken);
        feed.taken_bytes = feed.reader.bytes();
        if !has_files {
            let mut sent = Count::default();
            sent.add_records(messages, feed.taken_bytes.saturating_sub(before));
            self.traffic.sent(feed.row, sent);
        }
        let on_way = shared.unsent_below(&feed.reader, received);
        // Of one with files, a lane has what is on its way.
        shared.seek(&mut feed.reader, if has_files { feed.taken } else { received.max(feed.taken) });
        if feed.in_flight() > 0 {
            feed.has_sent(usize::try_from(on_way).unwrap_or(usize::MAX));
        }
        let waits = feed.in_flight() > 0;
        if set_back {
            let peer = self.peers.get(peer_id).map(|peer| peer.name.clone()).unwrap_or_default();
            self.tell(Event::SetBack { peer, message_type });
        }
        if has_files {
            self.resume_mirror(id, peer_id, topic_id, received);
        } else if waits {
            self.say_feed(id, peer_id, topic_id);
        }
        self.topics.touch(topic_id);
    }

    fn say_feed(&mut self, id: Id, peer: Id, topic: Id) {
        let slots = self.peers.get(peer).map(|peer| peer.feeds.as_slice()).unwrap_or_default();
        let Some(number) = slots.iter().position(|slot| *slot == FeedSlot::Of(topic)) else { return };
        let Some(said) = self.feed_said(peer, topic, number) else { return };
        let said = said.encode(&self.settings.id);
        self.send_control(id, said);
    }

    /// What the peer is told before the records of a feed come.
    fn feed_said(&mut self, peer: Id, topic: Id, number: usize) -> Option<LinkControl> {
        let topic = self.topics.get_mut(topic)?;
        let (message_type, epoch) = (lane_name(&topic.message_type), topic.epoch);
        let feed = topic.readers.get_mut(&peer)?;
        feed.announced = true;
        Some(LinkControl::Lane { lane: (FEEDS_FROM + number) as u32, message_type, epoch, released: feed.told })
    }

    /// The peer says something of a feed: that it has taken over what is below a number, if it can have got that.
    pub(super) fn feed_taken(&mut self, peer: Id, number: usize, next: u64) -> bool {
        let Some(topic) = self.peers.get(peer).and_then(|peer| peer.topic_of(number)) else { return true };
        let Some((feed, shared)) = self.topics.reader_mut(topic, peer) else { return true };
        if next > shared.ring().next_sequence() {
            return false;
        }
        let (count, row) = (feed.take(next), feed.row);
        self.traffic.sent(row, count);
        self.topics.touch(topic);
        true
    }

    pub(super) fn feed_stopped(&mut self, peer: Id, number: usize, next: u64) {
        let Some(topic) = self.peers.get(peer).and_then(|peer| peer.topic_of(number)) else { return };
        let Some((feed, shared)) = self.topics.reader_mut(topic, peer) else { return };
        (feed.stopped, feed.announced, feed.go_back) = (true, false, Some(next));
        feed.go_back_if_whole(shared);
        self.topics.touch(topic);
    }

    pub(super) fn feed_goes_on(&mut self, peer: Id, number: usize) {
        let Some(topic) = self.peers.get(peer).and_then(|peer| peer.topic_of(number)) else { return };
        if let Some((feed, _)) = self.topics.reader_mut(topic, peer) {
            feed.stopped = false;
        }
    }

    /// The feed that a peer is to be sent something of next, if it is not a lane's turn. On a link of the first kind
    /// there is no window.
    pub(super) fn feed_to_send(&self, id: Id, peer_id: Id) -> Option<usize> {
        let peer = self.peers.get(peer_id).filter(|peer| peer.link == Some(id) && !peer.feeds.is_empty())?;
        let Conn { kind: Kind::Link(link), control, .. } = self.conns.get(id)? else { return None };
        let out = link.link2.as_ref().map_or(link.feed, |link2| link2.out.and_then(|n| n.checked_sub(FEEDS_FROM)));
        let begun = |number: &usize| {
            let reader = peer.topic_of(*number).and_then(|topic| self.topics.reader(topic, peer_id));
            reader.is_some_and(|(feed, _)| feed.reader.is_begun())
        };
        if let Some(number) = out.filter(begun) {
            return Some(number);
        }
        if !control.is_empty() || peer.mid_frame().is_some() {
            return None;
        }
        let window = link.link2.as_ref().map_or(u64::MAX, |link2| link2.window as u64);
        let (front, number) = self.next_feed(peer_id, peer, window)?;
        let lane = match &link.link2 {
            Some(link2) => peer.next_lane(|lane| lane.may_send(link2.window)),
            None => peer.next_frame_lane(link).filter(|lane| !link.rests_from(*lane)),
        };
        let is_older = |lane: usize| peer.lanes[lane].front_sequence().is_some_and(|sequence| sequence < front);
        if lane.is_some_and(is_older) { None } else { Some(number) }
    }

    /// The feed whose next message is the oldest: that message's number, and the feed's.
    fn next_feed(&self, peer_id: Id, peer: &Peer, window: u64) -> Option<(u64, usize)> {
        let waits = |number: usize| {
            let topic = self.topics.get(peer.topic_of(number)?).filter(|topic| topic.files.is_none())?;
            let (feed, shared) = (topic.readers.get(&peer_id)?, topic.shared.as_ref()?);
            feed.may_send(shared, window).then(|| (feed.reader.sequence(), number))
        };
        (0..peer.feeds.len()).filter_map(waits).min()
    }

    /// Whether a feed of the peer may send something on its link.
    pub(super) fn feeds_pending(&self, id: Id, peer_id: Id) -> bool {
        let Some(peer) = self.peers.get(peer_id).filter(|peer| peer.link == Some(id) && !peer.feeds.is_empty()) else {
            return false;
        };
        let link2 = self.conns.get(id).and_then(|c| c.link()).and_then(|link| link.link2.as_ref());
        let window = link2.map_or(u64::MAX, |link2| link2.window as u64);
        self.next_feed(peer_id, peer, window).is_some() || self.feed_is_begun(peer_id)
    }

    /// Whether a peer was sent a record of a feed in part.
    pub(super) fn feed_is_begun(&self, peer_id: Id) -> bool {
        let Some(peer) = self.peers.get(peer_id) else { return false };
        let readers = (0..peer.feeds.len()).filter_map(|number| self.topics.reader(peer.topic_of(number)?, peer_id));
        readers.into_iter().any(|(feed, _)| feed.reader.is_begun())
    }

    /// Messages in a peer's feeds that it was not sent.
    pub(super) fn feeds_unsent(&self, peer_id: Id) -> usize {
        let topics = self.topics_of(peer_id);
        let unsent = topics.iter().filter_map(|topic| self.topics.reader(*topic, peer_id));
        unsent.map(|(feed, shared)| usize::try_from(shared.unsent(&feed.reader)).unwrap_or(usize::MAX)).sum()
    }

    /// Offers one piece of a feed as records; how much was taken of how much.
    pub(super) fn transmit_feed_records(
        &mut self,
        id: Id,
        peer_id: Id,
        number: usize,
        left: usize,
        now: Instant,
        sink: &mut dyn FnMut(&[u8]) -> usize,
    ) -> Option<(usize, usize)> {
        let topic_id = self.peers.get(peer_id)?.topic_of(number)?;
        let (feed, _) = self.topics.reader(topic_id, peer_id)?;
        let (begun, announced) = (feed.reader.is_begun(), feed.announced);
        let said = if announced || begun { None } else { self.feed_said(peer_id, topic_id, number) };
        let Conn { kind: Kind::Link(Link { link2: Some(link2), .. }), control, .. } = self.conns.get_mut(id)? else {
            return None;
        };
        let wire = FEEDS_FROM + number;
        if !begun && (!announced || link2.out != Some(wire)) {
            let mut out = Vec::new();
            if let Some(said) = said {
                record::append_record(&mut out, 0, record::CONTROL, &[&said.encode(&self.settings.id)]);
            }
            link2.out = Some(wire);
            record::append_record(&mut out, 0, record::SWITCH, &[&(wire as u32).to_le_bytes()]);
            control.push(out);
            return control.offer(left, sink);
        }
        let (feed, shared) = self.topics.reader_mut(topic_id, peer_id)?;
        let free = usize::try_from((link2.window as u64).saturating_sub(feed.in_flight())).unwrap_or(usize::MAX);
        let (room, below) = if begun { (left, 0) } else { (left.min(TURN).min(free.max(1)), u64::MAX) };
        let Ok(bytes) = shared.raw(&mut feed.reader, room, below) else {
            self.topic_damaged(topic_id, now);
            return Some((0, 0));
        };
        let bytes = &bytes[..bytes.len().min(left)];
        if bytes.is_empty() {
            return None;
        }
        let (offered, taken) = (bytes.len(), sink(bytes));
        link2.files.message_sent(taken, now);
        let whole = shared.raw_sent(&mut feed.reader, taken);
        if whole > 0 {
            feed.has_sent(whole);
            self.topics.touch(topic_id);
        }
        let (feed, shared) = self.topics.reader_mut(topic_id, peer_id)?;
        feed.go_back_if_whole(shared);
        Some((taken, offered))
    }

    /// Offers one piece of a feed as plain frames.
    pub(super) fn transmit_feed_frames(
        &mut self,
        id: Id,
        peer_id: Id,
        number: usize,
        left: usize,
        now: Instant,
        sink: &mut dyn FnMut(&[u8]) -> usize,
    ) -> Option<(usize, usize)> {
        let topic_id = self.peers.get(peer_id)?.topic_of(number)?;
        let (feed, shared) = self.topics.reader_mut(topic_id, peer_id)?;
        let link = self.conns.get_mut(id)?.link_mut()?;
        link.feed = Some(number);
        let Ok((taken, offered)) = offer(shared, &mut feed.reader, left, &mut self.scratch, sink) else {
            self.topic_damaged(topic_id, now);
            return Some((0, 0));
        };
        link.written += taken as u64;
        link.since_piece += taken as u64;
        let whole = shared.sent(&mut feed.reader, taken);
        if whole > 0 {
            feed.has_sent(whole);
            link.mark(FEEDS_FROM + number, feed.reader.sequence());
            self.topics.touch(topic_id);
        }
        Some((taken, offered))
    }
}

/// Offers the next piece of a feed: large frames from where they lie, small ones gathered.
fn offer(
    shared: &mut Shared,
    reader: &mut Reader,
    left: usize,
    scratch: &mut [u8],
    sink: &mut dyn FnMut(&[u8]) -> usize,
) -> Result<(usize, usize), crate::ring::Damaged> {
    let front = shared.front(reader)?;
    if front.len() >= SCRATCH.min(left) {
        let piece = &front[..front.len().min(left)];
        return Ok((sink(piece), piece.len()));
    }
    let room = scratch.len().min(left);
    let filled = shared.peek(reader, &mut scratch[..room])?;
    Ok((sink(&scratch[..filled]), filled))
}
