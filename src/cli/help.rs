//! Help texts, made from the command table.

use std::io::{self, Write};

use super::command::Command;

/// Writes how `program` is used, which has `commands`.
///
/// # Errors
/// Those of `out`.
pub fn write_program(out: &mut dyn Write, program: &str, summary: &str, commands: &[Command]) -> io::Result<()> {
    writeln!(out, "{summary}\n\nUsage: {program} COMMAND [ARGUMENTS]\n\nCommands:")?;
    write_rows(out, &commands.iter().map(|command| (synopsis(command), command.summary)).collect::<Vec<_>>())?;
    writeln!(out, "\nOptions:")?;
    write_rows(out, &common_options())?;
    writeln!(out, "\n'{program} COMMAND --help' says more about a command.")
}

/// Writes how one command is used. `prefix` is what is typed before its name, with a space; empty for a program.
///
/// # Errors
/// Those of `out`.
pub fn write_command(out: &mut dyn Write, prefix: &str, command: &Command) -> io::Result<()> {
    writeln!(out, "{}\n\nUsage: {prefix}{}", command.summary, synopsis(command))?;
    if !command.details.is_empty() {
        writeln!(out, "\n{}", command.details)?;
    }
    if !command.operands.is_empty() {
        writeln!(out, "\nArguments:")?;
        let rows = command.operands.iter().map(|operand| (operand.name.to_owned(), operand.help));
        write_rows(out, &rows.collect::<Vec<_>>())?;
    }
    writeln!(out, "\nOptions:")?;
    let options = command.options.iter().map(|option| (option_synopsis(option.long, option.value), option.help));
    write_rows(out, &options.chain(common_options()).collect::<Vec<_>>())?;
    if !command.aliases.is_empty() {
        writeln!(out, "\nAlso known as: {}", command.aliases.join(", "))?;
    }
    Ok(())
}

/// The command and its arguments in one line, as in `check-config CONFIG`.
#[must_use]
pub fn synopsis(command: &Command) -> String {
    let options = command.options.iter().map(|option| format!("[{}]", option_synopsis(option.long, option.value)));
    let operands = command
        .operands
        .iter()
        .map(|operand| if operand.required { operand.name.to_owned() } else { format!("[{}]", operand.name) });
    let words: Vec<String> = std::iter::once(command.name.to_owned()).chain(options).chain(operands).collect();
    words.join(" ")
}

fn option_synopsis(long: &str, value: Option<&str>) -> String {
    match value {
        Some(value) if value.starts_with('[') => format!("--{long}{value}"),
        Some(value) => format!("--{long} {value}"),
        None => format!("--{long}"),
    }
}

fn common_options() -> [(String, &'static str); 2] {
    [("-h, --help".to_owned(), "say how it is used"), ("-V, --version".to_owned(), "say which version it is")]
}

/// Two columns.
fn write_rows(out: &mut dyn Write, rows: &[(String, &str)]) -> io::Result<()> {
    let width = rows.iter().map(|(left, _)| left.chars().count()).max().unwrap_or(0);
    rows.iter().try_for_each(|(left, right)| writeln!(out, "  {left:width$}  {right}"))
}
