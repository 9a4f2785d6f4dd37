//! Finds where a policy and a registry don't fit together. Each is valid on its own, but requests
//! that should pass are refused, or a part of one has no effect.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::IssuerId;
use crate::policy::{AuthPolicy, CbaMode, ClaimSpec, Issuer, Mode, Policy, Rules};
use crate::registry::{CellState, Registry, Terms, UnknownTenant};
use crate::text::Text;
use crate::words::suggestion;

/// One mismatch. Because of it, the router refuses requests that should pass, or a part of the policy
/// or the registry has no effect.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Mismatch {
    /// The setting, or `registry` if it is about the document.
    pub setting: String,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub fix: String,
}

/// Everything that doesn't fit. Without a registry, only what the policy shows.
pub fn mismatches(policy: &Policy, registry: Option<&Registry>) -> Vec<Mismatch> {
    let mut found = Vec::new();
    for (i, (id, issuer)) in policy.issuer_ids().zip(&policy.issuers).enumerate() {
        unaccepted_issuer(i, id, policy, &mut found);
        claims(i, issuer, &mut found);
    }
    for (i, auth) in policy.auths().iter().enumerate() {
        roles(i, policy, auth, registry, &mut found);
        if let Some(registry) = registry {
            anonymous(i, auth, registry, &mut found);
            insecure(i, auth, registry, &mut found);
        }
    }
    if let Some(registry) = registry {
        destinations(policy, registry, &mut found);
        tenants_issuers(policy, registry, &mut found);
        revocations_issuers(policy, registry, &mut found);
        unbound_tenants(policy, registry, &mut found);
        unmapped_roles(policy, registry, &mut found);
        cells(registry, &mut found);
    }
    found
}

fn add(found: &mut Vec<Mismatch>, setting: impl Into<String>, problem: String, fix: String) {
    found.push(Mismatch {
        setting: setting.into(),
        problem,
        fix,
    });
}

/// Issuers whose tokens no policy accepts. Their other settings have no effect.
fn unaccepted_issuer(i: usize, id: IssuerId, policy: &Policy, found: &mut Vec<Mismatch>) {
    let asks = |auth: &AuthPolicy| auth.mode == Mode::Disabled || auth.accepts(id);
    if policy.auths().iter().any(asks) {
        return;
    }
    let problem = "no policy accepts its tokens, so this table has no effect".to_owned();
    let fix = "add \"jwt\" to any_of or all_of of a policy, or remove the issuer".to_owned();
    add(found, format!("issuer[{i}]"), problem, fix);
}

/// Claims whose names look like paths into objects but are single names, which tokens rarely have.
fn claims(i: usize, issuer: &Issuer, found: &mut Vec<Mismatch>) {
    let claims = &issuer.claims;
    let all = [
        ("tenant", Some(&claims.tenant)),
        ("tenants", claims.tenants.as_ref()),
        ("subject", Some(&claims.subject)),
        ("workspace", claims.workspace.as_ref()),
        ("org", claims.org.as_ref()),
        ("tier", claims.tier.as_ref()),
        ("roles", claims.roles.as_ref()),
        ("scopes", claims.scopes.as_ref()),
    ];
    for (member, claim) in all {
        let Some((name, steps)) = claim.and_then(mistaken_path) else {
            continue;
        };
        let problem = format!(
            "{name:?} is the name of one claim, so the router does not look \
             inside the claim {:?}",
            steps[0]
        );
        let fix = format!(
            "write {steps:?} for a claim inside that object, or [{name:?}] if the claim really has \
             this name"
        );
        add(found, format!("issuer[{i}].claims.{member}"), problem, fix);
    }
}

