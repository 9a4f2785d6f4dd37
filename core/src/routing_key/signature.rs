//! The signed form, version 1.
//!
//! `x-routing-key-signature: v1; kid=edge-1; t=1800000000; sig=...` in exactly this spelling: these
//! parameters in this order, one space after each semicolon. The signed text has one line for each
//! of seven values, see [`canonical`].

use http::Method;

use crate::base64url;
use crate::kid::{KID_LEN_MAX, is_kid};

/// The first line of the signed text. It names the form and its version, so that no other use of
/// the same key can be mistaken for a routing key.
const DOMAIN: &str = "cellway-routing-key-v1";

/// Digits of the largest time.
const TIME_LEN_MAX: usize = 20;

/// Base64url of the longest signature, which has 64 bytes.
const SIGNATURE_LEN_MAX: usize = 86;

/// The most bytes of the header.
pub(super) const LEN_MAX: usize =
    "v1; kid=; t=; sig=".len() + KID_LEN_MAX + TIME_LEN_MAX + SIGNATURE_LEN_MAX;

/// The values that a signature covers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Signed<'a> {
    /// The key that signs.
    pub kid: &'a str,
    /// When, in seconds since 1970.
    pub time: u64,
    /// The request's method.
    pub method: &'a Method,
    /// Host and port as the request names them, in `:authority` or `Host`.
    pub authority: &'a str,
    /// Path and query as they are sent.
    pub path: &'a str,
    /// The routing key.
    pub key: &'a str,
}

/// The signed bytes. The authority is in lower case, because hosts are compared without case.
pub fn canonical(signed: &Signed<'_>) -> Vec<u8> {
    let authority = signed.authority.to_ascii_lowercase();
    let time = signed.time.to_string();
    let lines = [
        DOMAIN,
        signed.kid,
        &time,
        signed.method.as_str(),
        &authority,
        signed.path,
        signed.key,
    ];
    lines.join("\n").into_bytes()
}

/// What the header says.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Signature<'a> {
    pub(super) kid: &'a str,
    pub(super) time: u64,
    pub(super) signature: Vec<u8>,
}

impl<'a> Signature<'a> {
    /// Reads the header in its only spelling.
    pub(super) fn parse(header: &'a [u8]) -> Option<Self> {
        if header.len() > LEN_MAX {
            return None;
        }
        let header = std::str::from_utf8(header).ok()?;
        let rest = header.strip_prefix("v1; kid=")?;
        let (kid, rest) = rest.split_once("; t=")?;
        let (time, signature) = rest.split_once("; sig=")?;
        Some(Self {
            kid: is_kid(kid).then_some(kid)?,
            time: seconds(time)?,
            signature: base64url::decode(signature.as_bytes())?,
        })
    }
}

/// Digits without a sign and without leading zeros, so that each number has one spelling.
fn seconds(digits: &str) -> Option<u64> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    let padded = digits.len() > 1 && digits.starts_with('0');
    if !plain || padded {
        return None;
    }
    digits.parse().ok()
}
