//! How a client gets to its server: the addresses that it has, and the proxy on the way.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::dial::Target;
use super::tls::{self, ClientTls, Servers, TlsError};
use super::tunnel::Plan;
use crate::core::Id;
use crate::hooks::{Credentials, Desk, Hooks, Runner};
use crate::wire::connect::authority;

/// Where systems keep the CA certificates that they trust, as one file. The first that exists is taken, as OpenSSL and
/// curl are built to do on these systems.
const SYSTEM_CA_FILES: [&str; 6] = [
    // Debian, Ubuntu, Arch, Gentoo.
    "/etc/ssl/certs/ca-certificates.crt",
    // Fedora, RHEL.
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    // SUSE.
    "/etc/ssl/ca-bundle.pem",
    // Alpine, the BSDs, macOS.
    "/etc/ssl/cert.pem",
    "/usr/local/etc/ssl/cert.pem",
];

/// The variable of the environment that names another file in their place, as OpenSSL has it.
const CA_FILE_VARIABLE: &str = "SSL_CERT_FILE";

/// A way to the server.
#[derive(Debug)]
pub struct Route {
    /// The server's addresses, the preferred first; at least one.
    pub servers: Vec<Target>,
    /// An address or interface of this machine to connect from.
    pub bind: Option<String>,
    /// The proxy that it leads through.
    pub proxy: Option<Proxy>,
}

/// A proxy that opens tunnels by HTTP CONNECT.
pub struct Proxy {
    at: Target,
    /// What the config says that it wants to know.
    credentials: Option<Credentials>,
    /// Those who vouch for its certificate, if it is spoken to over TLS.
    ca_file: Option<PathBuf>,
    pub(super) desk: Desk<Id, Credentials, Result<Credentials, String>>,
    /// How long the hook may take.
    pub(super) hook_timeout: Duration,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("at", &self.at).field("ca_file", &self.ca_file).finish_non_exhaustive()
    }
}

/// TLS to the proxy cannot be set up.
#[derive(Debug)]
pub enum ProxyError {
    /// No file of CA certificates was given, and the system has none where they are looked for.
    NoCaFile,
    /// TLS cannot be set up with the file.
    Tls(TlsError),
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProxyError::NoCaFile => write!(
                f,
                "proxy.ssl_server: this system has no file of CA certificates to verify the proxy's with (looked for: \
                 {}); proxy.cafile must name one",
                SYSTEM_CA_FILES.join(", ")
            ),
            ProxyError::Tls(error) => write!(f, "proxy.ssl_server: {error}"),
        }
    }
}

impl std::error::Error for ProxyError {}

/// Whether the proxy is spoken to over TLS, and who vouches for it then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyTls {
    /// It is not.
    No,
    /// A CA that the system trusts.
    System,
    /// A CA in this file.
    File(PathBuf),
}

impl Proxy {
    /// The proxy that listens at `at`. With a hook for them in `hooks`, that is asked for the credentials before each
    /// connection; it gets those of the config.
    ///
    /// # Errors
    /// [`ProxyError`].
    pub fn new(
        at: Target,
        tls: ProxyTls,
        credentials: Option<Credentials>,
        hooks: &Hooks,
        runner: &Runner,
        hook_timeout: Duration,
    ) -> Result<Self, ProxyError> {
        let ca_file = match tls {
            ProxyTls::No => None,
            ProxyTls::System => Some(system_ca_file().ok_or(ProxyError::NoCaFile)?),
            ProxyTls::File(path) => Some(path),
        };
        let proxy = Self { at, credentials, ca_file, desk: hooks.proxies(runner), hook_timeout };
        // What is wrong now is said now, not at the first connection.
        proxy.tls()?;
        Ok(proxy)
    }

    /// Where it listens.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.at
    }

    /// Its address in words.
    #[must_use]
    pub fn name(&self) -> String {
        authority(&self.at.host, self.at.port)
    }

    /// What the config says that it wants to know.
    #[must_use]
    pub fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    /// The file is read anew for each connection, so that a new one takes effect without a restart.
    fn tls(&self) -> Result<Option<ClientTls>, ProxyError> {
        let Some(file) = &self.ca_file else { return Ok(None) };
        let accepted = Servers::SignedBy(file.clone());
        tls::client_config(None, accepted, &self.at.host, Vec::new()).map(Some).map_err(ProxyError::Tls)
    }

    /// What a tunnel to `server` takes.
    ///
    /// # Errors
    /// [`ProxyError`].
    pub fn plan(&self, server: &Target, credentials: Option<Credentials>) -> Result<Plan, ProxyError> {
        Ok(Plan {
            proxy: self.name(),
            host: server.host.clone(),
            port: server.port,
            credentials: credentials.map(|c| (c.username, c.password)),
            tls: self.tls()?,
        })
    }
}

fn system_ca_file() -> Option<PathBuf> {
    let named = std::env::var_os(CA_FILE_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    named.or_else(|| SYSTEM_CA_FILES.iter().map(Path::new).find(|path| path.exists()).map(Path::to_owned))
}
