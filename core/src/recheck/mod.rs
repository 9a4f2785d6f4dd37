//! Checks whether an open stream is still allowed under the new registry.

use crate::identity::Identity;
use crate::policy::Policy;
use crate::reason::Reason;
use crate::refused::Refused;
use crate::registry::Registry;
use crate::{revoked, tenant};

/// Whether a stream that was let through for this reason and identity may stay open under this
/// registry: the checks of [`decide`](crate::decide()) that a new version can turn against a caller
/// or a tenant. Where the tenant goes is not among them, for a stream stays where it is.
///
/// # Errors
/// What a new request of the same identity would be refused with.
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
