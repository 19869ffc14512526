//! Links: how a connection with another connector comes up, what is done with what the peer sends, how it ends.
//!
//! ```text
//! server  Opening ─ no TLS, or TLS without identity ─▶ Hello ─ its name ─▶ gates ─▶ Up, or Resume
//!                 ─ certificate of its own ──────────────────────────────▶ gates ─▶ Up, or Resume
//!                 Resume ─ `_link` ─▶ Up
//!                 ─ shared certificate ─▶ EnrolmentRequest ─ its name ─▶ gates ─▶ Issuing ─ certificate ─▶ sent, closed
//! client  Opening ─ no TLS, or TLS without identity ─ says its name, asks ─▶ Checking ─ anything comes ─▶ Up
//!                 ─ certificate of its own ─ asks ─────────────────────────▶ Checking ─ anything comes ─▶ Up
//!                 ─ shared certificate ─ asks ─▶ Certificate ─ it comes ─▶ Storing ─ done ─▶ closed, dials again
//! ```
//!
//! Where tokens are used, another way leads to Up: `token_link`. Gates are hooks that are asked (`gate`, state Asking); there may be none.
//!
//! Where both speak the second kind of link, each side says `_link` first, and what comes up is that kind: `link2`.

use std::net::SocketAddr;
use std::time::Instant;

use super::backoff::STABLE_PERIOD;
use super::conn::{Link, State};
use super::connector::{Connector, Step};
use super::enrolment::client_name;
use super::event::{Cause, Event, Output, Secured};
use super::gate::Wants;
use super::ledger::Reason;
use super::peer::Peer;
use super::publish_file::Brings;
use super::settings::{HANDSHAKE_TIMEOUT, Mode};
use super::slots::Id;
use super::timers::Timer;
use crate::ring::Ring;
use crate::wire::control::{self, CloseReason, Control};
use crate::wire::frame::{self, Frame};
use crate::wire::header::{self, Header};
use crate::wire::link;
use crate::wire::names::Role;
use crate::wire::with_file::file_begins;

impl Connector {
    /// Opens a connection to the server.
    pub(super) fn dial(&mut self, now: Instant) {
        self.dial_address(self.next_server(), now);
    }

    /// Opens a connection to one of the server's addresses.
    pub(super) fn dial_address(&mut self, server: u8, now: Instant) -> Id {
        let id = self.add_link(None);
        if let Some(link) = self.conns.get_mut(id).and_then(|c| c.link_mut()) {
            link.server = server;
        }
        self.timers.arm(Timer::Handshake(id), now + self.settings.connect_timeout);
        self.outputs.push_back(Output::Dial(id));
        id
    }

    /// The connection of a link is ready to carry bytes, and this is known of who is there; with TLS also whether both
    /// speak the second kind of link.
    pub fn secured(&mut self, id: Id, secured: Secured, speaks_link2: bool, now: Instant) {
        let (role, mode, own_id) = (self.settings.role, self.settings.mode, self.settings.id.clone());
        if mode == Mode::Certificates && secured == Secured::Anonymous {
            return self.close(id, Cause::BadInput("no certificate was shown".to_owned()), now);
        }
        if self.tokens.is_some() {
            if let Some(link) = self.conns.get_mut(id).and_then(|c| c.link_mut()) {
                link.speaks_link2 = speaks_link2;
            }
            return self.secured_for_token(id, secured, now);
        }
        let (frame_limit, returns) = (self.settings.link_frame_max(), self.is_returning(id));
        let Some(conn) = self.conns.get_mut(id) else { return };
        if role == Role::Client {
            // The server need not say who it is: what comes first may be a message that is stored there.
            conn.frame_limit = frame_limit;
        }
        let Some(link) = conn.link_mut() else { return };
        link.speaks_link2 = speaks_link2;
        match (role, secured) {
            (Role::Server, Secured::Anonymous) => link.state = State::Hello,
            (Role::Server, Secured::Shared) => link.state = State::EnrolmentRequest,
            (Role::Server, Secured::Named(name)) => self.admit(id, &name, Wants::Link, now),
            (Role::Client, Secured::Shared) if returns => {
                let why = "it would give this client another certificate, and there is a link with the one it has";
                self.close(id, Cause::Failed(why.to_owned()), now);
            }
            (Role::Client, Secured::Shared) => {
                link.state = State::Certificate;
                let offer = self.take_offer(id);
                let request = self.with_invitation(control::get_new_certificate(&own_id, &offer));
                self.send_control(id, request);
            }
            (Role::Client, Secured::Anonymous | Secured::Named(_)) => {
                link.state = State::Checking;
                match mode {
                    Mode::Plain => self.greet(id, control::HANDSHAKE_NO_SSL),
                    Mode::AllowAll => self.greet(id, control::HANDSHAKE_SSL),
                    Mode::Certificates => {}
                }
                if speaks_link2 {
                    let server = self.settings.server_id.clone();
                    return self.say_link(id, &server);
                }
                let question = control::ping(&own_id, &self.settings.server_id, control::LINK_CHECK_ID);
                self.send_control(id, question);
            }
        }
    }

