//! Who is accepted in a TLS handshake.
//!
//! A certificate is compared whole, so its own signature, its issuer and its names tell nothing and are not looked at.
//! That the peer holds the private key is checked with the public key as it stands in the certificate, which works for
//! X.509 version 1 as well.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme};
use webpki::RawPublicKeyEntity;

use crate::certs::x509::{Malformed, OutOfTime, date};
use crate::certs::{Certificate, Identity, SharedRegistry, Why};

/// A peer's certificate that was refused, for one line in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its serial number.
    pub serial: String,
    /// Its subject, made safe for a log.
    pub subject: String,
    /// Its SHA-256, in lower-case hexadecimal.
    pub fingerprint: String,
    /// Why.
    pub reason: Reason,
}

/// Why a peer's certificate was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The registry of the server does not know it.
    Stranger(Why),
    /// It is none of those that the client pins: so many.
    NotPinned(usize),
    /// It is out of its time.
    OutOfTime {
        /// On which side.
        side: OutOfTime,
        /// When it was shown, in Unix seconds.
        now: i64,
    },
    /// No CA in the file vouches for it, or not for this host.
    NotVouchedFor(String),
    /// The peer does not hold its key.
    Signature(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Stranger(why) => write!(f, "{why}"),
            Reason::NotPinned(count) => write!(f, "it is not among the {count} pinned in server-cert/server.pem"),
            Reason::OutOfTime { side: OutOfTime::Expired { not_after }, now } => {
                write!(f, "it expired on {} (now: {})", date(*not_after), date(*now))
            }
            Reason::OutOfTime { side: OutOfTime::NotYetValid { not_before }, now } => {
                write!(f, "it is valid only from {} on (now: {})", date(*not_before), date(*now))
            }
            Reason::NotVouchedFor(why) => write!(f, "{why}"),
            Reason::Signature(why) => write!(f, "the peer does not prove that it holds the key: {why}"),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { serial, subject, fingerprint, reason } = self;
        write!(f, "the peer's certificate {serial} ({subject}; SHA-256 {fingerprint}) is refused: {reason}")
    }
}

/// Holds the last refusal until the connection's owner takes it, right after rustls returned the error.
///
/// rustls' own errors carry no facts of the certificate. One slot is enough, because handshakes are worked on one after
/// another.
#[derive(Clone, Debug, Default)]
pub struct Refusals(Arc<Mutex<Option<Refused>>>);

impl Refusals {
    /// The last refusal, once.
    #[must_use]
    pub fn take(&self) -> Option<Refused> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, certificate: &Certificate, reason: Reason) {
        let refused = Refused {
            serial: certificate.serial().to_owned(),
            subject: certificate.subject().to_owned(),
            fingerprint: certificate.fingerprint(),
            reason,
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(refused);
    }
}

/// What both verifiers share: time and signatures.
#[derive(Debug)]
struct Checks {
    algorithms: WebPkiSupportedAlgorithms,
    refusals: Refusals,
}

impl Checks {
    /// The first step of each check. What an earlier one left in the slot is nobody's any more.
    fn parse(&self, der: &CertificateDer<'_>) -> Result<Certificate, Error> {
        let _ = self.refusals.take();
        Certificate::parse(der).map_err(|_: Malformed| CertificateError::BadEncoding.into())
    }

    fn refuse(&self, certificate: &Certificate, reason: Reason, error: Error) -> Error {
        self.refusals.put(certificate, reason);
        error
    }

    fn time(&self, certificate: &Certificate, time: UnixTime) -> Result<(), Error> {
        let now = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        let unix = |seconds: i64| UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds.max(0) as u64));
        certificate.check_time(now).map_err(|side| {
            let error = match side {
                OutOfTime::Expired { not_after } => {
                    CertificateError::ExpiredContext { time, not_after: unix(not_after) }
                }
                OutOfTime::NotYetValid { not_before } => {
                    CertificateError::NotValidYetContext { time, not_before: unix(not_before) }
                }
            };
            self.refuse(certificate, Reason::OutOfTime { side, now }, error.into())
        })
    }

    fn tls12(
        &self,
        message: &[u8],
        der: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let certificate = self.parse(der)?;
        self.raw_tls12(message, certificate.spki(), signed)
            .map_err(|e| self.refuse(&certificate, Reason::Signature(e.to_string()), e))
    }

    /// As rustls does it in TLS 1.2, where a scheme does not tell the curve: each algorithm of the scheme is tried.
    fn raw_tls12(
        &self,
        message: &[u8],
        spki: &SubjectPublicKeyInfoDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = RawPublicKeyEntity::try_from(spki).map_err(|_| CertificateError::BadEncoding)?;
        let scheme = self.algorithms.mapping.iter().find(|(scheme, _)| *scheme == signed.scheme);
        let possible = scheme.map_or(&[][..], |(_, algorithms)| algorithms);
        let mut last = webpki::Error::InvalidSignatureForPublicKey;
        for algorithm in possible {
            match key.verify_signature(*algorithm, message, signed.signature()) {
                Ok(()) => return Ok(HandshakeSignatureValid::assertion()),
                Err(e @ webpki::Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_)) => last = e,
                Err(_) => return Err(CertificateError::BadSignature.into()),
            }
        }
        match last {
            webpki::Error::InvalidSignatureForPublicKey => Err(CertificateError::BadSignature.into()),
            unsupported => Err(CertificateError::Other(OtherError(Arc::new(unsupported))).into()),
        }
    }

    /// TLS 1.3 allows no PKCS#1 signatures; rustls' function sees to that.
    fn tls13(
        &self,
        message: &[u8],
        der: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let certificate = self.parse(der)?;
        verify_tls13_signature_with_raw_key(message, certificate.spki(), signed, &self.algorithms)
            .map_err(|e| self.refuse(&certificate, Reason::Signature(e.to_string()), e))
    }
}

