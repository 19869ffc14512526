//! What is published, on a broker: a queue for each type, in which a message lies once, and which each subscriber reads
//! at its own pace.
//!
//! - A topic lies in a file if `disk_persistence_send` covers its type. Then it also waits for subscribers that are away
//!   and whose subscription lasts.
//! - It gives up what all its subscribers have taken over.
//! - What brings a file goes into a topic of its own beside that of its type (`published_files`).
//! - The fastest subscriber sets the publishers' pace: what no subscriber was sent yet is not taken over from a peer
//!   with link 2, and other publishers wait while there is much of it.
//! - A full topic gives up what its slowest subscriber has not got yet. It waits for one whose subscription lasts, while
//!   that is there and takes something. `on_full` sets something else for a type: `block` waits for all, `reject`
//!   refuses what is published, `drop_oldest` waits for none.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Instant;

use super::connector::Connector;
use super::durable::{Opened, RingName, RingRef};
use super::event::Output;
use super::feed::{Feed, FeedSlot};
use super::ledger::Reason;
use super::slots::{Id, Slots};
use super::subscriptions::Subscriptions;
use crate::ring::{PushError, Ring, Shared, Sums};
use crate::wire::file::{self, lane_of};
use crate::wire::record::{Origin, record_size};

/// Most topics. A new one takes the place of one with nothing in it.
const TOPICS_MAX: usize = 4096;

/// Most types that are known to have no subscriber; then all are looked up again.
const UNWANTED_MAX: usize = 4096;

/// All topics that lie in memory have so many times `queue_max_bytes` together.
const IN_MEMORY_MAX: usize = 4;

/// The messages that are published under a type.
#[derive(Debug)]
pub(super) struct Topic {
    pub message_type: String,
    /// Its messages have files: the paths of these, by the messages' numbers.
    pub files: Option<BTreeMap<u64, String>>,
    /// The life of its numbers.
    pub epoch: u64,
    /// It lies in a file.
    pub durable: bool,
    /// The queue; a topic that lies in a file has none before that is open.
    pub shared: Option<Shared>,
    /// The shell was asked to open its file.
    opening: bool,
    /// Its file could not be opened.
    lacks_file: bool,
    /// It waits to be saved.
    pub listed: bool,
    /// Its subscribers, by their peers.
    pub readers: BTreeMap<Id, Feed>,
    /// Connections that are not read until it has room.
    pub blocked: Vec<Id>,
    /// Bytes of the longest message that it had no room for.
    pub needs: usize,
    /// Lanes of publishers that it had no room for: the link, the lane.
    pub stopped: Vec<(Id, u32)>,
    /// In memory: what no subscriber was sent yet is not taken over. The number here, and whose it is.
    pub untaken: VecDeque<(u64, Origin)>,
    /// It is looked at when the turn ends.
    pub touched: bool,
    /// So far its fastest subscriber had come then, in bytes of its whole life.
    pub pace: u64,
}

/// All topics.
#[derive(Debug, Default)]
pub(super) struct Topics {
    pub slots: Slots<Topic>,
    by_type: HashMap<String, Id>,
    /// Bytes of messages with files that subscribers are being sent, and topics that wait for there to be less of them.
    pub mirrored: usize,
    pub starved: Vec<Id>,
    /// Types without a subscriber.
    unwanted: HashSet<String>,
    pub touched: Vec<Id>,
    /// Bytes of those in memory.
    pub in_memory: usize,
    pub subscriptions: Subscriptions,
}

impl Topics {
    pub fn get(&self, id: Id) -> Option<&Topic> {
        self.slots.get(id)
    }

    pub fn get_mut(&mut self, id: Id) -> Option<&mut Topic> {
        self.slots.get_mut(id)
    }

    /// The topic of this name.
    pub fn find(&self, name: &str) -> Option<Id> {
        self.by_type.get(name).copied()
    }

    pub fn iter(&self) -> impl Iterator<Item = (Id, &Topic)> {
        self.slots.iter()
    }

    pub fn ids(&self) -> Vec<Id> {
        self.slots.iter().map(|(id, _)| id).collect()
    }

