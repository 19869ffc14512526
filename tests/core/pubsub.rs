//! Publish and subscribe, as long as all are there.

use aioconnectors::core::{Cause, Covered, Event, OnFull};
use aioconnectors::wire::admin::encode_request;
use aioconnectors::wire::topics::{SUBSCRIPTIONS_MAX, Subscribes};
use serde_json::{Value, json};

use crate::pubsub_net::{Net, broker, publication};
use crate::rig::{Rig, SERVER, frames, message, message_with_binary, typed_from};

fn says(name: &str, data: &Value) -> Vec<u8> {
    typed_from("_pubsub", name, data.to_string().as_bytes())
}

fn subscribes(name: &str, to: &[&str]) -> Vec<u8> {
    says(name, &json!({"subscribe_message_types": to}))
}

fn published_by(name: &str, message_type: &str, data: &[u8]) -> Vec<u8> {
    let header = json!({"message_type": "_pubsub", "source_id": name, "message_type_publish": message_type});
    message(&header.to_string(), data)
}

/// What an admin gets for this.
fn asked(rig: &mut Rig, command: &str, arguments: Value) -> Value {
    let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
    let admin = rig.core.accept_admin(rig.now);
    rig.input(admin, &encode_request(command, &arguments));
    serde_json::from_slice(&rig.sent(admin)[4..]).unwrap()
}

#[test]
fn each_subscriber_gets_what_is_published_once_as_a_message_of_the_broker() {
    let mut net = Net::new(|_| {});
    let (a, b) = (net.add("a", &["news"]), net.add("b", &["news", "other"]));
    let publisher = net.add("p", &[]);
    net.publish(publisher, "news", b"1");
    net.publish(publisher, "other", b"2");
    net.run();
    net.publish(a, "news", b"3");
    net.run();
    assert_eq!(net.read(a), ["news 1", "news 3"]);
    assert_eq!(net.read(b), ["news 1", "other 2", "news 3"]);
    assert_eq!(net.read(publisher), [""; 0]);
    assert_eq!(net.broker.ledger(), [""; 0]);
}

#[test]
fn a_subscriber_with_plain_frames_gets_the_header_that_a_python_broker_makes() {
    let mut rig = broker(|_| {});
    let (py, publisher) = (rig.link("py"), rig.link("p"));
    rig.input(py, &subscribes("py", &["news"]));
    let header = json!({"message_type": "_pubsub", "source_id": "p", "destination_id": SERVER, "request_id": 7,
        "message_type_publish": "news", "tag": "t", "with_binary": true, "await_response": true, "own": [1]});
    rig.input(publisher, &message_with_binary(&header.to_string(), b"data", b"binary"));
    let sent = rig.sent(py);
    assert!(sent.ends_with(b"\x06\0\0\0binary"));
    let (header, data) = frames(&sent).remove(0);
    assert_eq!(
        header,
        json!({"message_type": "news", "source_id": SERVER, "request_id": 7, "tag": "t", "with_binary": true, "own": [1]})
    );
    assert_eq!(data, b"data");
}

#[test]
fn subscriptions_of_plain_links_end_with_the_connection_and_by_word() {
    let mut rig = broker(|s| s.persist_send = aioconnectors::core::Covered::All);
    let (py, publisher) = (rig.link("py"), rig.link("p"));
    rig.input(py, &subscribes("py", &["news", "more"]));
    rig.input(py, &says("py", &json!({"unsubscribe_message_types": ["more", "never"]})));
    for (message_type, data) in [("news", b"1"), ("more", b"2")] {
        rig.input(publisher, &published_by("p", message_type, data));
    }
    assert_eq!(frames(&rig.sent(py)).len(), 1);
    rig.closed(py, Cause::ClosedByPeer);
    rig.input(publisher, &published_by("p", "news", b"3"));
    let py = rig.link("py");
    assert_eq!(rig.sent(py), b"");
    rig.input(py, &subscribes("py", &["news"]));
    rig.input(publisher, &published_by("p", "news", b"4"));
    assert_eq!(frames(&rig.sent(py)).iter().map(|(_, data)| data.clone()).collect::<Vec<_>>(), [b"4"]);
    assert_eq!(rig.ledger(), ["p more no_subscriber 1", "p news no_subscriber 1"]);
}

