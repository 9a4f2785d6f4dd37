//! Checks whether an open stream is still allowed under the new registry.

use crate::identity::Identity;
use crate::policy::Policy;
use crate::reason::Reason;
use crate::refused::Refused;
use crate::registry::Registry;
use crate::{revoked, tenant};

/// Whether a stream that was allowed for this reason and identity may stay open under this
/// registry. Runs the checks of [`decide`](crate::decide()) that can fail after a registry change.
/// Placement is not one of them, because a stream stays at its cell.
///
/// # Errors
/// The refusal that a new request of the same identity would get.
pub fn recheck(
    policy: &Policy,
    registry: &Registry,
    reason: Reason,
    identity: &Identity,
) -> Result<(), Refused> {
    if reason == Reason::Verified {
        revoked::check(registry.revocations(), policy, identity, &mut ())?;
    }
    tenant::check(registry, policy, identity, &mut ())?;
    Ok(())
}

#[cfg(test)]
mod tests;
