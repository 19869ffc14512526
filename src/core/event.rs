//! What comes out of the core: things for the shell to do, and things to tell the operator.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use super::admin_access::KeyChange;
use super::durable::RingName;
use super::enrolment::IssuedTo;
use super::event_words::{told_of_damage, told_of_ended_subscriptions, told_of_file, told_of_set_back, while_not_kept};
use super::file_link::FileTrouble;
use super::gate::{Gate, Question};
use super::ledger::{Entry, Reason};
use super::life::LifeWork;
use super::rules::Caller;
use super::slots::Id;
use super::token_event::TokenEvent;
use super::token_link::TokenWork;
use crate::wire::control::{CloseReason, NewCertificate};

/// Who the TLS layer says that the other side is, or with what this side has shown itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secured {
    /// The connection says nothing of who is there: no TLS, or `ssl_allow_all`.
    Anonymous,
    /// The client has shown a certificate that new clients share.
    Shared,
    /// The client has shown a certificate of its own. On the client's side the name is its own.
    Named(String),
}

/// What the shell is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Open a connection to the server; report `opened` or `closed`.
    Dial(Id),
    /// Open a connection to the app that listens for this type; report `opened` or `closed`.
    DialApp(Id, String),
    /// Open the file of this queue, or make it; report `ring_opened`.
    OpenRing(RingName),
    /// Find out how much of what was sent the other machine has confirmed; report `confirmed`.
    Confirm(Id),
    /// Remove the files of queues that are of no use any more, for this admin; report `remains_removed`.
    RemoveRemains(Id),
    /// Tell this admin how all stands; report `status_shown`.
    ShowStatus(Id),
    /// Write a change that this admin has made into the config file; report `config_saved`.
    SaveConfig(Id, KeyChange),
    /// Ask whether the client of this link may go on; report `answered`.
    Ask(Id, Question),
    /// Make a certificate for the client of this name, by what it offers (`take_offer`); report `certificate_issued`.
    Issue(Id, String),
    /// Keep this certificate as the client's own; report `certificate_stored`.
    Store(Id, NewCertificate),
    /// Do something with files of tokens, for this link or admin.
    Token(Id, TokenWork),
    /// Accept the next certificate of the client of this name, by what it offers (`take_offer`), beside the one that it
    /// has; report `certificate_renewed`.
    Renew(Id, String),
    /// Keep this certificate as the client's own from the next connection on.
    StoreNext(NewCertificate),
    /// Delete the certificate of this client, for this admin; only what makes it accepted, if the last one says so.
    /// Report `certificate_deleted`.
    DeleteCertificate(Id, String, bool),
    /// Delete this client's own certificate, for this admin; report `own_certificate_deleted`, with whether the link is
    /// to begin anew.
    DeleteOwnCertificate(Id, bool),
    /// There is something to send: call `transmit`.
    Write(Id),
    /// Read on from the connection.
    Resume(Id),
    /// Close the connection; its id is of no use any more.
    Close(Id),
    /// An admin stops or starts the connector, or wants something of its owner.
    Life(LifeWork),
    /// Tell the operator.
    Tell(Event),
    /// All is drained, or the time for it is over.
    Stopped,
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The other side closed it.
    ClosedByPeer,
    /// The other side ended it, and has said why.
    Announced(CloseReason),
    /// The connection failed, or could not be opened.
    Failed(String),
    /// Nobody listens at the app's socket.
    NoListener,
    /// The app's socket has no room for one more connection.
    Busy,
    /// The other side sent what it must not send.
    BadInput(String),
    /// It did not say in time who it is.
    HandshakeTimeout(Duration),
    /// It was not opened in time.
    ConnectTimeout(Duration),
    /// It took nothing of what was to be sent for so long.
    SendTimeout(Duration),
    /// So many questions in a row were not answered.
    KeepAlive(u32),
    /// A newer connection came under the same name.
    Replaced,
    /// A link to another address of the server has taken its place.
    Moved,
    /// A certificate was issued: the client comes again with it.
    Enrolled,
    /// The certificate was not issued.
    NotEnrolled(String),
    /// The client's certificate was deleted.
    Revoked,
    /// This client's own certificate was deleted, and it asks for another.
    OwnDeleted,
    /// A gate did not let the client in.
    NotAdmitted {
        /// Which.
        gate: Gate,
        /// The client's name.
        client: String,
        /// Why, if it has said so.
        why: String,
    },
    /// A black- or whitelist keeps the client out.
    NotListed {
        /// Its name, if it is known.
        client: Option<String>,
        /// Which list.
        why: String,
    },
    /// An admin has sent the client away.
    Disconnected,
    /// A client was given no token.
    NoToken {
        /// Its name.
        client: String,
        /// Why.
        why: String,
    },
    /// A client may not enrol without a token for it.
    NotInvited {
        /// Its name.
        client: String,
        /// What is wrong.
        why: &'static str,
    },
    /// The client of this name has shown a token that is not its own.
    WrongToken(String),
    /// The server closed when it was shown the token.
    TokenNotTaken,
    /// The server closed when it was asked for a token.
    TokenNotGiven,
    /// The client's token was deleted, or another took its place.
    TokenForgotten,
    /// There is no room for one more connection: the config key that says so.
    NoRoom(&'static str),
    /// It had not said who it is, and a newcomer took its place.
    GaveWay,
    /// The connector stops.
    Stopping,
    /// It takes too little of what it has subscribed to, and is amid a long message.
    SlowSubscriber,
    /// The connection has served its purpose.
    Done,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::ClosedByPeer => write!(f, "closed by the other side"),
            Cause::Announced(CloseReason::Stopping) => write!(f, "the other connector stops"),
            Cause::Announced(CloseReason::Replaced) => {
                write!(f, "a newer connection came under the same name; do two connectors have it?")
            }
            Cause::Announced(CloseReason::Moved) => write!(f, "the other connector goes on by another address"),
            Cause::Moved => write!(f, "a link by another address of the server takes its place"),
            Cause::Failed(why) | Cause::BadInput(why) => f.write_str(why),
            Cause::NoListener => write!(f, "nobody listens"),
            Cause::Busy => write!(f, "its queue of connections is full"),
            Cause::HandshakeTimeout(t) => {
                write!(f, "it did not say what it must say first within {} s", t.as_secs_f32())
            }
            Cause::ConnectTimeout(t) => write!(f, "no connection within connect_timeout, {} s", t.as_secs_f32()),
            Cause::SendTimeout(t) => write!(f, "it took nothing for send_timeout, {} s", t.as_secs_f32()),
            Cause::KeepAlive(n) => write!(f, "{n} keep-alives in a row were not answered"),
            Cause::Replaced => write!(f, "a newer connection came under the same name"),
            Cause::Enrolled => write!(f, "a certificate or token was issued; the client connects again with it"),
            Cause::NoToken { client, why } => write!(f, "no token was issued for client {client}: {why}"),
            Cause::NotInvited { client, why } => write!(f, "client {client} may not enrol: {why}"),
            Cause::WrongToken(client) => write!(f, "the token that it showed is not that of client {client}"),
            Cause::TokenNotTaken => {
                write!(
                    f,
                    "the server closed the connection when it was shown the token: it was deleted there, or is not \
                    the one that the server gave to this name"
                )
            }
            Cause::TokenNotGiven => {
                write!(
                    f,
                    "the server gave no token and closed the connection: this name may have one already, which has \
                    to be deleted there first"
                )
            }
            Cause::NoRoom(limit) => write!(f, "there are as many connections as {limit} allows"),
            Cause::GaveWay => write!(
                f,
                "it had not said who it is, and there were more of that kind than max_unidentified_connections allows"
            ),
            Cause::TokenForgotten => write!(f, "the client's token was deleted"),
            Cause::NotEnrolled(why) => write!(f, "no certificate was issued: {why}"),
            Cause::Revoked => write!(f, "its certificate was deleted"),
            Cause::OwnDeleted => write!(f, "the certificate of this client was deleted; it asks for another"),
            Cause::NotAdmitted { gate, client, why } => {
                write!(f, "client {client} was refused by {}", gate.key())?;
                if why.is_empty() { Ok(()) } else { write!(f, ": {why}") }
            }
            Cause::NotListed { client: Some(client), why } => write!(f, "client {client} may not connect: {why}"),
            Cause::NotListed { client: None, why } => write!(f, "it may not connect: {why}"),
            Cause::Disconnected => write!(f, "an admin has disconnected it"),
            Cause::Stopping => write!(f, "the connector stops"),
            Cause::SlowSubscriber => write!(f, "it takes too little of what it has subscribed to"),
            Cause::Done => write!(f, "done"),
        }
    }
}

