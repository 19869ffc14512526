//! A peer: its outbox, which is a lane for each message type, and who waits for it.

use std::collections::{BTreeMap, BTreeSet};

use super::age::Ages;
use super::feed::FeedSlot;
use super::file_lane::{FileLane, Stage};
use super::frame_out::{self, Sources};
use super::lanes::Lanes;
use super::priority::{Classes, Turns};
use super::requests::RequestKey;
use super::settings::OUTBOX_LOW;
use super::slots::{Id, Slots};
use crate::ring::Ring;
use crate::wire::control;
use crate::wire::file::{lane_name, lane_of};
use crate::wire::link::LinkControl;

/// The connector at the other end of a link, also while the link is down.
#[derive(Debug)]
pub(super) struct Peer {
    pub name: String,
    /// The link that carries its messages.
    pub link: Option<Id>,
    /// That link has ended because another is about to take its place: what is sent waits for that.
    pub moves: bool,
    /// Its outbox. A lane stays where it is for as long as the peer is known.
    pub lanes: Lanes,
    /// The row in the counts of its publications, once there was one.
    pub publications: Option<usize>,
    /// Whose turn it is of the classes of its lanes.
    pub turns: Turns,
    /// Its subscriptions' numbers on the link.
    pub feeds: Vec<FeedSlot>,
    /// The numbers of requests that await an answer of this peer.
    pub requests: BTreeMap<RequestKey, u64>,
}

/// The messages of a type on their way to a peer.
#[derive(Debug)]
pub(super) struct Lane {
    pub message_type: String,
    /// How urgent it is: see [`super::priority`].
    pub class: usize,
    /// It is for messages with files, and this is known of those.
    pub files: Option<Box<FileLane>>,
    /// The life of its numbers.
    pub epoch: u64,
    /// The first number of this life of the connector.
    pub begins: u64,
    /// Link 2: the peer has said that it took over all records with smaller numbers. Others are given up without its
    /// word: on a link of the first kind, or to make room.
    pub taken: u64,
    /// Its row in the counts.
    pub row: usize,
    pub ages: Ages,
    /// It lies in a file.
    pub durable: bool,
    /// It was the peer's under another name: it is sent before the lane of its type, and gets nothing new.
    pub is_old: bool,
    /// The queue; a lane that lies in a file has none before that is open.
    pub ring: Option<Ring>,
    /// The shell was asked to open its file.
    pub opening: bool,
    /// Its file could not be opened, and may have messages.
    pub lacks_file: bool,
    /// It waits to be saved.
    pub listed: bool,
    /// Apps' connections that are not read until it has room.
    pub blocked: Vec<Id>,
    /// Link 2: the peer was told of the lane.
    pub announced: bool,
    /// Link 2: the peer has no room for it.
    pub stopped: bool,
    /// Link 2: where to go back to as soon as the record that was begun is out.
    pub go_back: Option<u64>,
    /// Link 1: TCP has confirmed all records with smaller numbers.
    pub confirmed: u64,
    /// Link 1: records that the peer has acknowledged one by one.
    pub acknowledged: BTreeSet<u64>,
    /// Link 1: the files of its messages that were begun to be sent.
    pub sources: Sources,
    /// It has the next messages of this topic, whose messages have files.
    pub mirrors: Option<Id>,
    /// So many bytes of it are counted as those of mirrors.
    pub mirrored: usize,
}

impl Lane {
    /// An empty lane of this name.
    pub fn new(name: &str, class: usize, epoch: u64, durable: bool) -> Self {
        let (message_type, has_files) = lane_of(name);
        Self {
            message_type: message_type.to_owned(),
            class,
            files: has_files.then(Box::default),
            epoch,
            begins: 0,
            taken: 0,
            row: 0,
            ages: Ages::default(),
            durable,
            is_old: false,
            ring: None,
            opening: false,
            lacks_file: false,
            listed: false,
            blocked: Vec::new(),
            announced: false,
            stopped: false,
            go_back: None,
            confirmed: 0,
            acknowledged: BTreeSet::new(),
            sources: Sources::new(),
            mirrors: None,
            mirrored: 0,
        }
    }

    /// What it is known by: its type, or another name beside that if it is for messages with files.
    pub fn name(&self) -> String {
        if self.files.is_some() { lane_name(&self.message_type) } else { self.message_type.clone() }
    }

    /// Nothing is in it, and nobody waits for it.
    pub fn is_idle(&self) -> bool {
        self.ring.as_ref().is_none_or(Ring::is_empty) && self.blocked.is_empty() && !self.opening && !self.lacks_file
    }

