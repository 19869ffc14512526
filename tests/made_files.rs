//! Files that are made of the tables of commands: as the tables have it, and as the shells want them.
#![cfg(feature = "daemon")]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use aioconnectors::cli::completions::SHELLS;
use aioconnectors::cli::man;

const CTL: &str = env!("CARGO_BIN_EXE_aioconnectorsctl");

fn completions() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/completions")
}

/// Compares a file with what it must be; writes it instead if that is asked for.
#[track_caller]
fn compare(path: &Path, expected: &str) {
    if env::var_os("AIOCONNECTORS_WRITE_PAGES").is_some() {
        fs::create_dir_all(path.parent().expect("a folder")).expect("its folder");
        fs::write(path, expected).expect("the file");
    }
    let there = fs::read_to_string(path).unwrap_or_default();
    let again = "AIOCONNECTORS_WRITE_PAGES=1 cargo test --test made_files";
    assert!(there == expected, "{} is not as the tables of commands have it: {again}", path.display());
}

#[test]
fn the_pages_of_the_programs_are_what_their_tables_make() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("man");
    for file in ["aioconnectorsctl.1", "aioconnectorsd.8"] {
        compare(&folder.join(file), &man::page(file).expect("a page"));
    }
}

#[test]
fn the_completions_are_what_the_tables_make() {
    SHELLS.iter().for_each(|shell| compare(&completions().join(shell.file), &(shell.make)()));
}

/// What a command says; `None`, with a word on stderr, if it is not installed.
fn output(command: &mut Command) -> Option<Output> {
    command.output().map_err(|error| eprintln!("{}: {error}", command.get_program().display())).ok()
}

/// A machine with two connectors that do not run, and a file.
struct Machine {
    dir: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        for name in ["north", "south"] {
            fs::write(dir.path().join(format!("{name}.json")), format!("{{\"client_name\": \"{name}\"}}")).expect("it");
        }
        Self { dir }
    }

    /// A shell with the tool on its path.
    fn shell(&self, name: &str) -> Command {
        let tool = Path::new(CTL).parent().expect("a folder").to_str().expect("a path in UTF-8");
        let mut shell = Command::new(name);
        let path = env::var("PATH").unwrap_or_default();
        shell.env("PATH", format!("{tool}:{path}")).env("AIOCONNECTORS_CONFIGS", self.dir.path());
        shell.env("AIOCONNECTORS_FILES", self.dir.path()).env("HOME", self.dir.path()).current_dir(self.dir.path());
        shell.env_remove("XDG_CONFIG_HOME").env("LC_ALL", "C.UTF-8");
        shell
    }
}

/// What is typed, and words that are offered then; the last one is none that is.
const TYPED: [(&str, &[&str], &str); 10] = [
    ("aioconnectorsctl sta", &["start", "status"], "stop"),
    ("aioconnectorsctl blacklist ", &["add", "list", "remove"], "status"),
    ("aioconnectorsctl status --j", &["--json"], "--name"),
    ("aioconnectorsctl spool list --", &["--config", "--dir", "--help", "--name"], "--json"),
    ("aioconnectorsctl status --name ", &["north", "south"], "NAME"),
    ("aioconnectorsctl peers --name no", &["north"], "south"),
    ("aioconnectorsctl check-config nor", &["north.json"], "south.json"),
    ("aioconnectorsctl send --receipt ", &["accepted", "delivered", "stored"], "north.json"),
    ("aioconnectorsctl print-completions ", &["bash", "fish", "zsh"], "north.json"),
    ("aioconnectorsd --log-format j", &["journal", "json"], "text"),
];

#[track_caller]
fn assert_offered(shell: &str, typed: &str, offered: &str, expected: &[&str], absent: &str) {
    let words: Vec<&str> = offered.lines().filter_map(|line| line.split(['\t', ' ']).next()).collect();
    let has = |word: &&str| words.contains(word);
    assert!(expected.iter().all(has) && !has(&absent), "{shell}: {typed:?} offers {words:?}");
}

#[test]
fn bash_completes_commands_options_names_and_files() {
    let machine = Machine::new();
    for (typed, expected, absent) in TYPED {
        let script = format!(
            "source {}; COMP_LINE='{typed}'; COMP_POINT=${{#COMP_LINE}}; _{}; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            completions().join("aioconnectorsctl").display(),
            typed.split(' ').next().expect("a program"),
        );
        let Some(output) = output(machine.shell("bash").args(["--norc", "-c", &script])) else { return };
        let said = String::from_utf8_lossy(&output.stderr);
        // Outside of a completion, bash has no options of one to change.
        assert!(said.lines().all(|line| line.contains("compopt")), "{said}");
        assert_offered("bash", typed, &String::from_utf8_lossy(&output.stdout), expected, absent);
    }
}

#[test]
fn fish_completes_commands_options_names_and_files() {
    let machine = Machine::new();
    for (typed, expected, absent) in TYPED {
        let script = format!("source {}; complete -C '{typed}'", completions().join("aioconnectorsctl.fish").display());
        let Some(output) = output(machine.shell("fish").args(["--no-config", "-c", &script])) else { return };
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{typed}");
        assert_offered("fish", typed, &String::from_utf8_lossy(&output.stdout), expected, absent);
    }
}

#[test]
fn zsh_completes_commands_options_names_and_files() {
    let machine = Machine::new();
    for (typed, expected, absent) in TYPED {
        // A shell in a shell, since zsh completes only where somebody types.
        let script = format!(
            "zmodload zsh/zpty\nzpty z zsh -f -i\n\
             zpty -w z 'PS1= PROMPT_EOL_MARK= TERM=dumb; fpath=({folder} $fpath); autoload -U compinit; compinit -D -u'\n\
             zpty -w z 'zstyle \":completion:*\" list-separator \"#\"; LISTMAX=10000; unsetopt list_ambiguous list_packed; \
             compadd() {{ if [[ ${{@[1,(i)(-|--)]}} == *-(O|A|D)\\ * ]]; then builtin compadd \"$@\"; return; fi; \
             local -a found; builtin compadd -A found \"$@\"; print -rl -- \"OFFERED ${{^found[@]}}\"; builtin compadd \"$@\" }}'\n\
             zpty -w z 'finish() {{ print FINISHED }}; look() {{ comppostfuncs=(finish); zle list-choices }}; \
             zle -N look; bindkey \"^X\" look; print READY'\n\
             zpty -r z out '*READY*READY*'\n\
             zpty -w -n z $'{typed}\\x18'\n\
             zpty -r z out '*FINISHED*'\nprint -r -- \"$out\"\n",
            folder = completions().display(),
        );
        let mut shell = machine.shell("timeout");
        shell.args(["60", "zsh", "-f", "-c", &script]);
        if Command::new("zsh").arg("--version").output().is_err() {
            eprintln!("zsh is not installed");
            return;
        }
        let Some(output) = output(&mut shell) else { return };
        let text = String::from_utf8_lossy(&output.stdout).replace('\r', "");
        let offered: Vec<&str> = text.lines().filter_map(|line| line.split("OFFERED ").nth(1)).collect();
        assert_offered("zsh", typed, &offered.join("\n"), expected, absent);
    }
}
