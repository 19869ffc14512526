//! For apps: send messages through the connector on this machine, and wait for those that it brings.
//!
//! ```no_run
//! use std::time::Duration;
//! use aioconnectors::api::ConnectorApi;
//!
//! # fn main() -> Result<(), aioconnectors::api::ApiError> {
//! let api = ConnectorApi::client("client1").build()?; // or ConnectorApi::from_file("client1.json")?
//!
//! api.start_waiting_for_messages("any", |message| println!("{message:?}"))?;
//! api.send_message("any").text("hello").send()?;
//! let answer = api.send_message("any").json(&vec![1, 2]).await_response(Duration::from_secs(5))?;
//! println!("{} has answered", answer.source_id().unwrap_or("somebody"));
//! # Ok(())
//! # }
//! ```
//!
//! How sure is it that a message arrives?
//!
//! - [`send`](SendMessage::send) and [`Sender`]: its bytes are in the connector's socket. A connector that is killed or
//!   cannot send it on may lose it.
//! - [`await_receipt`](SendMessage::await_receipt): one message has come to the [`Level`] that was asked for.
//! - [`receipts`](ConnectorApi::receipts): the same for many at a time. With a session each of them comes to the
//!   connector once, whatever is killed meanwhile.
//! - [`start_waiting_for_messages_with_acks`](ConnectorApi::start_waiting_for_messages_with_acks): the same for an app
//!   that receives.

mod builder;
mod connection;
mod conversation;
mod error;
mod file;
mod heard;
mod kept;
mod message;
mod no_answer;
mod receipt_error;
mod receipt_sender;
mod receipts;
mod receive;
mod request;
mod requester;
mod resume;
mod send;
mod sender;
mod settings;
mod socket_file;
mod users;

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use builder::{Builder, WRITE_TIMEOUT};
pub use error::{ApiError, ConfigError, Step};
pub use file::{File, ReceivedFile};
pub use message::Message;
pub use no_answer::NoAnswer;
pub use receipt_error::ReceiptError;
pub use receipt_sender::ReceiptSender;
pub use receipts::{HELLO_TIMEOUT, PATIENCE, Receipts, WINDOW_BYTES, WINDOW_MESSAGES};
pub use requester::{IN_FLIGHT_MAX, Pending, Requester};
pub use send::{Id, SendMessage};
pub use sender::Sender;
pub use settings::{FILES_DIR, SERVER_ADDRESS};

pub use crate::wire::receipts::{Level, Refused, RefusedReason};

use builder::WRITE_TIMEOUT_MIN;
use connection::Connection;
use receive::Waiter;
use request::Deadline;
use resume::Callback;
use send::Encoder;
use settings::Settings;

use crate::remote::Remote;
use crate::wire::names::{Role, SOCKET_PATH_MAX, SocketPaths};

/// Longest frame that an app takes from its connector: any. Memory grows with the bytes that come, no sooner.
const FRAME_MAX: usize = u32::MAX as usize;

/// Memory that buffers keep from one message to the next, bytes.
const KEPT_CAPACITY: usize = 256 * 1024;

/// Whether the sender waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    None,
    /// For so long.
    Awaited(Duration),
}

/// An app's side of one connector. Threads may share it; their messages go out in the order in which they get hold of it.
pub struct ConnectorApi {
    settings: Settings,
    paths: SocketPaths,
    write_timeout: Duration,
    sending: Mutex<Sending>,
    waiters: Mutex<HashMap<String, Waiter>>,
}

/// The kept connection and the memory for the messages on it.
struct Sending {
    connection: Connection,
    encoder: Encoder,
    frame: Vec<u8>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is locked is whole at every point where a panic (of an app's own `Serialize`) could come from.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ConnectorApi {
    /// The api of the connector that a JSON config describes: the connector's own config, or one with only the keys
    /// `is_server`, `server_sockaddr`, `client_name`, `connector_files_dirpath`, `send_message_types`,
    /// `recv_message_types`, `uds_path_send_preserve_socket` and `receive_from_any_connector_owner`; other keys are
    /// not looked at. Without `is_server`, a config with a `client_name` is a client's.
    ///
    /// # Errors
    /// [`ApiError::Config`] names the file, the key and what is right; [`ApiError::PathTooLong`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ApiError> {
        Builder::from_file(path)?.build()
    }

    /// The api of the client connector `name`.
    pub fn client(name: &str) -> Builder {
        Builder::client(name)
    }

    /// The api of the server connector whose config says `server_sockaddr: [host, port]`.
    pub fn server(host: &str, port: u16) -> Builder {
        Builder::server(host, port)
    }

