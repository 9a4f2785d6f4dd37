//! The actions and notices that control hands to its driver.

use std::sync::Arc;

use bytes::Bytes;

use super::Retired;
use crate::health::{HealthNotice, HealthWake, Probe};
use crate::ids::IssuerId;
use crate::keys::{JwksError, KeyNotice, KeyWake};
use crate::registry::{RegistryNotice, RegistryWake};
use crate::snapshot::Snapshot;
use crate::text::Text;
use crate::time::Unix;

/// Identifies one issuer's source of keys while it exists. Unlike an [`IssuerId`] it is never
/// reused, so that an answer that arrives after a reload can't be taken for another issuer's.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct KeySourceId(pub(super) u32);

/// What the driver has to do.
#[derive(Debug)]
pub enum Output {
    /// Use this snapshot for decisions from now on, and wake the requests that wait for keys.
    Publish(Arc<Snapshot>),
    /// Fetch this issuer's keys, then call [`handle_keys`](super::Control::handle_keys) with the
    /// result.
    FetchKeys {
        /// The id to report the answer with.
        source: KeySourceId,
        /// The issuer, in the present policy.
        issuer: IssuerId,
        /// An unknown key causes the fetch, not the schedule.
        forced: bool,
    },
    /// Save this last-known-good key set.
    SaveKeys {
        /// The id to restore it with.
        source: KeySourceId,
        /// The issuer, in the present policy.
        issuer: IssuerId,
        /// The document.
        body: Bytes,
        /// When it was fetched.
        fetched_at: Unix,
    },
    /// Ask the registry's source for a document, put it through
    /// [`Registry::parse`](crate::registry::Registry::parse) against
    /// [`registry`](super::Control::registry) where that blocks no request, then call
    /// [`handle_registry`](super::Control::handle_registry) with the result.
    FetchRegistry {
        /// The validator of the present content, for `If-None-Match`.
        validator: Option<Arc<str>>,
    },
    /// The registry was replaced while this document was parsed against it: parse it again, then
    /// call [`handle_registry`](super::Control::handle_registry).
    ParseRegistry {
        /// The document.
        body: Bytes,
        /// The validator that came with the document.
        validator: Option<Arc<str>>,
    },
    /// Save this last-known-good registry document.
    SaveRegistry {
        /// The document.
        body: Bytes,
        /// When the source sent it.
        fetched_at: Unix,
    },
    /// The source has confirmed the last saved document: save the time.
    ConfirmRegistry {
        /// When the source confirmed it.
        fetched_at: Unix,
    },
    /// Check the health of this endpoint, then call [`handle_probed`](super::Control::handle_probed)
    /// with the result. It must have one, even if the driver gives up.
    Probe(Probe),
    /// Drop this where that blocks no request: freeing a million tenants takes milliseconds.
    Free(Retired),
    /// Report this to logs, metrics and invariants.
    Notice(Notice),
}

/// What happened at a source or an endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Notice {
    /// At an issuer's keys.
    Keys {
        /// The issuer, in the present policy.
        issuer: IssuerId,
        /// What happened to them.
        notice: KeyNotice,
    },
    /// At the registry's source.
    Registry(RegistryNotice),
    /// A cell's annotation holds no key set that can be used; its authorizations are refused.
    CellKeysRefused {
        /// The cell.
        cell: Text,
        /// Why the key set can't be used.
        refused: JwksError,
    },
    /// At an endpoint.
    Health(HealthNotice),
}

/// Why control wants to be woken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wake {
    /// An issuer's keys.
    Keys(IssuerId, KeyWake),
    /// The registry's source.
    Registry(RegistryWake),
    /// An endpoint.
    Health(HealthWake),
    /// Check again whether requests still hold a retired registry.
    Free,
}
