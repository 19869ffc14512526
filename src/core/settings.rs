//! What a connector is told when it is made.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::file_link::RECORD_MAX;
use crate::wire::frame::HEADER_MAX;
use crate::wire::names::Role;
use crate::wire::topics::Pattern;

/// Longest wait from the opening of a peer's connection until it has said who it is.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Most bytes that a peer may send before it has said who it is.
pub const UNIDENTIFIED_MAX: usize = 64 * 1024;

/// Bytes that wait for a connected peer before the connector stops reading from the apps that feed it. Small enough to
/// stay in the processor's cache, large enough to keep the link busy for a turn of the loop.
pub const OUTBOX_HIGH: usize = 1024 * 1024;

/// Bytes that wait when the connector reads on.
pub const OUTBOX_LOW: usize = OUTBOX_HIGH / 2;

/// Bytes that wait for an app before the connector stops reading from the links that feed it.
pub const INBOX_HIGH: usize = 4 * 1024 * 1024;

/// Bytes that wait when the connector reads on.
pub const INBOX_LOW: usize = INBOX_HIGH / 2;

/// Bytes of answers, pings and acknowledgements that wait for one connection before nothing more is read from it.
pub const CONTROL_HIGH: usize = 256 * 1024;

/// The same on a client's link. If both ends of a link waited for each other's answers to be read, neither would go on: so
/// only the server does, whose peers are many and may be hostile.
pub const CLIENT_CONTROL_HIGH: usize = 256 * CONTROL_HIGH;

/// Bytes of answers that wait for an app that asked. One that does not read them is let go beyond that.
pub const ANSWERS_MAX: usize = 64 * 1024 * 1024;

/// Most bytes of a lane that a peer may have on their way without an acknowledgement: what a link of 40 MB/s holds in a
/// tenth of a second.
pub const WINDOW_MAX: usize = 4 * 1024 * 1024;

/// The least of it, however many peers there are.
pub const WINDOW_MIN: usize = 64 * 1024;

/// Most peers, those that are away counted: a destination that an app makes up must not make a file for ever.
pub const PEERS_MAX: usize = 65_536;

/// Longest wait for the last words to a connection to go out.
pub const LINGER: Duration = Duration::from_secs(1);

/// Longest time for which the word that a request or an answer was taken over waits for something to go with: an app that
/// answers at once does so within it, and what waits is small.
pub const TAKEN_WAIT: Duration = Duration::from_millis(5);

/// Wait before an app that could not take a connection is tried again.
pub const DIAL_APP_AGAIN: Duration = Duration::from_millis(50);

/// Wait before an app that acknowledges, and is away while messages wait for it, is looked for again.
pub const DIAL_ABSENT_APP_AGAIN: Duration = Duration::from_secs(1);

/// Longest frame of an app that receives: it says little.
pub const RECEIVER_FRAME_MAX: usize = 4096;

/// Time for an app that receives to say that it acknowledges, from when it is connected.
pub const HELLO_WAIT: Duration = Duration::from_secs(1);

/// The same for an app that did so on its last connection: it may be slow to start.
pub const HELLO_WAIT_AGAIN: Duration = Duration::from_secs(10);

/// What was dropped is reported once in this time, in one line an entry of the ledger.
pub const REPORT_PERIOD: Duration = Duration::from_secs(1);

/// Memory of queues that are empty is given back once in this time.
pub const TIDY_PERIOD: Duration = Duration::from_secs(5);

/// Most requests of all apps that await their answer at a time.
pub const REQUESTS_MAX: usize = 10_000;

/// Most requests of one connection of an app that await their answer at a time.
pub const APP_REQUESTS_MAX: usize = 1000;

/// How a link is protected, and by what a peer is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// No TLS; a client says its name.
    Plain,
    /// TLS; each side is known by its certificate.
    Certificates,
    /// TLS for secrecy only; a client says its name.
    AllowAll,
}

/// Which message types something is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Covered {
    /// None.
    #[default]
    None,
    /// All.
    All,
    /// These.
    Types(HashSet<String>),
}

