//! The shell around the core: sockets, TLS and the loop.

mod accept;
mod audit;
pub mod buffers;
mod caller;
mod certificate_times;
mod certificates;
mod confirm;
pub mod dial;
pub mod expiry;
mod figures;
pub mod hooks;
pub mod listener;
mod meter;
mod open;
mod outputs;
pub mod rings;
pub mod scrapes;
pub mod security;
pub mod session;
pub mod shell;
pub mod stop;
pub mod stream;
pub mod tls;
mod tls_verify;
mod to_core;
pub mod tokens;
