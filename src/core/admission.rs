//! Where lists and rules are asked: a client's connection comes, says its name, sends; a message is for it.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::access::{Access, Verdict};
use super::conn::{Conn, Kind, State};
use super::connector::{Connector, Step};
use super::event::{Cause, Event};
use super::gate::{Gate, Wants};
use super::ledger::Reason;
use super::rules::{Bucket, Caller, app_may_receive, app_may_send};
use super::slots::Id;
use super::timers::Timer;
use crate::wire::control;
use crate::wire::header::Header;
use crate::wire::names::Role;

/// Clients whose rule bounds how much they send.
#[derive(Debug, Default)]
pub(super) struct Rates {
    /// The names of those that are connected.
    by_link: HashMap<Id, String>,
    /// What each name has used up. It outlives the connection, so that a new one does not begin anew.
    used: HashMap<String, Used>,
}

#[derive(Debug)]
struct Used {
    messages: Option<Bucket>,
    bytes: Option<Bucket>,
}

impl Used {
    fn wait_until(&self, now: Instant) -> Option<Instant> {
        self.messages.and_then(|bucket| bucket.wait_until(now)).max(self.bytes.and_then(|b| b.wait_until(now)))
    }

    fn is_rested(&self, now: Instant) -> bool {
        [self.messages, self.bytes].iter().flatten().all(|bucket| bucket.is_rested(now))
    }
}

impl Rates {
    fn of(&mut self, link: Id) -> Option<&mut Used> {
        if self.by_link.is_empty() {
            return None;
        }
        self.used.get_mut(self.by_link.get(&link)?)
    }

    pub fn forget_link(&mut self, link: Id) {
        self.by_link.remove(&link);
    }

    /// Forgets names of clients that are not there and have paid for all.
    pub fn tidy(&mut self, now: Instant) {
        let there: HashSet<&String> = self.by_link.values().collect();
        self.used.retain(|name, used| there.contains(name) || !used.is_rested(now));
    }
}

impl Connector {
    /// Says who may come in and who may do what. Before all else; without it all may all.
    pub fn set_access(&mut self, access: Access) {
        self.access = access;
    }

    /// Who may come in and who may do what, as of now.
    #[must_use]
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Takes over all of it while links are up. Clients that may not be here any more are dropped.
    pub fn change_access(&mut self, new: Access, now: Instant) {
        let (client_rules, local_rules) = (self.access.client_rules.clone(), self.access.local_rules.clone());
        self.change_lists(now, |access| *access = new);
        if self.access.client_rules != client_rules || self.access.local_rules != local_rules {
            self.rules_changed(now);
        }
    }

    /// Other rules hold for clients and apps that are connected.
    fn rules_changed(&mut self, now: Instant) {
        // Who waits has a timer, and is counted anew then.
        self.rates = Rates::default();
        let up: Vec<(Id, Id, String)> =
            self.peers.iter().filter_map(|(id, peer)| Some((id, peer.link?, peer.name.clone()))).collect();
        // Client rules are a server's alone.
        let up = if self.settings.role == Role::Server { up } else { Vec::new() };
        for (peer, link, name) in up {
            self.begin_counting(link, &name);
            self.match_readers(peer, &name, now);
        }
        let rules = &self.access.local_rules;
        let receivers = self.conns.iter().filter_map(|(id, conn)| {
            let Kind::Delivery(delivery) = &conn.kind else { return None };
            let message_type = &self.inboxes[delivery.inbox].message_type;
            (!app_may_receive(rules, conn.caller.as_ref(), message_type)).then_some(id)
        });
        for id in receivers.collect::<Vec<Id>>() {
            self.close(id, Cause::NoListener, now);
        }
    }

    /// Says who is at the other end of an app's or an admin's connection that was accepted.
    pub fn set_caller(&mut self, id: Id, caller: Caller) {
        if let Some(conn) = self.conns.get_mut(id) {
            conn.caller = Some(caller);
        }
    }

    pub(super) fn caller(&self, id: Id) -> Option<&Caller> {
        self.conns.get(id)?.caller.as_ref()
    }

    /// Whether a connection from this address is to be accepted: one that is not has been told to the operator.
    pub fn admits(&mut self, remote: SocketAddr, now: Instant) -> bool {
        let why = match self.access.look(remote.ip(), None) {
            Verdict::Open | Verdict::Named => return true,
            // The hook is asked when the name is known.
            Verdict::Unnamed(_) if self.gates.whitelist => return true,
            Verdict::Unnamed(why) | Verdict::Blacklisted(why) => why,
        };
        self.tell_refused(Some(remote), Cause::NotListed { client: None, why }, now);
        false
    }

