//! What a command is, and how its arguments are read: parsed whole first, acted on later.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use lexopt::Arg;

use super::target;
use crate::config::nearest;

/// The longest time that an option can give: a year.
pub const SECONDS_MAX: Duration = Duration::from_secs(31_536_000);

/// A command, or a whole program: what it takes, what is said of it, what it does.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    /// As it is typed, words joined by `-`. Those of a family have the same first word, and a space behind it.
    pub name: &'static str,
    /// Other names, such as those of the Python package.
    pub aliases: &'static [&'static str],
    /// What it does, in one line.
    pub summary: &'static str,
    /// More of it, for its own help; may be empty.
    pub details: &'static str,
    /// What it takes by place. Those that are required come first.
    pub operands: &'static [Operand],
    /// What it takes by name, besides `--help`.
    pub options: &'static [Opt],
    /// What it does with them.
    pub run: Run,
}

/// Does the work of a command. What is for the user goes to the writer, which is stdout.
pub type Run = fn(&Args, &mut dyn Write) -> Result<ExitCode, Failure>;

/// An argument that is known by its place.
#[derive(Clone, Copy, Debug)]
pub struct Operand {
    /// In capitals. With `…` at its end, which only the last one may have, it can be given several times.
    pub name: &'static str,
    /// Whether the command needs it.
    pub required: bool,
    /// What it is.
    pub help: &'static str,
}

/// The config file, which many commands take.
pub const CONFIG: Operand = Operand { name: "CONFIG", required: true, help: "the config file, in JSON" };

/// An argument that is known by its name.
#[derive(Clone, Copy, Debug)]
pub struct Opt {
    /// Without the `--`.
    pub long: &'static str,
    /// What its value is called, if it has one; in capitals. With `[=` before it, as in `[=SECONDS]`, it may be left
    /// out, and otherwise stands behind a `=`.
    pub value: Option<&'static str>,
    /// What it does.
    pub help: &'static str,
}

/// Why a command did not do its work.
#[derive(Debug)]
pub enum Failure {
    /// The arguments make no sense. Exit code 2.
    Usage {
        /// What is wrong with them.
        text: String,
        /// The command whose help says what is right; the program's if there is none.
        command: Option<&'static str>,
    },
    /// It did not work; the line says what and where. Exit code 1.
    Failed(String),
    /// The same with an exit code that tells scripts more.
    Exit {
        /// The exit code.
        code: u8,
        /// The line; may be empty, if all has been said.
        text: String,
    },
    /// Stdout could not be written. No error if its reader went away, else exit code 1.
    Output(io::Error),
}

impl Failure {
    /// Of arguments that make no sense.
    pub fn usage(text: impl Into<String>) -> Self {
        Failure::Usage { text: text.into(), command: None }
    }

    /// The same, where `command` was typed.
    #[must_use]
    pub fn of(self, command: &'static str) -> Self {
        match self {
            Failure::Usage { text, .. } => Failure::Usage { text, command: Some(command) },
            other => other,
        }
    }

    /// Of an error that says all there is to say.
    pub fn failed(error: impl fmt::Display) -> Self {
        Failure::Failed(error.to_string())
    }
}

impl From<io::Error> for Failure {
    /// For `writeln!(out, …)?` only; other errors need words around them, see [`Failure::failed`].
    fn from(error: io::Error) -> Self {
        Failure::Output(error)
    }
}

impl From<lexopt::Error> for Failure {
    fn from(error: lexopt::Error) -> Self {
        Failure::usage(error.to_string())
    }
}

