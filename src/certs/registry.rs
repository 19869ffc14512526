//! The server's view of the folder: whose certificate is this.
//!
//! Trust is decided by `symlinks/`, as OpenSSL does it for a Python server: a certificate is accepted as long as a link
//! there leads to it, whatever else lies in `client-certs`. So what the Python tool deletes, with or without the file,
//! is refused here too, and what either side issues is accepted by both. Who it is then follows from its serial number
//! in `source_id_2_cert.json`.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use log::warn;

use super::links::Links;
use super::mint::Authority;
use super::names::Names;
use super::pair::load_certificates;
use super::{Certificate, Error, Issuing, Layout, x509};
use crate::wire::control::Offer;
use crate::wire::names::{NameError, is_default_certificate, validate_client_name};

pub use super::issue::Issued;

/// Whose certificate it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// One that new clients share: good for enrolment only.
    Default {
        /// `default`, or `default` and digits.
        name: String,
        /// Its serial number.
        serial: String,
    },
    /// A client's own.
    Named {
        /// The client.
        name: String,
        /// Its serial number, the key of `source_id_2_cert.json`.
        serial: String,
    },
    /// Nobody's who may connect.
    Unknown(Stranger),
}

/// A certificate that was not accepted, with what it takes to find out why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranger {
    /// Its serial number.
    pub serial: String,
    /// Its subject, made safe for a log.
    pub subject: String,
    /// Its SHA-256, in lower-case hexadecimal.
    pub fingerprint: String,
    /// What is missing.
    pub why: Why,
}

/// Why a certificate is a stranger's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// No link in the folder leads to it.
    NotLinked {
        /// The folder.
        links: PathBuf,
    },
    /// It is accepted, but belongs to no client.
    NoName {
        /// The list that lacks it.
        names: PathBuf,
    },
    /// It is accepted, but the list gives it a name that no client can have.
    BadName {
        /// The name.
        name: String,
        /// The rule that it breaks.
        error: NameError,
    },
    /// It is no certificate at all.
    Malformed(x509::Malformed),
    /// The folder could not be read.
    Folder(String),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::NotLinked { links } => write!(f, "no link in {} leads to it", links.display()),
            Why::NoName { names } => write!(f, "it is accepted, but {} names no client for it", names.display()),
            Why::BadName { name, error } => write!(f, "it is listed for {name:?}, but {error}"),
            Why::Malformed(e) => write!(f, "it cannot be read: {e}"),
            Why::Folder(e) => write!(f, "{e}"),
        }
    }
}

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { serial, subject, fingerprint, why } = self;
        write!(f, "certificate {serial} ({subject}; SHA-256 {fingerprint}) is not accepted: {why}")
    }
}

/// The server's part of a folder of certificates.
#[derive(Debug)]
pub struct Registry {
    pub(super) layout: Layout,
    pub(super) links: Links,
    pub(super) names: Names,
    pub(super) max_certs: usize,
    pub(super) issuing: Issuing,
    /// The CA that signed last.
    pub(super) ca: Option<Authority>,
    /// What the CA has signed for keys of clients that have not shown it yet, in PEM, by their names.
    pub(super) unseen: HashMap<String, String>,
}

impl Registry {
    /// Opens the server's part of the folder in `dir` (`certificates_directory_path`), and clears away what a crash in
    /// the midst of [`Registry::issue`] left. At most `max_certs` clients will get a certificate.
    ///
    /// # Errors
    /// The folder or its list of clients is missing or cannot be read.
    pub fn open(dir: &Path, max_certs: usize) -> Result<Self, Error> {
        let layout = Layout::new(dir);
        let links = Links::open(layout.links())?;
        let names = Names::open(layout.names())?;
        let mut registry =
            Self { layout, links, names, max_certs, issuing: Issuing::default(), ca: None, unseen: HashMap::new() };
        registry.recover()?;
        Ok(registry)
    }

    /// Has clients' certificates made in this way. With a CA, what it has signed is accepted as well.
    ///
    /// # Errors
    /// There is no CA that could sign.
    pub fn with_issuing(mut self, issuing: Issuing) -> Result<Self, Error> {
        if let Issuing::Signed { .. } = issuing {
            self.authority()?;
        }
        self.issuing = issuing;
        Ok(self)
    }

    /// Says whose certificate `der` is, by the folder as it is now: files that were added, removed or replaced since
    /// the last call count. It costs a look at the folder and the reading of one file.
    pub fn identify(&mut self, der: &[u8]) -> Identity {
        let certificate = match Certificate::parse(der) {
            Ok(certificate) => certificate,
            Err(e) => return unreadable(der, e),
        };
        match self.link_to(&certificate) {
            Ok(link) => self.name(&certificate, link.as_deref()),
            Err(why) => stranger(&certificate, why),
        }
    }

