//! The router's private keys, and the JWS form.

use std::fmt;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use http::HeaderValue;

use crate::base64url;

use super::{EnvelopeContents, TYPE, is_kid};

/// An Ed25519 key that seals envelopes. `Debug` shows only the id.
pub struct SigningKey {
    kid: Box<str>,
    pair: Ed25519KeyPair,
    /// The encoded header of every envelope under this key, with the dot after it.
    header: Box<str>,
}

/// Why a key can't be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum KeyError {
    /// Its id is empty, too long, or has more than letters, digits, `-`, `_` and `.`.
    Kid,
    /// It is not an Ed25519 key in PKCS#8, or its parts don't match.
    NotEd25519,
    /// It is not base64url without padding.
    NotBase64,
    /// A shared key of another length than [`HMAC_KEY_LEN`](super::HMAC_KEY_LEN) allows.
    HmacLength,
    /// The name of its cell can't be in a header.
    Cell,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kid => "its kid must have 1 to 64 letters, digits, `-`, `_` or `.`",
            Self::NotEd25519 => "is not an Ed25519 private key in PKCS#8",
            Self::NotBase64 => "is not a shared key in base64url without padding",
            Self::HmacLength => "must have 32 to 128 bytes",
            Self::Cell => "its cell is not a name that a header can hold",
        })
    }
}

impl std::error::Error for KeyError {}

impl SigningKey {
    /// The key of this id from its PKCS#8 form (RFC 8410), in DER.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_pkcs8(kid: &str, der: &[u8]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der);
        Self::new(kid, pair.map_err(|_| KeyError::NotEd25519)?)
    }

    /// The key of this id from 32 random bytes.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_seed(kid: &str, seed: &[u8; 32]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed);
        Self::new(kid, pair.map_err(|_| KeyError::NotEd25519)?)
    }

    fn new(kid: &str, pair: Ed25519KeyPair) -> Result<Self, KeyError> {
        if !is_kid(kid) {
            return Err(KeyError::Kid);
        }
        // Neither value has a character that JSON must escape.
        let header = format!(r#"{{"alg":"EdDSA","kid":"{kid}","typ":"{TYPE}"}}"#);
        Ok(Self {
            kid: kid.into(),
            pair,
            header: format!("{}.", base64url::encode(header)).into(),
        })
    }

    /// Its id.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Its PKCS#8 form in DER, to be kept as a secret.
    ///
    /// # Errors
    /// [`KeyError::NotEd25519`], which can't happen with a valid key.
    pub fn to_pkcs8(&self) -> Result<Vec<u8>, KeyError> {
        let document = self.pair.to_pkcs8v1();
        let document = document.map_err(|_| KeyError::NotEd25519)?;
        Ok(document.as_ref().to_vec())
    }

    /// Its public half as a JWK (RFC 8037).
    pub(super) fn jwk(&self) -> String {
        let (kid, x) = (&self.kid, base64url::encode(self.public()));
        format!(
            r#"{{"kty":"OKP","crv":"Ed25519","use":"sig","alg":"EdDSA","kid":"{kid}","x":"{x}"}}"#
        )
    }

    pub(super) fn public(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKey").field(&self.kid).finish()
    }
}

/// Seals an allowed request as a JWS in the compact form.
pub fn seal(key: &SigningKey, sealing: &EnvelopeContents<'_>) -> HeaderValue {
    let claims = base64url::encode(sealing.claims());
    let mut envelope = String::with_capacity(key.header.len() + claims.len() + 87);
    envelope.push_str(&key.header);
    envelope.push_str(&claims);
    let signature = key.pair.sign(envelope.as_bytes());
    envelope.push('.');
    envelope.push_str(&base64url::encode(signature));
    secret(envelope)
}

/// HTTP/2 must not put the value into its table: it is never sent again, and it is a credential.
pub(super) fn secret(value: String) -> HeaderValue {
    // The value has only base64url, digits and checked names, so this can't fail. A verifier would
    // refuse an empty one.
    let mut value = HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}