#[test]
fn a_newer_connection_of_a_subscriber_begins_without_subscriptions() {
    let mut rig = broker(|_| {});
    let (old, publisher) = (rig.link("py"), rig.link("p"));
    rig.input(old, &subscribes("py", &["news"]));
    let new = rig.link("py");
    rig.input(publisher, &published_by("p", "news", b"1"));
    assert_eq!(rig.sent(new), b"");
    assert_eq!(rig.ledger(), ["p news no_subscriber 1"]);
}

#[test]
fn patterns_are_for_many_types_and_each_message_comes_once() {
    let mut net = Net::new(|_| {});
    let all = net.add("all", &["sensors.>", "sensors.*.temp", "sensors.hall.temp"]);
    let temp = net.add("temp", &["sensors.*.temp"]);
    let publisher = net.add("p", &[]);
    for message_type in ["sensors.hall.temp", "sensors.hall.door", "sensors", "sensors.hall.temp", "sensors.a.b.temp"] {
        net.publish(publisher, message_type, b"x");
    }
    net.run();
    let mut read = net.read(all);
    read.sort_unstable();
    assert_eq!(read, ["sensors.a.b.temp x", "sensors.hall.door x", "sensors.hall.temp x", "sensors.hall.temp x"]);
    assert_eq!(net.read(temp), ["sensors.hall.temp x", "sensors.hall.temp x"]);
    // A new subscriber of types that are known.
    let late = net.add("late", &["*.*.door"]);
    net.publish(publisher, "sensors.hall.door", b"y");
    net.run();
    assert_eq!(net.read(late), ["sensors.hall.door y"]);
    assert_eq!(net.broker.ledger(), ["p sensors no_subscriber 1"]);
}

#[test]
fn an_admin_sets_what_a_client_subscribes_to() {
    let mut net = Net::new(|_| {});
    let (a, publisher) = (net.add("a", &["news"]), net.add("p", &[]));
    let rig = &mut net.clients[a].rig;
    assert_eq!(asked(rig, "show_subscribe_message_types__sync", json!({})), json!(["news"]));
    let set = json!({"message_types": ["other", "x.*"]});
    assert_eq!(asked(rig, "set_subscribe_message_types", set), json!(["other", "x.*"]));
    net.pump();
    for message_type in ["news", "other", "x.y"] {
        net.publish(publisher, message_type, b"1");
    }
    net.run();
    assert_eq!(net.read(a), ["other 1", "x.y 1"]);
    let rig = &mut net.clients[a].rig;
    let answer = asked(rig, "set_subscribe_message_types", json!({"message_types": ["a.>.b"]}));
    assert_eq!(answer["status"], false);
    assert!(answer["msg"].as_str().unwrap().contains("'>' stands for all words to the end"), "{answer}");
    assert_eq!(asked(rig, "show_subscribe_message_types__sync", json!({})), json!(["other", "x.*"]));
    assert_eq!(asked(&mut net.broker, "show_subscribe_message_types__sync", json!({})), json!([]));
    assert_eq!(asked(&mut net.broker, "set_subscribe_message_types", json!({"message_types": ["a"]})), json!([]));
}

#[test]
fn what_cannot_be_subscribed_to_is_told_and_the_link_stays() {
    let mut rig = broker(|_| {});
    let py = rig.link("py");
    rig.input(py, &subscribes("py", &["a.>.b", "good", "_ping"]));
    let many: Vec<String> = (0..=SUBSCRIPTIONS_MAX).map(|n| format!("type{n}")).collect();
    let said = Subscribes { to: many, ..Subscribes::default() };
    rig.input(py, &said.encode("py"));
    let refused = rig.events().into_iter().filter_map(|event| match event {
        Event::SubscriptionRefused { pattern, .. } => Some(pattern.as_str()),
        _ => None,
    });
    assert_eq!(refused.collect::<Vec<_>>(), ["a.>.b", &format!("type{}", SUBSCRIPTIONS_MAX - 1)]);
    rig.input(py, &published_by("py", "good", b"1"));
    assert_eq!(frames(&rig.sent(py)).len(), 1);
    rig.input(py, &says("py", &json!({"subscribe_message_types": "news"})));
    assert!(rig.is_closed(py), "what is not a list is not understood");
}

