//! Our daemon killed, cut off, out of disk, and with files that were spoilt: what was promised must hold.
//!
//! Kills come at moments that are drawn from a seed and counted in messages. `AIOCONNECTORS_CRASH_SEED=N` draws the same
//! ones again; `AIOCONNECTORS_CRASH_MESSAGES=N` sends N messages instead of the few of every day, and
//! `AIOCONNECTORS_CRASH_KILLS=N` kills each connector N times while apps with receipts send;
//! `AIOCONNECTORS_CRASH_ROUNDS=N` spoils files by chance N times, `AIOCONNECTORS_CRASH_MEGABYTES=N` sends files of N MiB. With `AIOCONNECTORS_PYTHON_LOG=INFO` the Python package
//! says all that it does.
#![cfg(feature = "daemon")]

#[path = "../common/mod.rs"]
mod common;
// A part of it is for the other tests.
#[allow(dead_code)]
#[path = "../interop/python.rs"]
mod python;

mod cutter;
mod files;
mod message;
mod pair;
mod progress;
mod receiver;
mod seed;
mod sender;
mod session;
mod stopped;
mod tally;

mod bad_days;
mod damage;
mod full;
mod plain;
mod published;
mod python_peer;
mod receipts;
mod transfers;
