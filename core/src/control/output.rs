//! The actions and notices that control hands to its driver.

use std::sync::Arc;

use bytes::Bytes;

use super::Retired;
use crate::health::{HealthNotice, HealthWake};
use crate::ids::IssuerId;
use crate::keys::{JwksError, KeyNotice, KeyWake};
use crate::registry::{RegistryNotice, RegistryWake};
use crate::snapshot::Snapshot;
use crate::text::Text;
use crate::time::Unix;

/// Names one issuer's source of keys for as long as it lives. Unlike an [`IssuerId`] it is never
/// used again, so that an answer which comes after a reload can't be taken for another issuer's.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct KeySourceId(pub(super) u32);

/// What the driver has to do.
#[derive(Debug)]
pub enum Output {
    /// Make this the snapshot that requests are decided on, and wake those that wait for keys.
    Publish(Arc<Snapshot>),
    /// Fetch this issuer's keys, then call [`handle_keys`](super::Control::handle_keys), whatever
    /// came of it.
    FetchKeys {
        /// What the answer goes by.
        source: KeySourceId,
        /// Whose keys, in the present policy.
        issuer: IssuerId,
        /// An unknown key asks for it, not the schedule.
        forced: bool,
    },
    /// Keep this last-known-good key set.
    SaveKeys {
        /// What it is restored by.
        source: KeySourceId,
        /// Whose keys, in the present policy.
        issuer: IssuerId,
        /// The document.
        body: Bytes,
        /// When it was fetched.
        fetched_at: Unix,
    },
    /// Ask the registry's source for a document, put it through
    /// [`Registry::parse`](crate::registry::Registry::parse) against
    /// [`registry`](super::Control::registry) where that disturbs nobody, then call
    /// [`handle_registry`](super::Control::handle_registry), whatever came of it.
    FetchRegistry {
        /// What the source knew the present content by: for `If-None-Match`.
        validator: Option<Arc<str>>,
    },
    /// The registry was replaced while this document was parsed against it: parse it again, then
    /// call [`handle_registry`](super::Control::handle_registry).
    ParseRegistry {
        /// The document.
        body: Bytes,
        /// As it came with the document.
        validator: Option<Arc<str>>,
    },
    /// Keep this last-known-good registry document.
    SaveRegistry {
        /// The document.
        body: Bytes,
        /// When the source gave it.
        fetched_at: Unix,
    },
    /// The document that was kept last is still good at this time: keep the time.
    ConfirmRegistry {
        /// When the source said so.
        fetched_at: Unix,
    },
    /// Drop this where it disturbs nobody: freeing a million tenants takes milliseconds.
    Free(Retired),
    /// Something happened that logs, metrics and invariants want to know.
    Notice(Notice),
}

/// What happened at a source or an endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Notice {
    /// At an issuer's keys.
    Keys {
        /// Whose, in the present policy.
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
    /// Look again whether requests have let go of a retired registry.
    Free,
}
