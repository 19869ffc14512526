//! Publishing: messages of peers and apps that a broker puts into topics.

use std::time::Instant;

use super::conn::PublishMemo;
use super::connector::{Connector, Step};
use super::event::Cause;
use super::file_lane::with_file_error;
use super::for_app::changed_for_app;
use super::frame_out::has_room_for_file;
use super::lane_in::Came;
use super::ledger::Reason;
use super::outbox::Queued;
use super::publish_file::{Brings, OfApp};
use super::slots::Id;
use super::topics::{Published, Publisher};
use crate::wire::control;
use crate::wire::frame::{self, Frame};
use crate::wire::header::{self, Change, Header, json_string};
use crate::wire::record::Origin;
use crate::wire::topics;
use crate::wire::with_file::WithFile;

/// What subscribers get of a publication.
struct ForSubscribers {
    header: Vec<u8>,
    /// What stands behind the header, if that is not as it came.
    rest: Option<Vec<u8>>,
}

impl Connector {
    /// A message for the broker itself that came in a lane.
    pub(super) fn for_broker(
        &mut self,
        id: Id,
        peer: Id,
        frame: &Frame<'_>,
        header: &Header<'_>,
        origin: Origin,
        now: Instant,
    ) -> Came {
        if header.publishes.is_none() {
            return match self.subscriber_says(id, peer, frame, header, now) {
                Step::End(cause) => Came::End(cause),
                _ => Came::Done(None),
            };
        }
        match self.publish_from(id, frame, header, &Brings::Nothing, Some(origin), now) {
            Ok(published) => Came::Published(published),
            Err(cause) => Came::End(cause),
        }
    }

    /// What follows from a publication that came in a lane: the place moves, unless there is no room for it.
    pub(super) fn lane_published(
        &mut self,
        id: Id,
        lane: usize,
        origin: Origin,
        published: Published,
        (peer, frame): (Id, &Frame<'_>),
        now: Instant,
    ) {
        if let Published::Waits(topic) = published {
            if let Some(topic) = self.topics.get_mut(topic) {
                topic.stopped.push((id, lane as u32));
            }
            self.topics.touch(topic);
            return self.close_lane(id, lane, origin.slot);
        }
        self.places.receive(origin.slot, origin.count);
        if !matches!(published, Published::Refused(_)) {
            self.publication_came(peer, frame.bytes().len());
        }
        match published {
            Published::Stored if self.stored.last() != Some(&origin.slot) => self.stored.push(origin.slot),
            Published::Taken { later: false } => self.places.take(origin),
            Published::Refused(reason) => {
                self.count_publication(peer, frame, reason, now);
                self.places.take(origin);
            }
            Published::Stored | Published::Taken { .. } | Published::Waits(_) => {}
        }
    }

    /// What subscribers get of a message that is published, and the type; or why nobody gets it.
    fn for_subscribers(
        &self,
        frame: &Frame<'_>,
        header: &Header<'_>,
        brings: &Brings,
    ) -> Result<Result<ForSubscribers, Reason>, Cause> {
        let message_type = header.publishes.as_deref().unwrap_or_default();
        if topics::check_published(message_type).is_err() {
            return Ok(Err(Reason::TypeNotAllowed));
        }
        // With a binary that a Python connector has left out. The bytes of a file are not in it.
        let as_said = Header { with_file: false, ..header.clone() };
        let changed = changed_for_app(frame, &as_said)?;
        let changed_frame = match changed.as_deref().map(Frame::parse) {
            Some(Ok(frame)) => Some(frame),
            Some(Err(error)) => return Err(Cause::BadInput(error.to_string())),
            None => None,
        };
        let frame = changed_frame.as_ref().unwrap_or(frame);
        let mut changes: Vec<Change<'_>> = vec![
            ("message_type", Some(json_string(message_type))),
            ("source_id", Some(json_string(&self.settings.id))),
        ];
        for key in ["message_type_publish", "destination_id", "await_response", "wait_for_ack", "transport_id"] {
            changes.push((key, None));
        }
        let with_file = WithFile::of(frame.header());
        let own = frame.binary().map_or(0, <[u8]>::len);
        let without = |why: &str| Some(with_file_error(frame.header(), why, own));
        let said = match (brings, with_file.error()) {
            (Brings::Kept(path), _) => Some(with_file.kept_at(path).to_json()),
            (Brings::Failed(why), _) => without(why),
            (Brings::Nothing, Some(why)) => without(&why),
            (Brings::Nothing, None) => without("its file did not come with it"),
        };
        if header.with_file {
            changes.push(("with_file", said));
        }
        let has_room = |rewritten: &[u8]| match brings {
            Brings::Kept(_) => has_room_for_file(rewritten),
            _ => rewritten.len() <= frame::HEADER_MAX,
        };
        let rewritten = match header::rewrite(frame.header(), &changes) {
            Ok(rewritten) if has_room(&rewritten) => rewritten,
            _ => return Ok(Err(Reason::HeaderTooLong)),
        };
        let rest = changed_frame.as_ref().map(|frame| frame.after_header().to_vec());
        Ok(Ok(ForSubscribers { header: rewritten, rest }))
    }

