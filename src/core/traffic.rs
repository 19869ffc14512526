//! What has passed: messages and bytes by peer and type, links that came up, requests, receipts.
//!
//! A message is counted where it changes hands: as received when it is in the queue towards its app, as sent when the
//! peer has taken it over. So what one connector has sent, the other has received or has in its ledger.
//!
//! Nothing is looked up for each message: memos of headers and lanes know their row, and what a peer takes over is
//! counted a run at a time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::ledger::{OTHERS, shorten};
use crate::ring::Ring;
use crate::wire::receipts::Level;
use crate::wire::record::RECORD_HEADER;

/// Most rows of peers and types; what comes for further ones is counted under [`OTHERS`].
pub const ROWS_MAX: usize = 8192;

/// Most rows of a peer; what comes for further types is counted as of the type [`OTHERS`]. Clients that publish make up
/// types.
pub const TYPES_MAX: usize = 64;

/// Most peers of which it is known how often they were connected while they are away and nothing waits for them.
pub const NAMES_MAX: usize = 8192;

/// Messages, and bytes of their frames.
///
/// Bytes of what was sent are those in the queue: each message is rounded up to 8, and has 16 more if its app is told of
/// its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Messages.
    pub messages: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Count {
    /// So much more.
    pub fn add(&mut self, messages: u64, bytes: u64) {
        self.messages += messages;
        self.bytes += bytes;
    }

    /// So many records more, which have so many bytes together.
    pub(super) fn add_records(&mut self, records: u64, bytes: u64) {
        self.add(records, bytes.saturating_sub(records * RECORD_HEADER as u64));
    }

    /// What a queue gives up while `give_up` works on it.
    pub(super) fn released<T>(ring: &mut Ring, give_up: impl FnOnce(&mut Ring) -> T) -> (Self, T) {
        let (records, bytes) = (ring.len(), ring.used());
        let result = give_up(ring);
        let mut count = Self::default();
        count.add_records((records - ring.len().min(records)) as u64, bytes.saturating_sub(ring.used()) as u64);
        (count, result)
    }

    /// What is in a queue.
    pub(super) fn of_ring(ring: &Ring) -> Self {
        let mut count = Self::default();
        count.add_records(ring.len() as u64, ring.used() as u64);
        count
    }

    /// What this is more than the other.
    pub(super) fn minus(self, other: Self) -> Self {
        let messages = self.messages.saturating_sub(other.messages);
        Self { messages, bytes: self.bytes.saturating_sub(other.bytes) }
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { messages: self.messages + other.messages, bytes: self.bytes + other.bytes }
    }
}

/// What has passed between here and a peer of one type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// The peer.
    pub peer: String,
    /// The type.
    pub message_type: String,
    /// Taken over by the peer.
    pub sent: Count,
    /// Taken over from it.
    pub received: Count,
}

/// A peer's links.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Links {
    /// How many came up.
    pub up: u64,
    /// When the last one came up, or went down.
    pub since: Option<Instant>,
    /// When the first keep-alive went out that is not answered.
    pub asked_at: Option<Instant>,
    /// From the last keep-alive to its answer.
    pub round_trip: Option<Duration>,
}

/// What became of requests of apps here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestCounts {
    /// Sent to a peer.
    pub asked: u64,
    /// Answered by it.
    pub answered: u64,
    /// Given up: out of time, the link gone, or the connector stopping.
    pub failed: u64,
}

/// What apps were told of their messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiptCounts {
    /// Messages that are here.
    pub accepted: u64,
    /// Messages that are stored.
    pub stored: u64,
    /// Messages that the peer has; those that were refused count as well.
    pub delivered: u64,
    /// Messages that go no further.
    pub refused: u64,
}

impl ReceiptCounts {
    pub(super) fn told(&mut self, level: Level, messages: u64) {
        match level {
            Level::Accepted => self.accepted += messages,
            Level::Stored => self.stored += messages,
            Level::Delivered => self.delivered += messages,
        }
    }
}

/// All counts.
#[derive(Debug)]
pub(super) struct Traffic {
    /// The first is for all that has no row.
    rows: Vec<Row>,
    by_name: BTreeMap<String, BTreeMap<String, usize>>,
    links: BTreeMap<String, Links>,
    pub requests: RequestCounts,
    pub receipts: ReceiptCounts,
}

