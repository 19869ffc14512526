//! A frame's header: the JSON object that says what the message is and where it goes.
//!
//! Only the keys that a connector acts on are looked at; all others are carried through as they were written.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// Longest text of a `request_id` or `response_id`, bytes: it is kept for as long as the answer is awaited.
pub const MESSAGE_ID_MAX: usize = 512;

/// Longest wait that a request may ask for; a longer one counts as this.
pub const AWAIT_RESPONSE_TIMEOUT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Most keys in a header that a connector has to change.
pub const HEADER_KEYS_MAX: usize = 256;

/// Why a text is not a header.
#[derive(Debug)]
pub enum HeaderError {
    /// It is not JSON, or not an object, or a value has another type than its key asks for.
    Json(serde_json::Error),
    /// A key that every message must have is absent.
    Missing(&'static str),
    /// The id's text is longer than [`MESSAGE_ID_MAX`].
    IdTooLong {
        /// The id's key.
        key: &'static str,
        /// Its length, bytes.
        length: usize,
    },
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeaderError::Json(e) => write!(f, "the header is not the JSON object that is expected: {e}"),
            HeaderError::Missing(key) => write!(f, "the header has no key {key:?}"),
            HeaderError::IdTooLong { key, length } => {
                write!(f, "the header's {key:?} has {length} bytes, {MESSAGE_ID_MAX} is the most")
            }
        }
    }
}

impl std::error::Error for HeaderError {}

/// A `request_id` or `response_id`: a number, kept as its digits, or a text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MessageId {
    /// A JSON number as it was written.
    Number(String),
    /// A JSON string.
    Text(String),
}

impl MessageId {
    /// The id as a JSON value.
    #[must_use]
    pub fn to_json(&self) -> String {
        match self {
            MessageId::Number(digits) => digits.clone(),
            MessageId::Text(text) => json_string(text),
        }
    }

    fn from_raw(key: &'static str, raw: &RawValue) -> Result<Option<Self>, HeaderError> {
        let text = raw.get();
        if text.len() > MESSAGE_ID_MAX {
            return Err(HeaderError::IdTooLong { key, length: text.len() });
        }
        match text.as_bytes().first() {
            Some(b'n') => Ok(None),
            Some(b'"') => serde_json::from_str(text).map(|t| Some(MessageId::Text(t))).map_err(HeaderError::Json),
            Some(b'0'..=b'9' | b'-') => Ok(Some(MessageId::Number(text.to_owned()))),
            _ => Err(HeaderError::Json(serde_json::Error::custom(format!("{key:?} must be a number or a string")))),
        }
    }
}

impl From<i64> for MessageId {
    fn from(id: i64) -> Self {
        MessageId::Number(id.to_string())
    }
}

impl From<&str> for MessageId {
    fn from(id: &str) -> Self {
        MessageId::Text(id.to_owned())
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MessageId::Number(text) | MessageId::Text(text) => f.write_str(text),
        }
    }
}

/// What a connector reads in a header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header<'a> {
    /// What kind of message it is; types that begin with `_` are the connectors' own.
    pub message_type: Cow<'a, str>,
    /// The connector that the message comes from.
    pub source_id: Option<Cow<'a, str>>,
    /// The connector that it goes to.
    pub destination_id: Option<Cow<'a, str>>,
    /// Names the message, so that it can be answered.
    pub request_id: Option<MessageId>,
    /// Names the message that this one answers.
    pub response_id: Option<MessageId>,
    /// The frame has a binary part.
    pub with_binary: bool,
    /// The app waits on its connection for the answer.
    pub await_response: bool,
    /// After this time the app waits for the answer no longer. At most [`AWAIT_RESPONSE_TIMEOUT_MAX`].
    pub await_response_timeout: Option<Duration>,
    /// The message brings a file: `with_file` is something that Python takes for true.
    pub with_file: bool,
    /// The app wants its message kept until the other connector has said that it has it.
    pub wait_for_ack: bool,
    /// The sending connector wants an `_ack` that names this number.
    pub transport_id: Option<u64>,
    /// In a greeting: the newest kind of link that the client speaks.
    pub link: Option<u64>,
    /// The type that a message is published under.
    pub publishes: Option<Cow<'a, str>>,
}

