//! Subscriptions that last: what is published waits for those who are away.

use aioconnectors::core::{Covered, Event, RingName};
use aioconnectors::wire::admin::encode_request;
use serde_json::json;

use crate::pubsub_net::{Net, publication, stores};

fn numbers(net: &Net, client: usize) -> Vec<u32> {
    let texts = net.clients[client].read.iter().map(|(_, data)| String::from_utf8(data.clone()).unwrap());
    texts.map(|text| text.parse().unwrap()).collect()
}

#[test]
fn a_subscriber_that_was_away_gets_all_of_it_once() {
    let mut net = Net::new(stores);
    let (a, b, p) = (net.add("a", &["x.*"]), net.add("b", &["x.y"]), net.add("p", &[]));
    net.publish(p, "x.y", b"1");
    net.run();
    net.cut(a);
    net.publish(p, "x.y", b"2");
    net.publish(p, "x.new", b"3");
    net.run();
    net.connect(a);
    net.run();
    net.publish(p, "x.y", b"4");
    net.run();
    let mut got = numbers(&net, a);
    got.sort_unstable();
    assert_eq!((got, numbers(&net, b)), (vec![1, 2, 3, 4], vec![1, 2, 4]));
    assert_eq!(net.broker.ledger(), [""; 0]);
}

#[test]
fn it_outlives_the_death_of_the_broker_and_of_the_subscriber() {
    let mut net = Net::new(stores);
    let (a, b, p) = (net.add("a", &["x.>"]), net.add("b", &["x.y"]), net.add("p", &[]));
    net.publish(p, "x.y", b"1");
    net.run();
    net.cut(a);
    net.publish(p, "x.y", b"2");
    net.run();
    net.crash_broker(|disks| disks);
    net.connect(p);
    net.pump();
    net.publish(p, "x.y", b"3");
    net.run();
    net.crash_client(a);
    net.connect(b);
    net.connect(a);
    net.run();
    assert_eq!((numbers(&net, a), numbers(&net, b)), (vec![1, 2, 3], vec![1, 2, 3]));
    // All have it: the file goes.
    net.broker.pass(std::time::Duration::from_secs(6));
    net.publish(p, "x.y", b"4");
    net.run();
    assert_eq!((numbers(&net, a), numbers(&net, b)), (vec![1, 2, 3, 4], vec![1, 2, 3, 4]));
}

#[test]
fn who_subscribes_later_gets_nothing_from_before_also_after_a_crash() {
    let mut net = Net::new(stores);
    let (a, p) = (net.add("a", &["news"]), net.add("p", &[]));
    net.cut(a);
    net.publish(p, "news", b"1");
    net.run();
    let late = net.add("late", &["news"]);
    net.cut(late);
    net.publish(p, "news", b"2");
    net.run();
    net.crash_broker(|disks| disks);
    for client in [a, late, p] {
        net.connect(client);
    }
    net.run();
    assert_eq!((numbers(&net, a), numbers(&net, late)), (vec![1, 2], vec![2]));
}

#[test]
fn it_ends_when_the_client_does_not_want_it_any_more() {
    let mut net = Net::new(stores);
    let (a, b, p) = (net.add("a", &["news"]), net.add("b", &["news"]), net.add("p", &[]));
    net.publish(p, "news", b"1");
    net.run();
    net.cut(a);
    net.publish(p, "news", b"2");
    net.run();
    // It comes back with another config, while messages wait for it.
    let again = net.add("a", &[]);
    net.run();
    let is_ended = |e: &&Event| matches!(e, Event::SubscriptionEnded { peer, count: 1 } if peer == "a");
    assert_eq!(net.broker.events().iter().filter(|e| is_ended(e)).count(), 1);
    net.publish(p, "news", b"3");
    net.run();
    assert_eq!((numbers(&net, b), numbers(&net, again).len() <= 1), (vec![1, 2, 3], true));
    net.crash_broker(|disks| disks);
    assert!(
        net.broker
            .disks
            .names()
            .iter()
            .all(|name| !matches!(name, RingName::Topic { .. }) || net.broker.disks.names().len() == 1)
    );
}

