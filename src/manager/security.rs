//! What a config says of TLS and certificates.

use super::tokens::client_way;
use crate::certs::Issuing;
use crate::config::{Config, VerifyPeer};
use crate::net::security::{ClientSecurity, ClientSetup, Security, SecurityError, ServerSecurity, ServerSetup};
use crate::wire::names::Role;

/// How the links of a connector are protected.
pub(super) fn security(config: &Config) -> Result<Security, SecurityError> {
    if !config.use_ssl {
        return Ok(Security::Plain);
    }
    let dir = config.certificates_directory_path.clone();
    match config.role() {
        Role::Server => {
            let max_certs = usize::try_from(config.max_certs).unwrap_or(usize::MAX);
            let signed = Issuing::Signed { copies: !config.server_ca_certs_not_stored };
            let issuing = if config.server_ca { signed } else { Issuing::SelfSigned };
            let verifies = config.uses_tokens() && config.token_verify_peer_cert != VerifyPeer::No;
            let anyone = config.ssl_allow_all && !verifies;
            Ok(Security::Server(ServerSecurity::new(ServerSetup { dir, anyone, max_certs, issuing })?))
        }
        Role::Client => Ok(Security::Client(ClientSecurity::new(ClientSetup {
            dir,
            name: config.id(),
            hosts: config.server_sockaddr.iter().map(|address| address.host.clone()).collect(),
            way: client_way(config),
            alternates: config.alternate_client_default_cert,
        })?)),
    }
}
