//! What holds of metrics, as Prometheus and its `promtool` have it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::families::write;
use super::text::Format;
use crate::core::figures::*;
use crate::core::ledger::{Entry, Reason};
use crate::core::traffic::{Count, ReceiptCounts, RequestCounts};
use crate::wire::names::Role;

/// One of everything.
fn figures() -> Figures {
    let count = Count { messages: 3, bytes: 300 };
    let second = Duration::from_secs(1);
    let entry = Entry { peer: "c\"1".into(), message_type: "any".into(), reason: Reason::PeerAway };
    Figures {
        id: "('127.0.0.1', 10673)".into(),
        role: Role::Server,
        state: RunState::Running,
        uptime: second,
        peers: vec![PeerFigures {
            name: "c\"1".into(),
            link: None,
            address: None,
            since: None,
            link_kind: Some(2),
            tls: Some("TLSv1.3"),
            reconnects: 1,
            round_trip: Some(second / 1000),
            ignored: false,
            queued: count,
            oldest: Some(second),
            unconfirmed: 1,
            sent: count,
            received: count,
        }],
        types: vec![TypeFigures {
            peer: "c\"1".into(),
            message_type: "any".into(),
            sent: count,
            received: count,
            queued: count,
        }],
        inboxes: vec![InboxFigures {
            message_type: "any".into(),
            connected: true,
            queued: count,
            oldest: None,
            delivered: count,
        }],
        topics: vec![TopicFigures { message_type: "news".into(), subscribers: 1, stored: count }],
        ledger: vec![(entry, 4)],
        receipts: ReceiptCounts::default(),
        requests: RequestCounts::default(),
        requests_waiting: 0,
        refused_links: 0,
        stored: Stored { bytes: 1, room: 9, limit: 10 },
        host: Host {
            store: Some(Store { path: "/s".into(), disk_free: Some(5), lasts: Some(second) }),
            turns: Turns {
                count: 3,
                busy: second,
                buckets: vec![(second / 10_000, 1), (second, 2)],
                ..Turns::default()
            },
            certificate: Some(CertificateFigures { subject: "CN=x".into(), not_after: 5, expires_in: -5 }),
            process: Process { id: 1, resident: Some(1), open_files: Some(1), files_max: Some(1), cpu: Some(second) },
            ..Host::default()
        },
    }
}

/// A family: its kind, and the names of its samples.
#[derive(Default)]
struct Family {
    kind: String,
    help: String,
    samples: BTreeSet<String>,
}

/// The families of a text, each of which stands in one piece.
fn families(text: &str) -> BTreeMap<String, Family> {
    let (mut families, mut current) = (BTreeMap::<String, Family>::new(), String::new());
    let mut seen = BTreeSet::new();
    for line in text.lines().filter(|line| *line != "# EOF") {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(!families.contains_key(name), "{name} stands in two places");
            current = name.to_owned();
            families.entry(current.clone()).or_default().help = help.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name, current);
            families.get_mut(name).unwrap().kind = kind.to_owned();
        } else {
            assert!(!line.starts_with('#') && !line.is_empty(), "{line:?}");
            let (series, number) = line.rsplit_once(' ').unwrap();
            assert!(number.parse::<f64>().is_ok_and(f64::is_finite), "{line}");
            assert!(seen.insert(series.to_owned()), "{series} comes twice");
            let name = series.split('{').next().unwrap();
            families.get_mut(&current).unwrap().samples.insert(name.to_owned());
        }
    }
    families
}

#[test]
fn both_formats_are_whole_and_have_the_same_numbers() {
    let figures = figures();
    let [plain, open] = Format::ALL.map(|format| write(&figures, format));
    assert!(open.ends_with("# EOF\n") && !plain.contains("# EOF"));
    let numbers =
        |text: &str| text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(numbers(&plain), numbers(&open));
    assert!(plain.contains(r#"aioconnectors_sent_messages_total{peer="c\"1",type="any"} 3"#), "{plain}");
}

#[test]
fn names_and_units_are_as_prometheus_wants_them() {
    let figures = figures();
    for (name, family) in families(&write(&figures, Format::Prometheus)) {
        assert!(name.starts_with("aioconnectors_") || name.starts_with("process_"), "{name}");
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
        assert!(family.help.ends_with('.') && !family.help.contains(['\\', '\n']), "{name}: {}", family.help);
        assert_eq!(family.kind == "counter", name.ends_with("_total"), "{name}");
        let ends: &[&str] = match family.kind.as_str() {
            "histogram" => &["_bucket", "_sum", "_count"],
            "summary" => &["_sum", "_count"],
            _ => &[""],
        };
        let expected: BTreeSet<String> = ends.iter().map(|end| format!("{name}{end}")).collect();
        assert_eq!(family.samples, expected);
        for bad in ["_ms", "millisecond", "minute", "hour", "_days", "kilobyte", "_kb", "percent", "gauge", "counter"] {
            assert!(!name.contains(bad), "{name}: {bad}");
        }
        for reserved in ["_sum", "_count", "_bucket"] {
            assert!(!name.ends_with(reserved), "{name}");
        }
    }
}

#[test]
fn openmetrics_names_counters_without_their_end() {
    let figures = figures();
    for (name, family) in families(&write(&figures, Format::OpenMetrics)) {
        assert!(!name.ends_with("_total"), "{name}");
        if family.kind == "counter" {
            assert_eq!(family.samples, BTreeSet::from([format!("{name}_total")]));
        }
    }
}

#[test]
fn buckets_grow_up_to_the_count() {
    let text = write(&figures(), Format::Prometheus);
    let counts = text.lines().filter_map(|line| line.strip_prefix("aioconnectors_loop_turn_duration_seconds_bucket"));
    let counts: Vec<&str> = counts.collect();
    assert_eq!(counts, [r#"{le="0.0001"} 1"#, r#"{le="1.0"} 2"#, r#"{le="+Inf"} 3"#]);
}
