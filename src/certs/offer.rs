//! Certificates that clients make themselves, so that their keys stay with them.
//!
//! What a server pins, it trusts whole, and so does OpenSSL when a Python server uses the same folder. So what is offered
//! must be the plainest of certificates: no CA, nobody else's serial number or subject, and not for longer than those
//! that the server makes.

use std::fs;

use pem::{EncodeConfig, LineEnding, Pem};

use super::authority::now;
use super::mint::{Fresh, VALID};
use super::pair::{certificates, load_certificates};
use super::registry::pem_name;
use super::{Certificate, Error, Registry};
use crate::wire::names::is_default_certificate;

/// A certificate may last for so much longer than those that a server makes, in seconds: clocks differ, and it begins a
/// day ago.
const LONGER: i64 = 3 * 86_400;

/// A certificate that was offered, in PEM: written anew from what was checked. In the text that was offered, programs
/// that read PEM in other ways could find another one.
pub(super) fn in_pem(certificate: &Certificate) -> String {
    let block = Pem::new("CERTIFICATE", certificate.der().as_ref());
    pem::encode_config(&block, EncodeConfig::new().set_line_ending(LineEnding::LF))
}

impl Registry {
    /// The certificate that a client offers, if it can be pinned.
    pub(super) fn offered(&mut self, name: &str, pem: &str) -> Result<Fresh, Error> {
        let refuse = |why: &str| Error::Offer { name: name.to_owned(), why: why.to_owned() };
        let path = self.layout.client_certificate(name);
        let mut all = certificates(pem.as_bytes(), &path).map_err(|e| refuse(&e.to_string()))?;
        let certificate = all.swap_remove(0);
        if !all.is_empty() {
            return Err(refuse("it is not one certificate"));
        }
        let (now, longest) = (now(), i64::try_from(VALID.as_secs()).unwrap_or(i64::MAX) + LONGER);
        if !certificate.is_plain() {
            return Err(refuse("it may sign others, or does not say that it may not"));
        }
        if !certificate.has_signed_itself() {
            return Err(refuse("it is not signed by its own key"));
        }
        if certificate.check_time(now).is_err() || certificate.not_after().saturating_sub(now) > longest {
            return Err(refuse("it is not valid now, or for too long"));
        }
        if self.names.name_of(certificate.serial()).is_some() || self.is_shared(certificate.serial()) {
            return Err(refuse("its serial number is another's"));
        }
        if !self.links.all(certificate.subject_hash())?.is_empty() {
            return Err(refuse("its subject is another's"));
        }
        let certificate_pem = in_pem(&certificate);
        Ok(Fresh { certificate, certificate_pem, key_pem: None })
    }

    /// Whether a certificate that new clients share has this serial number.
    fn is_shared(&self, serial: &str) -> bool {
        let Ok(entries) = fs::read_dir(self.layout.clients()) else { return false };
        let names = entries.filter_map(|entry| pem_name(&entry.ok()?.path()));
        let holds = |all: Vec<Certificate>| all.iter().any(|c| c.serial() == serial);
        names
            .filter(|name| is_default_certificate(name))
            .any(|name| load_certificates(&self.layout.client_certificate(&name)).is_ok_and(holds))
    }
}
