//! For fish.

use super::super::command::Command;
use super::{
    COMMANDS, DAEMON, MADE, NAMES, Place, family, first_words, is_family, is_optional, operand_of, options, words,
};

const HEAD: &str = r#"
# Whether the command that was typed is this one, of one word or two.
function __aioconnectors_is
    set -l typed (commandline -opc)
    set -e typed[1]
    test (count $typed) -ge (count $argv); or return 1
    test "$typed[1..$(count $argv)]" = "$argv"
end

# Whether so many words were typed, and the first one is this.
function __aioconnectors_awaits_second
    set -l typed (commandline -opc)
    test (count $typed) -eq 2; and test "$typed[2]" = "$argv[1]"
end

function __aioconnectors_connectors
    NAMES
end

complete -c aioconnectorsctl -f
complete -c aioconnectorsd -f
"#;

/// The file.
pub fn make() -> String {
    let mut text = format!("{MADE}\n{}", HEAD.replace("NAMES", NAMES));
    for (word, what) in first_words() {
        text += &format!("complete -c aioconnectorsctl -n __fish_use_subcommand -a {word} -d {}\n", quoted(&what));
    }
    for (first, _) in first_words().iter().filter(|(first, _)| is_family(first)) {
        for (second, command) in family(first) {
            let what = quoted(command.summary.trim_end_matches('.'));
            let condition = format!("'__aioconnectors_awaits_second {first}'");
            text += &format!("complete -c aioconnectorsctl -n {condition} -a {second} -d {what}\n");
        }
    }
    for command in COMMANDS {
        let (first, second) = words(command);
        let condition = format!("-n '{}'", format!("__aioconnectors_is {first} {second}").trim_end());
        text += &lines(&format!("complete -c aioconnectorsctl {condition}"), command);
    }
    text + &lines("complete -c aioconnectorsd", DAEMON)
}

fn lines(start: &str, command: &Command) -> String {
    let mut text = String::new();
    for (long, help, place) in options(command) {
        let value = match place.filter(|_| !is_optional(command, &long)) {
            Some(Place::File) => " -r -F".to_owned(),
            // No files besides.
            Some(place) => format!(" -x{}", action(place)),
            None => String::new(),
        };
        text += &format!("{start} -l {long}{value} -d {}\n", quoted(help));
    }
    let mut places: Vec<Place> = command.operands.iter().map(|operand| operand_of(command, operand)).collect();
    places.retain(|place| *place != Place::Unknown);
    places.dedup();
    for place in places {
        text += &format!("{start}{}\n", action(place));
    }
    text
}

fn action(place: Place) -> String {
    match place {
        Place::File => " -F".to_owned(),
        Place::Folder => " -a '(__fish_complete_directories)'".to_owned(),
        Place::Connector => " -a '(__aioconnectors_connectors)'".to_owned(),
        Place::Words(words) => format!(" -a '{}'", words.join(" ")),
        Place::Unknown => String::new(),
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
