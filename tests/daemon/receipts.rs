//! Apps that want to know what became of their messages.

use aioconnectors::wire::receipts::{Hello, Level};
use serde_json::{Value, json};

use crate::common::traffic::{Account, END, messages};
use crate::common::{RawReceiver, RawSender, Setup, wait};
use crate::durable::Pair;
use crate::link::{Link, message};

/// An app that has said that it wants receipts, and was welcomed.
pub struct Sender {
    pub raw: RawSender,
    /// The level that it was granted.
    pub level: String,
    /// Messages of its session that came before.
    pub count: Option<u64>,
}

impl Sender {
    #[track_caller]
    pub fn hello(at: &Setup, level: &str, session: Option<&str>) -> Sender {
        let mut raw = RawSender::connect(&at.send_socket());
        let receipts = Level::from_word(level).expect("a level");
        let hello = Hello { receipts, session: session.map(str::to_owned) };
        raw.send_bytes(&hello.encode()).expect("a connector that takes the hello");
        let welcome = raw.receive().expect("a welcome");
        assert_eq!(welcome.field("message_type"), "_welcome");
        assert_eq!(welcome.field("connector"), at.id.as_str());
        let level = welcome.field("receipts").as_str().expect("a level").to_owned();
        Sender { raw, level, count: welcome.field("count").as_u64() }
    }

    /// What the connector says next.
    #[track_caller]
    pub fn told(&mut self) -> Value {
        self.raw.receive().expect("a connection that stays").fields().into()
    }

    /// Waits for the receipt of `count` messages; counts grow, and nothing is refused.
    #[track_caller]
    pub fn wait_receipt(&mut self, level: &str, count: u64) {
        let mut last = 0;
        while last < count {
            let told = self.told();
            assert_eq!((&told["message_type"], &told["level"]), (&"_receipt".into(), &level.into()), "{told}");
            let next = told["count"].as_u64().expect("a count");
            assert!(next > last && next <= count, "{next} behind {last}, of {count}");
            last = next;
        }
    }
}

#[test]
fn each_level_has_its_receipts_and_delivered_ones_come_when_the_peer_has_the_messages() {
    let link = Link::start();
    let receiver = RawReceiver::listen_paused(link.server.receive_socket("any"));
    for level in ["accepted", "delivered"] {
        let mut app = Sender::hello(&link.client, level, None);
        assert_eq!((app.level.as_str(), app.count), (level, None));
        let sent: Vec<_> = (0..50).map(|_| link.up("any", "hello")).collect();
        app.raw.send_all(&sent);
        if level == "delivered" {
            receiver.resume();
        }
        app.wait_receipt(level, 50);
    }
    receiver.wait_count(100);
}

#[test]
fn stored_is_granted_only_where_something_is_stored() {
    let link = Link::start();
    assert_eq!(Sender::hello(&link.client, "stored", None).level, "accepted");
    let pair = Pair::new();
    let _client = pair.client.start();
    assert_eq!(Sender::hello(&pair.client, "stored", None).level, "stored");
}

#[test]
fn a_message_that_goes_nowhere_is_refused_by_its_number_and_counts() {
    let link = Link::start();
    let mut app = Sender::hello(&link.server, "accepted", None);
    let nobody = link.down("any", "").with("destination_id", "nobody");
    app.raw.send_all([&link.down("any", ""), &nobody, &link.down("none such", ""), &link.down("any", "")]);
    let (mut refused, mut last) = (Vec::new(), 0);
    while last < 4 {
        let told = app.told();
        match told["message_type"].as_str() {
            Some("_refused") => refused.push((told["index"].clone(), told["reason"].clone())),
            _ => last = told["count"].as_u64().expect("a receipt"),
        }
    }
    assert_eq!(refused, [(json!(2), json!("unknown_peer")), (json!(3), json!("type_not_allowed"))]);
}

#[test]
fn a_session_goes_on_where_it_was_after_a_stop_and_a_kill() {
    let pair = Pair::new();
    let (mut client, _server) = (pair.client.start(), pair.server.start());
    let receiver = RawReceiver::listen(pair.server.receive_socket("any"));
    let sent = messages("any", &pair.client.id, &pair.server.id, 300);
    for (part, stop) in [(0..100, true), (100..200, false), (200..301, true)] {
        let mut app = Sender::hello(&pair.client, "delivered", Some("nightly"));
        assert_eq!(app.count, Some(part.start as u64));
        app.raw.send_all(&sent[part.clone()]);
        app.wait_receipt("delivered", part.end as u64);
        if stop {
            client.signal(nix::sys::signal::Signal::SIGTERM);
            assert_eq!(client.exit_code(), 0);
        } else {
            client.kill();
        }
        client = pair.client.start();
    }
    receiver.wait_tag(END);
    Account::of(&sent, &receiver.frames()).assert_exact("three connections of a session");
}

#[test]
fn of_two_connections_of_a_session_the_newer_one_goes_on() {
    let link = Link::start();
    let mut first = Sender::hello(&link.client, "accepted", Some("s"));
    first.raw.send_all([&message("any", &link.client, &link.server, "one")]);
    first.wait_receipt("accepted", 1);
    let second = Sender::hello(&link.client, "accepted", Some("s"));
    assert_eq!(second.count, Some(1));
    first.raw.wait_closed();
}

#[test]
fn two_connectors_of_ours_speak_the_second_kind_of_link() {
    let link = Link::start();
    for process in [&link.server_process, &link.client_process] {
        let is_told = |lines: &Vec<String>| lines.iter().any(|line| line.contains("connected, at"));
        let lines = wait::until("the line of the link", || Some(process.errors()).filter(is_told));
        assert!(lines.iter().any(|line| line.contains("link 2")), "{lines:?}");
    }
}
