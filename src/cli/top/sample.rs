//! What a connector says of itself at a moment, and what has changed since another moment.

use std::collections::HashMap;
use std::time::Instant;

use serde_json::Value;

use crate::cli::human::printable;

/// A number of the answer; 0 if it is missing, as in that of another version.
fn number(value: &Value, name: &str) -> f64 {
    value.get(name).and_then(Value::as_f64).unwrap_or_default()
}

fn text(value: &Value, name: &str) -> String {
    printable(value.get(name).and_then(Value::as_str).unwrap_or_default())
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The answer, and when it came.
pub struct Sample {
    pub value: Value,
    pub at: Instant,
}

/// Messages and bytes, of all time or in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Flow {
    pub messages: f64,
    pub bytes: f64,
}

impl Flow {
    fn of(value: &Value, what: &str) -> Self {
        let (messages, bytes) = (format!("{what}_messages"), format!("{what}_bytes"));
        Self { messages: number(value, &messages), bytes: number(value, &bytes) }
    }

    /// In a second, if it was `before` so many seconds ago. A connector that has started anew counts from 0.
    fn since(self, before: Self, seconds: f64) -> Self {
        let rate = |now: f64, before: f64| if now < before { now / seconds } else { (now - before) / seconds };
        Self { messages: rate(self.messages, before.messages), bytes: rate(self.bytes, before.bytes) }
    }

    fn plus(self, other: Self) -> Self {
        Self { messages: self.messages + other.messages, bytes: self.bytes + other.bytes }
    }
}

/// A peer.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    pub name: String,
    pub connected: bool,
    /// For how long it has been so, seconds.
    pub since: f64,
    pub input: Flow,
    pub output: Flow,
    pub queued: Flow,
    /// The age of its oldest message that it has not taken over, seconds.
    pub oldest: f64,
    pub round_trip: Option<f64>,
}

/// A type that is received.
#[derive(Clone, Debug, Default)]
pub struct Inbox {
    pub message_type: String,
    pub connected: bool,
    pub delivered: Flow,
    pub queued: Flow,
    pub oldest: f64,
}

/// An entry of the ledger.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// Peer, type and reason.
    pub what: [String; 3],
    pub messages: f64,
    /// So many came since the other moment.
    pub new: f64,
}

/// All that is shown.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    pub name: String,
    pub role: String,
    pub state: String,
    pub version: String,
    /// Seconds.
    pub uptime: f64,
    pub input: Flow,
    pub output: Flow,
    pub queued: Flow,
    pub oldest: f64,
    pub peers: Vec<Peer>,
    pub inboxes: Vec<Inbox>,
    pub ledger: Vec<Entry>,
    /// Bytes on disk, bytes that the disk has, seconds until it is full.
    pub store: Option<(f64, Option<f64>, Option<f64>)>,
    /// The part of the time that the loop works.
    pub busy: Option<f64>,
    /// Requests that wait.
    pub requests: f64,
    /// Seconds until the certificate ends.
    pub certificate: Option<f64>,
}

/// The entries of a list of another moment, by what names them.
fn by_name<'a>(value: &'a Value, name: &str, of: impl Fn(&Value) -> String) -> HashMap<String, &'a Value> {
    list(value, name).iter().map(|entry| (of(entry), entry)).collect()
}

