//! Who may connect: Python clients on our server's lists, and the package's admin tool at our connectors.

use std::fs;

use serde_json::{Value, json};

use crate::common::setup::wait_link;
use crate::common::{RawReceiver, RawSender, Setup, wait};
use crate::pair::Kind::{self, Ours, Python};
use crate::pair::Mode::{self, Certificates, Plain};
use crate::pair::Pair;
use crate::python;

/// What our connector answers to the package's tool.
#[track_caller]
fn tool(at: &Setup, method: &str, arguments: &[&str]) -> String {
    let mut process = python::spawn("remote.py", at, &[&[method], arguments].concat());
    let answer = process.wait_output("answer ");
    assert_eq!(process.exit_code(), 0);
    answer["answer ".len()..].to_owned()
}

fn list(server: &Setup, key: &str) -> Value {
    let text = fs::read(server.dir.with_extension("json")).expect("the server's config");
    serde_json::from_slice::<Value>(&text).expect("JSON")[key].clone()
}

#[track_caller]
fn wait_gone(server: &Setup, client: &Setup) {
    wait::until("the client to be gone", || {
        (!server.admin().connected_peers()?.contains_key(&client.id)).then_some(())
    });
}

/// A client is taken off the net and let in again by the package's tool, while it is connected.
#[track_caller]
fn blacklisted(client: Kind, mode: Mode) {
    if python::interpreter().is_none() {
        return;
    }
    let pair = Pair::start(Ours, client, mode);
    // The tool's scripts would write the config as it was; this one is left as the server makes it.
    let (server, client) = (&pair.server, &pair.client);
    assert_eq!(tool(server, "add_blacklist_client", &["client_id=client1"]), "True");
    wait_gone(server, client);
    assert_eq!(list(server, "blacklisted_clients_id"), json!(["client1"]));
    assert_eq!(
        server.admin().ask("show_attribute", json!({"attribute": "blacklisted_clients_id"})).expect("an answer"),
        r#"["client1"]"#
    );
    assert_eq!(
        server
            .admin()
            .ask("remove_blacklist_client", json!({"client_ip": null, "client_id": "client1"}))
            .expect("an answer"),
        "True"
    );
    wait_link(server, client);
    let receiver = RawReceiver::listen(server.receive_socket("any"));
    RawSender::connect(&client.send_socket())
        .send_all([&crate::common::traffic::messages("any", &client.id, &server.id, 1)[0]]);
    receiver.wait_count(1);
}

#[test]
fn a_python_client_that_is_blacklisted_while_connected_is_dropped_and_comes_back_when_let_in() {
    blacklisted(Python, Plain);
}

#[test]
fn so_is_one_with_a_certificate_which_it_keeps() {
    blacklisted(Python, Certificates(Ours));
}

#[test]
fn so_is_one_of_ours() {
    blacklisted(Ours, Plain);
}

#[test]
fn the_packages_tool_changes_all_lists_and_whom_to_ignore() {
    if python::interpreter().is_none() {
        return;
    }
    let place = crate::common::Place::new();
    let server = Setup::server(&place, crate::common::free_port());
    let _process = server.start();
    let show = |key: &str| server.admin().ask("show_attribute__sync", json!({"attribute": key})).expect("an answer");
    assert_eq!(tool(&server, "add_whitelist_client", &["client_ip=10.0.0.0/8"]), "True");
    assert_eq!(show("whitelisted_clients_subnet"), r#"["10.0.0.0/8"]"#);
    assert_eq!(tool(&server, "remove_whitelist_client", &["client_ip=10.0.0.0/8"]), "True");
    assert_eq!(tool(&server, "add_whitelist_client", &["client_ip=::1"]), "True");
    assert_eq!(show("whitelisted_clients_ip"), r#"["::1"]"#);
    assert_eq!(tool(&server, "add_blacklist_client", &["client_ip=10.1.1.1"]), "True");
    assert_eq!(show("blacklisted_clients_ip"), r#"["10.1.1.1"]"#);
    assert_eq!(tool(&server, "ignore_peer_traffic_show", &[]), "False");
    assert_eq!(tool(&server, "ignore_peer_traffic_enable_unique", &["peername=client1"]), "['client1']");
    assert_eq!(tool(&server, "ignore_peer_traffic_show", &[]), "['client1']");
    assert_eq!(tool(&server, "ignore_peer_traffic_enable", &[]), "True");
    assert_eq!(tool(&server, "ignore_peer_traffic_disable", &[]), "False");
    assert_eq!(tool(&server, "disconnect_client", &["client_id=nobody"]), "Non existing client nobody");
}
