//! How a JSON value becomes one of our own types.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};

use super::error::Mismatch;
use super::keys::Limits;
use super::setting::{Entry, Read, Scope, Setting, UnknownMember, all_or, unknown_members};
use super::values::{
    Address, Addresses, Coverage, Enrollment, FileRecv, IgnorePeerTraffic, LogLevel, MetricsListen, OnFull,
    PersistenceSync, Proxy, ProxyAuthorization, Rotate, VerifyPeer,
};
use crate::wire::topics::{Pattern, SUBSCRIPTIONS_MAX};

impl Setting for Addresses {
    fn expected(_: Limits) -> String {
        r#"[HOST, PORT], as in ["127.0.0.1", 10673], or on a client a list of those"#.to_owned()
    }

    /// A list of addresses is one of lists.
    fn read(value: &Value, scope: Scope) -> Read<Self> {
        let Some(items) = value.as_array() else { return Self::wrong(value, scope) };
        if !items.first().is_some_and(Value::is_array) {
            let [host, port] = items.as_slice() else { return Self::wrong(value, scope) };
            return address(host, "[0]", port, "[1]").map(Self::from);
        }
        if items.len() > Self::MAX {
            return Err(vec![Mismatch::new(value, format!("at most {} addresses", Self::MAX))]);
        }
        let (mut found, mut mismatches) = (Vec::with_capacity(items.len()), Vec::new());
        for (i, item) in items.iter().enumerate() {
            let place = format!("[{i}]");
            let read = match item.as_array().map(Vec::as_slice) {
                Some([host, port]) => address(host, "[0]", port, "[1]"),
                _ => Err(vec![Mismatch::new(item, r#"[HOST, PORT], as in ["127.0.0.1", 10673]"#)]),
            };
            match read {
                Ok(address) if found.contains(&address) => {
                    mismatches.push(Mismatch::new(item, "an address that is not in the list before").inside(&place));
                }
                Ok(address) => found.push(address),
                Err(wrong) => mismatches.extend(wrong.into_iter().map(|mismatch| mismatch.inside(&place))),
            }
        }
        let mut found = found.into_iter();
        all_or(Self { first: found.next().unwrap_or_default(), others: found.collect() }, mismatches)
    }
}

fn address(host: &Value, host_place: &str, port: &Value, port_place: &str) -> Read<Address> {
    match (read_host(host), read_port(port)) {
        (Ok(host), Ok(port)) => Ok(Address { host, port }),
        (host, port) => {
            let host = host.err().map(|mismatch| mismatch.inside(host_place));
            Err(host.into_iter().chain(port.err().map(|mismatch| mismatch.inside(port_place))).collect())
        }
    }
}

/// Quotes would make the server's id ambiguous, which has the host between quotes.
fn read_host(value: &Value) -> Result<String, Mismatch> {
    let bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '\'' | '"' | '/' | '\\');
    match value.as_str() {
        Some(host) if !host.is_empty() && !host.contains(bad) => Ok(host.to_owned()),
        _ => Err(Mismatch::new(value, "an IP address, a host name or the name of a network interface")),
    }
}

fn read_port(value: &Value) -> Result<u16, Mismatch> {
    let port = value.as_u64().and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
    port.ok_or_else(|| Mismatch::new(value, "a port, a whole number from 1 to 65535"))
}

impl Setting for Option<MetricsListen> {
    fn expected(_: Limits) -> String {
        r#"the path of a Unix socket, a loopback address with a port as in "127.0.0.1:9101", or null"#.to_owned()
    }

    fn read(value: &Value, scope: Scope) -> Read<Self> {
        let text = match value {
            Value::Null => return Ok(None),
            Value::String(text) => text,
            _ => return Self::wrong(value, scope),
        };
        if text.contains('/') {
            return PathBuf::read(value, scope).map(|path| Some(MetricsListen::Unix(path)));
        }
        let address = text.strip_prefix("localhost:").map_or_else(|| text.clone(), |port| format!("127.0.0.1:{port}"));
        match address.parse::<SocketAddr>() {
            Ok(address) if address.port() == 0 => Self::wrong(value, scope),
            Ok(address) if address.ip().is_loopback() => Ok(Some(MetricsListen::Tcp(address))),
            // The metrics name peers and types, and there is no TLS here to ask who reads them.
            Ok(_) => {
                let expected = "a loopback address, as in \"127.0.0.1:9101\": metrics name the peers, so for other machines \
                                put a proxy in front that asks who is there";
                Err(vec![Mismatch::new(value, expected)])
            }
            Err(_) => Self::wrong(value, scope),
        }
    }
}

impl Setting for Vec<Pattern> {
    const NULL_IS_DEFAULT: bool = true;

    fn expected(_: Limits) -> String {
        "a list of message types, or of patterns of them as in sensors.*.temp and sensors.>".to_owned()
    }

    /// In the order of the file, each once.
    fn read(value: &Value, scope: Scope) -> Read<Self> {
        let items = match value {
            Value::Null => return Ok(Vec::new()),
            Value::Array(items) if items.len() <= SUBSCRIPTIONS_MAX => items,
            Value::Array(_) => {
                return Err(vec![Mismatch::new(value, format!("at most {SUBSCRIPTIONS_MAX} message types"))]);
            }
            _ => return Self::wrong(value, scope),
        };
        let (mut patterns, mut mismatches) = (Vec::with_capacity(items.len()), Vec::new());
        for (i, item) in items.iter().enumerate() {
            let read = item.as_str().map(Pattern::parse);
            match read {
                Some(Ok(pattern)) if patterns.contains(&pattern) => {}
                Some(Ok(pattern)) => patterns.push(pattern),
                Some(Err(why)) => {
                    let expected = format!("a message type or a pattern of them: {why}");
                    mismatches.push(Mismatch::new(item, expected).inside(&format!("[{i}]")));
                }
                None => mismatches.push(Mismatch::new(item, "a text").inside(&format!("[{i}]"))),
            }
        }
        all_or(patterns, mismatches)
    }
}

impl Setting for Coverage {
    fn expected(_: Limits) -> String {
        "true, false or a list of message types".to_owned()
    }

    fn read(value: &Value, scope: Scope) -> Read<Self> {
        match value {
            Value::Bool(true) => Ok(Coverage::All),
            Value::Bool(false) => Ok(Coverage::None),
            Value::Array(items) if items.is_empty() => Ok(Coverage::None),
            Value::Array(_) => Vec::<String>::read(value, scope).map(Coverage::Types),
            _ => Self::wrong(value, scope),
        }
    }
}

impl Setting for Rotate {
    fn expected(limits: Limits) -> String {
        format!("true, false or {}", u64::expected(limits))
    }

    fn read(value: &Value, scope: Scope) -> Read<Self> {
        match value {
            Value::Bool(true) => Ok(Rotate::default()),
            Value::Bool(false) => Ok(Rotate::Off),
            Value::Number(_) if value.as_u64() == Some(0) => Ok(Rotate::Off),
            _ => u64::read(value, scope).map(Rotate::Bytes).or_else(|_| Self::wrong(value, scope)),
        }
    }
}

impl Setting for LogLevel {
    fn expected(_: Limits) -> String {
        LogLevel::EXPECTED.to_owned()
    }

    fn read(value: &Value, scope: Scope) -> Read<Self> {
        match value.as_str().map(str::parse) {
            Some(Ok(level)) => Ok(level),
            _ => Self::wrong(value, scope),
        }
    }
}

impl Setting for VerifyPeer {
    fn expected(_: Limits) -> String {
        "true, false or the path of a file of CA certificates".to_owned()
    }

    fn read(value: &Value, scope: Scope) -> Read<Self> {
        match value {
            Value::Bool(true) => Ok(VerifyPeer::Yes),
            Value::Bool(false) => Ok(VerifyPeer::No),
            Value::String(_) => PathBuf::read(value, scope).map(VerifyPeer::CaFile),
            _ => Self::wrong(value, scope),
        }
    }
}

impl Setting for IgnorePeerTraffic {
    fn expected(_: Limits) -> String {
        "true, false, the id of a peer or a list of ids".to_owned()
    }

    fn read(value: &Value, scope: Scope) -> Read<Self> {
        match value {
            Value::Bool(true) => Ok(IgnorePeerTraffic::All),
            Value::Bool(false) => Ok(IgnorePeerTraffic::No),
            Value::String(peer) => Ok(IgnorePeerTraffic::Peers(vec![peer.clone()])),
            Value::Array(items) if items.is_empty() => Ok(IgnorePeerTraffic::No),
            Value::Array(_) => Vec::<String>::read(value, scope).map(IgnorePeerTraffic::Peers),
            _ => Self::wrong(value, scope),
        }
    }
}

impl Setting for PersistenceSync {
    fn expected(_: Limits) -> String {
        r#""os", "always" or "interval:MILLISECONDS""#.to_owned()
    }

    fn read(value: &Value, scope: Scope) -> Read<Self> {
        let Some(text) = value.as_str() else { return Self::wrong(value, scope) };
        match (text, text.strip_prefix("interval:").map(str::parse::<u32>)) {
            ("os", _) => Ok(PersistenceSync::Os),
            ("always", _) => Ok(PersistenceSync::Always),
            (_, Some(Ok(milliseconds @ 1..))) => {
                Ok(PersistenceSync::Interval(Duration::from_millis(milliseconds.into())))
            }
            _ => Self::wrong(value, scope),
        }
    }
}

impl Setting for Enrollment {
    fn expected(_: Limits) -> String {
        r#""open" or "token""#.to_owned()
    }

    fn read(value: &Value, scope: Scope) -> Read<Self> {
        match value.as_str() {
            Some("open") => Ok(Enrollment::Open),
            Some("token") => Ok(Enrollment::Token),
            _ => Self::wrong(value, scope),
        }
    }
}

impl Entry for OnFull {
    const MAP: &'static str = r#"an object, as in {"any": "block"}"#;

    fn read_entry(value: &Value, _: Scope) -> Read<Self> {
        match value.as_str() {
            Some("block") => Ok(OnFull::Block),
            Some("reject") => Ok(OnFull::Reject),
            Some("drop_oldest") => Ok(OnFull::DropOldest),
            _ => Err(vec![Mismatch::new(value, r#""block", "reject" or "drop_oldest""#)]),
        }
    }
}

impl Entry for f64 {
    const MAP: &'static str = r#"an object, as in {"any": 0}"#;

    fn read_entry(value: &Value, _: Scope) -> Read<Self> {
        value.as_f64().ok_or_else(|| vec![Mismatch::new(value, "a number")])
    }
}

impl Entry for FileRecv {
    const MAP: &'static str = r#"an object, as in {"any": {"target_directory": "/some/folder"}}"#;

    const MEMBERS: &'static [&'static str] = &["target_directory", "owner", "override_existing"];

    /// A text alone is a folder: so `file_type2dirpath` of the oldest releases has it.
    fn read_entry(value: &Value, scope: Scope) -> Read<Self> {
        if let Some(folder) = value.as_str().filter(|folder| folder.starts_with('/')) {
            return Ok(FileRecv { target_directory: folder.to_owned(), owner: None, override_existing: false });
        }
        let Value::Object(members) = value else {
            return Err(vec![Mismatch::new(value, r#"an object, as in {"target_directory": "/some/folder"}"#)]);
        };
        let mut members = Members::new(members, scope);
        let target_directory = members.text("target_directory").filter(|folder| folder.starts_with('/'));
        // As the Python package documents it, with nothing between the quotes.
        let owner = members.text("owner").filter(|owner| !owner.is_empty());
        let override_existing = members.get::<bool>("override_existing");
        if target_directory.is_none() {
            members.wrong("target_directory", "an absolute path of a folder");
        }
        if owner.as_deref().is_some_and(|owner| !is_owner(owner)) {
            members.wrong("owner", "USER:GROUP");
        }
        members.all_or(FileRecv { target_directory: target_directory.unwrap_or_default(), owner, override_existing })
    }
}

fn is_owner(text: &str) -> bool {
    text.split_once(':').is_some_and(|(user, group)| !user.is_empty() && !group.is_empty() && !group.contains(':'))
}

impl Setting for Proxy {
    const NULL_IS_DEFAULT: bool = true;

    fn expected(_: Limits) -> String {
        r#"an object, as in {"enabled": true, "address": "HOST", "port": 3128}"#.to_owned()
    }

    fn read(value: &Value, scope: Scope) -> Read<Self> {
        let Value::Object(object) = value else { return Self::wrong(value, scope) };
        let mut members = Members::new(object, scope);
        let enabled = members.get::<bool>("enabled");
        let ssl_server = members.get::<bool>("ssl_server");
        let (host, port) = (members.value("address"), numeric(&members.value("port")));
        let address = (enabled || !host.is_null()).then(|| address(&host, ".address", &port, ".port"));
        let (authorization, cafile) = (members.authorization(), members.get::<Option<PathBuf>>("cafile"));
        if cafile.is_some() && !ssl_server {
            // What was meant to be verified would go out in clear.
            members.wrong("cafile", "nothing, or ssl_server true as well");
        }
        let address = address.transpose().unwrap_or_else(|mismatches| {
            members.mismatches.extend(mismatches);
            None
        });
        members.all_or(Proxy { enabled, address, authorization, ssl_server, cafile })
    }

    fn unknown_members(value: &Value) -> Vec<UnknownMember> {
        unknown_members(value, &["enabled", "address", "port", "authorization", "ssl_server", "cafile"])
    }

    /// A proxy that is described but not enabled is not used.
    fn is_inert(&self, _: &Self) -> bool {
        !self.enabled
    }
}

/// A number that may be given as a text, as the Python package has it in its examples.
fn numeric(value: &Value) -> Value {
    value.as_str().and_then(|text| text.parse::<u16>().ok()).map_or_else(|| value.clone(), Value::from)
}

/// The members of an object, and what is wrong with them.
struct Members<'a> {
    object: &'a Map<String, Value>,
    scope: Scope<'a>,
    mismatches: Vec<Mismatch>,
}

impl<'a> Members<'a> {
    fn new(object: &'a Map<String, Value>, scope: Scope<'a>) -> Self {
        Self { object, scope, mismatches: Vec::new() }
    }

    fn value(&self, name: &str) -> Value {
        self.object.get(name).cloned().unwrap_or_default()
    }

    /// The value of `name`; the default of its type if it is absent, null or wrong.
    fn get<T: Setting>(&mut self, name: &str) -> T {
        let Some(value) = self.object.get(name).filter(|value| !value.is_null()) else { return T::default() };
        T::read(value, self.scope).unwrap_or_else(|mismatches| {
            self.mismatches.extend(mismatches.into_iter().map(|mismatch| mismatch.inside(&format!(".{name}"))));
            T::default()
        })
    }

    fn text(&mut self, name: &str) -> Option<String> {
        self.get::<Option<String>>(name)
    }

    /// Notes that `name` is wrong, unless that is noted already.
    fn wrong(&mut self, name: &str, expected: &str) {
        let place = format!(".{name}");
        if !self.mismatches.iter().any(|mismatch| mismatch.place == place) {
            self.mismatches.push(Mismatch::new(&self.value(name), expected).inside(&place));
        }
    }

    /// Its value is a secret, so a wrong one is not shown.
    fn authorization(&mut self) -> Option<ProxyAuthorization> {
        let member = |value: &Value, name: &str| value.get(name)?.as_str().map(str::to_owned);
        match self.value("authorization") {
            Value::Null => None,
            Value::String(text) if text.is_empty() => None,
            value => match (member(&value, "username"), member(&value, "password")) {
                (Some(username), Some(password)) => Some(ProxyAuthorization { username, password }),
                _ => {
                    self.mismatches.push(Mismatch {
                        place: ".authorization".to_owned(),
                        found: "something else (not shown)".to_owned(),
                        expected: r#"{"username": TEXT, "password": TEXT}"#.to_owned(),
                    });
                    None
                }
            },
        }
    }

    fn all_or<T>(self, value: T) -> Read<T> {
        all_or(value, self.mismatches)
    }
}
