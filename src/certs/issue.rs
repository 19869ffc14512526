//! A certificate for a new client.
//!
//! The steps and what a crash after each leaves:
//!
//! | step | after a crash |
//! | --- | --- |
//! | key | a key without certificate, written over by the next attempt |
//! | draft of the certificate (`.NAME.pem.tmp`) | the draft tells that all that belongs to it is half-done |
//! | link to `../NAME.pem` | it leads to nothing, so nothing is accepted by it |
//! | entry in `source_id_2_cert.json` | an entry for a certificate that is not there |
//! | the draft becomes `NAME.pem` | done: all at once it is accepted, and known |
//!
//! [`Registry::recover`] undoes what belongs to a draft. A `NAME.pem` without link or entry is never undone: that is how
//! the Python tool bans a client (`remove_only_symlink`).

use std::fs;
use std::path::{Path, PathBuf};

use log::info;

use super::mint::{self, Fresh};
use super::offer::in_pem;
use super::pair::{certificates, load_certificates};
use super::{Error, Identity, Issuing, Registry, files};
use crate::wire::control::Offer;
use crate::wire::names::validate_client_name;

/// Most certificates signed by the CA that are remembered until their clients have shown them; then all are forgotten.
const UNSEEN_MAX: usize = 1024;

/// A certificate that was made for a client.
#[derive(Clone)]
pub struct Issued {
    /// The certificate, in PEM.
    pub certificate_pem: String,
    /// Its key (PKCS#8), in PEM, unless the client has that.
    pub key_pem: Option<String>,
    /// Its serial number, as in `source_id_2_cert.json`.
    pub serial: String,
}

impl From<Fresh> for Issued {
    fn from(fresh: Fresh) -> Self {
        let serial = fresh.certificate.serial().to_owned();
        Self { certificate_pem: fresh.certificate_pem, key_pem: fresh.key_pem, serial }
    }
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The key must not end in a log.
        f.debug_struct("Issued").field("serial", &self.serial).finish_non_exhaustive()
    }
}

impl Registry {
    /// Makes a certificate for `name` and accepts it from now on. A name gets one only once.
    ///
    /// # Errors
    /// `name` is no client's name, or has a certificate; `max_certs` is reached; a file cannot be written, and then all
    /// is as before.
    pub fn issue(&mut self, name: &str) -> Result<Issued, Error> {
        self.enrol(name, &Offer::default())
    }

    /// The same for a client that offers a certificate of its own making, which is accepted then, or a request, which the
    /// CA signs then, if there is one. Who offers again what was accepted, because no answer came, gets it again, and so
    /// does who asks again for the key that the CA has signed.
    ///
    /// # Errors
    /// As [`Registry::issue`], and what is offered cannot be accepted.
    pub fn enrol(&mut self, name: &str, offer: &Offer) -> Result<Issued, Error> {
        validate_client_name(name).map_err(|source| Error::Name { name: name.to_owned(), source })?;
        self.undo(name)?;
        self.names.refresh()?;
        if let Some(issued) = self.accepted(name, offer) {
            return Ok(issued);
        }
        if let Some(issued) = self.answered(name, offer) {
            return Ok(issued);
        }
        self.check_free(name)?;
        let fresh = match (self.issuing, &offer.certificate_pem) {
            (Issuing::Signed { .. }, _) => self.sign(name, offer)?,
            (Issuing::SelfSigned, Some(pem)) => self.offered(name, pem)?,
            (Issuing::SelfSigned, None) => mint::self_signed(name)?.into(),
        };
        let put = if self.issuing == Issuing::SelfSigned { self.put(name, &fresh) } else { self.list(name, &fresh) };
        if let Err(e) = put {
            // The first error is the one to tell; what cannot be undone now is undone at the next attempt.
            let _ = self.undo(name);
            return Err(e);
        }
        Ok(Issued::from(fresh))
    }

    /// What is offered, if it is what `name` has already.
    pub(super) fn accepted(&mut self, name: &str, offer: &Offer) -> Option<Issued> {
        let path = self.layout.client_certificate(name);
        let offered = certificates(offer.certificate_pem.as_ref()?.as_bytes(), &path).ok()?.swap_remove(0);
        let is_its = matches!(self.identify(offered.der()), Identity::Named { name: owner, .. } if owner == name);
        let certificate_pem = in_pem(&offered);
        let serial = offered.serial().to_owned();
        is_its.then_some(Issued { certificate_pem, key_pem: None, serial })
    }

