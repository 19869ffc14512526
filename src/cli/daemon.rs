//! The command line of `aioconnectorsd`.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use super::command::{CONFIG, Command, Failure, Request};
use super::{conclude, help, write_version};

/// The program's name, as it is typed.
pub const PROGRAM: &str = "aioconnectorsd";

/// Its table entry: it has no commands, so it is one itself. What it runs is passed to [`main`].
pub const COMMAND: Command = Command {
    name: PROGRAM,
    aliases: &[],
    summary: "aioconnectorsd is a connector of aioconnectors, a message broker.",
    details: "It runs in the foreground until SIGTERM or SIGINT. Exit codes: 0 stopped, 1 failed, 2 wrong arguments.",
    operands: &[CONFIG],
    options: &[],
    run: |_, _| Ok(ExitCode::FAILURE),
};

/// `aioconnectorsd`: has `start` run the connector whose config file is named on the command line.
pub fn main(start: impl FnOnce(&Path) -> ExitCode) -> ExitCode {
    run(std::env::args_os().skip(1), start, &mut io::stdout(), &mut io::stderr())
}

/// The same with other arguments, without the program's name, and other writers.
pub fn run(
    args: impl IntoIterator<Item = OsString>,
    start: impl FnOnce(&Path) -> ExitCode,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> ExitCode {
    let result = dispatch(args, start, out);
    conclude(PROGRAM, result, out, err)
}

fn dispatch(
    args: impl IntoIterator<Item = OsString>,
    start: impl FnOnce(&Path) -> ExitCode,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    match COMMAND.parse(&mut lexopt::Parser::from_args(args))? {
        Request::Help => help::write_command(out, "", &COMMAND)?,
        Request::Version => return write_version(PROGRAM, out),
        Request::Run(args) => return Ok(start(args.config()?)),
    }
    Ok(ExitCode::SUCCESS)
}
