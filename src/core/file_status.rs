//! How far files have come, for those who ask.

use serde_json::{Value, json};

use super::connector::Connector;
use super::file_lane::{Outgoing, Stage};
use super::peer::Peer;
use super::slots::Id;

/// Files that are told of at a time: who asks wants to see those that move, and the answer is to stay small.
const SHOWN_MAX: usize = 256;

impl Connector {
    /// The files that are on their way, out and in: peer, direction, name, bytes, and how many of them are there.
    pub(super) fn shown_files(&self) -> Value {
        let out = self.peers.iter().flat_map(|(_, peer)| self.files_out(peer));
        let incoming = self.peers.iter().flat_map(|(id, peer)| self.files_in(id, peer));
        out.chain(incoming).take(SHOWN_MAX).collect()
    }

    fn files_out<'a>(&'a self, peer: &'a Peer) -> impl Iterator<Item = Value> + 'a {
        let shown = |path: &str, size: u64, done: u64| json!({"peer": peer.name, "direction": "out", "name": path, "size": size, "done": done});
        let moves = |file: &&Outgoing| matches!(file.stage, Stage::Seeking | Stage::Sending | Stage::Ended);
        let lanes = peer.lanes.iter().filter_map(|lane| lane.files.as_deref());
        let second = lanes.flat_map(move |lane| lane.transfers.iter().filter(moves));
        let second = second.map(move |file| shown(&file.path, file.stamp.size, file.arrived));
        let link = peer.link.and_then(|link| self.conns.get(link)?.link());
        let first = link.and_then(|link| link.file_out.as_deref()).and_then(|out| out.progress(peer));
        second.chain(first.map(move |(path, size, done)| shown(path, size, done)))
    }

    fn files_in<'a>(&'a self, id: Id, peer: &'a Peer) -> impl Iterator<Item = Value> + 'a {
        let link = peer.link.and_then(|link| self.conns.get(link)?.link()).filter(|link| link.peer() == Some(id));
        let link2 = link.and_then(|link| link.link2.as_ref());
        let files = link2.into_iter().flat_map(|link2| link2.files.incoming.values());
        files.filter_map(|file| file.progress()).map(move |(name, size, done)| {
            json!({"peer": peer.name, "direction": "in", "name": name, "size": size, "done": done})
        })
    }
}
