//! A certificate and its private key, from PEM files.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};

use super::files;
use super::x509::{Certificate, OutOfTime};
use super::{Error, x509};

/// A certificate with the key that belongs to it.
#[derive(Clone, Debug)]
pub struct Pair {
    certificate: Certificate,
    certified: Arc<CertifiedKey>,
}

impl Pair {
    /// Reads a certificate (or a chain that begins with it) and its key; RSA keys in PKCS#1 or PKCS#8, EC keys in SEC 1
    /// or PKCS#8. `now` is in Unix seconds.
    ///
    /// # Errors
    /// A file is missing, unreadable or not PEM; the key is another certificate's; the certificate is out of its time.
    pub fn load(certificate: &Path, key: &Path, now: i64) -> Result<Self, Error> {
        let certificate_pem = files::read(certificate, "a certificate")?;
        let key_pem = files::read(key, "the key of a certificate")?;
        Self::from_pem((&certificate_pem, certificate), (&key_pem, key), now)
    }

    /// The same, from texts that were read from, or will be written to, the paths.
    ///
    /// # Errors
    /// As [`Pair::load`].
    pub(super) fn from_pem(
        (certificate_pem, certificate_path): (&[u8], &Path),
        (key_pem, key_path): (&[u8], &Path),
        now: i64,
    ) -> Result<Self, Error> {
        let chain = certificates(certificate_pem, certificate_path)?;
        // `certificates` gives at least one.
        let certificate = chain[0].clone();
        let key = signing_key(key_pem, key_path)?;
        if key.public_key().is_none_or(|public| public.as_ref() != certificate.spki().as_ref()) {
            return Err(Error::KeyMismatch { certificate: certificate_path.to_owned(), key: key_path.to_owned() });
        }
        check_time(&certificate, certificate_path, now)?;
        let chain: Vec<CertificateDer<'static>> = chain.into_iter().map(|c| c.der().clone()).collect();
        Ok(Self { certificate, certified: Arc::new(CertifiedKey::new(chain, key)) })
    }

    /// The certificate.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Chain and key as rustls takes them.
    #[must_use]
    pub fn certified_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }
}

/// All certificates in a PEM file, at least one.
///
/// # Errors
/// The file is missing, unreadable or not PEM, or a block in it is no certificate.
pub fn load_certificates(path: &Path) -> Result<Vec<Certificate>, Error> {
    certificates(&files::read(path, "a certificate")?, path)
}

/// All certificates in a PEM file, at least one, as they are: whether they can be read is not looked at.
///
/// # Errors
/// The file is missing, unreadable or not PEM.
pub fn load_ders(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    ders(&files::read(path, "certificates")?, path)
}

fn ders(text: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let not_pem = |found: String| Error::NotPem { path: path.to_owned(), expected: "a certificate", found };
    let blocks: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(text)
        .collect::<Result<_, _>>()
        .map_err(|e| not_pem(format!("it is broken: {e}")))?;
    if blocks.is_empty() { Err(not_pem(contents(text))) } else { Ok(blocks) }
}

pub(super) fn certificates(text: &[u8], path: &Path) -> Result<Vec<Certificate>, Error> {
    let blocks = ders(text, path)?;
    let parse = |der: &CertificateDer<'_>| {
        Certificate::parse(der)
            .map_err(|e: x509::Malformed| Error::NotACertificate { path: path.to_owned(), why: e.to_string() })
    };
    blocks.iter().map(parse).collect()
}

fn signing_key(text: &[u8], path: &Path) -> Result<Arc<dyn SigningKey>, Error> {
    let der = PrivateKeyDer::from_pem_slice(text).map_err(|e| {
        let found = match e {
            pem::Error::NoItemsFound => contents(text),
            broken => format!("it is broken: {broken}"),
        };
        Error::NotPem { path: path.to_owned(), expected: "a private key without passphrase", found }
    })?;
    any_supported_type(&der).map_err(|e| Error::UnusableKey { path: path.to_owned(), why: e.to_string() })
}

/// What a PEM file holds, by its first label: enough to see that two files were mixed up. Never a line of its contents,
/// which could be a key.
fn contents(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let label = text.lines().find_map(|line| line.trim().strip_prefix("-----BEGIN ")?.strip_suffix("-----"));
    match label {
        Some(label) => format!("it holds {:?}", label.chars().take(40).collect::<String>()),
        None if text.trim().is_empty() => "it is empty".to_owned(),
        None => "it has no PEM block".to_owned(),
    }
}

fn check_time(certificate: &Certificate, path: &Path, now: i64) -> Result<(), Error> {
    let path = path.to_owned();
    certificate.check_time(now).map_err(|e| match e {
        OutOfTime::Expired { not_after } => Error::Expired { path, not_after, now },
        OutOfTime::NotYetValid { not_before } => Error::NotYetValid { path, not_before, now },
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::certs::mint;

    const DAY: i64 = 86_400;

    struct Files {
        dir: tempfile::TempDir,
        now: i64,
    }

    impl Files {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let minted = mint::self_signed("a").unwrap();
            fs::write(dir.path().join("a.pem"), &minted.certificate_pem).unwrap();
            fs::write(dir.path().join("a.key"), &minted.key_pem).unwrap();
            Self { dir, now: minted.certificate.not_before() + DAY }
        }

        fn load(&self, certificate: &str, key: &str, now: i64) -> Result<Pair, Error> {
            Pair::load(&self.dir.path().join(certificate), &self.dir.path().join(key), now)
        }
    }

    #[test]
    fn a_pair_that_fits_is_loaded() {
        let files = Files::new();
        let pair = files.load("a.pem", "a.key", files.now).unwrap();
        assert_eq!(pair.certified_key().cert[0], *pair.certificate().der());
    }

    #[test]
    fn the_key_of_another_certificate_is_refused() {
        let files = Files::new();
        fs::write(files.dir.path().join("b.key"), mint::self_signed("b").unwrap().key_pem).unwrap();
        assert!(matches!(files.load("a.pem", "b.key", files.now), Err(Error::KeyMismatch { .. })));
    }

    #[test]
    fn each_fault_has_an_error_of_its_own_with_the_path_in_one_line() {
        let files = Files::new();
        fs::write(files.dir.path().join("text"), "hello").unwrap();
        fs::write(files.dir.path().join("half"), "-----BEGIN CERTIFICATE-----\nMIIB").unwrap();
        fs::write(files.dir.path().join("junk"), "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
            .unwrap();
        let cases = [
            (files.load("none", "a.key", files.now), "none is missing"),
            (files.load(".", "a.key", files.now), "cannot read"),
            (files.load("text", "a.key", files.now), "no PEM block"),
            (files.load("half", "a.key", files.now), "is broken"),
            (files.load("junk", "a.key", files.now), "holds no certificate"),
            (files.load("a.key", "a.key", files.now), "it holds \"PRIVATE KEY\""),
            (files.load("a.pem", "a.pem", files.now), "it holds \"CERTIFICATE\""),
            (files.load("a.pem", "a.key", files.now - 30 * DAY), "is valid only from"),
            (files.load("a.pem", "a.key", files.now + 4000 * DAY), "expired on"),
        ];
        for (result, part) in cases {
            let line = result.expect_err(part).to_string();
            assert!(line.contains(part), "{line:?} should say {part:?}");
            assert!(line.contains(files.dir.path().to_str().unwrap()) && !line.contains('\n'), "{line:?}");
        }
    }
}