enum Key {
    MessageType,
    SourceId,
    DestinationId,
    RequestId,
    ResponseId,
    WithBinary,
    AwaitResponse,
    AwaitResponseTimeout,
    WithFile,
    WaitForAck,
    TransportId,
    Link,
    Publishes,
    Other,
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl Visitor<'_> for KeyVisitor {
            type Value = Key;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_str<E>(self, key: &str) -> Result<Key, E> {
                Ok(match key {
                    "message_type" => Key::MessageType,
                    "source_id" => Key::SourceId,
                    "destination_id" => Key::DestinationId,
                    "request_id" => Key::RequestId,
                    "response_id" => Key::ResponseId,
                    "with_binary" => Key::WithBinary,
                    "await_response" => Key::AwaitResponse,
                    "await_response_timeout" => Key::AwaitResponseTimeout,
                    "with_file" => Key::WithFile,
                    "wait_for_ack" => Key::WaitForAck,
                    "transport_id" => Key::TransportId,
                    "link" => Key::Link,
                    "message_type_publish" => Key::Publishes,
                    _ => Key::Other,
                })
            }
        }
        deserializer.deserialize_identifier(KeyVisitor)
    }
}

/// A string, borrowed where it has no escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// What the visitor collects: ids still as JSON, whether there was a type.
#[derive(Default)]
struct Collected<'a> {
    header: Header<'a>,
    has_type: bool,
    request_id: Option<&'a RawValue>,
    response_id: Option<&'a RawValue>,
}

impl<'de> Deserialize<'de> for Collected<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct HeaderVisitor;
        impl<'de> Visitor<'de> for HeaderVisitor {
            type Value = Collected<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            // A key that stands twice counts as Python reads it: the last one.
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut c = Collected::default();
                while let Some(key) = map.next_key()? {
                    collect(&mut c, key, &mut map)?;
                }
                Ok(c)
            }
        }
        deserializer.deserialize_map(HeaderVisitor)
    }
}

fn collect<'de, A: MapAccess<'de>>(c: &mut Collected<'de>, key: Key, map: &mut A) -> Result<(), A::Error> {
    let header = &mut c.header;
    match key {
        Key::MessageType => {
            header.message_type = map.next_value::<Text>()?.0;
            c.has_type = true;
        }
        Key::SourceId => header.source_id = map.next_value::<Option<Text>>()?.map(|t| t.0),
        Key::DestinationId => header.destination_id = map.next_value::<Option<Text>>()?.map(|t| t.0),
        Key::RequestId => c.request_id = Some(map.next_value()?),
        Key::ResponseId => c.response_id = Some(map.next_value()?),
        Key::WithBinary => header.with_binary = map.next_value::<Option<bool>>()?.unwrap_or(false),
        Key::AwaitResponse => header.await_response = map.next_value::<Option<bool>>()?.unwrap_or(false),
        Key::AwaitResponseTimeout => header.await_response_timeout = map.next_value::<Option<f64>>()?.map(timeout),
        Key::WithFile => header.with_file = map.next_value::<Option<&RawValue>>()?.is_some_and(is_true),
        Key::WaitForAck => header.wait_for_ack = map.next_value::<Option<bool>>()?.unwrap_or(false),
        Key::TransportId => header.transport_id = map.next_value()?,
        // An app may use the word for something of its own.
        Key::Link => header.link = map.next_value::<Value>()?.as_u64(),
        Key::Publishes => header.publishes = map.next_value::<Option<Text>>()?.map(|t| t.0),
        Key::Other => {
            map.next_value::<IgnoredAny>()?;
        }
    }
    Ok(())
}

