//! Certificates that an admin takes back: on the server a client's, whose link ends at once, on a client its own.

use std::time::Instant;

use serde_json::{Value, json};

use super::conn::{Conn, State};
use super::connector::Connector;
use super::event::{Cause, Output};
use super::slots::Id;
use crate::wire::admin::{self, Request};
use crate::wire::names::Role;

/// The beginning of the commands; on which side they work follows.
pub(super) const DELETE: &str = "delete_client_certificate_on_";

impl Connector {
    /// An admin wants a certificate to be deleted.
    pub(super) fn delete_certificate(&mut self, id: Id, request: &Request, now: Instant) {
        let flag = |key: &str, default| request.arguments.get(key).and_then(Value::as_bool).unwrap_or(default);
        let client = request.arguments.get("client_id").and_then(Value::as_str);
        let output = match (request.command.strip_prefix(DELETE), self.settings.role, client) {
            (Some("server"), Role::Server, Some(client)) => {
                Ok(Output::DeleteCertificate(id, client.to_owned(), flag("remove_only_symlink", false)))
            }
            (Some("server"), Role::Server, None) => Err("client_id, the name of a client, is missing"),
            (Some("client"), Role::Client, _) => Ok(Output::DeleteOwnCertificate(id, flag("restart_client", true))),
            (Some("server"), Role::Client, _) => Err("this connector is a client: it deletes its own certificate only"),
            (Some("client"), Role::Server, _) => Err("this connector is a server, which has no certificate to ask for"),
            _ => Err("such a command is not known"),
        };
        match output {
            Ok(output) => self.outputs.push_back(output),
            Err(why) => self.deletion_done(id, &Err(why.to_owned()), now),
        }
    }

    /// The shell has deleted a client's certificate, or has not. Either way the client is not let go on: an admin who
    /// takes back what is not there any more wants it gone.
    pub fn certificate_deleted(&mut self, id: Id, client: &str, result: &Result<(), String>, now: Instant) {
        self.drop_client(client, &Cause::Revoked, now);
        self.deletion_done(id, result, now);
        self.check_drained(now);
    }

    /// The shell has deleted this client's certificate, or has not. With `restart` it asks for a new one at once.
    pub fn own_certificate_deleted(&mut self, id: Id, restart: bool, result: &Result<(), String>, now: Instant) {
        if restart && result.is_ok() {
            let links: Vec<Id> =
                self.conns.iter().filter(|(_, conn)| conn.link().is_some()).map(|(id, _)| id).collect();
            for link in links {
                self.close(link, Cause::OwnDeleted, now);
            }
        }
        self.deletion_done(id, result, now);
        self.check_drained(now);
    }

    /// The answer to an admin who wanted something deleted, as the Python connector words it.
    fn deletion_done(&mut self, id: Id, result: &Result<(), String>, now: Instant) {
        let why = result.as_ref().err().map_or("", String::as_str);
        let answer = json!({"status": result.is_ok(), "msg": why}).to_string();
        self.finish(id, admin::encode_answer(&answer), Cause::Done, now);
    }

    /// Ends all links of a client at once: nothing more of it is looked at.
    pub(super) fn drop_client(&mut self, client: &str, cause: &Cause, now: Instant) {
        let is_its = |conn: &Conn| match conn.link() {
            Some(link) => match link.state {
                State::Up { peer } => self.peers.get(peer).is_some_and(|peer| peer.name == client),
                _ => link.name.as_deref() == Some(client),
            },
            None => false,
        };
        let links: Vec<Id> = self.conns.iter().filter(|(_, conn)| is_its(conn)).map(|(id, _)| id).collect();
        for link in links {
            self.close(link, cause.clone(), now);
        }
    }
}
