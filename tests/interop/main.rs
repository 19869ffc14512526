//! Our connectors with the Python package, as peer and as client library.
//!
//! The tests make a virtual environment of their own under `target/tmp` and install the package from PyPI into it, once a
//! machine. Where that cannot be done they say so on stderr and pass; with `CI` set they fail. With
//! `AIOCONNECTORS_PYTHON_LOG=INFO` the package says all that it does when a test fails.
#![cfg(feature = "daemon")]

#[path = "../common/mod.rs"]
mod common;

mod access;
mod acks;
mod admin;
mod certificates;
mod checks;
mod file_frames;
mod files;
mod harness;
mod pair;
mod priorities;
mod proxies;
mod published_files;
mod pubsub;
mod python;
mod requests;
mod scenarios;
mod tokens;