/// A name that is written as a path in other systems: `realm_access.roles`, `$.org.id`, `/org/id`;
/// with the path that was probably meant. A URI is a name, and a list is never reported.
fn mistaken_path(claim: &ClaimSpec) -> Option<(&str, Vec<&str>)> {
    let [name] = &*claim.path else { return None };
    if claim.listed || name.contains(':') {
        return None;
    }
    let inner = name.trim_start_matches(['$', '.', '/']);
    let steps: Vec<&str> = inner
        .split(['.', '/', '[', ']'])
        .filter(|step| !step.is_empty())
        .collect();
    (steps.len() > 1 || !steps.is_empty() && inner != name).then_some((name, steps))
}

/// The most roles that one finding names.
const ROLES_NAMED_MAX: usize = 16;

/// Rules that ask for a role which no caller can have.
fn roles(
    i: usize,
    policy: &Policy,
    auth: &AuthPolicy,
    registry: Option<&Registry>,
    found: &mut Vec<Mismatch>,
) {
    let Some(rules) = &auth.rules else { return };
    let mapped = |id| auth.accepts(id) && policy.issuer(id).claims.roles.is_some();
    let mapped = policy.issuer_ids().any(mapped);
    let (possible, fix) = match (auth.mode, registry) {
        (Mode::Disabled, _) => (
            auth.unverified_identity.roles.iter().collect(),
            "add them to roles of insecure_identity",
        ),
        (Mode::Required | Mode::Permissive, Some(registry)) => (
            roles_of_tenants(registry, mapped),
            "add them to allowed_roles of the tenants whose callers have them, or correct the rules",
        ),
        (Mode::Required | Mode::Permissive, None) if mapped => return,
        (Mode::Required | Mode::Permissive, None) => (BTreeSet::new(), ""),
    };
    if auth.mode != Mode::Disabled && !mapped && possible.is_empty() {
        return without_roles(i, rules, found);
    }
    let mut named = BTreeSet::new();
    let unknown = rules.roles().filter(|(_, role)| !possible.contains(role));
    let unknown: Vec<_> = unknown.filter(|(_, role)| named.insert(*role)).collect();
    if unknown.is_empty() {
        return;
    }
    let listed = unknown.iter().take(ROLES_NAMED_MAX);
    let listed: Vec<_> = listed
        .map(|(rule, role)| format!("\"{role}\" in {rule}"))
        .collect();
    let more = match unknown.len() - listed.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let problem = format!(
        "its rules ask for roles that no caller can have: {}{more}",
        listed.join(", ")
    );
    add(found, format!("policy[{i}].rule"), problem, fix.to_owned());
}

/// The roles that a caller of some tenant can have. Roles of credentials (`mapped`: some credential
/// names any) are cut to what the tenant allows.
fn roles_of_tenants(registry: &Registry, mapped: bool) -> BTreeSet<&Text> {
    let of_terms = registry.all_terms().flat_map(|terms| {
        let allowed = terms.allowed_roles.iter().filter(move |_| mapped);
        allowed.chain(&terms.default_role)
    });
    of_terms.collect()
}

/// No caller has any role, so no rule that requires one can allow anybody.
fn without_roles(i: usize, rules: &Rules, found: &mut Vec<Mismatch>) {
    let asking: Vec<_> = rules.asking_for_roles().collect();
    if let Some(first) = asking.first() {
        let more = match asking.len() - 1 {
            0 => String::new(),
            more => format!(", and so do {more} more"),
        };
        let problem = format!(
            "rule \"{first}\" requires a role{more}, but no caller can have one. No accepted issuer sets \
             claims.roles, and no tenant has a default_role."
        );
        let fix = "set claims.roles of the [[issuer]] to the claim that holds roles".to_owned();
        add(found, format!("policy[{i}].rule"), problem, fix);
    }
}

fn anonymous(i: usize, auth: &AuthPolicy, registry: &Registry, found: &mut Vec<Mismatch>) {
    let Some(id) = &auth.anonymous_placement else {
        return;
    };
    if registry.placement(id.as_str()).is_none() {
        let problem = format!(
            "the registry has no placement \"{id}\": requests without credentials would be answered 503"
        );
        let known = registry.placements().iter();
        let fix = suggestion(id.as_str(), "placements", known.map(|it| it.id.as_str()));
        add(
            found,
            format!("policy[{i}].anonymous_placement"),
            problem,
            fix,
        );
    }
}