    /// Messages in it.
    pub fn len(&self) -> usize {
        self.ring.as_ref().map_or(0, Ring::len)
    }

    pub fn has_unsent(&self) -> bool {
        self.ring.as_ref().is_some_and(Ring::has_unsent)
    }

    pub fn is_mid_frame(&self) -> bool {
        self.ring.as_ref().is_some_and(Ring::is_mid_frame)
    }

    /// The number of what is to be sent next.
    pub fn front_sequence(&self) -> Option<u64> {
        self.ring.as_ref()?.front_sequence()
    }

    /// Whether it may send on a link 2 whose other side wants no more than `window` bytes on their way.
    pub fn may_send(&self, window: usize) -> bool {
        let Some(ring) = &self.ring else { return false };
        let on_the_way = ring.in_flight_bytes();
        ring.has_unsent()
            && !self.stopped
            && self.go_back.is_none()
            && (on_the_way == 0 || on_the_way < window)
            && self.files.as_ref().is_none_or(|files| ring.front_sequence().is_some_and(|front| front < files.settled))
    }

    /// Messages with smaller numbers may be sent: in a lane of files, those whose files are settled.
    pub fn may_send_below(&self) -> u64 {
        self.files.as_ref().map_or(u64::MAX, |files| files.settled)
    }

    /// Whether its messages may go in runs: not with files, and not pings, of which each is answered.
    pub fn may_have_runs(&self) -> bool {
        self.files.is_none() && self.message_type != control::PING
    }

    /// Those who waited for room, if there is enough now.
    pub fn take_waiting(&mut self) -> Vec<Id> {
        match &self.ring {
            Some(ring) if ring.unsent_bytes() <= OUTBOX_LOW => std::mem::take(&mut self.blocked),
            _ => Vec::new(),
        }
    }

    /// What the peer is told before the records of this lane, which is the one of this number, come.
    pub fn said(&self, number: usize) -> LinkControl {
        let (message_type, epoch, released) = (self.name(), self.epoch, self.taken);
        LinkControl::Lane { lane: number as u32, message_type, epoch, released }
    }

    /// Goes back as the peer has asked, unless a record was sent in part.
    pub fn go_back_if_whole(&mut self) {
        if let (Some(ring), Some(next)) = (&mut self.ring, self.go_back)
            && !ring.is_mid_frame()
        {
            ring.skip_to(next);
            self.go_back = None;
        }
    }

    /// A link has ended, or a new one begins: what is kept is sent again.
    pub fn rewind(&mut self) {
        if let Some(ring) = &mut self.ring {
            ring.rewind();
        }
        (self.announced, self.stopped, self.go_back, self.confirmed) = (false, false, None, 0);
        self.acknowledged.clear();
        frame_out::rewind(&mut self.sources);
    }
}

/// Of the memory that lanes share, one part in so many is kept for those that are more urgent than those that fill it.
const KEPT_FOR_URGENT: usize = 16;

impl Peer {
    /// It has a link, or is about to have another.
    pub fn is_there(&self) -> bool {
        self.link.is_some() || self.moves
    }

    /// Nothing is in its outbox, and nobody waits for it.
    pub fn is_idle(&self) -> bool {
        let has_feeds = self.feeds.iter().any(|slot| matches!(slot, FeedSlot::Of(_)));
        self.requests.is_empty() && !has_feeds && self.lanes.iter().all(Lane::is_idle)
    }

    /// Messages in its outbox.
    pub fn queued(&self) -> usize {
        self.lanes.iter().map(Lane::len).sum()
    }

    /// Bytes of its outbox, in memory and in files.
    pub fn used(&self) -> usize {
        self.lanes.used()
    }

    /// The lane that has sent a message in part: nothing else may be sent before its rest.
    pub fn mid_frame(&self) -> Option<usize> {
        self.lanes.begun()
    }

    /// The lane of this name, if there is one.
    pub fn lane(&self, name: &str) -> Option<usize> {
        self.lanes.find(name)
    }

    /// Whether it has a lane of messages with files.
    pub fn has_files(&self) -> bool {
        self.lanes.has_files()
    }

    /// Whether files of a lane may be offered.
    pub fn may_offer(&self, lane: usize) -> bool {
        let lane = &self.lanes[lane];
        let may = || lane.ring.is_some() && !lane.stopped && lane.go_back.is_none() && !self.must_wait(lane);
        lane.files.is_some() && may()
    }

