//! What goes in and out of a [`RegistrySource`].

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

#[cfg(doc)]
use super::RegistrySource;
use crate::registry::{Parsed, Registry, RegistryRefused};
use crate::time::Unix;

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
    /// Without a good answer for this long, tenants' status isn't trusted any more, and requests
    /// are refused. `None`: no limit.
    pub identity_max_age: Option<Duration>,
}

impl Default for RegistryTiming {
    /// 10 s, 1 s, 60 s, 60 s, 24 hours. The last is the same time for which stale keys may be used:
    /// an outage of the control plane must not become an outage of all tenants before people can
    /// act.
    fn default() -> Self {
        Self {
            poll_interval: Duration::from_secs(10),
            retry_min: Duration::from_secs(1),
            retry_max: Duration::from_secs(60),
            stale_after: Duration::from_secs(60),
            identity_max_age: Some(Duration::from_secs(24 * 60 * 60)),
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
    /// No good answer for half of [`RegistryTiming::identity_max_age`].
    StatusAging {
        /// The time that is left.
        left: Duration,
    },
    /// No good answer for all of that time: requests are refused.
    StatusExpired,
    /// A good answer after that, or a reload that gave more time.
    StatusCurrent,
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
    /// Tenants' status reaches half of [`RegistryTiming::identity_max_age`], or all of it.
    Status,
}
