//! Where registries come from: the state machine of one source.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{Parsed, Registry, RegistryRefused};
use crate::time::{Mono, Now, Unix};

/// When to ask the source, and how long its answers are believed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RegistryTiming {
    /// Between two successful polls, less up to a tenth of it at random.
    pub poll_interval: Duration,
    /// After the first failure; doubles with each more.
    pub retry_min: Duration,
    /// The longest time between two tries of a failing source.
    pub retry_max: Duration,
    /// Without a good answer for this long, the registry is flagged stale. It still places.
    pub stale_after: Duration,
    /// Without a good answer for this long, tenants' status isn't believed any more. `None`: it
    /// always is.
    pub identity_max_age: Option<Duration>,
}

impl Default for RegistryTiming {
    /// 10 s, 1 s, 60 s, 60 s, 15 minutes.
    fn default() -> Self {
        Self {
            poll_interval: Duration::from_secs(10),
            retry_min: Duration::from_secs(1),
            retry_max: Duration::from_secs(60),
            stale_after: Duration::from_secs(60),
            identity_max_age: Some(Duration::from_secs(15 * 60)),
        }
    }
}

/// What the source answered.
#[derive(Debug)]
pub enum RegistryFetched {
    /// What it has is what the validator of [`RegistryAction::Fetch`] names.
    NotModified,
    /// A document, which the driver has put through [`Registry::parse`] against
    /// [`RegistrySource::registry`].
    Document {
        /// What became of it.
        parsed: Result<Parsed, RegistryRefused>,
        /// Its bytes, to be kept as last-known-good.
        body: Bytes,
        /// What the source knows this content by: an `ETag`, or a file's stat in the driver's
        /// own words. Comes back in the next [`RegistryAction::Fetch`] if the document is taken.
        validator: Option<Arc<str>>,
    },
}

/// The source gave no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RegistryFailure {
    /// What kind of trouble, for metrics.
    pub problem: FetchProblem,
    /// For people.
    pub detail: String,
}

/// Why a source gave no answer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FetchProblem {
    /// No connection, or it broke; a file that isn't there or can't be read.
    Unreachable,
    /// It took too long.
    TimedOut,
    /// It answered with a status that isn't 200 or 304.
    BadStatus,
}

impl FetchProblem {
    /// The name in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed_out",
            Self::BadStatus => "bad_status",
        }
    }
}

/// What the driver has to do for the source.
#[derive(Debug)]
pub enum RegistryAction {
    /// Ask for a document, then call [`RegistrySource::handle_fetched`], exactly once.
    Fetch {
        /// What the source knew the current content by: for `If-None-Match`.
        validator: Option<Arc<str>>,
    },
    /// The registry was replaced while this document was parsed against it: parse it again,
    /// against the one that is current now, then call [`RegistrySource::handle_fetched`].
    Parse {
        /// The document.
        body: Bytes,
        /// As it came with the document.
        validator: Option<Arc<str>>,
    },
    /// [`RegistrySource::registry`], [`RegistrySource::is_stale`] or
    /// [`RegistrySource::status_expires_at`] has changed: publish.
    Publish {
        /// The registry that was replaced, to be freed where it disturbs nobody.
        retired: Option<Arc<Registry>>,
    },
    /// Keep this as last-known-good.
    Save {
        /// The document.
        body: Bytes,
        /// When the source gave it.
        fetched_at: Unix,
    },
    /// The last-known-good document that was saved is still good at this time: keep the time.
    Confirm {
        /// When the source said so.
        fetched_at: Unix,
    },
    /// For logs, metrics and invariants.
    Notice(RegistryNotice),
}

/// What happened at a source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RegistryNotice {
    /// A version is current now.
    Applied {
        /// Which.
        version: u64,
        /// How many cells it has.
        cells: usize,
        /// How many tenants it has.
        tenants: usize,
        /// It comes from last-known-good, not from the source.
        restored: bool,
    },
    /// A document wasn't taken; the current one stays.
    Refused(RegistryRefused),
    /// The source gave no answer, that many times in a row.
    FetchFailed {
        /// Why.
        failure: RegistryFailure,
        /// How often in a row.
        consecutive: u32,
    },
    /// No good answer for [`RegistryTiming::stale_after`].
    Stale,
    /// A good answer after that.
    Fresh,
}

/// Why the source wants to be woken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RegistryWake {
    /// It is time to ask the source.
    Poll,
    /// It is time to try the source again after a failure.
    Retry,
    /// The registry becomes stale.
    Stale,
}

/// One source of registries, and what came of it.
#[derive(Debug)]
pub struct RegistrySource {
    timing: RegistryTiming,
    current: Option<Arc<Registry>>,
}

impl RegistrySource {
    /// A source that has given nothing yet, and is to be asked at once. `seed` drives the jitter.
    pub fn new(timing: RegistryTiming, now: Now, seed: u64) -> Self {
        let _ = (now, seed);
        Self {
            timing,
            current: None,
        }
    }

    /// Takes the answer to [`RegistryAction::Fetch`] or [`RegistryAction::Parse`].
    pub fn handle_fetched(&mut self, now: Now, answer: Result<RegistryFetched, RegistryFailure>) {
        let _ = (now, answer);
    }

    /// Takes a last-known-good document that was kept at an earlier start of the router and has
    /// been parsed against nothing. Ignored once there is a registry.
    pub fn handle_restored(
        &mut self,
        now: Now,
        parsed: Result<Parsed, RegistryRefused>,
        fetched_at: Unix,
    ) {
        let _ = (now, parsed, fetched_at);
    }

    /// Asks the source at the next [`RegistrySource::handle_timeout`], whatever the interval: its
    /// file has changed, or the operator wants it.
    pub fn handle_refresh(&mut self, now: Now) {
        let _ = now;
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        let _ = (now, &self.timing);
    }

    /// What the driver has to do next.
    pub fn poll(&mut self) -> Option<RegistryAction> {
        None
    }

    /// When to call [`RegistrySource::handle_timeout`], and why.
    pub fn poll_timeout(&self) -> Option<(Mono, RegistryWake)> {
        None
    }

    /// The current registry.
    pub fn registry(&self) -> Option<&Arc<Registry>> {
        self.current.as_ref()
    }

    /// Whether the source has given no good answer for [`RegistryTiming::stale_after`].
    pub fn is_stale(&self) -> bool {
        false
    }

    /// When tenants' status becomes too old to believe (at that very instant it is); `None` where
    /// that is switched off or nothing was loaded yet.
    pub fn status_expires_at(&self) -> Option<Mono> {
        None
    }
}
