//! Hooks as programs: who is asked, what, and what becomes of it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::common::process::has_word;
use crate::common::setup::wait_link;
use crate::common::{Place, Process, RawPeer, RawReceiver, RawSender, Setup, certificates, free_port, wait};
use crate::link::message;

const AUTH: &str = "hook_server_auth_client";
const WHITELIST: &str = "hook_whitelist_clients";
const CERTIFICATE: &str = "hook_allow_certificate_creation";

/// A script that notes its question in the file `asked`, and has it in `$q`.
fn hook(place: &Place, name: &str, script: &str) -> String {
    let path = place.file(name);
    let asked = place.file("asked");
    fs::write(&path, format!("#!/bin/sh\nq=$(cat)\necho \"$q\" >> {}\n{script}\n", asked.display())).expect("a script");
    set_mode(&path, 0o755);
    path.to_str().expect("UTF-8").to_owned()
}

fn set_mode(path: &PathBuf, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("a mode");
}

/// What a script does with clients of this name, letting all others in.
fn with(name: &str, what: &str) -> String {
    format!("case \"$q\" in *'\"client\":\"{name}\"'*) {what};; esac")
}

/// The questions so far.
fn asked(place: &Place) -> Vec<Value> {
    let text = fs::read_to_string(place.file("asked")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("a question in JSON")).collect()
}

fn peers(server: &Setup) -> Vec<String> {
    server.admin().connected_peers().expect("an answer").into_iter().map(|(name, _)| name).collect()
}

#[track_caller]
fn wait_peer(server: &Setup, name: &str) {
    wait::until(name, || server.admin().connected_peers().filter(|peers| peers.contains_key(name)));
}

/// A client of this name comes up, and a message of it arrives.
#[track_caller]
fn works(place: &Place, server: &Setup, port: u16, name: &str) -> Process {
    let client = Setup::client_in(place, name, name, port);
    let process = client.start();
    wait_link(server, &client);
    let receiver = RawReceiver::listen(server.receive_socket("any"));
    RawSender::connect(&client.send_socket()).send_all([&message("any", &client, server, "hello")]);
    receiver.wait_count(1);
    process
}

/// `mallory` is cut off by this hook, with a line that has all of `words`; others are not.
#[track_caller]
fn is_cut_off(key: &str, what: &str, words: &[&str]) {
    let (place, port) = (Place::new(), free_port());
    let program = hook(&place, "hook", &with("mallory", what));
    let server = Setup::server(&place, port).with(key, program).with("hook_timeout", 2);
    let process = server.start();
    RawPeer::client(port, "mallory").wait_closed();
    let line = process.wait_error(&["refused by"]);
    assert!(line.contains("WARN") && line.contains("mallory") && line.contains(key), "{line}");
    for word in words {
        assert!(has_word(&line, &[word]), "it should say {word:?}: {line}");
    }
    let _client = works(&place, &server, port, "alice");
    assert_eq!(peers(&server), ["alice"]);
    let asked = asked(&place);
    let id = server.id.as_str();
    for (question, client) in asked.iter().zip(["mallory", "alice"]) {
        let rest =
            json!({"hook": key, "connector": id, "client": client, "address": "127.0.0.1", "certificate": false});
        for (name, value) in rest.as_object().expect("an object") {
            assert_eq!(question.get(name), Some(value), "{question}");
        }
        assert!(question["port"].is_u64(), "{question}");
    }
    assert_eq!(asked.len(), 2, "each is asked about once");
}

#[test]
fn a_client_that_the_hook_refuses_is_cut_off_with_its_reason() {
    is_cut_off(AUTH, "echo I know him >&2; exit 1", &["I know him"]);
}

#[test]
fn a_client_that_is_on_no_whitelist_is_cut_off() {
    is_cut_off(WHITELIST, "exit 1", &[]);
}

#[test]
fn a_hook_that_crashes_refuses() {
    is_cut_off(AUTH, "kill -9 $$", &["failed", "signal 9"]);
    is_cut_off(AUTH, "exit 77", &["failed", "77"]);
}

#[test]
fn a_hook_that_writes_without_end_refuses() {
    is_cut_off(AUTH, "cat /dev/zero", &["failed", "65536"]);
}

#[test]
fn a_hook_that_hangs_is_ended_and_refuses() {
    is_cut_off(AUTH, "sleep 1000", &["failed", "hook_timeout"]);
}

