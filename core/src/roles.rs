//! Which roles a caller has: those that the credential names and the tenant allows.

use std::sync::Arc;

use crate::explain::Recorder;
use crate::identity::Identity;
use crate::registry::Terms;
use crate::text::Text;

/// The identity with the roles that its tenant's terms leave.
///
/// An issuer says what its callers are; which of that counts for a tenant, the registry says. The
/// default role is for credentials that say nothing of roles: where the cut leaves none, none it is.
pub(crate) fn granted(
    identity: Arc<Identity>,
    terms: &Terms,
    recorder: &mut impl Recorder,
) -> Arc<Identity> {
    let allowed = |role: &Text| terms.allowed_roles.contains(role);
    let identity = if !identity.names_roles && identity.roles.is_empty() {
        match &terms.default_role {
            None => identity,
            Some(role) => with_roles(&identity, vec![role.clone()]),
        }
    } else if identity.roles.iter().all(allowed) {
        identity
    } else {
        let left = identity.roles.iter().filter(|role| allowed(role));
        with_roles(&identity, left.cloned().collect())
    };
    recorder.pass("tenant.roles", || match &*identity.roles {
        [] => "none".to_owned(),
        roles => roles
            .iter()
            .map(Text::as_str)
            .collect::<Vec<_>>()
            .join(", "),
    });
    identity
}

fn with_roles(identity: &Identity, roles: Vec<Text>) -> Arc<Identity> {
    Arc::new(Identity {
        roles,
        ..identity.clone()
    })
}
