//! The configuration and the snapshot that decide requests now.

use std::collections::BTreeMap;
use std::time::Duration;

use cellway_core::policy::AuthPolicy;
use cellway_core::registry::{Cell, Placement, Registry, Target, TenantRef};
use cellway_core::{Now, Snapshot, Text};
use serde::Serialize;

use crate::settings::{ListenerSettings, RouterSettings, Serves};

/// `/debug/snapshot`.
#[derive(Debug, Serialize)]
pub(crate) struct SnapshotPage {
    /// Grows with each reload.
    pub(crate) config_epoch: u64,
    /// Grows with each published snapshot.
    pub(crate) snapshot_epoch: u64,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) policies: Vec<PolicyShown>,
    pub(crate) keys: BTreeMap<String, Keys>,
    pub(crate) registry: Option<RegistryShown>,
    /// The tenant that the page was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tenant: Option<Tenant>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Listener {
    pub(crate) name: String,
    pub(crate) bind: String,
    pub(crate) tls: bool,
    pub(crate) serves: &'static str,
    pub(crate) policy: String,
    pub(crate) traffic: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) routes: Vec<Route>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Route {
    pub(crate) path: String,
    pub(crate) policy: String,
    pub(crate) traffic: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct PolicyShown {
    pub(crate) name: String,
    pub(crate) mode: &'static str,
    /// The accepted kinds of credentials.
    pub(crate) credentials: Vec<&'static str>,
    /// Whether all of them are required.
    pub(crate) all: bool,
    pub(crate) has_rules: bool,
    pub(crate) has_cors: bool,
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
    pub(crate) version: u64,
    pub(crate) stale: bool,
    /// How long ago its source gave the last good answer. `None` if tenants' status never expires,
    /// because nothing measures it then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) age_secs: Option<u64>,
    pub(crate) tenants: usize,
    pub(crate) revocations: usize,
    pub(crate) cells: Vec<CellShown>,
    pub(crate) placements: Vec<PlacementShown>,
}

#[derive(Debug, Serialize)]
pub(crate) struct CellShown {
    pub(crate) id: String,
    pub(crate) tier: String,
    pub(crate) region: String,
    pub(crate) state: &'static str,
    pub(crate) weight: u32,
    pub(crate) endpoints: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct PlacementShown {
    pub(crate) id: String,
    pub(crate) tier: String,
    pub(crate) stateless: bool,
    pub(crate) cells: Vec<String>,
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
}

impl SnapshotPage {
    /// Shows the tenant too, if one is named. A million tenants aren't listed.
    pub(crate) fn new(
        (config_epoch, settings): (u64, &RouterSettings),
        snapshot: &Snapshot,
        now: Now,
        tenant: Option<&str>,
    ) -> Self {
        let registry = snapshot.registry.as_deref();
        Self {
            config_epoch,
            snapshot_epoch: snapshot.epoch,
            listeners: (settings.listeners.iter())
                .map(|listener| shown(listener, snapshot))
                .collect(),
            policies: snapshot.policy.auths().iter().map(policy).collect(),
            keys: keys(snapshot, now),
            registry: registry.map(|it| registry_shown(it, snapshot, now)),
            tenant: tenant.map(|id| of_tenant(id, registry)),
        }
    }
}

fn shown(listener: &ListenerSettings, snapshot: &Snapshot) -> Listener {
    let name = |policy| snapshot.policy.auth(policy).name.to_string();
    Listener {
        name: listener.name.to_string(),
        bind: listener.bind.to_string(),
        tls: listener.tls.is_some(),
        serves: match listener.serves {
            Serves::Proxy => "proxy",
            Serves::ExtAuthz(_) => "ext_authz",
        },
        policy: name(listener.policy),
        traffic: listener.traffic.name.to_string(),
        routes: (listener.routes.iter())
            .map(|route| Route {
                path: route.path.as_str().to_owned(),
                policy: name(route.policy),
                traffic: route.traffic.name.to_string(),
            })
            .collect(),
    }
}

fn policy(auth: &AuthPolicy) -> PolicyShown {
    let kinds = [
        (auth.jwt, "jwt"),
        (auth.mtls, "mtls"),
        (auth.routing_key, "routing_key"),
    ];
    PolicyShown {
        name: auth.name.to_string(),
        mode: auth.mode.as_str(),
        credentials: (kinds.into_iter())
            .filter_map(|(accepted, kind)| accepted.then_some(kind))
            .collect(),
        all: auth.all,
        has_rules: auth.rules.is_some(),
        has_cors: auth.cors.is_some(),
    }
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
        version: registry.version(),
        stale: snapshot.registry_stale,
        age_secs: age(snapshot, now).map(|age| age.as_secs()),
        tenants: registry.tenant_count(),
        revocations: registry.revocations().len(),
        cells: registry
            .cells()
            .iter()
            .map(|cell| cell_shown(cell))
            .collect(),
        placements: registry.placements().iter().map(placement).collect(),
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
        weight: cell.weight,
        endpoints: (cell.endpoints.iter())
            .map(|endpoint| endpoint.url.as_str().to_owned())
            .collect(),
    }
}

fn placement(placement: &Placement) -> PlacementShown {
    PlacementShown {
        id: placement.id.to_string(),
        tier: placement.tier.to_string(),
        stateless: placement.stateless,
        cells: placement.cells().map(|cell| cell.id.to_string()).collect(),
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
    }
}
