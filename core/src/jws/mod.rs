//! Reads signed documents in the compact form of RFC 7515 strictly, before anything is verified.
//!
//! Bearer tokens, cell-bound authorizations and identity envelopes are all of this form. What is
//! refused here is refused for each of them, whoever signed it. Keys inside a document, and
//! addresses of keys (`jwk`, `jku`, `x5c`, `x5u`), are ignored, so that nothing can trust them.

use std::borrow::Cow;

use crate::base64url;
use crate::json::{self, Json, Object};
use crate::keys::{Algorithm, KID_LEN_MAX};

mod date;

pub(crate) use date::DateClaim;

/// The most bytes that a document may have.
pub(crate) const JWS_LEN_MAX: usize = 16 * 1024;

/// Header members that change the meaning of others. They aren't supported, and must not be
/// ignored.
const REFUSED_MEMBERS: [(&str, &str); 4] = [
    ("crit", "the header has `crit`; no extension is supported"),
    ("b64", "the header has `b64`"),
    ("zip", "the token is compressed"),
    ("enc", "the token is encrypted"),
];

/// Why a document can't be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum JwsError {
    /// It has the wrong form. The text says where, and holds nothing of the document.
    Malformed(&'static str),
    /// `alg` is `none`, symmetric or unknown.
    ForbiddenAlgorithm,
}

/// The three parts of a document, decoded.
pub(crate) struct Jws<'a> {
    /// The signed bytes.
    pub(crate) message: &'a [u8],
    header: Vec<u8>,
    payload: Vec<u8>,
    pub(crate) signature: Vec<u8>,
}

/// The header's members.
pub(crate) struct Header<'a> {
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: Option<Cow<'a, str>>,
    typ: Option<Cow<'a, str>>,
}

impl JwsError {
    /// What is wrong, in words that hold nothing of the document.
    pub(crate) const fn detail(self) -> &'static str {
        match self {
            Self::Malformed(detail) => detail,
            Self::ForbiddenAlgorithm => "`alg` is not an asymmetric signature algorithm",
        }
    }
}

impl<'a> Jws<'a> {
    /// Splits a document: exactly three parts in canonical base64url.
    ///
    /// # Errors
    /// [`JwsError::Malformed`].
    pub(crate) fn parse(document: &'a [u8]) -> Result<Self, JwsError> {
        Self::parse_within(document, JWS_LEN_MAX)
    }

    /// As [`parse`](Self::parse), for documents that may have `len_max` bytes.
    ///
    /// # Errors
    /// [`JwsError::Malformed`].
    pub(crate) fn parse_within(document: &'a [u8], len_max: usize) -> Result<Self, JwsError> {
        if document.len() > len_max {
            return Err(JwsError::Malformed("the token is too long"));
        }
        let mut dots = document
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'.');
        let (Some((first, _)), Some((second, _)), None) = (dots.next(), dots.next(), dots.next())
        else {
            return Err(JwsError::Malformed("the token does not have three parts"));
        };
        let decode = |part| base64url::decode(part).ok_or(JwsError::Malformed("not base64url"));
        Ok(Self {
            message: &document[..second],
            header: decode(&document[..first])?,
            payload: decode(&document[first + 1..second])?,
            signature: decode(&document[second + 1..])?,
        })
    }

    /// Reads the header.
    ///
    /// # Errors
    /// [`JwsError`]. An algorithm that isn't asymmetric is refused here, before any key is looked
    /// up.
    pub(crate) fn header(&self) -> Result<Header<'_>, JwsError> {
        let header = json::strict_object(&self.header).ok_or(JwsError::Malformed(
            "the header is not a JSON object with unique names",
        ))?;
        for (member, detail) in REFUSED_MEMBERS {
            if header.has(member) {
                return Err(JwsError::Malformed(detail));
            }
        }
        let algorithm =
            Algorithm::from_name(required_alg(&header)?).ok_or(JwsError::ForbiddenAlgorithm)?;
        let kid = match header.get("kid") {
            None => None,
            Some(kid) => Some(kid_of(kid).ok_or(JwsError::Malformed(
                "`kid` is neither a string nor a whole number",
            ))?),
        };
        if kid
            .as_ref()
            .is_some_and(|kid| !(1..=KID_LEN_MAX).contains(&kid.len()))
        {
            return Err(JwsError::Malformed("`kid` is empty or too long"));
        }
        let nested = |cty: Cow<'_, str>| bare_type(&cty).eq_ignore_ascii_case("JWT");
        if optional_str(&header, "cty")?.is_some_and(nested) {
            return Err(JwsError::Malformed("the token contains another token"));
        }
        Ok(Header {
            algorithm,
            kid,
            typ: optional_str(&header, "typ")?,
        })
    }

    /// Reads the payload as claims (RFC 7519). They are not verified yet.
    ///
    /// # Errors
    /// [`JwsError::Malformed`].
    pub(crate) fn claims(&self) -> Result<Object<'_>, JwsError> {
        json::strict_object(&self.payload).ok_or(JwsError::Malformed(
            "the payload is not a JSON object with unique names",
        ))
    }
}

impl Header<'_> {
    /// Whether `typ` is present and is this one. Media types are compared as in RFC 7515 (section
    /// 4.1.9): in any case, and with or without `application/`.
    pub(crate) fn is_of_type(&self, wanted: &str) -> bool {
        let same = |typ: &str| bare_type(typ).eq_ignore_ascii_case(bare_type(wanted));
        self.typ.as_deref().is_some_and(same)
    }

    /// Whether `typ` is one of these. A document without `typ` counts as `JWT`, so it is refused
    /// where only other types are allowed, such as `at+jwt` (RFC 9068, section 4).
    pub(crate) fn is_of_types(&self, allowed: &[Box<str>]) -> bool {
        match self.typ {
            None => allowed.iter().any(|typ| typ.eq_ignore_ascii_case("jwt")),
            Some(_) => allowed.iter().any(|typ| self.is_of_type(typ)),
        }
    }
}

fn required_alg<'a>(header: &'a Object<'_>) -> Result<&'a str, JwsError> {
    let alg = header.get("alg").and_then(Json::as_str);
    alg.ok_or(JwsError::Malformed("`alg` is missing or not a string"))
}

fn optional_str<'a>(header: &Object<'a>, name: &str) -> Result<Option<Cow<'a, str>>, JwsError> {
    match header.get(name) {
        None => Ok(None),
        Some(Json::String(value)) => Ok(Some(value.clone())),
        Some(_) => Err(JwsError::Malformed("a header member is not a string")),
    }
}

/// A `kid` is a string (RFC 7515, section 4.1.4). Some issuers write a number, in their keys and in
/// their tokens. Such a number is read as the string of its digits.
fn kid_of<'a>(kid: &Json<'a>) -> Option<Cow<'a, str>> {
    if let Json::String(kid) = kid {
        return Some(kid.clone());
    }
    let digits = kid.digits_or_str()?;
    Some(digits.into_owned().into())
}

fn bare_type(media_type: &str) -> &str {
    const PREFIX: &str = "application/";
    match media_type.get(..PREFIX.len()) {
        Some(prefix) if prefix.eq_ignore_ascii_case(PREFIX) => &media_type[PREFIX.len()..],
        _ => media_type,
    }
}

#[cfg(test)]
mod tests;