    /// With a CA: an entry is all that makes a certificate accepted.
    fn list(&mut self, name: &str, fresh: &Fresh) -> Result<(), Error> {
        if self.issuing == (Issuing::Signed { copies: true }) {
            self.keep_copy(fresh)?;
        }
        self.names.add(name, fresh.certificate.serial())?;
        if fresh.key_pem.is_none() {
            if self.unseen.len() >= UNSEEN_MAX {
                self.unseen.clear();
            }
            self.unseen.insert(name.to_owned(), fresh.certificate_pem.clone());
        }
        Ok(())
    }

    /// With a CA: what it has signed for `name`, if that is for the very key for which is asked now: then the answer was
    /// lost, and is given again. It is known as long as the server runs or, with copies, as long as there is the copy.
    fn answered(&self, name: &str, offer: &Offer) -> Option<Issued> {
        let key = mint::key_of_request(offer.request_pem.as_ref()?)?;
        let serial = self.names.serial_of(name).filter(|_| self.issuing != Issuing::SelfSigned)?;
        let copy = self.layout.ca_copies().join(format!("{serial}.pem"));
        let certificate_pem = match self.unseen.get(name) {
            Some(pem) => pem.clone(),
            None => String::from_utf8(files::read(&copy, "a copy of a certificate").ok()?).ok()?,
        };
        let certificate = certificates(certificate_pem.as_bytes(), &copy).ok()?.swap_remove(0);
        let is_it = certificate.serial() == serial && certificate.spki().as_ref() == key;
        is_it.then(|| Issued { certificate_pem, key_pem: None, serial: serial.to_owned() })
    }

    fn check_free(&self, name: &str) -> Result<(), Error> {
        let certificate = self.layout.client_certificate(name);
        if files::exists(&certificate) {
            return Err(Error::AlreadyIssued { name: name.to_owned(), path: certificate });
        }
        if self.names.serial_of(name).is_some() {
            return Err(Error::AlreadyIssued { name: name.to_owned(), path: self.names.path().clone() });
        }
        if self.names.count() >= self.max_certs {
            return Err(Error::TooMany { path: self.names.path().clone(), max: self.max_certs });
        }
        Ok(())
    }

    fn put(&mut self, name: &str, minted: &Fresh) -> Result<(), Error> {
        let certificate = self.layout.client_certificate(name);
        match &minted.key_pem {
            Some(key) => files::write_whole(&self.layout.client_key(name), key.as_bytes(), files::SECRET)?,
            // One of an earlier certificate would be mistaken for this one's.
            None => files::remove_if_there(&self.layout.client_key(name))?,
        }
        files::write_draft(&certificate, minted.certificate_pem.as_bytes(), files::PUBLIC)?;
        self.links.add(minted.certificate.subject_hash(), &link_target(name))?;
        self.names.add(name, minted.certificate.serial())?;
        files::promote(&certificate)
    }

    /// Undoes every certificate that was not finished.
    pub(super) fn recover(&mut self) -> Result<(), Error> {
        let clients = self.layout.clients();
        let entries = fs::read_dir(&clients).map_err(|e| files::io_error("list", &clients, e))?;
        let drafts: Vec<String> = entries.filter_map(|entry| draft_name(&entry.ok()?.path())).collect();
        for name in drafts {
            info!("the certificate of {name} was not finished when the server stopped, and is taken back");
            self.undo(&name)?;
        }
        Ok(())
    }

    /// Undoes what belongs to the draft of a certificate, if there is one. The draft goes last, so that this can be
    /// interrupted too.
    fn undo(&mut self, name: &str) -> Result<(), Error> {
        let certificate = self.layout.client_certificate(name);
        let draft = files::draft_of(&certificate);
        if !files::exists(&draft) {
            return Ok(());
        }
        if !files::exists(&certificate) {
            self.links.remove(&link_target(name))?;
            // A draft that is not whole has no entry yet; one that is whole holds one certificate.
            if let Ok(all) = load_certificates(&draft) {
                self.names.remove(name, all[0].serial())?;
            }
            files::remove_if_there(&self.layout.client_key(name))?;
        }
        files::remove_if_there(&draft)
    }
}

pub(super) fn link_target(name: &str) -> PathBuf {
    Path::new("..").join(format!("{name}.pem"))
}

fn draft_name(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_str()?.strip_prefix('.')?.strip_suffix(".pem.tmp")?.to_owned())
}