/// For a server: accepts the clients that the registry knows.
#[derive(Debug)]
pub(super) struct ClientVerifier {
    registry: SharedRegistry,
    checks: Checks,
}

impl ClientVerifier {
    pub(super) fn new(registry: SharedRegistry, algorithms: WebPkiSupportedAlgorithms, refusals: Refusals) -> Self {
        Self { registry, checks: Checks { algorithms, refusals } }
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let certificate = self.checks.parse(end_entity)?;
        match self.registry.identify(end_entity) {
            Identity::Default { .. } | Identity::Named { .. } => {}
            // The alert that Python clients know from OpenSSL in the same case.
            Identity::Unknown(stranger) => {
                let unknown = CertificateError::UnknownIssuer.into();
                return Err(self.checks.refuse(&certificate, Reason::Stranger(stranger.why), unknown));
            }
        }
        self.checks.time(&certificate, now)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.checks.tls12(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.checks.tls13(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.checks.algorithms.supported_schemes()
    }
}

/// Which servers a client accepts, with files read.
#[derive(Debug)]
pub(super) enum ServersAccepted {
    /// All.
    Anyone,
    /// Those that show one of these certificates.
    Pinned(Vec<Certificate>),
    /// Those with a chain to a CA, or whose very certificate is listed; for the right host.
    SignedBy {
        /// Checks chain, time and name.
        chains: Arc<WebPkiServerVerifier>,
        /// All certificates in the file.
        listed: Vec<CertificateDer<'static>>,
        /// The certificate must be for the host's name.
        for_host: bool,
    },
}

/// For a client: accepts the servers that it should.
#[derive(Debug)]
pub(super) struct ServerVerifier {
    accepted: ServersAccepted,
    checks: Checks,
}

impl ServerVerifier {
    pub(super) fn new(accepted: ServersAccepted, algorithms: WebPkiSupportedAlgorithms, refusals: Refusals) -> Self {
        Self { accepted, checks: Checks { algorithms, refusals } }
    }

    fn pinned(&self, pinned: &[Certificate], end_entity: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
        let certificate = self.checks.parse(end_entity)?;
        if !pinned.contains(&certificate) {
            let unknown = CertificateError::UnknownIssuer.into();
            return Err(self.checks.refuse(&certificate, Reason::NotPinned(pinned.len()), unknown));
        }
        self.checks.time(&certificate, now)
    }

    /// What webpki says stands, except that a self-signed certificate which is in the file itself is as good as one that
    /// a CA signed: OpenSSL, and so a Python client, takes it too.
    fn listed(
        &self,
        refused: Error,
        listed: &[CertificateDer<'_>],
        end_entity: &CertificateDer<'_>,
        name: Option<&ServerName<'_>>,
        now: UnixTime,
    ) -> Result<(), Error> {
        let certificate = self.checks.parse(end_entity)?;
        if !listed.contains(end_entity) {
            return Err(self.checks.refuse(&certificate, Reason::NotVouchedFor(refused.to_string()), refused));
        }
        self.checks.time(&certificate, now)?;
        let Some(name) = name else { return Ok(()) };
        ParsedCertificate::try_from(end_entity)
            .and_then(|parsed| verify_server_name(&parsed, name))
            .map_err(|e| self.checks.refuse(&certificate, Reason::NotVouchedFor(e.to_string()), e))
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.accepted {
            ServersAccepted::Anyone => {}
            ServersAccepted::Pinned(pinned) => self.pinned(pinned, end_entity, now)?,
            ServersAccepted::SignedBy { chains, listed, for_host } => {
                let vouched = chains.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
                if let Err(refused) = vouched {
                    // The name is looked at last: all else holds.
                    let is_named_otherwise = matches!(
                        refused,
                        Error::InvalidCertificate(
                            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
                        )
                    );
                    if *for_host || !is_named_otherwise {
                        let name = for_host.then_some(server_name);
                        self.listed(refused, listed, end_entity, name, now)?;
                    }
                }
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.checks.tls12(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.checks.tls13(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.checks.algorithms.supported_schemes()
    }
}
