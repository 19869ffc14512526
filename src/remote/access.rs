//! Commands about who may connect to a server, and whose messages are dropped.

use serde_json::{Map, Value};

use super::{Remote, RemoteError};

/// Which list of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientList {
    /// Those that may not connect.
    Black,
    /// The only ones that may, if it has any entries.
    White,
}

impl ClientList {
    /// As in `blacklist` and `whitelist`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            ClientList::Black => "blacklist",
            ClientList::White => "whitelist",
        }
    }
}

/// An entry of a list of clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientEntry {
    /// A regular expression, matched from the start of a client's name.
    Id(String),
    /// An address, or a subnet as `10.0.0.0/8`.
    Ip(String),
}

/// Whose messages a connector drops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IgnoredPeers {
    /// Nobody's.
    Nobody,
    /// Everybody's.
    Everybody,
    /// Those of one peer, and those for it.
    Peer(String),
}

impl Remote {
    /// Adds an entry to a list of the server. Clients that may not be connected any more are disconnected at once, and
    /// the entry is written into the server's config file.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let api = aioconnectors::api::ConnectorApi::server("127.0.0.1", 10673).build()?;
    /// use aioconnectors::remote::{ClientEntry, ClientList};
    ///
    /// api.remote().add_client(ClientList::Black, &ClientEntry::Ip("192.0.2.0/24".to_owned()))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`command`](Self::command); [`RemoteError::Refused`] if it is no such entry, the config file could not be
    /// written (the entry holds until the connector ends then), or the connector is a client.
    pub fn add_client(&self, list: ClientList, entry: &ClientEntry) -> Result<(), RemoteError> {
        self.change_list("add", list, entry)
    }

    /// Takes an entry away from a list of the server, and from its config file.
    ///
    /// # Errors
    /// As [`add_client`](Self::add_client); [`RemoteError::Refused`] also if the list does not have it.
    pub fn remove_client(&self, list: ClientList, entry: &ClientEntry) -> Result<(), RemoteError> {
        self.change_list("remove", list, entry)
    }

    fn change_list(&self, doing: &str, list: ClientList, entry: &ClientEntry) -> Result<(), RemoteError> {
        let (name, text) = match entry {
            ClientEntry::Id(id) => ("client_id", id),
            ClientEntry::Ip(ip) => ("client_ip", ip),
        };
        let command = format!("{doing}_{}_client", list.word());
        self.done(&command, &argument(name, text.as_str())).map(drop)
    }

    /// The entries of a list of the server: names, then addresses, then subnets.
    ///
    /// # Errors
    /// As [`command_json`](Self::command_json).
    pub fn clients(&self, list: ClientList) -> Result<Vec<ClientEntry>, RemoteError> {
        let mut entries = Vec::new();
        for kind in ["id", "ip", "subnet"] {
            let attribute = format!("{}ed_clients_{kind}", list.word());
            let texts = self.types("show_attribute__sync", &argument("attribute", attribute))?;
            let entry = if kind == "id" { ClientEntry::Id } else { ClientEntry::Ip };
            entries.extend(texts.into_iter().map(entry));
        }
        Ok(entries)
    }

    /// Has the connector drop the messages of these peers, and those for them, from now on. That is written into its
    /// config file.
    ///
    /// # Errors
    /// As [`command`](Self::command); [`RemoteError::Refused`] if the config file could not be written.
    pub fn ignore_peers(&self, peers: &IgnoredPeers) -> Result<(), RemoteError> {
        let arguments = match peers {
            IgnoredPeers::Nobody => argument("disable", true),
            IgnoredPeers::Everybody => argument("enable", true),
            IgnoredPeers::Peer(name) => argument("unique_peer", name.as_str()),
        };
        self.done(IGNORE, &arguments).map(drop)
    }

    /// Whose messages the connector drops, in the words of the Python package: `True`, `False` or `['client1']`.
    ///
    /// # Errors
    /// As [`command`](Self::command).
    pub fn ignored_peers(&self) -> Result<String, RemoteError> {
        self.done(IGNORE, &argument("show", true))
    }

    /// Has the server end a client's connection, which the client may make again. Whether there was one.
    ///
    /// # Errors
    /// As [`command`](Self::command); [`RemoteError::Refused`] if the connector is a client.
    pub fn disconnect_client(&self, client: &str) -> Result<bool, RemoteError> {
        Ok(self.done("disconnect_client", &argument("client_id", client))? == "True")
    }

    /// The answer to a command that is refused with a reason, in JSON.
    pub(crate) fn done(&self, command: &str, arguments: &Map<String, Value>) -> Result<String, RemoteError> {
        let answer = self.command(command, arguments)?;
        let said: Option<Value> = serde_json::from_str(&answer).ok();
        match said.as_ref().filter(|said| said["status"] == false).and_then(|said| said["msg"].as_str()) {
            Some(reason) => Err(RemoteError::Refused {
                path: self.path.clone(),
                command: command.to_owned(),
                reason: reason.to_owned(),
            }),
            None => Ok(answer),
        }
    }
}

const IGNORE: &str = "manage_ignore_peer_traffic__sync";

fn argument(name: &str, value: impl Into<Value>) -> Map<String, Value> {
    Map::from_iter([(name.to_owned(), value.into())])
}
