//! What can go wrong between an app and its connector.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::wire::frame::{EncodeError, FrameError};
use crate::wire::header::{HeaderError, MessageId};
use crate::wire::names::{NameError, SOCKET_PATH_MAX};
use crate::wire::receipts::{Level, RefusedReason, SessionNameError};

use super::no_answer::NoAnswer;
use super::receipt_error::ReceiptError;

/// Why a config file does not tell which connector is meant.
#[derive(Debug)]
pub enum ConfigError {
    /// The file cannot be read.
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not JSON, or not an object.
    NotAnObject {
        /// The file.
        file: PathBuf,
        /// What it is instead.
        problem: String,
    },
    /// A key has a value that it cannot have.
    Key {
        /// The file.
        file: PathBuf,
        /// The key.
        key: &'static str,
        /// Its value, as JSON.
        found: String,
        /// What is right.
        expected: String,
    },
    /// `client_name` breaks a rule of names.
    ClientName {
        /// The file.
        file: PathBuf,
        /// The name.
        name: String,
        /// The rule.
        source: NameError,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::Unreadable { file, source } => write!(f, "{}: {source}", file.display()),
            ConfigError::NotAnObject { file, problem } => {
                write!(f, "{}: a JSON object is expected: {problem}", file.display())
            }
            ConfigError::Key { file, key, found, expected } => {
                write!(f, "{}: {key} must be {expected}, found {found}", file.display())
            }
            ConfigError::ClientName { file, name, source } => {
                write!(f, "{}: client_name {name:?}: {source}", file.display())
            }
        }
    }
}

impl std::error::Error for ConfigError {}

/// What an app was doing on a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Connecting to the connector.
    Connect,
    /// Writing a message to it.
    Write,
    /// Waiting for the answer to a message.
    AwaitAnswer,
    /// Waiting for the receipt of a message.
    AwaitReceipt,
    /// Setting up the socket that the connector connects to.
    Listen,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::Connect => "connecting to the connector",
            Step::Write => "writing to the connector",
            Step::AwaitAnswer => "waiting for the answer",
            Step::AwaitReceipt => "waiting for receipts",
            Step::Listen => "listening for messages",
        })
    }
}

