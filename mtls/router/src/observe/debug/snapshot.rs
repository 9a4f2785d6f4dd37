//! The configuration and the snapshot that decide requests now.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use cellway_core::rate_limit::RateLimit;
use cellway_core::registry::{Cell, CellDrain, Placement, Registry, Target, TenantRef};
use cellway_core::{Now, Snapshot, Text};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::settings;
use crate::observe::refusals::Refused;
use crate::settings::RouterSettings;

/// The part of the page that is small however large the registry is.
#[derive(Debug)]
pub(crate) struct Facts {
    /// Grows with each reload.
    pub(crate) config_epoch: u64,
    pub(crate) refused: Refused,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) keys: BTreeMap<String, Keys>,
    pub(crate) registry: Option<RegistryFacts>,
}

/// `/debug/snapshot`.
#[derive(Debug, Serialize)]
pub(crate) struct SnapshotPage {
    /// Grows with each reload.
    pub(crate) config_epoch: u64,
    /// Grows with each published snapshot.
    pub(crate) snapshot_epoch: u64,
    /// Newer settings and documents, which were refused. Absent if there are none.
    #[serde(skip_serializing_if = "Refused::is_empty")]
    pub(crate) refused: Refused,
    /// As the configuration file writes them.
    pub(crate) settings: Value,
    pub(crate) keys: BTreeMap<String, Keys>,
    pub(crate) registry: Option<RegistryShown>,
    /// The tenant that the page was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tenant: Option<Tenant>,
}

#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) name: String,
    pub(crate) bind: String,
    pub(crate) tls: bool,
    pub(crate) serves: &'static str,
    pub(crate) policy: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Keys {
    pub(crate) state: &'static str,
    /// Grows when the content of the set changes.
    pub(crate) generation: u64,
    pub(crate) kids: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct RegistryShown {
    #[serde(flatten)]
    pub(crate) facts: RegistryFacts,
    pub(crate) cells: Vec<CellShown>,
    pub(crate) placements: Vec<PlacementShown>,
}

#[derive(Debug, Serialize)]
pub(crate) struct RegistryFacts {
    pub(crate) version: u64,
    pub(crate) stale: bool,
    /// How long ago its source gave the last good answer. `None` if tenants' status never expires,
    /// because nothing measures it then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) age_secs: Option<u64>,
    pub(crate) tenants: usize,
    pub(crate) revocations: usize,
}

#[derive(Debug, Serialize)]
pub(crate) struct CellShown {
    pub(crate) id: String,
    pub(crate) tier: String,
    pub(crate) region: String,
    pub(crate) state: &'static str,
    /// How a draining cell gives its share away, as in the registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) drain: Option<Value>,
    pub(crate) weight: u32,
    pub(crate) endpoints: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct PlacementShown {
    pub(crate) id: String,
    pub(crate) tier: String,
    pub(crate) stateless: bool,
    pub(crate) cells: Vec<String>,
    pub(crate) failover: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fallback: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limits: Option<Value>,
}

/// What the registry says about one tenant.
#[derive(Debug, Serialize)]
pub(crate) struct Tenant {
    pub(crate) id: String,
    /// Whether the registry lists it. If not, `unknown_tenant` decides.
    pub(crate) listed: bool,
    #[serde(flatten)]
    pub(crate) of: Option<TenantShown>,
}

#[derive(Debug, Serialize)]
pub(crate) struct TenantShown {
    pub(crate) status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cell: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) placement: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) issuer: Option<String>,
    pub(crate) allowed_roles: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) default_role: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limits: Option<Value>,
}

impl Facts {
    pub(crate) fn new(
        (config_epoch, settings): (u64, &RouterSettings),
        snapshot: &Snapshot,
        refused: Refused,
        now: Now,
    ) -> Self {
        let registry = snapshot.registry.as_deref();
        Self {
            config_epoch,
            refused,
            listeners: listeners(settings, snapshot),
            keys: keys(snapshot, now),
            registry: registry.map(|it| registry_facts(it, snapshot, now)),
        }
    }
}

impl SnapshotPage {
    /// Shows the tenant too, if one is named. A million tenants aren't listed.
    pub(crate) fn new(
        (config_epoch, settings): (u64, &RouterSettings),
        snapshot: &Snapshot,
        refused: Refused,
        now: Now,
        tenant: Option<&str>,
    ) -> Self {
        let registry = snapshot.registry.as_deref();
        Self {
            config_epoch,
            snapshot_epoch: snapshot.epoch,
            refused,
            settings: settings::in_force(settings, &snapshot.policy),
            keys: keys(snapshot, now),
            registry: registry.map(|it| registry_shown(it, snapshot, now)),
            tenant: tenant.map(|id| of_tenant(id, registry)),
        }
    }
}

