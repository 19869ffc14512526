//! aioconnectors: a simple, secure, persistent message broker for Unix.
//!
//! The plan of the house is in `ARCHITECTURE.md`; imports go down only.

pub mod wire;

pub mod api;
pub mod remote;

#[cfg(feature = "daemon")]
pub mod certs;
#[cfg(feature = "daemon")]
pub mod cli;
#[cfg(feature = "daemon")]
pub mod config;
#[cfg(feature = "daemon")]
pub mod core;
#[cfg(feature = "daemon")]
pub mod logger;
#[cfg(feature = "daemon")]
pub mod manager;
#[cfg(feature = "daemon")]
pub mod net;
#[cfg(feature = "daemon")]
pub mod ring;
#[cfg(feature = "daemon")]
pub mod sys;