#[test]
fn a_server_that_is_no_broker_counts_what_is_published() {
    let mut rig = Rig::server();
    let py = rig.link("py");
    rig.input(py, &subscribes("py", &["news"]));
    rig.input(py, &published_by("py", "news", b"1"));
    assert_eq!(rig.sent(py), b"");
    assert_eq!(rig.ledger(), ["py _pubsub type_not_allowed 2"]);
}

#[test]
fn what_nobody_can_subscribe_to_is_not_published() {
    let mut rig = broker(|_| {});
    let py = rig.link("py");
    rig.input(py, &subscribes("py", &[">"]));
    for bad in ["", "_ping", "a.*", ">", "a/b"] {
        rig.input(py, &published_by("py", bad, b"1"));
    }
    assert_eq!(rig.sent(py), b"");
    assert_eq!(rig.ledger().iter().filter(|line| line.contains("type_not_allowed")).count(), 5);
}

#[test]
fn apps_of_the_broker_publish_as_well() {
    let mut net = Net::new(|_| {});
    let a = net.add("a", &["news"]);
    let app = net.broker.app();
    net.broker.input(app, &message(r#"{"message_type": "_hello", "receipts": "delivered"}"#, b""));
    net.broker.input(app, &publication("news", b"1"));
    net.broker.input(app, &publication("unwanted", b"2"));
    net.broker.input(app, &publication("_no", b"3"));
    net.run();
    assert_eq!(net.read(a), ["news 1"]);
    let told: Vec<Value> = frames(&net.broker.sent(app)).into_iter().map(|(header, _)| header).collect();
    assert_eq!(told.last().unwrap()["count"], 3, "{told:?}");
    let refused: Vec<&Value> = told.iter().filter(|h| h["message_type"] == "_refused").collect();
    assert_eq!((refused.len(), &refused[0]["index"]), (1, &json!(3)));
}

#[test]
fn a_client_says_what_it_subscribes_to_on_plain_links_and_ends_it_before_it_leaves() {
    let mut rig =
        Rig::client_with(|s| (s.link2, s.subscribe) = (false, crate::pubsub_net::patterns(&["news", "more"])));
    let id = rig.up();
    let said = |rig: &mut Rig| -> Vec<Value> {
        let sent = frames(&rig.sent(id)).into_iter().filter(|(header, _)| header["message_type"] == "_pubsub");
        sent.map(|(_, data)| serde_json::from_slice(&data).unwrap()).collect()
    };
    let types = json!(["news", "more"]);
    let (ends, begins) = (json!({"unsubscribe_message_types": types}), json!({"subscribe_message_types": types}));
    // A Python broker counts those that a lost connection has left.
    assert_eq!(said(&mut rig), [ends.clone(), begins]);
    rig.input(id, &typed_from("news", SERVER, b"1"));
    assert_eq!(rig.read_apps(), [("news".to_owned(), b"1".to_vec())]);
    rig.stop();
    assert_eq!(said(&mut rig), [ends]);
}

#[test]
fn what_comes_by_a_pattern_waits_until_the_file_for_its_type_is_open() {
    let mut rig = Rig::client_with(|s| {
        (s.link2, s.subscribe) = (false, crate::pubsub_net::patterns(&["news.*"]));
        s.persist_recv = Covered::All;
    });
    let id = rig.up();
    // All of it in one piece: the file is asked for at the first message.
    let all: Vec<u8> = [b"1", b"2", b"3"].iter().flat_map(|data| typed_from("news.x", SERVER, *data)).collect();
    rig.input(id, &all);
    assert!(rig.is_resumed(id), "the link was held up, and goes on");
    rig.input(id, b"");
    let data: Vec<u8> = rig.read_apps().into_iter().flat_map(|(_, data)| data).collect();
    assert_eq!((data, rig.ledger()), (b"123".to_vec(), vec![]));
}

#[test]
fn a_slow_subscriber_holds_nobody_up_and_what_it_misses_is_counted() {
    let mut net = Net::new(|s| s.queue_max_bytes = 200_000);
    let (fast, slow) = (net.add("fast", &["news"]), net.add("slow", &["news"]));
    let publisher = net.add("p", &[]);
    net.clients[slow].is_slow = true;
    let body = vec![b'x'; 5000];
    for _ in 0..200 {
        net.publish(publisher, "news", &body);
        net.run();
    }
    assert_eq!(net.read(fast).len(), 200);
    net.clients[slow].is_slow = false;
    net.run();
    let missed: usize = net.broker.ledger()[0].strip_prefix("slow news slow_subscriber ").unwrap().parse().unwrap();
    assert_eq!((net.read(slow).len() + missed, net.broker.ledger().len()), (200, 1));
    assert!(missed >= 150, "{missed}");
}

#[test]
fn a_subscriber_that_is_amid_a_message_gets_its_end_before_what_follows() {
    for link2 in [true, false] {
        let mut net = Net::new(|s| s.queue_max_bytes = 200_000);
        let fast = net.add("fast", &["news"]);
        let slow = net.add_with("slow", &["news"], |s| s.link2 = link2);
        let publisher = net.add("p", &[]);
        net.publish(publisher, "news", &[b'a'; 50_000]);
        while net.clients[publisher].ends.is_some_and(|_| !net.clients[fast].read()) {
            net.clients[slow].is_slow = true;
            net.step(usize::MAX);
        }
        // A part of the message goes to it.
        let (ours, theirs) = net.clients[slow].ends.unwrap();
        let part = net.broker.sent_up_to(theirs, 20_000);
        assert_eq!(part.len(), 20_000);
        net.clients[slow].rig.input(ours, &part);
        for _ in 0..20 {
            net.publish(publisher, "news", &[b'b'; 50_000]);
            net.run();
        }
        net.clients[slow].is_slow = false;
        net.run();
        let got: Vec<u8> = net.clients[slow].read.iter().map(|(_, data)| data[0]).collect();
        assert!(got.len() < 10 && got.starts_with(b"ab"), "{got:?}");
    }
}

#[test]
fn a_subscriber_amid_a_very_long_message_is_cut() {
    let mut net = Net::new(|s| s.queue_max_bytes = 2_000_000);
    net.add("fast", &["news"]);
    let slow = net.add("slow", &["news"]);
    let publisher = net.add("p", &[]);
    net.clients[slow].is_slow = true;
    net.publish(publisher, "news", &vec![b'a'; 1_500_000]);
    net.run();
    let (_, theirs) = net.clients[slow].ends.unwrap();
    assert_eq!(net.broker.sent_up_to(theirs, 200_000).len(), 200_000);
    for _ in 0..3 {
        net.publish(publisher, "news", &vec![b'b'; 1_500_000]);
        net.run();
    }
    assert!(net.broker.is_closed(theirs));
    assert!(net.broker.events().iter().any(|e| matches!(e, Event::PeerDown { cause: Cause::SlowSubscriber, .. })));
}

#[test]
fn publishers_wait_for_the_fastest_subscriber() {
    let mut net = Net::new(|_| {});
    let only = net.add("only", &["news"]);
    let publisher = net.add("p", &[]);
    net.clients[only].is_slow = true;
    // On the broker an app is held up; a peer's messages are not taken over.
    let app = net.broker.app();
    let body = vec![b'x'; 100_000];
    let paused = (0..100)
        .take_while(|_| net.broker.input(app, &publication("news", &body)) == aioconnectors::core::Reading::Open);
    let taken = paused.count();
    assert!((10..12).contains(&taken), "{taken}");
    for _ in 0..100 {
        net.publish(publisher, "news", &body);
        net.pump();
    }
    net.clients[only].is_slow = false;
    net.run();
    assert!(net.broker.is_resumed(app), "{:?} {:?} {}", net.broker.ledger(), net.broker.outputs, net.read(only).len());
    let expected = taken + 1 + 100;
    let refused = net.clients[publisher].rig.ledger();
    assert_eq!((net.read(only).len(), refused.len(), net.broker.ledger().len()), (expected, 0, 0));
}

#[test]
fn on_full_block_waits_for_all_and_reject_refuses() {
    for (policy, lost) in [(OnFull::Block, 0), (OnFull::Reject, 1)] {
        let mut net = Net::new(|s| {
            s.queue_max_bytes = 100_000;
            s.on_full.insert("news".to_owned(), policy);
        });
        let (fast, slow) = (net.add("fast", &["news"]), net.add("slow", &["news"]));
        let publisher = net.add("p", &[]);
        net.clients[slow].is_slow = true;
        for _ in 0..30 {
            net.publish(publisher, "news", &[b'x'; 10_000]);
            net.run();
        }
        net.clients[slow].is_slow = false;
        net.run();
        assert_eq!(net.read(fast).len(), net.read(slow).len());
        assert_eq!(net.broker.ledger().len(), lost, "{:?}", net.broker.ledger());
        assert_eq!(net.read(fast).len() == 30, policy == OnFull::Block);
    }
}

#[test]
fn an_app_that_reads_nothing_holds_up_no_other_subscriber() {
    let mut net = Net::new(|s| s.queue_max_bytes = 300_000);
    let fast = net.add("fast", &["news"]);
    let deaf = net.add_with("deaf", &["news"], |s| s.queue_max_bytes = 100_000);
    let publisher = net.add("p", &[]);
    for _ in 0..100 {
        net.publish(publisher, "news", &[b'x'; 10_000]);
        net.pump();
        net.clients[fast].read();
    }
    net.pump();
    net.clients[fast].read();
    assert_eq!(net.read(fast).len(), 100, "{:?} {:?}", net.broker.ledger(), net.broker.events());
    net.run();
    let missed: usize = net.broker.ledger()[0].strip_prefix("deaf news slow_subscriber ").unwrap().parse().unwrap();
    assert_eq!(net.read(deaf).len() + missed, 100);
}

#[test]
fn a_thousand_subscribers_get_a_large_body_that_lies_there_once() {
    let mut rig = broker(|_| {});
    let links: Vec<_> = (0..1000).map(|n| (format!("c{n}"), n)).map(|(name, _)| (rig.link(&name), name)).collect();
    for (link, name) in &links {
        rig.core.input(*link, &subscribes(name, &["news"]), rig.now);
    }
    rig.drain();
    // Ten copies of it would not fit.
    let body = vec![b'x'; 20 << 20];
    rig.input(links[0].0, &published_by("c0", "news", &body));
    for (link, _) in &links {
        let mut length = 0;
        rig.core.transmit(*link, 1 << 30, rig.now, &mut |bytes| {
            length += bytes.len();
            bytes.len()
        });
        assert!(length > body.len());
    }
    assert_eq!(rig.ledger(), [""; 0]);
}

#[test]
fn a_connector_that_stops_sends_what_was_published_first() {
    let mut net = Net::new(|_| {});
    let (a, publisher) = (net.add("a", &["news"]), net.add("p", &[]));
    net.publish(publisher, "news", b"1");
    let (ours, theirs) = net.clients[publisher].ends.unwrap();
    let sent = net.clients[publisher].rig.sent(ours);
    net.broker.input(theirs, &sent);
    net.broker.stop();
    assert!(!net.broker.outputs.contains(&aioconnectors::core::Output::Stopped));
    net.run();
    assert_eq!(net.read(a), ["news 1"]);
}
