//! What an app that acknowledges has handled already: a connector that is restarted brings again what it did not know
//! to be done with.
//!
//! A connector of this project says at the beginning of each connection where in its inbox the connection begins. Until
//! then messages are held back; a connector that does not say it is not waited for a second time.

use std::collections::VecDeque;
use std::time::Duration;

use log::debug;

use super::message::{Message, MessageReader};
use super::request::Deadline;
use crate::wire::receipts::ReceiverWelcome;

/// A connector that says where its connection begins does so within this.
pub(super) const WELCOME_WAIT: Duration = Duration::from_secs(2);

/// Most bytes of messages that are held back; beyond them it is not waited for.
const HELD_MAX: usize = 8 * 1024 * 1024;

/// A message: its number in an inbox's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    inbox: u64,
    number: u64,
}

/// The messages that a callback is done with.
#[derive(Debug, Default)]
pub(super) struct Handled {
    /// The last one. Connections bring them in order, so all before are done with too.
    last: Option<Place>,
    /// The connector does not say where connections begin.
    pub silent: bool,
}

impl Handled {
    fn has(&self, place: Option<Place>) -> bool {
        let (Some(last), Some(place)) = (self.last, place) else { return false };
        last.inbox == place.inbox && place.number <= last.number
    }

    /// A connection is in this place.
    fn begin(&mut self, place: Place) {
        if !self.has(Some(place)) {
            self.last = Some(place);
        }
    }

    /// The message in this place is done with. An inbox that has given way to another counts no more.
    fn add(&mut self, place: Option<Place>) {
        let (Some(last), Some(place)) = (&mut self.last, place) else { return };
        if last.inbox == place.inbox {
            last.number = last.number.max(place.number);
        }
    }
}

/// What is done with each message. `false` gives it back: it is to come again.
pub(super) type Callback = Box<dyn FnMut(Message) -> bool + Send>;

/// The callback, and what it is done with: one message at a time, of whatever connection.
pub(super) struct Work {
    pub callback: Callback,
    pub handled: Handled,
}

/// One connection's messages.
#[derive(Default)]
pub(super) struct Incoming {
    pub reader: MessageReader,
    /// How many messages of this connection are done with.
    pub done: u64,
    welcome: Option<ReceiverWelcome>,
    held: Option<Held>,
}

struct Held {
    messages: VecDeque<Message>,
    bytes: usize,
    until: Deadline,
}

impl Incoming {
    /// A connection whose messages are held back until it is known where it begins.
    pub fn holding() -> Self {
        let held = Held { messages: VecDeque::new(), bytes: 0, until: Deadline::after(WELCOME_WAIT) };
        Self { held: Some(held), ..Self::default() }
    }

    /// For how long messages are still held back; zero when it is time to let them go.
    pub fn holds_for(&self) -> Option<Duration> {
        self.held.as_ref().map(|held| held.until.left().unwrap_or_default())
    }

    pub fn is_welcome(&self) -> bool {
        self.welcome.is_some()
    }

    /// Holds the message back, or gives it to the callback; whether to go on.
    pub fn take(&mut self, message: Message, work: &mut Work) -> bool {
        if let Some(held) = &mut self.held {
            held.bytes += message.size();
            held.messages.push_back(message);
            return held.bytes <= HELD_MAX || self.let_go(work);
        }
        self.handle(message, work)
    }

    /// The connector has said where the connection begins.
    pub fn welcome(&mut self, welcome: ReceiverWelcome, work: &mut Work) -> bool {
        self.welcome = Some(welcome);
        work.handled.silent = false;
        let number = welcome.count.saturating_add(self.done);
        work.handled.begin(Place { inbox: welcome.inbox, number });
        self.let_go(work)
    }

    /// The connector has not said it in time.
    pub fn give_up(&mut self, work: &mut Work) -> bool {
        work.handled.silent = true;
        self.let_go(work)
    }

    /// The connection ends. What is held back comes again if the connector is one that says where connections begin;
    /// one that does not say it counts as done with what it has written.
    pub fn end(&mut self, work: &mut Work) -> bool {
        if work.handled.last.is_none() {
            return self.let_go(work);
        }
        if let Some(held) = self.held.take() {
            debug!("{} messages came on a connection that ended at once: they come again", held.messages.len());
        }
        true
    }

    fn let_go(&mut self, work: &mut Work) -> bool {
        let Some(held) = self.held.take() else { return true };
        held.messages.into_iter().all(|message| self.handle(message, work))
    }

    fn handle(&mut self, message: Message, work: &mut Work) -> bool {
        let next = self.done.saturating_add(1);
        let place = self.welcome.map(|w| Place { inbox: w.inbox, number: w.count.saturating_add(next) });
        if !work.handled.has(place) && !(work.callback)(message) {
            return false;
        }
        work.handled.add(place);
        self.done = next;
        true
    }
}
