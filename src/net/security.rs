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
    /// Who may connect, where certificates are asked for.
    registry: Option<SharedRegistry>,
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
    way: ClientWay,
}

/// How a client shows itself, and which servers it accepts.
#[derive(Clone, Debug)]
pub enum ClientWay {
    /// It shows its own certificate, or the shared one to get its own; it accepts a server that it pins, or one that a CA
    /// in this file vouches for (`client_cafile_verify_server`).
    Certificates(Option<PathBuf>),
    /// It shows no certificate, and accepts every server (`ssl_allow_all`).
    AllowAll,
    /// It is known by a token (`use_token`).
    Token {
        /// It shows the certificate that new clients share.
        shows_shared: bool,
        /// The servers that it accepts.
        accepts: TokenServers,
    },
}

/// Which servers a client shows its token to.
#[derive(Clone, Debug)]
pub enum TokenServers {
    /// Every one.
    Anyone,
    /// Those that it pins.
    Pinned,
    /// Those that a CA in a file vouches for.
    SignedBy {
        /// The file.
        file: PathBuf,
        /// For the host that was connected to.
        for_host: bool,
    },
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
    /// The TLS of a server whose certificates lie in `dir`; with `anyone` it asks clients for none.
    ///
    /// # Errors
    /// A certificate or key is not as it must be.
    pub fn new(dir: &std::path::Path, anyone: bool, max_certs: usize) -> Result<Self, SecurityError> {
        let layout = Layout::new(dir);
        let own = Pair::load(&layout.server_certificate(), &layout.server_key(), unix_now())?;
        let registry = if anyone { None } else { Some(SharedRegistry::new(Registry::open(dir, max_certs)?)) };
        let clients = registry.clone().map_or(Clients::Anyone, Clients::Registered);
        Ok(Self { tls: tls::server_config(&own, clients, protocols())?, registry, shown: in_words(&own) })
    }
}

impl ClientSecurity {
    /// The TLS of the client `name` whose certificates lie in `dir`.
    ///
    /// # Errors
    /// A certificate or key is not as it must be.
    pub fn new(dir: &std::path::Path, name: &str, host: &str, way: ClientWay) -> Result<Self, SecurityError> {
        let security = Self { folder: ClientFolder::new(dir), name: name.to_owned(), host: host.to_owned(), way };
        // What is wrong now is said now, not at the first connection.
        security.tls()?;
        Ok(security)
    }

    fn tls(&self) -> Result<(ClientTls, Secured, Option<String>), SecurityError> {
        let ca_file = match &self.way {
            ClientWay::Certificates(ca_file) => ca_file,
            ClientWay::AllowAll => return self.without_name(false, Servers::Anyone),
            ClientWay::Token { shows_shared, accepts } => {
                let servers = match accepts.clone() {
                    TokenServers::Anyone => Servers::Anyone,
                    TokenServers::Pinned => Servers::Pinned(self.folder.pinned_servers()?),
                    TokenServers::SignedBy { file, for_host: true } => Servers::SignedBy(file),
                    TokenServers::SignedBy { file, for_host: false } => Servers::SignedForAnyHost(file),
                };
                return self.without_name(*shows_shared, servers);
            }
        };
        let own = self.folder.own(&self.name, unix_now())?;
        let has_own = self.folder.has_own(&self.name);
        let servers = match ca_file {
            Some(path) => Servers::SignedBy(path.clone()),
            None => Servers::Pinned(self.folder.pinned_servers()?),
        };
        let secured = if has_own { Secured::Named(self.name.clone()) } else { Secured::Shared };
        Ok((tls::client_config(Some(&own), servers, &self.host, protocols())?, secured, Some(in_words(&own))))
    }

    /// The TLS of a client whose certificate, if it shows one, does not say who it is.
    fn without_name(
        &self,
        shows_shared: bool,
        servers: Servers,
    ) -> Result<(ClientTls, Secured, Option<String>), SecurityError> {
        let shared = if shows_shared { Some(self.folder.shared(unix_now())?) } else { None };
        let tls = tls::client_config(shared.as_ref(), servers, &self.host, protocols())?;
        Ok((tls, Secured::Anonymous, shared.as_ref().map(in_words)))
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
