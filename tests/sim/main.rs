//! Connectors, apps and a network that fails, all simulated from a seed under a virtual clock.
//!
//! Connectors stop, and die at any step with their process or their machine; disks lose what was not synced, fill up and
//! fail; files are changed and damaged; apps ask for receipts, go on with sessions, acknowledge, resume, or say nothing. What must hold of every message
//! is written in `model`.
//!
//! `AIOCONNECTORS_SIM_SEED=N` replays one world and prints what happens in it: name the test as well, and give the same
//! number of steps. `AIOCONNECTORS_SIM_STEPS=N` makes worlds of N steps, `AIOCONNECTORS_SIM_WORLDS=N` makes N of them in
//! place of the few of every day, `AIOCONNECTORS_SIM_SKIP=N` begins behind the first N.

mod account;
mod actions;
mod apps;
mod crash;
mod disk;
#[allow(dead_code, reason = "the bench of the core's tests: some of it is for them alone")]
#[path = "../core/file_system.rs"]
mod file_system;
mod files;
mod gates;
mod message;
mod model;
mod network;
mod node;
mod published;
mod receivers;
mod shell;
mod tap;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use fastrand::Rng;

use node::{Climate, Profile};
use world::World;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|e| panic!("{name}: {e}")))
}

/// Runs one world from its beginning to its end.
fn run(seed: u64, climate: Climate, publishes: bool, steps: u64, trace: bool) -> World {
    let mut rng = Rng::with_seed(seed);
    let mut profile = Profile::random(&mut rng, climate);
    if publishes {
        profile.publish(&mut rng);
    }
    let mut world = World::new(profile, rng, trace);
    world.say(&format_args!("{:?}", world.profile));
    if climate == Climate::Calm || publishes {
        // All that lasts has begun then.
        let calm = world.fair_weather;
        world.come_to_rest();
        world.fair_weather = calm;
    }
    for _ in 0..steps {
        world.step();
    }
    world.come_to_rest();
    world.balance();
    world
}

/// Runs the worlds of a test on all processors; or the one that was asked for.
fn run_worlds(climate: Climate, publishes: bool, first: u64, worlds: u64, steps: u64) {
    let steps = variable("AIOCONNECTORS_SIM_STEPS").unwrap_or(steps);
    if let Some(seed) = variable("AIOCONNECTORS_SIM_SEED") {
        run(seed, climate, publishes, steps, true);
        return;
    }
    let worlds = variable("AIOCONNECTORS_SIM_WORLDS").unwrap_or(worlds);
    let first = first + variable("AIOCONNECTORS_SIM_SKIP").unwrap_or(0);
    let next = AtomicU64::new(first);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + worlds {
                        break;
                    }
                    if std::panic::catch_unwind(|| run(seed, climate, publishes, steps, false)).is_err() {
                        eprintln!(
                            "to see it again: AIOCONNECTORS_SIM_SEED={seed} cargo test --test sim {}",
                            if publishes { climate.test_of_publications() } else { climate.test() }
                        );
                        failed.lock().unwrap_or_else(PoisonError::into_inner).push(seed);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert!(failed.is_empty(), "these worlds failed, with {steps} steps each: {failed:?}");
}

#[test]
fn whatever_fails_every_message_is_accounted_for_and_none_comes_twice() {
    run_worlds(Climate::Rough, false, 0, 120, 400);
}

#[test]
fn where_nothing_fails_every_message_arrives() {
    run_worlds(Climate::Calm, false, 1_000_000, 20, 400);
}

#[test]
fn what_is_stored_outlasts_the_death_of_processes_and_machines() {
    run_worlds(Climate::Deadly, false, 2_000_000, 400, 400);
}

#[test]
fn of_publications_none_comes_twice_whatever_fails() {
    run_worlds(Climate::Rough, true, 3_000_000, 60, 400);
}

#[test]
fn publications_all_arrive_where_nothing_fails() {
    run_worlds(Climate::Calm, true, 4_000_000, 20, 400);
}

#[test]
fn publications_for_those_who_last_outlast_the_death_of_processes_and_machines() {
    run_worlds(Climate::Deadly, true, 5_000_000, 200, 400);
}
