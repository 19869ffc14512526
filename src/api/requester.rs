//! Many requests at a time on one connection.

use std::collections::HashMap;
use std::fmt;
use std::io::{ErrorKind, Read};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use log::{debug, warn};
use serde_json::{Map, Value};

use super::builder::WRITE_TIMEOUT_MIN;
use super::error::{ApiError, Step};
use super::message::{Message, MessageReader};
use super::receipts::made_up_name;
use super::request::Deadline;
use super::send::{Encoder, Id, SendMessage};
use super::{Answer, FRAME_MAX, connection};
use crate::wire::frame::{Deframer, Frame};
use crate::wire::header::MessageId;

/// Most requests of one requester that wait for their answers: as many as a connector takes of an app.
pub const IN_FLIGHT_MAX: usize = 1000;

/// Read at once, bytes.
const READ_SIZE: usize = 64 * 1024;

type Outcome = Result<Message, ApiError>;

/// A connection for requests, which threads may share. It is made when it is needed, and anew when it has ended. See
/// [`ConnectorApi::requester`](super::ConnectorApi::requester).
///
/// Dropped, it ends the connection: those that still wait get [`ApiError::NoAnswer`].
pub struct Requester {
    path: PathBuf,
    write_timeout: Duration,
    line: Line,
    /// What the ids of its requests begin with, and how many it has made up.
    name: String,
    made_up: Mutex<u64>,
}

impl Requester {
    pub(super) fn new(path: PathBuf, write_timeout: Duration) -> Self {
        Self { path, write_timeout, line: Line::default(), name: made_up_name(), made_up: Mutex::default() }
    }

    /// Sends a request, and returns what its answer can be waited for with. It has a made-up id, unless the app gave
    /// one. `timeout` is for all of it.
    ///
    /// # Errors
    /// As [`SendMessage::send`]; [`ApiError::RequestIdInUse`], and [`ApiError::TooManyRequests`] when
    /// [`IN_FLIGHT_MAX`] wait already.
    pub fn start(&self, message: SendMessage<'_>, timeout: Duration) -> Result<Pending, ApiError> {
        let deadline = Deadline::after(timeout);
        let own = self.make_up_id();
        let id = message.own_request_id().unwrap_or(Id::Text(&own));
        let mut frame = Vec::new();
        // Before it is this request's turn: an app's own `Serialize` may do anything.
        Encoder::default().encode(&message.request_id(id), Answer::Awaited(timeout), &mut frame)?;
        let mut turn = self.line.wait(deadline).ok_or_else(|| self.timed_out(Step::Write, timeout))?;
        // A connection that has ended unseen is found out by writing, and then made anew.
        let was_new = turn.live.as_ref().is_none_or(|live| live.in_flight.has_ended());
        match self.write(&mut turn, id.to_message_id(), &frame, deadline) {
            Err(ApiError::Closed { .. }) if !was_new => {
                debug!("the connector at {} has closed the connection; connecting again", self.path.display());
                turn.live = None;
                self.write(&mut turn, id.to_message_id(), &frame, deadline)
            }
            other => other,
        }
    }

    fn make_up_id(&self) -> String {
        let mut made_up = lock(&self.made_up);
        *made_up += 1;
        format!("{}-{made_up}", self.name)
    }

    fn write(&self, turn: &mut Turn<'_>, id: MessageId, frame: &[u8], deadline: Deadline) -> Result<Pending, ApiError> {
        let left = deadline.left().ok_or_else(|| self.timed_out(Step::Write, deadline.timeout))?;
        let timeout = self.write_timeout.min(left).max(WRITE_TIMEOUT_MIN);
        let live = match turn.live.take().filter(|live| !live.in_flight.has_ended()) {
            Some(live) => live,
            None => Live::open(&self.path, timeout)?,
        };
        let live = turn.live.insert(live);
        live.stream.set_write_timeout(Some(timeout)).map_err(|e| ApiError::io(&self.path, Step::Write, e))?;
        let pending = live.in_flight.add(id, deadline)?;
        let (written, error) = connection::write(&mut live.stream, frame, &self.path, timeout);
        let Some(error) = error else { return Ok(pending) };
        if written > 0 || !matches!(error, ApiError::TimedOut { .. }) {
            // Behind half a frame nothing can follow.
            turn.live = None;
        }
        Err(error)
    }

