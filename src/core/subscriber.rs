//! Subscribing: what a broker is told by its peers, and what a client tells its broker.
//!
//! A client says what it subscribes to as soon as its link is up. A broker of ours on a link of the second kind is told
//! that this is all: what it has remembered besides ends. Else subscriptions end with the connection, but a Python
//! broker may not have noticed the end of the last one, and would then send everything twice; so they are ended first.
//!
//! What a client subscribes to it also receives: by a pattern, inboxes are made as messages of new types come.

use std::time::Instant;

use serde_json::{Value, json};

use super::connector::{Connector, Step};
use super::delivery::Inbox;
use super::durable::RingName;
use super::event::{Cause, Event, Output};
use super::settings::{Covered, Settings};
use super::slots::Id;
use crate::wire::admin::Request;
use crate::wire::frame::Frame;
use crate::wire::header::Header;
use crate::wire::names::Role;
use crate::wire::topics::{self, Pattern, SUBSCRIPTIONS_MAX, Subscribes};

/// Most inboxes: those of patterns are made as messages of new types come.
const INBOXES_MAX: usize = 2048;

/// The types that have an inbox from the start.
pub(super) fn received_types(settings: &Settings) -> Vec<String> {
    let mut types = settings.recv_types.clone();
    for pattern in &settings.subscribe {
        if pattern.is_type() && !types.iter().any(|known| known == pattern.text()) {
            types.push(pattern.text().to_owned());
        }
    }
    types
}

impl Connector {
    /// A peer says what it subscribes to, or not any more.
    pub(super) fn subscriber_says(
        &mut self,
        id: Id,
        peer_id: Id,
        frame: &Frame<'_>,
        header: &Header<'_>,
        now: Instant,
    ) -> Step {
        let said = match Subscribes::parse(header, frame.data()) {
            Ok(said) => said,
            Err(error) => return Step::End(Cause::BadInput(error.to_string())),
        };
        let Some(name) = self.peers.get(peer_id).filter(|p| p.link == Some(id)).map(|p| p.name.clone()) else {
            return Step::Taken;
        };
        let keeps = self.conns.get(id).and_then(|c| c.link()).is_some_and(|link| link.link2.is_some());
        let mut refused = None;
        for text in &said.to {
            if let Err(why) = self.subscribe_peer(&name, text, keeps) {
                refused.get_or_insert((text, why));
            }
        }
        if let Some((text, why)) = refused {
            self.tell(Event::SubscriptionRefused { peer: name.clone(), pattern: text.clone(), why });
        }
        let is_over =
            |text: &str| said.no_more.iter().any(|t| t == text) || (said.all && !said.to.iter().any(|t| t == text));
        self.end_some(&name, is_over);
        self.match_readers(peer_id, &name, now);
        Step::Taken
    }

    fn subscribe_peer(&mut self, name: &str, text: &str, keeps: bool) -> Result<(), String> {
        let pattern = Pattern::parse(text).map_err(|error| error.to_string())?;
        let all = self.topics.subscriptions.of(name);
        if all.len() >= SUBSCRIPTIONS_MAX && !all.iter().any(|s| s.pattern == pattern) {
            return Err(format!("it has {SUBSCRIPTIONS_MAX} subscriptions, which is the most"));
        }
        let lasts = keeps && self.may_last(&pattern);
        let since = self.stamp;
        match self.topics.subscriptions.add(name, pattern.clone(), lasts, since) {
            Ok(_) => Ok(()),
            Err(why) => {
                // It gets what is published while it is there all the same.
                _ = self.topics.subscriptions.add(name, pattern, false, since);
                Err(format!("not while it is away: {why}"))
            }
        }
    }

    /// Whether something that a pattern stands for is stored.
    fn may_last(&self, pattern: &Pattern) -> bool {
        match &self.settings.persist_send {
            Covered::None => false,
            Covered::All => true,
            Covered::Types(types) => types.iter().any(|message_type| pattern.matches(message_type)),
        }
    }

