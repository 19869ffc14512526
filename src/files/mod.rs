//! Files that messages bring, on the disk: sources are read, targets are written.
//!
//! A target is written to a hidden file in the folder that it goes to, `.aioconnectors-ID.part`, and gets its name when
//! all of it is there, in one step. Its ID follows from the message that brings it, so that it is gone on with after a
//! cut or a crash: `journal` says what is found then. A file whose message is of the first kind of link has an ID by
//! chance, and is removed if it does not become whole.
//!
//! What waits for the disk is done on threads: long files are written (`beside`) and named by them, and what has had its
//! time is removed (`errands`).
//!
//! Pieces that the Python package cuts a file into lie beside their whole, as `.aioconnectors-SET.piece-N`, until the
//! last one is there.
//!
//! The folder of a target is the operator's word up to the first header key in it. What follows, which messages name,
//! lies beneath it: links in that are not followed (`beneath`).

mod background;
mod beneath;
mod beside;
mod disk;
mod errands;
mod error;
pub mod hook;
mod join;
mod journal;
mod names;
mod naming;
mod order;
mod owner;
mod published;
mod receive;
mod source;
mod stale;
mod target;

pub use disk::{DiskFiles, Setup};
pub use order::OwnFolders;

#[cfg(test)]
mod beside_tests;
#[cfg(test)]
mod join_tests;
#[cfg(test)]
mod published_tests;
#[cfg(test)]
mod receive_tests;
#[cfg(test)]
mod refused_tests;
#[cfg(test)]
mod source_tests;
#[cfg(test)]
mod testing;
