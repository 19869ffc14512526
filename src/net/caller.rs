//! Who is at the other end of a Unix socket.

use std::os::fd::AsFd;

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

use crate::core::rules::Caller;
use crate::sys::peer_groups::peer_groups;

/// Who connected to a socket, or listens at it; none if the system does not say.
pub(super) fn caller(socket: &impl AsFd) -> Option<Caller> {
    let found = getsockopt(socket, PeerCredentials).ok()?;
    // Without them rules for groups go by its own group alone.
    let groups = peer_groups(socket).unwrap_or_default();
    Some(Caller { uid: found.uid(), gid: found.gid(), groups, pid: found.pid() })
}
