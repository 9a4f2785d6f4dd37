//! The outer form of a token: three parts, a header, a signature (RFC 7515, compact form).

use crate::base64url;
use crate::json::{self, Json, Object};
use crate::keys::{Algorithm, KID_LEN_MAX};
use crate::reason::Reason;

use super::Denial;

/// The most bytes that a token may have.
pub(super) const TOKEN_LEN_MAX: usize = 16 * 1024;

/// Header members that change what the rest means. What isn't understood must not be passed over.
const REFUSED_MEMBERS: [(&str, &str); 4] = [
    (
        "crit",
        "the header has `crit`, and no extension is supported",
    ),
    ("b64", "the header has `b64`"),
    ("zip", "the token is compressed"),
    ("enc", "the token is encrypted"),
];

/// A token taken apart, and believed in nothing.
pub(super) struct Jws<'a> {
    /// What the signature is over.
    pub(super) message: &'a [u8],
    pub(super) payload: Vec<u8>,
    pub(super) signature: Vec<u8>,
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<Box<str>>,
    typ: Option<Box<str>>,
}

impl<'a> Jws<'a> {
    /// Takes a token apart.
    pub(super) fn parse(token: &'a [u8]) -> Result<Self, Denial> {
        let malformed = |detail| Denial::new("token.form", Reason::MalformedToken, detail);
        if token.len() > TOKEN_LEN_MAX {
            return Err(malformed("the token is too long"));
        }
        let mut dots = token.iter().enumerate().filter(|(_, byte)| **byte == b'.');
        let (Some((first, _)), Some((second, _)), None) = (dots.next(), dots.next(), dots.next())
        else {
            return Err(malformed("the token does not have three parts"));
        };
        let decode = |part| base64url::decode(part).ok_or_else(|| malformed("not base64url"));
        let header = decode(&token[..first])?;
        let header = json::strict_object(&header)
            .ok_or_else(|| malformed("the header is not a JSON object with unique names"))?;
        for (member, detail) in REFUSED_MEMBERS {
            if header.has(member) {
                return Err(malformed(detail));
            }
        }
        // Decided before any key is looked at: with `none` or HMAC there is nothing to look for.
        let algorithm = Algorithm::from_name(required_alg(&header)?).ok_or(Denial::new(
            "token.algorithm",
            Reason::ForbiddenAlgorithm,
            "`alg` is not an asymmetric signature algorithm",
        ))?;
        let kid = optional_str(&header, "kid")?;
        if kid.is_some_and(|kid| !(1..=KID_LEN_MAX).contains(&kid.len())) {
            return Err(malformed("`kid` is empty or too long"));
        }
        if optional_str(&header, "cty")?
            .is_some_and(|cty| bare_type(cty).eq_ignore_ascii_case("JWT"))
        {
            return Err(malformed("the token holds another token"));
        }
        Ok(Self {
            message: &token[..second],
            payload: decode(&token[first + 1..second])?,
            signature: decode(&token[second + 1..])?,
            algorithm,
            kid: kid.map(Into::into),
            typ: optional_str(&header, "typ")?.map(Into::into),
        })
    }

    /// Whether `typ` is absent, or one of these: media types as RFC 7515 has them, in any case,
    /// and with or without `application/`.
    pub(super) fn is_of_type(&self, types: &[Box<str>]) -> bool {
        self.typ.as_ref().is_none_or(|typ| {
            let typ = bare_type(typ);
            types
                .iter()
                .any(|allowed| allowed.eq_ignore_ascii_case(typ))
        })
    }
}

fn required_alg<'a>(header: &'a Object<'_>) -> Result<&'a str, Denial> {
    header.get("alg").and_then(Json::as_str).ok_or(Denial::new(
        "token.form",
        Reason::MalformedToken,
        "`alg` is missing or not a string",
    ))
}

fn optional_str<'a>(header: &'a Object<'_>, name: &str) -> Result<Option<&'a str>, Denial> {
    match header.get(name) {
        None => Ok(None),
        Some(Json::String(value)) => Ok(Some(value)),
        Some(_) => Err(Denial::new(
            "token.form",
            Reason::MalformedToken,
            "a header member is not a string",
        )),
    }
}

fn bare_type(media_type: &str) -> &str {
    const PREFIX: &str = "application/";
    match media_type.get(..PREFIX.len()) {
        Some(prefix) if prefix.eq_ignore_ascii_case(PREFIX) => &media_type[PREFIX.len()..],
        _ => media_type,
    }
}
