//! Commands about what connectors subscribe to: `subscriptions`, `subscribe`, `end-subscriptions`.

use std::io::Write;
use std::process::ExitCode;

use serde_json::{Map, Value};

use super::command::{Args, Command, Failure, Operand, Opt};
use super::exit;
use super::human::printable;
use super::table::JSON;
use super::target::{CONFIG_OPTION, CONNECTOR, NAME, Target};

const TYPES: Operand = Operand {
    name: "TYPE…",
    required: false,
    help: "message types; in those with dots, * stands for a word and > for the rest of them",
};

const CLIENT: Operand = Operand { name: "CLIENT", required: true, help: "the client's name" };

const NONE: Opt = Opt { long: "none", value: None, help: "subscribe to nothing any more" };

/// See `summary`.
pub const LIST: Command = Command {
    name: "subscriptions",
    aliases: &[],
    summary: "Print the message types that a client subscribes to, one a line.",
    details: "",
    operands: &[CONNECTOR],
    options: &[JSON, CONFIG_OPTION, NAME],
    run: |args, out| {
        let types = Target::new(args)?.remote().subscriptions().map_err(exit::refusal)?;
        print(args, &types, out)
    },
};

/// See `summary`.
pub const SET: Command = Command {
    name: "subscribe",
    aliases: &["set-subscribe-message-types"],
    summary: "Have a client subscribe to these message types, and to no others.",
    details: "It holds until the connector ends; for good it is the config's subscribe_message_types. What it subscribes \
              to now is printed: on a server, nothing.",
    operands: &[CONNECTOR, TYPES],
    options: &[NONE, JSON, CONFIG_OPTION, NAME],
    run: |args, out| {
        let types: Vec<_> = args.operands(TYPES.name).map(|text| text.to_string_lossy()).collect();
        match (types.is_empty(), args.has(NONE.long)) {
            (true, false) => return Err(Failure::usage("TYPE is missing: message types, or --none")),
            (false, true) => return Err(Failure::usage("TYPE and --none: leave one out")),
            _ => {}
        }
        let types = Target::new(args)?.remote().subscribe(&types).map_err(exit::refusal)?;
        print(args, &types, out)
    },
};

/// See `summary`.
pub const END: Command = Command {
    name: "end-subscriptions",
    aliases: &[],
    summary: "Have a broker forget what a client has subscribed to.",
    details: "Of stored types a broker keeps messages for a client that is away; with this it does not any more. A client \
              that comes again subscribes anew.",
    operands: &[CONNECTOR, CLIENT],
    options: &[CONFIG_OPTION, NAME],
    run: |args, out| {
        let client = args.operand(CLIENT.name).map(|name| name.to_string_lossy()).unwrap_or_default();
        let arguments = Map::from_iter([("client_id".to_owned(), Value::from(client))]);
        let answer = Target::new(args)?.remote().done("end_subscriptions", &arguments).map_err(exit::refusal)?;
        let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
        writeln!(out, "{}", printable(answer["msg"].as_str().unwrap_or("done")))?;
        Ok(ExitCode::SUCCESS)
    },
};

fn print(args: &Args, types: &[String], out: &mut dyn Write) -> Result<ExitCode, Failure> {
    if args.has(JSON.long) {
        writeln!(out, "{}", Value::from(types))?;
        return Ok(ExitCode::SUCCESS);
    }
    types.iter().try_for_each(|t| writeln!(out, "{}", printable(t)))?;
    Ok(ExitCode::SUCCESS)
}
