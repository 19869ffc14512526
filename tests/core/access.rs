//! Who may come in, who may do what, and how much.

use std::time::Duration;

use aioconnectors::core::access::{Access, Ignored, List, NamePattern};
use aioconnectors::core::rules::{Caller, ClientRule, LocalRule, Types};
use aioconnectors::core::{Cause, Event, Gate, Gates, Id, KeyChange, Output, Reading, Secured};
use aioconnectors::wire::admin::encode_request;
use aioconnectors::wire::control::Offer;
use aioconnectors::wire::control::{HANDSHAKE_NO_SSL, HELLO, own_frame};
use aioconnectors::wire::topics::Pattern;
use serde_json::{Value, json};

use crate::rig::{Rig, any_to, frames, message, typed_from};

fn names(texts: &[&str]) -> List {
    List { names: texts.iter().map(|text| text.parse().unwrap()).collect(), ..List::default() }
}

fn types(texts: &[&str]) -> Types {
    Types::Some(texts.iter().map(|text| Pattern::parse(text).unwrap()).collect())
}

fn rule(id: &str) -> ClientRule {
    let id: NamePattern = id.parse().unwrap();
    ClientRule { id, send: Types::All, recv: Types::All, messages_per_second: None, bytes_per_second: None }
}

fn server(access: Access) -> Rig {
    let mut rig = Rig::server();
    rig.core.set_access(access);
    rig
}

/// Asks as an admin; what is answered once the config file is written.
fn ask(rig: &mut Rig, command: &str, arguments: Value) -> String {
    let id = rig.core.accept_admin(rig.now);
    rig.core.set_caller(id, Caller { uid: 1234, ..Caller::default() });
    let Value::Object(arguments) = arguments else { panic!("{arguments}") };
    rig.input(id, &encode_request(command, &arguments));
    if rig.outputs.iter().any(|o| matches!(o, Output::SaveConfig(admin, _) if *admin == id)) {
        rig.core.config_saved(id, Ok(()), rig.now);
        rig.drain();
    }
    let answer = rig.sent(id);
    rig.closed(id, Cause::ClosedByPeer);
    String::from_utf8(answer[4..].to_vec()).unwrap()
}

fn changes(rig: &Rig) -> Vec<KeyChange> {
    let changes =
        rig.outputs.iter().filter_map(|o| if let Output::SaveConfig(_, c) = o { Some(c.clone()) } else { None });
    changes.collect()
}

fn is_up(rig: &Rig, name: &str) -> bool {
    rig.core.connected_peers().any(|(peer, _)| peer == name)
}

fn refusals(rig: &Rig) -> Vec<String> {
    let why = |event: &&Event| match event {
        Event::LinkRefused { cause: cause @ Cause::NotListed { .. }, .. }
        | Event::PeerDown { cause: cause @ Cause::NotListed { .. }, .. } => Some(cause.to_string()),
        _ => None,
    };
    rig.events().iter().filter_map(why).collect()
}

