//! Bytes to meaning and back, without state and without I/O: the formats that connectors, apps and admins speak.

pub mod admin;
pub mod admin_arguments;
#[cfg(feature = "daemon")]
pub mod base64;
#[cfg(feature = "daemon")]
pub mod connect;
pub mod control;
pub mod deframer;
pub mod file;
pub mod frame;
pub mod header;
pub mod link;
pub mod names;
pub mod path;
pub mod receipts;
#[cfg(feature = "daemon")]
pub mod record;
#[cfg(feature = "daemon")]
pub mod runs;
pub mod token;
pub mod topics;
pub mod with_file;

#[cfg(test)]
mod deframer_tests;
