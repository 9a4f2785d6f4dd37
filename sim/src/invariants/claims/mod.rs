//! A token is accepted only for what it says: its audience, its tenants and its tier.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Invariant, Passed, shown};
use crate::fact::{Claims, Fact, Published};

/// Routers refuse every token that doesn't name their audience.
#[derive(Debug)]
pub struct TokenAudience {
    audience: String,
}

/// Every request with a token arrives for a tenant that the token names: the one that the request
/// picks, otherwise the token's default tenant, otherwise its only tenant. If there is no such
/// tenant, the request doesn't arrive.
#[derive(Debug)]
pub struct TenantChoice {
    prefix: String,
}

/// A request whose token names a tier arrives only at a cell of that tier. If its tenant isn't
/// listed, it arrives only if the registry allows that by tier, and only at an active cell.
#[derive(Debug, Default)]
pub struct TierKept {
    published: BTreeMap<u64, Arc<Published>>,
}

impl TokenAudience {
    /// With the audience of all routers.
    pub fn new(audience: &str) -> Self {
        Self {
            audience: audience.to_owned(),
        }
    }
}

impl Invariant for TokenAudience {
    fn name(&self) -> &'static str {
        "token_audience"
    }

    fn arrived(&mut self, _at: Duration, passed: &Passed<'_>) -> Result<(), String> {
        match &passed.sent.claims {
            Some(claims) if !claims.audiences.contains(&self.audience) => Err(format!(
                "{} forwarded {}, whose token has the audiences {:?}; expected {:?} among them",
                passed.decided.life.router, passed.sent.tag, claims.audiences, self.audience
            )),
            _ => Ok(()),
        }
    }
}

impl TenantChoice {
    /// `prefix` is that of the router's own headers.
    pub fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
        }
    }
}

/// The tenant of a request with these claims.
fn chosen<'a>(claims: &'a Claims, selects: Option<&'a String>) -> Option<&'a String> {
    let mut all = claims.tenants.iter();
    let only = all.next().filter(|_| all.next().is_none());
    let picked = selects.or(claims.default_tenant.as_ref()).or(only);
    picked.filter(|tenant| claims.tenants.contains(*tenant))
}

impl Invariant for TenantChoice {
    fn name(&self) -> &'static str {
        "tenant_choice"
    }

    fn arrived(&mut self, _at: Duration, passed: &Passed<'_>) -> Result<(), String> {
        let Passed { sent, arrived, .. } = passed;
        let Some(claims) = &sent.claims else {
            return Ok(());
        };
        let stamped = arrived.header(&format!("{}tenant", self.prefix));
        let chosen = chosen(claims, sent.selects.as_ref());
        match chosen.is_some() && stamped == chosen.map(String::as_str) {
            true => Ok(()),
            false => Err(format!(
                "{} arrived for the tenant {}; its token names {:?}, and the request picks {}",
                sent.tag,
                shown(stamped),
                claims.tenants,
                shown(sent.selects.as_ref())
            )),
        }
    }
}

impl Invariant for TierKept {
    fn name(&self) -> &'static str {
        "tier_kept"
    }

    fn observe(&mut self, _at: Duration, fact: &Fact) -> Result<(), String> {
        if let Fact::Published(said) = fact {
            self.published.insert(said.version, said.clone());
        }
        Ok(())
    }

    fn arrived(&mut self, _at: Duration, passed: &Passed<'_>) -> Result<(), String> {
        let Passed {
            sent,
            decided,
            arrived,
            ..
        } = passed;
        if sent.anonymous {
            return Ok(());
        }
        let version = decided.registry_version.unwrap_or_default();
        let tier = sent
            .claims
            .as_ref()
            .and_then(|claims| claims.tier.as_deref());
        let (tag, cell) = (&sent.tag, &arrived.cell);
        // `assigned_cell` notices versions that no good document has.
        let Some(said) = self.published.get(&version) else {
            return Ok(());
        };
        let serves = said.cells.get(cell);
        if let Some(tier) = tier
            && serves.is_some_and(|cell| cell.tier != tier)
        {
            return Err(format!(
                "the token of {tag} names the tier {tier}, but it reached {cell}, which has another tier"
            ));
        }
        let unlisted = !said.assignment.contains_key(&sent.tenant);
        let cells = said.cells_of(&sent.tenant, tier);
        match unlisted && !cells.is_some_and(|cells| cells.contains(cell)) {
            true => Err(format!(
                "{tag} reached {cell}, but the registry doesn't list its tenant {} and doesn't send the \
                 tier {} there",
                sent.tenant,
                shown(tier)
            )),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