#[test]
fn while_a_hook_thinks_about_one_client_others_come_and_go_and_that_one_waits() {
    let (place, port) = (Place::new(), free_port());
    let gate = place.file("gate");
    let script = with("slow", &format!("while ! test -e {}; do sleep 0.01; done", gate.display()));
    let program = hook(&place, "hook", &script);
    let server = Setup::server(&place, port).with(AUTH, program).with("hook_timeout", 600);
    let _server = server.start();
    let mut slow = RawPeer::client(port, "slow");
    let text = |data: &str| crate::common::Frame::new(json!({"message_type": "quick", "source_id": "slow"}), data);
    slow.send(&text("one"));
    wait::until("the question", || (!asked(&place).is_empty()).then_some(()));
    slow.send(&text("two"));
    let _client = works(&place, &server, port, "alice");
    assert_eq!(peers(&server), ["alice"]);
    let receiver = RawReceiver::listen(server.receive_socket("quick"));
    fs::write(gate, "").expect("a file");
    wait_peer(&server, "slow");
    receiver.wait_count(2);
    let data: Vec<_> = receiver.frames().into_iter().map(|frame| frame.data).collect();
    assert_eq!(data, [b"one", b"two"], "what it sent meanwhile was kept");
}

#[test]
fn a_client_that_leaves_while_it_is_asked_about_is_not_missed() {
    let (place, port) = (Place::new(), free_port());
    let gate = place.file("gate");
    let script = with("slow", &format!("while ! test -e {}; do sleep 0.01; done", gate.display()));
    let server = Setup::server(&place, port).with(AUTH, hook(&place, "hook", &script)).with("hook_timeout", 600);
    let mut process = server.start();
    drop(RawPeer::client(port, "slow"));
    wait::until("the question", || (!asked(&place).is_empty()).then_some(()));
    fs::write(gate, "").expect("a file");
    let _client = works(&place, &server, port, "alice");
    wait::until("the server to let it go", || (peers(&server) == ["alice"]).then_some(()));
    process.signal(Signal::SIGTERM);
    assert_eq!(process.exit_code(), 0);
}

#[test]
fn a_stop_does_not_wait_for_a_hook_and_ends_its_program() {
    let (place, port) = (Place::new(), free_port());
    let program = hook(&place, "hook", &format!("echo $$ > {}; exec sleep 1000", place.file("pid").display()));
    let server = Setup::server(&place, port).with(AUTH, program).with("hook_timeout", 600);
    let mut process = server.start();
    let mut peer = RawPeer::client(port, "slow");
    let pid = wait::until("the program", || fs::read_to_string(place.file("pid")).ok().filter(|p| p.ends_with('\n')));
    process.signal(Signal::SIGTERM);
    peer.wait_closed();
    assert_eq!(process.exit_code(), 0);
    wait::until("the program's end", || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        (stat.is_empty() || stat.contains(") Z ")).then_some(())
    });
}

#[test]
fn only_clients_that_the_hook_allows_get_a_certificate() {
    let (place, port) = (Place::new(), free_port());
    let made = place.file("made");
    let server = Setup::server(&place, port)
        .with("use_ssl", true)
        .with(CERTIFICATE, hook(&place, "enrol", &with("mallory", "echo not this one >&2; exit 1")))
        .with(AUTH, hook(&place, "auth", "exit 0"));
    certificates::make(&made);
    certificates::hand_out(&made, &server);
    let process = server.start();
    let client = |name: &str| {
        let client = Setup::client_in(&place, name, name, port).with("use_ssl", true);
        certificates::hand_out(&made, &client);
        client
    };
    let mallory = client("mallory");
    let _mallory = mallory.start();
    let line = process.wait_error(&["not this one"]);
    assert!(line.contains(CERTIFICATE) && line.contains("mallory"), "{line}");
    let alice = client("alice");
    let _alice = alice.start();
    wait_link(&server, &alice);
    assert!(!mallory.dir.join("certificates/client/client-certs/mallory.pem").exists());
    let of_alice: Vec<Value> = asked(&place).into_iter().filter(|q| q["client"] == "alice").collect();
    let seen: Vec<(&str, bool)> =
        of_alice.iter().map(|q| (q["hook"].as_str().expect("a name"), q["certificate"] == true)).collect();
    assert_eq!(seen, [(CERTIFICATE, false), (AUTH, true)]);
}

