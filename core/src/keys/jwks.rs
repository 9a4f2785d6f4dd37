//! Parsing a JWKS (RFC 7517).

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::json;

use super::key::{Key, KeysDigest, digest_of_all};
use super::{Algorithm, jwk};

/// The keys of one issuer that tokens can be verified with.
#[derive(Debug)]
pub struct KeySet {
    /// One for each algorithm of each entry.
    keys: Vec<Key>,
    /// How many entries these keys come from.
    usable: usize,
    skipped: Vec<Skipped>,
    digest: KeysDigest,
}

/// A document with unparsed entries, so that an entry that can't be parsed doesn't affect the
/// others.
#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

/// The result of looking for a token's key.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    /// Verify with these. There are several only if the issuer uses one `kid` for several keys.
    Keys(Candidates<'a>),
    /// The key exists, but is for another algorithm.
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
    /// Only keys whose first algorithm it is.
    first_only: bool,
}

/// A key of the set that is not used, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Skipped {
    /// Its place in the document, from 0.
    pub at: usize,
    /// Its id, if it has one that a key may have.
    pub kid: Option<Box<str>>,
    /// Why it isn't used, as text that follows "an entry", such as `without "n"`.
    pub why: Cow<'static, str>,
}

/// Its id (or its place if it has none) and why: `key-1: without "n"`.
impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kid {
            Some(kid) => write!(f, "{kid}: {}", self.why),
            None => write!(f, "entry {}: {}", self.at, self.why),
        }
    }
}

/// Why a document is not used as a key set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JwksError {
    /// The kind of mistake.
    pub reason: JwksErrorReason,
    /// What was found, and what is expected.
    pub detail: Arc<str>,
    /// The unusable entries, if they are the reason.
    pub skipped: Vec<Skipped>,
}

/// The kinds of mistakes of a key set. The set is closed, because it is a metrics label.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum JwksErrorReason {
    /// More than [`KeySet::BYTES_MAX`].
    Oversized,
    /// Not a JSON object with a `keys` array.
    Malformed,
    /// More than [`KeySet::KEYS_MAX`] usable keys, or [`KeySet::ENTRIES_MAX`] entries.
    TooManyKeys,
    /// No key in it can be used.
    NoUsableKey,
}

impl JwksErrorReason {
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

impl JwksError {
    pub(crate) fn new(reason: JwksErrorReason, detail: impl Into<Arc<str>>) -> Self {
        Self {
            reason,
            detail: detail.into(),
            skipped: Vec::new(),
        }
    }

    /// A document of this many bytes.
    pub(crate) fn oversized(len: usize, len_max: usize) -> Self {
        let detail = format!("{len} bytes; at most {len_max} are read");
        Self::new(JwksErrorReason::Oversized, detail)
    }

    /// `no key is usable for RS256: 3 entries, 2 without "n", 1 of type "oct"`
    fn unusable(entries: usize, skipped: Vec<Skipped>, allowed: &[Algorithm]) -> Self {
        /// The most kinds of mistakes that a message lists.
        const KINDS_MAX: usize = 8;
        let names: Vec<&str> = allowed.iter().map(|algorithm| algorithm.as_str()).collect();
        let mut detail = format!("no key is usable for {}: ", names.join(", "));
        detail += &match entries {
            0 => "there are no entries".to_owned(),
            1 => "1 entry".to_owned(),
            more => format!("{more} entries"),
        };
        let mut kinds: Vec<(&str, usize)> = Vec::new();
        for Skipped { why, .. } in &skipped {
            match kinds.iter_mut().find(|(kind, _)| *kind == &**why) {
                Some((_, count)) => *count += 1,
                None => kinds.push((why, 1)),
            }
        }
        for (why, count) in kinds.iter().take(KINDS_MAX) {
            detail += &format!(", {count} {why}");
        }
        if kinds.len() > KINDS_MAX {
            detail += ", and others";
        }
        Self {
            skipped,
            ..Self::new(JwksErrorReason::NoUsableKey, detail)
        }
    }
}

impl fmt::Display for JwksError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for JwksError {}

impl KeySet {
    /// The most bytes that a document may have.
    pub const BYTES_MAX: usize = 1024 * 1024;
    /// The most usable keys of a document. Unusable ones don't count.
    pub const KEYS_MAX: usize = 64;
    /// The most entries of a document, usable or not.
    pub const ENTRIES_MAX: usize = 1024;

    /// Reads a document, taking the keys whose algorithm is among those `allowed`.
    ///
    /// Each key's algorithms are fixed here: the one that it names or that its curve implies. An
    /// RSA key without `alg` verifies the allowed RSA algorithms, and no others.
    ///
    /// # Errors
    /// [`JwksError`]. A single key that is broken, private, symmetric or unknown is skipped.
    pub fn parse(body: &[u8], allowed: &[Algorithm]) -> Result<Self, JwksError> {
        if body.len() > Self::BYTES_MAX {
            return Err(JwksError::oversized(body.len(), Self::BYTES_MAX));
        }
        let entries =
            entries(body).map_err(|detail| JwksError::new(JwksErrorReason::Malformed, detail))?;
        let too_many = |count, what, most| {
            let detail = format!("{count} {what}; at most {most} are accepted");
            JwksError::new(JwksErrorReason::TooManyKeys, detail)
        };
        let count = entries.len();
        if count > Self::ENTRIES_MAX {
            return Err(too_many(count, "entries", Self::ENTRIES_MAX));
        }
        let (mut keys, mut skipped, mut usable) = (Vec::<Key>::new(), Vec::new(), 0);
        for (at, entry) in entries.into_iter().enumerate() {
            match read(at, entry, allowed) {
                Ok(mut of_entry) => {
                    of_entry.retain(|key| !keys.iter().any(|other| other.is_again(key)));
                    usable += usize::from(!of_entry.is_empty());
                    keys.append(&mut of_entry);
                }
                Err(why) => skipped.push(why),
            }
            if usable > Self::KEYS_MAX {
                return Err(too_many(usable, "keys that can be used", Self::KEYS_MAX));
            }
        }
        if keys.is_empty() {
            return Err(JwksError::unusable(count, skipped, allowed));
        }
        let digest = digest_of_all(&keys);
        Ok(Self {
            keys,
            usable,
            skipped,
            digest,
        })
    }

