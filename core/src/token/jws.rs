//! The outer form of a token: three parts, a header, a signature (RFC 7515, compact form).

use std::borrow::Cow;

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

/// The three parts of a token, decoded and believed in nothing.
pub(super) struct Jws<'a> {
    /// What the signature is over.
    pub(super) message: &'a [u8],
    header: Vec<u8>,
    pub(super) payload: Vec<u8>,
    pub(super) signature: Vec<u8>,
}

/// What the header says.
pub(super) struct Header<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<Cow<'a, str>>,
    typ: Option<Cow<'a, str>>,
}

fn malformed(detail: &'static str) -> Denial {
    Denial::new("token.form", Reason::MalformedToken, detail)
}

impl<'a> Jws<'a> {
    /// Takes a token apart.
    pub(super) fn parse(token: &'a [u8]) -> Result<Self, Denial> {
        if token.len() > TOKEN_LEN_MAX {
            return Err(malformed("the token is too long"));
        }
        let mut dots = token.iter().enumerate().filter(|(_, byte)| **byte == b'.');
        let (Some((first, _)), Some((second, _)), None) = (dots.next(), dots.next(), dots.next())
        else {
            return Err(malformed("the token does not have three parts"));
        };
        let decode = |part| base64url::decode(part).ok_or(malformed("not base64url"));
        Ok(Self {
            message: &token[..second],
            header: decode(&token[..first])?,
            payload: decode(&token[first + 1..second])?,
            signature: decode(&token[second + 1..])?,
        })
    }

    /// Reads the header.
    pub(super) fn header(&self) -> Result<Header<'_>, Denial> {
        let header = json::strict_object(&self.header).ok_or(malformed(
            "the header is not a JSON object with unique names",
        ))?;
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
        if kid
            .as_ref()
            .is_some_and(|kid| !(1..=KID_LEN_MAX).contains(&kid.len()))
        {
            return Err(malformed("`kid` is empty or too long"));
        }
        let nested = |cty: Cow<'_, str>| bare_type(&cty).eq_ignore_ascii_case("JWT");
        if optional_str(&header, "cty")?.is_some_and(nested) {
            return Err(malformed("the token holds another token"));
        }
        Ok(Header {
            algorithm,
            kid,
            typ: optional_str(&header, "typ")?,
        })
    }
}

impl Header<'_> {
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
    let alg = header.get("alg").and_then(Json::as_str);
    alg.ok_or(malformed("`alg` is missing or not a string"))
}

fn optional_str<'a>(header: &Object<'a>, name: &str) -> Result<Option<Cow<'a, str>>, Denial> {
    match header.get(name) {
        None => Ok(None),
        Some(Json::String(value)) => Ok(Some(value.clone())),
        Some(_) => Err(malformed("a header member is not a string")),
    }
}

fn bare_type(media_type: &str) -> &str {
    const PREFIX: &str = "application/";
    match media_type.get(..PREFIX.len()) {
        Some(prefix) if prefix.eq_ignore_ascii_case(PREFIX) => &media_type[PREFIX.len()..],
        _ => media_type,
    }
}