    fn timed_out(&self, step: Step, after: Duration) -> ApiError {
        ApiError::TimedOut { path: self.path.clone(), step, after }
    }
}

impl fmt::Debug for Requester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requester").field("path", &self.path).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is locked here is whole at every point where a panic could come from.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whose turn to write it is. A mutex would do, if one could wait for it with a limit.
#[derive(Default)]
struct Line {
    /// Whether somebody has his turn; and the connection, when nobody has.
    state: Mutex<(bool, Option<Live>)>,
    free: Condvar,
}

impl Line {
    /// Waits for a turn; `None` when `deadline` is over before.
    fn wait(&self, deadline: Deadline) -> Option<Turn<'_>> {
        let left = deadline.left()?;
        let waited = self.free.wait_timeout_while(lock(&self.state), left, |(busy, _)| *busy);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut state.0, true) {
            return None;
        }
        Some(Turn { line: self, live: state.1.take() })
    }
}

/// Somebody's turn; dropped, it is the next one's.
struct Turn<'a> {
    line: &'a Line,
    live: Option<Live>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *lock(&self.line.state) = (false, self.live.take());
        self.line.free.notify_one();
    }
}

/// A connection, and the thread that listens on it; dropped, it ends.
struct Live {
    stream: UnixStream,
    in_flight: Arc<InFlight>,
    listening: Option<JoinHandle<()>>,
}

impl Live {
    fn open(path: &Path, timeout: Duration) -> Result<Self, ApiError> {
        let stream = connection::connect(path, timeout)?;
        let fail = |e| ApiError::io(path, Step::Connect, e);
        let heard = stream.try_clone().map_err(fail)?;
        let in_flight = Arc::new(InFlight { path: path.to_owned(), table: Mutex::default() });
        let at_work = Arc::clone(&in_flight);
        let listening = thread::Builder::new().name("aioconnectors-answers".into());
        let listening = listening.spawn(move || at_work.listen(heard)).map_err(fail)?;
        Ok(Self { stream, in_flight, listening: Some(listening) })
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Err(e) = self.stream.shutdown(Shutdown::Both) {
            debug!("{}: the connection has ended by itself: {e}", self.in_flight.path.display());
        }
        if let Some(listening) = self.listening.take()
            && listening.join().is_err()
        {
            log::error!("a thread that listened to answers has panicked");
        }
    }
}

/// The requests of one connection that wait for their answers.
struct InFlight {
    path: PathBuf,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    waiting: HashMap<MessageId, (u64, Sender<Outcome>)>,
    /// Tells apart those who used an id one after another.
    added: u64,
    ended: bool,
}

impl InFlight {
    fn has_ended(&self) -> bool {
        lock(&self.table).ended
    }

    fn add(self: &Arc<Self>, id: MessageId, deadline: Deadline) -> Result<Pending, ApiError> {
        let mut table = lock(&self.table);
        if table.ended {
            return Err(ApiError::Closed { path: self.path.clone() });
        }
        if table.waiting.len() >= IN_FLIGHT_MAX {
            return Err(ApiError::TooManyRequests(table.waiting.len()));
        }
        if table.waiting.contains_key(&id) {
            return Err(ApiError::RequestIdInUse(id));
        }
        table.added += 1;
        let number = table.added;
        let (sender, answer) = mpsc::channel();
        table.waiting.insert(id.clone(), (number, sender));
        Ok(Pending { id, number, answer, in_flight: Arc::clone(self), deadline })
    }

    /// Reads answers to the end of the connection.
    fn listen(&self, stream: UnixStream) {
        if let Err(e) = self.read(stream) {
            warn!("{}: what comes in place of answers: {e}", self.path.display());
        }
        let mut table = lock(&self.table);
        table.ended = true;
        for (_, (_, sender)) in table.waiting.drain() {
            // Who gave up waiting does not want to know.
            _ = sender.send(Err(ApiError::NoAnswer { path: self.path.clone() }));
        }
    }

