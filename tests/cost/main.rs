//! What a message costs in the core, counted and not timed: the machine's speed, and what else it does, change nothing.
#![cfg(feature = "daemon")]

mod allocations;
#[path = "../core/disk.rs"]
#[allow(dead_code, reason = "only a part of it is needed here")]
mod disk;
mod instructions;
mod pair;
