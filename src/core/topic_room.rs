//! Room in topics: what is given up when, who is waited for and who is not, and who hears of it.

use std::time::Instant;

use super::connector::Connector;
use super::durable::RingRef;
use super::event::Cause;
use super::feed::Feed;
use super::ledger::Reason;
use super::settings::OnFull;
use super::slots::Id;
use super::topics::{Published, Topic};
use crate::wire::link::LinkControl;

/// Bytes that no subscriber of a topic was sent yet before publishers wait.
const TOPIC_HIGH: u64 = 1024 * 1024;

/// A full topic gives up this part of what it may have, so that it is not full again with the next message.
const GIVEN_UP: usize = 8;

/// The rest of a record that a subscriber is amid when it is given up is copied if it has at most so many bytes. Else
/// the link is cut.
const REST_MAX: usize = 64 * 1024;

impl Connector {
    /// Whether all subscribers that take something have much to be sent yet.
    pub(super) fn is_paced(&mut self, id: Id) -> bool {
        let Some(Topic { readers, shared: Some(shared), pace, .. }) = self.topics.slots.get(id) else { return false };
        if shared.total_bytes().saturating_sub(*pace) < TOPIC_HIGH {
            return false;
        }
        let takes = readers.iter().filter(|(peer, feed)| feed.takes(self.peers.get(**peer)));
        takes.map(|(_, feed)| shared.unsent_bytes(&feed.reader)).min().is_some_and(|least| least >= TOPIC_HIGH)
    }

    /// There is no room in a topic. `None` if there is some now; else what becomes of the message.
    pub(super) fn topic_full(&mut self, id: Id, length: usize, now: Instant) -> Option<Published> {
        let topic = self.topics.get(id)?;
        let policy = self.settings.on_full.get(&topic.message_type).copied();
        if let Some(topic) = self.topics.get_mut(id) {
            topic.needs = topic.needs.max(length);
        }
        // What all have taken over is given up first.
        if self.release_topic(id, now) > 0 {
            return None;
        }
        match policy {
            Some(OnFull::Reject) => return Some(Published::Refused(Reason::QueueFull)),
            Some(OnFull::Block) => return Some(Published::Waits(id)),
            Some(OnFull::DropOldest) | None => {}
        }
        let limit =
            if self.topics.get(id)?.durable { self.settings.max_ring_bytes } else { self.settings.queue_max_bytes };
        let until = self.topics.get_mut(id)?.shared.as_mut()?.behind_oldest(length.max(limit / GIVEN_UP));
        // One whose subscription lasts, and that takes something, is waited for.
        let topic = self.topics.get(id)?;
        let waited_for =
            |(peer, feed): (&Id, &Feed)| policy.is_none() && feed.lasts && feed.takes(self.peers.get(*peer));
        let slowest = topic.readers.iter().filter(|entry| waited_for(*entry)).map(|(_, feed)| feed.taken).min();
        let until = until.min(slowest.unwrap_or(u64::MAX));
        let behind: Vec<Id> = topic.readers.iter().filter(|(_, f)| f.taken < until).map(|(peer, _)| *peer).collect();
        for peer in behind {
            self.move_on(id, peer, until, now);
        }
        if self.release_topic(id, now) > 0 { None } else { Some(Published::Waits(id)) }
    }

    /// A subscriber that is too slow does not get what it has not got yet below this number.
    fn move_on(&mut self, topic_id: Id, peer_id: Id, until: u64, now: Instant) {
        let Some(link) = self.peers.get(peer_id).map(|peer| peer.link) else { return };
        let Some((feed, shared)) = self.topics.reader_mut(topic_id, peer_id) else { return };
        if feed.reader.is_begun() && feed.reader.sequence() < until {
            let plain = link.and_then(|id| self.conns.get(id)?.link()).is_some_and(|link| link.link2.is_none());
            if shared.begun_left(&mut feed.reader) <= REST_MAX {
                let rest = shared.take_begun(&mut feed.reader, plain);
                if let Some(conn) = link.and_then(|id| self.conns.get_mut(id)) {
                    conn.control.push_next(rest);
                }
            } else if let Some(link) = link {
                self.close(link, Cause::SlowSubscriber, now);
                return self.move_on_if_there(topic_id, peer_id, until, now);
            }
        }
        let Some(topic) = self.topics.get_mut(topic_id) else { return };
        let (Some(shared), Some(feed)) = (&mut topic.shared, topic.readers.get_mut(&peer_id)) else { return };
        let skipped = shared.unsent_below(&feed.reader, until);
        feed.skip_to(shared, until);
        let message_type = topic.message_type.clone();
        let name = self.peers.get(peer_id).map(|peer| peer.name.clone()).unwrap_or_default();
        self.count_drop(&name, &message_type, Reason::SlowSubscriber, skipped, now);
    }

