//! Keys that sign tokens.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value, json};

use super::LabError;

/// How a token is signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Algorithm {
    /// Ed25519: repeatable, so the simulator's choice.
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
}

/// A signing key of an identity provider, with its `kid`.
pub struct Signer {
    kid: String,
    key: SigningKey,
}

enum SigningKey {
    EdDsa(Ed25519KeyPair),
    Rs256(RsaKeyPair),
    Es256(EcdsaKeyPair),
}

impl Signer {
    /// The Ed25519 key of this seed.
    ///
    /// # Errors
    /// [`LabError::Key`] if the cryptography library refuses it.
    pub fn from_seed(kid: &str, seed: [u8; 32]) -> Result<Self, LabError> {
        let key = Ed25519KeyPair::from_seed_unchecked(&seed);
        let key = key.map_err(|why| LabError::Key(why.to_string()))?;
        Ok(Self::new(kid, SigningKey::EdDsa(key)))
    }

    /// A new key from the system's entropy.
    ///
    /// # Errors
    /// [`LabError::Key`] if the cryptography library fails.
    pub fn generate(kid: &str, algorithm: Algorithm) -> Result<Self, LabError> {
        let key = match algorithm {
            Algorithm::EdDsa => Ed25519KeyPair::generate().map(SigningKey::EdDsa),
            Algorithm::Rs256 => RsaKeyPair::generate(KeySize::Rsa2048).map(SigningKey::Rs256),
            Algorithm::Es256 => {
                EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map(SigningKey::Es256)
            }
        };
        let key = key.map_err(|why| LabError::Key(why.to_string()))?;
        Ok(Self::new(kid, key))
    }

    fn new(kid: &str, key: SigningKey) -> Self {
        Self {
            kid: kid.to_owned(),
            key,
        }
    }

    /// The name that tokens and the key set know it by.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// What it signs with.
    pub fn algorithm(&self) -> Algorithm {
        match self.key {
            SigningKey::EdDsa(_) => Algorithm::EdDsa,
            SigningKey::Rs256(_) => Algorithm::Rs256,
            SigningKey::Es256(_) => Algorithm::Es256,
        }
    }

    /// The public half as a JWK (RFC 7517, RFC 8037).
    pub fn jwk(&self) -> Value {
        let mut jwk = match &self.key {
            SigningKey::EdDsa(pair) => json!({
                "kty": "OKP", "crv": "Ed25519", "x": BASE64.encode(pair.public_key()),
            }),
            SigningKey::Rs256(pair) => json!({
                "kty": "RSA",
                "n": BASE64.encode(pair.public_key().modulus().big_endian_without_leading_zero()),
                "e": BASE64.encode(pair.public_key().exponent().big_endian_without_leading_zero()),
            }),
            SigningKey::Es256(pair) => {
                // An uncompressed point: 0x04, then 32 bytes of x and 32 of y.
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                json!({
                    "kty": "EC", "crv": "P-256", "x": BASE64.encode(x), "y": BASE64.encode(y),
                })
            }
        };
        jwk["kid"] = self.kid.as_str().into();
        jwk["alg"] = self.algorithm().as_str().into();
        jwk["use"] = "sig".into();
        jwk
    }

    /// Signs `message` in the form that a JWS wants (RFC 7518, section 3).
    ///
    /// # Errors
    /// [`LabError::Token`] if the cryptography library fails.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, LabError> {
        let random = SystemRandom::new();
        let failed = |_| LabError::Token("signing failed".to_owned());
        match &self.key {
            SigningKey::EdDsa(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            SigningKey::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .map_err(failed)?;
                Ok(signature)
            }
            SigningKey::Es256(pair) => {
                let signature = pair.sign(&random, message).map_err(failed)?;
                Ok(signature.as_ref().to_vec())
            }
        }
    }
}

impl std::fmt::Debug for Signer {
    /// Without the key itself.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm())
            .finish_non_exhaustive()
    }
}
