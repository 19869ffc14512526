//! How a connector stands, for the program that embeds it.

use std::net::SocketAddr;

use super::connector::Connector;
use super::delivery::Inbox;
use super::ledger::Entry;

/// How a connector stands at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The peers that are connected, or for which something waits.
    pub peers: Vec<PeerStatus>,
    /// The types that are received.
    pub inboxes: Vec<InboxStatus>,
    /// Requests of apps that await their answer.
    pub requests: usize,
    /// The ledger: what was not delivered since the start, and how many messages each time.
    pub undelivered: Vec<(Entry, u64)>,
    /// When the certificate that it shows ends, in Unix seconds; none if it shows none.
    pub certificate_ends: Option<i64>,
}

/// A peer, and what waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// Its name.
    pub name: String,
    /// Where it is connected from, or to; none while it is away.
    pub address: Option<SocketAddr>,
    /// Messages that wait for it, or that it has not taken over yet.
    pub queued: usize,
}

/// What waits for the app that receives a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxStatus {
    /// The type.
    pub message_type: String,
    /// Messages.
    pub queued: usize,
}

impl Status {
    /// The connected peer of this name.
    #[must_use]
    pub fn connected(&self, name: &str) -> Option<&PeerStatus> {
        self.peers.iter().find(|peer| peer.name == name && peer.address.is_some())
    }

    /// All messages that were not delivered since the start.
    #[must_use]
    pub fn undelivered_messages(&self) -> u64 {
        self.undelivered.iter().map(|(_, messages)| messages).sum()
    }
}

impl Connector {
    /// How it stands now.
    #[must_use]
    pub fn status(&self) -> Status {
        let peers = self.peers.iter().map(|(_, peer)| {
            let address = peer.link.and_then(|link| self.conns.get(link)?.link()?.remote);
            PeerStatus { name: peer.name.clone(), address, queued: peer.queued() }
        });
        let inbox = |i: &Inbox| InboxStatus { message_type: i.message_type.clone(), queued: i.waiting() };
        Status {
            peers: peers.filter(|peer| peer.address.is_some() || peer.queued > 0).collect(),
            inboxes: self.inboxes.iter().map(inbox).collect(),
            requests: self.requests.len(),
            undelivered: self.ledger.iter().map(|(entry, count)| (entry.clone(), count)).collect(),
            // The shell knows.
            certificate_ends: None,
        }
    }
}
