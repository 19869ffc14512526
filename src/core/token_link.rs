//! Tokens: links on which a client is known by a secret that the server gave it (`use_token`).
//!
//! ```text
//! server  Token ─ asks for a token, has none ─▶ gates ─▶ Issuing ─ token ─▶ sent, closed
//!               ─ shows its own ─▶ gates ─▶ told so ─▶ Up, or Resume
//! client  Loading ─ has none ─ asks ─▶ NewToken ─ it comes ─▶ Storing ─ done ─▶ closed, dials again
//!                 ─ has one ─ shows it ─▶ TokenAnswer ─ success ─▶ Up, or Checking
//! ```
//!
//! A server never gives a second token to a name, so nobody takes a name that has one. It keeps hashes only.

use std::time::Instant;

use serde_json::{Value, json};

use super::conn::{Kind, Link, State};
use super::connector::{Connector, Step};
use super::enrolment::client_name;
use super::event::{Cause, Event, Output, Secured};
use super::gate::Wants;
use super::slots::Id;
use super::token_event::TokenEvent;
use super::tokens::{TOKENS_MAX, TokenHash, TokenTable};
use crate::wire::admin::{self, Request};
use crate::wire::control;
use crate::wire::frame::Frame;
use crate::wire::header::Header;
use crate::wire::names::Role;
use crate::wire::token::{Token, TokenMessage};

/// What a connector that uses tokens is told.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    /// Server: the tokens that it has given out.
    pub table: TokenTable,
    /// Server: who shows a certificate of its own needs no token.
    pub certificate_suffices: bool,
    /// Client: when its token is refused, it asks for a new one at the next attempt, in turn.
    pub alternates: bool,
    /// Client: the next attempt asks for a new token, whether or not there is one.
    pub(super) asks_anew: bool,
    /// Client: the link that brought the token which is being stored, if it has ended.
    pub(super) stores: Option<Id>,
}

impl Tokens {
    /// A server's.
    #[must_use]
    pub fn server(table: TokenTable, certificate_suffices: bool) -> Self {
        Self { table, certificate_suffices, ..Self::default() }
    }

    /// A client's.
    #[must_use]
    pub fn client(alternates: bool) -> Self {
        Self { alternates, ..Self::default() }
    }
}

/// What the shell is to do with files of tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenWork {
    /// Server: make a token for the client of this name, and keep its hash; report `token_issued`.
    Issue(String),
    /// Server: keep all tokens but this client's, for an admin; report `token_forgotten`.
    Forget(String),
    /// Server: read all tokens, for an admin; report `tokens_loaded`.
    LoadAll,
    /// Server: make a token for the enrolment of this client, and keep its hash; report `invited`.
    Invite {
        /// The client's name.
        client: String,
        /// When it expires, and what time it is: seconds since 1970.
        expires: u64,
        /// See `expires`.
        now: u64,
    },
    /// Server: keep the tokens for enrolment as they are now.
    SaveInvitations,
    /// Client: read the token; report `token_loaded`.
    Load,
    /// Client: keep this token; report `token_stored`.
    Store(Token),
    /// Client: keep no token, for an admin; report `token_removed`.
    Remove {
        /// Whether the link is given up for another, for which there has to be a new token.
        reconnect: bool,
    },
}

impl Connector {
    /// Has clients known by tokens. Before all else.
    pub fn set_tokens(&mut self, tokens: Tokens) {
        self.tokens = Some(tokens);
    }

    /// The tokens that a server has given out; none if it uses no tokens.
    #[must_use]
    pub fn token_table(&self) -> Option<&TokenTable> {
        self.tokens.as_ref().map(|tokens| &tokens.table)
    }

    fn token_work(&mut self, id: Id, work: TokenWork) {
        self.outputs.push_back(Output::Token(id, work));
    }

    fn set_state(&mut self, id: Id, state: State) {
        if let Some(link) = self.conns.get_mut(id).and_then(|c| c.link_mut()) {
            link.state = state;
        }
    }

