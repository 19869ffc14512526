//! What an app says of a message that it sends.

use std::io;
use std::time::Duration;

use serde::Serialize;

use super::error::ApiError;
use super::message::Message;
use super::sender::Sender;
use super::{Answer, ConnectorApi, receipts};
use crate::wire::frame;
use crate::wire::header::{HeaderWriter, MessageId};
use crate::wire::names::Role;
use crate::wire::receipts::Level;

/// Longest tag, characters.
const TAG_MAX: usize = 128;

/// The id of a message: a number or a text.
#[derive(Clone, Copy, Debug)]
pub enum Id<'a> {
    /// A number.
    Number(i64),
    /// A text.
    Text(&'a str),
    /// The id of a message that came.
    Of(&'a MessageId),
}

impl From<i64> for Id<'_> {
    fn from(id: i64) -> Self {
        Id::Number(id)
    }
}

impl<'a> From<&'a str> for Id<'a> {
    fn from(id: &'a str) -> Self {
        Id::Text(id)
    }
}

impl<'a> From<&'a MessageId> for Id<'a> {
    fn from(id: &'a MessageId) -> Self {
        Id::Of(id)
    }
}

/// What can be written as JSON, without saying what it is.
trait Json {
    fn write(&self, out: &mut Vec<u8>) -> serde_json::Result<()>;
}

impl<T: Serialize> Json for T {
    fn write(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        serde_json::to_writer(out as &mut dyn io::Write, self)
    }
}

#[derive(Clone, Copy)]
enum Data<'a> {
    Bytes(&'a [u8]),
    Json(&'a dyn Json),
}

/// A message on its way: say what it is, then [`send`](Self::send) it. See [`ConnectorApi::send_message`].
#[must_use = "a message goes out with send(), send_with(), await_response() or await_receipt()"]
#[derive(Clone, Copy)]
pub struct SendMessage<'a> {
    api: &'a ConnectorApi,
    message_type: &'a str,
    destination: Option<&'a str>,
    request_id: Option<Id<'a>>,
    response_id: Option<Id<'a>>,
    data: Data<'a>,
    binary: Option<&'a [u8]>,
    tag: Option<&'a str>,
}

impl<'a> SendMessage<'a> {
    pub(super) fn new(api: &'a ConnectorApi, message_type: &'a str) -> Self {
        Self {
            api,
            message_type,
            destination: None,
            request_id: None,
            response_id: None,
            data: Data::Bytes(b""),
            binary: None,
            tag: None,
        }
    }

    /// The connector that it goes to. On a client that is always the server, whatever stands here.
    pub fn destination(self, id: &'a str) -> Self {
        Self { destination: Some(id), ..self }
    }

    /// Names the message: a number, a text, or the id of another message.
    pub fn request_id(self, id: impl Into<Id<'a>>) -> Self {
        Self { request_id: Some(id.into()), ..self }
    }

    /// Says which message this one answers; see also [`ConnectorApi::answer`].
    pub fn response_id(self, id: impl Into<Id<'a>>) -> Self {
        Self { response_id: Some(id.into()), ..self }
    }

    /// The data: anything that can be written as JSON.
    pub fn json<T: Serialize>(self, value: &'a T) -> Self {
        Self { data: Data::Json(value), ..self }
    }

    /// The data: a text.
    pub fn text(self, text: &'a str) -> Self {
        self.bytes(text.as_bytes())
    }

    /// The data: bytes as they are.
    pub fn bytes(self, bytes: &'a [u8]) -> Self {
        Self { data: Data::Bytes(bytes), ..self }
    }

    /// A second part beside the data. An empty one is none.
    pub fn binary(self, binary: &'a [u8]) -> Self {
        Self { binary: Some(binary).filter(|b| !b.is_empty()), ..self }
    }

    /// A word to tell messages apart: 1 to 128 letters, digits, `-`, `_` and `:`.
    pub fn tag(self, tag: &'a str) -> Self {
        Self { tag: Some(tag), ..self }
    }

    /// Hands the message to the connector: returns when its bytes are in the socket.
    ///
    /// # Errors
    /// The connector does not run, or takes nothing for the write timeout; or the message is one that it cannot take.
    /// Then the connector does not have the message.
    pub fn send(self) -> Result<(), ApiError> {
        self.api.send(&self)
    }

    /// Puts the message in the buffer of `sender`, which goes out when it is full or flushed.
    ///
    /// # Errors
    /// As [`send`](Self::send); a message that cannot be written is not in the buffer.
    pub fn send_with(self, sender: &mut Sender<'_>) -> Result<(), ApiError> {
        sender.add(&self)
    }

