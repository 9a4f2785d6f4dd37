//! Decides which of the router's keys signs, and which are published.
//!
//! All replicas read the same keys, each with the time from which it signs. A key is published as
//! soon as it is known. By the time it signs, every service has fetched it that keeps the set no
//! longer than its maximum age. It stays published until everything that it signed has expired. All
//! of this is a function of the time; there are no events.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::time::{Mono, Now, Unix};

use super::SigningKey;

/// How far replicas' clocks may differ. One of them may sign with the old key for this long after
/// the others have changed to the new one.
const SKEW_MAX: Duration = Duration::from_secs(60);

/// One of the router's keys.
#[derive(Clone, Debug)]
pub struct RingEntry {
    /// The key.
    pub key: Arc<SigningKey>,
    /// When the key was added to the directory, and so published by every replica.
    pub added: Unix,
    /// When it starts to sign, instead of the keys before it.
    pub sign_from: Unix,
}

/// The durations that the ring's times are computed from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RingTiming {
    /// How long services may keep the published set.
    pub max_age: Duration,
    /// How long an envelope is valid.
    pub lifetime: Duration,
}

impl RingTiming {
    /// How long older keys are needed after a key has started to sign: until the last envelope
    /// under them has expired at every replica, and no service keeps a set without the new key.
    pub const fn overlap(self) -> Duration {
        self.lifetime
            .saturating_add(self.max_age)
            .saturating_add(SKEW_MAX)
    }
}

/// The router's keys at one moment. It is never empty.
#[derive(Clone, Debug)]
pub struct KeyRing {
    /// Sorted by the time from which they sign.
    keys: Vec<RingSlot>,
    timing: RingTiming,
}

#[derive(Clone, Debug)]
struct RingSlot {
    entry: RingEntry,
    /// It was added while another key was signing. It doesn't sign before this time, whatever its
    /// own time says.
    held_until: Mono,
}

/// Why these keys can't be used.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum KeyRingError {
    /// There is none.
    Empty,
    /// There are more than [`KeyRing::KEYS_MAX`].
    TooMany,
    /// Two keys have this id, or one key has two ids, or two keys start to sign at the same time.
    Repeated(Box<str>),
    /// This id named another key before.
    Replaced(Box<str>),
    /// This key would sign before services have fetched it.
    NoOverlap {
        /// Its id.
        kid: Box<str>,
        /// The earliest time from which it may sign.
        earliest: Unix,
    },
}

impl fmt::Display for KeyRingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("names no key"),
            Self::TooMany => write!(f, "names more than {} keys", KeyRing::KEYS_MAX),
            Self::Repeated(kid) => write!(
                f,
                "key `{kid}` has the kid, the key or the sign_from of another"
            ),
            Self::Replaced(kid) => write!(
                f,
                "`{kid}` is another key than before; give a new key a new kid"
            ),
            Self::NoOverlap { kid, earliest } => write!(
                f,
                "key `{kid}` would sign before services have fetched it; its sign_from must be \
                 {} or later (added and envelope.jwks_max_age_secs)",
                earliest.as_secs()
            ),
        }
    }
}

impl std::error::Error for KeyRingError {}

impl KeyRing {
    /// The most keys of a ring. A rotation needs two.
    pub const KEYS_MAX: usize = 8;

