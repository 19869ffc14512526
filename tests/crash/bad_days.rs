//! Folders and files that are not what they should be: each has one clear line, and a defined end.

use crate::common::setup::wait_link;
use crate::common::{Place, Process, Setup, free_port};
use crate::files::{self, PAGE, RingFile};
use crate::full::Disk;
use crate::message::Route;
use crate::pair::{Daemon, Pair, Security, durable};
use crate::receiver::{Manner, Receiver};
use crate::session::Session;
use crate::stopped::{Queue, STORED, Stopped};

/// A process that does not start, with its only complaint.
#[track_caller]
fn refusal(mut process: Process, words: &[&str]) -> String {
    let code = process.exit_code();
    assert_ne!(code, 0, "it ended as if all was well");
    let errors: Vec<_> = process.errors().into_iter().filter(|line| !line.contains(" INFO ")).collect();
    let lines: Vec<_> = errors.iter().filter(|line| words.iter().all(|word| line.contains(word))).collect();
    assert_eq!(lines.len(), 1, "one line with {words:?}: {errors:#?}");
    lines[0].clone()
}

#[test]
fn two_connectors_do_not_share_a_folder_and_the_first_goes_on() {
    let mut pair = Pair::start(Security::Plain);
    let client = pair.client.setup.clone();
    // It may take the sockets over; the queues it may not.
    let second = client.clone().with("reuse_uds_path_commander_server", true);
    let second = second.with("reuse_uds_path_send_to_connector", true);
    refusal(second.spawn(), &["in use"]);
    client.write();
    let receiver = Receiver::listen(pair.server.setup.receive_socket("any"), Manner::Resumes);
    let route = Route::new("any", &client, &pair.server.setup);
    Session::new("first", "delivered", client.send_socket(), route).send_to(STORED);
    receiver.wait_number(STORED - 1);
    receiver.tally().assert_exact(STORED);
    pair.assert_sound();
}

#[test]
fn a_connector_that_cannot_write_its_queues_does_not_start_and_says_where() {
    let place = Place::new();
    let client = durable(Setup::client(&place, "client1", free_port()), Security::Plain);
    let spool = client.dir.join("spool_client_client1");
    let Some(disk) = Disk::mount(spool.clone(), 1 << 20) else { return };
    disk.remount("ro");
    refusal(client.spawn(), &[spool.to_str().expect("a path of UTF-8"), "Read-only"]);
}

#[test]
fn a_queue_of_another_version_is_left_alone_and_the_connector_runs_without_it() {
    let mut stopped = Stopped::with_messages(
        "a_queue_of_another_version_is_left_alone_and_the_connector_runs_without_it",
        Queue::Outbox,
        |setup| setup,
    );
    let mut ring = stopped.ring();
    for page in 0..2 {
        ring.bytes[page * PAGE + 8..page * PAGE + 12].copy_from_slice(&99_u32.to_le_bytes());
    }
    ring.write();
    let client = &mut stopped.pair.client;
    client.start_again();
    let line = client.process.wait_error(&["format 99", "version 99"]);
    assert!(line.contains("any"), "it says which queue: {line}");
    let session = Session::new("later", "stored", client.setup.send_socket(), stopped.route.clone());
    session.send_to(1);
    let refused = session.refused.lock().unwrap().clone();
    assert_eq!(refused, [(0, "store_failed".to_owned())], "nothing can be stored behind what cannot be read");
    client.assert_sound();
    client.kill();
    assert!(RingFile::read(&ring.path).bytes == ring.bytes, "the file was altered");
    assert!(files::put_aside(&client.spool()).is_empty(), "it is not damaged");
}

#[test]
fn a_queue_that_was_copied_from_another_peer_reaches_nobody_it_was_not_meant_for() {
    let (place, port) = (Place::new(), free_port());
    let mut server = Daemon::start(durable(Setup::server(&place, port), Security::Plain));
    let mut clients: Vec<_> = ["client1", "client2"]
        .iter()
        .map(|name| Daemon::start(durable(Setup::client_in(&place, name, name, port), Security::Plain)))
        .collect();
    clients.iter().for_each(|client| wait_link(&server.setup, &client.setup));
    clients.iter_mut().for_each(Daemon::kill);
    for (index, client) in clients.iter().enumerate() {
        let route = Route::new("any", &server.setup, &client.setup).numbered_from(1000 * index as u64);
        Session::new(&client.setup.id, "stored", server.setup.send_socket(), route).send_to(STORED);
    }
    server.kill();
    let spool = server.spool();
    let [one, two] = ["client1", "client2"].map(|name| {
        let ring = files::rings(&spool).into_iter().find(|path| files::name(path).contains(name));
        ring.unwrap_or_else(|| panic!("no queue for {name} among {:?}", files::rings(&spool)))
    });
    std::fs::copy(&one, &two).expect("a copied queue");
    server.start_again();
    let line = server.process.wait_error(&["under the name of another"]);
    assert!(line.contains(&files::name(&two)), "it names the file: {line}");
    let receivers = clients.iter().map(|client| Receiver::listen(client.setup.receive_socket("any"), Manner::Resumes));
    let receivers: Vec<_> = receivers.collect();
    clients.iter_mut().for_each(Daemon::start_again);
    receivers[0].wait_number(STORED - 1);
    receivers[0].tally().assert_exact(STORED);
    clients.iter().for_each(|client| wait_link(&server.setup, &client.setup));
    let route = Route::new("any", &server.setup, &clients[1].setup);
    let session = Session::new("later", "stored", server.setup.send_socket(), route);
    session.send_to(1);
    let refused = session.refused.lock().unwrap().clone();
    assert_eq!(refused, [(0, "store_failed".to_owned())], "what is in the way is not touched");
    assert_eq!(receivers[1].tally().received, 0, "{}", receivers[1].tally());
    server.assert_sound();
}

