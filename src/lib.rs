//! A message broker for Unix: daemons, the connectors, bring messages from local programs over TLS to those on other
//! machines. `README.md` says how to set them up, `ARCHITECTURE.md` how this is built.
//!
//! - A program that sends and receives needs [`api::ConnectorApi`], one that looks after a connector
//!   [`remote::Remote`]. With `default-features = false` the library holds nothing else, besides the formats that these
//!   speak, in [`wire`].
//! - With the feature `daemon`, a default, it holds the connector itself: `manager::ConnectorManager` runs one, in this
//!   program or as the daemon, and `hooks` are what it asks.

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
pub mod files;
#[cfg(feature = "daemon")]
pub mod hooks;
#[cfg(feature = "daemon")]
pub mod logger;
#[cfg(feature = "daemon")]
pub mod manager;
#[cfg(feature = "daemon")]
pub mod metrics;
#[cfg(feature = "daemon")]
pub mod net;
#[cfg(feature = "daemon")]
pub mod ring;
#[cfg(feature = "daemon")]
pub mod store;
#[cfg(feature = "daemon")]
pub mod sys;
#[cfg(feature = "daemon")]
pub mod tokens;
#[cfg(feature = "daemon")]
pub mod version;

/// The examples of the README, which must compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
