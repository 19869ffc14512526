//! What needs the system more closely than std, mio and nix reach: the only place for `unsafe`.
//!
//! Each thing has a file of its own with a safe interface, and each `unsafe` a comment that says why it is sound.

pub mod map;
pub mod outq;
pub mod peer_groups;
pub mod process;
pub mod size_limit;
pub mod terminal;
pub mod usage;

pub use map::Map;
