//! Inboxes: messages on their way to the apps that listen for their type.

use std::time::Instant;

use super::conn::{Conn, Kind};
use super::connector::{Connector, Step};
use super::event::{Cause, Event, Output};
use super::ledger::Reason;
use super::settings::{DIAL_APP_AGAIN, INBOX_HIGH, INBOX_LOW};
use super::slots::Id;
use super::stop::drain_types;
use super::timers::Timer;
use crate::ring::{Heap, Ring};

/// The queue of a message type towards its app.
#[derive(Debug)]
pub(super) struct Inbox {
    pub message_type: String,
    pub ring: Ring<Heap>,
    /// The connection to the app, open or on its way to be.
    pub conn: Option<Id>,
    /// Links that are not read until there is room.
    pub blocked: Vec<Id>,
    /// The app took something since the last look at it.
    pub progress: bool,
    /// The app has read nothing for so long that nobody waits for it any more.
    pub stalled: bool,
}

impl Inbox {
    pub fn new(message_type: &str) -> Self {
        // Links are stopped at INBOX_HIGH, so this limit is one for a single frame's overshoot only.
        let ring = Ring::new(Heap::default(), usize::MAX / 4);
        Self {
            message_type: message_type.to_owned(),
            ring,
            conn: None,
            blocked: Vec::new(),
            progress: false,
            stalled: false,
        }
    }

    /// The links that waited, if there is room for them now.
    pub fn take_waiting(&mut self) -> Vec<Id> {
        if self.ring.used() <= INBOX_LOW { std::mem::take(&mut self.blocked) } else { Vec::new() }
    }
}

impl Connector {
    /// Puts a message of `peer`, which came on `link`, into an inbox.
    pub(super) fn deliver(&mut self, index: usize, parts: &[&[u8]], peer: Id, link: Id, now: Instant) -> Step {
        let inbox = &mut self.inboxes[index];
        if inbox.ring.used() >= INBOX_HIGH {
            if !inbox.stalled {
                inbox.blocked.push(link);
                return Step::Blocked;
            }
            return self.drop_message(peer, index, Reason::AppStalled, now);
        }
        if inbox.ring.push(parts).is_err() {
            return self.drop_message(peer, index, Reason::QueueFull, now);
        }
        match inbox.conn {
            Some(conn) => self.want_write(conn),
            None => self.dial_app(index),
        }
        Step::Taken
    }

    fn drop_message(&mut self, peer: Id, inbox: usize, reason: Reason, now: Instant) -> Step {
        let peer = self.peers.get(peer).map(|p| p.name.clone()).unwrap_or_default();
        let message_type = self.inboxes[inbox].message_type.clone();
        self.count_drop(&peer, &message_type, reason, 1, now);
        Step::Taken
    }

    pub(super) fn dial_app(&mut self, index: usize) {
        if self.inboxes[index].conn.is_some() || self.inboxes[index].ring.is_empty() {
            return;
        }
        let id = self.conns.insert(Conn::new(Kind::Delivery { inbox: index, opened: false }, 0));
        self.inboxes[index].conn = Some(id);
        self.outputs.push_back(Output::DialApp(id, self.inboxes[index].message_type.clone()));
    }

    /// The connection to an app is gone: whether it was open at all, and took anything.
    pub(super) fn delivery_closed(&mut self, index: usize, opened: bool, took_some: bool, cause: &Cause, now: Instant) {
        let inbox = &mut self.inboxes[index];
        inbox.conn = None;
        inbox.ring.rewind();
        // An app that does not even take connections, or closes them unread, must not make links wait for ever either.
        self.timers.arm_if_idle(Timer::Unread(index), now + self.settings.send_timeout);
        match cause {
            _ if self.inboxes[index].ring.is_empty() => {}
            Cause::NoListener => self.drop_inbox(index, Reason::NoListener, now),
            _ if opened && took_some => self.dial_app(index),
            // An app that takes connections and closes them unread must not keep the loop busy.
            _ => self.timers.arm(Timer::DialApp(index), now + DIAL_APP_AGAIN),
        }
        let waiting = self.inboxes[index].take_waiting();
        self.unblock(waiting, now);
    }

    /// Gives up all messages of an inbox.
    pub(super) fn drop_inbox(&mut self, index: usize, reason: Reason, now: Instant) {
        let mut dropped = Vec::new();
        drain_types(&mut self.inboxes[index].ring, &mut dropped);
        let message_type = self.inboxes[index].message_type.clone();
        for (_, source, count) in dropped {
            self.count_drop(&source, &message_type, reason, count, now);
        }
    }

    /// Looks whether the app has taken some of what is in its inbox.
    pub(super) fn check_unread(&mut self, index: usize, now: Instant) {
        let inbox = &mut self.inboxes[index];
        if inbox.ring.is_empty() {
            return;
        }
        self.timers.arm(Timer::Unread(index), now + self.settings.send_timeout);
        if !std::mem::take(&mut inbox.progress) {
            self.app_stalled(index, now);
        }
    }

    /// An app has read nothing for long: links wait for it no longer.
    fn app_stalled(&mut self, index: usize, now: Instant) {
        let inbox = &mut self.inboxes[index];
        if inbox.stalled || inbox.ring.used() < INBOX_HIGH {
            return;
        }
        inbox.stalled = true;
        let waiting = std::mem::take(&mut inbox.blocked);
        let message_type = inbox.message_type.clone();
        self.tell(Event::AppStalled { message_type, after: self.settings.send_timeout });
        self.unblock(waiting, now);
    }
}
