//! The package's tools for admins at our connectors: every command of its `ConnectorRemoteTool`, and its menu.

use std::fs;

use serde_json::{Value, json};

use crate::common::setup::wait_link;
use crate::common::traffic::{Account, messages};
use crate::common::{Place, Process, RawReceiver, RawSender, Setup, certificates, free_port};
use crate::python;

/// What our connector answers to calls of the package's tool, in order.
#[track_caller]
fn answers(at: &Setup, calls: &[Value]) -> Vec<String> {
    let texts: Vec<String> = calls.iter().map(Value::to_string).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut process = python::spawn("admin.py", at, &texts);
    let answer = |number: usize| {
        let start = format!("answer {number} ");
        let line = process.wait_output(&start);
        serde_json::from_str(&line[start.len()..]).expect("JSON")
    };
    let answers = (0..calls.len()).map(answer).collect();
    assert_eq!(process.exit_code(), 0);
    answers
}

#[track_caller]
fn answers_are(at: &Setup, expected: &[(Value, &str)]) {
    let calls: Vec<Value> = expected.iter().map(|(call, _)| call.clone()).collect();
    for ((call, expected), answer) in expected.iter().zip(answers(at, &calls)) {
        assert_eq!(&answer, expected, "{call}");
    }
}

fn link() -> (Place, Setup, Setup, [Process; 2]) {
    let (place, port) = (Place::new(), free_port());
    let (server, client) = (Setup::server(&place, port), Setup::client(&place, "client1", port));
    let processes = [server.start(), client.start()];
    wait_link(&server, &client);
    (place, server, client, processes)
}

const DONE: &str = r#"{"status":true,"msg":""}"#;

