//! One JWK (RFC 7517, 7518, 8037): a public key for signatures, or a reason to leave it out.

use aws_lc_rs::signature::{ED25519, ParsedPublicKey, RsaPublicKeyComponents};

use crate::base64url;
use crate::json::{self, Json, Object};

use super::algorithm::Curve;
use super::key::Key;
use super::{Algorithm, ed25519};

/// The most bytes that a `kid` may have, in a key and in a token.
pub(crate) const KID_LEN_MAX: usize = 256;

const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// Longer public exponents only make verification slow.
const RSA_EXPONENT_LEN_MAX: usize = 4;
const ED25519_SIGNATURE_LEN: usize = 64;

/// What a key for signatures may be for.
const SIGNATURE_OPS: [&str; 2] = ["sign", "verify"];

/// Members that only a private key has. An issuer that publishes one has lost the key.
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// The `kid` of an entry, as far as there is one of acceptable length.
pub(super) fn kid<'a>(entry: &'a Json<'_>) -> Option<&'a str> {
    let Json::Object(jwk) = entry else {
        return None;
    };
    let kid = jwk.get_once("kid")?.as_str();
    kid.filter(|kid| kid.len() <= KID_LEN_MAX)
}

/// Reads a document that is one JWK.
///
/// # Errors
/// Why it isn't used.
pub(crate) fn public_key(jwk: &[u8], allowed: &[Algorithm]) -> Result<Key, &'static str> {
    read(&json::parse(jwk).ok_or("not JSON")?, allowed)
}

/// Reads one entry of `keys`.
///
/// # Errors
/// Why the key isn't used.
pub(super) fn read(entry: &Json<'_>, allowed: &[Algorithm]) -> Result<Key, &'static str> {
    let Json::Object(jwk) = entry else {
        return Err("not an object");
    };
    if jwk.repeats_anywhere() {
        return Err("a member occurs twice");
    }
    if PRIVATE_MEMBERS.iter().any(|name| jwk.has(name)) {
        return Err("a private or symmetric key");
    }
    check_purpose(jwk)?;
    let kid = match jwk.get("kid") {
        None => None,
        Some(kid) => match kid.as_str() {
            Some(kid) if (1..=KID_LEN_MAX).contains(&kid.len()) => Some(kid),
            _ => return Err("`kid` is not a string of acceptable length"),
        },
    };
    let named = named_algorithm(jwk)?;
    match required_str(jwk, "kty")? {
        "RSA" => rsa(jwk, kid, named, allowed),
        "EC" => ec(jwk, kid, named, allowed),
        "OKP" => okp(jwk, kid, named, allowed),
        _ => Err("`kty` is not one that tokens are verified with"),
    }
}

/// `use` and `key_ops`, where they are given, must allow verifying signatures, and must not
/// contradict each other (RFC 7517, section 4.3).
fn check_purpose(jwk: &Object<'_>) -> Result<(), &'static str> {
    let for_signatures = match jwk.get("use") {
        None => false,
        Some(purpose) if purpose.as_str() == Some("sig") => true,
        Some(_) => return Err("`use` is not `sig`"),
    };
    let Some(ops) = jwk.get("key_ops") else {
        return Ok(());
    };
    let ops: Option<Vec<&str>> = match ops {
        Json::Array(ops) => ops.iter().map(Json::as_str).collect(),
        _ => None,
    };
    let ops = ops.ok_or("`key_ops` is not a list of strings")?;
    if (1..ops.len()).any(|i| ops[..i].contains(&ops[i])) {
        return Err("`key_ops` names an operation twice");
    }
    if !ops.contains(&"verify") {
        return Err("`key_ops` lacks `verify`");
    }
    if for_signatures && !ops.iter().all(|op| SIGNATURE_OPS.contains(op)) {
        return Err("`key_ops` contradicts `use`");
    }
    Ok(())
}

fn named_algorithm(jwk: &Object<'_>) -> Result<Option<Algorithm>, &'static str> {
    match jwk.get("alg") {
        None => Ok(None),
        Some(alg) => alg
            .as_str()
            .and_then(Algorithm::from_name)
            .map(Some)
            .ok_or("`alg` is not an asymmetric signature algorithm that is supported"),
    }
}

/// The one algorithm of a key whose type or curve implies it.
fn implied(
    implied: Algorithm,
    named: Option<Algorithm>,
    allowed: &[Algorithm],
) -> Result<Algorithm, &'static str> {
    if named.is_some_and(|named| named != implied) {
        return Err("`alg` contradicts the type of the key");
    }
    if !allowed.contains(&implied) {
        return Err("its algorithm is not on the issuer's list");
    }
    Ok(implied)
}

fn rsa(
    jwk: &Object<'_>,
    kid: Option<&str>,
    named: Option<Algorithm>,
    allowed: &[Algorithm],
) -> Result<Key, &'static str> {
    let mut fitting = allowed
        .iter()
        .filter(|a| named.is_none_or(|named| named == **a));
    let (algorithm, parameters) = fitting
        .find_map(|a| Some((*a, a.rsa()?)))
        .ok_or("its algorithm is not an RSA one on the issuer's list")?;
    let n = unsigned(jwk, "n")?;
    let e = unsigned(jwk, "e")?;
    let leading = n.first().map_or(0, |byte| byte.leading_zeros() as usize);
    let bits = n.len() * 8 - leading;
    if !RSA_BITS.contains(&bits) {
        return Err("an RSA key of fewer than 2048 or more than 8192 bits");
    }
    let odd = e.last().is_some_and(|byte| byte % 2 == 1);
    if e.len() > RSA_EXPONENT_LEN_MAX || !odd || e == [1] {
        return Err("the RSA exponent is not acceptable");
    }
    let components = RsaPublicKeyComponents { n: &n, e: &e };
    let public = components
        .to_parsed_public_key(parameters)
        .map_err(|_| "not an RSA key")?;
    Ok(Key::new(kid, algorithm, n.len(), &[&n, &e], public))
}

fn ec(
    jwk: &Object<'_>,
    kid: Option<&str>,
    named: Option<Algorithm>,
    allowed: &[Algorithm],
) -> Result<Key, &'static str> {
    let curve = Curve::from_name(required_str(jwk, "crv")?).ok_or("`crv` is not supported")?;
    let algorithm = implied(curve.algorithm, named, allowed)?;
    // The uncompressed point of SEC 1.
    let mut point = vec![0x04];
    for name in ["x", "y"] {
        let coordinate = base64url::decode(required_str(jwk, name)?.as_bytes())
            .filter(|c| c.len() == curve.coordinate_len)
            .ok_or("a coordinate is not base64url of the curve's length")?;
        point.extend_from_slice(&coordinate);
    }
    let public = ParsedPublicKey::new(curve.verification, &point)
        .map_err(|_| "the point is not on the curve")?;
    let signature_len = 2 * curve.coordinate_len;
    Ok(Key::new(kid, algorithm, signature_len, &[&point], public))
}

