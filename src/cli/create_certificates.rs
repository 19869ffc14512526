//! `aioconnectorsctl create-certificates [--ca] [DIR]`.

use std::io::Write;
use std::process::ExitCode;

use super::command::{Args, Command, Failure, Operand, Opt};
use crate::certs;
use crate::config::Config;

const DIR: Operand = Operand {
    name: "DIR",
    required: false,
    help: "the certificates_directory_path in which the folder certificates is made; by default /var/tmp/aioconnectors",
};

const CA: Opt =
    Opt { long: "ca", value: None, help: "for a server with server_ca: make a CA that signs client certificates" };

/// The command.
pub const COMMAND: Command = Command {
    name: "create-certificates",
    aliases: &["create_certificates"],
    summary: "Make the certificates of a server and of its clients.",
    details: "Nothing that exists is overwritten.",
    operands: &[DIR],
    options: &[CA],
    run,
};

fn run(args: &Args, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let default = Config::default().certificates_directory_path;
    let dir = args.path(DIR.name).unwrap_or(&default);
    let created = certs::create(dir, args.has(CA.long)).map_err(Failure::failed)?;
    for (path, what) in &created.files {
        writeln!(out, "{}: {what}", path.display())?;
    }
    let root = created.root.display();
    writeln!(out, "\nA server needs {root}/server, its clients need {root}/client.")?;
    Ok(ExitCode::SUCCESS)
}
