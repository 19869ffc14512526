//! Inboxes: messages on their way to the apps that listen for their type.

use std::collections::VecDeque;
use std::time::Instant;

use super::age::Ages;
use super::conn::{Conn, Delivery, Kind};
use super::connector::{Connector, Step};
use super::durable::{RingName, RingRef};
use super::event::{Cause, Event, Output};
use super::for_app::Way;
use super::ledger::Reason;
use super::places::Places;
use super::settings::{DIAL_ABSENT_APP_AGAIN, DIAL_APP_AGAIN, INBOX_HIGH, INBOX_LOW, RECEIVER_FRAME_MAX};
use super::slots::Id;
use super::stop::types_in;
use super::timers::Timer;
use super::traffic::Count;
use crate::ring::{PushError, Ring, Sums};
use crate::wire::frame::Frame;
use crate::wire::header::Header;
use crate::wire::link::LinkControl;
use crate::wire::receipts::{FromReceiver, ReceiverWelcome};
use crate::wire::record::Origin;

/// The queue of a message type towards its app.
#[derive(Debug)]
pub(super) struct Inbox {
    pub message_type: String,
    pub ring: Ring,
    /// What its app is done with.
    pub delivered: Count,
    pub ages: Ages,
    /// It lies in a file.
    pub durable: bool,
    /// It is to lie in a file that is not open: nothing comes in.
    pub lacks_file: bool,
    /// Its file is being opened for the first time: what comes waits for that.
    pub opening: bool,
    /// The life of its numbers.
    pub epoch: u64,
    /// It waits to be saved.
    pub listed: bool,
    /// In memory of the process: whose the messages are, in their order.
    pub runs: VecDeque<Run>,
    /// Lanes of peers that it had no room for: the link, the lane.
    pub stopped: Vec<(Id, u32)>,
    /// The connection to the app, open or on its way to be.
    pub conn: Option<Id>,
    /// Links that are not read until there is room.
    pub blocked: Vec<Id>,
    /// The app took something since the last look at it.
    pub progress: bool,
    /// The app has read nothing for so long that nobody waits for it any more.
    pub stalled: bool,
    /// The app acknowledges what it gets: what it has not acknowledged waits for it also while it is away.
    pub acknowledges: bool,
    /// Nobody listens.
    pub away: bool,
}

/// Messages in a row that came of one place with numbers in a row, or that came of none.
#[derive(Debug)]
pub(super) struct Run {
    /// That of the first one.
    origin: Option<Origin>,
    count: u64,
}

impl Inbox {
    pub fn new(message_type: &str, epoch: u64) -> Self {
        // Links are stopped at INBOX_HIGH, lanes at queue_max_bytes, so this limit is one for a single frame's
        // overshoot only.
        let ring = Ring::heap(usize::MAX / 4, 1, Sums::Never);
        Self {
            message_type: message_type.to_owned(),
            ring,
            delivered: Count::default(),
            ages: Ages::default(),
            durable: false,
            lacks_file: false,
            opening: false,
            epoch,
            listed: false,
            runs: VecDeque::new(),
            stopped: Vec::new(),
            conn: None,
            blocked: Vec::new(),
            progress: false,
            stalled: false,
            acknowledges: false,
            away: false,
        }
    }

    /// Messages that wait for the app, or for its acknowledgement if it gives any.
    pub fn waiting(&self) -> usize {
        if self.acknowledges { self.ring.len() } else { self.ring.unsent() }
    }

    /// The links that waited, if there is room for them now.
    pub fn take_waiting(&mut self) -> Vec<Id> {
        let low = if self.durable { self.ring.limit() / 4 * 3 } else { INBOX_LOW };
        if self.ring.used() <= low { std::mem::take(&mut self.blocked) } else { Vec::new() }
    }

    /// So many messages have come into memory of the process: of nobody, or of this place, with numbers in a row.
    pub fn came_of(&mut self, origin: Option<Origin>, count: u64) {
        let goes_on = |run: &Run| match (run.origin, origin) {
            (Some(first), Some(next)) => {
                (first.slot, first.generation, first.count + run.count) == (next.slot, next.generation, next.count)
            }
            (first, next) => first.is_none() && next.is_none(),
        };
        match self.runs.back_mut().filter(|run| goes_on(run)) {
            Some(run) => run.count += count,
            None => self.runs.push_back(Run { origin, count }),
        }
    }

    /// A message of a lane needs nothing more. If others of the lane wait here, it is taken over after them.
    pub fn done_behind(&mut self, origin: Origin) -> bool {
        let waits = self.runs.iter().any(|run| run.origin.is_some_and(|o| o.slot == origin.slot));
        if waits {
            self.runs.push_back(Run { origin: Some(origin), count: 0 });
        }
        waits
    }

