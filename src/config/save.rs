//! Writes a change of one key back into the config file, and leaves all else in it as it is, byte for byte.
//!
//! The file is replaced by one that was written whole, with the same mode and, where this process may give it, the same
//! owner. If the config is a symbolic link, what it leads to is replaced.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::core::KeyChange;

/// Makes the change in the file at `path`.
///
/// # Errors
/// Why it could not be made; then the file is as it was.
pub fn save(path: &Path, change: &KeyChange) -> Result<(), String> {
    let failed = |error: io::Error| format!("the config file {} cannot be written: {error}", path.display());
    let text = fs::read_to_string(path).map_err(failed)?;
    let changed = changed(&text, change).map_err(|why| format!("the config file {}: {why}", path.display()))?;
    match changed {
        Some(changed) => replace(path, changed.as_bytes()).map_err(failed),
        None => Ok(()),
    }
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = fs::canonicalize(path)?;
    let old = fs::metadata(&path)?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut draft = tempfile::NamedTempFile::new_in(folder)?;
    draft.write_all(bytes)?;
    let (own, file) = (draft.as_file().metadata()?, draft.as_file());
    if (own.uid(), own.gid()) != (old.uid(), old.gid()) {
        // Only root may give files away. Else the owner is the one who can write in the folder, which is ourselves.
        let _ = fchown(file, Some(old.uid()), Some(old.gid()));
    }
    file.set_permissions(Permissions::from_mode(old.mode() & 0o7777))?;
    file.sync_all()?;
    draft.persist(&path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

/// The text with the change; none if it stands there already.
fn changed(text: &str, change: &KeyChange) -> Result<Option<String>, String> {
    let members: Members = serde_json::from_str(text).map_err(|error| format!("it is no JSON object: {error}"))?;
    let (KeyChange::Add { key, .. } | KeyChange::Remove { key, .. } | KeyChange::Set { key, .. }) = change;
    // The last one counts.
    let member = members.0.iter().rev().find(|(name, _)| name == key);
    let old = member.map(|(_, raw)| serde_json::from_str(raw.get()).unwrap_or_default());
    let Some(value) = new_value(old.as_ref(), change)? else { return Ok(None) };
    let value = value.to_string();
    Ok(Some(match member {
        Some((_, raw)) => {
            let at = offset(text, raw);
            format!("{}{value}{}", &text[..at], &text[at + raw.get().len()..])
        }
        None => with_member(text, &members, &format!("{}: {value}", Value::from(key.as_str()))),
    }))
}

/// What the key's value becomes; none if it is that already.
fn new_value(old: Option<&Value>, change: &KeyChange) -> Result<Option<Value>, String> {
    let (key, entry) = match change {
        KeyChange::Set { value, .. } => return Ok((old != Some(value)).then(|| value.clone())),
        KeyChange::Add { key, entry } | KeyChange::Remove { key, entry } => (key, entry),
    };
    let mut entries = match old {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(entries)) => entries.clone(),
        Some(_) => return Err(format!("{key} is no list there any more")),
    };
    let before = entries.len();
    let means = |value: &Value| value.as_str().is_some_and(|text| is_same(key, text, entry));
    match change {
        KeyChange::Add { .. } if entries.iter().any(means) => {}
        KeyChange::Add { .. } => entries.push(Value::from(entry.as_str())),
        _ => entries.retain(|value| !means(value)),
    }
    Ok((entries.len() != before).then_some(Value::Array(entries)))
}

/// Whether two entries say the same: addresses and subnets can be written in several ways.
fn is_same(key: &str, one: &str, other: &str) -> bool {
    use crate::core::access::Entry;
    one == other || (!key.ends_with("_id") && Entry::of_ip(one).is_ok_and(|entry| Ok(entry) == Entry::of_ip(other)))
}

/// The text with a member more, behind the last one.
fn with_member(text: &str, members: &Members, member: &str) -> String {
    let Some((_, last)) = members.0.last() else {
        // An object without members: nothing but space is in its braces.
        let (open, close) = (text.find('{').unwrap_or(0), text.rfind('}').unwrap_or(text.len()));
        return format!("{}\n    {member}\n{}", &text[..=open], &text[close..]);
    };
    let end = offset(text, last) + last.get().len();
    format!("{},\n{}{member}{}", &text[..end], indent(text), &text[end..])
}

/// The space before the first member, if it stands on a line of its own.
fn indent(text: &str) -> &str {
    let body = text.split_once('{').map_or("", |(_, body)| body);
    let space = &body[..body.len() - body.trim_start().len()];
    space.rsplit_once('\n').map_or(" ", |(_, indent)| indent)
}

/// Where a value of the text begins in it.
fn offset(text: &str, raw: &RawValue) -> usize {
    raw.get().as_ptr() as usize - text.as_ptr() as usize
}

/// The members of an object in their order, with their values as they are written.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn add(entry: &str) -> KeyChange {
        KeyChange::Add { key: "blacklisted_clients_ip".to_owned(), entry: entry.to_owned() }
    }

    fn remove(entry: &str) -> KeyChange {
        KeyChange::Remove { key: "blacklisted_clients_ip".to_owned(), entry: entry.to_owned() }
    }

    #[track_caller]
    fn assert_becomes(text: &str, change: &KeyChange, expected: &str) {
        assert_eq!(changed(text, change).unwrap().as_deref().unwrap_or(text), expected);
    }

    #[test]
    fn only_the_value_of_the_key_changes() {
        let text = "{\n  \"a\" :  1.50,\n  \"blacklisted_clients_ip\": [ \"1.1.1.1\" ],\n  \"b\": {\"x\":[1,  2]}\n}\n";
        assert_becomes(text, &add("::1"), &text.replace("[ \"1.1.1.1\" ]", "[\"1.1.1.1\",\"::1\"]"));
        assert_becomes(text, &remove("1.1.1.1"), &text.replace("[ \"1.1.1.1\" ]", "[]"));
        assert_becomes(text, &add("1.1.1.1"), text);
        assert_becomes(text, &remove("2.2.2.2"), text);
    }

    #[test]
    fn a_key_that_is_not_there_comes_last() {
        assert_becomes("{\n\t\"a\": 1\n}", &add("::1"), "{\n\t\"a\": 1,\n\t\"blacklisted_clients_ip\": [\"::1\"]\n}");
        assert_becomes("{ \"a\": 1 }", &add("::1"), "{ \"a\": 1,\n \"blacklisted_clients_ip\": [\"::1\"] }");
        assert_becomes("{}", &add("::1"), "{\n    \"blacklisted_clients_ip\": [\"::1\"]\n}");
        let set = KeyChange::Set { key: "ignore_peer_traffic".to_owned(), value: json!(["c1"]) };
        assert_becomes("{\"a\": 1}", &set, "{\"a\": 1,\n \"ignore_peer_traffic\": [\"c1\"]}");
        assert_becomes("{\"ignore_peer_traffic\": false}", &set, "{\"ignore_peer_traffic\": [\"c1\"]}");
    }

    #[test]
    fn null_is_an_empty_list_and_of_repeated_keys_the_last_one_counts() {
        let text = r#"{"blacklisted_clients_ip": ["9.9.9.9"], "blacklisted_clients_ip": null}"#;
        assert_becomes(text, &add("::1"), &text.replace("null", r#"["::1"]"#));
    }

    #[test]
    fn an_address_that_is_written_otherwise_is_the_same() {
        let text = r#"{"blacklisted_clients_ip": ["0:0::1"]}"#;
        assert_becomes(text, &add("::1"), text);
        assert_becomes(text, &remove("::1"), r#"{"blacklisted_clients_ip": []}"#);
    }

    #[test]
    fn a_file_that_is_not_as_it_must_be_stays_as_it_is() {
        for text in ["", "[]", "{\"a\": }", r#"{"blacklisted_clients_ip": 5}"#] {
            assert!(changed(text, &add("::1")).is_err(), "{text}");
        }
    }

    #[test]
    fn the_file_is_replaced_as_a_whole_and_keeps_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("c.json"), dir.path().join("link.json"));
        fs::write(&file, "{}").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("c.json", &link).unwrap();
        let before = fs::metadata(&file).unwrap().ino();
        save(&link, &add("::1")).unwrap();
        let after = fs::metadata(&file).unwrap();
        assert_eq!(after.mode() & 0o7777, 0o640);
        assert_ne!(after.ino(), before);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(fs::read_to_string(&file).unwrap().contains("::1"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "no drafts are left");
        save(&link, &add("::1")).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().ino(), after.ino(), "nothing to change, nothing written");
        let error = save(&dir.path().join("none.json"), &add("::1")).unwrap_err();
        assert!(error.contains("none.json"), "{error}");
    }
}