    /// Says this client's name.
    fn greet(&mut self, id: Id, message_type: &str) {
        let hello = match message_type {
            control::HANDSHAKE_NO_SSL if self.settings.link2 => link::greeting(message_type, &self.settings.id),
            _ => control::own_frame(message_type, &self.settings.id, control::HELLO),
        };
        self.send_control(id, hello);
    }

    /// Server: the client is known, and may come in.
    pub(super) fn let_in(&mut self, id: Id, name: &str, now: Instant) {
        self.say_token_taken(id);
        let frame_limit = self.settings.link_frame_max();
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.frame_limit = frame_limit;
        let Some(link) = conn.link_mut() else { return };
        if !link.speaks_link2 {
            return self.link_up(id, name, now);
        }
        (link.state, link.name) = (State::Resume, Some(name.to_owned()));
        self.say_link(id, name);
    }

    /// Messages flow from now on.
    pub(super) fn link_up(&mut self, id: Id, name: &str, now: Instant) {
        let peer_id = self.peers.find_or_add(name, &self.classes);
        let (frame_limit, record_limit) = (self.settings.link_frame_max(), self.settings.record_frame_max());
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.frame_limit = if conn.link().is_some_and(|l| l.link2.is_some()) { record_limit } else { frame_limit };
        let Some(link) = conn.link_mut() else { return };
        (link.state, link.up_since) = (State::Up { peer: peer_id }, Some(now));
        link.moves |= self.settings.role == Role::Client;
        let (remote, link2, moves) = (link.remote, link.link2.is_some(), link.moves);
        self.link_came_up(name, now);
        let Some(peer) = self.peers.get_mut(peer_id) else { return };
        let (old, mid_frame) = (peer.link, peer.mid_frame().is_some());
        let mid_frame = mid_frame || self.feed_is_begun(peer_id);
        self.end_of_subscriber(peer_id);
        let Some(peer) = self.peers.get_mut(peer_id) else { return };
        (peer.link, peer.moves) = (Some(id), false);
        peer.rewind();
        self.rewind_files(peer_id);
        if let Some(old) = old {
            self.replaced(old, peer_id, mid_frame, moves, now);
        }
        self.identified(id);
        self.timers.disarm(Timer::Handshake(id));
        if self.settings.role == Role::Server {
            self.begin_counting(id, name);
        }
        if self.settings.role == Role::Client {
            self.reached_server(id, now);
            self.timers.arm(Timer::Stable(id), now + STABLE_PERIOD);
            if let Some(keep_alive) = self.settings.keep_alive {
                self.timers.arm(Timer::KeepAlive(id), now + keep_alive.period);
            }
        }
        if let Some(remote) = remote {
            self.tell(Event::PeerUp { peer: name.to_owned(), remote, link2 });
        }
        self.topics.changed();
        self.subscribe(id);
        self.want_write(id);
    }

    /// A newer connection has taken the place of `old`, which is told so, unless that would stand amid a message. `moves`:
    /// it is of the same connector.
    fn replaced(&mut self, old: Id, peer_id: Id, mid_frame: bool, moves: bool, now: Instant) {
        let peer = self.peers.get(peer_id).map(|p| p.name.clone()).unwrap_or_default();
        self.drop_incoming(old);
        let (cause, reason) = match moves {
            false => (Cause::Replaced, CloseReason::Replaced),
            true => (Cause::Moved, CloseReason::Moved),
        };
        self.tell(Event::PeerDown { peer, cause: cause.clone() });
        self.fail_requests(peer_id, now);
        if mid_frame {
            self.close(old, cause, now);
        } else {
            self.say_goodbye(old, reason, now);
        }
    }

    pub(super) fn say_goodbye(&mut self, id: Id, reason: CloseReason, now: Instant) {
        let cause = match reason {
            CloseReason::Replaced => Cause::Replaced,
            CloseReason::Moved => Cause::Moved,
            CloseReason::Stopping => Cause::Stopping,
        };
        self.finish(id, control::close(&self.settings.id, reason), cause, now);
    }

