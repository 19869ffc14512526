//! For zsh.

use super::super::command::Command;
use super::{COMMANDS, DAEMON, MADE, NAMES, Place, family, first_words, is_family, is_optional, operand_of, options};

const HEAD: &str = r#"
_aioconnectors_connectors() {
    local -a names
    names=(${(f)"$(NAMES)"})
    compadd -a names
}
"#;

/// The file.
pub fn make() -> String {
    let names = NAMES.to_owned();
    let mut text = format!("#compdef aioconnectorsctl aioconnectorsd\n{MADE}\n{}", HEAD.replace("NAMES", &names));
    text += "\n_aioconnectorsctl() {\n    local context state state_descr line\n    typeset -A opt_args\n    local -a commands\n    commands=(\n";
    text += &described(first_words().iter().map(|(word, what)| (*word, what.as_str())));
    text += "    )\n    if ((CURRENT == 2)); then\n        _describe command commands\n        return\n    fi\n";
    text += "    local command=$words[2]\n    shift words\n    ((CURRENT--))\n    case $command in\n";
    for (first, _) in first_words().iter().filter(|(first, _)| is_family(first)) {
        text += &format!("    {first})\n        commands=(\n");
        text += &described(family(first).map(|(second, command)| (second, command.summary.trim_end_matches('.'))));
        text += "        )\n        if ((CURRENT == 2)); then\n            _describe command commands\n            return\n        fi\n";
        text += "        command+=\" $words[2]\"\n        shift words\n        ((CURRENT--))\n        ;;\n";
    }
    text += "    esac\n    case $command in\n";
    for command in COMMANDS {
        text += &format!("    '{}')\n        {}        ;;\n", command.name, arguments(command));
    }
    text += "    esac\n}\n\n_aioconnectorsd() {\n    ";
    text += &arguments(DAEMON);
    text + "}\n\nif [[ $service == aioconnectorsd ]]; then\n    _aioconnectorsd \"$@\"\nelse\n    _aioconnectorsctl \"$@\"\nfi\n"
}

fn described<'a>(words: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    words.map(|(word, what)| format!("        '{word}:{}'\n", quoted(what))).collect()
}

/// The call that completes what a command takes.
fn arguments(command: &Command) -> String {
    let mut specs = Vec::new();
    for (long, help, place) in options(command) {
        let help = help.replace('\\', "").replace('[', "\\[").replace(']', "\\]");
        let value = place.map(|place| format!(":value:{}", action(place))).unwrap_or_default();
        let mark = match (place, is_optional(command, &long)) {
            (None, _) => "",
            (Some(_), true) => "=-",
            (Some(_), false) => "=",
        };
        let value = if mark == "=-" { format!(":{value}") } else { value };
        specs.push(format!("'*--{long}{mark}[{}]{value}'", help.replace('\'', "'\\''")));
    }
    for operand in command.operands {
        let name = operand.name.trim_end_matches('…');
        let (start, place) = match (operand.name.ends_with('…'), operand.required) {
            (true, _) => ("*:", operand_of(command, operand)),
            (false, true) => (":", operand_of(command, operand)),
            (false, false) => ("::", operand_of(command, operand)),
        };
        specs.push(format!("'{start}{name}:{}'", action(place)));
    }
    format!("_arguments \\\n            {}\n", specs.join(" \\\n            "))
}

fn action(place: Place) -> String {
    match place {
        Place::File => "_files".to_owned(),
        Place::Folder => "_files -/".to_owned(),
        Place::Connector => "_aioconnectors_connectors".to_owned(),
        Place::Words(words) => format!("({})", words.join(" ")),
        Place::Unknown => " ".to_owned(),
    }
}

/// A text within single quotes, where colons have a meaning.
fn quoted(text: &str) -> String {
    text.replace(':', "\\:").replace('\'', "'\\''")
}
