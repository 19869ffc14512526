//! Asking the operator's own code which folder a file goes to.

use std::fmt;

pub use crate::hooks::{Asked, Folder};

use crate::hooks::TargetDirectory;

/// Who is asked. It never blocks.
pub trait TargetHook: fmt::Debug {
    /// Asks about the message with this header, once for each file.
    fn ask(&mut self, ticket: u64, header: &[u8]) -> Asked<Folder>;

    /// One answer that has come, with its ticket.
    fn answer(&mut self) -> Option<(u64, Folder)>;

    /// The answer is of no use any more.
    fn forget(&mut self, ticket: u64);
}

/// Nobody is asked.
#[derive(Debug, Default)]
pub struct NoHook;

impl TargetHook for NoHook {
    fn ask(&mut self, _: u64, _: &[u8]) -> Asked<Folder> {
        Asked::Now(Folder::AsConfigured)
    }

    fn answer(&mut self) -> Option<(u64, Folder)> {
        None
    }

    fn forget(&mut self, _: u64) {}
}

impl TargetHook for TargetDirectory {
    fn ask(&mut self, ticket: u64, header: &[u8]) -> Asked<Folder> {
        TargetDirectory::ask(self, ticket, header)
    }

    fn answer(&mut self) -> Option<(u64, Folder)> {
        TargetDirectory::answer(self)
    }

    fn forget(&mut self, ticket: u64) {
        TargetDirectory::forget(self, ticket);
    }
}