    /// The same after its link was cut, if its subscription lasts.
    fn move_on_if_there(&mut self, topic: Id, peer: Id, until: u64, now: Instant) {
        if self.topics.reader(topic, peer).is_some_and(|(feed, _)| !feed.reader.is_begun()) {
            self.move_on(topic, peer, until, now);
        }
    }

    /// Gives up what all subscribers have taken over; how many messages.
    pub(super) fn release_topic(&mut self, id: Id, _now: Instant) -> u64 {
        let Some(topic) = self.topics.get_mut(id) else { return 0 };
        let Some(shared) = &mut topic.shared else { return 0 };
        let begun = |feed: &Feed| if feed.reader.is_begun() { feed.reader.sequence() } else { u64::MAX };
        let least = topic.readers.values().map(|feed| feed.taken.min(begun(feed))).min().unwrap_or(u64::MAX);
        let before = shared.ring().used();
        let released = shared.release_to(least);
        let given_up = before - shared.ring().used();
        if topic.durable && released > 0 {
            self.list(RingRef::Topic(id));
        } else if !topic.durable {
            self.topics.in_memory = self.topics.in_memory.saturating_sub(given_up);
        }
        self.let_go_of_files(id);
        released
    }

    /// At the end of a turn: subscribers hear of what is new, and publishers of what was taken over.
    pub(super) fn settle_topics(&mut self, now: Instant) {
        for id in std::mem::take(&mut self.topics.touched) {
            let Some(topic) = self.topics.get_mut(id) else { continue };
            topic.touched = false;
            let Topic { readers, shared, .. } = topic;
            let Some(shared) = shared else { continue };
            if topic.files.is_some() {
                self.fill_mirrors(id, now);
                self.release_topic(id, now);
                self.take_over(id);
                self.go_on_publishing(id, now);
                continue;
            }
            let news = readers.iter().filter(|(_, feed)| shared.unsent(&feed.reader) > 0);
            let links: Vec<Id> = news.filter_map(|(peer, _)| self.peers.get(*peer)?.link).collect();
            links.into_iter().for_each(|link| self.want_write(link));
            self.release_topic(id, now);
            self.take_over(id);
            self.go_on_publishing(id, now);
        }
    }

    /// What the fastest subscriber was sent is taken over from its publishers; if there is none that takes something,
    /// all is.
    fn take_over(&mut self, id: Id) {
        let Some(topic) = self.topics.slots.get_mut(id) else { return };
        let takes = topic.readers.iter().filter(|(peer, feed)| feed.takes(self.peers.get(**peer)));
        let fastest = takes.map(|(_, feed)| (feed.reader.sequence(), feed.reader.bytes())).max();
        topic.pace = fastest.map_or(topic.pace, |(_, bytes)| bytes);
        let until = fastest.map_or(u64::MAX, |(sequence, _)| sequence);
        while let Some((_, origin)) = topic.untaken.front().copied().filter(|(number, _)| *number < until) {
            self.places.take(origin);
            topic.untaken.pop_front();
        }
    }

    /// Goes on with those who waited for a topic, if it has room now.
    fn go_on_publishing(&mut self, id: Id, now: Instant) {
        let paced = self.is_paced(id);
        let (in_memory, in_file) = (self.settings.queue_max_bytes, self.settings.max_ring_bytes);
        let Some(topic) = self.topics.get_mut(id) else { return };
        let limit = if topic.durable { in_file } else { in_memory };
        let used = topic.shared.as_ref().map_or(0, |shared| shared.ring().used());
        let is_full = used > limit / 4 * 3 || used + topic.needs > limit;
        if (is_full && used > 0) || (topic.durable && self.store_again.is_some_and(|at| at > now)) {
            return;
        }
        topic.needs = 0;
        let stopped = std::mem::take(&mut topic.stopped);
        let blocked = if paced { Vec::new() } else { std::mem::take(&mut topic.blocked) };
        for (link, lane) in stopped {
            let said = LinkControl::Go { lane }.encode(&self.settings.id);
            self.send_control(link, said);
        }
        self.unblock(blocked, now);
    }
}
