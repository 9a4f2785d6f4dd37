//! Checks whether the registry lets the caller act for the tenant that the credentials name.
//!
//! Runs on every request with the current registry, because none of it is cached with a token. It
//! first checks who may speak for the tenant, so that a stranger learns nothing about the tenant's
//! status.

use crate::explain::Recorder;
use crate::identity::Identity;
use crate::policy::Policy;
use crate::reason::Reason;
use crate::refused::Refused;
use crate::registry::{Registry, Target, TenantRef, TenantStatus, UnknownTenant};
use crate::text::Text;

/// The tenant's entry in the registry, if it is listed and its caller may act for it.
///
/// A tenant that isn't listed passes if the registry accepts unknown tenants. Placement decides
/// where it goes.
pub(crate) fn check<'a>(
    registry: &'a Registry,
    policy: &Policy,
    identity: &Identity,
    recorder: &mut impl Recorder,
) -> Result<Option<TenantRef<'a>>, Refused> {
    let Some(id) = &identity.tenant else {
        return Ok(None);
    };
    let Some(tenant) = registry.tenant(id.as_str()) else {
        check_unlisted(registry, recorder)?;
        check_issuer(policy, identity, None, recorder)?;
        return Ok(None);
    };
    check_issuer(policy, identity, tenant.terms.issuer.as_ref(), recorder)?;
    check_status(tenant, recorder)?;
    check_tier(tenant, identity, recorder)?;
    Ok(Some(tenant))
}

/// Checks that the registry accepts tenants that it doesn't list.
fn check_unlisted(registry: &Registry, recorder: &mut impl Recorder) -> Result<(), Refused> {
    const CHECK: &str = "tenant.listed";
    match registry.unknown_tenant() {
        UnknownTenant::ByTier => {
            recorder.pass(CHECK, || {
                "not listed; unknown tenants go to a cell of their tier".to_owned()
            });
            Ok(())
        }
        UnknownTenant::Placement(id) => {
            recorder.pass(CHECK, || {
                format!("not listed; unknown tenants go to placement \"{id}\"")
            });
            Ok(())
        }
        UnknownTenant::Deny => Err(Refused::new(
            CHECK,
            Reason::TenantUnknown,
            "the registry doesn't list the tenant",
        )),
    }
}

/// Checks that the issuer, trust domain, gateway or signer may speak for the tenant, given the
/// issuer that the registry binds it to.
fn check_issuer(
    policy: &Policy,
    identity: &Identity,
    named: Option<&Text>,
    recorder: &mut impl Recorder,
) -> Result<(), Refused> {
    const CHECK: &str = "tenant.issuer";
    if !policy.may_speak(identity, named.map(Text::as_str)) {
        return Err(Refused::new(
            CHECK,
            Reason::IssuerNotAllowed,
            "the issuer, trust domain, gateway or signer may not speak for this tenant",
        ));
    }
    recorder.pass(CHECK, || match named {
        Some(named) => format!("bound to {named}"),
        None => "may speak for the tenant".to_owned(),
    });
    Ok(())
}

fn check_status(tenant: TenantRef<'_>, recorder: &mut impl Recorder) -> Result<(), Refused> {
    const CHECK: &str = "tenant.status";
    match tenant.status {
        TenantStatus::Active => {
            recorder.pass(CHECK, || "active".to_owned());
            Ok(())
        }
        TenantStatus::Suspended => Err(Refused::new(
            CHECK,
            Reason::TenantSuspended,
            "the tenant is suspended",
        )),
    }
}

/// Checks that the tier in the credential, if there is one, is that of the tenant's cell or
/// placement.
fn check_tier(
    tenant: TenantRef<'_>,
    identity: &Identity,
    recorder: &mut impl Recorder,
) -> Result<(), Refused> {
    const CHECK: &str = "tenant.tier";
    let Some(named) = &identity.tier else {
        return Ok(());
    };
    let tier = match tenant.target {
        Target::Cell(cell) => &cell.tier,
        Target::Placement(placement) => &placement.tier,
    };
    if named != tier {
        return Err(Refused::new(
            CHECK,
            Reason::IdentityConflict,
            "the credential names another tier than the tenant's placement has",
        ));
    }
    recorder.pass(CHECK, || tier.to_string());
    Ok(())
}

#[cfg(test)]
mod tests;
