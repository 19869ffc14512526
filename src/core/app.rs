//! What apps send: each message is checked, addressed and put into its peer's outbox.

use std::borrow::Cow;
use std::time::Instant;

use super::conn::{App, AppMemo};
use super::connector::{Connector, Step};
use super::event::{Cause, Event};
use super::file_lane::{Attached, with_file_error};
use super::frame_out::has_room_for_file;
use super::ledger::Reason;
use super::outbox::{Letter, Queued};
use super::requests::Ids;
use super::rules::Caller;
use super::settings::PEERS_MAX;
use super::slots::Id;
use crate::wire::control;
use crate::wire::file::lane_name;
use crate::wire::frame::{self, Frame};
use crate::wire::header::{self, Change, Header, MessageId, json_string};
use crate::wire::names::{Role, validate_client_name};
use crate::wire::record;

impl Connector {
    pub(super) fn app_frame(&mut self, id: Id, frame: &Frame<'_>, now: Instant) -> Step {
        if let Some(step) = self.before_message(id) {
            return step;
        }
        let memo = self.conns.get_mut(id).and_then(|conn| conn.app_mut()?.memo.take());
        let as_before = |memo: &AppMemo| memo.header == frame.header() && memo.with_binary == frame.binary().is_some();
        if let Some(memo) = memo.filter(as_before)
            && self.peers.get(memo.peer).is_some_and(|peer| peer.is_there() || peer.lanes[memo.lane].durable)
        {
            let letter = Letter { frame, header: memo.rewritten.as_deref(), flags: 0, origin: self.next_origin(id) };
            let queued = self.enqueue(id, memo.peer, memo.lane, &letter, now);
            let destination = if let Queued::Refused(_) = queued { self.name_of(memo.peer) } else { String::new() };
            let message_type = if destination.is_empty() { String::new() } else { self.type_of(memo.peer, memo.lane) };
            self.remember(id, memo);
            let step = self.after_queued(id, queued, &destination, &message_type, None, now);
            return self.after_one(id, step);
        }
        let header = match Header::parse(frame.header()) {
            Ok(header) => header,
            Err(error) => return Step::End(Cause::BadInput(error.to_string())),
        };
        if header.with_binary != frame.binary().is_some() {
            let what = "the header's \"with_binary\" and the parts of the frame do not agree";
            return Step::End(Cause::BadInput(what.to_owned()));
        }
        if header.message_type == control::APP_HELLO {
            return self.app_hello(id, frame, &header, now);
        }
        if header.await_response_timeout.is_some()
            && let Some(app) = self.conns.get_mut(id).and_then(|conn| conn.app_mut())
        {
            app.sets_timeouts = true;
        }
        let destination = match self.settings.role {
            Role::Client => Cow::Owned(self.settings.server_id.clone()),
            Role::Server => Cow::Borrowed(header.destination_id.as_deref().unwrap_or_default()),
        };
        let is_for_broker = self.settings.pubsub_broker && header.message_type == control::PUBSUB;
        let published = header.publishes.as_deref().filter(|_| is_for_broker);
        let queued = if !self.app_may(id, &header) {
            Queued::Refused(Reason::NotPermitted)
        } else if published.is_some() {
            self.publish_of_app(id, frame, &header, now)
        } else {
            self.forward(id, frame, &header, &destination, now)
        };
        let (destination, message_type) = match published {
            Some(message_type) => (Cow::Owned(self.settings.id.clone()), message_type),
            None => (destination, header.message_type.as_ref()),
        };
        let request = header.await_response.then_some(header.request_id.as_ref());
        let step = self.after_queued(id, queued, &destination, message_type, request, now);
        self.after_one(id, step)
    }

    fn name_of(&self, peer: Id) -> String {
        self.peers.get(peer).map(|peer| peer.name.clone()).unwrap_or_default()
    }

    fn type_of(&self, peer: Id, lane: usize) -> String {
        self.peers.get(peer).map(|peer| peer.lanes[lane].message_type.clone()).unwrap_or_default()
    }

