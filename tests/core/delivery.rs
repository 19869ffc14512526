//! Messages on their way to the apps that listen.

use std::time::Duration;

use aioconnectors::core::{Cause, Event, Reading};

use crate::rig::{Rig, any_to, frames, message, message_with_binary, typed_from};

#[test]
fn a_message_without_a_listener_is_in_the_ledger() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    rig.input(link, &typed_from("any", "c1", b"1"));
    let app = rig.dialled_app().unwrap();
    rig.closed(app, Cause::NoListener);
    assert_eq!(rig.ledger(), ["c1 any no_listener 1"]);
    rig.pass(Duration::from_secs(5));
    rig.input(link, &typed_from("any", "c1", b"2"));
    assert_ne!(rig.dialled_app(), Some(app), "it is tried again with the next message");
}

#[test]
fn a_type_that_is_not_received_is_in_the_ledger() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    rig.input(link, &typed_from("strange", "c1", b""));
    assert_eq!(rig.ledger(), ["c1 strange type_not_allowed 1"]);
}

#[test]
fn names_in_the_ledger_are_short_whatever_is_sent() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    rig.input(link, &typed_from(&"é".repeat(30_000), "c1", b""));
    let longest = rig.core.ledger().iter().map(|(e, _)| e.peer.len() + e.message_type.len()).max();
    assert!(longest < Some(600), "{longest:?}");
}

#[test]
fn an_app_that_takes_one_message_a_connection_gets_one() {
    let mut rig = Rig::server_with(|s| s.preserve_receive_socket = false);
    let link = rig.link("c1");
    let stream: Vec<u8> = (0..3).flat_map(|n| typed_from("any", "c1", &[n])).collect();
    rig.input(link, &stream);
    for n in 0..3 {
        let app = rig.open_app();
        assert_eq!(rig.sent(app), typed_from("any", "c1", &[n]));
        assert!(rig.is_closed(app));
    }
}

#[test]
fn a_message_that_an_app_has_read_in_part_comes_whole_on_its_next_connection() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    let (one, two) = (typed_from("any", "c1", b"one"), typed_from("any", "c1", b"two"));
    rig.input(link, &[one.clone(), two.clone()].concat());
    let app = rig.open_app();
    assert_eq!(rig.sent_up_to(app, one.len() + 5).len(), one.len() + 5);
    rig.closed(app, Cause::ClosedByPeer);
    let again = rig.open_app();
    assert_ne!(app, again);
    assert_eq!(rig.sent(again), two);
}

#[test]
fn an_asked_for_acknowledgement_is_sent_and_its_number_taken_out() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    rig.input(link, &message(r#"{"message_type": "any", "source_id": "c1", "transport_id": 3, "tag": "t"}"#, b"d"));
    let app = rig.open_app();
    assert_eq!(rig.sent(app), message(r#"{"message_type": "any", "source_id": "c1", "tag": "t"}"#, b"d"));
    let ack = &frames(&rig.sent(link))[0].0;
    assert_eq!((&ack["message_type"], &ack["transport_id"]), (&"_ack".into(), &3.into()));
}

#[test]
fn the_bytes_of_a_file_never_reach_an_app() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    let header = |with: &str| {
        format!(r#"{{"message_type": "any", "source_id": "c1", "with_binary": true, "with_file": {{{with}}}}}"#)
    };
    rig.input(link, &message_with_binary(&header(r#""dst_name": "f""#), b"d", b"FILE"));
    rig.input(link, &message_with_binary(&header(r#""binary_offset": 3"#), b"d", b"ownFILE"));
    let app = rig.open_app();
    let expected = [
        message(r#"{"message_type": "any", "source_id": "c1", "with_file": {"dst_name": "f"}}"#, b"d"),
        message_with_binary(&header(r#""binary_offset": 3"#), b"d", b"own"),
    ];
    assert_eq!(rig.sent(app), expected.concat());
}

/// Feeds the link until it is paused; how many messages of 100 KB that took, the last one not counted.
fn fill(rig: &mut Rig, link: aioconnectors::core::Id, message_type: &str) -> usize {
    let piece = typed_from(message_type, "c1", &[1; 100_000]);
    (0..100).position(|_| rig.input(link, &piece) == Reading::Paused).unwrap()
}

#[test]
fn a_link_waits_for_an_app_that_does_not_read_until_it_has_stalled() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    rig.input(link, &typed_from("any", "c1", b""));
    let app = rig.open_app();
    rig.sent(app);
    let taken = fill(&mut rig, link, "any");
    assert!((40..44).contains(&taken), "four megabytes, not {taken} times 100 KB");
    rig.sent_up_to(app, 10);
    assert!(!rig.is_resumed(link));
    rig.pass(Duration::from_secs(101));
    assert!(rig.is_resumed(link), "nobody waits for it any longer");
    assert!(rig.events().iter().any(|e| matches!(e, Event::AppStalled { message_type, .. } if message_type == "any")));
    assert_eq!(rig.ledger(), ["c1 any app_stalled 1"]);
    rig.input(link, &typed_from("other", "c1", b"x"));
    let other = rig.open_app();
    assert_eq!(frames(&rig.sent(other)).len(), 1);
}

#[test]
fn a_link_that_waits_for_an_app_waits_once_whatever_is_sent_on_it() {
    let mut rig = Rig::server();
    let (link, app) = (rig.link("c1"), rig.app());
    fill(&mut rig, link, "any");
    for _ in 0..10 {
        rig.input(app, &any_to("c1", b"x"));
        assert_eq!(frames(&rig.sent(link)).len(), 1);
    }
}

#[test]
fn an_app_that_takes_connections_and_closes_them_unread_stalls_too() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    fill(&mut rig, link, "any");
    for _ in 0..1500 {
        if let Some(app) = rig.dialled_app() {
            rig.outputs.retain(|o| !matches!(o, aioconnectors::core::Output::DialApp(..)));
            rig.core.opened(app, None, rig.now);
            rig.closed(app, Cause::ClosedByPeer);
        }
        rig.pass(Duration::from_millis(50));
    }
    assert!(rig.is_resumed(link), "links do not wait for such an app for ever");
}

#[test]
fn a_client_that_reads_nothing_for_a_slow_app_does_not_blame_its_server_for_silence() {
    let mut rig = Rig::client_with(|s| {
        let (period, timeout) = (Duration::from_secs(5), Duration::from_secs(5));
        s.keep_alive = Some(aioconnectors::core::KeepAlive { period, timeout, unanswered_max: 2 });
    });
    let link = rig.open_dialled(aioconnectors::core::Secured::Anonymous);
    rig.sent(link);
    rig.input(link, &typed_from("any", "s", b""));
    let app = rig.open_app();
    let piece = typed_from("any", "s", &[1; 100_000]);
    while rig.input(link, &piece) == Reading::Open {}
    for _ in 0..30 {
        rig.pass(Duration::from_secs(1));
        rig.sent(link);
    }
    assert!(!rig.is_closed(link));
    rig.sent(app);
    assert!(rig.is_resumed(link));
    for _ in 0..30 {
        rig.pass(Duration::from_secs(1));
        rig.sent(link);
    }
    assert!(rig.is_closed(link), "a server that is silent while it is listened to is gone");
}
