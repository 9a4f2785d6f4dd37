//! One JWK (RFC 7517, 7518, 8037): a public key for signatures, or a reason to leave it out.

use std::borrow::Cow;

use aws_lc_rs::signature::{ED25519, ParsedPublicKey, RsaPublicKeyComponents};

use crate::json::{self, Json, Object};

use super::algorithm::Curve;
use super::key::Key;
use super::material::{Material, Why, quoted};
use super::{Algorithm, ed25519};

/// The most bytes that a `kid` may have, in a key and in a token.
pub(crate) const KID_LEN_MAX: usize = 256;

const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// Longer public exponents only make verification slow.
const RSA_EXPONENT_LEN_MAX: usize = 4;
const ED25519_SIGNATURE_LEN: usize = 64;

/// The values of `key_ops` that allow verifying.
const SIGNATURE_OPS: [&str; 2] = ["sign", "verify"];

/// Members that only a private key has. If an issuer publishes one, the key is compromised.
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// The `kid` of an entry, as far as there is one of acceptable length.
pub(super) fn kid<'a>(entry: &'a Json<'_>) -> Option<Cow<'a, str>> {
    let Json::Object(jwk) = entry else {
        return None;
    };
    let kid = jwk.get_once("kid")?.digits_or_str();
    kid.filter(|kid| kid.len() <= KID_LEN_MAX)
}

/// Reads a document that is one JWK.
///
/// # Errors
/// Why it isn't used.
pub(crate) fn public_key(jwk: &[u8], allowed: &[Algorithm]) -> Result<Key, Why> {
    let entry = json::parse(jwk).ok_or("not JSON")?;
    let mut keys = read(&entry, allowed)?;
    Ok(keys.swap_remove(0))
}

/// Reads one entry of `keys`: a key for each algorithm that it may verify, at least one. Only an
/// RSA key without `alg` verifies several. Any other key has one algorithm.
///
/// # Errors
/// Why the key isn't used.
pub(super) fn read(entry: &Json<'_>, allowed: &[Algorithm]) -> Result<Vec<Key>, Why> {
    let Json::Object(jwk) = entry else {
        return Err("that is not an object".into());
    };
    if jwk.repeats_anywhere() {
        return Err("with a member that occurs twice".into());
    }
    let kty = jwk.get("kty").and_then(Json::as_str);
    if let Some(other) = kty.filter(|kty| !["RSA", "EC", "OKP"].contains(kty)) {
        return Err(format!("of type {}", quoted(other)).into());
    }
    if PRIVATE_MEMBERS.iter().any(|name| jwk.has(name)) {
        return Err("with members of a private key".into());
    }
    check_purpose(jwk)?;
    let kid = match jwk.get("kid") {
        None => None,
        Some(_) => match kid(entry) {
            Some(kid) if !kid.is_empty() => Some(kid),
            _ => return Err("with a \"kid\" that is empty, too long or not a string".into()),
        },
    };
    let kid = kid.as_deref();
    let named = named_algorithm(jwk)?;
    match Material::of(jwk)? {
        Material::Rsa { n, e } => rsa(&n, &e, kid, named, allowed),
        Material::Ec { curve, point } => ec(curve, &point, kid, named, allowed),
        Material::Ed25519(x) => okp(x, kid, named, allowed),
    }
}

/// `use` and `key_ops`, where they are given, must allow verifying signatures, and must not
/// contradict each other (RFC 7517, section 4.3).
fn check_purpose(jwk: &Object<'_>) -> Result<(), Why> {
    let for_signatures = match jwk.get("use") {
        None => false,
        Some(purpose) if purpose.as_str() == Some("sig") => true,
        Some(_) => return Err("with another \"use\" than \"sig\"".into()),
    };
    let Some(ops) = jwk.get("key_ops") else {
        return Ok(());
    };
    let ops = ops.as_array().map(|ops| ops.iter().map(Json::as_str));
    let ops: Option<Vec<&str>> = ops.and_then(Iterator::collect);
    let ops = ops.ok_or("with \"key_ops\" that is not a list of strings")?;
    if (1..ops.len()).any(|i| ops[..i].contains(&ops[i])) {
        return Err("with an operation twice in \"key_ops\"".into());
    }
    if !ops.contains(&"verify") {
        return Err("without \"verify\" in \"key_ops\"".into());
    }
    if for_signatures && !ops.iter().all(|op| SIGNATURE_OPS.contains(op)) {
        return Err("with \"key_ops\" that contradict \"use\"".into());
    }
    Ok(())
}

