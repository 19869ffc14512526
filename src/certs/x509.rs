//! The facts of one certificate, of X.509 version 1 or 3.

use std::fmt;

use aws_lc_rs::digest;
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};
use x509_parser::time::ASN1Time;

use super::name_hash::name_hash;

/// A subject is shown in logs with at most so many characters: it comes from a stranger.
const SUBJECT_SHOWN_MAX: usize = 200;

/// Bytes that are not a certificate, and where reading them failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(String);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl std::error::Error for Malformed {}

/// Where a moment lies outside a certificate's time. Times are Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutOfTime {
    /// It is past the end.
    Expired {
        /// The last second.
        not_after: i64,
    },
    /// It is before the start.
    NotYetValid {
        /// The first second.
        not_before: i64,
    },
}

/// A certificate that was parsed, with what connectors need to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    der: CertificateDer<'static>,
    spki: SubjectPublicKeyInfoDer<'static>,
    serial: String,
    subject: String,
    subject_hash: String,
    issuer_hash: String,
    signs: bool,
    plain: bool,
    not_before: i64,
    not_after: i64,
}

impl Certificate {
    /// Reads one certificate in DER. Its signature is not checked: trust comes from pinning.
    ///
    /// # Errors
    /// The bytes are not one certificate, or more than one.
    pub fn parse(der: &[u8]) -> Result<Self, Malformed> {
        let (rest, x509) = X509Certificate::from_der(der).map_err(|e| Malformed(e.to_string()))?;
        if !rest.is_empty() {
            return Err(Malformed(format!("{} bytes follow the certificate", rest.len())));
        }
        Ok(Self {
            der: CertificateDer::from(der.to_vec()),
            spki: SubjectPublicKeyInfoDer::from(x509.public_key().raw.to_vec()),
            serial: integer_hex(x509.raw_serial()),
            subject: printable(&x509.subject().to_string()),
            subject_hash: name_hash(x509.subject()),
            issuer_hash: name_hash(x509.issuer()),
            signs: says_ca(&x509) == Some(true),
            plain: says_ca(&x509) == Some(false) && x509.version() == X509Version::V3,
            not_before: x509.validity().not_before.timestamp(),
            not_after: x509.validity().not_after.timestamp(),
        })
    }

    /// The certificate itself.
    #[must_use]
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// The public key with its algorithm, as it stands in the certificate.
    #[must_use]
    pub fn spki(&self) -> &SubjectPublicKeyInfoDer<'static> {
        &self.spki
    }

    /// The serial number as `openssl x509 -serial` and Python's `getpeercert()` have it: upper-case hexadecimal, two
    /// digits a byte. It is the key of `source_id_2_cert.json`.
    #[must_use]
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// The subject, for people: at most 200 characters, nothing that could disturb a terminal or a log line.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The hash that `openssl x509 -hash` prints.
    #[must_use]
    pub fn subject_hash(&self) -> &str {
        &self.subject_hash
    }

    /// The same of the name of who signed it.
    #[must_use]
    pub fn issuer_hash(&self) -> &str {
        &self.issuer_hash
    }

    /// Whether it is a CA's.
    #[must_use]
    pub fn signs(&self) -> bool {
        self.signs
    }

    /// Whether it says, as only version 3 can, that it is no CA's.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.plain
    }

    /// Whether this is a CA's, and `other` is signed by it.
    #[must_use]
    pub fn has_signed(&self, other: &Self) -> bool {
        self.signs && self.subject_hash == other.issuer_hash && verifies(other, self)
    }

    /// Whether it is signed by its own key, under its own name.
    #[must_use]
    pub fn has_signed_itself(&self) -> bool {
        self.subject_hash == self.issuer_hash && verifies(self, self)
    }

    /// Its first second, in Unix time.
    #[must_use]
    pub fn not_before(&self) -> i64 {
        self.not_before
    }

    /// Its last second, in Unix time.
    #[must_use]
    pub fn not_after(&self) -> i64 {
        self.not_after
    }

    /// The SHA-256 of the certificate, in lower-case hexadecimal.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.der)
    }

    /// Checks that `now` (Unix seconds) lies within its time.
    ///
    /// # Errors
    /// Which end it lies beyond.
    pub fn check_time(&self, now: i64) -> Result<(), OutOfTime> {
        if now > self.not_after {
            return Err(OutOfTime::Expired { not_after: self.not_after });
        }
        if now < self.not_before {
            return Err(OutOfTime::NotYetValid { not_before: self.not_before });
        }
        Ok(())
    }
}

