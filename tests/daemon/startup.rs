//! What keeps a connector from starting: one line on stderr and exit code 1, or 2 for a wrong command line.

use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Command;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use crate::common::process::has_word;
use crate::common::setup::wait_link;
use crate::common::{Place, Process, Setup, certificates, free_port};

/// The daemon does not start with this config, and says why in one line that has all of `words`.
#[track_caller]
fn does_not_start(setup: &Setup, words: &[&str]) {
    let mut process = setup.spawn();
    assert_eq!(process.exit_code(), 1);
    assert_one_reason(&process, words);
}

#[track_caller]
fn assert_one_reason(process: &Process, words: &[&str]) {
    let lines: Vec<_> = process.errors().into_iter().filter(|line| !line.contains("INFO")).collect();
    assert_eq!(lines.len(), 1, "one line that says why: {lines:#?}");
    for word in words {
        assert!(has_word(&lines[0], &[word]), "it should say {word:?}: {}", lines[0]);
    }
}

fn daemon(arguments: &[&str]) -> Process {
    Process::spawn("aioconnectorsd", Command::new(env!("CARGO_BIN_EXE_aioconnectorsd")).args(arguments))
}

/// A server in certificate mode with a folder of its own.
fn server_with_certificates(place: &Place) -> Setup {
    let server = Setup::server(place, free_port()).with("use_ssl", true);
    certificates::make(&place.file("made"));
    certificates::hand_out(&place.file("made"), &server);
    server
}

fn server_file(server: &Setup, name: &str) -> PathBuf {
    server.dir.join("certificates/server/server-cert").join(name)
}

#[test]
fn without_an_argument_it_is_a_wrong_command_line() {
    assert_eq!(daemon(&[]).exit_code(), 2);
}

#[test]
fn with_an_unknown_option_it_is_a_wrong_command_line() {
    assert_eq!(daemon(&["--no-such-option"]).exit_code(), 2);
}

#[test]
fn a_config_that_does_not_exist_is_named() {
    let mut process = daemon(&["/nowhere/config.json"]);
    assert_eq!(process.exit_code(), 1);
    assert_one_reason(&process, &["/nowhere/config.json"]);
}

#[test]
fn a_config_that_is_no_json_is_named() {
    let place = Place::new();
    let path = place.file("broken.json");
    fs::write(&path, "{\"is_server\": tru").expect("a file");
    let mut process = daemon(&[path.to_str().unwrap()]);
    assert_eq!(process.exit_code(), 1);
    assert_one_reason(&process, &["broken.json"]);
}

#[test]
fn a_port_in_use_is_named() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its number").port();
    does_not_start(&Setup::server(&place, port), &[&port.to_string()]);
}

#[test]
fn a_file_in_the_place_of_its_folder_is_named() {
    let place = Place::new();
    let server = Setup::server(&place, free_port());
    fs::write(&server.dir, "").expect("a file");
    does_not_start(&server, &[server.dir.to_str().unwrap()]);
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let place = Place::new();
    fs::write(place.file("file"), "").expect("a file");
    let inside = place.file("file").join("folder");
    let server = Setup::server(&place, free_port()).with("connector_files_dirpath", inside.to_str().unwrap());
    does_not_start(&server, &[inside.to_str().unwrap()]);
}

#[test]
fn a_socket_path_too_long_for_the_system_is_named() {
    let place = Place::new();
    let deep = place.file(&"d".repeat(90));
    let server = Setup::server(&place, free_port()).with("connector_files_dirpath", deep.to_str().unwrap());
    let mut process = server.spawn();
    assert_eq!(process.exit_code(), 1);
    let lines = process.errors();
    assert!(!lines.is_empty() && lines.iter().all(|line| line.contains("at most 104 bytes")), "{lines:#?}");
}

#[test]
fn a_missing_key_is_named() {
    let place = Place::new();
    let server = server_with_certificates(&place);
    fs::remove_file(server_file(&server, "server.key")).expect("the key was there");
    does_not_start(&server, &["server.key"]);
}

#[test]
fn a_missing_certificate_is_named() {
    let place = Place::new();
    let server = server_with_certificates(&place);
    fs::remove_file(server_file(&server, "server.pem")).expect("the certificate was there");
    does_not_start(&server, &["server.pem"]);
}

#[test]
fn a_missing_certificates_folder_is_named() {
    let place = Place::new();
    let server = Setup::server(&place, free_port()).with("use_ssl", true);
    does_not_start(&server, &["certificates"]);
}

#[test]
fn a_key_that_is_another_certificates_is_named() {
    let place = Place::new();
    let server = server_with_certificates(&place);
    let other = KeyPair::generate().expect("a key").serialize_pem();
    fs::write(server_file(&server, "server.key"), other).expect("the key's file");
    does_not_start(&server, &["server.key"]);
}

#[test]
fn a_certificate_file_that_holds_none_is_named() {
    let place = Place::new();
    let server = server_with_certificates(&place);
    fs::write(server_file(&server, "server.pem"), "-----BEGIN CERTIFICATE-----\n!!!\n").expect("the file");
    does_not_start(&server, &["server.pem"]);
}

#[test]
fn an_expired_certificate_is_named() {
    let place = Place::new();
    let server = server_with_certificates(&place);
    let mut params = CertificateParams::default();
    (params.not_before, params.not_after) = (date_time_ymd(2019, 1, 1), date_time_ymd(2020, 1, 1));
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    fs::write(server_file(&server, "server.pem"), certificate.pem()).expect("the file");
    fs::write(server_file(&server, "server.key"), key.serialize_pem()).expect("the file");
    does_not_start(&server, &["server.pem", "expired"]);
}

#[test]
fn a_client_with_a_key_that_is_another_certificates_does_not_start() {
    let place = Place::new();
    let client = Setup::client(&place, "client1", free_port()).with("use_ssl", true);
    certificates::make(&place.file("made"));
    certificates::hand_out(&place.file("made"), &client);
    let other = KeyPair::generate().expect("a key").serialize_pem();
    fs::write(client.dir.join("certificates/client/client-certs/default.key"), other).expect("the key's file");
    does_not_start(&client, &["default.key"]);
}

#[test]
fn socket_files_of_a_dead_process_are_taken_over() {
    let (place, port) = (Place::new(), free_port());
    let server = Setup::server(&place, port);
    server.write();
    for path in [server.send_socket(), server.admin().path] {
        // Dropping the listener leaves the file.
        drop(UnixListener::bind(&path).expect("a socket"));
        assert!(path.exists());
    }
    let _server = server.start();
    let client = Setup::client(&place, "client1", port);
    let _client = client.start();
    wait_link(&server, &client);
}

#[test]
fn a_connector_that_was_killed_starts_again_in_its_folder() {
    let place = Place::new();
    let server = Setup::server(&place, free_port());
    let mut first = server.start();
    first.kill();
    let _second = server.start();
}

#[test]
fn a_second_connector_in_the_same_folder_leaves_the_first_alone() {
    let (place, port) = (Place::new(), free_port());
    let server = Setup::server(&place, port);
    let _server = server.start();
    let client = Setup::client(&place, "client1", port);
    let mut first = client.start();
    wait_link(&server, &client);
    let before = server.admin().connected_peers();
    does_not_start(&client, &[client.dir.to_str().unwrap()]);
    assert!(first.is_running());
    assert_eq!(server.admin().connected_peers(), before, "the first one's link is the same");
    assert!(client.admin().connected_peers().is_some(), "the first one still answers");
}
