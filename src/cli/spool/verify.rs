//! `aioconnectorsctl spool verify [--dir DIR] [--ring NAME] [CONFIG]`.

use std::io::Write;
use std::process::ExitCode;

use super::export::failure;
use super::{
    Args, CONFIG_OPTION, CONFIG_OR_DIR, Command, DIR, Failure, NAME, RING, Target, chosen, damage_words, messages,
};
use crate::store::inspect::State;

/// The command.
pub const COMMAND: Command = Command {
    name: "spool verify",
    aliases: &[],
    summary: "Check every message in a connector's queues on disk.",
    details: "Reads all of them and checks their checksums. Files that lie aside are left out; --ring takes one of them.\n\
        The exit code is 0 if nothing is damaged, else 1.",
    operands: &[CONFIG_OR_DIR],
    options: &[DIR, RING, CONFIG_OPTION, NAME],
    run,
};

fn run(args: &Args, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let listing = Target::new(args)?.listing()?;
    let live = listing.holder.is_some();
    let mut is_sound = true;
    for found in chosen(listing, args, &[State::InPlace])? {
        let report = found.read(live, &mut |_, _, _| Ok(())).map_err(failure)?;
        let damage = report.damage.iter().map(damage_words);
        let lines: Vec<String> =
            found.header.as_ref().err().map(ToString::to_string).into_iter().chain(damage).collect();
        is_sound &= lines.is_empty();
        for line in &lines {
            writeln!(out, "{}: {line}", found.name)?;
        }
        let (count, bytes) = (messages(report.messages), report.bytes);
        let verdict = if lines.is_empty() { "no damage" } else { "the rest can be read" };
        writeln!(out, "{}: {count}, {bytes} bytes, {verdict}", found.name)?;
    }
    Ok(if is_sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
