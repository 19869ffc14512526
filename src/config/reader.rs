//! Reads a config file's keys against the table, and notes all that is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::error::{Mismatch, Notice, without_secrets};
use super::keys::{Effect, KEYS, Key, OLD_KEYS, OldKey};
use super::nearest::nearest;
use super::path::Environment;
use super::setting::{Scope, Setting};

/// The members of a JSON object in the order of the file, repeated ones included.
pub(super) struct Members(pub Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

/// What the file gives for a key.
struct Given {
    /// The key as the file spells it.
    spelling: String,
    value: Value,
}

/// A mistake in a key's value, before the file's name is known.
pub(super) struct KeyProblem {
    pub key: String,
    pub found: String,
    pub expected: String,
}

/// Hands out the values of keys, and collects errors and warnings on the way.
pub(super) struct Reader<'a> {
    env: Environment<'a>,
    given: BTreeMap<&'static str, Given>,
    pub problems: Vec<KeyProblem>,
    pub notices: Vec<(String, Notice)>,
}

impl<'a> Reader<'a> {
    pub fn new(members: Members, env: Environment<'a>) -> Self {
        let mut reader = Self { env, given: BTreeMap::new(), problems: Vec::new(), notices: Vec::new() };
        let mut old = Vec::new();
        let mut seen = BTreeSet::new();
        for (name, value) in members.0 {
            if !seen.insert(name.clone()) {
                reader.notices.push((name.clone(), Notice::Repeated));
            }
            if let Some(key) = Key::find(&name) {
                reader.given.insert(key.name, Given { spelling: name, value });
            } else if let Some(key) = OLD_KEYS.iter().find(|key| key.name == name) {
                old.retain(|(other, _): &(&OldKey, Value)| other.name != key.name);
                old.push((key, value));
            } else {
                let nearest = nearest(&name, KEYS.iter().map(|key| key.name));
                reader.notices.push((name, Notice::Unknown { nearest }));
            }
        }
        for (key, value) in old {
            reader.take_old(key, &value);
        }
        reader
    }

    /// Gives the value of an old key to those that it stands for, unless the file gives them too.
    fn take_old(&mut self, old: &OldKey, value: &Value) {
        for name in old.stands_for {
            if self.given.contains_key(name) {
                self.notices.push((old.name.to_owned(), Notice::Superseded { by: name }));
            } else {
                self.given.insert(name, Given { spelling: old.name.to_owned(), value: value.clone() });
            }
        }
    }

    /// What the file gives, under the present spelling of each key. Secrets are left out.
    pub fn given_values(&self) -> BTreeMap<&'static str, Value> {
        self.given.iter().map(|(name, given)| (*name, without_secrets(&given.value))).collect()
    }

    /// The value of the key `name`, or its default if it is not given or wrong.
    pub fn get<T: Setting>(&mut self, name: &'static str) -> T {
        let Some(key) = Key::find(name) else { return T::default() };
        let scope = Scope { limits: key.limits, env: self.env };
        // A test reads every default, so there is no mismatch to report.
        let default = T::read(&key.default_value(), scope).unwrap_or_default();
        let Some(given) = self.given.get(name) else { return default };
        if T::NULL_IS_DEFAULT && given.value.is_null() {
            return default;
        }
        let spelling = given.spelling.clone();
        for (place, nearest) in T::unknown_members(&given.value) {
            self.notices.push((format!("{spelling}{place}"), Notice::Unknown { nearest }));
        }
        match T::read(&given.value, scope) {
            Ok(value) => {
                if !value.is_inert(&default) {
                    self.check_effect(key, spelling);
                }
                value
            }
            Err(mismatches) => {
                self.report(&spelling, mismatches);
                default
            }
        }
    }

    /// Says so if a value that is not the default does not do what its author wants.
    fn check_effect(&mut self, key: &Key, spelling: String) {
        match key.effect {
            Effect::Now | Effect::Apps => {}
            Effect::NotYet => self.notices.push((spelling, Notice::NoEffectYet)),
        }
    }

    fn report(&mut self, spelling: &str, mismatches: Vec<Mismatch>) {
        for Mismatch { place, found, expected } in mismatches {
            self.problems.push(KeyProblem { key: format!("{spelling}{place}"), found, expected });
        }
    }
}
