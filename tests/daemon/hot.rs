//! Certificates that are replaced while the connectors run.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use aioconnectors::certs::pair::load_certificates;
use nix::sys::signal::Signal;

use crate::certificates::{Secured, own_file};
use crate::common::{Setup, certificates};

fn tool(arguments: &[&str]) -> Output {
    let tool = env!("CARGO_BIN_EXE_aioconnectorsctl");
    Command::new(tool).arg("replace-server-certificate").args(arguments).output().expect("the tool runs")
}

fn of_server(secured: &Secured, name: &str) -> PathBuf {
    secured.server.dir.join("certificates/server/server-cert").join(name)
}

fn pinned(client: &Setup) -> PathBuf {
    client.dir.join("certificates/client/server-cert/server.pem")
}

/// Another server's certificate and key: their folder.
fn another(secured: &Secured, options: &[&str]) -> PathBuf {
    certificates::make_with(options, &secured.place.file("other"));
    secured.place.file("other/certificates/server/server-cert")
}

#[test]
fn a_server_shows_a_certificate_that_was_replaced_from_the_next_connection_on() {
    let secured = Secured::start();
    let (first, second) = (secured.client("alice"), secured.client("bob"));
    let _first = first.start();
    secured.check(&first);
    let other = another(&secured, &[]);
    let (pem, dir) = (other.join("server.pem"), secured.server.dir.clone());
    let done = tool(&[pem.to_str().unwrap(), dir.to_str().unwrap()]);
    assert!(done.status.success(), "{done:?}");
    // Nobody who is there loses the link; who comes sees the new certificate only.
    secured.check(&first);
    let old = fs::read(pinned(&second)).unwrap();
    fs::copy(&pem, pinned(&second)).unwrap();
    let mut process = second.start();
    secured.check(&second);
    secured.server_process.wait_said("is used from now on");
    let again = tool(&[pem.to_str().unwrap(), dir.to_str().unwrap()]);
    assert!(again.status.success(), "{again:?}");
    process.kill();
    let done = tool(&["--revert", dir.to_str().unwrap()]);
    assert!(done.status.success(), "{done:?}");
    assert_eq!(fs::read(of_server(&secured, "server.pem")).unwrap(), old, "it is the very first that comes back");
    fs::write(pinned(&second), old).unwrap();
    let _process = second.start();
    secured.check(&second);
    assert_eq!(tool(&["--revert", dir.to_str().unwrap()]).status.code(), Some(1), "there is none any more");
}

#[test]
fn the_tool_takes_no_certificate_whose_key_does_not_fit() {
    let secured = Secured::start();
    let other = another(&secured, &[]);
    fs::copy(of_server(&secured, "server.key"), other.join("server.key")).unwrap();
    let before = fs::read(of_server(&secured, "server.pem")).unwrap();
    let done = tool(&[other.join("server.pem").to_str().unwrap(), secured.server.dir.to_str().unwrap()]);
    assert_eq!(done.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&done.stderr).contains("is not the key"), "{done:?}");
    assert_eq!(fs::read(of_server(&secured, "server.pem")).unwrap(), before);
    assert!(!of_server(&secured, "server.pem.org").exists());
    assert_eq!(tool(&[]).status.code(), Some(2));
}

#[test]
fn half_a_pair_leaves_the_old_one_in_use_at_a_connection_and_at_a_reload() {
    let secured = Secured::start();
    let other = another(&secured, &[]);
    fs::copy(other.join("server.key"), of_server(&secured, "server.key")).unwrap();
    let (first, second) = (secured.client("alice"), secured.client("bob"));
    let _first = first.start();
    secured.check(&first);
    secured.server_process.wait_error(&["stays in use"]);
    secured.server_process.signal(Signal::SIGHUP);
    secured.server_process.wait_error(&["not reloaded"]);
    secured.check(&first);
    fs::copy(other.join("server.pem"), of_server(&secured, "server.pem")).unwrap();
    fs::copy(other.join("server.pem"), pinned(&second)).unwrap();
    let _second = second.start();
    secured.check(&second);
}

#[test]
fn a_client_with_half_of_a_new_pair_comes_again_with_the_old_one() {
    let mut secured = Secured::start();
    let client = secured.client("alice");
    let process = client.start();
    secured.check(&client);
    let key = own_file(&client, "key");
    fs::copy(another(&secured, &[]).join("server.key"), &key).unwrap();
    secured.server_process.kill();
    secured.server_process = secured.server.start();
    secured.check(&client);
    process.wait_error(&["stays in use"]);
}

#[test]
fn another_ca_signs_from_the_moment_that_it_is_there_whole() {
    let secured = Secured::start_with(&["--ca"], |server| server.with("server_ca", true));
    let (first, second, third) = (secured.client("alice"), secured.client("bob"), secured.client("carol"));
    let _first = first.start();
    secured.check(&first);
    let other = another(&secured, &["--ca"]);
    let signed_by = |client: &Setup| {
        let own = load_certificates(&own_file(client, "pem")).unwrap();
        load_certificates(&other.join("server_ca.pem")).unwrap()[0].has_signed(&own[0])
    };
    fs::copy(other.join("server_ca.key"), of_server(&secured, "server_ca.key")).unwrap();
    let _second = second.start();
    secured.check(&second);
    assert!(!signed_by(&second));
    secured.server_process.wait_error(&["the one that came cannot"]);
    let hash = load_certificates(&other.join("server_ca.pem")).unwrap()[0].subject_hash().to_owned();
    let links = secured.server.dir.join("certificates/server/client-certs/symlinks");
    fs::copy(other.join("server_ca.pem"), links.join(format!("{hash}.0"))).unwrap();
    fs::copy(other.join("server_ca.pem"), of_server(&secured, "server_ca.pem")).unwrap();
    let _third = third.start();
    secured.check(&third);
    assert!(signed_by(&third));
}
