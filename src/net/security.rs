//! What protects the links of one connector, and who is at their other end.

use std::fmt;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::CommonState;

use super::session::Session;
use super::tls::{self, ClientTls, Clients, Refusals, ServerTls, Servers, TlsError};
use crate::certs::{self, ClientFolder, Identity, Layout, Pair, Registry, SharedRegistry};
use crate::core::Secured;
use crate::wire::control::NewCertificate;
use crate::wire::link::ALPN;

/// How the links of a connector are protected.
#[derive(Debug)]
pub enum Security {
    /// Not at all.
    Plain,
    /// A server's TLS.
    Server(ServerSecurity),
    /// A client's TLS.
    Client(ClientSecurity),
}

/// A server's TLS.
#[derive(Debug)]
pub struct ServerSecurity {
    tls: ServerTls,
    /// In certificate mode, who may connect.
    registry: Option<SharedRegistry>,
    /// Where the folder of certificates is.
    dir: PathBuf,
    max_certs: usize,
    shown: String,
}

fn in_words(pair: &Pair) -> String {
    format!("the certificate {} ({})", pair.certificate().serial(), pair.certificate().subject())
}

/// A client's TLS. Certificates are read anew for each connection, so that new ones take effect without a restart.
#[derive(Debug)]
pub struct ClientSecurity {
    folder: ClientFolder,
    name: String,
    host: String,
    /// `client_cafile_verify_server`.
    ca_file: Option<PathBuf>,
    /// `ssl_allow_all`: no certificate is shown and none is checked.
    allow_all: bool,
}

/// Why TLS cannot be set up.
#[derive(Debug)]
pub enum SecurityError {
    /// A certificate or key is not as it must be.
    Certificates(certs::Error),
    /// The settings do not work.
    Tls(TlsError),
    /// rustls refuses to begin.
    Begin(rustls::Error),
}

impl fmt::Display for SecurityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecurityError::Certificates(e) => e.fmt(f),
            SecurityError::Tls(e) => e.fmt(f),
            SecurityError::Begin(e) => write!(f, "TLS: {e}"),
        }
    }
}

impl std::error::Error for SecurityError {}

impl From<certs::Error> for SecurityError {
    fn from(e: certs::Error) -> Self {
        SecurityError::Certificates(e)
    }
}

impl From<TlsError> for SecurityError {
    fn from(e: TlsError) -> Self {
        SecurityError::Tls(e)
    }
}

impl From<rustls::Error> for SecurityError {
    fn from(e: rustls::Error) -> Self {
        SecurityError::Begin(e)
    }
}

/// A link that is about to be secured.
#[derive(Debug)]
pub struct Secure {
    /// The session, if there is TLS.
    pub session: Option<Session>,
    /// What is known of a server that gets through the handshake, on a client.
    pub known: Option<Secured>,
    /// Where the reason of a refusal is found.
    pub refusals: Refusals,
    /// The certificate that the peer is shown, in words.
    pub shown: Option<String>,
}

