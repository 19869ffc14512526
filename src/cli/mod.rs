//! The command line: `aioconnectorsctl`, and the few arguments of `aioconnectorsd`.
//!
//! To add a command, write a file with its [`Command`] and add a line to [`COMMANDS`]; its help follows from that.

mod access;
pub mod chat;
pub mod check_config;
pub mod command;
pub mod completions;
pub mod control;
pub mod create_certificates;
pub mod create_connector;
pub mod daemon;
pub mod delete_certificate;
pub mod demo;
pub mod doctor;
pub mod enroll;
mod exit;
pub mod help;
pub mod human;
pub mod interrupt;
pub mod known;
pub mod man;
pub mod menu;
mod message_json;
pub mod ping;
pub mod print;
pub mod print_config_templates;
mod progress;
pub mod receive;
pub mod replace_server_certificate;
pub mod send;
pub mod show;
pub mod spool;
mod subscribe;
pub mod table;
pub mod target;
pub mod test_publish_messages;
pub mod test_receive_messages;
pub mod test_send_messages;
mod token;
pub mod tool;
pub mod top;

use std::ffi::OsString;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use lexopt::Arg;

use crate::config::nearest;
use crate::version::Version;
pub use command::{Args, CONFIG, Command, Failure, Operand, Opt, Request, Run};
use help::Help;

/// The program's name, as it is typed.
pub const PROGRAM: &str = "aioconnectorsctl";

/// The exit code of a usage error.
pub const EXIT_USAGE: u8 = 2;

const SUMMARY: &str = "aioconnectorsctl sets up, tests and controls aioconnectors, a message broker.";

/// All commands, in the order of the help.
pub static COMMANDS: &[Command] = &[
    demo::COMMAND,
    print_config_templates::COMMAND,
    check_config::COMMAND,
    doctor::COMMAND,
    create_certificates::COMMAND,
    replace_server_certificate::COMMAND,
    create_connector::COMMAND,
    show::CONNECTORS,
    show::STATUS,
    show::PEERS,
    show::QUEUES,
    show::LEDGER,
    show::FILES,
    top::COMMAND,
    control::SHOW_ATTRIBUTE,
    control::START,
    control::STOP,
    control::RESTART,
    control::RELOAD,
    control::LOG_LEVEL,
    control::DELETE_REMAINS,
    menu::COMMAND,
    access::DISCONNECT,
    access::BLACKLIST_ADD,
    access::BLACKLIST_REMOVE,
    access::BLACKLIST_LIST,
    access::WHITELIST_ADD,
    access::WHITELIST_REMOVE,
    access::WHITELIST_LIST,
    access::IGNORE_PEER,
    access::IGNORE_ALL,
    access::IGNORE_NONE,
    access::IGNORE_LIST,
    enroll::ENROLL,
    enroll::LIST,
    enroll::WITHDRAW,
    delete_certificate::COMMAND,
    token::DELETE,
    token::RELOAD,
    send::COMMAND,
    receive::COMMAND,
    subscribe::LIST,
    subscribe::SET,
    subscribe::END,
    chat::COMMAND,
    ping::COMMAND,
    test_send_messages::COMMAND,
    test_publish_messages::COMMAND,
    test_receive_messages::COMMAND,
    spool::LIST,
    spool::VERIFY,
    spool::EXPORT,
    spool::REPAIR,
    spool::PURGE,
    print::COMPLETIONS,
    print::MAN_PAGE,
];

/// The first commands of groups, and what stands above them in the help and the manual.
pub static HEADINGS: &[(&str, &str)] = &[
    ("demo", "Setting up"),
    ("connectors", "Looking at connectors"),
    ("start", "Controlling them"),
    ("disconnect", "Who may come in"),
    ("send", "Sending and receiving"),
    ("spool list", "Queues on disk"),
    ("print-completions", "For shells and manuals"),
];

/// `aioconnectorsctl`.
#[must_use]
pub fn main() -> ExitCode {
    run(COMMANDS, std::env::args_os().skip(1), &mut io::stdout(), &mut io::stderr())
}

