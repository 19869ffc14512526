//! Gates: whom a server asks before a client may do anything, if the operator has set that up.
//!
//! ```text
//! its link    known ─▶ whitelist ─▶ authentication ─▶ Up, or Resume
//! enrolment   its name ─▶ whitelist ─▶ certificate ─▶ Issuing
//! a token     its name ─▶ whitelist ─▶ Issuing
//! ```
//!
//! Before them are the lists (`admission`). Whom a whitelist names does not come to its gate.
//!
//! While a gate is asked nothing is read from the link; other links go on.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::conn::State;
use super::connector::Connector;
use super::event::{Cause, Output};
use super::settings::{HANDSHAKE_TIMEOUT, Mode};
use super::slots::Id;
use super::timers::Timer;

/// Who is asked about a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Whether it may come in at all.
    Whitelist,
    /// Whether its link may come up.
    Authentication,
    /// Whether it gets a certificate.
    Certificate,
}

impl Gate {
    /// The config key of the hook that is asked.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Gate::Whitelist => "hook_whitelist_clients",
            Gate::Authentication => "hook_server_auth_client",
            Gate::Certificate => "hook_allow_certificate_creation",
        }
    }
}

/// Which gates there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gates {
    /// Whether it is there.
    pub whitelist: bool,
    /// Whether it is there.
    pub authentication: bool,
    /// Whether it is there.
    pub certificate: bool,
    /// Longest time for an answer.
    pub timeout: Duration,
}

/// What a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wants {
    /// Its link to come up.
    Link,
    /// A certificate of its own.
    Certificate,
    /// A token of its own.
    Token,
}

impl Gates {
    /// The gate that a client comes to behind another one, or first.
    fn next(&self, wants: Wants, behind: Option<Gate>) -> Option<Gate> {
        let last = match wants {
            Wants::Link => (self.authentication, Gate::Authentication),
            Wants::Certificate => (self.certificate, Gate::Certificate),
            Wants::Token => (false, Gate::Certificate),
        };
        let first = (self.whitelist, Gate::Whitelist);
        let left = match behind {
            None => &[first, last][..],
            Some(Gate::Whitelist) => &[last][..],
            Some(_) => &[],
        };
        left.iter().find(|(is_there, _)| *is_there).map(|(_, gate)| *gate)
    }
}

/// What a gate is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Who is asked.
    pub gate: Gate,
    /// The client's name.
    pub client: String,
    /// Where it is.
    pub remote: SocketAddr,
    /// Its certificate says its name, and not its word alone.
    pub certificate: bool,
}

impl Connector {
    /// Has these gates asked. Before all else; without it there are none.
    pub fn set_gates(&mut self, gates: Gates) {
        self.gates = gates;
    }

    pub(super) fn go_through(&mut self, id: Id, name: &str, wants: Wants, behind: Option<Gate>, now: Instant) {
        let Some(gate) = self.gates.next(wants, behind) else {
            return self.admitted(id, name, wants, behind.is_some(), now);
        };
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.paused = true;
        let Some(link) = conn.link_mut() else { return };
        (link.state, link.name) = (State::Asking { gate, wants }, Some(name.to_owned()));
        // A link that is accepted has an address.
        let Some(remote) = link.remote else { return };
        let certificate = wants == Wants::Link && self.settings.mode == Mode::Certificates;
        // The answer comes in its time; this is for one that does not.
        self.timers.arm(Timer::Handshake(id), now + self.gates.timeout + HANDSHAKE_TIMEOUT);
        self.outputs.push_back(Output::Ask(id, Question { gate, client: name.to_owned(), remote, certificate }));
    }

    fn admitted(&mut self, id: Id, name: &str, wants: Wants, was_asked: bool, now: Instant) {
        if was_asked {
            // What it has to do now it has the usual time for.
            self.timers.arm(Timer::Handshake(id), now + HANDSHAKE_TIMEOUT);
        }
        match wants {
            Wants::Link => self.let_in(id, name, now),
            Wants::Token => self.issue_token(id, name, now),
            Wants::Certificate => {
                if let Some(link) = self.conns.get_mut(id).and_then(|c| c.link_mut()) {
                    link.state = State::Issuing;
                }
                self.outputs.push_back(Output::Issue(id, name.to_owned()));
            }
        }
        if was_asked {
            self.unblock(vec![id], now);
        }
    }

    /// Server: a gate has answered, or did not answer in time; if it refuses, why. One that was not asked is not heard.
    pub fn answered(&mut self, id: Id, gate: Gate, answer: Result<(), String>, now: Instant) {
        let Some(link) = self.conns.get(id).and_then(|c| c.link()) else { return };
        let (State::Asking { gate: asked, wants }, Some(name)) = (link.state, link.name.clone()) else { return };
        if asked != gate {
            return;
        }
        match answer {
            Ok(()) => self.go_through(id, &name, wants, Some(gate), now),
            Err(why) => self.close(id, Cause::NotAdmitted { gate, client: name, why }, now),
        }
    }
}
