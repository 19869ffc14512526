//! What a config says of TLS and certificates.

use crate::certs::Issuing;
use crate::config::Config;
use crate::net::security::{ClientSecurity, ClientSetup, Security, SecurityError, ServerSecurity, ServerSetup};
use crate::wire::names::Role;

/// How the links of a connector are protected.
pub(super) fn security(config: &Config) -> Result<Security, SecurityError> {
    if !config.use_ssl {
        return Ok(Security::Plain);
    }
    let (dir, allow_all) = (config.certificates_directory_path.clone(), config.ssl_allow_all);
    match config.role() {
        Role::Server => {
            let max_certs = usize::try_from(config.max_certs).unwrap_or(usize::MAX);
            let signed = Issuing::Signed { copies: !config.server_ca_certs_not_stored };
            let issuing = if config.server_ca { signed } else { Issuing::SelfSigned };
            Ok(Security::Server(ServerSecurity::new(ServerSetup { dir, allow_all, max_certs, issuing })?))
        }
        Role::Client => Ok(Security::Client(ClientSecurity::new(ClientSetup {
            dir,
            name: config.id(),
            host: config.server_sockaddr.host.clone(),
            ca_file: config.client_cafile_verify_server.clone(),
            allow_all,
            alternates: config.alternate_client_default_cert,
        })?)),
    }
}
