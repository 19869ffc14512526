//! The way of what a link or an app sends, from its stream to the core.

use std::time::Instant;

use rustls::CommonState;

use super::security::Security;
use super::session::{self, Handler};
use crate::core::{Cause, Connector, Id, Reading, Secured};

/// Leads what a stream receives to the core.
pub(super) struct ToCore<'a> {
    pub connector: &'a mut Connector,
    pub security: &'a Security,
    pub id: Id,
    pub now: Instant,
    pub known: Option<Secured>,
}

impl Handler for ToCore<'_> {
    fn secured(&mut self, state: &CommonState) {
        let link2 = session::speaks_link2(state);
        match self.known.take().map_or_else(|| self.security.identify(state), Ok) {
            Ok(secured) => {
                if secured == Secured::Shared && matches!(self.security, Security::Client(_)) {
                    self.connector.offer(self.id, self.security.offer());
                }
                self.connector.secured(self.id, secured, link2, self.now);
            }
            Err(why) => self.connector.closed(self.id, Cause::Failed(why), self.now),
        }
    }

    fn data(&mut self, plaintext: &[u8]) -> bool {
        self.connector.input(self.id, plaintext, self.now) == Reading::Open
    }
}
