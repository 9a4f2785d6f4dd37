//! Private keys of certificates.

use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::TestbedError;

/// The bytes before the seed in the PKCS#8 form of an Ed25519 key (RFC 8410, section 7).
const ED25519_PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// A certificate's private key.
#[derive(Clone)]
pub struct Key {
    pkcs8: Vec<u8>,
    algorithm: &'static rcgen::SignatureAlgorithm,
}

impl Key {
    /// The Ed25519 key of this seed. The same seed gives the same key and the same signatures, so
    /// the simulator's handshakes are the same byte for byte.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self {
            pkcs8: ed25519_pkcs8(&seed),
            algorithm: &PKCS_ED25519,
        }
    }

    /// A new ECDSA P-256 key from the system's entropy, which every TLS client accepts.
    ///
    /// # Errors
    /// [`TestbedError::Certificate`] if the cryptography library fails.
    pub fn generate_p256() -> Result<Self, TestbedError> {
        let pair = rcgen::KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        Ok(Self {
            pkcs8: pair.serialize_der(),
            algorithm: &PKCS_ECDSA_P256_SHA256,
        })
    }

    /// The key in PKCS#8, for rustls.
    pub fn der(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.pkcs8.clone()).into()
    }

    /// The key in PEM, for a file.
    ///
    /// # Errors
    /// [`TestbedError::Certificate`] if the key can't be read back.
    pub fn pem(&self) -> Result<String, TestbedError> {
        Ok(self.pair()?.serialize_pem())
    }

    pub(super) fn pair(&self) -> Result<rcgen::KeyPair, TestbedError> {
        let der = PrivatePkcs8KeyDer::from(self.pkcs8.as_slice());
        Ok(rcgen::KeyPair::from_pkcs8_der_and_sign_algo(
            &der,
            self.algorithm,
        )?)
    }
}

impl std::fmt::Debug for Key {
    /// Leaves out the key itself.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

fn ed25519_pkcs8(seed: &[u8; 32]) -> Vec<u8> {
    let mut der = ED25519_PKCS8_PREFIX.to_vec();
    der.extend_from_slice(seed);
    der
}
