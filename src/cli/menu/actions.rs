//! The commands of the menu.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{Chosen, Menu, Stop};
use crate::remote::{ClientList, IgnoredPeers, RemoteError};
use crate::wire::names::Role;

/// As the Python tool has them, by number; those behind are not in it.
pub const COMMANDS: [&str; 19] = [
    "start",
    "stop gracefully",
    "stop hard",
    "restart",
    "show_connected_peers",
    "ignore_peer_traffic",
    "peek_queues",
    "delete_client_certificate",
    "delete_client_token",
    "disconnect_client",
    "show_log_level",
    "set_log_level",
    "show_subscribe_message_types",
    "set_subscribe_message_types",
    "add_blacklist_client",
    "remove_blacklist_client",
    "add_whitelist_client",
    "remove_whitelist_client",
    "reload",
];

/// The Python tool's pause of a restart.
const PAUSE: Duration = Duration::from_secs(2);

const LEVELS: [&str; 4] = ["ERROR", "WARNING", "INFO", "DEBUG"];

const FOR_SERVERS: &str = "A client cannot use this functionality";
const FOR_CLIENTS: &str = "Only available for clients";

impl Menu<'_> {
    pub(super) fn act(&mut self, command: &str, chosen: &Chosen) -> Result<(), Stop> {
        let (remote, is_server) = (&chosen.remote, chosen.role == Role::Server);
        match command {
            "start" => self.done(remote.start()),
            "stop gracefully" => {
                self.wait_for("what is queued to be sent")?;
                self.done(remote.stop(false))
            }
            "stop hard" => self.done(remote.stop(true)),
            "restart" => {
                self.wait_for("what is queued to be sent")?;
                self.done(remote.restart(false, PAUSE))
            }
            "show_connected_peers" => self.show_peers(chosen),
            "ignore_peer_traffic" => self.ignore(chosen),
            "peek_queues" => {
                let queues = remote.command_json("peek_queues__sync", &Map::new());
                self.told(queues.map(|queues| format!("{queues:#}")))
            }
            "delete_client_certificate" => self.delete_certificate(chosen),
            "delete_client_token" => self.delete_token(chosen),
            "disconnect_client" if is_server => self.disconnect(chosen),
            "show_log_level" => self.told(remote.log_level()),
            "set_log_level" => self.set_log_level(chosen),
            "show_subscribe_message_types" if !is_server => self.told(subscriptions(chosen)),
            "set_subscribe_message_types" if !is_server => self.subscribe(chosen),
            "show_subscribe_message_types" | "set_subscribe_message_types" => self.say(FOR_CLIENTS),
            "add_blacklist_client" if is_server => self.change_list(chosen, ClientList::Black, true),
            "remove_blacklist_client" if is_server => self.change_list(chosen, ClientList::Black, false),
            "add_whitelist_client" if is_server => self.change_list(chosen, ClientList::White, true),
            "remove_whitelist_client" if is_server => self.change_list(chosen, ClientList::White, false),
            "reload" => {
                let words = |keys: &[String]| if keys.is_empty() { "nothing".to_owned() } else { keys.join("\n  ") };
                let reloaded = remote.reload();
                self.told(reloaded.map(|r| {
                    format!("Changed :\n  {}\nNeeds a restart :\n  {}", words(&r.changed), words(&r.needs_restart))
                }))
            }
            _ => self.say(FOR_SERVERS),
        }
    }

    fn wait_for(&mut self, what: &str) -> Result<(), Stop> {
        self.say(&format!("Waiting for {what} ..."))?;
        Ok(self.out.flush()?)
    }

    /// What became of a command that has no answer.
    pub(super) fn done(&mut self, result: Result<(), RemoteError>) -> Result<(), Stop> {
        self.told(result.map(|()| "Done".to_owned()))
    }

    /// The answer of a command, or why there is none.
    pub(super) fn told(&mut self, result: Result<String, RemoteError>) -> Result<(), Stop> {
        match result {
            Ok(answer) => self.say(&answer),
            Err(RemoteError::Refused { reason, .. }) => self.say(&format!("Refused : {reason}")),
            Err(error) => self.say(&format!("Failed : {error}")),
        }
    }

    pub(super) fn show_peers(&mut self, chosen: &Chosen) -> Result<(), Stop> {
        let peers = chosen.remote.command_json("show_connected_peers__sync", &Map::new());
        let lines = |peers: Value| {
            let peers: Vec<String> = peers.as_object().into_iter().flatten().map(one_peer).collect();
            let peers = if peers.is_empty() { "none".to_owned() } else { peers.join("\n  ") };
            format!("\nConnected peers :\n  {peers}")
        };
        self.told(peers.map(lines))
    }

    fn ignore(&mut self, chosen: &Chosen) -> Result<(), Stop> {
        loop {
            let ignored = match chosen.remote.ignored_peers() {
                Ok(ignored) => ignored,
                Err(error) => return self.done(Err(error)),
            };
            self.say(&format!("\nignore_peer_traffic current status :\n{ignored}"))?;
            let peers = if ignored == "False" {
                self.show_peers(chosen)?;
                let question = "Type \"y\" to ignore peer traffic, or\n<peer name> to ignore a unique peer\n\
                                traffic, or q to quit";
                match self.ask(question)?.as_str() {
                    "q" | "" => return Ok(()),
                    "y" => IgnoredPeers::Everybody,
                    peer => IgnoredPeers::Peer(peer.to_owned()),
                }
            } else {
                match self.ask("Type \"y\" to stop ignoring peer\ntraffic, or Enter to quit")?.as_str() {
                    "y" => IgnoredPeers::Nobody,
                    _ => return Ok(()),
                }
            };
            if let Err(error) = chosen.remote.ignore_peers(&peers) {
                return self.done(Err(error));
            }
        }
    }

    /// A client's name, asked for with `what`; none if the user has had enough.
    fn ask_client(&mut self, chosen: &Chosen, what: &str) -> Result<Option<String>, Stop> {
        self.show_peers(chosen)?;
        let name = self.ask(&format!("Please type the client name {what}, or q to quit"))?;
        Ok(Some(name).filter(|name| name != "q" && !name.is_empty()))
    }

    fn delete_certificate(&mut self, chosen: &Chosen) -> Result<(), Stop> {
        let client = match chosen.role {
            Role::Client => None,
            Role::Server => match self.ask_client(chosen, "whose\ncertificate you would like to delete")? {
                Some(client) => Some(client),
                None => return Ok(()),
            },
        };
        let whose = client.as_deref().unwrap_or(&chosen.name);
        if !self.is_sure(&format!("delete\n{whose} 's certificate"))? {
            return Ok(());
        }
        self.done(match &client {
            Some(client) => chosen.remote.delete_client_certificate(Some(client), false),
            None => chosen.remote.delete_own_certificate(true),
        })
    }

    fn delete_token(&mut self, chosen: &Chosen) -> Result<(), Stop> {
        let client = match chosen.role {
            Role::Client => None,
            Role::Server => match self.ask_client(chosen, "whose\ntoken you would like to delete")? {
                Some(client) => Some(client),
                None => return Ok(()),
            },
        };
        let whose = client.as_deref().unwrap_or(&chosen.name);
        if !self.is_sure(&format!("delete\n{whose} 's token"))? {
            return Ok(());
        }
        self.done(match &client {
            Some(client) => chosen.remote.delete_client_token_on_server(client),
            None => chosen.remote.delete_client_token_on_client(true),
        })
    }

    fn disconnect(&mut self, chosen: &Chosen) -> Result<(), Stop> {
        let Some(client) = self.ask_client(chosen, "you\nwould like to disconnect")? else { return Ok(()) };
        if !self.is_sure(&format!("disconnect\n{client}"))? {
            return Ok(());
        }
        let was_there = chosen.remote.disconnect_client(&client);
        self.told(was_there.map(|was| if was { "Done".to_owned() } else { format!("Non existing client {client}") }))
    }

    fn set_log_level(&mut self, chosen: &Chosen) -> Result<(), Stop> {
        self.list(&LEVELS)?;
        let typed = self.ask("Please type the log level you would\nlike to set, or q to quit")?;
        self.clear()?;
        match typed.parse().ok().and_then(|number: usize| LEVELS.get(number)) {
            _ if typed == "q" => Ok(()),
            Some(level) => self.told(chosen.remote.set_log_level(level)),
            None => self.say(&format!("Invalid number : {typed}")),
        }
    }

    fn subscribe(&mut self, chosen: &Chosen) -> Result<(), Stop> {
        self.say("Current subscribed message types are :")?;
        self.told(subscriptions(chosen))?;
        let typed =
            self.ask("Please type the list of all message\ntypes you would like to subscribe, or q\nto quit")?;
        self.clear()?;
        let types: Vec<&str> = typed.split_whitespace().collect();
        if typed == "q" || !self.is_sure(&format!("subscribe to\nthese message types :\n{}\n", types.join(" ")))? {
            return Ok(());
        }
        self.told(chosen.remote.subscribe(&types).map(|types| in_words(&types)))
    }
}

fn one_peer((name, at): (&String, &Value)) -> String {
    let text = |at: &Value| at.as_str().map_or_else(|| at.to_string(), str::to_owned);
    let at: Vec<String> = at.as_array().into_iter().flatten().map(text).collect();
    format!("{name}  {}", at.join(" "))
}

fn subscriptions(chosen: &Chosen) -> Result<String, RemoteError> {
    chosen.remote.subscriptions().map(|types| in_words(&types))
}

fn in_words(types: &[String]) -> String {
    if types.is_empty() { "none".to_owned() } else { types.join("\n") }
}
