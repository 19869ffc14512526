//! `aioconnectorsctl spool purge [--dir DIR] [--ring NAME] [--remains] [--yes] [CONFIG]`.

use std::io::Write;
use std::process::ExitCode;

use super::{
    Args, CONFIG_OPTION, CONFIG_OR_DIR, Command, DIR, Failure, NAME, Opt, RING, Target, chosen, is_needed, messages,
    words,
};
use crate::store::inspect::{Found, State, is_remain};

const REMAINS: Opt = Opt {
    long: "remains",
    value: None,
    help: "only what the config does not need: types that are not stored any more, other peers, files put aside",
};

const YES: Opt = Opt { long: "yes", value: None, help: "do it; without this it is only said what would be removed" };

/// The command.
pub const COMMAND: Command = Command {
    name: "spool purge",
    aliases: &[],
    summary: "Remove a connector's queues on disk, with their messages. The connector must be stopped.",
    details: "All of them and what was put aside, or one with --ring.",
    operands: &[CONFIG_OR_DIR],
    options: &[DIR, RING, REMAINS, YES, CONFIG_OPTION, NAME],
    run,
};

fn run(args: &Args, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let target = Target::new(args)?;
    let (spool, listing) = target.owned()?;
    let mut files = chosen(listing, args, &[State::InPlace, State::Aside, State::Repaired])?;
    if args.has(REMAINS.long) {
        let Some(config) = &target.config else {
            return Err(Failure::usage("--remains needs CONFIG, which says what is stored"));
        };
        files.retain(|found| is_remain(found, &|identity| is_needed(config, identity)));
    }
    if files.is_empty() {
        writeln!(out, "there is nothing to remove")?;
        return Ok(ExitCode::SUCCESS);
    }
    let is_meant = args.has(YES.long);
    for found in &files {
        let line = format!("{}: {}, {}", found.name, count(found)?, words(found));
        if is_meant {
            spool.remove(found).map_err(Failure::failed)?;
        }
        writeln!(out, "{line}{}", if is_meant { ": removed" } else { "" })?;
    }
    if is_meant {
        return Ok(ExitCode::SUCCESS);
    }
    out.flush()?;
    Err(Failure::Failed("nothing was removed: with --yes these files and their messages will be".to_owned()))
}

fn count(found: &Found) -> Result<String, Failure> {
    let summary = found.summary().map_err(Failure::failed)?;
    Ok(summary.map_or("unknown messages".to_owned(), |summary| messages(summary.messages)))
}