/// How much an event concerns the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concern {
    /// Something may be wrong: worth a look.
    Look,
    /// The normal course of things.
    Routine,
    /// More of what has been told already.
    Detail,
}

/// What the operator is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A peer's link is up.
    PeerUp {
        /// Its name.
        peer: String,
        /// Its address.
        remote: SocketAddr,
        /// The link is of the second kind.
        link2: bool,
    },
    /// A peer's link is gone.
    PeerDown {
        /// Its name.
        peer: String,
        /// Why.
        cause: Cause,
    },
    /// A connection ended before its peer was known.
    LinkRefused {
        /// The address of the other side, if the connection was open.
        remote: Option<SocketAddr>,
        /// Why.
        cause: Cause,
    },
    /// More connections ended before their peer was known than were told.
    MoreRefused {
        /// How many.
        count: u64,
    },
    /// An app's connection was closed for what it sent.
    AppRefused {
        /// Who that is, if the system has said so.
        caller: Option<Caller>,
        /// Why.
        cause: Cause,
    },
    /// The connection of an app that receives was closed for what it sent.
    ReceiverRefused {
        /// What it receives.
        message_type: String,
        /// Why.
        cause: Cause,
    },
    /// An admin's connection was closed for what it sent.
    AdminRefused {
        /// Why.
        cause: Cause,
    },
    /// An admin has asked for something that is more than a look.
    AdminCommand {
        /// Who that is, if the system has said so.
        caller: Option<Caller>,
        /// The command.
        command: String,
        /// Its arguments, in JSON.
        arguments: String,
    },
    /// The app that listens for this type has not read for so long; what comes for it is dropped until it does.
    AppStalled {
        /// The type.
        message_type: String,
        /// For how long it has read nothing.
        after: Duration,
    },
    /// A client was given a certificate.
    Issued(IssuedTo),
    /// This client has got a certificate of its own.
    Enrolled,
    /// The server does not renew this client's certificate.
    NotRenewed {
        /// Why not.
        why: String,
    },
    /// Something about tokens.
    Token(TokenEvent),
    /// The server will be dialled again.
    DialAgain {
        /// Its name.
        server: String,
        /// How long after now.
        after: Duration,
        /// Why there is no link.
        cause: Cause,
        /// Whether the attempt before has failed for the same cause.
        repeated: bool,
    },
    /// The first address of the server could not be gone back to; the link to another one stays.
    StaysAway {
        /// What that address is called.
        server: String,
        /// How long after now it is tried again.
        after: Duration,
        /// Why there is no link to it.
        cause: Cause,
        /// Whether the attempt before has failed for the same cause.
        repeated: bool,
    },
    /// The server will not be dialled again: `enable_client_try_reconnect` is false.
    NotDialledAgain,
    /// A queue's file cannot be opened or written.
    StoreFailed {
        /// Which.
        name: RingName,
        /// Why not.
        why: String,
    },
    /// Records of a queue are not as they were written.
    RingDamaged {
        /// Which.
        name: RingName,
        /// Where all of it is kept as it is, or why it is not.
        kept: Result<String, String>,
        /// Messages that cannot be read.
        records: u64,
    },
    /// This side was set back to an earlier state than the one that the peer remembers.
    SetBack {
        /// The peer.
        peer: String,
        /// Whose messages.
        message_type: String,
    },
    /// The peer was set back to an earlier state than the one that this side remembers.
    PeerSetBack {
        /// The peer.
        peer: String,
        /// Whose messages.
        message_type: String,
    },
    /// There is trouble with a file that belongs to a message.
    File {
        /// The peer that it is for, or comes from.
        peer: String,
        /// Its path here, or its name as the peer has it.
        file: String,
        /// What becomes of it.
        trouble: FileTrouble,
        /// Why.
        why: String,
    },
    /// There was trouble with more files than were told.
    MoreFiles {
        /// How many.
        count: u64,
    },
    /// A peer has subscribed to what it cannot have, or this connector was told to.
    SubscriptionRefused {
        /// Who.
        peer: String,
        /// What to.
        pattern: String,
        /// Why not.
        why: String,
    },
    /// Subscriptions that last have ended: what is published is not kept for them any more.
    SubscriptionEnded {
        /// Whose.
        peer: String,
        /// How many.
        count: usize,
    },
    /// Messages were not delivered since the last report.
    Dropped {
        /// Whose messages, and why.
        entry: Entry,
        /// How many.
        messages: u64,
    },
}