    /// So many of the oldest messages are given up: the newest origin of each place among them.
    fn gave_up(&mut self, mut count: u64, places: &mut Places) {
        while let Some(run) = self.runs.front_mut().filter(|run| count > 0 || run.count == 0) {
            let part = run.count.min(count);
            match &mut run.origin {
                Some(origin) if run.count == 0 => places.take(*origin),
                Some(origin) => {
                    origin.count += part;
                    places.take(Origin { count: origin.count - 1, ..*origin });
                }
                None => {}
            }
            (run.count, count) = (run.count - part, count - part);
            if run.count == 0 {
                self.runs.pop_front();
            }
        }
    }

    /// Messages that it has given up in its life.
    fn given_up(&self) -> u64 {
        self.ring.first_sequence().unwrap_or(self.ring.next_sequence()) - 1
    }
}

impl Connector {
    /// Puts a message of `peer`, which came on `link`, into an inbox, and counts it in this row.
    pub(super) fn deliver(&mut self, (index, row): Way, parts: &[&[u8]], peer: Id, link: Id, now: Instant) -> Step {
        let inbox = &mut self.inboxes[index];
        if inbox.opening {
            inbox.blocked.push(link);
            return Step::Blocked;
        }
        if inbox.lacks_file {
            return self.drop_message(peer, index, Reason::StoreFailed, now);
        }
        if inbox.ring.used() >= INBOX_HIGH && !inbox.durable {
            if inbox.away {
                return self.drop_message(peer, index, Reason::NoListener, now);
            }
            if !inbox.stalled {
                inbox.blocked.push(link);
                self.hurry(index, now);
                return Step::Blocked;
            }
            return self.drop_message(peer, index, Reason::AppStalled, now);
        }
        match inbox.ring.push(parts, 0, None) {
            Ok(number) => inbox.ages.came(number, &inbox.ring, now),
            Err(PushError::Full { .. }) if !inbox.away && !inbox.stalled => {
                inbox.blocked.push(link);
                return Step::Blocked;
            }
            Err(PushError::Full { .. }) => return self.drop_message(peer, index, Reason::QueueFull, now),
            Err(PushError::Failed(why)) => {
                let name = RingName::Inbox { message_type: inbox.message_type.clone() };
                self.store_failed(&name, why, now);
                return self.drop_message(peer, index, Reason::StoreFailed, now);
            }
        }
        if inbox.durable {
            self.list(RingRef::Inbox(index));
        } else {
            inbox.came_of(None, 1);
        }
        self.traffic.received(row, parts.iter().map(|part| part.len()).sum());
        self.pass_on(index);
        Step::Taken
    }

    /// The same for a message that is all that is left of its link, and of which nobody else has a copy.
    pub(super) fn deliver_over_limit(&mut self, (index, row): Way, frame: &[u8], peer: Id, now: Instant) {
        let inbox = &mut self.inboxes[index];
        if inbox.lacks_file || inbox.ring.push(&[frame], 0, None).is_err() {
            self.drop_message(peer, index, Reason::ConnectionEnded, now);
            return;
        }
        if inbox.durable {
            self.list(RingRef::Inbox(index));
        } else {
            inbox.came_of(None, 1);
        }
        self.traffic.received(row, frame.len());
        self.pass_on(index);
    }

    /// Something came into an inbox: its app gets it.
    pub(super) fn pass_on(&mut self, index: usize) {
        match self.inboxes[index].conn {
            Some(conn) => self.want_write(conn),
            None => self.dial_app(index),
        }
    }

    /// An app is done with so many more messages of its inbox.
    pub(super) fn release_inbox(&mut self, index: usize, count: usize) {
        let (inbox, places) = (&mut self.inboxes[index], &mut self.places);
        // What lies in a file was taken over when it was stored.
        let (delivered, released) = Count::released(&mut inbox.ring, |ring| ring.release(count, &mut |_| ()));
        inbox.delivered = inbox.delivered.plus(delivered);
        if inbox.durable {
            self.list(RingRef::Inbox(index));
        } else {
            inbox.gave_up(released as u64, places);
        }
        self.go_on(index);
    }

    /// The same for all that was sent.
    fn release_sent(&mut self, index: usize) {
        let count = self.inboxes[index].ring.len();
        self.release_inbox(index, count);
    }

