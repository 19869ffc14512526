//! For bash, 4 or later, with or without the package bash-completion.

use super::super::command::Command;
use super::{
    COMMANDS, DAEMON, MADE, NAMES, Place, family, first_words, is_family, is_optional, operand_of, options, words,
};

const HEAD: &str = r#"
# Words that begin as the last one typed does.
_aioconnectors_words() {
    mapfile -t COMPREPLY < <(compgen -W "$1" -- "$word")
}

_aioconnectors_files() {
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$word")
}

_aioconnectors_folders() {
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -d -- "$word")
}

# Bash parts words at colons, which servers' names have: what stands before the last one is typed already.
_aioconnectors_connectors() {
    local IFS=$'\n' before
    mapfile -t COMPREPLY < <(compgen -W "$(NAMES)" -- "$word")
    if [[ $word == *:* && $COMP_WORDBREAKS == *:* ]]; then
        before=${word%"${word##*:}"}
        COMPREPLY=("${COMPREPLY[@]#"$before"}")
    fi
}

# Sets words to what was typed, without parting it at colons and equals signs; word to the one that is completed.
_aioconnectors_split() {
    local line=${COMP_LINE:0:COMP_POINT}
    read -r -a words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    word=${words[${#words[@]}-1]}
    previous=${words[${#words[@]}-2]}
    if [[ $word == --*=* ]]; then
        previous=${word%%=*}
        word=${word#*=}
    fi
}
"#;

const CTL: &str = r#"
_aioconnectorsctl() {
    local words word previous command
    COMPREPLY=()
    _aioconnectors_split
    if ((${#words[@]} == 2)); then
        _aioconnectors_words "FIRST --help --version"
        return
    fi
    command=${words[1]}
    case $command in
"#;

/// The file.
pub fn make() -> String {
    let mut text = format!("# shellcheck shell=bash\n{MADE}\n{}", HEAD.replace("$(NAMES)", &format!("$({NAMES})")));
    let first: Vec<&str> = first_words().into_iter().map(|(word, _)| word).collect();
    text += &CTL.replace("FIRST", &format!("help {}", first.join(" ")));
    for first in first.iter().copied().filter(|first| is_family(first)) {
        let seconds: Vec<&str> = family(first).map(|(second, _)| second).collect();
        text += &format!(
            "    {first})\n        if ((${{#words[@]}} == 3)); then\n            _aioconnectors_words \"{} --help\"\n            \
             return\n        fi\n        command+=\" ${{words[2]}}\"\n        ;;\n",
            seconds.join(" ")
        );
    }
    text += &format!(
        "    help)\n        ((${{#words[@]}} == 3)) && _aioconnectors_words \"{}\"\n        return\n        ;;\n    esac\n",
        first.join(" ")
    );
    text += "    case \"$command $previous\" in\n";
    COMMANDS.iter().for_each(|command| text += &values(command));
    text += "    esac\n    case $command in\n";
    COMMANDS.iter().for_each(|command| text += &places(command));
    text += "    esac\n}\n\n_aioconnectorsd() {\n    local words word previous\n    COMPREPLY=()\n    _aioconnectors_split\n";
    text += "    case \"aioconnectorsd $previous\" in\n";
    text += &values(DAEMON);
    text += "    esac\n    case aioconnectorsd in\n";
    text += &places(DAEMON);
    text + "    esac\n}\n\ncomplete -F _aioconnectorsctl aioconnectorsctl\ncomplete -F _aioconnectorsd aioconnectorsd\n"
}

fn action(place: Place) -> String {
    match place {
        Place::File => "_aioconnectors_files".to_owned(),
        Place::Folder => "_aioconnectors_folders".to_owned(),
        Place::Connector => "_aioconnectors_connectors".to_owned(),
        Place::Words(words) => format!("_aioconnectors_words \"{}\"", words.join(" ")),
        Place::Unknown => ":".to_owned(),
    }
}

/// A case for each option that has a value.
fn values(command: &Command) -> String {
    let mut text = String::new();
    for (long, _, place) in options(command) {
        let Some(place) = place.filter(|_| !is_optional(command, &long)) else { continue };
        text += &format!("    \"{} --{long}\")\n        {}\n        return\n        ;;\n", command.name, action(place));
    }
    text
}

/// A case for all else: options, and what the operands are.
fn places(command: &Command) -> String {
    let (first, second) = words(command);
    let name = if second.is_empty() { first.to_owned() } else { format!("\"{first} {second}\"") };
    let longs: Vec<String> = options(command).iter().map(|(long, ..)| format!("--{long}")).collect();
    let places = command.operands.iter().map(|operand| operand_of(command, operand));
    let mut known: Vec<String> = places.filter(|place| *place != Place::Unknown).map(action).collect();
    known.dedup();
    // Words after files would overwrite them: the first that gives something counts.
    let otherwise =
        if known.is_empty() { ":".to_owned() } else { known.join("\n            ((${#COMPREPLY[@]})) || ") };
    format!(
        "    {name})\n        if [[ $word == -* ]]; then\n            _aioconnectors_words \"{}\"\n        else\n            \
         {otherwise}\n        fi\n        ;;\n",
        longs.join(" ")
    )
}
