//! Who may connect, and who may do what, on a running server: lists, rules, admins.

use std::fs::{self, Permissions};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use nix::sys::signal::Signal;
use nix::unistd::Uid;
use serde_json::{Map, Value, json};

use crate::common::process::has_word;
use crate::common::setup::wait_link;
use crate::common::{Frame, Place, Process, RawPeer, RawReceiver, RawSender, Setup, free_port, wait};
use crate::link::{Link, message};

/// A tool's run, which must end with this exit code; what it wrote to stdout and stderr.
#[track_caller]
fn ctl(arguments: &[&str], config: &Setup, more: &[&str], code: i32) -> (String, String) {
    let path = config.dir.with_extension("json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_aioconnectorsctl"));
    let Output { status, stdout, stderr } =
        command.args(arguments).arg(path).args(more).output().expect("the tool starts");
    let (out, err) = (String::from_utf8_lossy(&stdout).into_owned(), String::from_utf8_lossy(&stderr).into_owned());
    assert_eq!(status.code(), Some(code), "{arguments:?} {more:?}: {out}{err}");
    (out, err)
}

fn config(path: &Path) -> Map<String, Value> {
    serde_json::from_slice(&fs::read(path).expect("the config file")).expect("JSON")
}

#[track_caller]
fn wait_gone(server: &Setup, client: &str) {
    wait::until(&format!("{client} to be gone"), || {
        (!server.admin().connected_peers()?.contains_key(client)).then_some(())
    });
}

/// A line of the audit with all of these words.
#[track_caller]
fn wait_audit(process: &Process, words: &[&str]) {
    wait::until(&format!("a line of the audit with {words:?}"), || {
        let is_it = |line: &String| line.contains("] audit: ") && words.iter().all(|word| line.contains(word));
        process.errors().iter().any(is_it).then_some(())
    });
}

#[test]
fn a_client_that_is_blacklisted_is_dropped_and_stays_out_over_a_restart_until_it_is_let_in() {
    let mut link = Link::start();
    let path = link.server.write();
    fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("the config's mode");
    let before: Vec<String> = config(&path).keys().cloned().collect();
    ctl(&["blacklist", "add"], &link.server, &["client1$"], 0);
    wait_gone(&link.server, "client1");
    let own = format!("uid {}", Uid::current());
    wait_audit(&link.server_process, &["INFO", "an admin (", &own, "add_blacklist_client", "client1$"]);
    wait_audit(&link.server_process, &["WARN", "peer client1 disconnected", "blacklisted_clients_id"]);
    let after = config(&path);
    assert_eq!(after["blacklisted_clients_id"], json!(["client1$"]));
    assert_eq!(after.keys().take(before.len()).cloned().collect::<Vec<_>>(), before, "all else is where it was");
    assert_eq!(fs::metadata(&path).expect("the config").permissions().mode() & 0o7777, 0o640);
    assert_eq!(ctl(&["blacklist", "list"], &link.server, &[], 0).0, "id  client1$\n");
    let other = Setup::client_in(&link.place, "d", "client10", link.port);
    let _other = other.start();
    wait_link(&link.server, &other);

    link.server_process.kill();
    link.server_process =
        Process::spawn("the server again", Command::new(env!("CARGO_BIN_EXE_aioconnectorsd")).arg(&path));
    wait_link(&link.server, &other);
    wait_audit(&link.server_process, &["client client1 may not connect", "blacklisted_clients_id"]);
    ctl(&["blacklist", "remove"], &link.server, &["client1$"], 0);
    wait_link(&link.server, &link.client);
    assert_eq!(config(&path)["blacklisted_clients_id"], json!([]));
    let (_, err) = ctl(&["blacklist", "remove"], &link.server, &["client1$"], 3);
    assert!(err.contains("does not have"), "{err}");
}

#[test]
fn an_address_is_refused_without_a_word_and_a_name_when_it_is_said() {
    let (place, port) = (Place::new(), free_port());
    let server = Setup::server(&place, port).with("whitelisted_clients_id", json!(["raw", "honest"]));
    let process = server.start();
    RawPeer::client(port, "stranger").wait_closed();
    wait_audit(&process, &["client stranger may not connect: whitelisted_clients_id does not have it"]);
    let mut raw = RawPeer::client(port, "raw");
    wait::until("a client that is on the list", || server.admin().connected_peers()?.get("raw").cloned());
    let (_, err) = ctl(&["blacklist", "add"], &server, &["127.0.0.1/8"], 3);
    assert!(err.contains("first 8"), "{err}");
    ctl(&["blacklist", "add"], &server, &["127.0.0.0/8"], 0);
    raw.wait_closed();
    RawPeer::silent(port).wait_closed();
    wait_audit(&process, &["ended before its peer was known: it may not connect: blacklisted_clients_subnet"]);
    assert_eq!(ctl(&["blacklist", "list"], &server, &[], 0).0, "ip  127.0.0.0/8\n");
    assert_eq!(ctl(&["whitelist", "list"], &server, &[], 0).0, "id  raw\nid  honest\n");
}

