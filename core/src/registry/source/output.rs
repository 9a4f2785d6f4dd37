//! What a [`RegistrySource`] asks of its driver and reports to it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::RegistryFetchError;
#[cfg(doc)]
use super::{RegistrySource, RegistryTiming};
use crate::registry::{Registry, RegistryError};
use crate::time::Unix;

/// What the driver has to do for the source.
#[derive(Debug)]
pub enum RegistryAction {
    /// Fetch a document, then call [`RegistrySource::handle_fetched`] exactly once.
    Fetch {
        /// The validator of the current content, for `If-None-Match`.
        validator: Option<Arc<str>>,
    },
    /// The registry was replaced while this document was parsed against it: parse it again,
    /// against the one that is current now, then call [`RegistrySource::handle_fetched`].
    Parse {
        /// The document.
        body: Bytes,
        /// The validator that came with the document.
        validator: Option<Arc<str>>,
    },
    /// [`RegistrySource::registry`], [`RegistrySource::is_stale`] or
    /// [`RegistrySource::status_expires_at`] has changed: publish.
    Changed {
        /// The registry that was replaced, to be freed where that blocks no request.
        retired: Option<Arc<Registry>>,
    },
    /// Save this as last-known-good.
    Save {
        /// The document.
        body: Bytes,
        /// When the source sent it.
        fetched_at: Unix,
    },
    /// The source has confirmed the saved last-known-good document: save the time.
    Confirm {
        /// When the source confirmed it.
        fetched_at: Unix,
    },
    /// Report this to logs, metrics and invariants.
    Notice(RegistryNotice),
}

/// What happened at a source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RegistryNotice {
    /// A version is current now.
    Applied {
        /// The version.
        version: u64,
        /// How many cells it has.
        cells: usize,
        /// How many tenants it has.
        tenants: usize,
        /// It is the last-known-good document, not from the source.
        restored: bool,
    },
    /// A document was refused. The current one stays.
    Refused(RegistryError),
    /// A fetch failed.
    FetchFailed {
        /// Why it failed.
        failure: RegistryFetchError,
        /// How many fetches in a row have failed.
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
    /// The next fetch is due.
    Poll,
    /// The next fetch after a failure is due.
    Retry,
    /// The registry becomes stale.
    Stale,
    /// Tenants' status reaches half of [`RegistryTiming::identity_max_age`], or all of it.
    Status,
}
