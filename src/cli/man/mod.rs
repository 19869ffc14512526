//! The manual pages.

pub mod config_page;
pub mod roff;

/// When the text of a page was changed last.
pub const DATE: &str = "2026-11-23";