fn listeners(settings: &RouterSettings, snapshot: &Snapshot) -> Vec<Listener> {
    let all = settings.listeners.iter();
    let shown = all.map(|listener| Listener {
        name: listener.name.to_string(),
        bind: listener.bind.to_string(),
        tls: listener.tls.is_some(),
        serves: settings::serves(listener),
        policy: snapshot.policy.auth(listener.policy).name.to_string(),
    });
    shown.collect()
}

fn keys(snapshot: &Snapshot, now: Now) -> BTreeMap<String, Keys> {
    let ids = snapshot.policy.issuer_ids();
    let issuers = ids.zip(&snapshot.policy.issuers);
    let shown = issuers.filter_map(|(id, issuer)| {
        let keys = snapshot.keys.issuer(id)?;
        let set = keys.set.as_ref();
        let kids = set.map(|set| set.kids().into_iter().map(str::to_owned).collect());
        Some((
            issuer.name.to_string(),
            Keys {
                state: keys.state(now.mono).as_str(),
                generation: keys.generation,
                kids: kids.unwrap_or_default(),
            },
        ))
    });
    shown.collect()
}

fn registry_shown(registry: &Registry, snapshot: &Snapshot, now: Now) -> RegistryShown {
    RegistryShown {
        facts: registry_facts(registry, snapshot, now),
        cells: registry
            .cells()
            .iter()
            .map(|cell| cell_shown(cell))
            .collect(),
        placements: registry.placements().iter().map(placement).collect(),
    }
}

fn registry_facts(registry: &Registry, snapshot: &Snapshot, now: Now) -> RegistryFacts {
    RegistryFacts {
        version: registry.version(),
        stale: snapshot.registry_stale,
        age_secs: age(snapshot, now).map(|age| age.as_secs()),
        tenants: registry.tenant_count(),
        revocations: registry.revocations().len(),
    }
}

/// How old tenants' status is. Half of its maximum age lies between the two times of the snapshot.
fn age(snapshot: &Snapshot, now: Now) -> Option<Duration> {
    let (ages_at, expires_at) = (snapshot.status_ages_at?, snapshot.status_expires_at?);
    let half = expires_at.since(ages_at);
    Some(now.mono.after(half).since(ages_at))
}

fn cell_shown(cell: &Cell) -> CellShown {
    CellShown {
        id: cell.id.to_string(),
        tier: cell.tier.to_string(),
        region: cell.region.to_string(),
        state: cell.state.as_str(),
        drain: cell.drain.map(|drain| match drain {
            CellDrain::Percent(percent) => json!({ "percent": percent }),
            CellDrain::Between(from, until) => {
                json!({ "from": from.as_secs(), "until": until.as_secs() })
            }
        }),
        weight: cell.weight,
        endpoints: (cell.endpoints.iter())
            .map(|endpoint| endpoint.url.as_str().to_owned())
            .collect(),
    }
}

/// The limits of a tenant or a placement, as in the registry.
fn limits(rate: Option<RateLimit>, requests_max: Option<NonZeroU32>) -> Option<Value> {
    let mut limits = Map::new();
    if let Some(rate) = rate {
        limits.insert("rate".into(), json!(settings::rate(rate)));
    }
    if let Some(requests_max) = requests_max {
        limits.insert("requests_max".into(), json!(requests_max));
    }
    (!limits.is_empty()).then_some(Value::Object(limits))
}

fn placement(placement: &Placement) -> PlacementShown {
    let standby = placement.standby.as_deref();
    PlacementShown {
        id: placement.id.to_string(),
        tier: placement.tier.to_string(),
        stateless: placement.stateless,
        cells: placement.cells().map(|cell| cell.id.to_string()).collect(),
        failover: standby.is_some_and(|it| it.failover),
        fallback: standby.and_then(|it| it.fallback.as_ref().map(Text::to_string)),
        limits: limits(placement.rate, placement.requests_max),
    }
}

fn of_tenant(id: &str, registry: Option<&Registry>) -> Tenant {
    let found = registry.and_then(|registry| registry.tenant(id));
    Tenant {
        id: id.to_owned(),
        listed: found.is_some(),
        of: found.as_ref().map(tenant_shown),
    }
}

fn tenant_shown(tenant: &TenantRef<'_>) -> TenantShown {
    let (cell, placement) = match tenant.target {
        Target::Cell(cell) => (Some(cell.id.to_string()), None),
        Target::Placement(placement) => (None, Some(placement.id.to_string())),
    };
    let terms = tenant.terms;
    TenantShown {
        status: tenant.status.as_str(),
        cell,
        placement,
        issuer: terms.issuer.as_ref().map(Text::to_string),
        allowed_roles: terms.allowed_roles.iter().map(Text::to_string).collect(),
        default_role: terms.default_role.as_ref().map(Text::to_string),
        limits: limits(terms.rate, terms.requests_max),
    }
}
