//! A peer: its outbox, and who waits for it.

use std::collections::BTreeMap;

use super::conn::RequestKey;
use super::slots::{Id, Slots};
use crate::ring::Ring;

/// The connector at the other end of a link, also while the link is down.
#[derive(Debug)]
pub(super) struct Peer {
    pub name: String,
    /// The link that carries its messages.
    pub link: Option<Id>,
    pub outbox: Ring,
    /// Apps' connections that are not read until the outbox has room.
    pub blocked: Vec<Id>,
    /// The apps' connections that await an answer of this peer.
    pub requests: BTreeMap<RequestKey, Id>,
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
    pub fn find_or_add(&mut self, name: &str, queue_max_bytes: usize) -> Id {
        if let Some(id) = self.find(name) {
            return id;
        }
        let outbox = Ring::heap(queue_max_bytes, 1, false);
        let peer = Peer { name: name.to_owned(), link: None, outbox, blocked: Vec::new(), requests: BTreeMap::new() };
        let id = self.slots.insert(peer);
        self.names.insert(name.to_owned(), id);
        id
    }

    pub fn remove(&mut self, id: Id) {
        if let Some(peer) = self.slots.remove(id) {
            self.names.remove(&peer.name);
        }
    }

    /// All peers in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (Id, &Peer)> {
        self.names.values().filter_map(|id| self.slots.get(*id).map(|peer| (*id, peer)))
    }

    pub fn ids(&self) -> Vec<Id> {
        self.names.values().copied().collect()
    }
}
