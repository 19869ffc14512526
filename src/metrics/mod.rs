//! Metrics: the numbers as text that Prometheus and others read, and as much of HTTP as it takes to ask for it.
//!
//! Bytes to meaning and back, without a socket: `net` has those. The numbers are those of `core::figures`.

pub mod families;
pub mod http;
pub mod text;

pub use families::write;
pub use text::Format;

#[cfg(test)]
mod rules;
