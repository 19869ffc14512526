//! Asking for receipts: of one message, or of many through a [`ReceiptSender`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use super::builder::WRITE_TIMEOUT_MIN;
use super::conversation::Conversation;
use super::error::ApiError;
use super::heard::Terms;
use super::receipt_error::ReceiptError;
use super::receipt_sender::ReceiptSender;
use super::request::Deadline;
use super::send::{Encoder, SendMessage};
use super::{Answer, ConnectorApi};
use crate::wire::receipts::{Hello, Level, ToSender, check_session};

/// A connector that knows of receipts answers the hello within this.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// Most messages that are not confirmed, unless the app says otherwise: a tenth of a second at full speed, which is
/// longer than a disk takes to sync.
pub const WINDOW_MESSAGES: u64 = 100_000;

/// Most bytes of messages that are not confirmed, unless the app says otherwise. A single message may be longer.
pub const WINDOW_BYTES: usize = 32 * 1024 * 1024;

/// Longest that nothing goes on, unless the app says otherwise.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How receipts are asked for; [`open`](Self::open) makes the sender. See [`ConnectorApi::receipts`].
#[derive(Clone, Debug)]
#[must_use = "open() makes the sender"]
pub struct Receipts<'a> {
    api: &'a ConnectorApi,
    hello: Hello,
    or_lower: bool,
    again: bool,
    window_messages: u64,
    window_bytes: usize,
    patience: Duration,
}

impl<'a> Receipts<'a> {
    pub(super) fn new(api: &'a ConnectorApi, level: Level) -> Self {
        Self {
            api,
            hello: Hello { receipts: level, session: None },
            or_lower: false,
            again: false,
            window_messages: WINDOW_MESSAGES,
            window_bytes: WINDOW_BYTES,
            patience: PATIENCE,
        }
    }

    /// Counts the messages over all connections of the session `name`, 1 to 64 characters. The sender keeps what is not
    /// confirmed, connects again when the connection breaks, and goes on where the connector says: each message comes
    /// to the connector once. A later process may go on with the session by its name; two at a time must not.
    ///
    /// The connector forgets a session that was silent for its `session_ttl`, and one without persistence forgets all
    /// when it ends: see [`ApiError::SessionForgotten`].
    pub fn session(mut self, name: impl Into<String>) -> Self {
        self.hello.session = Some(name.into());
        self
    }

    /// The same under a name that is made up, for this process only.
    pub fn new_session(self) -> Self {
        self.session(made_up_name())
    }

    /// A lower level will do where the connector cannot grant the wanted one: [`ReceiptSender::level`] tells. Otherwise
    /// that is [`ApiError::LevelNotGranted`].
    pub fn or_lower_level(mut self) -> Self {
        self.or_lower = true;
        self
    }

    /// If the connector has forgotten the session, what is not confirmed is sent once more, whether the connector has
    /// had it or not: so messages may come twice. Otherwise that is [`ApiError::SessionForgotten`].
    pub fn send_again_if_forgotten(mut self) -> Self {
        self.again = true;
        self
    }

    /// Most messages, and bytes of them, that are not confirmed; by default [`WINDOW_MESSAGES`] and [`WINDOW_BYTES`].
    /// Zero messages count as one.
    pub fn window(mut self, messages: u64, bytes: usize) -> Self {
        (self.window_messages, self.window_bytes) = (messages.max(1), bytes);
        self
    }

    /// Longest that a call waits without anything going on: no receipt comes, nothing is taken, or, with a session, the
    /// connector is away. By default [`PATIENCE`]. Zero counts as 1 ms.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience.max(WRITE_TIMEOUT_MIN);
        self
    }

    /// Connects. With a session it waits for a connector that is away.
    ///
    /// # Errors
    /// [`ApiError::SessionName`]; [`ApiError::NotRunning`] or what else keeps it from connecting;
    /// [`ApiError::NoReceipts`] if the connector does not answer within [`HELLO_TIMEOUT`];
    /// [`ApiError::LevelNotGranted`].
    pub fn open(self) -> Result<ReceiptSender, ApiError> {
        if let Some(session) = &self.hello.session {
            check_session(session)?;
        }
        let terms =
            Terms { path: self.api.paths.send(), hello: self.hello, or_lower: self.or_lower, patience: self.patience };
        ReceiptSender::open(terms, (self.window_messages, self.window_bytes), self.again)
    }
}

/// A name that no other session has: of this process, this moment, and the first to ask.
pub(super) fn made_up_name() -> String {
    static ASKED: AtomicU64 = AtomicU64::new(0);
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let asked = ASKED.fetch_add(1, Ordering::Relaxed);
    format!("{:x}-{:x}-{asked:x}", std::process::id(), since.as_nanos())
}

/// Sends one message, and waits until it has come to `level`.
pub(super) fn await_receipt(
    api: &ConnectorApi,
    message: &SendMessage<'_>,
    level: Level,
    timeout: Duration,
) -> Result<(), ApiError> {
    let deadline = Deadline::after(timeout);
    let mut frame = Vec::new();
    Encoder::default().encode(message, Answer::None, &mut frame)?;
    let hello = Hello { receipts: level, session: None };
    let write_timeout = api.write_timeout.min(timeout).max(WRITE_TIMEOUT_MIN);
    let mut talk = Conversation::open(&api.paths.send(), &hello, write_timeout)?;
    // The message goes out when it is sure that receipts are given: what fails before was not sent.
    talk.welcome(&hello, false, Deadline::after(timeout.min(HELLO_TIMEOUT)))?;
    talk.write(&frame)?;
    drop(frame);
    let unconfirmed = |e| ApiError::Unconfirmed { sent: 1, confirmed: 0, source: Box::new(e) };
    loop {
        match talk.next(Some(deadline)).map_err(unconfirmed)? {
            ToSender::Receipt(r) if r.level != level => {
                return Err(unconfirmed(talk.bad(ReceiptError::Level { expected: level, found: r.level })));
            }
            ToSender::Receipt(r) if r.count > 1 => return Err(unconfirmed(talk.bad(number(r.count)))),
            ToSender::Receipt(r) if r.count == 1 => return Ok(()),
            ToSender::Receipt(_) => {}
            ToSender::Refused(r) if r.index > 1 => return Err(unconfirmed(talk.bad(number(r.index)))),
            ToSender::Refused(r) => {
                return Err(ApiError::MessageRefused { path: api.paths.send(), reason: r.reason });
            }
            ToSender::Welcome(_) => return Err(unconfirmed(talk.bad(ReceiptError::OutOfTurn))),
        }
    }
}

/// Only one message was sent.
fn number(found: u64) -> ReceiptError {
    ReceiptError::Number { found, least: 1, most: 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_names_are_names_and_differ() {
        let names = [made_up_name(), made_up_name()];
        assert!(names.iter().all(|name| check_session(name).is_ok()) && names[0] != names[1], "{names:?}");
    }
}
