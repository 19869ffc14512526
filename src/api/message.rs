//! A message as an app receives it.

use std::fmt;
use std::ops::Range;
use std::str::Utf8Error;
use std::sync::Arc;

use serde::de::Deserialize;
use serde_json::{Map, Value};

use super::file::ReceivedFile;
use crate::wire::frame::Frame;
use crate::wire::header::{Header, HeaderError, MessageId};

/// A message that a connector brought: a header, data, and maybe a binary part.
///
/// Its memory is that of its frame; messages whose headers are the same, byte for byte, share one.
#[derive(Clone)]
pub struct Message {
    frame: Vec<u8>,
    data: Range<usize>,
    binary: Option<Range<usize>>,
    header: Arc<ReadHeader>,
}

/// A header, read once.
struct ReadHeader {
    json: Vec<u8>,
    fields: Map<String, Value>,
    message_type: String,
    source_id: Option<String>,
    request_id: Option<MessageId>,
    response_id: Option<MessageId>,
    with_binary: bool,
    await_response: bool,
}

impl ReadHeader {
    fn parse(json: &[u8]) -> Result<Self, HeaderError> {
        let header = Header::parse(json)?;
        Ok(Self {
            json: json.to_owned(),
            fields: serde_json::from_slice(json).map_err(HeaderError::Json)?,
            message_type: header.message_type.into_owned(),
            source_id: header.source_id.map(|id| id.into_owned()),
            request_id: header.request_id,
            response_id: header.response_id,
            with_binary: header.with_binary,
            await_response: header.await_response,
        })
    }
}

/// Makes messages of the frames of one connection, on which a header is often the one before.
#[derive(Default)]
pub(super) struct MessageReader {
    last: Option<Arc<ReadHeader>>,
}

impl MessageReader {
    /// # Errors
    /// The frame's header is none.
    pub fn read(&mut self, frame: &Frame<'_>) -> Result<Message, HeaderError> {
        let header = match &self.last {
            Some(last) if last.json == frame.header() => Arc::clone(last),
            _ => Arc::new(ReadHeader::parse(frame.header())?),
        };
        self.last = Some(Arc::clone(&header));
        let data_end = frame.bytes().len() - frame.binary().map_or(0, |b| size_of::<u32>() + b.len());
        Ok(Message {
            frame: frame.bytes().to_owned(),
            data: data_end - frame.data().len()..data_end,
            binary: frame
                .binary()
                .filter(|_| header.with_binary)
                .map(|b| frame.bytes().len() - b.len()..frame.bytes().len()),
            header,
        })
    }
}

impl Message {
    /// Bytes of its frame.
    pub(super) fn size(&self) -> usize {
        self.frame.len()
    }

    /// What kind of message it is.
    #[must_use]
    pub fn message_type(&self) -> &str {
        &self.header.message_type
    }

    /// The connector that it comes from: a client's name, or a server's address as in `('127.0.0.1', 10673)`.
    #[must_use]
    pub fn source_id(&self) -> Option<&str> {
        self.header.source_id.as_deref()
    }

    /// Names the message, so that it can be answered.
    #[must_use]
    pub fn request_id(&self) -> Option<&MessageId> {
        self.header.request_id.as_ref()
    }

    /// Names the message that this one answers.
    #[must_use]
    pub fn response_id(&self) -> Option<&MessageId> {
        self.header.response_id.as_ref()
    }

    /// Whether the sender waits for an answer; see [`ConnectorApi::answer`](super::ConnectorApi::answer).
    #[must_use]
    pub fn awaits_answer(&self) -> bool {
        self.header.await_response
    }

