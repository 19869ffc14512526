//! What apps send: each message is checked, addressed and put into its peer's outbox.

use std::borrow::Cow;
use std::time::Instant;

use super::conn::{App, AppMemo, RequestKey};
use super::connector::{Connector, Step};
use super::event::{Cause, Event};
use super::ledger::Reason;
use super::settings::{ANSWERS_MAX, OUTBOX_HIGH, OUTBOX_LOW, REQUESTS_MAX, Settings};
use super::slots::Id;
use crate::wire::control::{self, DISCONNECTED_DURING_WAIT, OVERRIDDEN};
use crate::wire::frame::{self, Frame};
use crate::wire::header::{self, Change, Header, MessageId, json_string};
use crate::wire::names::Role;

impl Connector {
    pub(super) fn app_frame(&mut self, id: Id, frame: &Frame<'_>, now: Instant) -> Step {
        let memo = self.conns.get_mut(id).and_then(|conn| conn.app_mut()?.memo.take());
        let as_before = |memo: &AppMemo| memo.header == frame.header() && memo.with_binary == frame.binary().is_some();
        if let Some(memo) = memo.filter(as_before)
            && let Some(step) = self.forward_as_before(id, frame, &memo)
        {
            self.remember(id, memo);
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
        let step = self.forward(id, frame, &header, now);
        self.after_one(id, step)
    }

    /// Forwards a frame whose header is that of the frame before; `None` if the peer is not as it was.
    fn forward_as_before(&mut self, id: Id, frame: &Frame<'_>, memo: &AppMemo) -> Option<Step> {
        let peer = self.peers.get(memo.peer)?;
        let link = peer.link?;
        Some(self.enqueue(id, memo.peer, link, frame, memo.rewritten.as_deref()))
    }

    fn remember(&mut self, id: Id, memo: AppMemo) {
        if let Some(app) = self.conns.get_mut(id).and_then(|conn| conn.app_mut()) {
            app.memo = Some(memo);
        }
    }

    /// With `uds_path_send_preserve_socket` false an app sends one message a connection, and leaves closing it to the
    /// connector; with a request it stays for the answer.
    fn after_one(&mut self, id: Id, step: Step) -> Step {
        let awaits_answer =
            self.conns.get_mut(id).and_then(|conn| conn.app_mut()).is_some_and(|app| !app.requests.is_empty());
        if matches!(step, Step::Taken) && !self.settings.preserve_send_socket && !awaits_answer {
            return Step::End(Cause::Done);
        }
        step
    }

    fn forward(&mut self, id: Id, frame: &Frame<'_>, header: &Header<'_>, now: Instant) -> Step {
        let destination = match self.settings.role {
            Role::Client => Cow::Owned(self.settings.server_id.clone()),
            Role::Server => Cow::Borrowed(header.destination_id.as_deref().unwrap_or_default()),
        };
        let (peer, link) = match self.way_to(&destination, header) {
            Ok(way) => way,
            Err(reason) => return self.refuse(&destination, header, reason, now),
        };
        let Ok((rewritten, request)) = self.prepare(frame, header, &destination) else {
            return self.refuse(&destination, header, Reason::HeaderTooLong, now);
        };
        let step = self.enqueue(id, peer, link, frame, rewritten.as_deref());
        if let (Step::Taken, Some(request)) = (&step, request) {
            self.await_answer(id, peer, (header.message_type.clone().into_owned(), request), now);
        } else if matches!(step, Step::Taken) && !header.with_file {
            self.remember(
                id,
                AppMemo { header: frame.header().to_vec(), with_binary: header.with_binary, peer, rewritten },
            );
        }
        step
    }

    /// The peer that a message is for, and its link; or why it cannot go there.
    fn way_to(&self, destination: &str, header: &Header<'_>) -> Result<(Id, Id), Reason> {
        if !self.may_send(&header.message_type) {
            return Err(Reason::TypeNotAllowed);
        }
        let Some(peer) = self.peers.find(destination) else {
            return Err(if self.settings.role == Role::Client { Reason::PeerAway } else { Reason::UnknownPeer });
        };
        let link = self.peers.get(peer).and_then(|p| p.link).ok_or(Reason::PeerAway)?;
        if header.await_response && self.requests >= REQUESTS_MAX {
            return Err(Reason::TooManyRequests);
        }
        Ok((peer, link))
    }

    /// A message goes nowhere. Who waits for an answer learns from the end of the connection that none will come.
    fn refuse(&mut self, destination: &str, header: &Header<'_>, reason: Reason, now: Instant) -> Step {
        self.count_drop(destination, &header.message_type, reason, 1, now);
        if header.await_response { Step::End(Cause::Done) } else { Step::Taken }
    }

    fn may_send(&self, message_type: &str) -> bool {
        self.settings.send_types.contains(message_type) || matches!(message_type, control::PING | control::PUBSUB)
    }

    /// The header to send in place of the app's own, if it must be another, and the id of a request that awaits its
    /// answer.
    fn prepare(
        &mut self,
        frame: &Frame<'_>,
        header: &Header<'_>,
        destination: &str,
    ) -> Result<(Option<Vec<u8>>, Option<MessageId>), HeaderTooLong> {
        let mut changes: Vec<Change<'_>> = Vec::new();
        if header.source_id.as_deref() != Some(self.settings.id.as_str()) {
            changes.push(("source_id", Some(json_string(&self.settings.id))));
        }
        if header.destination_id.as_deref() != Some(destination) {
            changes.push(("destination_id", Some(json_string(destination))));
        }
        let mut request = None;
        if header.await_response {
            let id = header.request_id.clone().unwrap_or_else(|| self.make_up_id());
            if header.request_id.is_none() {
                changes.push(("request_id", Some(id.to_json())));
            }
            request = Some(id);
        }
        if header.with_file {
            changes.push(("with_file", Some(without_file(frame.header()))));
        }
        if changes.is_empty() {
            return Ok((None, request));
        }
        let rewritten = header::rewrite(frame.header(), &changes).map_err(|_| HeaderTooLong)?;
        if rewritten.len() > frame::HEADER_MAX {
            return Err(HeaderTooLong);
        }
        Ok((Some(rewritten), request))
    }

    /// An id that no other request has: of the connector's life before this one answers may still come.
    fn make_up_id(&mut self) -> MessageId {
        self.made_up_ids += 1;
        let Settings { id, seed, .. } = &self.settings;
        MessageId::Text(format!("{id}#{seed:x}.{}", self.made_up_ids))
    }

    /// Puts a frame into a connected peer's outbox, or makes the app wait.
    fn enqueue(&mut self, app: Id, peer_id: Id, link: Id, frame: &Frame<'_>, header: Option<&[u8]>) -> Step {
        let Some(peer) = self.peers.get_mut(peer_id) else { return Step::Taken };
        if peer.outbox.used() >= OUTBOX_HIGH {
            peer.blocked.push(app);
            return Step::Blocked;
        }
        let pushed = match header {
            None => peer.outbox.push(&[frame.bytes()], 0, None),
            Some(header) => match frame::prefix(header.len(), frame.after_header().len()) {
                Ok(prefix) => peer.outbox.push(&[&prefix, header, frame.after_header()], 0, None),
                Err(error) => return Step::End(Cause::BadInput(error.to_string())),
            },
        };
        if pushed.is_err() {
            peer.blocked.push(app);
            return Step::Blocked;
        }
        self.want_write(link);
        Step::Taken
    }

    fn await_answer(&mut self, app_id: Id, peer_id: Id, key: RequestKey, now: Instant) {
        let Some(peer) = self.peers.get_mut(peer_id) else { return };
        // The newer of two requests with one id gets the answer, as with the Python connector.
        match peer.requests.insert(key.clone(), app_id) {
            None => self.requests += 1,
            Some(older) => self.forget_older(older, peer_id, &key, app_id, now),
        }
        if let Some(app) = self.conns.get_mut(app_id).and_then(|c| c.app_mut()) {
            app.requests.insert((peer_id, key));
        }
    }

    /// Another request has come under the id of one that was waiting, which will get no answer.
    fn forget_older(&mut self, older: Id, peer: Id, key: &RequestKey, newer: Id, now: Instant) {
        if older == newer {
            return;
        }
        if let Some(app) = self.conns.get_mut(older).and_then(|c| c.app_mut()) {
            app.requests.remove(&(peer, key.clone()));
        }
        self.answer_app(older, control::no_answer(&key.1, OVERRIDDEN), now);
    }

    /// The app's connection that awaits this answer of `peer`; it is awaited no longer.
    pub(super) fn take_asker(&mut self, peer: Id, header: &Header<'_>) -> Option<Id> {
        let key = (header.message_type.clone().into_owned(), header.response_id.clone()?);
        let asker = self.peers.get_mut(peer)?.requests.remove(&key)?;
        self.requests -= 1;
        if let Some(app) = self.conns.get_mut(asker).and_then(|c| c.app_mut()) {
            app.requests.remove(&(peer, key));
        }
        Some(asker)
    }

    /// Gives an app the answer to its request.
    pub(super) fn answer_app(&mut self, asker: Id, frame: Vec<u8>, now: Instant) {
        if self.conns.get(asker).is_some_and(|conn| conn.control.used() > ANSWERS_MAX) {
            let what = format!("it asks and does not read: more than {ANSWERS_MAX} bytes of answers wait for it");
            return self.close(asker, Cause::BadInput(what), now);
        }
        self.send_control(asker, frame);
    }

    /// Tells all who await an answer of this peer that it will not come.
    pub(super) fn fail_requests(&mut self, peer: Id, now: Instant) {
        let Some(entry) = self.peers.get_mut(peer) else { return };
        let requests = std::mem::take(&mut entry.requests);
        self.requests -= requests.len();
        for (key, asker) in requests {
            self.answer_app(asker, control::no_answer(&key.1, DISCONNECTED_DURING_WAIT), now);
            if let Some(app) = self.conns.get_mut(asker).and_then(|c| c.app_mut()) {
                app.requests.remove(&(peer, key));
            }
        }
    }

    pub(super) fn app_closed(&mut self, id: Id, app: App, cause: Cause) {
        for (peer, key) in app.requests {
            let Some(peer) = self.peers.get_mut(peer) else { continue };
            if peer.requests.get(&key) == Some(&id) {
                peer.requests.remove(&key);
                self.requests -= 1;
            }
        }
        if let Cause::BadInput(_) | Cause::SendTimeout(_) = cause {
            self.tell(Event::AppRefused { cause });
        }
    }

    /// The connections that waited for room in a peer's outbox, if there is enough now.
    pub(super) fn take_waiting_for_peer(&mut self, peer: Id) -> Vec<Id> {
        match self.peers.get_mut(peer) {
            Some(peer) if peer.outbox.used() <= OUTBOX_LOW => std::mem::take(&mut peer.blocked),
            _ => Vec::new(),
        }
    }
}

/// A header that has no room for what the connector must write into it.
struct HeaderTooLong;

/// The value of `with_file` for a message whose file is not sent.
fn without_file(header: &[u8]) -> String {
    let header: serde_json::Value = serde_json::from_slice(header).unwrap_or_default();
    let mut with_file = header.get("with_file").cloned().unwrap_or_default();
    if let Some(object) = with_file.as_object_mut() {
        object.insert("file_error".to_owned(), Cow::Borrowed("this connector does not send files yet").into());
    }
    with_file.to_string()
}
