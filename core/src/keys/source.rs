//! The state machine that keeps one issuer's keys current.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::mix::{STEP, mix};
use crate::time::{Mono, Now, Unix};

use super::jwk::KID_LEN_MAX;
use super::{Algorithm, IssuerKeys, JwksError, JwksFetchError, KeySet, Skipped};

/// When an issuer's keys are fetched and how long they serve.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyTiming {
    /// How long a fetched set counts as fresh. It is fetched again before this ends.
    pub fresh: Duration,
    /// How long a set that couldn't be refreshed is used after that.
    pub stale_max: Duration,
    /// The least time between two fetches that unknown keys force.
    pub cooldown: Duration,
    /// The longest that a request waits for keys.
    pub wait_max: Duration,
    /// The delay after a first failed fetch; it doubles with each further one.
    pub retry_min: Duration,
    /// The longest delay between failed fetches.
    pub retry_max: Duration,
}

/// Why a [`KeySource`] wants to be woken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyWake {
    /// The set is due for its regular refresh, or a failed fetch for its next try.
    Refresh,
    /// The cooldown ends while an unknown key waits for a fetch.
    Cooldown,
}

/// What a [`KeySource`] wants done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeyAction {
    /// Fetch the issuer's key set, then call [`KeySource::handle_fetched`] with the result.
    Fetch {
        /// An unknown key causes the fetch, not the schedule.
        forced: bool,
    },
    /// Keep this last-known-good document.
    Save {
        /// The document.
        body: Bytes,
        /// When it was fetched.
        fetched_at: Unix,
    },
    /// [`KeySource::view`] has changed: publish it.
    Changed,
    /// Report this to logs and metrics.
    Notice(KeyNotice),
}

/// What happened to an issuer's keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeyNotice {
    /// A good set came.
    Fetched {
        /// How many keys can be used.
        keys: usize,
        /// The unused entries, and why; at most [`KeySet::ENTRIES_MAX`].
        skipped: Vec<Skipped>,
        /// The content differs from that of the set before.
        changed: bool,
    },
    /// The last-known-good set was taken from disk.
    Restored {
        /// How many keys can be used.
        keys: usize,
        /// How long ago it was fetched.
        age: Duration,
    },
    /// A document was refused. The old set stays in use.
    Refused(JwksError),
    /// The fetch failed. The old set stays in use.
    Failed(JwksFetchError),
}

/// Why a saved document is not used.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RestoreError {
    /// There is already a fetched set.
    NotNeeded,
    /// Its fetch time is too old, or in the future.
    Age,
    /// It can't be used as a key set.
    Keys(JwksError),
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotNeeded => f.write_str("a newer set is already in use"),
            Self::Age => f.write_str("its fetch time is too old or in the future"),
            Self::Keys(refused) => refused.fmt(f),
        }
    }
}

impl std::error::Error for RestoreError {}

/// Keeps one issuer's keys current.
#[derive(Debug)]
pub struct KeySource {
    algorithms: Vec<Algorithm>,
    timing: KeyTiming,
    jitter: Jitter,
    view: Arc<IssuerKeys>,
    /// Consecutive failed fetches.
    failures: u32,
    /// An unknown key waits for a fetch.
    wanted: bool,
    /// The ids of those keys, as many as fit. The same fetch serves the others too; they are only
    /// not remembered as absent afterwards.
    wanted_kids: Vec<Box<str>>,
    actions: VecDeque<KeyAction>,
}

impl KeySource {
    /// The most unknown key ids that wait for one fetch.
    pub const WANTED_MAX: usize = 64;
    /// The most key ids that are remembered as absent.
    pub const ABSENT_MAX: usize = 256;
    /// How far in the future the time of a saved document may be.
    pub const CLOCK_STEP_MAX: Duration = Duration::from_secs(300);

    /// A source without keys. Its first fetch is due at once, which leaves the driver a moment to
    /// restore the saved document of an earlier run. `jitter` is any number; sources with different
    /// ones don't fetch at the same time.
    pub fn new(algorithms: Vec<Algorithm>, timing: KeyTiming, now: Mono, jitter: u64) -> Self {
        let view = IssuerKeys {
            refresh_at: now,
            cooldown_until: now,
            wait_max: timing.wait_max,
            ..IssuerKeys::default()
        };
        Self {
            algorithms,
            timing,
            jitter: Jitter(jitter),
            view: Arc::new(view),
            failures: 0,
            wanted: false,
            wanted_kids: Vec::new(),
            actions: VecDeque::new(),
        }
    }