#[test]
fn an_address_of_ipv6_is_refused_too() {
    if TcpListener::bind("[::1]:0").is_err() {
        return eprintln!("skipped: this machine has no IPv6");
    }
    let (place, port) = (Place::new(), free_port());
    let mut server = Setup::server(&place, port).with("server_sockaddr", json!(["::1", port]));
    server.id = format!("('::1', {port})");
    let _process = server.start();
    let connect = || RawPeer { stream: TcpStream::connect(("::1", port)).expect("a server that listens") };
    let mut before = connect();
    before.send(&crate::common::peer::hello("raw"));
    wait::until("a client", || server.admin().connected_peers()?.get("raw").cloned());
    ctl(&["blacklist", "add"], &server, &["::/64"], 0);
    before.wait_closed();
    connect().wait_closed();
    ctl(&["blacklist", "remove"], &server, &["::/64"], 0);
    ctl(&["whitelist", "add"], &server, &["0:0::1"], 0);
    let mut after = connect();
    after.send(&crate::common::peer::hello("raw"));
    wait::until("a client", || server.admin().connected_peers()?.get("raw").cloned());
    assert_eq!(ctl(&["whitelist", "list"], &server, &[], 0).0, "ip  ::1\n");
}

#[test]
fn lists_in_the_config_file_are_taken_at_sighup() {
    let link = Link::start();
    let path = link.server.clone().with("blacklisted_clients_id", json!(["client"])).write();
    link.server_process.signal(Signal::SIGHUP);
    wait_gone(&link.server, "client1");
    link.server.clone().with("blacklisted_clients_id", json!(["client1("])).write();
    link.server_process.signal(Signal::SIGHUP);
    link.server_process.wait_error(&["not reloaded"]);
    fs::write(&path, fs::read_to_string(&path).expect("the config").replace("client1(", "client2")).expect("written");
    link.server_process.signal(Signal::SIGHUP);
    wait_link(&link.server, &link.client);
}

#[test]
fn a_list_that_cannot_be_understood_keeps_the_server_from_starting() {
    let place = Place::new();
    for (key, value, words) in [
        ("whitelisted_clients_id", json!(["fine", "(not"]), &["whitelisted_clients_id[1]", "(not"][..]),
        ("blacklisted_clients_ip", json!(["10.0.0.0/8"]), &["blacklisted_clients_ip[0]", "10.0.0.0/8"]),
        ("client_rules", json!([{"id": "a", "max_msgs_per_s": -1}]), &["client_rules[0].max_msgs_per_s", "-1"]),
        ("local_rules", json!([{"group": "no such"}]), &["local_rules[0].group", "no such"]),
    ] {
        let mut process = Setup::server(&place, free_port()).with(key, value).spawn();
        assert_eq!(process.exit_code(), 1);
        let lines = process.errors();
        assert!(words.iter().all(|word| lines.iter().any(|line| line.contains(word))), "{key}: {lines:?}");
    }
}

#[test]
fn a_client_is_disconnected_and_comes_again() {
    let link = Link::start();
    ctl(&["disconnect"], &link.server, &["client1"], 0);
    wait_audit(&link.server_process, &["peer client1 disconnected: an admin has disconnected it"]);
    wait_link(&link.server, &link.client);
    let (_, err) = ctl(&["disconnect"], &link.server, &["nobody"], 1);
    assert!(err.contains("nobody is not connected"), "{err}");
    let (_, err) = ctl(&["disconnect"], &link.client, &["client1"], 2);
    assert!(err.contains("is a client"), "{err}");
}

#[test]
fn a_peer_that_is_ignored_is_not_heard_and_an_app_that_writes_to_it_is_told() {
    let link = Link::start();
    let path = link.server.write();
    let receiver = RawReceiver::listen(link.server.receive_socket("any"));
    let mut sender = RawSender::connect(&link.client.send_socket());
    let first = link.up("any", "one");
    sender.send_all([&first]);
    receiver.wait_count(1);
    ctl(&["ignore", "peer"], &link.server, &["client1"], 0);
    assert_eq!(config(&path)["ignore_peer_traffic"], json!(["client1"]));
    assert_eq!(ctl(&["ignore", "list"], &link.server, &[], 0).0, "client1\n");
    sender.send_all([&link.up("any", "ignored")]);
    link.server_process.wait_error(&["peer client1, type \"any\", reason ignored"]);
    let mut app = RawSender::connect(&link.server.send_socket());
    app.send_all([&Frame::new(json!({"message_type": "_hello", "receipts": "accepted"}), "")]);
    assert_eq!(app.receive().expect("a welcome").field("message_type"), "_welcome");
    app.send_all([&link.down("any", "in vain")]);
    let refused = app.receive().expect("an answer");
    assert_eq!((refused.field("message_type"), refused.field("reason")), ("_refused".into(), "ignored".into()));
    ctl(&["ignore", "none"], &link.server, &[], 0);
    sender.send_all([&link.up("any", "three")]);
    receiver.wait_count(2);
    assert_eq!(receiver.frames()[1].data, b"three");
}

