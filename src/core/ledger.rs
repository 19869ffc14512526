//! The ledger: every message that was not delivered, by peer, type and reason.

use std::collections::BTreeMap;
use std::fmt;

/// Most entries; what comes for further ones is counted under [`OTHERS`], so that no sender can make the ledger grow.
pub const ENTRIES_MAX: usize = 4096;

/// Longest name or type in an entry, bytes; of longer ones the beginning is kept. Those that are allowed are shorter.
pub const NAME_MAX: usize = 128;

/// Stands for the peers and types that have no entry of their own.
pub const OTHERS: &str = "(others)";

/// Why a message was not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The destination is no peer of this connector.
    UnknownPeer,
    /// The peer is not connected, and the type is not persistent.
    PeerAway,
    /// The type is not among those that may be sent, or received.
    TypeNotAllowed,
    /// No app listens for the type.
    NoListener,
    /// The app that listens has not read for so long that its queue is full.
    AppStalled,
    /// The peer says that it is another one.
    WrongSource,
    /// The queue has no room.
    QueueFull,
    /// The connector stops before the message could go on.
    Stopping,
    /// The connection that it came on ended while it waited for room.
    ConnectionEnded,
    /// Too many requests await their answer.
    TooManyRequests,
    /// The header would be too long with what the connector must write into it.
    HeaderTooLong,
    /// The queue's file cannot be written.
    StoreFailed,
    /// What was stored is not as it was written.
    Damaged,
    /// Nobody has subscribed to what was published.
    NoSubscriber,
    /// The subscriber did not keep up with what was published.
    SlowSubscriber,
    /// Too many types are published.
    TooManyTopics,
    /// An admin wants nothing of that peer, and nothing sent to it.
    Ignored,
    /// A rule does not let the client, or the app, send or have that type.
    NotPermitted,
}

impl Reason {
    /// All of them.
    pub const ALL: [Reason; 18] = [
        Reason::UnknownPeer,
        Reason::PeerAway,
        Reason::TypeNotAllowed,
        Reason::NoListener,
        Reason::AppStalled,
        Reason::WrongSource,
        Reason::QueueFull,
        Reason::Stopping,
        Reason::ConnectionEnded,
        Reason::TooManyRequests,
        Reason::HeaderTooLong,
        Reason::StoreFailed,
        Reason::Damaged,
        Reason::NoSubscriber,
        Reason::SlowSubscriber,
        Reason::TooManyTopics,
        Reason::Ignored,
        Reason::NotPermitted,
    ];

    /// The word for it in logs and metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Reason::UnknownPeer => "unknown_peer",
            Reason::PeerAway => "peer_away",
            Reason::TypeNotAllowed => "type_not_allowed",
            Reason::NoListener => "no_listener",
            Reason::AppStalled => "app_stalled",
            Reason::WrongSource => "wrong_source",
            Reason::QueueFull => "queue_full",
            Reason::Stopping => "stopping",
            Reason::ConnectionEnded => "connection_ended",
            Reason::TooManyRequests => "too_many_requests",
            Reason::HeaderTooLong => "header_too_long",
            Reason::StoreFailed => "store_failed",
            Reason::Damaged => "damaged",
            Reason::NoSubscriber => "no_subscriber",
            Reason::SlowSubscriber => "slow_subscriber",
            Reason::TooManyTopics => "too_many_topics",
            Reason::Ignored => "ignored",
            Reason::NotPermitted => "not_permitted",
        }
    }

    /// What it means, in a sentence for operators.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Reason::UnknownPeer => "The destination is no peer of this connector.",
            Reason::PeerAway => "The peer is not connected, and the type is not stored.",
            Reason::TypeNotAllowed => "The type is not among those that may be sent, or received.",
            Reason::NoListener => "No program listens for the type.",
            Reason::AppStalled => "The program that listens has not read for so long that its queue is full.",
            Reason::WrongSource => "The peer says that it is another one.",
            Reason::QueueFull => "The queue has no room.",
            Reason::Stopping => "The connector stops before the message could go on.",
            Reason::ConnectionEnded => "The connection that it came on ended while it waited for room.",
            Reason::TooManyRequests => "Too many requests await their answer.",
            Reason::HeaderTooLong => "The header would be too long with what the connector must write into it.",
            Reason::StoreFailed => "The queue's file cannot be written, or the disk has no room.",
            Reason::Damaged => "What was stored is not as it was written.",
            Reason::NoSubscriber => "Nobody has subscribed to what was published.",
            Reason::SlowSubscriber => "The subscriber did not keep up with what was published.",
            Reason::TooManyTopics => "Too many types are published.",
            Reason::Ignored => "An admin wants nothing of that peer, and nothing sent to it.",
            Reason::NotPermitted => "A rule does not let the client, or the program, send or have that type.",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Whom and what an entry counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The peer that the message was for, or came from.
    pub peer: String,
    /// Its type.
    pub message_type: String,
    /// Why it went no further.
    pub reason: Reason,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    total: u64,
    unreported: u64,
}

