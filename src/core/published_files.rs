//! Topics of messages with files, on a broker: such a message lies in its topic once, and its file on the disk once.
//!
//! - **The file** is known by the `src_path` of the message in the topic. It is held from the moment when the message is
//!   there, and let go when the topic gives the message up: when all subscribers have taken it over, or are gone.
//! - **A mirror** is the lane of a subscriber that has the next few messages of its feed, with the numbers that they have
//!   in the topic. It is sent as all lanes with files are, on both kinds of link, so each subscriber reads the one file at
//!   its own pace, and goes on where it stopped. What is taken over of a mirror is taken over of its feed.
//! - A mirror lies in memory of the process and ends with the link; the next link's is filled from the feed.

use std::collections::BTreeMap;
use std::time::Instant;

use super::connector::Connector;
use super::file_lane::FileLane;
use super::file_link::FILES_AHEAD;
use super::peer::{Lane, Peer};
use super::slots::Id;
use super::topics::Topic;
use crate::ring::{Ring, Sums};
use crate::wire::file;
use crate::wire::frame::Frame;
use crate::wire::topics::lane_name;
use crate::wire::with_file::WithFile;

/// A mirror has no more than one message when it has so many bytes.
pub const MIRROR_MAX: usize = 64 * 1024;

impl Topic {
    /// Its numbers up to there are of messages that are no more: the paths of their files.
    fn take_files_below(&mut self, number: u64) -> BTreeMap<u64, String> {
        let Some(files) = &mut self.files else { return BTreeMap::new() };
        let kept = files.split_off(&number);
        std::mem::replace(files, kept)
    }
}

impl Peer {
    /// The mirror of a topic.
    fn mirror(&self, topic: Id) -> Option<usize> {
        self.lanes.iter().position(|lane| lane.mirrors == Some(topic))
    }
}

impl Connector {
    /// A topic's file was opened: what is in it names its files.
    pub(super) fn find_files(&mut self, id: Id) {
        let Some(Topic { files: Some(files), shared: Some(shared), .. }) = self.topics.get_mut(id) else { return };
        let mut reader = shared.reader(0);
        while shared.unsent(&reader) > 0 {
            let Ok(bytes) = shared.front(&mut reader) else { break };
            let (length, path) = (bytes.len(), path_in(bytes));
            shared.sent(&mut reader, length);
            if let Some(path) = path {
                self.files.hold(&path);
                files.insert(reader.sequence() - 1, path);
            }
        }
    }

    /// What was published in earlier lives, and is there still, has its files; others go.
    pub(super) fn hold_published(&mut self) {
        let mut is_known = self.settings.pubsub_broker;
        for (_, topic) in self.topics.iter() {
            is_known &= topic.files.is_none() || topic.shared.is_some();
            topic.files.iter().flat_map(BTreeMap::values).for_each(|path| self.files.hold(path));
        }
        // A topic that could not be read may have any of them.
        if is_known {
            self.files.sweep_published();
        }
    }

    /// A topic has given up some of its messages: their files go when that is kept.
    pub(super) fn let_go_of_files(&mut self, id: Id) {
        let Some(topic) = self.topics.get_mut(id).filter(|topic| topic.files.is_some()) else { return };
        let Some(first) = topic.shared.as_ref().map(|s| s.ring().first_sequence().unwrap_or(u64::MAX)) else { return };
        let gone = topic.take_files_below(first);
        self.transfers.let_go.extend(gone.into_values());
    }

    /// Whether a subscriber that is there is being sent a file: there will be room for others.
    pub(super) fn files_flow(&self) -> bool {
        let flows = |topic: &Topic| {
            let Some(shared) = topic.shared.as_ref().filter(|_| topic.files.is_some()) else { return false };
            let mut feeds = topic.readers.iter().filter(|(peer, feed)| feed.takes(self.peers.get(**peer)));
            feeds.any(|(_, feed)| shared.unsent(&feed.reader) > 0 || feed.in_flight() > 0)
        };
        self.topics.iter().any(|(_, topic)| flows(topic))
    }