/// Why an app's call failed. A message whose sending failed is not with the connector, except as
/// [`Unconfirmed`](Self::Unconfirmed) says.
#[derive(Debug)]
pub enum ApiError {
    /// The config file does not say which connector is meant.
    Config(ConfigError),
    /// The name breaks a rule of client names.
    ClientName {
        /// The name.
        name: String,
        /// The rule.
        source: NameError,
    },
    /// Nobody listens on the connector's socket.
    NotRunning {
        /// The socket.
        path: PathBuf,
    },
    /// The connector took or sent nothing for so long.
    TimedOut {
        /// The socket.
        path: PathBuf,
        /// What the app was doing.
        step: Step,
        /// After so long.
        after: Duration,
    },
    /// The connector closed the connection while a message was written to it, a second time in a row; or it closed a
    /// connection on which receipts were to come.
    Closed {
        /// The socket.
        path: PathBuf,
    },
    /// The connector closed the connection instead of an answer: the peer is not connected, or refuses the message.
    NoAnswer {
        /// The socket.
        path: PathBuf,
    },
    /// No answer will come: the `error` of the header that came in its place, as `disconnected_during_wait`.
    Refused {
        /// The socket.
        path: PathBuf,
        /// The connector's word for why.
        error: String,
    },
    /// The connector does not answer an app that wants receipts: it is that of the Python package, or an older one.
    NoReceipts {
        /// The socket.
        path: PathBuf,
        /// So long was waited for.
        after: Duration,
    },
    /// The connector grants only a lower level of receipts, as where no persistence covers what it sends.
    LevelNotGranted {
        /// The socket.
        path: PathBuf,
        /// The level that was asked for.
        wanted: Level,
        /// The level that there is.
        granted: Level,
    },
    /// The connector has told that the message goes no further.
    MessageRefused {
        /// The socket.
        path: PathBuf,
        /// Why.
        reason: RefusedReason,
    },
    /// No receipt came for some of the messages: the connector may have them or not.
    Unconfirmed {
        /// Number of the last message that was handed over, or of the one that waits for it.
        sent: u64,
        /// Number of the last message that has its receipt.
        confirmed: u64,
        /// Why there are no more.
        source: Box<ApiError>,
    },
    /// The connector knows less of the session than it had confirmed: it has lost its memory, as a restart without
    /// persistence does.
    SessionForgotten {
        /// The session.
        session: String,
        /// Number of the last message that had its receipt.
        confirmed: u64,
        /// Number of the last message that the connector knows of.
        known: u64,
    },
    /// So many messages were refused, and the app has not asked which with
    /// [`take_refused`](super::ReceiptSender::take_refused).
    RefusedUntaken(usize),
    /// The text cannot name a session.
    SessionName(SessionNameError),
    /// What the connector says of receipts makes no sense.
    BadReceipt {
        /// The socket.
        path: PathBuf,
        /// What is wrong with it.
        source: ReceiptError,
    },
    /// The type is not among those that the connector's config names.
    UnknownType {
        /// The type.
        message_type: String,
        /// `send` or `recv`.
        direction: &'static str,
        /// The types that there are.
        known: Vec<String>,
    },
    /// A server sends to a client, and this message names none.
    NoDestination {
        /// The type.
        message_type: String,
    },
    /// A file cannot go with a message.
    File {
        /// The file, as the app named it.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// A key of the header that this api writes itself, so that an app cannot give it.
    HeaderKey(String),
    /// A request of this app under the same id still waits for its answer.
    RequestIdInUse(MessageId),
    /// So many requests of this [`Requester`](super::Requester) wait for their answers already.
    TooManyRequests(usize),
    /// A tag has letters, digits, `-`, `_` and `:`, 128 at most.
    Tag(String),
    /// The data cannot be written as JSON.
    Json(serde_json::Error),
    /// The message does not fit in a frame.
    Encode(EncodeError),
    /// What the connector sent is no frame.
    BadFrame {
        /// The socket.
        path: PathBuf,
        /// What is wrong with it.
        source: FrameError,
    },
    /// A frame's header is none.
    BadHeader {
        /// The socket.
        path: PathBuf,
        /// What is wrong with it.
        source: HeaderError,
    },
    /// A living process listens on this type's socket already.
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// Where the socket should be there is something else.
    NotASocket {
        /// What lies there.
        path: PathBuf,
    },
    /// This api waits for messages of that type already.
    AlreadyWaiting {
        /// The type.
        message_type: String,
    },
    /// The socket's path is longer than a Unix socket's path can be.
    PathTooLong {
        /// The socket.
        path: PathBuf,
    },
    /// The system refused something else.
    Io {
        /// The socket.
        path: PathBuf,
        /// What the app was doing.
        step: Step,
        /// Why.
        source: io::Error,
    },
}

impl ApiError {
    pub(crate) fn io(path: &Path, step: Step, source: io::Error) -> Self {
        ApiError::Io { path: path.to_owned(), step, source }
    }

