//! The state machine of a registry source.

mod input;
mod output;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{Base, Parsed, Registry, RegistryError};
use crate::mix::mix;
use crate::time::{Mono, Now, Unix};

pub use input::{FetchProblem, RegistryFetchError, RegistryFetched, RegistryTiming};
pub use output::{RegistryAction, RegistryNotice, RegistryWake};

/// Follows one source of registries.
///
/// It starts without a registry and fetches at once. Every good answer (a new document, or "not
/// modified") restarts two timers: the one after which the registry is flagged stale, and the one
/// after which tenants' status is no longer trusted. A refused document and a failed fetch restart
/// neither, and the current registry stays.
///
/// Inputs: [`handle_fetched`](Self::handle_fetched), [`handle_restored`](Self::handle_restored),
/// [`handle_refresh`](Self::handle_refresh), [`handle_timing`](Self::handle_timing),
/// [`handle_timeout`](Self::handle_timeout). After each,
/// call [`poll_output`](Self::poll_output) until it says `None`, then [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub struct RegistrySource {
    timing: RegistryTiming,
    current: Option<Arc<Registry>>,
    /// The validator of the current registry. With `None`, the source always sends the document.
    validator: Option<Arc<str>>,
    good: Option<LastGood>,
    /// When to fetch next. `None` while an answer is awaited.
    due: Option<(Mono, RegistryWake)>,
    refresh_wanted: bool,
    /// The last document, if it was refused.
    refused: Option<(Unix, RegistryError)>,
    failures: u32,
    stale: bool,
    status: StatusAge,
    /// When the saved document's time was last written.
    kept_at: Option<Mono>,
    jitter: u64,
    /// Every input adds at most six.
    actions: VecDeque<RegistryAction>,
}

/// How old tenants' status is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
enum StatusAge {
    /// Less than half of the limit.
    #[default]
    Current,
    /// More than half of the limit.
    Aging,
    /// Over the limit.
    Expired,
}

/// The last good answer: when this process had it, and how old it was then.
#[derive(Clone, Copy, Debug)]
struct LastGood {
    at: Mono,
    age: Duration,
}

impl LastGood {
    /// When the answer becomes older than `bound`.
    fn older_than(self, bound: Duration) -> Mono {
        self.at.after(bound.saturating_sub(self.age))
    }
}

/// How often the time of an unchanged document is saved, at most. After a restart, the document may count
/// as this much older.
const CONFIRM_INTERVAL: Duration = Duration::from_secs(60);

/// The part of [`RegistryTiming::identity_max_age`] that a restart may take away.
const CONFIRM_PART: u32 = 10;

/// How far in the future a saved document's time may be. If it is later, the clock or the file is
/// wrong, and the document counts as older than any limit.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);

impl RegistrySource {
    /// A source whose first fetch is due at once. `seed` determines the jitter.
    pub fn new(timing: RegistryTiming, now: Now, seed: u64) -> Self {
        Self {
            timing,
            current: None,
            validator: None,
            good: None,
            due: Some((now.mono, RegistryWake::Poll)),
            refresh_wanted: false,
            refused: None,
            failures: 0,
            stale: false,
            status: StatusAge::Current,
            kept_at: None,
            jitter: seed,
            actions: VecDeque::new(),
        }
    }

    /// Takes the answer to [`RegistryAction::Fetch`] or [`RegistryAction::Parse`].
    pub fn handle_fetched(
        &mut self,
        now: Now,
        answer: Result<RegistryFetched, RegistryFetchError>,
    ) {
        match answer {
            Err(failure) => self.failed(now, failure),
            Ok(RegistryFetched::NotModified) if self.validator.is_some() => self.confirmed(now),
            Ok(RegistryFetched::NotModified) => self.failed(
                now,
                RegistryFetchError {
                    problem: FetchProblem::BadStatus,
                    detail:
                        "the source answered 304 (not modified), but the router has no document"
                            .into(),
                },
            ),
            Ok(RegistryFetched::Document {
                parsed,
                body,
                validator,
            }) => self.document(now, parsed, body, validator),
            Ok(RegistryFetched::TooLarge { limit }) => {
                self.refuse(now, RegistryError::too_large(limit));
            }
        }
    }

    /// Takes a last-known-good document that an earlier run saved, parsed without a previous
    /// registry. Ignored once there is a registry.
    pub fn handle_restored(
        &mut self,
        now: Now,
        parsed: Result<Parsed, RegistryError>,
        fetched_at: Unix,
    ) {
        if self.current.is_some() {
            return;
        }
        let candidate = match parsed {
            Ok(Parsed::Changed(candidate)) => candidate,
            // Can't happen without a previous registry.
            Ok(Parsed::Unchanged(_)) => return,
            Err(refused) => return self.notice(RegistryNotice::Refused(refused)),
        };
        let is_ahead = fetched_at > now.unix.after(CLOCK_TOLERANCE);
        self.good = Some(LastGood {
            at: now.mono,
            age: match is_ahead {
                true => Duration::MAX,
                false => now.unix.since(fetched_at),
            },
        });
        self.apply(candidate.into_registry(), true);
        self.check_age(now);
    }

