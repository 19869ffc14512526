//! Our daemon as a process among raw apps and peers, on good days and bad.
#![cfg(feature = "daemon")]

#[path = "../common/mod.rs"]
mod common;

mod link;
mod proxy;

mod acks;
mod bad_admins;
mod bad_apps;
mod bad_peers;
mod certificates;
mod chaos;
mod delivery;
mod durable;
mod ends;
mod hooks;
mod hostile;
mod odd_days;
mod peers;
mod receipts;
mod reconnect;
mod requests;
mod startup;
mod tokens;
