//! One connection as the core sees it.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use super::confirm::Mark;
use super::event::Cause;
use super::frame_in::FileIn;
use super::frame_out::{FileOut, PieceAck};
use super::gate::{Gate, Wants};
use super::link2::Link2;
use super::publish_file::Copying;
use super::receipts::Receipts;
use super::requests::RequestKey;
use super::rules::Caller;
use super::slots::Id;
use crate::wire::control::{CloseReason, Offer};
use crate::wire::frame::Deframer;

/// A connection of any kind.
#[derive(Debug)]
pub(super) struct Conn {
    pub kind: Kind,
    pub deframer: Deframer,
    /// Longest frame that may come, bytes.
    pub frame_limit: usize,
    pub control: Control,
    /// Nothing more is read until what it waits for has room, or until a gate has answered.
    pub paused: bool,
    /// What it waits for is its own `control`.
    pub awaits_control: bool,
    /// What it waits for is that its client may send more again.
    pub awaits_rate: bool,
    /// Who is at the other end of a Unix socket, if that is known.
    pub caller: Option<Caller>,
    /// What an admin is told when the shell has done the rest.
    pub answer: Option<String>,
    /// Nothing more is read at all; it is closed, for this reason, when `control` has gone out.
    pub closing: Option<Cause>,
    /// The shell has been told that there is something to send.
    pub told_to_write: bool,
    /// It took something since the last look at its progress.
    pub progress: bool,
}

impl Conn {
    pub fn new(kind: Kind, frame_limit: usize) -> Self {
        Self {
            kind,
            deframer: Deframer::new(frame_limit),
            frame_limit,
            control: Control::default(),
            paused: false,
            awaits_control: false,
            awaits_rate: false,
            caller: None,
            answer: None,
            closing: None,
            told_to_write: false,
            progress: false,
        }
    }

    pub fn link(&self) -> Option<&Link> {
        if let Kind::Link(link) = &self.kind { Some(link) } else { None }
    }

    pub fn link_mut(&mut self) -> Option<&mut Link> {
        if let Kind::Link(link) = &mut self.kind { Some(link) } else { None }
    }

    /// The cause of its end, which is another if it came in the middle of a message or was announced.
    pub fn cause_of_end(&self, cause: Cause) -> Cause {
        match (cause, self.deframer.kept(), self.link().and_then(|link| link.said)) {
            (Cause::ClosedByPeer, ..) if self.link().is_some_and(|link| link.file_in.is_some()) => {
                Cause::BadInput("closed by the other side in the middle of a message with a file".to_owned())
            }
            (Cause::ClosedByPeer, kept @ 1.., _) => Cause::BadInput(format!(
                "closed by the other side in the middle of a message, after {kept} bytes of it"
            )),
            (Cause::ClosedByPeer | Cause::Failed(_), _, Some(reason)) => Cause::Announced(reason),
            (cause, ..) => cause,
        }
    }

    /// Whether it is a link that carries messages.
    pub fn is_up(&self) -> bool {
        self.link().is_some_and(|link| matches!(link.state, State::Up { .. }))
    }

    pub fn delivery_mut(&mut self) -> Option<&mut Delivery> {
        if let Kind::Delivery(delivery) = &mut self.kind { Some(delivery) } else { None }
    }

    pub fn app(&self) -> Option<&App> {
        if let Kind::App(app) = &self.kind { Some(app) } else { None }
    }

    pub fn app_mut(&mut self) -> Option<&mut App> {
        if let Kind::App(app) = &mut self.kind { Some(app) } else { None }
    }
}

/// What is at the other end.
#[derive(Debug)]
pub(super) enum Kind {
    /// Another connector.
    Link(Link),
    /// An app that sends.
    App(App),
    /// An app that receives.
    Delivery(Delivery),
    /// An admin, and what came of its request; none once it was whole.
    Admin(Option<Vec<u8>>),
}