    /// The link that leads to a certificate; none if the CA has signed it.
    fn link_to(&mut self, certificate: &Certificate) -> Result<Option<PathBuf>, Why> {
        let found = self.links.find(certificate).and_then(|link| {
            let by_ca = link.is_none() && self.issuing != Issuing::SelfSigned && self.is_signed(certificate)?;
            Ok((link, by_ca))
        });
        match found {
            Ok((None, false)) => Err(Why::NotLinked { links: self.layout.links() }),
            Ok((link, _)) => Ok(link),
            Err(e) => Err(Why::Folder(e.to_string())),
        }
    }

    fn name(&mut self, certificate: &Certificate, link: Option<&Path>) -> Identity {
        let serial = certificate.serial().to_owned();
        if let Some(name) = link.and_then(target_name).filter(|name| is_default_certificate(name)) {
            return Identity::Default { name, serial };
        }
        if let Err(e) = self.names.refresh() {
            warn!("{e}; going on with what it held before");
        }
        match self.names.name_of(&serial).map(str::to_owned) {
            Some(name) => match validate_client_name(&name) {
                Ok(()) => Identity::Named { name, serial },
                Err(error) => stranger(certificate, Why::BadName { name, error }),
            },
            None => match self.shared_name(certificate) {
                Some(name) => Identity::Default { name, serial },
                None => stranger(certificate, Why::NoName { names: self.layout.names() }),
            },
        }
    }

    /// The name of the shared certificate that this is, if its link did not tell: it can be a copy, not a link.
    fn shared_name(&self, certificate: &Certificate) -> Option<String> {
        let entries = fs::read_dir(self.layout.clients()).ok()?;
        let names = entries.filter_map(|entry| pem_name(&entry.ok()?.path()));
        names.filter(|name| is_default_certificate(name)).find(|name| {
            load_certificates(&self.layout.client_certificate(name)).is_ok_and(|c| c.contains(certificate))
        })
    }
}

fn target_name(link: &Path) -> Option<String> {
    pem_name(&fs::read_link(link).ok()?)
}

pub(super) fn pem_name(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_str()?.strip_suffix(".pem")?.to_owned())
}

fn stranger(certificate: &Certificate, why: Why) -> Identity {
    Identity::Unknown(Stranger {
        serial: certificate.serial().to_owned(),
        subject: certificate.subject().to_owned(),
        fingerprint: certificate.fingerprint(),
        why,
    })
}

fn unreadable(der: &[u8], e: x509::Malformed) -> Identity {
    let unknown = || "unreadable".to_owned();
    let fingerprint = x509::fingerprint(der);
    Identity::Unknown(Stranger { serial: unknown(), subject: unknown(), fingerprint, why: Why::Malformed(e) })
}

/// A [`Registry`] that TLS handshakes and the rest of the server both ask.
///
/// The lock is never contended: all run on one thread, and rustls only demands that a verifier could be shared.
#[derive(Clone, Debug)]
pub struct SharedRegistry(Arc<Mutex<Registry>>);

impl SharedRegistry {
    /// Makes a registry shareable.
    #[must_use]
    pub fn new(registry: Registry) -> Self {
        Self(Arc::new(Mutex::new(registry)))
    }

    /// As [`Registry::identify`].
    #[must_use]
    pub fn identify(&self, der: &[u8]) -> Identity {
        self.lock().identify(der)
    }

    /// As [`Registry::issue`].
    ///
    /// # Errors
    /// As [`Registry::issue`].
    pub fn issue(&self, name: &str) -> Result<Issued, Error> {
        self.lock().issue(name)
    }

    /// As [`Registry::enrol`].
    ///
    /// # Errors
    /// As [`Registry::enrol`].
    pub fn enrol(&self, name: &str, offer: &Offer) -> Result<Issued, Error> {
        self.lock().enrol(name, offer)
    }

    /// As [`Registry::renew`].
    ///
    /// # Errors
    /// As [`Registry::renew`].
    pub fn renew(&self, name: &str, offer: &Offer) -> Result<Issued, Error> {
        self.lock().renew(name, offer)
    }

    /// As [`Registry::seen`].
    ///
    /// # Errors
    /// As [`Registry::seen`].
    pub fn seen(&self, name: &str, certificate: &Certificate) -> Result<bool, Error> {
        self.lock().seen(name, certificate)
    }

    /// As [`Registry::delete`].
    ///
    /// # Errors
    /// As [`Registry::delete`].
    pub fn delete(&self, name: &str, only_link: bool) -> Result<Vec<String>, Error> {
        self.lock().delete(name, only_link)
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        // What a panic could have left half-done is in memory only, and is read anew from the disk.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
