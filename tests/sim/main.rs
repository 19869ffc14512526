//! Connectors, apps and a network that fails, all simulated from a seed under a virtual clock.
//!
//! `AIOCONNECTORS_SIM_SEED=N` replays one world and prints what happens in it; `AIOCONNECTORS_SIM_STEPS=N` makes worlds
//! of N steps in place of the short ones of every day.

mod account;
mod actions;
mod apps;
mod message;
mod model;
mod network;
mod node;
mod shell;
mod tap;
mod world;

use fastrand::Rng;

use node::Profile;
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
fn run(seed: u64, calm: bool, steps: u64, trace: bool) -> World {
    let _seed = Seed(seed);
    let mut rng = Rng::with_seed(seed);
    let profile = Profile::random(&mut rng, calm);
    let mut world = World::new(profile, rng, trace);
    world.say(&format_args!("{:?}", world.profile));
    if calm {
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
fn run_worlds(calm: bool, first: u64, worlds: u64, steps: u64) {
    let steps = variable("AIOCONNECTORS_SIM_STEPS").unwrap_or(steps);
    if let Some(seed) = variable("AIOCONNECTORS_SIM_SEED") {
        run(seed, calm, steps, true);
        return;
    }
    for seed in first..first + worlds {
        run(seed, calm, steps, false);
    }
}

#[test]
fn whatever_fails_every_message_is_accounted_for_and_none_comes_twice() {
    run_worlds(false, 0, 40, 400);
}

#[test]
fn where_nothing_fails_every_message_arrives() {
    run_worlds(true, 1_000_000, 10, 400);
}
