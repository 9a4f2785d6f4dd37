//! The form for cells that know the six headers of older tenant routers. One of the headers names
//! the algorithm.

use aws_lc_rs::hmac;
use http::{HeaderValue, Method};

use super::hmac::HmacStamps;
use super::key::secret;
use super::{EnvelopeContents, HmacKey};
use crate::base64url;

/// The first line of the signed text. It differs from the other form's, so that an envelope of one
/// form isn't valid in the other, even with the same key.
const DOMAIN: &str = "cellway-envelope-compatible-v1";

/// The only value of the algorithm header: HMAC-SHA256 (RFC 7518, section 3.1). A verifier compares
/// it, and never picks an algorithm by it.
pub const COMPATIBLE_ALG: &str = "HS256";

/// The signed text: one line per value. No value can contain a line end, and the last line has
/// none.
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

/// Seals an allowed request for the cell of this key. The values are in the order of
/// [`HeaderRules::envelope_compatible`](crate::headers::HeaderRules::envelope_compatible).
pub fn seal_compatible(key: &HmacKey, sealing: &EnvelopeContents<'_>) -> HmacStamps {
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
