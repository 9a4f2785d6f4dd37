//! Keys that sign tokens.

use cellway_core::routing_key::{Signed, canonical};
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize};
use serde::Serialize;
use serde_json::Value;

use super::{Key, TestbedError};

/// How a token is signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Algorithm {
    /// Ed25519. Its signatures are deterministic, so the simulator uses it.
    EdDsa,
    /// RSA, PKCS#1 v1.5, SHA-256, 2048 bits.
    Rs256,
    /// ECDSA on P-256, SHA-256.
    Es256,
}

impl Algorithm {
    /// The name in a token's `alg`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
        }
    }

    const fn jws(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
        }
    }
}

/// A signing key of an identity provider, with its `kid`.
pub struct Signer {
    kid: String,
    algorithm: Algorithm,
    key: EncodingKey,
    jwk: Value,
}

impl Signer {
    /// The Ed25519 key of this seed.
    ///
    /// # Errors
    /// [`TestbedError::Key`] if the cryptography library refuses it.
    pub fn from_seed(kid: &str, seed: [u8; 32]) -> Result<Self, TestbedError> {
        let key = EncodingKey::from_ed_der(Key::from_seed(seed).der().secret_der());
        Self::new(kid, Algorithm::EdDsa, key)
    }

    /// A new key from the system's entropy.
    ///
    /// # Errors
    /// [`TestbedError::Key`] if the cryptography library fails.
    pub fn generate(kid: &str, algorithm: Algorithm) -> Result<Self, TestbedError> {
        let key = match algorithm {
            Algorithm::EdDsa => {
                let mut seed = [0; 32];
                aws_lc_rs::rand::fill(&mut seed).map_err(unusable)?;
                return Self::from_seed(kid, seed);
            }
            Algorithm::Rs256 => {
                let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?;
                EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes())
            }
            Algorithm::Es256 => {
                let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
                EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes())
            }
        };
        Self::new(kid, algorithm, key.map_err(unusable)?)
    }

    fn new(kid: &str, algorithm: Algorithm, key: EncodingKey) -> Result<Self, TestbedError> {
        let mut jwk = Jwk::from_encoding_key(&key, algorithm.jws()).map_err(unusable)?;
        jwk.common.key_id = Some(kid.to_owned());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        let jwk = serde_json::to_value(jwk).map_err(unusable)?;
        Ok(Self {
            kid: kid.to_owned(),
            algorithm,
            key,
            jwk,
        })
    }

    /// Its name in tokens and in the key set.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The algorithm that it signs with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The public half as a JWK (RFC 7517, RFC 8037).
    pub fn jwk(&self) -> Value {
        self.jwk.clone()
    }

    /// The signature header that a gateway sends with a routing key, with the kid in `signed`.
    ///
    /// # Errors
    /// [`TestbedError::Token`] if the cryptography library fails.
    pub fn sign_routing_key(&self, signed: &Signed<'_>) -> Result<String, TestbedError> {
        let message = canonical(signed);
        let signature = jsonwebtoken::crypto::sign(&message, &self.key, self.algorithm.jws());
        let signature = signature.map_err(|why| TestbedError::Token(why.to_string()))?;
        Ok(format!(
            "v1; kid={}; t={}; sig={signature}",
            signed.kid, signed.time
        ))
    }

    /// A JWS (RFC 7515) of these claims, whose header has this `kid` and `typ`.
    pub(super) fn encode(
        &self,
        kid: &str,
        typ: Option<&str>,
        claims: &impl Serialize,
    ) -> Result<String, TestbedError> {
        let mut header = Header::new(self.algorithm.jws());
        header.kid = Some(kid.to_owned());
        header.typ = typ.map(str::to_owned);
        jsonwebtoken::encode(&header, claims, &self.key)
            .map_err(|why| TestbedError::Token(why.to_string()))
    }
}

fn unusable(why: impl std::fmt::Display) -> TestbedError {
    TestbedError::Key(why.to_string())
}

impl std::fmt::Debug for Signer {
    /// Leaves out the key itself.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}
