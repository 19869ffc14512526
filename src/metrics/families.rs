//! Which numbers there are, and their names: base units, `_total` behind what only grows.

use std::time::Duration;

use super::text::{Format, Kind, Text};
use crate::core::Figures;
use crate::core::figures::{InboxFigures, PeerFigures, RunState, TopicFigures, TypeFigures};
use crate::version::{COMMIT, VERSION};

/// A family with one number for each item: its name, kind and help, and the number.
type Family<T> = (&'static str, Kind, &'static str, fn(&T) -> u64);

/// All numbers as text.
#[must_use]
pub fn write(figures: &Figures, format: Format) -> String {
    let mut text = Text::new(format);
    connector(&mut text, figures);
    types(&mut text, &figures.types);
    peers(&mut text, &figures.peers);
    inboxes(&mut text, &figures.inboxes);
    topics(&mut text, &figures.topics);
    undelivered(&mut text, figures);
    apps(&mut text, figures);
    store(&mut text, figures);
    turns(&mut text, figures);
    process(&mut text, figures);
    text.end()
}

fn connector(text: &mut Text, figures: &Figures) {
    text.family("aioconnectors_build_info", Kind::Gauge, "The version of the program.");
    text.sample(&[("version", VERSION), ("commit", COMMIT.unwrap_or("unknown"))], true);
    let (name, role) = (figures.id.as_str(), figures.role.word());
    text.family(
        "aioconnectors_connector_info",
        Kind::Gauge,
        "The connector's name, and whether it is a server or a client.",
    );
    text.sample(&[("name", name), ("role", role)], true);
    text.family("aioconnectors_running", Kind::Gauge, "1 while the connector works, 0 while it stops or is stopped.");
    text.sample(&[], figures.state == RunState::Running);
    text.family("aioconnectors_uptime_seconds", Kind::Gauge, "Time since the connector started.");
    text.sample(&[], figures.uptime.as_secs_f64());
    let help = "Connections of peers that ended before it was known who was there.";
    text.family("aioconnectors_refused_links", Kind::Counter, help);
    text.sample(&[], figures.refused_links);
    if let Some(certificate) = &figures.host.certificate {
        let help = "Time until the certificate ends that the connector shows; negative when it has ended.";
        text.family("aioconnectors_certificate_expires_in_seconds", Kind::Gauge, help);
        text.sample(&[("subject", &certificate.subject)], certificate.expires_in as f64);
    }
}

/// A family with one number for each item.
fn each<T>(
    text: &mut Text,
    (name, kind, help): (&str, Kind, &str),
    items: &[T],
    mut sample: impl FnMut(&mut Text, &T),
) {
    if !items.is_empty() {
        text.family(name, kind, help);
        items.iter().for_each(|item| sample(text, item));
    }
}

fn types(text: &mut Text, types: &[TypeFigures]) {
    let families: [Family<TypeFigures>; 6] = [
        ("aioconnectors_sent_messages", Kind::Counter, "Messages that the peer has taken over.", |t| t.sent.messages),
        ("aioconnectors_sent_bytes", Kind::Counter, "Bytes of messages that the peer has taken over.", |t| {
            t.sent.bytes
        }),
        ("aioconnectors_received_messages", Kind::Counter, "Messages taken over from the peer.", |t| {
            t.received.messages
        }),
        ("aioconnectors_received_bytes", Kind::Counter, "Bytes of messages taken over from the peer.", |t| {
            t.received.bytes
        }),
        ("aioconnectors_queued_messages", Kind::Gauge, "Messages that the peer has not taken over yet.", |t| {
            t.queued.messages
        }),
        ("aioconnectors_queued_bytes", Kind::Gauge, "Bytes of messages that the peer has not taken over yet.", |t| {
            t.queued.bytes
        }),
    ];
    for (name, kind, help, number) in families {
        each(text, (name, kind, help), types, |text, one| {
            text.sample(&[("peer", &one.peer), ("type", &one.message_type)], number(one));
        });
    }
}

fn seconds(time: Option<Duration>) -> f64 {
    time.unwrap_or_default().as_secs_f64()
}

