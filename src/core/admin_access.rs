//! Admin commands about who may come in: lists, whom to ignore, who is sent away.

use std::time::Instant;

use serde_json::{Value, json};

use super::access::{Entry, EntryError, Ignored, List};
use super::connector::Connector;
use super::event::{Cause, Event, Output};
use super::slots::Id;
use crate::wire::admin::{self, Request};
use crate::wire::names::Role;

/// What Python's connector says when it has done what it was told.
const DONE: &str = "True";

/// A change of the config file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyChange {
    /// A text more in the list that is the key's value.
    Add {
        /// The key.
        key: String,
        /// The text.
        entry: String,
    },
    /// All such texts less in it.
    Remove {
        /// The key.
        key: String,
        /// What is removed.
        entry: String,
    },
    /// Another value.
    Set {
        /// The key.
        key: String,
        /// Its value.
        value: Value,
    },
}

/// What becomes of a command: its answer, and what the config file is told.
type Change = Result<(String, Option<KeyChange>), String>;

impl Connector {
    /// Carries out a command about who may come in, if it is one; else false.
    pub(super) fn access_command(&mut self, id: Id, request: &Request, now: Instant) -> bool {
        let changed = match request.command.as_str() {
            "add_blacklist_client" | "remove_blacklist_client" | "add_whitelist_client" | "remove_whitelist_client" => {
                self.change_list(request, now)
            }
            "manage_ignore_peer_traffic" => self.ignore(request, now),
            "disconnect_client" => self.disconnect_client(request, now),
            "show_attribute" => self.show_attribute(request),
            _ => return false,
        };
        match changed {
            Ok((answer, None)) => self.answer_admin(id, &answer, now),
            Ok((answer, Some(change))) => {
                if let Some(conn) = self.conns.get_mut(id) {
                    conn.answer = Some(answer);
                }
                self.outputs.push_back(Output::SaveConfig(id, change));
            }
            Err(why) => return self.refuse_admin(id, why, now),
        }
        true
    }

    pub(super) fn answer_admin(&mut self, id: Id, answer: &str, now: Instant) {
        self.finish(id, admin::encode_answer(answer), Cause::Done, now);
    }

    /// Says why not. Returns true, for commands that are done with that.
    pub(super) fn refuse_admin(&mut self, id: Id, why: String, now: Instant) -> bool {
        let answer = json!({"status": false, "msg": why}).to_string();
        self.tell(Event::AdminRefused { cause: Cause::BadInput(why) });
        self.answer_admin(id, &answer, now);
        true
    }

    /// A change that an admin has made stands in the config file, or why not.
    pub fn config_saved(&mut self, id: Id, result: Result<(), String>, now: Instant) {
        let Some(answer) = self.conns.get_mut(id).and_then(|conn| conn.answer.take()) else { return };
        match result {
            Ok(()) => self.answer_admin(id, &answer, now),
            Err(why) => _ = self.refuse_admin(id, format!("done, but only until the connector ends: {why}"), now),
        }
    }

    fn change_list(&mut self, request: &Request, now: Instant) -> Change {
        if self.settings.role == Role::Client {
            return Err("this connector is a client, which has no list of clients".to_owned());
        }
        let entry = asked_entry(request)?;
        let adds = request.command.starts_with("add");
        let is_black = request.command.ends_with("blacklist_client");
        let key = format!("{}listed_clients_{}", if is_black { "black" } else { "white" }, entry.kind());
        let text = entry.text();
        let mut list: List = if is_black { self.access.blacklist.clone() } else { self.access.whitelist.clone() };
        if adds {
            list.add(entry).map_err(|EntryError(expected)| format!("{key}: expected {expected}"))?;
        } else if !list.remove(&entry) {
            return Err(format!("{key} does not have {text:?}"));
        }
        self.change_lists(now, |access| {
            *(if is_black { &mut access.blacklist } else { &mut access.whitelist }) = list;
        });
        let change = if adds { KeyChange::Add { key, entry: text } } else { KeyChange::Remove { key, entry: text } };
        Ok((DONE.to_owned(), Some(change)))
    }