#[test]
fn a_clients_rule_bounds_what_it_sends_and_gets() {
    let rules = json!([{"id": "client1$", "send_types": ["any"], "recv_types": ["quick"]}]);
    let link = Link::start_with(|setup| setup.with("client_rules", rules.clone()));
    let receivers = ["any", "quick"].map(|t| RawReceiver::listen(link.server.receive_socket(t)));
    let mut sender = RawSender::connect(&link.client.send_socket());
    sender.send_all([&link.up("quick", "no"), &link.up("any", "yes")]);
    receivers[0].wait_count(1);
    link.server_process.wait_error(&["peer client1, type \"quick\", reason not_permitted"]);
    assert_eq!(receivers[1].count(), 0);
    let at_client = RawReceiver::listen(link.client.receive_socket("quick"));
    RawSender::connect(&link.server.send_socket()).send_all([&link.down("any", "no"), &link.down("quick", "yes")]);
    at_client.wait_count(1);
    link.server_process.wait_error(&["peer client1, type \"any\", reason not_permitted"]);
}

#[test]
fn a_client_that_may_send_little_is_slowed_and_loses_nothing_and_another_is_not() {
    let rules = json!([{"id": "client1$", "max_msgs_per_s": 200}]);
    let link = Link::start_with(|setup| setup.with("client_rules", rules.clone()));
    let receivers = ["any", "quick"].map(|t| RawReceiver::listen(link.server.receive_socket(t)));
    let free = Setup::client_in(&link.place, "d", "free", link.port);
    let _free = free.start();
    wait_link(&link.server, &free);
    let start = std::time::Instant::now();
    let many: Vec<Frame> = (0..1000).map(|i| link.up("any", i.to_string())).collect();
    RawSender::connect(&link.client.send_socket()).send_all(&many);
    let quick: Vec<Frame> = (0..1000).map(|i| message("quick", &free, &link.server, i.to_string())).collect();
    RawSender::connect(&free.send_socket()).send_all(&quick);
    receivers[1].wait_count(1000);
    receivers[0].wait_count(1000);
    // A second's worth may come at once.
    assert!(start.elapsed().as_secs_f64() >= 3.9, "{:?}", start.elapsed());
    let data: Vec<Vec<u8>> = receivers[0].frames().into_iter().map(|frame| frame.data).collect();
    assert_eq!(data, (0..1000).map(|i: u32| i.to_string().into_bytes()).collect::<Vec<_>>(), "each once, in order");
}

#[test]
fn local_rules_are_for_the_user_that_the_system_names() {
    let own = Uid::current().as_raw();
    let rules = json!([{"uid": own, "send_types": ["any"], "recv_types": ["quick"]}]);
    let link = Link::start_with(|setup| setup.with("local_rules", rules.clone()));
    let [any, quick] = ["any", "quick"].map(|t| RawReceiver::listen(link.server.receive_socket(t)));
    let at_client = RawReceiver::listen(link.client.receive_socket("quick"));
    RawSender::connect(&link.client.send_socket()).send_all([&link.up("quick", "refused"), &link.up("any", "sent")]);
    link.client_process.wait_error(&["type \"quick\", reason not_permitted"]);
    wait_audit(&link.server_process, &["receives \"any\" closed: local_rules", &format!("uid {own} ")]);
    assert_eq!((any.count(), quick.count(), at_client.count()), (0, 0, 0));

    let nobody = json!([{"uid": own + 1}]);
    let link = Link::start_with(|setup| setup.with("local_rules", nobody.clone()));
    RawSender::connect(&link.client.send_socket()).send_all([&link.up("any", "refused")]);
    link.client_process.wait_error(&["type \"any\", reason not_permitted"]);
}

#[test]
fn sockets_are_for_whom_the_config_says() {
    let place = Place::new();
    let mode = |path: &Path| fs::metadata(path).expect("a socket").permissions().mode() & 0o777;
    for (everybody, expected) in [(true, 0o777), (false, 0o770)] {
        let server = Setup::server(&place, free_port()).with("everybody_can_send_messages", everybody);
        let _process = server.start();
        assert_eq!(mode(&server.send_socket()), expected);
        assert_eq!(mode(&server.admin().path), 0o660, "admins are those of the owner and the group");
    }
}

#[test]
fn an_admin_that_asks_for_what_there_is_not_is_in_the_audit_with_its_user() {
    let place = Place::new();
    let server = Setup::server(&place, free_port());
    let process = server.start();
    let answer = server.admin().ask("__class__", json!({})).expect("an answer");
    assert!(has_word(&answer, &["not known"]), "{answer}");
    wait_audit(&process, &[&format!("an admin (uid {} ", Uid::current()), "__class__"]);
    wait_audit(&process, &["WARN", "an admin was refused"]);
}
