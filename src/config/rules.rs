//! How `client_rules` and `local_rules` are read.

use nix::unistd::{Group, User};
use serde_json::{Map, Value};

use super::error::Mismatch;
use super::keys::Limits;
use super::setting::{Read, Scope, Setting, UnknownMember, all_or, unknown_members};
use crate::core::access::EntryError;
use crate::core::rules::{ClientRule, LocalRule, Types};
use crate::wire::topics::Pattern;

/// Most rules of a kind.
const RULES_MAX: usize = 1024;

const CLIENT_MEMBERS: [&str; 5] = ["id", "send_types", "recv_types", "max_msgs_per_s", "max_bytes_per_s"];
const LOCAL_MEMBERS: [&str; 6] = ["uid", "gid", "user", "group", "send_types", "recv_types"];

impl Setting for Vec<ClientRule> {
    const NULL_IS_DEFAULT: bool = true;

    fn expected(_: Limits) -> String {
        r#"a list of objects, as in [{"id": "sensor.*", "send_types": ["temp"], "max_msgs_per_s": 100}]"#.to_owned()
    }

    fn read(value: &Value, scope: Scope) -> Read<Self> {
        rules(value, scope, |rule| {
            let id = match rule.text("id").map(|text| text.parse()) {
                Some(Ok(id)) => Some(id),
                Some(Err(EntryError(expected))) => rule.wrong("id", &expected),
                None => rule.wrong("id", "a regular expression, matched from the start of a client's name"),
            };
            let (send, recv) = (rule.types("send_types"), rule.types("recv_types"));
            let (messages_per_second, bytes_per_second) = (rule.rate("max_msgs_per_s"), rule.rate("max_bytes_per_s"));
            Some(ClientRule { id: id?, send, recv, messages_per_second, bytes_per_second })
        })
    }

    fn unknown_members(value: &Value) -> Vec<UnknownMember> {
        unknown_in_list(value, &CLIENT_MEMBERS)
    }
}

impl Setting for Vec<LocalRule> {
    const NULL_IS_DEFAULT: bool = true;

    fn expected(_: Limits) -> String {
        r#"a list of objects, as in [{"user": "joe", "send_types": ["temp"], "recv_types": []}]"#.to_owned()
    }

    fn read(value: &Value, scope: Scope) -> Read<Self> {
        rules(value, scope, |rule| {
            let user = rule.named("user", |name| User::from_name(name).ok().flatten().map(|user| user.uid.as_raw()));
            let group = rule.named("group", |name| Group::from_name(name).ok().flatten().map(|g| g.gid.as_raw()));
            let (uid, gid) = (rule.number("uid"), rule.number("gid"));
            if uid.is_some() && user.is_some() {
                rule.wrong::<()>("user", "either uid or user");
            }
            if gid.is_some() && group.is_some() {
                rule.wrong::<()>("group", "either gid or group");
            }
            let (send, recv) = (rule.types("send_types"), rule.types("recv_types"));
            Some(LocalRule { uid: uid.or(user), gid: gid.or(group), send, recv })
        })
    }

    fn unknown_members(value: &Value) -> Vec<UnknownMember> {
        unknown_in_list(value, &LOCAL_MEMBERS)
    }
}

fn unknown_in_list(value: &Value, known: &[&'static str]) -> Vec<UnknownMember> {
    let rules = value.as_array().into_iter().flatten().enumerate();
    let unknown = rules.flat_map(|(i, rule)| {
        unknown_members(rule, known).into_iter().map(move |(place, nearest)| (format!("[{i}]{place}"), nearest))
    });
    unknown.collect()
}

/// All rules of a list, each read by `read`, which notes what is wrong.
fn rules<T>(value: &Value, scope: Scope, read: impl Fn(&mut Rule) -> Option<T>) -> Read<Vec<T>>
where
    Vec<T>: Setting,
{
    let items = match value.as_array() {
        Some(items) if items.len() <= RULES_MAX => items,
        Some(_) => return Err(vec![Mismatch::new(value, format!("at most {RULES_MAX} rules"))]),
        None => return Vec::<T>::wrong(value, scope),
    };
    let (mut rules, mut mismatches) = (Vec::with_capacity(items.len()), Vec::new());
    for (i, item) in items.iter().enumerate() {
        let Some(members) = item.as_object() else {
            mismatches.push(Mismatch::new(item, "an object").inside(&format!("[{i}]")));
            continue;
        };
        let mut rule = Rule { members, mismatches: Vec::new() };
        rules.extend(read(&mut rule));
        mismatches.extend(rule.mismatches.into_iter().map(|mismatch| mismatch.inside(&format!("[{i}]"))));
    }
    all_or(rules, mismatches)
}

/// One rule, and what is wrong with it.
struct Rule<'a> {
    members: &'a Map<String, Value>,
    mismatches: Vec<Mismatch>,
}

impl Rule<'_> {
    fn get(&self, name: &str) -> Option<&Value> {
        self.members.get(name).filter(|value| !value.is_null())
    }

    fn wrong<T>(&mut self, name: &str, expected: &str) -> Option<T> {
        let found = self.members.get(name).cloned().unwrap_or_default();
        self.mismatches.push(Mismatch::new(&found, expected).inside(&format!(".{name}")));
        None
    }

    fn text(&self, name: &str) -> Option<String> {
        self.get(name)?.as_str().map(str::to_owned)
    }

    fn types(&mut self, name: &str) -> Types {
        let Some(value) = self.get(name).cloned() else { return Types::All };
        let Some(items) = value.as_array() else {
            self.wrong::<()>(
                name,
                "a list of message types, or of patterns of them as in sensors.*.temp and sensors.>",
            );
            return Types::All;
        };
        let mut patterns = Vec::with_capacity(items.len());
        for (i, item) in items.iter().enumerate() {
            match item.as_str().map(Pattern::parse) {
                Some(Ok(pattern)) => patterns.push(pattern),
                Some(Err(why)) => {
                    let expected = format!("a message type or a pattern of them: {why}");
                    self.mismatches.push(Mismatch::new(item, expected).inside(&format!(".{name}[{i}]")));
                }
                None => self.mismatches.push(Mismatch::new(item, "a text").inside(&format!(".{name}[{i}]"))),
            }
        }
        Types::Some(patterns)
    }

    /// A number of something a second.
    fn rate(&mut self, name: &str) -> Option<f64> {
        let value = self.get(name)?;
        // One in a million seconds is as good as none; no more than a machine can do either.
        match value.as_f64().filter(|rate| (1e-6..=1e15).contains(rate)) {
            Some(rate) => Some(rate),
            None => self.wrong(name, "a number greater than 0"),
        }
    }

    fn number(&mut self, name: &str) -> Option<u32> {
        let value = self.get(name)?;
        match value.as_u64().and_then(|number| u32::try_from(number).ok()) {
            Some(number) => Some(number),
            None => self.wrong(name, "a whole number"),
        }
    }

    /// The number of a user or a group that is named.
    fn named(&mut self, name: &str, find: impl Fn(&str) -> Option<u32>) -> Option<u32> {
        self.get(name)?;
        match self.text(name).and_then(|text| find(&text)) {
            Some(number) => Some(number),
            None => self.wrong(name, &format!("the name of a {name} of this machine")),
        }
    }
}
