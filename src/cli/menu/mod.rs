//! `aioconnectorsctl cli`: the interactive menu of the Python tool, with its numbers and words, for hands that know it.

mod actions;
mod lists;

use std::fs;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::command::{Args, Command, Failure, Operand};
use crate::config::Config;
use crate::remote::Remote;
use crate::wire::names::{Role, SocketPaths, server_id};

const DIR: Operand = Operand {
    name: "DIR",
    required: false,
    help: "connector_files_dirpath, the folder of the connectors; asked for if it is not given",
};

/// See `summary`.
pub const COMMAND: Command = Command {
    name: "cli",
    aliases: &[],
    summary: "A menu: choose a running connector and what to do with it.",
    details: "It has the numbers and words of the Python package's cli. It ends with q, at the end of its input, and with \
        Ctrl-C.\nFor scripts there are the other commands. Exit codes: 0 ended, 1 failed, 2 wrong arguments.",
    operands: &[DIR],
    options: &[],
    run,
};

/// The list of running connectors, in their folder.
const ACTIVE_CONNECTORS: &str = "active_connectors.json";

/// Most connectors that are shown.
const SHOWN_MAX: usize = 1000;

/// Longest line that is taken, bytes; the rest of a longer one is the next.
const LINE_MAX: u64 = 64 * 1024;

/// Why the menu ends.
enum Stop {
    /// No more is typed.
    End,
    /// Nothing can be shown any more.
    Output(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Stop::Output(error)
    }
}

fn run(args: &Args, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let mut stdin = io::stdin().lock();
    let clears = io::stdout().is_terminal();
    // Ctrl-C ends the process, as it does by itself: nothing has to be put back.
    let mut menu = Menu { next_line: &mut || read_line(&mut stdin), out, clears };
    match menu.go(args.path(DIR.name)) {
        Ok(()) | Err(Stop::End) => Ok(ExitCode::SUCCESS),
        Err(Stop::Output(error)) => Err(Failure::Output(error)),
    }
}

fn read_line(input: &mut impl BufRead) -> Option<String> {
    let mut line = Vec::new();
    let read = input.take(LINE_MAX).read_until(b'\n', &mut line);
    read.is_ok_and(|n| n > 0).then(|| String::from_utf8_lossy(&line).into_owned())
}

/// One connector, as it was chosen.
struct Chosen {
    /// As in the list.
    name: String,
    role: Role,
    remote: Remote,
}

/// What is typed, and where it is shown. Lines have at most 40 columns, names aside.
struct Menu<'a> {
    next_line: &'a mut dyn FnMut() -> Option<String>,
    out: &'a mut dyn Write,
    /// It is a terminal.
    clears: bool,
}

impl Menu<'_> {
    fn go(&mut self, dir: Option<&Path>) -> Result<(), Stop> {
        self.say("\nWelcome to aioconnectors CLI")?;
        let dir = match dir {
            Some(dir) => dir.to_owned(),
            None => self.ask_dir()?,
        };
        while let Some(chosen) = self.choose(&dir)? {
            self.commands(&chosen)?;
        }
        Ok(())
    }

    fn say(&mut self, text: &str) -> Result<(), Stop> {
        // What a name or an answer has in it must not steer the terminal.
        let text: String = text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect();
        Ok(writeln!(self.out, "{text}")?)
    }

    fn ask(&mut self, text: &str) -> Result<String, Stop> {
        self.say(&format!("\n{text}"))?;
        self.out.flush()?;
        (self.next_line)().map(|line| line.trim().to_owned()).ok_or(Stop::End)
    }

    /// Whether the user is sure.
    fn is_sure(&mut self, of: &str) -> Result<bool, Stop> {
        let answer = self.ask(&format!("Are you sure you want to {of} ? y/n"))?;
        Ok(answer.eq_ignore_ascii_case("y"))
    }

    /// The screen is empty again, if it is one.
    fn clear(&mut self) -> Result<(), Stop> {
        if self.clears {
            write!(self.out, "\u{1b}[H\u{1b}[2J")?;
        }
        Ok(())
    }

    fn list(&mut self, entries: &[impl AsRef<str>]) -> Result<(), Stop> {
        for (number, entry) in entries.iter().enumerate() {
            self.say(&format!("{number})    {}", entry.as_ref()))?;
        }
        Ok(())
    }

    fn ask_dir(&mut self) -> Result<PathBuf, Stop> {
        let usual = Config::default().connector_files_dirpath;
        let question = format!("Please type your connector_files_dirpath,\nor Enter if it is\n{}", usual.display());
        let typed = self.ask(&question)?;
        if typed.is_empty() {
            return Ok(usual);
        }
        let home = std::env::var_os("HOME").filter(|_| typed == "~" || typed.starts_with("~/"));
        Ok(match home {
            Some(home) => Path::new(&home).join(typed.trim_start_matches('~').trim_start_matches('/')),
            None => PathBuf::from(typed),
        })
    }

    /// A connector of the list, or another one; none if the user has had enough.
    fn choose(&mut self, dir: &Path) -> Result<Option<Chosen>, Stop> {
        loop {
            let names = match active(dir) {
                Ok(names) => names,
                Err(why) => {
                    self.say(&why)?;
                    Vec::new()
                }
            };
            self.list(&names)?;
            if !names.is_empty() {
                self.say("\nPlease type the connector number you\nwould like to run, or")?;
            }
            let port = Config::default().server_sockaddr.first.port;
            let typed = self.ask(&format!(
                "To check your server, please type your\nserver <ip> <port> (default port is\n{port}).\n\
                 To check your client, please type your\nclient name.\nType \"q\" to quit."
            ))?;
            if typed == "q" {
                return Ok(None);
            }
            let name = typed.parse().ok().and_then(|number: usize| names.get(number)).cloned().unwrap_or(typed);
            if name.is_empty() {
                continue;
            }
            match find(dir, &name) {
                Ok(chosen) => return Ok(Some(chosen)),
                Err(why) => {
                    self.clear()?;
                    self.say(&why)?;
                }
            }
        }
    }

    /// What is done with a connector, until another one is wanted.
    fn commands(&mut self, chosen: &Chosen) -> Result<(), Stop> {
        self.clear()?;
        loop {
            self.say(&format!("\n Connector : {}", chosen.name))?;
            self.list(&actions::COMMANDS)?;
            let typed = self.ask("Please type the command number you\nwould like to run, or q to quit")?;
            self.clear()?;
            if typed == "q" {
                return Ok(());
            }
            match typed.parse().ok().and_then(|number: usize| actions::COMMANDS.get(number)) {
                Some(command) => self.act(command, chosen)?,
                None => self.say(&format!("Invalid number : {typed}"))?,
            }
        }
    }
}

