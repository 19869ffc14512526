//! The apps: they blast ready-made messages in at one side and count what comes out at the other, in the words of what
//! carries them. Their own cost is small, and shown.

mod block;
mod connection;
mod sink;
mod source;
mod speech;

use std::time::Duration;

pub use block::Number;
pub use connection::{Connection, Place};
pub use sink::{Counted, Expected, Sink};
pub use source::Source;
pub use speech::{Heard, Speech};

/// Without a message for so long, the rest is lost.
pub const PATIENCE: Duration = Duration::from_secs(10);
