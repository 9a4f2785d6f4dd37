//! Lists of fields that the router must know by name, compared as in [`names`].

use http::header::HeaderName;

use super::names::{self, fold};
use super::{forwarded, override_headers};

/// Fields that concern one connection only. Always removed, whether or not `Connection` names them.
pub(super) const HOP_BY_HOP: [&str; 9] = [
    "connection",
    // Goes with the upgrade to HTTP/2 that RFC 9113, section 3.1, has taken back.
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// End-to-end fields that are used before the body comes: they frame the message, route it, carry
/// credentials or preconditions, or describe its content (RFC 9110, sections 6.5.1 and 7.6.1). Sorted.
/// Fields that say where the request came from are in [`forwarded`].
const HEADER_ONLY: &[&str] = &[
    "accept",
    "accept-ch",
    "accept-charset",
    "accept-datetime",
    "accept-encoding",
    "accept-language",
    "accept-patch",
    "accept-post",
    "accept-ranges",
    "age",
    "allow",
    "alt-svc",
    "alt-used",
    "api-key",
    "authentication-info",
    "authorization",
    "baggage",
    "cache-control",
    "cdn-cache-control",
    "cdn-loop",
    "clear-site-data",
    "client-cert",
    "client-cert-chain",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-range",
    "content-security-policy",
    "content-security-policy-report-only",
    "content-type",
    "cookie",
    "cookie2",
    "cross-origin-embedder-policy",
    "cross-origin-opener-policy",
    "cross-origin-resource-policy",
    "date",
    "dpop",
    "early-data",
    "expect",
    "expires",
    "from",
    "grpc-accept-encoding",
    "grpc-encoding",
    "grpc-timeout",
    "host",
    "idempotency-key",
    "last-event-id",
    "last-modified",
    "location",
    "max-forwards",
    "origin",
    "permissions-policy",
    "pragma",
    "prefer",
    "preference-applied",
    "priority",
    "range",
    "referer",
    "referrer-policy",
    "refresh",
    "retry-after",
    "server",
    "set-cookie",
    "set-cookie2",
    "strict-transport-security",
    "surrogate-capability",
    "surrogate-control",
    "te",
    "traceparent",
    "tracestate",
    "upgrade-insecure-requests",
    "user-agent",
    "vary",
    "via",
    "warning",
    "www-authenticate",
    "x-accel-redirect",
    "x-access-token",
    "x-api-key",
    "x-auth-token",
    "x-content-type-options",
    "x-csrf-token",
    "x-frame-options",
    "x-request-id",
    "x-requested-with",
    "x-sendfile",
    "x-xsrf-token",
    "x-xss-protection",
];

/// Prefixes of such fields.
const HEADER_ONLY_FAMILIES: &[&str] = &["access-control-", "if-", "sec-", "x-envoy-"];

/// End-to-end fields that may also be trailers. Sorted.
const TRAILERS_TOO: &[&str] = &[
    "content-digest",
    "content-md5",
    "digest",
    "etag",
    "grpc-message",
    "grpc-status",
    "grpc-status-details-bin",
    "repr-digest",
    "server-timing",
    "signature",
    "signature-input",
];

/// The length of the longest name in the lists.
const KNOWN_LEN_MAX: usize = 35;

/// Whether a recipient could read this name as a field that concerns one connection only.
pub(super) fn is_hop_by_hop(name: &[u8]) -> bool {
    HOP_BY_HOP.iter().any(|hop| names::is(name, hop.as_bytes()))
}

/// Whether a recipient could read this name as the length of the body, which it isn't. The length itself
/// goes with the body.
pub(super) fn is_false_length(name: &[u8]) -> bool {
    const LENGTH: &[u8] = b"content-length";
    name != LENGTH && names::is(name, LENGTH)
}

/// Whether a field is forbidden in trailers, in both directions: every field that is refused,
/// removed or acted on in a header. It would mislead a recipient that merges trailers into headers.
pub fn forbidden_in_trailers(name: &HeaderName) -> bool {
    let bytes = name.as_str().as_bytes();
    header_only(bytes) || is_hop_by_hop(bytes) || override_headers::is_override_header(name)
}

/// Whether a field of this name is for all recipients of the message, so that `Connection` must not
/// name it (RFC 9110, section 7.6.1): without it the message means something else.
pub(super) fn concerns_everybody(option: &[u8]) -> bool {
    header_only(option)
        || known(option, |name| TRAILERS_TOO.binary_search(&name).is_ok())
        || HeaderName::from_bytes(option)
            .is_ok_and(|name| override_headers::is_override_header(&name))
}

fn header_only(name: &[u8]) -> bool {
    let in_family = |family: &&str| names::starts_with(name, family.as_bytes());
    HEADER_ONLY_FAMILIES.iter().any(in_family)
        || forwarded::is_forwarding_field(name)
        || known(name, |name| HEADER_ONLY.binary_search(&name).is_ok())
}

/// Looks up a name in the form that the lists use. A name that is longer than all listed names is
/// in no list.
fn known(name: &[u8], listed: impl FnOnce(&str) -> bool) -> bool {
    let mut folded = [0; KNOWN_LEN_MAX];
    let Some(folded) = folded.get_mut(..name.len()) else {
        return false;
    };
    for (folded, &byte) in folded.iter_mut().zip(name) {
        *folded = fold(byte);
    }
    str::from_utf8(folded).is_ok_and(listed)
}

#[cfg(test)]
mod tests;
