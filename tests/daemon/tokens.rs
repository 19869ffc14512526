//! Tokens: enrolment, damage, hooks, and what becomes of clients whose token is gone.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::common::setup::wait_link;
use crate::common::{Place, Process, RawReceiver, RawSender, Setup, certificates, free_port, wait};
use crate::link::message;

struct Server {
    place: Place,
    port: u16,
    setup: Setup,
    process: Process,
}

fn with_tokens(setup: Setup) -> Setup {
    let dir = setup.dir.to_str().expect("a path of UTF-8").to_owned();
    setup
        .with("use_ssl", true)
        .with("ssl_allow_all", true)
        .with("use_token", true)
        .with("tokens_directory_path", dir)
        .with("token_verify_peer_cert", false)
        .with("token_client_send_cert", false)
}

impl Server {
    #[track_caller]
    fn start() -> Server {
        Server::start_with(|setup| setup)
    }

    #[track_caller]
    fn start_with(change: impl Fn(Setup) -> Setup) -> Server {
        let (place, port) = (Place::new(), free_port());
        let setup = change(with_tokens(Setup::server(&place, port)));
        certificates::make(&place.file("made"));
        certificates::hand_out(&place.file("made"), &setup);
        let process = setup.start();
        Server { place, port, setup, process }
    }

    /// A client in a folder.
    fn client_in(&self, folder: &str, name: &str) -> Setup {
        with_tokens(Setup::client_in(&self.place, folder, name, self.port))
    }

    fn client(&self, name: &str) -> Setup {
        self.client_in(name, name)
    }

    fn file(&self) -> PathBuf {
        self.setup.dir.join("server_tokens.json")
    }

    fn known(&self) -> Vec<String> {
        let text = fs::read_to_string(self.file()).expect("the server's tokens");
        let known: Value = serde_json::from_str(&text).expect("JSON");
        known.as_object().expect("an object").keys().cloned().collect()
    }

    #[track_caller]
    fn ask(&self, command: &str, arguments: Value) -> Value {
        ask(&self.setup, command, arguments)
    }

    fn peers(&self) -> Vec<String> {
        self.setup.admin().connected_peers().expect("an answer").keys().cloned().collect()
    }

    /// A message of the client arrives at the server.
    #[track_caller]
    fn check(&self, client: &Setup) {
        wait_link(&self.setup, client);
        let receiver = RawReceiver::listen(self.setup.receive_socket("any"));
        RawSender::connect(&client.send_socket()).send_all([&message("any", client, &self.setup, "hello")]);
        receiver.wait_count(1);
        assert_eq!(receiver.frames()[0].field("source_id"), client.id.as_str());
    }
}

#[track_caller]
fn ask(setup: &Setup, command: &str, arguments: Value) -> Value {
    let answer = setup.admin().ask(command, arguments).expect("an answer");
    serde_json::from_str(&answer).expect("JSON")
}

fn done() -> Value {
    json!({"status": true, "msg": ""})
}

fn token_file(client: &Setup) -> PathBuf {
    client.dir.join(&client.id)
}

#[test]
fn clients_enrol_once_each_and_come_again_after_a_restart_of_either_side() {
    let mut server = Server::start();
    for name in ["alice", "bob"] {
        let client = server.client(name);
        let mut process = client.start();
        server.check(&client);
        let first = fs::read(token_file(&client)).expect("a token");
        process.kill();
        server.process.kill();
        server.process = server.setup.start();
        let _process = client.start();
        server.check(&client);
        assert_eq!(fs::read(token_file(&client)).unwrap(), first, "it enrolled once");
    }
    assert_eq!(server.known(), ["alice", "bob"]);
    assert!(server.process.errors().iter().all(|line| !line.contains("issued")), "after the restart");
}

