//! `aioconnectorsctl ledger`.

use std::process::ExitCode;

use serde_json::Value;

use super::super::command::Command;
use super::super::human;
use super::super::table::{Cell, Column, Table, View, main};
use super::{ask, known_sum, list, list_json, look, sum};
use crate::core::ledger::Reason;

/// The command.
pub const COMMAND: Command = look(
    "ledger",
    "Show which messages were not delivered, and why.",
    "Every message that the connector has refused, or dropped, since its start is counted here, by peer, type and \
     reason. On a terminal it is said what the reasons mean.",
    |args, out| {
        let status = ask(args)?;
        let view = View::new(args);
        let table = table(&status);
        match view {
            View::Screen(_) if table.is_empty() => {
                view.say("The ledger is empty: nothing was refused or dropped.", out)?
            }
            View::Screen(_) => {
                table.write(view, &Value::Null, out)?;
                let entries = list(&status, "ledger");
                let bytes = known_sum(entries, "bytes").map(|bytes| format!(", {}", human::size(bytes)));
                let messages = human::counted(sum(entries, "messages"), "message");
                view.say(&format!("{messages}{}", bytes.unwrap_or_default()), out)?;
                let is_there = |reason: &&Reason| entries.iter().any(|entry| entry["reason"] == reason.word());
                for reason in Reason::ALL.iter().filter(is_there) {
                    view.say(&format!("{reason}: {}", reason.meaning()), out)?;
                }
            }
            _ => table.write(view, &list_json(&status, "ledger"), out)?,
        }
        Ok(ExitCode::SUCCESS)
    },
);

const COLUMNS: &[Column] = &[main("PEER"), main("TYPE"), main("REASON"), main("MESSAGES"), main("BYTES")];

/// The table of `show_status`.
pub fn table(status: &Value) -> Table {
    let mut table = Table::new(COLUMNS);
    for entry in list(status, "ledger") {
        table.row([
            Cell::of(&entry["peer"]),
            Cell::of(&entry["type"]),
            Cell::of(&entry["reason"]),
            Cell::count(&entry["messages"]),
            Cell::bytes(&entry["bytes"]),
        ]);
    }
    table
}
