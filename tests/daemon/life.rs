//! Stopped, started, restarted and reloaded by admins, with messages on their way.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use aioconnectors::remote::{Remote, RemoteError};
use serde_json::json;

use crate::common::setup::wait_link;
use crate::common::traffic::{Account, END, messages};
use crate::common::{Place, Process, RawReceiver, RawSender, Setup, free_port, wait};

fn remote(setup: &Setup) -> Remote {
    Remote::new(setup.admin().path).timeout(wait::LIMIT)
}

struct Pair {
    server: Setup,
    client: Setup,
    server_process: Process,
    client_process: Process,
    port: u16,
    place: Place,
}

/// Two connectors whose messages lie on the disk at the sender until they are taken over.
fn pair() -> Pair {
    let (place, port) = (Place::new(), free_port());
    let lasts = |setup: Setup| setup.with("disk_persistence_send", true).with("disk_persistence_recv", true);
    let (server, client) = (lasts(Setup::server(&place, port)), lasts(Setup::client(&place, "client1", port)));
    let (server_process, client_process) = (server.start(), client.start());
    wait_link(&server, &client);
    Pair { server, client, server_process, client_process, port, place }
}

/// Sends from the client to the server while `disturb` does what it likes, and checks that all arrives as it was sent.
#[track_caller]
fn nothing_is_lost_while(pair: &Pair, disturb: impl FnOnce(&Pair)) {
    let receiver = RawReceiver::listen(pair.server.receive_socket("any"));
    let sent = messages("any", &pair.client.id, &pair.server.id, 1500);
    let socket = pair.client.send_socket();
    thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let mut sender = RawSender::connect(&socket);
            for part in sent.chunks(50) {
                sender.send_all(part);
                thread::sleep(Duration::from_millis(5));
            }
        });
        disturb(pair);
        sending.join().unwrap();
    });
    receiver.wait_tag(END);
    Account::of(&sent, &receiver.frames()).assert_exact("whose connector was stopped and started amid");
}

#[test]
fn a_server_that_is_stopped_and_started_under_load_loses_nothing() {
    let pair = pair();
    nothing_is_lost_while(&pair, |pair| {
        for hard in [false, true, false, true] {
            remote(&pair.server).stop(hard).unwrap();
            assert!(TcpStream::connect(("127.0.0.1", pair.port)).is_err(), "nobody listens");
            assert_eq!(remote(&pair.server).connected_peers().unwrap(), Vec::<String>::new());
            remote(&pair.server).start().unwrap();
            wait_link(&pair.server, &pair.client);
        }
    });
}

#[test]
fn one_that_is_restarted_under_load_loses_nothing() {
    let pair = pair();
    nothing_is_lost_while(&pair, |pair| {
        for hard in [false, true, false] {
            remote(&pair.server).restart(hard, Duration::from_millis(50)).unwrap();
            wait_link(&pair.server, &pair.client);
        }
    });
}

#[test]
fn what_waits_in_a_stopped_client_goes_out_when_it_is_started() {
    let mut pair = pair();
    let sent = messages("any", &pair.client.id, &pair.server.id, 500);
    remote(&pair.server).stop(true).unwrap();
    RawSender::connect(&pair.client.send_socket()).send_all(&sent);
    let waits = || remote(&pair.client).queues().unwrap().1.iter().map(|(_, queued)| *queued).sum::<u64>();
    wait::until("all to wait", || (waits() == sent.len() as u64).then_some(()));
    remote(&pair.client).stop(true).unwrap();
    assert_eq!(waits(), sent.len() as u64, "a stopped connector shows what waits");
    let status = pair.client.admin().ask("show_status", json!({})).unwrap();
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["state"], "stopped");
    assert!(UnixStream::connect(pair.client.send_socket()).is_err(), "apps find nobody");
    // What waits outlives the process as well.
    pair.client_process.kill();
    pair.client_process = pair.client.start();
    assert_eq!(waits(), sent.len() as u64);
    let receiver = RawReceiver::listen(pair.server.receive_socket("any"));
    remote(&pair.server).start().unwrap();
    receiver.wait_tag(END);
    Account::of(&sent, &receiver.frames()).assert_exact("through a stopped server");
    assert!(pair.server_process.is_running());
}

#[test]
fn queues_in_memory_are_kept_through_a_stop_and_a_start() {
    let (place, port) = (Place::new(), free_port());
    let (server, client) = (Setup::server(&place, port), Setup::client(&place, "client1", port));
    let _processes = (server.start(), client.start());
    wait_link(&server, &client);
    let paused = RawReceiver::listen_paused(server.receive_socket("any"));
    let sent = messages("any", &client.id, &server.id, 300);
    RawSender::connect(&client.send_socket()).send_all(&sent);
    wait::until("something to wait", || (remote(&server).queues().ok()?.0 > 0).then_some(()));
    remote(&server).stop(true).unwrap();
    let waiting = remote(&server).queues().unwrap().0;
    assert!(waiting > 0, "the app has read nothing");
    drop(paused);
    let receiver = RawReceiver::listen(server.receive_socket("any"));
    remote(&server).restart(false, Duration::ZERO).unwrap();
    receiver.wait_count(usize::try_from(waiting).unwrap());
    // In order, and without a gap: what went into the socket of the one that read nothing is lost.
    let all = receiver.frames();
    let first = sent.iter().position(|frame| frame.tag() == all[0].tag()).expect("one of these");
    Account::of(&sent[first..first + all.len()], &all).assert_exact("that waited in memory");
}

