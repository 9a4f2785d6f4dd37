//! The signature algorithms that tokens may use.

use std::fmt;

use aws_lc_rs::signature::{self, EcdsaVerificationAlgorithm, RsaParameters};

/// A signature algorithm of RFC 7518 or RFC 8037. Asymmetric ones only: there is no value for
/// `none` or HMAC, so that no code path can verify with one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[allow(missing_docs)] // the names are the standards' own
pub enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

impl Algorithm {
    /// Every algorithm there is.
    pub const ALL: [Self; 9] = [
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::ES256,
        Self::ES384,
        Self::EdDSA,
    ];

    /// The value of `alg`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::EdDSA => "EdDSA",
        }
    }

    /// The algorithm that `alg` names. Case matters.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.as_str() == name)
    }

    /// How an RSA signature of this algorithm is checked; `None` for other kinds of key.
    ///
    /// These take keys of 2048 to 8192 bits and no others.
    pub(super) fn rsa(self) -> Option<&'static RsaParameters> {
        match self {
            Self::RS256 => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
            Self::RS384 => Some(&signature::RSA_PKCS1_2048_8192_SHA384),
            Self::RS512 => Some(&signature::RSA_PKCS1_2048_8192_SHA512),
            Self::PS256 => Some(&signature::RSA_PSS_2048_8192_SHA256),
            Self::PS384 => Some(&signature::RSA_PSS_2048_8192_SHA384),
            Self::PS512 => Some(&signature::RSA_PSS_2048_8192_SHA512),
            Self::ES256 | Self::ES384 | Self::EdDSA => None,
        }
    }
}

/// An elliptic curve of ECDSA keys.
#[derive(Clone, Copy, Debug)]
pub(super) struct Curve {
    /// The one algorithm for keys on it (RFC 7518, section 3.4).
    pub(super) algorithm: Algorithm,
    /// How its signatures are checked: the fixed form of JWS, not ASN.1.
    pub(super) verification: &'static EcdsaVerificationAlgorithm,
    /// Bytes of a coordinate; a signature has twice as many.
    pub(super) coordinate_len: usize,
}

impl Curve {
    /// The curve that `crv` names.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        match name {
            "P-256" => Some(Self {
                algorithm: Algorithm::ES256,
                verification: &signature::ECDSA_P256_SHA256_FIXED,
                coordinate_len: 32,
            }),
            "P-384" => Some(Self {
                algorithm: Algorithm::ES384,
                verification: &signature::ECDSA_P384_SHA384_FIXED,
                coordinate_len: 48,
            }),
            _ => None,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
