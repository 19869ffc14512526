//! `aioconnectorsctl create-connector CONFIG`: the same as `aioconnectorsd CONFIG`.

use std::path::Path;
use std::process::ExitCode;

use super::command::{Args, CONFIG, Command, Failure, Run};

/// The command, which does its work by `work`.
#[must_use]
pub const fn command(work: Run) -> Command {
    Command {
        name: "create-connector",
        aliases: &["create_connector"],
        summary: "Run a connector in the foreground, as aioconnectorsd does.",
        details: "",
        operands: &[CONFIG],
        options: &[],
        run: work,
    }
}

/// Has `start` run the connector whose config file `args` name.
///
/// # Errors
/// If `args` name none.
pub fn run(args: &Args, start: impl FnOnce(&Path) -> ExitCode) -> Result<ExitCode, Failure> {
    Ok(start(args.config()?))
}