#[test]
fn of_two_clients_with_one_name_the_first_gets_the_token_and_the_other_is_told() {
    let server = Server::start();
    let (one, two) = (server.client_in("one", "alice"), server.client_in("two", "alice"));
    let processes = [one.start(), two.start()];
    let line = server.process.wait_error(&["it has one already"]);
    assert!(line.contains("audit") && line.contains("alice"), "{line}");
    // The loser may be told before the winner has stored what it got.
    let first_wins = wait::until("a client with a token", || {
        [&one, &two].iter().position(|client| token_file(client).exists()).map(|winner| winner == 0)
    });
    let (winner, loser) = if first_wins { (&one, &two) } else { (&two, &one) };
    processes[usize::from(first_wins)].wait_error(&["may have one already"]);
    server.check(winner);
    assert!(!token_file(loser).exists());
}

#[test]
fn a_client_without_the_right_token_stays_out_under_any_name() {
    let server = Server::start();
    let client = server.client("alice");
    let _process = client.start();
    server.check(&client);
    let thief = server.client_in("thief", "alice");
    fs::create_dir_all(&thief.dir).expect("a folder");
    fs::write(token_file(&thief), "f".repeat(64)).expect("a token");
    let process = thief.start();
    let line = server.process.wait_error(&["not that of client alice"]);
    assert!(line.contains("audit"), "{line}");
    process.wait_error(&["when it was shown the token"]);
    server.check(&client);
}

#[test]
fn a_deleted_token_drops_the_live_connection_and_both_sides_can_begin_anew() {
    let server = Server::start();
    let client = server.client("alice");
    let process = client.start();
    server.check(&client);
    let old = fs::read(token_file(&client)).expect("a token");
    assert_eq!(server.ask("delete_client_token_on_server", json!({"client_id": "alice"})), done());
    assert!(server.peers().is_empty(), "the connection drops at once");
    assert!(server.known().is_empty());
    process.wait_error(&["when it was shown the token"]);
    assert!(server.peers().is_empty(), "the old token is of no use");
    assert_eq!(ask(&client, "delete_client_token_on_client", json!({})), done());
    server.check(&client);
    assert_ne!(fs::read(token_file(&client)).expect("a token"), old);
    for audited in ["the token of client alice was deleted", "a token was issued for client alice"] {
        assert!(server.process.wait_said(audited).contains("audit"));
    }
}

#[test]
fn tokens_are_read_again_when_an_admin_says_so_and_damage_changes_nothing() {
    let server = Server::start();
    let client = server.client("alice");
    let _process = client.start();
    server.check(&client);
    let tokens = fs::read(server.file()).expect("tokens");
    fs::write(server.file(), "{").expect("damage");
    let answer = server.ask("load_server_tokens__sync", json!({}));
    assert!(answer["status"] == false && answer["msg"].as_str().expect("why").contains("damaged"), "{answer}");
    server.check(&client);
    fs::write(server.file(), tokens).expect("as it was");
    assert_eq!(server.ask("load_server_tokens", json!({})), done());
    assert_eq!(server.peers(), ["alice"]);
    fs::write(server.file(), "{}").expect("no tokens");
    assert_eq!(server.ask("load_server_tokens", json!({})), done());
    assert!(server.peers().is_empty());
    assert_eq!(ask(&client, "load_client_token", json!({})), done());
    fs::write(token_file(&client), b"\xff").expect("damage");
    assert_eq!(ask(&client, "load_client_token", json!({}))["status"], false);
}

#[test]
fn a_server_whose_tokens_are_damaged_does_not_start_and_lets_nobody_take_a_name() {
    let mut server = Server::start();
    server.process.kill();
    for text in ["", "[]", r#"{"alice": "x"}"#] {
        fs::write(server.file(), text).expect("damage");
        let mut process = server.setup.spawn();
        assert_eq!(process.exit_code(), 1);
        assert!(process.errors().iter().any(|line| line.contains("server_tokens.json is damaged")));
        assert_eq!(fs::read_to_string(server.file()).unwrap(), text, "it is left as it is");
    }
}

