//! What happens around a running connector: folders that go, files that cannot be opened, servers that say nothing.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::common::traffic::Account;
use crate::common::{Frame, Place, Process, RawReceiver, RawSender, Setup, certificates, wait};
use crate::link::Link;

/// Bytes of a message's data where many are sent.
const BODY: usize = 4_000;

/// What an inbox holds before its links are not read any more.
const INBOX_HIGH: usize = 4 * 1024 * 1024;

fn tagged(link: &Link, numbers: std::ops::Range<usize>) -> Vec<Frame> {
    numbers.map(|i| link.up("any", vec![b'x'; BODY]).with("tag", i.to_string())).collect()
}

/// Messages that wait at the server for its apps.
fn queued_at_server(link: &Link) -> Option<usize> {
    let answer = link.server.admin().ask("peek_queues__sync", serde_json::json!({"dump_result": true})).ok()?;
    let queues: serde_json::Value = serde_json::from_str(&answer).ok()?;
    usize::try_from(queues["queue_recv"].as_u64()?).ok()
}

fn files(process: &Process) -> usize {
    fs::read_dir(format!("/proc/{}/fd", process.pid())).expect("the process's files").count()
}

/// The last messages and the end of the link come together while the inbox is almost full.
#[track_caller]
fn all_arrives_before_the_end_of_a_link(change: impl Fn(Setup) -> Setup) {
    let mut link = Link::start_with(change);
    let receiver = RawReceiver::listen_paused(link.server.receive_socket("any"));
    let mut app = RawSender::connect(&link.client.send_socket());
    let mut sent = Vec::new();
    let queued = || queued_at_server(&link).expect("an answer");
    while queued() * (BODY + 200) < INBOX_HIGH - 20_000 {
        let next = tagged(&link, sent.len()..sent.len() + 4);
        app.send_all(&next);
        sent.extend(next);
        // What the app's socket has room for leaves the queue; then the queue grows.
        std::thread::sleep(Duration::from_millis(1));
    }
    let (before, idle) = (queued(), files(&link.client_process));
    link.server_process.signal(Signal::SIGSTOP);
    let last = tagged(&link, sent.len()..sent.len() + 24);
    app.send_all(&last);
    sent.extend(last);
    drop(app);
    wait::until("the client to have read all", || (files(&link.client_process) < idle).then_some(()));
    link.client_process.signal(Signal::SIGTERM);
    assert_eq!(link.client_process.exit_code(), 0);
    link.server_process.signal(Signal::SIGCONT);
    wait::until("the server to have read some", || (queued_at_server(&link)? > before).then_some(()));
    receiver.resume();
    receiver.wait_count(sent.len());
    Account::of(&sent, &receiver.frames()).assert_exact("before the end of the link");
}

#[test]
fn what_came_before_the_end_of_a_plain_link_reaches_a_slow_app() {
    all_arrives_before_the_end_of_a_link(|setup| setup);
}

#[test]
fn what_came_before_the_end_of_a_tls_link_reaches_a_slow_app() {
    let made = Place::new();
    certificates::make(made.path());
    all_arrives_before_the_end_of_a_link(|setup| {
        certificates::hand_out(made.path(), &setup);
        setup.with("use_ssl", true).with("ssl_allow_all", true)
    });
}
