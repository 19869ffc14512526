//! Stopped by an admin, and begun again.

use std::time::Duration;

use aioconnectors::core::settings::{HANDSHAKE_TIMEOUT, LINGER};
use aioconnectors::core::{Covered, Event, Id, LifeWork, Output, OwnerWork, Restart};
use aioconnectors::wire::admin::{encode_answer, encode_request};
use aioconnectors::wire::control::{CloseReason, close};
use serde_json::{Value, json};

use crate::rig::{Rig, SERVER, any_to, frames, typed_from};

fn request(command: &str, arguments: &Value) -> Vec<u8> {
    encode_request(command, arguments.as_object().unwrap())
}

/// An admin who has asked for something, and waits.
fn asks(rig: &mut Rig, command: &str, arguments: Value) -> Id {
    let admin = rig.core.accept_admin(rig.now);
    rig.input(admin, &request(command, &arguments));
    obey(rig);
    admin
}

/// Does what a shell does whose doors open, and whose owner finds nothing new in the config.
fn obey(rig: &mut Rig) {
    loop {
        let of_life = |output: &mut Output| matches!(output, Output::Life(_));
        let Some(Output::Life(work)) = rig.outputs.extract_if(.., of_life).next() else { return };
        match work {
            LifeWork::Rest { hard } => rig.core.rest(hard, rig.now),
            LifeWork::Open | LifeWork::Owner(OwnerWork::BeginAnew) => rig.core.begin_again(rig.now),
            LifeWork::Owner(OwnerWork::Prepare(id, restart)) => {
                rig.core.restart_prepared(id, restart, Ok(()), rig.now);
            }
            LifeWork::Owner(OwnerWork::End) => rig.core.end_when_answered(Err("it ends"), rig.now),
            _ => {}
        }
        rig.drain();
    }
}

fn answer(rig: &mut Rig, admin: Id) -> String {
    let answer = rig.sent(admin);
    let text = answer.get(4..).map(String::from_utf8_lossy).unwrap_or_default().into_owned();
    assert!(text.is_empty() || rig.is_closed(admin), "one request a connection");
    text
}

fn shown(rig: &mut Rig, command: &str) -> Value {
    let admin = asks(rig, command, json!({}));
    serde_json::from_str(&answer(rig, admin)).unwrap()
}

#[test]
fn a_hard_stop_keeps_what_is_queued_and_start_sends_it() {
    let mut rig = Rig::server_with(|settings| settings.persist_send = Covered::All);
    let (link, app) = (rig.link("c1"), rig.app());
    rig.input(app, &any_to("c1", b"one"));
    rig.input(link, &typed_from("any", "c1", b"in"));
    let admin = asks(&mut rig, "stop", json!({"hard": true}));
    assert_eq!(answer(&mut rig, admin), "{}");
    assert!(rig.core.is_resting() && rig.is_closed(link) && rig.is_closed(app));
    assert!(!rig.outputs.contains(&Output::Stopped));
    assert_eq!(shown(&mut rig, "show_connected_peers"), json!({}));
    assert_eq!(shown(&mut rig, "peek_queues"), json!({"queue_recv": 1, "queue_send": {"c1": 1}}));
    rig.pass(Duration::from_secs(3600));
    assert!(rig.core.is_resting());
    let admin = asks(&mut rig, "start", json!({}));
    assert_eq!(answer(&mut rig, admin), "{}");
    assert!(!rig.core.is_resting());
    let link = rig.link("c1");
    assert_eq!(frames(&rig.sent(link))[0].1, b"one");
    assert_eq!(rig.read_apps(), [("any".to_owned(), b"in".to_vec())]);
    assert_eq!(rig.ledger(), Vec::<String>::new());
}

#[test]
fn a_soft_stop_sends_what_is_queued_first_and_tells_peers() {
    let mut rig = Rig::server();
    let (link, app) = (rig.link("c1"), rig.app());
    rig.input(app, &any_to("c1", b"last"));
    let admin = asks(&mut rig, "stop", json!({"hard": false, "shutdown": false}));
    assert_eq!(answer(&mut rig, admin), "");
    assert!(!rig.core.is_resting());
    let mut sent = rig.sent(link);
    sent.extend(rig.sent(link));
    assert_eq!(frames(&sent)[0].1, b"last");
    assert!(sent.ends_with(&close(SERVER, CloseReason::Stopping)));
    assert_eq!(answer(&mut rig, admin), "{}");
    assert!(rig.core.is_resting());
    assert_eq!(rig.ledger(), Vec::<String>::new());
}