/// The counts since the connector started.
#[derive(Debug, Default)]
pub struct Ledger {
    counts: BTreeMap<Entry, Count>,
}

impl Ledger {
    /// Counts messages that were not delivered.
    pub fn count(&mut self, peer: &str, message_type: &str, reason: Reason, messages: u64) {
        if messages == 0 {
            return;
        }
        let entry = Entry { peer: shorten(peer).to_owned(), message_type: shorten(message_type).to_owned(), reason };
        let entry = if self.counts.len() < ENTRIES_MAX || self.counts.contains_key(&entry) {
            entry
        } else {
            Entry { peer: OTHERS.to_owned(), message_type: OTHERS.to_owned(), reason }
        };
        let count = self.counts.entry(entry).or_default();
        count.total += messages;
        count.unreported += messages;
    }

    /// What came since the last report, entry by entry.
    pub fn report(&mut self) -> Vec<(Entry, u64)> {
        let new = self.counts.iter_mut().filter(|(_, c)| c.unreported > 0);
        new.map(|(entry, count)| (entry.clone(), std::mem::take(&mut count.unreported))).collect()
    }

    /// All counts.
    pub fn iter(&self) -> impl Iterator<Item = (&Entry, u64)> {
        self.counts.iter().map(|(entry, count)| (entry, count.total))
    }

    /// All messages that were not delivered.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.values().map(|c| c.total).sum()
    }
}

pub(super) fn shorten(name: &str) -> &str {
    let end = (0..=name.len().min(NAME_MAX)).rev().find(|end| name.is_char_boundary(*end));
    &name[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_reasons_are_listed_in_their_order() {
        assert!(Reason::ALL.iter().enumerate().all(|(index, reason)| *reason as usize == index));
        assert_eq!(Reason::ALL.len(), Reason::NotPermitted as usize + 1);
    }

    #[test]
    fn a_report_has_what_came_since_the_last() {
        let mut ledger = Ledger::default();
        ledger.count("p", "t", Reason::PeerAway, 2);
        ledger.count("p", "t", Reason::PeerAway, 3);
        let entry = Entry { peer: "p".into(), message_type: "t".into(), reason: Reason::PeerAway };
        assert_eq!(ledger.report(), [(entry.clone(), 5)]);
        assert_eq!(ledger.report(), []);
        assert_eq!(ledger.iter().collect::<Vec<_>>(), [(&entry, 5)]);
    }

    #[test]
    fn a_flood_of_names_does_not_make_it_grow() {
        let mut ledger = Ledger::default();
        for i in 0..2 * ENTRIES_MAX {
            ledger.count(&i.to_string(), "t", Reason::UnknownPeer, 1);
        }
        assert!(ledger.iter().count() <= ENTRIES_MAX + 1);
        assert_eq!(ledger.total(), 2 * ENTRIES_MAX as u64);
    }
}
