//! Makes keys and certificates.

use std::time::{Duration, SystemTime};

use aws_lc_rs::rand;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SerialNumber,
};

use super::Error;
use super::x509::{Certificate, hex};

/// As long as those that the Python tool makes.
pub(super) const VALID: Duration = Duration::from_secs(3650 * 86_400);
/// Certificates begin a day ago, so that a peer whose clock is behind accepts them at once.
const BACKDATED: Duration = Duration::from_secs(86_400);
/// X.520's bound of a common name.
const COMMON_NAME_MAX: usize = 64;

/// A new certificate with its key.
pub(crate) struct Minted {
    pub(crate) certificate: Certificate,
    pub(crate) certificate_pem: String,
    pub(crate) key_pem: String,
}

/// A new certificate, with its key if that was made here as well.
pub(crate) struct Fresh {
    pub(crate) certificate: Certificate,
    pub(crate) certificate_pem: String,
    pub(crate) key_pem: Option<String>,
}

impl From<Minted> for Fresh {
    fn from(Minted { certificate, certificate_pem, key_pem }: Minted) -> Self {
        Self { certificate, certificate_pem, key_pem: Some(key_pem) }
    }
}

/// A certificate authority that can sign.
#[derive(Debug)]
pub(super) struct Authority {
    pub(super) certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// A self-signed certificate that is no CA. It has no key usage: OpenSSL 1.1 would not see the issuer of a self-signed
/// certificate in it then.
pub(crate) fn self_signed(label: &str) -> Result<Minted, Error> {
    self_signed_at(label, SystemTime::now())
}

/// The same, made at another time than now.
pub(crate) fn self_signed_at(label: &str, now: SystemTime) -> Result<Minted, Error> {
    let key = new_key()?;
    let params = leaf(label, now)?;
    let certificate = params.self_signed(&key).map_err(generate)?;
    minted(&certificate, &key)
}

/// A CA certificate, which signs only certificates of ends, not of other CAs.
pub(super) fn authority(label: &str) -> Result<(Minted, Authority), Error> {
    let key = new_key()?;
    let mut params = base(label, SystemTime::now())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key).map_err(generate)?;
    let minted = minted(&certificate, &key)?;
    let authority = Authority { certificate: minted.certificate.clone(), issuer: Issuer::new(params, key) };
    Ok((minted, authority))
}

/// The CA that has this certificate and key.
pub(super) fn authority_of(certificate: &Certificate, key_pem: &[u8]) -> Result<Authority, Error> {
    let key = KeyPair::from_pem(&String::from_utf8_lossy(key_pem)).map_err(generate)?;
    let issuer = Issuer::from_ca_cert_der(certificate.der(), key).map_err(generate)?;
    Ok(Authority { certificate: certificate.clone(), issuer })
}

/// A request for a certificate for this key (PKCS#8 in PEM), in PEM.
pub(super) fn request(label: &str, key_pem: &str) -> Result<String, Error> {
    let key = KeyPair::from_pem(key_pem).map_err(generate)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = subject(label)?;
    params.serialize_request(&key).and_then(|request| request.pem()).map_err(generate)
}

/// The public key that a request in PEM is for, with its algorithm, as it stands in certificates; none if it is no
/// request, or not signed with that key.
pub(super) fn key_of_request(request_pem: &str) -> Option<Vec<u8>> {
    let request = CertificateSigningRequestParams::from_pem(request_pem).ok()?;
    Some(request.public_key.subject_public_key_info())
}

impl Authority {
    /// A certificate that this CA signed.
    pub(super) fn sign(&self, label: &str) -> Result<Minted, Error> {
        let key = new_key()?;
        let certificate = self.params(label)?.signed_by(&key, &self.issuer).map_err(generate)?;
        minted(&certificate, &key)
    }

    /// A certificate for the key of a request in PEM. Of what else it asks for nothing is granted.
    pub(super) fn sign_request(&self, label: &str, request_pem: &str) -> Result<Fresh, Error> {
        let refused = |e: rcgen::Error| Error::Offer { name: label.to_owned(), why: e.to_string() };
        let request = CertificateSigningRequestParams::from_pem(request_pem).map_err(refused)?;
        let signed = self.params(label)?.signed_by(&request.public_key, &self.issuer).map_err(generate)?;
        let certificate = Certificate::parse(signed.der()).map_err(|e| Error::Generate(e.to_string()))?;
        Ok(Fresh { certificate, certificate_pem: signed.pem(), key_pem: None })
    }

    fn params(&self, label: &str) -> Result<CertificateParams, Error> {
        let mut params = leaf(label, SystemTime::now())?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // What it signs does not outlive it.
        let end = u64::try_from(self.certificate.not_after()).unwrap_or(0);
        params.not_after = params.not_after.min((SystemTime::UNIX_EPOCH + Duration::from_secs(end)).into());
        Ok(params)
    }
}

fn leaf(label: &str, now: SystemTime) -> Result<CertificateParams, Error> {
    let mut params = base(label, now)?;
    params.is_ca = IsCa::ExplicitNoCa;
    Ok(params)
}

fn base(label: &str, now: SystemTime) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::default();
    params.not_before = (now - BACKDATED).into();
    params.not_after = (now + VALID).into();
    params.serial_number = Some(SerialNumber::from_slice(&serial()?));
    params.distinguished_name = subject(label)?;
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// A random organisation makes the hash of each subject another one, so that OpenSSL finds a certificate in a folder of
/// a thousand at once.
fn subject(label: &str) -> Result<DistinguishedName, Error> {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, hex(&random()?));
    if label.chars().count() <= COMMON_NAME_MAX {
        name.push(DnType::CommonName, label);
    }
    Ok(name)
}

/// 126 random bits in 16 bytes: positive, and never shorter.
fn serial() -> Result<[u8; 16], Error> {
    let mut bytes = random()?;
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    Ok(bytes)
}

fn random() -> Result<[u8; 16], Error> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).map_err(|_| Error::Generate("the system gave no random bytes".to_owned()))?;
    Ok(bytes)
}

fn new_key() -> Result<KeyPair, Error> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(generate)
}

fn minted(certificate: &rcgen::Certificate, key: &KeyPair) -> Result<Minted, Error> {
    Ok(Minted {
        certificate: Certificate::parse(certificate.der()).map_err(|e| Error::Generate(e.to_string()))?,
        certificate_pem: certificate.pem(),
        key_pem: key.serialize_pem(),
    })
}

#[allow(clippy::needless_pass_by_value)] // for map_err
fn generate(e: rcgen::Error) -> Error {
    Error::Generate(e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_certificates_share_serial_or_subject_hash() {
        let (a, b) = (self_signed("x").unwrap().certificate, self_signed("x").unwrap().certificate);
        assert_ne!(a.serial(), b.serial());
        assert_ne!(a.subject_hash(), b.subject_hash());
        assert_eq!(a.serial().len(), 32);
    }

    #[test]
    fn a_long_label_is_left_out_rather_than_breaking_the_name() {
        let long = "n".repeat(128);
        assert!(!self_signed(&long).unwrap().certificate.subject().contains("nn"));
        assert!(self_signed("client1").unwrap().certificate.subject().contains("CN=client1"));
    }

    #[test]
    fn a_certificate_is_valid_now_and_for_ten_years() {
        let certificate = self_signed("x").unwrap().certificate;
        assert_eq!(certificate.not_after() - certificate.not_before(), 3651 * 86_400);
    }
}
