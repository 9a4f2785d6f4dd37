//! Which headers the router takes away from a request, and which it sets.
//!
//! The router's own headers live under one prefix. A cell believes them, so nothing that a client
//! sends may arrive under those names: [`sanitise`] runs before anything else looks at a request,
//! on every path, and [`HeaderRules::stamps`] says what is set once a decision stands. Both are
//! plain functions of their arguments, so that the proxy path and an external authoriser share
//! them.

mod fields;
mod forwarded;
mod hop;
mod media;
mod otherwise;
mod rules;
mod trailer;

use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

pub use self::fields::forbidden_in_trailers;
pub use self::forwarded::{Forwarded, Hop, Told, forward};
pub use self::hop::BadConnection;
use self::media::Grpc;
pub use self::media::is_grpc;
pub use self::rules::{
    CELL_BOUND_AUTHORIZATION, HeaderRules, HeaderSpec, HeaderSpecError, STAMP_NAMES, Stamps,
};
pub use self::trailer::{announce_grpc, takes_trailers};
use crate::evidence::Credentials;

/// Takes the credentials out of a request's headers and removes everything that isn't the
/// client's to say: the router's own headers under any spelling, and hop-by-hop fields.
///
/// Run it first, on every request. What it leaves may be forwarded. Except for credentials, the
/// decision reads the header after everything has been removed, so that it sees what the cell gets.
///
/// # Errors
/// `Connection` names a field that it must not name: refuse the request.
pub fn sanitise(
    rules: &HeaderRules,
    headers: &mut HeaderMap,
) -> Result<Credentials, BadConnection> {
    hop::remove(rules, headers)?;
    let mut credentials = take_credentials(rules, headers);
    // Taken where it is removed: requests without one, nearly all, are not searched for it.
    remove_where(
        headers,
        |name| rules.reserves(name),
        |name, values| {
            if *name == CELL_BOUND_AUTHORIZATION {
                credentials.cell_bound = values.collect();
            } else if name == rules.routing_key() {
                credentials.routing_key = values.collect();
            } else if name == rules.routing_key_signature() {
                credentials.routing_key_signature = values.collect();
            }
        },
    );
    let grpc = Grpc::of(headers);
    Ok(Credentials {
        grpc: grpc == Grpc::Yes,
        says_otherwise: grpc == Grpc::Unclear
            || headers.keys().any(otherwise::names_another_request),
        ..credentials
    })
}

/// Removes from a cell's answer what is between the cell and the router only: hop-by-hop fields
/// and everything under the router's prefix.
///
/// # Errors
/// `Connection` names a field that it must not name: don't pass on the answer.
pub fn sanitise_response(
    rules: &HeaderRules,
    headers: &mut HeaderMap,
) -> Result<(), BadConnection> {
    hop::remove(rules, headers)?;
    remove_reserved(rules, headers);
    Ok(())
}

/// Removes forbidden fields from trailers, in both directions: the router's own names, and every
/// field that would be refused, removed or acted on in a header ([`forbidden_in_trailers`]).
pub fn sanitise_trailers(rules: &HeaderRules, trailers: &mut HeaderMap) {
    let refused = |name: &HeaderName| rules.reserves(name) || forbidden_in_trailers(name);
    remove_where(trailers, refused, |_, _| ());
}

fn take_credentials(rules: &HeaderRules, headers: &mut HeaderMap) -> Credentials {
    let mut credentials = Credentials::default();
    if let http::header::Entry::Occupied(entry) = headers.entry(AUTHORIZATION) {
        let (_, mut values) = entry.remove_entry_mult();
        credentials.authorization = values.next();
        credentials.several = values.next().is_some();
    }
    if headers.contains_key(rules.tenant_choice()) {
        credentials.tenant_choice = choice(headers, rules.tenant_choice());
    }
    credentials
}

/// Several fields say what one with a list would (RFC 9110, section 5.3), and a list is no tenant:
/// a choice between two must not be made by which of them came first.
fn choice(headers: &mut HeaderMap, name: &HeaderName) -> Option<HeaderValue> {
    let all: Vec<&[u8]> = headers
        .get_all(name)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    let choice = match *all {
        [_, _, ..] => HeaderValue::from_bytes(&all.join(&b", "[..])).ok(),
        _ => None,
    };
    let first = headers.remove(name);
    choice.or(first)
}

/// Removes everything under the router's names.
pub(crate) fn remove_reserved(rules: &HeaderRules, headers: &mut HeaderMap) {
    remove_where(headers, |name| rules.reserves(name), |_, _| ());
}

/// Removes the fields whose names are refused, and hands them over. The list is gathered first
/// because a `HeaderMap` can't be edited while it is walked; it stays empty, and costs no
/// allocation, for honest clients.
fn remove_where(
    headers: &mut HeaderMap,
    refused: impl Fn(&HeaderName) -> bool,
    mut removed: impl FnMut(&HeaderName, &mut dyn Iterator<Item = HeaderValue>),
) {
    let names: Vec<HeaderName> = headers
        .keys()
        .filter(|name| refused(name))
        .cloned()
        .collect();
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
