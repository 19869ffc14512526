//! Certificates that are taken back while the connectors run, and while they do not.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::certificates::{Secured, own_file};
use crate::common::{Setup, wait};

/// `aioconnectorsctl delete-certificate`.
fn tool(setup: &Setup, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aioconnectorsctl"))
        .arg("delete-certificate")
        .arg(setup.write())
        .args(arguments)
        .output()
        .expect("the tool runs")
}

fn at_server(secured: &Secured, name: &str) -> PathBuf {
    secured.server.dir.join("certificates/server/client-certs").join(name)
}

fn names(secured: &Secured) -> Value {
    serde_json::from_str(&fs::read_to_string(at_server(secured, "source_id_2_cert.json")).expect("a list")).unwrap()
}

fn links(secured: &Secured) -> usize {
    fs::read_dir(at_server(secured, "symlinks")).expect("a folder").count()
}

fn wait_gone(secured: &Secured, name: &str) {
    wait::until("a server without the client", || {
        let peers = secured.server.admin().connected_peers()?;
        (!peers.contains_key(name)).then_some(())
    });
}

#[test]
fn a_certificate_that_is_deleted_ends_its_link_and_does_not_come_back() {
    let secured = Secured::start();
    let (alice, bob) = (secured.client("alice"), secured.client("bob"));
    let (alice_process, _bob_process) = (alice.start(), bob.start());
    secured.check(&alice);
    secured.check(&bob);
    let before = fs::read(own_file(&alice, "pem")).unwrap();
    let arguments = json!({"client_id": "alice", "remove_only_symlink": false});
    let answer = secured.server.admin().ask("delete_client_certificate_on_server", arguments.clone()).unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer, json!({"status": true, "msg": ""}));
    alice_process.wait_error(&["refused the connection"]);
    secured.server_process.wait_error(&["no link in"]);
    wait_gone(&secured, "alice");
    assert!(!at_server(&secured, "alice.pem").exists() && !at_server(&secured, "alice.key").exists());
    assert_eq!(names(&secured)["source_id_2_cert"]["alice"], Value::Null);
    assert_eq!(names(&secured)["cert_2_source_id"].as_object().unwrap().len(), 1);
    assert_eq!(links(&secured), 2, "those of the default certificate and of bob");
    assert_eq!(fs::read(own_file(&alice, "pem")).unwrap(), before, "the client keeps what it has");
    secured.check(&bob);
    let again = secured.server.admin().ask("delete_client_certificate_on_server", arguments).unwrap();
    assert!(again.contains("false") && again.contains("alice"), "{again}");
    secured.server_process.wait_said("an admin had the certificate of client alice deleted");
}

#[test]
fn a_name_whose_files_stay_is_given_no_new_certificate() {
    let secured = Secured::start();
    let client = secured.client("alice");
    let mut process = client.start();
    secured.check(&client);
    let done = tool(&secured.server, &["alice", "--only-link"]);
    assert!(done.status.success(), "{done:?}");
    wait_gone(&secured, "alice");
    assert!(at_server(&secured, "alice.pem").exists());
    process.kill();
    fs::remove_file(own_file(&client, "pem")).unwrap();
    let process = client.start();
    secured.server_process.wait_error(&["alice has a certificate already"]);
    assert!(!own_file(&client, "pem").exists());
    drop(process);
}

#[test]
fn a_client_that_deletes_its_certificate_enrols_anew_when_the_server_has_deleted_it_too() {
    let secured = Secured::start();
    let client = secured.client("alice");
    let process = client.start();
    secured.check(&client);
    let before = fs::read(own_file(&client, "pem")).unwrap();
    let done = tool(&secured.server, &["alice"]);
    assert!(done.status.success(), "{done:?}");
    let done = tool(&client, &[]);
    assert!(done.status.success(), "{done:?}");
    secured.check(&client);
    assert_ne!(fs::read(own_file(&client, "pem")).unwrap(), before);
    process.wait_said("an admin had this client's own certificate deleted");
}

#[test]
fn the_client_s_command_does_not_work_on_a_server_nor_the_server_s_on_a_client() {
    let secured = Secured::start();
    let client = secured.client("alice");
    let _process = client.start();
    secured.check(&client);
    let wrong = [
        (&secured.server, "delete_client_certificate_on_client", json!({})),
        (&secured.server, "delete_client_certificate_on_server", json!({})),
        (&secured.server, "delete_client_certificate_on_server", json!({"client_id": "default"})),
        (&secured.server, "delete_client_certificate_on_server", json!({"client_id": "../../x"})),
        (&client, "delete_client_certificate_on_server", json!({"client_id": "alice"})),
    ];
    for (setup, command, arguments) in wrong {
        let answer = setup.admin().ask(command, arguments).unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["status"], false, "{command}: {answer}");
        assert!(!answer["msg"].as_str().unwrap().is_empty());
    }
    secured.check(&client);
}

#[test]
fn the_tool_deletes_certificates_of_connectors_that_do_not_run() {
    let mut secured = Secured::start();
    let client = secured.client("alice");
    let mut process = client.start();
    secured.check(&client);
    process.kill();
    secured.server_process.kill();
    let done = tool(&secured.server, &["alice"]);
    assert!(done.status.success() && String::from_utf8_lossy(&done.stdout).contains("does not run"), "{done:?}");
    assert!(!at_server(&secured, "alice.pem").exists());
    assert_eq!(tool(&secured.server, &["alice"]).status.code(), Some(1), "there is none any more");
    assert_eq!(tool(&secured.server, &[]).status.code(), Some(2), "whose?");
    let done = tool(&client, &[]);
    assert!(done.status.success(), "{done:?}");
    assert!(!own_file(&client, "pem").exists() && !own_file(&client, "key").exists());
}
