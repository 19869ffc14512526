//! `aioconnectorsctl blacklist …`, `whitelist …`, `ignore …` and `disconnect`: who may connect to a running server, and
//! whose messages are dropped.

use std::io::Write;
use std::process::ExitCode;

use serde_json::{Map, Value, json};

use super::command::{Args, Command, Failure, Operand, Opt};
use super::exit;
use super::human::printable;
use super::table::JSON;
use super::target::{CONFIG_OPTION, CONNECTOR, NAME, Target};
use crate::core::access::Entry;
use crate::remote::{ClientEntry, ClientList, IgnoredPeers, Remote};

const ENTRY: Operand = Operand {
    name: "ENTRY",
    required: true,
    help: "an IP address, a subnet as 10.0.0.0/8, or a regular expression for names, matched from their start",
};

const ID: Opt = Opt { long: "id", value: None, help: "ENTRY is for names, even if it looks like an address" };

const PEER: Operand = Operand { name: "PEER", required: true, help: "the peer's name" };

const DISCONNECTED: Operand =
    Operand { name: PEER.name, required: false, help: "the client's name, if the connector is a server" };

const LISTS: &str = "The connector must run. It writes the change into its config file. The blacklist goes before the \
whitelist; a whitelist without entries lets everybody in. An expression is matched from a name's start: 'client1' stands \
for client10 as well, 'client1$' does not.";

const IGNORING: &str = "The connector must run. It writes the change into its config file. Messages of peers that are \
ignored are dropped, and those that programs send to them are refused.";

const fn on_list(name: &'static str, summary: &'static str, run: super::command::Run) -> Command {
    let details = LISTS;
    Command {
        name,
        aliases: &[],
        summary,
        details,
        operands: &[CONNECTOR, ENTRY],
        options: &[ID, CONFIG_OPTION, NAME],
        run,
    }
}

const fn show(name: &'static str, summary: &'static str, run: super::command::Run) -> Command {
    Command {
        name,
        aliases: &[],
        summary,
        details: "",
        operands: &[CONNECTOR],
        options: &[JSON, CONFIG_OPTION, NAME],
        run,
    }
}

const fn ignore(
    name: &'static str,
    summary: &'static str,
    operands: &'static [Operand],
    run: super::command::Run,
) -> Command {
    Command { name, aliases: &[], summary, details: IGNORING, operands, options: &[CONFIG_OPTION, NAME], run }
}

/// See `summary`.
pub const BLACKLIST_ADD: Command =
    on_list("blacklist add", "Keep clients out of a running server, and disconnect them.", |args, _| {
        change(args, ClientList::Black, Remote::add_client)
    });
/// See `summary`.
pub const BLACKLIST_REMOVE: Command =
    on_list("blacklist remove", "Take an entry away from a server's blacklist.", |args, _| {
        change(args, ClientList::Black, Remote::remove_client)
    });
/// See `summary`.
pub const BLACKLIST_LIST: Command =
    show("blacklist list", "Print a server's blacklist.", |args, out| list(args, out, ClientList::Black));
/// See `summary`.
pub const WHITELIST_ADD: Command =
    on_list("whitelist add", "Let clients into a running server; with a first entry, no others.", |args, _| {
        change(args, ClientList::White, Remote::add_client)
    });
/// See `summary`.
pub const WHITELIST_REMOVE: Command =
    on_list("whitelist remove", "Take an entry away from a server's whitelist.", |args, _| {
        change(args, ClientList::White, Remote::remove_client)
    });
/// See `summary`.
pub const WHITELIST_LIST: Command =
    show("whitelist list", "Print a server's whitelist.", |args, out| list(args, out, ClientList::White));
/// See `summary`.
pub const IGNORE_LIST: Command =
    show("ignore list", "Print whose messages a connector drops: all, none, or names.", |args, out| {
        let words = remote(args)?.ignored_peers().map_err(exit::refusal)?;
        // In Python's words, which for names are JSON but for the quotes; no name has one.
        let ignored: Value = serde_json::from_str(&words.to_lowercase())
            .or_else(|_| serde_json::from_str(&words.replace('\'', "\"")))
            .map_err(|_| Failure::Failed(format!("the answer makes no sense: {}", printable(&words))))?;
        match &ignored {
            _ if args.has(JSON.long) => writeln!(out, "{ignored}")?,
            Value::Bool(true) => writeln!(out, "all")?,
            Value::Array(names) => {
                names.iter().filter_map(Value::as_str).try_for_each(|name| writeln!(out, "{}", printable(name)))?
            }
            _ => writeln!(out, "none")?,
        }
        Ok(ExitCode::SUCCESS)
    });
