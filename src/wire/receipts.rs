//! What a connector of this project and its apps tell each other of the messages between them: receipts for apps that
//! send, acknowledgements of apps that receive. The data of these frames is empty, all is in the header.
//!
//! An app that sends says `_hello` first ([`Hello`]). The connector answers `_welcome` ([`Welcome`]), and then tells
//! how far the messages have come with `_receipt` ([`Receipt`]) and which of them go no further with `_refused`
//! ([`Refused`]); see [`ToSender`].
//!
//! An app that receives says `_hello` and `_ack` on the connection that it accepted ([`FromReceiver`]). If it asks to
//! resume, the connector answers `_welcome` ([`ReceiverWelcome`]).

use std::fmt;

use serde_json::{Map, Value};

use super::control::{ACK, APP_HELLO, ControlError, pack};
use super::header::{Header, HeaderWriter};

/// The connector's answer to an app's `_hello`.
pub const WELCOME: &str = "_welcome";
/// So many messages of an app have come so far.
pub const RECEIPT: &str = "_receipt";
/// A message of an app goes no further.
pub const REFUSED: &str = "_refused";

/// Longest name of a session, characters.
pub const SESSION_MAX: usize = 64;

/// How far a message must have come for its receipt. A later level is a higher one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// The connector holds it in its queue.
    Accepted,
    /// It is in a queue that is kept on disk, and synced as the config says.
    Stored,
    /// The peer connector has handed it to the receiving app, or stored it.
    Delivered,
}

impl Level {
    const ALL: [Level; 3] = [Level::Accepted, Level::Stored, Level::Delivered];

    /// The word for it on the wire.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Level::Accepted => "accepted",
            Level::Stored => "stored",
            Level::Delivered => "delivered",
        }
    }

    /// The level that `word` names.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.word() == word)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Why a connector does not take a message of an app on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefusedReason {
    /// The destination is no peer of this connector.
    UnknownPeer,
    /// The type is not among those that may be sent.
    TypeNotAllowed,
    /// The queue has no room.
    QueueFull,
    /// The message is longer than the connector takes.
    TooLarge,
    /// What was sent is no message.
    BadFrame,
    /// The admin has told the connector to take nothing for that peer.
    Ignored,
    /// The connector stops before the message can go on.
    Stopping,
    /// The peer is not connected, and the type is not persistent.
    PeerAway,
    /// No app listens for the type at the peer.
    NoListener,
    /// The header would be too long with what the connector must write into it.
    HeaderTooLong,
    /// Too many requests await their answer.
    TooManyRequests,
    /// The message could not be written to the disk.
    StoreFailed,
    /// A rule does not let the app send that type, or the client have it.
    NotPermitted,
    /// A reason of a later version, by its word.
    Other(String),
}

impl RefusedReason {
    const ALL: [RefusedReason; 13] = [
        RefusedReason::UnknownPeer,
        RefusedReason::TypeNotAllowed,
        RefusedReason::QueueFull,
        RefusedReason::TooLarge,
        RefusedReason::BadFrame,
        RefusedReason::Ignored,
        RefusedReason::Stopping,
        RefusedReason::PeerAway,
        RefusedReason::NoListener,
        RefusedReason::HeaderTooLong,
        RefusedReason::TooManyRequests,
        RefusedReason::StoreFailed,
        RefusedReason::NotPermitted,
    ];

    /// The word for it on the wire.
    #[must_use]
    pub fn word(&self) -> &str {
        match self {
            RefusedReason::UnknownPeer => "unknown_peer",
            RefusedReason::TypeNotAllowed => "type_not_allowed",
            RefusedReason::QueueFull => "queue_full",
            RefusedReason::TooLarge => "too_large",
            RefusedReason::BadFrame => "bad_frame",
            RefusedReason::Ignored => "ignored",
            RefusedReason::Stopping => "stopping",
            RefusedReason::PeerAway => "peer_away",
            RefusedReason::NoListener => "no_listener",
            RefusedReason::HeaderTooLong => "header_too_long",
            RefusedReason::TooManyRequests => "too_many_requests",
            RefusedReason::StoreFailed => "store_failed",
            RefusedReason::NotPermitted => "not_permitted",
            RefusedReason::Other(word) => word,
        }
    }

