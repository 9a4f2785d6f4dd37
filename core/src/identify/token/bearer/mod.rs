//! Finds a request's bearer token (RFC 6750, section 2).
//!
//! It must be in one `Authorization` header. A token in the query would be stored in logs and
//! browser histories, so such a request is refused. Bodies and cookies are not read: they are the
//! cell's.

use crate::reason::Reason;
use crate::refused::Refused;

use super::super::Context;

/// The scheme and the space that ends it.
const BEARER: &[u8] = b"bearer ";
/// The scheme of tokens whose holder proves a key with each request (RFC 9449).
const DPOP: &[u8] = b"dpop ";
/// The parameter of a query that holds a token (RFC 6750, section 2.3).
const PARAMETER: &[u8] = b"access_token";

impl Context<'_> {
    /// The bearer token, if there is one. Another scheme is refused.
    pub(in crate::identify) fn bearer(&self) -> Result<Option<&[u8]>, Refused> {
        let credentials = self.evidence.credentials;
        let in_query = names_token(self.evidence.path);
        if credentials.several {
            return Err(twice("there is more than one Authorization header"));
        }
        let authorization = match &credentials.authorization {
            Some(_) if in_query => return Err(twice("there is also a token in the query")),
            None if in_query => return Err(malformed(IN_QUERY)),
            None => return Ok(None),
            Some(authorization) => authorization.as_bytes(),
        };
        match after(authorization, BEARER) {
            Some(token) => Ok(Some(token)),
            None if after(authorization, DPOP).is_some() => Err(malformed(
                "the Authorization header is for DPoP, whose proofs are not checked here",
            )),
            None => Err(malformed("the Authorization header is not a bearer token")),
        }
    }
}

/// A better reason for a malformed token, if the cause is how it was sent.
pub(super) fn explain_malformed(token: &[u8]) -> Option<Refused> {
    if token.starts_with(b"{") {
        Some(malformed(
            "the token is in JSON form; only the compact form is accepted",
        ))
    } else if token.contains(&b',') {
        // One field with a list means the same as several fields (RFC 9110, section 5.3).
        Some(twice("the Authorization header is a list"))
    } else if token.iter().any(u8::is_ascii_whitespace) {
        Some(malformed("the Authorization header has more than a token"))
    } else {
        None
    }
}

const IN_QUERY: &str =
    "the token is in the query, where logs keep it; send it as Authorization: Bearer";

fn twice(detail: &'static str) -> Refused {
    Refused::new("token.present", Reason::DuplicateCredentials, detail)
}

fn malformed(detail: &'static str) -> Refused {
    Refused::new("token.present", Reason::MalformedToken, detail)
}

/// The token of an `Authorization` field with the scheme `Bearer`.
pub(super) fn token_of(authorization: &[u8]) -> Option<&[u8]> {
    after(authorization, BEARER)
}

/// What follows the scheme, and any further spaces.
fn after<'a>(authorization: &'a [u8], scheme: &[u8]) -> Option<&'a [u8]> {
    let (found, mut rest) = authorization.split_at_checked(scheme.len())?;
    if !found.eq_ignore_ascii_case(scheme) {
        return None;
    }
    while let [b' ', shorter @ ..] = rest {
        rest = shorter;
    }
    Some(rest)
}

/// Whether the query of a path has a parameter for a token, in any spelling that a cell's framework
/// could read as that name.
fn names_token(path: &str) -> bool {
    let Some((_, query)) = path.split_once('?') else {
        return false;
    };
    query.split(['&', ';']).any(|parameter| {
        let name = parameter.split('=').next().unwrap_or_default();
        is_parameter(name.as_bytes())
    })
}

fn is_parameter(mut name: &[u8]) -> bool {
    for expected in PARAMETER {
        let (byte, rest) = match name {
            [b'%', high, low, rest @ ..] => (percent(*high, *low), rest),
            [byte, rest @ ..] => (Some(*byte), rest),
            [] => return false,
        };
        if !byte.is_some_and(|byte| byte.eq_ignore_ascii_case(expected)) {
            return false;
        }
        name = rest;
    }
    // PHP and similar languages read `access_token[]` as a list of that name.
    matches!(name, [] | [b'[', ..] | [b'%', b'5', b'B' | b'b', ..])
}

fn percent(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

#[cfg(test)]
mod tests;
