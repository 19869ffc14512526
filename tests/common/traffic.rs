//! Messages of all kinds, and the exact account of what became of them.

use std::collections::HashMap;
use std::fmt;

use serde_json::json;

use super::Frame;
use super::frame::brief;

/// The tag of the message after the last.
pub const END: &str = "end";

/// What the body of some messages weighs.
const BIG: usize = 100_000;

/// `count` messages, each with a tag of its own, and the one that ends them.
///
/// They differ in all ways that apps of either kind can make: no data, NUL bytes, JSON as Python writes it, text that is
/// not ASCII, big bodies, binary parts, ids of either kind.
pub fn messages(message_type: &str, source: &str, destination: &str, count: usize) -> Vec<Frame> {
    let frame = |tag: String| {
        let header = json!({"message_type": message_type, "source_id": source, "destination_id": destination});
        Frame::new(header.clone(), "").with("tag", tag)
    };
    let mut all: Vec<_> = (0..count).map(|i| fill(frame(format!("{message_type}-{i}")), i)).collect();
    all.push(frame(END.to_owned()));
    all
}

fn fill(frame: Frame, i: usize) -> Frame {
    match i % 16 {
        0 => data(frame, Vec::new()),
        1 => data(frame, vec![0; 1 + i % 7]).with_binary([0, 0, 0]),
        2 => data(frame, json_text(i)).with("request_id", i),
        3 => data(frame, "gr\u{fc}\u{df}e \u{2603} \u{1f980} \u{442}").with("request_id", format!("r-{i}")),
        4 => data(frame, json_text(i)).with("response_id", i),
        5 => data(frame, all_bytes(256)).with_binary(all_bytes(300 + i % 1000)),
        6 => data(frame, [1, 0, 0, 0, 2, 0, 123, 125]).with("request_id", -1),
        7 if i % 160 == 7 => data(frame, all_bytes(BIG)).with_binary(all_bytes(BIG + i)),
        8 if i % 160 == 8 => data(frame, vec![b'x'; BIG]),
        9 => data(frame, "").with_binary(all_bytes(1 + i % 5)),
        k => data(frame, format!("{k} {}", "text ".repeat(i % 90))),
    }
}

fn data(frame: Frame, data: impl Into<Vec<u8>>) -> Frame {
    Frame { data: data.into(), ..frame }
}

/// A JSON text, byte for byte as Python's `json.dumps` would write the same value.
fn json_text(i: usize) -> String {
    format!(
        r#"{{"i": {i}, "list": [1, 2.5, null, true], "text": "\u00e9 \u2603 \ud83e\udd80", "inner": {{"a": "b"}}}}"#
    )
}

fn all_bytes(count: usize) -> Vec<u8> {
    (0..=u8::MAX).cycle().take(count).collect()
}

/// What came of what was sent.
#[derive(Default)]
pub struct Account {
    sent: usize,
    received: usize,
    lost: Vec<String>,
    twice: Vec<String>,
    out_of_order: Vec<String>,
    unexpected: Vec<String>,
    altered: Vec<String>,
    first_difference: Option<String>,
}

impl Account {
    /// Compares by tag.
    pub fn of(sent: &[Frame], received: &[Frame]) -> Account {
        let places: HashMap<_, _> = sent.iter().enumerate().map(|(place, frame)| (frame.tag(), place)).collect();
        assert_eq!(places.len(), sent.len(), "a test that sends two messages of one tag cannot tell them apart");
        let mut account = Account { sent: sent.len(), received: received.len(), ..Account::default() };
        let mut times = vec![0; sent.len()];
        let mut last = 0;
        for frame in received {
            let tag = frame.tag();
            let Some(&place) = places.get(&tag) else {
                account.unexpected.push(format!("{frame:?}"));
                continue;
            };
            times[place] += 1;
            if times[place] == 2 {
                account.twice.push(tag.clone());
            }
            if place < last {
                account.out_of_order.push(tag.clone());
            }
            last = place;
            account.compare(&sent[place], frame);
        }
        account.lost =
            sent.iter().zip(&times).filter(|(_, times)| **times == 0).map(|(frame, _)| frame.tag()).collect();
        account
    }

    fn compare(&mut self, sent: &Frame, received: &Frame) {
        if let Some(difference) = difference(sent, received) {
            self.altered.push(sent.tag());
            self.first_difference.get_or_insert(difference);
        }
    }

    /// The same, whatever order they came in.
    pub fn without_order(mut self) -> Account {
        self.out_of_order.clear();
        self
    }

    /// Whether every message came once, in order, unaltered, and nothing else.
    pub fn is_exact(&self) -> bool {
        let faults = [&self.lost, &self.twice, &self.out_of_order, &self.unexpected, &self.altered];
        faults.iter().all(|fault| fault.is_empty())
    }

    #[track_caller]
    pub fn assert_exact(&self, what: &str) {
        assert!(self.is_exact(), "{what}: {self}");
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sent, {} received", self.sent, self.received)?;
        let faults = [
            ("lost", &self.lost),
            ("twice", &self.twice),
            ("out of order", &self.out_of_order),
            ("unexpected", &self.unexpected),
            ("altered", &self.altered),
        ];
        for (name, fault) in faults {
            write!(f, "\n  {name}: {}", fault.len())?;
            if let Some(first) = fault.first() {
                write!(f, ", the first {first}")?;
            }
        }
        self.first_difference.as_ref().map_or(Ok(()), |difference| write!(f, "\n  first difference: {difference}"))
    }
}

/// In what `received` is not `sent`. Headers are compared as JSON: their spelling may change, their meaning not.
pub fn difference(sent: &Frame, received: &Frame) -> Option<String> {
    let found = if sent.fields() != received.fields() {
        format!("header\n    sent     {}\n    received {}", sent.header, received.header)
    } else if sent.data != received.data {
        bytes_difference("data", &sent.data, &received.data)
    } else if sent.binary != received.binary {
        let part = |frame: &Frame| frame.binary.clone().unwrap_or_default();
        bytes_difference("binary", &part(sent), &part(received))
    } else {
        return None;
    };
    Some(format!("{}: {found}", sent.tag()))
}

fn bytes_difference(part: &str, sent: &[u8], received: &[u8]) -> String {
    let equal = sent.iter().zip(received).take_while(|(a, b)| a == b).count();
    format!("{part} from byte {equal} on\n    sent     {}\n    received {}", brief(sent), brief(received))
}