#[test]
fn an_operator_ends_it() {
    let mut net = Net::new(stores);
    let (a, p) = (net.add("a", &["news"]), net.add("p", &[]));
    net.cut(a);
    net.publish(p, "news", b"1");
    net.run();
    let arguments = json!({"client_id": "a"});
    let admin = net.broker.core.accept_admin(net.broker.now);
    net.broker.input(admin, &encode_request("end_subscriptions", arguments.as_object().unwrap()));
    let answer = String::from_utf8(net.broker.sent(admin)[4..].to_vec()).unwrap();
    assert!(answer.contains("true"), "{answer}");
    net.publish(p, "news", b"2");
    net.run();
    assert_eq!(net.broker.ledger(), ["p news no_subscriber 1"]);
    net.broker.pass(std::time::Duration::from_secs(6));
    assert_eq!(net.broker.disks.names(), [], "what was kept for it is gone");
}

#[test]
fn only_types_that_are_stored_wait() {
    let mut net = Net::new(|s| s.persist_send = Covered::Types(["kept.a".to_owned()].into()));
    let (a, p) = (net.add("a", &["kept.*", "other"]), net.add("p", &[]));
    net.cut(a);
    for message_type in ["kept.a", "kept.b", "other"] {
        net.publish(p, message_type, b"1");
    }
    net.run();
    net.connect(a);
    net.run();
    assert_eq!(net.read(a), ["kept.a 1"]);
    for message_type in ["kept.a", "kept.b", "other"] {
        net.publish(p, message_type, b"2");
    }
    net.run();
    let mut read = net.read(a);
    read.sort_unstable();
    assert_eq!(read, ["kept.a 1", "kept.a 2", "kept.b 2", "other 2"]);
}

#[test]
fn one_that_is_away_for_too_long_loses_the_oldest_and_holds_nobody_up() {
    let mut net = Net::new(|s| {
        stores(s);
        s.max_ring_bytes = 100_000;
    });
    let (a, b, p) = (net.add("a", &["news"]), net.add("b", &["news"]), net.add("p", &[]));
    net.cut(a);
    for n in 0..50 {
        net.publish(p, "news", format!("{n:010000}").as_bytes());
        net.run();
    }
    net.connect(a);
    net.run();
    let got = numbers(&net, a);
    assert_eq!(numbers(&net, b), (0..50).collect::<Vec<_>>());
    assert_eq!(got, (50 - got.len() as u32..50).collect::<Vec<_>>(), "the newest");
    assert!((5..12).contains(&got.len()), "{}", got.len());
    assert_eq!(net.broker.ledger(), [format!("a news slow_subscriber {}", 50 - got.len())]);
}

#[test]
fn one_that_is_there_and_slow_is_waited_for() {
    let mut net = Net::new(|s| {
        stores(s);
        s.max_ring_bytes = 100_000;
    });
    let (a, p) = (net.add("a", &["news"]), net.add("p", &[]));
    net.clients[a].is_slow = true;
    for n in 0..50 {
        net.publish(p, "news", format!("{n:010000}").as_bytes());
        net.run();
    }
    net.clients[a].is_slow = false;
    net.run();
    assert_eq!(numbers(&net, a), (0..50).collect::<Vec<_>>());
    assert_eq!(net.broker.ledger(), [""; 0]);
}

#[test]
fn what_is_published_while_the_broker_is_away_is_stored_if_its_type_is() {
    let mut net = Net::new(stores);
    let a = net.add("a", &["news"]);
    let p = net.add_with("p", &[], |s| s.persist_send = Covered::Types(["news".to_owned()].into()));
    net.cut(p);
    net.publish(p, "news", b"1");
    net.publish(p, "other", b"2");
    net.crash_client(p);
    net.connect(p);
    net.run();
    assert_eq!(numbers(&net, a), [1]);
    assert_eq!(net.clients[p].rig.ledger(), [""; 0]);
}

#[test]
fn a_disk_that_fails_lets_publishers_wait() {
    let mut net = Net::new(stores);
    let (a, p, q) = (net.add("a", &["news"]), net.add("p", &[]), net.add("q", &[]));
    net.broker.disks.cannot_open(Some("no space left"));
    net.publish(p, "news", b"1");
    net.run();
    // The disk is known to have no room now.
    net.publish(q, "news", b"2");
    net.run();
    assert_eq!(numbers(&net, a), [0; 0]);
    assert_eq!(net.broker.ledger(), [""; 0]);
    net.broker.disks.cannot_open(None);
    net.broker.pass(std::time::Duration::from_secs(3));
    net.clients[p].rig.pass(std::time::Duration::from_secs(3));
    net.clients[q].rig.pass(std::time::Duration::from_secs(3));
    net.run();
    assert_eq!(numbers(&net, a), [1, 2]);
}

