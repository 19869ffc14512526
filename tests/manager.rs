//! Connectors inside another program: this one.
#![cfg(feature = "daemon")]

#[path = "common/mod.rs"]
mod common;

use std::fs;
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use aioconnectors::api::ConnectorApi;
use aioconnectors::config::Config;
use aioconnectors::hooks::{Client, Credentials, Folder, Hooks, Verdict};
use aioconnectors::manager::{Builder, ConnectorManager, Control, ControlError, Phase, Running, StartError, Stop};
use serde_json::json;

use common::http_proxy::{HttpProxy, Manner};
use common::{Frame, Place, RawSender, certificates, free_port, wait};

fn server(place: &Place, port: u16) -> Builder {
    ConnectorManager::server("127.0.0.1", port).files_dir(place.file("s")).use_ssl(false)
}

fn client(place: &Place, name: &str, port: u16) -> Builder {
    ConnectorManager::client(name, "127.0.0.1", port).files_dir(place.file(name)).use_ssl(false)
}

/// Starts it, and waits until it serves.
#[track_caller]
fn start(builder: Builder) -> (ConnectorApi, Running) {
    let manager = builder.build().unwrap_or_else(|errors| panic!("{errors}"));
    let (api, running) = (manager.api().expect("an api"), manager.spawn().expect("a thread"));
    running.wait_until_serving(wait::LIMIT).unwrap_or_else(|error| panic!("{error}"));
    (api, running)
}

#[track_caller]
fn wait_connected(connector: &Control, peer: &str) {
    wait::until(peer, || connector.status().ok()?.connected(peer).is_some().then_some(()));
}

/// What the app of `api` receives.
fn received(api: &ConnectorApi) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    api.start_waiting_for_messages("any", move |message| drop(sender.send(message.data().to_vec()))).expect("a socket");
    receiver
}

#[track_caller]
fn arrives(from: &ConnectorApi, receiver: &Receiver<Vec<u8>>, text: &str) {
    from.send_message("any").text(text).send().expect("it is taken");
    assert_eq!(receiver.recv_timeout(wait::LIMIT).expect("it arrives"), text.as_bytes());
}

#[test]
fn closures_decide_who_comes_in_and_see_who_it_is() {
    let (place, port) = (Place::new(), free_port());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = |hook: &'static str| {
        let seen = Arc::clone(&seen);
        move |client: &Client| {
            seen.lock().unwrap().push((hook, client.name.clone(), client.address.ip().to_string(), client.certificate));
            if client.name == hook { Verdict::Refused(format!("{hook} says no")) } else { Verdict::Allowed }
        }
    };
    let hooks = Hooks::new().whitelist_clients(note("white")).server_auth_client(note("auth"));
    let (server_api, server) = start(server(&place, port).hooks(hooks));
    let refused = ["white", "auth"].map(|name| start(client(&place, name, port)));
    let (alice_api, alice) = start(client(&place, "alice", port));
    wait_connected(&server, "alice");
    wait_connected(&alice, server_api.id());
    let receiver = received(&server_api);
    arrives(&alice_api, &receiver, "hello");
    let about = |name: &str| -> Vec<(&str, String, bool)> {
        let seen = seen.lock().unwrap();
        let mut about: Vec<_> =
            seen.iter().filter(|(_, n, ..)| n == name).map(|(hook, _, ip, c)| (*hook, ip.clone(), *c)).collect();
        about.dedup();
        about
    };
    let local = "127.0.0.1".to_owned();
    assert_eq!(about("alice"), [("white", local.clone(), false), ("auth", local.clone(), false)]);
    wait::until("both to have come", || (!about("white").is_empty() && about("auth").len() > 1).then_some(()));
    assert!(about("white").iter().all(|(hook, ..)| *hook == "white"), "the second is not asked any more");
    let status = server.status().expect("it runs");
    assert_eq!(status.peers.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["alice"]);
    for (_, running) in refused {
        running.end(Stop::Hard).expect("it ran");
    }
}

