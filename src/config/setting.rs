//! How a JSON value becomes a config value, type by type.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};

use super::error::Mismatch;
use super::keys::Limits;
use super::nearest::nearest;
use super::path::{Environment, full_path};
use crate::core::access::{self, EntryError, LIST_MAX, parse_address};

/// A message type has at most so many bytes, as it is part of a socket's name.
const MESSAGE_TYPE_MAX: usize = 64;

/// A network interface's name has at most so many bytes (`IFNAMSIZ` of Linux and the BSDs, without the NUL).
const INTERFACE_NAME_MAX: usize = 15;

/// What a value is read with.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub limits: Limits,
    pub env: Environment<'a>,
}

/// What a value is read as: itself, or all that is wrong with it.
pub(super) type Read<T> = Result<T, Vec<Mismatch>>;

/// A type that a config value can have. Its `Default` stands in for a wrong value until the errors are reported.
pub(super) trait Setting: Sized + Default + PartialEq {
    /// Whether `null` means that the key is not given.
    const NULL_IS_DEFAULT: bool = false;

    /// Which values are right, in words.
    fn expected(limits: Limits) -> String;

    /// Reads a value.
    fn read(value: &Value, scope: Scope) -> Read<Self>;

    /// Members inside `value` that have no meaning: their places, and the nearest names that have one.
    fn unknown_members(_value: &Value) -> Vec<UnknownMember> {
        Vec::new()
    }

    /// Whether the value does no more than the default.
    fn is_inert(&self, default: &Self) -> bool {
        self == default
    }

    /// The error that `value` as a whole is not right.
    fn wrong<T>(value: &Value, scope: Scope) -> Read<T> {
        Err(vec![Mismatch::new(value, Self::expected(scope.limits))])
    }
}

impl Setting for bool {
    fn expected(_: Limits) -> String {
        "true or false".to_owned()
    }

    fn read(value: &Value, scope: Scope) -> Read<Self> {
        value.as_bool().map_or_else(|| Self::wrong(value, scope), Ok)
    }
}

impl Setting for Option<bool> {
    fn expected(_: Limits) -> String {
        "true, false or null".to_owned()
    }

    fn read(value: &Value, scope: Scope) -> Read<Self> {
        match value {
            Value::Null => Ok(None),
            Value::Bool(flag) => Ok(Some(*flag)),
            _ => Self::wrong(value, scope),
        }
    }
}

impl Setting for u64 {
    fn expected(limits: Limits) -> String {
        match limits {
            Limits::Integer(min, max) => format!("a whole number from {min} to {max}"),
            Limits::Bytes(min, u64::MAX) => format!("a whole number of bytes, at least {min}"),
            Limits::Bytes(min, max) => format!("a whole number of bytes from {min} to {max}"),
            _ => "a whole number".to_owned(),
        }
    }

    fn read(value: &Value, scope: Scope) -> Read<Self> {
        let (min, max) = match scope.limits {
            Limits::Integer(min, max) | Limits::Bytes(min, max) => (min, max),
            _ => (0, u64::MAX),
        };
        match value.as_u64() {
            Some(number) if (min..=max).contains(&number) => Ok(number),
            _ => Self::wrong(value, scope),
        }
    }
}

/// The range of a time in seconds.
fn seconds_range(limits: Limits) -> (f64, f64) {
    match limits {
        Limits::Seconds(min, max) => (min, max),
        _ => (0.0, f64::from(u32::MAX)),
    }
}

impl Setting for Duration {
    fn expected(limits: Limits) -> String {
        let (min, max) = seconds_range(limits);
        format!("a number of seconds from {min} to {max}")
    }

    fn read(value: &Value, scope: Scope) -> Read<Self> {
        let (min, max) = seconds_range(scope.limits);
        let seconds = value.as_f64().filter(|seconds| (min..=max).contains(seconds));
        match seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
            Some(duration) => Ok(duration),
            None => Self::wrong(value, scope),
        }
    }
}

