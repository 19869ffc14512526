//! `aioconnectorsctl files`.

use std::process::ExitCode;

use serde_json::{Map, Value};

use super::super::command::{Command, Failure};
use super::super::exit;
use super::super::table::{Cell, Column, Table, View, main, more};
use super::super::target::Target;
use super::look;

/// The command.
pub const COMMAND: Command = look(
    "files",
    "Show the files that are on their way now.",
    "At most 256 of them. Of a file that goes to a Python peer, DONE is what went out; else it is what has arrived.",
    |args, out| {
        let answer = Target::new(args)?.remote().done("show_files", &Map::new()).map_err(exit::refusal)?;
        let wrong = |error| Failure::Failed(format!("the answer to show_files: {error}"));
        let files: Value = serde_json::from_str(&answer).map_err(wrong)?;
        let view = View::new(args);
        let table = table(&files);
        match view {
            View::Screen(_) if table.is_empty() => view.say("No file is on its way.", out)?,
            view => table.write(view, &files, out)?,
        }
        Ok(ExitCode::SUCCESS)
    },
);

const COLUMNS: &[Column] = &[main("PEER"), more("DIRECTION"), main("NAME"), main("SIZE"), main("DONE"), main("%")];

/// The table of `show_files`.
pub fn table(files: &Value) -> Table {
    let mut table = Table::new(COLUMNS);
    for file in files.as_array().into_iter().flatten() {
        let (done, size) = (file["done"].as_u64(), file["size"].as_u64().filter(|size| *size > 0));
        // Of two numbers of bytes, each of which may be near 2^64.
        let part = done.zip(size).map(|(done, size)| (done.min(size) as f64 / size as f64 * 100.0) as u64);
        table.row([
            Cell::of(&file["peer"]),
            Cell::of(&file["direction"]),
            Cell::of(&file["name"]),
            Cell::bytes(&file["size"]),
            Cell::bytes(&file["done"]),
            Cell::count(&part.into()),
        ]);
    }
    table
}
