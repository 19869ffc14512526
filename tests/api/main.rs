//! `ConnectorApi` against a connector that the tests play themselves.

mod fake;
mod receipt;
mod receipts;
mod receive;
mod request;
mod requester;
mod resume;
mod send;
mod session;