impl Default for Traffic {
    fn default() -> Self {
        let others = Row { peer: OTHERS.to_owned(), message_type: OTHERS.to_owned(), ..Row::default() };
        Self {
            rows: vec![others],
            by_name: BTreeMap::new(),
            links: BTreeMap::new(),
            requests: RequestCounts::default(),
            receipts: ReceiptCounts::default(),
        }
    }
}

impl Traffic {
    /// The row of a peer and a type, made if there is none.
    pub fn row(&mut self, peer: &str, message_type: &str) -> usize {
        let (peer, message_type) = (shorten(peer), shorten(message_type));
        let types = self.by_name.get(peer);
        if let Some(row) = types.and_then(|types| types.get(message_type)) {
            return *row;
        }
        if self.rows.len() >= ROWS_MAX {
            return 0;
        }
        // The last one is for all types that have none.
        let is_full = types.is_some_and(|types| types.len() + 1 >= TYPES_MAX);
        let message_type = if is_full { OTHERS } else { message_type };
        if let Some(row) = types.filter(|_| is_full).and_then(|types| types.get(OTHERS)) {
            return *row;
        }
        let (next, types) = (self.rows.len(), self.by_name.entry(peer.to_owned()).or_default());
        let row = *types.entry(message_type.to_owned()).or_insert(next);
        if row == next {
            let (peer, message_type) = (peer.to_owned(), message_type.to_owned());
            self.rows.push(Row { peer, message_type, ..Row::default() });
        }
        row
    }

    /// A peer has taken over messages.
    pub fn sent(&mut self, row: usize, count: Count) {
        if let Some(row) = self.rows.get_mut(row) {
            row.sent = row.sent.plus(count);
        }
    }

    /// A message of a peer was taken over.
    pub fn received(&mut self, row: usize, bytes: usize) {
        self.received_all(row, Count { messages: 1, bytes: bytes as u64 });
    }

    /// The same for several.
    pub fn received_all(&mut self, row: usize, count: Count) {
        if let Some(row) = self.rows.get_mut(row) {
            row.received = row.received.plus(count);
        }
    }

    /// All rows; that of what has none only if there is something in it.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        let is_empty = |row: &Row| row.sent.messages == 0 && row.received.messages == 0;
        self.rows.iter().enumerate().filter(move |(at, row)| *at > 0 || !is_empty(row)).map(|(_, row)| row)
    }

    /// The links of a peer, if there is room to know of them.
    pub fn links_mut(&mut self, peer: &str) -> Option<&mut Links> {
        if !self.links.contains_key(peer) {
            if self.links.len() >= NAMES_MAX {
                return None;
            }
            self.links.insert(peer.to_owned(), Links::default());
        }
        self.links.get_mut(peer)
    }

    pub fn links(&self) -> &BTreeMap<String, Links> {
        &self.links
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_found_again_by_its_names() {
        let mut traffic = Traffic::default();
        let (a, b) = (traffic.row("p", "a"), traffic.row("p", "b"));
        assert_ne!(a, b);
        assert_eq!(traffic.row("p", "a"), a);
        traffic.received(a, 10);
        traffic.sent(a, Count { messages: 3, bytes: 30 });
        let row = traffic.rows().find(|row| row.message_type == "a").unwrap();
        assert_eq!((row.received, row.sent), (Count { messages: 1, bytes: 10 }, Count { messages: 3, bytes: 30 }));
        assert_eq!(traffic.rows().count(), 2, "nothing is counted under others");
    }

    #[test]
    fn types_without_end_are_counted_together() {
        let mut traffic = Traffic::default();
        for number in 0..3 * TYPES_MAX {
            let row = traffic.row("p", &number.to_string());
            traffic.received(row, 1);
        }
        assert_eq!(traffic.rows().count(), TYPES_MAX);
        let others = traffic.rows().find(|row| row.message_type == OTHERS).unwrap();
        assert_eq!((others.peer.as_str(), others.received.messages), ("p", 2 * TYPES_MAX as u64 + 1));
    }

    #[test]
    fn peers_without_end_are_counted_together() {
        let mut traffic = Traffic::default();
        for number in 0..2 * ROWS_MAX {
            let row = traffic.row(&number.to_string(), "t");
            traffic.received(row, 1);
            _ = traffic.links_mut(&number.to_string());
        }
        assert_eq!((traffic.rows().count(), traffic.links().len()), (ROWS_MAX, NAMES_MAX));
        assert_eq!(traffic.rows().map(|row| row.received.messages).sum::<u64>(), 2 * ROWS_MAX as u64);
    }
}
