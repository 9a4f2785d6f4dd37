//! What a [`RegistrySource`] takes in: its settings, and the source's answers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

#[cfg(doc)]
use super::{RegistryAction, RegistrySource};
use crate::registry::{Parsed, RegistryError};
#[cfg(doc)]
use crate::registry::{Registry, RegistryLimits};

/// When to ask the source, and how long its answers are used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RegistryTiming {
    /// Between two successful polls, less up to a tenth of it at random.
    pub poll_interval: Duration,
    /// After the first failure; doubles with each more.
    pub retry_min: Duration,
    /// The longest time between two tries of a failing source.
    pub retry_max: Duration,
    /// After this time without a good answer, the registry is flagged stale. It still places
    /// tenants.
    pub stale_after: Duration,
    /// After this time without a good answer, tenants' status is no longer trusted, and requests
    /// are refused. `None`: no limit.
    pub identity_max_age: Option<Duration>,
}

impl Default for RegistryTiming {
    /// 10 s, 1 s, 60 s, 60 s, 24 hours. The last is also how long stale keys may be used: people
    /// need time to act before an outage of the control plane becomes an outage of all tenants.
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
    /// The content is still that of the validator in [`RegistryAction::Fetch`].
    NotModified,
    /// A document, which the driver has put through [`Registry::parse`] against
    /// [`RegistrySource::registry`].
    Document {
        /// The result of parsing it.
        parsed: Result<Parsed, RegistryError>,
        /// Its bytes, to be kept as last-known-good.
        body: Bytes,
        /// The source's identifier for this content: an `ETag`, or text that the driver makes of a
        /// file's metadata. It is part of the next [`RegistryAction::Fetch`] if the document is
        /// used.
        validator: Option<Arc<str>>,
    },
    /// A document of more than [`RegistryLimits::document_bytes_max`], which the driver stopped
    /// reading.
    TooLarge {
        /// The limit that it was read with.
        limit: usize,
    },
}

/// Why a fetch failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RegistryFetchError {
    /// The kind of failure, for metrics.
    pub problem: FetchProblem,
    /// What happened, as text.
    pub detail: String,
}

/// The kinds of failed fetches.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FetchProblem {
    /// No connection, or it broke. Or a file that is missing or can't be read.
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