    /// Takes the link from its peer: what is queued waits for the next one, and nobody waits for this one.
    fn detach(&mut self, id: Id, peer_id: Id, cause: &Cause, now: Instant) {
        let moves = self.is_moving();
        let Some(peer) = self.peers.get_mut(peer_id).filter(|p| p.link == Some(id)) else { return };
        (peer.link, peer.moves) = (None, moves);
        peer.rewind();
        self.rewind_files(peer_id);
        let Some(peer) = self.peers.get_mut(peer_id) else { return };
        // With a newer link in its place, or soon, the apps go on waiting for room.
        let waiting = if *cause == Cause::Replaced || moves { Vec::new() } else { peer.take_blocked() };
        let name = peer.name.clone();
        self.end_of_subscriber(peer_id);
        self.link_went_down(&name, now);
        self.tell(Event::PeerDown { peer: name, cause: cause.clone() });
        self.fail_requests(peer_id, now);
        self.unblock(waiting, now);
        self.forget_if_idle(peer_id);
    }

    /// A server need not remember a peer that is away and has nothing to come.
    fn forget_if_idle(&mut self, peer_id: Id) {
        let is_idle = |peer: &Peer| peer.link.is_none() && peer.is_idle();
        if self.settings.role == Role::Server && self.peers.get(peer_id).is_some_and(is_idle) {
            let lanes = self.peers.remove(peer_id).map(|peer| peer.lanes).unwrap_or_default();
            lanes.into_iter().filter_map(|lane| lane.ring).for_each(Ring::discard);
        }
    }

    pub(super) fn link_closed(&mut self, id: Id, link: &mut Link, cause: Cause, now: Instant) {
        self.leaves(link);
        let cause = match self.token_cause(id, link, cause) {
            Cause::Announced(CloseReason::Replaced | CloseReason::Moved) if self.is_moving() => Cause::Moved,
            cause => cause,
        };
        self.forget_lanes(id);
        let incoming = link.link2.take().map(|link2| link2.files.incoming);
        self.close_incoming(incoming.unwrap_or_default().into_values());
        match link.state {
            State::Up { peer } => self.detach(id, peer, &cause, now),
            _ if self.settings.role == Role::Server => {
                self.tell_refused(link.remote, cause.clone(), now);
            }
            _ => {}
        }
        if self.settings.role == Role::Client {
            self.client_link_ended(id, link, cause, now);
        }
    }

    pub(super) fn dial_again(&mut self, link: &Link, cause: Cause, now: Instant) {
        if matches!(cause, Cause::Enrolled | Cause::OwnDeleted) {
            self.stay_with(link);
            self.timers.arm(Timer::Redial, now);
            return;
        }
        if !self.settings.reconnect {
            self.tell(Event::LinkRefused { remote: link.remote, cause });
            self.tell(Event::NotDialledAgain);
            return;
        }
        let (after, told) = self.next_dial(link, &cause, now);
        self.timers.arm(Timer::Redial, now + after);
        self.tell(told);
    }

    pub(super) fn handshake_overdue(&mut self, id: Id, now: Instant) {
        let link = self.conns.get(id).and_then(|c| c.link());
        if let Some(State::Asking { gate, .. }) = link.map(|l| l.state) {
            return self.answered(id, gate, Err("no answer came".to_owned()), now);
        }
        let cause = match link.filter(|l| l.remote.is_none()) {
            Some(_) => self.overdue(id),
            None => Cause::HandshakeTimeout(HANDSHAKE_TIMEOUT),
        };
        self.close(id, cause, now);
    }

    /// One frame of another connector.
    pub(super) fn link_frame(&mut self, id: Id, frame: &Frame<'_>, now: Instant) -> Step {
        let Some(link) = self.conns.get(id).and_then(|c| c.link()) else { return Step::Taken };
        let state = link.state;
        if let (State::Up { peer }, Some(memo)) = (state, &link.memo)
            && memo.is_of(frame.header(), frame.binary().is_some())
        {
            return self.deliver((memo.inbox, memo.row as usize), &[frame.bytes()], peer, id, now);
        }
        if let State::Up { peer } = state
            && let Some(published) = self.publish_again(id, frame, None, now)
        {
            return self.after_publication(id, peer, frame, None, published, now);
        }
        let header = match Header::parse(frame.header()) {
            Ok(header) => header,
            Err(error) => return Step::End(Cause::BadInput(error.to_string())),
        };
        match state {
            State::Up { peer } => self.message(id, peer, frame, &header, now),
            State::Hello => self.hello(id, frame, &header, now),
            State::EnrolmentRequest => self.enrolment_request(id, frame, &header, now),
            State::Checking => self.checked(id, frame, &header, now),
            State::Certificate => self.certificate(id, frame, &header),
            State::Resume => self.resumed(id, frame, &header, now),
            State::Token | State::TokenAnswer | State::NewToken => self.token_frame(id, frame, &header, now),
            State::Opening | State::Asking { .. } | State::Issuing | State::Loading | State::Storing => {
                let what = format!("a {:?} message came while {state:?} was under way", header.message_type);
                Step::End(Cause::BadInput(what))
            }
        }
    }