fn peers(text: &mut Text, peers: &[PeerFigures]) {
    let families: [Family<PeerFigures>; 5] = [
        ("aioconnectors_peer_connected", Kind::Gauge, "1 while there is a link to the peer.", |p| {
            p.link.is_some().into()
        }),
        ("aioconnectors_peer_reconnects", Kind::Counter, "Links to the peer after the first.", |p| p.reconnects),
        ("aioconnectors_peer_ignored", Kind::Gauge, "1 if an admin wants nothing of the peer.", |p| p.ignored.into()),
        ("aioconnectors_peer_queued_messages", Kind::Gauge, "Messages of all types that wait for the peer.", |p| {
            p.queued.messages
        }),
        ("aioconnectors_peer_unconfirmed_messages", Kind::Gauge, "Messages on their way to the peer.", |p| {
            p.unconfirmed
        }),
    ];
    for (name, kind, help, number) in families {
        each(text, (name, kind, help), peers, |text, peer| text.sample(&[("peer", &peer.name)], number(peer)));
    }
    let help = "How long the oldest message has waited that the peer has not taken over; 0 if there is none.";
    each(text, ("aioconnectors_peer_oldest_message_age_seconds", Kind::Gauge, help), peers, |text, peer| {
        text.sample(&[("peer", &peer.name)], seconds(peer.oldest));
    });
    let timed: Vec<_> = peers.iter().filter_map(|peer| Some((&peer.name, peer.round_trip?))).collect();
    let help = "From the last keep-alive to its answer.";
    each(text, ("aioconnectors_peer_round_trip_seconds", Kind::Gauge, help), &timed, |text, (name, time)| {
        text.sample(&[("peer", name)], time.as_secs_f64());
    });
    let links: Vec<_> = peers.iter().filter_map(|peer| Some((&peer.name, peer.link_kind?, peer.tls))).collect();
    let help = "What is spoken on the link to the peer.";
    each(text, ("aioconnectors_peer_link_info", Kind::Gauge, help), &links, |text, (name, kind, tls)| {
        text.sample(&[("peer", name), ("link", &kind.to_string()), ("tls", tls.unwrap_or("none"))], true);
    });
}

fn inboxes(text: &mut Text, inboxes: &[InboxFigures]) {
    let families: [Family<InboxFigures>; 5] = [
        ("aioconnectors_inbox_connected", Kind::Gauge, "1 while the app that receives the type is connected.", |i| {
            i.connected.into()
        }),
        ("aioconnectors_inbox_queued_messages", Kind::Gauge, "Messages that wait for the app.", |i| i.queued.messages),
        ("aioconnectors_inbox_queued_bytes", Kind::Gauge, "Bytes of messages that wait for the app.", |i| {
            i.queued.bytes
        }),
        ("aioconnectors_inbox_delivered_messages", Kind::Counter, "Messages that the app is done with.", |i| {
            i.delivered.messages
        }),
        ("aioconnectors_inbox_delivered_bytes", Kind::Counter, "Bytes of messages that the app is done with.", |i| {
            i.delivered.bytes
        }),
    ];
    for (name, kind, help, number) in families {
        each(text, (name, kind, help), inboxes, |text, one| text.sample(&[("type", &one.message_type)], number(one)));
    }
    let help = "How long the oldest message has waited for the app; 0 if there is none.";
    each(text, ("aioconnectors_inbox_oldest_message_age_seconds", Kind::Gauge, help), inboxes, |text, one| {
        text.sample(&[("type", &one.message_type)], seconds(one.oldest));
    });
}

fn topics(text: &mut Text, topics: &[TopicFigures]) {
    let families: [Family<TopicFigures>; 3] = [
        ("aioconnectors_topic_subscribers", Kind::Gauge, "Peers that have subscribed to the type.", |t| {
            t.subscribers as u64
        }),
        (
            "aioconnectors_topic_stored_messages",
            Kind::Gauge,
            "Published messages that a subscriber has not taken over.",
            |t| t.stored.messages,
        ),
        (
            "aioconnectors_topic_stored_bytes",
            Kind::Gauge,
            "Bytes of published messages that a subscriber has not taken over.",
            |t| t.stored.bytes,
        ),
    ];
    for (name, kind, help, number) in families {
        each(text, (name, kind, help), topics, |text, one| text.sample(&[("type", &one.message_type)], number(one)));
    }
}

fn undelivered(text: &mut Text, figures: &Figures) {
    let help = "Messages that were not delivered, by the reason in the ledger.";
    text.family("aioconnectors_undelivered_messages", Kind::Counter, help);
    for (entry, messages) in &figures.ledger {
        let labels = [("peer", &*entry.peer), ("type", &*entry.message_type), ("reason", entry.reason.word())];
        text.sample(&labels, *messages);
    }
}

