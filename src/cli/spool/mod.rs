//! `aioconnectorsctl spool …`: the queues that a connector has on disk.
//!
//! What only looks works beside a running connector; what changes files wants it stopped.

mod export;
mod list;
mod purge;
mod repair;
mod verify;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::command::{Args, CONFIG, Command, Failure, Operand, Opt};
use super::target::{self, CONFIG_OPTION, NAME};
use crate::config::Config;
use crate::ring::header::{Header, Identity};
use crate::store::error::describe;
use crate::store::inspect::{self, DamagedBytes, Found, Listing, State};
use crate::store::{Spool, StoreError};

/// `spool list`.
pub const LIST: Command = list::COMMAND;
/// `spool verify`.
pub const VERIFY: Command = verify::COMMAND;
/// `spool export`.
pub const EXPORT: Command = export::COMMAND;
/// `spool repair`.
pub const REPAIR: Command = repair::COMMAND;
/// `spool purge`.
pub const PURGE: Command = purge::COMMAND;

const CONFIG_OR_DIR: Operand =
    Operand { name: CONFIG.name, required: false, help: "the connector's config file, in JSON; or else --dir" };

const DIR: Opt =
    Opt { long: "dir", value: Some("DIR"), help: "the spool folder itself: spool_… in connector_files_dirpath" };

const RING: Opt = Opt { long: "ring", value: Some("NAME"), help: "only this file, as 'spool list' names it" };

/// The folder that is meant, and the config if there is one.
struct Target {
    folder: PathBuf,
    config: Option<Config>,
}

impl Target {
    fn new(args: &Args) -> Result<Self, Failure> {
        let is_named = args.path(CONFIG.name).is_some() || args.has(CONFIG_OPTION.long) || args.has(NAME.long);
        match args.option(DIR.long) {
            Some(_) if is_named => Err(Failure::usage("--dir and a config both name a folder: leave one out")),
            Some(folder) => Ok(Self { folder: folder.into(), config: None }),
            None => {
                let config = Config::load(&target::file(args)?).map_err(Failure::failed)?.config;
                Ok(Self { folder: config.socket_paths().spool(), config: Some(config) })
            }
        }
    }

    /// What is in the folder.
    fn listing(&self) -> Result<Listing, Failure> {
        self.check()?;
        inspect::list(&self.folder).map_err(Failure::failed)
    }

    /// The folder for this process alone, and what is in it.
    fn owned(&self) -> Result<(Spool, Listing), Failure> {
        self.check()?;
        let spool = Spool::open(&self.folder, true).map_err(|error| match error {
            StoreError::InUse { .. } => Failure::Failed(format!("{error}: stop it first")),
            error => Failure::failed(error),
        })?;
        Ok((spool, self.listing()?))
    }

    fn check(&self) -> Result<(), Failure> {
        if self.folder.is_dir() {
            return Ok(());
        }
        let folder = self.folder.display();
        Err(Failure::Failed(format!("there is no folder {folder}: the connector has stored nothing yet")))
    }
}

/// The file that `--ring` names, or without that those in `states`.
fn chosen(listing: Listing, args: &Args, states: &[State]) -> Result<Vec<Found>, Failure> {
    let Some(name) = args.option(RING.long) else {
        return Ok(listing.files.into_iter().filter(|found| states.contains(&found.state)).collect());
    };
    let mut with_end = OsString::from(name);
    with_end.push(".ring");
    let folder = listing.folder;
    let is_meant = |found: &Found| [name, &with_end].iter().any(|name| **name == *found.name);
    let found: Vec<Found> = listing.files.into_iter().filter(is_meant).collect();
    if found.is_empty() {
        let (name, folder) = (Path::new(name).display(), folder.display());
        return Err(Failure::Failed(format!("there is no ring {name} in {folder}: 'spool list' names them")));
    }
    Ok(found)
}

/// What a file is, in words.
fn words(found: &Found) -> String {
    let what = match &found.header {
        Ok(Header { identity, .. }) => describe(identity),
        Err(damage) => damage.to_string(),
    };
    match found.state {
        State::InPlace => what,
        State::Aside => format!("put aside: {what}"),
        State::Repaired => format!("put aside and repaired: {what}"),
    }
}

fn damage_words(damage: &DamagedBytes) -> String {
    let DamagedBytes { offset, bytes, is_one, .. } = damage;
    let lost = if *is_one { "one message is lost" } else { "how many messages are lost is not known" };
    format!("{bytes} bytes from byte {offset} on are damaged: {lost}")
}

fn messages(count: u64) -> String {
    format!("{count} message{}", if count == 1 { "" } else { "s" })
}

/// Whether the connector of a config still stores such messages.
fn is_needed(config: &Config, identity: &Identity) -> bool {
    use crate::ring::header::Kind;
    use crate::wire::names::{Role, server_id};
    let message_type = &identity.message_type;
    let covered = match identity.kind {
        Kind::Topic => config.disk_persistence_send.covers(message_type) && config.pubsub_central_broker,
        Kind::Outbox => {
            config.disk_persistence_send.covers(message_type) && has(&config.send_message_types, message_type)
        }
        Kind::Inbox => {
            config.disk_persistence_recv.covers(message_type) && has(&config.recv_message_types, message_type)
        }
    };
    let server = server_id(&config.server_sockaddr.first.host, config.server_sockaddr.first.port);
    let is_peer = identity.kind != Kind::Outbox || config.role() == Role::Server || identity.peer == server;
    covered && is_peer && identity.connector == config.id()
}

fn has(types: &[String], message_type: &str) -> bool {
    types.iter().any(|t| t == message_type)
}