impl Setting for Option<Duration> {
    fn expected(limits: Limits) -> String {
        format!("{}, or null for none", Duration::expected(limits))
    }

    fn read(value: &Value, scope: Scope) -> Read<Self> {
        if value.is_null() || value.as_f64() == Some(0.0) {
            return Ok(None);
        }
        Duration::read(value, scope).map(Some).or_else(|_| Self::wrong(value, scope))
    }
}

impl Setting for PathBuf {
    fn expected(_: Limits) -> String {
        "a path".to_owned()
    }

    fn read(value: &Value, scope: Scope) -> Read<Self> {
        let Some(text) = value.as_str() else { return Self::wrong(value, scope) };
        full_path(text, scope.env).map_err(|error| vec![Mismatch::new(value, format!("a path: {error}"))])
    }
}

impl Setting for Option<PathBuf> {
    fn expected(limits: Limits) -> String {
        match limits {
            Limits::Program => "the absolute path of a program, or null".to_owned(),
            _ => "a path or null".to_owned(),
        }
    }

    fn read(value: &Value, scope: Scope) -> Read<Self> {
        match value {
            Value::Null => Ok(None),
            Value::String(text) if scope.limits == Limits::Program && !text.starts_with('/') => {
                Self::wrong(value, scope)
            }
            Value::String(_) => PathBuf::read(value, scope).map(Some),
            _ => Self::wrong(value, scope),
        }
    }
}

impl Setting for Option<String> {
    fn expected(limits: Limits) -> String {
        match limits {
            Limits::IpOrInterface => "an IP address, the name of a network interface, or null".to_owned(),
            _ => "a text or null".to_owned(),
        }
    }

    fn read(value: &Value, scope: Scope) -> Read<Self> {
        match value {
            Value::Null => Ok(None),
            Value::String(text) if scope.limits != Limits::IpOrInterface || is_ip_or_interface(text) => {
                Ok(Some(text.clone()))
            }
            _ => Self::wrong(value, scope),
        }
    }
}

fn is_ip_or_interface(text: &str) -> bool {
    let no_interface = |c: char| c == '/' || c.is_whitespace() || c.is_control();
    let is_interface = (1..=INTERFACE_NAME_MAX).contains(&text.len()) && !text.contains(no_interface);
    is_interface || text.parse::<IpAddr>().is_ok()
}

impl Setting for Vec<String> {
    const NULL_IS_DEFAULT: bool = true;

    fn expected(limits: Limits) -> String {
        match limits {
            Limits::MessageTypes => "a list of message types".to_owned(),
            Limits::ClientNames => "a list of regular expressions".to_owned(),
            Limits::Addresses => "a list of IP addresses".to_owned(),
            Limits::Subnets => "a list of subnets, as in [\"10.0.0.0/8\"]".to_owned(),
            _ => "a list of texts".to_owned(),
        }
    }

    /// In the order of the file, each once.
    fn read(value: &Value, scope: Scope) -> Read<Self> {
        let items = match value {
            Value::Null => return Ok(Vec::new()),
            Value::Array(items) if items.len() > LIST_MAX && is_client_list(scope.limits) => {
                return Err(vec![Mismatch::new(value, format!("at most {LIST_MAX} entries"))]);
            }
            Value::Array(items) => items,
            _ => return Self::wrong(value, scope),
        };
        let mut texts = Vec::with_capacity(items.len());
        let mut mismatches = Vec::new();
        for (i, item) in items.iter().enumerate() {
            match list_item(item, scope.limits) {
                Ok(text) if texts.contains(&text) => {}
                Ok(text) => texts.push(text),
                Err(mismatch) => mismatches.push(mismatch.inside(&format!("[{i}]"))),
            }
        }
        all_or(texts, mismatches)
    }
}

fn is_client_list(limits: Limits) -> bool {
    matches!(limits, Limits::ClientNames | Limits::Addresses | Limits::Subnets)
}