    /// Server: a client that is known says where it stands.
    fn resumed(&mut self, id: Id, frame: &Frame<'_>, header: &Header<'_>, now: Instant) -> Step {
        let name = self.conns.get(id).and_then(|c| c.link()).and_then(|link| link.name.clone());
        match (header.message_type.as_ref(), name) {
            (link::LINK, Some(name)) => self.link_hello(id, &name, frame, header, now),
            (control::CLOSE, _) => self.peer_says_goodbye(id, frame, header),
            // A client asks for a sign of life before it knows that this server speaks the second kind of link; that
            // this server says so is one.
            _ => Step::Taken,
        }
    }

    /// Client: the server has let this client in, since it answers.
    fn checked(&mut self, id: Id, frame: &Frame<'_>, header: &Header<'_>, now: Instant) -> Step {
        let server = self.settings.server_id.clone();
        match header.message_type.as_ref() {
            control::CLOSE => return self.peer_says_goodbye(id, frame, header),
            link::LINK => return self.link_hello(id, &server, frame, header, now),
            _ => {}
        }
        self.link_up(id, &server, now);
        let State::Up { peer } = self.conns.get(id).and_then(|c| c.link()).map_or(State::Checking, |l| l.state) else {
            return Step::Taken;
        };
        match self.message(id, peer, frame, header, now) {
            Step::Taken => Step::Identified,
            other => other,
        }
    }

    /// Server: the client says its name.
    fn hello(&mut self, id: Id, frame: &Frame<'_>, header: &Header<'_>, now: Instant) -> Step {
        let expected = match self.settings.mode {
            Mode::AllowAll => control::HANDSHAKE_SSL,
            // With certificates there is no greeting: such a link is never in this state.
            Mode::Plain | Mode::Certificates => control::HANDSHAKE_NO_SSL,
        };
        if header.message_type != expected || frame.data() != control::HELLO {
            let what =
                format!("a {expected:?} message with the data \"hello\" was expected, {:?} came", header.message_type);
            return Step::End(Cause::BadInput(what));
        }
        match client_name(header) {
            Ok(name) => {
                if let Some(link) = self.conns.get_mut(id).and_then(|c| c.link_mut()) {
                    link.speaks_link2 |= self.settings.link2 && header.link.is_some_and(|kind| kind >= link::LINK_2);
                }
                self.admit(id, &name, Wants::Link, now);
                Step::Identified
            }
            Err(cause) => Step::End(cause),
        }
    }

    /// A frame on a link that is up, whose header is not that of the frame before.
    fn message(&mut self, id: Id, peer: Id, frame: &Frame<'_>, header: &Header<'_>, now: Instant) -> Step {
        if let Some(step) = self.wrong_source(peer, header, now) {
            return step;
        }
        if let Some(step) = self.refused_frame(id, peer, header, now) {
            return step;
        }
        match header.message_type.as_ref() {
            control::PING if header.await_response => self.answer_ping(id, frame, header),
            control::PING => self.ping_answer(id, peer, frame, header, now),
            control::CLOSE => self.peer_says_goodbye(id, frame, header),
            control::ACK => {
                if let Some(number) = header.transport_id {
                    self.peer_acknowledges(id, peer, number, now);
                }
                Step::Taken
            }
            control::PUBSUB if header.with_file && file_begins(frame.header()).is_some() => {
                self.ordinary(id, peer, frame, header, now)
            }
            control::PUBSUB if self.settings.pubsub_broker && header.publishes.is_some() => {
                match self.publish_from(id, frame, header, &Brings::Nothing, None, now) {
                    Ok(published) => self.after_publication(id, peer, frame, header.transport_id, published, now),
                    Err(cause) => Step::End(cause),
                }
            }
            control::PUBSUB if self.settings.pubsub_broker => self.subscriber_says(id, peer, frame, header, now),
            // A second greeting changes nothing.
            control::HANDSHAKE_NO_SSL | control::HANDSHAKE_SSL => Step::Taken,
            _ => self.ordinary(id, peer, frame, header, now),
        }
    }