impl Covered {
    /// Whether it is for this type.
    #[must_use]
    pub fn covers(&self, message_type: &str) -> bool {
        match self {
            Covered::None => false,
            // The connectors' own messages are of use only at once.
            Covered::All => !message_type.starts_with('_'),
            Covered::Types(types) => types.contains(message_type),
        }
    }
}

/// What becomes of a message whose queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFull {
    /// Its app waits, also while the peer is away.
    Block,
    /// It is refused.
    Reject,
    /// It takes the place of the oldest ones.
    DropOldest,
}

/// When what is stored must lie on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// When the system wants: it survives the death of the process.
    Os,
    /// After so long at most.
    Interval(Duration),
    /// Before anybody is told that it is stored.
    Always,
}

/// How a client checks that its server is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    /// Time between two questions.
    pub period: Duration,
    /// Time for the answer.
    pub timeout: Duration,
    /// The link is dropped after so many questions in a row without an answer.
    pub unanswered_max: u32,
}

/// What a connector is told when it is made.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The connector's own id.
    pub id: String,
    /// Which end of the link it is.
    pub role: Role,
    /// On a client, the server's id.
    pub server_id: String,
    /// How links are protected.
    pub mode: Mode,
    /// Whether the second kind of link is offered, and taken.
    pub link2: bool,
    /// The types that apps may send.
    pub send_types: HashSet<String>,
    /// The types that peers may send to the apps here.
    pub recv_types: Vec<String>,
    /// On a server, whether it hands what is published to those who subscribed.
    pub pubsub_broker: bool,
    /// On a client, the types and patterns that it subscribes to.
    pub subscribe: Vec<Pattern>,
    /// Apps may send many messages on a connection.
    pub preserve_send_socket: bool,
    /// Apps receive many messages on a connection.
    pub preserve_receive_socket: bool,
    /// Longest wait for the server to take a connection.
    pub connect_timeout: Duration,
    /// Longest wait for a connection to take something of what is to be sent.
    pub send_timeout: Duration,
    /// On a client, whether and how the server is asked for signs of life.
    pub keep_alive: Option<KeepAlive>,
    /// On a client, whether a lost link is dialled again.
    pub reconnect: bool,
    /// Longest frame, bytes.
    pub max_message_size: usize,
    /// Most bytes in the outbox of a peer.
    pub queue_max_bytes: usize,
    /// Most bytes of a file in one frame to a peer of the Python package; larger ones go as pieces.
    pub chunk_max: u64,
    /// The types whose messages to peers are stored.
    pub persist_send: Covered,
    /// The types whose messages to apps are stored.
    pub persist_recv: Covered,
    /// Most bytes of messages in a queue that lies in a file.
    pub max_ring_bytes: usize,
    /// When what is stored must lie on the disk.
    pub sync: Sync,
    /// What is done when the queue of a type is full, if it is not the usual: the app waits while the peer is connected,
    /// and is refused while it is away.
    pub on_full: BTreeMap<String, OnFull>,
    /// How urgent types are, smaller first; 0 for those that are not listed.
    pub priorities: BTreeMap<String, f64>,
    /// Time after which a session of an app that is not there is forgotten.
    pub session_ttl: Duration,
    /// When the connector was made: seconds since 1970.
    pub started_at: u64,
    /// Numbers of messages begin here at least: microseconds since 1970, so that they go on growing if the connector is
    /// set back to an earlier state.
    pub start_sequence: u64,
    /// Longest time for draining at the end.
    pub shutdown_timeout: Duration,
    /// Another for each life of a connector: sets the jitter of reconnects, and is part of the ids that are made up.
    pub seed: u64,
}

impl Settings {
    /// Longest frame on a link, bytes: the peer's connector may have made the header of an app's longest message longer.
    #[must_use]
    pub(super) fn link_frame_max(&self) -> usize {
        self.max_message_size.saturating_add(HEADER_MAX)
    }

    /// The same on a link of the second kind, where files come in pieces.
    #[must_use]
    pub(super) fn record_frame_max(&self) -> usize {
        self.link_frame_max().max(RECORD_MAX)
    }
}