    /// Sends the message, on a connection of its own, and waits for the answer of the peer's app (or, to a `_ping`, of
    /// the peer). `timeout` is for all of it.
    ///
    /// # Errors
    /// As [`send`](Self::send); [`ApiError::NoAnswer`] if the peer is not connected, [`ApiError::Refused`] if it went
    /// away meanwhile, [`ApiError::TimedOut`].
    pub fn await_response(self, timeout: Duration) -> Result<Message, ApiError> {
        self.api.await_response(&self, timeout)
    }

    /// Sends the message, on a connection of its own, and returns when it has come to `level`. `timeout` is for all of
    /// it.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use aioconnectors::api::{ApiError, ConnectorApi, Level};
    /// # fn main() -> Result<(), ApiError> {
    /// # let api = ConnectorApi::client("client1").build()?;
    /// api.send_message("any").text("hello").await_receipt(Level::Delivered, Duration::from_secs(5))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// For many messages see [`ConnectorApi::receipts`].
    ///
    /// # Errors
    /// As [`send`](Self::send); [`ApiError::NoReceipts`] if the connector gives none, [`ApiError::LevelNotGranted`],
    /// [`ApiError::MessageRefused`]. [`ApiError::Unconfirmed`] if the message was sent and no receipt came, in time or
    /// before the connection broke: only then can it be with the connector.
    pub fn await_receipt(self, level: Level, timeout: Duration) -> Result<(), ApiError> {
        receipts::await_receipt(self.api, &self, level, timeout)
    }

    fn check(&self) -> Result<(), ApiError> {
        let message_type = || self.message_type.to_owned();
        let settings = &self.api.settings;
        if let Some(known) = &settings.send_types
            && !self.message_type.starts_with('_')
            && !known.iter().any(|t| t == self.message_type)
        {
            return Err(ApiError::UnknownType {
                message_type: message_type(),
                direction: "send",
                known: known.clone(),
            });
        }
        if settings.role == Role::Server && self.destination.is_none() && self.message_type != "_pubsub" {
            return Err(ApiError::NoDestination { message_type: message_type() });
        }
        match self.tag {
            Some(tag) if !is_tag(tag) => Err(ApiError::Tag(tag.to_owned())),
            _ => Ok(()),
        }
    }

    fn header(&self, buffer: Vec<u8>, answer: Answer) -> Vec<u8> {
        let settings = &self.api.settings;
        let mut header = HeaderWriter::reusing(buffer);
        header.text("message_type", self.message_type).text("source_id", &settings.id);
        match self.destination {
            Some(id) => header.text("destination_id", id),
            None if settings.role == Role::Client => header.text("destination_id", &settings.server_id),
            None => &mut header,
        };
        write_id(&mut header, "request_id", self.request_id);
        write_id(&mut header, "response_id", self.response_id);
        header.flag("with_binary", self.binary.is_some()).flag("await_response", answer == Answer::Awaited);
        if let Some(tag) = self.tag {
            header.text("tag", tag);
        }
        header.finish()
    }
}

fn is_tag(tag: &str) -> bool {
    (1..=TAG_MAX).contains(&tag.len())
        && tag.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b':'))
}

fn write_id(header: &mut HeaderWriter, key: &str, id: Option<Id<'_>>) {
    match id {
        None => header,
        Some(Id::Number(n)) => header.json(key, &n.to_string()),
        Some(Id::Text(text)) => header.text(key, text),
        Some(Id::Of(id)) => header.json(key, &id.to_json()),
    };
}

/// Writes messages as frames, in memory that it uses again.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    header: Vec<u8>,
    json: Vec<u8>,
}

impl Encoder {
    /// Appends the message's frame to `out`, which is as it was if there is an error.
    pub fn encode(&mut self, message: &SendMessage<'_>, answer: Answer, out: &mut Vec<u8>) -> Result<(), ApiError> {
        message.check()?;
        self.header = message.header(std::mem::take(&mut self.header), answer);
        let data = match message.data {
            Data::Bytes(bytes) => bytes,
            Data::Json(value) => {
                self.json.clear();
                value.write(&mut self.json).map_err(ApiError::Json)?;
                &self.json
            }
        };
        frame::encode(&self.header, data, message.binary, out)?;
        self.json.shrink_to(super::KEPT_CAPACITY);
        Ok(())
    }
}