    /// How many keys can be used.
    pub fn len(&self) -> usize {
        self.usable
    }

    /// Never true: a set without a usable key is refused.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The ids of the usable keys, each once. Keys without an id have none.
    pub fn kids(&self) -> BTreeSet<&str> {
        self.keys
            .iter()
            .filter_map(|key| key.kid.as_deref())
            .collect()
    }

    /// The keys that aren't used.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// Identifies the content: what was verified with one set is valid for all sets with the same
    /// digest.
    pub fn digest(&self) -> &KeysDigest {
        &self.digest
    }

    /// Whether a token that names `kid` would find a key. Says nothing about tokens without `kid`,
    /// because that depends on the algorithm.
    pub(crate) fn has(&self, kid: &str) -> bool {
        self.keys.iter().any(|key| key.kid.as_deref() == Some(kid))
    }

    /// Whether the set is one key without an id. Such a key is tried for any id, because an issuer
    /// with one key may name it only in its tokens.
    pub(crate) fn is_one_unnamed(&self) -> bool {
        self.usable == 1 && self.keys.iter().all(|key| key.kid.is_none())
    }

    /// The keys for a token with this `kid` and `alg`.
    pub(crate) fn find<'a>(&'a self, kid: Option<&'a str>, algorithm: Algorithm) -> Found<'a> {
        let mut candidates = Candidates {
            set: self,
            kid: kid.filter(|_| !self.is_one_unnamed()),
            algorithm,
            first_only: kid.is_none(),
        };
        if candidates.first_only && candidates.iter().next().is_none() {
            candidates.first_only = false;
        }
        match (kid, candidates.iter().count()) {
            (Some(kid), 0) if self.has(kid) => Found::OtherAlgorithm,
            (Some(_), 0) if self.is_one_unnamed() => Found::OtherAlgorithm,
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
            first_only,
        } = *self;
        set.keys.iter().filter(move |key| {
            key.algorithm == algorithm
                && (key.first || !first_only)
                && kid.is_none_or(|kid| key.kid.as_deref() == Some(kid))
        })
    }

    /// Whether they are the same key under several ids.
    fn are_one_key(&self) -> bool {
        let mut digests = self.iter().map(|key| key.digest);
        let first = digests.next();
        digests.all(|digest| Some(digest) == first)
    }

    /// Whether the set is one key without an id.
    pub(crate) fn is_one_unnamed(&self) -> bool {
        self.set.is_one_unnamed()
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

/// The members of `keys`, unparsed.
///
/// # Errors
/// What the document is instead of a key set.
fn entries(body: &[u8]) -> Result<Vec<&RawValue>, String> {
    const EXPECTED: &str = "expected {\"keys\": [...]}";
    let body = json::without_mark(body);
    let text = std::str::from_utf8(body).map_err(|_| format!("not UTF-8; {EXPECTED}"))?;
    // serde would read an array as a struct's members in order.
    match text.trim_ascii_start().chars().next() {
        None => return Err(format!("empty; {EXPECTED}")),
        Some('{') => {}
        Some('<') => return Err(format!("a page of HTML or XML; {EXPECTED}")),
        Some('-') if text.contains("-----BEGIN ") => return Err(format!("PEM; {EXPECTED}")),
        Some(_) => return Err(format!("not a JSON object; {EXPECTED}")),
    }
    // A second `keys` is an error there.
    let document: Document<'_> = serde_json::from_str(text).map_err(|error| {
        // The library's own message may repeat a value of any length.
        let (line, column) = (error.line(), error.column());
        match error.classify() {
            Category::Data => match instead(text) {
                Some(what) => format!("{what}; {EXPECTED}"),
                None => format!("not a key set at line {line}; {EXPECTED}"),
            },
            Category::Io | Category::Syntax | Category::Eof => {
                format!("not JSON from line {line}, column {column} on; {EXPECTED}")
            }
        }
    })?;
    Ok(document.keys)
}

/// What a JSON object without a list of keys is, if it is a document that people confuse with a key
/// set.
fn instead(text: &str) -> Option<&'static str> {
    let document = json::parse(text.as_bytes())?;
    let document = document.as_object()?;
    if document.get("jwks_uri").is_some() {
        Some("a discovery document, whose jwks_uri names the key set")
    } else if document.get("kty").is_some() {
        Some("a single key, which must be in a list")
    } else {
        None
    }
}

fn read(at: usize, entry: &RawValue, allowed: &[Algorithm]) -> Result<Vec<Key>, Skipped> {
    let Some(entry) = json::parse(entry.get().as_bytes()) else {
        return Err(Skipped {
            at,
            kid: None,
            why: "nested too deeply, or with a value that can't be read".into(),
        });
    };
    jwk::read(&entry, allowed).map_err(|why| Skipped {
        at,
        kid: jwk::kid(&entry).map(Into::into),
        why,
    })
}
