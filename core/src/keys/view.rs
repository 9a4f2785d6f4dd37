//! One issuer's keys, as decisions use them.

use std::sync::Arc;
use std::time::Duration;

use crate::time::{Mono, Unix};

use super::jwks::{Candidates, Found};
use super::{Algorithm, KeySet};
#[cfg(doc)]
use super::{JwksErrorReason, JwksFetchError};

/// One issuer's keys at one moment, immutable.
#[derive(Clone, Debug, Default)]
pub struct IssuerKeys {
    /// Grows with every completed fetch, successful or not.
    pub epoch: u64,
    /// Grows only when the content of the set changes.
    pub generation: u64,
    /// The last good set. It is used while the state isn't [`KeyState::Expired`].
    pub set: Option<Arc<KeySet>>,
    /// When that set was fetched, by the wall clock.
    pub fetched_at: Option<Unix>,
    /// Whether the last completed fetch failed, or its document was refused.
    pub last_failed: bool,
    /// Why, from a closed set: [`JwksFetchError::as_str`] or [`JwksErrorReason::as_str`].
    pub last_error: Option<&'static str>,
    /// What was wrong with the document, if one came.
    pub last_refused: Option<Arc<str>>,
    /// How many fetches have failed one after another.
    pub failures: u32,
    pub(super) fresh_until: Mono,
    pub(super) expires_at: Mono,
    /// A fetch is under way.
    pub(super) fetching: bool,
    /// When the next fetch starts on its own.
    pub(super) refresh_at: Mono,
    /// When an unknown key may next force a fetch.
    pub(super) cooldown_until: Mono,
    /// Key ids that the last fetches didn't bring, each with the time until which this is
    /// remembered.
    pub(super) absent: Vec<(Box<str>, Mono)>,
    pub(super) wait_max: Duration,
}

/// How well an issuer's tokens can be verified.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyState {
    /// No set has been fetched yet.
    Empty,
    /// The set is as new as it should be.
    Fresh,
    /// The set could not be refreshed in time, and is still used.
    Stale,
    /// The set is too old to be used.
    Expired,
}

impl KeyState {
    /// The name in metrics and on the readiness page.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Expired => "expired",
        }
    }
}

/// Why there is no key to verify a token with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Miss {
    /// The set has no such key, and a recent fetch confirmed that.
    NoMatchingKey,
    /// The token names no key, and several fit.
    Ambiguous,
    /// The key exists, but is for another algorithm.
    OtherAlgorithm,
    /// There is no set, and none could be fetched.
    NoKeys,
    /// The set has no such key, and couldn't be refreshed.
    NotRefreshed,
    /// A fetch may bring the key: wait until then.
    Wait(Mono),
}

impl IssuerKeys {
    /// The state at `now`.
    pub fn state(&self, now: Mono) -> KeyState {
        match &self.set {
            None => KeyState::Empty,
            Some(_) if now < self.fresh_until => KeyState::Fresh,
            Some(_) if now < self.expires_at => KeyState::Stale,
            Some(_) => KeyState::Expired,
        }
    }

    /// A fetch is under way.
    pub fn is_fetching(&self) -> bool {
        self.fetching
    }

    /// When the next fetch starts on its own.
    pub fn refresh_at(&self) -> Mono {
        self.refresh_at
    }

    /// The set, unless it is too old to be used.
    pub fn usable(&self, now: Mono) -> Option<&KeySet> {
        self.set.as_deref().filter(|_| now < self.expires_at)
    }

    /// Until when a fetch may bring the key of this id. `None` if the key is there, a recent fetch
    /// didn't bring it, or no fetch can bring it in time.
    pub fn wait_for(&self, now: Mono, kid: &str) -> Option<Mono> {
        let there = self.usable(now).is_some_and(|set| set.has(kid));
        if there || self.is_absent(now, Some(kid)) {
            return None;
        }
        Some(self.wait_until(now)).filter(|until| now < *until)
    }

    /// The keys for a token with this `kid` and `alg`. With `waited`, the answer is final.
    pub(crate) fn find<'a>(
        &'a self,
        now: Mono,
        kid: Option<&'a str>,
        algorithm: Algorithm,
        waited: bool,
    ) -> Result<Candidates<'a>, Miss> {
        let Some(set) = self.usable(now) else {
            return Err(match waited {
                true => Miss::NoKeys,
                false => self.wait(now),
            });
        };
        match set.find(kid, algorithm) {
            Found::Keys(keys) => Ok(keys),
            Found::OtherAlgorithm => Err(Miss::OtherAlgorithm),
            Found::Ambiguous => Err(Miss::Ambiguous),
            Found::None if self.is_absent(now, kid) => Err(Miss::NoMatchingKey),
            Found::None if !waited => Err(self.wait(now)),
            // The fetch is late or failed, so the key may well exist.
            Found::None if self.fetching || self.last_failed => Err(Miss::NotRefreshed),
            Found::None => Err(Miss::NoMatchingKey),
        }
    }

    /// What to do about a token whose signature is bad under a set's only, unnamed key. The token's
    /// id may belong to a newer key, so the set is fetched as for an unknown key.
    pub(crate) fn renew(&self, now: Mono, kid: Option<&str>, waited: bool) -> Option<Miss> {
        let may_be_newer = !waited && kid.is_some() && !self.is_absent(now, kid);
        may_be_newer.then(|| self.wait(now))
    }

    /// Waits for a fetch if one is under way, or can start in the first half of the wait. A later
    /// one would hardly be finished in time. Otherwise the time is `now`: control is told of the
    /// key, and the request doesn't wait.
    fn wait(&self, now: Mono) -> Miss {
        Miss::Wait(self.wait_until(now))
    }

    fn wait_until(&self, now: Mono) -> Mono {
        let until = now.after(self.wait_max);
        let can_start = self.refresh_at.min(self.cooldown_until);
        if self.fetching || can_start.after(self.wait_max / 2) <= until {
            until
        } else {
            now
        }
    }

    pub(super) fn is_absent(&self, now: Mono, kid: Option<&str>) -> bool {
        kid.is_some_and(|kid| {
            self.absent
                .iter()
                .any(|(absent, until)| now < *until && **absent == *kid)
        })
    }
}