/// A connection to an app that receives.
#[derive(Debug)]
pub(super) struct Delivery {
    /// The inbox whose messages it gets.
    pub inbox: usize,
    /// It is open, and not just on its way to be.
    pub opened: bool,
    /// Messages of the inbox that were given up before the first one of this connection.
    pub base: u64,
    /// Messages that were wholly sent on it.
    pub sent: u64,
    /// Messages of it that are done with, if the app says so.
    pub done: Option<u64>,
    /// The last number that the app has said. It counts from the connection's beginning, also if it said late that it
    /// acknowledges: then it is behind `done` at first.
    pub said: u64,
    /// The app has said nothing for long enough: what is sent is done with. Until then it is kept, because the first
    /// messages are sent before the app has a chance to say that it acknowledges.
    pub silent: bool,
}

/// A connection to another connector.
#[derive(Debug)]
pub(super) struct Link {
    pub state: State,
    pub remote: Option<SocketAddr>,
    /// The number under which it was accepted; none if it was dialled.
    pub arrival: Option<u64>,
    /// Which of the server's addresses it was dialled to.
    pub server: u8,
    /// It takes the place of a link of the same client to another address of the server.
    pub moves: bool,
    /// How the frames of the last header are delivered.
    pub memo: Option<LinkMemo>,
    /// Keep-alives in a row without an answer.
    pub unanswered: u32,
    /// Why the other side ends the link, if it has said so.
    pub said: Option<CloseReason>,
    /// When messages began to flow.
    pub up_since: Option<Instant>,
    /// The other side speaks the second kind of link.
    pub speaks_link2: bool,
    /// This side sends records.
    pub says_records: bool,
    /// The client's name, once it is known and the link is not up yet.
    pub name: Option<String>,
    /// The client has shown its token.
    pub by_token: bool,
    /// What the client offers as its certificate.
    pub offer: Option<Box<Offer>>,
    /// What is known on a link of the second kind.
    pub link2: Option<Box<Link2>>,
    /// First kind: bytes that were given out for the connection, and how many when it was last asked what is confirmed.
    pub written: u64,
    pub asked: u64,
    /// First kind: which messages end where.
    pub marks: VecDeque<Mark>,
    /// First kind: the message whose file is on its way in, the one whose file is on its way out.
    pub file_in: Option<Box<FileIn>>,
    pub file_out: Option<Box<FileOut>>,
    /// First kind: bytes of other messages that went out since a piece of a file did.
    pub since_piece: u64,
    /// First kind: pieces of files that the peer is to acknowledge, and the number that the last one had.
    pub piece_acks: VecDeque<PieceAck>,
    pub piece_number: u64,
    /// Something came of a message that was not there as a whole.
    pub heard: bool,
    /// First kind: the feed that was sent something of last.
    pub feed: Option<usize>,
    /// On a broker: how the publications of the last header go on.
    pub published: Option<Box<PublishMemo>>,
}

impl Link {
    pub fn new(remote: Option<SocketAddr>) -> Self {
        Self {
            state: State::Opening,
            remote,
            arrival: None,
            server: 0,
            moves: false,
            memo: None,
            unanswered: 0,
            said: None,
            up_since: None,
            speaks_link2: false,
            says_records: false,
            name: None,
            by_token: false,
            offer: None,
            link2: None,
            written: 0,
            asked: 0,
            marks: VecDeque::new(),
            file_in: None,
            file_out: None,
            since_piece: 0,
            piece_acks: VecDeque::new(),
            piece_number: 0,
            heard: false,
            feed: None,
            published: None,
        }
    }

    /// Whether it is of the first kind, and frames with files may come on it.
    pub fn brings_files(&self) -> bool {
        matches!(self.state, State::Up { .. } | State::Checking) && !self.says_records
    }

    /// The peer, once messages flow.
    pub fn peer(&self) -> Option<Id> {
        if let State::Up { peer } = self.state { Some(peer) } else { None }
    }
}

