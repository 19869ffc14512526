//! What a running connector shows of itself: `status`, `peers`, `queues`, `ledger`, `files`, and which connectors there
//! are: `connectors`.

mod connectors;
mod files;
mod ledger;
mod peers;
mod queues;
mod status;

use serde_json::{Map, Value};

use super::command::{Args, Command, Failure, Run};
use super::exit;
use super::table::JSON;
use super::target::{CONFIG_OPTION, CONNECTOR, NAME, Target};

/// `connectors`.
pub const CONNECTORS: Command = connectors::COMMAND;
/// `status`.
pub const STATUS: Command = status::COMMAND;
/// `peers`.
pub const PEERS: Command = peers::COMMAND;
/// `queues`.
pub const QUEUES: Command = queues::COMMAND;
/// `ledger`.
pub const LEDGER: Command = ledger::COMMAND;
/// `files`.
pub const FILES: Command = files::COMMAND;

/// The admin command whose answer most of them show.
pub const SHOW_STATUS: &str = "show_status";

/// A command that shows something of one connector.
const fn look(name: &'static str, summary: &'static str, details: &'static str, run: Run) -> Command {
    Command { name, aliases: &[], summary, details, operands: &[CONNECTOR], options: &[JSON, CONFIG_OPTION, NAME], run }
}

/// What the connector says of itself. Members may be missing: it may be of another version.
fn ask(args: &Args) -> Result<Value, Failure> {
    let remote = Target::new(args)?.remote();
    // A refusal is an answer in JSON as well.
    let answer = remote.done(SHOW_STATUS, &Map::new()).map_err(exit::refusal)?;
    serde_json::from_str(&answer).map_err(|error| Failure::Failed(format!("the answer to {SHOW_STATUS}: {error}")))
}

/// The entries of a list, none if it is missing.
fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A list as it is, for JSON; an empty one if it is missing.
fn list_json(value: &Value, name: &str) -> Value {
    list(value, name).into()
}

/// A number; 0 if it is missing.
fn number(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or(0)
}

/// The sum of a member of all entries.
fn sum(entries: &[Value], name: &str) -> u64 {
    entries.iter().map(|entry| number(entry, name)).fold(0, u64::saturating_add)
}

/// The same; `None` if no entry has it.
fn known_sum(entries: &[Value], name: &str) -> Option<u64> {
    entries.iter().filter_map(|entry| entry[name].as_u64()).reduce(u64::saturating_add)
}

#[cfg(test)]
mod tests;
