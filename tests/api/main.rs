//! `ConnectorApi` against a connector that the tests play themselves.

mod fake;
mod receipt;
mod receipts;
mod receive;
mod request;
mod send;
mod session;