/// See `summary`.
pub const IGNORE_PEER: Command =
    ignore("ignore peer", "Drop the messages of one peer, and those for it.", &[CONNECTOR, PEER], |args, _| {
        set_ignored(args, &IgnoredPeers::Peer(peer(args)?))
    });
/// See `summary`.
pub const IGNORE_ALL: Command =
    ignore("ignore all", "Drop the messages of all peers, and those for them.", &[CONNECTOR], |args, _| {
        set_ignored(args, &IgnoredPeers::Everybody)
    });
/// See `summary`.
pub const IGNORE_NONE: Command = ignore("ignore none", "Drop nobody's messages any more.", &[CONNECTOR], |args, _| {
    set_ignored(args, &IgnoredPeers::Nobody)
});
/// See `summary`.
pub const DISCONNECT: Command = Command {
    name: "disconnect",
    aliases: &["disconnect-client", "disconnect_client"],
    summary: "End a client's connection; it may come again.",
    details: "On a server it is that of PEER; to keep it out, see 'blacklist add'. The exit code is 1 if it was not \
              connected. A client ends its own, and connects anew at once.",
    operands: &[CONNECTOR, DISCONNECTED],
    options: &[CONFIG_OPTION, NAME],
    run: disconnect,
};

fn disconnect(args: &Args, _: &mut dyn Write) -> Result<ExitCode, Failure> {
    let target = Target::new(args)?;
    let name = args.operand(PEER.name).map(|_| peer(args)).transpose()?;
    match (target.api().is_server(), name) {
        (true, None) => Err(Failure::usage(format!("{} is a server: PEER is missing", target.name()))),
        (true, Some(name)) => match target.remote().disconnect_client(&name).map_err(exit::refusal)? {
            true => Ok(ExitCode::SUCCESS),
            false => Err(Failure::Failed(format!("{name} is not connected"))),
        },
        (false, Some(_)) => Err(Failure::usage(format!("{} is a client, which ends its own: no PEER", target.name()))),
        (false, None) => {
            let arguments = Map::from_iter([("client_wait_for_reconnect".to_owned(), Value::Bool(true))]);
            target.remote().done("stop", &arguments).map_err(exit::refusal)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn remote(args: &Args) -> Result<Remote, Failure> {
    Ok(Target::new(args)?.remote())
}

fn operand(args: &Args, operand: &Operand) -> Result<String, Failure> {
    let text = args.operand(operand.name).and_then(|text| text.to_str());
    text.map(str::to_owned).ok_or_else(|| Failure::usage(format!("{} must be a text in UTF-8", operand.name)))
}

fn peer(args: &Args) -> Result<String, Failure> {
    operand(args, &PEER)
}

fn change(
    args: &Args,
    list: ClientList,
    change: fn(&Remote, ClientList, &ClientEntry) -> Result<(), crate::remote::RemoteError>,
) -> Result<ExitCode, Failure> {
    let text = operand(args, &ENTRY)?;
    // No name has a slash, so what has one is meant for a subnet, be it a wrong one.
    let is_ip = !args.has(ID.long) && (text.contains('/') || Entry::of_ip(&text).is_ok());
    let entry = if is_ip { ClientEntry::Ip(text) } else { ClientEntry::Id(text) };
    change(&remote(args)?, list, &entry).map_err(exit::refusal)?;
    Ok(ExitCode::SUCCESS)
}

fn list(args: &Args, out: &mut dyn Write, list: ClientList) -> Result<ExitCode, Failure> {
    let entries = remote(args)?.clients(list).map_err(exit::refusal)?;
    let entries = entries.iter().map(|entry| match entry {
        ClientEntry::Id(text) => ("id", text),
        ClientEntry::Ip(text) => ("ip", text),
    });
    if args.has(JSON.long) {
        let entries: Value = entries.map(|(kind, text)| json!({"kind": kind, "entry": text})).collect();
        writeln!(out, "{entries}")?;
        return Ok(ExitCode::SUCCESS);
    }
    for (kind, text) in entries {
        writeln!(out, "{kind}  {}", printable(text))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn set_ignored(args: &Args, peers: &IgnoredPeers) -> Result<ExitCode, Failure> {
    remote(args)?.ignore_peers(peers).map_err(exit::refusal)?;
    Ok(ExitCode::SUCCESS)
}
