//! Decisions: what becomes of every connection and message.
//!
//! [`Connector`] owns all of it. Nothing here does I/O, reads a clock or draws a random number: bytes, times and a seed
//! come in as arguments, bytes and [`Output`]s come out. So whole networks of connectors run inside one test.

mod admin;
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
pub mod invitations;
pub mod ledger;
pub mod limits;
mod link;
mod link2;
mod outbox;
mod peer;
mod places;
pub mod priority;
mod publish;
mod receipts;
mod records_out;
mod report;
mod requests;
pub mod settings;
mod slots;
mod status;
mod stop;
mod subscriber;
pub mod subscriptions;
mod timers;
mod token_event;
mod token_link;
pub mod tokens;
mod topic_room;
mod topics;
mod transmit;

pub use connector::{Connector, Reading};
pub use durable::{Opened, RingName};
pub use event::{Cause, Concern, Event, Output, Secured};
pub use file_link::FileTrouble;
pub use gate::{Gate, Gates, Question};
pub use invitations::{Invitation, Invitations};
pub use limits::Limits;
pub use settings::{Covered, KeepAlive, Mode, OnFull, Settings, Sync};
pub use slots::Id;
pub use status::{InboxStatus, PeerStatus, Status};
pub use token_event::TokenEvent;
pub use token_link::{TokenWork, Tokens};
pub use tokens::TokenTable;