/// Cells that the authorizations of other cells must be for, and that the registry lacks: every request
/// with an authorization would be refused.
fn destinations(policy: &Policy, registry: &Registry, found: &mut Vec<Mismatch>) {
    let mut shared_is_told = false;
    for (i, auth) in policy.auths().iter().enumerate() {
        let Some(cell) = (auth.cba.destination.as_ref()).filter(|_| auth.cba.mode != CbaMode::Off)
        else {
            continue;
        };
        let is_shared = policy.cba.destination.as_ref() == Some(cell);
        if registry.cell(cell.as_str()).is_some() || (is_shared && shared_is_told) {
            continue;
        }
        shared_is_told |= is_shared;
        let setting = match is_shared {
            true => "cba.destination".to_owned(),
            false => format!("policy[{i}].cba.destination"),
        };
        let problem = format!(
            "the registry has no cell \"{cell}\": every request with a cell-bound authorization \
             would be refused"
        );
        let cells = registry.cells().iter().map(|cell| cell.id.as_str());
        add(
            found,
            setting,
            problem,
            suggestion(cell.as_str(), "cells", cells),
        );
    }
}

fn insecure(i: usize, auth: &AuthPolicy, registry: &Registry, found: &mut Vec<Mismatch>) {
    let Some(tenant) = auth.unverified_identity.tenant.as_ref() else {
        return;
    };
    let denied = *registry.unknown_tenant() == UnknownTenant::Deny;
    if auth.mode == Mode::Disabled && denied && registry.tenant(tenant.as_str()).is_none() {
        let problem =
            format!("the registry has no tenant \"{tenant}\": every request would be answered 403");
        let fix = "name a tenant of the registry".to_owned();
        add(
            found,
            format!("policy[{i}].insecure_identity.tenant"),
            problem,
            fix,
        );
    }
}

/// The most issuers that the findings of one kind name. A registry may have as many unknown ones as
/// tenants.
const ISSUERS_NAMED_MAX: usize = 16;

/// Counts the issuers that no finding of their kind names.
fn more_issuers(count: usize, of: &str, found: &mut Vec<Mismatch>) {
    let more = count.saturating_sub(ISSUERS_NAMED_MAX);
    if more > 0 {
        let problem = format!(
            "{more} more issuers of {of} are not issuers or trust domains of the configuration"
        );
        let fix = "correct those named above, and check again".to_owned();
        add(found, "registry", problem, fix);
    }
}

/// Tenants without callers, because their issuer isn't configured.
fn tenants_issuers(policy: &Policy, registry: &Registry, found: &mut Vec<Mismatch>) {
    let named = registry
        .all_terms()
        .filter_map(|terms| terms.issuer.as_ref());
    let unknown: BTreeSet<&Text> = named.filter(|name| !policy.knows(name.as_str())).collect();
    if unknown.is_empty() {
        return;
    }
    let mut tenants: BTreeMap<&Text, (usize, &str)> = BTreeMap::new();
    for (id, terms) in registry.tenants_with_terms() {
        if let Some(issuer) = terms.issuer.as_ref().filter(|it| unknown.contains(it)) {
            let (count, first) = tenants.entry(issuer).or_insert((0, id));
            *count += 1;
            // The index isn't sorted.
            *first = (*first).min(id);
        }
    }
    let issuers = tenants.len();
    for (issuer, (count, first)) in tenants.into_iter().take(ISSUERS_NAMED_MAX) {
        let who = match count {
            1 => format!("tenant \"{first}\" has"),
            more => format!("{more} tenants (\"{first}\" is one) have"),
        };
        let problem = format!(
            "{who} the issuer \"{issuer}\", which is not an issuer or trust domain of the \
             configuration: every caller would be refused"
        );
        add(
            found,
            "registry",
            problem,
            instead_of(issuer.as_str(), policy),
        );
    }
    more_issuers(issuers, "tenants", found);
}