    /// Lets the lanes go on that an inbox had no room for, if it has now.
    pub(super) fn go_on(&mut self, index: usize) {
        let (memory_max, file_max) = (self.settings.queue_max_bytes, self.settings.max_ring_bytes);
        let inbox = &mut self.inboxes[index];
        let limit = if inbox.durable { file_max } else { memory_max };
        if inbox.stopped.is_empty() || inbox.lacks_file || inbox.ring.used() > limit - limit / 4 {
            return;
        }
        for (link, lane) in std::mem::take(&mut inbox.stopped) {
            let said = LinkControl::Go { lane }.encode(&self.settings.id);
            self.send_control(link, said);
        }
    }

    /// The same for all inboxes: a disk may have room again.
    pub(super) fn go_on_with_lanes(&mut self, _now: Instant) {
        (0..self.inboxes.len()).for_each(|inbox| self.go_on(inbox));
    }

    /// A stored message is not as it was written. Its app's count of messages does not hold any more.
    pub(super) fn inbox_damaged(&mut self, index: usize, message_type: &str, now: Instant) {
        self.ring_damaged(RingRef::Inbox(index), "", message_type, now);
        let inbox = &mut self.inboxes[index];
        inbox.epoch = inbox.epoch.wrapping_add(1);
        if let Some(conn) = inbox.conn {
            // It may not have had the time to say that it acknowledges: what it was sent is not taken for done with.
            let delivery = self.conns.get_mut(conn).and_then(|c| c.delivery_mut());
            inbox.acknowledges |= delivery.is_some_and(|d| d.done.is_none() && !d.silent);
            self.close(conn, Cause::Failed("a stored message is damaged".to_owned()), now);
        }
    }

    /// An app that receives says something: that it acknowledges, or how much it is done with.
    pub(super) fn receiver_frame(&mut self, id: Id, frame: &Frame<'_>, now: Instant) -> Step {
        let said = Header::parse(frame.header()).map_err(|e| e.to_string());
        let said = said.and_then(|h| FromReceiver::parse(&h, frame.header()).map_err(|e| e.to_string()));
        let Some(delivery) = self.conns.get_mut(id).and_then(|c| c.delivery_mut()) else { return Step::Taken };
        match said {
            // What was done with before it said so cannot be taken back.
            Ok(FromReceiver::Acknowledges { resume }) => {
                let done = if delivery.silent { delivery.sent } else { 0 };
                delivery.done.get_or_insert(done);
                delivery.silent = false;
                let (base, inbox) = (delivery.base, &mut self.inboxes[delivery.inbox]);
                inbox.acknowledges = true;
                let welcome = ReceiverWelcome { inbox: inbox.epoch, count: base };
                self.timers.disarm(Timer::Hello(id));
                if resume {
                    self.send_control(id, welcome.encode());
                }
                Step::Taken
            }
            Ok(FromReceiver::Done(count)) => self.acknowledged(id, count, now),
            Err(error) => Step::End(Cause::BadInput(error)),
        }
    }

    /// An app has not said that it acknowledges: what was sent to it is done with.
    pub(super) fn no_hello(&mut self, id: Id, now: Instant) {
        let Some(delivery) = self.conns.get_mut(id).and_then(|c| c.delivery_mut()) else { return };
        if delivery.done.is_some() {
            return;
        }
        delivery.silent = true;
        let index = delivery.inbox;
        self.release_sent(index);
        let waiting = self.inboxes[index].take_waiting();
        self.unblock(waiting, now);
    }

    fn acknowledged(&mut self, id: Id, count: u64, now: Instant) -> Step {
        let one_message = !self.settings.preserve_receive_socket;
        let Some(delivery) = self.conns.get_mut(id).and_then(|c| c.delivery_mut()) else { return Step::Taken };
        let (said, sent) = (delivery.said, delivery.sent);
        let Some(done) = delivery.done.filter(|_| (said..=sent).contains(&count)) else {
            let range = delivery.done.map_or("no acknowledgement".to_owned(), |_| format!("{said} to {sent}"));
            return Step::End(Cause::BadInput(format!("it acknowledges {count} messages, {range} was expected")));
        };
        (delivery.said, delivery.done) = (count, Some(done.max(count)));
        let index = delivery.inbox;
        // At most as many as were sent, which is what lies in memory.
        self.release_inbox(index, usize::try_from(count.saturating_sub(done)).unwrap_or(usize::MAX));
        let inbox = &mut self.inboxes[index];
        (inbox.progress, inbox.stalled) = (true, false);
        let waiting = inbox.take_waiting();
        self.unblock(waiting, now);
        if one_message && count > 0 { Step::End(Cause::Done) } else { Step::Taken }
    }

    /// There is no room: an app that never said that it acknowledges gets no more time to say it.
    fn hurry(&mut self, index: usize, now: Instant) {
        let inbox = &self.inboxes[index];
        let Some(id) = inbox.conn.filter(|_| !inbox.acknowledges) else { return };
        if self.conns.get_mut(id).and_then(|c| c.delivery_mut()).is_some_and(|d| d.opened && !d.silent) {
            self.timers.arm(Timer::Hello(id), now);
        }
    }