    /// Puts what is next for them into the mirrors of a topic's subscribers.
    pub(super) fn fill_mirrors(&mut self, id: Id, now: Instant) {
        let peers: Vec<Id> = self.topics.get(id).map(|t| t.readers.keys().copied().collect()).unwrap_or_default();
        for peer in peers {
            self.fill_mirror(id, peer, now);
        }
    }

    /// The same for one of them.
    fn fill_mirror(&mut self, topic_id: Id, peer_id: Id, now: Instant) {
        let Some(link) = self.peers.get(peer_id).and_then(|peer| peer.link) else { return };
        let waits = |topics: &super::topics::Topics| {
            topics.reader(topic_id, peer_id).is_some_and(|(feed, shared)| shared.unsent(&feed.reader) > 0)
        };
        let mut is_filled = false;
        while waits(&self.topics) {
            let Some(at) = self.mirror_for(topic_id, peer_id) else { return };
            let Some(ring) = self.peers.get(peer_id).and_then(|peer| peer.lanes[at].ring.as_ref()) else { return };
            let (count, used) = (ring.len(), ring.used());
            if count >= FILES_AHEAD || used >= MIRROR_MAX || (count > 0 && ring.is_mid_frame()) {
                break;
            }
            let (mirrored, most) = (self.topics.mirrored, self.settings.queue_max_bytes);
            let Some((feed, shared)) = self.topics.reader_mut(topic_id, peer_id) else { return };
            let Ok(front) = shared.front(&mut feed.reader) else {
                return self.topic_damaged(topic_id, now);
            };
            if front.len() > MIRROR_MAX && (count > 0 || (mirrored > 0 && mirrored + front.len() > most)) {
                if count == 0 && !self.topics.starved.contains(&topic_id) {
                    self.topics.starved.push(topic_id);
                }
                break;
            }
            let message = front.to_vec();
            shared.sent(&mut feed.reader, message.len());
            // It is counted when the lane is done with it.
            feed.has_sent(0);
            let number = feed.reader.sequence() - 1;
            let Some(ring) = self.peers.get_mut(peer_id).and_then(|peer| peer.lanes[at].ring.as_mut()) else { return };
            ring.set_next_sequence(number);
            // In memory, without a limit, there is room.
            _ = ring.push(&[&message], 0, None);
            self.count_mirror(peer_id, at);
            is_filled = true;
        }
        if is_filled {
            self.want_write(link);
        }
    }

    /// A subscriber's mirror of a topic; made if there is none.
    fn mirror_for(&mut self, topic_id: Id, peer_id: Id) -> Option<usize> {
        let topic = self.topics.get(topic_id)?;
        let (name, class) = (file::lane_name(&lane_name(&topic.message_type)), self.classes.of(&topic.message_type));
        let epoch = topic.epoch;
        let peer = self.peers.get_mut(peer_id)?;
        let at = peer.mirror(topic_id).or_else(|| peer.lane(&name)).unwrap_or_else(|| {
            let mut lane = Lane::new(&name, class, epoch, false);
            lane.ring = Some(empty_ring());
            peer.lanes.push(lane);
            peer.lanes.len() - 1
        });
        let lane = &mut peer.lanes[at];
        lane.mirrors = Some(topic_id);
        if lane.epoch != epoch {
            (lane.epoch, lane.announced, lane.taken) = (epoch, false, 0);
        }
        Some(at)
    }

    /// Link 2: a link is up, and the feed of the mirror is where it was taken over to. The peer has received what is below
    /// `received`.
    pub(super) fn resume_mirror(&mut self, link: Id, peer_id: Id, topic_id: Id, received: u64) {
        let Some(at) = self.mirror_for(topic_id, peer_id) else { return };
        let taken = self.topics.reader(topic_id, peer_id).map_or(0, |(feed, _)| feed.taken);
        let now = self.began;
        if let Some(lane) = self.peers.get_mut(peer_id).map(|peer| &mut peer.lanes[at]) {
            lane.taken = lane.taken.max(taken);
        }
        if let Some(now) = now {
            self.fill_mirror(topic_id, peer_id, now);
        }
        let Some(ring) = self.peers.get_mut(peer_id).and_then(|peer| peer.lanes[at].ring.as_mut()) else { return };
        ring.set_next_sequence(received.max(taken));
        ring.skip_to(received);
        if ring.in_flight_bytes() > 0 {
            self.say_lane(link, peer_id, at);
        }
    }

