//! Sending many messages at a time.

use log::warn;

use super::connection::{Connection, Unsent, frame_end};
use super::error::ApiError;
use super::send::{Encoder, SendMessage};
use super::{Answer, ConnectorApi};

/// A full buffer goes out, bytes: enough for a write to cost little beside the messages in it.
const BUFFER: usize = 64 * 1024;

/// A connection with a write buffer: many messages go out in one write. See [`ConnectorApi::sender`]. With
/// `uds_path_send_preserve_socket` false it is a connection a message.
///
/// Its messages keep their order; against messages sent otherwise they have none.
/// Dropped, it writes what is in its buffer, and can only log what goes wrong then: [`flush`](Self::flush) before.
#[derive(Debug)]
pub struct Sender<'a> {
    connection: Connection,
    encoder: Encoder,
    frames: Vec<u8>,
    /// The connector takes one message a connection: more would not be read.
    one_each: bool,
    api: &'a ConnectorApi,
}

impl<'a> Sender<'a> {
    pub(super) fn new(api: &'a ConnectorApi) -> Self {
        let keep = api.settings.keep_connection;
        let connection = Connection::new(api.paths.send(), api.write_timeout, keep);
        Self { connection, encoder: Encoder::default(), frames: Vec::with_capacity(2 * BUFFER), one_each: !keep, api }
    }

    /// The api whose connector it sends to: `sender.api().send_message("any").text("x").send_with(&mut sender)`.
    #[must_use]
    pub fn api(&self) -> &'a ConnectorApi {
        self.api
    }

    /// Bytes of messages that wait to be written.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.frames.len()
    }

    pub(super) fn add(&mut self, message: &SendMessage<'_>) -> Result<(), ApiError> {
        if self.frames.len() >= BUFFER {
            self.flush()?;
        }
        self.encoder.encode(message, Answer::None, &mut self.frames)
    }

    /// Writes what is in the buffer.
    ///
    /// # Errors
    /// As [`SendMessage::send`]; the messages that did not go out stay in the buffer, and can be flushed later.
    pub fn flush(&mut self) -> Result<(), ApiError> {
        if self.frames.is_empty() {
            return Ok(());
        }
        match self.write() {
            Ok(()) => {
                self.frames.clear();
                self.frames.shrink_to(super::KEPT_CAPACITY);
                Ok(())
            }
            Err(Unsent { from, error }) => {
                self.frames.drain(..from);
                Err(error)
            }
        }
    }
}

impl Sender<'_> {
    fn write(&mut self) -> Result<(), Unsent> {
        if !self.one_each {
            return self.connection.write(&self.frames);
        }
        let mut from = 0;
        while from < self.frames.len() {
            let to = frame_end(&self.frames, from);
            self.connection.write(&self.frames[from..to]).map_err(|unsent| Unsent { from, ..unsent })?;
            from = to;
        }
        Ok(())
    }
}

impl Drop for Sender<'_> {
    fn drop(&mut self) {
        if let Err(e) = self.flush() {
            warn!("{} bytes of messages are lost with their sender: {e}", self.frames.len());
        }
    }
}
