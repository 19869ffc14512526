//! Apps that send: what is taken, what is refused, and who waits for whom.

use aioconnectors::core::Secured;
use aioconnectors::core::{Cause, Reading};
use aioconnectors::wire::control::{HANDSHAKE_NO_SSL, HELLO, own_frame};

use crate::rig::{Rig, SERVER, any_to, frames, message, settings};
use aioconnectors::wire::names::Role;

#[test]
fn unknown_keys_are_carried_through_byte_for_byte() {
    let mut rig = Rig::server();
    let (link, app) = (rig.link("c1"), rig.app());
    let kept = r#""n": 1.50e3, "big": 123456789012345678901234567890, "x": {"y":[1,  2], "k\u00e9y": "\/"}"#;
    rig.input(app, &message(&format!(r#"{{"message_type": "any", "destination_id": "c1", {kept}}}"#), b"d"));
    let expected = format!(r#"{{"message_type": "any", "destination_id": "c1", {kept}, "source_id": "{SERVER}"}}"#);
    assert_eq!(rig.sent(link), message(&expected, b"d"));
}

#[test]
fn a_header_that_is_as_it_must_be_is_not_touched() {
    let mut rig = Rig::server();
    let (link, app) = (rig.link("c1"), rig.app());
    let header = format!(r#"{{ "source_id":"{SERVER}","message_type" : "any", "destination_id": "c1"  }}"#);
    let two = [message(&header, b"1"), message(&header, b"2")].concat();
    rig.input(app, &two);
    assert_eq!(rig.sent(link), two);
}

#[test]
fn a_client_addresses_all_to_its_server() {
    let mut rig = Rig::client_with(|_| {});
    let link = rig.up();
    let app = rig.app();
    rig.input(app, &any_to("elsewhere", b""));
    let sent = frames(&rig.sent(link));
    assert_eq!((&sent[0].0["destination_id"], &sent[0].0["source_id"]), (&SERVER.into(), &"c1".into()));
}

#[test]
fn what_goes_nowhere_is_in_the_ledger_with_its_reason() {
    let mut rig = Rig::server();
    rig.link("c1");
    let app = rig.app();
    rig.input(app, &any_to("nobody", b""));
    rig.input(app, &message(r#"{"message_type": "secret", "destination_id": "c1"}"#, b""));
    assert_eq!(rig.ledger(), ["c1 secret type_not_allowed 1", "nobody any unknown_peer 1"]);
    assert!(!rig.is_closed(app));
}

#[test]
fn a_one_message_connection_is_closed_after_its_message_also_if_that_is_dropped() {
    let mut rig = Rig::server_with(|s| s.preserve_send_socket = false);
    rig.link("c1");
    for destination in ["c1", "nobody"] {
        let app = rig.app();
        rig.input(app, &any_to(destination, b"x"));
        assert!(rig.is_closed(app), "the app of the message to {destination}");
    }
}

#[test]
fn an_app_that_sends_garbage_is_closed_and_nobody_else_is() {
    let mut rig = Rig::server();
    let (link, bad, good) = (rig.link("c1"), rig.app(), rig.app());
    rig.input(bad, &message("no json", b""));
    assert!(rig.is_closed(bad));
    rig.input(good, &any_to("c1", b"x"));
    assert_eq!(frames(&rig.sent(link)).len(), 1);
}

#[test]
fn a_message_as_long_as_may_be_does_not_break_the_link_by_its_longer_header() {
    let limit = |s: &mut aioconnectors::core::Settings| s.max_message_size = 1000;
    let mut server = Rig::server_with(limit);
    let mut client = Rig::client_with(limit);
    let (theirs, ours) = (server.link("c1"), client.up());
    let app = client.app();
    let header = r#"{"message_type": "any"}"#;
    let longest = message(header, &vec![0; 1000 - 2 - header.len() - 4]);
    client.input(app, &longest);
    assert!(!client.is_closed(app));
    server.input(theirs, &client.sent(ours));
    assert!(!server.is_closed(theirs), "{:?}", server.events());
    let receiver = server.open_app();
    assert_eq!(frames(&server.sent(receiver)).len(), 1);
}

#[test]
fn an_app_that_feeds_a_full_peer_waits_and_others_do_not() {
    let mut rig = Rig::server();
    let (slow, quick) = (rig.link("slow"), rig.link("quick"));
    let (feeder, other) = (rig.app(), rig.app());
    let piece = any_to("slow", &[1; 100_000]);
    let mut taken = 1;
    while rig.input(feeder, &piece) == Reading::Open {
        taken += 1;
    }
    assert!((10..=12).contains(&taken), "about a megabyte is taken, not {taken} times 100 KB");
    assert_eq!(rig.input(other, &any_to("quick", b"x")), Reading::Open);
    assert_eq!(frames(&rig.sent(quick)).len(), 1);
    let mut sent = rig.sent_up_to(slow, 400_000);
    assert!(!rig.is_resumed(feeder), "more than half of it still waits");
    sent.extend(rig.sent_up_to(slow, 400_000));
    assert!(rig.is_resumed(feeder));
    sent.extend(rig.sent(slow));
    assert_eq!(frames(&sent).len(), taken, "none lost, none twice");
}

#[test]
fn an_app_that_waits_for_a_peer_goes_on_over_the_link_that_replaces_its_link() {
    let mut rig = Rig::server();
    rig.link("c1");
    let app = rig.app();
    let piece = any_to("c1", &[1; 100_000]);
    let mut pieces = 1;
    while rig.input(app, &piece) == Reading::Open {
        pieces += 1;
    }
    let newer = rig.accept_link();
    rig.secured(newer, Secured::Anonymous);
    rig.input(newer, &own_frame(HANDSHAKE_NO_SSL, "c1", HELLO));
    let mut sent = frames(&rig.sent(newer)).len();
    sent += frames(&rig.sent(newer)).len();
    assert_eq!((sent, rig.ledger()), (pieces, vec![]));
}

#[test]
fn a_queue_of_less_than_one_message_still_passes_messages_on() {
    let mut rig = Rig::server_with(|s| s.queue_max_bytes = 100);
    let (link, app) = (rig.link("c1"), rig.app());
    let two = [any_to("c1", &[1; 1000]), any_to("c1", &[2; 1000])].concat();
    assert_eq!(rig.input(app, &two), Reading::Paused);
    let first = frames(&rig.sent(link)).len();
    assert_eq!(first + frames(&rig.sent(link)).len(), 2);
}

#[test]
fn messages_for_a_server_that_is_away_are_dropped_until_it_is_there() {
    let mut rig = Rig::new(settings(Role::Client));
    let app = rig.app();
    rig.input(app, &any_to(SERVER, b"early"));
    let link = rig.up();
    rig.input(app, &any_to(SERVER, b"late"));
    let sent = frames(&rig.sent(link));
    assert_eq!(sent.last().map(|(_, data)| data.as_slice()), Some(&b"late"[..]));
    assert_eq!(rig.ledger(), [format!("{SERVER} any peer_away 1")]);
}

#[test]
fn a_flood_of_drops_is_one_line_in_a_report() {
    let mut rig = Rig::server();
    let app = rig.app();
    for _ in 0..1000 {
        rig.input(app, &any_to("nobody", b""));
    }
    rig.pass(std::time::Duration::from_secs(3));
    let lines: Vec<String> = rig.events().iter().map(ToString::to_string).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("1000 messages dropped"), "{lines:?}");
    rig.closed(app, Cause::ClosedByPeer);
}