/// Where a link is on its way to carrying messages. Each state names what is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The connection to be opened and, with TLS, secured.
    Opening,
    /// Server: the first frame, in which the client says its name.
    Hello,
    /// Server: the request of a client that has no certificate of its own.
    EnrolmentRequest,
    /// Server: the answer of a gate that the client must pass on its way to what it wants.
    Asking { gate: Gate, wants: Wants },
    /// Server: the client's token, or its request for one.
    Token,
    /// Server: the certificate or the token from the shell.
    Issuing,
    /// Client: a sign of life from the server. With TLS 1.3 a client is done with the handshake before the server has
    /// looked at its certificate, so only what comes back shows that it was let in.
    Checking,
    /// Server: where the client, which is known, stands in this side's lanes.
    Resume,
    /// Client: the certificate from the server.
    Certificate,
    /// Client: the shell to read the token.
    Loading,
    /// Client: a new token from the server.
    NewToken,
    /// Client: that the server takes the token.
    TokenAnswer,
    /// Client: the shell to store the certificate or the token.
    Storing,
    /// Nothing: messages flow.
    Up { peer: Id },
}

/// A header of a peer's message, and the inbox for frames that have the same.
#[derive(Debug)]
pub(super) struct LinkMemo {
    pub header: Vec<u8>,
    /// What the header says of the frame's parts.
    pub with_binary: bool,
    /// The row in the counts.
    pub row: u32,
    pub inbox: usize,
}

impl LinkMemo {
    /// Whether it is of messages with this header.
    pub fn is_of(&self, header: &[u8], with_binary: bool) -> bool {
        self.header == header && self.with_binary == with_binary
    }
}

/// A header of a peer's publication, and what becomes of frames that have the same.
#[derive(Debug)]
pub(super) struct PublishMemo {
    pub header: Vec<u8>,
    /// What the header says of the frame's parts.
    pub with_binary: bool,
    pub topic: Id,
    /// The header that subscribers get.
    pub rewritten: Vec<u8>,
}

/// A connection of an app that sends.
#[derive(Debug, Default)]
pub(super) struct App {
    /// How the frames of the last header are forwarded.
    pub memo: Option<AppMemo>,
    /// It has sent a message.
    pub has_sent: bool,
    /// The requests that await their answer on this connection: by peer, type and the app's id, their numbers.
    pub requests: BTreeMap<(Id, RequestKey), u64>,
    /// It has said how long it waits for an answer.
    pub sets_timeouts: bool,
    /// The connector stops, and this app has still to be told that its requests get no answer.
    pub has_last_words: bool,
    /// The file of the publication that waits on the connection.
    pub copying: Option<Box<Copying>>,
    /// What the app is told of its messages, if it has asked for that.
    pub receipts: Option<Box<Receipts>>,
}

/// A header of an app's message, and what becomes of frames that have the same.
#[derive(Debug)]
pub(super) struct AppMemo {
    pub header: Vec<u8>,
    /// What the header says of the frame's parts.
    pub with_binary: bool,
    pub peer: Id,
    pub lane: usize,
    /// The header to send instead, if the app's own must be changed.
    pub rewritten: Option<Vec<u8>>,
}

/// Frames of the connector's own that go ahead of queued ones.
#[derive(Debug, Default)]
pub(super) struct Control {
    frames: VecDeque<Vec<u8>>,
    /// Bytes of the first frame that were sent.
    sent: usize,
    used: usize,
}

impl Control {
    pub fn push(&mut self, frame: Vec<u8>) {
        self.used += frame.len();
        self.frames.push_back(frame);
    }

    /// The rest of what was sent in part: it goes before all else. No frame here was sent in part then.
    pub fn push_next(&mut self, rest: Vec<u8>) {
        if !rest.is_empty() {
            debug_assert_eq!(self.sent, 0, "of two things one goes first");
            self.used += rest.len();
            self.frames.push_front(rest);
        }
    }

    /// Offers what is to be sent next, at most `left` bytes; how much was taken of how much, if there is something.
    pub fn offer(&mut self, left: usize, sink: &mut dyn FnMut(&[u8]) -> usize) -> Option<(usize, usize)> {
        let front = &self.frames.front()?[self.sent..];
        let front = &front[..front.len().min(left)];
        let (taken, offered) = (sink(front), front.len());
        self.sent(taken);
        Some((taken, offered))
    }

    fn sent(&mut self, count: usize) {
        self.sent += count;
        if self.frames.front().is_some_and(|frame| self.sent >= frame.len()) {
            self.used -= self.sent;
            self.sent = 0;
            self.frames.pop_front();
        }
    }

    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Bytes that wait.
    pub fn used(&self) -> usize {
        self.used
    }
}