#[test]
fn a_blacklisted_client_is_closed_when_it_says_its_name() {
    let mut rig = server(Access { blacklist: names(&["bad"]), ..Access::default() });
    let (bad, good) = (rig.link("bad1"), rig.link("good"));
    assert!(rig.is_closed(bad) && !rig.is_closed(good) && is_up(&rig, "good"));
    assert_eq!(refusals(&rig), [r#"client bad1 may not connect: blacklisted_clients_id has "bad""#]);
    rig.input(bad, &typed_from("any", "bad1", b"x"));
    assert!(rig.ledger().is_empty(), "what it sends behind is not looked at");
}

#[test]
fn an_address_is_refused_before_anything_is_said() {
    let blacklist = List { subnets: vec!["10.0.0.0/8".parse().unwrap()], ..List::default() };
    let mut rig = server(Access { blacklist, ..Access::default() });
    assert!(rig.core.admits(([11, 0, 0, 1], 1).into(), rig.now));
    assert!(!rig.core.admits(([10, 0, 0, 1], 1).into(), rig.now));
    rig.drain();
    assert_eq!(refusals(&rig), ["it may not connect: blacklisted_clients_subnet has 10.0.0.0/8"]);
}

#[test]
fn of_a_flood_of_refused_connections_some_are_told_and_the_rest_are_counted() {
    let mut rig = server(Access { blacklist: names(&["bad"]), ..Access::default() });
    for _ in 0..100 {
        rig.link("bad");
    }
    assert_eq!(refusals(&rig).len(), 20);
    rig.pass(Duration::from_secs(2));
    assert!(rig.events().iter().any(|e| matches!(e, Event::MoreRefused { count: 80 })));
    rig.link("bad");
    assert_eq!(refusals(&rig).len(), 21);
}

#[test]
fn the_whitelist_is_asked_before_its_hook_which_is_for_those_it_does_not_name() {
    let gates = Gates { whitelist: true, timeout: Duration::from_secs(10), ..Gates::default() };
    let mut rig = server(Access { whitelist: names(&["friend"]), blacklist: names(&["bad"]), ..Access::default() });
    rig.core.set_gates(gates);
    rig.link("friend");
    assert!(is_up(&rig, "friend"));
    assert!(!rig.outputs.iter().any(|o| matches!(o, Output::Ask(..))), "it is on the list");
    let bad = rig.link("bad");
    assert!(rig.is_closed(bad) && !rig.outputs.iter().any(|o| matches!(o, Output::Ask(..))));
    let stranger = rig.link("stranger");
    let question = rig.outputs.iter().find_map(|o| if let Output::Ask(id, q) = o { Some((*id, q.gate)) } else { None });
    assert_eq!(question, Some((stranger, Gate::Whitelist)));
    rig.core.answered(stranger, Gate::Whitelist, Ok(()), rig.now);
    rig.drain();
    assert!(is_up(&rig, "stranger"));
    rig.core.set_gates(Gates::default());
    let other = rig.link("other");
    assert!(rig.is_closed(other), "without a hook the list is the last word");
}

#[test]
fn enrolment_asks_the_lists_as_well() {
    let mut rig = Rig::server_with(|s| s.mode = aioconnectors::core::Mode::Certificates);
    rig.core.set_access(Access { blacklist: names(&["bad"]), ..Access::default() });
    for (name, issued) in [("bad", false), ("good", true)] {
        let link = rig.accept_link();
        rig.secured(link, Secured::Shared);
        rig.input(link, &aioconnectors::wire::control::get_new_certificate(name, &Offer::default()));
        assert_eq!(rig.outputs.contains(&Output::Issue(link, name.into())), issued);
        assert_eq!(rig.is_closed(link), !issued);
    }
}

#[test]
fn an_admin_blacklists_a_client_and_it_is_dropped_at_once() {
    let mut rig = Rig::server();
    let (one, ten, two) = (rig.link("c1"), rig.link("c10"), rig.link("c2"));
    assert_eq!(ask(&mut rig, "add_blacklist_client", json!({"client_id": "c1", "client_ip": null})), "True");
    assert!(rig.is_closed(one) && rig.is_closed(ten) && !rig.is_closed(two), "c10 begins as c1 does");
    let (key, entry) = ("blacklisted_clients_id".to_owned(), "c1".to_owned());
    assert_eq!(changes(&rig), [KeyChange::Add { key: key.clone(), entry: entry.clone() }]);
    let again = rig.link("c1");
    assert!(rig.is_closed(again));
    assert_eq!(ask(&mut rig, "show_attribute__sync", json!({"attribute": "blacklisted_clients_id"})), r#"["c1"]"#);
    rig.outputs.clear();
    assert_eq!(ask(&mut rig, "remove_blacklist_client", json!({"client_id": "c1"})), "True");
    assert_eq!(changes(&rig), [KeyChange::Remove { key, entry }]);
    rig.link("c1");
    assert!(is_up(&rig, "c1"));
    let told = rig.events().iter().filter(|e| matches!(e, Event::AdminCommand { .. })).map(ToString::to_string).next();
    assert_eq!(told.unwrap(), r#"an admin (uid 1234 gid 0 pid 0): remove_blacklist_client {"client_id":"c1"}"#);
}

#[test]
fn the_first_entry_of_a_whitelist_drops_all_others() {
    let mut rig = Rig::server();
    let (one, two) = (rig.link("c1"), rig.link("c2"));
    assert_eq!(ask(&mut rig, "add_whitelist_client", json!({"client_id": "c1$"})), "True");
    assert!(!rig.is_closed(one) && rig.is_closed(two));
    assert_eq!(ask(&mut rig, "add_whitelist_client", json!({"client_ip": "11.0.0.0/8"})), "True");
    assert!(rig.is_closed(one), "its address must be there, too");
    assert_eq!(ask(&mut rig, "remove_whitelist_client", json!({"client_ip": "11.0.0.0/8"})), "True");
    rig.link("c1");
    assert!(is_up(&rig, "c1"));
}

#[test]
fn a_link_that_has_not_said_its_name_is_dropped_for_its_address() {
    let mut rig = Rig::server();
    let link = rig.accept_link();
    rig.secured(link, Secured::Anonymous);
    assert_eq!(ask(&mut rig, "add_blacklist_client", json!({"client_ip": "10.0.0.9"})), "True");
    assert!(rig.is_closed(link));
}

#[test]
fn commands_that_make_no_sense_are_answered_with_the_reason_and_change_nothing() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    for (command, arguments, words) in [
        ("add_blacklist_client", json!({"client_id": "(c1"}), "unclosed group"),
        ("add_blacklist_client", json!({"client_ip": "10.0.0.1/8"}), "10.0.0.1/8"),
        ("add_whitelist_client", json!({"client_ip": "here"}), "an IP address"),
        ("add_whitelist_client", json!({"client_id": ""}), "client_id and client_ip"),
        ("add_whitelist_client", json!({"client_id": "a", "client_ip": "1.1.1.1"}), "client_id and client_ip"),
        ("remove_blacklist_client", json!({"client_id": "c1"}), "does not have"),
        ("manage_ignore_peer_traffic", json!({}), "unique_peer"),
        ("disconnect_client", json!({}), "client_id"),
        ("show_attribute", json!({"attribute": "tokens"}), "not shown"),
    ] {
        let answer: Value = serde_json::from_str(&ask(&mut rig, command, arguments)).unwrap();
        assert_eq!(answer["status"], false, "{command}");
        assert!(answer["msg"].as_str().unwrap().contains(words), "{command}: {answer}");
    }
    assert!(changes(&rig).is_empty() && !rig.is_closed(link));
}

#[test]
fn a_client_has_no_lists() {
    let mut rig = Rig::client_with(|_| {});
    for command in ["add_blacklist_client", "remove_whitelist_client", "disconnect_client"] {
        assert!(ask(&mut rig, command, json!({"client_id": "x"})).contains("is a client"), "{command}");
    }
}

#[test]
fn a_config_file_that_cannot_be_written_is_told_and_the_change_holds() {
    let mut rig = Rig::server();
    let id = rig.core.accept_admin(rig.now);
    let arguments = serde_json::Map::from_iter([("client_id".to_owned(), json!("c1"))]);
    rig.input(id, &encode_request("add_blacklist_client", &arguments));
    rig.core.config_saved(id, Err("no room".to_owned()), rig.now);
    rig.drain();
    let answer = rig.sent(id);
    let answer = String::from_utf8_lossy(&answer[4..]);
    assert!(answer.contains("only until the connector ends: no room") && answer.contains("false"), "{answer}");
    let link = rig.link("c1");
    assert!(rig.is_closed(link));
}

#[test]
fn a_client_is_disconnected_and_may_come_again() {
    let mut rig = Rig::server();
    let link = rig.link("c1");
    assert_eq!(ask(&mut rig, "disconnect_client", json!({"client_id": "c2"})), "Non existing client c2");
    assert!(!rig.is_closed(link));
    assert_eq!(ask(&mut rig, "disconnect_client", json!({"client_id": "c1"})), "True");
    assert!(rig.is_closed(link));
    rig.link("c1");
    assert!(is_up(&rig, "c1"));
}

#[test]
fn messages_of_and_to_a_peer_that_is_ignored_are_dropped_and_counted() {
    let mut rig = Rig::server();
    let (link, other, app) = (rig.link("c1"), rig.link("c2"), rig.app());
    rig.input(link, &typed_from("any", "c1", b"before"));
    assert_eq!(ask(&mut rig, "manage_ignore_peer_traffic__sync", json!({"show": true})), "False");
    assert_eq!(ask(&mut rig, "manage_ignore_peer_traffic__sync", json!({"unique_peer": "c1"})), "['c1']");
    rig.input(link, &typed_from("any", "c1", b"ignored"));
    rig.input(other, &typed_from("any", "c2", b"heard"));
    rig.input(app, &any_to("c1", b"in vain"));
    rig.input(app, &any_to("c2", b"sent"));
    assert_eq!(rig.ledger(), ["c1 any ignored 2"]);
    assert!(rig.sent(link).is_empty() && !rig.sent(other).is_empty());
    assert_eq!(rig.read_apps().iter().map(|(_, data)| data.as_slice()).collect::<Vec<_>>(), [&b"before"[..], b"heard"]);
    let ping =
        message(r#"{"message_type": "_ping", "source_id": "c1", "request_id": "k", "await_response": true}"#, b"");
    rig.input(link, &ping);
    assert_eq!(frames(&rig.sent(link)).len(), 1, "it is not taken for dead");
    assert_eq!(ask(&mut rig, "manage_ignore_peer_traffic__sync", json!({"enable": true})), "True");
    rig.input(other, &typed_from("any", "c2", b"ignored"));
    assert_eq!(rig.ledger(), ["c1 any ignored 2", "c2 any ignored 1"]);
    assert_eq!(ask(&mut rig, "manage_ignore_peer_traffic__sync", json!({"disable": true})), "False");
    rig.input(link, &typed_from("any", "c1", b"after"));
    assert_eq!(rig.read_apps().len(), 1);
    let values: Vec<Value> = changes(&rig)
        .into_iter()
        .map(|c| if let KeyChange::Set { value, .. } = c { value } else { panic!("{c:?}") })
        .collect();
    assert_eq!(values, [json!(["c1"]), json!(true), json!(false)]);
}

#[test]
fn a_client_ignores_its_server() {
    let mut rig = Rig::client_with(|_| {});
    rig.core.set_access(Access { ignored: Ignored::Everybody, ..Access::default() });
    let link = rig.up();
    rig.input(link, &typed_from("any", crate::rig::SERVER, b"x"));
    let app = rig.app();
    rig.input(app, &any_to("whoever", b"x"));
    assert_eq!(rig.ledger(), [format!("{} any ignored 2", crate::rig::SERVER)]);
}

#[test]
fn a_client_sends_and_gets_only_what_its_rule_has() {
    let first = ClientRule { send: types(&["any"]), recv: types(&["other"]), ..rule("sensor") };
    let mut rig = server(Access { client_rules: vec![first, rule("sen")], ..Access::default() });
    let (sensor, free, app) = (rig.link("sensor1"), rig.link("sender"), rig.app());
    for (link, name) in [(sensor, "sensor1"), (free, "sender")] {
        for message_type in ["any", "other"] {
            rig.input(link, &typed_from(message_type, name, name.as_bytes()));
            let header = format!(r#"{{"message_type": "{message_type}", "destination_id": "{name}"}}"#);
            rig.input(app, &message(&header, b"down"));
        }
    }
    assert_eq!(rig.ledger(), ["sensor1 any not_permitted 1", "sensor1 other not_permitted 1"]);
    let mut read = rig.read_apps();
    read.sort();
    let read: Vec<(&str, &[u8])> = read.iter().map(|(t, d)| (t.as_str(), d.as_slice())).collect();
    assert_eq!(read, [("any", &b"sender"[..]), ("any", b"sensor1"), ("other", b"sender")]);
    let got = |rig: &mut Rig, link: Id| -> Vec<Value> {
        frames(&rig.sent(link)).iter().map(|(header, _)| header["message_type"].clone()).collect()
    };
    assert_eq!(got(&mut rig, sensor), ["other"]);
    assert_eq!(got(&mut rig, free), ["any", "other"]);
}

#[test]
fn an_app_with_receipts_is_told_that_the_client_may_not_have_the_type() {
    let none = ClientRule { recv: types(&[]), ..rule("c1") };
    let mut rig = server(Access { client_rules: vec![none], ..Access::default() });
    rig.link("c1");
    let app = rig.app();
    rig.input(app, &message(r#"{"message_type": "_hello", "receipts": "accepted"}"#, b""));
    rig.input(app, &any_to("c1", b"x"));
    let said = frames(&rig.sent(app));
    assert!(said.iter().any(|(header, _)| header["reason"] == "not_permitted"), "{said:?}");
}

#[test]
fn a_subscriber_gets_only_types_of_its_rule_whatever_its_pattern() {
    let mut rig = Rig::server_with(|s| {
        s.pubsub_broker = true;
        s.send_types.insert("_pubsub".to_owned());
    });
    let narrow = ClientRule { recv: types(&["news.*"]), send: types(&["any"]), ..rule("c1") };
    rig.core.set_access(Access { client_rules: vec![narrow], ..Access::default() });
    let (one, two) = (rig.link("c1"), rig.link("c2"));
    for (link, name) in [(one, "c1"), (two, "c2")] {
        let header = format!(r#"{{"message_type": "_pubsub", "source_id": "{name}"}}"#);
        rig.input(link, &message(&header, br#"{"subscribe_message_types": [">", "news.sport"]}"#));
    }
    let publish = |name: &str, message_type: &str| {
        let start = r#"{"message_type": "_pubsub", "source_id": ""#;
        message(&format!(r#"{start}{name}", "message_type_publish": "{message_type}"}}"#), b"x")
    };
    for message_type in ["news.sport", "secrets.all"] {
        rig.input(two, &publish("c2", message_type));
    }
    rig.input(one, &publish("c1", "news.sport"));
    let types = |bytes: &[u8]| -> Vec<Value> { frames(bytes).iter().map(|(h, _)| h["message_type"].clone()).collect() };
    assert_eq!(types(&rig.sent(one)), ["news.sport"]);
    assert_eq!(types(&rig.sent(two)), ["news.sport", "secrets.all"]);
    assert_eq!(rig.ledger(), ["c1 news.sport not_permitted 1"], "nor may it publish that");
}

#[test]
fn a_client_that_sends_too_many_messages_waits_and_others_do_not() {
    let slow = ClientRule { messages_per_second: Some(10.0), ..rule("slow") };
    let mut rig = server(Access { client_rules: vec![slow], ..Access::default() });
    let (slow, fast) = (rig.link("slow"), rig.link("fast"));
    let burst = |name: &str| typed_from("any", name, b"x").repeat(100);
    assert_eq!(rig.input(slow, &burst("slow")), Reading::Paused);
    assert_eq!(rig.input(fast, &burst("fast")), Reading::Open);
    let mut came = rig.read_apps().len();
    assert!((100 + 9..=100 + 12).contains(&came), "a second's worth at once: {came}");
    for _ in 0..3 {
        rig.pass(Duration::from_secs(1));
        let more = rig.read_apps().len();
        assert!((9..=11).contains(&more), "{more}");
        came += more;
    }
    rig.pass(Duration::from_secs(10));
    assert_eq!(came + rig.read_apps().len(), 200, "nothing is lost");
    assert!(rig.is_resumed(slow) && rig.ledger().is_empty());
    assert_eq!(rig.input(slow, &typed_from("any", "slow", b"x")), Reading::Open);
}

#[test]
fn a_client_that_sends_too_many_bytes_waits_also_if_it_connects_anew() {
    let slow = ClientRule { bytes_per_second: Some(1000.0), ..rule("slow") };
    let mut rig = server(Access { client_rules: vec![slow], ..Access::default() });
    let link = rig.link("slow");
    let large = typed_from("any", "slow", &[7; 10_000]);
    assert_eq!(rig.input(link, &large), Reading::Paused);
    assert_eq!(rig.read_apps().len(), 1, "what is read is read");
    rig.closed(link, Cause::ClosedByPeer);
    let link = rig.accept_link();
    rig.secured(link, Secured::Anonymous);
    rig.input(link, &own_frame(HANDSHAKE_NO_SSL, "slow", HELLO));
    assert_eq!(rig.input(link, &typed_from("any", "slow", b"x")), Reading::Paused);
    rig.outputs.clear();
    rig.pass(Duration::from_secs(5));
    assert!(!rig.is_resumed(link));
    rig.pass(Duration::from_secs(6));
    assert!(rig.is_resumed(link));
}

#[test]
fn rules_that_change_hold_for_who_is_connected() {
    let mut rig = Rig::server_with(|s| s.pubsub_broker = true);
    let (link, app) = (rig.link("c1"), rig.app());
    rig.input(
        link,
        &message(r#"{"message_type": "_pubsub", "source_id": "c1"}"#, br#"{"subscribe_message_types": [">"]}"#),
    );
    let publication = message(r#"{"message_type": "_pubsub", "message_type_publish": "news"}"#, b"x");
    rig.input(link, &typed_from("any", "c1", b"one"));
    rig.input(app, &any_to("c1", b"one"));
    rig.input(app, &publication);
    let receiver = rig.open_app();
    rig.core.set_caller(receiver, Caller { uid: 7, ..Caller::default() });
    assert_eq!((frames(&rig.sent(link)).len(), rig.read_apps().len()), (2, 1));
    let closed = ClientRule { send: types(&["any"]), recv: types(&[]), messages_per_second: Some(1.0), ..rule("c1") };
    let local = LocalRule { uid: Some(8), ..LocalRule::default() };
    rig.core
        .change_access(Access { client_rules: vec![closed], local_rules: vec![local], ..Access::default() }, rig.now);
    rig.drain();
    assert!(rig.is_closed(receiver), "it may not receive any more");
    rig.core.set_caller(app, Caller { uid: 8, ..Caller::default() });
    rig.input(app, &any_to("c1", b"two"));
    rig.input(app, &publication);
    assert!(rig.sent(link).is_empty());
    let two = typed_from("any", "c1", b"x").repeat(2);
    assert_eq!(rig.input(link, &two.repeat(2)), Reading::Paused);
    rig.core.change_access(Access::default(), rig.now);
    rig.drain();
    rig.pass(Duration::from_secs(5));
    rig.input(app, &publication);
    assert_eq!(frames(&rig.sent(link)).len(), 1);
    assert!(rig.is_resumed(link) && !rig.is_closed(link));
    assert_eq!(rig.input(link, &two.repeat(50)), Reading::Open);
}

#[test]
fn local_rules_say_which_apps_may_send_what() {
    let rules = vec![LocalRule { uid: Some(7), send: types(&["any"]), ..LocalRule::default() }];
    let mut rig = server(Access { local_rules: rules, ..Access::default() });
    let link = rig.link("c1");
    let mut send = |uid: Option<u32>, message_type: &str| {
        let app = rig.app();
        if let Some(uid) = uid {
            rig.core.set_caller(app, Caller { uid, ..Caller::default() });
        }
        let header = format!(r#"{{"message_type": "{message_type}", "destination_id": "c1"}}"#);
        rig.input(app, &message(&header, b"x"));
        !rig.sent(link).is_empty()
    };
    assert!(send(Some(7), "any") && !send(Some(7), "other") && !send(Some(8), "any") && !send(None, "any"));
    assert_eq!(rig.ledger(), ["c1 any not_permitted 2", "c1 other not_permitted 1"]);
}

#[test]
fn local_rules_say_which_apps_may_receive_what() {
    let rules = vec![LocalRule { uid: Some(7), recv: types(&["any"]), ..LocalRule::default() }];
    let mut rig = server(Access { local_rules: rules, ..Access::default() });
    let link = rig.link("c1");
    for (uid, message_type, may) in [(7, "any", true), (7, "other", false), (8, "other", false)] {
        rig.outputs.clear();
        rig.input(link, &typed_from(message_type, "c1", b"x"));
        let app = rig.dialled_app().unwrap();
        let caller = Some(Caller { uid, ..Caller::default() });
        assert_eq!(rig.core.receiver_is(app, caller, rig.now), may, "{uid} {message_type}");
        rig.drain();
        assert_eq!(rig.is_closed(app), !may);
    }
    assert_eq!(rig.ledger(), ["c1 other no_listener 2"]);
    let told = rig.events().iter().any(|e| matches!(e, Event::ReceiverRefused { .. }));
    assert!(!told, "the same is told once");
}

#[test]
fn no_more_may_wait_for_a_client_than_its_limit_over_all_its_queues() {
    let mut rig = server(Access { client_queue_max: Some(10_000), ..Access::default() });
    let link = rig.link("c1");
    let app = rig.app();
    let send = |rig: &mut Rig, message_type: &str| {
        let header = format!(r#"{{"message_type": "{message_type}", "destination_id": "c1"}}"#);
        rig.input(app, &message(&header, &[1; 4000]))
    };
    assert_eq!(send(&mut rig, "any"), Reading::Open);
    assert_eq!(send(&mut rig, "any"), Reading::Open);
    assert_eq!(send(&mut rig, "other"), Reading::Paused, "though its own queue is empty");
    assert_eq!(rig.ledger(), [""; 0]);
    assert_eq!(frames(&rig.sent(link)).len(), 2);
    assert!(rig.is_resumed(app));
    assert_eq!(frames(&rig.sent(link)).len(), 1, "it has waited, and is not lost");
    assert_eq!(send(&mut rig, "other"), Reading::Open);
}
