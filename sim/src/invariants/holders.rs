//! Who answers for a request at a circuit breaker.

use crate::fact::Sent;

/// The request's tenant, or the client's address if it has no credentials.
pub(super) fn holder(sent: &Sent) -> String {
    match sent.anonymous {
        true => sent.address.to_string(),
        false => sent.tenant.clone(),
    }
}
