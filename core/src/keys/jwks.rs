//! Parsing a JWKS (RFC 7517).

use std::fmt;

use super::Algorithm;

/// The keys of one issuer that tokens can be verified with.
#[derive(Debug)]
pub struct KeySet {}

/// A key of the set that is not used, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Skipped {
    /// Its id, if it has one.
    pub kid: Option<Box<str>>,
    /// Why it isn't used.
    pub why: &'static str,
}

/// Why a document is not taken as a key set. Closed, because it is a label of metrics.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum KeysRefused {
    /// More than [`KeySet::BYTES_MAX`].
    Oversized,
    /// Not a JSON object with a `keys` array.
    Malformed,
    /// More than [`KeySet::KEYS_MAX`] keys.
    TooManyKeys,
    /// No key in it can be used.
    NoUsableKey,
}

impl KeysRefused {
    /// The name in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Oversized => "oversized",
            Self::Malformed => "malformed",
            Self::TooManyKeys => "too_many_keys",
            Self::NoUsableKey => "no_usable_key",
        }
    }
}

impl fmt::Display for KeysRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for KeysRefused {}

impl KeySet {
    /// The most bytes that a document may have.
    pub const BYTES_MAX: usize = 1024 * 1024;
    /// The most keys that a document may have.
    pub const KEYS_MAX: usize = 64;

    /// Reads a document.
    ///
    /// # Errors
    /// [`KeysRefused`]. A single key that is broken or unknown is skipped.
    pub fn parse(body: &[u8], allowed: &[Algorithm]) -> Result<Self, KeysRefused> {
        let _ = (body, allowed);
        Err(KeysRefused::Malformed)
    }

    /// How many keys can be used.
    pub fn len(&self) -> usize {
        0
    }

    /// Never true: a set without a usable key is refused.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The keys that aren't used.
    pub fn skipped(&self) -> &[Skipped] {
        &[]
    }
}