    /// Has a topic looked at when the turn ends.
    pub fn touch(&mut self, id: Id) {
        if let Some(topic) = self.slots.get_mut(id)
            && !std::mem::replace(&mut topic.touched, true)
        {
            self.touched.push(id);
        }
    }

    /// A link is gone: nobody on it is told to go on.
    pub fn forget_link(&mut self, link: Id) {
        let ids: Vec<Id> = self.iter().filter(|(_, topic)| !topic.stopped.is_empty()).map(|(id, _)| id).collect();
        for id in ids {
            if let Some(topic) = self.get_mut(id) {
                topic.stopped.retain(|(stopped, _)| *stopped != link);
            }
        }
    }

    /// Types may have other subscribers now.
    pub fn changed(&mut self) {
        self.unwanted.clear();
    }

    /// A peer's reader of a topic, and what it reads.
    pub fn reader_mut(&mut self, topic: Id, peer: Id) -> Option<(&mut Feed, &mut Shared)> {
        let Topic { readers, shared, .. } = self.slots.get_mut(topic)?;
        Some((readers.get_mut(&peer)?, shared.as_mut()?))
    }

    /// The same, to look at.
    pub fn reader(&self, topic: Id, peer: Id) -> Option<(&Feed, &Shared)> {
        let topic = self.slots.get(topic)?;
        Some((topic.readers.get(&peer)?, topic.shared.as_ref()?))
    }

    /// Bytes of a topic that a peer was not sent.
    pub fn unsent_bytes(&self, topic: Id, peer: Id) -> Option<u64> {
        self.reader(topic, peer).map(|(feed, shared)| feed.unsent_bytes(shared))
    }

    /// A new topic. One with nothing in it gives way if there are too many; if there is none, there is no new one.
    fn add(&mut self, name: &str, durable: bool) -> Option<Id> {
        let (message_type, has_files) = lane_of(name);
        let topic = Topic {
            message_type: message_type.to_owned(),
            files: has_files.then(BTreeMap::new),
            epoch: 0,
            durable,
            shared: None,
            opening: false,
            lacks_file: false,
            listed: false,
            readers: BTreeMap::new(),
            blocked: Vec::new(),
            needs: 0,
            stopped: Vec::new(),
            untaken: VecDeque::new(),
            touched: false,
            pace: 0,
        };
        let id = self.slots.insert(topic);
        self.by_type.insert(name.to_owned(), id);
        Some(id)
    }
}

impl Topic {
    /// What it is known by: its type, or another name beside that if its messages have files.
    pub fn name(&self) -> String {
        if self.files.is_some() { file::lane_name(&self.message_type) } else { self.message_type.clone() }
    }

    /// Nothing is in it, nobody waits for it, and it is not to be saved.
    fn is_idle(&self) -> bool {
        let is_empty = self.shared.as_ref().is_none_or(|shared| shared.ring().is_empty());
        let waits = self.opening || self.listed || self.touched || !self.blocked.is_empty() || !self.stopped.is_empty();
        is_empty && !waits && self.untaken.is_empty()
    }

    /// Bytes in memory of the process.
    fn in_memory(&self) -> usize {
        if self.durable { 0 } else { self.shared.as_ref().map_or(0, |shared| shared.ring().used()) }
    }
}

/// What became of a publication.
#[derive(Debug)]
pub(super) enum Published {
    /// It is in a file, or will be as soon as the turn ends.
    Stored,
    /// It is in memory, and is taken over later; or there is nothing to do with it, and it is taken over now.
    Taken {
        /// It is taken over later.
        later: bool,
    },
    /// There is no room for it in this topic.
    Waits(Id),
    /// It does not go in.
    Refused(Reason),
}

/// Who published a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Publisher {
    /// What counts it: a peer's place, or an app's session.
    pub origin: Option<Origin>,
    /// It is a peer with link 2, which keeps what is not taken over.
    pub keeps: bool,
}