#[test]
fn a_queue_with_more_in_it_than_it_may_hold_now_delivers_all() {
    for size in [64 << 10, 1_u64 << 32] {
        let test = "a_queue_with_more_in_it_than_it_may_hold_now_delivers_all";
        for queue in [Queue::Outbox, Queue::Inbox] {
            let mut stopped = Stopped::with_messages(test, queue, |setup| setup);
            for daemon in [&mut stopped.pair.client, &mut stopped.pair.server] {
                daemon.setup = daemon.setup.clone().with("max_size_persistence_path", size);
            }
            stopped.drain_and_go_on().assert_exact();
        }
    }
}

/// A copy of a connector's queues is put back after the connector has gone on.
#[test]
fn a_sender_that_was_restored_from_a_backup_sends_nothing_twice_and_loses_nothing_new() {
    let mut stopped = Stopped::with_messages(
        "a_sender_that_was_restored_from_a_backup_sends_nothing_twice_and_loses_nothing_new",
        Queue::Outbox,
        |setup| setup,
    );
    let backup = stopped.pair.place.file("backup");
    files::copy(&stopped.spool(), &backup);
    let Pair { client, server, .. } = &mut stopped.pair;
    let receiver = Receiver::listen(server.setup.receive_socket("any"), Manner::Resumes);
    client.start_again();
    server.start_again();
    let socket = client.setup.send_socket();
    let send = |name: &str, first: u64| {
        let route = Route::new("any", &client.setup, &server.setup).numbered_from(first);
        Session::new(name, "delivered", socket.clone(), route).send_to(STORED);
    };
    send("second", STORED);
    receiver.wait_number(2 * STORED - 1);
    client.process.kill();
    files::copy(&backup, &stopped.pair.client.spool());
    let Pair { client, server, .. } = &mut stopped.pair;
    client.start_again();
    let route = Route::new("any", &client.setup, &server.setup).numbered_from(2 * STORED);
    Session::new("third", "delivered", socket, route).send_to(STORED);
    receiver.wait_number(3 * STORED - 1);
    stopped.pair.wait_empty();
    receiver.tally().assert_exact(3 * STORED);
    stopped.pair.assert_sound();
}

#[test]
fn a_receiver_that_was_restored_from_a_backup_may_repeat_and_loses_nothing_new() {
    let mut stopped = Stopped::with_messages(
        "a_receiver_that_was_restored_from_a_backup_may_repeat_and_loses_nothing_new",
        Queue::Inbox,
        |setup| setup,
    );
    let backup = stopped.pair.place.file("backup");
    files::copy(&stopped.spool(), &backup);
    let Pair { client, server, .. } = &mut stopped.pair;
    let receiver = Receiver::listen(server.setup.receive_socket("any"), Manner::Resumes);
    server.start_again();
    let route = |first| stopped.route.clone().numbered_from(first);
    let socket = client.setup.send_socket();
    Session::new("second", "delivered", socket.clone(), route(STORED)).send_to(STORED);
    receiver.wait_number(2 * STORED - 1);
    drop(receiver);
    server.kill();
    files::copy(&backup, &server.spool());
    // An app that resumes keeps its own place beside the connector's, and must be restored with it.
    let receiver = Receiver::listen(server.setup.receive_socket("any"), Manner::Resumes);
    server.start_again();
    Session::new("third", "delivered", socket, route(2 * STORED)).send_to(STORED);
    receiver.wait_number(3 * STORED - 1);
    stopped.pair.wait_empty();
    let tally = receiver.tally();
    tally.assert_order(3 * STORED);
    // Those between were taken by the first app, and the sender knows it.
    let lost: Vec<_> = tally.lost(3 * STORED).into_iter().flatten().collect();
    assert!(lost.into_iter().eq(STORED..2 * STORED), "{}", tally.describe(3 * STORED));
    stopped.pair.assert_sound();
}
