//! Exit codes of the commands that send and receive, for scripts.

use super::command::Failure;
use crate::api::{ApiError, NoAnswer, Step};
use crate::config::nearest;

/// The message is refused, or no answer will come.
pub const REFUSED: u8 = 3;

/// What was waited for did not come in time.
pub const TIMED_OUT: u8 = 4;

/// No connector runs, or it has closed the connection.
pub const NO_CONNECTOR: u8 = 5;

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
