//! A server whose CA signs its clients' certificates.

use std::fs;
use std::process::Command;

use aioconnectors::certs::pair::load_certificates;

use crate::certificates::{Secured, own_file};
use crate::common::certificates;
use crate::enrolment::{at_server, listed};

fn start(copies: bool) -> Secured {
    let change =
        |server: crate::common::Setup| server.with("server_ca", true).with("server_ca_certs_not_stored", !copies);
    Secured::start_with(&["--ca"], change)
}

#[test]
fn clients_get_certificates_that_the_ca_has_signed_for_their_own_keys() {
    for copies in [false, true] {
        let mut secured = start(copies);
        let client = secured.client("alice");
        let mut process = client.start();
        secured.check(&client);
        let own = load_certificates(&own_file(&client, "pem")).unwrap().remove(0);
        let ca = secured.server.dir.join("certificates/server/server-cert/server_ca.pem");
        assert!(load_certificates(&ca).unwrap()[0].has_signed(&own));
        assert!(!at_server(&secured, "alice.pem").exists() && !at_server(&secured, "alice.key").exists());
        assert_eq!(listed(&secured)["source_id_2_cert"]["alice"], own.serial());
        let copy = at_server(&secured, "ca-generated").join(format!("{}.pem", own.serial()));
        assert_eq!(copy.exists(), copies);
        // It is still known when both begin anew.
        process.kill();
        secured.server_process.kill();
        secured.server_process = secured.server.start();
        let _process = client.start();
        secured.check(&client);
    }
}

#[test]
fn what_the_ca_has_signed_is_refused_when_its_entry_is_deleted() {
    let secured = start(false);
    let client = secured.client("alice");
    let _process = client.start();
    secured.check(&client);
    let tool = env!("CARGO_BIN_EXE_aioconnectorsctl");
    certificates::run(Command::new(tool).arg("delete-certificate").arg(secured.server.write()).arg("alice"));
    secured.server_process.wait_error(&["names no client for it"]);
    assert!(secured.server.admin().connected_peers().unwrap().is_empty());
}

#[test]
fn what_another_ca_has_signed_is_refused() {
    let (secured, other) = (start(false), start(false));
    let (client, theirs) = (secured.client("alice"), other.client("alice"));
    let _process = theirs.start();
    other.check(&theirs);
    for ending in ["pem", "key"] {
        fs::create_dir_all(own_file(&client, ending).parent().unwrap()).unwrap();
        fs::copy(own_file(&theirs, ending), own_file(&client, ending)).unwrap();
    }
    // The serial number alone opens nothing.
    fs::copy(at_server(&other, "source_id_2_cert.json"), at_server(&secured, "source_id_2_cert.json")).unwrap();
    let _client = client.start();
    secured.server_process.wait_error(&["no link in"]);
}

#[test]
fn a_server_without_the_ca_that_it_needs_does_not_start() {
    let secured = Secured::start();
    let server = secured.server.clone().with("server_ca", true);
    drop(secured.server_process);
    let mut process = server.spawn();
    assert_eq!(process.exit_code(), 1);
    process.wait_error(&["server_ca.pem is missing"]);
}
