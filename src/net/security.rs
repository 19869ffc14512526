//! What protects the links of one connector, and who is at their other end.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::CommonState;

use super::expiry::Expiry;
use super::session::Session;
use super::tls::{self, ClientTls, Clients, Refusals, ServerTls, Servers, TlsError};
use crate::certs::{
    self, Certificate, ClientFolder, Identity, Issued, Issuing, Layout, Pair, Registry, SharedRegistry, WatchedPair,
};
use crate::core::{IssuedCertificate, Secured};
use crate::logger::AUDIT;
use crate::wire::control::{NewCertificate, Offer};
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
    pub(super) own: RefCell<Own>,
    /// In certificate mode, who may connect.
    pub(super) registry: Option<SharedRegistry>,
    pub(super) setup: ServerSetup,
    pub(super) expiry: RefCell<Expiry>,
    /// When the certificates of all clients are looked at next, in Unix seconds.
    pub(super) clients_at: Cell<i64>,
}

/// What a server shows, and the settings with it.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) pair: WatchedPair,
    tls: ServerTls,
}

/// What the config of a server says of its certificates.
#[derive(Clone, Debug)]
pub struct ServerSetup {
    /// `certificates_directory_path`.
    pub dir: PathBuf,
    /// Clients are asked for no certificate.
    pub anyone: bool,
    /// Clients that get a certificate.
    pub max_certs: usize,
    /// How their certificates are made.
    pub issuing: Issuing,
}

impl ServerSetup {
    fn registry(&self) -> Result<Registry, certs::Error> {
        Registry::open(&self.dir, self.max_certs)?.with_issuing(self.issuing)
    }
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

impl ClientWay {
    /// It has no certificate of its own.
    pub(super) fn is_without_certificate(&self) -> bool {
        !matches!(self, ClientWay::Certificates(_))
    }

