//! Subscriptions: what is published under which type, and who gets it.
//!
//! A subscription is a message type, or a pattern of types: words split at `.`, of which `*` stands for exactly one and
//! `>`, at the end, for one or more. So `sensors.*.temp` is for `sensors.hall.temp`, and `sensors.>` for all that begins
//! with `sensors.`. Brokers of the Python package know types only.

use std::fmt;

use serde_json::{Map, Value, json};

use super::control::{self, ControlError};
use super::file::lane_of;
use super::header::Header;

/// The longest pattern, and the longest type that can be published, bytes: that of a message type.
pub const PATTERN_MAX: usize = 64;

/// Most subscriptions of a connector.
pub const SUBSCRIPTIONS_MAX: usize = 256;

/// Stands before a type in the name of the lane that brings what is published.
const LANE_PREFIX: &str = "_pubsub ";

/// A type, or a pattern of types, that was checked.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pattern(String);

/// Why a text is neither a type that can be published nor a pattern of such.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatternError {
    /// It has no characters.
    Empty,
    /// It has more than [`PATTERN_MAX`] bytes: how many.
    TooLong(usize),
    /// It begins with `_`, as the connectors' own types do.
    Own,
    /// It has `/` or NUL, which cannot be in a socket's name.
    Character,
    /// A word of it has no characters.
    EmptyWord,
    /// `>` stands before the end.
    RestBeforeEnd,
    /// `*` or `>` is part of a longer word.
    PartOfWord,
    /// It stands for more than one type, where one is meant.
    NotOneType,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PatternError::Empty => write!(f, "it is empty"),
            PatternError::TooLong(n) => write!(f, "it has {n} bytes, {PATTERN_MAX} is the most"),
            PatternError::Own => write!(f, "types that begin with '_' are the connectors' own"),
            PatternError::Character => write!(f, "a type has no '/' and no NUL"),
            PatternError::EmptyWord => write!(f, "a pattern has no empty word: before, between or behind its dots"),
            PatternError::RestBeforeEnd => write!(f, "'>' stands for all words to the end, so it must be the last one"),
            PatternError::PartOfWord => write!(f, "'*' and '>' stand for whole words, between dots"),
            PatternError::NotOneType => write!(f, "'*' and '>' are for subscriptions, not for what is published"),
        }
    }
}

impl std::error::Error for PatternError {}

impl Pattern {
    /// Checks a type or a pattern.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if text.len() > PATTERN_MAX {
            return Err(PatternError::TooLong(text.len()));
        }
        if text.starts_with('_') {
            return Err(PatternError::Own);
        }
        if text.contains(['/', '\0']) {
            return Err(PatternError::Character);
        }
        // A type without wildcards may have dots wherever it likes.
        if !text.contains(['*', '>']) {
            return Ok(Self(text.to_owned()));
        }
        let mut words = text.split('.').peekable();
        while let Some(word) = words.next() {
            match word {
                "" => return Err(PatternError::EmptyWord),
                ">" if words.peek().is_some() => return Err(PatternError::RestBeforeEnd),
                "*" | ">" => {}
                word if word.contains(['*', '>']) => return Err(PatternError::PartOfWord),
                _ => {}
            }
        }
        Ok(Self(text.to_owned()))
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Whether it stands for one type only.
    #[must_use]
    pub fn is_type(&self) -> bool {
        !self.0.contains(['*', '>'])
    }

    /// Whether it stands for this type.
    #[must_use]
    pub fn matches(&self, message_type: &str) -> bool {
        if self.is_type() {
            return self.0 == message_type;
        }
        let mut words = message_type.split('.');
        for expected in self.0.split('.') {
            match (expected, words.next()) {
                // No type has empty words where a wildcard stands for them.
                (">", Some(word)) => return !word.is_empty() && words.all(|word| !word.is_empty()),
                ("*", Some(word)) if !word.is_empty() => {}
                (expected, Some(word)) if expected == word => {}
                _ => return false,
            }
        }
        words.next().is_none()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Checks that something can be published under this type.
///
/// # Errors
/// The first rule that it breaks.
pub fn check_published(message_type: &str) -> Result<(), PatternError> {
    let pattern = Pattern::parse(message_type)?;
    if pattern.is_type() { Ok(()) } else { Err(PatternError::NotOneType) }
}

/// The name of the lane that brings what is published under a type: messages that are sent to the peer itself under the
/// same type come in another.
#[must_use]
pub fn lane_name(message_type: &str) -> String {
    format!("{LANE_PREFIX}{message_type}")
}

/// The type whose publications a lane of this name brings, with files or without.
#[must_use]
pub fn type_of_lane(name: &str) -> Option<&str> {
    lane_of(name).0.strip_prefix(LANE_PREFIX)
}

/// What a subscriber says to its broker, in the data of a `_pubsub` message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscribes {
    /// What it subscribes to, as it was written.
    pub to: Vec<String>,
    /// What it subscribes to no longer.
    pub no_more: Vec<String>,
    /// `to` is all that it subscribes to: what was remembered of it besides has ended. Only ours say so.
    pub all: bool,
}

