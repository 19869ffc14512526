//! Longer words for what the operator is told.

use std::fmt;

use super::durable::RingName;
use super::event::printable;
use super::file_link::{FILE_AGAIN, FileTrouble};

pub(super) fn told_of_ended_subscriptions(f: &mut fmt::Formatter<'_>, peer: &str, count: usize) -> fmt::Result {
    let (plural, them) = if count == 1 { ("", "it") } else { ("s", "them") };
    let peer = printable(peer);
    write!(f, "{count} subscription{plural} of {peer} ended: what is published is not kept for {them} any more")
}

pub(super) fn told_of_damage(
    f: &mut fmt::Formatter<'_>,
    name: &RingName,
    kept: &Result<String, String>,
    n: u64,
) -> fmt::Result {
    write!(f, "{name} are damaged: {n} cannot be read")?;
    match kept {
        Ok(copy) => write!(f, "; all is kept as it is in {copy}"),
        Err(why) => write!(f, ", and no copy could be made: {why}"),
    }
}

pub(super) fn told_of_set_back(f: &mut fmt::Formatter<'_>, peer: &str, message_type: &str) -> fmt::Result {
    write!(
        f,
        "peer {peer} remembers messages of type {message_type:?} that are not known here: was this connector's folder \
         restored from a backup? What is stored is sent again, some of it for the second time"
    )
}

/// What becomes of messages whose queue on disk fails.
pub(super) fn while_not_kept(name: &RingName) -> &'static str {
    match name {
        RingName::Outbox { .. } => "what cannot be stored is refused",
        RingName::Topic { .. } => "what is published waits or is refused",
        RingName::Inbox { .. } => "what comes waits with its sender, if that can wait",
    }
}

pub(super) fn told_of_file(
    f: &mut fmt::Formatter<'_>,
    peer: &str,
    file: &str,
    trouble: &FileTrouble,
    why: &str,
) -> fmt::Result {
    match trouble {
        FileTrouble::NotSent => write!(f, "file {file} is not sent to {peer}: {why}; its message goes without it"),
        FileTrouble::NotTaken => write!(f, "file {file} is not taken by {peer}: {why}; it is kept here"),
        FileTrouble::Refused => write!(f, "file {file} of {peer} is refused: {why}; its message comes without it"),
        FileTrouble::Waits => {
            let every = FILE_AGAIN.as_secs();
            write!(f, "file {file}, of or for {peer}, waits: {why}; it is tried again every {every} s")
        }
        FileTrouble::Stays => write!(f, "file {file}, which {peer} has, cannot be removed: {why}"),
    }
}
