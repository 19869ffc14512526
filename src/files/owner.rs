//! The owners that messages and the config give.

use std::collections::BTreeSet;

pub(super) use crate::config::Owner;
use crate::config::find_owner;

/// Most unknown owners that are remembered, so that each is told of once.
const TOLD_MAX: usize = 128;

/// Looks owners up, and tells of each that is unknown once. As in Python, a file without its owner is better than none.
#[derive(Debug, Default)]
pub(super) struct Owners {
    told: BTreeSet<String>,
}

impl Owners {
    pub(super) fn find(&mut self, text: &str) -> Option<Owner> {
        match find_owner(text) {
            Ok(owner) => Some(owner),
            Err(error) => {
                if self.told.len() < TOLD_MAX && self.told.insert(text.to_owned()) {
                    log::warn!("received files cannot be given to {text:?}, they stay the connector's: {error}");
                }
                None
            }
        }
    }
}
