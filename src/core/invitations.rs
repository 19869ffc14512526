//! Tokens for enrolment: a new client gets a certificate or a token only with one, if the config says so
//! (`enrollment`: `token`). An admin has one made for a name; it is good once, and for a time.
//!
//! A peer of the Python package cannot show one.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::connector::Connector;
use super::event::{Cause, Event, Output};
use super::slots::Id;
use super::token_event::TokenEvent;
use super::token_link::TokenWork;
use super::tokens::{TOKENS_MAX, TokenHash};
use crate::wire::admin::{self, Request};
use crate::wire::control::own_frame;
use crate::wire::frame::Frame;
use crate::wire::header::Header;
use crate::wire::names::{Role, validate_client_name};
use crate::wire::token::Token;

/// The key of the client's request that has the token.
const KEY: &str = "enrollment_token";

/// A token for enrolment is good for so long, unless the admin says otherwise: a day.
pub const TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest that it can be: 30 days.
pub const TTL_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What is known of a client's token for enrolment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// Its hash.
    pub hash: TokenHash,
    /// From then on it is of no use: seconds since 1970.
    pub expires: u64,
}

/// The tokens for enrolment, by the names of the clients that they are for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invitations(BTreeMap<String, Invitation>);

impl Invitations {
    /// Adds one, in place of one that the client may have, and leaves out those that have expired.
    pub fn add(&mut self, client: &str, invitation: Invitation, now: u64) {
        self.0.retain(|_, old| old.expires > now);
        self.0.insert(client.to_owned(), invitation);
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Invitation)> {
        self.0.iter().map(|(client, invitation)| (client.as_str(), invitation))
    }

    /// Whether this is the client's token, and still good.
    fn accepts(&self, client: &str, token: &Token, now: u64) -> bool {
        let hash = TokenHash::of(token);
        self.0.get(client).is_some_and(|known| (known.hash == hash) & (known.expires > now))
    }
}

/// Who may enrol, and with what.
#[derive(Clone, Debug, Default)]
pub(super) struct Enrolment {
    /// Server: only who has been invited.
    required: bool,
    invitations: Invitations,
    /// Client: what it shows.
    shows: Option<Token>,
}

impl Connector {
    /// Server: new clients need a token for enrolment, and these are good. Before all else; without it they need none.
    pub fn require_invitations(&mut self, invitations: Invitations) {
        self.enrolment = Enrolment { required: true, invitations, shows: None };
    }

    /// Client: the token for enrolment that it shows from now on, if it has to enrol.
    pub fn set_invitation(&mut self, token: Option<Token>) {
        self.enrolment.shows = token;
    }

    /// The tokens for enrolment that are good.
    #[must_use]
    pub fn invitations(&self) -> &Invitations {
        &self.enrolment.invitations
    }

    /// Client: its request for a certificate or a token, with the token for enrolment if it has one.
    pub(super) fn with_invitation(&self, request: Vec<u8>) -> Vec<u8> {
        let Some(token) = &self.enrolment.shows else { return request };
        let Ok(frame) = Frame::parse(&request) else { return request };
        let (header, data) = (Header::parse(frame.header()), serde_json::from_slice(frame.data()));
        let (Ok(header), Ok(Value::Object(mut data))) = (header, data) else { return request };
        data.insert(KEY.to_owned(), token.text().into());
        own_frame(&header.message_type, &self.settings.id, Value::Object(data).to_string().as_bytes())
    }

    /// Server: whether a client may enrol that has asked for it with this data; if not, why not.
    pub(super) fn is_invited(&self, client: &str, data: &[u8], now: Instant) -> Result<(), Cause> {
        if !self.enrolment.required {
            return Ok(());
        }
        let data: Value = serde_json::from_slice(data).unwrap_or_default();
        let token = data.get(KEY).and_then(Value::as_str).and_then(Token::new);
        let why = match token {
            None => "it showed no token for enrolment",
            Some(token) if self.enrolment.invitations.accepts(client, &token, self.unix(now)) => return Ok(()),
            Some(_) => "the token for enrolment that it showed is not one for this name, or no longer",
        };
        Err(Cause::NotInvited { client: client.to_owned(), why })
    }

