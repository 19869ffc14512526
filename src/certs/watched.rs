//! A certificate with its key whose files may be replaced while they are in use.

use std::path::{Path, PathBuf};

use log::{info, warn};

use super::files::{self, Stamp};
use super::{Error, Pair};
use crate::logger::AUDIT;

/// A pair, and its files as they were when it was read.
#[derive(Debug)]
pub struct WatchedPair {
    certificate: PathBuf,
    key: PathBuf,
    stamps: [Option<Stamp>; 2],
    pair: Pair,
    /// What was said last of files that cannot be used.
    told: Option<String>,
}

impl WatchedPair {
    /// Reads a certificate and its key. `now` is in Unix seconds.
    ///
    /// # Errors
    /// As [`Pair::load`].
    pub fn open(certificate: PathBuf, key: PathBuf, now: i64) -> Result<Self, Error> {
        // The stamps come first: a change while reading then shows at the next look.
        let stamps = stamps(&certificate, &key)?;
        let pair = Pair::load(&certificate, &key, now)?;
        Ok(Self { certificate, key, stamps, pair, told: None })
    }

    /// The pair that is in use.
    #[must_use]
    pub fn pair(&self) -> &Pair {
        &self.pair
    }

    /// Looks whether the files have changed, which costs little. A certificate and a key that fit take the place of those
    /// in use; others do not, and the log says why. Whether there is another pair now.
    pub fn refresh(&mut self, now: i64) -> bool {
        match self.read(now) {
            Ok(None) => false,
            Ok(Some(pair)) => {
                let is_other = *pair.certified_key().cert != *self.pair.certified_key().cert;
                if is_other || self.told.take().is_some() {
                    let (serial, path) = (pair.certificate().serial(), self.certificate.display());
                    info!(target: AUDIT, "the certificate {serial} in {path} is used from now on");
                }
                self.pair = pair;
                is_other
            }
            Err(e) => {
                let why = e.to_string();
                if self.told.as_ref() != Some(&why) {
                    let serial = self.pair.certificate().serial();
                    warn!(target: AUDIT, "the certificate {serial} stays in use, those that came cannot be: {why}");
                }
                self.told = Some(why);
                false
            }
        }
    }

    fn read(&mut self, now: i64) -> Result<Option<Pair>, Error> {
        let stamps = stamps(&self.certificate, &self.key)?;
        let holds = |(then, now): (&Option<Stamp>, &Option<Stamp>)| match (then, now) {
            (Some(then), Some(now)) => then.holds(now),
            _ => false,
        };
        if self.stamps.iter().zip(&stamps).all(holds) {
            return Ok(None);
        }
        let pair = Pair::load(&self.certificate, &self.key, now)?;
        self.stamps = stamps;
        Ok(Some(pair))
    }
}

fn stamps(certificate: &Path, key: &Path) -> Result<[Option<Stamp>; 2], Error> {
    let of = |path: &Path| Stamp::of(path).map_err(|e| files::io_error("look at", path, e));
    Ok([of(certificate)?, of(key)?])
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::certs::mint::{self, Minted};
    use crate::certs::testing::now;

    #[test]
    fn a_pair_that_fits_takes_over_and_half_of_one_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let (pem, key) = (dir.path().join("a.pem"), dir.path().join("a.key"));
        let write = |minted: &Minted| {
            fs::write(&pem, &minted.certificate_pem).unwrap();
            fs::write(&key, &minted.key_pem).unwrap();
        };
        let (old, new) = (mint::self_signed("a").unwrap(), mint::self_signed("a").unwrap());
        write(&old);
        let mut watched = WatchedPair::open(pem.clone(), key.clone(), now()).unwrap();
        assert!(!watched.refresh(now()));
        fs::write(&key, &new.key_pem).unwrap();
        assert!(!watched.refresh(now()));
        assert_eq!(watched.pair().certificate(), &old.certificate);
        assert!(watched.told.as_ref().unwrap().contains("is not the key"));
        fs::remove_file(&pem).unwrap();
        assert!(!watched.refresh(now()));
        write(&new);
        assert!(watched.refresh(now()));
        assert_eq!(watched.pair().certificate(), &new.certificate);
        assert!(!watched.refresh(now()));
    }
}
