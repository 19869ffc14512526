//! Priorities: the urgent goes first, the others get their share.

use std::time::Duration;

use aioconnectors::core::{Id, OnFull, Reading, Settings};

use crate::pair::Pair;
use crate::rig::{Rig, message};

/// Types, and the letter that their data is made of.
const TYPES: [(&str, u8); 3] = [("high", b'H'), ("usual", b'U'), ("low", b'L')];

/// Bytes that go out in a turn of the loop here: the link is the bottleneck.
const ROOM: usize = 100_000;

fn with_priorities(settings: &mut Settings) {
    settings.send_types = TYPES.map(|(name, _)| name.to_owned()).into();
    settings.recv_types = TYPES.map(|(name, _)| name.to_owned()).into();
    settings.priorities = [("high", -1.0), ("low", 0.5)].map(|(t, n)| (t.to_owned(), n)).into();
}

/// A server that sends to its client as fast as it may.
struct Sender {
    pair: Pair,
    floods: Vec<Flood>,
}

struct Flood {
    app: Id,
    messages: Vec<u8>,
    paused: bool,
}

fn of_type(message_type: &str, size: usize) -> Vec<u8> {
    let (_, letter) = TYPES.into_iter().find(|(name, _)| *name == message_type).expect("a type");
    message(&format!(r#"{{"message_type": "{message_type}", "destination_id": "c1"}}"#), &vec![letter; size])
}

impl Sender {
    fn new(link2: bool, change: impl Fn(&mut Settings)) -> Self {
        let change = |settings: &mut Settings| {
            with_priorities(settings);
            settings.link2 = link2;
            change(settings);
        };
        Self { pair: Pair::with(change), floods: Vec::new() }
    }

    /// An app begins to send messages of this type and size, as many as are taken.
    fn flood(&mut self, message_type: &str, size: usize) {
        let app = self.pair.server.app();
        let count = (20_000 / size).max(1);
        self.floods.push(Flood { app, messages: of_type(message_type, size).repeat(count), paused: false });
    }

    /// One turn of the loop; what went out.
    fn turn(&mut self) -> Vec<u8> {
        for flood in &mut self.floods {
            flood.paused &= !self.pair.server.is_resumed(flood.app);
            while !flood.paused {
                flood.paused = self.pair.server.input(flood.app, &flood.messages) == Reading::Paused;
            }
        }
        self.pair.server.outputs.clear();
        let out = self.pair.server.sent_up_to(self.pair.ends.1, ROOM);
        self.pair.client.input(self.pair.ends.0, &out);
        self.pair.client.read_apps();
        let back = self.pair.client.sent(self.pair.ends.0);
        self.pair.server.input(self.pair.ends.1, &back);
        out
    }

    /// The share of each type in what goes out in so many turns.
    fn shares(&mut self, turns: usize) -> [f64; 3] {
        // The apps that receive say nothing: after a while it is known that they will not.
        (0..60).for_each(|_| drop(self.turn()));
        self.pair.client.pass(Duration::from_secs(2));
        let mut sums = [0; 3];
        for _ in 0..turns {
            let out = self.turn();
            for (sum, (_, letter)) in sums.iter_mut().zip(TYPES) {
                *sum += out.iter().filter(|byte| **byte == letter).count();
            }
        }
        let all: usize = sums.iter().sum();
        sums.map(|sum| sum as f64 / all as f64)
    }
}

#[test]
fn a_flood_of_the_urgent_leaves_each_other_class_its_sixteenth() {
    for link2 in [true, false] {
        for size in [2_000, 150_000] {
            let mut sender = Sender::new(link2, |_| {});
            TYPES.iter().for_each(|(name, _)| sender.flood(name, size));
            let [_, usual, low] = sender.shares(200);
            assert!((0.055..0.07).contains(&low), "{low} of the least urgent, {size} bytes, link 2: {link2}");
            // A sixteenth of what the least urgent class leaves.
            assert!((0.05..0.07).contains(&usual), "{usual} of the usual, {size} bytes, link 2: {link2}");
        }
    }
}

#[test]
fn a_flood_of_the_others_delays_the_urgent_by_one_turn_at_most() {
    for link2 in [true, false] {
        let mut sender = Sender::new(link2, |_| {});
        sender.flood("low", 1_000);
        sender.flood("usual", 1_000);
        (0..50).for_each(|_| drop(sender.turn()));
        let app = sender.pair.server.app();
        for _ in 0..20 {
            let reading = sender.pair.server.input(app, &of_type("high", 200));
            assert_eq!(reading, Reading::Open, "a class that is full holds up no other");
            let out = sender.turn();
            let at = out.iter().position(|byte| *byte == b'H').expect("it goes out in the same turn");
            assert!(at < 2_500, "it went out behind {at} bytes: more than the rest of a message that was begun");
        }
    }
}

#[test]
fn what_nobody_more_urgent_wants_goes_to_those_who_wait() {
    for link2 in [true, false] {
        let mut sender = Sender::new(link2, |_| {});
        sender.flood("low", 1_000);
        let out = sender.turn();
        assert!(out.iter().filter(|byte| **byte == b'L').count() > ROOM / 2);
    }
}

#[test]
fn equals_go_in_the_order_in_which_they_came() {
    let mut sender = Sender::new(false, |s| s.priorities.clear());
    let app = sender.pair.server.app();
    for name in ["low", "high", "usual", "low", "high"] {
        sender.pair.server.input(app, &of_type(name, 100));
    }
    let mut order = sender.turn();
    order.retain(|byte| TYPES.iter().any(|(_, letter)| letter == byte));
    order.dedup();
    assert_eq!(order, b"LHULH");
}

#[test]
fn the_urgent_goes_before_what_waited_longer() {
    for link2 in [true, false] {
        let mut sender = Sender::new(link2, |_| {});
        let app = sender.pair.server.app();
        for name in ["low", "usual", "high"] {
            sender.pair.server.input(app, &of_type(name, 100));
        }
        let out = sender.turn();
        let at = |letter: u8| out.windows(50).position(|bytes| bytes.iter().all(|byte| *byte == letter));
        assert!(at(b'H') < at(b'U') && at(b'U') < at(b'L'), "{:?}", TYPES.map(|(_, letter)| at(letter)));
    }
}

#[test]
fn memory_that_is_full_of_the_others_has_room_for_the_urgent() {
    let mut rig = Rig::server_with(|s| {
        with_priorities(s);
        s.queue_max_bytes = 160_000;
        s.on_full = [("low".to_owned(), OnFull::Reject), ("high".to_owned(), OnFull::Reject)].into();
    });
    rig.link("c1");
    let app = rig.app();
    rig.input(app, &of_type("low", 1_000).repeat(200));
    let refused = rig.core.ledger().total();
    assert!(refused > 40, "it is full: {refused}");
    rig.input(app, &of_type("high", 1_000).repeat(8));
    assert_eq!(rig.core.ledger().total(), refused);
    rig.input(app, &of_type("high", 1_000).repeat(200));
    assert!(rig.core.ledger().total() > refused, "that is bounded as well");
}