    /// The servers that it accepts, by its folder as it is now.
    ///
    /// # Errors
    /// It pins servers, and their file cannot be used.
    pub fn servers(&self, folder: &ClientFolder) -> Result<Servers, certs::Error> {
        let accepts = match self {
            ClientWay::Certificates(Some(file)) => return Ok(Servers::SignedBy(file.clone())),
            ClientWay::Certificates(None) => return folder.pinned_servers().map(Servers::Pinned),
            ClientWay::AllowAll => return Ok(Servers::Anyone),
            ClientWay::Token { accepts, .. } => accepts.clone(),
        };
        Ok(match accepts {
            TokenServers::Anyone => Servers::Anyone,
            TokenServers::Pinned => Servers::Pinned(folder.pinned_servers()?),
            TokenServers::SignedBy { file, for_host: true } => Servers::SignedBy(file),
            TokenServers::SignedBy { file, for_host: false } => Servers::SignedForAnyHost(file),
        })
    }
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

/// What the config of a client says of its certificates.
#[derive(Clone, Debug)]
pub struct ClientSetup {
    /// `certificates_directory_path`.
    pub dir: PathBuf,
    /// Its name.
    pub name: String,
    /// The hosts of its server's addresses.
    pub hosts: Vec<String>,
    /// How it shows itself.
    pub way: ClientWay,
    /// `alternate_client_default_cert`.
    pub alternates: bool,
}

fn in_words(pair: &Pair) -> String {
    format!("the certificate {} ({})", pair.certificate().serial(), pair.certificate().subject())
}

/// A client's TLS. Certificates are read anew for each connection, so that new ones take effect without a restart.
#[derive(Debug)]
pub struct ClientSecurity {
    pub(super) folder: ClientFolder,
    pub(super) setup: ClientSetup,
    pub(super) expiry: RefCell<Expiry>,
    /// The certificate of its own that was shown last, if it was that.
    last: RefCell<Option<Pair>>,
    turns: Turns,
}

/// What became of the last connection, for `alternate_client_default_cert`.
#[derive(Debug, Default)]
struct Turns {
    /// It was open.
    opened: Cell<bool>,
    /// It became a link.
    up: Cell<bool>,
    /// The shared certificate was shown out of turn.
    shared: Cell<bool>,
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
pub(super) fn unix_now() -> i64 {
    // A clock before 1970 makes every certificate one that is not yet valid, which is then said.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}

/// What is offered in the handshake, or taken up. A peer that offers nothing, as those in Python, is taken all the same.
fn protocols() -> Vec<Vec<u8>> {
    vec![ALPN.to_vec()]
}

fn server_tls(own: &WatchedPair, registry: Option<&SharedRegistry>) -> Result<ServerTls, TlsError> {
    let clients = registry.cloned().map_or(Clients::Anyone, Clients::Registered);
    tls::server_config(own.pair(), clients, protocols())
}

impl ServerSecurity {
    /// The TLS of a server.
    ///
    /// # Errors
    /// A certificate or key is not as it must be.
    pub fn new(setup: ServerSetup) -> Result<Self, SecurityError> {
        let layout = Layout::new(&setup.dir);
        let pair = WatchedPair::open(layout.server_certificate(), layout.server_key(), unix_now())?;
        let registry = if setup.anyone { None } else { Some(SharedRegistry::new(setup.registry()?)) };
        let tls = server_tls(&pair, registry.as_ref())?;
        Ok(Self {
            own: RefCell::new(Own { pair, tls }),
            registry,
            setup,
            expiry: RefCell::default(),
            clients_at: Cell::default(),
        })
    }

    /// The settings for the next connection: with another certificate, if there is one now.
    fn tls(&self) -> Result<(ServerTls, String), SecurityError> {
        let mut own = self.own.borrow_mut();
        if own.pair.refresh(unix_now()) {
            own.tls = server_tls(&own.pair, self.registry.as_ref())?;
        }
        Ok((own.tls.clone(), in_words(own.pair.pair())))
    }
}

impl ClientSecurity {
    /// The TLS of a client.
    ///
    /// # Errors
    /// A certificate or key is not as it must be.
    pub fn new(setup: ClientSetup) -> Result<Self, SecurityError> {
        let (folder, expiry, last) = (ClientFolder::new(&setup.dir), RefCell::default(), RefCell::default());
        let security = Self { folder, setup, expiry, last, turns: Turns::default() };
        // What is wrong now is said now, not at the first connection.
        for host in &security.setup.hosts {
            security.tls(host, false)?;
        }
        Ok(security)
    }

    /// For a connection to `host`. With `shared`, the certificate that new clients share is shown though there is an own
    /// one.
    fn tls(&self, host: &str, shared: bool) -> Result<(ClientTls, Secured, Option<String>), SecurityError> {
        let ClientSetup { name, way, .. } = &self.setup;
        match way {
            ClientWay::Certificates(_) => {}
            ClientWay::AllowAll => return self.without_name(host, false, way.servers(&self.folder)?),
            ClientWay::Token { shows_shared, .. } => {
                return self.without_name(host, *shows_shared, way.servers(&self.folder)?);
            }
        }
        let now = unix_now();
        let own = if shared { self.folder.shared(now)? } else { self.own(now)? };
        let is_own = !shared && self.folder.has_own(name);
        let servers = way.servers(&self.folder)?;
        let secured = if is_own { Secured::Named(name.clone()) } else { Secured::Shared };
        Ok((tls::client_config(Some(&own), servers, host, protocols())?, secured, Some(in_words(&own))))
    }

    /// The TLS of a client whose certificate, if it shows one, does not say who it is.
    fn without_name(
        &self,
        host: &str,
        shows_shared: bool,
        servers: Servers,
    ) -> Result<(ClientTls, Secured, Option<String>), SecurityError> {
        let shared = if shows_shared { Some(self.folder.shared(unix_now())?) } else { None };
        let tls = tls::client_config(shared.as_ref(), servers, host, protocols())?;
        Ok((tls, Secured::Anonymous, shared.as_ref().map(in_words)))
    }

    /// The certificate of this client, or the shared one as long as it has none. If its files cannot be used any more,
    /// because half of them was replaced, it stays with what it had.
    fn own(&self, now: i64) -> Result<Pair, certs::Error> {
        let (name, mut last) = (&self.setup.name, self.last.borrow_mut());
        let (loaded, has_own) = (self.folder.own(name, now), self.folder.has_own(name));
        match (loaded, last.take()) {
            (Err(e), Some(pair)) if has_own => {
                let serial = pair.certificate().serial();
                log::warn!(target: AUDIT, "the certificate {serial} stays in use, those that came cannot be: {e}");
                *last = Some(pair.clone());
                Ok(pair)
            }
            (loaded, _) => {
                *last = loaded.as_ref().ok().filter(|_| has_own).cloned();
                loaded
            }
        }
    }

    /// The serial number of this client's own certificate.
    fn own_serial(&self) -> Option<String> {
        self.folder.own_certificate(&self.setup.name).ok().map(|certificate| certificate.serial().to_owned())
    }

    /// Whether it is the shared certificate's turn: the own one was shown last, and did not lead to a link.
    fn is_turn_of_shared(&self) -> bool {
        let refused = self.turns.opened.replace(false) && !self.turns.up.replace(false);
        let shared = self.setup.alternates && refused && !self.turns.shared.get();
        let shared = shared && self.folder.has_own(&self.setup.name);
        if shared {
            log::info!("this client's own certificate led to no link: the default one has its turn");
        }
        self.turns.shared.set(shared);
        shared
    }
}

/// Who shows a renewed certificate has it: the one before is not accepted any more.
fn is_shown(registry: &SharedRegistry, name: &str, certificate: &Certificate) {
    let serial = certificate.serial();
    match registry.seen(name, certificate) {
        Ok(true) => {
            log::info!(target: AUDIT, "client {name} has shown its new certificate {serial}: no other is accepted")
        }
        Ok(false) => {}
        Err(e) => log::warn!("the certificate of client {name} before {serial} is still accepted: {e}"),
    }
}

/// What a client is told of a certificate that was made for it.
fn told(issued: Issued) -> IssuedCertificate {
    let new = NewCertificate { certificate_pem: issued.certificate_pem, key_pem: issued.key_pem };
    IssuedCertificate { new, serial: issued.serial }
}

/// Which connection is about to be secured.
#[derive(Clone, Copy, Debug)]
pub enum Way<'a> {
    /// One that was accepted.
    From,
    /// One that is being opened.
    To {
        /// The server's host, as the config has it.
        host: &'a str,
        /// There is a link already, which this one is to replace: what becomes of it says nothing of the certificate.
        returns: bool,
    },
}

impl Security {
    /// What a connection that was accepted or opened begins with.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn begin(&self, way: Way<'_>) -> Result<Secure, SecurityError> {
        match self {
            Security::Plain => Ok(Secure { session: None, known: None, refusals: Refusals::default(), shown: None }),
            Security::Server(server) => {
                let (tls, shown) = server.tls()?;
                let session = Session::server(tls.config)?;
                Ok(Secure { session: Some(session), known: None, refusals: tls.refusals, shown: Some(shown) })
            }
            Security::Client(client) => {
                let (host, shared) = match way {
                    Way::From => ("", false),
                    Way::To { host, returns } => (host, !returns && client.is_turn_of_shared()),
                };
                let (tls, known, shown) = client.tls(host, shared)?;
                let session = Session::client(tls.config, tls.server_name)?;
                Ok(Secure { session: Some(session), known: Some(known), refusals: tls.refusals, shown })
            }
        }
    }

