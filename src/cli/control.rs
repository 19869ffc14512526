//! Commands about a running connector as a whole: `start`, `stop`, `restart`, `reload`, `log-level`, `show-attribute`,
//! `delete-remains`.

use std::io::Write;
use std::process::ExitCode;

use serde_json::json;

use super::command::{Args, Command, Failure, Operand, Opt, Run};
use super::exit;
use super::human::printable;
use super::table::JSON;
use super::target::{CONFIG_OPTION, CONNECTOR, NAME, Target};
use crate::remote::{Reloaded, Remote};

const HARD: Opt = Opt { long: "hard", value: None, help: "at once: what is queued is not sent first" };
const SHUTDOWN: Opt = Opt { long: "shutdown", value: None, help: "end the process as well" };
const PAUSE: Opt = Opt { long: "pause", value: Some("SECONDS"), help: "time between stop and start, at most an hour" };
const TIMEOUT: Opt = Opt { long: "timeout", value: Some("SECONDS"), help: "wait so long for it; a minute at least" };

const LEVEL: Operand = Operand {
    name: "LEVEL",
    required: false,
    help: "ERROR, WARNING, INFO, DEBUG or TRACE; without it the present one is printed",
};

const ATTRIBUTE: Operand =
    Operand { name: "ATTRIBUTE", required: true, help: "a config key, or is_running or source_id" };

const fn plain(name: &'static str, aliases: &'static [&'static str], summary: &'static str, run: Run) -> Command {
    Command { name, aliases, summary, details: "", operands: &[CONNECTOR], options: &[CONFIG_OPTION, NAME], run }
}

/// See `summary`.
pub const START: Command = Command {
    details: "One that runs goes on. The process must be there: if it has ended, systemd or aioconnectorsd starts it.",
    options: &[TIMEOUT, CONFIG_OPTION, NAME],
    ..plain("start", &[], "Have a connector that was stopped begin again.", |args, _| {
        remote(args)?.start().map_err(exit::refusal)?;
        Ok(ExitCode::SUCCESS)
    })
};

/// See `summary`.
pub const STOP: Command = Command {
    details: "It closes its links, and programs find nobody; 'start' has it begin again, and until then it answers \
              commands like this one. What is queued is sent first, for shutdown_timeout at most; what is left then stays \
              queued. With --shutdown the process ends, and what is queued in memory only is lost and counted; systemd \
              does not start it again.",
    options: &[HARD, SHUTDOWN, TIMEOUT, CONFIG_OPTION, NAME],
    ..plain("stop", &[], "Stop a connector, whose process goes on.", |args, _| {
        let (remote, hard) = (remote(args)?, args.has(HARD.long));
        let done = if args.has(SHUTDOWN.long) { remote.shutdown(hard) } else { remote.stop(hard) };
        done.map_err(exit::refusal)?;
        Ok(ExitCode::SUCCESS)
    })
};

/// See `summary`.
pub const RESTART: Command = Command {
    details: "If the config has a mistake, all goes on as it was. What is queued is sent first, as with 'stop'.",
    options: &[HARD, PAUSE, TIMEOUT, CONFIG_OPTION, NAME],
    ..plain("restart", &[], "Stop a connector and have it begin again, with its config as it is now.", |args, _| {
        let pause = args.seconds(PAUSE.long)?.unwrap_or_default();
        remote(args)?.restart(args.has(HARD.long), pause).map_err(exit::refusal)?;
        Ok(ExitCode::SUCCESS)
    })
};

/// See `summary`.
pub const RELOAD: Command = Command {
    details: "It takes over what can change while it runs: lists, rules, the log level, certificates. Printed are the keys \
              that have changed, and those for which it needs a restart. If the config has a mistake, all stays as it was.",
    options: &[JSON, CONFIG_OPTION, NAME],
    ..plain("reload", &[], "Have a connector read its config and its certificates again.", reload)
};

/// See `summary`.
pub const LOG_LEVEL: Command = Command {
    name: "log-level",
    aliases: &["log_level"],
    summary: "Print how important a line must be to be logged, or change it.",
    details: "It holds until a reload or restart; for good it is the config's default_logger_log_level.",
    operands: &[CONNECTOR, LEVEL],
    options: &[CONFIG_OPTION, NAME],
    run: log_level,
};

/// See `summary`.
pub const SHOW_ATTRIBUTE: Command = Command {
    name: "show-attribute",
    aliases: &["show_attribute"],
    summary: "Print a config key's value as a connector has it.",
    details: "Texts are printed as they are; what is true, false or not there is True, False or None, and all else JSON.",
    operands: &[CONNECTOR, ATTRIBUTE],
    options: &[CONFIG_OPTION, NAME],
    run: |args, out| {
        let attribute = args.operand(ATTRIBUTE.name).map(|text| text.to_string_lossy()).unwrap_or_default();
        let answer = Target::new(args)?.remote().attribute(&attribute).map_err(exit::refusal)?;
        writeln!(out, "{}", printable(&answer))?;
        Ok(ExitCode::SUCCESS)
    },
};

/// See `summary`.
pub const DELETE_REMAINS: Command = Command {
    details: "Those are damaged files that were put aside, and files of types and peers that the config does not have any \
              more. Their messages are lost: 'spool export' saves them. Of a connector that does not run, 'spool purge \
              --remains' removes them.",
    ..plain(
        "delete-remains",
        &["delete-previous-persistence-remains", "delete_previous_persistence_remains"],
        "Have a connector remove files of queues that are of no use any more.",
        |args, _| {
            Target::new(args)?.remote().remove_remains().map_err(exit::refusal)?;
            Ok(ExitCode::SUCCESS)
        },
    )
};

/// The connector, with the time that was given for what takes long.
fn remote(args: &Args) -> Result<Remote, Failure> {
    let timeout = args.seconds(TIMEOUT.long)?;
    let remote = Target::new(args)?.remote();
    Ok(timeout.map_or(remote.clone(), |timeout| remote.timeout(timeout)))
}

fn reload(args: &Args, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let Reloaded { changed, needs_restart } = Target::new(args)?.remote().reload().map_err(exit::refusal)?;
    if args.has(JSON.long) {
        writeln!(out, "{}", json!({"changed": changed, "needs_restart": needs_restart}))?;
        return Ok(ExitCode::SUCCESS);
    }
    for (what, keys) in [("changed", &changed), ("needs a restart", &needs_restart)] {
        for key in keys {
            writeln!(out, "{what}: {}", printable(key))?;
        }
    }
    if changed.is_empty() && needs_restart.is_empty() {
        writeln!(out, "the config has not changed")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn log_level(args: &Args, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let remote = Target::new(args)?.remote();
    let level = match args.operand(LEVEL.name) {
        None => remote.log_level(),
        Some(level) => remote.set_log_level(&level.to_string_lossy().to_uppercase()),
    };
    writeln!(out, "{}", printable(&level.map_err(exit::refusal)?))?;
    Ok(ExitCode::SUCCESS)
}
