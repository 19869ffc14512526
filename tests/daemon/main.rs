//! Our daemon as a process among raw apps and peers, on good days and bad.
#![cfg(feature = "daemon")]

#[path = "../common/mod.rs"]
mod common;

mod link;
mod proxy;

mod access;
mod acks;
mod bad_admins;
mod bad_apps;
mod bad_peers;
mod ca;
mod certificates;
mod chaos;
mod delivery;
mod durable;
mod ends;
mod enrolment;
mod hooks;
mod hostile;
mod hot;
mod http_proxy;
mod life;
mod log_trouble;
mod metrics;
mod odd_days;
mod peers;
mod receipts;
mod reconnect;
mod renewal;
mod requests;
mod revocation;
mod servers;
mod service;
mod startup;
mod system_calls;
mod tokens;
