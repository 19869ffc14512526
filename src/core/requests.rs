//! Requests: which app awaits which answer, for how long, and what it is told if none comes.
//!
//! An answer is known by its type, the peer that it comes from, and its `response_id`. An app may have many requests on
//! its way on one connection. Two apps may use one id: then the later request goes to the peer under an id that is made
//! up, and its answer comes back under the app's own.
//!
//! Who gets no answer is told so with a frame whose header has `error`, and `response_id` so that the app knows which
//! request it is. Python apps send one request a connection, and some of them know only its end (a request that goes
//! nowhere at once). They are told apart by what they do: see [`Connector::takes_errors`].

use std::collections::BTreeMap;
use std::time::Instant;

use super::connector::{Connector, Step};
use super::event::Cause;
use super::ledger::Reason;
use super::settings::{ANSWERS_MAX, APP_REQUESTS_MAX, REQUESTS_MAX, Settings};
use super::slots::Id;
use super::timers::Timer;
use crate::wire::control::{self, DISCONNECTED_DURING_WAIT};
use crate::wire::frame::{self, Frame};
use crate::wire::header::{self, Header, MessageId};

/// What the answer to a request is known by, besides the peer that it comes from: its type and id.
pub(super) type RequestKey = (String, MessageId);

/// A request that awaits its answer.
#[derive(Debug)]
struct Request {
    /// The connection that it came on.
    app: Id,
    peer: Id,
    message_type: String,
    /// Its id as the app and as the peer know it.
    ids: Ids,
}

/// A request's id.
#[derive(Clone, Debug)]
pub(super) struct Ids {
    /// As the app knows it.
    pub own: MessageId,
    /// As the peer knows it.
    pub sent: MessageId,
}

/// All requests that await their answer, by their numbers, which grow.
#[derive(Debug, Default)]
pub(super) struct Requests {
    waiting: BTreeMap<u64, Request>,
    last: u64,
    /// Ids that were made up.
    made_up: u64,
}

impl Requests {
    pub fn len(&self) -> usize {
        self.waiting.len()
    }
}

/// Who awaits an answer.
#[derive(Debug)]
pub(super) struct Asker {
    app: Id,
    /// The id of the request, if the answer has another.
    own_id: Option<MessageId>,
}

impl Connector {
    /// Why one more request of this app cannot be taken, if it cannot.
    pub(super) fn no_more_requests(&mut self, app: Id) -> Option<Reason> {
        if self.stopping {
            return Some(Reason::Stopping);
        }
        let waiting = self.conns.get_mut(app).and_then(|c| c.app_mut()).map_or(0, |app| app.requests.len());
        let full = self.requests.len() >= REQUESTS_MAX || waiting >= APP_REQUESTS_MAX;
        full.then_some(Reason::TooManyRequests)
    }

    /// The id of a new request: a made-up one if the app gave none, and another one for the peer if that could take it
    /// for somebody else's.
    pub(super) fn ids_for(&mut self, peer: Id, header: &Header<'_>) -> Ids {
        let Some(own) = header.request_id.clone() else {
            let made_up = self.make_up_id();
            return Ids { own: made_up.clone(), sent: made_up };
        };
        let key = (header.message_type.clone().into_owned(), own.clone());
        let is_ours = |id: &str| key == (control::PING.to_owned(), id.into());
        let is_taken = self.peers.get(peer).is_some_and(|peer| peer.requests.contains_key(&key));
        let is_taken = is_taken || is_ours(control::KEEP_ALIVE_ID) || is_ours(control::LINK_CHECK_ID);
        let sent = if is_taken { self.make_up_id() } else { own.clone() };
        Ids { own, sent }
    }

    /// An id that no other request has: of the connector's life before this one answers may still come.
    fn make_up_id(&mut self) -> MessageId {
        self.requests.made_up += 1;
        let Settings { id, seed, .. } = &self.settings;
        MessageId::Text(format!("{id}#{seed:x}.{}", self.requests.made_up))
    }

    /// The app awaits the answer to what it has sent. If it awaits one under the same id already, it has given that up:
    /// it could not tell the two apart.
    pub(super) fn await_answer(&mut self, app_id: Id, peer_id: Id, header: &Header<'_>, ids: Ids, now: Instant) {
        let message_type = header.message_type.clone().into_owned();
        self.requests.last += 1;
        self.traffic.requests.asked += 1;
        let serial = self.requests.last;
        let Some(peer) = self.peers.get_mut(peer_id) else { return };
        peer.requests.insert((message_type.clone(), ids.sent.clone()), serial);
        let own_key = (peer_id, (message_type.clone(), ids.own.clone()));
        self.requests.waiting.insert(serial, Request { app: app_id, peer: peer_id, message_type, ids });
        if let Some(timeout) = header.await_response_timeout {
            self.timers.arm(Timer::Answer(serial), now + timeout);
        }
        let app = self.conns.get_mut(app_id).and_then(|c| c.app_mut());
        if let Some(older) = app.and_then(|app| app.requests.insert(own_key, serial)) {
            self.take_request(older);
        }
    }

    /// Takes a request out of all tables.
    pub(super) fn take_request(&mut self, serial: u64) -> Option<Asker> {
        let Request { app, peer, message_type, ids } = self.requests.waiting.remove(&serial)?;
        self.timers.disarm(Timer::Answer(serial));
        let Ids { own, sent } = ids;
        let own_id = (own != sent).then(|| own.clone());
        if let Some(entry) = self.peers.get_mut(peer) {
            entry.requests.remove(&(message_type.clone(), sent));
        }
        let own_key = (peer, (message_type, own));
        if let Some(entry) = self.conns.get_mut(app).and_then(|c| c.app_mut())
            && entry.requests.get(&own_key) == Some(&serial)
        {
            entry.requests.remove(&own_key);
        }
        Some(Asker { app, own_id })
    }