    /// On a server a client speaks for itself only.
    pub(super) fn wrong_source(&mut self, peer: Id, header: &Header<'_>, now: Instant) -> Option<Step> {
        if self.settings.role == Role::Client {
            return None;
        }
        let name = self.peers.get(peer)?.name.clone();
        match header.source_id.as_deref() {
            Some(source) if source == name => None,
            Some(_) => {
                self.count_drop(&name, &header.message_type, Reason::WrongSource, 1, now);
                Some(Step::Taken)
            }
            None => Some(Step::End(Cause::BadInput(header::HeaderError::Missing("source_id").to_string()))),
        }
    }

    pub(super) fn answer_ping(&mut self, id: Id, frame: &Frame<'_>, header: &Header<'_>) -> Step {
        let Some(request) = &header.request_id else {
            return Step::End(Cause::BadInput(header::HeaderError::Missing("request_id").to_string()));
        };
        let answer = control::ping_answer_header(&self.settings.id, request, frame.binary().is_some());
        let mut out = Vec::new();
        match frame::encode(&answer, frame.data(), frame.binary(), &mut out) {
            Ok(()) => {
                self.send_control(id, out);
                Step::Taken
            }
            Err(error) => Step::End(Cause::BadInput(error.to_string())),
        }
    }

    pub(super) fn ping_answer(
        &mut self,
        id: Id,
        peer: Id,
        frame: &Frame<'_>,
        header: &Header<'_>,
        now: Instant,
    ) -> Step {
        let is_keep_alive = header.response_id.as_ref().is_some_and(|r| *r == control::KEEP_ALIVE_ID.into());
        if is_keep_alive && self.settings.keep_alive.is_some() {
            self.timers.disarm(Timer::KeepAliveAnswer(id));
            if let Some(link) = self.conns.get_mut(id).and_then(|c| c.link_mut()) {
                link.unanswered = 0;
            }
            self.keep_alive_answered(peer, now);
        } else if let Some(asker) = self.take_asker(peer, header) {
            self.answer_app(asker, frame.bytes().to_vec(), now);
        }
        // The answer to the check of the link has done its work by coming.
        Step::Taken
    }

    pub(super) fn peer_says_goodbye(&mut self, id: Id, frame: &Frame<'_>, header: &Header<'_>) -> Step {
        let reason = match control::parse(header, frame.data()) {
            Ok(Control::Close(reason)) => reason,
            Ok(_) => None,
            Err(error) => return Step::End(Cause::BadInput(error.to_string())),
        };
        let Some(link) = self.conns.get_mut(id).and_then(|c| c.link_mut()) else { return Step::Taken };
        // It closes the connection next, which is told.
        link.said = reason.or(link.said);
        Step::Taken
    }

    pub(super) fn keep_alive(&mut self, id: Id, now: Instant) {
        let Some(settings) = self.settings.keep_alive else { return };
        let question = control::ping(&self.settings.id, &self.settings.server_id, control::KEEP_ALIVE_ID);
        self.send_control(id, question);
        self.timers.arm_if_idle(Timer::KeepAliveAnswer(id), now + settings.timeout);
        self.keep_alive_asked(now);
        self.timers.arm(Timer::KeepAlive(id), now + settings.period);
    }

    pub(super) fn keep_alive_overdue(&mut self, id: Id, now: Instant) {
        let Some(settings) = self.settings.keep_alive else { return };
        // While this side does not read, because an app does not, silence is its own doing.
        let Some(conn) = self.conns.get_mut(id).filter(|c| !c.paused) else { return };
        let Some(link) = conn.link_mut() else { return };
        // No question goes out in the middle of a file, and no answer comes.
        let asks = link.file_out.as_ref().is_none_or(|out| !out.is_amid());
        if std::mem::take(&mut link.heard) || !asks {
            return;
        }
        link.unanswered += 1;
        if link.unanswered >= settings.unanswered_max {
            self.close(id, Cause::KeepAlive(settings.unanswered_max), now);
        }
    }

    /// The links that are up: the peer's name, and where it is.
    pub fn connected_peers(&self) -> impl Iterator<Item = (&str, SocketAddr)> {
        self.peers.iter().filter_map(|(_, peer)| {
            let remote = self.conns.get(peer.link?)?.link()?.remote?;
            Some((peer.name.as_str(), remote))
        })
    }
}