    /// Server: a client enrols now; its token for enrolment is used up. False if another one has used it meanwhile.
    pub(super) fn uses_invitation(&mut self, id: Id, client: &str) -> bool {
        let is_there = self.enrolment.invitations.0.remove(client).is_some();
        if is_there {
            self.outputs.push_back(Output::Token(id, TokenWork::SaveInvitations));
        }
        is_there || !self.enrolment.required
    }

    /// An admin's command about tokens for enrolment; `false` if it is about something else.
    pub(super) fn invitation_command(&mut self, id: Id, request: &Request, now: Instant) -> bool {
        let client = request.arguments.get("client_id").and_then(Value::as_str).unwrap_or_default();
        let answer = match request.command.as_str() {
            "enroll" => self.invite(id, client, request.arguments.get("ttl"), now),
            "show_enrollments" => Ok(Some(self.shown_invitations(now))),
            "withdraw_enrollment" if self.enrolment.invitations.0.remove(client).is_some() => {
                self.outputs.push_back(Output::Token(id, TokenWork::SaveInvitations));
                self.tell(Event::Token(TokenEvent::Withdrawn { client: client.to_owned() }));
                Ok(Some(json!({"status": true, "msg": ""})))
            }
            "withdraw_enrollment" => Err("there is no token for the enrolment of a client of this name".to_owned()),
            _ => return false,
        };
        let answer = answer.unwrap_or_else(|why| Some(json!({"status": false, "msg": why})));
        if let Some(answer) = answer {
            self.finish(id, admin::encode_answer(&answer.to_string()), Cause::Done, now);
        }
        true
    }

    /// Has a token made. The answer comes later.
    fn invite(&mut self, id: Id, client: &str, ttl: Option<&Value>, now: Instant) -> Result<Option<Value>, String> {
        let ttl = match ttl {
            None | Some(Value::Null) => Some(TTL.as_secs()),
            Some(ttl) => ttl.as_f64().filter(|ttl| *ttl >= 1.0 && *ttl <= TTL_MAX.as_secs_f64()).map(|ttl| ttl as u64),
        };
        let most = TTL_MAX.as_secs();
        let ttl = ttl.ok_or_else(|| format!("ttl must be a number of seconds from 1 to {most}"))?;
        validate_client_name(client).map_err(|error| format!("client_id: {error}"))?;
        if self.settings.role != Role::Server || !self.enrolment.required {
            return Err("clients need no token for enrolment here (enrollment)".to_owned());
        }
        if self.token_table().is_some_and(|table| table.has(client)) {
            return Err(format!("client {client} has a token already: delete_client_token_on_server first"));
        }
        if self.enrolment.invitations.0.len() >= TOKENS_MAX {
            return Err(format!("{TOKENS_MAX} clients may enrol already"));
        }
        let work = TokenWork::Invite { client: client.to_owned(), expires: self.unix(now) + ttl, now: self.unix(now) };
        self.outputs.push_back(Output::Token(id, work));
        Ok(None)
    }

    /// Server: the shell has made a token for the enrolment of this client and kept its hash, or has not.
    pub fn invited(&mut self, id: Id, client: &str, expires: u64, result: Result<Token, String>, now: Instant) {
        let answer = match result {
            Ok(token) => {
                let invitation = Invitation { hash: TokenHash::of(&token), expires };
                let unix = self.unix(now);
                self.enrolment.invitations.add(client, invitation, unix);
                self.tell(Event::Token(TokenEvent::Invited { client: client.to_owned(), expires }));
                json!({"status": true, "msg": "", "token": token.text(), "expires": expires})
            }
            Err(why) => json!({"status": false, "msg": why}),
        };
        self.finish(id, admin::encode_answer(&answer.to_string()), Cause::Done, now);
    }

    fn shown_invitations(&self, now: Instant) -> Value {
        let unix = self.unix(now);
        let good = self.enrolment.invitations.iter().filter(|(_, invitation)| invitation.expires > unix);
        good.map(|(client, i)| (client.to_owned(), i.expires.into())).collect::<Map<String, Value>>().into()
    }
}
