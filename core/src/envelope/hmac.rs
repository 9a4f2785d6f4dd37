//! The HMAC form: six headers under a key that the router shares with one cell.

use std::fmt;
use std::ops::RangeInclusive;

use aws_lc_rs::{constant_time, hmac};
use http::{HeaderValue, Method};

use crate::base64url;
use crate::text::Text;

use super::key::{KeyError, secret};
use super::{EnvelopeContents, is_kid};

/// The length of a shared key in bytes: at least that of its algorithm's output.
pub const HMAC_KEY_LEN: RangeInclusive<usize> = 32..=128;

/// The first line of the signed text. It names the form and its version, so that no other use of
/// the same key can be mistaken for an envelope.
const DOMAIN: &str = "cellway-envelope-hmac-sha256-v1";

/// A key that the router shares with one cell. It is only for HMAC-SHA256: an envelope can't choose
/// the algorithm that verifies it. `Debug` shows only the id and the cell.
pub struct HmacKey {
    kid: Box<str>,
    cell: Text,
    key: hmac::Key,
    /// The key's signature of an empty message, to compare secrets by.
    print: hmac::Tag,
}

/// The values of the six headers of a form with a shared key, in the order of
/// [`HeaderRules::envelope_hmac`](crate::headers::HeaderRules::envelope_hmac) or
/// [`HeaderRules::envelope_compatible`](crate::headers::HeaderRules::envelope_compatible).
pub type HmacStamps = [HeaderValue; 6];

impl HmacKey {
    /// The key of this id, shared with this cell.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn new(kid: &str, cell: &str, secret: &[u8]) -> Result<Self, KeyError> {
        if !is_kid(kid) {
            return Err(KeyError::Kid);
        }
        if !HMAC_KEY_LEN.contains(&secret.len()) {
            return Err(KeyError::HmacLength);
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        Ok(Self {
            kid: kid.into(),
            cell: Text::new(cell).map_err(|_| KeyError::Cell)?,
            print: hmac::sign(&key, b""),
            key,
        })
    }

    /// As [`new`](Self::new), from the text of a key file: base64url without padding, with white
    /// space around it.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_text(kid: &str, cell: &str, text: &str) -> Result<Self, KeyError> {
        let secret = base64url::decode(text.trim_ascii().as_bytes());
        Self::new(kid, cell, &secret.ok_or(KeyError::NotBase64)?)
    }

    /// Its id.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The one cell that has it.
    pub fn cell(&self) -> &Text {
        &self.cell
    }

    /// Whether both are the same secret, whatever their ids. For HMAC, a secret and the same with
    /// zeros appended are equal (RFC 2104, section 2), so they are here.
    pub fn is_same_secret(&self, other: &Self) -> bool {
        let (one, other) = (self.print.as_ref(), other.print.as_ref());
        constant_time::verify_slices_are_equal(one, other).is_ok()
    }

    /// The key for signing.
    pub(super) fn secret(&self) -> &hmac::Key {
        &self.key
    }

    /// Whether the signature over these bytes is valid. Takes the same time either way.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        hmac::verify(&self.key, message, signature).is_ok()
    }
}

impl fmt::Debug for HmacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HmacKey")
            .field("kid", &self.kid)
            .field("cell", &self.cell)
            .finish_non_exhaustive()
    }
}

/// The signed text: one line per value. No value can contain a line end, and the last line has
/// none.
pub fn canonical(
    [kid, cell, issued, expires, claims]: [&str; 5],
    method: &Method,
    target: &str,
) -> Vec<u8> {
    let lines = [
        DOMAIN,
        kid,
        cell,
        issued,
        expires,
        method.as_str(),
        target,
        claims,
    ];
    lines.join("\n").into_bytes()
}

/// Seals an allowed request for the cell of this key.
pub fn seal_hmac(key: &HmacKey, sealing: &EnvelopeContents<'_>) -> HmacStamps {
    let (issued, expires) = sealing.window();
    let (issued, expires) = (issued.to_string(), expires.to_string());
    let claims = base64url::encode(sealing.identity_claims());
    let message = canonical(
        [&key.kid, sealing.cell.as_str(), &issued, &expires, &claims],
        sealing.method,
        sealing.target,
    );
    let signature = base64url::encode(hmac::sign(&key.key, &message));
    [
        HeaderValue::try_from(&*key.kid).unwrap_or(HeaderValue::from_static("")),
        sealing.cell.header_value().clone(),
        secret(issued),
        secret(expires),
        secret(claims),
        secret(signature),
    ]
}
