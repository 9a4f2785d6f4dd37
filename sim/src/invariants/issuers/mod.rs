//! One customer's identity provider never speaks for another's tenant.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Invariant;
use super::journal::Journal;
use crate::fact::Fact;

/// No request arrives for a tenant with the token of an issuer that may not speak for this tenant.
#[derive(Debug)]
pub struct IssuerSpeaks {
    journal: Journal,
    /// Issuers and tenants.
    issuer_tenants: BTreeSet<(String, String)>,
}

impl IssuerSpeaks {
    /// With this prefix of the router's own headers, and these pairs of issuer and tenant.
    pub fn new(prefix: &str, issuer_tenants: &BTreeSet<(String, String)>) -> Self {
        Self {
            journal: Journal::new(prefix),
            issuer_tenants: issuer_tenants.clone(),
        }
    }
}

impl Invariant for IssuerSpeaks {
    fn name(&self) -> &'static str {
        "issuer_speaks"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        let Some(passed) = self.journal.passed(at, fact) else {
            return Ok(());
        };
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
