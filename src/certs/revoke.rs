//! Taking a client's certificate back.
//!
//! The files change as the Python tool changes them, so that it finds what it expects: the link goes, and those of the
//! same hash behind it move up, because OpenSSL stops at the first number that is missing; then the entry; then the
//! files. After the first step (without a CA) or the second (with one) the certificate is accepted no more; what a crash
//! leaves of the rest goes with the next attempt.

use super::issue::link_target;
use super::{Error, Registry, files};
use crate::wire::names::validate_client_name;

impl Registry {
    /// Takes the certificate of `name` back: it is refused from now on, and the name is free for a new one. With
    /// `only_link` its files stay, and with them the name is not given a new one.
    ///
    /// # Returns
    /// The serial numbers that the name had.
    ///
    /// # Errors
    /// `name` is no client's name, or has no certificate; a file cannot be written.
    pub fn delete(&mut self, name: &str, only_link: bool) -> Result<Vec<String>, Error> {
        validate_client_name(name).map_err(|source| Error::Name { name: name.to_owned(), source })?;
        self.unseen.remove(name);
        let linked = self.links.remove(&link_target(name))?;
        self.drop_next(name)?;
        let serials = self.names.forget(name)?;
        let (certificate, key) = (self.layout.client_certificate(name), self.layout.client_key(name));
        let there = files::exists(&certificate) && !only_link;
        if there {
            files::remove_if_there(&key)?;
            files::remove_if_there(&certificate)?;
        }
        if serials.is_empty() && !linked && !there {
            return Err(Error::NotIssued { name: name.to_owned(), path: self.names.path().clone() });
        }
        Ok(serials)
    }
}
