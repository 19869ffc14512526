//! The CA of a server with `server_ca`: it signs its clients' certificates, and accepts what it has signed.
//!
//! What it signs need not be kept: a certificate of its making that is shown is looked up by its serial number in
//! `source_id_2_cert.json`, and refused if it is not there. So without an entry it is worth nothing.

use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use log::warn;

use super::mint::{self, Authority, Fresh};
use super::pair::load_certificates;
use super::{Certificate, Error, Pair, Registry, files};
use crate::logger::AUDIT;
use crate::wire::control::Offer;

/// How a server makes the certificates of its clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Issuing {
    /// Each signs itself, and is kept.
    #[default]
    SelfSigned,
    /// A CA signs them (`server_ca`). With `copies` the server keeps a copy of each in `ca-generated`, by which it knows
    /// nobody.
    Signed {
        /// `server_ca_certs_not_stored` is false.
        copies: bool,
    },
}

impl Registry {
    /// The CA that signs: read anew, because another one may have been put in its place. If it cannot be used, the one
    /// before goes on.
    pub(super) fn authority(&mut self) -> Result<&Authority, Error> {
        match (self.read_authority(), self.ca.take()) {
            (Ok(new), _) => Ok(self.ca.insert(new)),
            (Err(e), Some(old)) => {
                warn!(target: AUDIT, "the CA {} goes on, the one that came cannot: {e}", old.certificate.serial());
                Ok(self.ca.insert(old))
            }
            (Err(e), None) => Err(e),
        }
    }

    fn read_authority(&self) -> Result<Authority, Error> {
        let (certificate, key) = (self.layout.ca_certificate(), self.layout.ca_key());
        let pair = Pair::load(&certificate, &key, now())?;
        if !pair.certificate().signs() {
            let why = "it is no CA's, so it cannot sign clients' certificates".to_owned();
            return Err(Error::NotACertificate { path: certificate, why });
        }
        mint::authority_of(pair.certificate(), &files::read(&key, "the key of the CA")?)
    }

    /// A certificate for a client by the CA: for the key that it has, or with a new one.
    pub(super) fn sign(&mut self, name: &str, offer: &Offer) -> Result<Fresh, Error> {
        let authority = self.authority()?;
        match &offer.request_pem {
            Some(request) => authority.sign_request(name, request),
            None => authority.sign(name).map(Fresh::from),
        }
    }

    /// Keeps a copy of what the CA signed, where `openssl ca` does.
    pub(super) fn keep_copy(&self, fresh: &Fresh) -> Result<(), Error> {
        let folder = self.layout.ca_copies();
        fs::create_dir_all(&folder).map_err(|e| files::io_error("create", &folder, e))?;
        let path: PathBuf = folder.join(format!("{}.pem", fresh.certificate.serial()));
        files::write_whole(&path, fresh.certificate_pem.as_bytes(), files::PUBLIC)
    }

    /// Whether a CA that is linked in `symlinks`, where OpenSSL looks for it, has signed this.
    pub(super) fn is_signed(&mut self, certificate: &Certificate) -> Result<bool, Error> {
        if certificate.signs() {
            return Ok(false);
        }
        let now = now();
        let links = self.links.all(certificate.issuer_hash())?;
        let certificates = links.iter().filter_map(|link| load_certificates(link).ok()).flatten();
        Ok(certificates.filter(|ca| ca.check_time(now).is_ok()).any(|ca| ca.has_signed(certificate)))
    }
}

/// Now, in Unix seconds.
pub(super) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}
