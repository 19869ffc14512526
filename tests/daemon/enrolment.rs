//! How clients come to a certificate of their own: who makes the key, which default certificates do, who gets none.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use aioconnectors::certs::pair::load_certificates;
use serde_json::Value;

use crate::certificates::{Secured, own_file};
use crate::common::{Setup, certificates, wait};

pub fn at_server(secured: &Secured, name: &str) -> PathBuf {
    secured.server.dir.join("certificates/server/client-certs").join(name)
}

pub fn listed(secured: &Secured) -> Value {
    serde_json::from_str(&fs::read_to_string(at_server(secured, "source_id_2_cert.json")).expect("a list")).unwrap()
}

fn delete(setup: &Setup, client: &str) {
    let tool = env!("CARGO_BIN_EXE_aioconnectorsctl");
    certificates::run(Command::new(tool).arg("delete-certificate").arg(setup.write()).arg(client));
}

/// Has the server accept one more default certificate, which `client` has in place of the first.
fn give_default(secured: &Secured, client: &Setup, number: usize) {
    let made = secured.place.file(&format!("more{number}"));
    certificates::make(&made);
    let own = made.join("certificates/client/client-certs");
    for ending in ["pem", "key"] {
        let to = client.dir.join("certificates/client/client-certs/default").with_extension(ending);
        fs::copy(own.join("default").with_extension(ending), to).unwrap();
    }
    let name = format!("default{number}.pem");
    fs::copy(own.join("default.pem"), at_server(secured, &name)).unwrap();
    let hash = load_certificates(&own.join("default.pem")).unwrap()[0].subject_hash().to_owned();
    symlink(Path::new("..").join(name), at_server(secured, "symlinks").join(format!("{hash}.0"))).unwrap();
}

#[test]
fn a_client_s_key_never_leaves_it() {
    let secured = Secured::start();
    let client = secured.client("alice");
    let _process = client.start();
    secured.check(&client);
    assert!(own_file(&client, "key").exists());
    assert!(!at_server(&secured, "alice.key").exists(), "the server has the client's key");
    let pinned = load_certificates(&at_server(&secured, "alice.pem")).unwrap();
    assert_eq!(pinned, load_certificates(&own_file(&client, "pem")).unwrap());
    let drafts = fs::read_dir(own_file(&client, "pem").parent().unwrap()).unwrap();
    let drafts: Vec<_> =
        drafts.map(|e| e.unwrap().file_name()).filter(|n| n.to_string_lossy().starts_with('.')).collect();
    assert!(drafts.is_empty(), "{drafts:?}");
}

#[test]
fn a_client_whose_answer_was_lost_gets_it_again() {
    let mut secured = Secured::start();
    let client = secured.client("alice");
    let mut process = client.start();
    secured.check(&client);
    process.kill();
    // As if the client had died before it kept what the server had accepted.
    let folder = client.dir.join("certificates/client/client-certs");
    for ending in ["pem", "key"] {
        fs::rename(own_file(&client, ending), folder.join(format!(".alice.next.{ending}"))).unwrap();
    }
    secured.server_process.kill();
    secured.server_process = secured.server.start();
    let _process = client.start();
    secured.check(&client);
    assert!(own_file(&client, "key").exists());
}

#[test]
fn each_of_several_default_certificates_lets_clients_enrol() {
    let secured = Secured::start();
    let clients: Vec<Setup> = ["alice", "bob", "carol"].map(|name| secured.client(name)).into();
    give_default(&secured, &clients[1], 2);
    give_default(&secured, &clients[2], 17);
    let processes: Vec<_> = clients.iter().map(Setup::start).collect();
    clients.iter().for_each(|client| secured.check(client));
    // One that is not accepted any more does not.
    fs::remove_dir_all(at_server(&secured, "symlinks")).unwrap();
    fs::create_dir(at_server(&secured, "symlinks")).unwrap();
    let late = secured.client("dave");
    let _late = late.start();
    secured.server_process.wait_error(&["no link in"]);
    assert!(!own_file(&late, "pem").exists());
    drop(processes);
}

#[test]
fn no_more_than_max_certs_clients_get_a_certificate() {
    let secured = Secured::start_with(&[], |server| server.with("max_certs", 1));
    let (alice, bob) = (secured.client("alice"), secured.client("bob"));
    let _alice = alice.start();
    secured.check(&alice);
    let _bob = bob.start();
    secured.server_process.wait_error(&["max_certs"]);
    assert!(!own_file(&bob, "pem").exists());
    // Room comes with a deletion.
    delete(&secured.server, "alice");
    secured.check(&bob);
}

#[test]
fn a_client_whose_certificate_is_refused_tries_the_default_one_in_turn() {
    let secured = Secured::start();
    let client = secured.client("alice").with("alternate_client_default_cert", true);
    let process = client.start();
    secured.check(&client);
    let before = fs::read(own_file(&client, "pem")).unwrap();
    delete(&secured.server, "alice");
    process.wait_said("the default one has its turn");
    secured.check(&client);
    assert_ne!(fs::read(own_file(&client, "pem")).unwrap(), before);
    assert_eq!(listed(&secured)["cert_2_source_id"].as_object().unwrap().len(), 1);
}

#[test]
fn without_that_it_shows_its_own_certificate_only() {
    let secured = Secured::start();
    let client = secured.client("alice");
    let process = client.start();
    secured.check(&client);
    delete(&secured.server, "alice");
    wait::until("a second attempt", || {
        let refused = |line: &&String| line.contains("no link in");
        (secured.server_process.complaints().iter().filter(refused).count() >= 2).then_some(())
    });
    assert!(!process.errors().iter().any(|line| line.contains("has its turn")));
    assert_eq!(listed(&secured)["cert_2_source_id"].as_object().unwrap().len(), 0);
}