    /// The file whose next piece goes out, if it is this lane's turn: its lane, the number of its message. In a lane the
    /// first goes first.
    pub fn next_to_send(&self, turn: usize) -> Option<(usize, u64)> {
        let count = self.lanes.len();
        (0..count).map(|at| (turn + at) % count).find_map(|at| {
            let files = self.lanes[at].files.as_ref()?;
            let sending = files.transfers.iter().find(|transfer| transfer.stage == Stage::Sending)?;
            Some((at, sending.sequence))
        })
    }

    /// Whether an older lane of the same type must be empty first. Both are known to the peer by the same place.
    fn must_wait(&self, lane: &Lane) -> bool {
        let is_same = |old: &Lane| old.message_type == lane.message_type && old.files.is_some() == lane.files.is_some();
        !lane.is_old && self.lanes.old().any(|old| is_same(old) && old.len() > 0)
    }

    /// Gives up the files of older lanes that are empty.
    pub fn give_up_old(&mut self) {
        for lane in self.lanes.iter_mut().filter(|lane| lane.is_old && lane.len() == 0) {
            if let Some(ring) = lane.ring.take() {
                ring.discard();
            }
        }
    }

    /// The lane whose next message is the oldest, of those that `may` send and are the most urgent. Lanes without
    /// anything to send are not asked.
    pub fn next_lane(&self, may: impl Fn(&Lane) -> bool) -> Option<usize> {
        let of_class = |class| self.lanes.oldest(class, |lane| may(lane) && !self.must_wait(lane));
        if self.turns.are_equal() {
            return self.lanes.classes().find_map(of_class);
        }
        let class = self.turns.next(self.lanes.classes().filter(|class| of_class(*class).is_some()))?;
        of_class(class)
    }

    /// So many bytes of a lane went out; those lanes wait that `may` send.
    pub fn sent(&mut self, lane: usize, bytes: usize, may: impl Fn(&Lane) -> bool) {
        if self.turns.are_equal() {
            return;
        }
        let waiting = self.lanes.classes().filter(|class| self.lanes.oldest(*class, &may).is_some());
        self.turns.sent(self.lanes[lane].class, bytes, waiting);
    }

    pub fn rewind(&mut self) {
        self.lanes.iter_mut().for_each(Lane::rewind);
    }

    /// Bytes that the other lanes have in memory of the process, if this one lies there too: they share `limit`. Less
    /// urgent ones cannot take all of it.
    pub fn in_memory_beside(&mut self, lane: usize, limit: usize) -> usize {
        if self.lanes.len() == 1 || self.lanes[lane].durable {
            return 0;
        }
        let (less_urgent, beside) = self.lanes.in_memory_beside(lane);
        beside + less_urgent.min(limit - limit / KEPT_FOR_URGENT)
    }

    /// All who wait for room.
    pub fn take_blocked(&mut self) -> Vec<Id> {
        self.lanes.iter_mut().flat_map(|lane| std::mem::take(&mut lane.blocked)).collect()
    }
}

/// All peers, by id and by name.
#[derive(Debug, Default)]
pub(super) struct Peers {
    slots: Slots<Peer>,
    names: BTreeMap<String, Id>,
}

impl Peers {
    pub fn find(&self, name: &str) -> Option<Id> {
        self.names.get(name).copied()
    }

    pub fn get(&self, id: Id) -> Option<&Peer> {
        self.slots.get(id)
    }

    pub fn get_mut(&mut self, id: Id) -> Option<&mut Peer> {
        self.slots.get_mut(id)
    }

    /// The peer of this name; made if it is new.
    pub fn find_or_add(&mut self, name: &str, classes: &Classes) -> Id {
        if let Some(id) = self.find(name) {
            return id;
        }
        let (lanes, feeds, requests) = (Lanes::default(), Vec::new(), BTreeMap::new());
        let (name_of, turns) = (name.to_owned(), classes.turns());
        let peer = Peer { name: name_of, link: None, moves: false, lanes, publications: None, turns, feeds, requests };
        let id = self.slots.insert(peer);
        self.names.insert(name.to_owned(), id);
        id
    }

    pub fn remove(&mut self, id: Id) -> Option<Peer> {
        let peer = self.slots.remove(id)?;
        self.names.remove(&peer.name);
        Some(peer)
    }

    /// All peers in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (Id, &Peer)> {
        self.names.values().filter_map(|id| self.slots.get(*id).map(|peer| (*id, peer)))
    }

    pub fn ids(&self) -> Vec<Id> {
        self.names.values().copied().collect()
    }

    pub fn len(&self) -> usize {
        self.names.len()
    }
}
