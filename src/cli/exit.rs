//! Exit codes, for scripts. They are the same for all commands: 0 done, 1 did not work, 2 wrong arguments
//! ([`EXIT_USAGE`](super::EXIT_USAGE)), and those that are here.

use std::io::ErrorKind;

use super::command::Failure;
use crate::api::{ApiError, NoAnswer, Step};
use crate::config::nearest;
use crate::remote::RemoteError;

/// All of them, with what they say, for the manual.
pub const CODES: [(u8, &str); 7] = [
    (0, "Done. Also if the reader of the output has gone away."),
    (1, "It did not work."),
    (super::EXIT_USAGE, "Wrong arguments, or it is not said which of several connectors is meant."),
    (REFUSED, "The connector refuses it, or no answer will come."),
    (TIMED_OUT, "What was waited for did not come in time."),
    (NO_CONNECTOR, "There is no such connector, it does not run, or it has closed the connection."),
    (UNKNOWN_COMMAND, "The connector does not know the command: it is of an older version, or of the Python package."),
];

/// The message is refused, or no answer will come.
pub const REFUSED: u8 = 3;

/// What was waited for did not come in time.
pub const TIMED_OUT: u8 = 4;

/// No connector runs, or it has closed the connection.
pub const NO_CONNECTOR: u8 = 5;

/// The connector is of a version that does not know the command.
pub const UNKNOWN_COMMAND: u8 = 6;

/// The first version of the daemon that knows the commands that the Python package does not know.
const OWN_COMMANDS_SINCE: &str = "0.1.0";

/// An error of an admin's command as the end of a command.
pub fn refusal(error: RemoteError) -> Failure {
    let text = match &error {
        RemoteError::Refused { command, reason, .. } if is_unknown(reason) => format!(
            "the connector does not know {command}: aioconnectorsd {OWN_COMMANDS_SINCE} and later ones know it, this \
             is aioconnectorsctl {}",
            env!("CARGO_PKG_VERSION")
        ),
        RemoteError::Refused { reason, .. } => format!("refused: {reason}"),
        RemoteError::Closed { command, .. } => format!(
            "{error}: it does not know {command} (aioconnectorsd {OWN_COMMANDS_SINCE} and later ones do), or has stopped"
        ),
        RemoteError::Io { source, .. } if source.kind() == ErrorKind::PermissionDenied => {
            format!("{error}: only the connector's own user, and its group if the config says so, may do this")
        }
        error => error.to_string(),
    };
    Failure::Exit { code: refusal_code(&error), text }
}

fn refusal_code(error: &RemoteError) -> u8 {
    match error {
        RemoteError::Refused { reason, .. } if is_unknown(reason) => UNKNOWN_COMMAND,
        RemoteError::Refused { .. } => REFUSED,
        RemoteError::TimedOut { .. } => TIMED_OUT,
        RemoteError::NotRunning { .. } | RemoteError::Closed { .. } => NO_CONNECTOR,
        RemoteError::TooLong { .. }
        | RemoteError::NotText { .. }
        | RemoteError::NotJson { .. }
        | RemoteError::Io { .. } => 1,
    }
}

/// Whether a connector refuses a command since it does not know it, in the words of `core::admin`.
fn is_unknown(reason: &str) -> bool {
    reason.starts_with("the command ") && reason.ends_with(" is not known")
}

/// The exit code for an error of the library.
pub fn code(error: &ApiError) -> u8 {
    match error {
        ApiError::NotRunning { .. } | ApiError::Closed { .. } | ApiError::Io { step: Step::Connect, .. } => {
            NO_CONNECTOR
        }
        ApiError::Unconfirmed { source, .. } => code(source),
        ApiError::TimedOut { .. } => TIMED_OUT,
        ApiError::UnknownType { .. } | ApiError::NoReceipts { .. } | ApiError::LevelNotGranted { .. } => REFUSED,
        error => match error.no_answer() {
            Some(NoAnswer::TimedOut) => TIMED_OUT,
            Some(_) => REFUSED,
            None => 1,
        },
    }
}

/// What an error of the library says to the user of a command.
pub fn words(error: &ApiError) -> String {
    let meant = match error {
        ApiError::UnknownType { message_type, known, .. } => nearest(message_type, known.iter().map(String::as_str)),
        _ => None,
    };
    let meant = meant.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
    format!("{error}{meant}")
}

/// An error of the library as the end of a command.
pub fn failure(error: ApiError) -> Failure {
    if matches!(error, ApiError::NoDestination { .. }) {
        return Failure::usage("the connector is a server: --to CLIENT is needed");
    }
    Failure::Exit { code: code(&error), text: words(&error) }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;

    #[test]
    fn causes_are_told_apart() {
        let path = PathBuf::from("/s");
        let refused = |word: &str| ApiError::Refused { path: path.clone(), error: word.to_owned() };
        let late = || ApiError::TimedOut { path: path.clone(), step: Step::AwaitReceipt, after: Duration::ZERO };
        let unconfirmed = |source| ApiError::Unconfirmed { sent: 2, confirmed: 1, source: Box::new(source) };
        for (error, expected) in [
            (ApiError::NotRunning { path: path.clone() }, NO_CONNECTOR),
            (refused("disconnected_during_wait"), REFUSED),
            (refused("queue_full"), REFUSED),
            (refused("timeout"), TIMED_OUT),
            (ApiError::NoAnswer { path: path.clone() }, REFUSED),
            (late(), TIMED_OUT),
            (unconfirmed(late()), TIMED_OUT),
            (unconfirmed(ApiError::Closed { path: path.clone() }), NO_CONNECTOR),
            (ApiError::Tag("x y".to_owned()), 1),
        ] {
            assert_eq!(code(&error), expected, "{error}");
        }
    }

    #[test]
    fn a_mistyped_type_is_told_with_the_one_that_is_meant() {
        let known = vec!["orders".to_owned(), "news".to_owned()];
        let error = ApiError::UnknownType { message_type: "ordres".to_owned(), direction: "send", known };
        assert!(words(&error).ends_with("orders, news; did you mean orders?"), "{}", words(&error));
    }
}
