//! A client's next certificate, at the server.
//!
//! Until the client has shown the new one, both are accepted: the old one is still what it has, should the answer be
//! lost. The new one waits as `NAME.next.pem`, a name that no client can have.
//!
//! | step | after a crash |
//! | --- | --- |
//! | `NAME.next.pem`, its entry, its link | both are accepted |
//! | shown: link to `../NAME.pem` for the new one | as before |
//! | `NAME.next.pem` becomes `NAME.pem` | the new one alone is accepted |
//! | the other links go, then the old entry | it is done when the new one is shown again |
//!
//! With a CA there are entries only.

use super::issue::{Issued, link_target};
use super::mint::Fresh;
use super::pair::load_certificates;
use super::{Certificate, Error, Issuing, Registry, files};
use crate::wire::control::Offer;
use crate::wire::names::validate_client_name;

/// The name under which a client's next certificate lies.
pub(super) fn next_of(name: &str) -> String {
    format!("{name}.next")
}

impl Registry {
    /// Accepts a certificate that the client `name`, which has one, has made, or signs its request; the one before stays
    /// accepted until this one is [`seen`](Self::seen). Another one that was not seen yet is given up. The client must
    /// have proved who it is.
    ///
    /// # Errors
    /// `name` has no certificate, what is offered cannot be accepted, or a file cannot be written.
    pub fn renew(&mut self, name: &str, offer: &Offer) -> Result<Issued, Error> {
        validate_client_name(name).map_err(|source| Error::Name { name: name.to_owned(), source })?;
        self.names.refresh()?;
        let Some(current) = self.names.serial_of(name).map(str::to_owned) else {
            return Err(Error::NotIssued { name: name.to_owned(), path: self.names.path().clone() });
        };
        if let Some(issued) = self.accepted(name, offer) {
            return Ok(issued);
        }
        self.drop_next(name)?;
        self.names.keep_only(name, &current)?;
        let fresh = match (self.issuing, offer) {
            (Issuing::Signed { .. }, Offer { request_pem: Some(_), .. }) => self.sign(name, offer)?,
            (Issuing::SelfSigned, Offer { certificate_pem: Some(pem), .. }) => self.offered(name, pem)?,
            _ => {
                let why = "a certificate is renewed for a key that the client has".to_owned();
                return Err(Error::Offer { name: name.to_owned(), why });
            }
        };
        self.accept_too(name, &fresh)?;
        Ok(Issued::from(fresh))
    }

    fn accept_too(&mut self, name: &str, fresh: &Fresh) -> Result<(), Error> {
        if self.issuing == (Issuing::Signed { copies: true }) {
            self.keep_copy(fresh)?;
        }
        if self.issuing == Issuing::SelfSigned {
            let next = next_of(name);
            let path = self.layout.client_certificate(&next);
            files::write_whole(&path, fresh.certificate_pem.as_bytes(), files::PUBLIC)?;
            self.links.add(fresh.certificate.subject_hash(), &link_target(&next))?;
        }
        self.names.add_serial(name, fresh.certificate.serial())
    }

    /// Gives up a certificate that was not seen yet.
    pub(super) fn drop_next(&mut self, name: &str) -> Result<(), Error> {
        let next = next_of(name);
        self.links.remove(&link_target(&next))?;
        files::remove_if_there(&self.layout.client_certificate(&next))
    }

    /// The client `name` has shown this certificate, and proved that it has the key: if it is a new one, that before is
    /// refused from now on. Whether it was.
    ///
    /// # Errors
    /// A file cannot be written; it is tried again when the client comes again.
    pub fn seen(&mut self, name: &str, certificate: &Certificate) -> Result<bool, Error> {
        self.unseen.remove(name);
        let is_new = self.names.name_of(certificate.serial()) == Some(name)
            && self.names.serial_of(name).is_some_and(|serial| serial != certificate.serial());
        if !is_new {
            return Ok(false);
        }
        let (next, own) = (next_of(name), link_target(name));
        let (next_path, path) = (self.layout.client_certificate(&next), self.layout.client_certificate(name));
        let is_kept = load_certificates(&next_path).is_ok_and(|all| all.contains(certificate));
        if is_kept {
            self.links.add(certificate.subject_hash(), &own)?;
            files::rename(&next_path, &path)?;
            // It is that of the certificate before.
            files::remove_if_there(&self.layout.client_key(name))?;
        }
        self.links.remove(&link_target(&next))?;
        self.links.remove_others(&own, certificate.subject_hash())?;
        self.names.keep_only(name, certificate.serial())?;
        Ok(true)
    }
}
