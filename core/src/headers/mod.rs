//! The headers that the router removes from a request, and those that it sets.
//!
//! The router's own headers live under one prefix. A cell trusts them, so nothing that a client
//! sends may arrive under those names: [`sanitize`] runs before anything else reads a request, on
//! every path, and [`HeaderRules::stamps`] says what is set after the decision. Both are pure
//! functions, which the proxy path and external authorization share.

mod fields;
mod forwarded;
mod grpc_timeout;
mod hop;
mod list;
mod media;
mod names;
mod override_headers;
mod rules;
mod trailer;

use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

pub use self::fields::forbidden_in_trailers;
pub use self::forwarded::{Forwarded, ForwardedValues, Hop, forward};
pub use self::grpc_timeout::{GRPC_TIMEOUT, grpc_timeout, grpc_timeout_value};
pub use self::hop::ConnectionFieldRefused;
pub use self::list::elements;
use self::media::Grpc;
pub use self::media::is_grpc;
pub use self::rules::{
    CELL_BOUND_AUTHORIZATION, HeaderRules, HeaderSpec, HeaderSpecError, STAMP_NAMES,
};
pub use self::trailer::{announce_grpc, takes_trailers};
use crate::evidence::Credentials;

/// The value of a field that may come only once. `None` if it doesn't come, or more than once: two
/// recipients could take different ones.
pub fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Some(value),
        _ => None,
    }
}

/// Takes the credentials out of a request's headers and removes everything that a client may not
/// set: the router's own headers in any spelling, and hop-by-hop fields.
///
/// Run it first, on every request. What it leaves may be forwarded. Except for credentials, the
/// decision reads the header after everything has been removed, so that it sees what the cell gets.
///
/// # Errors
/// `Connection` names a field that it must not name: refuse the request.
pub fn sanitize(
    rules: &HeaderRules,
    headers: &mut HeaderMap,
) -> Result<Credentials, ConnectionFieldRefused> {
    let (mut authorized, mut overrides_request) = (false, false);
    let refused = |name: &HeaderName| {
        if rules.reserves(name) {
            return true;
        }
        authorized |= name == AUTHORIZATION;
        overrides_request |= override_headers::is_override_header(name);
        false
    };
    // Credentials are taken where they are removed, because few requests have any of them.
    let mut credentials = Credentials::default();
    hop::remove(rules, headers, refused, |name, values| {
        if name == rules.tenant_choice() {
            credentials.tenant_choice = choice(values);
        } else if *name == CELL_BOUND_AUTHORIZATION {
            credentials.cell_bound = values.collect();
        } else if name == rules.routing_key() {
            credentials.routing_key = values.collect();
        } else if name == rules.routing_key_signature() {
            credentials.routing_key_signature = values.collect();
        } else if name == rules.explain() {
            credentials.explain = Some(values.collect());
        }
    })?;
    if authorized {
        take(headers, [AUTHORIZATION], |_, values| {
            credentials.authorization = values.next();
            credentials.several = values.next().is_some();
        });
    }
    let grpc = Grpc::of(headers);
    credentials.grpc = grpc == Grpc::Yes;
    credentials.overrides_request = overrides_request || grpc == Grpc::Unclear;
    Ok(credentials)
}

/// Removes from a cell's answer what is between the cell and the router only: hop-by-hop fields
/// and everything under the router's prefix.
///
/// # Errors
/// `Connection` names a field that it must not name: don't pass on the answer.
pub fn sanitize_response(
    rules: &HeaderRules,
    headers: &mut HeaderMap,
) -> Result<(), ConnectionFieldRefused> {
    hop::remove(rules, headers, |name| rules.reserves(name), |_, _| ())
}

/// Removes forbidden fields from trailers, in both directions: the router's own names, and every
/// field that would be refused, removed or acted on in a header ([`forbidden_in_trailers`]).
pub fn sanitize_trailers(rules: &HeaderRules, trailers: &mut HeaderMap) {
    let refused = |name: &HeaderName| rules.reserves(name) || forbidden_in_trailers(name);
    remove_where(trailers, refused, |_, _| ());
}

/// Several fields mean the same as one with a list (RFC 9110, section 5.3), and a list is not a
/// tenant: the order of two fields must not decide the tenant.
fn choice(values: &mut dyn Iterator<Item = HeaderValue>) -> Option<HeaderValue> {
    let first = values.next()?;
    let others: Vec<HeaderValue> = values.collect();
    if others.is_empty() {
        return Some(first);
    }
    let all: Vec<&[u8]> = [&first]
        .into_iter()
        .chain(&others)
        .map(HeaderValue::as_bytes)
        .collect();
    HeaderValue::from_bytes(&all.join(&b", "[..]))
        .ok()
        .or(Some(first))
}

/// Removes everything under the router's names.
pub fn remove_reserved(rules: &HeaderRules, headers: &mut HeaderMap) {
    remove_where(headers, |name| rules.reserves(name), |_, _| ());
}

/// Removes the fields whose names are refused, and hands them over.
fn remove_where(
    headers: &mut HeaderMap,
    refused: impl FnMut(&HeaderName) -> bool,
    removed: impl FnMut(&HeaderName, &mut dyn Iterator<Item = HeaderValue>),
) {
    let names = names_where(headers, refused);
    take(headers, names, removed);
}

/// The names that are refused. They are collected first because a `HeaderMap` can't be changed
/// during iteration. Honest clients send none, which costs no allocation.
fn names_where(
    headers: &HeaderMap,
    mut refused: impl FnMut(&HeaderName) -> bool,
) -> Vec<HeaderName> {
    let names = headers.keys().filter(|name| refused(name));
    names.cloned().collect()
}

/// Removes the fields of these names, and hands them over.
fn take(
    headers: &mut HeaderMap,
    names: impl IntoIterator<Item = HeaderName>,
    mut removed: impl FnMut(&HeaderName, &mut dyn Iterator<Item = HeaderValue>),
) {
    for name in names {
        if let http::header::Entry::Occupied(entry) = headers.entry(&name) {
            let (_, mut values) = entry.remove_entry_mult();
            removed(&name, &mut values);
        }
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