    /// Server: the client has said its name, and goes to what it wants: by way of the lists, and through the gates.
    pub(super) fn admit(&mut self, id: Id, name: &str, wants: Wants, now: Instant) {
        let Some(remote) = self.conns.get(id).and_then(Conn::link).and_then(|link| link.remote) else { return };
        let behind = match self.access.look(remote.ip(), Some(name)) {
            Verdict::Open => None,
            // The gate is for those whom no whitelist names.
            Verdict::Named => Some(Gate::Whitelist),
            Verdict::Unnamed(_) if self.gates.whitelist => None,
            Verdict::Unnamed(why) | Verdict::Blacklisted(why) => {
                let cause = Cause::NotListed { client: Some(name.to_owned()), why };
                return self.close(id, cause, now);
            }
        };
        self.go_through(id, name, wants, behind, now);
    }

    /// Changes the lists, and drops the clients that could not come in any more.
    pub(super) fn change_lists(&mut self, now: Instant, change: impl FnOnce(&mut Access)) {
        let before = self.access.clone();
        change(&mut self.access);
        // What was found out of messages before may not hold now.
        let ids: Vec<Id> = self.conns.iter().map(|(id, _)| id).collect();
        for id in ids {
            match self.conns.get_mut(id).map(|conn| &mut conn.kind) {
                Some(Kind::Link(link)) => (link.memo, link.published) = (None, None),
                Some(Kind::App(app)) => app.memo = None,
                _ => {}
            }
        }
        if self.settings.role == Role::Client {
            return;
        }
        let links = self.conns.iter().filter_map(|(id, conn)| {
            let link = conn.link()?;
            let name = match link.state {
                State::Up { peer } => self.peers.get(peer).map(|peer| peer.name.clone()),
                _ => link.name.clone(),
            };
            Some((id, link.remote?.ip(), name))
        });
        let links: Vec<(Id, IpAddr, Option<String>)> = links.collect();
        for (id, address, name) in links {
            let why = match self.access.look(address, name.as_deref()) {
                Verdict::Open | Verdict::Named => continue,
                // The hook has let it in, or will be asked.
                Verdict::Unnamed(_)
                    if self.gates.whitelist && before.look(address, name.as_deref()) != Verdict::Named =>
                {
                    continue;
                }
                Verdict::Unnamed(why) | Verdict::Blacklisted(why) => why,
            };
            self.close(id, Cause::NotListed { client: name, why }, now);
        }
    }

    /// Why a message of this peer goes no further, if it is ignored or has no right to send it.
    pub(super) fn refused_from(&self, peer: Id, header: &Header<'_>) -> Option<Reason> {
        let name = &self.peers.get(peer)?.name;
        let message_type = meant_type(header)?;
        if self.access.ignored.covers(name) {
            return Some(Reason::Ignored);
        }
        if self.settings.role == Role::Client {
            return None;
        }
        let rule = self.access.rule_for(name)?;
        (!rule.send.has(message_type)).then_some(Reason::NotPermitted)
    }

    /// Counts a message of this peer that goes no further.
    pub(super) fn not_let_through(&mut self, peer: Id, header: &Header<'_>, now: Instant) -> Option<Step> {
        let reason = self.refused_from(peer, header)?;
        let name = self.peers.get(peer)?.name.clone();
        self.count_drop(&name, meant_type(header)?, reason, 1, now);
        Some(Step::Taken)
    }

    /// The same for one that came in a plain frame, which its peer may want acknowledged.
    pub(super) fn refused_frame(&mut self, id: Id, peer: Id, header: &Header<'_>, now: Instant) -> Option<Step> {
        let step = self.not_let_through(peer, header, now)?;
        if let Some(number) = header.transport_id {
            self.send_control(id, control::ack(&self.settings.id, number));
        }
        Some(step)
    }

    /// Why a message does not go to this peer, if that is ignored or has no right to get it.
    pub(super) fn refused_to(&self, peer: &str, header: &Header<'_>) -> Option<Reason> {
        let message_type = meant_type(header)?;
        if self.access.ignored.covers(peer) {
            return Some(Reason::Ignored);
        }
        (!self.gets(peer, message_type)).then_some(Reason::NotPermitted)
    }

    /// Whether a peer may be sent messages of a type.
    pub(super) fn gets(&self, peer: &str, message_type: &str) -> bool {
        self.settings.role == Role::Client || self.access.rule_for(peer).is_none_or(|rule| rule.recv.has(message_type))
    }

    /// Whether an app may send this message.
    pub(super) fn app_may(&self, id: Id, header: &Header<'_>) -> bool {
        let Some(message_type) = meant_type(header) else { return true };
        app_may_send(&self.access.local_rules, self.caller(id), message_type)
    }