#[test]
fn files_of_tokens_that_others_may_read_are_closed_to_them() {
    let mut server = Server::start();
    let client = server.client("alice");
    let mut process = client.start();
    server.check(&client);
    process.kill();
    server.process.kill();
    let files = [server.file(), token_file(&client)];
    for file in &files {
        fs::set_permissions(file, fs::Permissions::from_mode(0o664)).expect("another mode");
    }
    server.process = server.setup.start();
    let process = client.start();
    server.check(&client);
    for (said, file) in [&server.process, &process].into_iter().zip(&files) {
        said.wait_error(&["open to others"]);
        assert_eq!(fs::metadata(file).expect("a file").permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn a_token_that_cannot_be_read_is_no_reason_to_ask_for_another() {
    let server = Server::start();
    let client = server.client("alice");
    fs::create_dir_all(token_file(&client)).expect("a folder in its place");
    let process = client.start();
    process.wait_error(&["the token cannot be read"]);
    assert!(!server.file().exists(), "nothing was issued");
    fs::remove_dir(token_file(&client)).expect("no folder");
    server.check(&client);
}

#[test]
fn hooks_keep_the_token_as_they_like() {
    let server = Server::start();
    let hook = |name: &str, script: &str| {
        let path = server.place.file(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a program");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode");
        path.to_str().expect("UTF-8").to_owned()
    };
    let store = hook("store", r#"sed 's/.*"token":"\([0-9a-f]*\)".*/\1/' | tr 0-9a-f g-v"#);
    let load = hook("load", r#"sed 's/.*"stored":"\([g-v]*\)".*/\1/' | tr g-v 0-9a-f"#);
    let client = server.client("alice").with("hook_store_token", store).with("hook_load_token", load);
    let mut process = client.start();
    server.check(&client);
    let kept = fs::read_to_string(token_file(&client)).expect("what is kept");
    assert!(kept.len() == 64 && kept.chars().all(|c| ('g'..='v').contains(&c)), "{kept}");
    assert_eq!(ask(&client, "load_client_token", json!({})), done());
    process.kill();
    let refuses = client.with("hook_load_token", hook("refuses", "echo no key >&2; exit 1"));
    let process = refuses.start();
    process.wait_error(&["no key"]);
    assert_eq!(ask(&refuses, "load_client_token", json!({}))["msg"], "no key");
}

#[test]
fn a_client_with_a_certificate_of_its_own_needs_no_token_where_the_config_says_so() {
    let verifies = |setup: Setup| {
        setup.with("token_verify_peer_cert", true).with("token_server_allow_authorized_non_default_cert", true)
    };
    let mut server = Server::start_with(verifies);
    // It has enrolled when the server was in certificate mode.
    server.process.kill();
    let certificates_only = server.setup.clone().with("use_token", false).with("ssl_allow_all", false);
    let before = certificates_only.start();
    let client = Setup::client_in(&server.place, "old", "old", server.port).with("use_ssl", true);
    certificates::hand_out(&server.place.file("made"), &client);
    let _client = client.start();
    wait_link(&server.setup, &client);
    drop(before);
    server.process = server.setup.start();
    server.check(&client);
    let stranger = server.client("stranger");
    let process = stranger.start();
    process.wait_error(&["CertificateRequired", "certificate"]);
    assert_eq!(server.peers(), ["old"]);
    let known = server.client("known").with("token_client_send_cert", true).with("token_verify_peer_cert", true);
    certificates::hand_out(&server.place.file("made"), &known);
    let _known = known.start();
    server.check(&known);
    assert_eq!(server.known(), ["known"]);
}

/// `aioconnectorsctl` with these words, the server's config in the place of `CONFIG`: its exit code and what it printed.
fn ctl(server: &Server, words: &str) -> (Option<i32>, String) {
    let config = server.setup.write();
    let words = words.split(' ').map(|word| if word == "CONFIG" { config.to_str().expect("UTF-8") } else { word });
    let output = Command::new(env!("CARGO_BIN_EXE_aioconnectorsctl")).args(words).output().expect("the tool runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), said.trim().to_owned())
}

/// The client with a file that has this token for its enrolment.
fn invited(server: &Server, client: Setup, token: &str) -> Setup {
    let path = server.place.file(&format!("{}.invitation", client.id));
    fs::write(&path, format!("{token}\n")).expect("a file");
    client.with("enrollment_token_path", path.to_str().expect("UTF-8"))
}

#[test]
fn where_enrolment_wants_a_token_it_is_good_once_for_its_name_and_its_time() {
    let mut server = Server::start_with(|setup| setup.with("enrollment", "token"));
    let stranger = server.client("stranger");
    let _stranger = stranger.start();
    let line = server.process.wait_error(&["showed no token for enrolment"]);
    assert!(line.contains("audit") && line.contains("stranger"), "{line}");
    let (code, token) = ctl(&server, "enroll CONFIG alice --ttl 1000");
    assert!(code == Some(0) && token.len() == 64, "{token}");
    let kept = fs::read_to_string(server.setup.dir.join("enrollment_tokens.json")).expect("a file");
    assert!(!kept.contains(&token) && kept.contains("alice"), "{kept}");
    server.process.kill();
    server.process = server.setup.start();
    assert!(ctl(&server, "enrollments CONFIG").1.starts_with("alice 1"));
    let thief = invited(&server, server.client("thief"), &token);
    let _thief = thief.start();
    server.process.wait_error(&["client thief may not enrol: the token for enrolment that it showed is not one"]);
    let alice = invited(&server, server.client("alice"), &token);
    let mut process = alice.start();
    server.check(&alice);
    assert_eq!(ctl(&server, "enrollments CONFIG"), (Some(0), String::new()));
    let (code, said) = ctl(&server, "enroll CONFIG alice");
    assert!(code == Some(3) && said.contains("has a token already"), "{said}");
    process.kill();
    assert_eq!(server.ask("delete_client_token_on_server", json!({"client_id": "alice"})), done());
    fs::remove_file(token_file(&alice)).expect("its token");
    let _process = alice.start();
    server.process.wait_error(&["client alice may not enrol"]);
    assert_eq!(server.known(), Vec::<String>::new(), "it was good once");
}

#[test]
fn a_token_for_enrolment_can_be_withdrawn_and_expires() {
    let server = Server::start_with(|setup| setup.with("enrollment", "token"));
    let (_, withdrawn) = ctl(&server, "enroll CONFIG alice");
    assert_eq!(ctl(&server, "withdraw-enrollment CONFIG alice"), (Some(0), String::new()));
    assert_eq!(ctl(&server, "withdraw-enrollment CONFIG alice").0, Some(3));
    let alice = invited(&server, server.client("alice"), &withdrawn);
    let _alice = alice.start();
    server.process.wait_error(&["client alice may not enrol"]);
    let (_, short) = ctl(&server, "enroll CONFIG bob --ttl 1");
    wait::until("its end", || ctl(&server, "enrollments CONFIG").1.is_empty().then_some(()));
    let bob = invited(&server, server.client("bob"), &short);
    let _bob = bob.start();
    server.process.wait_error(&["client bob may not enrol"]);
    for words in ["enroll CONFIG ../x", "enroll CONFIG default", "enroll CONFIG x --ttl 9999999"] {
        assert_eq!(ctl(&server, words).0, Some(3), "{words}");
    }
}

#[test]
fn in_certificate_mode_as_well_a_new_client_needs_its_token_for_enrolment() {
    let certificates_only =
        |setup: Setup| setup.with("enrollment", "token").with("use_token", false).with("ssl_allow_all", false);
    let server = Server::start_with(certificates_only);
    let client = |name: &str| {
        let client = Setup::client_in(&server.place, name, name, server.port).with("use_ssl", true);
        certificates::hand_out(&server.place.file("made"), &client);
        client
    };
    let stranger = client("stranger");
    let _stranger = stranger.start();
    server.process.wait_error(&["client stranger may not enrol"]);
    let (_, token) = ctl(&server, "enroll CONFIG alice");
    let alice = invited(&server, client("alice"), &token);
    let _alice = alice.start();
    server.check(&alice);
    assert!(!stranger.dir.join("certificates/client/client-certs/stranger.pem").exists());
    assert_eq!(ctl(&server, "enrollments CONFIG"), (Some(0), String::new()));
}
