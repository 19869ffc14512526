//! What the core tells the operator, as lines of the log.

use log::Level;

use crate::core::{Concern, Event};

/// The target of lines about who may come in, so that they can be told from all others.
const AUDIT: &str = "audit";

/// The target of all others: the library's name, with which filters of the log begin.
const ORDINARY: &str = module_path!();

/// Logs an event.
pub(super) fn tell(event: &Event) {
    let level = match event.concern() {
        Concern::Look => Level::Warn,
        Concern::Routine => Level::Info,
        Concern::Detail => Level::Debug,
    };
    let target = if event.is_audit() { AUDIT } else { ORDINARY };
    log::log!(target: target, level, "{event}");
}
