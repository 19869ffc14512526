//! `aioconnectorsctl replace-server-certificate PEM [DIR]`, `aioconnectorsctl replace-server-certificate --revert [DIR]`.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use super::command::{Args, Command, Failure, Operand, Opt};
use crate::certs::{replace_server, revert_server};
use crate::config::Config;

const PEM: Operand = Operand {
    name: "PEM",
    required: false,
    help: "the new certificate; its key lies beside it, with the ending .key. Not with --revert",
};

const DIR: Operand = Operand {
    name: "DIR",
    required: false,
    help: "the certificates_directory_path; by default /var/tmp/aioconnectors",
};

const REVERT: Opt = Opt { long: "revert", value: None, help: "put the first certificate back" };

/// The command.
pub const COMMAND: Command = Command {
    name: "replace-server-certificate",
    aliases: &["replace_server_certificate"],
    summary: "Put another certificate in the place of a server's own.",
    details: "The first one is kept beside it, as server.pem.org. A server that runs uses the new one from the next \
              connection on. Clients must have it in their client/server-cert/server.pem before, beside the old one.",
    operands: &[PEM, DIR],
    options: &[REVERT],
    run,
};

fn run(args: &Args, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let now =
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX));
    let default = Config::default().certificates_directory_path;
    let (first, second) = (args.path(PEM.name), args.path(DIR.name));
    let pair = if args.has(REVERT.long) {
        if second.is_some() {
            return Err(Failure::usage("--revert takes no PEM"));
        }
        revert_server(first.unwrap_or(&default), now)
    } else {
        let pem: &Path = first.ok_or_else(|| Failure::usage("PEM is missing"))?;
        replace_server(second.unwrap_or(&default), pem, now)
    };
    let pair = pair.map_err(Failure::failed)?;
    let (serial, subject) = (pair.certificate().serial(), pair.certificate().subject());
    writeln!(out, "the server's certificate is {serial} ({subject})")?;
    Ok(ExitCode::SUCCESS)
}
