//! What must hold between two calls, whatever comes.

use super::conn::{Conn, Kind, State};
use super::connector::Connector;
use super::slots::Id;
use crate::ring::Ring;

impl Connector {
    /// Checks what must always hold; for tests.
    ///
    /// # Panics
    /// When it does not.
    pub fn check_invariants(&self) {
        let lanes = self.peers.iter().flat_map(|(_, p)| p.lanes.iter().map(|lane| &lane.blocked));
        for blocked in lanes.chain(self.inboxes.iter().map(|i| &i.blocked)) {
            let mut waiting: Vec<Id> = blocked.iter().copied().filter(|id| self.conns.get(*id).is_some()).collect();
            waiting.sort_unstable();
            assert!(waiting.windows(2).all(|two| two[0] != two[1]), "nobody waits twice for the same room");
        }
        for (id, peer) in self.peers.iter() {
            peer.lanes.iter().filter_map(|lane| lane.ring.as_ref()).for_each(Ring::check_invariants);
            peer.lanes.check();
            let is_up =
                |link: Id| self.conns.get(link).and_then(Conn::link).map(|l| l.state) == Some(State::Up { peer: id });
            assert!(peer.link.is_none_or(is_up), "the link of peer {} is up", peer.name);
            let durable = |message_type: &str| self.settings.persist_send.covers(message_type);
            let mut asked = peer.requests.keys().map(|(message_type, _)| message_type);
            assert!(
                peer.is_there() || asked.all(|t| durable(t)),
                "only requests that are stored wait for peer {} while it is away",
                peer.name
            );
        }
        self.check_topics();
        self.check_crowd();
        let waiting: usize = self.peers.iter().map(|(_, p)| p.requests.len()).sum();
        assert_eq!(waiting, self.requests.len(), "peers know all requests");
        let apps =
            self.conns.iter().filter_map(|(_, conn)| if let Kind::App(app) = &conn.kind { Some(app) } else { None });
        let waiting: usize = apps.map(|app| app.requests.len()).sum();
        assert_eq!(waiting, self.requests.len(), "apps know all requests");
        for inbox in &self.inboxes {
            inbox.ring.check_invariants();
            assert!(inbox.conn.is_none_or(|c| self.conns.get(c).is_some()), "the app's connection is there");
        }
    }
}