/// Each subscriber has read what was published under its types, once.
fn check_all(net: &mut Net, published: &[(&str, u32)], seed: u64) {
    for (client, types) in [(0, &["n.a", "n.b"][..]), (1, &["n.a", "n.b"]), (2, &["n.b"])] {
        for message_type in types {
            let sorted = |mut all: Vec<u32>| {
                all.sort_unstable();
                all
            };
            let of_type = net.clients[client].read.iter().filter(|(t, _)| t == message_type);
            let got: Vec<u32> = of_type.map(|(_, data)| String::from_utf8_lossy(data).parse().unwrap()).collect();
            let sent = published.iter().filter(|(t, _)| t == message_type).map(|(_, n)| *n).collect();
            let queues = [net.queues(None), net.queues(Some(client))];
            assert_eq!(sorted(got), sorted(sent), "seed {seed}, client {client}, {message_type}, {queues:?}");
        }
    }
}

/// Crashes, cuts and pauses at any place: a subscriber that lasts gets all of it, once, in order.
#[test]
fn whatever_happens_nothing_is_missed_and_nothing_comes_twice() {
    for seed in 0..40 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut net = Net::new(stores);
        let subscribed: [&[&str]; 4] = [&["n.a", "n.b"], &["n.*"], &["n.b"], &[]];
        for (n, subscribes) in subscribed.iter().enumerate() {
            net.add_with(&format!("c{n}"), subscribes, |s| {
                stores(s);
                s.persist_recv = Covered::All;
            });
        }
        let mut published: Vec<(&str, u32)> = Vec::new();
        for step in 0..150 {
            let client = rng.usize(..4);
            match rng.u8(..20) {
                0..8 => {
                    let message_type = ["n.a", "n.b"][rng.usize(..2)];
                    let length = if rng.u8(..4) == 0 { rng.usize(..30_000) } else { 8 };
                    let data = format!("{step:0length$}");
                    if rng.u8(..4) == 0 {
                        let app = net.broker.app();
                        net.broker.input(app, &publication(message_type, data.as_bytes()));
                    } else {
                        net.publish(3, message_type, data.as_bytes());
                    }
                    published.push((message_type, step));
                }
                8..12 => _ = net.step(rng.usize(1..20_000)),
                12 => net.cut(client),
                13 | 14 => {
                    if net.clients[client].ends.is_none() {
                        net.connect(client);
                    }
                }
                15 if rng.bool() => net.crash_broker(|disks| disks),
                16 => net.clients[client].is_slow = rng.bool(),
                17 if rng.bool() && client != 3 => {
                    // What its apps have read they have read.
                    net.clients[client].read();
                    net.crash_client(client);
                }
                _ => _ = net.clients[client].read(),
            }
        }
        for client in 0..4 {
            net.clients[client].is_slow = false;
            if net.clients[client].ends.is_none() {
                net.connect(client);
            }
        }
        for _ in 0..4 {
            net.run();
            net.broker.pass(std::time::Duration::from_secs(2));
            net.clients.iter_mut().for_each(|client| client.rig.pass(std::time::Duration::from_secs(2)));
        }
        check_all(&mut net, &published, seed);
        assert_eq!(net.broker.ledger(), [""; 0], "seed {seed}");
    }
}

#[test]
fn types_of_a_pattern_that_are_stored_have_files_as_they_come() {
    let mut net = Net::new(stores);
    let a = net.add_with("a", &["n.*"], |s| s.persist_recv = Covered::All);
    let p = net.add("p", &[]);
    net.publish(p, "n.a", b"1");
    net.publish(p, "n.b", b"2");
    net.pump();
    net.crash_client(a);
    net.connect(a);
    net.publish(p, "n.a", b"3");
    net.run();
    let mut read = net.read(a);
    read.sort_unstable();
    let q = net.queues(Some(a));
    assert_eq!(read, ["n.a 1", "n.a 3", "n.b 2"], "{:?} {}", net.clients[a].rig.outputs, q);
}
