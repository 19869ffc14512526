//! `aioconnectorsctl create-connector CONFIG`: the same as `aioconnectorsd CONFIG`.

use std::io::Write;
use std::process::ExitCode;

use super::command::{Args, CONFIG, Command, Failure};
use crate::manager;

/// The command.
pub const COMMAND: Command = Command {
    name: "create-connector",
    aliases: &["create_connector"],
    summary: "Run a connector in the foreground, as aioconnectorsd does.",
    details: "",
    operands: &[CONFIG],
    options: &[],
    run,
};

fn run(args: &Args, _: &mut dyn Write) -> Result<ExitCode, Failure> {
    Ok(manager::run(args.config()?, None))
}