    /// The reason that `word` names.
    #[must_use]
    pub fn from_word(word: &str) -> Self {
        let known = Self::ALL.into_iter().find(|reason| reason.word() == word);
        known.unwrap_or_else(|| RefusedReason::Other(word.to_owned()))
    }
}

impl fmt::Display for RefusedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A text that cannot name a session: it has so many characters, 1 to [`SESSION_MAX`] are right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionNameError(pub usize);

impl fmt::Display for SessionNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a session's name has 1 to {SESSION_MAX} characters, this has {}", self.0)
    }
}

impl std::error::Error for SessionNameError {}

/// Checks that `name` can be a session's.
///
/// # Errors
/// Its length is not right.
pub fn check_session(name: &str) -> Result<(), SessionNameError> {
    let length = name.chars().count();
    if (1..=SESSION_MAX).contains(&length) { Ok(()) } else { Err(SessionNameError(length)) }
}

/// The first frame of an app that wants receipts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// How far its messages are to come.
    pub receipts: Level,
    /// The session that goes on with this connection, if there is one; it passes [`check_session`].
    pub session: Option<String>,
}

impl Hello {
    /// The frame that says it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut header = HeaderWriter::new();
        header.text("message_type", APP_HELLO).text("receipts", self.receipts.word());
        if let Some(session) = &self.session {
            debug_assert!(check_session(session).is_ok(), "{session:?} was checked");
            header.text("session", session);
        }
        pack(header, b"")
    }

    /// Reads the header of such a frame, and its JSON text.
    ///
    /// # Errors
    /// It is another one, or does not say what it must.
    pub fn parse(header: &Header<'_>, json: &[u8]) -> Result<Self, ControlError> {
        let keys = Keys::read(header, json)?;
        keys.must_be(APP_HELLO)?;
        let session = keys.text_if_there("session")?.map(str::to_owned);
        if let Some(Err(error)) = session.as_deref().map(check_session) {
            return Err(keys.fail(&error.to_string()));
        }
        Ok(Self { receipts: keys.level("receipts")?, session })
    }
}

/// The answer to [`Hello`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The level that the receipts of this connection tell of: the one that was asked for, or a lower one.
    pub level: Level,
    /// The connector's id.
    pub connector: String,
    /// The connector's version.
    pub version: String,
    /// With a session: how many of its messages have come to that level; the app goes on behind them.
    pub count: Option<u64>,
}

/// So many messages, counted from the beginning of the session or else of the connection, have come to the level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The level.
    pub level: Level,
    /// How many.
    pub count: u64,
}

/// A message goes no further; receipts count it as if it had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Which: its number from 1, counted as receipts do.
    pub index: u64,
    /// Why.
    pub reason: RefusedReason,
}

/// What a connector says to an app that sends, once that has said [`Hello`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToSender {
    /// `_welcome`
    Welcome(Welcome),
    /// `_receipt`
    Receipt(Receipt),
    /// `_refused`
    Refused(Refused),
}

impl Welcome {
    /// The frame that says it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut header = HeaderWriter::new();
        header.text("message_type", WELCOME).text("receipts", self.level.word());
        header.text("connector", &self.connector).text("version", &self.version);
        if let Some(count) = self.count {
            header.json("count", &count.to_string());
        }
        pack(header, b"")
    }
}

impl Receipt {
    /// The frame that says it.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let mut header = HeaderWriter::new();
        header.text("message_type", RECEIPT).text("level", self.level.word());
        header.json("count", &self.count.to_string());
        pack(header, b"")
    }
}

impl Refused {
    /// The frame that says it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut header = HeaderWriter::new();
        header.text("message_type", REFUSED).json("index", &self.index.to_string());
        header.text("reason", self.reason.word());
        pack(header, b"")
    }
}

