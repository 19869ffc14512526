//! Our daemon as a process among raw apps and peers, on good days and bad.
#![cfg(feature = "daemon")]

#[path = "../common/mod.rs"]
mod common;