    fn ignore(&mut self, request: &Request, now: Instant) -> Change {
        let is_set = |name: &str| request.arguments.get(name).is_some_and(|value| *value == true);
        let peer = request.arguments.get("unique_peer").and_then(Value::as_str).filter(|peer| !peer.is_empty());
        // In Python's order.
        let (ignored, value) = if is_set("show") {
            return Ok((python_words(&self.access.ignored), None));
        } else if is_set("enable") {
            (Ignored::Everybody, json!(true))
        } else if is_set("disable") {
            (Ignored::Nobody, json!(false))
        } else if let Some(peer) = peer {
            // Python's connector writes the bare name, which it later reads as a list of letters.
            (Ignored::Peers(vec![peer.to_owned()]), json!([peer]))
        } else {
            return Err("one of the arguments show, enable, disable or unique_peer is expected".to_owned());
        };
        let answer = python_words(&ignored);
        self.change_lists(now, |access| access.ignored = ignored);
        Ok((answer, Some(KeyChange::Set { key: "ignore_peer_traffic".to_owned(), value })))
    }

    fn disconnect_client(&mut self, request: &Request, now: Instant) -> Change {
        if self.settings.role == Role::Client {
            return Err("this connector is a client, which has no clients".to_owned());
        }
        let name = request.arguments.get("client_id").and_then(Value::as_str);
        let name = name.ok_or("the argument client_id with a client's name is expected")?;
        let link = self.peers.find(name).and_then(|peer| self.peers.get(peer)?.link);
        let Some(link) = link else { return Ok((format!("Non existing client {name}"), None)) };
        self.close(link, Cause::Disconnected, now);
        Ok((DONE.to_owned(), None))
    }

    /// Of all that Python's connector shows, what is in its config, and little more. No secrets.
    fn show_attribute(&self, request: &Request) -> Change {
        let name = request.arguments.get("attribute").and_then(Value::as_str).unwrap_or_default();
        let lists =
            [("blacklisted_clients_", &self.access.blacklist), ("whitelisted_clients_", &self.access.whitelist)];
        if name == "ignore_peer_traffic" {
            return Ok((python_words(&self.access.ignored), None));
        }
        for (start, list) in lists {
            if let Some(kind @ ("id" | "ip" | "subnet")) = name.strip_prefix(start) {
                return Ok((json!(list.texts(kind)).to_string(), None));
            }
        }
        let value = match name {
            "" => return Err("the argument attribute, the name of a config key, is expected".to_owned()),
            "is_running" => json!(!self.stopping),
            "source_id" => json!(self.settings.id),
            "subscribe_message_types" => self.shown_subscriptions(),
            _ => self.life.attributes.get(name).cloned().ok_or_else(|| {
                format!("the attribute {name:?} is not shown: config keys, is_running and source_id are")
            })?,
        };
        Ok((shown_attribute(&value), None))
    }
}

/// Texts as they are, and Python's words for what is true, false and not there; all else in JSON.
fn shown_attribute(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The entry that an admin means, by `client_id` or `client_ip`.
fn asked_entry(request: &Request) -> Result<Entry, String> {
    let text = |name: &str| request.arguments.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let (found, entry) = match (text("client_id"), text("client_ip")) {
        (Some(id), None) => (id, id.parse().map(Entry::Name)),
        (None, Some(ip)) => (ip, Entry::of_ip(ip)),
        _ => return Err("one of the arguments client_id and client_ip is expected".to_owned()),
    };
    entry.map_err(|EntryError(expected)| format!("found {found:?}, expected {expected}"))
}

/// As Python prints it: `True`, `False` or `['client1']`.
fn python_words(ignored: &Ignored) -> String {
    match ignored {
        Ignored::Nobody => "False".to_owned(),
        Ignored::Everybody => DONE.to_owned(),
        Ignored::Peers(names) => {
            let names: Vec<_> = names.iter().map(|name| format!("'{}'", name.escape_debug())).collect();
            format!("[{}]", names.join(", "))
        }
    }
}
