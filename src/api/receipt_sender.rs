//! Sending many messages, each of which gets its receipt.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use log::{info, warn};

use super::Answer;
use super::error::{ApiError, Step};
use super::heard::{HeardConnection, News, REFUSED_MAX, Terms};
use super::kept::Kept;
use super::receipt_error::ReceiptError;
use super::receipts::HELLO_TIMEOUT;
use super::request::Deadline;
use super::send::{Encoder, SendMessage};
use crate::wire::receipts::{Level, Refused, Welcome};

/// So many bytes are gathered for a write.
const BUFFER: usize = 64 * 1024;

/// What has been gathered for so long goes out with the next message, however little it is.
const GATHER_TIME: Duration = Duration::from_millis(5);

/// Pause between attempts to connect again.
const AGAIN: Duration = Duration::from_millis(20);

/// A connection that brings many messages and tells of each how far it has come. See
/// [`ConnectorApi::receipts`](super::ConnectorApi::receipts).
///
/// Messages are numbered from 1: over the session if there is one, else over the sender's life. Dropped, it writes what
/// it has gathered and waits for nothing: [`wait_all`](Self::wait_all) before.
///
/// A call that fails with [`ApiError::Unconfirmed`] has lost nothing: with a session the next call tries again for as
/// long. Without one, a broken connection is the sender's end.
pub struct ReceiptSender {
    terms: Terms,
    /// Most messages, and bytes of them, that are not confirmed.
    window: (u64, usize),
    /// What the connector has forgotten is sent once more.
    again: bool,
    /// `None`: it is broken.
    connection: Option<HeardConnection>,
    level: Level,
    encoder: Encoder,
    kept: Kept,
    /// What was written last has been complete since then, or for longer; only looked at while there is more.
    gathering_since: Instant,
    connected_since: Instant,
    /// Since when nothing was confirmed because connections break.
    broken_since: Option<Instant>,
    /// Number of the last message that was let go; those of `kept` follow.
    confirmed: u64,
    resumed_at: u64,
    /// By how much our numbers are ahead of the connector's: it is 0 until the connector forgets the session.
    ahead: u64,
    /// Not yet taken by the app.
    refused: Vec<Refused>,
    /// Those that are not confirmed: on another connection they could still fare otherwise.
    refused_ahead: Vec<Refused>,
}

impl ReceiptSender {
    pub(super) fn open(terms: Terms, window: (u64, usize), again: bool) -> Result<Self, ApiError> {
        let start = Instant::now();
        let (connection, welcome) = loop {
            let deadline = Deadline::after(HELLO_TIMEOUT.min(terms.patience));
            match HeardConnection::open(&terms, deadline) {
                Err(e) if terms.hello.session.is_some() && may_pass(&e) && start.elapsed() < terms.patience => {
                    thread::sleep(AGAIN);
                }
                other => break other?,
            }
        };
        let resumed_at = connection.count();
        Ok(Self {
            terms,
            window,
            again,
            connection: Some(connection),
            level: welcome.level,
            encoder: Encoder::default(),
            kept: Kept::default(),
            gathering_since: start,
            connected_since: Instant::now(),
            broken_since: None,
            confirmed: resumed_at,
            resumed_at,
            ahead: 0,
            refused: Vec::new(),
            refused_ahead: Vec::new(),
        })
    }

    /// The level that the receipts tell of.
    #[must_use]
    pub fn level(&self) -> Level {
        self.level
    }

    /// The session's name, if there is one.
    #[must_use]
    pub fn session(&self) -> Option<&str> {
        self.terms.hello.session.as_deref()
    }

    /// How many messages of the session the connector had when this sender was opened: the number of the first message
    /// to send now is one higher. Without a session it is 0.
    #[must_use]
    pub fn resumed_at(&self) -> u64 {
        self.resumed_at
    }

