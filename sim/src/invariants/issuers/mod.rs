//! One customer's identity provider never speaks for another's tenant.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Invariant, Passed};

/// No request arrives for a tenant with the token of an issuer that may not speak for this tenant.
#[derive(Debug)]
pub struct IssuerSpeaks {
    /// Issuers and tenants.
    issuer_tenants: BTreeSet<(String, String)>,
}

impl IssuerSpeaks {
    /// With these pairs of issuer and tenant.
    pub fn new(issuer_tenants: &BTreeSet<(String, String)>) -> Self {
        Self {
            issuer_tenants: issuer_tenants.clone(),
        }
    }
}

impl Invariant for IssuerSpeaks {
    fn name(&self) -> &'static str {
        "issuer_speaks"
    }

    fn arrived(&mut self, _at: Duration, passed: &Passed<'_>) -> Result<(), String> {
        let Some(token) = &passed.sent.token else {
            return Ok(());
        };
        let pair = (token.issuer.clone(), passed.sent.tenant.clone());
        match self.issuer_tenants.contains(&pair) {
            true => Ok(()),
            false => Err(format!(
                "{} arrived for {} with a token of the issuer {}, which may not speak for this tenant",
                passed.sent.tag, pair.1, pair.0
            )),
        }
    }
}

#[cfg(test)]
mod tests;
