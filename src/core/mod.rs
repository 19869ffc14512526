//! Decisions: what becomes of every connection and message.
//!
//! [`Connector`] owns all of it. Nothing here does I/O, reads a clock or draws a random number: bytes, times and a seed
//! come in as arguments, bytes and [`Output`]s come out. So whole networks of connectors run inside one test.

pub mod access;
mod admin;
mod admin_access;
mod admission;
mod app;
pub mod backoff;
mod confirm;
mod conn;
mod connector;
mod delivery;
mod durable;
mod enrolment;
mod event;
mod feed;
mod file_in;
mod file_lane;
mod file_link;
mod file_out;
mod file_window;
pub mod files;
mod for_app;
mod frame_in;
mod frame_out;
mod gate;
mod invariants;
pub mod ledger;
mod link;
mod link2;
mod outbox;
mod peer;
mod places;
pub mod priority;
mod publish;
mod receipts;
mod records_out;
mod requests;
pub mod rules;
pub mod settings;
mod slots;
mod status;
mod stop;
mod subscriber;
pub mod subscriptions;
mod timers;
mod topic_room;
mod topics;
mod transmit;

pub use access::Access;
pub use admin_access::KeyChange;
pub use connector::{Connector, Reading};
pub use durable::{Opened, RingName};
pub use event::{Cause, Concern, Event, Output, Secured};
pub use file_link::FileTrouble;
pub use gate::{Gate, Gates, Question};
pub use settings::{Covered, KeepAlive, Mode, OnFull, Settings, Sync};
pub use slots::Id;
pub use status::{InboxStatus, PeerStatus, Status};