    fn new(settings: Settings, write_timeout: Duration) -> Result<Self, ApiError> {
        let paths = SocketPaths::new(&settings.files_dir, settings.role, &settings.id);
        check_length(&paths.send())?;
        check_length(&paths.commander())?;
        let connection = Connection::new(paths.send(), write_timeout, settings.keep_connection);
        let sending = Mutex::new(Sending { connection, encoder: Encoder::default(), frame: Vec::new() });
        Ok(Self { settings, paths, write_timeout, sending, waiters: Mutex::default() })
    }

    /// The connector's own id: a client's name, or a server's address as in `('127.0.0.1', 10673)`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.settings.id
    }

    /// Whether the connector is a server.
    #[must_use]
    pub fn is_server(&self) -> bool {
        self.settings.role == Role::Server
    }

    /// The server's id: the destination of all that a client sends.
    #[must_use]
    pub fn server_id(&self) -> &str {
        &self.settings.server_id
    }

    /// The types that may be sent; `None` if the config leaves that to the connector.
    #[must_use]
    pub fn send_message_types(&self) -> Option<&[String]> {
        self.settings.send_types.as_deref()
    }

    /// The types that can be waited for.
    #[must_use]
    pub fn recv_message_types(&self) -> &[String] {
        &self.settings.recv_types
    }

    /// The admin socket of the same connector.
    #[must_use]
    pub fn remote(&self) -> Remote {
        Remote::new(self.paths.commander())
    }

    /// A message to send. On a server it needs a [`destination`](SendMessage::destination).
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let socket = dir.path().join("uds_path_send_to_connector_server_127001_10673");
    /// # let _connector = std::os::unix::net::UnixListener::bind(socket)?;
    /// # use aioconnectors::api::ConnectorApi;
    /// let api = ConnectorApi::server("127.0.0.1", 10673).files_dir(dir.path()).build()?;
    /// api.send_message("any").destination("client1").request_id(7).text("hello").binary(b"\x01\x02").send()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn send_message<'a>(&'a self, message_type: &'a str) -> SendMessage<'a> {
        SendMessage::new(self, message_type)
    }

    /// A message for all who subscribe to `message_type` at the server that is their broker. It is sent as others are,
    /// and comes to them as an ordinary message of that type, from the server.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let _connector = std::os::unix::net::UnixListener::bind(dir.path().join("uds_path_send_to_connector_client_client1"))?;
    /// # use aioconnectors::api::ConnectorApi;
    /// # let api = ConnectorApi::client("client1").files_dir(dir.path()).build()?;
    /// api.publish_message("sensors.kitchen.temp").json(&21.5).send()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// See also [`Remote::subscribe`].
    pub fn publish_message<'a>(&'a self, message_type: &'a str) -> SendMessage<'a> {
        SendMessage::publication(self, message_type)
    }

    /// The answer to a message: its type, to where it came from, with its request id.
    ///
    /// ```
    /// # use std::{io::{Read, Write}, os::unix::net::{UnixListener, UnixStream}, sync::Arc};
    /// # use aioconnectors::{api::{ApiError, ConnectorApi}, wire::frame::encode};
    /// # let dir = tempfile::tempdir()?;
    /// # let listener = UnixListener::bind(dir.path().join("uds_path_send_to_connector_client_client1"))?;
    /// let api = Arc::new(ConnectorApi::client("client1").files_dir(dir.path()).build()?);
    /// let answering = Arc::clone(&api);
    /// api.start_waiting_for_messages("any", move |message| {
    ///     if let Err(e) = answering.answer(&message).text("got it").send() {
    ///         eprintln!("{e}");
    ///     }
    /// })?;
    /// # let mut question = Vec::new();
    /// # encode(br#"{"message_type": "any", "request_id": 5, "await_response": true}"#, b"?", None, &mut question)?;
    /// # let socket = dir.path().join("uds_path_receive_from_connector_client_any_client1");
    /// # UnixStream::connect(socket)?.write_all(&question)?;
    /// # let mut answer = [0; 4096];
    /// # let n = listener.accept()?.0.read(&mut answer)?;
    /// # assert!(String::from_utf8_lossy(&answer[..n]).contains(r#""response_id": 5"#));
    /// # api.stop_waiting_for_messages("any");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn answer<'a>(&'a self, message: &'a Message) -> SendMessage<'a> {
        let mut answer = self.send_message(message.message_type());
        if let Some(source) = message.source_id() {
            answer = answer.destination(source);
        }
        match message.request_id() {
            Some(id) => answer.response_id(id),
            None => answer,
        }
    }

    /// A connection of its own for requests: many threads may ask on it, and many requests wait for their answers at a
    /// time.
    ///
    /// ```
    /// # use std::{io::{Read, Write}, os::unix::net::UnixListener, thread, time::Duration};
    /// # use aioconnectors::{api::ConnectorApi, wire::{frame::{Deframer, encode}, header::Header}};
    /// # let dir = tempfile::tempdir()?;
    /// # let listener = UnixListener::bind(dir.path().join("uds_path_send_to_connector_client_client1"))?;
    /// # thread::spawn(move || {
    /// #     let (mut stream, _) = listener.accept().unwrap();
    /// #     let (mut deframer, mut buffer) = (Deframer::new(4096), [0; 4096]);
    /// #     while let Ok(n @ 1..) = stream.read(&mut buffer) {
    /// #         let mut frames = deframer.feed(&buffer[..n]);
    /// #         while let Some(frame) = frames.next().unwrap() {
    /// #             let id = Header::parse(frame.header()).unwrap().request_id.unwrap().to_json();
    /// #             let (header, mut out) = (format!(r#"{{"message_type": "any", "response_id": {id}}}"#), Vec::new());
    /// #             encode(header.as_bytes(), frame.data(), None, &mut out).unwrap();
    /// #             stream.write_all(&out).unwrap();
    /// #         }
    /// #     }
    /// # });
    /// # let api = ConnectorApi::client("client1").files_dir(dir.path()).build()?;
    /// let requester = api.requester();
    /// let timeout = Duration::from_secs(5);
    /// // One at a time, from any thread:
    /// let answer = api.send_message("any").text("?").await_response_with(&requester, timeout)?;
    /// # assert_eq!(answer.data(), b"?");
    /// // Many at a time:
    /// let asked = ["a", "b", "c"].map(|text| requester.start(api.send_message("any").text(text), timeout));
    /// for pending in asked {
    ///     println!("{:?}", pending?.wait()?);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// It takes a connector of this project: that of the Python package takes one request a connection.
    #[must_use]
    pub fn requester(&self) -> Requester {
        Requester::new(self.paths.send(), self.write_timeout)
    }

    /// A connection of its own with a write buffer, for many messages a second.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let _connector = std::os::unix::net::UnixListener::bind(dir.path().join("uds_path_send_to_connector_client_client1"))?;
    /// # let api = aioconnectors::api::ConnectorApi::client("client1").files_dir(dir.path()).build()?;
    /// let mut sender = api.sender();
    /// for number in 0..500u32 {
    ///     api.send_message("any").bytes(&number.to_le_bytes()).send_with(&mut sender)?;
    /// }
    /// sender.flush()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn sender(&self) -> Sender<'_> {
        Sender::new(self)
    }

    /// A connection on which the connector tells how far the messages have come: to `level`, each of them. Many are on
    /// their way at a time; with a [`session`](Receipts::session), each of them comes to the connector once, though the
    /// connection breaks or the connector is killed meanwhile.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use aioconnectors::api::{ConnectorApi, Level};
    ///
    /// # fn main() -> Result<(), aioconnectors::api::ApiError> {
    /// let api = ConnectorApi::client("client1").build()?;
    /// let mut sender = api.receipts(Level::Stored).session("orders").patience(Duration::from_secs(300)).open()?;
    /// // What an earlier process has brought under this session's name is not sent again.
    /// for number in sender.resumed_at()..1_000_000 {
    ///     sender.send(api.send_message("any").text(&format!("order {number}")))?;
    /// }
    /// for refused in sender.wait_all()? {
    ///     eprintln!("message {} was refused: {}", refused.index, refused.reason);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// It takes a connector of this project.
    pub fn receipts(&self, level: Level) -> Receipts<'_> {
        Receipts::new(self, level)
    }

    /// Calls `callback` with each message of `message_type` that the connector brings, on a thread of its own: in
    /// order for each connection that the connector makes, one call at a time.
    ///
    /// The socket file of a dead process is taken over. A callback that holds the api keeps it alive until
    /// [`stop_waiting_for_messages`](Self::stop_waiting_for_messages).
    ///
    /// # Errors
    /// [`ApiError::UnknownType`], [`ApiError::AlreadyWaiting`], [`ApiError::InUse`] when another process waits for this
    /// type, [`ApiError::NotASocket`], or what the system says.
    pub fn start_waiting_for_messages(
        &self,
        message_type: &str,
        mut callback: impl FnMut(Message) + Send + 'static,
    ) -> Result<(), ApiError> {
        let callback = move |message| {
            callback(message);
            true
        };
        self.start_waiting(message_type, false, Box::new(callback))
    }

    /// The same, with acknowledgements: a message is done with when `callback` returns `Ok`. What it returns `Err` for,
    /// what it did not get to before this program ended, and all behind it, the connector brings again, in order. A
    /// message that is given back comes again after a second.
    ///
    /// While this program lives, `callback` is done with each message once, though the connector is killed meanwhile
    /// and brings some again. If this program is killed, its successor may get those again that it was done with and
    /// had not yet said so.
    ///
    /// ```no_run
    /// # fn store(_: &aioconnectors::api::Message) -> std::io::Result<()> { Ok(()) }
    /// # fn main() -> Result<(), aioconnectors::api::ApiError> {
    /// # let api = aioconnectors::api::ConnectorApi::client("client1").build()?;
    /// api.start_waiting_for_messages_with_acks("any", |message| store(&message))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// It takes a connector of this project. With one of the Python package it is as without acknowledgements, and the
    /// first messages come two seconds late: it was waited for what it does not say.
    ///
    /// # Errors
    /// As [`start_waiting_for_messages`](Self::start_waiting_for_messages).
    pub fn start_waiting_for_messages_with_acks<E: fmt::Display>(
        &self,
        message_type: &str,
        mut callback: impl FnMut(Message) -> Result<(), E> + Send + 'static,
    ) -> Result<(), ApiError> {
        let name = message_type.to_owned();
        let callback = move |message| match callback(message) {
            Ok(()) => true,
            Err(e) => {
                log::warn!("a message of type {name:?} is given back to the connector: {e}");
                false
            }
        };
        self.start_waiting(message_type, true, Box::new(callback))
    }

    fn start_waiting(&self, message_type: &str, acknowledges: bool, callback: Callback) -> Result<(), ApiError> {
        if !self.settings.recv_types.iter().any(|t| t == message_type) {
            let known = self.settings.recv_types.clone();
            return Err(ApiError::UnknownType { message_type: message_type.to_owned(), direction: "recv", known });
        }
        let path = self.paths.receive(message_type);
        check_length(&path)?;
        let mut waiters = lock(&self.waiters);
        if waiters.contains_key(message_type) {
            return Err(ApiError::AlreadyWaiting { message_type: message_type.to_owned() });
        }
        let waiter = Waiter::start(path, self.settings.any_connector_owner, acknowledges, callback)?;
        waiters.insert(message_type.to_owned(), waiter);
        Ok(())
    }

    /// Waits for messages of that type no more: removes the socket, lets the callback have what the connector had
    /// written, and returns when it is through. From within the callback it returns at once.
    ///
    /// Returns whether there was anything to stop. Dropping the api does the same for all types.
    pub fn stop_waiting_for_messages(&self, message_type: &str) -> bool {
        // The lock is released before the waiter is: its callback may want to send or to stop another.
        let waiter = lock(&self.waiters).remove(message_type);
        waiter.is_some()
    }

    fn send(&self, message: &SendMessage<'_>) -> Result<(), ApiError> {
        let sending = &mut *lock(&self.sending);
        sending.frame.clear();
        sending.encoder.encode(message, Answer::None, &mut sending.frame)?;
        let sent = sending.connection.write(&sending.frame);
        sending.frame.clear();
        sending.frame.shrink_to(KEPT_CAPACITY);
        sent.map_err(|unsent| unsent.error)
    }

    fn await_response(&self, message: &SendMessage<'_>, timeout: Duration) -> Result<Message, ApiError> {
        let deadline = Deadline::after(timeout);
        let mut frame = Vec::new();
        Encoder::default().encode(message, Answer::Awaited(timeout), &mut frame)?;
        let write_timeout = self.write_timeout.min(timeout).max(WRITE_TIMEOUT_MIN);
        let connection = Connection::new(self.paths.send(), write_timeout, false);
        let stream = connection.open(&frame).map_err(|unsent| unsent.error)?;
        request::read_answer(stream, &self.paths.send(), deadline)
    }
}

impl fmt::Debug for ConnectorApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectorApi").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Both ends of a connector's socket need a path that fits.
fn check_length(path: &Path) -> Result<(), ApiError> {
    if path.as_os_str().len() > SOCKET_PATH_MAX {
        return Err(ApiError::PathTooLong { path: path.to_owned() });
    }
    Ok(())
}
