//! Sending apps that know of no receipts, while the connectors between them and the receiving app are killed.

use std::thread;

use fastrand::Rng;

use crate::message::Route;
use crate::pair::{Pair, Security};
use crate::receiver::{Manner, Receiver};
use crate::seed::{Seed, gaps, messages};
use crate::sender::{Sender, assert_lost_in_sockets_only};
use crate::tally::Tally;

/// Messages of every day.
const MESSAGES: u64 = 8_000;

/// How often a connector is killed.
const KILLS: usize = 3;

/// What became of the messages.
struct Outcome {
    count: u64,
    tally: Tally,
    sender: Sender,
}

impl Outcome {
    #[track_caller]
    fn assert_lost_in_sockets_only(&self) {
        assert_lost_in_sockets_only(&self.tally, self.count, &self.sender);
    }
}

/// Sends while the connectors are killed as `kills` says: the sender's own, and the peer.
#[track_caller]
fn send(test: &'static str, manner: Manner, kills: [usize; 2]) -> Outcome {
    let seed = Seed::new(test);
    let (mut random, count): (Rng, u64) = (seed.random(), messages(MESSAGES));
    let mut pair = Pair::start(Security::Plain);
    let Pair { client, server, .. } = &mut pair;
    let receiver = Receiver::listen(server.setup.receive_socket("any"), manner);
    let route = Route::new("any", &client.setup, &server.setup);
    let mut sender = Sender::new(client.setup.send_socket(), route);
    let [own, peer] = kills.map(|kills| gaps(&mut random, kills, count * 4 / 5));
    let written = sender.written.clone();
    thread::scope(|scope| {
        scope.spawn(|| sender.send_to(count));
        scope.spawn(|| client.kill_after_each(&own, &written, count));
        scope.spawn(|| server.kill_after_each(&peer, receiver.reached(), count));
    });
    // Only a message that no kill comes behind is sure to arrive.
    sender.send_to(count + 1);
    receiver.wait_number(count);
    pair.wait_empty();
    pair.assert_sound();
    receiver.assert_no_complaints();
    let (tally, count) = (receiver.tally(), count + 1);
    eprintln!("{test}: own killed after {own:?}, peer after {peer:?}\n  {}", tally.describe(count));
    tally.assert_order(count);
    Outcome { count, tally, sender }
}

#[test]
fn a_peer_that_is_killed_costs_nothing_that_its_connector_was_told_of() {
    let test = "a_peer_that_is_killed_costs_nothing_that_its_connector_was_told_of";
    let outcome = send(test, Manner::Resumes, [0, KILLS]);
    outcome.tally.assert_exact(outcome.count);
}

#[test]
fn a_receiver_without_acks_may_see_some_again_when_its_connector_is_killed_and_misses_none() {
    let test = "a_receiver_without_acks_may_see_some_again_when_its_connector_is_killed_and_misses_none";
    let outcome = send(test, Manner::Plain, [0, KILLS]);
    assert_eq!(outcome.tally.lost(outcome.count), [], "{}", outcome.tally.describe(outcome.count));
}

#[test]
fn a_connector_that_is_killed_costs_at_most_what_is_still_in_the_sockets_of_apps() {
    let test = "a_connector_that_is_killed_costs_at_most_what_is_still_in_the_sockets_of_apps";
    let outcome = send(test, Manner::Resumes, [KILLS, 0]);
    outcome.assert_lost_in_sockets_only();
    assert_eq!(outcome.tally.twice, 0, "{}", outcome.tally.describe(outcome.count));
}

#[test]
fn connectors_that_are_killed_on_both_ends_cost_no_more_than_the_one_that_apps_send_to() {
    let test = "connectors_that_are_killed_on_both_ends_cost_no_more_than_the_one_that_apps_send_to";
    let outcome = send(test, Manner::Resumes, [KILLS, KILLS]);
    outcome.assert_lost_in_sockets_only();
    assert_eq!(outcome.tally.twice, 0, "{}", outcome.tally.describe(outcome.count));
}