#[test]
fn a_closure_decides_who_gets_a_certificate() {
    let (place, port) = (Place::new(), free_port());
    let made = place.file("made");
    certificates::make(&made);
    let folder = |name: &str| {
        let folder = place.file(name);
        fs::create_dir_all(&folder).expect("a folder");
        certificates::run(std::process::Command::new("cp").arg("-a").arg(made.join("certificates")).arg(&folder));
        folder
    };
    let hooks = Hooks::new().allow_certificate_creation(|client| client.name == "alice");
    let server = server(&place, port).use_ssl(true).certificates_dir(folder("s")).hooks(hooks);
    let (_, server) = start(server);
    let (_, mallory) = start(client(&place, "mallory", port).use_ssl(true).certificates_dir(folder("mallory")));
    let (_, alice) = start(client(&place, "alice", port).use_ssl(true).certificates_dir(folder("alice")));
    wait_connected(&server, "alice");
    let own = |name: &str| place.file(name).join(format!("certificates/client/client-certs/{name}.pem")).exists();
    assert!(own("alice") && !own("mallory"));
    drop((alice, mallory));
}

#[test]
fn a_restart_and_a_reload_keep_the_hooks_and_a_restart_reads_the_file() {
    let (place, port) = (Place::new(), free_port());
    let file = place.file("s.json");
    let write = |types: &[&str]| {
        let config = json!({
            "is_server": true, "server_sockaddr": ["127.0.0.1", port], "use_ssl": false,
            "connector_files_dirpath": place.file("s"), "recv_message_types": types,
        });
        fs::write(&file, config.to_string()).expect("a config");
    };
    write(&["any"]);
    let (sender, asked) = channel();
    let hooks = Hooks::new().server_auth_client(move |client| sender.send(client.name.clone()).is_ok());
    let manager = ConnectorManager::from_file(&file).expect("a config").hooks(hooks);
    let server = manager.spawn().expect("a thread");
    server.wait_until_serving(wait::LIMIT).expect("it serves");
    let (_, alice) = start(client(&place, "alice", port));
    wait_connected(&server, "alice");
    server.reload().expect("it can");
    write(&["any", "news"]);
    for how in [Stop::Soft, Stop::Hard] {
        asked.try_iter().for_each(drop);
        server.restart(how).expect("it can");
        server.wait_until_serving(wait::LIMIT).expect("it serves again");
        assert_eq!(asked.recv_timeout(wait::LIMIT).expect("the hook is asked"), "alice");
        wait_connected(&server, "alice");
    }
    let types: Vec<String> = server.status().expect("it runs").inboxes.into_iter().map(|i| i.message_type).collect();
    assert_eq!(types, ["any", "news"]);
    fs::write(&file, "{").expect("a config");
    assert!(matches!(server.reload(), Err(ControlError::Config(_))));
    assert!(matches!(server.restart(Stop::Soft), Err(ControlError::Config(_))));
    assert_eq!(server.phase(), Phase::Serving, "it goes on as it was");
    wait_connected(&server, "alice");
    drop(alice);
    server.end(Stop::Soft).expect("it ran");
}

#[test]
fn it_runs_on_the_callers_thread_until_another_one_stops_it() {
    let (place, port) = (Place::new(), free_port());
    let manager = server(&place, port).build().expect("a config");
    let control = manager.control();
    assert_eq!(control.phase(), Phase::Starting);
    let other = thread::spawn(move || {
        control.wait_until_serving(wait::LIMIT).expect("it serves");
        control.stop(Stop::Soft);
        control
    });
    manager.run().expect("it runs");
    let control = other.join().expect("no panic");
    assert_eq!(control.phase(), Phase::Ended);
    assert!(matches!(control.status(), Err(ControlError::Ended)));
    assert!(matches!(control.wait_until_serving(Duration::ZERO), Err(ControlError::Ended)));
    control.stop(Stop::Hard);
    TcpListener::bind(("127.0.0.1", port)).expect("its address is free");
}