    /// Says who listens for the messages of a type, at the other end of a connection that was opened for that. Whether
    /// it may have them; if not, the connection is of no use any more.
    pub fn receiver_is(&mut self, id: Id, caller: Option<Caller>, now: Instant) -> bool {
        let Some(inbox) = self.conns.get_mut(id).and_then(Conn::delivery_mut).map(|delivery| delivery.inbox) else {
            return false;
        };
        let message_type = self.inboxes[inbox].message_type.clone();
        if app_may_receive(&self.access.local_rules, caller.as_ref(), &message_type) {
            self.receivers_refused.remove(&message_type);
            if let Some(conn) = self.conns.get_mut(id) {
                conn.caller = caller;
            }
            return true;
        }
        if self.receivers_refused.insert(message_type.clone()) {
            let who = caller.map_or_else(|| "an app of an unknown user".to_owned(), |caller| caller.to_string());
            let cause = Cause::BadInput(format!("local_rules do not let it receive that: {who}"));
            self.tell(Event::ReceiverRefused { message_type, cause });
        }
        // As if nobody listened.
        self.close(id, Cause::NoListener, now);
        false
    }

    /// A client's link is up: what it may send is counted if its rule says how much.
    pub(super) fn begin_counting(&mut self, id: Id, name: &str) {
        let Some(rule) = self.access.rule_for(name) else { return };
        if rule.messages_per_second.is_none() && rule.bytes_per_second.is_none() {
            return;
        }
        let (messages, bytes) = (rule.messages_per_second.map(Bucket::new), rule.bytes_per_second.map(Bucket::new));
        self.rates.by_link.insert(id, name.to_owned());
        self.rates.used.entry(name.to_owned()).or_insert(Used { messages, bytes });
    }

    /// Whether it is counted how many messages this client sends.
    pub(super) fn counts_messages(&self, name: &str) -> bool {
        self.access.rule_for(name).is_some_and(|rule| rule.messages_per_second.is_some())
    }

    /// Messages have come on a link, besides the one that is counted as it comes.
    pub(super) fn charge_messages(&mut self, id: Id, count: usize, now: Instant) {
        if let Some(bucket) = self.rates.of(id).and_then(|used| used.messages.as_mut()) {
            bucket.charge(count, now);
        }
    }

    /// Bytes have come on a link.
    pub(super) fn charge_bytes(&mut self, id: Id, count: usize, now: Instant) {
        if let Some(bucket) = self.rates.of(id).and_then(|used| used.bytes.as_mut()) {
            bucket.charge(count, now);
        }
    }

    /// A message comes on a link: it waits if its client has sent more than it may; else `take` takes it.
    pub(super) fn counted(&mut self, id: Id, now: Instant, take: impl FnOnce(&mut Self) -> Step) -> Step {
        if let Some(until) = self.rates.of(id).and_then(|used| used.messages?.wait_until(now)) {
            self.wait_for_rate(id, until);
            return Step::Blocked;
        }
        let step = take(self);
        if !matches!(step, Step::Blocked)
            && let Some(bucket) = self.rates.of(id).and_then(|used| used.messages.as_mut())
        {
            bucket.charge(1, now);
        }
        step
    }

    /// Reads nothing more of a link for as long as its client is in debt.
    pub(super) fn slow_down(&mut self, id: Id, now: Instant) {
        let Some(until) = self.rates.of(id).and_then(|used| used.wait_until(now)) else { return };
        if self.conns.get(id).is_some_and(|conn| !conn.paused && conn.closing.is_none()) {
            self.wait_for_rate(id, until);
            if let Some(conn) = self.conns.get_mut(id) {
                conn.paused = true;
            }
        }
    }

    fn wait_for_rate(&mut self, id: Id, until: Instant) {
        if let Some(conn) = self.conns.get_mut(id) {
            conn.awaits_rate = true;
        }
        self.timers.arm(Timer::Rate(id), until);
    }

    /// A client has paid.
    pub(super) fn rate_over(&mut self, id: Id, now: Instant) {
        if self.conns.get_mut(id).is_some_and(|conn| std::mem::take(&mut conn.awaits_rate)) {
            self.unblock(vec![id], now);
        }
    }
}

/// The type that lists of types are asked about; none for the connectors' own messages.
fn meant_type<'a>(header: &'a Header<'_>) -> Option<&'a str> {
    let message_type = match (&header.publishes, header.message_type.as_ref()) {
        (Some(published), control::PUBSUB) => published.as_ref(),
        (_, message_type) => message_type,
    };
    (!message_type.starts_with('_')).then_some(message_type)
}