impl Connector {
    /// The topic of a type that is published, with files or without; `None` if nobody subscribes to it.
    pub(super) fn topic_for(
        &mut self,
        message_type: &str,
        with_file: bool,
        now: Instant,
    ) -> Result<Option<Id>, Reason> {
        let name = if with_file { Cow::Owned(file::lane_name(message_type)) } else { Cow::Borrowed(message_type) };
        if let Some(id) = self.topics.find(&name) {
            return Ok(Some(id));
        }
        if self.topics.unwanted.contains(message_type) {
            return Ok(None);
        }
        let durable = self.settings.persist_send.covers(message_type);
        let wanted = self.topics.subscriptions.to(message_type);
        let is_up = |peers: &super::peer::Peers, name: &str| {
            peers.find(name).and_then(|id| peers.get(id)).is_some_and(|peer| peer.link.is_some())
        };
        let (mut there, since) = (Vec::new(), self.stamp);
        for (name, lasts) in wanted {
            let lasts = lasts.is_some() && durable;
            if self.gets(&name, message_type) && (lasts || is_up(&self.peers, &name)) {
                there.push((name, lasts));
            }
        }
        if there.is_empty() {
            if self.topics.unwanted.len() >= UNWANTED_MAX {
                self.topics.unwanted.clear();
            }
            self.topics.unwanted.insert(message_type.to_owned());
            return Ok(None);
        }
        let id = self.add_topic(&name, durable).ok_or(Reason::TooManyTopics)?;
        for (name, lasts) in there {
            self.add_reader(id, &name, lasts, since);
        }
        if durable {
            // Who publishes is told what became of that.
            _ = self.open_topic(id, now);
        }
        Ok(Some(id))
    }

    fn add_topic(&mut self, name: &str, durable: bool) -> Option<Id> {
        if self.topics.by_type.len() >= TOPICS_MAX {
            let idle =
                self.topics.iter().find(|(_, topic)| topic.is_idle() && topic.readers.values().all(Feed::is_done));
            let idle = idle.map(|(id, _)| id)?;
            self.remove_topic(idle);
        }
        let id = self.topics.add(name, durable)?;
        let (limit, seed, stamp) = (self.settings.queue_max_bytes, self.settings.seed, self.stamp);
        if let Some(topic) = self.topics.get_mut(id).filter(|topic| !topic.durable) {
            topic.epoch = seed;
            topic.shared = Some(Shared::new(Ring::heap(limit, stamp, Sums::AtPush)));
        }
        Some(id)
    }

    /// A topic is no more. Its file goes if nothing is in it.
    fn remove_topic(&mut self, id: Id) {
        let readers: Vec<Id> = self.topics.get(id).map(|t| t.readers.keys().copied().collect()).unwrap_or_default();
        readers.iter().for_each(|peer| self.end_mirror(id, *peer));
        let Some(topic) = self.topics.slots.remove(id) else { return };
        self.topics.by_type.remove(&topic.name());
        self.transfers.let_go.extend(topic.files.unwrap_or_default().into_values());
        for peer in topic.readers.keys() {
            if let Some(peer) = self.peers.get_mut(*peer) {
                peer.free_feed(id, false);
            }
        }
        if let Some(shared) = topic.shared {
            shared.into_ring().discard();
        }
    }

    /// Has a topic's file opened if it is not yet. Whether the topic is ready, or else why not.
    pub(super) fn open_topic(&mut self, id: Id, now: Instant) -> Result<bool, Reason> {
        let Some(topic) = self.topics.get_mut(id) else { return Err(Reason::NoSubscriber) };
        if topic.shared.is_some() {
            return Ok(true);
        }
        if topic.opening {
            return Ok(false);
        }
        if self.store_again.is_some_and(|at| at > now) {
            return Err(Reason::StoreFailed);
        }
        topic.opening = true;
        let name = RingName::Topic { message_type: topic.name() };
        self.outputs.push_back(Output::OpenRing(name));
        Ok(false)
    }

