//! What a cell is told of a request that may pass.

use cellway_core::{Allow, Snapshot, headers};
use http::HeaderValue;
use http::request::Parts;

/// Stamps that say who is calling. HTTP/2 doesn't index them: they vary from request to request, so
/// that each would push another out of the table, and a guess at one could be checked by its size
/// (RFC 7541, section 7.1).
const IDENTITY: [&str; 5] = ["tenant", "sub", "workspace", "org", "roles"];

/// Sets the router's own words in a header that [`judge`](super::judge) has let pass, under the
/// names by which it was sanitised.
pub(crate) fn stamp(
    snapshot: &Snapshot,
    allow: &Allow,
    request_id: &HeaderValue,
    parts: &mut Parts,
) {
    let stamps = snapshot.policy.headers.stamps(allow, request_id.clone());
    for ((name, mut value), short) in stamps.into_iter().zip(headers::STAMP_NAMES) {
        if IDENTITY.contains(&short) && !value.is_empty() {
            value.set_sensitive(true);
        }
        parts.headers.insert(name, value);
    }
}
