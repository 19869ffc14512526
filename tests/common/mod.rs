//! What the tests of the running daemon share: folders, ports, processes, raw apps and exact comparison.
//!
//! Frames are written and read here by code of its own, so that it checks the library instead of agreeing with it.

// Each test target uses a part of this.
#![allow(dead_code, unused_imports)]

pub mod admin;
pub mod apps;
pub mod certificates;
pub mod frame;
#[cfg(feature = "daemon")]
pub mod http_proxy;
pub mod peer;
pub mod place;
pub mod process;
pub mod setup;
pub mod traffic;
pub mod wait;

pub use admin::Admin;
pub use apps::{RawReceiver, RawSender, ask};
pub use frame::Frame;
pub use peer::RawPeer;
pub use place::{Place, free_port};
pub use process::Process;
pub use setup::{Role, Setup};