    /// A peer has taken over what is below `next` of its mirror.
    pub(super) fn mirror_taken(&mut self, peer: Id, topic: Id, next: u64) {
        if let Some(at) = self.peers.get(peer).and_then(|peer| peer.mirror(topic)) {
            self.count_mirror(peer, at);
        }
        if let Some((feed, shared)) = self.topics.reader_mut(topic, peer) {
            feed.take(next.min(shared.ring().next_sequence()));
        }
        self.topics.touch(topic);
        for starved in std::mem::take(&mut self.topics.starved) {
            self.topics.touch(starved);
        }
    }

    /// Bytes of a mirror have come or gone.
    fn count_mirror(&mut self, peer: Id, at: usize) {
        let Some(lane) = self.peers.get_mut(peer).and_then(|peer| peer.lanes.get_mut(at)) else { return };
        let used = lane.ring.as_ref().filter(|_| lane.mirrors.is_some()).map_or(0, Ring::used);
        let before = std::mem::replace(&mut lane.mirrored, used);
        self.topics.mirrored = self.topics.mirrored + used - before;
    }

    /// A link is gone, or is another: what was in its mirrors comes again from the feed, if that lasts.
    pub(super) fn empty_mirror(&mut self, topic: Id, peer_id: Id) {
        let Some(peer) = self.peers.get_mut(peer_id) else { return };
        let Some(at) = peer.mirror(topic) else { return };
        let lane = &mut peer.lanes[at];
        // A new one: what comes again has the numbers that it had.
        lane.ring = Some(empty_ring());
        lane.sources.clear();
        self.count_mirror(peer_id, at);
    }

    /// A feed is no more. What was begun of its mirror goes out.
    pub(super) fn end_mirror(&mut self, topic: Id, peer_id: Id) {
        let Some(peer) = self.peers.get_mut(peer_id) else { return };
        let Some(at) = peer.mirror(topic) else { return };
        let is_amid = peer.lanes[at].is_mid_frame() && peer.link.is_some();
        if !is_amid {
            self.empty_mirror(topic, peer_id);
        }
        let Some(lane) = self.peers.get_mut(peer_id).map(|peer| &mut peer.lanes[at]) else { return };
        lane.mirrors = None;
        let files: &mut Option<Box<FileLane>> = &mut lane.files;
        let open: Vec<_> = match files {
            Some(files) if !is_amid => files.transfers.drain(..).filter_map(|transfer| transfer.file).collect(),
            _ => Vec::new(),
        };
        open.into_iter().for_each(|file| self.close_source(Some(file)));
        self.count_mirror(peer_id, at);
    }

    /// The end: what is in mirrors counts as what it is, messages of topics.
    pub(super) fn empty_mirrors(&mut self) {
        let with_files: Vec<Id> = self.topics.iter().filter(|(_, t)| t.files.is_some()).map(|(id, _)| id).collect();
        for id in with_files {
            let peers: Vec<Id> = self.topics.get(id).map(|t| t.readers.keys().copied().collect()).unwrap_or_default();
            peers.iter().for_each(|peer| self.empty_mirror(id, *peer));
            let Some(Topic { readers, shared: Some(shared), .. }) = self.topics.get_mut(id) else { continue };
            readers.values_mut().for_each(|feed| feed.begin(shared));
        }
    }
}

/// Its limit is how much is put into it.
fn empty_ring() -> Ring {
    Ring::heap(usize::MAX / 4, 1, Sums::AtPush)
}

/// The path of the file of a message in a topic.
fn path_in(message: &[u8]) -> Option<String> {
    let frame = Frame::parse(message).ok()?;
    WithFile::of(frame.header()).src_path().map(str::to_owned)
}
