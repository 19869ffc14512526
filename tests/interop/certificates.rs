//! Certificates by a CA, and certificates that are taken back, with a Python end.

use std::process::Command;

use serde_json::{Value, json};

use crate::checks;
use crate::common::{certificates, wait};
use crate::pair::Kind::{Ours, Python};
use crate::pair::Mode::{Ca, Certificates};
use crate::pair::{Kind, Mode, Pair};
use crate::python;

/// The CA signs the client's certificate, and the link carries messages.
#[track_caller]
fn talk(server: Kind, client: Kind, mode: Mode) {
    if python::interpreter().is_some() {
        let pair = Pair::start(server, client, mode);
        checks::messages_between_raw_apps(&pair);
        checks::pings(&pair);
    }
}

#[test]
fn a_python_client_of_our_ca_server() {
    talk(Ours, Python, Ca(Ours));
}

#[test]
fn a_python_client_of_our_server_with_a_ca_of_python() {
    talk(Ours, Python, Ca(Python));
}

#[test]
fn our_client_of_a_python_ca_server() {
    talk(Python, Ours, Ca(Python));
}

#[test]
fn our_client_of_a_python_server_with_a_ca_of_ours() {
    talk(Python, Ours, Ca(Ours));
}

#[test]
fn our_client_of_our_server_with_a_ca_of_python() {
    talk(Ours, Ours, Ca(Python));
}

#[test]
fn a_python_client_whose_certificate_is_deleted_is_gone_at_once() {
    for mode in [Certificates(Python), Ca(Ours)] {
        if python::interpreter().is_none() {
            return;
        }
        let pair = Pair::start(Ours, Python, mode);
        let tool = env!("CARGO_BIN_EXE_aioconnectorsctl");
        certificates::run(Command::new(tool).arg("delete-certificate").arg(pair.server.write()).arg(&pair.client.id));
        assert!(pair.server.admin().connected_peers().expect("an answer").is_empty(), "{mode:?}");
    }
}

#[test]
fn a_python_server_s_deletion_is_asked_for_by_our_tool() {
    if python::interpreter().is_none() {
        return;
    }
    let pair = Pair::start(Python, Ours, Certificates(Ours));
    let tool = env!("CARGO_BIN_EXE_aioconnectorsctl");
    certificates::run(Command::new(tool).arg("delete-certificate").arg(pair.server.write()).arg(&pair.client.id));
    wait::until("a server without the client", || {
        let peers = pair.server.admin().connected_peers()?;
        (!peers.contains_key(&pair.client.id)).then_some(())
    });
    let again = pair.server.admin().ask("delete_client_certificate_on_server", json!({"client_id": pair.client.id}));
    let again: Value = serde_json::from_str(&again.unwrap()).unwrap();
    assert_eq!(again["status"], false);
}
