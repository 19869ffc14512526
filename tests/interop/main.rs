//! Our connectors with the Python package, as peer and as client library.
//!
//! The tests make a virtual environment of their own under `target/tmp` and install the package from PyPI into it, once a
//! machine. Where that cannot be done they say so on stderr and pass; with `CI` set they fail.
#![cfg(feature = "daemon")]

#[path = "../common/mod.rs"]
mod common;

mod checks;
mod harness;
mod pair;
mod pubsub;
mod python;
mod scenarios;