    /// The word that the sender gave it to tell messages apart.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.header.fields.get("tag").and_then(Value::as_str)
    }

    /// What it says of the file that came with it, if one did. The file itself is where the connector's
    /// `file_recv_config` says.
    #[must_use]
    pub fn file(&self) -> Option<ReceivedFile<'_>> {
        ReceivedFile::of(&self.header.fields)
    }

    /// All keys of the header.
    #[must_use]
    pub fn header(&self) -> &Map<String, Value> {
        &self.header.fields
    }

    /// The JSON text of the header, as it came.
    #[must_use]
    pub fn header_json(&self) -> &[u8] {
        &self.header.json
    }

    /// The data.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.frame[self.data.clone()]
    }

    /// The data as text.
    ///
    /// # Errors
    /// It is not UTF-8.
    pub fn text(&self) -> Result<&str, Utf8Error> {
        std::str::from_utf8(self.data())
    }

    /// The data, read as JSON.
    ///
    /// # Errors
    /// It is not JSON, or not of the wanted shape.
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> serde_json::Result<T> {
        serde_json::from_slice(self.data())
    }

    /// The binary part, if there is one.
    #[must_use]
    pub fn binary(&self) -> Option<&[u8]> {
        Some(&self.frame[self.binary.clone()?])
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("header", &String::from_utf8_lossy(self.header_json()))
            .field("data", &format_args!("{} bytes", self.data().len()))
            .field("binary", &self.binary().map(<[u8]>::len))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::encode;

    fn message(reader: &mut MessageReader, header: &[u8], data: &[u8], binary: Option<&[u8]>) -> Message {
        let mut out = Vec::new();
        encode(header, data, binary, &mut out).unwrap();
        reader.read(&Frame::parse(&out).unwrap()).unwrap()
    }

    #[test]
    fn all_parts_are_found() {
        let header = br#"{"message_type": "t", "source_id": "c", "request_id": 5, "await_response": true, "with_binary": true, "tag": "x"}"#;
        let message = message(&mut MessageReader::default(), header, b"[1]", Some(b"bin"));
        assert_eq!((message.message_type(), message.source_id(), message.tag()), ("t", Some("c"), Some("x")));
        assert_eq!((message.request_id(), message.response_id()), (Some(&MessageId::from(5)), None));
        assert_eq!((message.data(), message.binary()), (&b"[1]"[..], Some(&b"bin"[..])));
        assert!(message.awaits_answer());
        assert_eq!((message.text().unwrap(), message.json::<Vec<u8>>().unwrap()), ("[1]", vec![1]));
        assert_eq!(message.header()["tag"], "x");
    }

    #[test]
    fn a_file_that_came_and_one_that_did_not_are_told() {
        let read = |header: &[u8]| message(&mut MessageReader::default(), header, b"", None);
        let came =
            read(br#"{"message_type": "t", "with_file": {"dst_type": "any", "dst_name": "n", "delete": false}}"#);
        let file = came.file().unwrap();
        assert_eq!((file.dst_type(), file.dst_name(), file.error()), (Some("any"), Some("n"), None));
        let failed = read(br#"{"message_type": "t", "with_file": {"file_error": "disk full"}}"#);
        assert_eq!(failed.file().unwrap().error(), Some("disk full"));
        assert!(read(br#"{"message_type": "t"}"#).file().is_none());
        assert!(read(br#"{"message_type": "t", "with_file": null}"#).file().is_none());
    }

    #[test]
    fn a_header_that_repeats_is_shared_and_another_is_not() {
        let mut reader = MessageReader::default();
        let first = message(&mut reader, br#"{"message_type": "a"}"#, b"1", None);
        let second = message(&mut reader, br#"{"message_type": "a"}"#, b"2", None);
        let third = message(&mut reader, br#"{"message_type": "b"}"#, b"3", None);
        assert!(Arc::ptr_eq(&first.header, &second.header));
        assert_eq!([first.message_type(), second.message_type(), third.message_type()], ["a", "a", "b"]);
        assert_eq!([first.data(), second.data(), third.data()], [b"1", b"2", b"3"]);
    }

    #[test]
    fn a_binary_part_that_the_header_does_not_name_is_not_shown() {
        let message = message(&mut MessageReader::default(), br#"{"message_type": "a"}"#, b"d", Some(b"b"));
        assert_eq!((message.data(), message.binary()), (&b"d"[..], None));
    }
}
