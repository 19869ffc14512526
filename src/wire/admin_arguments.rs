//! What arguments each admin command takes, and whether those of a request are right.

use serde_json::{Map, Value};

use super::admin::Request;
use Kind::{Flag, Number, Text, Texts};

/// Of which kind an argument is. `null` stands for every argument that is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// True or false.
    Flag,
    /// A text.
    Text,
    /// A number.
    Number,
    /// A list of texts.
    Texts,
}

impl Kind {
    fn is_kind_of(self, value: &Value) -> bool {
        match self {
            Flag => value.is_boolean(),
            Text => value.is_string(),
            Number => value.is_number(),
            Texts => value.as_array().is_some_and(|all| all.iter().all(Value::is_string)),
        }
    }

    fn words(self) -> &'static str {
        match self {
            Flag => "true or false",
            Text => "a text",
            Number => "a number",
            Texts => "a list of texts",
        }
    }
}

/// An argument: its name and kind.
type Argument = (&'static str, Kind);

/// An admin command, and all arguments that it can have.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    /// Its name, without the ending `__sync`.
    pub name: &'static str,
    /// What it takes.
    pub arguments: &'static [Argument],
}

const fn command(name: &'static str, arguments: &'static [Argument]) -> Command {
    Command { name, arguments }
}

const CLIENT: Argument = ("client_id", Text);
const ENTRY: &[Argument] = &[CLIENT, ("client_ip", Text)];
const DUMP: &[Argument] = &[("dump_result", Flag)];

/// All admin commands, those of the Python package first.
pub const COMMANDS: &[Command] = &[
    command("start", &[]),
    command(
        "stop",
        &[("hard", Flag), ("shutdown", Flag), ("enable_delete_files", Flag), ("client_wait_for_reconnect", Flag)],
    ),
    command("restart", &[("sleep_between", Number), ("hard", Flag)]),
    command("show_connected_peers", DUMP),
    command("peek_queues", DUMP),
    command(
        "manage_ignore_peer_traffic",
        &[("show", Flag), ("enable", Flag), ("disable", Flag), ("unique_peer", Text)],
    ),
    command("delete_client_certificate_on_server", &[CLIENT, ("remove_only_symlink", Flag)]),
    command("delete_client_certificate_on_client", &[("restart_client", Flag)]),
    command("delete_client_token_on_server", &[CLIENT]),
    command("delete_client_token_on_client", &[("restart_client", Flag)]),
    command("load_server_tokens", &[]),
    command("load_client_token", &[]),
    command("disconnect_client", &[CLIENT]),
    command("add_blacklist_client", ENTRY),
    command("remove_blacklist_client", ENTRY),
    command("add_whitelist_client", ENTRY),
    command("remove_whitelist_client", ENTRY),
    command("delete_previous_persistence_remains", &[]),
    command("show_log_level", &[]),
    command("set_log_level", &[("level", Text)]),
    command("show_subscribe_message_types", &[]),
    command("set_subscribe_message_types", &[("message_types", Texts)]),
    command("show_attribute", &[("attribute", Text)]),
    // Those that the Python package does not have.
    command("reload", &[]),
    command("show_status", &[]),
    command("show_files", &[]),
    command("end_subscriptions", &[CLIENT]),
    command("enroll", &[CLIENT, ("ttl", Number)]),
    command("show_enrollments", &[]),
    command("withdraw_enrollment", &[CLIENT]),
];

/// Checks a request's arguments: whether its command takes them, and each is of its kind.
///
/// # Errors
/// Which argument is wrong, and what would be right. A command that is not known has no wrong arguments.
pub fn check_arguments(request: &Request) -> Result<(), String> {
    let Some(command) = COMMANDS.iter().find(|command| command.name == request.command) else { return Ok(()) };
    check(command, &request.arguments)
}

fn check(command: &Command, given: &Map<String, Value>) -> Result<(), String> {
    let name = command.name;
    for (argument, value) in given {
        let Some((_, kind)) = command.arguments.iter().find(|(known, _)| known == argument) else {
            let known: Vec<&str> = command.arguments.iter().map(|(known, _)| *known).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(format!("{name} does not know the argument {argument:?}; it takes {known}"));
        };
        if !value.is_null() && !kind.is_kind_of(value) {
            return Err(format!("the argument {argument} of {name} must be {}", kind.words()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn checked(command: &str, arguments: Value) -> Result<(), String> {
        let Value::Object(arguments) = arguments else { panic!("an object is expected") };
        check_arguments(&Request { command: command.to_owned(), arguments })
    }

    #[test]
    fn what_the_python_tools_send_is_right() {
        checked("stop", json!({"hard": false, "shutdown": true, "enable_delete_files": true})).unwrap();
        checked("restart", json!({"hard": false, "sleep_between": 0})).unwrap();
        checked("add_blacklist_client", json!({"client_ip": null, "client_id": "a"})).unwrap();
        checked("set_subscribe_message_types", json!({"message_types": ["a"]})).unwrap();
    }

    #[test]
    fn the_argument_at_fault_and_what_would_be_right_are_named() {
        let why = checked("stop", json!({"hard": "yes"})).unwrap_err();
        assert_eq!(why, "the argument hard of stop must be true or false");
        let why = checked("restart", json!({"sleep": 1})).unwrap_err();
        assert_eq!(why, "restart does not know the argument \"sleep\"; it takes sleep_between, hard");
        let why = checked("start", json!({"now": true})).unwrap_err();
        assert!(why.ends_with("it takes none"), "{why}");
        assert!(checked("set_subscribe_message_types", json!({"message_types": ["a", 1]})).is_err());
    }

    #[test]
    fn each_command_stands_there_once() {
        for (at, command) in COMMANDS.iter().enumerate() {
            assert!(COMMANDS[..at].iter().all(|other| other.name != command.name), "{}", command.name);
        }
    }
}