impl ToSender {
    /// Reads the header of such a frame, and its JSON text.
    ///
    /// # Errors
    /// It is another one, or does not say what it must.
    pub fn parse(header: &Header<'_>, json: &[u8]) -> Result<Self, ControlError> {
        let keys = Keys::read(header, json)?;
        match keys.message_type {
            WELCOME => Ok(ToSender::Welcome(Welcome {
                level: keys.level("receipts")?,
                connector: keys.text("connector")?.to_owned(),
                version: keys.text("version")?.to_owned(),
                count: keys.number_if_there("count")?,
            })),
            RECEIPT => Ok(ToSender::Receipt(Receipt { level: keys.level("level")?, count: keys.number("count")? })),
            REFUSED => {
                let index = keys.number("index")?;
                if index == 0 {
                    return Err(keys.fail("messages are numbered from 1, the index is 0"));
                }
                Ok(ToSender::Refused(Refused { index, reason: RefusedReason::from_word(keys.text("reason")?) }))
            }
            _ => Err(keys.fail("a connector may send _welcome, _receipt and _refused only to an app that sends")),
        }
    }
}

/// What an app that receives says on the connection that it accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FromReceiver {
    /// It acknowledges the messages of this connection.
    Acknowledges {
        /// It wants to know where in the inbox this connection begins: [`ReceiverWelcome`].
        resume: bool,
    },
    /// It is done with so many messages of this connection, counted from its beginning.
    Done(u64),
}

impl FromReceiver {
    /// The frame that says it.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let mut header = HeaderWriter::new();
        match self {
            FromReceiver::Acknowledges { resume } => {
                header.text("message_type", APP_HELLO).flag("acks", true).flag("resume", resume)
            }
            FromReceiver::Done(count) => header.text("message_type", ACK).json("count", &count.to_string()),
        };
        pack(header, b"")
    }

    /// Reads the header of such a frame, and its JSON text.
    ///
    /// # Errors
    /// It is another one, or does not say what it must.
    pub fn parse(header: &Header<'_>, json: &[u8]) -> Result<Self, ControlError> {
        let keys = Keys::read(header, json)?;
        match keys.message_type {
            APP_HELLO => {
                keys.must_be_true("acks")?;
                Ok(FromReceiver::Acknowledges { resume: keys.flag("resume")? })
            }
            ACK => Ok(FromReceiver::Done(keys.number("count")?)),
            _ => Err(keys.fail("an app that receives may send _hello and _ack only")),
        }
    }
}

/// The answer to [`FromReceiver::Acknowledges`] with `resume`: where in its inbox this connection begins.
///
/// Message `i` of the connection, counted from 1, is number `count + i` of the inbox's life. An app that has handled
/// that number of the same life already passes the message over, and acknowledges it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiverWelcome {
    /// Names the inbox's life: it has another name when its counting began anew.
    pub inbox: u64,
    /// How many messages of this life were acknowledged before the first one of this connection.
    pub count: u64,
}

impl ReceiverWelcome {
    /// The frame that says it.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let mut header = HeaderWriter::new();
        header.text("message_type", WELCOME).flag("acks", true);
        header.text("inbox", &format!("{:016x}", self.inbox)).json("count", &self.count.to_string());
        pack(header, b"")
    }

    /// Reads the header of such a frame, and its JSON text.
    ///
    /// # Errors
    /// It is another one, or does not say what it must.
    pub fn parse(header: &Header<'_>, json: &[u8]) -> Result<Self, ControlError> {
        let keys = Keys::read(header, json)?;
        keys.must_be(WELCOME)?;
        keys.must_be_true("acks")?;
        let inbox = keys.text("inbox")?;
        let digits = inbox.bytes().all(|b| b.is_ascii_hexdigit());
        match u64::from_str_radix(inbox, 16) {
            Ok(inbox) if digits => Ok(Self { inbox, count: keys.number("count")? }),
            _ => Err(keys.fail(&format!("the key \"inbox\" with a hexadecimal number is expected, found {inbox:?}"))),
        }
    }
}

/// The keys of an own frame's header; they say what is wrong with them.
struct Keys<'a> {
    message_type: &'a str,
    keys: Map<String, Value>,
}

impl<'a> Keys<'a> {
    fn read(header: &'a Header<'_>, json: &[u8]) -> Result<Self, ControlError> {
        let message_type = header.message_type.as_ref();
        let keys = serde_json::from_slice(json).map_err(|e| ControlError::new(message_type, &e.to_string()))?;
        Ok(Self { message_type, keys })
    }

    fn fail(&self, problem: &str) -> ControlError {
        ControlError::new(self.message_type, problem)
    }

