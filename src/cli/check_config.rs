//! `aioconnectorsctl check-config CONFIG`.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use super::command::{Args, Command, Failure};
use super::target::{self, CONFIG_OPTION, NAME};
use crate::config::{Config, Warning};

/// See `summary`.
pub const COMMAND: Command = Command {
    name: "check-config",
    aliases: &["check_config"],
    summary: "Check a config file: print every error and every warning.",
    details: "The exit code is 0 if there are no errors, else 1.",
    operands: &[target::FILE],
    options: &[CONFIG_OPTION, NAME],
    run,
};

fn run(args: &Args, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let path = &*target::file(args)?;
    match Config::load(path) {
        Ok(loaded) => {
            write_warnings(out, &loaded.warnings)?;
            let (role, id) = (loaded.config.role().word(), loaded.config.id());
            writeln!(out, "{}: no errors: {role} {id}{}", path.display(), warned(&loaded.warnings))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(errors) => {
            for error in &errors.errors {
                writeln!(out, "error: {error}")?;
            }
            write_warnings(out, &errors.warnings)?;
            write_count(out, path, errors.errors.len(), &errors.warnings)?;
            Ok(ExitCode::FAILURE)
        }
    }
}

fn write_warnings(out: &mut dyn Write, warnings: &[Warning]) -> Result<(), Failure> {
    for warning in warnings {
        writeln!(out, "warning: {warning}")?;
    }
    Ok(())
}

fn write_count(out: &mut dyn Write, path: &Path, errors: usize, warnings: &[Warning]) -> Result<(), Failure> {
    writeln!(out, "{}: {}{}", path.display(), counted(errors, "error"), warned(warnings))?;
    Ok(())
}

fn warned(warnings: &[Warning]) -> String {
    if warnings.is_empty() { String::new() } else { format!(", {}", counted(warnings.len(), "warning")) }
}

fn counted(number: usize, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}
