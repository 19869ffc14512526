//! Commands about the tokens by which clients are known: `delete-token`, `reload-tokens`.

use std::io::Write;
use std::process::ExitCode;

use super::command::{Args, Command, Failure, Operand, Opt};
use super::exit;
use super::target::{CONFIG_OPTION, CONNECTOR, NAME, Target};

const CLIENT: Operand = Operand {
    name: "CLIENT",
    required: false,
    help: "the client's name, if the connector is a server; a client deletes its own",
};

const RECONNECT: Opt =
    Opt { long: "reconnect", value: None, help: "on a client: connect anew, for which it needs another token" };

/// See `summary`.
pub const DELETE: Command = Command {
    name: "delete-token",
    aliases: &["delete_token", "delete-client-token", "delete_client_token"],
    summary: "Take a client's token back.",
    details: "The connector must run. On a server the client's link ends at once, and its name can get a new token. A \
              client forgets its token.",
    operands: &[CONNECTOR, CLIENT],
    options: &[RECONNECT, CONFIG_OPTION, NAME],
    run: delete,
};

/// See `summary`.
pub const RELOAD: Command = Command {
    name: "reload-tokens",
    aliases: &["load-server-tokens", "load_server_tokens", "load-client-token", "load_client_token"],
    summary: "Have a connector read its tokens again.",
    details: "A server drops clients whose token is not the same any more; if its file is damaged, all stays as it was. A \
              client reads its token for each connection by itself, so this only says whether that can be done.",
    operands: &[CONNECTOR],
    options: &[CONFIG_OPTION, NAME],
    run: |args, _| {
        let target = Target::new(args)?;
        let remote = target.remote();
        let done = if target.api().is_server() { remote.load_server_tokens() } else { remote.load_client_token() };
        done.map_err(exit::refusal)?;
        Ok(ExitCode::SUCCESS)
    },
};

fn delete(args: &Args, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let target = Target::new(args)?;
    let (is_server, id) = (target.api().is_server(), target.api().id());
    let client = args.operand(CLIENT.name).map(|name| name.to_string_lossy());
    let remote = target.remote();
    let done = match (is_server, client) {
        (true, None) => return Err(Failure::usage(format!("{} is a server: CLIENT is missing", target.name()))),
        (true, Some(_)) if args.has(RECONNECT.long) => {
            return Err(Failure::usage(format!("{} is a server: --reconnect is for clients", target.name())));
        }
        (true, Some(client)) => remote.delete_client_token_on_server(&client),
        (false, Some(name)) if name != id => {
            return Err(Failure::usage(format!("{} is the client {id}, which deletes its own", target.name())));
        }
        (false, _) => remote.delete_client_token_on_client(args.has(RECONNECT.long)),
    };
    done.map_err(exit::refusal)?;
    writeln!(out, "deleted")?;
    Ok(ExitCode::SUCCESS)
}
