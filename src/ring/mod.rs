//! The queue: records in contiguous memory, bounded, with a place for what was sent and is not yet done with.

pub mod layout;
pub mod memory;
#[expect(clippy::module_inception, reason = "the queue itself, beside its layout and its memory")]
pub mod ring;

pub use memory::{Heap, Memory};
pub use ring::{Full, Ring};
