//! `aioconnectorsctl print-config-templates`.

use std::io::Write;
use std::process::ExitCode;

use super::command::{Args, Command, Failure};
use crate::config::Config;

/// See `summary`.
pub const COMMAND: Command = Command {
    name: "print-config-templates",
    aliases: &["print_config_templates"],
    summary: "Print config files to start from, with every key at its default.",
    details: "",
    operands: &[],
    options: &[],
    run,
};

fn run(_: &Args, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    write!(out, "{}", Config::templates())?;
    Ok(ExitCode::SUCCESS)
}