#[test]
fn every_command_of_the_tool_at_a_server() {
    if python::interpreter().is_none() {
        return;
    }
    let (_place, server, client, _processes) = link();
    let found = answers(&server, &[json!(["show_connected_peers", {}]), json!(["peek_queues", {}])]);
    let peers: Value = serde_json::from_str(&found[0]).expect("JSON");
    assert_eq!(peers["client1"][0], "127.0.0.1");
    let queues: Value = serde_json::from_str(&found[1]).expect("JSON");
    assert_eq!(queues, json!({"queue_recv": 0, "queue_send": {"client1": 0}}));
    answers_are(
        &server,
        &[
            (json!(["show_log_level", {}]), "INFO"),
            (json!(["set_log_level", {"level": "DEBUG"}]), "DEBUG"),
            (json!(["show_log_level", {}]), "DEBUG"),
            (json!(["show_attribute", {"attribute": "use_ssl"}]), "False"),
            (json!(["show_attribute", {"attribute": "recv_message_types"}]), r#"["any","ask","quick","slow"]"#),
            (json!(["show_attribute", {"attribute": "is_running"}]), "True"),
            (json!(["show_subscribe_message_types", {}]), "[]"),
            (json!(["set_subscribe_message_types", {}, "a"]), "[]"),
            (json!(["ignore_peer_traffic_show", {}]), "False"),
            (json!(["ignore_peer_traffic_enable", {}]), "True"),
            (json!(["ignore_peer_traffic_enable_unique", {"peername": "client1"}]), "['client1']"),
            (json!(["ignore_peer_traffic_disable", {}]), "False"),
            (json!(["add_blacklist_client", {"client_id": "nobody"}]), "True"),
            (json!(["remove_blacklist_client", {"client_id": "nobody"}]), "True"),
            (json!(["add_whitelist_client", {"client_ip": "127.0.0.0/8"}]), "True"),
            (json!(["remove_whitelist_client", {"client_ip": "127.0.0.0/8"}]), "True"),
            (json!(["delete_previous_persistence_remains", {}]), "{}"),
            (json!(["disconnect_client", {"client_id": "client1"}]), "True"),
            (json!(["disconnect_client", {"client_id": "nobody"}]), "Non existing client nobody"),
            (json!(["stop_connector", {"hard": false}]), "{}"),
            (json!(["show_connected_peers", {}]), "{}"),
            (json!(["show_attribute", {"attribute": "is_running"}]), "False"),
            (json!(["stop_connector", {"hard": true}]), "{}"),
            (json!(["start_connector", {}]), "{}"),
            (json!(["start_connector", {}]), "{}"),
            (json!(["restart_connector", {"sleep_between": 0.2, "hard": false}]), "{}"),
            (json!(["restart_connector", {"hard": true}]), "{}"),
            (json!(["reload_tokens", {}]), r#"{"status":false,"msg":"this connector uses no tokens (use_token)"}"#),
        ],
    );
    wait_link(&server, &client);
    let wrong =
        answers(&server, &[json!(["set_log_level", {"level": 10}]), json!(["show_attribute", {"attribute": "x"}])]);
    assert!(wrong[0].contains("the argument level of set_log_level must be a text"), "{wrong:?}");
    assert!(wrong[1].contains("is not shown"), "{wrong:?}");
}

#[test]
fn every_command_of_the_tool_at_a_client_and_a_stop_that_ends_it() {
    if python::interpreter().is_none() {
        return;
    }
    let (_place, server, client, mut processes) = link();
    answers_are(
        &client,
        &[
            (json!(["show_subscribe_message_types", {}]), "[]"),
            (json!(["set_subscribe_message_types", {}, "any", "ask"]), r#"["any","ask"]"#),
            (json!(["show_subscribe_message_types", {}]), r#"["any","ask"]"#),
            (json!(["stop_connector", {"client_wait_for_reconnect": true}]), "{}"),
            (json!(["stop_connector", {"hard": false, "enable_delete_files": false}]), "{}"),
            (json!(["start_connector", {}]), "{}"),
        ],
    );
    wait_link(&server, &client);
    answers_are(&client, &[(json!(["stop_connector", {"shutdown": true}]), "{}")]);
    assert_eq!(processes[1].exit_code(), 0);
}

#[test]
fn certificates_and_tokens_are_deleted_by_the_tool() {
    if python::interpreter().is_none() {
        return;
    }
    let (place, port) = (Place::new(), free_port());
    let made = place.file("made");
    certificates::make(&made);
    let secure = |setup: Setup| {
        let setup = setup.with("use_ssl", true);
        certificates::hand_out(&made, &setup);
        setup
    };
    let (server, client) = (secure(Setup::server(&place, port)), secure(Setup::client(&place, "client1", port)));
    let _processes = [server.start(), client.start()];
    wait_link(&server, &client);
    answers_are(&server, &[(json!(["delete_client_certificate", {"client_id": "client1"}]), DONE)]);
    answers_are(&client, &[(json!(["delete_client_certificate", {"restart_client": true}]), DONE)]);
    wait_link(&server, &client);
}

#[test]
fn tokens_are_deleted_and_read_again_by_the_tool() {
    if python::interpreter().is_none() {
        return;
    }
    let (place, port) = (Place::new(), free_port());
    let made = place.file("made");
    certificates::make(&made);
    let with_token = |setup: Setup| {
        let setup = setup.with("use_ssl", true).with("ssl_allow_all", true).with("use_token", true);
        let dir = setup.dir.to_str().expect("UTF-8").to_owned();
        certificates::hand_out(&made, &setup);
        setup.with("tokens_directory_path", dir)
    };
    let (server, client) =
        (with_token(Setup::server(&place, port)), with_token(Setup::client(&place, "client1", port)));
    let _processes = [server.start(), client.start()];
    wait_link(&server, &client);
    answers_are(&server, &[(json!(["reload_tokens", {}]), DONE)]);
    answers_are(&client, &[(json!(["reload_tokens", {}]), DONE)]);
    answers_are(&server, &[(json!(["delete_client_token", {"client_id": "client1"}]), DONE)]);
    answers_are(&client, &[(json!(["delete_client_token", {"restart_client": true}]), DONE)]);
    wait_link(&server, &client);
}

/// What the package's menu shows to somebody who types this.
#[track_caller]
fn menu(at: &Setup, typed: &[&str]) -> String {
    let dir = at.dir.to_str().expect("UTF-8");
    python::menu(&([&[dir], typed].concat().join("\n") + "\n"))
}

#[track_caller]
fn after<'a>(text: &'a str, start: &str) -> &'a str {
    text.split_once(start).unwrap_or_else(|| panic!("{start:?} is not in\n{text}")).1
}

#[test]
fn the_packages_menu_finds_our_server_and_works_at_it() {
    if python::interpreter().is_none() {
        return;
    }
    let (_place, server, client, _processes) = link();
    let shown = menu(&server, &["0", "4", "6", "10", "11", "3", "10", "1", "4", "0", "3", "q", "q"]);
    let port = server.id.trim_matches(['(', ')']).split(' ').nth(1).expect("a port").to_owned();
    let shown = after(&shown, &format!("0)    127.0.0.1 {port}"));
    let shown = after(shown, "Connected peers : {\"client1\":");
    let shown = after(shown, "\"queue_send\": {\n        \"client1\": 0");
    let shown = after(shown, "\nINFO\n");
    let shown = after(shown, "\nDEBUG\n");
    let shown = after(shown, "\nDEBUG\n");
    let shown = after(shown, "\n{}\n");
    let shown = after(shown, "Connected peers : {}");
    let shown = after(shown, "\n{}\n");
    after(shown, "\n{}\n");
    wait_link(&server, &client);
    let shown = menu(&server, &["0", "14", "10.9.8.7", "y", "5", "client1", "q", "9", "client1", "y", "q", "q"]);
    let shown = after(&shown, "Blacklisted_clients_ip : []");
    let shown = after(shown, "ignore_peer_traffic current status :  ['client1']");
    after(shown, "\nTrue\n");
    let config: Value =
        serde_json::from_slice(&fs::read(server.dir.with_extension("json")).expect("a config")).expect("JSON");
    assert_eq!(config["blacklisted_clients_ip"], json!(["10.9.8.7"]));
}

#[test]
fn the_packages_menu_stops_our_client_and_starts_it_with_what_it_has() {
    if python::interpreter().is_none() {
        return;
    }
    let (place, port) = (Place::new(), free_port());
    let server = Setup::server(&place, port);
    let client = Setup::client(&place, "client1", port).with("disk_persistence_send", true);
    let _processes = [server.start(), client.start()];
    wait_link(&server, &client);
    let sent = messages("any", &client.id, &server.id, 20);
    assert!(after(&menu(&server, &["0", "2", "q", "q"]), "stop hard").contains("\n{}\n"));
    RawSender::connect(&client.send_socket()).send_all(&sent);
    let shown = menu(&client, &["client1", "2", "6", "0", "q", "q"]);
    assert!(shown.contains("\"queue_send\""), "{shown}");
    let receiver = RawReceiver::listen(server.receive_socket("any"));
    menu(&server, &["0", "0", "q", "q"]);
    receiver.wait_tag(crate::common::traffic::END);
    Account::of(&sent, &receiver.frames()).assert_exact("through connectors that the menu stopped");
}
