//! `ConnectorApi` against a connector that the tests play themselves.

mod fake;
mod receive;
mod request;
mod send;
