//! What can be wrong with a config file, and what is merely worth a word.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::owner::OwnerError;

/// How many characters of a wrong value are shown.
const FOUND_MAX: usize = 60;

/// Names of members whose values are secrets, which no message may show.
const SECRETS: [&str; 3] = ["authorization", "password", "username"];

/// One mistake in a config file.
#[derive(Debug)]
pub struct ConfigError {
    /// The config file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub problem: Problem,
}

/// The kinds of mistakes.
#[derive(Debug)]
pub enum Problem {
    /// The file could not be read.
    Unreadable(io::Error),
    /// The file is not UTF-8: how many bytes at its start are.
    NotUtf8 {
        /// Bytes before the first that is not UTF-8.
        valid_up_to: usize,
    },
    /// The file is not JSON.
    Syntax {
        /// Counted from 1.
        line: usize,
        /// Counted from 1; 0 stands before the first character of the line.
        column: usize,
        /// What the JSON parser says.
        what: String,
    },
    /// The file is JSON, but not an object.
    NotAnObject {
        /// The JSON text, cut.
        found: String,
    },
    /// A key has a value that it cannot have.
    Key {
        /// The key as the file spells it, with the place inside its value, as in `recv_message_types[1]`.
        key: String,
        /// The JSON text, cut to about 60 characters.
        found: String,
        /// What is right.
        expected: String,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file.display())?;
        match &self.problem {
            Problem::Unreadable(error) => write!(f, "cannot be read: {error}"),
            Problem::NotUtf8 { valid_up_to } => write!(f, "found a byte that is not UTF-8 at offset {valid_up_to}"),
            Problem::Syntax { line, column, what } => {
                write!(f, "line {line} column {column}: found no valid JSON: {what}")
            }
            Problem::NotAnObject { found } => write!(f, "found {found}, expected a JSON object"),
            Problem::Key { key, found, expected } => write!(f, "{key}: found {found}, expected {expected}"),
        }
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.problem {
            Problem::Unreadable(error) => Some(error),
            _ => None,
        }
    }
}

/// Everything that is wrong with a config file. Displayed one line each.
#[derive(Debug)]
pub struct ConfigErrors {
    /// All mistakes, never none.
    pub errors: Vec<ConfigError>,
    /// What was worth a word besides.
    pub warnings: Vec<Warning>,
}

impl ConfigErrors {
    pub(super) fn one(file: &Path, problem: Problem) -> Self {
        Self { errors: vec![ConfigError { file: file.to_owned(), problem }], warnings: Vec::new() }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.errors.iter().enumerate() {
            let separator = if i == 0 { "" } else { "\n" };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// Something in a config file that is no mistake, but probably not what its author thinks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The config file.
    pub file: PathBuf,
    /// The key as the file spells it.
    pub key: String,
    /// What there is to say of it.
    pub notice: Notice,
}

/// The kinds of warnings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// No such key: the nearest that there is, if any is near.
    Unknown {
        /// The name of a known key.
        nearest: Option<&'static str>,
    },
    /// The key differs from its default, but the feature behind it is not there.
    NoEffectYet,
    /// The key stands in the file more than once; the last one counts.
    Repeated,
    /// An old spelling of a key that the file gives in its new spelling as well: that one counts.
    Superseded {
        /// The new spelling.
        by: &'static str,
    },
    /// `server_secure_tls` false: TLS 1.2 stays the floor.
    TlsFloor,
    /// `use_token` without `ssl_allow_all`.
    TokensUnused,
    /// The owner of received files is none of this machine.
    UnknownOwner(
        /// Why not.
        OwnerError,
    ),
    /// Received files go to where the connector has its own.
    OwnFolder(
        /// Where that is.
        PathBuf,
    ),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: ", self.file.display(), self.key)?;
        match &self.notice {
            Notice::Unknown { nearest: Some(nearest) } => write!(f, "unknown key, ignored; did you mean {nearest}?"),
            Notice::Unknown { nearest: None } => write!(f, "unknown key, ignored"),
            Notice::NoEffectYet => write!(f, "accepted, but has no effect yet"),
            Notice::Repeated => write!(f, "given more than once, the last one counts"),
            Notice::Superseded { by } => write!(f, "old spelling, ignored, as {by} is given too"),
            Notice::TokensUnused => {
                write!(f, "has no effect without ssl_allow_all: clients are known by their certificates")
            }
            Notice::UnknownOwner(error) => write!(f, "{error}: received files stay the connector's"),
            Notice::OwnFolder(folder) => {
                let folder = folder.display();
                write!(f, "{folder} is the connector's own folder: files that would come among its own are refused")
            }
            Notice::TlsFloor => write!(f, "false has no effect: TLS versions before 1.2 are never accepted"),
        }
    }
}

/// What is wrong inside one key's value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mismatch {
    /// The place inside the value, as in `[1]` or `.any.owner`; empty for the value itself.
    pub place: String,
    pub found: String,
    pub expected: String,
}

impl Mismatch {
    pub fn new(value: &Value, expected: impl Into<String>) -> Self {
        Self { place: String::new(), found: shown(value), expected: expected.into() }
    }

    /// The same, seen from a value that holds this one at `place`.
    pub fn inside(mut self, place: &str) -> Self {
        self.place.insert_str(0, place);
        self
    }
}

/// The JSON text of `value`, without secrets, cut to about 60 characters.
pub(super) fn shown(value: &Value) -> String {
    cut(&without_secrets(value).to_string())
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(FOUND_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

pub(super) fn without_secrets(value: &Value) -> Value {
    let Value::Object(members) = value else { return value.clone() };
    let members = members.iter().map(|(name, member)| {
        let secret = SECRETS.contains(&name.as_str());
        (name.clone(), if secret { Value::from("(not shown)") } else { without_secrets(member) })
    });
    Value::Object(members.collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_long_value_is_cut_between_characters() {
        assert_eq!(shown(&json!("é".repeat(100))).chars().count(), FOUND_MAX + 1);
        assert_eq!(shown(&json!([1, "two"])), r#"[1,"two"]"#);
    }

    #[test]
    fn secrets_are_never_shown() {
        let text = shown(&json!({"authorization": {"username": "joe", "password": "hush"}}));
        assert!(!text.contains("hush") && !text.contains("joe"), "{text}");
    }
}