fn apps(text: &mut Text, figures: &Figures) {
    let receipts = &figures.receipts;
    text.family("aioconnectors_receipts", Kind::Counter, "Messages of which apps were told what became of them.");
    for (level, messages) in [
        ("accepted", receipts.accepted),
        ("stored", receipts.stored),
        ("delivered", receipts.delivered),
        ("refused", receipts.refused),
    ] {
        text.sample(&[("level", level)], messages);
    }
    text.family("aioconnectors_requests", Kind::Counter, "Requests of apps that were sent to a peer.");
    text.sample(&[], figures.requests.asked);
    text.family("aioconnectors_requests_answered", Kind::Counter, "Requests of apps that the peer has answered.");
    text.sample(&[], figures.requests.answered);
    text.family("aioconnectors_requests_failed", Kind::Counter, "Requests of apps that got no answer in time.");
    text.sample(&[], figures.requests.failed);
    text.family("aioconnectors_requests_waiting", Kind::Gauge, "Requests of apps that wait for their answer.");
    text.sample(&[], figures.requests_waiting);
}

fn store(text: &mut Text, figures: &Figures) {
    let Some(store) = &figures.host.store else { return };
    text.family("aioconnectors_store_bytes", Kind::Gauge, "Bytes of messages in files.");
    text.sample(&[], figures.stored.bytes);
    text.family("aioconnectors_store_queue_limit_bytes", Kind::Gauge, "Bytes that a queue in a file may have.");
    text.sample(&[], figures.stored.limit);
    if let Some(free) = store.disk_free {
        text.family("aioconnectors_store_disk_free_bytes", Kind::Gauge, "Bytes that the disk has for messages.");
        text.sample(&[], free);
    }
    if let Some(lasts) = store.lasts {
        let help = "Time until the store is full at the rate of the last minutes; absent while it does not fill.";
        text.family("aioconnectors_store_full_in_seconds", Kind::Gauge, help);
        text.sample(&[], lasts.as_secs_f64());
    }
    let syncs = &figures.host.syncs;
    text.family("aioconnectors_sync_duration_seconds", Kind::Summary, "Syncs of files of messages with the disk.");
    text.part("_sum", &[], syncs.total.as_secs_f64());
    text.part("_count", &[], syncs.count);
    text.family("aioconnectors_sync_longest_seconds", Kind::Gauge, "The longest sync since the start.");
    text.sample(&[], syncs.longest.as_secs_f64());
}

fn turns(text: &mut Text, figures: &Figures) {
    let turns = &figures.host.turns;
    let help = "Turns of the connector's loop, without the time that it waits.";
    text.family("aioconnectors_loop_turn_duration_seconds", Kind::Histogram, help);
    for (le, count) in &turns.buckets {
        text.part("_bucket", &[("le", &format!("{:?}", le.as_secs_f64()))], *count);
    }
    text.part("_bucket", &[("le", "+Inf")], turns.count);
    text.part("_sum", &[], turns.busy.as_secs_f64());
    text.part("_count", &[], turns.count);
    let reads = "Reads from connections of peers, apps and admins: system calls.";
    let writes = "Writes to connections of peers, apps and admins: system calls.";
    let others = "System calls that ask or tell TCP something of connections of peers.";
    let calls = &turns.calls;
    for (name, help, calls) in
        [("reads", reads, calls.reads), ("writes", writes, calls.writes), ("other_calls", others, calls.others)]
    {
        text.family(&format!("aioconnectors_loop_{name}"), Kind::Counter, help);
        text.sample(&[], calls);
    }
}

fn process(text: &mut Text, figures: &Figures) {
    let process = &figures.host.process;
    let mut gauge = |name: &str, help: &str, number: Option<u64>| {
        if let Some(number) = number {
            text.family(name, Kind::Gauge, help);
            text.sample(&[], number);
        }
    };
    gauge("process_resident_memory_bytes", "Resident memory of the process.", process.resident);
    gauge("process_open_fds", "Open files of the process.", process.open_files);
    gauge("process_max_fds", "The most files that the process may have open.", process.files_max);
    if let Some(cpu) = process.cpu {
        text.family("process_cpu_seconds", Kind::Counter, "Time that processors have worked for the process.");
        text.sample(&[], cpu.as_secs_f64());
    }
}
