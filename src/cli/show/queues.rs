//! `aioconnectorsctl queues`.

use std::io::Write;
use std::process::ExitCode;

use serde_json::{Map, Value, json};

use super::super::command::{Args, Command, Failure, Opt};
use super::super::human;
use super::super::table::{Cell, Column, JSON, Table, View, main, more};
use super::super::target::{CONFIG_OPTION, NAME};
use super::{ask, list, list_json, look, number};

const ALL: Opt = Opt { long: "all", value: None, help: "show queues without messages, too" };

/// The command.
pub const COMMAND: Command = Command {
    options: &[ALL, JSON, CONFIG_OPTION, NAME],
    ..look(
        "queues",
        "Show a connector's queues: how many messages and bytes wait, and for how long.",
        "A queue is out, to a PEER; in, to the programs that receive its TYPE; or a topic, for who subscribes to it. \
         OLDEST is how long the first message waits. On a terminal, queues without messages are counted only.",
        run,
    )
};

const COLUMNS: &[Column] =
    &[main("QUEUE"), main("PEER"), main("TYPE"), main("MESSAGES"), main("BYTES"), main("OLDEST"), more("READERS")];

fn run(args: &Args, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let status = ask(args)?;
    let view = View::new(args);
    let rows = rows(&status);
    let is_all = args.has(ALL.long) || !matches!(view, View::Screen(_));
    let shown: Vec<&Row> = rows.iter().filter(|row| is_all || row.messages > 0).collect();
    let table = table(&shown);
    if !table.is_empty() || !matches!(view, View::Screen(_)) {
        table.write(view, &json(&status), out)?;
    }
    let empty = (rows.len() - shown.len()) as u64;
    if empty > 0 {
        view.say(&format!("{} without messages: --all shows them", human::counted(empty, "queue")), out)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A queue.
pub struct Row {
    messages: u64,
    cells: [Cell; 7],
}

/// All queues of `show_status`.
pub fn rows(status: &Value) -> Vec<Row> {
    let out = list(status, "types").iter().map(|lane| {
        let what = ["out", "", "queued_messages", "queued_bytes"];
        row(what, &lane["peer"], lane, &Value::Null)
    });
    let inboxes = list(status, "inboxes").iter().map(|inbox| {
        let readers = inbox["connected"].as_bool().map_or(Value::Null, |is| json!(u8::from(is)));
        row(["in", "oldest_s", "queued_messages", "queued_bytes"], &Value::Null, inbox, &readers)
    });
    let topics = list(status, "topics")
        .iter()
        .map(|topic| row(["topic", "", "stored_messages", "stored_bytes"], &Value::Null, topic, &topic["subscribers"]));
    out.chain(inboxes).chain(topics).collect()
}

fn row([kind, oldest, messages, bytes]: [&str; 4], peer: &Value, queue: &Value, readers: &Value) -> Row {
    let cells = [
        Cell::text(kind),
        Cell::of(peer),
        Cell::of(&queue["type"]),
        Cell::count(&queue[messages]),
        Cell::bytes(&queue[bytes]),
        Cell::seconds(&queue[oldest]),
        Cell::count(readers),
    ];
    Row { messages: number(queue, messages), cells }
}

/// The table of these queues.
pub fn table(rows: &[&Row]) -> Table {
    let mut table = Table::new(COLUMNS);
    rows.iter().for_each(|row| table.row(row.cells.clone()));
    table
}

fn json(status: &Value) -> Value {
    ["types", "inboxes", "topics"]
        .map(|name| (name.to_owned(), list_json(status, name)))
        .into_iter()
        .collect::<Map<_, _>>()
        .into()
}
