//! `aioconnectorsctl spool list [--dir DIR] [CONFIG]`.

use std::io::Write;
use std::process::ExitCode;

use super::{Args, CONFIG_OPTION, CONFIG_OR_DIR, Command, DIR, Failure, NAME, Target, words};
use crate::store::inspect::{Found, Summary};

/// The command.
pub const COMMAND: Command = Command {
    name: "spool list",
    aliases: &[],
    summary: "List a connector's queues on disk.",
    details: "Beside a running connector it shows what that has written down last, which is a moment old.",
    operands: &[CONFIG_OR_DIR],
    options: &[DIR, CONFIG_OPTION, NAME],
    run,
};

const TITLES: [&str; 5] = ["RING", "MESSAGES", "BYTES", "FILE SIZE", "NUMBERS"];

fn run(args: &Args, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let listing = Target::new(args)?.listing()?;
    let user = match listing.holder {
        None => "not in use".to_owned(),
        Some(None) => "in use".to_owned(),
        Some(Some(pid)) => format!("in use by process {pid}"),
    };
    writeln!(out, "{}: {user}", listing.folder.display())?;
    if listing.files.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = vec![(TITLES.map(str::to_owned), "WHAT".to_owned())];
    for found in &listing.files {
        rows.push((cells(found)?, words(found)));
    }
    let width = |column: usize| rows.iter().map(|(cells, _)| cells[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 5] = std::array::from_fn(width);
    for ([name, rest @ ..], what) in &rows {
        write!(out, "{name:0$}", widths[0])?;
        for (cell, width) in rest.iter().zip(&widths[1..]) {
            write!(out, "  {cell:>width$}")?;
        }
        writeln!(out, "  {what}")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn cells(found: &Found) -> Result<[String; 5], Failure> {
    let Summary { messages, bytes, numbers } = match found.summary().map_err(Failure::failed)? {
        Some(summary) => summary,
        None => return Ok([&*found.name, "?", "?", &found.length.to_string(), "?"].map(str::to_owned)),
    };
    let numbers = numbers.map_or("-".to_owned(), |(first, last)| format!("{first}..{last}"));
    Ok([found.name.clone(), messages.to_string(), bytes.to_string(), found.length.to_string(), numbers])
}
