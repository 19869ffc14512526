//! See `ARCHITECTURE.md`.

pub mod tls;
mod tls_verify;
