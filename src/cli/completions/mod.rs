//! Completions for shells, made from the command tables.

mod bash;
mod fish;
mod zsh;

use super::command::{Command, Operand, Opt};
use super::{COMMANDS, daemon, target};

/// A shell for which there are completions.
#[derive(Clone, Copy, Debug)]
pub struct Shell {
    /// Its name.
    pub name: &'static str,
    /// The file's name in `config/completions`, as the shell looks for it.
    pub file: &'static str,
    /// Makes the file.
    pub make: fn() -> String,
}

/// All of them.
pub const SHELLS: [Shell; 3] = [
    Shell { name: "bash", file: "aioconnectorsctl", make: bash::make },
    Shell { name: "zsh", file: "_aioconnectorsctl", make: zsh::make },
    Shell { name: "fish", file: "aioconnectorsctl.fish", make: fish::make },
];

/// What a shell script prints that says what it is.
const MADE: &str = "# Made by \"aioconnectorsctl print-completions\" from the table of commands.";

/// The names of connectors, one a line: the first column of `connectors`, without its title.
const NAMES: &str = "aioconnectorsctl connectors 2>/dev/null | tail -n +2 | cut -f 1";

/// What can stand somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// A connector, by its name.
    Connector,
    /// One of these words.
    Words(&'static [&'static str]),
    /// What only the user knows.
    Unknown,
}

/// What stands for the value of an option.
fn value_of(command: &Command, option: &Opt) -> Option<Place> {
    let value = option.value?;
    Some(match (command.name, option.long) {
        (_, long) if long == target::NAME.long => Place::Connector,
        (_, "log-format") => Place::Words(&["text", "journal", "json"]),
        ("send", "receipt") => Place::Words(&["accepted", "stored", "delivered"]),
        _ => named(value),
    })
}

/// What stands for an operand.
fn operand_of(command: &Command, operand: &Operand) -> Place {
    match (command.name, operand.name) {
        ("log-level", "LEVEL") => Place::Words(&["ERROR", "WARNING", "INFO", "DEBUG", "TRACE"]),
        ("print-completions", _) => Place::Words(&["bash", "zsh", "fish"]),
        ("print-man-page", _) => Place::Words(&super::man::NAMES),
        (_, name) => named(name),
    }
}

/// What is called so.
fn named(name: &str) -> Place {
    match name {
        "CONFIG" | "FILE" | "PATH" | "PEM" => Place::File,
        "DIR" => Place::Folder,
        _ => Place::Unknown,
    }
}

/// The two words of a command of a family; the second is empty for others.
fn words(command: &Command) -> (&'static str, &'static str) {
    command.name.split_once(' ').unwrap_or((command.name, ""))
}

/// The first words of all commands, each once, with what they do.
fn first_words() -> Vec<(&'static str, String)> {
    let mut all: Vec<(&str, String)> = Vec::new();
    for command in COMMANDS {
        let (first, second) = words(command);
        match all.last_mut().filter(|(word, _)| *word == first) {
            Some((_, seconds)) => *seconds += &format!(", {second}"),
            None if second.is_empty() => all.push((first, command.summary.trim_end_matches('.').to_owned())),
            None => all.push((first, second.to_owned())),
        }
    }
    all
}

/// The second words of a family.
fn family(first: &str) -> impl Iterator<Item = (&'static str, &'static Command)> {
    let of_family = COMMANDS.iter().map(|command| (words(command), command));
    of_family
        .filter(move |((word, second), _)| *word == first && !second.is_empty())
        .map(|((_, second), c)| (second, c))
}

/// Whether there are commands of two words that begin with this one.
fn is_family(first: &str) -> bool {
    family(first).next().is_some()
}

/// All option words of a command, with what they do.
fn options(command: &Command) -> Vec<(String, &'static str, Option<Place>)> {
    let own = command.options.iter().map(|option| (option.long.to_owned(), option.help, value_of(command, option)));
    own.chain([("help".to_owned(), "say how it is used", None)]).collect()
}

/// Whether the value of an option may be left out; it stands behind a `=` then.
fn is_optional(command: &Command, long: &str) -> bool {
    let value = command.options.iter().find(|option| option.long == long).and_then(|option| option.value);
    value.is_some_and(|value| value.starts_with('['))
}

/// The daemon's table entry.
const DAEMON: &Command = &daemon::COMMAND;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_stand_together_so_that_each_first_word_is_there_once() {
        let words: Vec<&str> = first_words().into_iter().map(|(word, _)| word).collect();
        let mut once = words.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), words.len(), "{words:?}");
        assert!(is_family("spool") && !is_family("status"));
    }
}
