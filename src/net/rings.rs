//! The connector's queues on disk: which files there are, opened as the core asks for them.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::core::{Connector, Opened, RingName};
use crate::ring::Memory;
use crate::ring::header::{Header, Identity, Kind};
use crate::ring::recover::Recovered;
use crate::store::{self, Spool, StoreError, name_of};

/// The spool, as the loop uses it.
#[derive(Debug)]
pub struct Rings {
    spool: Option<Spool>,
    connector: String,
    limit: usize,
}

impl Rings {
    /// The queues of `connector` in `spool`, of `limit` bytes of records at most. Without a spool nothing is stored.
    #[must_use]
    pub fn new(spool: Option<Spool>, connector: &str, limit: usize) -> Self {
        Self { spool, connector: connector.to_owned(), limit }
    }

    /// Where queues are stored, if they can be.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        self.spool.as_ref().map(Spool::folder)
    }

    /// Syncs of the files: how many, what they took together, and what the longest took.
    #[must_use]
    pub fn syncs(&self) -> (u64, Duration, Duration) {
        self.spool.as_ref().map(|spool| spool.syncs().read()).unwrap_or_default()
    }

    /// Opens the file of a queue, or makes it.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub fn open(&self, name: &RingName) -> Result<Opened, String> {
        let Some(spool) = &self.spool else { return Err("there is no folder for it".to_owned()) };
        let identity = self.identity(name);
        let opened = spool.open_ring(&identity, self.limit).map_err(|error| error.to_string())?;
        if let Some(put_aside) = &opened.put_aside {
            log::error!("{put_aside}");
        }
        Ok(for_core(opened, identity))
    }

    /// Gives the connector, before it starts, all that is stored from before. What is there is mapped, not read, so this
    /// takes no longer when more is stored.
    ///
    /// Queues to peers are taken up whether or not the config still covers them, so that they drain; those to apps only
    /// if their type is still received.
    ///
    /// # Errors
    /// The folder or the table of places cannot be used.
    pub fn restore(&self, connector: &mut Connector, now: Instant) -> Result<(), StoreError> {
        let Some(spool) = &self.spool else { return Ok(()) };
        connector.restore_places(Memory::Durable(spool.open_places()?));
        if connector.is_broker() {
            connector.restore_subscriptions(Memory::Durable(spool.open_subscriptions()?));
        }
        let existing = spool.rings()?;
        existing.put_aside.iter().for_each(|line| log::error!("{line}"));
        existing.unusable.iter().for_each(|line| log::error!("{line}"));
        for identity in existing.rings {
            let path = spool.folder().join(name_of(&identity));
            if identity.connector != self.connector {
                log::error!("{} is left alone: it is of the connector {}", path.display(), identity.connector);
                continue;
            }
            let name = name(identity);
            match &name {
                RingName::Inbox { message_type } if !connector.receives(message_type) => {
                    log::warn!("{} is left alone: {message_type:?} is not in recv_message_types", path.display());
                }
                RingName::Topic { .. } if !connector.is_broker() => {
                    log::warn!("{} is left alone: pubsub_central_broker is false", path.display());
                }
                _ => connector.ring_opened(&name, self.open(&name), now),
            }
        }
        Ok(())
    }

    /// Removes the files of queues that the connector does not use, and those that were put aside. Each is logged.
    ///
    /// # Errors
    /// Why not; some may be gone.
    pub fn remove_remains(&self, connector: &Connector) -> Result<(), String> {
        let Some(spool) = &self.spool else { return Ok(()) };
        let is_needed = |identity: &Identity| connector.holds_ring(&name(identity.clone()));
        let removed = spool.remove_remains(&is_needed).map_err(|error| error.to_string())?;
        removed.iter().for_each(|path| log::warn!("{} was removed, as an admin has asked", path.display()));
        Ok(())
    }

    fn identity(&self, name: &RingName) -> Identity {
        let (kind, peer, message_type) = match name {
            RingName::Outbox { peer, message_type } => (Kind::Outbox, peer.as_str(), message_type),
            RingName::Inbox { message_type } => (Kind::Inbox, "", message_type),
            RingName::Topic { message_type } => (Kind::Topic, "", message_type),
        };
        let (connector, peer, message_type) = (self.connector.clone(), peer.to_owned(), message_type.clone());
        Identity { kind, connector, peer, message_type }
    }
}

fn name(identity: Identity) -> RingName {
    let Identity { kind, peer, message_type, .. } = identity;
    match kind {
        Kind::Outbox => RingName::Outbox { peer, message_type },
        Kind::Inbox => RingName::Inbox { message_type },
        Kind::Topic => RingName::Topic { message_type },
    }
}

fn for_core(opened: store::Opened, identity: Identity) -> Opened {
    let store::Opened { memory, checkpoint, epoch, origins, .. } = opened;
    let capacity = memory.bytes().len() as u64;
    let header = Header { generation: 0, epoch, capacity, checkpoint, identity };
    Opened { memory, recovered: Recovered { header, checkpoint, tail_records: origins.len() as u64, origins } }
}