    /// The connection of a link is ready, where tokens are used.
    pub(super) fn secured_for_token(&mut self, id: Id, secured: Secured, now: Instant) {
        let suffices = self.tokens.as_ref().is_some_and(|tokens| tokens.certificate_suffices);
        match (self.settings.role, secured) {
            (Role::Server, Secured::Named(name)) if suffices => self.admit(id, &name, Wants::Link, now),
            (Role::Server, _) => self.set_state(id, State::Token),
            (Role::Client, _) => {
                self.set_state(id, State::Loading);
                self.token_work(id, TokenWork::Load);
            }
        }
    }

    /// A frame on a link that is not up, where it must be about tokens.
    pub(super) fn token_frame(&mut self, id: Id, frame: &Frame<'_>, header: &Header<'_>, now: Instant) -> Step {
        let Some(link) = self.conns.get(id).and_then(|c| c.link()) else { return Step::Taken };
        let state = link.state;
        if state != State::Token && header.message_type == control::CLOSE {
            return self.peer_says_goodbye(id, frame, header);
        }
        let message = match TokenMessage::parse(header, frame.data()) {
            Ok(message) => message,
            Err(error) => return Step::End(Cause::BadInput(error.to_string())),
        };
        match (state, message) {
            (State::Token, TokenMessage::GetNew) => self.token_wanted(id, frame, header, now),
            (State::Token, TokenMessage::Authenticate(token)) => self.token_shown(id, header, &token, now),
            (State::TokenAnswer, TokenMessage::Success) => self.token_taken(id, now),
            (State::NewToken, TokenMessage::SetNew(token)) => {
                self.set_state(id, State::Storing);
                self.token_work(id, TokenWork::Store(token));
                Step::Taken
            }
            _ => Step::End(Cause::BadInput("a \"_token\" message came that has no place here".to_owned())),
        }
    }

    /// Server: a client asks for a token.
    fn token_wanted(&mut self, id: Id, frame: &Frame<'_>, header: &Header<'_>, now: Instant) -> Step {
        let invited = client_name(header).and_then(|name| self.is_invited(&name, frame.data(), now).map(|()| name));
        match invited {
            Ok(name) => self.admit(id, &name, Wants::Token, now),
            Err(cause) => return Step::End(cause),
        }
        Step::Taken
    }

    /// Server: a client may have a token, if its name has none.
    pub(super) fn issue_token(&mut self, id: Id, name: &str, now: Instant) {
        let Some(tokens) = &self.tokens else { return };
        let refused = if tokens.table.has(name) {
            Some("it has one already".to_owned())
        } else if tokens.table.len() >= TOKENS_MAX {
            Some(format!("there are {TOKENS_MAX} already"))
        } else if !self.uses_invitation(id, name) {
            Some("its token for enrolment was used meanwhile".to_owned())
        } else {
            None
        };
        if let Some(why) = refused {
            return self.close(id, Cause::NoToken { client: name.to_owned(), why }, now);
        }
        self.set_state(id, State::Issuing);
        self.token_work(id, TokenWork::Issue(name.to_owned()));
    }

    /// Server: the shell has made a token for the client and kept its hash, or has not.
    pub fn token_issued(&mut self, id: Id, name: &str, result: Result<Token, String>, now: Instant) {
        let Some(tokens) = &mut self.tokens else { return };
        if let Ok(token) = &result {
            // It is in the file, whatever became of the client meanwhile.
            tokens.table.set(name, TokenHash::of(token));
        }
        let Some(link) = self.conns.get(id).and_then(|c| c.link()).filter(|link| link.state == State::Issuing) else {
            return;
        };
        let remote = link.remote;
        match result {
            Ok(token) => {
                self.tell(Event::Token(TokenEvent::Issued { client: name.to_owned(), remote }));
                let answer = TokenMessage::SetNew(token).encode(&self.settings.id);
                self.finish(id, answer, Cause::Enrolled, now);
            }
            Err(why) => self.close(id, Cause::NoToken { client: name.to_owned(), why }, now),
        }
    }