impl Event {
    /// How much it concerns the operator.
    #[must_use]
    pub fn concern(&self) -> Concern {
        let ends_well = match self {
            Event::PeerUp { .. } | Event::Issued(_) | Event::Enrolled => true,
            Event::PeerDown { cause, .. } | Event::LinkRefused { cause, .. } => {
                let on_purpose = matches!(cause, Cause::Revoked | Cause::OwnDeleted);
                on_purpose
                    || matches!(cause, Cause::Stopping | Cause::Enrolled | Cause::Moved)
                    || matches!(cause, Cause::Announced(CloseReason::Stopping | CloseReason::Moved))
            }
            Event::DialAgain { repeated: true, .. } | Event::StaysAway { repeated: true, .. } => {
                return Concern::Detail;
            }
            Event::Dropped { entry, .. } if entry.reason == Reason::NoSubscriber => return Concern::Detail,
            Event::SubscriptionEnded { .. } | Event::AdminCommand { .. } | Event::Token(_) => true,
            _ => false,
        };
        if ends_well { Concern::Routine } else { Concern::Look }
    }

    /// Whether it is about who may come in or do what, and so goes to the audit.
    #[must_use]
    pub fn is_audited(&self) -> bool {
        match self {
            Event::Issued(_)
            | Event::Enrolled
            | Event::Token(_)
            | Event::MoreRefused { .. }
            | Event::AdminCommand { .. }
            | Event::AdminRefused { .. }
            | Event::ReceiverRefused { .. } => true,
            Event::LinkRefused { cause, .. } => !matches!(cause, Cause::Stopping | Cause::Announced(_)),
            Event::PeerDown { cause, .. } => {
                matches!(cause, Cause::NotListed { .. } | Cause::Disconnected | Cause::TokenForgotten | Cause::Revoked)
            }
            Event::Dropped { entry, .. } => matches!(entry.reason, Reason::NotPermitted | Reason::WrongSource),
            _ => false,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::PeerUp { peer, remote, link2 } => {
                write!(f, "peer {peer} connected, at {remote}, link {}", if *link2 { 2 } else { 1 })
            }
            Event::PeerDown { peer, cause } => write!(f, "peer {peer} disconnected: {cause}"),
            Event::LinkRefused { remote: Some(remote), cause } => {
                write!(f, "connection with {remote} ended before its peer was known: {cause}")
            }
            Event::LinkRefused { remote: None, cause } => write!(f, "no connection: {cause}"),
            Event::MoreRefused { count } => {
                write!(f, "{count} more connections ended within a second, before their peers were known")
            }
            Event::AppRefused { caller, cause } => {
                write!(f, "connection of {} closed: {cause}", who(caller.as_ref(), "a sending app"))
            }
            Event::ReceiverRefused { message_type, cause } => {
                write!(f, "connection of the app that receives {message_type:?} closed: {cause}")
            }
            Event::AdminRefused { cause } => write!(f, "an admin was refused: {cause}"),
            Event::AdminCommand { caller, command, arguments } => {
                let (who, said) = (who(caller.as_ref(), "an admin"), format!("{command} {arguments}"));
                write!(f, "{who}: {}", cut(&printable(&said)))
            }
            Event::AppStalled { message_type, after } => write!(
                f,
                "the app that receives {message_type:?} has read nothing for {} s and its queue is full: \
                 what comes for it is dropped until it reads",
                after.as_secs_f32()
            ),
            Event::Issued(issued) => issued.fmt(f),
            Event::NotRenewed { why } => {
                write!(f, "the server does not renew this client's certificate: {}", printable(why))
            }
            Event::Enrolled => write!(f, "got a certificate of its own from the server"),
            Event::Token(event) => event.fmt(f),
            Event::DialAgain { server, after, cause, .. } => {
                write!(f, "no link to {server}: {cause}; trying until there is one, next ")?;
                if after.is_zero() { write!(f, "at once") } else { write!(f, "in {:.1} s", after.as_secs_f32()) }
            }
            Event::StaysAway { server, after, cause, .. } => {
                write!(f, "no link to {server}: {cause}; the link to another address stays, next in {:.0} s", {
                    after.as_secs_f32()
                })
            }
            Event::NotDialledAgain => {
                write!(f, "the server is not dialled again, because enable_client_try_reconnect is false")
            }
            Event::StoreFailed { name, why } => {
                write!(f, "{name} cannot be kept: {why}; tried again every second, {}", while_not_kept(name))
            }
            Event::RingDamaged { name, kept, records } => told_of_damage(f, name, kept, *records),
            Event::SetBack { peer, message_type } => told_of_set_back(f, peer, message_type),
            Event::PeerSetBack { peer, message_type } => write!(
                f,
                "peer {peer} has forgotten messages of type {message_type:?} that it had taken over: was its folder \
                 restored from a backup? They are not here any more"
            ),
            Event::File { peer, file, trouble, why } => {
                let (peer, file, why) = (printable(peer), printable(file), printable(why));
                told_of_file(f, &peer, &file, trouble, &why)
            }
            Event::MoreFiles { count } => write!(f, "there was trouble with {count} more files within a second"),
            Event::SubscriptionRefused { peer, pattern, why } => {
                write!(f, "{} does not get {:?}: {why}", printable(peer), printable(pattern))
            }
            Event::SubscriptionEnded { peer, count } => told_of_ended_subscriptions(f, peer, *count),
            Event::Dropped { entry, messages } => write!(f, "{}", Drops { entry, messages: *messages }),
        }
    }
}

