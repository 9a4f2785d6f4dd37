//! Parsing a JWKS (RFC 7517).

use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json;

use super::key::{Key, digest_of_all};
use super::{Algorithm, jwk};

/// The keys of one issuer that tokens can be verified with.
#[derive(Debug)]
pub struct KeySet {
    keys: Vec<Key>,
    skipped: Vec<Skipped>,
    digest: KeysDigest,
}

/// Names the content of a key set: the same keys under the same ids for the same algorithms, the
/// same digest. White space, order and members that aren't used change nothing.
pub type KeysDigest = [u8; 32];

/// A document, its entries unread: one that is too deep or too large a number to read must not
/// cost the others.
#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

/// What a set has for a token.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    /// Verify with one of these: several only where the issuer uses one `kid` for several keys.
    Keys(Candidates<'a>),
    /// The key is there, and is not for this algorithm.
    OtherAlgorithm,
    /// The token names no key, and several fit.
    Ambiguous,
    /// No such key.
    None,
}

/// Keys that a token may be signed with.
#[derive(Clone, Debug)]
pub(crate) struct Candidates<'a> {
    set: &'a KeySet,
    kid: Option<&'a str>,
    algorithm: Algorithm,
}

/// A key of the set that is not used, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Skipped {
    /// Its id, if it has one that a key may have.
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

    /// Reads a document, taking the keys whose algorithm is among those `allowed`.
    ///
    /// Each key gets one algorithm for good: the one that it names, or that its curve implies. An
    /// RSA key that names none gets the first RSA algorithm among those allowed.
    ///
    /// # Errors
    /// [`KeysRefused`]. A single key that is broken, private, symmetric or unknown is skipped.
    pub fn parse(body: &[u8], allowed: &[Algorithm]) -> Result<Self, KeysRefused> {
        if body.len() > Self::BYTES_MAX {
            return Err(KeysRefused::Oversized);
        }
        let entries = entries(body).ok_or(KeysRefused::Malformed)?;
        if entries.len() > Self::KEYS_MAX {
            return Err(KeysRefused::TooManyKeys);
        }
        let (mut keys, mut skipped) = (Vec::<Key>::new(), Vec::new());
        for entry in entries {
            match read(entry, allowed) {
                Ok(key) if keys.iter().any(|other| other.is_again(&key)) => {}
                Ok(key) => keys.push(key),
                Err(why) => skipped.push(why),
            }
        }
        if keys.is_empty() {
            return Err(KeysRefused::NoUsableKey);
        }
        let digest = digest_of_all(&keys);
        Ok(Self {
            keys,
            skipped,
            digest,
        })
    }

    /// How many keys can be used.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Never true: a set without a usable key is refused.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys that aren't used.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// Names the content: what was verified with one set holds for all sets of the same digest.
    pub fn digest(&self) -> &KeysDigest {
        &self.digest
    }

    /// Whether a token that names `kid` would find a key. A token without `kid` finds none for
    /// certain, because that depends on its algorithm.
    pub(crate) fn has(&self, kid: &str) -> bool {
        self.keys.iter().any(|key| key.kid.as_deref() == Some(kid))
    }

    /// The keys for a token with this `kid` and `alg`.
    pub(crate) fn find<'a>(&'a self, kid: Option<&'a str>, algorithm: Algorithm) -> Found<'a> {
        let candidates = Candidates {
            set: self,
            kid,
            algorithm,
        };
        match (kid, candidates.iter().count()) {
            (Some(kid), 0) if self.has(kid) => Found::OtherAlgorithm,
            (_, 0) => Found::None,
            (None, 2..) if !candidates.are_one_key() => Found::Ambiguous,
            _ => Found::Keys(candidates),
        }
    }
}

impl<'a> Candidates<'a> {
    fn iter(&self) -> impl Iterator<Item = &'a Key> {
        let Self {
            set,
            kid,
            algorithm,
        } = *self;
        set.keys.iter().filter(move |key| {
            key.algorithm == algorithm && kid.is_none_or(|kid| key.kid.as_deref() == Some(kid))
        })
    }

    /// Whether they are the same key under several ids.
    fn are_one_key(&self) -> bool {
        let mut digests = self.iter().map(|key| key.digest);
        let first = digests.next();
        digests.all(|digest| Some(digest) == first)
    }

    /// The digest of the set that they are from.
    pub(crate) fn digest(&self) -> &'a KeysDigest {
        &self.set.digest
    }

    /// Whether `signature` over `message` holds under one of the keys.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.iter().any(|key| key.verify(message, signature))
    }
}

/// The members of `keys`, each as it stands; `None` if there are none to be had.
fn entries(body: &[u8]) -> Option<Vec<&RawValue>> {
    let text = std::str::from_utf8(body).ok()?;
    // serde would read an array as a struct's members in order.
    if !text.trim_ascii_start().starts_with('{') {
        return None;
    }
    // A second `keys` is an error there.
    let document: Document<'_> = serde_json::from_str(text).ok()?;
    Some(document.keys)
}

fn read(entry: &RawValue, allowed: &[Algorithm]) -> Result<Key, Skipped> {
    let Some(entry) = json::parse(entry.get().as_bytes()) else {
        return Err(Skipped {
            kid: None,
            why: "nested too deeply, or not JSON",
        });
    };
    jwk::read(&entry, allowed).map_err(|why| Skipped {
        kid: jwk::kid(&entry).map(Into::into),
        why,
    })
}
