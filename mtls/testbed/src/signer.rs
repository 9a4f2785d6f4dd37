//! Keys that sign tokens.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use cellway_core::routing_key::{Signed, canonical};
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, RsaKeySize};
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
    /// RSA, PKCS#1 v1.5, SHA-384, 2048 bits.
    Rs384,
    /// RSA, PKCS#1 v1.5, SHA-512, 2048 bits.
    Rs512,
    /// RSA, PSS, SHA-256, 2048 bits.
    Ps256,
    /// RSA, PSS, SHA-384, 2048 bits.
    Ps384,
    /// RSA, PSS, SHA-512, 2048 bits.
    Ps512,
    /// ECDSA on P-256, SHA-256.
    Es256,
    /// ECDSA on P-384, SHA-384.
    Es384,
}

impl Algorithm {
    /// All, those whose keys are made fastest first.
    pub const ALL: [Self; 9] = [
        Self::EdDsa,
        Self::Es256,
        Self::Es384,
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
    ];

    /// The name in a token's `alg`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
        }
    }

    const fn jws(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Rs384 => jsonwebtoken::Algorithm::RS384,
            Self::Rs512 => jsonwebtoken::Algorithm::RS512,
            Self::Ps256 => jsonwebtoken::Algorithm::PS256,
            Self::Ps384 => jsonwebtoken::Algorithm::PS384,
            Self::Ps512 => jsonwebtoken::Algorithm::PS512,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::Es384 => jsonwebtoken::Algorithm::ES384,
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
            Algorithm::Rs256
            | Algorithm::Rs384
            | Algorithm::Rs512
            | Algorithm::Ps256
            | Algorithm::Ps384
            | Algorithm::Ps512 => {
                let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?;
                EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes())
            }
            Algorithm::Es256 => elliptic(&PKCS_ECDSA_P256_SHA256)?,
            Algorithm::Es384 => elliptic(&PKCS_ECDSA_P384_SHA384)?,
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

    /// The compact JWS (RFC 7515) of a header and claims, whatever they say. A header that names another
    /// algorithm or key than this one makes a token that must be refused.
    ///
    /// # Errors
    /// [`TestbedError::Token`] if the cryptography library fails.
    pub fn sign_jws(&self, header: &Value, claims: &Value) -> Result<String, TestbedError> {
        let part = |value: &Value| BASE64.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let signature =
            jsonwebtoken::crypto::sign(message.as_bytes(), &self.key, self.algorithm.jws());
        let signature = signature.map_err(|why| TestbedError::Token(why.to_string()))?;
        Ok(format!("{message}.{signature}"))
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

/// A new key on this curve.
fn elliptic(
    curve: &'static rcgen::SignatureAlgorithm,
) -> Result<jsonwebtoken::errors::Result<EncodingKey>, TestbedError> {
    let pair = KeyPair::generate_for(curve)?;
    Ok(EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()))
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