#[test]
fn one_that_is_stopped_before_it_starts_ends_at_once() {
    let (place, port) = (Place::new(), free_port());
    let manager = server(&place, port).build().expect("a config");
    manager.control().stop(Stop::Soft);
    manager.run().expect("it ends");
}

#[test]
fn a_soft_stop_sends_what_is_queued_and_a_hard_one_counts_it() {
    let (place, port) = (Place::new(), free_port());
    let (server_api, server) = start(server(&place, port));
    let (alice_api, alice) = start(client(&place, "alice", port));
    wait_connected(&alice, server_api.id());
    let receiver = received(&server_api);
    for i in 0..1000 {
        alice_api.send_message("any").text(&i.to_string()).send().expect("it is taken");
    }
    alice.end(Stop::Soft).expect("it ran");
    for i in 0..1000 {
        assert_eq!(receiver.recv_timeout(wait::LIMIT).expect("it arrives"), i.to_string().as_bytes());
    }
    server.end(Stop::Hard).expect("it ran");
}

#[test]
fn what_keeps_a_connector_from_starting_is_its_result() {
    let (place, taken) = (Place::new(), TcpListener::bind("127.0.0.1:0").expect("a port"));
    let port = taken.local_addr().expect("an address").port();
    let running = server(&place, port).build().expect("a config").spawn().expect("a thread");
    assert!(matches!(running.wait_until_serving(wait::LIMIT), Err(ControlError::Ended)));
    assert!(matches!(running.join(), Err(StartError::Listen(_))));
    let missing =
        server(&place, free_port()).set("hook_server_auth_client", "/nowhere/hook").build().expect("a config");
    let error = missing.run().expect_err("there is no such program").to_string();
    assert!(error.contains("hook_server_auth_client") && error.contains("/nowhere/hook"), "{error}");
}

#[test]
fn a_config_in_code_is_checked_as_a_file_is_and_its_keys_must_exist() {
    let place = Place::new();
    let error = |builder: Builder| builder.build().expect_err("it is wrong").to_string();
    let unknown = error(server(&place, 7).set("queue_max_byte", 1));
    assert!(unknown.contains("queue_max_byte:") && unknown.contains("queue_max_bytes"), "{unknown}");
    let wrong = error(client(&place, "no/name", 7).set("send_timeout", "soon"));
    assert!(wrong.contains("client_name") && wrong.contains("send_timeout"), "{wrong}");
    let mut config = Config::default();
    config.connector_files_dirpath = place.file("x");
    (config.use_ssl, config.server_sockaddr.first.port) = (false, free_port());
    let running = ConnectorManager::new(config).spawn().expect("a thread");
    running.wait_until_serving(wait::LIMIT).expect("it serves");
}

#[test]
fn a_closure_in_code_goes_before_a_program_in_the_config() {
    let (place, port) = (Place::new(), free_port());
    let hooks = Hooks::new().server_auth_client(|_| true);
    let (_, server) = start(server(&place, port).set("hook_server_auth_client", "/bin/false").hooks(hooks));
    let (_, _alice) = start(client(&place, "alice", port));
    wait_connected(&server, "alice");
}

#[test]
fn a_hook_that_waits_for_its_own_connector_is_told_so() {
    let (place, port) = (Place::new(), free_port());
    let (sender, receiver) = channel();
    let control: Arc<Mutex<Option<Control>>> = Arc::default();
    let own = Arc::clone(&control);
    let hooks = Hooks::new().server_auth_client(move |_| {
        let own = own.lock().unwrap().clone().expect("it is there by now");
        sender.send(own.status().map(drop)).is_ok()
    });
    let manager = server(&place, port).hooks(hooks).build().expect("a config");
    *control.lock().unwrap() = Some(manager.control());
    let server = manager.spawn().expect("a thread");
    let (_, _alice) = start(client(&place, "alice", port));
    assert!(matches!(receiver.recv_timeout(wait::LIMIT), Ok(Err(ControlError::FromHook))));
    wait_connected(&server, "alice");
}