    fn drop_message(&mut self, peer: Id, inbox: usize, reason: Reason, now: Instant) -> Step {
        let peer = self.peers.get(peer).map(|p| p.name.clone()).unwrap_or_default();
        let message_type = self.inboxes[inbox].message_type.clone();
        self.count_drop(&peer, &message_type, reason, 1, now);
        Step::Taken
    }

    pub(super) fn dial_app(&mut self, index: usize) {
        if self.stopped || self.inboxes[index].conn.is_some() || self.inboxes[index].ring.is_empty() {
            return;
        }
        let base = self.inboxes[index].given_up();
        let delivery =
            Delivery { inbox: index, opened: false, base, sent: 0, done: None, said: 0, silent: self.stopping };
        let id = self.conns.insert(Conn::new(Kind::Delivery(delivery), RECEIVER_FRAME_MAX));
        self.inboxes[index].conn = Some(id);
        self.outputs.push_back(Output::DialApp(id, self.inboxes[index].message_type.clone()));
    }

    /// The connection to an app is gone; `took_some` says whether it was of any use.
    pub(super) fn delivery_closed(&mut self, delivery: &Delivery, took_some: bool, cause: Cause, now: Instant) {
        let index = delivery.inbox;
        self.inboxes[index].conn = None;
        // An app that has not said that it acknowledges is done with what it got. But one that did so before, and ended
        // before it could say it again, has perhaps not seen any of it.
        if delivery.done.is_none() && !self.inboxes[index].acknowledges {
            self.release_sent(index);
        }
        let inbox = &mut self.inboxes[index];
        inbox.ring.rewind();
        inbox.away = cause == Cause::NoListener;
        if delivery.silent {
            inbox.acknowledges = false;
        }
        let (is_empty, waits) = (inbox.ring.is_empty(), inbox.acknowledges || inbox.durable);
        // An app that does not even take connections, or closes them unread, must not make links wait for ever either.
        self.timers.arm_if_idle(Timer::Unread(index), now + self.settings.send_timeout);
        match cause {
            _ if is_empty => {}
            Cause::NoListener if !waits => self.drop_inbox(index, Reason::NoListener, now),
            Cause::NoListener => self.timers.arm(Timer::DialApp(index), now + DIAL_ABSENT_APP_AGAIN),
            Cause::BadInput(_) => self.timers.arm(Timer::DialApp(index), now + DIAL_APP_AGAIN),
            _ if delivery.opened && took_some => self.dial_app(index),
            // An app that takes connections and closes them unread must not keep the loop busy.
            _ => self.timers.arm(Timer::DialApp(index), now + DIAL_APP_AGAIN),
        }
        if let Cause::BadInput(_) = cause {
            let message_type = self.inboxes[index].message_type.clone();
            self.tell(Event::ReceiverRefused { message_type, cause });
        }
        let waiting = if self.inboxes[index].away {
            std::mem::take(&mut self.inboxes[index].blocked)
        } else {
            self.inboxes[index].take_waiting()
        };
        self.unblock(waiting, now);
    }

    /// Gives up all messages of an inbox.
    pub(super) fn drop_inbox(&mut self, index: usize, reason: Reason, now: Instant) {
        let message_type = self.inboxes[index].message_type.clone();
        for (_, source, count) in types_in(&self.inboxes[index].ring) {
            self.count_drop(&source, &message_type, reason, count, now);
        }
        let ring = &mut self.inboxes[index].ring;
        ring.rewind();
        ring.skip_to(u64::MAX);
        let delivered = self.inboxes[index].delivered;
        self.release_sent(index);
        let inbox = &mut self.inboxes[index];
        // Nobody has got these.
        inbox.delivered = delivered;
        inbox.ring.give_back();
    }

    /// Looks whether the app has taken some of what is in its inbox.
    pub(super) fn check_unread(&mut self, index: usize, now: Instant) {
        let inbox = &mut self.inboxes[index];
        // While the connector rests no app can read.
        if inbox.ring.is_empty() || self.stopped {
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
        let high = if inbox.durable { inbox.ring.limit() / 4 * 3 } else { INBOX_HIGH };
        if inbox.stalled || inbox.ring.used() < high {
            return;
        }
        inbox.stalled = true;
        let waiting = std::mem::take(&mut inbox.blocked);
        let message_type = inbox.message_type.clone();
        self.tell(Event::AppStalled { message_type, after: self.settings.send_timeout });
        self.unblock(waiting, now);
    }
}