    /// A peer on this link publishes a message.
    pub(super) fn publish_from(
        &mut self,
        id: Id,
        frame: &Frame<'_>,
        header: &Header<'_>,
        brings: &Brings,
        origin: Option<Origin>,
        now: Instant,
    ) -> Result<Published, Cause> {
        let publisher = Publisher { origin, keeps: origin.is_some() };
        let (published, memo) = self.publish(frame, header, brings, publisher, now)?;
        if let Some(link) = self.conns.get_mut(id).and_then(|c| c.link_mut()) {
            link.published = memo.map(Box::new);
        }
        Ok(published)
    }

    /// The same, if the message has the header of the one before.
    pub(super) fn publish_again(
        &mut self,
        id: Id,
        frame: &Frame<'_>,
        origin: Option<Origin>,
        now: Instant,
    ) -> Option<Published> {
        let link = self.conns.get_mut(id)?.link_mut()?;
        let memo = link.published.take()?;
        let is_same = memo.header == frame.header() && memo.with_binary == frame.binary().is_some();
        if !is_same || self.topics.get(memo.topic).is_none() {
            return None;
        }
        let prefix = frame::prefix(memo.rewritten.len(), frame.after_header().len()).ok()?;
        let publisher = Publisher { origin, keeps: origin.is_some() };
        let parts: [&[u8]; 3] = [&prefix, &memo.rewritten, frame.after_header()];
        let published = self.push_topic(memo.topic, &parts, publisher, now);
        if let Some(link) = self.conns.get_mut(id).and_then(|c| c.link_mut()) {
            link.published = Some(memo);
        }
        Some(published)
    }

    fn publish(
        &mut self,
        frame: &Frame<'_>,
        header: &Header<'_>,
        brings: &Brings,
        publisher: Publisher,
        now: Instant,
    ) -> Result<(Published, Option<PublishMemo>), Cause> {
        let made = match self.for_subscribers(frame, header, brings)? {
            Ok(made) => made,
            Err(reason) => return Ok((self.not_published(brings, reason), None)),
        };
        let has_file = matches!(brings, Brings::Kept(_));
        let topic = match self.topic_for(header.publishes.as_deref().unwrap_or_default(), has_file, now) {
            Ok(Some(topic)) => topic,
            Ok(None) => return Ok((self.not_published(brings, Reason::NoSubscriber), None)),
            Err(reason) => return Ok((self.not_published(brings, reason), None)),
        };
        let rest = made.rest.as_deref().unwrap_or(frame.after_header());
        let prefix = frame::prefix(made.header.len(), rest.len()).map_err(|e| Cause::BadInput(e.to_string()))?;
        let published = self.push_topic(topic, &[&prefix, &made.header, rest], publisher, now);
        if header.with_file {
            let published = self.published_with_file(topic, brings, published);
            return Ok((published, None));
        }
        let (header, with_binary) = (frame.header().to_vec(), frame.binary().is_some());
        let memo = PublishMemo { header, with_binary, topic, rewritten: made.header };
        // A number in the header is another each time, and is acknowledged.
        Ok((published, made.rest.is_none().then_some(memo)))
    }

    /// What follows from a publication that came in a plain frame.
    pub(super) fn after_publication(
        &mut self,
        id: Id,
        peer: Id,
        frame: &Frame<'_>,
        transport_id: Option<u64>,
        published: Published,
        now: Instant,
    ) -> Step {
        match published {
            Published::Waits(topic) => {
                self.wait_for_topic(topic, id);
                return Step::Blocked;
            }
            Published::Refused(reason) => self.count_publication(peer, frame, reason, now),
            Published::Stored | Published::Taken { .. } => self.publication_came(peer, frame.bytes().len()),
        }
        if let Some(number) = transport_id {
            self.send_control(id, control::ack(&self.settings.id, number));
        }
        Step::Taken
    }

    /// A publication of a peer goes to nobody.
    pub(super) fn count_publication(&mut self, peer: Id, frame: &Frame<'_>, reason: Reason, now: Instant) {
        let header = Header::parse(frame.header()).unwrap_or_default();
        let message_type = header.publishes.unwrap_or_default();
        let name = self.peers.get(peer).map(|peer| peer.name.clone()).unwrap_or_default();
        self.count_drop(&name, &message_type, reason, 1, now);
    }

    /// An app on the broker's machine publishes a message.
    pub(super) fn publish_of_app(&mut self, id: Id, frame: &Frame<'_>, header: &Header<'_>, now: Instant) -> Queued {
        let brings = match self.file_of_app(id, frame, header, now) {
            OfApp::Ready(brings) => brings,
            OfApp::Waits => return Queued::Blocked,
        };
        let origin = self.next_origin(id);
        let published = match self.publish(frame, header, &brings, Publisher { origin, keeps: false }, now) {
            Ok((published, _)) => published,
            Err(cause) => return Queued::End(cause),
        };
        self.file_of_app_is_published(id, &published);
        match published {
            Published::Waits(topic) => {
                self.wait_for_topic(topic, id);
                return Queued::Blocked;
            }
            Published::Refused(Reason::NoSubscriber) => {
                let message_type = header.publishes.as_deref().unwrap_or_default().to_owned();
                let own = self.settings.id.clone();
                self.count_drop(&own, &message_type, Reason::NoSubscriber, 1, now);
            }
            Published::Refused(reason) => return Queued::Refused(reason),
            Published::Stored => {}
            Published::Taken { .. } => self.lies_in_memory(origin, now),
        }
        // With the broker it is where it was to go.
        self.delivered(origin.as_slice());
        Queued::Taken
    }
}
