//! A caller's roles: those that the credential names and the tenant allows.

use std::sync::Arc;

use crate::explain::Recorder;
use crate::identity::Identity;
use crate::policy::Policy;
use crate::registry::Terms;
use crate::text::Text;

/// Reduces the caller's roles to those that the tenant's terms allow.
///
/// The issuer names a caller's roles, and the registry says which of them count for the tenant. The
/// default role is not used when `allowed_roles` removes every role.
pub(crate) fn grant(
    identity: &mut Arc<Identity>,
    terms: &Terms,
    policy: &Policy,
    recorder: &mut impl Recorder,
) {
    let allowed = |role: &Text| terms.allowed_roles.contains(role);
    let other = if !identity.names_roles && identity.roles.is_empty() {
        let role = terms.default_role.as_ref();
        role.map(|role| with_roles(identity, vec![role.clone()]))
    } else if identity.roles.iter().all(allowed) {
        None
    } else {
        let left = identity.roles.iter().filter(|role| allowed(role));
        Some(with_roles(identity, left.cloned().collect()))
    };
    recorder.pass("tenant.roles", || {
        let left = &other.as_ref().unwrap_or(identity).roles;
        let cut = identity.roles.iter().filter(|role| !allowed(role));
        match (&*listed(left.iter()), &*listed(cut)) {
            ("", "") => format!("none ({})", why_none(identity, policy)),
            ("", cut) if terms.allowed_roles.is_empty() => {
                format!("none (cut: {cut}; the tenant has no allowed_roles)")
            }
            ("", cut) => format!("none (cut: {cut})"),
            (left, "") => left.to_owned(),
            (left, cut) => format!("{left} (cut: {cut})"),
        }
    });
    if let Some(other) = other {
        *identity = other;
    }
}

/// Why a credential names no role.
fn why_none(identity: &Identity, policy: &Policy) -> &'static str {
    let Some(issuer) = &identity.proof.jwt else {
        return "there is no token, and only tokens name roles";
    };
    let issuer = policy.issuer_named(issuer.as_str());
    let is_mapped = issuer.is_some_and(|id| policy.issuer(id).claims.roles.is_some());
    match (is_mapped, identity.names_roles) {
        (false, _) => "the issuer's claims.roles names no claim",
        (true, false) => "the token has no claim for roles",
        (true, true) => "the token's claim for roles has no role that can be used",
    }
}

fn listed<'a>(roles: impl Iterator<Item = &'a Text>) -> String {
    roles.map(Text::as_str).collect::<Vec<_>>().join(", ")
}

fn with_roles(identity: &Identity, roles: Vec<Text>) -> Arc<Identity> {
    Arc::new(Identity {
        roles,
        ..identity.clone()
    })
}

#[cfg(test)]
mod tests;
