//! Classes of tenants: all tenants of a class have the same decisions, before the change and after it.

use std::collections::{BTreeMap, BTreeSet};

use cellway_core::health::Health;
use cellway_core::placement::{PlaceQuery, place};
use cellway_core::policy::{Issuer, Policy};
use cellway_core::registry::{Registry, Target, TenantRef, TenantStatus};
use cellway_core::routing_key::{GatewaySpec, KeySpeaksSpec};
use cellway_core::{Identity, Mono, Now, Proof, Text, Unix};
use serde::Serialize;

use super::folder::{Side, list};

/// The time at which everything is decided: 2026-01-01T00:00:00Z, as in `cellway decide`.
const NOW: Now = Now {
    mono: Mono::from_origin(std::time::Duration::ZERO),
    unix: Unix::from_secs(1_767_225_600),
};

/// Tenants that nothing distinguishes but their ids.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Class {
    /// What they have in common, in words.
    pub name: String,
    /// How many there are.
    pub tenants: usize,
    /// The first of them, which stands for all.
    pub example: String,
    /// How they are before the change; `None` if the registry doesn't list them.
    #[serde(skip)]
    pub old: Option<Profile>,
    /// How they are after it.
    #[serde(skip)]
    pub new: Option<Profile>,
}

impl Class {
    /// Whether the change of the registry touches them.
    pub fn is_changed(&self) -> bool {
        self.old != self.new
    }
}

/// Everything about a tenant that a decision depends on.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Profile {
    /// The tier of its cell or placement.
    pub tier: String,
    /// Its placement, if it has no cell of its own.
    pub placement: Option<String>,
    /// The cell that serves it, if one does.
    pub cell: Option<String>,
    /// Whether it is suspended.
    pub suspended: bool,
    /// The only issuer that may speak for it.
    pub issuer: Option<String>,
    /// The roles that its callers may have.
    pub allowed_roles: Vec<String>,
    /// The role of callers without roles.
    pub default_role: Option<String>,
    /// Its limits, as the registry writes them; empty if there are none.
    pub limits: String,
    /// Whether each issuer, trust domain, gateway and signer may speak for it.
    speaks: Vec<bool>,
    /// Whether all of its credentials are revoked.
    revoked: bool,
}

impl Profile {
    /// `premium at gold`, with what is special about it.
    fn describe(&self) -> String {
        let cell = self.cell.as_deref().unwrap_or("no cell");
        let mut text = match &self.placement {
            Some(placement) => format!("{} in {placement} ({cell})", self.tier),
            None => format!("{} at {cell}", self.tier),
        };
        let mut add = |more: String| text = format!("{text}, {more}");
        if self.suspended {
            add("suspended".to_owned());
        }
        if self.revoked {
            add("revoked".to_owned());
        }
        if let Some(issuer) = &self.issuer {
            add(format!("issuer {issuer}"));
        }
        if !self.allowed_roles.is_empty() {
            add(format!("roles {}", self.allowed_roles.join("+")));
        }
        if let Some(role) = &self.default_role {
            add(format!("default role {role}"));
        }
        if !self.limits.is_empty() {
            add(format!("limits {}", self.limits));
        }
        text
    }
}

/// The classes of all tenants of both sides, the largest first.
pub(super) fn classes(old: &Side, new: &Side) -> Vec<Class> {
    let revoked = [revoked_tenants(old), revoked_tenants(new)];
    let mut members: BTreeMap<_, Vec<&String>> = BTreeMap::new();
    for id in old.tenants.union(&new.tenants) {
        let pair = (profile(old, id, &revoked[0]), profile(new, id, &revoked[1]));
        members.entry(pair).or_default().push(id);
    }
    let mut classes: Vec<_> = members
        .into_iter()
        .filter_map(|((old, new), ids)| {
            Some(Class {
                name: name(old.as_ref(), new.as_ref()),
                tenants: ids.len(),
                example: (*ids.first()?).clone(),
                old,
                new,
            })
        })
        .collect();
    classes.sort_by(|a, b| b.tenants.cmp(&a.tenants).then_with(|| a.name.cmp(&b.name)));
    distinguish(&mut classes);
    classes
}

fn name(old: Option<&Profile>, new: Option<&Profile>) -> String {
    match (old, new) {
        (Some(old), _) => old.describe(),
        (None, Some(new)) => format!("new: {}", new.describe()),
        (None, None) => "not listed".to_owned(),
    }
}

/// Names of classes are different: those that would be equal also say what becomes of them and, if they are
/// still equal, name their first tenant.
fn distinguish(classes: &mut [Class]) {
    let becomes = |class: &Class| match &class.new {
        Some(new) => format!("{}, then {}", class.name, new.describe()),
        None => format!("{}, then not listed", class.name),
    };
    rename_equal(classes, becomes);
    rename_equal(classes, |class| {
        format!("{}, like {}", class.name, class.example)
    });
}