fn named_algorithm(jwk: &Object<'_>) -> Result<Option<Algorithm>, Why> {
    let Some(alg) = jwk.get("alg") else {
        return Ok(None);
    };
    let name = alg.as_str().ok_or("with an \"alg\" that is not a string")?;
    let unsupported = || format!("for {}, which is not supported", quoted(name));
    Algorithm::from_name(name)
        .map(Some)
        .ok_or_else(|| unsupported().into())
}

/// The one algorithm of a key whose type or curve implies it.
fn implied(
    implied: Algorithm,
    named: Option<Algorithm>,
    allowed: &[Algorithm],
) -> Result<Algorithm, Why> {
    if let Some(named) = named.filter(|named| *named != implied) {
        return Err(format!("for {named}, which a key for {implied} can't verify").into());
    }
    if !allowed.contains(&implied) {
        return Err(format!("for {implied}, which is not on the list").into());
    }
    Ok(implied)
}

fn rsa(
    n: &[u8],
    e: &[u8],
    kid: Option<&str>,
    named: Option<Algorithm>,
    allowed: &[Algorithm],
) -> Result<Vec<Key>, Why> {
    let leading = n.first().map_or(0, |byte| byte.leading_zeros() as usize);
    let bits = n.len() * 8 - leading;
    if !RSA_BITS.contains(&bits) {
        let (least, most) = (RSA_BITS.start(), RSA_BITS.end());
        let why = format!("with an RSA key of {bits} bits ({least} to {most} are accepted)");
        return Err(why.into());
    }
    let odd = e.last().is_some_and(|byte| byte % 2 == 1);
    if e.len() > RSA_EXPONENT_LEN_MAX || !odd || e == [1] {
        return Err("with an RSA exponent that is not acceptable".into());
    }
    let fitting = allowed
        .iter()
        .filter(|algorithm| named.is_none_or(|named| named == **algorithm))
        .filter_map(|algorithm| Some((*algorithm, algorithm.rsa()?)));
    let mut keys = Vec::new();
    for (algorithm, parameters) in fitting {
        let components = RsaPublicKeyComponents { n, e };
        let public = components
            .to_parsed_public_key(parameters)
            .map_err(|_| "with an invalid RSA key")?;
        let key = Key::new(kid, algorithm, n.len(), &[n, e], public);
        keys.push(match keys.is_empty() {
            true => key,
            false => key.not_first(),
        });
    }
    match (keys.is_empty(), named) {
        (false, _) => Ok(keys),
        (true, Some(named)) if named.rsa().is_none() => {
            Err(format!("for {named}, which an RSA key can't verify").into())
        }
        (true, Some(named)) => Err(format!("for {named}, which is not on the list").into()),
        (true, None) => Err("of type \"RSA\", for which no algorithm is on the list".into()),
    }
}

fn ec(
    curve: Curve,
    point: &[u8],
    kid: Option<&str>,
    named: Option<Algorithm>,
    allowed: &[Algorithm],
) -> Result<Vec<Key>, Why> {
    let algorithm = implied(curve.algorithm, named, allowed)?;
    let public = ParsedPublicKey::new(curve.verification, point)
        .map_err(|_| "with a point that is not on its curve")?;
    let signature_len = 2 * curve.coordinate_len;
    let key = Key::new(kid, algorithm, signature_len, &[point], public);
    Ok(vec![key])
}

fn okp(
    x: [u8; ed25519::KEY_LEN],
    kid: Option<&str>,
    named: Option<Algorithm>,
    allowed: &[Algorithm],
) -> Result<Vec<Key>, Why> {
    let algorithm = implied(Algorithm::EdDSA, named, allowed)?;
    if !ed25519::is_sound(&x) {
        return Err("with a point that no Ed25519 key can be".into());
    }
    let public = ParsedPublicKey::new(&ED25519, x).map_err(|_| "with an invalid Ed25519 key")?;
    let signature_len = ED25519_SIGNATURE_LEN;
    let key = Key::new(kid, algorithm, signature_len, &[&x], public);
    Ok(vec![key])
}