    /// Ends those subscriptions of a peer whose text is meant.
    fn end_some(&mut self, name: &str, is_meant: impl Fn(&str) -> bool) {
        let lasting = self.topics.subscriptions.of(name).iter();
        let lasting = lasting.filter(|s| s.lasts() && is_meant(s.pattern.text())).count();
        self.topics.subscriptions.end(name, |s| is_meant(s.pattern.text()));
        if lasting > 0 {
            self.tell(Event::SubscriptionEnded { peer: name.to_owned(), count: lasting });
        }
    }

    /// A peer reads the topics that it subscribes to, and no others.
    pub(super) fn match_readers(&mut self, peer_id: Id, name: &str, _now: Instant) {
        self.topics.changed();
        let mut wanted = Vec::new();
        for (topic_id, topic) in self.topics.iter() {
            let all = self.topics.subscriptions.of(name).iter();
            let mut matching = all.filter(|s| s.pattern.matches(&topic.message_type)).peekable();
            if matching.peek().is_some() && self.gets(name, &topic.message_type) {
                let lasts = topic.durable && matching.any(|s| s.lasts());
                wanted.push((topic_id, lasts));
            }
        }
        for topic in self.topics_of(peer_id) {
            if !wanted.iter().any(|(id, _)| *id == topic) {
                self.remove_reader(topic, peer_id);
            }
        }
        let since = self.stamp;
        for (topic, lasts) in wanted {
            self.add_reader(topic, name, lasts, since);
        }
    }

    /// A peer's link has ended, or a new one begins: subscriptions end that do not last.
    pub(super) fn end_of_subscriber(&mut self, peer_id: Id) {
        let Some(name) = self.peers.get(peer_id).map(|peer| peer.name.clone()) else { return };
        self.topics.subscriptions.end(&name, |s| !s.lasts());
        self.rewind_feeds(peer_id);
    }

    /// Whether this connector hands what is published to those who subscribed.
    #[must_use]
    pub fn is_broker(&self) -> bool {
        self.settings.pubsub_broker
    }

    /// Whether this client subscribes to a type.
    pub(super) fn is_subscribed(&self, message_type: &str) -> bool {
        self.settings.subscribe.iter().any(|pattern| pattern.matches(message_type))
    }

    /// The inbox of a type; made if this client subscribes to it by a pattern.
    pub(super) fn inbox_for(&mut self, message_type: &str) -> Option<usize> {
        if let Some(inbox) = self.inbox_of_type.get(message_type) {
            return Some(*inbox);
        }
        let is_type = topics::check_published(message_type).is_ok();
        if !is_type || self.inboxes.len() >= INBOXES_MAX || !self.is_subscribed(message_type) {
            return None;
        }
        let index = self.inboxes.len();
        let mut inbox = Inbox::new(message_type, self.settings.seed);
        if self.settings.persist_recv.covers(message_type) {
            inbox.lacks_file = true;
            // Not while what is stored from before is given: it comes of itself.
            if self.began.is_some() {
                inbox.opening = true;
                self.outputs.push_back(Output::OpenRing(RingName::Inbox { message_type: message_type.to_owned() }));
            }
        }
        self.inboxes.push(inbox);
        self.inbox_of_type.insert(message_type.to_owned(), index);
        Some(index)
    }

    /// A client's link is up: it says what it subscribes to.
    pub(super) fn subscribe(&mut self, id: Id) {
        if self.settings.role == Role::Client && !self.settings.subscribe.is_empty() {
            self.say_subscriptions(id);
        }
    }

    fn say_subscriptions(&mut self, id: Id) {
        self.subscribed_on = Some(id);
        let to: Vec<String> = self.settings.subscribe.iter().map(|pattern| pattern.text().to_owned()).collect();
        let Some(link) = self.conns.get(id).and_then(|c| c.link()) else { return };
        let all = link.link2.is_some();
        if !all {
            let ends = Subscribes { no_more: to.clone(), ..Subscribes::default() };
            let ends = ends.encode(&self.settings.id);
            self.send_control(id, ends);
        }
        let said = Subscribes { to, all, ..Subscribes::default() }.encode(&self.settings.id);
        self.send_control(id, said);
    }

