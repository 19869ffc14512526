//! What the operator is told, and the audit: what is about who may come in and do what goes to a log target of its own.

use crate::core::{Concern, Event};
use crate::logger::AUDIT;

/// Logs an event, at the level that is due to it.
pub(super) fn tell(event: &Event) {
    let level = match event.concern() {
        Concern::Look => log::Level::Warn,
        Concern::Routine => log::Level::Info,
        Concern::Detail => log::Level::Debug,
    };
    if event.is_audited() {
        log::log!(target: AUDIT, level, "{event}");
    } else {
        log::log!(level, "{event}");
    }
}
