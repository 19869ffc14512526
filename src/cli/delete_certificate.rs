//! `aioconnectorsctl delete-certificate [--only-link] CONFIG [CLIENT]`.

use std::io::Write;
use std::process::ExitCode;

use super::command::{Args, Command, Failure, Operand, Opt};
use super::exit;
use super::target::{CONFIG_OPTION, CONNECTOR, NAME, Target};
use crate::certs::{ClientFolder, Error, Registry};
use crate::config::Config;
use crate::remote::RemoteError;

const CLIENT: Operand = Operand {
    name: "CLIENT",
    required: false,
    help: "the client's name, if the config is a server's; a client deletes its own",
};

const ONLY_LINK: Opt = Opt {
    long: "only-link",
    value: None,
    help: "on a server: keep the certificate's files, so that the name is given no new one",
};

/// The command.
pub const COMMAND: Command = Command {
    name: "delete-certificate",
    aliases: &["delete_certificate", "delete-client-certificate", "delete_client_certificate"],
    summary: "Take a client's certificate back.",
    details: "On a server the client's link ends at once, and it cannot come again with that certificate. A client goes \
              back to the default certificate and asks for a new one, which it gets if its server has deleted the old \
              one. If the connector does not run, its folder of certificates is changed all the same.",
    operands: &[CONNECTOR, CLIENT],
    options: &[ONLY_LINK, CONFIG_OPTION, NAME],
    run,
};

fn run(args: &Args, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let target = Target::new(args)?;
    let (is_server, id) = (target.api().is_server(), target.api().id());
    let client = args.operand(CLIENT.name).map(|name| name.to_string_lossy().into_owned());
    let client = match (is_server, client) {
        (true, None) => return Err(Failure::usage(format!("{} is a server: CLIENT is missing", target.name()))),
        (true, client) => client,
        (false, Some(name)) if name != id => {
            return Err(Failure::usage(format!("{} is the client {id}, which deletes its own", target.name())));
        }
        (false, _) => None,
    };
    let only_link = args.has(ONLY_LINK.long);
    match (target.remote().delete_client_certificate(client.as_deref(), only_link), target.config()) {
        (Err(RemoteError::NotRunning { .. }), Some(path)) => {
            let config = Config::load(path).map_err(Failure::failed)?.config;
            offline(&config, client.as_deref(), only_link).map_err(Failure::failed)?;
            writeln!(out, "deleted; the connector does not run")?;
        }
        (done, _) => {
            done.map_err(exit::refusal)?;
            writeln!(out, "deleted")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What a connector would do with the folder.
fn offline(config: &Config, client: Option<&str>, only_link: bool) -> Result<(), Error> {
    let dir = &config.certificates_directory_path;
    match client {
        Some(client) => {
            let max_certs = usize::try_from(config.max_certs).unwrap_or(usize::MAX);
            Registry::open(dir, max_certs)?.delete(client, only_link).map(drop)
        }
        None => ClientFolder::new(dir).delete(&config.id()).map(drop),
    }
}
