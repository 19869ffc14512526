//! What follows from the config's keys about tokens.

use crate::config::{Config, VerifyPeer};
use crate::core::Tokens;
use crate::net::security::{ClientWay, TokenServers};
use crate::tokens::{ServerFile, TokenError};
use crate::wire::names::Role;

/// How a client with TLS shows itself.
pub(super) fn client_way(config: &Config) -> ClientWay {
    if !config.ssl_allow_all {
        return ClientWay::Certificates(config.client_cafile_verify_server.clone());
    }
    if !config.uses_tokens() {
        return ClientWay::AllowAll;
    }
    let accepts = match config.token_verify_peer_cert.clone() {
        VerifyPeer::No => TokenServers::Anyone,
        VerifyPeer::Yes => TokenServers::Pinned,
        VerifyPeer::CaFile(file) => {
            TokenServers::SignedBy { file, for_host: config.token_client_verify_server_hostname != Some(false) }
        }
    };
    ClientWay::Token { shows_shared: config.token_client_send_cert, accepts }
}

/// What the core is told of tokens.
///
/// # Errors
/// A server's file of tokens cannot be read.
pub(super) fn tokens(config: &Config) -> Result<Tokens, TokenError> {
    Ok(match config.role() {
        Role::Server => {
            let suffices = config.token_server_allow_authorized_non_default_cert;
            Tokens::server(ServerFile::new(&config.tokens_directory_path).load()?, suffices)
        }
        Role::Client => Tokens::client(config.alternate_client_default_cert),
    })
}