impl Subscribes {
    /// The frame that says it.
    #[must_use]
    pub fn encode(&self, source_id: &str) -> Vec<u8> {
        let mut data = Map::new();
        if self.all || !self.to.is_empty() {
            data.insert("subscribe_message_types".to_owned(), json!(self.to));
        }
        if !self.no_more.is_empty() {
            data.insert("unsubscribe_message_types".to_owned(), json!(self.no_more));
        }
        if self.all {
            data.insert("all".to_owned(), Value::Bool(true));
        }
        control::own_frame(control::PUBSUB, source_id, Value::Object(data).to_string().as_bytes())
    }

    /// Reads the data of such a frame.
    ///
    /// # Errors
    /// It is not a JSON object whose lists have texts.
    pub fn parse(header: &Header<'_>, data: &[u8]) -> Result<Self, ControlError> {
        let fail = |problem: &str| ControlError::new(&header.message_type, problem);
        let data: Value = serde_json::from_slice(data).map_err(|e| fail(&e.to_string()))?;
        let list = |key: &str| match data.get(key) {
            None | Some(Value::Null) => Some(Vec::new()),
            Some(list) => list.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
        };
        let texts = |key: &str| list(key).ok_or_else(|| fail(&format!("the key {key:?} must have a list of texts")));
        if !data.is_object() {
            return Err(fail("a JSON object is expected"));
        }
        let (to, no_more) = (texts("subscribe_message_types")?, texts("unsubscribe_message_types")?);
        Ok(Self { to, no_more, all: data["all"] == Value::Bool(true) })
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::Frame;
    use super::*;

    #[test]
    fn wildcards_stand_for_whole_words() {
        let cases = [
            ("any", "any", true),
            ("any", "any.more", false),
            ("sensors.*.temp", "sensors.hall.temp", true),
            ("sensors.*.temp", "sensors.hall.door.temp", false),
            ("sensors.*.temp", "sensors.temp", false),
            ("sensors.*.temp", "sensors..temp", false),
            ("sensors.>", "sensors.hall", true),
            ("sensors.>", "sensors.hall.door.temp", true),
            ("sensors.>", "sensors", false),
            ("sensors.>", "sensors.", false),
            ("sensors.>", "sensorsx.hall", false),
            ("*", "any", true),
            ("*", "any.more", false),
            (">", "any.more", true),
            ("*.>", "any", false),
            ("*.>", "any.more.yet", true),
            ("a..b", "a..b", true),
        ];
        for (pattern, message_type, expected) in cases {
            assert_eq!(Pattern::parse(pattern).unwrap().matches(message_type), expected, "{pattern} {message_type}");
        }
    }

    #[test]
    fn bad_patterns_are_refused_with_the_rule() {
        let long = "x".repeat(PATTERN_MAX + 1);
        let cases = [
            ("", PatternError::Empty),
            (long.as_str(), PatternError::TooLong(PATTERN_MAX + 1)),
            ("_ping", PatternError::Own),
            ("a/b", PatternError::Character),
            ("a..*", PatternError::EmptyWord),
            ("a.*.", PatternError::EmptyWord),
            ("a.>.b", PatternError::RestBeforeEnd),
            ("a.b*", PatternError::PartOfWord),
            (">>", PatternError::PartOfWord),
        ];
        for (text, error) in cases {
            assert_eq!(Pattern::parse(text), Err(error), "{text}");
        }
        assert_eq!(check_published("a.*"), Err(PatternError::NotOneType));
        assert_eq!(check_published("a.b"), Ok(()));
    }

    #[test]
    fn patterns_match_as_a_plain_model_says() {
        fn model(pattern: &[&str], words: &[&str]) -> bool {
            match (pattern, words) {
                ([], []) => true,
                ([">"], [_, ..]) => true,
                ([first, pattern @ ..], [word, words @ ..]) => {
                    (*first == "*" || first == word) && model(pattern, words)
                }
                _ => false,
            }
        }
        let mut rng = fastrand::Rng::with_seed(8);
        for _ in 0..20_000 {
            let pattern: Vec<&str> = (0..rng.usize(1..5)).map(|_| ["a", "b", "*", ">"][rng.usize(..4)]).collect();
            let words: Vec<&str> = (0..rng.usize(1..5)).map(|_| ["a", "b"][rng.usize(..2)]).collect();
            if let Ok(parsed) = Pattern::parse(&pattern.join(".")) {
                assert_eq!(parsed.matches(&words.join(".")), model(&pattern, &words), "{pattern:?} {words:?}");
            }
        }
    }

    #[test]
    fn what_a_subscriber_says_is_read_back() {
        let said = Subscribes { to: vec!["é.>".into()], no_more: vec!["b".into()], all: true };
        for said in [said, Subscribes { all: true, ..Subscribes::default() }, Subscribes::default()] {
            let bytes = said.encode("c1");
            let frame = Frame::parse(&bytes).unwrap();
            assert_eq!(Subscribes::parse(&Header::parse(frame.header()).unwrap(), frame.data()), Ok(said));
        }
        let header = Header { message_type: "_pubsub".into(), ..Header::default() };
        for bad in ["[]", "x", r#"{"subscribe_message_types": [1]}"#, r#"{"unsubscribe_message_types": "a"}"#] {
            assert!(Subscribes::parse(&header, bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