    /// Who awaits this answer of `peer`; it is awaited no longer.
    pub(super) fn take_asker(&mut self, peer: Id, header: &Header<'_>) -> Option<Asker> {
        let key = (header.message_type.clone().into_owned(), header.response_id.clone()?);
        let serial = *self.peers.get(peer)?.requests.get(&key)?;
        self.traffic.requests.answered += 1;
        self.take_request(serial)
    }

    /// Gives an app the answer to its request.
    pub(super) fn answer_app(&mut self, asker: Asker, answer: Vec<u8>, now: Instant) {
        let Asker { app, own_id } = asker;
        let answer = match own_id {
            Some(own_id) => with_own_id(&answer, &own_id)
                .unwrap_or_else(|| control::no_answer(Some(&own_id), Reason::HeaderTooLong.word())),
            None => answer,
        };
        self.say_to_asker(app, answer, now);
    }

    fn say_to_asker(&mut self, app: Id, answer: Vec<u8>, now: Instant) {
        if self.conns.get(app).is_some_and(|conn| conn.control.used() > ANSWERS_MAX) {
            let what = format!("it asks and does not read: more than {ANSWERS_MAX} bytes of answers wait for it");
            return self.close(app, Cause::BadInput(what), now);
        }
        self.send_control(app, answer);
    }

    /// Tells who awaits the answer to a request that it will not come.
    fn fail_request(&mut self, serial: u64, error: &str, now: Instant) {
        let Some(own) = self.requests.waiting.get(&serial).map(|request| request.ids.own.clone()) else { return };
        if let Some(asker) = self.take_request(serial) {
            self.traffic.requests.failed += 1;
            self.say_to_asker(asker.app, control::no_answer(Some(&own), error), now);
        }
    }

    /// The same for a request that the peer would have known by this key.
    pub(super) fn fail_unsent(&mut self, peer: Id, key: &RequestKey, reason: Reason, now: Instant) {
        let serial = self.peers.get(peer).and_then(|peer| peer.requests.get(key).copied());
        if let Some(serial) = serial {
            self.fail_request(serial, reason.word(), now);
        }
    }

    /// The same for all requests to this peer, whose link is gone.
    pub(super) fn fail_requests(&mut self, peer: Id, now: Instant) {
        let serials: Vec<u64> =
            self.peers.get(peer).map(|p| p.requests.values().copied().collect()).unwrap_or_default();
        for serial in serials {
            self.fail_request(serial, DISCONNECTED_DURING_WAIT, now);
        }
    }

    /// The same for all requests, because the connector stops: it takes no answers any more.
    pub(super) fn fail_all_requests(&mut self, now: Instant) {
        let all: Vec<(u64, Id)> = self.requests.waiting.iter().map(|(serial, r)| (*serial, r.app)).collect();
        for (serial, app) in all {
            self.fail_request(serial, Reason::Stopping.word(), now);
            if let Some(app) = self.conns.get_mut(app).and_then(|c| c.app_mut()) {
                app.has_last_words = true;
            }
        }
    }

    pub(super) fn request_overdue(&mut self, serial: u64, now: Instant) {
        self.fail_request(serial, control::TIMEOUT, now);
    }

    /// Whether an app whose request is refused is told so, and keeps its connection: it has said `_hello`, or how long it
    /// waits, which Python apps do not; or it has other requests on this connection, which they do not have either.
    fn takes_errors(&mut self, app: Id) -> bool {
        let app = self.conns.get_mut(app).and_then(|c| c.app_mut());
        app.is_some_and(|app| app.receipts.is_some() || app.sets_timeouts || !app.requests.is_empty())
    }

    /// A request goes nowhere: the app is told, or learns it from the end of its connection.
    pub(super) fn request_refused(
        &mut self,
        app: Id,
        request_id: Option<&MessageId>,
        reason: Reason,
        now: Instant,
    ) -> Step {
        if !self.takes_errors(app) {
            return Step::End(Cause::Done);
        }
        let told = control::no_answer(request_id, reason.word());
        let conn = self.conns.get_mut(app).and_then(|c| c.app_mut());
        let stays = self.settings.preserve_send_socket;
        if stays || conn.is_some_and(|app| !app.requests.is_empty() || app.receipts.is_some()) {
            self.say_to_asker(app, told, now);
        } else {
            self.finish(app, told, Cause::Done, now);
        }
        Step::Taken
    }
}

/// The answer under the id that the app knows; none if there is no room for it in the header.
fn with_own_id(answer: &[u8], own_id: &MessageId) -> Option<Vec<u8>> {
    let frame = Frame::parse(answer).ok()?;
    let header = header::rewrite(frame.header(), &[("response_id", Some(own_id.to_json()))]).ok()?;
    let mut out = Vec::new();
    frame::encode(&header, frame.data(), frame.binary(), &mut out).ok()?;
    Some(out)
}

/// What the answer to this message would be known by, if it awaits one.
pub(super) fn key_of(frame: &[u8]) -> Option<RequestKey> {
    let frame = Frame::parse(frame).ok()?;
    let header = Header::parse(frame.header()).ok().filter(|header| header.await_response)?;
    Some((header.message_type.into_owned(), header.request_id?))
}