/// Does what `args` say, without the program's name, by one of `commands`.
///
/// # Returns
/// 0 if it worked, 1 if it did not, 2 if the arguments make no sense; or what the command returns.
pub fn run(
    commands: &[Command],
    args: impl IntoIterator<Item = OsString>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> ExitCode {
    let mut parser = lexopt::Parser::from_args(args);
    let result = dispatch(commands, &mut parser, out);
    conclude(PROGRAM, result, out, err)
}

fn dispatch(commands: &[Command], parser: &mut lexopt::Parser, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    match parser.next()? {
        None => Err(Failure::usage("a command is missing")),
        Some(Arg::Short('h') | Arg::Long("help")) => program_help(commands, out),
        Some(Arg::Short('V') | Arg::Long("version")) => write_version(PROGRAM, out),
        Some(Arg::Value(word)) if word == "help" => match parser.next()? {
            Some(Arg::Value(word)) => match named(commands, &word.to_string_lossy(), parser)? {
                Named::One(command) => command_help(command, out),
                Named::Family { commands, .. } => program_help(&commands, out),
            },
            Some(other) => Err(other.unexpected().into()),
            None => program_help(commands, out),
        },
        Some(Arg::Value(word)) => {
            let word = word.to_string_lossy().into_owned();
            match named(commands, &word, parser)? {
                Named::One(command) => match command.parse(parser).map_err(|failure| failure.of(command.name))? {
                    Request::Help => command_help(command, out),
                    Request::Version => write_version(PROGRAM, out),
                    Request::Run(args) => (command.run)(&args, out).map_err(|failure| failure.of(command.name)),
                },
                Named::Family { commands, help: true } => program_help(&commands, out),
                Named::Family { commands, help: false } => {
                    let names: Vec<_> = commands.iter().map(|command| format!("'{}'", command.name)).collect();
                    Err(Failure::usage(format!("{word} is not all of a command: it is one of {}", names.join(", "))))
                }
            }
        }
        Some(other) => Err(other.unexpected().into()),
    }
}

/// What is typed at the beginning stands for.
enum Named<'a> {
    /// A command.
    One(&'a Command),
    /// All commands whose first word was typed, without a second one.
    Family {
        /// Those.
        commands: Vec<Command>,
        /// Whether their help was asked for.
        help: bool,
    },
}

/// What `word` names, or that and the next one: a command's name has one word or two.
fn named<'a>(commands: &'a [Command], word: &str, parser: &mut lexopt::Parser) -> Result<Named<'a>, Failure> {
    let is_first = |command: &&Command| command.name.split_once(' ').is_some_and(|(first, _)| first == word);
    let family: Vec<Command> = commands.iter().filter(is_first).copied().collect();
    if family.is_empty() {
        return find(commands, word).map(Named::One);
    }
    match parser.next()? {
        None => Ok(Named::Family { commands: family, help: false }),
        Some(Arg::Short('h') | Arg::Long("help")) => Ok(Named::Family { commands: family, help: true }),
        Some(Arg::Value(second)) => find(commands, &format!("{word} {}", second.to_string_lossy())).map(Named::One),
        Some(other) => Err(other.unexpected().into()),
    }
}

fn find<'a>(commands: &'a [Command], word: &str) -> Result<&'a Command, Failure> {
    if let Some(command) = commands.iter().find(|command| command.is_named(word)) {
        return Ok(command);
    }
    let suggestion = nearest(word, commands.iter().map(|command| command.name));
    let suggestion = suggestion.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
    Err(Failure::usage(format!("unknown command {word:?}{suggestion}")))
}

fn program_help(commands: &[Command], out: &mut dyn Write) -> Result<ExitCode, Failure> {
    Help::new(out, help::width()).program(PROGRAM, SUMMARY, commands, HEADINGS)?;
    Ok(ExitCode::SUCCESS)
}

fn command_help(command: &Command, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    Help::new(out, help::width()).command(&format!("{PROGRAM} "), command)?;
    Ok(ExitCode::SUCCESS)
}

fn write_version(program: &str, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    writeln!(out, "{program} {Version}")?;
    Ok(ExitCode::SUCCESS)
}

/// Says what went wrong, if anything did, and turns it into an exit code.
fn conclude(program: &str, result: Result<ExitCode, Failure>, out: &mut dyn Write, err: &mut dyn Write) -> ExitCode {
    let failure = match result.and_then(|code| out.flush().map(|()| code).map_err(Failure::Output)) {
        Ok(code) => return code,
        Err(failure) => failure,
    };
    // If stderr cannot be written either, the exit code has to do.
    match failure {
        Failure::Output(error) if error.kind() == ErrorKind::BrokenPipe => return ExitCode::SUCCESS,
        Failure::Output(error) => _ = writeln!(err, "{program}: stdout cannot be written: {error}"),
        Failure::Failed(text) => _ = writeln!(err, "{program}: {text}"),
        Failure::Exit { code, text } => {
            if !text.is_empty() {
                _ = writeln!(err, "{program}: {text}");
            }
            return ExitCode::from(code);
        }
        Failure::Usage { text, command } => {
            let command = command.map(|name| format!(" {name}")).unwrap_or_default();
            _ = writeln!(err, "{program}: {text}\nTry '{program}{command} --help'.");
            return ExitCode::from(EXIT_USAGE);
        }
    }
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests;
