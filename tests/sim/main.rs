//! Connectors, apps and a network that fails, all simulated from a seed under a virtual clock.
//!
//! `AIOCONNECTORS_SIM_SEED=N` replays one world and prints what happens in it (give the same number of steps);
//! `AIOCONNECTORS_SIM_STEPS=N` makes worlds of N steps, `AIOCONNECTORS_SIM_WORLDS=N` makes N of them in place of the few
//! of every day.

mod account;
mod actions;
mod apps;
mod crash;
mod disk;
mod message;
mod model;
mod network;
mod node;
mod receivers;
mod shell;
mod tap;
mod world;

use fastrand::Rng;

use node::{Climate, Profile};
use world::World;

/// Names the seed when a world fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("to see it again: AIOCONNECTORS_SIM_SEED={} cargo test --test sim", self.0);
        }
    }
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|e| panic!("{name}: {e}")))
}

/// Runs one world from its beginning to its end.
fn run(seed: u64, climate: Climate, steps: u64, trace: bool) -> World {
    let _seed = Seed(seed);
    let mut rng = Rng::with_seed(seed);
    let profile = Profile::random(&mut rng, climate);
    let mut world = World::new(profile, rng, trace);
    world.say(&format_args!("{:?}", world.profile));
    if climate == Climate::Calm {
        world.come_to_rest();
    }
    for _ in 0..steps {
        world.step();
    }
    world.come_to_rest();
    world.balance();
    world
}

/// Runs the worlds of a test; or the one that was asked for.
fn run_worlds(climate: Climate, first: u64, worlds: u64, steps: u64) {
    let steps = variable("AIOCONNECTORS_SIM_STEPS").unwrap_or(steps);
    if let Some(seed) = variable("AIOCONNECTORS_SIM_SEED") {
        run(seed, climate, steps, true);
        return;
    }
    let worlds = variable("AIOCONNECTORS_SIM_WORLDS").unwrap_or(worlds);
    for seed in first..first + worlds {
        run(seed, climate, steps, false);
    }
}

#[test]
fn whatever_fails_every_message_is_accounted_for_and_none_comes_twice() {
    run_worlds(Climate::Rough, 0, 40, 400);
}

#[test]
fn where_nothing_fails_every_message_arrives() {
    run_worlds(Climate::Calm, 1_000_000, 10, 400);
}

#[test]
fn what_is_stored_outlasts_the_death_of_processes_and_machines() {
    run_worlds(Climate::Deadly, 2_000_000, 40, 400);
}