    /// A topic's file is open, or is not, for this reason.
    pub(super) fn topic_opened(
        &mut self,
        name: &RingName,
        topic_name: &str,
        opened: Result<Opened, String>,
        now: Instant,
    ) {
        if !self.settings.pubsub_broker {
            return;
        }
        let Some(id) = self.topics.find(topic_name).or_else(|| self.add_topic(topic_name, true)) else { return };
        let message_type = lane_of(topic_name).0;
        let (limit, stamp) = (self.settings.max_ring_bytes, self.stamp);
        let Some(topic) = self.topics.get_mut(id) else { return };
        topic.opening = false;
        match opened {
            Ok(Opened { memory, recovered }) => {
                topic.epoch = recovered.header.epoch;
                let ring = Ring::durable(memory, recovered.checkpoint, limit, stamp);
                self.stamp = self.stamp.max(ring.next_sequence());
                topic.lacks_file = false;
                let mut shared = Shared::new(ring);
                for feed in topic.readers.values_mut() {
                    feed.begin(&mut shared);
                }
                topic.shared = Some(shared);
                self.find_files(id);
                // Those that are away, and those whose link came up before the file was open.
                for (peer, since) in self.topics.subscriptions.to(message_type) {
                    if let Some(since) = since {
                        self.add_reader(id, &peer, true, since);
                    }
                }
                self.repaired(name, RingRef::Topic(id), &recovered.origins, now);
                self.resume_readers(id, now);
            }
            Err(why) => {
                topic.lacks_file = true;
                self.store_failed(name, why, now);
            }
        }
        self.topics.touch(id);
        let waiting = self.topics.get_mut(id).map(|topic| std::mem::take(&mut topic.blocked)).unwrap_or_default();
        self.unblock(waiting, now);
    }

    /// Tries the files again that could not be opened.
    pub(super) fn topics_again(&mut self, now: Instant) {
        for id in self.topics.ids() {
            if self.topics.get(id).is_some_and(|topic| topic.lacks_file) {
                // Who publishes meanwhile is told what became of that.
                _ = self.open_topic(id, now);
            }
            self.topics.touch(id);
        }
    }

    /// Puts a message, given in parts, into a topic.
    pub(super) fn push_topic(&mut self, id: Id, parts: &[&[u8]], publisher: Publisher, now: Instant) -> Published {
        match self.open_topic(id, now) {
            Ok(true) => {}
            Ok(false) => return Published::Waits(id),
            Err(Reason::StoreFailed) if publisher.keeps => return Published::Waits(id),
            Err(reason) => return Published::Refused(reason),
        }
        if self.topics.get(id).is_none_or(|topic| topic.readers.is_empty()) {
            return Published::Refused(Reason::NoSubscriber);
        }
        if !publisher.keeps && self.is_paced(id) {
            return Published::Waits(id);
        }
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let (in_memory, stamp) = (self.topics.in_memory, self.stamp);
        let most = self.settings.queue_max_bytes.saturating_mul(IN_MEMORY_MAX);
        loop {
            let Some(topic) = self.topics.get_mut(id) else { return Published::Refused(Reason::NoSubscriber) };
            let Some(shared) = &mut topic.shared else { return Published::Waits(id) };
            shared.ring_mut().set_next_sequence(stamp);
            let (used, durable) = (shared.ring().used(), topic.durable);
            let beside = if durable { 0 } else { in_memory.saturating_sub(used) };
            let pushed = if used > 0 && !durable && beside + used + length > most {
                Err(PushError::Full { used, limit: most })
            } else {
                shared.push(parts, 0, publisher.origin.filter(|_| durable))
            };
            match pushed {
                Ok(number) => return self.after_publish(id, number, used, publisher),
                Err(PushError::Full { .. }) => match self.topic_full(id, record_size(length, true), now) {
                    None => {}
                    Some(published) => return published,
                },
                Err(PushError::Failed(why)) => {
                    let name = RingName::Topic { message_type: topic.name() };
                    self.store_failed(&name, why, now);
                    return if publisher.keeps {
                        Published::Waits(id)
                    } else {
                        Published::Refused(Reason::StoreFailed)
                    };
                }
            }
        }
    }

    fn after_publish(&mut self, id: Id, number: u64, used_before: usize, publisher: Publisher) -> Published {
        self.stamp = number + 1;
        self.topics.touch(id);
        let Some(topic) = self.topics.get_mut(id) else { return Published::Taken { later: false } };
        if topic.durable {
            self.list(RingRef::Topic(id));
            return Published::Stored;
        }
        let later = publisher.keeps && publisher.origin.is_some();
        if let Some(origin) = publisher.origin.filter(|_| later) {
            topic.untaken.push_back((number, origin));
        }
        let used = topic.in_memory();
        self.topics.in_memory += used.saturating_sub(used_before);
        Published::Taken { later }
    }

