//! Apps with receipts and acknowledgements, while the connectors between them are killed.

use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Instant;

use crate::message::Route;
use crate::pair::{Pair, Security};
use crate::receiver::{Manner, Receiver};
use crate::seed::{Seed, gaps, kills, messages};
use crate::session::Session;

/// Messages of every day.
const MESSAGES: u64 = 20_000;

/// How often each connector is killed, on every day.
const KILLS: u64 = 5;

/// What one test does.
struct Case {
    test: &'static str,
    level: &'static str,
    security: Security,
    /// `persistence_sync`
    sync: &'static str,
    /// From the client to the server, or back.
    up: bool,
    count: u64,
}

impl Case {
    /// Sends with receipts, and kills both connectors again and again.
    #[track_caller]
    fn run(self) {
        let Case { test, level, security, sync, up, count } = self;
        let seed = Seed::new(test);
        let mut random = seed.random();
        let mut pair = Pair::start_with(security, |setup| setup.with("persistence_sync", sync));
        let (from, to) = if up { (&mut pair.client, &mut pair.server) } else { (&mut pair.server, &mut pair.client) };
        let receiver = Receiver::listen(to.setup.receive_socket("any"), Manner::Resumes);
        let route = Route::new("any", &from.setup, &to.setup);
        let name = format!("crash-{}", random.u32(..));
        let session = Session::new(&name, level, from.setup.send_socket(), route);
        let kills = usize::try_from(kills(KILLS)).expect("few kills");
        let [own, peer] = [(); 2].map(|()| gaps(&mut random, kills, count * 4 / 5));
        let begin = Instant::now();
        thread::scope(|scope| {
            scope.spawn(|| session.send_to(count));
            scope.spawn(|| from.kill_after_each(&own, &session.receipts, count));
            scope.spawn(|| to.kill_after_each(&peer, receiver.reached(), count));
        });
        let receipts_after = begin.elapsed();
        receiver.wait_number(count - 1);
        pair.wait_empty();
        eprintln!(
            "{test}: the sender's connector killed after {own:?} receipts, the peer after {peer:?} arrivals; {} hellos, {} \
            messages written again; all receipts after {receipts_after:.1?}, all messages after {:.1?}\n  {}",
            session.hellos.load(SeqCst),
            session.repeated.load(SeqCst),
            begin.elapsed(),
            receiver.tally().describe(count)
        );
        pair.assert_sound();
        assert_eq!(*session.refused.lock().unwrap(), [], "nothing needs to be refused");
        receiver.assert_no_complaints();
        receiver.tally().assert_exact(count);
    }
}

#[test]
fn a_sender_with_receipts_loses_nothing_and_sends_nothing_twice_whatever_is_killed() {
    Case {
        test: "a_sender_with_receipts_loses_nothing_and_sends_nothing_twice_whatever_is_killed",
        level: "stored",
        security: Security::Certificates,
        sync: "os",
        up: true,
        count: messages(MESSAGES),
    }
    .run();
}

#[test]
fn a_sender_that_waits_for_delivery_loses_nothing_either_on_a_plain_link_from_server_to_client() {
    Case {
        test: "a_sender_that_waits_for_delivery_loses_nothing_either_on_a_plain_link_from_server_to_client",
        level: "delivered",
        security: Security::Plain,
        sync: "interval:20",
        up: false,
        count: messages(MESSAGES) / 2,
    }
    .run();
}

#[test]
fn queues_that_are_written_through_keep_the_same_promises() {
    Case {
        test: "queues_that_are_written_through_keep_the_same_promises",
        level: "stored",
        security: Security::Plain,
        sync: "always",
        up: true,
        count: messages(MESSAGES) / 4,
    }
    .run();
}