    /// Fetches at the next [`RegistrySource::handle_timeout`], whatever the interval, because the
    /// file has changed or the operator asks for it.
    pub fn handle_refresh(&mut self, now: Now) {
        match &mut self.due {
            Some(due) => *due = (now.mono, RegistryWake::Poll),
            None => self.refresh_wanted = true,
        }
    }

    /// New intervals, from a reload. They apply from the next answer on, except the maximum age,
    /// which applies at once.
    pub fn handle_timing(&mut self, now: Now, timing: RegistryTiming) {
        if self.timing == timing {
            return;
        }
        self.timing = timing;
        if self.stale && !reached(self.stale_at(), now) {
            self.stale = false;
            self.notice(RegistryNotice::Fresh);
        }
        if self.status_age(now) < self.status {
            self.status = StatusAge::Current;
            self.notice(RegistryNotice::StatusCurrent);
        }
        self.check_age(now);
        self.actions
            .push_back(RegistryAction::Changed { retired: None });
    }

    /// Does everything that is due.
    pub fn handle_timeout(&mut self, now: Now) {
        if self.due.is_some_and(|(due, _)| due <= now.mono) {
            self.due = None;
            let validator = self.validator.clone();
            self.actions.push_back(RegistryAction::Fetch { validator });
        }
        self.check_age(now);
    }

    /// The next thing that the driver has to do.
    pub fn poll_output(&mut self) -> Option<RegistryAction> {
        self.actions.pop_front()
    }