    fn read(&self, mut stream: UnixStream) -> Result<(), ApiError> {
        let mut deframer = Deframer::new(FRAME_MAX);
        let mut reader = MessageReader::default();
        let mut buffer = vec![0; READ_SIZE];
        loop {
            let input = match stream.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(n) => &buffer[..n],
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) if e.kind() == ErrorKind::ConnectionReset => return Ok(()),
                Err(e) => return Err(ApiError::io(&self.path, Step::AwaitAnswer, e)),
            };
            let mut frames = deframer.feed(input);
            let bad_frame = |source| ApiError::BadFrame { path: self.path.clone(), source };
            while let Some(frame) = frames.next().map_err(bad_frame)? {
                self.take(&frame, &mut reader)?;
            }
        }
    }

    /// Hands an answer to who waits for it.
    fn take(&self, frame: &Frame<'_>, reader: &mut MessageReader) -> Result<(), ApiError> {
        let (id, outcome) = understand(frame, &self.path, reader)?;
        let mut table = lock(&self.table);
        let only = || table.waiting.keys().next().filter(|_| table.waiting.len() == 1).cloned();
        let waiting = match id.or_else(only) {
            Some(id) => table.waiting.remove(&id),
            None => None,
        };
        match waiting {
            Some((_, sender)) => _ = sender.send(outcome),
            None => debug!("{}: an answer that nobody waits for (any more)", self.path.display()),
        }
        Ok(())
    }

    fn forget(&self, id: &MessageId, number: u64) {
        let mut table = lock(&self.table);
        if table.waiting.get(id).is_some_and(|(n, _)| *n == number) {
            table.waiting.remove(id);
        }
    }
}

/// Which request a frame answers, and how.
pub(super) fn understand(
    frame: &Frame<'_>,
    path: &Path,
    reader: &mut MessageReader,
) -> Result<(Option<MessageId>, Outcome), ApiError> {
    // In place of an answer comes a frame that only says why there is none; it need not have a type.
    let fields: Option<Map<String, Value>> = serde_json::from_slice(frame.header()).ok();
    if let Some(fields) = fields
        && let Some(Value::String(error)) = fields.get("error")
    {
        let id = match fields.get("response_id") {
            Some(Value::String(text)) => Some(MessageId::Text(text.clone())),
            Some(Value::Number(number)) => Some(MessageId::Number(number.to_string())),
            _ => None,
        };
        return Ok((id, Err(ApiError::Refused { path: path.to_owned(), error: error.clone() })));
    }
    let read = reader.read(frame);
    let message = read.map_err(|source| ApiError::BadHeader { path: path.to_owned(), source })?;
    Ok((message.response_id().cloned(), Ok(message)))
}

/// A request that was sent; dropped, its answer is not waited for, and let go when it comes.
#[must_use = "wait() returns the answer"]
pub struct Pending {
    id: MessageId,
    number: u64,
    answer: Receiver<Outcome>,
    in_flight: Arc<InFlight>,
    deadline: Deadline,
}

impl Pending {
    /// The request's id.
    #[must_use]
    pub fn request_id(&self) -> &MessageId {
        &self.id
    }

    /// Waits for the answer, for as long as the request said.
    ///
    /// # Errors
    /// [`ApiError::Refused`] with the connector's reason; [`ApiError::NoAnswer`] if the connection ends before, and
    /// [`ApiError::TimedOut`]. [`ApiError::no_answer`] has it in one.
    pub fn wait(self) -> Result<Message, ApiError> {
        let path = || self.in_flight.path.clone();
        match self.answer.recv_timeout(self.deadline.left().unwrap_or_default()) {
            Ok(outcome) => outcome,
            Err(RecvTimeoutError::Disconnected) => Err(ApiError::NoAnswer { path: path() }),
            Err(RecvTimeoutError::Timeout) => {
                Err(ApiError::TimedOut { path: path(), step: Step::AwaitAnswer, after: self.deadline.timeout })
            }
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.in_flight.forget(&self.id, self.number);
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("id", &self.id).finish_non_exhaustive()
    }
}
