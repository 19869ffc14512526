//! Apps with receipts and acknowledgements, while the connectors between them are killed.

use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Instant;

use crate::message::Route;
use crate::pair::{Pair, Security};
use crate::receiver::{Manner, Receiver};
use crate::seed::{Seed, gaps, messages};
use crate::session::Session;

/// Messages of every day.
const MESSAGES: u64 = 20_000;

/// How often each connector is killed.
const KILLS: usize = 5;

/// Sends over TLS from the client to the server with receipts at `level`, and kills both at moments of their own.
#[track_caller]
fn nothing_is_lost_or_doubled(test: &'static str, level: &'static str, security: Security, count: u64) {
    let seed = Seed::new(test);
    let mut random = seed.random();
    let mut pair = Pair::start(security);
    let Pair { client, server, .. } = &mut pair;
    let receiver = Receiver::listen(server.setup.receive_socket("any"), Manner::Resumes);
    let route = Route::new("any", &client.setup, &server.setup);
    let session = Session::new(&format!("crash-{}", random.u32(..)), level, client.setup.send_socket(), route);
    let [own, peer] = [(); 2].map(|()| gaps(&mut random, KILLS, count * 4 / 5));
    let begin = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| session.send_to(count));
        scope.spawn(|| client.kill_after_each(&own, &session.receipts, count));
        scope.spawn(|| server.kill_after_each(&peer, receiver.reached(), count));
    });
    let sent_after = begin.elapsed();
    receiver.wait_number(count - 1);
    pair.wait_empty();
    let tally = receiver.tally();
    eprintln!(
        "{test}: the sender's connector killed after {own:?} receipts, the peer after {peer:?} arrivals; {} hellos, {} \
        messages written again; all receipts after {sent_after:.1?}, all messages after {:.1?}\n  {}",
        session.hellos.load(SeqCst),
        session.repeated.load(SeqCst),
        begin.elapsed(),
        tally.describe(count)
    );
    pair.assert_sound();
    assert_eq!(*session.refused.lock().unwrap(), [], "nothing needs to be refused");
    receiver.assert_no_complaints();
    receiver.tally().assert_exact(count);
}

#[test]
fn a_sender_with_receipts_loses_nothing_and_sends_nothing_twice_whatever_is_killed() {
    nothing_is_lost_or_doubled(
        "a_sender_with_receipts_loses_nothing_and_sends_nothing_twice_whatever_is_killed",
        "stored",
        Security::Certificates,
        messages(MESSAGES),
    );
}

#[test]
fn a_sender_that_waits_for_delivery_loses_nothing_either_on_a_plain_link() {
    nothing_is_lost_or_doubled(
        "a_sender_that_waits_for_delivery_loses_nothing_either_on_a_plain_link",
        "delivered",
        Security::Plain,
        messages(MESSAGES) / 2,
    );
}