#[test]
fn one_whose_address_was_taken_meanwhile_stays_stopped_and_says_so() {
    let mut pair = pair();
    remote(&pair.server).stop(false).unwrap();
    let taken = TcpListener::bind(("127.0.0.1", pair.port)).unwrap();
    let error = remote(&pair.server).start().unwrap_err().to_string();
    assert!(error.contains("it stays stopped: server_sockaddr: cannot listen on 127.0.0.1"), "{error}");
    assert!(pair.server_process.is_running());
    drop(taken);
    remote(&pair.server).start().unwrap();
    wait_link(&pair.server, &pair.client);
}

#[test]
fn a_stop_with_shutdown_ends_the_process_after_its_answer() {
    let mut pair = pair();
    remote(&pair.server).shutdown(false).unwrap();
    assert_eq!(pair.server_process.exit_code(), 0);
    assert!(matches!(remote(&pair.server).start(), Err(RemoteError::NotRunning { .. })));
    remote(&pair.client).stop(true).unwrap();
    pair.client_process.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(pair.client_process.exit_code(), 0, "a signal ends a connector that rests");
}

#[test]
fn a_restart_takes_the_config_as_it_is_then_and_refuses_one_with_a_mistake() {
    let mut pair = pair();
    let server = pair.server.clone();
    server.clone().with("recv_message_types", json!(["any", "news"])).with("keep_alive_timeout", 0).write();
    let error = remote(&server).restart(false, Duration::ZERO).unwrap_err().to_string();
    assert!(error.contains("keep_alive_timeout"), "{error}");
    wait_link(&server, &pair.client);
    server.clone().with("recv_message_types", json!(["any", "news"])).write();
    // Admins who come meanwhile are answered, before or after.
    thread::scope(|scope| {
        let asking = scope.spawn(|| (0..200).for_each(|_| drop(remote(&server).queues().expect("an answer"))));
        remote(&server).restart(false, Duration::from_millis(20)).unwrap();
        asking.join().unwrap();
    });
    wait_link(&server, &pair.client);
    assert_eq!(remote(&server).attribute("recv_message_types").unwrap(), r#"["any","news"]"#);
    assert!(pair.server_process.is_running());
}

#[test]
fn a_reload_says_what_has_changed_what_needs_a_restart_and_what_is_wrong() {
    let pair = pair();
    let (server, remote) = (pair.server.clone(), remote(&pair.server));
    assert_eq!(remote.reload().unwrap().changed, Vec::<String>::new());
    let changed = server.clone().with("default_logger_log_level", "DEBUG").with("blacklisted_clients_id", json!(["x"]));
    changed.clone().with("keep_alive_timeout", 7).write();
    let reloaded = remote.reload().unwrap();
    assert_eq!(reloaded.changed, ["blacklisted_clients_id", "default_logger_log_level"]);
    assert_eq!(reloaded.needs_restart, ["keep_alive_timeout"]);
    assert_eq!(remote.log_level().unwrap(), "DEBUG");
    assert_eq!(remote.reload().unwrap().changed, Vec::<String>::new(), "that is known by now");
    changed.with("default_logger_log_level", "LOUD").write();
    let error = remote.reload().unwrap_err().to_string();
    assert!(error.contains("default_logger_log_level: found \"LOUD\""), "{error}");
    assert_eq!(remote.log_level().unwrap(), "DEBUG", "the old one stays");
    assert_eq!(remote.attribute("blacklisted_clients_id").unwrap(), r#"["x"]"#);
    wait_link(&pair.server, &pair.client);
}

#[test]
fn the_log_level_changes_at_once_and_secrets_are_not_shown() {
    let pair = pair();
    let remote = remote(&pair.server);
    assert_eq!(remote.log_level().unwrap(), "INFO");
    assert_eq!(remote.set_log_level("warning").unwrap(), "WARNING");
    assert_eq!(remote.log_level().unwrap(), "WARNING");
    let error = remote.set_log_level("LOUD").unwrap_err().to_string();
    assert!(error.contains("\"LOUD\"") && error.contains("\"DEBUG\""), "{error}");
    assert_eq!(remote.attribute("use_ssl").unwrap(), "False");
    assert_eq!(remote.attribute("is_running").unwrap(), "True");
    assert_eq!(remote.attribute("source_id").unwrap(), pair.server.id);
    assert!(remote.attribute("logger").unwrap_err().to_string().contains("is not shown"));
    assert!(pair.place.path().exists());
}

#[test]
fn admins_at_once_are_all_answered_and_silent_ones_hold_nobody_up() {
    let pair = pair();
    let silent: Vec<UnixStream> =
        (0..200).map(|_| UnixStream::connect(pair.server.admin().path).expect("a connection")).collect();
    thread::scope(|scope| {
        for number in 0..16 {
            let remote = remote(&pair.server);
            scope.spawn(move || {
                let ask = || -> Result<(), RemoteError> {
                    match number % 4 {
                        0 => remote.stop(false),
                        1 => remote.start(),
                        2 => remote.restart(true, Duration::ZERO),
                        _ => remote.queues().map(drop),
                    }
                };
                match ask() {
                    Ok(()) => {}
                    Err(RemoteError::Refused { reason, .. }) => {
                        assert!(reason.contains("another admin has stopped"), "{reason}");
                    }
                    Err(error) => panic!("{number}: {error}"),
                }
            });
        }
    });
    remote(&pair.server).start().unwrap();
    wait_link(&pair.server, &pair.client);
    drop(silent);
}

#[test]
fn an_admin_who_says_nothing_is_let_go() {
    let pair = pair();
    let mut silent = UnixStream::connect(pair.server.admin().path).unwrap();
    let start = Instant::now();
    silent.set_read_timeout(Some(wait::LIMIT)).unwrap();
    assert_eq!(silent.read(&mut [0; 8]).unwrap(), 0);
    assert!(start.elapsed() > Duration::from_secs(5));
}