    /// A source for an issuer whose keys have another location or other times than in `old`. The
    /// set of `old` is used until a good one comes, and expires by the new times, so that a mistake
    /// in the new location doesn't lose the issuer's keys. The first fetch is due at once.
    #[must_use]
    pub fn in_place_of(
        old: &Self,
        algorithms: Vec<Algorithm>,
        timing: KeyTiming,
        now: Mono,
        jitter: u64,
    ) -> Self {
        let mut this = Self::new(algorithms, timing, now, jitter);
        let before = &*old.view;
        let lifetime = |timing: &KeyTiming| timing.fresh.saturating_add(timing.stale_max);
        let (was, is) = (lifetime(&old.timing), lifetime(&timing));
        let expires = before.expires_at.since_origin().saturating_add(is);
        let view = IssuerKeys {
            // Requests that wait for a fetch wait for a later epoch.
            epoch: before.epoch,
            generation: before.generation,
            set: before.set.clone(),
            fetched_at: before.fetched_at,
            fresh_until: now,
            expires_at: Mono::from_origin(expires.saturating_sub(was)),
            ..IssuerKeys::clone(&this.view)
        };
        this.view = Arc::new(view);
        this
    }

    /// Changes how long later sets count as fresh, for sources that say it with each answer.
    pub fn set_fresh(&mut self, fresh: Duration) {
        self.timing.fresh = fresh;
    }

    /// Takes the result of a fetch. Also takes a document that wasn't asked for, from a file that
    /// has changed.
    pub fn handle_fetched(&mut self, now: Now, result: Result<Bytes, JwksFetchError>) {
        let forced_only = now.mono < self.view.refresh_at;
        let mut view = IssuerKeys::clone(&self.view);
        view.fetching = false;
        view.epoch += 1;
        let notice = match result {
            Err(failed) => Err(KeyNotice::Failed(failed)),
            Ok(body) => KeySet::parse(&body, &self.algorithms)
                .map(|set| (set, body))
                .map_err(KeyNotice::Refused),
        };
        match notice {
            Ok((set, body)) => self.accept(now, &mut view, set, body),
            Err(notice) => {
                view.last_failed = true;
                view.failures = view.failures.saturating_add(1);
                (view.last_error, view.last_refused) = match &notice {
                    KeyNotice::Failed(failed) => (Some(failed.as_str()), None),
                    KeyNotice::Refused(refused) => {
                        let detail = Arc::clone(&refused.detail);
                        (Some(refused.reason.as_str()), Some(detail))
                    }
                    KeyNotice::Fetched { .. } | KeyNotice::Restored { .. } => (None, None),
                };
                self.actions.push_back(KeyAction::Notice(notice));
                // A failed forced fetch is tried again when the cooldown ends, because the key is
                // still wanted. This doesn't change the schedule. Any other failure starts the
                // cooldown too, otherwise a wanted key would double each retry.
                if !forced_only {
                    view.refresh_at = now.mono.after(self.retry_delay());
                    view.cooldown_until = now.mono.after(self.timing.cooldown);
                }
            }
        }
        self.view = Arc::new(view);
        self.actions.push_back(KeyAction::Changed);
        self.fetch_if_due(now.mono);
    }

    fn accept(&mut self, now: Now, view: &mut IssuerKeys, set: KeySet, body: Bytes) {
        let changed = view.set.as_ref().is_none_or(|s| s.digest() != set.digest());
        let (keys, skipped) = (set.len(), set.skipped().to_vec());
        if changed {
            view.set = Some(Arc::new(set));
            view.generation += 1;
            view.absent.clear();
        }
        view.last_failed = false;
        view.last_error = None;
        view.last_refused = None;
        view.failures = 0;
        view.fetched_at = Some(now.unix);
        view.fresh_until = now.mono.after(self.timing.fresh);
        view.expires_at = view.fresh_until.after(self.timing.stale_max);
        debug_assert!(
            view.fresh_until <= view.expires_at,
            "a set is stale before it expires"
        );
        view.refresh_at = now.mono.after(self.jitter.early(self.timing.fresh));
        self.failures = 0;
        self.answer_wanted(now.mono, view);
        self.actions.push_back(KeyAction::Save {
            body,
            fetched_at: now.unix,
        });
        self.actions
            .push_back(KeyAction::Notice(KeyNotice::Fetched {
                keys,
                skipped,
                changed,
            }));
    }

    /// Remembers for one cooldown which wanted keys the issuer doesn't have. Not longer, because a
    /// key that was used before it was published must be accepted soon after.
    fn answer_wanted(&mut self, now: Mono, view: &mut IssuerKeys) {
        self.wanted = false;
        let until = now.after(self.timing.cooldown);
        view.absent.retain(|(_, until)| now < *until);
        for kid in self.wanted_kids.drain(..) {
            if view.set.as_ref().is_some_and(|set| set.has(&kid)) {
                continue;
            }
            if view.absent.len() == Self::ABSENT_MAX {
                view.absent.remove(0);
            }
            view.absent.push((kid, until));
        }
        debug_assert!(
            view.absent.len() <= Self::ABSENT_MAX,
            "absent keys are bounded"
        );
    }

