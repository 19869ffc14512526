//! `aioconnectorsctl connectors`.

use std::io::{self, Write};
use std::process::ExitCode;

use serde_json::{Value, json};

use super::super::command::{Args, Command, Failure};
use super::super::known::{Found, Known, Places};
use super::super::table::{Cell, Column, JSON, Table, View, main};

/// The command.
pub const COMMAND: Command = Command {
    name: "connectors",
    aliases: &[],
    summary: "Show the connectors of this machine, by the names that --name takes.",
    details: "Those are the ones with a config in /etc/aioconnectors, and those that run with the usual \
              connector_files_dirpath. Further ones are reached with --config.",
    operands: &[],
    options: &[JSON],
    run,
};

const COLUMNS: &[Column] = &[main("NAME"), main("ROLE"), main("STATE"), main("CONFIG")];

fn run(args: &Args, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let places = Places::of_system();
    let found = Found::look(&places);
    let view = View::new(args);
    let mut table = Table::new(COLUMNS);
    let mut all = Vec::new();
    for known in &found.all {
        let (role, state) = (role(known), state(known));
        let config = known.config.as_ref().map(|path| path.display().to_string());
        all.push(json!({"name": known.name, "role": role, "state": state, "config": config}));
        table.row([Cell::text(&known.name), Cell::of(&role), Cell::text(state), Cell::of(&Value::from(config))]);
    }
    match view {
        View::Screen(_) if table.is_empty() => {
            let (list, folder) = (places.list(), places.instances.display());
            view.say(&format!("No connector is known here: {} and {folder} name none.", list.display()), out)?;
        }
        view => table.write(view, &all.into(), out)?,
    }
    for why in &found.unread {
        // What was found is told all the same.
        _ = writeln!(io::stderr(), "{}: {why}", super::super::PROGRAM);
    }
    Ok(ExitCode::SUCCESS)
}

fn role(known: &Known) -> Value {
    known.api.as_ref().map_or(Value::Null, |api| if api.is_server() { "server" } else { "client" }.into())
}

fn state(known: &Known) -> &'static str {
    match &known.api {
        Err(_) => "bad config",
        Ok(_) if known.runs() => "running",
        Ok(_) => "not running",
    }
}
