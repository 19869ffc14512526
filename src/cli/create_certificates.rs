//! `aioconnectorsctl create-certificates [--ca] [DIR]`.

use std::fmt;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use super::command::{Args, Command, Failure, Operand, Opt, Run};
use crate::config::Config;

const DIR: Operand = Operand {
    name: "DIR",
    required: false,
    help: "where the folder `certificates` is made; by default the default of certificates_directory_path",
};

const CA: Opt =
    Opt { long: "ca", value: None, help: "for a server with server_ca: make a CA that signs client certificates" };

/// The command, which does its work by `work`.
#[must_use]
pub const fn command(work: Run) -> Command {
    Command {
        name: "create-certificates",
        aliases: &["create_certificates"],
        summary: "Make the certificates of a server and of its clients.",
        details: "Nothing that exists is overwritten.",
        operands: &[DIR],
        options: &[CA],
        run: work,
    }
}

/// Has `create` make the folder that `args` name; its second argument tells whether a CA is wanted.
///
/// # Errors
/// What `create` returns.
pub fn run<C, E: fmt::Display>(
    args: &Args,
    out: &mut dyn Write,
    create: impl FnOnce(&Path, bool) -> Result<C, E>,
) -> Result<ExitCode, Failure> {
    let default = Config::default().certificates_directory_path;
    let dir = args.path(DIR.name).unwrap_or(&default);
    create(dir, args.has(CA.long)).map_err(Failure::failed)?;
    writeln!(out, "Made {}", dir.join("certificates").display())?;
    Ok(ExitCode::SUCCESS)
}
