//! TLS between connectors: what rustls is told.
//!
//! The provider is given explicitly, so that an app which embeds a connector keeps its own default. Certificates are
//! handed to rustls ready-made: its own way of loading them refuses X.509 version 1, which is what Python connectors
//! have. Versions 1.2 and 1.3, whatever `server_secure_tls` says: rustls knows none below.
//!
//! There are no tickets and no sessions to resume, on either side. A resumed session would carry an identity from a
//! handshake of before the folder of certificates changed.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::NoServerSessionStorage;
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, CommonState, RootCertStore, ServerConfig, SignatureScheme, SupportedProtocolVersion, client, server,
};

use super::aes_gcm;
use super::tls_verify::{ClientVerifier, ServerVerifier, ServersAccepted};
use crate::certs::{self, Certificate, Pair, SharedRegistry};

pub use super::tls_verify::{Reason, Refusals, Refused};

/// Newest first.
const VERSIONS: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

/// Which clients a server accepts.
#[derive(Clone, Debug)]
pub enum Clients {
    /// Everyone; no certificate is asked for (`ssl_allow_all`).
    Anyone,
    /// Those whose certificate the registry knows, at the moment of the handshake.
    Registered(SharedRegistry),
}

/// Which servers a client accepts.
#[derive(Clone, Debug)]
pub enum Servers {
    /// Everyone (`ssl_allow_all`).
    Anyone,
    /// Those that show one of these very certificates. Host names play no part.
    Pinned(Vec<Certificate>),
    /// Those whose certificate a CA in this PEM file signed (or that is in it itself) for the host's name.
    SignedBy(PathBuf),
    /// The same for a host of any name.
    SignedForAnyHost(PathBuf),
}

/// What a server needs for its connections.
#[derive(Clone, Debug)]
pub struct ServerTls {
    /// For [`rustls::ServerConnection::new`].
    pub config: Arc<ServerConfig>,
    /// Why the last handshake failed, if it was for the peer's certificate.
    pub refusals: Refusals,
}

/// What a client needs for its connection.
#[derive(Clone, Debug)]
pub struct ClientTls {
    /// For [`rustls::ClientConnection::new`].
    pub config: Arc<ClientConfig>,
    /// The same. It is sent to the server (SNI) if it is a name; an address is not.
    pub server_name: ServerName<'static>,
    /// Why the handshake failed, if it was for the peer's certificate.
    pub refusals: Refusals,
}

/// Why TLS cannot be set up.
#[derive(Debug)]
pub enum TlsError {
    /// The file of CA certificates cannot be read.
    CaFile(certs::Error),
    /// The file of CA certificates has none that can be used.
    NoCa {
        /// The file.
        path: PathBuf,
        /// How many certificates it holds.
        found: usize,
    },
    /// The server's name cannot be checked against a certificate.
    HostName {
        /// The name, from `server_sockaddr`.
        host: String,
    },
    /// rustls refuses the settings.
    Settings(String),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsError::CaFile(e) => write!(f, "{e}"),
            TlsError::NoCa { path, found } => {
                write!(f, "{} holds {found} certificates, and none of a CA that can be used", path.display())
            }
            TlsError::HostName { host } => {
                write!(f, "a certificate cannot be checked for {host:?}, which is no host name and no IP address")
            }
            TlsError::Settings(e) => write!(f, "TLS cannot be set up: {e}"),
        }
    }
}

impl std::error::Error for TlsError {}

/// The settings of a server that shows `own`. `alpn`: protocols that it speaks, the preferred first; may be empty.
///
/// # Errors
/// rustls refuses the settings.
pub fn server_config(own: &Pair, clients: Clients, alpn: Vec<Vec<u8>>) -> Result<ServerTls, TlsError> {
    server_config_for((VERSIONS, provider()), own, clients, alpn)
}