fn okp(
    jwk: &Object<'_>,
    kid: Option<&str>,
    named: Option<Algorithm>,
    allowed: &[Algorithm],
) -> Result<Key, &'static str> {
    if required_str(jwk, "crv")? != "Ed25519" {
        return Err("`crv` is not supported");
    }
    let algorithm = implied(Algorithm::EdDSA, named, allowed)?;
    let x = base64url::decode_exact::<{ ed25519::KEY_LEN }>(required_str(jwk, "x")?)
        .ok_or("`x` is not base64url of 32 bytes")?;
    if !ed25519::is_sound(&x) {
        return Err("not a point that an Ed25519 key can be");
    }
    let public = ParsedPublicKey::new(&ED25519, x).map_err(|_| "not an Ed25519 key")?;
    let signature_len = ED25519_SIGNATURE_LEN;
    Ok(Key::new(kid, algorithm, signature_len, &[&x], public))
}

fn required_str<'a>(jwk: &'a Object<'_>, name: &str) -> Result<&'a str, &'static str> {
    jwk.get(name)
        .and_then(Json::as_str)
        .ok_or("a required member is missing or not a string")
}

/// A Base64urlUInt, without the leading zero bytes that some issuers write against RFC 7518.
fn unsigned(jwk: &Object<'_>, name: &str) -> Result<Vec<u8>, &'static str> {
    let bytes = base64url::decode(required_str(jwk, name)?.as_bytes())
        .ok_or("a number is not base64url")?;
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    Ok(bytes[zeros..].to_vec())
}