/// A time in seconds, within what a request may ask for.
fn timeout(seconds: f64) -> Duration {
    let most = AWAIT_RESPONSE_TIMEOUT_MAX;
    Duration::try_from_secs_f64(seconds.clamp(0.0, most.as_secs_f64())).unwrap_or(most)
}

/// Whether Python takes a value for true. Apps write an empty one for no file.
fn is_true(value: &RawValue) -> bool {
    let bare: String = value.get().split_whitespace().collect();
    !matches!(bare.as_str(), "false" | "0" | "\"\"" | "[]" | "{}")
}

impl<'a> Header<'a> {
    /// Reads the JSON text of a header.
    ///
    /// # Errors
    /// What is not as a header must be.
    pub fn parse(json: &'a [u8]) -> Result<Self, HeaderError> {
        let c: Collected = serde_json::from_slice(json).map_err(HeaderError::Json)?;
        let mut header = c.header;
        if !c.has_type {
            return Err(HeaderError::Missing("message_type"));
        }
        if let Some(raw) = c.request_id {
            header.request_id = MessageId::from_raw("request_id", raw)?;
        }
        if let Some(raw) = c.response_id {
            header.response_id = MessageId::from_raw("response_id", raw)?;
        }
        Ok(header)
    }
}

/// One change to a header: the key, and the JSON of its new value, or `None` to take the key out.
pub type Change<'a> = (&'a str, Option<String>);

/// The header with some keys set or taken out; all else stays as it was written, in its order.
///
/// # Errors
/// The text is not a JSON object.
pub fn rewrite(json: &[u8], changes: &[Change<'_>]) -> Result<Vec<u8>, HeaderError> {
    let fields: Fields = serde_json::from_slice(json).map_err(HeaderError::Json)?;
    let mut out = HeaderWriter::new();
    for (key, value) in &fields.0 {
        match changes.iter().find(|(k, _)| k == key) {
            None => out.json(key, value.get()),
            Some((_, Some(new))) => out.json(key, new),
            Some((_, None)) => &mut out,
        };
    }
    for (key, value) in changes {
        if let Some(value) = value
            && !fields.0.iter().any(|(k, _)| k == key)
        {
            out.json(key, value);
        }
    }
    Ok(out.finish())
}

/// A JSON object's fields in order, a key that stands twice only with its last value.
struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::new();
                while let Some(Text(key)) = map.next_key()? {
                    fields.retain(|(k, _)| *k != key);
                    if fields.len() >= HEADER_KEYS_MAX {
                        return Err(A::Error::custom(format!("more than {HEADER_KEYS_MAX} keys")));
                    }
                    fields.push((key, map.next_value()?));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(FieldsVisitor)
    }
}

/// A text as JSON.
#[must_use]
pub fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Writes a header's JSON with the separators that Python's `json.dumps` uses.
#[derive(Debug)]
pub struct HeaderWriter {
    out: Vec<u8>,
}

impl Default for HeaderWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl HeaderWriter {
    /// A header without keys.
    #[must_use]
    pub fn new() -> Self {
        Self::reusing(Vec::new())
    }

    /// A header without keys that is written to `buffer`, whose bytes give way; its memory is used again.
    #[must_use]
    pub fn reusing(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        buffer.push(b'{');
        Self { out: buffer }
    }

    /// Adds a key whose value is JSON already.
    pub fn json(&mut self, key: &str, value: &str) -> &mut Self {
        self.key(key);
        self.out.extend_from_slice(value.as_bytes());
        self
    }

    /// Adds a key whose value is a text.
    pub fn text(&mut self, key: &str, value: &str) -> &mut Self {
        self.key(key);
        self.string(value);
        self
    }

    /// Adds a key that is `true`, or nothing if `set` is not.
    pub fn flag(&mut self, key: &str, set: bool) -> &mut Self {
        if set { self.json(key, "true") } else { self }
    }

