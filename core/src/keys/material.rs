//! Reads the public key of an entry, from its own members (RFC 7518, section 6; RFC 8037, section
//! 2) or in a certificate (RFC 7517, section 4.7).

use std::borrow::Cow;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_SIG_ED25519,
};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::base64url;
use crate::json::{Json, Object};

use super::algorithm::Curve;
use super::ed25519;

/// Why an entry isn't used, as text that follows "an entry", such as `without "n"`.
pub(super) type Why = Cow<'static, str>;

/// The first byte of a point with both coordinates (SEC 1, section 2.3.3).
const UNCOMPRESSED: u8 = 0x04;
/// Most characters of an issuer's value that a message quotes.
const QUOTED_MAX: usize = 32;

/// Certificates in `x5c` are in base64, not base64url. Padding is optional.
const CERTIFICATE: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The parts of a public key.
pub(super) enum Material {
    /// Both numbers without leading zeros.
    Rsa { n: Vec<u8>, e: Vec<u8> },
    /// The uncompressed point of SEC 1.
    Ec { curve: Curve, point: Vec<u8> },
    /// The point as RFC 8032 encodes it.
    Ed25519([u8; ed25519::KEY_LEN]),
}

impl Material {
    /// Reads the members of a key. If it has none for its type, reads the first certificate of
    /// `x5c`.
    ///
    /// The certificate is only a container: the key is trusted because of the source of the set, so
    /// the certificate's dates and signature aren't checked.
    ///
    /// # Errors
    /// Why there is no usable key.
    pub(super) fn of(jwk: &Object<'_>) -> Result<Self, Why> {
        let kty = match jwk.get("kty") {
            None if jwk.has("x5c") => return certified(jwk),
            None => return Err("without \"kty\"".into()),
            Some(kty) => kty.as_str().ok_or("with a \"kty\" that is not a string")?,
        };
        let bare = if kty == "RSA" { "n" } else { "x" };
        if !jwk.has(bare) && jwk.has("x5c") {
            let found = certified(jwk)?;
            return match found.kty() == kty {
                true => Ok(found),
                false => Err("whose certificate holds a key of another type".into()),
            };
        }
        match kty {
            "RSA" => Ok(Self::Rsa {
                n: unsigned(jwk, "n")?,
                e: unsigned(jwk, "e")?,
            }),
            "EC" => ec(jwk),
            "OKP" => okp(jwk),
            other => Err(format!("of type {}", quoted(other)).into()),
        }
    }

    fn kty(&self) -> &'static str {
        match self {
            Self::Rsa { .. } => "RSA",
            Self::Ec { .. } => "EC",
            Self::Ed25519(_) => "OKP",
        }
    }
}

fn ec(jwk: &Object<'_>) -> Result<Material, Why> {
    let crv = required_str(jwk, "crv")?;
    let curve = Curve::from_name(crv).ok_or_else(|| unsupported_curve(crv))?;
    let mut point = vec![UNCOMPRESSED];
    for name in ["x", "y"] {
        let coordinate = decoded(jwk, name)?;
        if coordinate.len() != curve.coordinate_len {
            return Err(format!("with {name:?} of another length than its curve's").into());
        }
        point.extend_from_slice(&coordinate);
    }
    Ok(Material::Ec { curve, point })
}

fn okp(jwk: &Object<'_>) -> Result<Material, Why> {
    let crv = required_str(jwk, "crv")?;
    if crv != "Ed25519" {
        return Err(unsupported_curve(crv));
    }
    let x = decoded(jwk, "x")?.try_into();
    let x = x.map_err(|_| "with \"x\" of another length than its curve's")?;
    Ok(Material::Ed25519(x))
}

fn unsupported_curve(crv: &str) -> Why {
    format!("on the curve {}, which is not supported", quoted(crv)).into()
}

/// The key in the first certificate of `x5c`, which is the entry's own (RFC 7517, section 4.7).
fn certified(jwk: &Object<'_>) -> Result<Material, Why> {
    const NONE: &str = "without a certificate in \"x5c\"";
    let first = match jwk.get("x5c") {
        Some(Json::Array(certificates)) => certificates.first().and_then(Json::as_str),
        _ => None,
    };
    let der = CERTIFICATE
        .decode(first.ok_or(NONE)?)
        .map_err(|_| "with an \"x5c\" that is not base64")?;
    let (_, certificate) =
        X509Certificate::from_der(&der).map_err(|_| "with an \"x5c\" that is not a certificate")?;
    of_certificate(certificate.public_key())
        .ok_or("with a certificate whose type of key is not supported".into())
}

fn of_certificate(key: &SubjectPublicKeyInfo<'_>) -> Option<Material> {
    if key.algorithm.algorithm == OID_SIG_ED25519 {
        let x = key.subject_public_key.data.as_ref().try_into().ok()?;
        return Some(Material::Ed25519(x));
    }
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "no other kinds of keys are supported, present or future"
    )]
    match key.parsed().ok()? {
        PublicKey::RSA(rsa) => Some(Material::Rsa {
            n: without_zeros(rsa.modulus),
            e: without_zeros(rsa.exponent),
        }),
        PublicKey::EC(ec) if key.algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY => {
            let curve = key.algorithm.parameters.as_ref()?.as_oid().ok()?;
            let curve = if curve == OID_EC_P256 {
                Curve::from_name("P-256")?
            } else if curve == OID_NIST_EC_P384 {
                Curve::from_name("P-384")?
            } else {
                return None;
            };
            let point = ec.data().to_vec();
            let whole =
                point.first() == Some(&UNCOMPRESSED) && point.len() == 1 + 2 * curve.coordinate_len;
            whole.then_some(Material::Ec { curve, point })
        }
        _ => None,
    }
}

pub(super) fn required_str<'a>(jwk: &'a Object<'_>, name: &str) -> Result<&'a str, Why> {
    let value = jwk.get(name).ok_or_else(|| format!("without {name:?}"))?;
    let value = value.as_str();
    value.ok_or_else(|| format!("with {name:?} that is not a string").into())
}

/// A member in base64url. RFC 7515 has no padding, but some issuers write it, so it is ignored.
fn decoded(jwk: &Object<'_>, name: &str) -> Result<Vec<u8>, Why> {
    let text = required_str(jwk, name)?;
    let bare = text.strip_suffix("==").or(text.strip_suffix('='));
    base64url::decode(bare.unwrap_or(text).as_bytes())
        .ok_or_else(|| format!("with {name:?} that is not base64url").into())
}

/// A Base64urlUInt. Removes the leading zero bytes that some issuers write although RFC 7518
/// forbids them.
fn unsigned(jwk: &Object<'_>, name: &str) -> Result<Vec<u8>, Why> {
    decoded(jwk, name).map(|bytes| without_zeros(&bytes))
}

fn without_zeros(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes[zeros..].to_vec()
}

/// An issuer's value in quotes, escaped and shortened for a log line.
pub(super) fn quoted(word: &str) -> String {
    let cut: String = word.chars().take(QUOTED_MAX).collect();
    let more = if cut.len() < word.len() { "..." } else { "" };
    format!("{cut:?}{more}")
}
