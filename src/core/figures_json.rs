//! The numbers as `show_status` answers them.

use std::time::Duration;

use serde_json::{Value, json};

use super::figures::{CertificateFigures, Figures, InboxFigures, PeerFigures, Store, TopicFigures, TypeFigures};
use super::ledger::Entry;

fn seconds(time: Option<Duration>) -> Option<f64> {
    time.map(|time| time.as_secs_f64())
}

impl Figures {
    /// As JSON, of this version of the program: sizes in bytes, times in seconds, what is not known null.
    #[must_use]
    pub fn to_json(&self, version: &str, commit: Option<&str>) -> Value {
        let host = &self.host;
        let buckets: Vec<Value> =
            host.turns.buckets.iter().map(|(le, count)| json!([le.as_secs_f64(), count])).collect();
        json!({
            "version": version,
            "commit": commit,
            "name": self.id,
            "role": self.role.word(),
            "state": self.state.word(),
            "pid": host.process.id,
            "uptime_s": self.uptime.as_secs_f64(),
            "config": host.config,
            "server": host.server,
            "peers": self.peers.iter().map(PeerFigures::to_json).collect::<Vec<_>>(),
            "types": self.types.iter().map(TypeFigures::to_json).collect::<Vec<_>>(),
            "inboxes": self.inboxes.iter().map(InboxFigures::to_json).collect::<Vec<_>>(),
            "topics": self.topics.iter().map(TopicFigures::to_json).collect::<Vec<_>>(),
            "ledger": self.ledger.iter().map(ledger_entry).collect::<Vec<_>>(),
            "receipts": {
                "accepted": self.receipts.accepted,
                "stored": self.receipts.stored,
                "delivered": self.receipts.delivered,
                "refused": self.receipts.refused,
            },
            "requests": {
                "waiting": self.requests_waiting,
                "asked": self.requests.asked,
                "answered": self.requests.answered,
                "failed": self.requests.failed,
            },
            "refused_links": self.refused_links,
            "store": host.store.as_ref().map(|store| self.store_json(store)),
            "syncs": {
                "count": host.syncs.count,
                "seconds_total": host.syncs.total.as_secs_f64(),
                "seconds_max": host.syncs.longest.as_secs_f64(),
            },
            "loop": {
                "turns": host.turns.count,
                "busy_seconds_total": host.turns.busy.as_secs_f64(),
                "buckets": buckets,
                "reads": host.turns.calls.reads,
                "writes": host.turns.calls.writes,
                "other_calls": host.turns.calls.others,
            },
            "certificate": host.certificate.as_ref().map(CertificateFigures::to_json),
            "process": {
                "resident_bytes": host.process.resident,
                "open_files": host.process.open_files,
                "open_files_max": host.process.files_max,
                "cpu_seconds_total": seconds(host.process.cpu),
            },
        })
    }

    fn store_json(&self, store: &Store) -> Value {
        json!({
            "path": store.path,
            "bytes": self.stored.bytes,
            "limit_bytes": self.stored.limit,
            "disk_free_bytes": store.disk_free,
            "lasts_s": seconds(store.lasts),
        })
    }
}

impl PeerFigures {
    fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "connected": self.link.is_some(),
            "address": self.address.map(|address| address.to_string()),
            "since_s": seconds(self.since),
            "link": self.link_kind,
            "tls": self.tls,
            "reconnects": self.reconnects,
            "round_trip_s": seconds(self.round_trip),
            "ignored": self.ignored,
            "queued_messages": self.queued.messages,
            "queued_bytes": self.queued.bytes,
            "oldest_s": seconds(self.oldest),
            "unconfirmed_messages": self.unconfirmed,
            "sent_messages": self.sent.messages,
            "sent_bytes": self.sent.bytes,
            "received_messages": self.received.messages,
            "received_bytes": self.received.bytes,
        })
    }
}

impl TypeFigures {
    fn to_json(&self) -> Value {
        json!({
            "peer": self.peer,
            "type": self.message_type,
            "sent_messages": self.sent.messages,
            "sent_bytes": self.sent.bytes,
            "received_messages": self.received.messages,
            "received_bytes": self.received.bytes,
            "queued_messages": self.queued.messages,
            "queued_bytes": self.queued.bytes,
        })
    }
}

impl InboxFigures {
    fn to_json(&self) -> Value {
        json!({
            "type": self.message_type,
            "connected": self.connected,
            "queued_messages": self.queued.messages,
            "queued_bytes": self.queued.bytes,
            "oldest_s": seconds(self.oldest),
            "delivered_messages": self.delivered.messages,
            "delivered_bytes": self.delivered.bytes,
        })
    }
}

impl TopicFigures {
    fn to_json(&self) -> Value {
        json!({
            "type": self.message_type,
            "subscribers": self.subscribers,
            "stored_messages": self.stored.messages,
            "stored_bytes": self.stored.bytes,
        })
    }
}

impl CertificateFigures {
    fn to_json(&self) -> Value {
        json!({"subject": self.subject, "not_after": self.not_after, "expires_in_s": self.expires_in})
    }
}

fn ledger_entry((entry, messages): &(Entry, u64)) -> Value {
    json!({
        "peer": entry.peer,
        "type": entry.message_type,
        "reason": entry.reason.word(),
        "messages": messages,
    })
}