    /// Tells the app what became of its message, if it wants to know. A message that goes nowhere is counted. `request` is
    /// there if it awaits an answer: its id, if it gave one.
    fn after_queued(
        &mut self,
        id: Id,
        queued: Queued,
        destination: &str,
        message_type: &str,
        request: Option<Option<&MessageId>>,
        now: Instant,
    ) -> Step {
        if let Some(app) = self.conns.get_mut(id).and_then(|conn| conn.app_mut()) {
            app.has_sent = true;
        }
        match queued {
            Queued::Taken => {
                self.passed(id, None);
                Step::Taken
            }
            Queued::Refused(reason) => {
                self.count_drop(destination, message_type, reason, 1, now);
                self.passed(id, Some(reason));
                match request {
                    Some(request_id) => self.request_refused(id, request_id, reason, now),
                    None => Step::Taken,
                }
            }
            Queued::Blocked => Step::Blocked,
            Queued::End(cause) => Step::End(cause),
        }
    }

    fn remember(&mut self, id: Id, memo: AppMemo) {
        if let Some(app) = self.conns.get_mut(id).and_then(|conn| conn.app_mut()) {
            app.memo = Some(memo);
        }
    }

    /// With `uds_path_send_preserve_socket` false an app sends one message a connection, and leaves closing it to the
    /// connector; with a request it stays for the answer, and with receipts for these.
    fn after_one(&mut self, id: Id, step: Step) -> Step {
        let stays = |app: &mut App| !app.requests.is_empty() || app.receipts.is_some();
        let Some(conn) = self.conns.get_mut(id).filter(|conn| conn.closing.is_none()) else { return step };
        let stays = conn.app_mut().is_some_and(stays);
        if matches!(step, Step::Taken) && !self.settings.preserve_send_socket && !stays {
            return Step::End(Cause::Done);
        }
        step
    }

    fn forward(&mut self, id: Id, frame: &Frame<'_>, header: &Header<'_>, destination: &str, now: Instant) -> Queued {
        let file_error = if header.with_file { self.lacks_file(frame, header) } else { None };
        let with_file = header.with_file && file_error.is_none();
        let (peer, lane) = match self.way_to(id, destination, header, with_file) {
            Ok(way) => way,
            Err(reason) => return Queued::Refused(reason),
        };
        // The number that a message must be acknowledged by is known when its queue is.
        match self.open_lane(peer, lane, now) {
            Ok(true) => {}
            Ok(false) => return self.wait_for_lane(id, peer, lane),
            Err(reason) => return Queued::Refused(reason),
        }
        let number = self.ack_number(peer, lane, header);
        let ids = header.await_response.then(|| self.ids_for(peer, header));
        let Ok(rewritten) = self.prepare(frame, header, destination, number, ids.as_ref(), file_error) else {
            return Queued::Refused(Reason::HeaderTooLong);
        };
        let flags = if number.is_some() { record::WAITS_ACK } else { 0 };
        let letter = Letter { frame, header: rewritten.as_deref(), flags, origin: self.next_origin(id) };
        let queued = self.enqueue(id, peer, lane, &letter, now);
        if let (Queued::Taken, Some(ids)) = (&queued, ids) {
            self.await_answer(id, peer, header, ids, now);
        } else if matches!(queued, Queued::Taken) && !header.with_file && number.is_none() {
            let (header, with_binary) = (frame.header().to_vec(), header.with_binary);
            self.remember(id, AppMemo { header, with_binary, peer, lane, rewritten });
        }
        queued
    }

