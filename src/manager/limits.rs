//! How much room there is for connections of peers.

use nix::sys::resource::{Resource, getrlimit};

use crate::config::Config;
use crate::core::Limits;

/// Of the files that the process may have open, one in so many is for other things than connections of peers: apps, queues,
/// files on their way.
const FILES_KEPT: u64 = 8;

/// What the config says, as far as the system allows it.
pub(super) fn limits(config: &Config) -> Limits {
    let files = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(files, _)| files - files / FILES_KEPT);
    let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    if files < config.max_connections && config.is_server && config.is_given("max_connections") {
        log::warn!(
            "max_connections is {}, but the system's limit of open files allows {files}",
            config.max_connections
        );
    }
    Limits {
        connections: number(config.max_connections.min(files)),
        per_address: number(config.max_connections_per_address),
        unidentified: number(config.max_unidentified_connections),
        first_message: number(config.max_unidentified_message_size),
    }
}
