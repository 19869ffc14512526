//! Publications with files.

use std::time::Duration;

use aioconnectors::core::{Event, FileTrouble, Reading, Sync};
use aioconnectors::wire::admin::encode_request;
use serde_json::{Value, json};

use crate::files::bytes;
use crate::pubsub_net::{Net, broker, stores};
use crate::rig::{Rig, frames, message, message_with_binary, typed_from};

/// A publication of this number, with a file.
fn letter(source: Option<&str>, number: u8, with: &Value) -> Vec<u8> {
    let mut header = json!({"message_type": "_pubsub", "message_type_publish": "news", "with_file": with});
    if let Some(source) = source {
        header["source_id"] = source.into();
    }
    message(&header.to_string(), &[number])
}

fn with_file(number: u8) -> Value {
    json!({"src_path": format!("/f{number}"), "dst_type": "any", "dst_name": format!("f{number}")})
}

/// An app of this connector publishes a file.
fn send(rig: &mut Rig, number: u8, size: usize) {
    rig.files.put(&format!("/f{number}"), &bytes(usize::from(number), size));
    let app = rig.app();
    rig.input(app, &letter(None, number, &with_file(number)));
}

/// This client has these files, once each, in this order, and read their messages.
fn check_got(net: &Net, client: usize, files: &[(u8, usize)]) {
    let expected: Vec<_> = files.iter().map(|(n, size)| (format!("f{n}"), bytes(usize::from(*n), *size))).collect();
    let arrived = net.clients[client].rig.files.arrived();
    let names: Vec<_> = arrived.iter().map(|(name, bytes)| (name.clone(), bytes.len())).collect();
    assert!(arrived == expected, "client {client} got {names:?}");
    let read: Vec<u8> = net.clients[client].read.iter().map(|(_, data)| data[0]).collect();
    assert_eq!(read, files.iter().map(|(n, _)| *n).collect::<Vec<_>>());
    assert!(net.clients[client].rig.headers.iter().all(|h| h["with_file"]["file_error"].is_null()));
}

/// Nothing is left of the work.
fn check_over(net: &mut Net) {
    net.broker.pass(Duration::from_secs(6));
    net.run();
    assert_eq!((net.broker.files.published(), net.broker.files.open()), (0, 0), "the broker's copies");
    assert_eq!(net.broker.files.remembered(), 0);
    for client in &net.clients {
        assert_eq!((client.rig.files.open(), client.rig.files.remembered()), (0, 0));
    }
}

