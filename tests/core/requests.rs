//! Requests that await their answer.

use aioconnectors::core::{Cause, Id};

use crate::rig::{Rig, SERVER, frames, message};

fn ask(rig: &mut Rig, request_id: &str) -> Id {
    let app = rig.app();
    let header = format!(r#"{{"message_type": "any", "destination_id": "c1", "await_response": true{request_id}}}"#);
    rig.input(app, &message(&header, b"?"));
    app
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
fn of_two_requests_with_one_id_the_newer_is_answered_and_the_older_is_told() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    let (older, newer) = (ask(&mut rig, r#", "request_id": 1"#), ask(&mut rig, r#", "request_id": 1"#));
    assert_eq!(frames(&rig.sent(older))[0].0["error"], "overridden_by_newer_request");
    rig.input(link, &answer("1"));
    assert_eq!((rig.sent(newer), rig.sent(older)), (answer("1"), vec![]));
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
