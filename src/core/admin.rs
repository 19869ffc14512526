//! What admins ask, and the answers.

use std::time::Instant;

use serde_json::{Map, Value, json};

use super::conn::Kind;
use super::connector::Connector;
use super::delivery::Inbox;
use super::event::{Cause, Event, Output};
use super::peer::Peer;
use super::revocation;
use super::slots::Id;
use super::timers::Timer;
use crate::wire::admin::{self, Request};
use crate::wire::admin_arguments::check_arguments;

/// The command that removes files of queues: the shell has them.
const DELETE_REMAINS: &str = "delete_previous_persistence_remains";

/// The command that tells all numbers: the shell has some of them.
const SHOW_STATUS: &str = "show_status";

impl Connector {
    /// Bytes of an admin's connection; the answer goes out as soon as the request is whole.
    pub(super) fn admin_input(&mut self, id: Id, bytes: &[u8], now: Instant) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        // What comes behind a request is not looked at.
        let Kind::Admin(Some(received)) = &mut conn.kind else { return };
        received.extend_from_slice(bytes);
        let parsed = admin::parse_request(received);
        if let Ok(Some(_)) = parsed {
            // How long the answer may take follows from the command.
            conn.kind = Kind::Admin(None);
            self.timers.disarm(Timer::Handshake(id));
        }
        if let Ok(Some(request)) = &parsed
            && !is_a_look(request)
        {
            let (caller, command) = (conn.caller.clone(), request.command.clone());
            let arguments = Value::from(request.arguments.clone()).to_string();
            self.outputs.push_back(Output::Tell(Event::AdminCommand { caller, command, arguments }));
        }
        match parsed {
            Ok(None) => {}
            Ok(Some(request)) => match check_arguments(&request) {
                Ok(()) => self.carry_out(id, &request, now),
                Err(why) => _ = self.refuse_admin(id, why, now),
            },
            Err(error) => self.close(id, Cause::BadInput(error.to_string()), now),
        }
    }

    /// Does what an admin wants. Its arguments are of the right kind.
    fn carry_out(&mut self, id: Id, request: &Request, now: Instant) {
        if request.command == DELETE_REMAINS {
            return self.outputs.push_back(Output::RemoveRemains(id));
        }
        if request.command == SHOW_STATUS {
            return self.outputs.push_back(Output::ShowStatus(id));
        }
        if request.command.starts_with(revocation::DELETE) {
            return self.delete_certificate(id, request, now);
        }
        let is_done = self.life_command(id, request, now)
            || self.access_command(id, request, now)
            || self.token_command(id, request, now);
        if !is_done {
            let answer = self.answer(request);
            self.finish(id, admin::encode_answer(&answer), Cause::Done, now);
        }
    }

    /// What was stored for nobody is gone, or why not. The Python connector has nothing to say of it either.
    pub fn remains_removed(&mut self, id: Id, result: Result<(), String>, now: Instant) {
        let answer = match result {
            Ok(()) => json!({}),
            Err(why) => json!({"status": false, "msg": why}),
        };
        self.finish(id, admin::encode_answer(&answer.to_string()), Cause::Done, now);
    }

    /// How all stands, in JSON.
    pub fn status_shown(&mut self, id: Id, status: &Value, now: Instant) {
        self.finish(id, admin::encode_answer(&status.to_string()), Cause::Done, now);
    }

    /// The answer to an admin's request, as the Python connector words it.
    fn answer(&mut self, request: &Request) -> String {
        match request.command.as_str() {
            "show_connected_peers" => self.show_connected_peers().to_string(),
            "show_files" => self.shown_files().to_string(),
            "peek_queues" => format!("{:#}", self.peek_queues()),
            "show_subscribe_message_types" => self.shown_subscriptions().to_string(),
            "set_subscribe_message_types" => self.set_subscriptions(request).to_string(),
            "end_subscriptions" => self.end_subscriptions(request).to_string(),
            other => {
                let why = format!("the command {other:?} is not known");
                self.tell(Event::AdminRefused { cause: Cause::BadInput(why.clone()) });
                json!({"status": false, "msg": why}).to_string()
            }
        }
    }

    fn show_connected_peers(&self) -> Value {
        let peers = self.connected_peers();
        peers.map(|(name, at)| (name.to_owned(), json!([at.ip().to_string(), at.port()]))).collect::<Map<_, _>>().into()
    }

    fn peek_queues(&self) -> Value {
        let received: usize = self.inboxes.iter().map(Inbox::waiting).sum();
        let queued = |(id, peer): (Id, &Peer)| {
            let queued = peer.queued() + self.feeds_unsent(id);
            (peer.link.is_some() || queued > 0).then(|| (peer.name.clone(), queued.into()))
        };
        let to_send: Map<String, Value> = self.peers.iter().filter_map(queued).collect();
        json!({"queue_recv": received, "queue_send": to_send})
    }
}

/// Whether a command only looks. All others are told to the operator.
fn is_a_look(request: &Request) -> bool {
    let command = request.command.as_str();
    let shows = request.arguments.get("show").is_some_and(|show| *show == true);
    command.starts_with("show_") || command.starts_with("peek_") || (command == "manage_ignore_peer_traffic" && shows)
}