fn rename_equal(classes: &mut [Class], rename: impl Fn(&Class) -> String) {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for class in classes.iter() {
        *counts.entry(class.name.clone()).or_default() += 1;
    }
    for class in classes {
        if class.is_changed() && counts.get(&class.name).is_some_and(|count| *count > 1) {
            class.name = rename(class);
        }
    }
}

fn profile(side: &Side, id: &str, revoked: &BTreeSet<String>) -> Option<Profile> {
    let tenant = side.registry.tenant(id)?;
    let terms = tenant.terms;
    let (tier, placement) = match tenant.target {
        Target::Cell(cell) => (cell.tier.to_string(), None),
        Target::Placement(placement) => {
            (placement.tier.to_string(), Some(placement.id.to_string()))
        }
    };
    let issuer = terms.issuer.as_ref().map(Text::to_string);
    Some(Profile {
        tier,
        placement,
        cell: cell_of(&side.registry, tenant),
        suspended: tenant.status == TenantStatus::Suspended,
        allowed_roles: terms.allowed_roles.iter().map(Text::to_string).collect(),
        default_role: terms.default_role.as_ref().map(Text::to_string),
        limits: side.limits.get(id).cloned().unwrap_or_default(),
        speaks: speakers(&side.settings.policy, id, issuer.as_deref()),
        revoked: revoked.contains(id),
        issuer,
    })
}

/// The cell that the router's own placement chooses.
fn cell_of(registry: &Registry, tenant: TenantRef<'_>) -> Option<String> {
    let identity = Identity {
        tenant: Text::new(tenant.id).ok(),
        ..Identity::default()
    };
    let query = PlaceQuery {
        identity: &identity,
        tenant: Some(tenant),
        anonymous_placement: None,
        cell_bound: false,
        spread: 0,
        now: NOW,
    };
    let placed = place(registry, &Health::default(), query).ok()?;
    Some(placed.cell.id.to_string())
}

/// Whether the tokens of this issuer may name this tenant.
pub(super) fn may_speak(
    policy: &Policy,
    issuer: &Issuer,
    tenant: &str,
    bound_to: Option<&str>,
) -> bool {
    let identity = Identity {
        tenant: Text::new(tenant).ok(),
        proof: Proof {
            jwt: Some(issuer.name.clone()),
            ..Proof::default()
        },
        ..Identity::default()
    };
    policy.may_speak(&identity, bound_to)
}

/// Whether each of those who may vouch for tenants may do so for this one.
fn speakers(policy: &Policy, id: &str, bound_to: Option<&str>) -> Vec<bool> {
    let proved = |proof: Proof| {
        let identity = Identity {
            tenant: Text::new(id).ok(),
            proof,
            ..Identity::default()
        };
        policy.may_speak(&identity, bound_to)
    };
    let by_token = policy.issuers.iter();
    let by_token = by_token.map(|issuer| may_speak(policy, issuer, id, bound_to));
    let domains = trust_domains(policy);
    let by_certificate = domains.iter().map(|domain| {
        proved(Proof {
            mtls: true,
            trust_domain: Text::new(domain).ok(),
            ..Proof::default()
        })
    });
    let keys = &policy.specs().routing_key;
    let listed = |tenants: &KeySpeaksSpec| match tenants {
        KeySpeaksSpec::Listed(tenants) => tenants.iter().any(|tenant| tenant == id),
        KeySpeaksSpec::Word(_) => true,
    };
    let by_gateway = keys.gateways.iter().map(|gateway| match gateway {
        GatewaySpec::San(_) => true,
        GatewaySpec::Bound(bound) => listed(&bound.tenants),
    });
    let by_key = keys.signer.iter();
    let by_key = by_key.map(|signer| signer.tenants.as_ref().is_none_or(listed));
    let all = by_token.chain(by_certificate);
    all.chain(by_gateway).chain(by_key).collect()
}

/// The trust domains whose certificates are accepted.
pub(super) fn trust_domains(policy: &Policy) -> Vec<String> {
    use cellway_core::policy::TrustDomainSpec::{Bound, Name};
    let trust = policy.specs().trust.as_ref();
    let domains = trust.map_or(&[][..], |trust| &trust.trust_domains);
    let name = |domain: &cellway_core::policy::TrustDomainSpec| match domain {
        Name(name) => name.clone(),
        Bound(bound) => bound.name.clone(),
    };
    domains.iter().map(name).collect()
}

/// The tenants of which every credential is revoked.
fn revoked_tenants(side: &Side) -> BTreeSet<String> {
    let whole = list(&side.document, "revocations").iter().filter(|entry| {
        let fields = entry.as_object();
        fields.is_some_and(|fields| fields.len() == 1 && fields.contains_key("tenant"))
    });
    whole
        .filter_map(|entry| Some(entry.get("tenant")?.as_str()?.to_owned()))
        .collect()
}
