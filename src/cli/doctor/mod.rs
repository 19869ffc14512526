//! `aioconnectorsctl doctor`: what could keep a connector from working, found without changing anything.
//!
//! To add a check, write it beside the others as a function of the `Patient` that adds to the `Report`: one line
//! what is, one what to do. It reads only, and what it waits for has a time limit.

mod certificates;
mod clock;
mod folders;
mod limits;
mod others;
mod patient;
mod peer;
mod ports;
mod report;
mod run;
mod secrets;
mod settings;
mod spool;
mod tokens;
mod unit;

use std::io::Write;
use std::process::ExitCode;

use super::command::{Args, Command, Failure, Opt};
use super::known::Places;
use super::table::{JSON, View};
use super::target::{self, CONFIG_OPTION, NAME};
use patient::Patient;
use report::Report;

const STRICT: Opt = Opt { long: "strict", value: None, help: "exit with 1 on warnings as well" };

/// See `summary`.
pub const COMMAND: Command = Command {
    name: "doctor",
    aliases: &[],
    summary: "Look for what could keep a connector from working, and say what to do.",
    details: "It looks at the config, folders, permissions, certificates, tokens, ports, the server, the clock, disks, \
        limits, the systemd unit, queues on disk and other connectors. It changes nothing, and a running connector goes \
        on. A client that is not connected tries its server, without a certificate: the server logs that. Files are \
        judged for the user that runs the connector; run it as that user or as root, so that it can read them.\n\
        The exit code is 0 if there are no errors, else 1.",
    operands: &[target::FILE],
    options: &[CONFIG_OPTION, NAME, STRICT, JSON],
    run,
};

fn run(args: &Args, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let path = target::file(args)?;
    let mut report = Report::default();
    if let Some(config) = settings::check(&path, &mut report) {
        let patient = Patient::new(config, &path, Places::of_system());
        let checks = [
            unit::check,
            folders::check,
            secrets::check,
            certificates::check,
            tokens::check,
            ports::check,
            peer::check,
            clock::check,
            limits::check,
            spool::check,
            others::check,
        ];
        checks.iter().for_each(|check| check(&patient, &mut report));
    }
    report.write(&path, View::new(args), out)?;
    let failed = report.errors() > 0 || (args.has(STRICT.long) && report.warnings() > 0);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