    /// Why a message that is to have a file goes without it, if that is known from its header already.
    fn lacks_file(&self, frame: &Frame<'_>, header: &Header<'_>) -> Option<&'static str> {
        let is_published = header.message_type == control::PUBSUB && header.publishes.is_some();
        if header.message_type.starts_with('_') && !is_published {
            return Some("no file goes with a connector's own message");
        }
        Attached::read(frame.header()).err()
    }

    /// The peer that a message is for, and its lane; or why it cannot go there.
    fn way_to(
        &mut self,
        app: Id,
        destination: &str,
        header: &Header<'_>,
        with_file: bool,
    ) -> Result<(Id, usize), Reason> {
        if !self.may_send(&header.message_type) {
            return Err(Reason::TypeNotAllowed);
        }
        if let Some(reason) = self.refused_to(destination, header) {
            return Err(reason);
        }
        let lane_type = self.lane_type(header);
        let durable = self.settings.persist_send.covers(lane_type) || lane_type == control::PUBSUB_STORED;
        let peer = match self.peers.find(destination) {
            Some(peer) => peer,
            None if durable && self.may_be_peer(destination) => self.peers.find_or_add(destination, &self.classes),
            None if self.settings.role == Role::Client => return Err(Reason::PeerAway),
            None => return Err(Reason::UnknownPeer),
        };
        if !durable && self.peers.get(peer).is_none_or(|p| !p.is_there()) {
            return Err(Reason::PeerAway);
        }
        if header.await_response
            && let Some(reason) = self.no_more_requests(app)
        {
            return Err(reason);
        }
        let lane = if with_file { Cow::Owned(lane_name(lane_type)) } else { Cow::Borrowed(lane_type) };
        Ok((peer, self.lane_for(peer, &lane)))
    }

    /// The type of the lane that a message goes in: what is published is stored if the type that it is published under is.
    fn lane_type<'a>(&self, header: &'a Header<'_>) -> &'a str {
        let published = header.publishes.as_deref().filter(|_| header.message_type == control::PUBSUB);
        match published {
            Some(message_type) if self.settings.persist_send.covers(message_type) => control::PUBSUB_STORED,
            _ => &header.message_type,
        }
    }

    /// Whether messages may be stored for one that was not here yet.
    fn may_be_peer(&self, destination: &str) -> bool {
        match self.settings.role {
            Role::Client => destination == self.settings.server_id,
            Role::Server => validate_client_name(destination).is_ok() && self.peers.len() < PEERS_MAX,
        }
    }

    fn may_send(&self, message_type: &str) -> bool {
        self.settings.send_types.contains(message_type) || matches!(message_type, control::PING | control::PUBSUB)
    }

    /// The header to send in place of the app's own, if it must be another.
    fn prepare(
        &self,
        frame: &Frame<'_>,
        header: &Header<'_>,
        destination: &str,
        ack_number: Option<u64>,
        ids: Option<&Ids>,
        file_error: Option<&str>,
    ) -> Result<Option<Vec<u8>>, HeaderTooLong> {
        let mut changes: Vec<Change<'_>> = Vec::new();
        if header.source_id.as_deref() != Some(self.settings.id.as_str()) {
            changes.push(("source_id", Some(json_string(&self.settings.id))));
        }
        if header.destination_id.as_deref() != Some(destination) {
            changes.push(("destination_id", Some(json_string(destination))));
        }
        if let Some(number) = ack_number {
            changes.push(("transport_id", Some(number.to_string())));
        }
        if let Some(ids) = ids.filter(|ids| header.request_id.as_ref() != Some(&ids.sent)) {
            changes.push(("request_id", Some(ids.sent.to_json())));
        }
        if let Some(why) = file_error {
            changes
                .push(("with_file", Some(with_file_error(frame.header(), why, frame.binary().map_or(0, <[u8]>::len)))));
        } else if header.with_file && !has_room_for_file(frame.header()) {
            return Err(HeaderTooLong);
        }
        if changes.is_empty() {
            return Ok(None);
        }
        let rewritten = header::rewrite(frame.header(), &changes).map_err(|_| HeaderTooLong)?;
        if rewritten.len() > frame::HEADER_MAX {
            return Err(HeaderTooLong);
        }
        Ok(Some(rewritten))
    }

    pub(super) fn app_closed(&mut self, id: Id, app: App, caller: Option<Caller>, cause: Cause, now: Instant) {
        if let Some(receipts) = &app.receipts {
            self.detach_session(id, receipts, now);
        }
        self.end_copy(app.copying);
        for serial in app.requests.into_values() {
            self.take_request(serial);
        }
        if let Cause::BadInput(_) | Cause::SendTimeout(_) = cause {
            self.tell(Event::AppRefused { caller, cause });
        }
    }
}

/// A header that has no room for what the connector must write into it.
struct HeaderTooLong;