    /// Why a request has no answer, if that is what this says.
    #[must_use]
    pub fn no_answer(&self) -> Option<NoAnswer> {
        match self {
            ApiError::NoAnswer { .. } => Some(NoAnswer::ConnectionLost),
            ApiError::Refused { error, .. } => Some(NoAnswer::from_word(error)),
            ApiError::TimedOut { step: Step::AwaitAnswer, .. } => Some(NoAnswer::TimedOut),
            ApiError::MessageRefused { reason, .. } => Some(NoAnswer::Refused(reason.clone())),
            _ => None,
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ApiError::Config(e) => e.fmt(f),
            ApiError::ClientName { name, source } => write!(f, "client name {name:?}: {source}"),
            ApiError::NotRunning { path } => write!(f, "no connector runs at {}", path.display()),
            ApiError::TimedOut { path, step, after } => {
                write!(f, "{step} at {}: nothing came of it for {after:?}", path.display())
            }
            ApiError::Closed { path } => {
                write!(f, "the connector at {} closes the connection", path.display())
            }
            ApiError::NoAnswer { path } => {
                write!(f, "the connector at {} has no answer: is the peer connected?", path.display())
            }
            ApiError::Refused { path, error } => {
                write!(f, "the connector at {} has no answer: {error}", path.display())
            }
            ApiError::NoReceipts { path, after } => {
                let path = path.display();
                write!(f, "the connector at {path} says nothing of receipts for {after:?}: it knows of none")
            }
            ApiError::LevelNotGranted { path, wanted, granted } => {
                let path = path.display();
                write!(f, "the connector at {path} gives receipts at level {granted} only, not {wanted}")
            }
            ApiError::MessageRefused { path, reason } => {
                write!(f, "the connector at {} refuses the message: {reason}", path.display())
            }
            ApiError::Unconfirmed { sent, confirmed, source } => {
                write!(f, "{confirmed} of {sent} messages are confirmed: {source}")
            }
            ApiError::SessionForgotten { session, confirmed, known } => {
                write!(
                    f,
                    "the connector knows of {known} messages of session {session:?}, it had confirmed {confirmed}"
                )
            }
            ApiError::RefusedUntaken(count) => {
                write!(f, "{count} messages were refused, and nobody has asked which")
            }
            ApiError::SessionName(e) => e.fmt(f),
            ApiError::BadReceipt { path, source } => write!(f, "what came at {}: {source}", path.display()),
            ApiError::UnknownType { message_type, direction, known } => {
                write!(f, "{message_type:?} is not among the {direction}_message_types: {}", known.join(", "))
            }
            ApiError::NoDestination { message_type } => {
                write!(f, "a message of type {message_type:?} from a server needs a destination")
            }
            ApiError::File { path, problem } => write!(f, "{} cannot be sent: {problem}", path.display()),
            ApiError::HeaderKey(key) => write!(f, "the header's {key:?} is written by the library itself"),
            ApiError::RequestIdInUse(id) => write!(f, "a request with the id {id} waits for its answer already"),
            ApiError::TooManyRequests(count) => write!(f, "{count} requests wait for their answers already"),
            ApiError::Tag(tag) => write!(f, "a tag has 1 to 128 letters, digits, '-', '_' and ':', found {tag:?}"),
            ApiError::Json(e) => write!(f, "the data cannot be written as JSON: {e}"),
            ApiError::Encode(e) => e.fmt(f),
            ApiError::BadFrame { path, source } => write!(f, "what came at {} is no frame: {source}", path.display()),
            ApiError::BadHeader { path, source } => write!(f, "what came at {}: {source}", path.display()),
            ApiError::InUse { path } => write!(f, "a living process listens at {} already", path.display()),
            ApiError::NotASocket { path } => write!(f, "{} is in the way: it is not a socket", path.display()),
            ApiError::AlreadyWaiting { message_type } => {
                write!(f, "this api waits for messages of type {message_type:?} already")
            }
            ApiError::PathTooLong { path } => {
                write!(f, "{} is longer than the {SOCKET_PATH_MAX} bytes of a socket's path", path.display())
            }
            ApiError::Io { path, step, source } => write!(f, "{step} at {}: {source}", path.display()),
        }
    }
}

impl std::error::Error for ApiError {}

impl From<ConfigError> for ApiError {
    fn from(error: ConfigError) -> Self {
        ApiError::Config(error)
    }
}

impl From<SessionNameError> for ApiError {
    fn from(error: SessionNameError) -> Self {
        ApiError::SessionName(error)
    }
}

impl From<EncodeError> for ApiError {
    fn from(error: EncodeError) -> Self {
        ApiError::Encode(error)
    }
}