    fn must_be(&self, message_type: &str) -> Result<(), ControlError> {
        if self.message_type == message_type {
            return Ok(());
        }
        Err(self.fail(&format!("a {message_type} is expected")))
    }

    /// A value that may be absent; `null` is as absent.
    fn value<'v, T>(
        &'v self,
        key: &str,
        expected: &str,
        read: impl FnOnce(&'v Value) -> Option<T>,
    ) -> Result<Option<T>, ControlError> {
        let Some(value) = self.keys.get(key).filter(|v| !v.is_null()) else { return Ok(None) };
        let fail = || self.fail(&format!("the key {key:?} with {expected} is expected in the header"));
        read(value).map(Some).ok_or_else(fail)
    }

    fn there<T>(&self, key: &str, value: Option<T>) -> Result<T, ControlError> {
        value.ok_or_else(|| self.fail(&format!("the key {key:?} is missing in the header")))
    }

    fn text_if_there(&self, key: &str) -> Result<Option<&str>, ControlError> {
        self.value(key, "a string", Value::as_str)
    }

    fn text(&self, key: &str) -> Result<&str, ControlError> {
        self.there(key, self.text_if_there(key)?)
    }

    fn number_if_there(&self, key: &str) -> Result<Option<u64>, ControlError> {
        self.value(key, "a number", Value::as_u64)
    }

    fn number(&self, key: &str) -> Result<u64, ControlError> {
        self.there(key, self.number_if_there(key)?)
    }

    fn flag(&self, key: &str) -> Result<bool, ControlError> {
        Ok(self.value(key, "true or false", Value::as_bool)?.unwrap_or(false))
    }

    fn must_be_true(&self, key: &str) -> Result<(), ControlError> {
        if self.flag(key)? { Ok(()) } else { Err(self.fail(&format!("the key {key:?} with true is expected"))) }
    }