#[test]
fn a_hook_that_panics_ends_its_connector_and_nothing_else() {
    let (place, port) = (Place::new(), free_port());
    let hooks = Hooks::new().server_auth_client(|_| -> bool { panic!("on purpose") });
    let (_, server) = start(server(&place, port).hooks(hooks));
    let (_, alice) = start(client(&place, "alice", port));
    wait::until("its end", || (server.phase() == Phase::Ended).then_some(()));
    assert!(thread::spawn(move || server.join()).join().is_err(), "the panic is handed on");
    alice.status().expect("the other runs");
}

/// What this process does at SIGHUP, SIGINT and SIGTERM is not changed: bits of the mask of signals that are caught.
#[test]
fn signals_stay_with_the_program() {
    let caught = || {
        let status = fs::read_to_string("/proc/self/status").expect("Linux");
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("the mask").trim().to_owned();
        u64::from_str_radix(&mask, 16).expect("a number") & ((1 << 0) | (1 << 1) | (1 << 14))
    };
    let place = Place::new();
    let before = caught();
    let (_, _server) = start(server(&place, free_port()));
    assert_eq!((caught(), before), (0, 0));
}

#[test]
fn a_closure_says_where_a_file_goes() {
    let (place, port) = (Place::new(), free_port());
    let folder = place.file("files");
    let hooks = Hooks::new().target_directory(|header| match header["source_id"].as_str() {
        Some(source) => Folder::Named(source.into()),
        None => Folder::AsConfigured,
    });
    let config = json!({"any": {"target_directory": folder}});
    let (server_api, server) = start(server(&place, port).set("file_recv_config", config).hooks(hooks));
    let (_, alice) = start(client(&place, "alice", port));
    wait_connected(&alice, server_api.id());
    let receiver = received(&server_api);
    let source = place.file("source");
    fs::write(&source, "contents").expect("a source");
    let with_file = json!({"src_path": source, "dst_type": "any", "dst_name": "f", "delete": false});
    let header = json!({"message_type": "any", "destination_id": server_api.id(), "with_file": with_file});
    let socket = config_of(&place, port).socket_paths().send();
    RawSender::connect(&socket).send_all([&Frame::new(header, "here it is")]);
    assert_eq!(receiver.recv_timeout(wait::LIMIT).expect("it arrives"), b"here it is");
    assert_eq!(fs::read_to_string(folder.join("alice/f")).expect("the file"), "contents");
    server.end(Stop::Soft).expect("it ran");
}

/// What `alice` has for her config.
fn config_of(place: &Place, port: u16) -> Config {
    client(place, "alice", port).build().expect("a config").config().clone()
}

#[test]
fn a_client_in_a_program_goes_by_the_address_that_works_and_through_a_proxy_that_a_closure_has_the_password_for() {
    let (place, port) = (Place::new(), free_port());
    let proxy =
        HttpProxy::start(Manner::OpensIf(port, "Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==".into()));
    let told = |_: &Credentials| Ok(Credentials { username: "Aladdin".into(), password: "open sesame".into() });
    let builder = client(&place, "c1", 1).or_server("127.0.0.1", 2).or_server("127.0.0.1", 3);
    let hosts: Vec<String> =
        builder.clone().build().unwrap().config().server_sockaddr.iter().map(ToString::to_string).collect();
    assert_eq!(hosts, ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]);
    let (at_server, server) = start(server(&place, port));
    let builder = builder.proxy("127.0.0.1", proxy.port).hooks(Hooks::new().proxy_authorization(told));
    let (at_client, client) = start(builder);
    wait_connected(&client, "('127.0.0.1', 1)");
    arrives(&at_client, &received(&at_server), "hello");
    client.end(Stop::Soft).expect("it ends");
    server.end(Stop::Soft).expect("it ends");
}