/// Most characters of what an admin says that are told.
const SAID_MAX: usize = 1000;

fn cut(said: &str) -> &str {
    said.char_indices().nth(SAID_MAX).map_or(said, |(end, _)| &said[..end])
}

/// What is at a Unix socket, and who that is if the system has said so.
fn who(caller: Option<&Caller>, what: &str) -> String {
    caller.map_or_else(|| what.to_owned(), |caller| format!("{what} ({caller})"))
}

struct Drops<'a> {
    entry: &'a Entry,
    messages: u64,
}

impl fmt::Display for Drops<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Entry { peer, message_type, reason } = self.entry;
        let hint = match reason {
            Reason::UnknownPeer => "no peer of this name is known",
            Reason::PeerAway => "the peer is not connected and the type is not persistent",
            Reason::TypeNotAllowed => "the type is not in send_message_types or recv_message_types",
            Reason::NoListener => "no app listens for the type and it is not persistent",
            Reason::AppStalled => "the app that listens does not read",
            Reason::WrongSource => "the peer named another source_id than its own",
            Reason::QueueFull => "the queue has reached queue_max_bytes, or max_size_persistence_path if it is stored",
            Reason::Stopping => "the connector stops",
            Reason::ConnectionEnded => "its connection ended while it waited for room in a queue",
            Reason::TooManyRequests => "too many requests await their answer",
            Reason::HeaderTooLong => "the header has no room for what the connector must write into it",
            Reason::StoreFailed => "the queue's file cannot be written",
            Reason::Damaged => "what was stored is not as it was written",
            Reason::NoSubscriber => "nobody has subscribed to what was published",
            Reason::SlowSubscriber => "the subscriber did not keep up, and its queue of published messages was full",
            Reason::TooManyTopics => "too many types are published at a time",
            Reason::Ignored => "ignore_peer_traffic is for the peer",
            Reason::NotPermitted => "client_rules or local_rules do not allow it",
        };
        let n = self.messages;
        let peer = printable(peer);
        let s = if n == 1 { "" } else { "s" };
        write!(f, "{n} message{s} dropped: peer {peer}, type {message_type:?}, reason {reason} ({hint})")
    }
}

/// A name as it may stand in a log: an app can write anything into a destination, a line break as well.
pub(super) fn printable(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
