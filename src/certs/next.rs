//! The next certificate of a client: made here, asked for, and put in the place of the one before.
//!
//! | step | after a crash |
//! | --- | --- |
//! | `.NAME.next.key`, `.NAME.next.pem` | they are offered again, so that a server that has taken them knows them |
//! | the server's answer | as before, or `.NAME.next.pem` is what the server has signed |
//! | `.NAME.next.key` becomes `NAME.key` | the certificate lacks: it follows at the next look |
//! | `.NAME.next.pem` becomes `NAME.pem` | done |

use std::path::PathBuf;

use super::pair::Pair;
use super::{ClientFolder, Error, files, mint};
use crate::wire::control::Offer;
use crate::wire::names::validate_client_name;

impl ClientFolder {
    fn next(&self, name: &str) -> (PathBuf, PathBuf) {
        let next = format!(".{name}.next");
        (self.layout.own_certificate(&next), self.layout.own_key(&next))
    }

    /// What `name` offers to the server that it asks for a certificate: one that it has made, and a request that a CA can
    /// sign. Their key stays here. `now` is in Unix seconds.
    ///
    /// # Errors
    /// `name` is no client's name, or a file cannot be written.
    pub fn offer(&self, name: &str, now: i64) -> Result<Offer, Error> {
        validate_client_name(name).map_err(|source| Error::Name { name: name.to_owned(), source })?;
        self.settle(name)?;
        let (certificate, key) = self.next(name);
        if Pair::load(&certificate, &key, now).is_err() {
            let minted = mint::self_signed(name)?;
            files::remove_if_there(&certificate)?;
            files::write_whole(&key, minted.key_pem.as_bytes(), files::SECRET)?;
            files::write_whole(&certificate, minted.certificate_pem.as_bytes(), files::PUBLIC)?;
        }
        let text =
            |path| files::read(path, "what a server is asked for").map(|t| String::from_utf8_lossy(&t).into_owned());
        let request = mint::request(name, &text(&key)?)?;
        Ok(Offer { certificate_pem: Some(text(&certificate)?), request_pem: Some(request) })
    }

    /// Keeps the certificate that a server issued to `name`, after a look at whether it can be used; without a key, it
    /// is for the one that [`offer`](Self::offer) was made with.
    ///
    /// # Errors
    /// `name` is no client's name, the texts are no certificate and key that fit, or a file cannot be written.
    pub fn store(&self, name: &str, certificate_pem: &str, key_pem: Option<&str>, now: i64) -> Result<(), Error> {
        validate_client_name(name).map_err(|source| Error::Name { name: name.to_owned(), source })?;
        self.settle(name)?;
        let (next_certificate, next_key) = self.next(name);
        let key = match key_pem {
            Some(key) => key.as_bytes().to_vec(),
            None => files::read(&next_key, "the key of the certificate that was asked for")?,
        };
        let (certificate, own_key) = (self.layout.own_certificate(name), self.layout.own_key(name));
        Pair::from_pem((certificate_pem.as_bytes(), &certificate), (&key, &own_key), now)?;
        if key_pem.is_some() {
            // What was made here is of no use any more, and must not meet another key.
            files::remove_if_there(&next_certificate)?;
            files::write_whole(&next_key, &key, files::SECRET)?;
        }
        files::write_whole(&next_certificate, certificate_pem.as_bytes(), files::PUBLIC)?;
        files::rename(&next_key, &own_key)?;
        files::rename(&next_certificate, &certificate)
    }

    /// Ends what a crash has left half-done: the key is in its place, and its certificate follows.
    pub(super) fn settle(&self, name: &str) -> Result<(), Error> {
        let (next_certificate, next_key) = self.next(name);
        if !files::exists(&next_certificate) || files::exists(&next_key) {
            return Ok(());
        }
        // Whether it is in its time plays no part here.
        let fits = match Pair::load(&next_certificate, &self.layout.own_key(name), 0) {
            Ok(_) | Err(Error::Expired { .. } | Error::NotYetValid { .. }) => true,
            Err(_) => false,
        };
        if fits {
            return files::rename(&next_certificate, &self.layout.own_certificate(name));
        }
        files::remove_if_there(&next_certificate)
    }

    /// Forgets what was made and not asked for yet.
    pub(super) fn forget_next(&self, name: &str) -> Result<(), Error> {
        let (certificate, key) = self.next(name);
        files::remove_if_there(&certificate)?;
        files::remove_if_there(&key)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::certs::pair::load_certificates;
    use crate::certs::testing::now;
    use crate::certs::{Layout, create};

    fn folder() -> (tempfile::TempDir, ClientFolder, Layout) {
        let dir = tempfile::tempdir().unwrap();
        create(dir.path(), false).unwrap();
        let (folder, layout) = (ClientFolder::new(dir.path()), Layout::new(dir.path()));
        (dir, folder, layout)
    }

    #[test]
    fn what_was_offered_and_not_answered_is_offered_again() {
        let (_dir, folder, layout) = folder();
        let first = folder.offer("c1", now()).unwrap();
        let again = folder.offer("c1", now()).unwrap();
        assert_eq!(first.certificate_pem, again.certificate_pem);
        folder.store("c1", first.certificate_pem.as_ref().unwrap(), None, now()).unwrap();
        assert_eq!(fs::read_to_string(layout.own_certificate("c1")).unwrap(), first.certificate_pem.clone().unwrap());
        assert_ne!(folder.offer("c1", now()).unwrap().certificate_pem, first.certificate_pem);
    }

    #[test]
    fn a_crash_between_the_key_and_its_certificate_is_mended() {
        let (_dir, folder, layout) = folder();
        let old = folder.offer("c1", now()).unwrap().certificate_pem.unwrap();
        folder.store("c1", &old, None, now()).unwrap();
        let new = folder.offer("c1", now()).unwrap().certificate_pem.unwrap();
        let (_, next_key) = folder.next("c1");
        fs::rename(next_key, layout.own_key("c1")).unwrap();
        let own = folder.own("c1", now()).unwrap();
        let new_path = layout.root().join("new.pem");
        fs::write(&new_path, new).unwrap();
        assert_eq!(own.certificate(), &load_certificates(&new_path).unwrap()[0]);
    }

    #[test]
    fn a_certificate_for_another_key_than_the_one_that_was_kept_is_refused() {
        let (_dir, folder, _) = folder();
        let other = mint::self_signed("c1").unwrap().certificate_pem;
        folder.offer("c1", now()).unwrap();
        assert!(matches!(folder.store("c1", &other, None, now()), Err(Error::KeyMismatch { .. })));
        assert!(!folder.has_own("c1"));
    }
}