/// The error that came with the message that a client read last.
fn last_error(net: &Net, client: usize) -> String {
    let header = net.clients[client].rig.headers.last().expect("a message was read");
    header["with_file"]["file_error"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn each_subscriber_gets_the_file_and_the_broker_keeps_it_once() {
    for size in [0, 1, 200_000] {
        for stored in [false, true] {
            let mut net = Net::new(|s| {
                if stored {
                    stores(s)
                }
            });
            let (a, b, w) = (net.add("a", &["news"]), net.add("b", &["news"]), net.add("w", &["*"]));
            let p = net.add_with("p", &[], |s| {
                if stored {
                    stores(s)
                }
            });
            net.clients[b].is_slow = true;
            send(&mut net.clients[p].rig, 1, size);
            net.run();
            assert_eq!(net.broker.files.published(), 1, "one of three has not got it");
            assert!(!net.clients[p].rig.files.has("/f1"), "the broker has it");
            net.clients[b].is_slow = false;
            net.run();
            [a, b, w].iter().for_each(|client| check_got(&net, *client, &[(1, size)]));
            check_over(&mut net);
            assert_eq!(net.broker.files.moved().1, size as u64, "it was written once");
            assert_eq!(net.broker.ledger(), [""; 0]);
        }
    }
}

#[test]
fn an_app_of_the_broker_publishes_a_file_that_goes_when_it_is_kept() {
    let mut net = Net::new(|_| {});
    let (a, b) = (net.add("a", &["news"]), net.add("b", &["news"]));
    net.broker.files.set_faults(|faults| faults.slow = 3);
    send(&mut net.broker, 1, 100_000);
    assert!(!net.broker.files.has("/f1"));
    let mut kept = with_file(2);
    kept["delete"] = false.into();
    net.broker.files.put("/f2", &bytes(2, 70_000));
    let app = net.broker.app();
    net.broker.input(app, &[letter(None, 2, &kept), letter(None, 3, &with_file(3))].concat());
    net.run();
    assert!(net.broker.files.has("/f2"));
    for client in [a, b] {
        assert_eq!(net.clients[client].rig.files.arrived().len(), 2);
        let mut read: Vec<u8> = net.clients[client].read.iter().map(|(_, data)| data[0]).collect();
        read.sort_unstable();
        assert_eq!(read, [1, 2, 3], "a message whose file is not there goes without");
    }
    let has_error = |h: &&Value| h["with_file"]["file_error"].as_str().is_some_and(|why| why.contains("no file /f3"));
    assert_eq!(net.clients[a].rig.headers.iter().filter(has_error).count(), 1);
    check_over(&mut net);
}

#[test]
fn what_a_publisher_says_of_paths_is_not_believed() {
    let mut net = Net::new(|_| {});
    let a = net.add("a", &["news"]);
    net.broker.files.put("/f1", b"the broker's own");
    let plain = net.broker.link("py");
    // It says that it has a file, and brings none; and that there is an error.
    let mut with = with_file(1);
    with["file_error"] = "gone".into();
    net.broker.input(plain, &letter(Some("py"), 1, &with));
    net.run();
    assert_eq!((last_error(&net, a), net.clients[a].rig.files.arrived()), ("gone".to_owned(), vec![]));
    assert!(net.broker.files.has("/f1"));
    check_over(&mut net);
}

#[test]
fn a_file_that_nobody_wants_is_not_taken() {
    let mut net = Net::new(|_| {});
    let p = net.add("p", &[]);
    send(&mut net.clients[p].rig, 1, 100_000);
    send(&mut net.broker, 2, 100_000);
    net.run();
    assert!(net.clients[p].rig.files.has("/f1") && net.broker.files.has("/f2"), "what nobody has is not removed");
    assert_eq!(net.broker.files.moved(), (0, 0));
    check_over(&mut net);
    assert!(net.broker.ledger().iter().all(|line| line.contains("news no_subscriber 1")), "{:?}", net.broker.ledger());
    assert_eq!(net.broker.ledger().len(), 2);
}

#[test]
fn it_goes_on_where_it_stopped_wherever_a_link_is_cut() {
    const SIZE: usize = 300_000;
    for cut in (0..SIZE + 3000).step_by(23_917) {
        for (which, stored) in [(0, true), (1, true), (1, false)] {
            let mut net = Net::new(stores);
            let a = net.add("a", &["news"]);
            let p = net.add_with("p", &[], |s| {
                if stored {
                    stores(s)
                }
            });
            send(&mut net.clients[p].rig, 1, SIZE);
            let other = if which == a { p } else { a };
            // All that the other link has to do is done, then this one is cut after so many bytes.
            let mut left = cut;
            if which == a {
                for _ in 0..20 {
                    let (ours, theirs) = net.clients[other].ends.unwrap();
                    let up = net.clients[other].rig.sent(ours);
                    net.broker.input(theirs, &up);
                    let down = net.broker.sent(theirs);
                    net.clients[other].rig.input(ours, &down);
                }
            }
            for _ in 0..40 {
                let (ours, theirs) = net.clients[which].ends.unwrap();
                let up = net.clients[which].rig.sent_unconfirmed(ours, left);
                let down = net.broker.sent_unconfirmed(theirs, left);
                left -= up.len().max(down.len()).min(left);
                net.broker.input(theirs, &up);
                net.clients[which].rig.input(ours, &down);
            }
            net.cut(which);
            net.connect(which);
            net.run();
            net.run();
            check_got(&net, a, &[(1, SIZE)]);
            check_over(&mut net);
            let moved = net.broker.files.moved();
            assert!(moved.1 <= SIZE as u64, "no byte was written twice: {moved:?}, cut at {cut}");
        }
    }
}

#[test]
fn it_outlives_the_death_of_the_broker_and_its_leftovers_do_not() {
    let mut net = Net::new(stores);
    let (a, b) = (net.add("a", &["news"]), net.add("b", &["news"]));
    let p = net.add_with("p", &[], stores);
    net.cut(a);
    for number in 1..=3 {
        send(&mut net.clients[p].rig, number, 100_000);
    }
    net.run();
    check_got(&net, b, &[(1, 100_000), (2, 100_000), (3, 100_000)]);
    assert_eq!(net.broker.files.published(), 3);
    net.broker.files.put("/published/left", b"by a copy that was made when it was killed");
    net.crash_broker(|disks| disks);
    assert_eq!(net.broker.files.published(), 3, "those of messages that wait, and no others");
    for client in [a, b, p] {
        net.connect(client);
    }
    net.run();
    send(&mut net.clients[p].rig, 4, 10);
    net.run();
    let all = [(1, 100_000), (2, 100_000), (3, 100_000), (4, 10)];
    check_got(&net, a, &all);
    check_got(&net, b, &all);
    check_over(&mut net);
}

#[test]
fn what_lay_in_memory_goes_with_the_broker() {
    let mut net = Net::new(|_| {});
    let (a, p) = (net.add("a", &["news"]), net.add("p", &[]));
    net.clients[a].is_slow = true;
    send(&mut net.clients[p].rig, 1, 100_000);
    net.run();
    assert_eq!(net.broker.files.published(), 1);
    net.crash_broker(|disks| disks);
    net.clients[a].is_slow = false;
    [a, p].iter().for_each(|client| net.connect(*client));
    net.run();
    check_over(&mut net);
}

#[test]
fn a_subscriber_that_leaves_is_not_waited_for() {
    for stored in [false, true] {
        let mut net = Net::new(|s| {
            if stored {
                stores(s)
            }
        });
        let (a, b, p) = (net.add("a", &["news"]), net.add("b", &["news"]), net.add("p", &[]));
        net.clients[b].is_slow = true;
        send(&mut net.clients[p].rig, 1, 100_000);
        net.run();
        net.cut(b);
        net.clients[b].is_slow = false;
        if stored {
            assert_eq!(net.broker.files.published(), 1);
            let admin = net.broker.core.accept_admin(net.broker.now);
            let Value::Object(arguments) = json!({"client_id": "b"}) else { panic!("an object") };
            net.broker.input(admin, &encode_request("end_subscriptions", &arguments));
        }
        net.run();
        check_got(&net, a, &[(1, 100_000)]);
        check_over(&mut net);
    }
}

#[test]
fn without_room_a_publisher_waits_while_others_go_out_and_else_the_message_goes_without() {
    let mut net = Net::new(|_| {});
    let (a, p) = (net.add("a", &["news"]), net.add("p", &[]));
    net.broker.files.set_faults(|faults| faults.published = Some(250_000));
    for number in 1..=6 {
        send(&mut net.clients[p].rig, number, 100_000);
    }
    for _ in 0..20 {
        net.run();
        net.broker.pass(Duration::from_secs(4));
        net.clients[p].rig.pass(Duration::from_secs(4));
    }
    check_got(&net, a, &(1..=6).map(|n| (n, 100_000)).collect::<Vec<_>>());
    send(&mut net.clients[p].rig, 7, 250_001);
    net.run();
    assert_eq!(last_error(&net, a), "250001 bytes have no room");
    assert!(net.clients[p].rig.files.has("/f7"));
    let told = |event: &&Event| matches!(event, Event::File { trouble: FileTrouble::Refused, .. });
    assert_eq!(net.broker.events().iter().filter(|event| told(event)).count(), 1);
    send(&mut net.broker, 8, 250_001);
    net.run();
    assert_eq!(last_error(&net, a), "250001 bytes have no room");
    assert!(net.broker.files.has("/f8"));
    check_over(&mut net);
}

#[test]
fn an_app_of_the_broker_waits_for_room_as_well() {
    let mut net = Net::new(|_| {});
    let a = net.add("a", &["news"]);
    net.broker.files.set_faults(|faults| faults.published = Some(150_000));
    let app = net.broker.app();
    let mut all = Vec::new();
    for number in 1..=5 {
        net.broker.files.put(&format!("/f{number}"), &bytes(usize::from(number), 100_000));
        all.extend(letter(None, number, &with_file(number)));
    }
    assert_eq!(net.broker.input(app, &all), Reading::Paused);
    for _ in 0..20 {
        net.run();
        net.broker.pass(Duration::from_secs(4));
    }
    check_got(&net, a, &(1..=5).map(|n| (n, 100_000)).collect::<Vec<_>>());
    check_over(&mut net);
}

#[test]
fn an_app_of_the_broker_waits_with_its_file_for_a_disk_that_fails() {
    let mut net = Net::new(stores);
    let a = net.add("a", &["news"]);
    net.broker.disks.cannot_open(Some("no space left"));
    // It finds out.
    send(&mut net.broker, 1, 1_000);
    send(&mut net.broker, 2, 1_000);
    net.run();
    assert_eq!(net.clients[a].read.len(), 0);
    net.broker.disks.cannot_open(None);
    net.broker.pass(Duration::from_secs(6));
    net.run();
    check_got(&net, a, &[(2, 1_000)]);
    // The first one, which found out.
    assert_eq!(net.broker.ledger(), ["('10.0.0.1', 10673) news store_failed 1"]);
}

#[test]
fn with_an_interval_a_file_stays_until_it_is_saved_that_its_message_has_gone() {
    let mut net = Net::new(|settings| {
        stores(settings);
        settings.sync = Sync::Interval(Duration::from_secs(2));
    });
    let a = net.add("a", &["news"]);
    send(&mut net.broker, 1, 1_000);
    net.run();
    check_got(&net, a, &[(1, 1_000)]);
    assert_eq!(net.broker.files.published(), 1, "a broker that dies now finds the message again");
    net.broker.pass(Duration::from_secs(3));
    net.run();
    check_over(&mut net);
}

#[test]
fn a_peer_with_plain_frames_publishes_a_file_in_constant_memory() {
    let mut net = Net::new(|s| s.max_message_size = 2048);
    let (a, b) = (net.add("a", &["news"]), net.add("b", &["news"]));
    let py = net.broker.link("py");
    let contents = bytes(1, 3_000_000);
    let header = json!({"message_type": "_pubsub", "message_type_publish": "news", "source_id": "py",
        "transport_id": 5, "with_binary": true,
        "with_file": {"src_path": "/secret", "dst_type": "any", "dst_name": "f1", "binary_offset": 3}});
    let frame = message_with_binary(&header.to_string(), &[1], &[b"own", &contents[..]].concat());
    for piece in frame.chunks(70_000) {
        assert_eq!(net.broker.input(py, piece), Reading::Open);
    }
    net.run();
    for client in [a, b] {
        check_got(&net, client, &[(1, 3_000_000)]);
        let header = &net.clients[client].rig.headers[0];
        assert_eq!((&header["with_binary"], header.get("transport_id")), (&json!(true), None));
    }
    let acks = frames(&net.broker.sent(py)).iter().filter(|(h, _)| h["message_type"] == "_ack").count();
    assert_eq!(acks, 1);
    // One that is cut amid it leaves nothing.
    let py = net.broker.link("py");
    net.broker.input(py, &frame[..1_000_000]);
    assert_eq!(net.broker.files.open(), 1);
    net.broker.closed(py, aioconnectors::core::Cause::ClosedByPeer);
    check_over(&mut net);
}

#[test]
fn a_subscriber_with_plain_frames_gets_the_file_behind_its_message() {
    let mut rig = broker(|_| {});
    let (py, other) = (rig.link("py"), rig.link("other"));
    for (link, name) in [(py, "py"), (other, "other")] {
        rig.input(
            link,
            &typed_from("_pubsub", name, json!({"subscribe_message_types": ["news"]}).to_string().as_bytes()),
        );
    }
    let contents = bytes(1, 200_000);
    rig.files.put("/f1", &contents);
    let app = rig.app();
    rig.input(app, &letter(None, 1, &with_file(1)));
    for link in [py, other] {
        let sent = rig.sent(link);
        let (header, data) = frames(&sent).remove(0);
        assert_eq!(
            (&header["message_type"], &header["with_file"]["dst_name"], data),
            (&json!("news"), &json!("f1"), vec![1])
        );
        assert_eq!(header["with_file"]["delete"], false);
        assert!(sent.ends_with(&contents), "its bytes are the end of the binary");
    }
    rig.drain();
    assert_eq!((rig.files.published(), rig.files.open()), (0, 0));
    assert!(!rig.files.has("/f1"));
    // Who leaves amid it leaves nothing.
    rig.files.put("/f2", &contents);
    rig.input(app, &letter(None, 2, &with_file(2)));
    assert_eq!(rig.sent_up_to(py, 70_000).len(), 70_000);
    rig.sent(other);
    rig.closed(py, aioconnectors::core::Cause::ClosedByPeer);
    assert_eq!((rig.files.published(), rig.files.open()), (0, 0));
}

#[test]
fn pieces_of_a_python_app_are_published_one_by_one() {
    let mut rig = broker(|_| {});
    let (py, p) = (rig.link("py"), rig.link("p"));
    rig.input(py, &typed_from("_pubsub", "py", json!({"subscribe_message_types": ["news"]}).to_string().as_bytes()));
    for index in 1..=3 {
        let name = format!("f__aioconnectors_chunk_{index}_3");
        let header = json!({"message_type": "_pubsub", "message_type_publish": "news", "source_id": "p", "with_binary": true,
            "with_file": {"src_path": "/x", "dst_type": "any", "dst_name": name,
                "chunked": ["f__aioconnectors_chunk", index, 3]}});
        rig.input(p, &message_with_binary(&header.to_string(), b"d", &[index; 1000]));
    }
    let sent = frames(&rig.sent(py));
    let chunks: Vec<Value> = sent.iter().map(|(h, _)| h["with_file"]["chunked"][1].clone()).collect();
    assert_eq!(chunks, [json!(1), json!(2), json!(3)]);
    rig.drain();
    assert_eq!(rig.files.published(), 0);
}

#[test]
fn many_subscribers_share_one_copy_and_little_memory() {
    let mut net = Net::new(|_| {});
    let all: Vec<usize> = (0..100).map(|n| net.add(&format!("c{n}"), &["news"])).collect();
    let p = net.add("p", &[]);
    for number in 1..=20 {
        send(&mut net.clients[p].rig, number, 2000);
    }
    net.run();
    let expected: Vec<_> = (1..=20).map(|n| (n, 2000)).collect();
    all.iter().for_each(|client| check_got(&net, *client, &expected));
    assert_eq!(net.broker.files.moved().1, 40_000);
    check_over(&mut net);
}

/// What a client's apps have read of a lane of messages, with files or without, in order.
fn got(net: &Net, client: usize, with_files: bool) -> Vec<u8> {
    let read = net.clients[client].read.iter().zip(&net.clients[client].rig.headers);
    let of_lane = read.filter(|(_, header)| header.get("with_file").is_some() == with_files);
    of_lane.map(|((_, data), _)| data[0]).collect()
}

/// Crashes, cuts and pauses at any place: a subscriber that lasts gets all of it with its files, once, in order.
#[test]
fn whatever_happens_no_file_is_missed_and_none_comes_twice() {
    for seed in 0..30 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut net = Net::new(stores);
        let subscribed: [&[&str]; 4] = [&["news"], &["*"], &["news", ">"], &[]];
        for (n, subscribes) in subscribed.iter().enumerate() {
            net.add_with(&format!("c{n}"), subscribes, |s| {
                stores(s);
                s.persist_recv = aioconnectors::core::Covered::All;
            });
        }
        let (mut sizes, mut plain) = (Vec::new(), Vec::new());
        for step in 0..150_u8 {
            let client = rng.usize(..4);
            match rng.u8(..20) {
                0..4 => {
                    let size = if rng.bool() { rng.usize(..200_000) } else { rng.usize(..20) };
                    send(&mut net.clients[3].rig, step, size);
                    sizes.push((step, size));
                }
                4 | 5 => {
                    net.publish(3, "news", &[step]);
                    plain.push(step);
                }
                6..12 => _ = net.step(rng.usize(1..100_000)),
                12 => net.cut(client),
                13 | 14 if net.clients[client].ends.is_none() => net.connect(client),
                15 if rng.bool() => net.crash_broker(|disks| disks),
                16 => net.clients[client].is_slow = rng.bool(),
                17 if rng.bool() && client != 3 => {
                    net.clients[client].read();
                    let headers = net.clients[client].rig.headers.clone();
                    net.crash_client(client);
                    net.clients[client].rig.headers = headers;
                }
                18 => net.broker.files.set_faults(|faults| faults.slow = u32::from(rng.u8(..3))),
                _ => _ = net.clients[client].read(),
            }
        }
        for client in 0..4 {
            net.clients[client].is_slow = false;
            if net.clients[client].ends.is_none() {
                net.connect(client);
            }
        }
        for _ in 0..6 {
            net.run();
            net.broker.pass(Duration::from_secs(4));
            net.clients.iter_mut().for_each(|client| client.rig.pass(Duration::from_secs(4)));
        }
        for client in 0..3 {
            let numbers: Vec<u8> = sizes.iter().map(|(number, _)| *number).collect();
            assert_eq!(got(&net, client, true), numbers, "seed {seed}, client {client}");
            assert_eq!(got(&net, client, false), plain, "seed {seed}, client {client}");
            for (number, size) in &sizes {
                let came = net.clients[client].rig.files.arrived_as(&format!("f{number}"));
                assert!(came == [bytes(usize::from(*number), *size)], "seed {seed}, client {client}, file {number}");
            }
            assert!(net.clients[client].rig.headers.iter().all(|h| h["with_file"]["file_error"].is_null()));
        }
        assert!(sizes.iter().all(|(number, _)| !net.clients[3].rig.files.has(&format!("/f{number}"))), "seed {seed}");
        net.broker.files.set_faults(|faults| faults.slow = 0);
        check_over(&mut net);
        assert_eq!(net.broker.ledger(), [""; 0], "seed {seed}");
    }
}
