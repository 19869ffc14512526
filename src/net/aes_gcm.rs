//! AES-GCM for TLS 1.3, by whichever library is faster on this processor.
//!
//! rustls has all its cryptography from aws-lc here. With VAES, instructions that work on several blocks at a time, that of
//! aws-lc is fast only where there is AVX-512 as well. Many processors have VAES without it, such as AMD's third Zen and
//! Intel's of late for desktops and edge boxes: there *ring* is about twice as fast (AES-256-GCM in records of 16 KiB on an
//! EPYC of the third generation: 6.9 GB/s beside 3.7), and sealing and opening is the largest single cost of a message of
//! 1 KB. Only the cipher is exchanged: hashes, keys, signatures and the handshake stay with aws-lc, and what is on the wire
//! is the same.
//!
//! rustls has a provider of its own for *ring*; but a program that embeds a connector could then no more rely on rustls to
//! find its only one.

use std::sync::LazyLock;

use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, LessSafeKey, Nonce, UnboundKey};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::cipher_suite;
use rustls::crypto::cipher::{
    self, AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, MessageDecrypter, MessageEncrypter,
    OutboundOpaqueMessage, OutboundPlainMessage, PrefixedPayload, Tls13AeadAlgorithm, UnsupportedOperationError,
    make_tls13_aad,
};
use rustls::{
    CipherSuiteCommon, ConnectionTrafficSecrets, ContentType, Error, ProtocolVersion, SupportedCipherSuite,
    Tls13CipherSuite,
};

/// Bytes that sealing adds to a record: the type of what is in it, and the tag.
const SEALED_MORE: usize = 1 + 16;

static AES_256: AesGcm = AesGcm { algorithm: &AES_256_GCM, key_length: 32 };
static AES_128: AesGcm = AesGcm { algorithm: &AES_128_GCM, key_length: 16 };

/// The suites of TLS 1.3 with AES-GCM by *ring*: the same as rustls has them, but for the cipher.
static SUITES: LazyLock<Vec<Tls13CipherSuite>> = LazyLock::new(|| {
    let suites =
        [(&cipher_suite::TLS13_AES_256_GCM_SHA384, &AES_256), (&cipher_suite::TLS13_AES_128_GCM_SHA256, &AES_128)];
    let with = |(suite, aead_alg): (&SupportedCipherSuite, &'static AesGcm)| {
        let suite = suite.tls13()?;
        let CipherSuiteCommon { suite: name, hash_provider, confidentiality_limit } = suite.common;
        let common = CipherSuiteCommon { suite: name, hash_provider, confidentiality_limit };
        Some(Tls13CipherSuite { common, hkdf_provider: suite.hkdf_provider, aead_alg, quic: None })
    };
    suites.into_iter().filter_map(with).collect()
});

/// Has `provider` seal and open by *ring* if that is faster here.
pub(super) fn choose(provider: &mut CryptoProvider) {
    if is_faster() {
        exchange(provider);
    }
}

/// Whether there is VAES without AVX-512.
fn is_faster() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        let has_vaes = is_x86_feature_detected!("vaes") && is_x86_feature_detected!("vpclmulqdq");
        has_vaes && is_x86_feature_detected!("avx2") && !is_x86_feature_detected!("avx512vl")
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Puts the suites here in the place of those of the same name.
pub(super) fn exchange(provider: &mut CryptoProvider) {
    for suite in &mut provider.cipher_suites {
        if let Some(own) = SUITES.iter().find(|own| own.common.suite == suite.suite()) {
            *suite = SupportedCipherSuite::Tls13(own);
        }
    }
}

/// The cipher with keys of one length.
struct AesGcm {
    algorithm: &'static Algorithm,
    /// Bytes.
    key_length: usize,
}

impl AesGcm {
    fn sealed(&self, key: &AeadKey, iv: Iv) -> Sealed {
        // rustls makes keys of the length that `key_len` says; that is all that can be wrong with one.
        let key = UnboundKey::new(self.algorithm, key.as_ref()).unwrap();
        Sealed { key: LessSafeKey::new(key), iv }
    }
}

impl Tls13AeadAlgorithm for AesGcm {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        Box::new(self.sealed(&key, iv))
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        Box::new(self.sealed(&key, iv))
    }

    fn key_len(&self) -> usize {
        self.key_length
    }

    fn extract_keys(&self, key: AeadKey, iv: Iv) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        Ok(match self.key_length {
            16 => ConnectionTrafficSecrets::Aes128Gcm { key, iv },
            _ => ConnectionTrafficSecrets::Aes256Gcm { key, iv },
        })
    }
}

/// One direction of a connection.
struct Sealed {
    key: LessSafeKey,
    iv: Iv,
}

impl Sealed {
    /// What record number `sequence` is sealed with. rustls counts, and renews the keys before the count repeats.
    fn nonce(&self, sequence: u64) -> Nonce {
        Nonce::assume_unique_for_key(cipher::Nonce::new(&self.iv, sequence).0)
    }
}

impl MessageEncrypter for Sealed {
    fn encrypt(&mut self, record: OutboundPlainMessage<'_>, sequence: u64) -> Result<OutboundOpaqueMessage, Error> {
        let length = self.encrypted_payload_len(record.payload.len());
        let mut payload = PrefixedPayload::with_capacity(length);
        payload.extend_from_chunks(&record.payload);
        payload.extend_from_slice(&record.typ.to_array());
        let aad = Aad::from(make_tls13_aad(length));
        let sealed = self.key.seal_in_place_append_tag(self.nonce(sequence), aad, &mut payload);
        sealed.map_err(|_| Error::EncryptError)?;
        // What all records of TLS 1.3 say that they are (RFC 8446, 5.2).
        Ok(OutboundOpaqueMessage::new(ContentType::ApplicationData, ProtocolVersion::TLSv1_2, payload))
    }

    fn encrypted_payload_len(&self, length: usize) -> usize {
        length + SEALED_MORE
    }
}

impl MessageDecrypter for Sealed {
    fn decrypt<'a>(
        &mut self,
        mut record: InboundOpaqueMessage<'a>,
        sequence: u64,
    ) -> Result<InboundPlainMessage<'a>, Error> {
        let aad = Aad::from(make_tls13_aad(record.payload.len()));
        let opened = self.key.open_in_place(self.nonce(sequence), aad, &mut record.payload);
        let length = opened.map_err(|_| Error::DecryptError)?.len();
        record.payload.truncate(length);
        record.into_tls13_unpadded_message()
    }
}
