//! The form for cells that know the headers of older tenant routers: six of them, of which one names
//! the algorithm.

use aws_lc_rs::hmac;
use http::{HeaderValue, Method};

use super::hmac::HmacStamps;
use super::key::secret;
use super::{HmacKey, Sealing};
use crate::base64url;

/// The first line of what is signed. It differs from that of the other form, so that neither can be
/// taken for the other although both may use one key.
const DOMAIN: &str = "cellway-envelope-compatible-v1";

/// What the header says that names the algorithm: HMAC-SHA256 (RFC 7518, section 3.1). It is the only
/// value. A verifier compares it, and never picks an algorithm by it.
pub const COMPATIBLE_ALG: &str = "HS256";

/// What is signed: lines that none of the values can break, the last without an end.
pub fn canonical_compatible(
    [alg, kid, issued, expires, claims]: [&str; 5],
    method: &Method,
    target: &str,
) -> Vec<u8> {
    let lines = [
        DOMAIN,
        alg,
        kid,
        issued,
        expires,
        method.as_str(),
        target,
        claims,
    ];
    lines.join("\n").into_bytes()
}

/// Seals a request that may pass to the cell of this key. The values are in the order of
/// [`HeaderRules::envelope_compatible`](crate::headers::HeaderRules::envelope_compatible).
pub fn seal_compatible(key: &HmacKey, sealing: &Sealing<'_>) -> HmacStamps {
    let (issued, expires) = sealing.window();
    let (issued, expires) = (issued.to_string(), expires.to_string());
    let claims = base64url::encode(sealing.claims_for_cell());
    let message = canonical_compatible(
        [COMPATIBLE_ALG, key.kid(), &issued, &expires, &claims],
        sealing.method,
        sealing.target,
    );
    let signature = base64url::encode(hmac::sign(key.secret(), &message));
    [
        HeaderValue::from_static(COMPATIBLE_ALG),
        HeaderValue::try_from(key.kid()).unwrap_or(HeaderValue::from_static("")),
        secret(issued),
        secret(expires),
        secret(claims),
        secret(signature),
    ]
}