    /// Server: a client shows its token.
    fn token_shown(&mut self, id: Id, header: &Header<'_>, token: &Token, now: Instant) -> Step {
        let name = match client_name(header) {
            Ok(name) => name,
            Err(cause) => return Step::End(cause),
        };
        if !self.tokens.as_ref().is_some_and(|tokens| tokens.table.accepts(&name, token)) {
            return Step::End(Cause::WrongToken(name));
        }
        if let Some(link) = self.conns.get_mut(id).and_then(|c| c.link_mut()) {
            link.by_token = true;
        }
        self.admit(id, &name, Wants::Link, now);
        Step::Identified
    }

    /// Server: says to a client that was let in that its token was taken, if that is how it came.
    pub(super) fn say_token_taken(&mut self, id: Id) {
        if self.conns.get(id).and_then(|c| c.link()).is_some_and(|link| link.by_token) {
            let answer = TokenMessage::Success.encode(&self.settings.id);
            self.send_control(id, answer);
        }
    }

    /// Client: the shell has read the token, or there is none, or it cannot be read. For an admin it did so as well.
    pub fn token_loaded(&mut self, id: Id, result: Result<Option<Token>, String>, now: Instant) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        if let Kind::Admin(_) = conn.kind {
            return self.answer_done(id, result.map(drop), now);
        }
        if conn.link().is_none_or(|link| link.state != State::Loading) {
            return;
        }
        let anew = self.tokens.as_ref().is_some_and(|tokens| tokens.asks_anew);
        let (state, message) = match result {
            Ok(Some(token)) if !anew => {
                (State::TokenAnswer, TokenMessage::Authenticate(token).encode(&self.settings.id))
            }
            Ok(_) if self.is_returning(id) => {
                let why = "it would give this client another token, and there is a link with the one it has";
                return self.close(id, Cause::Failed(why.to_owned()), now);
            }
            Ok(_) => (State::NewToken, self.with_invitation(TokenMessage::GetNew.encode(&self.settings.id))),
            Err(why) => return self.close(id, Cause::Failed(format!("the token cannot be read: {why}")), now),
        };
        self.set_state(id, state);
        self.send_control(id, message);
    }

    /// Client: the server has let this client in.
    fn token_taken(&mut self, id: Id, now: Instant) -> Step {
        if let Some(tokens) = &mut self.tokens {
            tokens.asks_anew = false;
        }
        let (server, frame_limit) = (self.settings.server_id.clone(), self.settings.link_frame_max());
        let Some(conn) = self.conns.get_mut(id) else { return Step::Taken };
        conn.frame_limit = frame_limit;
        if conn.link().is_some_and(|link| link.speaks_link2) {
            self.set_state(id, State::Checking);
            self.say_link(id, &server);
        } else {
            self.link_up(id, &server, now);
        }
        Step::Identified
    }

    /// Client: the shell has stored the token, or has not. The server has closed the link long since, if a hook took its time.
    pub fn token_stored(&mut self, id: Id, result: Result<(), String>, now: Instant) {
        let is_open = self.conns.get(id).and_then(|c| c.link()).is_some_and(|link| link.state == State::Storing);
        let Some(tokens) = &mut self.tokens else { return };
        let was_closed = tokens.stores.take_if(|stores| *stores == id).is_some();
        if !is_open && !was_closed {
            return;
        }
        let cause = match result {
            Ok(()) => {
                tokens.asks_anew = false;
                self.tell(Event::Token(TokenEvent::Stored));
                Cause::Enrolled
            }
            Err(why) => Cause::Failed(format!("the token cannot be stored: {why}")),
        };
        if is_open {
            self.close(id, cause, now);
        } else if !self.stopping {
            self.dial_again(&Link::new(None), cause, now);
        }
    }

    /// Client: whether the link that has ended brought a token which is not stored yet. The next one waits for that.
    pub(super) fn stores_token(&mut self, id: Id, link: &Link, cause: &Cause) -> bool {
        let ended = link.state == State::Storing && *cause == Cause::ClosedByPeer;
        let Some(tokens) = self.tokens.as_mut().filter(|_| ended) else { return false };
        tokens.stores = Some(id);
        true
    }

    /// What it means that a link ends in its state: a server that does not take a token just closes.
    pub(super) fn token_cause(&mut self, id: Id, link: &Link, cause: Cause) -> Cause {
        let told = match (link.state, &cause) {
            (State::TokenAnswer, Cause::ClosedByPeer) => Cause::TokenNotTaken,
            (State::NewToken, Cause::ClosedByPeer) => Cause::TokenNotGiven,
            _ => return cause,
        };
        let returns = self.is_returning(id);
        if let Some(tokens) = self.tokens.as_mut().filter(|tokens| tokens.alternates && !returns) {
            tokens.asks_anew = link.state == State::TokenAnswer;
        }
        told
    }

    /// An admin's command about tokens; `false` if it is about something else.
    pub(super) fn token_command(&mut self, id: Id, request: &Request, now: Instant) -> bool {
        if self.invitation_command(id, request, now) {
            return true;
        }
        let is_server = self.settings.role == Role::Server;
        let (of_server, work) = match request.command.as_str() {
            "delete_client_token_on_server" => {
                let client = request.arguments.get("client_id").and_then(Value::as_str).unwrap_or_default();
                (true, TokenWork::Forget(client.to_owned()))
            }
            "load_server_tokens" => (true, TokenWork::LoadAll),
            "delete_client_token_on_client" => {
                let stays = request.arguments.get("restart_client") == Some(&Value::Bool(false));
                (false, TokenWork::Remove { reconnect: !stays })
            }
            "load_client_token" => (false, TokenWork::Load),
            _ => return false,
        };
        let refused = if self.tokens.is_none() {
            Some("this connector uses no tokens (use_token)")
        } else if of_server != is_server {
            Some(if is_server { "this connector is a server" } else { "this connector is a client" })
        } else if work == TokenWork::Forget(String::new()) {
            Some("client_id is missing: the client's name")
        } else {
            None
        };
        match refused {
            Some(why) => self.answer_done(id, Err(why.to_owned()), now),
            None => self.token_work(id, work),
        }
        true
    }

    /// Server: the shell has forgotten the client's token, or has not. What it is still connected by ends.
    pub fn token_forgotten(&mut self, id: Id, client: &str, result: Result<(), String>, now: Instant) {
        if let (Ok(()), Some(tokens)) = (&result, &mut self.tokens) {
            let had = tokens.table.remove(client);
            self.tell(Event::Token(TokenEvent::Forgotten { client: client.to_owned(), had }));
            self.drop_client(client, &Cause::TokenForgotten, now);
        }
        self.answer_done(id, result, now);
    }

    /// Server: the shell has read the tokens anew, or could not. Clients whose token is not the same any more are dropped.
    pub fn tokens_loaded(&mut self, id: Id, result: Result<TokenTable, String>, now: Instant) {
        let loaded = result.map(|table| {
            let Some(tokens) = &mut self.tokens else { return };
            let count = table.len();
            let old = std::mem::replace(&mut tokens.table, table);
            let changed = old.iter().map(|(client, _)| client).filter(|client| !old.agrees(&tokens.table, client));
            let changed: Vec<String> = changed.map(str::to_owned).collect();
            self.tell(Event::Token(TokenEvent::Loaded { count }));
            changed.iter().for_each(|client| self.drop_client(client, &Cause::TokenForgotten, now));
        });
        self.answer_done(id, loaded, now);
    }

    /// Client: the shell has removed the token, or has not.
    pub fn token_removed(&mut self, id: Id, reconnect: bool, result: Result<(), String>, now: Instant) {
        if result.is_ok() {
            self.tell(Event::Token(TokenEvent::Forgotten { client: self.settings.id.clone(), had: true }));
            let links = self.conns.iter().filter(|(_, conn)| reconnect && conn.link().is_some());
            let links: Vec<Id> = links.map(|(id, _)| id).collect();
            links.into_iter().for_each(|id| self.close(id, Cause::TokenForgotten, now));
        }
        self.answer_done(id, result, now);
    }

    /// Answers an admin who wants to know only whether it is done.
    fn answer_done(&mut self, id: Id, result: Result<(), String>, now: Instant) {
        let answer = match result {
            Ok(()) => json!({"status": true, "msg": ""}),
            Err(why) => json!({"status": false, "msg": why}),
        };
        self.finish(id, admin::encode_answer(&answer.to_string()), Cause::Done, now);
    }
}