fn server_config_for(
    (versions, provider): (&[&'static SupportedProtocolVersion], CryptoProvider),
    own: &Pair,
    clients: Clients,
    alpn: Vec<Vec<u8>>,
) -> Result<ServerTls, TlsError> {
    let provider = Arc::new(provider);
    let algorithms = provider.signature_verification_algorithms;
    let refusals = Refusals::default();
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(|e| TlsError::Settings(e.to_string()))?;
    let builder = match clients {
        Clients::Anyone => builder.with_no_client_auth(),
        Clients::Registered(registry) => {
            builder.with_client_cert_verifier(Arc::new(ClientVerifier::new(registry, algorithms, refusals.clone())))
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(Shown(own.certified_key())));
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = alpn;
    Ok(ServerTls { config: Arc::new(config), refusals })
}

/// The settings of a client that shows `own` (no certificate if there is none) to the server at `host`. `alpn`:
/// protocols that it offers, the preferred first; may be empty.
///
/// # Errors
/// With [`Servers::SignedBy`], the file is of no use or `host` cannot be checked; or rustls refuses the settings.
pub fn client_config(
    own: Option<&Pair>,
    servers: Servers,
    host: &str,
    alpn: Vec<Vec<u8>>,
) -> Result<ClientTls, TlsError> {
    client_config_for((VERSIONS, provider()), own, servers, host, alpn)
}

pub(super) fn client_config_for(
    (versions, provider): (&[&'static SupportedProtocolVersion], CryptoProvider),
    own: Option<&Pair>,
    servers: Servers,
    host: &str,
    alpn: Vec<Vec<u8>>,
) -> Result<ClientTls, TlsError> {
    let provider = Arc::new(provider);
    let algorithms = provider.signature_verification_algorithms;
    let refusals = Refusals::default();
    let server_name = server_name(host, &servers)?;
    let accepted = accepted(servers, &provider)?;
    let verifier = Arc::new(ServerVerifier::new(accepted, algorithms, refusals.clone()));
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(|e| TlsError::Settings(e.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match own {
        Some(pair) => builder.with_client_cert_resolver(Arc::new(Shown(pair.certified_key()))),
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::disabled();
    config.alpn_protocols = alpn;
    Ok(ClientTls { config: Arc::new(config), server_name, refusals })
}

/// The certificate that the peer showed, once the handshake is done.
#[must_use]
pub fn peer_certificate(connection: &CommonState) -> Option<&CertificateDer<'static>> {
    connection.peer_certificates()?.first()
}

/// One line on why a connection failed, for a log: the facts of a refused certificate if there are any.
#[must_use]
pub fn explain(error: &rustls::Error, refusals: &Refusals) -> String {
    match (error, refusals.take()) {
        (rustls::Error::InvalidCertificate(_) | rustls::Error::PeerMisbehaved(_), Some(refused)) => {
            format!("TLS: {refused}")
        }
        (rustls::Error::AlertReceived(alert), _) => format!("TLS: the peer refused the connection: {alert:?}"),
        (rustls::Error::NoCertificatesPresented, _) => "TLS: the peer showed no certificate".to_owned(),
        (rustls::Error::InvalidMessage(_), _) => format!("TLS: {error}; does the other side use TLS (use_ssl)?"),
        (other, _) => format!("TLS: {other}"),
    }
}

/// What links over TLS are sealed and opened with.
#[must_use]
pub fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    aes_gcm::choose(&mut provider);
    provider
}

fn server_name(host: &str, servers: &Servers) -> Result<ServerName<'static>, TlsError> {
    match ServerName::try_from(host.to_owned()) {
        Ok(name) => Ok(name),
        Err(_) if matches!(servers, Servers::SignedBy(_)) => Err(TlsError::HostName { host: host.to_owned() }),
        // As good as any: it is not checked, and an address is not sent.
        Err(_) => Ok(ServerName::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED))),
    }
}

fn accepted(servers: Servers, provider: &Arc<CryptoProvider>) -> Result<ServersAccepted, TlsError> {
    Ok(match servers {
        Servers::Anyone => ServersAccepted::Anyone,
        Servers::Pinned(certificates) => ServersAccepted::Pinned(certificates),
        Servers::SignedBy(path) => signed_by(&path, true, provider)?,
        Servers::SignedForAnyHost(path) => signed_by(&path, false, provider)?,
    })
}

fn signed_by(path: &Path, for_host: bool, provider: &Arc<CryptoProvider>) -> Result<ServersAccepted, TlsError> {
    let listed = certs::pair::load_ders(path).map_err(TlsError::CaFile)?;
    let mut roots = RootCertStore::empty();
    // A bundle of hundreds may well hold one that is too old or too new to be read.
    roots.add_parsable_certificates(listed.iter().cloned());
    let found = listed.len();
    let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|_| TlsError::NoCa { path: path.to_owned(), found })?;
    Ok(ServersAccepted::SignedBy { chains, listed, for_host })
}

/// Shows the one certificate that there is, whatever the peer would like.
#[derive(Debug)]
struct Shown(Arc<CertifiedKey>);

impl server::ResolvesServerCert for Shown {
    fn resolve(&self, _hello: server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

impl client::ResolvesClientCert for Shown {
    fn resolve(&self, _issuers: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