    /// The JSON text.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.out.push(b'}');
        self.out
    }

    fn key(&mut self, key: &str) {
        if self.out.len() > 1 {
            self.out.extend_from_slice(b", ");
        }
        self.string(key);
        self.out.extend_from_slice(b": ");
    }

    fn string(&mut self, text: &str) {
        let written = serde_json::to_writer(&mut self.out, text);
        debug_assert!(written.is_ok(), "a string is always JSON, and memory takes it: {written:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_python_header_is_read() {
        let json = br#"{"message_type": "any", "source_id": "c1", "destination_id": "('127.0.0.1', 10673)", "request_id": 7, "with_binary": true, "tag": "t", "with_file": {"src_path": "/x"}}"#;
        let header = Header::parse(json).unwrap();
        assert_eq!(header.message_type, "any");
        assert!(matches!(&header.message_type, Cow::Borrowed(_)));
        assert_eq!(header.destination_id.as_deref(), Some("('127.0.0.1', 10673)"));
        assert_eq!(header.request_id, Some(MessageId::from(7)));
        assert!(header.with_binary && header.with_file && !header.await_response);
    }

    #[test]
    fn the_time_that_a_request_waits_is_bounded() {
        let wait = |json: &str| {
            let json = format!(r#"{{"message_type": "a", "await_response_timeout": {json}}}"#);
            Header::parse(json.as_bytes()).map(|header| header.await_response_timeout)
        };
        assert_eq!(wait("1.5").unwrap(), Some(Duration::from_millis(1500)));
        assert_eq!(wait("3").unwrap(), Some(Duration::from_secs(3)));
        assert_eq!((wait("-1").unwrap(), wait("null").unwrap()), (Some(Duration::ZERO), None));
        assert_eq!(wait("1e300").unwrap(), Some(AWAIT_RESPONSE_TIMEOUT_MAX));
        assert!(wait(r#""soon""#).is_err());
    }

    #[test]
    fn escaped_and_plain_ids_are_the_same() {
        let plain = Header::parse("{\"message_type\":\"a\",\"request_id\":\"é\"}".as_bytes()).unwrap();
        let escaped = Header::parse(b"{\"message_type\":\"a\",\"request_id\":\"\\u00e9\"}").unwrap();
        assert_eq!(plain.request_id, escaped.request_id);
    }

    #[test]
    fn the_last_of_two_equal_keys_counts() {
        let json = br#"{"message_type": "a", "source_id": "x", "message_type": "b", "source_id": "y"}"#;
        let header = Header::parse(json).unwrap();
        assert_eq!((header.message_type.as_ref(), header.source_id.as_deref()), ("b", Some("y")));
        assert_eq!(rewrite(json, &[]).unwrap(), br#"{"message_type": "b", "source_id": "y"}"#);
    }

    #[test]
    fn mistakes_are_named() {
        let error = |json: &[u8]| Header::parse(json).unwrap_err().to_string();
        assert!(error(b"{}").contains("no key \"message_type\""));
        assert!(error(b"[1]").contains("a JSON object"), "{}", error(b"[1]"));
        assert!(error(b"{\"message_type\": 5}").contains("a string"));
        assert!(error(b"{\"message_type\": \"a\", \"request_id\": []}").contains("request_id"));
        assert!(error(b"\xff").contains("line 1"));
        assert!(Header::parse("[".repeat(100_000).as_bytes()).is_err());
        let long = format!("{{\"message_type\": \"a\", \"request_id\": \"{}\"}}", "x".repeat(600));
        assert!(error(long.as_bytes()).contains("602 bytes"));
    }

    #[test]
    fn a_rewrite_leaves_other_keys_untouched() {
        let json = br#"{"message_type":"a","n":1.50e3,"big":123456789012345678901234567890,"x":{"y":[1,2]},"source_id":"old"}"#;
        let out =
            rewrite(json, &[("source_id", Some("\"new\"".into())), ("x", None), ("z", Some("1".into()))]).unwrap();
        let expected =
            r#"{"message_type": "a", "n": 1.50e3, "big": 123456789012345678901234567890, "source_id": "new", "z": 1}"#;
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