/// What was typed.
#[derive(Debug, Default)]
pub struct Args {
    operands: Vec<(&'static str, OsString)>,
    options: Vec<(&'static str, OsString)>,
}

impl Args {
    /// The operand `name`, if it was typed.
    #[must_use]
    pub fn operand(&self, name: &str) -> Option<&OsStr> {
        self.operands.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_os_str())
    }

    /// All that was typed for the operand `name`.
    pub fn operands(&self, name: &str) -> impl Iterator<Item = &OsStr> {
        self.operands.iter().filter(move |(n, _)| *n == name).map(|(_, value)| value.as_os_str())
    }

    /// The operand `name` as a path, if it was typed.
    #[must_use]
    pub fn path(&self, name: &str) -> Option<&Path> {
        self.operand(name).map(Path::new)
    }

    /// The path in [`CONFIG`].
    ///
    /// # Errors
    /// If it was not typed, which a command that requires it need not fear.
    pub fn config(&self) -> Result<&Path, Failure> {
        self.path(CONFIG.name).ok_or_else(|| missing(&CONFIG))
    }

    /// Whether the option `--long` was typed.
    #[must_use]
    pub fn has(&self, long: &str) -> bool {
        self.options.iter().any(|(l, _)| *l == long)
    }

    /// The value of the option `--long` as it was typed, the last one if there are several.
    #[must_use]
    pub fn option(&self, long: &str) -> Option<&OsStr> {
        self.options.iter().rev().find(|(l, _)| *l == long).map(|(_, value)| value.as_os_str())
    }

    /// All values of the option `--long`.
    pub fn options(&self, long: &str) -> impl Iterator<Item = &OsStr> {
        self.options.iter().filter(move |(l, _)| *l == long).map(|(_, value)| value.as_os_str())
    }

    /// The value of the option `--long`, the last one if there are several.
    ///
    /// # Errors
    /// If it is no `T`: a usage error.
    pub fn value<T: FromStr>(&self, long: &str) -> Result<Option<T>, Failure>
    where
        T::Err: fmt::Display,
    {
        let Some(value) = self.option(long) else { return Ok(None) };
        let text = value.to_string_lossy();
        let wrong = |error| Failure::usage(format!("--{long}: found {text:?}: {error}"));
        text.parse().map(Some).map_err(wrong)
    }
}

impl Args {
    /// The value of the option `--long` as a time in seconds.
    ///
    /// # Errors
    /// If it is none, or zero: a usage error.
    pub fn seconds(&self, long: &str) -> Result<Option<Duration>, Failure> {
        let Some(value) = self.value::<f64>(long)? else { return Ok(None) };
        let time = Duration::try_from_secs_f64(value).ok().filter(|time| !time.is_zero() && *time <= SECONDS_MAX);
        time.map(Some).ok_or_else(|| Failure::usage(format!("--{long}: {value} is no time in seconds")))
    }
}

/// What is to be done about a command.
#[derive(Debug)]
pub enum Request {
    /// Say how it is used.
    Help,
    /// Say which version this is.
    Version,
    /// Do it.
    Run(Args),
}

impl Command {
    /// Whether `word` is its name or another name of it.
    #[must_use]
    pub fn is_named(&self, word: &str) -> bool {
        self.name == word || self.aliases.contains(&word)
    }

    /// Reads all that `parser` still has.
    ///
    /// # Errors
    /// An argument that it does not take, or a missing one.
    pub fn parse(&self, parser: &mut lexopt::Parser) -> Result<Request, Failure> {
        let mut args = Args::default();
        let mut words = Vec::new();
        while let Some(arg) = parser.next()? {
            match arg {
                Arg::Short('h') | Arg::Long("help") => return Ok(Request::Help),
                Arg::Short('V') | Arg::Long("version") => return Ok(Request::Version),
                Arg::Value(value) => words.push(value),
                Arg::Long(long) => {
                    let Some(option) = self.options.iter().find(|option| option.long == long) else {
                        return Err(self.unknown_option(long));
                    };
                    let value = match option.value {
                        Some(name) if name.starts_with('[') => parser.optional_value().unwrap_or_default(),
                        Some(_) => parser.value()?,
                        None => OsString::new(),
                    };
                    args.options.push((option.long, value));
                }
                Arg::Short(_) => return Err(arg.unexpected().into()),
            }
        }
        args.operands = self.place(words, args.has(target::CONFIG_OPTION.long) || args.has(target::NAME.long))?;
        Ok(Request::Run(args))
    }

    /// Which operand each of these is. `is_named`: an option says which connector is meant.
    fn place(&self, words: Vec<OsString>, is_named: bool) -> Result<Vec<(&'static str, OsString)>, Failure> {
        let mut operands = self.operands;
        if let [_, rest @ ..] = operands
            && self.finds_connector()
        {
            let least = rest.iter().filter(|operand| operand.required).count();
            let repeats = rest.last().is_some_and(|operand| operand.name.ends_with('…'));
            let most = if repeats { usize::MAX } else { rest.len() };
            let is_given = if is_named { words.len() > most } else { target::is_given(&words, least, most) };
            if !is_given {
                operands = rest;
            }
        }
        let repeated = operands.last().filter(|operand| operand.name.ends_with('…'));
        let mut placed = Vec::new();
        for word in words {
            let operand = operands.get(placed.len()).or(repeated);
            let unexpected = || Failure::usage(format!("unexpected argument {word:?}"));
            placed.push((operand.ok_or_else(unexpected)?.name, word));
        }
        match operands.get(placed.len()) {
            Some(operand) if operand.required => Err(missing(operand)),
            _ => Ok(placed),
        }
    }

