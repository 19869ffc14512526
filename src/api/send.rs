//! What an app says of a message that it sends.

use std::io;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use super::error::ApiError;
use super::file::File;
use super::message::Message;
use super::requester::Requester;
use super::sender::Sender;
use super::{Answer, ConnectorApi, receipts};
use crate::wire::control::PUBSUB;
use crate::wire::frame;
use crate::wire::header::{HeaderWriter, MessageId};
use crate::wire::names::Role;
use crate::wire::receipts::Level;

/// Longest tag, characters.
const TAG_MAX: usize = 128;

/// The keys of a header that this api or the connector write.
const OWN_KEYS: [&str; 15] = [
    "message_type",
    "source_id",
    "destination_id",
    "request_id",
    "response_id",
    "with_binary",
    "await_response",
    "await_response_timeout",
    "wait_for_ack",
    "with_file",
    "message_type_publish",
    "transport_id",
    "tag",
    "link",
    "error",
];

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

impl Id<'_> {
    pub(super) fn to_message_id(self) -> MessageId {
        match self {
            Id::Number(number) => MessageId::from(number),
            Id::Text(text) => MessageId::from(text),
            Id::Of(id) => id.clone(),
        }
    }
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
    file: Option<File<'a>>,
    /// The type of a publication.
    publish: Option<&'a str>,
    wait_for_ack: bool,
    more: Option<&'a Map<String, Value>>,
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
            file: None,
            publish: None,
            wait_for_ack: false,
            more: None,
        }
    }

    pub(super) fn publication(api: &'a ConnectorApi, message_type: &'a str) -> Self {
        Self { publish: Some(message_type), ..Self::new(api, PUBSUB) }
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

    /// A file that goes with it.
    pub fn file(self, file: File<'a>) -> Self {
        Self { file: Some(file), ..self }
    }

    /// Has the connector keep the message until the peer's connector says that it has it. Towards a peer of this
    /// project that is so anyway; towards one of the Python package it costs it an answer a message.
    pub fn wait_for_ack(self) -> Self {
        Self { wait_for_ack: true, ..self }
    }

    /// Further keys of the header, which come to the receiving app as they are.
    pub fn header(self, more: &'a Map<String, Value>) -> Self {
        Self { more: Some(more), ..self }
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
    /// the peer). `timeout` is for all of it. For many requests at a time see [`ConnectorApi::requester`].
    ///
    /// ```
    /// # use std::{io::{Read, Write}, os::unix::net::UnixListener, thread, time::Duration};
    /// # use aioconnectors::{api::{ApiError, ConnectorApi}, wire::frame::encode};
    /// # let dir = tempfile::tempdir()?;
    /// # let listener = UnixListener::bind(dir.path().join("uds_path_send_to_connector_client_client1"))?;
    /// # thread::spawn(move || {
    /// #     let (mut stream, _) = listener.accept().unwrap();
    /// #     assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
    /// #     let mut out = Vec::new();
    /// #     encode(br#"{"message_type": "any", "response_id": 7}"#, b"4", None, &mut out).unwrap();
    /// #     stream.write_all(&out).unwrap();
    /// # });
    /// let api = ConnectorApi::client("client1").files_dir(dir.path()).build()?;
    /// let question = api.send_message("any").request_id(7).text("what is 2 + 2?");
    /// match question.await_response(Duration::from_secs(5)) {
    ///     Ok(answer) => assert_eq!(answer.data(), b"4"),
    ///     Err(error) => eprintln!("{error}: {:?}", error.no_answer()),
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`send`](Self::send); [`ApiError::no_answer`] tells the reasons apart: [`ApiError::Refused`] if the connector
    /// says why there is no answer, [`ApiError::NoAnswer`] if it only closes the connection, [`ApiError::TimedOut`].
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

    /// Sends the message on the connection of `requester`, which it shares with other requests, and waits for the answer
    /// as [`await_response`](Self::await_response) does.
    ///
    /// # Errors
    /// As [`Requester::start`] and [`Pending::wait`](super::Pending::wait).
    pub fn await_response_with(self, requester: &Requester, timeout: Duration) -> Result<Message, ApiError> {
        requester.start(self, timeout)?.wait()
    }

    /// What the app has named the message.
    pub(super) fn own_request_id(&self) -> Option<Id<'a>> {
        self.request_id
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
        if settings.role == Role::Server && self.destination.is_none() && self.message_type != PUBSUB {
            return Err(ApiError::NoDestination { message_type: message_type() });
        }
        if let Some(key) = self.more.and_then(|more| more.keys().find(|key| OWN_KEYS.contains(&key.as_str()))) {
            return Err(ApiError::HeaderKey(key.clone()));
        }
        match self.tag {
            Some(tag) if !is_tag(tag) => Err(ApiError::Tag(tag.to_owned())),
            _ => Ok(()),
        }
    }

    fn write_header(&self, buffer: Vec<u8>, answer: Answer) -> Result<Vec<u8>, ApiError> {
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
        header.flag("with_binary", self.binary.is_some()).flag("wait_for_ack", self.wait_for_ack);
        if let Answer::Awaited(timeout) = answer {
            header.flag("await_response", true);
            header.json("await_response_timeout", &timeout.as_secs_f64().to_string());
        }
        for (key, value) in [("message_type_publish", self.publish), ("tag", self.tag)] {
            if let Some(value) = value {
                header.text(key, value);
            }
        }
        if let Some(file) = self.file {
            header.json("with_file", &file.to_json(self.publish.unwrap_or(self.message_type))?);
        }
        for (key, value) in self.more.into_iter().flatten() {
            header.json(key, &value.to_string());
        }
        Ok(header.finish())
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
        self.header = message.write_header(std::mem::take(&mut self.header), answer)?;
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
