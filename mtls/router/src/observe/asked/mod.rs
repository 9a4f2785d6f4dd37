//! The parts of a request that logs and metrics may show.

use cellway_core::identify::{Hint, hint};
use cellway_core::{Credentials, Decision, Snapshot, Text, trace};
use http::Method;
use http::request::Parts;

/// What a request asked with. It has no credential and no part of one, except names that are also
/// in the configuration or in an issuer's key set.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// The policy's name.
    pub policy: &'a Text,
    /// The method, or `other` if it isn't a standard HTTP method.
    pub method: &'static str,
    /// The kinds of credentials in the request.
    pub schemes: Schemes,
    /// The issuer that a refused token names, if it is configured, and the key, if it is known.
    pub hint: Hint<'a>,
    /// The trace that the request belongs to (W3C Trace Context), 32 hexadecimal digits.
    pub trace_id: Option<&'a str>,
}

/// Kinds of credentials, whether or not the policy accepts them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Schemes {
    /// An `Authorization` header.
    pub authorization: bool,
    /// A client certificate.
    pub certificate: bool,
    /// A routing key.
    pub routing_key: bool,
    /// A cell-bound authorization.
    pub cell_bound: bool,
}

impl Schemes {
    /// Their names.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        [
            (self.authorization, "authorization"),
            (self.certificate, "certificate"),
            (self.routing_key, "routing_key"),
            (self.cell_bound, "cell_bound"),
        ]
        .into_iter()
        .filter_map(|(came, name)| came.then_some(name))
    }
}

impl<'a> Asked<'a> {
    /// What a decided request asked with.
    pub(crate) fn new(
        snapshot: &'a Snapshot,
        policy: &'a Text,
        parts: &'a Parts,
        credentials: &Credentials,
        certificate: bool,
        decision: &Decision,
    ) -> Self {
        let hint = match decision {
            Decision::Allow(_) => Hint::default(),
            Decision::Deny(_) => hint(&snapshot.policy, &snapshot.keys, credentials),
        };
        Self {
            policy,
            method: method(&parts.method),
            schemes: Schemes {
                authorization: credentials.authorization.is_some(),
                certificate,
                routing_key: !credentials.routing_key.is_empty(),
                cell_bound: !credentials.cell_bound.is_empty(),
            },
            hint,
            trace_id: trace::trace_id_of(&parts.headers),
        }
    }
}

/// What other than standard methods are called.
pub(super) const OTHER_METHOD: &str = "other";

/// The name of a standard method. Other methods are all `other`, because a client can invent any
/// number of them.
pub(super) fn method(method: &Method) -> &'static str {
    const KNOWN: [&Method; 9] = [
        &Method::GET,
        &Method::HEAD,
        &Method::POST,
        &Method::PUT,
        &Method::DELETE,
        &Method::OPTIONS,
        &Method::PATCH,
        &Method::CONNECT,
        &Method::TRACE,
    ];
    let known = KNOWN.into_iter().find(|known| *known == method);
    known.map_or(OTHER_METHOD, Method::as_str)
}

#[cfg(test)]
mod tests;