/// Revocations without effect, because their issuer isn't configured.
fn revocations_issuers(policy: &Policy, registry: &Registry, found: &mut Vec<Mismatch>) {
    let issuers = registry.revocations().issuers().into_iter();
    let unknown: Vec<_> = issuers.filter(|issuer| !policy.knows(issuer)).collect();
    for issuer in unknown.iter().take(ISSUERS_NAMED_MAX) {
        let problem = format!(
            "a revocation has the issuer \"{issuer}\", which is not an issuer or trust domain of \
             the configuration: it revokes nothing"
        );
        add(found, "registry", problem, instead_of(issuer, policy));
    }
    more_issuers(unknown.len(), "revocations", found);
}

fn instead_of(issuer: &str, policy: &Policy) -> String {
    suggestion(issuer, "issuers and trust domains", policy.speakers())
}

/// Tenants without an issuer, if the configuration leaves the choice of issuers to the registry.
fn unbound_tenants(policy: &Policy, registry: &Registry, found: &mut Vec<Mismatch>) {
    if !policy.registry_binds_issuers() {
        return;
    }
    let bound = registry.tenants_with_terms();
    let bound = bound.filter(|(_, terms)| terms.issuer.is_some()).count();
    let unbound = registry.tenant_count() - bound;
    if unbound > 0 {
        let problem = format!(
            "{unbound} tenants have no issuer, and every issuer and trust domain has tenants = \
             \"registry\": every caller would be refused"
        );
        let fix = "add `issuer` to these tenants, or list them in the configuration".to_owned();
        add(found, "registry", problem, fix);
    }
}

/// Tenants whose `allowed_roles` has no effect, because no issuer says where tokens have roles.
fn unmapped_roles(policy: &Policy, registry: &Registry, found: &mut Vec<Mismatch>) {
    let verifying = policy
        .auths()
        .iter()
        .filter(|auth| auth.mode != Mode::Disabled);
    let verifying: Vec<_> = verifying.collect();
    let maps = |id| policy.issuer(id).claims.roles.is_some();
    let accepted = |id: &IssuerId| verifying.iter().any(|auth| auth.accepts(*id));
    // `without_roles` reports it if rules ask for roles.
    let is_reported = verifying
        .iter()
        .filter_map(|auth| auth.rules.as_ref())
        .any(|rules| rules.asking_for_roles().next().is_some());
    if verifying.is_empty() || is_reported || policy.issuer_ids().filter(accepted).any(maps) {
        return;
    }
    let without = |(_, terms): &(&str, &Terms)| {
        !terms.allowed_roles.is_empty() && terms.default_role.is_none()
    };
    let tenants = registry.tenants_with_terms().filter(without);
    let tenants: Vec<_> = tenants.map(|(id, _)| id).collect();
    // The index isn't sorted.
    let Some(first) = tenants.iter().min() else {
        return;
    };
    let who = match tenants.len() {
        1 => format!("tenant \"{first}\" has"),
        more => format!("{more} tenants (\"{first}\" is one) have"),
    };
    let problem = format!(
        "{who} allowed_roles, and no issuer has claims.roles: no caller has any role, and cells get none"
    );
    let fix = "set claims.roles of the [[issuer]] to the claim that holds roles, or remove \
               allowed_roles";
    add(found, "registry", problem, fix.to_owned());
}

fn cells(registry: &Registry, found: &mut Vec<Mismatch>) {
    let mut states = registry.cells().iter().map(|cell| cell.state);
    if !states.any(CellState::takes_traffic) {
        let problem = "no cell takes traffic: none is active or draining".to_owned();
        let fix = "set the state of a cell to \"active\"".to_owned();
        add(found, "registry", problem, fix);
    }
}

#[cfg(test)]
mod tests;