    fn level(&self, key: &str) -> Result<Level, ControlError> {
        let level = self.value(key, "accepted, stored or delivered", |v| Level::from_word(v.as_str()?))?;
        self.there(key, level)
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::{self, Frame};
    use super::*;

    fn read<T>(bytes: &[u8], parse: impl Fn(&Header<'_>, &[u8]) -> T) -> T {
        let frame = Frame::parse(bytes).unwrap();
        assert_eq!((frame.data(), frame.binary()), (&b""[..], None));
        parse(&Header::parse(frame.header()).unwrap(), frame.header())
    }

    fn with_header(json: &str) -> Vec<u8> {
        let mut out = Vec::new();
        frame::encode(json.as_bytes(), b"", None, &mut out).unwrap();
        out
    }

    fn wrong<T: fmt::Debug>(json: &str, parse: impl Fn(&Header<'_>, &[u8]) -> Result<T, ControlError>) -> String {
        read(&with_header(json), parse).unwrap_err().to_string()
    }

    #[test]
    fn hellos_are_read_back() {
        for receipts in Level::ALL {
            for session in [None, Some("x".repeat(SESSION_MAX)), Some("\"ü\"".to_owned())] {
                let hello = Hello { receipts, session };
                assert_eq!(read(&hello.encode(), Hello::parse), Ok(hello));
            }
        }
    }

    #[test]
    fn what_connectors_say_to_senders_is_read_back() {
        let said = |version: &str, count| Welcome {
            level: Level::Accepted,
            connector: "('::1', 7)".into(),
            version: version.into(),
            count,
        };
        for welcome in [said("0.1.0", None), said("", Some(0)), said("9", Some(u64::MAX))] {
            assert_eq!(read(&welcome.encode(), ToSender::parse), Ok(ToSender::Welcome(welcome)));
        }
        for level in Level::ALL {
            let receipt = Receipt { level, count: 7 };
            assert_eq!(read(&receipt.encode(), ToSender::parse), Ok(ToSender::Receipt(receipt)));
        }
        for reason in RefusedReason::ALL.into_iter().chain([RefusedReason::Other("new".into())]) {
            let refused = Refused { index: u64::MAX, reason };
            assert_eq!(read(&refused.encode(), ToSender::parse), Ok(ToSender::Refused(refused)));
        }
    }

    #[test]
    fn what_receivers_and_connectors_say_is_read_back() {
        let both = [true, false].map(|resume| FromReceiver::Acknowledges { resume });
        for said in both.into_iter().chain([FromReceiver::Done(0), FromReceiver::Done(u64::MAX)]) {
            assert_eq!(read(&said.encode(), FromReceiver::parse), Ok(said));
        }
        for welcome in
            [ReceiverWelcome { inbox: 0, count: 0 }, ReceiverWelcome { inbox: u64::MAX, count: u64::MAX - 1 }]
        {
            assert_eq!(read(&welcome.encode(), ReceiverWelcome::parse), Ok(welcome));
        }
    }

    #[test]
    fn the_frames_are_those_of_the_protocol() {
        let header = |bytes: &[u8]| String::from_utf8(Frame::parse(bytes).unwrap().header().to_vec()).unwrap();
        let hello = Hello { receipts: Level::Stored, session: Some("s".into()) };
        assert_eq!(header(&hello.encode()), r#"{"message_type": "_hello", "receipts": "stored", "session": "s"}"#);
        let welcome = Welcome { level: Level::Stored, connector: "c1".into(), version: "1".into(), count: Some(4) };
        assert_eq!(
            header(&welcome.encode()),
            r#"{"message_type": "_welcome", "receipts": "stored", "connector": "c1", "version": "1", "count": 4}"#
        );
        let refused = Refused { index: 3, reason: RefusedReason::QueueFull };
        assert_eq!(header(&refused.encode()), r#"{"message_type": "_refused", "index": 3, "reason": "queue_full"}"#);
        let acknowledges = FromReceiver::Acknowledges { resume: true };
        assert_eq!(header(&acknowledges.encode()), r#"{"message_type": "_hello", "acks": true, "resume": true}"#);
        let welcome = ReceiverWelcome { inbox: 255, count: 9 };
        assert_eq!(
            header(&welcome.encode()),
            r#"{"message_type": "_welcome", "acks": true, "inbox": "00000000000000ff", "count": 9}"#
        );
    }

    #[test]
    fn unknown_keys_are_passed_over() {
        let json = r#"{"message_type": "_hello", "receipts": "accepted", "session": null, "colour": [1]}"#;
        let hello = Hello { receipts: Level::Accepted, session: None };
        assert_eq!(read(&with_header(json), Hello::parse), Ok(hello));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let hello = |rest: &str| wrong(&format!(r#"{{"message_type": "_hello"{rest}}}"#), Hello::parse);
        assert!(hello("").contains("\"receipts\" is missing"));
        assert!(hello(r#", "receipts": "soon""#).contains("accepted, stored or delivered"));
        assert!(hello(r#", "receipts": "stored", "session": 5"#).contains("\"session\" with a string"));
        assert!(hello(r#", "receipts": "stored", "session": """#).contains("this has 0"));
        let long = format!(r#", "receipts": "stored", "session": "{}""#, "ü".repeat(SESSION_MAX + 1));
        assert!(hello(&long).contains("1 to 64 characters, this has 65"));
        assert!(wrong(r#"{"message_type": "any"}"#, Hello::parse).contains("a _hello is expected"));
        let said = |json: &str| wrong(json, ToSender::parse);
        assert!(said(r#"{"message_type": "_receipt", "level": "stored", "count": -1}"#).contains("\"count\""));
        assert!(said(r#"{"message_type": "_refused", "index": 0, "reason": "x"}"#).contains("from 1"));
        assert!(said(r#"{"message_type": "any"}"#).contains("_receipt and _refused only"));
        let said = |json: &str| wrong(json, FromReceiver::parse);
        assert!(said(r#"{"message_type": "_hello", "acks": false}"#).contains("\"acks\" with true"));
        assert!(said(r#"{"message_type": "_ack"}"#).contains("\"count\""));
        assert!(said(r#"{"message_type": "any"}"#).contains("_hello and _ack only"));
        for inbox in ["", "+1", "x", "10000000000000000"] {
            let json = format!(r#"{{"message_type": "_welcome", "acks": true, "inbox": "{inbox}", "count": 1}}"#);
            assert!(wrong(&json, ReceiverWelcome::parse).contains("hexadecimal"), "{inbox:?}");
        }
    }

    #[test]
    fn levels_are_in_order() {
        assert!(Level::Accepted < Level::Stored && Level::Stored < Level::Delivered);
    }
}