    /// Has a connection wait until a topic has room.
    pub(super) fn wait_for_topic(&mut self, id: Id, conn: Id) {
        if let Some(topic) = self.topics.get_mut(id) {
            topic.blocked.push(conn);
        }
        self.topics.touch(id);
    }

    /// Gives memory of topics back that stayed empty, and topics that nobody reads.
    pub(super) fn tidy_topics(&mut self) {
        for id in self.topics.ids() {
            let Some(topic) = self.topics.get_mut(id) else { continue };
            if topic.readers.is_empty() && topic.is_idle() {
                self.remove_topic(id);
            } else if let Some(shared) = &mut topic.shared {
                shared.ring_mut().give_back();
            }
        }
    }

    /// What of a topic cannot be read is given up.
    pub(super) fn topic_damaged(&mut self, id: Id, now: Instant) {
        let Some(name) = self.topics.get(id).map(Topic::name) else { return };
        let Some(Topic { message_type, shared: Some(shared), readers, .. }) = self.topics.get_mut(id) else { return };
        let (skipped, message_type) = (shared.skip_damaged(), message_type.clone());
        readers.values_mut().for_each(|feed| feed.find_again(shared));
        self.list(RingRef::Topic(id));
        self.count_drop("", &message_type, Reason::Damaged, skipped.records, now);
        let name = RingName::Topic { message_type: name };
        self.tell(super::event::Event::RingDamaged { name, kept: skipped.copy, records: skipped.records });
    }

    /// Messages that subscribers who take something have not been sent, or have not taken over: they go out before the
    /// connector ends.
    pub(super) fn topics_drain(&self) -> bool {
        self.topics.iter().any(|(_, topic)| {
            let Some(shared) = &topic.shared else { return false };
            let waits = |feed: &Feed| shared.unsent(&feed.reader) > 0 || feed.in_flight() > 0 || feed.reader.is_begun();
            topic.readers.iter().any(|(peer, feed)| waits(feed) && feed.takes(self.peers.get(*peer)))
        })
    }

    /// The connector ends: counts what of topics in memory their subscribers have not got.
    pub(super) fn end_topics(&mut self, now: Instant) {
        let mut lost = Vec::new();
        for (_, topic) in self.topics.iter().filter(|(_, topic)| !topic.durable) {
            let Some(shared) = &topic.shared else { continue };
            for (peer, feed) in &topic.readers {
                let name = self.peers.get(*peer).map(|peer| peer.name.clone()).unwrap_or_default();
                lost.push((name, topic.message_type.clone(), shared.unsent(&feed.reader)));
            }
        }
        for (name, message_type, count) in lost {
            self.count_drop(&name, &message_type, Reason::Stopping, count, now);
        }
    }

    /// Checks what must always hold of topics; for tests.
    pub(super) fn check_topics(&self) {
        let mut in_memory = 0;
        for (id, topic) in self.topics.iter() {
            assert_eq!(self.topics.find(&topic.name()), Some(id), "a topic is found by its name");
            in_memory += topic.in_memory();
            let Some(shared) = &topic.shared else { continue };
            shared.ring().check_invariants();
            for (peer, feed) in &topic.readers {
                shared.check_reader(&feed.reader);
                let feeds = self.peers.get(*peer).map(|peer| peer.feeds.clone()).unwrap_or_default();
                assert_eq!(
                    feeds.iter().filter(|slot| **slot == FeedSlot::Of(id)).count(),
                    1,
                    "each reader has a number"
                );
            }
        }
        assert_eq!(in_memory, self.topics.in_memory, "bytes in memory are counted");
        let lanes = self.peers.iter().flat_map(|(_, peer)| peer.lanes.iter().filter(|lane| lane.mirrors.is_some()));
        let mirrored: usize = lanes.filter_map(|lane| lane.ring.as_ref()).map(Ring::used).sum();
        assert_eq!(mirrored, self.topics.mirrored, "bytes in mirrors are counted");
        for (id, peer) in self.peers.iter() {
            for slot in &peer.feeds {
                let FeedSlot::Of(topic) = slot else { continue };
                assert!(
                    self.topics.get(*topic).is_some_and(|t| t.readers.contains_key(&id)),
                    "each number has a reader"
                );
            }
        }
    }
}