    /// A lane comes; if it brings what this client does not subscribe to, the broker remembers too much.
    pub(super) fn check_subscribed(&mut self, id: Id, lane: &str) {
        let Some(message_type) = topics::type_of_lane(lane) else { return };
        let is_client = self.settings.role == Role::Client;
        if is_client && !self.is_subscribed(message_type) && self.subscribed_on != Some(id) {
            self.say_subscriptions(id);
        }
    }

    /// The connector stops: what does not last ends.
    pub(super) fn unsubscribe(&mut self) {
        let Some(id) = self.subscribed_on.filter(|id| self.conns.get(*id).is_some_and(super::conn::Conn::is_up)) else {
            return;
        };
        let is_plain = self.conns.get(id).and_then(|c| c.link()).is_some_and(|link| link.link2.is_none());
        if is_plain && !self.settings.subscribe.is_empty() {
            let no_more = self.settings.subscribe.iter().map(|pattern| pattern.text().to_owned()).collect();
            let said = Subscribes { no_more, ..Subscribes::default() }.encode(&self.settings.id);
            self.send_control(id, said);
        }
    }

    /// What this client subscribes to, for an admin. A server subscribes to nothing.
    pub(super) fn shown_subscriptions(&self) -> Value {
        let texts = self.settings.subscribe.iter().map(Pattern::text);
        if self.settings.role == Role::Client { texts.collect() } else { json!([]) }
    }

    /// An admin says what this client subscribes to from now on.
    pub(super) fn set_subscriptions(&mut self, request: &Request) -> Value {
        if self.settings.role == Role::Server {
            return json!([]);
        }
        let patterns = match asked_patterns(request) {
            Ok(patterns) => patterns,
            Err(why) => return json!({"status": false, "msg": why}),
        };
        let old = std::mem::replace(&mut self.settings.subscribe, patterns);
        let texts = |of: &[Pattern], not_in: &[Pattern]| -> Vec<String> {
            of.iter().filter(|p| !not_in.contains(p)).map(|p| p.text().to_owned()).collect()
        };
        let said = [
            Subscribes { no_more: texts(&old, &self.settings.subscribe), ..Subscribes::default() },
            Subscribes { to: texts(&self.settings.subscribe, &old), ..Subscribes::default() },
        ];
        let link = self.peers.find(&self.settings.server_id).and_then(|id| self.peers.get(id)?.link);
        if let Some(link) = link {
            for said in said.into_iter().filter(|said| *said != Subscribes::default()) {
                self.subscribed_on = Some(link);
                let said = said.encode(&self.settings.id);
                self.send_control(link, said);
            }
        }
        self.shown_subscriptions()
    }

    /// An admin ends what a peer has subscribed to for good, on a broker.
    pub(super) fn end_subscriptions(&mut self, request: &Request) -> Value {
        let Some(name) = request.arguments.get("client_id").and_then(Value::as_str).map(str::to_owned) else {
            return json!({"status": false, "msg": "the argument client_id with a client's name is expected"});
        };
        let count = self.topics.subscriptions.of(&name).len();
        self.end_some(&name, |_| true);
        if let Some(peer) = self.peers.find(&name) {
            for topic in self.topics_of(peer) {
                self.remove_reader(topic, peer);
            }
        }
        self.topics.changed();
        json!({"status": count > 0, "msg": format!("{count} subscriptions of {name} ended")})
    }
}

fn asked_patterns(request: &Request) -> Result<Vec<Pattern>, String> {
    let asked = request.arguments.get("message_types").and_then(Value::as_array);
    let asked = asked.ok_or("the argument message_types with a list of types is expected")?;
    let mut patterns = Vec::new();
    for text in asked {
        let text = text.as_str().ok_or("the argument message_types must have texts only")?;
        let pattern = Pattern::parse(text).map_err(|error| format!("{text:?} cannot be subscribed to: {error}"))?;
        if !patterns.contains(&pattern) {
            patterns.push(pattern);
        }
    }
    if patterns.len() > SUBSCRIPTIONS_MAX {
        return Err(format!("{} subscriptions, {SUBSCRIPTIONS_MAX} is the most", patterns.len()));
    }
    Ok(patterns)
}