/// Now, in Unix seconds.
fn unix_now() -> i64 {
    // A clock before 1970 makes every certificate one that is not yet valid, which is then said.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}

/// What is offered in the handshake, or taken up. A peer that offers nothing, as those in Python, is taken all the same.
fn protocols() -> Vec<Vec<u8>> {
    vec![ALPN.to_vec()]
}

impl ServerSecurity {
    /// The TLS of a server whose certificates lie in `dir`.
    ///
    /// # Errors
    /// A certificate or key is not as it must be.
    pub fn new(dir: &std::path::Path, allow_all: bool, max_certs: usize) -> Result<Self, SecurityError> {
        let layout = Layout::new(dir);
        let own = Pair::load(&layout.server_certificate(), &layout.server_key(), unix_now())?;
        let registry = if allow_all { None } else { Some(SharedRegistry::new(Registry::open(dir, max_certs)?)) };
        let clients = registry.clone().map_or(Clients::Anyone, Clients::Registered);
        let (tls, shown) = (tls::server_config(&own, clients, protocols())?, in_words(&own));
        Ok(Self { tls, registry, dir: dir.to_owned(), max_certs, shown })
    }
}

impl ClientSecurity {
    /// The TLS of the client `name` whose certificates lie in `dir`.
    ///
    /// # Errors
    /// A certificate or key is not as it must be.
    pub fn new(
        dir: &std::path::Path,
        name: &str,
        host: &str,
        ca_file: Option<PathBuf>,
        allow_all: bool,
    ) -> Result<Self, SecurityError> {
        let security =
            Self { folder: ClientFolder::new(dir), name: name.to_owned(), host: host.to_owned(), ca_file, allow_all };
        // What is wrong now is said now, not at the first connection.
        security.tls()?;
        Ok(security)
    }

    fn tls(&self) -> Result<(ClientTls, Secured, Option<String>), SecurityError> {
        if self.allow_all {
            return Ok((tls::client_config(None, Servers::Anyone, &self.host, protocols())?, Secured::Anonymous, None));
        }
        let own = self.folder.own(&self.name, unix_now())?;
        let has_own = self.folder.has_own(&self.name);
        let servers = match &self.ca_file {
            Some(path) => Servers::SignedBy(path.clone()),
            None => Servers::Pinned(self.folder.pinned_servers()?),
        };
        let secured = if has_own { Secured::Named(self.name.clone()) } else { Secured::Shared };
        Ok((tls::client_config(Some(&own), servers, &self.host, protocols())?, secured, Some(in_words(&own))))
    }
}

impl Security {
    /// What a connection that was accepted or opened begins with.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn begin(&self) -> Result<Secure, SecurityError> {
        match self {
            Security::Plain => Ok(Secure { session: None, known: None, refusals: Refusals::default(), shown: None }),
            Security::Server(server) => {
                let session = Session::server(server.tls.config.clone())?;
                let (refusals, shown) = (server.tls.refusals.clone(), Some(server.shown.clone()));
                Ok(Secure { session: Some(session), known: None, refusals, shown })
            }
            Security::Client(client) => {
                let (tls, known, shown) = client.tls()?;
                let session = Session::client(tls.config, tls.server_name)?;
                Ok(Secure { session: Some(session), known: Some(known), refusals: tls.refusals, shown })
            }
        }
    }

    /// Who the client at the other end of a secured connection is.
    ///
    /// # Errors
    /// Nobody who may connect. The handshake let its certificate through, so the folder changed in between.
    pub fn identify(&self, state: &CommonState) -> Result<Secured, String> {
        let Security::Server(ServerSecurity { registry: Some(registry), .. }) = self else {
            return Ok(Secured::Anonymous);
        };
        let certificate = tls::peer_certificate(state).map_or(&[][..], |c| c.as_ref());
        match registry.identify(certificate) {
            Identity::Named { name, .. } => Ok(Secured::Named(name)),
            Identity::Default { .. } => Ok(Secured::Shared),
            Identity::Unknown(stranger) => Err(stranger.to_string()),
        }
    }

    /// Makes a certificate for a client.
    ///
    /// # Errors
    /// Why not.
    pub fn issue(&self, name: &str) -> Result<NewCertificate, String> {
        let Security::Server(ServerSecurity { registry: Some(registry), .. }) = self else {
            return Err("this connector issues no certificates".to_owned());
        };
        let issued = registry.issue(name).map_err(|e| e.to_string())?;
        Ok(NewCertificate { certificate_pem: issued.certificate_pem, key_pem: issued.key_pem })
    }

    /// Takes the certificate of a client back; its serial numbers. With `only_link` its files stay.
    ///
    /// # Errors
    /// Why not.
    pub fn delete(&self, client: &str, only_link: bool) -> Result<Vec<String>, String> {
        let deleted = match self {
            Security::Server(ServerSecurity { registry: Some(registry), .. }) => registry.delete(client, only_link),
            // Certificates play no part in who comes in, but the folder may be another server's as well.
            Security::Server(server) => Registry::open(&server.dir, server.max_certs)
                .and_then(|mut registry| registry.delete(client, only_link)),
            _ => return Err("this connector has issued no certificates".to_owned()),
        };
        deleted.map_err(|e| e.to_string())
    }

    /// Deletes this client's own certificate.
    ///
    /// # Errors
    /// Why not.
    pub fn delete_own(&self) -> Result<(), String> {
        let Security::Client(client) = self else { return Err("this connector shows no certificate".to_owned()) };
        client.folder.delete(&client.name).map(drop).map_err(|e| e.to_string())
    }

    /// Keeps the certificate that the server issued.
    ///
    /// # Errors
    /// Why not.
    pub fn store(&self, new: &NewCertificate) -> Result<(), String> {
        let Security::Client(client) = self else { return Err("this connector asks for no certificates".to_owned()) };
        let stored = client.folder.store(&client.name, &new.certificate_pem, &new.key_pem, unix_now());
        stored.map_err(|e| e.to_string())
    }
}
