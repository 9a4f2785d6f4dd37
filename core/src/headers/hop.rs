//! Fields that concern one connection only (RFC 9110, section 7.6.1).

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// Always removed, whether or not `Connection` names them.
pub(super) const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    // Goes with the upgrade to HTTP/2 that RFC 9113, section 3.1, has taken back.
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Most names that one request's `Connection` fields may nominate; the rest stays. A client gains
/// nothing by more: what it may not say is removed by name, not by nomination.
const NOMINATED_MAX: usize = 32;

/// Removes hop-by-hop fields, those that `Connection` nominates among them.
///
/// `TE` keeps the one value that concerns the whole way, `trailers`, which gRPC servers ask for.
pub(super) fn remove(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        remove_nominated(headers);
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
    if headers.contains_key(header::TE) {
        let trailers = headers.get_all(header::TE).iter().any(wants_trailers);
        headers.remove(header::TE);
        if trailers {
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
        }
    }
}

fn remove_nominated(headers: &mut HeaderMap) {
    let nominated: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .filter(|name| !frames_the_message(name))
        .take(NOMINATED_MAX)
        .collect();
    for name in nominated {
        headers.remove(name);
    }
}

/// Nominating these would change what the message is, not who it concerns.
fn frames_the_message(name: &HeaderName) -> bool {
    [header::HOST, header::CONTENT_LENGTH, header::TE].contains(name)
}

fn wants_trailers(value: &HeaderValue) -> bool {
    value.as_bytes().split(|&byte| byte == b',').any(|coding| {
        let name = coding
            .split(|&byte| byte == b';')
            .next()
            .unwrap_or_default();
        name.trim_ascii().eq_ignore_ascii_case(b"trailers")
    })
}

/// Whether a field may never stand in trailers, because a recipient that merges trailers into
/// headers would be misled by it: framing, routing, authentication, hop-by-hop.
pub fn forbidden_in_trailers(name: &HeaderName) -> bool {
    const FORBIDDEN: [HeaderName; 8] = [
        header::AUTHORIZATION,
        header::CONTENT_ENCODING,
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::COOKIE,
        header::HOST,
        header::SET_COOKIE,
        header::TE,
    ];
    FORBIDDEN.contains(name) || HOP_BY_HOP.contains(name)
}
