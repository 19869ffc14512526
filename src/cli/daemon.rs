//! The command line of `aioconnectorsd`.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use super::command::{Args, CONFIG, Command, Failure, Opt, Request};
use super::help::{self, Help};
use super::{conclude, write_version};
use crate::logger::LogFormat;

/// The program's name, as it is typed.
pub const PROGRAM: &str = "aioconnectorsd";

const LOG_FORMAT: Opt = Opt {
    long: "log-format",
    value: Some("FORMAT"),
    help: "text, journal or json; by default journal if the journal is where the log goes, else text",
};

/// Its table entry: it has no commands, so it is one itself. What it runs is passed to [`main`].
pub const COMMAND: Command = Command {
    name: PROGRAM,
    aliases: &[],
    summary: "aioconnectorsd is a connector of aioconnectors, a message broker.",
    details: "It runs in the foreground until SIGTERM or SIGINT. Exit codes: 0 stopped, 1 failed, 2 wrong arguments.",
    operands: &[CONFIG],
    options: &[LOG_FORMAT],
    run: |_, _| Ok(ExitCode::FAILURE),
};

/// `aioconnectorsd`: has `start` run the connector whose config file is named on the command line.
pub fn main(start: impl FnOnce(&Path, Option<LogFormat>) -> ExitCode) -> ExitCode {
    run(std::env::args_os().skip(1), start, &mut io::stdout(), &mut io::stderr())
}

/// The same with other arguments, without the program's name, and other writers.
pub fn run(
    args: impl IntoIterator<Item = OsString>,
    start: impl FnOnce(&Path, Option<LogFormat>) -> ExitCode,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> ExitCode {
    let result = dispatch(args, start, out);
    conclude(PROGRAM, result, out, err)
}

fn dispatch(
    args: impl IntoIterator<Item = OsString>,
    start: impl FnOnce(&Path, Option<LogFormat>) -> ExitCode,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    match COMMAND.parse(&mut lexopt::Parser::from_args(args))? {
        Request::Help => Help::new(out, help::width()).command("", &COMMAND)?,
        Request::Version => return write_version(PROGRAM, out),
        Request::Run(args) => return Ok(start(args.config()?, log_format(&args)?)),
    }
    Ok(ExitCode::SUCCESS)
}

fn log_format(args: &Args) -> Result<Option<LogFormat>, Failure> {
    let Some(word) = args.option(LOG_FORMAT.long) else { return Ok(None) };
    let format = LogFormat::ALL.into_iter().find(|format| word == format.to_string().as_str());
    let unknown = || Failure::usage(format!("--log-format: {word:?} is none of text, journal, json"));
    format.map(Some).ok_or_else(unknown)
}