    /// Whether its first operand is a connector's config, and may be left out.
    #[must_use]
    pub fn finds_connector(&self) -> bool {
        let is_config = self.operands.first().is_some_and(|first| first.name == CONFIG.name && !first.required);
        is_config && self.options.iter().any(|option| option.long == target::NAME.long)
    }

    fn unknown_option(&self, typed: &str) -> Failure {
        let meant = nearest(typed, self.options.iter().map(|option| option.long));
        let meant = meant.map(|long| format!("; did you mean --{long}?")).unwrap_or_default();
        Failure::usage(format!("unknown option \"--{typed}\"{meant}"))
    }
}

fn missing(operand: &Operand) -> Failure {
    Failure::usage(format!("{} is missing: {}", operand.name, operand.help))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMAND: Command = Command {
        name: "do-it",
        aliases: &["do_it"],
        summary: "Do it.",
        details: "",
        operands: &[CONFIG, Operand { name: "DIR", required: false, help: "a folder" }],
        options: &[
            Opt { long: "fast", value: None, help: "do it fast" },
            Opt { long: "count", value: Some("N"), help: "do it so often" },
            Opt { long: "wait", value: Some("[=SECONDS]"), help: "wait" },
        ],
        run: |_, _| Ok(ExitCode::SUCCESS),
    };

    fn parse(line: &str) -> Result<Request, Failure> {
        COMMAND.parse(&mut lexopt::Parser::from_args(line.split_whitespace()))
    }

    fn args(line: &str) -> Args {
        match parse(line) {
            Ok(Request::Run(args)) => args,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn operands_and_options_are_found_by_name_in_any_order() {
        let args = args("--count 3 c.json --fast -- -d");
        assert_eq!(args.config().unwrap(), Path::new("c.json"));
        assert_eq!(args.path("DIR"), Some(Path::new("-d")));
        assert_eq!(args.value::<u32>("count").unwrap(), Some(3));
        assert!(args.has("fast"));
    }

    #[test]
    fn an_optional_value_stands_behind_an_equals_sign() {
        assert_eq!(args("a --wait b").option("wait"), Some(OsStr::new("")));
        assert_eq!(args("a --wait=5").value::<u32>("wait").unwrap(), Some(5));
    }

    #[test]
    fn what_may_be_given_several_times_is_all_there() {
        let types = Operand { name: "TYPE…", required: true, help: "types" };
        let operands: &'static [Operand] = Box::leak(Box::new([CONFIG, types]));
        let command = Command { operands, ..COMMAND };
        let parse = |line: &str| command.parse(&mut lexopt::Parser::from_args(line.split_whitespace()));
        let Ok(Request::Run(args)) = parse("c.json a b --count 1 c --count 2") else { panic!() };
        assert!(args.operands("TYPE…").eq(["a", "b", "c"]) && args.options("count").eq(["1", "2"]));
        assert!(matches!(parse("c.json"), Err(Failure::Usage { .. })));
    }

    #[test]
    fn what_was_not_typed_is_absent() {
        let args = args("c.json");
        assert_eq!((args.path("DIR"), args.has("fast")), (None, false));
        assert_eq!(args.value::<u32>("count").unwrap(), None);
    }

    #[test]
    fn what_a_command_does_not_take_is_a_usage_error() {
        for (line, said) in [
            ("", "CONFIG is missing"),
            ("a b c", "unexpected argument \"c\""),
            ("a --slow", "--slow"),
            ("a -x", "-x"),
            ("a --fast=1", "--fast"),
            ("a --count", "--count"),
        ] {
            match parse(line) {
                Err(Failure::Usage { text, .. }) => assert!(text.contains(said), "{line}: {text}"),
                other => panic!("{line}: {other:?}"),
            }
        }
        assert!(matches!(args("a --count x").value::<u32>("count"), Err(Failure::Usage { .. })));
    }

    #[test]
    fn help_and_version_need_no_operands() {
        assert!(matches!(parse("-h"), Ok(Request::Help)));
        assert!(matches!(parse("--fast --help"), Ok(Request::Help)));
        assert!(matches!(parse("--version"), Ok(Request::Version)));
    }
}
