//! Two connectors, joined back to back: what one sends the other gets, until the line is cut.

use std::time::Duration;

use aioconnectors::core::{Cause, Event, Id, Secured, Settings};
use aioconnectors::wire::names::Role;

use crate::rig::{Rig, settings};

/// Messages that apps have read: types and data.
type Read = Vec<(String, Vec<u8>)>;

/// A client and its server.
pub struct Pair {
    pub client: Rig,
    pub server: Rig,
    /// The two ends of the link.
    pub ends: (Id, Id),
    /// Bytes that may still go over the line before it is cut.
    pub left: usize,
    /// What the apps of the client, and those of the server, have read.
    pub read: (Read, Read),
}

impl Pair {
    /// Both with link 2.
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl Fn(&mut Settings)) -> Self {
        let rig = |role| {
            let mut settings = settings(role);
            change(&mut settings);
            Rig::new(settings)
        };
        let mut pair = Self::of(rig(Role::Client), rig(Role::Server));
        pair.pump();
        pair
    }

    /// These two, with a line between them on which nothing was said yet.
    pub fn of(mut client: Rig, mut server: Rig) -> Self {
        let ours = client.open_dialled(Secured::Anonymous);
        let theirs = server.accept_link();
        server.secured(theirs, Secured::Anonymous);
        Self { client, server, ends: (ours, theirs), left: usize::MAX, read: Default::default() }
    }

    /// Has bytes move both ways until there are none, or the line is cut. Apps read nothing.
    pub fn pump(&mut self) {
        loop {
            let to_server = self.client.sent_up_to(self.ends.0, self.left);
            self.left -= to_server.len();
            self.server.input(self.ends.1, &to_server);
            let to_client = self.server.sent_up_to(self.ends.1, self.left);
            self.left -= to_client.len();
            self.client.input(self.ends.0, &to_client);
            if to_server.is_empty() && to_client.is_empty() {
                return;
            }
        }
    }

    /// Has all apps read what there is.
    pub fn read(&mut self) {
        self.read.0.extend(self.client.read_apps());
        self.read.1.extend(self.server.read_apps());
    }

    /// Has all go its way, apps included.
    pub fn run(&mut self) {
        for _ in 0..4 {
            self.pump();
            self.read();
        }
    }

    /// Time passes for both.
    pub fn pass(&mut self, time: Duration) {
        self.client.pass(time);
        self.server.pass(time);
        self.run();
    }

    /// Both see the end of the connection.
    pub fn cut(&mut self) {
        for (rig, end) in [(&mut self.client, self.ends.0), (&mut self.server, self.ends.1)] {
            if !rig.is_closed(end) {
                rig.closed(end, Cause::Failed("cut".to_owned()));
            }
        }
        self.left = usize::MAX;
    }

    /// The client dials again, and is let in; nothing was said yet.
    pub fn connect(&mut self) {
        let gone = self.ends.0;
        for _ in 0..100 {
            if self.client.dialled() != Some(gone) {
                break;
            }
            self.client.pass(Duration::from_millis(200));
            self.server.pass(Duration::from_millis(200));
        }
        let ours = self.client.open_dialled(Secured::Anonymous);
        let theirs = self.server.accept_link();
        self.server.secured(theirs, Secured::Anonymous);
        self.ends = (ours, theirs);
    }

    pub fn reconnect(&mut self) {
        self.cut();
        self.connect();
        self.pump();
    }

    /// One of them is killed and comes back with these settings, its disks as they are.
    pub fn crash_server(self) -> Self {
        let Self { mut client, server, ends, read, .. } = self;
        if !client.is_closed(ends.0) {
            client.closed(ends.0, Cause::Failed("cut".to_owned()));
        }
        let mut pair = Self { client, server: server.crash(), ends, left: usize::MAX, read };
        pair.connect();
        pair
    }

    pub fn crash_client(self) -> Self {
        let Self { client, mut server, ends, read, .. } = self;
        if !server.is_closed(ends.1) {
            server.closed(ends.1, Cause::Failed("cut".to_owned()));
        }
        let client = client.crash();
        let mut pair = Self { client, server, ends: (ends.1, ends.1), left: usize::MAX, read };
        let ours = pair.client.open_dialled(Secured::Anonymous);
        let theirs = pair.server.accept_link();
        pair.server.secured(theirs, Secured::Anonymous);
        pair.ends = (ours, theirs);
        pair
    }

    /// What the server's apps have read, as numbers, if each message is one byte.
    pub fn server_read(&self) -> Vec<u8> {
        self.read.1.iter().flat_map(|(_, data)| data.clone()).collect()
    }

    pub fn client_read(&self) -> Vec<u8> {
        self.read.0.iter().flat_map(|(_, data)| data.clone()).collect()
    }
}

/// Whether the connector has told an event like this.
pub fn told(rig: &Rig, is_meant: impl Fn(&Event) -> bool) -> bool {
    rig.events().into_iter().any(is_meant)
}
