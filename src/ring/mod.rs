//! The queue: records in contiguous memory, bounded, with a place for what was sent and is not yet done with. The
//! memory is the process's own, or outlasts it.

pub mod header;
pub mod memory;
mod older;
mod persist;
pub mod recover;
#[expect(clippy::module_inception, reason = "the queue itself, beside its memory and what is kept of it")]
pub mod ring;
pub mod shared;
mod walk;

pub use memory::{Checkpoint, Durable, Memory};
pub use ring::{Damaged, PushError, Ring, Skipped, Sums};
pub use shared::{Reader, Shared};
pub use walk::Gone;

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod ring_tests;
#[cfg(test)]
mod shared_tests;
#[cfg(test)]
mod testing;
