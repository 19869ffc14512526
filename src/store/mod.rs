//! The spool: queues on disk.
//!
//! ```text
//! connector_files_dirpath/spool_ROLE_UID/    mode 0700
//!     lock                     locked by the connector that works with the folder; its process number
//!     places                   the table of places: who had which messages
//!     send_PEER_TYPE.ring      the messages of a type towards a peer
//!     recv_TYPE.ring           the received messages of a type
//!     NAME.ring.bad-N          a file that was found damaged, or a copy of it
//!     NAME.ring.bad-N.repaired one of these, when what could be read of it was put into a ring
//! ```
//! A ring's file begins with two header pages (see [`crate::ring::header`]), then come its records. What is found when
//! one is opened, and what is done about it, is the table in [`crate::ring::recover`].
//!
//! [`Spool`] opens rings for a connector, [`inspect`] looks at a folder without touching it, [`repair`] gets
//! messages out of damaged files.

pub mod aside;
pub mod error;
mod file;
pub mod inspect;
mod lock;
mod names;
mod places;
pub mod repair;
mod ring_file;
pub mod spool;
mod syncs;
mod walk;
mod window;

pub use error::StoreError;
pub use spool::{Existing, Opened, PutAside, Spool, name_of};
pub use syncs::Syncs;

#[cfg(test)]
mod testing;