    /// The connection that was begun last is open.
    pub fn is_open(&self) {
        if let Security::Client(client) = self {
            client.turns.opened.set(true);
        }
    }

    /// The connection that was begun last has become a link. Whether it is a client's.
    pub fn is_up(&self) -> bool {
        if let Security::Client(client) = self {
            client.turns.up.set(true);
        }
        matches!(self, Security::Client(_))
    }

    /// Who the client at the other end of a secured connection is.
    ///
    /// # Errors
    /// Nobody who may connect. The handshake let its certificate through, so the folder changed in between.
    pub fn identify(&self, state: &CommonState) -> Result<Secured, String> {
        let Security::Server(ServerSecurity { registry: Some(registry), expiry, .. }) = self else {
            return Ok(Secured::Anonymous);
        };
        let der = tls::peer_certificate(state).map_or(&[][..], |c| c.as_ref());
        match registry.identify(der) {
            Identity::Named { name, .. } => {
                // What was identified can be read.
                if let Ok(certificate) = Certificate::parse(der) {
                    expiry.borrow_mut().look(&format!("the certificate of client {name}"), &certificate, unix_now());
                    is_shown(registry, &name, &certificate);
                }
                Ok(Secured::Named(name))
            }
            Identity::Default { .. } => Ok(Secured::Shared),
            Identity::Unknown(stranger) => Err(stranger.to_string()),
        }
    }