    /// A ring of these keys, which replaces `before` if there was one.
    ///
    /// A key that is new in the ring, while older ones stay, doesn't sign for a whole maximum age,
    /// even if its own times say that it was added long ago. A ring that shares no key with the one
    /// before signs at once. This is how a stolen key is replaced.
    ///
    /// # Errors
    /// [`KeyRingError`].
    pub fn new(
        mut entries: Vec<RingEntry>,
        timing: RingTiming,
        now: Now,
        before: Option<&Self>,
    ) -> Result<Self, KeyRingError> {
        if entries.len() > Self::KEYS_MAX {
            return Err(KeyRingError::TooMany);
        }
        entries.sort_by_key(|entry| entry.sign_from);
        check(&entries, timing)?;
        let known = |entry: &RingEntry| before.and_then(|ring| ring.find(entry.key.kid()));
        let goes_on = entries.iter().any(|entry| known(entry).is_some());
        let mut keys = Vec::with_capacity(entries.len());
        for entry in entries {
            let held_until = match known(&entry) {
                Some(old) if old.entry.key.public() != entry.key.public() => {
                    return Err(KeyRingError::Replaced(entry.key.kid().into()));
                }
                Some(old) => old.held_until,
                None if goes_on => now.mono.after(timing.max_age),
                None => now.mono,
            };
            keys.push(RingSlot { entry, held_until });
        }
        match keys.is_empty() {
            true => Err(KeyRingError::Empty),
            false => Ok(Self { keys, timing }),
        }
    }

    /// The key that signs now. Before the first key's time it is the first key: it is published,
    /// and refusing to sign would help nobody.
    pub fn signing(&self, now: Now) -> &Arc<SigningKey> {
        let at = self.keys.iter().rposition(|key| key.signs(now));
        &self.keys[at.unwrap_or(0)].entry.key
    }

    /// The key that signs next, and when it starts. `None` if there is none.
    pub fn next(&self, now: Now) -> Option<(&Arc<SigningKey>, Unix)> {
        let at = self.keys.iter().rposition(|key| key.signs(now));
        let from = |key: &RingSlot| {
            let held = now.unix.after(key.held_until.since(now.mono));
            key.entry.sign_from.max(held)
        };
        let waiting = self.keys[at.unwrap_or(0) + 1..].iter();
        let next = waiting.min_by_key(|key| from(key))?;
        Some((&next.entry.key, from(next)))
    }

    /// The keys that services need now or soon.
    pub fn published(&self, now: Now) -> impl Iterator<Item = &Arc<SigningKey>> {
        let last = self.timing.overlap();
        // Keys are no longer needed once a later key has signed for that long.
        let alone = |key: &RingSlot| {
            key.entry.sign_from.after(last) <= now.unix && key.held_until.after(last) <= now.mono
        };
        let from = self.keys.iter().rposition(alone).unwrap_or(0);
        self.keys[from..].iter().map(|key| &key.entry.key)
    }

    /// The published keys as a JWKS.
    pub fn jwks(&self, now: Now) -> String {
        let keys: Vec<String> = self.published(now).map(|key| key.jwk()).collect();
        format!("{{\"keys\":[{}]}}\n", keys.join(","))
    }

    /// How long services may keep the published set.
    pub fn max_age(&self) -> Duration {
        self.timing.max_age
    }

    /// The ids of all keys, in the order in which they sign.
    pub fn kids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| key.entry.key.kid())
    }

    fn find(&self, kid: &str) -> Option<&RingSlot> {
        self.keys.iter().find(|key| key.entry.key.kid() == kid)
    }
}

impl RingSlot {
    fn signs(&self, now: Now) -> bool {
        self.entry.sign_from <= now.unix && self.held_until <= now.mono
    }
}

/// Checks sorted keys without looking at the ring before.
fn check(entries: &[RingEntry], timing: RingTiming) -> Result<(), KeyRingError> {
    for (i, entry) in entries.iter().enumerate() {
        let kid = entry.key.kid();
        let same = |other: &RingEntry| {
            other.key.kid() == kid
                || other.key.public() == entry.key.public()
                || other.sign_from == entry.sign_from
        };
        if entries[..i].iter().any(same) {
            return Err(KeyRingError::Repeated(kid.into()));
        }
        let earliest = entry.added.after(timing.max_age);
        if i > 0 && entry.sign_from < earliest {
            return Err(KeyRingError::NoOverlap {
                kid: kid.into(),
                earliest,
            });
        }
    }
    Ok(())
}