#[test]
fn a_program_gets_nothing_of_what_the_connector_has_open() {
    let (place, port) = (Place::new(), free_port());
    let script = format!("ls -l /proc/$$/fd > {}", place.file("open").display());
    let server = Setup::server(&place, port).with(AUTH, hook(&place, "hook", &script));
    let _server = server.start();
    let _client = works(&place, &server, port, "alice");
    let open = fs::read_to_string(place.file("open")).expect("a list");
    // What the connector itself was started with may be there: this test's own starter is not all that careful.
    let its_own = ["socket:", "anon_inode:", "/s/", "memfd:"];
    assert!(!its_own.iter().any(|kind| open.contains(kind)), "{open}");
}

#[test]
fn hooks_are_asked_after_a_reload_as_before() {
    let (place, port) = (Place::new(), free_port());
    let server = Setup::server(&place, port).with(AUTH, hook(&place, "hook", &with("mallory", "exit 1")));
    let process = server.start();
    process.signal(Signal::SIGHUP);
    wait::until("the reload", || process.errors().into_iter().find(|line| line.contains("reloaded")));
    RawPeer::client(port, "mallory").wait_closed();
    process.wait_error(&["refused by"]);
    let _client = works(&place, &server, port, "alice");
}

#[test]
fn a_program_that_cannot_be_a_hook_keeps_the_connector_from_starting() {
    let place = Place::new();
    let starts_not = |path: &str, words: &[&str]| {
        let mut process = Setup::server(&place, free_port()).with(AUTH, path).spawn();
        assert_eq!(process.exit_code(), 1);
        let lines = process.errors();
        for word in [&[AUTH, path], words].concat() {
            assert!(lines.iter().any(|line| has_word(line, &[word])), "it should say {word:?}: {lines:#?}");
        }
    };
    starts_not("hooks/auth", &["absolute"]);
    starts_not("/nowhere/auth", &["No such file"]);
    let path = PathBuf::from(hook(&place, "auth", "exit 0"));
    set_mode(&path, 0o644);
    starts_not(path.to_str().expect("UTF-8"), &["may not be executed"]);
    set_mode(&path, 0o757);
    starts_not(path.to_str().expect("UTF-8"), &["everybody may write"]);
}

#[test]
fn a_file_goes_into_the_folder_that_the_hook_names_and_not_where_it_refuses() {
    let (place, port) = (Place::new(), free_port());
    let folder = place.file("files");
    let script = "case \"$q\" in *'\"dst_name\":\"bad\"'*) echo not that >&2; exit 1;; \
                  *'\"dst_name\":\"plain\"'*) ;; *) echo sub/folder;; esac";
    let server = Setup::server(&place, port)
        .with("file_recv_config", json!({"any": {"target_directory": folder}}))
        .with("hook_target_directory", hook(&place, "hook", script));
    let (client, _server) = (Setup::client(&place, "alice", port), server.start());
    let _client = client.start();
    wait_link(&server, &client);
    let receiver = RawReceiver::listen(server.receive_socket("any"));
    let send = |name: &str| {
        let source = place.file(name);
        fs::write(&source, name).expect("a source");
        let with_file = json!({"src_path": source, "dst_type": "any", "dst_name": name, "delete": false});
        message("any", &client, &server, name).with("with_file", with_file)
    };
    RawSender::connect(&client.send_socket()).send_all([&send("good"), &send("bad"), &send("plain")]);
    receiver.wait_count(3);
    let frames = receiver.frames();
    let of = |name: &str| frames.iter().find(|f| f.data == name.as_bytes()).expect("its message").field("with_file");
    assert_eq!(fs::read_to_string(folder.join("sub/folder/good")).expect("the file"), "good");
    assert_eq!(fs::read_to_string(folder.join("plain")).expect("the file"), "plain");
    assert!(of("bad")["file_error"].as_str().is_some_and(|why| why.contains("not that")), "{}", of("bad"));
    assert!(of("good").get("file_error").is_none(), "{}", of("good"));
    let hooks: Vec<Value> = asked(&place);
    assert_eq!(hooks.len(), 3, "{hooks:?}");
    assert!(hooks.iter().all(|q| q["hook"] == "hook_target_directory" && q["header"]["source_id"] == "alice"));
}
