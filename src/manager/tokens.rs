//! What follows from the config's keys about tokens.

use crate::config::{Config, Enrollment, VerifyPeer};
use crate::core::{Connector, Tokens};
use crate::hooks::{Hooks, Runner};
use crate::net::security::{ClientWay, TokenServers};
use crate::net::tokens::ActiveTokens;
use crate::tokens::{InvitationsFile, ServerFile, TokenError};
use crate::wire::names::Role;

/// How a client with TLS shows itself.
pub(crate) fn client_way(config: &Config) -> ClientWay {
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

/// Tells the core what it must know of tokens.
///
/// # Errors
/// A server's file of tokens cannot be read.
pub(super) fn set_tokens(connector: &mut Connector, config: &Config) -> Result<(), TokenError> {
    let dir = &config.tokens_directory_path;
    if config.is_server && config.enrollment == Enrollment::Token {
        connector.require_invitations(InvitationsFile::new(dir).load()?);
    }
    if config.uses_tokens() {
        connector.set_tokens(match config.role() {
            Role::Server => {
                let suffices = config.token_server_allow_authorized_non_default_cert;
                Tokens::server(ServerFile::new(dir).load()?, suffices)
            }
            Role::Client => Tokens::client(config.alternate_client_default_cert),
        });
    }
    Ok(())
}

/// The files of tokens, and the hooks for them.
pub(super) fn active_tokens(config: &Config, hooks: &Hooks, runner: &Runner) -> ActiveTokens {
    let invitation = config.enrollment_token_path.clone().filter(|_| !config.is_server);
    ActiveTokens::new(&config.tokens_directory_path, &config.id(), invitation, hooks, runner)
}