#[test]
fn a_soft_stop_waits_no_longer_than_it_may_and_what_is_left_stays_queued() {
    let mut rig = Rig::server();
    let (link, app) = (rig.link("c1"), rig.app());
    rig.input(app, &any_to("c1", b"kept"));
    let admin = asks(&mut rig, "stop", json!({}));
    rig.pass(Duration::from_secs(9));
    assert!(!rig.core.is_resting());
    rig.pass(Duration::from_millis(1500));
    assert_eq!(answer(&mut rig, admin), "{}");
    assert!(rig.core.is_resting() && rig.is_closed(link));
    assert_eq!(shown(&mut rig, "peek_queues")["queue_send"], json!({"c1": 1}));
    asks(&mut rig, "start", json!({}));
    let link = rig.link("c1");
    assert_eq!(frames(&rig.sent(link))[0].1, b"kept");
}

#[test]
fn an_admin_waits_for_a_stop_longer_than_for_its_request() {
    let mut rig = Rig::server_with(|settings| settings.shutdown_timeout = HANDSHAKE_TIMEOUT * 3);
    let (_link, app) = (rig.link("c1"), rig.app());
    rig.input(app, &any_to("c1", b""));
    let admin = asks(&mut rig, "stop", json!({}));
    rig.pass(HANDSHAKE_TIMEOUT * 2);
    assert!(!rig.is_closed(admin));
    rig.pass(HANDSHAKE_TIMEOUT + Duration::from_millis(500));
    assert_eq!(answer(&mut rig, admin), "{}");
}

#[test]
fn a_client_that_rests_does_not_dial_and_dials_when_it_is_started() {
    let mut rig = Rig::client_with(|_| {});
    let first = rig.dialled();
    let admin = asks(&mut rig, "stop", json!({"hard": true}));
    assert_eq!(answer(&mut rig, admin), "{}");
    rig.pass(Duration::from_secs(600));
    assert_eq!(rig.dialled(), first);
    asks(&mut rig, "start", json!({}));
    assert_ne!(rig.dialled(), first);
    rig.up();
}

#[test]
fn a_restart_begins_again_after_its_pause() {
    let mut rig = Rig::client_with(|_| {});
    rig.up();
    let first = rig.dialled();
    let admin = asks(&mut rig, "restart", json!({"sleep_between": 2.5, "hard": true}));
    assert!(rig.core.is_resting());
    rig.pass(Duration::from_secs(2));
    obey(&mut rig);
    assert!(rig.core.is_resting() && answer(&mut rig, admin).is_empty());
    rig.pass(Duration::from_secs(1));
    obey(&mut rig);
    assert_eq!(answer(&mut rig, admin), "{}");
    assert_ne!(rig.dialled(), first);
}