    /// A token names a key that the set lacks (or, with `None`, no key fits a token that names
    /// none). Causes one fetch as soon as the cooldown allows, and at most one per cooldown.
    pub fn handle_unknown_kid(&mut self, now: Mono, kid: Option<&str>) {
        let known = |kid| self.view.usable(now).is_some_and(|set| set.has(kid));
        if kid.is_some_and(known) || self.view.is_absent(now, kid) {
            return;
        }
        self.wanted = true;
        if let Some(kid) = kid {
            let wanted = self.wanted_kids.iter().any(|wanted| **wanted == *kid);
            if !wanted && kid.len() <= KID_LEN_MAX && self.wanted_kids.len() < Self::WANTED_MAX {
                self.wanted_kids.push(kid.into());
            }
        }
        self.fetch_if_due(now);
    }

    /// Takes a document that was saved on disk, until the first successful fetch. Its age counts
    /// from when it was fetched. The first fetch stays due.
    ///
    /// # Errors
    /// [`RestoreError`]; nothing has changed then.
    pub fn handle_restored(
        &mut self,
        now: Now,
        body: &[u8],
        fetched_at: Unix,
    ) -> Result<(), RestoreError> {
        if self.view.set.is_some() {
            return Err(RestoreError::NotNeeded);
        }
        let age = now.unix.since(fetched_at);
        let serves = self.timing.fresh.saturating_add(self.timing.stale_max);
        if fetched_at > now.unix.after(Self::CLOCK_STEP_MAX) || age >= serves {
            return Err(RestoreError::Age);
        }
        let set = KeySet::parse(body, &self.algorithms).map_err(RestoreError::Keys)?;
        let keys = set.len();
        let mut view = IssuerKeys::clone(&self.view);
        view.epoch += 1;
        view.generation += 1;
        view.set = Some(Arc::new(set));
        view.fetched_at = Some(fetched_at);
        view.fresh_until = now.mono.after(self.timing.fresh.saturating_sub(age));
        view.expires_at = now.mono.after(serves.saturating_sub(age));
        self.view = Arc::new(view);
        self.actions.push_back(KeyAction::Changed);
        let notice = KeyNotice::Restored { keys, age };
        self.actions.push_back(KeyAction::Notice(notice));
        Ok(())
    }

    /// Does everything that is due. A call before that does nothing.
    pub fn handle_timeout(&mut self, now: Mono) {
        self.fetch_if_due(now);
    }

    /// Fetches at once if the last fetch failed, because the cause may be gone. A source that works
    /// keeps its schedule, so that the reload of a fleet doesn't make all routers fetch at the same
    /// time.
    pub fn handle_refresh(&mut self, now: Mono) {
        if self.failures > 0 && !self.view.fetching {
            Arc::make_mut(&mut self.view).refresh_at = now;
            self.fetch_if_due(now);
        }
    }

    /// When to call [`KeySource::handle_timeout`], and why. `None` while a fetch is under way,
    /// whose duration the driver bounds.
    pub fn poll_timeout(&self) -> Option<(Mono, KeyWake)> {
        let view = &self.view;
        if view.fetching {
            None
        } else if self.wanted && view.cooldown_until < view.refresh_at {
            Some((view.cooldown_until, KeyWake::Cooldown))
        } else {
            Some((view.refresh_at, KeyWake::Refresh))
        }
    }

    /// The next thing to do. Call it until it returns `None`.
    pub fn poll_output(&mut self) -> Option<KeyAction> {
        self.actions.pop_front()
    }

    /// The keys for decisions.
    pub fn view(&self) -> &Arc<IssuerKeys> {
        &self.view
    }

    #[cfg(test)]
    pub(super) fn wanted_len(&self) -> usize {
        self.wanted_kids.len()
    }

    fn fetch_if_due(&mut self, now: Mono) {
        if self.view.fetching {
            return;
        }
        let forced = now < self.view.refresh_at;
        if forced && !(self.wanted && now >= self.view.cooldown_until) {
            return;
        }
        debug_assert!(
            self.wanted || self.wanted_kids.is_empty(),
            "a key that is wanted leads to a fetch"
        );
        let view = Arc::make_mut(&mut self.view);
        view.fetching = true;
        if forced {
            view.cooldown_until = now.after(self.timing.cooldown);
        }
        self.actions.push_back(KeyAction::Changed);
        self.actions.push_back(KeyAction::Fetch { forced });
    }

    fn retry_delay(&mut self) -> Duration {
        let doublings = self.failures.min(16);
        self.failures += 1;
        let delay = self.timing.retry_min.saturating_mul(1 << doublings);
        self.jitter.around(delay.min(self.timing.retry_max))
    }
}

/// A deterministic pseudo-random sequence (splitmix64).
#[derive(Debug)]
struct Jitter(u64);

impl Jitter {
    /// Between 75 % and 90 % of `delay`.
    fn early(&mut self, delay: Duration) -> Duration {
        delay * (750 + self.below(150)) / 1000
    }

    /// Between 75 % and 125 % of `delay`.
    fn around(&mut self, delay: Duration) -> Duration {
        delay * (750 + self.below(500)) / 1000
    }

    fn below(&mut self, bound: u32) -> u32 {
        let random = mix(self.0);
        self.0 = self.0.wrapping_add(STEP);
        ((random >> 32) as u32) % bound
    }
}
