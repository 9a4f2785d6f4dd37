//! Fields that concern one connection only (RFC 9110, section 7.6.1).

use std::fmt;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::fields::{concerns_everybody, is_false_length, is_hop_by_hop};
use super::list::elements;
use super::rules::HeaderRules;
use super::{names_where, take, trailer};

/// Most options that one message's `Connection` fields may list.
const OPTIONS_MAX: usize = 32;

/// Why a message's `Connection` is refused. A sender must not make the router remove a field that
/// the router decided on or that the recipient uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ConnectionFieldRefused {
    /// It names an end-to-end field, such as `content-type`, `authorization` or one of the router's
    /// own.
    EndToEnd,
    /// It lists too many options.
    TooMany,
}

impl ConnectionFieldRefused {
    /// For answers and logs.
    pub const fn detail(self) -> &'static str {
        match self {
            Self::EndToEnd => "Connection names an end-to-end field",
            Self::TooMany => "Connection lists too many options",
        }
    }
}

impl fmt::Display for ConnectionFieldRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.detail())
    }
}

impl std::error::Error for ConnectionFieldRefused {}

/// Removes hop-by-hop fields, those that `Connection` nominates, and those that are `refused`, which
/// it hands to `removed`. `refused` sees every other name once. Other spellings of hop-by-hop fields and of
/// `Content-Length` go too, because a recipient could end the body by them.
///
/// `TE` keeps the one end-to-end value, `trailers`, which gRPC servers need.
///
/// # Errors
/// `Connection` names a field that it must not name. Then nothing has been removed.
pub(super) fn remove(
    rules: &HeaderRules,
    headers: &mut HeaderMap,
    mut refused: impl FnMut(&HeaderName) -> bool,
    removed: impl FnMut(&HeaderName, &mut dyn Iterator<Item = HeaderValue>),
) -> Result<(), ConnectionFieldRefused> {
    if headers.contains_key(header::CONNECTION) {
        remove_nominated(rules, headers)?;
    }
    // One walk over the names, because a lookup costs as much as it takes to compare a name with all
    // of these.
    let (mut announces, mut te) = (false, false);
    let refused = |name: &HeaderName| {
        announces |= name == header::TRAILER;
        te |= name == header::TE;
        let bytes = name.as_str().as_bytes();
        is_hop_by_hop(bytes) || is_false_length(bytes) || refused(name)
    };
    let names = names_where(headers, refused);
    // Set again, for the next connection.
    let announced = announces.then(|| trailer::announced(rules, headers));
    take(headers, names, removed);
    if let Some(announced) = announced.flatten() {
        headers.insert(header::TRAILER, announced);
    }
    if te {
        let trailers = headers
            .get_all(header::TE)
            .iter()
            .any(trailer::wants_trailers);
        headers.remove(header::TE);
        if trailers {
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
        }
    }
    Ok(())
}

fn remove_nominated(
    rules: &HeaderRules,
    headers: &mut HeaderMap,
) -> Result<(), ConnectionFieldRefused> {
    // Nearly always empty, so that it costs no allocation.
    let mut nominated = Vec::new();
    let options = elements(headers.get_all(header::CONNECTION)).filter(|option| !option.is_empty());
    for (count, option) in options.enumerate() {
        if count >= OPTIONS_MAX {
            return Err(ConnectionFieldRefused::TooMany);
        }
        if is_usual(option) {
            continue;
        }
        if concerns_everybody(option) {
            return Err(ConnectionFieldRefused::EndToEnd);
        }
        if let Ok(name) = HeaderName::from_bytes(option) {
            if rules.reserves(&name) {
                return Err(ConnectionFieldRefused::EndToEnd);
            }
            nominated.push(name);
        }
    }
    for name in nominated {
        headers.remove(name);
    }
    Ok(())
}

/// The usual options. These name no field, or one that is handled by name: a sender of `TE` or
/// `Upgrade` must list it (RFC 9110, sections 7.8 and 10.1.4).
fn is_usual(option: &[u8]) -> bool {
    const USUAL: [&[u8]; 4] = [b"close", b"keep-alive", b"te", b"upgrade"];
    USUAL.iter().any(|usual| option.eq_ignore_ascii_case(usual))
}
