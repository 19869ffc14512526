//! `aioconnectorsctl spool repair [--dir DIR] [--ring NAME] [CONFIG]`.

use std::io::Write;
use std::process::ExitCode;

use super::{
    Args, CONFIG_OPTION, CONFIG_OR_DIR, Command, DIR, Failure, NAME, RING, Target, chosen, damage_words, messages,
};
use crate::store::inspect::State;

/// The command.
pub const COMMAND: Command = Command {
    name: "spool repair",
    aliases: &[],
    summary: "Get what can be read out of damaged queues on disk. The connector must be stopped.",
    details: "A damaged ring is written anew without what is damaged. What can be read of a file that was put aside is put\n\
        behind what its ring holds now. Damaged files stay, as NAME.bad-N.repaired.\n\
        If a file's header is lost, messages that were sent already can be among those that are found.",
    operands: &[CONFIG_OR_DIR],
    options: &[DIR, RING, CONFIG_OPTION, NAME],
    run,
};

fn run(args: &Args, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let (spool, listing) = Target::new(args)?.owned()?;
    let (mut repaired, mut failed) = (0, 0);
    for found in chosen(listing, args, &[State::InPlace, State::Aside])? {
        match spool.repair(&found) {
            Ok(None) => {}
            Ok(Some(done)) => {
                repaired += 1;
                for damage in &done.report.damage {
                    writeln!(out, "{}: {}", found.name, damage_words(damage))?;
                }
                let (count, into, kept) = (messages(done.messages), done.into.display(), done.kept.display());
                writeln!(out, "{}: {count} put into {into}; the damaged file is {kept}", found.name)?;
            }
            Err(error) => {
                failed += 1;
                writeln!(out, "{}: not repaired: {error}", found.name)?;
            }
        }
    }
    if repaired + failed == 0 {
        writeln!(out, "nothing is damaged")?;
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
