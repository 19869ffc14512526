//! What a config says of the sockets where links and apps come in.

use crate::config::{Address, Config};
use crate::net::doors::Places;

/// Where they are.
pub(super) fn places(config: &Config) -> Places {
    let Address { host, port } = config.server_sockaddr.first.clone();
    Places {
        links: config.is_server.then_some((host, port)),
        share: config.reuse_server_sockaddr,
        apps: config.socket_paths().send(),
        mode: if config.everybody_can_send_messages { 0o777 } else { 0o770 },
        reuse: config.reuse_uds_path_send_to_connector,
    }
}