    /// When to call [`RegistrySource::handle_timeout`], and why.
    pub fn poll_timeout(&self) -> Option<(Mono, RegistryWake)> {
        let stale = self.stale_at().map(|at| (at, RegistryWake::Stale));
        let status = match self.status {
            StatusAge::Current => self.status_ages_at(),
            StatusAge::Aging => self.status_expires_at(),
            StatusAge::Expired => None,
        };
        let status = status.map(|at| (at, RegistryWake::Status));
        let timers = [self.due, stale.filter(|_| !self.stale), status];
        timers.into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// The current registry.
    pub fn registry(&self) -> Option<&Arc<Registry>> {
        self.current.as_ref()
    }

    /// When and why the source's last document was refused. `None` if it was accepted.
    pub fn refused(&self) -> Option<&(Unix, RegistryError)> {
        self.refused.as_ref()
    }

    /// Whether the source has given no good answer for [`RegistryTiming::stale_after`].
    pub fn is_stale(&self) -> bool {
        self.stale
    }

    /// When half of that time has passed; `None` in the same cases.
    pub fn status_ages_at(&self) -> Option<Mono> {
        Some(self.good?.older_than(self.timing.identity_max_age? / 2))
    }

    /// The first instant at which tenants' status is too old to trust; `None` if there is no
    /// maximum age or nothing was loaded yet.
    pub fn status_expires_at(&self) -> Option<Mono> {
        Some(self.good?.older_than(self.timing.identity_max_age?))
    }

    fn stale_at(&self) -> Option<Mono> {
        Some(self.good?.older_than(self.timing.stale_after))
    }

    fn notice(&mut self, notice: RegistryNotice) {
        self.actions.push_back(RegistryAction::Notice(notice));
    }

    fn document(
        &mut self,
        now: Now,
        parsed: Result<Parsed, RegistryError>,
        body: Bytes,
        validator: Option<Arc<str>>,
    ) {
        let base = Base(self.current.as_ref().map(|current| current.stamp()));
        match parsed {
            Err(refused) => self.refuse(now, refused),
            Ok(Parsed::Unchanged(compared)) if compared == base => {
                self.validator = validator;
                self.confirmed(now);
            }
            Ok(Parsed::Changed(candidate)) if candidate.base == base => {
                self.good(now);
                self.validator = validator;
                self.kept_at = Some(now.mono);
                let fetched_at = now.unix;
                self.actions
                    .push_back(RegistryAction::Save { body, fetched_at });
                self.apply(candidate.into_registry(), false);
            }
            // A document was restored meanwhile. An answer is still awaited, so `due` stays as it
            // is.
            Ok(Parsed::Unchanged(_) | Parsed::Changed(_)) => {
                self.actions
                    .push_back(RegistryAction::Parse { body, validator });
            }
        }
    }

    /// The source answered with a document that is refused.
    fn refuse(&mut self, now: Now, refused: RegistryError) {
        self.refused = Some((now.unix, refused.clone()));
        self.notice(RegistryNotice::Refused(refused));
        self.failures = 0;
        self.schedule_retry(now);
    }

    fn apply(&mut self, registry: Registry, restored: bool) {
        let notice = RegistryNotice::Applied {
            version: registry.version(),
            cells: registry.cells().len(),
            tenants: registry.tenant_count(),
            restored,
        };
        debug_assert!(
            !restored || self.current.is_none(),
            "a kept document never replaces one from the source"
        );
        debug_assert!(
            (self.current.as_ref()).is_none_or(|current| current.version() < registry.version()),
            "a registry's version only grows"
        );
        let retired = self.current.replace(Arc::new(registry));
        self.actions.push_back(RegistryAction::Changed { retired });
        self.notice(notice);
    }

    /// The source confirmed the current content.
    fn confirmed(&mut self, now: Now) {
        self.good(now);
        let max_age = self.timing.identity_max_age;
        let interval = max_age.map_or(CONFIRM_INTERVAL, |age| {
            CONFIRM_INTERVAL.min(age / CONFIRM_PART)
        });
        let kept_long_ago = |at: Mono| now.mono.since(at) >= interval;
        if self.kept_at.is_none_or(kept_long_ago) {
            self.kept_at = Some(now.mono);
            let fetched_at = now.unix;
            self.actions
                .push_back(RegistryAction::Confirm { fetched_at });
        }
        self.actions
            .push_back(RegistryAction::Changed { retired: None });
    }

    fn good(&mut self, now: Now) {
        self.good = Some(LastGood {
            at: now.mono,
            age: Duration::ZERO,
        });
        self.failures = 0;
        self.refused = None;
        if std::mem::take(&mut self.stale) {
            self.notice(RegistryNotice::Fresh);
        }
        if std::mem::take(&mut self.status) != StatusAge::Current {
            self.notice(RegistryNotice::StatusCurrent);
        }
        self.schedule_retry(now);
    }

    fn failed(&mut self, now: Now, failure: RegistryFetchError) {
        self.failures = self.failures.saturating_add(1);
        let doublings = (self.failures - 1).min(31);
        let delay = self.timing.retry_min.saturating_mul(1 << doublings);
        let delay = self.less_a_tenth(delay.min(self.timing.retry_max));
        self.due = Some((now.mono.after(delay), RegistryWake::Retry));
        self.refresh_now_if_wanted(now);
        self.notice(RegistryNotice::FetchFailed {
            failure,
            consecutive: self.failures,
        });
    }

    fn schedule_retry(&mut self, now: Now) {
        let delay = self.less_a_tenth(self.timing.poll_interval);
        self.due = Some((now.mono.after(delay), RegistryWake::Poll));
        self.refresh_now_if_wanted(now);
    }

    fn refresh_now_if_wanted(&mut self, now: Now) {
        if std::mem::take(&mut self.refresh_wanted) {
            self.due = Some((now.mono, RegistryWake::Poll));
        }
    }

    /// Reports once each limit that the age of the last good answer has passed.
    fn check_age(&mut self, now: Now) {
        if !self.stale && reached(self.stale_at(), now) {
            self.stale = true;
            self.actions
                .push_back(RegistryAction::Changed { retired: None });
            self.notice(RegistryNotice::Stale);
        }
        let status = self.status_age(now);
        if status <= self.status {
            return;
        }
        debug_assert!(self.good.is_some(), "only an answer can age");
        self.status = status;
        let expires = self.status_expires_at().unwrap_or(now.mono);
        match status {
            StatusAge::Current => {}
            StatusAge::Aging => self.notice(RegistryNotice::StatusAging {
                left: expires.since(now.mono),
            }),
            StatusAge::Expired => self.notice(RegistryNotice::StatusExpired),
        }
    }

    fn status_age(&self, now: Now) -> StatusAge {
        if reached(self.status_expires_at(), now) {
            StatusAge::Expired
        } else if reached(self.status_ages_at(), now) {
            StatusAge::Aging
        } else {
            StatusAge::Current
        }
    }

    /// Spreads the fetches of a fleet that started at the same time.
    fn less_a_tenth(&mut self, delay: Duration) -> Duration {
        self.jitter = mix(self.jitter);
        let thousandths = (self.jitter % 101) as u32;
        delay - delay / 1000 * thousandths
    }
}

fn reached(at: Option<Mono>, now: Now) -> bool {
    at.is_some_and(|at| at <= now.mono)
}

#[cfg(test)]
mod tests;