fn list_item(item: &Value, limits: Limits) -> Result<String, Mismatch> {
    let Some(text) = item.as_str() else { return Err(Mismatch::new(item, "a text")) };
    let entry = match limits {
        Limits::MessageTypes => return check_message_type(text).map(|()| text.to_owned()),
        Limits::ClientNames => text.parse().map(access::Entry::Name),
        Limits::Addresses => parse_address(text).map(access::Entry::Address),
        Limits::Subnets => text.parse().map(access::Entry::Subnet),
        _ => return Ok(text.to_owned()),
    };
    entry.map_err(|EntryError(expected)| Mismatch::new(item, expected))?;
    Ok(text.to_owned())
}

/// Checks that `text` is a message type that apps may use.
///
/// It is part of a socket's name, and those that begin with `_` are the connector's own, but for `_pubsub`, which
/// apps publish with.
pub(super) fn check_message_type(text: &str) -> Result<(), Mismatch> {
    let expected = if text.is_empty() {
        "a message type that is not empty".to_owned()
    } else if text.len() > MESSAGE_TYPE_MAX {
        format!("a message type of at most {MESSAGE_TYPE_MAX} bytes, this has {}", text.len())
    } else if text.contains(['/', '\0']) {
        "a message type without '/' and NUL".to_owned()
    } else if text.starts_with('_') && text != "_pubsub" {
        "a message type that does not begin with '_' (only _pubsub may)".to_owned()
    } else {
        return Ok(());
    };
    Err(Mismatch::new(&Value::from(text), expected))
}

/// A member that has no meaning: its place inside the value, as in `.any.ownr`, and the nearest name that has one.
pub(super) type UnknownMember = (String, Option<&'static str>);

/// The members of the object `value` that are not among `known`.
pub(super) fn unknown_members(value: &Value, known: &[&'static str]) -> Vec<UnknownMember> {
    let names = value.as_object().into_iter().flat_map(Map::keys);
    let unknown = names.filter(|name| !known.contains(&name.as_str()));
    unknown.map(|name| (format!(".{name}"), nearest(name, known.iter().copied()))).collect()
}

/// A type that is the value of a map, as in `{"any": VALUE}`.
pub(super) trait Entry: Sized + PartialEq {
    /// What the map is, in words.
    const MAP: &'static str;

    /// The members that the value may have, if it is an object.
    const MEMBERS: &'static [&'static str] = &[];

    /// Reads one value of the map.
    fn read_entry(value: &Value, scope: Scope) -> Read<Self>;
}

impl<T: Entry> Setting for BTreeMap<String, T> {
    const NULL_IS_DEFAULT: bool = true;

    fn expected(_: Limits) -> String {
        T::MAP.to_owned()
    }

    fn read(value: &Value, scope: Scope) -> Read<Self> {
        let Value::Object(members) = value else { return Self::wrong(value, scope) };
        let mut map = BTreeMap::new();
        let mut mismatches = Vec::new();
        for (name, member) in members {
            if scope.limits == Limits::MessageTypes {
                mismatches.extend(check_message_type(name).err());
            }
            match T::read_entry(member, scope) {
                Ok(entry) => _ = map.insert(name.clone(), entry),
                Err(inner) => mismatches.extend(inner.into_iter().map(|m| m.inside(&format!(".{name}")))),
            }
        }
        all_or(map, mismatches)
    }

    fn unknown_members(value: &Value) -> Vec<UnknownMember> {
        let entries = value.as_object().into_iter().flatten();
        let unknown = entries.flat_map(|(name, entry)| {
            unknown_members(entry, T::MEMBERS)
                .into_iter()
                .map(move |(place, nearest)| (format!(".{name}{place}"), nearest))
        });
        unknown.collect()
    }
}

/// `value` if nothing was wrong.
pub(super) fn all_or<T>(value: T, mismatches: Vec<Mismatch>) -> Read<T> {
    if mismatches.is_empty() { Ok(value) } else { Err(mismatches) }
}
