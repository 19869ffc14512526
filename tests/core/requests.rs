//! Requests that await their answer.

use std::time::Duration;

use aioconnectors::core::settings::{APP_REQUESTS_MAX, REQUESTS_MAX};
use aioconnectors::core::{Cause, Covered, Id, OnFull, Output};
use serde_json::Value;

use crate::pair::Pair;
use crate::rig::{Rig, SERVER, any_to, frames, message};

fn ask(rig: &mut Rig, request_id: &str) -> Id {
    let app = rig.app();
    let header = format!(r#"{{"message_type": "any", "destination_id": "c1", "await_response": true{request_id}}}"#);
    rig.input(app, &message(&header, b"?"));
    app
}

/// A request to a peer, with this id and more keys.
fn request(destination: &str, id: &str, more: &str) -> Vec<u8> {
    let to = format!(r#"{{"message_type": "any", "destination_id": "{destination}", "await_response": true"#);
    message(&format!(r#"{to}, "request_id": {id}{more}}}"#), b"?")
}

fn answer(response_id: &str) -> Vec<u8> {
    message(&format!(r#"{{"message_type": "any", "source_id": "c1", "response_id": {response_id}}}"#), b"!")
}

#[test]
fn an_answer_goes_to_its_asker_alone() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    let (first, second) = (ask(&mut rig, r#", "request_id": 1"#), ask(&mut rig, r#", "request_id": "1""#));
    rig.input(link, &answer("1"));
    assert_eq!(rig.sent(first), answer("1"));
    assert_eq!(rig.sent(second), b"");
    rig.input(link, &answer("1"));
    let inbox = rig.open_app();
    assert_eq!(rig.sent(inbox), answer("1"), "an answer that nobody awaits is an ordinary message");
}

#[test]
fn a_request_without_an_id_is_given_one() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    let app = ask(&mut rig, "");
    let id = frames(&rig.sent(link))[0].0["request_id"].clone();
    rig.input(link, &answer(&id.to_string()));
    assert_eq!(frames(&rig.sent(app)).len(), 1);
}

#[test]
fn two_apps_that_use_one_id_get_each_their_own_answer() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    let (first, second) = (ask(&mut rig, r#", "request_id": 1"#), ask(&mut rig, r#", "request_id": 1"#));
    let ids: Vec<String> = frames(&rig.sent(link)).iter().map(|(header, _)| header["request_id"].to_string()).collect();
    assert_eq!(ids[0], "1", "an id that is free goes as it is");
    assert_ne!(ids[1], "1");
    rig.input(link, &[answer(&ids[1]), answer(&ids[0])].concat());
    assert_eq!((rig.sent(first), rig.sent(second)), (answer("1"), answer("1")));
}

#[test]
fn an_id_that_an_app_uses_again_before_its_answer_is_for_the_newer_request() {
    let mut rig = Rig::server();
    let (link, app) = (rig.link("c1"), rig.app());
    rig.input(app, &[request("c1", "1", ""), request("c1", "1", "")].concat());
    let ids: Vec<String> = frames(&rig.sent(link)).iter().map(|(header, _)| header["request_id"].to_string()).collect();
    rig.input(link, &answer(&ids[0]));
    assert_eq!(rig.sent(app), b"", "the answer to the older is not taken for that to the newer");
    let inbox = rig.open_app();
    assert_eq!(rig.sent(inbox), answer("1"));
    rig.input(link, &answer(&ids[1]));
    assert_eq!(rig.sent(app), answer("1"));
}

#[test]
fn many_requests_on_one_connection_are_answered_in_any_order() {
    let mut rig = Rig::server();
    let (one, two, app) = (rig.link("c1"), rig.link("c2"), rig.app());
    rig.input(app, &[request("c1", "1", ""), request("c2", "1", ""), request("c1", r#""1""#, "")].concat());
    let other = r#"{"message_type": "other", "destination_id": "c1", "await_response": true, "request_id": 1}"#;
    rig.input(app, &message(other, b"?"));
    assert_eq!((frames(&rig.sent(one)).len(), frames(&rig.sent(two)).len()), (3, 1));
    let of_other = message(r#"{"message_type": "other", "source_id": "c1", "response_id": 1}"#, b"o");
    let of_two = message(r#"{"message_type": "any", "source_id": "c2", "response_id": 1}"#, b"2");
    for (link, answer) in [(one, of_other), (two, of_two), (one, answer(r#""1""#)), (one, answer("1"))] {
        rig.input(link, &answer);
        assert_eq!(rig.sent(app), answer);
    }
    assert_eq!(rig.dialled_app(), None);
}

#[test]
fn an_answer_of_another_type_or_from_another_peer_is_an_ordinary_message() {
    let mut rig = Rig::server();
    let (link, other, app) = (rig.link("c1"), rig.link("c2"), rig.app());
    rig.input(app, &request("c1", "1", ""));
    rig.input(link, &message(r#"{"message_type": "other", "source_id": "c1", "response_id": 1}"#, b"type"));
    rig.input(other, &message(r#"{"message_type": "any", "source_id": "c2", "response_id": 1}"#, b"peer"));
    assert_eq!(rig.sent(app), b"");
    assert_eq!(rig.read_apps(), [("other".into(), b"type".to_vec()), ("any".into(), b"peer".to_vec())]);
    rig.input(link, &answer("1"));
    assert_eq!(rig.sent(app), answer("1"));
}

/// The errors that an app is told: request ids and reasons.
fn errors(rig: &mut Rig, app: Id) -> Vec<(Value, String)> {
    let told = frames(&rig.sent(app));
    told.iter().map(|(h, _)| (h["response_id"].clone(), h["error"].as_str().unwrap_or("none").to_owned())).collect()
}

#[test]
fn an_app_with_other_requests_on_their_way_is_told_why_one_is_refused_and_goes_on() {
    let mut rig = Rig::server();
    let (link, app) = (rig.link("c1"), rig.app());
    let secret = r#"{"message_type": "secret", "destination_id": "c1", "await_response": true, "request_id": 3}"#;
    rig.input(app, &[request("c1", "1", ""), request("c2", "2", ""), message(secret, b"")].concat());
    assert_eq!(errors(&mut rig, app), [(2.into(), "unknown_peer".into()), (3.into(), "type_not_allowed".into())]);
    rig.input(link, &answer("1"));
    assert_eq!(rig.sent(app), answer("1"));
    assert!(!rig.is_closed(app));
    assert_eq!(rig.ledger(), ["c1 secret type_not_allowed 1", "c2 any unknown_peer 1"]);
}

#[test]
fn an_app_that_says_how_long_it_waits_is_told_why_its_request_is_refused() {
    for preserve in [true, false] {
        let mut rig = Rig::server_with(|s| s.preserve_send_socket = preserve);
        let app = rig.app();
        rig.input(app, &request("c1", "2", r#", "await_response_timeout": 5"#));
        assert_eq!(errors(&mut rig, app), [(2.into(), "unknown_peer".into())]);
        assert_eq!(rig.is_closed(app), !preserve);
    }
}

#[test]
fn an_app_that_has_said_hello_is_told_why_its_request_is_refused() {
    let mut rig = Rig::server();
    let app = rig.app();
    rig.input(app, &message(r#"{"message_type": "_hello", "receipts": "accepted"}"#, b""));
    rig.sent(app);
    rig.input(app, &message(r#"{"message_type": "any", "destination_id": "c1", "await_response": true}"#, b"?"));
    let told = frames(&rig.sent(app));
    let errors: Vec<&Value> = told.iter().map(|(h, _)| &h["error"]).filter(|error| !error.is_null()).collect();
    assert_eq!(errors, ["unknown_peer"], "{told:?}");
    assert!(!rig.is_closed(app));
}

#[test]
fn a_request_is_given_up_when_its_time_is_over_and_a_late_answer_is_an_ordinary_message() {
    let mut rig = Rig::server();
    let (link, app) = (rig.link("c1"), rig.app());
    let waits = |id, time: &str| request("c1", id, &format!(r#", "await_response_timeout": {time}"#));
    rig.input(app, &[waits("1", "2"), waits("2", "0.5"), request("c1", "3", "")].concat());
    rig.pass(Duration::from_millis(400));
    assert_eq!(rig.sent(app), b"");
    rig.pass(Duration::from_millis(100));
    assert_eq!(errors(&mut rig, app), [(2.into(), "timeout".into())]);
    rig.input(link, &[answer("2"), answer("1")].concat());
    assert_eq!(rig.sent(app), answer("1"));
    assert_eq!(rig.read_apps(), [("any".into(), b"!".to_vec())]);
    rig.pass(Duration::from_secs(100));
    assert_eq!(rig.sent(app), b"", "what was answered is not overdue, and one without a time waits on");
    rig.input(link, &answer("3"));
    assert_eq!(rig.sent(app), answer("3"));
}

#[test]
fn requests_beyond_the_limit_of_a_connection_are_refused_and_others_go_on() {
    let mut rig = Rig::server();
    let (link, app) = (rig.link("c1"), rig.app());
    for id in 0..=APP_REQUESTS_MAX {
        rig.input(app, &request("c1", &id.to_string(), ""));
    }
    assert_eq!(errors(&mut rig, app), [(APP_REQUESTS_MAX.into(), "too_many_requests".into())]);
    let other = ask(&mut rig, r#", "request_id": "x""#);
    rig.input(link, &[answer("5"), answer(r#""x""#)].concat());
    assert_eq!((rig.sent(app), rig.sent(other)), (answer("5"), answer(r#""x""#)));
    rig.input(app, &request("c1", r#""again""#, ""));
    assert_eq!(rig.sent(app), b"", "there is room again");
}

#[test]
fn requests_beyond_the_limit_of_all_apps_are_refused() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    for _ in 0..REQUESTS_MAX / APP_REQUESTS_MAX {
        let app = rig.app();
        let all: Vec<u8> = (0..APP_REQUESTS_MAX).flat_map(|id| request("c1", &id.to_string(), "")).collect();
        rig.input(app, &all);
        assert_eq!(rig.sent(app), b"");
        rig.sent(link);
    }
    let app = rig.app();
    rig.input(app, &request("c1", "1", r#", "await_response_timeout": 5"#));
    assert_eq!(errors(&mut rig, app), [(1.into(), "too_many_requests".into())]);
}

#[test]
fn askers_are_told_when_the_connector_stops_before_it_ends() {
    let mut rig = Rig::server_with(|s| s.persist_send = Covered::All);
    let app = rig.app();
    rig.input(app, &[request("c1", "1", ""), request("c1", "2", "")].concat());
    rig.stop();
    assert!(!rig.outputs.contains(&Output::Stopped), "it has something to say still");
    assert_eq!(errors(&mut rig, app), [(1.into(), "stopping".into()), (2.into(), "stopping".into())]);
    assert!(rig.outputs.contains(&Output::Stopped));
}

#[test]
fn a_request_that_gives_way_to_newer_messages_is_told_so() {
    let mut rig = Rig::server_with(|s| {
        s.queue_max_bytes = 10_000;
        s.on_full.insert("any".into(), OnFull::DropOldest);
    });
    let (link, app) = (rig.link("c1"), rig.app());
    rig.input(app, &request("c1", "1", ""));
    rig.sent_unconfirmed(link, usize::MAX);
    rig.input(app, &request("c1", "2", ""));
    rig.input(app, &any_to("c1", &[0; 9_900]));
    assert_eq!(errors(&mut rig, app), [(2.into(), "queue_full".into())]);
    rig.input(link, &answer("1"));
    assert_eq!(rig.sent(app), answer("1"), "what went out can be answered");
}

#[test]
fn a_request_that_is_stored_while_its_peer_is_away_is_answered_when_it_comes() {
    let mut rig = Rig::server_with(|s| s.persist_send = Covered::All);
    let app = rig.app();
    rig.input(app, &[request("c1", "1", ""), request("c1", "2", r#", "await_response_timeout": 60"#)].concat());
    assert_eq!(rig.sent(app), b"");
    let link = rig.link("c1");
    assert_eq!(frames(&rig.sent(link)).len(), 2);
    rig.input(link, &[answer("2"), answer("1")].concat());
    assert_eq!(rig.sent(app), [answer("2"), answer("1")].concat());
}

#[test]
fn an_answer_from_before_a_restart_is_not_taken_for_another() {
    let made_up = |seed| {
        let mut rig = Rig::server_with(|s| s.seed = seed);
        let link = rig.link("c1");
        ask(&mut rig, "");
        frames(&rig.sent(link))[0].0["request_id"].clone()
    };
    assert_ne!(made_up(1), made_up(2));
}

#[test]
fn askers_of_a_peer_that_goes_are_told() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    let app = ask(&mut rig, r#", "request_id": 7"#);
    rig.closed(link, Cause::ClosedByPeer);
    let told = frames(&rig.sent(app));
    assert_eq!((&told[0].0["error"], &told[0].0["response_id"]), (&"disconnected_during_wait".into(), &7.into()));
    assert_eq!(told.len(), 1);
}

#[test]
fn askers_are_told_in_an_order_that_does_not_depend_on_chance() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    let app = rig.app();
    for id in 10..40 {
        let header =
            format!(r#"{{"message_type": "any", "destination_id": "c1", "await_response": true, "request_id": {id}}}"#);
        rig.input(app, &message(&header, b"?"));
    }
    rig.closed(link, Cause::ClosedByPeer);
    let ids: Vec<i64> = frames(&rig.sent(app)).iter().filter_map(|(h, _)| h["response_id"].as_i64()).collect();
    assert_eq!(ids, (10..40).collect::<Vec<_>>());
}

#[test]
fn an_asker_whose_request_goes_nowhere_learns_so_from_the_end_of_its_connection() {
    let mut rig = Rig::server();
    let away = ask(&mut rig, "");
    assert!(rig.is_closed(away));
    rig.link("c1");
    let app = rig.app();
    rig.input(app, &message(r#"{"message_type": "secret", "destination_id": "c1", "await_response": true}"#, b""));
    assert!(rig.is_closed(app), "a type that may not be sent");
    let long = format!(
        r#"{{"message_type": "any", "destination_id": "c1", "await_response": true, "x": "{}"}}"#,
        "x".repeat(65_440)
    );
    let app = rig.app();
    rig.input(app, &message(&long, b""));
    assert!(rig.is_closed(app), "a header without room for the source");
    assert_eq!(rig.core.ledger().total(), 3);
    assert_eq!(rig.sent(app), b"");
}

#[test]
fn an_answer_whose_asker_is_gone_is_an_ordinary_message() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    let app = ask(&mut rig, r#", "request_id": 7"#);
    rig.closed(app, Cause::ClosedByPeer);
    rig.input(link, &answer("7"));
    let inbox = rig.open_app();
    assert_eq!(rig.sent(inbox), answer("7"));
}

#[test]
fn a_ping_is_answered_with_all_that_came_however_large() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    let body = vec![7; 700_000];
    rig.input(
        link,
        &message(r#"{"message_type": "_ping", "source_id": "c1", "request_id": 5, "await_response": true}"#, &body),
    );
    let mut out = Vec::new();
    let (core, now) = (&mut rig.core, rig.now);
    while core.transmit(link, 1000, now, &mut |bytes| {
        assert!(bytes.len() <= 1000, "not more than the budget");
        out.extend_from_slice(bytes);
        bytes.len()
    }) {}
    let answer = frames(&out);
    assert_eq!(answer[0].1, body);
    assert_eq!(
        answer[0].0.to_string(),
        format!(r#"{{"message_type":"_ping","response_id":5,"source_id":"{SERVER}"}}"#)
    );
}

#[test]
fn an_app_may_ask_the_other_connector_for_an_echo() {
    let mut rig = Rig::server();
    let (link, app) = (rig.link("c1"), rig.app());
    rig.input(
        app,
        &message(r#"{"message_type": "_ping", "destination_id": "c1", "await_response": true, "request_id": 1}"#, b"e"),
    );
    assert_eq!(frames(&rig.sent(link))[0].0["message_type"], "_ping");
    let echo = message(r#"{"message_type": "_ping", "source_id": "c1", "response_id": 1}"#, b"e");
    rig.input(link, &echo);
    assert_eq!(rig.sent(app), echo);
}

#[test]
fn an_id_of_the_connectors_own_pings_may_be_used_by_an_app() {
    let mut rig = Rig::client_with(|_| {});
    let (link, app) = (rig.up(), rig.app());
    for id in ["keep_alive_client_check", "link_check"] {
        let ping = format!(r#"{{"message_type": "_ping", "await_response": true, "request_id": "{id}"}}"#);
        rig.input(app, &message(&ping, b"e"));
        let sent = frames(&rig.sent(link))[0].0["request_id"].clone();
        assert_ne!(sent, *id);
        let echo = |id: &Value| {
            message(&format!(r#"{{"message_type": "_ping", "source_id": "s", "response_id": {id}}}"#), b"e")
        };
        rig.input(link, &echo(&sent));
        assert_eq!(rig.sent(app), echo(&id.into()));
    }
}

#[test]
fn pings_and_requests_pass_both_ways_on_both_kinds_of_link() {
    for link2 in [true, false] {
        let mut pair = Pair::with(|s| s.link2 = link2);
        let (at_client, at_server) = (pair.client.app(), pair.server.app());
        let ping = |id| {
            format!(
                r#"{{"message_type": "_ping", "destination_id": "c1", "await_response": true, "request_id": {id}}}"#
            )
        };
        pair.client.input(at_client, &[message(&ping(1), b"a"), message(&ping(2), b"b")].concat());
        pair.server.input(at_server, &[message(&ping(1), b"c"), request("c1", "7", "")].concat());
        pair.run();
        let echoes = |rig: &mut Rig, app| -> Vec<(Value, Vec<u8>)> {
            frames(&rig.sent(app)).into_iter().map(|(header, data)| (header["response_id"].clone(), data)).collect()
        };
        assert_eq!(echoes(&mut pair.client, at_client), [(1.into(), b"a".to_vec()), (2.into(), b"b".to_vec())]);
        assert_eq!(echoes(&mut pair.server, at_server), [(1.into(), b"c".to_vec())]);
        pair.read();
        assert_eq!(pair.read.0, [("any".into(), b"?".to_vec())]);
        let answer = message(r#"{"message_type": "any", "response_id": 7}"#, b"yes");
        pair.client.input(at_client, &answer);
        pair.run();
        assert_eq!(echoes(&mut pair.server, at_server), [(7.into(), b"yes".to_vec())]);
    }
}
