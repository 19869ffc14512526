//! The client's view of the folder: which certificate it shows, and which servers it accepts.

use std::path::Path;

use super::folder::DEFAULT;
use super::pair::{self, Pair};
use super::{Certificate, Error, Layout, files};

/// A client's part of a folder of certificates.
#[derive(Clone, Debug)]
pub struct ClientFolder {
    pub(super) layout: Layout,
}

impl ClientFolder {
    /// The client's part of the folder in `dir` (`certificates_directory_path`). Nothing is read yet.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self { layout: Layout::new(dir) }
    }

    /// Whether `name` has a certificate of its own here. If not, it has to enrol.
    #[must_use]
    pub fn has_own(&self, name: &str) -> bool {
        files::exists(&self.layout.own_certificate(name))
    }

    /// The certificate that `name` shows: its own if it has one, else the shared one. `now` is in Unix seconds.
    ///
    /// # Errors
    /// As [`Pair::load`]. A certificate of its own that cannot be used is an error, and not a reason to enrol anew.
    pub fn own(&self, name: &str, now: i64) -> Result<Pair, Error> {
        self.settle(name)?;
        if self.has_own(name) { self.load(name, now) } else { self.shared(now) }
    }

    /// The certificate of its own that `name` has, in time or not.
    ///
    /// # Errors
    /// It has none, or the file cannot be read.
    pub fn own_certificate(&self, name: &str) -> Result<Certificate, Error> {
        Ok(pair::load_certificates(&self.layout.own_certificate(name))?.swap_remove(0))
    }

    /// The certificate that new clients share.
    ///
    /// # Errors
    /// As [`Pair::load`].
    pub fn shared(&self, now: i64) -> Result<Pair, Error> {
        self.load(DEFAULT, now)
    }

    fn load(&self, name: &str, now: i64) -> Result<Pair, Error> {
        Pair::load(&self.layout.own_certificate(name), &self.layout.own_key(name), now)
    }

    /// Removes the certificate of `name` and its key: it shows the shared one from now on. Whether there was one.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn delete(&self, name: &str) -> Result<bool, Error> {
        self.forget_next(name)?;
        let certificate = self.layout.own_certificate(name);
        let there = files::exists(&certificate);
        files::remove_if_there(&certificate)?;
        files::remove_if_there(&self.layout.own_key(name))?;
        Ok(there)
    }

    /// The certificates of servers that this client accepts: all in `server-cert/server.pem`, or, in a folder from
    /// before version 1.2 of the Python package, in `server.crt`.
    ///
    /// # Errors
    /// The file is missing, unreadable or not PEM, or a block in it is no certificate.
    pub fn pinned_servers(&self) -> Result<Vec<Certificate>, Error> {
        let path = self.layout.pinned_server();
        let old = path.with_extension("crt");
        pair::load_certificates(if !files::exists(&path) && files::exists(&old) { &old } else { &path })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::certs::mint::{self, Minted};

    fn folder() -> (tempfile::TempDir, ClientFolder, Minted, i64) {
        let dir = tempfile::tempdir().unwrap();
        crate::certs::create(dir.path(), false).unwrap();
        let minted = mint::self_signed("client1").unwrap();
        let now = minted.certificate.not_before() + 86_400;
        let folder = ClientFolder::new(dir.path());
        (dir, folder, minted, now)
    }

    #[test]
    fn a_client_shows_the_shared_certificate_until_it_has_its_own() {
        let (_dir, folder, minted, now) = folder();
        assert!(!folder.has_own("client1"));
        let shared = folder.own("client1", now).unwrap();
        assert_eq!(shared.certificate(), folder.shared(now).unwrap().certificate());
        folder.store("client1", &minted.certificate_pem, Some(&minted.key_pem), now).unwrap();
        assert_eq!(folder.own("client1", now).unwrap().certificate(), &minted.certificate);
        assert_eq!(folder.shared(now).unwrap().certificate(), shared.certificate());
    }

    #[test]
    fn what_a_server_sends_is_checked_before_it_is_stored() {
        let (dir, folder, minted, now) = folder();
        let other = mint::self_signed("x").unwrap();
        let refused = folder.store("client1", &minted.certificate_pem, Some(&other.key_pem), now);
        assert!(matches!(refused, Err(Error::KeyMismatch { .. })));
        let refused = folder.store("client1", "nonsense", Some(&minted.key_pem), now);
        assert!(matches!(refused, Err(Error::NotPem { .. })));
        let refused = folder.store("../evil", &minted.certificate_pem, Some(&minted.key_pem), now);
        assert!(matches!(refused, Err(Error::Name { .. })));
        assert_eq!(fs::read_dir(dir.path().join("certificates/client/client-certs")).unwrap().count(), 2);
    }

    #[test]
    fn a_stored_key_is_for_the_owner_only_and_a_new_pair_replaces_the_old() {
        let (dir, folder, minted, now) = folder();
        let old = mint::self_signed("x").unwrap();
        folder.store("client1", &old.certificate_pem, Some(&old.key_pem), now).unwrap();
        folder.store("client1", &minted.certificate_pem, Some(&minted.key_pem), now).unwrap();
        assert_eq!(folder.own("client1", now).unwrap().certificate(), &minted.certificate);
        let key = dir.path().join("certificates/client/client-certs/client1.key");
        assert_eq!(fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_certificate_of_its_own_without_key_is_an_error_that_names_the_key() {
        let (dir, folder, minted, now) = folder();
        fs::write(dir.path().join("certificates/client/client-certs/client1.pem"), minted.certificate_pem).unwrap();
        let error = folder.own("client1", now).unwrap_err().to_string();
        assert!(error.contains("client1.key is missing"), "{error}");
    }

    #[test]
    fn a_chain_file_pins_several_servers_and_the_old_name_works() {
        let (dir, folder, minted, _) = folder();
        let path = dir.path().join("certificates/client/server-cert/server.pem");
        let both = fs::read_to_string(&path).unwrap() + &minted.certificate_pem;
        fs::write(&path, both).unwrap();
        assert_eq!(folder.pinned_servers().unwrap()[1], minted.certificate);
        fs::rename(&path, path.with_extension("crt")).unwrap();
        assert_eq!(folder.pinned_servers().unwrap().len(), 2);
        fs::remove_file(path.with_extension("crt")).unwrap();
        let error = folder.pinned_servers().unwrap_err().to_string();
        assert!(error.contains("server.pem is missing"), "{error}");
    }
}