    /// Makes a certificate for a client.
    ///
    /// # Errors
    /// Why not.
    pub fn issue(&self, name: &str, offer: &Offer) -> Result<IssuedCertificate, String> {
        let Security::Server(ServerSecurity { registry: Some(registry), .. }) = self else {
            return Err("this connector issues no certificates".to_owned());
        };
        registry.enrol(name, offer).map(told).map_err(|e| e.to_string())
    }

    /// Accepts a client's next certificate beside the one that it has.
    ///
    /// # Errors
    /// Why not.
    pub fn renew(&self, name: &str, offer: &Offer) -> Result<IssuedCertificate, String> {
        let Security::Server(ServerSecurity { registry: Some(registry), .. }) = self else {
            return Err("this connector issues no certificates".to_owned());
        };
        registry.renew(name, offer).map(told).map_err(|e| e.to_string())
    }

    /// Takes the certificate of a client back; its serial numbers. With `only_link` its files stay.
    ///
    /// # Errors
    /// Why not.
    pub fn delete(&self, client: &str, only_link: bool) -> Result<Vec<String>, String> {
        let deleted = match self {
            Security::Server(ServerSecurity { registry: Some(registry), .. }) => registry.delete(client, only_link),
            // Certificates play no part in who comes in, but the folder may be another server's as well.
            Security::Server(server) => {
                server.setup.registry().and_then(|mut registry| registry.delete(client, only_link))
            }
            _ => return Err("this connector has issued no certificates".to_owned()),
        };
        deleted.map_err(|e| e.to_string())
    }

    /// Deletes this client's own certificate; its serial number, if there was one that could be read.
    ///
    /// # Errors
    /// Why not.
    pub fn delete_own(&self) -> Result<Option<String>, String> {
        let Security::Client(client) = self else { return Err("this connector shows no certificate".to_owned()) };
        let serial = client.own_serial();
        client.folder.delete(&client.setup.name).map_err(|e| e.to_string())?;
        Ok(serial)
    }

    /// What this client offers to the server that it asks for a certificate: nothing if it can keep no key, and then the
    /// server makes one.
    #[must_use]
    pub fn offer(&self) -> Offer {
        let Security::Client(client) = self else { return Offer::default() };
        client.folder.offer(&client.setup.name, unix_now()).unwrap_or_else(|e| {
            log::warn!("the server is left to make this client's key: {e}");
            Offer::default()
        })
    }

    /// Keeps the certificate that the server issued; its serial number.
    ///
    /// # Errors
    /// Why not.
    pub fn store(&self, new: &NewCertificate) -> Result<String, String> {
        let Security::Client(client) = self else { return Err("this connector asks for no certificates".to_owned()) };
        // The next connection has a certificate of its own to show.
        client.turns.opened.set(false);
        let stored = client.folder.store(&client.setup.name, &new.certificate_pem, new.key_pem.as_deref(), unix_now());
        stored.map_err(|e| e.to_string())?;
        // What was stored can be read.
        Ok(client.own_serial().unwrap_or_default())
    }
}
