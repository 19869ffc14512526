//! Help texts, made from the command table.

use std::io::{self, IsTerminal, Write};

use super::command::Command;
use super::exit;
use super::table::wrap;
use crate::sys::terminal;

/// Columns of a terminal that does not say how many it has.
const COLUMNS_DEFAULT: usize = 80;

/// From so many columns on, what explains a word stands beside it, else below it.
const BESIDE_MIN: usize = 60;

/// Narrower than this nothing is written.
const COLUMNS_MIN: usize = 24;

/// How wide a help text may be: as wide as the terminal; elsewhere lines are not cut.
#[must_use]
pub fn width() -> usize {
    let stdout = io::stdout();
    match stdout.is_terminal() {
        true => terminal::size(&stdout).map_or(COLUMNS_DEFAULT, |(columns, _)| columns).max(COLUMNS_MIN),
        false => usize::MAX,
    }
}

/// Where help is written, and how wide it may be.
pub struct Help<'a> {
    out: &'a mut dyn Write,
    width: usize,
}

impl<'a> Help<'a> {
    /// Help that is at most `width` columns wide.
    pub fn new(out: &'a mut dyn Write, width: usize) -> Self {
        Self { out, width }
    }

    /// Writes how `program` is used, which has `commands`. A heading stands before each command that `headings` name.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn program(
        &mut self,
        program: &str,
        summary: &str,
        commands: &[Command],
        headings: &[(&str, &str)],
    ) -> io::Result<()> {
        self.text(summary)?;
        self.text(&format!("\nUsage: {program} COMMAND [ARGUMENTS]"))?;
        let left = commands.iter().map(|command| command.name.len()).max().unwrap_or(0);
        let mut has_heading = false;
        for command in commands {
            if let Some((_, heading)) = headings.iter().find(|(first, _)| *first == command.name) {
                self.text(&format!("\n{heading}:"))?;
                has_heading = true;
            } else if !has_heading {
                self.text("\nCommands:")?;
                has_heading = true;
            }
            self.row(command.name, command.summary, left)?;
        }
        self.text("\nOptions:")?;
        self.rows(&common_options())?;
        self.text("\nExit codes:")?;
        let codes = exit::CODES.iter().map(|(code, what)| (code.to_string(), *what));
        self.rows(&codes.collect::<Vec<_>>())?;
        self.text(&format!("\n'{program} COMMAND --help' says more about a command."))
    }

    /// Writes how one command is used. `prefix` is what is typed before its name, with a space; empty for a program.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn command(&mut self, prefix: &str, command: &Command) -> io::Result<()> {
        self.text(command.summary)?;
        self.text("")?;
        let usage = format!("Usage: {prefix}{}", synopsis(command));
        let indent = " ".repeat("Usage: ".len() + 4);
        for (number, line) in wrap(&usage, self.width.saturating_sub(indent.len()).max(COLUMNS_MIN)).iter().enumerate()
        {
            writeln!(self.out, "{}{line}", if number == 0 { "" } else { &indent })?;
        }
        for paragraph in paragraphs(command.details) {
            self.text("")?;
            self.text(&paragraph)?;
        }
        if !command.operands.is_empty() {
            self.text("\nArguments:")?;
            let rows = command.operands.iter().map(|operand| (operand.name.to_owned(), operand.help));
            self.rows(&rows.collect::<Vec<_>>())?;
        }
        self.text("\nOptions:")?;
        let options = command.options.iter().map(|option| (option_synopsis(option.long, option.value), option.help));
        self.rows(&options.chain(common_options()).collect::<Vec<_>>())?;
        if !command.aliases.is_empty() {
            self.text(&format!("\nAlso known as: {}", command.aliases.join(", ")))?;
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> io::Result<()> {
        text.split('\n').flat_map(|line| wrap(line, self.width)).try_for_each(|line| writeln!(self.out, "{line}"))
    }

    fn rows(&mut self, rows: &[(String, &str)]) -> io::Result<()> {
        let left = rows.iter().map(|(word, _)| word.chars().count()).max().unwrap_or(0);
        rows.iter().try_for_each(|(word, text)| self.row(word, text, left))
    }

    /// A word, and beside it or below what it means.
    fn row(&mut self, word: &str, text: &str, left: usize) -> io::Result<()> {
        if self.width < BESIDE_MIN {
            writeln!(self.out, "  {word}")?;
            let lines = wrap(text, self.width.saturating_sub(6));
            return lines.iter().try_for_each(|line| writeln!(self.out, "      {line}"));
        }
        for (number, line) in wrap(text, self.width.saturating_sub(left + 4)).iter().enumerate() {
            writeln!(self.out, "  {:left$}  {line}", if number == 0 { word } else { "" })?;
        }
        Ok(())
    }
}

/// The paragraphs of a text, each in one line.
#[must_use]
pub fn paragraphs(text: &str) -> Vec<String> {
    let lines = text.split("\n\n").map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.filter(|paragraph| !paragraph.is_empty()).collect()
}

/// The command and its arguments in one line, as in `check-config CONFIG`.
#[must_use]
pub fn synopsis(command: &Command) -> String {
    let options = command.options.iter().map(|option| format!("[{}]", option_synopsis(option.long, option.value)));
    let operands = command
        .operands
        .iter()
        .map(|operand| if operand.required { operand.name.to_owned() } else { format!("[{}]", operand.name) });
    let words: Vec<String> = std::iter::once(command.name.to_owned()).chain(options).chain(operands).collect();
    words.join(" ")
}

/// An option as it is typed, as in `--name NAME`.
#[must_use]
pub fn option_synopsis(long: &str, value: Option<&str>) -> String {
    match value {
        Some(value) if value.starts_with('[') => format!("--{long}{value}"),
        Some(value) => format!("--{long} {value}"),
        None => format!("--{long}"),
    }
}

/// Options that all commands have.
#[must_use]
pub fn common_options() -> [(String, &'static str); 2] {
    [("-h, --help".to_owned(), "say how it is used"), ("-V, --version".to_owned(), "say which version it is")]
}