/// The names of the running connectors, sorted; none if there is no list.
fn active(dir: &Path) -> Result<Vec<String>, String> {
    let path = dir.join(ACTIVE_CONNECTORS);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(format!("{}: {error}", path.display())),
    };
    let names: Result<Vec<String>, _> = serde_json::from_str(&text);
    let mut names = names.map_err(|error| format!("{}: {error}", path.display()))?;
    names.sort();
    names.dedup();
    names.truncate(SHOWN_MAX);
    Ok(names)
}

/// The connector of this name: a client's, or a server's address and port.
fn find(dir: &Path, name: &str) -> Result<Chosen, String> {
    let (role, id) = match name.split_once(char::is_whitespace) {
        Some((host, port)) => {
            let port = port.trim();
            let number = port.parse().map_err(|_| format!("{port:?} is no port"))?;
            (Role::Server, server_id(host, number))
        }
        None => (Role::Client, name.to_owned()),
    };
    let path = SocketPaths::new(dir, role, &id).commander();
    if !path.exists() {
        return Err(format!("The connector {name} does not exist"));
    }
    Ok(Chosen { name: name.to_owned(), role, remote: Remote::new(path) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is shown to somebody who types these lines.
    fn shown(dir: &Path, lines: &[&str]) -> String {
        let (mut lines, mut out) = (lines.iter(), Vec::new());
        let mut menu =
            Menu { next_line: &mut || lines.next().map(|line| (*line).to_owned()), out: &mut out, clears: false };
        let _ = menu.go(Some(dir));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn no_line_is_wider_than_40_columns() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(ACTIVE_CONNECTORS), r#"["client1", "127.0.0.1 10673"]"#).unwrap();
        fs::write(dir.path().join("uds_path_commander_client1"), "").unwrap();
        let all: Vec<String> = (0..actions::COMMANDS.len()).map(|number| number.to_string()).collect();
        let mut lines = vec!["1"];
        for number in &all {
            lines.extend([number.as_str(), "q"]);
        }
        let shown = shown(dir.path(), &lines);
        assert!(shown.contains("0)    127.0.0.1 10673\n1)    client1\n"), "{shown}");
        // What names the temporary folder's path is as long as that.
        for line in shown.lines().filter(|line| !line.contains("uds_path")) {
            assert!(line.chars().count() <= 40, "{line:?} has {} columns", line.chars().count());
        }
    }

    #[test]
    fn a_connector_that_is_not_there_and_a_list_that_is_none_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let text = shown(dir.path(), &["client9", "10.0.0.1 x", "", "q"]);
        assert!(text.contains("The connector client9 does not exist") && text.contains("\"x\" is no port"), "{text}");
        fs::write(dir.path().join(ACTIVE_CONNECTORS), "{").unwrap();
        assert!(shown(dir.path(), &["q"]).contains(ACTIVE_CONNECTORS));
    }

    #[test]
    fn a_name_cannot_steer_the_terminal() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(ACTIVE_CONNECTORS), r#"["c\u001b[2J"]"#).unwrap();
        assert!(!shown(dir.path(), &["q"]).contains('\u{1b}'));
    }
}