#[test]
fn a_restart_that_would_not_do_changes_nothing() {
    let mut rig = Rig::server();
    rig.link("c1");
    let admin = rig.core.accept_admin(rig.now);
    rig.input(admin, &request("restart", &json!({"hard": true})));
    let restart = Restart { hard: true, pause: Duration::ZERO };
    let prepare = Output::Life(LifeWork::Owner(OwnerWork::Prepare(admin, restart)));
    assert_eq!(rig.outputs.last(), Some(&prepare));
    rig.core.restart_prepared(admin, restart, Err("c.json: no".to_owned()), rig.now);
    rig.drain();
    assert_eq!(answer(&mut rig, admin), r#"{"status":false,"msg":"c.json: no"}"#);
    assert!(shown(&mut rig, "show_connected_peers").get("c1").is_some());
}

#[test]
fn doors_that_cannot_be_opened_leave_it_at_rest_and_are_told() {
    let mut rig = Rig::server();
    asks(&mut rig, "stop", json!({"hard": true}));
    let admin = rig.core.accept_admin(rig.now);
    rig.input(admin, &request("start", &json!({})));
    assert_eq!(rig.outputs.last(), Some(&Output::Life(LifeWork::Open)));
    rig.core.not_begun("the address is taken", rig.now);
    rig.drain();
    assert!(answer(&mut rig, admin).contains("it stays stopped: the address is taken"));
    assert!(rig.core.is_resting());
    rig.outputs.clear();
    let admin = asks(&mut rig, "start", json!({}));
    assert_eq!(answer(&mut rig, admin), "{}");
}

#[test]
fn several_admins_who_want_different_things_all_get_an_answer() {
    let mut rig = Rig::server();
    let (link, app) = (rig.link("c1"), rig.app());
    rig.input(app, &any_to("c1", b""));
    let stops = asks(&mut rig, "stop", json!({}));
    let stops_too = asks(&mut rig, "stop", json!({}));
    let starts = asks(&mut rig, "start", json!({}));
    let forces = asks(&mut rig, "stop", json!({"hard": true}));
    assert!(rig.core.is_resting() && rig.is_closed(link), "a hard stop goes ahead of a soft one");
    for admin in [stops, stops_too, forces] {
        assert_eq!(answer(&mut rig, admin), "{}");
    }
    assert!(answer(&mut rig, starts).contains("another admin has stopped the connector"));
    let again = asks(&mut rig, "stop", json!({}));
    assert_eq!(answer(&mut rig, again), "{}");
    let (one, two) = (asks(&mut rig, "start", json!({})), asks(&mut rig, "start", json!({})));
    assert_eq!((answer(&mut rig, one), answer(&mut rig, two)), ("{}".to_owned(), "{}".to_owned()));
}

#[test]
fn a_start_that_comes_amid_a_stop_follows_it() {
    let mut rig = Rig::client_with(|_| {});
    let (link, app) = (rig.up(), rig.app());
    rig.input(app, &any_to("", b"on its way"));
    let stops = asks(&mut rig, "stop", json!({}));
    let starts = asks(&mut rig, "start", json!({}));
    assert_eq!((answer(&mut rig, stops), answer(&mut rig, starts)), (String::new(), String::new()));
    rig.sent(link);
    rig.sent(link);
    rig.pass(Duration::from_millis(1));
    obey(&mut rig);
    assert_eq!((answer(&mut rig, stops), answer(&mut rig, starts)), ("{}".to_owned(), "{}".to_owned()));
    assert!(!rig.core.is_resting());
}

#[test]
fn a_stop_with_shutdown_answers_and_ends() {
    let mut rig = Rig::server();
    let admin = asks(&mut rig, "stop", json!({"shutdown": true}));
    obey(&mut rig);
    assert!(!rig.outputs.contains(&Output::Stopped), "its admin has no answer yet");
    let late = asks(&mut rig, "start", json!({}));
    assert!(answer(&mut rig, late).contains("about to end"));
    assert_eq!(answer(&mut rig, admin), "{}");
    assert!(rig.outputs.contains(&Output::Stopped));
}

#[test]
fn an_admin_who_takes_no_answer_does_not_keep_it_from_ending() {
    let mut rig = Rig::server();
    asks(&mut rig, "stop", json!({"shutdown": true, "hard": true}));
    obey(&mut rig);
    rig.pass(Duration::from_secs(2));
    assert!(rig.outputs.contains(&Output::Stopped));
}

#[test]
fn an_admin_whose_request_is_on_its_way_is_answered_before_another_life_and_a_silent_one_does_not_hold_it_up() {
    for speaks in [true, false] {
        let mut rig = Rig::server();
        let stops = asks(&mut rig, "stop", json!({}));
        obey(&mut rig);
        assert_eq!(answer(&mut rig, stops), "{}");
        let late = rig.core.accept_admin(rig.now);
        rig.core.end_when_answered(Ok(()), rig.now);
        rig.drain();
        assert!(!rig.outputs.contains(&Output::Stopped), "somebody may still ask");
        if speaks {
            rig.input(late, &request("peek_queues", &json!({})));
            assert!(answer(&mut rig, late).contains("queue_recv"));
        } else {
            rig.pass(LINGER);
        }
        assert!(rig.outputs.contains(&Output::Stopped));
    }
}

#[test]
fn the_end_of_the_process_ends_a_rest_and_counts_what_was_queued() {
    for hard in [false, true] {
        let mut rig = Rig::server();
        let (_link, app) = (rig.link("c1"), rig.app());
        rig.input(app, &any_to("c1", b"in memory"));
        asks(&mut rig, "stop", json!({"hard": true}));
        assert_eq!(rig.ledger(), Vec::<String>::new());
        if hard {
            rig.core.halt(rig.now)
        } else {
            rig.core.stop(rig.now)
        }
        rig.drain();
        assert!(rig.outputs.contains(&Output::Stopped));
        assert_eq!(rig.ledger(), ["c1 any stopping 1"]);
    }
}

#[test]
fn the_end_of_the_process_amid_a_stop_is_the_end() {
    let mut rig = Rig::server();
    let (link, app) = (rig.link("c1"), rig.app());
    rig.input(app, &any_to("c1", b"last"));
    asks(&mut rig, "stop", json!({}));
    rig.stop();
    rig.sent(link);
    rig.sent(link);
    assert!(rig.outputs.contains(&Output::Stopped) && !rig.core.is_resting());
}

#[test]
fn a_client_that_waits_for_reconnect_drops_its_link_and_dials_again() {
    let mut rig = Rig::client_with(|_| {});
    let (link, app) = (rig.up(), rig.app());
    let first = rig.dialled();
    let admin = asks(&mut rig, "stop", json!({"client_wait_for_reconnect": true, "hard": false}));
    assert_eq!(answer(&mut rig, admin), "{}");
    assert!(rig.is_closed(link) && !rig.is_closed(app));
    rig.pass(Duration::from_secs(10));
    assert_ne!(rig.dialled(), first);
}

#[test]
fn arguments_that_are_not_right_are_named() {
    let mut rig = Rig::server();
    for (command, arguments, said) in [
        ("stop", json!({"hard": 1}), "the argument hard of stop must be true or false"),
        ("restart", json!({"sleep_between": -1}), "the argument sleep_between must be a number of seconds up to 3600"),
        ("restart", json!({"sleep_between": 1e300}), "the argument sleep_between"),
        ("start", json!({"x": null}), "start does not know the argument \\\"x\\\""),
        ("set_log_level__sync", json!({}), "the argument level, as in INFO, is expected"),
        (
            "disconnect_client",
            json!({"client_id": ["c1"]}),
            "the argument client_id of disconnect_client must be a text",
        ),
        ("show_attribute__sync", json!({"attribute": "connector.__class__"}), "is not shown"),
        ("show_attribute__sync", json!({}), "the argument attribute, the name of a config key, is expected"),
        ("shutdown", json!({}), "the command \\\"shutdown\\\" is not known"),
    ] {
        let admin = asks(&mut rig, command, arguments);
        let answer = answer(&mut rig, admin);
        assert!(answer.starts_with(r#"{"status":false,"msg":""#) && answer.contains(said), "{command}: {answer}");
    }
    assert!(!rig.core.is_resting());
}

#[test]
fn attributes_are_those_of_the_config_and_live_ones() {
    let mut rig = Rig::server();
    rig.core.set_attributes([("use_ssl", json!(false)), ("client_name", json!(null)), ("max", json!(7))].into());
    for (name, value) in [
        ("use_ssl", "False"),
        ("client_name", "None"),
        ("max", "7"),
        ("is_running", "True"),
        ("source_id", SERVER),
        ("ignore_peer_traffic", "False"),
    ] {
        let admin = asks(&mut rig, "show_attribute__sync", json!({"attribute": name}));
        assert_eq!(answer(&mut rig, admin), value, "{name}");
    }
}

#[test]
fn one_admin_more_than_there_may_be_takes_the_place_of_a_silent_one() {
    let mut rig = Rig::server();
    let (_link, app) = (rig.link("c1"), rig.app());
    rig.input(app, &any_to("c1", b""));
    let waits = asks(&mut rig, "stop", json!({}));
    let mut silent = Vec::new();
    while silent.len() < 63 {
        assert!(rig.core.has_room_for_admin(rig.now));
        silent.push(rig.core.accept_admin(rig.now));
    }
    rig.input(silent[1], b"\x07\0");
    for expected in [silent[0], silent[1]] {
        assert!(rig.core.has_room_for_admin(rig.now));
        rig.core.accept_admin(rig.now);
        rig.drain();
        assert!(rig.is_closed(expected) && !rig.is_closed(waits));
    }
    let told = rig.events().into_iter().filter(|event| matches!(event, Event::AdminRefused { .. })).count();
    assert_eq!(told, 1, "once a second");
}

#[test]
fn what_comes_behind_a_request_is_not_looked_at() {
    let mut rig = Rig::server();
    let (_link, app) = (rig.link("c1"), rig.app());
    rig.input(app, &any_to("c1", b""));
    let admin = asks(&mut rig, "stop", json!({}));
    rig.input(admin, &request("stop", &json!({"hard": true})));
    obey(&mut rig);
    assert!(!rig.core.is_resting());
    rig.pass(Duration::from_millis(10_500));
    assert_eq!(rig.sent(admin), encode_answer("{}"));
}
