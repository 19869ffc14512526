//! Tokens between our connectors and those of the Python package, in both roles.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::checks;
use crate::common::setup::wait_link;
use crate::common::{Setup, wait};
use crate::pair::Kind::{self, Ours, Python};
use crate::pair::Mode::Tokens;
use crate::pair::Pair;
use crate::pair::Verify::{self, Both, ByCa, Nobody};
use crate::python;

fn token_file(client: &Setup) -> PathBuf {
    client.dir.join(&client.id)
}

/// What the server knows. The Python package empties the file before it writes it.
#[track_caller]
fn known(server: &Setup) -> Value {
    wait::until("the server's tokens, whole", || {
        serde_json::from_slice(&fs::read(server.dir.join("server_tokens.json")).ok()?).ok()
    })
}

fn hash(token: &str) -> String {
    digest(&SHA256, token.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What both ends have on disk.
#[track_caller]
fn check_files(pair: &Pair) {
    let token = fs::read_to_string(token_file(&pair.client)).expect("the client's token");
    assert_eq!(token.len(), 64);
    assert_eq!(known(&pair.server), json!({"client1": hash(&token)}));
    for path in [token_file(&pair.client), pair.server.dir.join("server_tokens.json")] {
        assert_eq!(fs::metadata(path).expect("a file").permissions().mode() & 0o777, 0o600);
    }
}

/// They enrol, messages pass, and they find each other again with what they have stored.
#[track_caller]
fn works(server: Kind, client: Kind, verify: Verify) {
    if python::interpreter().is_none() {
        return;
    }
    let mut pair = Pair::start(server, client, Tokens(verify));
    check_files(&pair);
    checks::messages_between_raw_apps(&pair);
    let before = known(&pair.server);
    pair.kill_client();
    pair.kill_server();
    pair.start_server();
    pair.start_client();
    wait_link(&pair.server, &pair.client);
    assert_eq!(known(&pair.server), before, "it enrolled once");
}

macro_rules! works {
    ($($name:ident: $server:expr, $client:expr, $verify:expr;)*) => {
        $(#[test]
        fn $name() {
            works($server, $client, $verify);
        })*
    };
}

works! {
    ours_with_ours_and_nobody_verifies: Ours, Ours, Nobody;
    ours_with_ours_and_both_verify: Ours, Ours, Both;
    ours_with_ours_by_a_ca_file: Ours, Ours, ByCa;
    our_server_with_a_python_client_and_nobody_verifies: Ours, Python, Nobody;
    our_server_with_a_python_client_and_both_verify: Ours, Python, Both;
    our_server_with_a_python_client_by_a_ca_file: Ours, Python, ByCa;
    a_python_server_with_our_client_and_nobody_verifies: Python, Ours, Nobody;
    a_python_server_with_our_client_and_both_verify: Python, Ours, Both;
    a_python_server_with_our_client_by_a_ca_file: Python, Ours, ByCa;
    python_with_itself_and_both_verify: Python, Python, Both;
}

/// A client with another token than the server gave it stays out, and comes in again with the right one.
#[track_caller]
fn a_wrong_token_keeps_out(server: Kind, client: Kind) {
    if python::interpreter().is_none() {
        return;
    }
    let mut pair = Pair::start(server, client, Tokens(Nobody));
    let right = fs::read(token_file(&pair.client)).expect("a token");
    pair.kill_client();
    fs::write(token_file(&pair.client), "0".repeat(64)).expect("another token");
    pair.start_client();
    let (said, words) = match client {
        Ours => (pair.client_process(), "when it was shown the token"),
        Python => (pair.server_process(), "is not that of client client1"),
    };
    said.wait_said(words);
    assert!(pair.server.admin().connected_peers().is_none_or(|peers| !peers.contains_key("client1")));
    pair.kill_client();
    fs::write(token_file(&pair.client), right).expect("the right token");
    pair.start_client();
    wait_link(&pair.server, &pair.client);
}

#[test]
fn a_python_client_with_a_wrong_token_is_kept_out() {
    a_wrong_token_keeps_out(Ours, Python);
}

#[test]
fn a_python_server_keeps_our_client_with_a_wrong_token_out() {
    a_wrong_token_keeps_out(Python, Ours);
}

#[test]
fn a_python_client_whose_token_is_deleted_is_dropped_at_once_and_stays_out() {
    if python::interpreter().is_none() {
        return;
    }
    let pair = Pair::start(Ours, Python, Tokens(Nobody));
    let answer = pair.server.admin().ask("delete_client_token_on_server", json!({"client_id": "client1"}));
    assert_eq!(answer.expect("an answer"), r#"{"status":true,"msg":""}"#);
    assert!(pair.server.admin().connected_peers().expect("an answer").is_empty());
    assert_eq!(known(&pair.server), json!({}));
    pair.server_process().wait_said("is not that of client client1");
    assert!(pair.server.admin().connected_peers().expect("an answer").is_empty());
}

#[test]
fn our_client_enrols_anew_with_a_python_server_when_both_have_forgotten_its_token() {
    if python::interpreter().is_none() {
        return;
    }
    let pair = Pair::start(Python, Ours, Tokens(Both));
    let before = known(&pair.server);
    let deleted = pair.server.admin().ask("delete_client_token_on_server", json!({"client_id": "client1"}));
    assert!(deleted.expect("an answer").contains("true"));
    let deleted = pair.client.admin().ask("delete_client_token_on_client", json!({"restart_client": true}));
    assert_eq!(deleted.expect("an answer"), r#"{"status":true,"msg":""}"#);
    wait::until("another token", || Some(known(&pair.server)).filter(|known| known != &before && known != &json!({})));
    wait_link(&pair.server, &pair.client);
    check_files(&pair);
}