    /// Number of the last message that was handed over.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.confirmed + self.kept.messages()
    }

    /// Number of the last message that has its receipt; all before have theirs, or were refused.
    #[must_use]
    pub fn confirmed(&self) -> u64 {
        let heard = self.connection.as_ref().map_or(0, HeardConnection::count);
        heard.saturating_add(self.ahead).clamp(self.confirmed, self.last())
    }

    /// Hands a message over, and returns its number. The message goes out when 64 KiB are gathered, with the next
    /// message after 5 ms, and with [`flush`](Self::flush) and the calls that wait.
    ///
    /// It blocks while the window is full, or the connector takes nothing.
    ///
    /// # Errors
    /// The message is one that cannot be sent; [`ApiError::Unconfirmed`], [`ApiError::SessionForgotten`];
    /// [`ApiError::RefusedUntaken`] if as many were refused as the window has messages. The message was not handed
    /// over.
    pub fn send(&mut self, message: SendMessage<'_>) -> Result<u64, ApiError> {
        self.make_room()?;
        if self.kept.unwritten().is_empty() {
            self.gathering_since = Instant::now();
        }
        self.kept.push(|out| self.encoder.encode(&message, Answer::None, out))?;
        Ok(self.last())
    }

    /// Writes what is gathered, on a new connection if the session's last one is broken.
    ///
    /// # Errors
    /// [`ApiError::Unconfirmed`], [`ApiError::SessionForgotten`].
    pub fn flush(&mut self) -> Result<(), ApiError> {
        loop {
            let error = match self.take_in().and_then(|()| self.write()) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            // It still reads, or will: there is nothing to be gained on another connection.
            if matches!(error, ApiError::TimedOut { step: Step::Write, .. }) {
                return Err(self.unconfirmed(error));
            }
            self.connect_again(error)?;
        }
    }

    /// Returns when message `index` has its receipt, or was refused.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub fn wait_for(&mut self, index: u64) -> Result<(), ApiError> {
        let index = index.min(self.last());
        loop {
            self.flush()?;
            if self.confirmed >= index {
                return Ok(());
            }
            // `flush` leaves a connection behind if anything waits.
            let Some(connection) = &self.connection else { continue };
            if !connection.wait_beyond(self.confirmed - self.ahead, self.terms.patience) {
                let (path, after) = (self.terms.path.clone(), self.terms.patience);
                return Err(self.unconfirmed(ApiError::TimedOut { path, step: Step::AwaitReceipt, after }));
            }
        }
    }

    /// Returns when all messages have their receipts: those that were refused, as by
    /// [`take_refused`](Self::take_refused).
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub fn wait_all(&mut self) -> Result<Vec<Refused>, ApiError> {
        self.wait_for(self.last())?;
        Ok(self.take_refused())
    }

    /// The messages that were refused and not told of yet, and why. Receipts count them as if they had come. With
    /// `on_full` = `drop_oldest`, the connector may refuse a message late that it had in its queue: one that was
    /// confirmed.
    ///
    /// They are kept until they are taken; while there are too many, [`send`](Self::send) fails.
    pub fn take_refused(&mut self) -> Vec<Refused> {
        std::mem::take(&mut self.refused)
    }

    /// Takes in what the connector has said, without writing or waiting, and returns the number of the last message of
    /// which it is now known whether it was refused. For who ends: what the end of the connection was is let go.
    #[cfg(feature = "daemon")]
    pub(crate) fn hear(&mut self) -> u64 {
        if let Err(e) = self.take_in() {
            log::debug!("a sender that ends hears: {e}");
        }
        self.confirmed
    }

    fn make_room(&mut self) -> Result<(), ApiError> {
        if self.connection.is_none() && self.terms.hello.session.is_none() {
            return Err(self.unconfirmed(ApiError::Closed { path: self.terms.path.clone() }));
        }
        let gathered = self.kept.unwritten().len();
        if gathered >= BUFFER || (gathered > 0 && self.gathering_since.elapsed() >= GATHER_TIME) {
            self.flush()?;
        }
        while self.is_full() {
            if self.kept.messages() == 0 {
                return Err(ApiError::RefusedUntaken(self.refused.len()));
            }
            // A part of the window at a time: one message at a time would cost a write each.
            self.wait_for(self.confirmed + 1 + self.kept.messages() / 4)?;
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        let messages = self.kept.messages();
        messages.saturating_add(self.refused.len() as u64) >= self.window.0
            || (messages > 0 && self.kept.used() >= self.window.1)
    }

    fn write(&mut self) -> Result<(), ApiError> {
        let unwritten = self.kept.unwritten();
        match &mut self.connection {
            _ if unwritten.is_empty() && self.kept.messages() == 0 => Ok(()),
            None => Err(ApiError::Closed { path: self.terms.path.clone() }),
            Some(connection) if !unwritten.is_empty() => {
                let (written, error) = connection.write(unwritten);
                self.kept.wrote(written);
                error.map_or(Ok(()), Err)
            }
            Some(_) => Ok(()),
        }
    }

    /// Lets go of what the connector has confirmed.
    fn take_in(&mut self) -> Result<(), ApiError> {
        let Some(connection) = &self.connection else { return Ok(()) };
        let news = connection.take_news();
        self.take_in_news(news)
    }

    fn take_in_news(&mut self, news: News) -> Result<(), ApiError> {
        let most = self.last() - self.ahead;
        for refused in news.refused {
            if refused.index > most {
                return Err(self.bad_number(refused.index, 1));
            }
            self.refused_ahead.push(Refused { index: refused.index + self.ahead, ..refused });
        }
        let refused = self.refused.len() + self.refused_ahead.len();
        if refused > REFUSED_MAX {
            let source = ReceiptError::TooManyRefused(refused);
            return Err(ApiError::BadReceipt { path: self.terms.path.clone(), source });
        }
        // The count begins where the connection's welcome has put it, which is never below what is let go.
        self.let_go(news.count)?;
        news.end.map_or(Ok(()), Err)
    }

    /// Lets go of what the connector has: `count` messages, as it counts.
    fn let_go(&mut self, count: u64) -> Result<(), ApiError> {
        let more = count.saturating_add(self.ahead).saturating_sub(self.confirmed);
        if self.kept.release(more).is_err() {
            return Err(self.bad_number(count, self.confirmed - self.ahead));
        }
        if more > 0 {
            self.confirmed += more;
            self.broken_since = None;
        }
        let confirmed = self.confirmed;
        self.refused.extend(self.refused_ahead.extract_if(.., |refused| refused.index <= confirmed));
        Ok(())
    }

    fn bad_number(&self, found: u64, least: u64) -> ApiError {
        let source = ReceiptError::Number { found, least, most: self.last() - self.ahead };
        ApiError::BadReceipt { path: self.terms.path.clone(), source }
    }

    /// The connection has ended with `error`. A session goes on with another one, if there is anything to go on with.
    fn connect_again(&mut self, mut error: ApiError) -> Result<(), ApiError> {
        if let Some(connection) = self.connection.take()
            && may_pass(&error)
        {
            // Receipts that came before the end count.
            error = self.take_in_news(connection.finish()).err().unwrap_or(error);
        }
        if self.kept.messages() == 0 && may_pass(&error) {
            return Ok(());
        }
        if self.connected_since.elapsed() >= self.terms.patience {
            self.broken_since = None;
        }
        // A connector that comes and goes is not asked in a tight loop.
        let hasty = self.broken_since.is_some() && self.connected_since.elapsed() < AGAIN;
        let since = *self.broken_since.get_or_insert_with(Instant::now);
        while self.terms.hello.session.is_some() && may_pass(&error) {
            let Some(left) = self.terms.patience.checked_sub(since.elapsed()).filter(|left| !left.is_zero()) else {
                break;
            };
            if hasty {
                thread::sleep(AGAIN.min(left));
            }
            match HeardConnection::open(&self.terms, Deadline::after(left)) {
                Ok((connection, welcome)) => return self.go_on_with(connection, &welcome),
                Err(e) => error = e,
            }
            thread::sleep(AGAIN.min(left));
        }
        self.broken_since = None;
        Err(self.unconfirmed(error))
    }

    /// Begins anew behind what the connector has of the session.
    fn go_on_with(&mut self, connection: HeardConnection, welcome: &Welcome) -> Result<(), ApiError> {
        let known = connection.count();
        let confirmed = self.confirmed - self.ahead;
        if known < confirmed {
            if !self.again {
                let session = self.session().unwrap_or_default().to_owned();
                return Err(ApiError::SessionForgotten { session, confirmed, known });
            }
            warn!("the connector has forgotten a session: {} messages are sent again", self.kept.messages());
            self.ahead += confirmed - known;
        }
        self.let_go(known).map_err(|error| self.unconfirmed(error))?;
        info!("connected again; the connector has {known} messages, {} are sent again", self.kept.messages());
        // What was refused and not confirmed is tried again.
        self.refused_ahead.clear();
        self.kept.rewind();
        self.level = welcome.level;
        self.connected_since = Instant::now();
        self.connection = Some(connection);
        Ok(())
    }

    fn unconfirmed(&self, error: ApiError) -> ApiError {
        ApiError::Unconfirmed { sent: self.last(), confirmed: self.confirmed, source: Box::new(error) }
    }
}

/// Whether another attempt may fare better.
fn may_pass(error: &ApiError) -> bool {
    matches!(
        error,
        ApiError::NotRunning { .. } | ApiError::Closed { .. } | ApiError::TimedOut { .. } | ApiError::Io { .. }
    )
}

impl Drop for ReceiptSender {
    fn drop(&mut self) {
        if self.connection.is_some()
            && let Err(e) = self.take_in().and_then(|()| self.write())
        {
            warn!("a sender ends with a broken connection: {e}");
        }
        if self.kept.messages() > 0 {
            warn!("a sender ends before {} of its messages are confirmed", self.kept.messages());
        }
    }
}

impl fmt::Debug for ReceiptSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiptSender")
            .field("path", &self.terms.path)
            .field("session", &self.terms.hello.session)
            .field("level", &self.level)
            .field("confirmed", &self.confirmed)
            .field("last", &self.last())
            .finish_non_exhaustive()
    }
}