/// Whether it says that it is a CA's; none if it says nothing of it.
fn says_ca(x509: &X509Certificate<'_>) -> Option<bool> {
    x509.basic_constraints().ok().flatten().map(|constraints| constraints.value.ca)
}

/// Whether the key of `signer` has signed `signed`, and both name it the same.
fn verifies(signed: &Certificate, signer: &Certificate) -> bool {
    let (Ok((_, signed)), Ok((_, signer))) =
        (X509Certificate::from_der(&signed.der), X509Certificate::from_der(&signer.der))
    else {
        return false;
    };
    signed.verify_signature(Some(signer.public_key())).is_ok()
}

/// The SHA-256 of any bytes, in lower-case hexadecimal.
pub(crate) fn fingerprint(der: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, der).as_ref())
}

/// Bytes in lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Unix seconds as a date and time in UTC, for people.
#[must_use]
pub fn date(unix: i64) -> String {
    ASN1Time::from_timestamp(unix)
        .map_or_else(|_| format!("{unix} s of Unix time"), |time| time.to_string().replace(" +00:00", " UTC"))
}

/// What OpenSSL prints for an INTEGER: its magnitude, and a sign if it is negative (which a sane CA never makes).
fn integer_hex(content: &[u8]) -> String {
    let negative = content.first().is_some_and(|first| first & 0x80 != 0);
    let mut magnitude = content.to_vec();
    if negative {
        negate(&mut magnitude);
    }
    let zeros = magnitude.iter().take_while(|b| **b == 0).count().min(magnitude.len().saturating_sub(1));
    let digits: String = magnitude[zeros..].iter().map(|b| format!("{b:02X}")).collect();
    if negative { format!("-{digits}") } else { digits }
}

fn negate(two_complement: &mut [u8]) {
    let mut carry = true;
    for byte in two_complement.iter_mut().rev() {
        let (sum, overflow) = (!*byte).overflowing_add(u8::from(carry));
        *byte = sum;
        carry = overflow;
    }
}

fn printable(text: &str) -> String {
    text.chars().take(SUBJECT_SHOWN_MAX).map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_print_like_openssl() {
        assert_eq!(integer_hex(&[0x00, 0x8f, 0x7a]), "8F7A");
        assert_eq!(integer_hex(&[0x01]), "01");
        assert_eq!(integer_hex(&[0x0a, 0x00]), "0A00");
        assert_eq!(integer_hex(&[0x00]), "00");
        assert_eq!(integer_hex(&[0xff]), "-01");
        assert_eq!(integer_hex(&[0xff, 0x00]), "-0100");
        assert_eq!(integer_hex(&[0x80]), "-80");
    }

    #[test]
    fn what_a_stranger_calls_himself_cannot_break_a_log_line() {
        assert_eq!(printable("O=a\nERROR\u{1b}[2J"), "O=a?ERROR?[2J");
        assert_eq!(printable(&"x".repeat(500)).len(), SUBJECT_SHOWN_MAX);
    }

    #[test]
    fn bytes_that_are_no_certificate_say_so() {
        assert!(Certificate::parse(b"").is_err());
        assert!(Certificate::parse(&[0x30, 0x82, 0xff, 0xff, 0x00]).is_err());
    }

    #[test]
    fn dates_are_readable() {
        assert_eq!(date(1_700_000_000), "Nov 14 22:13:20 2023 UTC");
    }
}