impl Shown {
    /// What is shown of `now`, with what changed since `before`.
    pub fn new(before: Option<&Sample>, now: &Sample) -> Self {
        let value = &now.value;
        let seconds = before.map_or(0.0, |before| now.at.saturating_duration_since(before.at).as_secs_f64());
        // Nothing is known of what passes in no time.
        let before = before.filter(|_| seconds > 0.0).map(|before| &before.value);
        let rate = |old: Option<&&Value>, entry: &Value, what: &str| match (before, old) {
            (None, _) => Flow::default(),
            (_, old) => Flow::of(entry, what).since(old.map_or(Flow::default(), |old| Flow::of(old, what)), seconds),
        };
        let nothing = Value::Null;
        let old = before.unwrap_or(&nothing);
        let old_peers = by_name(old, "peers", |peer| text(peer, "name"));
        let peers = list(value, "peers").iter().map(|peer| {
            let old = old_peers.get(&text(peer, "name"));
            Peer {
                name: text(peer, "name"),
                connected: peer.get("connected") == Some(&Value::Bool(true)),
                since: number(peer, "since_s"),
                input: rate(old, peer, "received"),
                output: rate(old, peer, "sent"),
                queued: Flow::of(peer, "queued"),
                oldest: number(peer, "oldest_s"),
                round_trip: peer.get("round_trip_s").and_then(Value::as_f64),
            }
        });
        let peers: Vec<Peer> = peers.collect();
        let old_inboxes = by_name(old, "inboxes", |inbox| text(inbox, "type"));
        let inboxes = list(value, "inboxes").iter().map(|inbox| Inbox {
            message_type: text(inbox, "type"),
            connected: inbox.get("connected") == Some(&Value::Bool(true)),
            delivered: rate(old_inboxes.get(&text(inbox, "type")), inbox, "delivered"),
            queued: Flow::of(inbox, "queued"),
            oldest: number(inbox, "oldest_s"),
        });
        let all = |flow: fn(&Peer) -> Flow| peers.iter().map(flow).fold(Flow::default(), Flow::plus);
        let some = |value: &Value, name: &str| value.get(name).and_then(Value::as_f64);
        let busy = |value: &Value| value.get("loop").and_then(|turns| some(turns, "busy_seconds_total"));
        let busy = before.and_then(|old| Some((busy(value)? - busy(old)?).max(0.0) / seconds));
        Self {
            name: text(value, "name"),
            role: text(value, "role"),
            state: text(value, "state"),
            version: text(value, "version"),
            uptime: number(value, "uptime_s"),
            input: all(|peer| peer.input),
            output: all(|peer| peer.output),
            queued: all(|peer| peer.queued),
            oldest: peers.iter().map(|peer| peer.oldest).fold(0.0, f64::max),
            inboxes: inboxes.collect(),
            ledger: ledger(before, value),
            store: value
                .get("store")
                .filter(|store| store.is_object())
                .map(|store| (number(store, "bytes"), some(store, "disk_free_bytes"), some(store, "lasts_s"))),
            busy,
            requests: value.get("requests").map_or(0.0, |requests| number(requests, "waiting")),
            certificate: value.get("certificate").and_then(|certificate| some(certificate, "expires_in_s")),
            peers,
        }
    }
}

fn ledger(before: Option<&Value>, value: &Value) -> Vec<Entry> {
    let what = |entry: &Value| ["peer", "type", "reason"].map(|name| text(entry, name));
    let old: HashMap<[String; 3], f64> =
        before.map_or(&[][..], |old| list(old, "ledger")).iter().map(|e| (what(e), number(e, "messages"))).collect();
    let entries = list(value, "ledger").iter().map(|entry| {
        let (what, messages) = (what(entry), number(entry, "messages"));
        let was = if before.is_some() { old.get(&what).copied().unwrap_or_default() } else { messages };
        Entry { what, messages, new: (messages - was).max(0.0) }
    });
    let mut entries: Vec<Entry> = entries.collect();
    // What happens now is of more interest than what was.
    entries.sort_by(|a, b| b.new.total_cmp(&a.new).then(b.messages.total_cmp(&a.messages)));
    entries
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn peer(sent: u64, received: u64) -> Value {
        json!({"peers": [{"name": "c1", "connected": true, "sent_messages": sent, "sent_bytes": sent * 100,
            "received_messages": received, "received_bytes": 0, "queued_messages": 2, "oldest_s": 3.5}],
            "ledger": [{"peer": "c1", "type": "any", "reason": "peer_away", "messages": sent}]})
    }

    fn shown(before: Value, after: Value) -> Shown {
        let at = Instant::now();
        let before = Sample { value: before, at };
        Shown::new(Some(&before), &Sample { value: after, at: at + Duration::from_secs(2) })
    }

    #[test]
    fn rates_are_what_changed_in_a_second() {
        let shown = shown(peer(10, 10), peer(30, 10));
        assert_eq!(shown.peers[0].output, Flow { messages: 10.0, bytes: 1000.0 });
        assert_eq!((shown.peers[0].input, shown.output.messages), (Flow::default(), 10.0));
        assert_eq!((shown.ledger[0].messages, shown.ledger[0].new), (30.0, 20.0));
        assert_eq!((shown.oldest, shown.queued.messages), (3.5, 2.0));
    }

    #[test]
    fn a_connector_that_began_anew_counts_from_nothing() {
        assert_eq!(shown(peer(1000, 0), peer(20, 0)).output.messages, 10.0);
        assert_eq!(shown(json!({}), peer(20, 0)).output.messages, 10.0, "a new peer too");
    }

    #[test]
    fn an_answer_of_another_version_is_borne() {
        for value in [json!({}), json!({"peers": 5, "store": [], "ledger": [{}]}), json!([])] {
            let first = Shown::new(None, &Sample { value: value.clone(), at: Instant::now() });
            assert_eq!((first.peers.len(), first.busy, first.store), (0, None, None));
            shown(value.clone(), value);
        }
    }
}
