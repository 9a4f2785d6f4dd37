//! The immutable state that decisions read.

use std::sync::Arc;

use crate::cba::CellKeys;
use crate::health::Health;
use crate::keys::KeyTable;
use crate::policy::Policy;
use crate::registry::Registry;
use crate::time::Mono;

/// Everything that a decision reads: a few shared parts, each replaced on its own.
///
/// A health flip makes a new snapshot that shares the tenants with the old one; a key rotation
/// never touches the registry. Cloning costs five reference counts.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Grows by one with every snapshot published by one [`Control`](crate::control::Control).
    pub epoch: u64,
    /// Issuers, templates, policies, header names.
    pub policy: Arc<Policy>,
    /// The key sets of all issuers.
    pub keys: Arc<KeyTable>,
    /// Cells, placements, tenants: `None` until a first document was accepted.
    pub registry: Option<Arc<Registry>>,
    /// The keys with which the registry's cells sign their authorizations.
    pub cell_keys: Arc<CellKeys>,
    /// The registry's source has given no good answer for too long. It still places.
    pub registry_stale: bool,
    /// When tenants' status reaches half of its maximum age if the registry's source gives no good
    /// answer before. `None` if there is no maximum age.
    pub status_ages_at: Option<Mono>,
    /// When tenants' status becomes too old to trust; `None` if there is no maximum age.
    pub status_expires_at: Option<Mono>,
    /// Which endpoints are ejected.
    pub health: Arc<Health>,
}
