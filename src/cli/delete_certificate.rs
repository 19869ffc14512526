//! `aioconnectorsctl delete-certificate [--only-link] CONFIG [CLIENT]`.

use std::io::Write;
use std::process::ExitCode;

use super::command::{Args, CONFIG, Command, Failure, Operand, Opt};
use crate::certs::{ClientFolder, Error, Registry};
use crate::config::Config;
use crate::remote::{Remote, RemoteError};

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
    operands: &[CONFIG, CLIENT],
    options: &[ONLY_LINK],
    run,
};

fn run(args: &Args, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let config = Config::load(args.config()?).map_err(Failure::failed)?.config;
    let client = args.operand(CLIENT.name).map(|name| name.to_string_lossy().into_owned());
    let client = match (config.is_server, client) {
        (true, None) => return Err(Failure::usage("the config is a server's: CLIENT is missing")),
        (true, client) => client,
        (false, Some(name)) if name != config.id() => {
            return Err(Failure::usage(format!("the config is the client {}'s: it deletes its own", config.id())));
        }
        (false, _) => None,
    };
    let only_link = args.has(ONLY_LINK.long);
    let remote = Remote::new(config.socket_paths().commander());
    match remote.delete_client_certificate(client.as_deref(), only_link) {
        Err(RemoteError::NotRunning { .. }) => {
            offline(&config, client.as_deref(), only_link).map_err(Failure::failed)?;
            writeln!(out, "deleted; the connector does not run")?;
        }
        done => {
            done.map_err(Failure::failed)?;
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
