//! Asking the operator's own program which folder a file goes to.

use std::fmt;
use std::path::PathBuf;

/// What a hook answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Folder {
    /// It has nothing to say, or there is none: the folder of `file_recv_config`.
    AsConfigured,
    /// This one: beneath the configured folder if it is relative, else in its place. Never empty, and without NUL.
    Named(PathBuf),
    /// The file is refused, or the hook has failed: why, for the app.
    Refused(String),
}

/// Whether an answer is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked<T> {
    /// It is.
    Now(T),
    /// It comes later, and the loop is woken then.
    Later,
}

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
