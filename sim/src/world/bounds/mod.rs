//! The facts about a scenario that invariants need before it runs.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "each bound depends on the few kinds of faults that it names"
)]

mod checks;
mod clients;
mod endpoints;
mod keys;
mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cellway_core::rate_limit::RateLimit;
use cellway_router::STREAMS_CLOSED_WITHIN;

use super::config;
use super::documents::Documents;
use super::state::AUDIENCE;
use crate::fact::{self, Published};
use crate::invariants::{Asked, Bounds, Caller, RouterSettings, SettingsInForce, rules};
use crate::scenario::{
    Authority, Authorization, CONTROL_PLANE, Cell, Change, Client, FaultKind, Home, NewRegistry,
    Placement, Scenario, Tenant,
};

/// How the routers' own headers begin.
pub(super) const HEADER_PREFIX: &str = "x-cellway-";

/// How much longer than its client waits a request may be open before it was forgotten.
const ANSWER_SLACK: Duration = Duration::from_secs(5);

/// How long a client takes to get a message, apart from the network.
const DELIVERY_SLACK: Duration = Duration::from_millis(500);

/// How many HTTP/2 connections to an endpoint a router opens.
const STREAM_CONNECTIONS_MAX: usize = 4;

/// How long a fetch of keys or of a registry takes if no fault is in the way.
const FETCH_SLACK: Duration = Duration::from_secs(2);

/// What the invariants need to know about a scenario.
pub(crate) fn of(scenario: &Scenario) -> Bounds {
    let timeout = scenario.clients.iter().map(|client| client.timeout).max();
    let settings = settings::of(scenario);
    let room_for_quiet = settings.all().all(|it| room_for_quiet(scenario, it));
    let websockets_end_with_token = settings.all().all(|it| it.upgrades_end_with_token);
    Bounds {
        header_prefix: HEADER_PREFIX.to_owned(),
        calm_from: scenario.calm_from(),
        recovery: scenario.expect.recovery,
        answer_within: timeout.unwrap_or_default() + ANSWER_SLACK,
        routable: routable(scenario),
        errors: scenario.expect.errors.clone(),
        withdrawn: keys::withdrawn(scenario, &settings),
        streams_within: STREAMS_CLOSED_WITHIN,
        websockets_end_with_token,
        delivery_max: delivery_max(scenario),
        transit_max: transit_max(scenario),
        issuer_tenants: issuer_tenants(scenario),
        key_outages: keys::key_outages(scenario, &settings),
        audience: AUDIENCE.to_owned(),
        room_for_quiet,
        registry_troubles: registry_troubles(scenario),
        replaced_envelope_keys: keys::replaced_envelope_keys(scenario, &settings),
        published_envelope_keys: keys::published_envelope_keys(scenario, &settings),
        known_keys: keys::known_keys(scenario, &settings),
        key_troubles: keys::troubles(scenario, &settings),
        reloads_stuck: reloads_stuck(scenario),
        short_requests: clients::short_requests(scenario),
        tenant_rates: tenant_rates(scenario),
        placement_rates: placement_rates(scenario),
        tenant_requests: tenant_requests(scenario),
        placement_requests: placement_requests(scenario),
        endpoints: endpoints::of(scenario, &settings),
        check_troubles: checks::troubles(scenario),
        envelopes: scenario.seals_envelopes(),
        few_streams: few_streams(scenario),
        cut_off: clients::cut_off(scenario),
        troubles: troubles(scenario, &settings),
        asks_to_wait: asks_to_wait(scenario),
        unfinished: clients::unfinished(scenario),
        stopping: clients::stopping(scenario),
        settings,
    }
}

/// Whether a place stays free even if all tenants but one flood a cell, or their placement, one after
/// another, with a tenant's share.
fn room_for_quiet(scenario: &Scenario, settings: &RouterSettings) -> bool {
    let share = settings.limits.tenant_share;
    let few_streams = scenario.faults.iter().all(|it| match &it.kind {
        FaultKind::FewStreams(cell, streams) => {
            // A request that may not wait finds only the streams of the first connection.
            let connections = match settings.queue.room {
                0 => 1,
                _ => STREAM_CONNECTIONS_MAX,
            };
            let tenants = tenants_at(scenario, cell);
            leaves_room(*streams as usize * connections, share, tenants)
        }
        _ => true,
    });
    let mut placements = placements(scenario);
    let placements = placements.all(|it| {
        let part = |most: u32| (most / settings.rates.shared_by.max(1)).max(1) as usize;
        let tenants = tenants_of(scenario, it);
        (it.requests_max).is_none_or(|most| leaves_room(part(most), share, tenants))
    });
    few_streams
        && placements
        && leaves_room(settings.limits.places, share, tenants(scenario).count())
}

/// The registries that replace the first one.
fn registries(scenario: &Scenario) -> impl Iterator<Item = &NewRegistry> {
    scenario.faults.iter().filter_map(|it| match &it.kind {
        FaultKind::Publish(Change::Registry(registry)) => Some(&**registry),
        _ => None,
    })
}

/// The tenants of all registries. One that is in several of them comes several times.
fn tenants(scenario: &Scenario) -> impl Iterator<Item = &Tenant> {
    let later = registries(scenario).flat_map(|it| &it.tenants);
    scenario.tenants.iter().chain(later)
}

/// The placements of all registries.
fn placements(scenario: &Scenario) -> impl Iterator<Item = &Placement> {
    let later = registries(scenario).flat_map(|it| &it.placements);
    scenario.placements.iter().chain(later)
}

/// How many tenants this placement has, in all registries together.
fn tenants_of(scenario: &Scenario, placement: &Placement) -> usize {
    let tenants = tenants(scenario);
    let at_home = |it: &&Tenant| it.home == Home::Placement(placement.id.clone());
    tenants.filter(at_home).count()
}

/// Whether all these tenants but one leave a place free, although each takes all that it may.
fn leaves_room(places: usize, share: usize, tenants: usize) -> bool {
    let taken = 100_usize.saturating_sub(share);
    let mut free = places;
    for _ in 1..tenants {
        let mut held = 0;
        while free > 0 && held * places * taken * taken < share * 100 * free * free {
            (held, free) = (held + 1, free - 1);
        }
    }
    free > 0
}

/// How many tenants may send requests to this cell, or to the cell of this host.
fn tenants_at(scenario: &Scenario, target: &str) -> usize {
    let moves = scenario.faults.iter();
    let moves = moves.filter(|it| matches!(it.kind, FaultKind::Publish(Change::Move(..))));
    let replaced = registries(scenario).next().is_some();
    if !scenario.placements.is_empty() || moves.count() > 0 || replaced {
        return tenants(scenario).count();
    }
    let mut cells = scenario.cells.iter();
    let cell = cells.find(|cell| cell.id == target || cell.hosts().any(|host| host == target));
    let tenants = scenario.tenants.iter();
    let at_home = |it: &&Tenant| match (&it.home, cell) {
        (Home::Cell(home), Some(cell)) => *home == cell.id,
        (Home::Cell(_) | Home::Placement(_), _) => true,
    };
    tenants.filter(at_home).count()
}

/// The rate limits that the registry sets for tenants.
fn tenant_rates(scenario: &Scenario) -> BTreeMap<String, RateLimit> {
    let limit = |tenant: &Tenant| Some((tenant.id.clone(), RateLimit::new(tenant.rate?).ok()?));
    tenants(scenario).filter_map(limit).collect()
}

/// The rate limits that the registry sets for placements.
fn placement_rates(scenario: &Scenario) -> BTreeMap<String, RateLimit> {
    let limit = |it: &Placement| Some((it.id.clone(), RateLimit::new(it.rate?).ok()?));
    placements(scenario).filter_map(limit).collect()
}

/// How many requests in flight the registry allows to tenants.
fn tenant_requests(scenario: &Scenario) -> BTreeMap<String, u32> {
    let limit = |tenant: &Tenant| Some((tenant.id.clone(), tenant.requests_max?));
    tenants(scenario).filter_map(limit).collect()
}

/// How many requests in flight the registry allows to all tenants of a placement.
fn placement_requests(scenario: &Scenario) -> BTreeMap<String, u32> {
    let limit = |placement: &Placement| Some((placement.id.clone(), placement.requests_max?));
    placements(scenario).filter_map(limit).collect()
}

/// How long a message from a router to a client may take, faults included.
fn delivery_max(scenario: &Scenario) -> Duration {
    let is_client = |name: &String| {
        let mut clients = scenario.clients.iter();
        clients.any(|client| client.name == *name || client.entry == *name)
    };
    let holds = |kind: &FaultKind| match kind {
        FaultKind::Partition([a, b])
        | FaultKind::OneWayPartition([a, b])
        | FaultKind::Stalls([a, b], _)
        | FaultKind::Latency([a, b], _) => is_client(a) || is_client(b),
        _ => false,
    };
    let faults = scenario.faults.iter().filter(|fault| holds(&fault.kind));
    let longest = faults.map(|fault| fault.until - fault.at).max();
    longest.unwrap_or_default() + scenario.latency[1] * 2 + DELIVERY_SLACK
}

/// How long a request may be on its way from its router to its cell if no fault holds it up. A new
/// connection takes a few messages more, and a cell reads at its next steps.
fn transit_max(scenario: &Scenario) -> Duration {
    let stalls = scenario
        .faults
        .iter()
        .filter_map(|fault| match &fault.kind {
            FaultKind::Stalls(_, later) => Some(*later),
            _ => None,
        });
    scenario.latency[1] * 8 + scenario.tick * 8 + stalls.max().unwrap_or_default()
}

/// When a fault may keep a router, or all routers, from the control plane.
fn registry_troubles(scenario: &Scenario) -> Vec<(Option<String>, Duration, Duration)> {
    let faults = scenario.faults.iter();
    let troubles = faults.filter_map(|fault| {
        let whose = match &fault.kind {
            FaultKind::Crash(name)
            | FaultKind::Drain(name)
            | FaultKind::Slow(name, _)
            | FaultKind::SlowDns(name, _)
            | FaultKind::NoDns(name)
            | FaultKind::SlowDisk(name, _)
            | FaultKind::LaggingReplica(name)
            | FaultKind::Status(name, _)
            | FaultKind::Garbage(name)
            | FaultKind::ClockSkew(name, _)
            | FaultKind::ClockDrift(name, _)
            | FaultKind::BreakConfiguration(name)
            | FaultKind::BreakCertificate(name) => name,
            FaultKind::Partition([a, b])
            | FaultKind::OneWayPartition([a, b])
            | FaultKind::Stalls([a, b], _)
            | FaultKind::Latency([a, b], _)
                if a == CONTROL_PLANE =>
            {
                b
            }
            FaultKind::Partition([a, b])
            | FaultKind::OneWayPartition([a, b])
            | FaultKind::Stalls([a, b], _)
            | FaultKind::Latency([a, b], _)
                if b == CONTROL_PLANE =>
            {
                a
            }
            FaultKind::TrustNext(Authority::Servers)
            | FaultKind::IssueFromNext(Authority::Servers)
            | FaultKind::DropOld(Authority::Servers) => CONTROL_PLANE,
            _ => return None,
        };
        let router = scenario.routers.iter().find(|router| *router == whose);
        let concerns = router.is_some() || whose == CONTROL_PLANE;
        concerns.then(|| (router.cloned(), fault.at, fault.until))
    });
    troubles.collect()
}

/// Routers that can't reload between these times, because a file is broken or they don't run.
fn reloads_stuck(scenario: &Scenario) -> Vec<(String, Duration, Duration)> {
    let faults = scenario.faults.iter();
    let stuck = faults.filter_map(|fault| match &fault.kind {
        FaultKind::BreakCertificate(name)
        | FaultKind::BreakConfiguration(name)
        | FaultKind::SlowDisk(name, _)
        | FaultKind::Crash(name)
        | FaultKind::Drain(name) => Some((name.clone(), fault.at, fault.until)),
        _ => None,
    });
    stuck.collect()
}

/// When faults other than drains may make a request fail, with the time to recover. A router that
/// can't read its files, or reads new ones, serves as before.
fn troubles(scenario: &Scenario, settings: &SettingsInForce) -> Vec<(Duration, Duration)> {
    let harmless = |kind: &FaultKind| match kind {
        FaultKind::Drain(_) | FaultKind::BreakConfiguration(_) | FaultKind::BreakCertificate(_) => {
            true
        }
        FaultKind::RotateCertificate(host) => scenario.routers.contains(host),
        FaultKind::FewStreams(..) | FaultKind::AnswerEarly(_) | FaultKind::AnswerUnread(_) => true,
        FaultKind::EarlyHints(_, hints) => *hints <= endpoints::INTERIM_ANSWERS_TAKEN,
        _ => false,
    };
    let faults = scenario.faults.iter().filter(|it| !harmless(&it.kind));
    let recovery = scenario.expect.recovery;
    let after = |kind: &FaultKind| match kind {
        FaultKind::HalfOpen(_) => recovery.max(endpoints::silent_for(settings)),
        _ => recovery,
    };
    faults
        .map(|it| (it.at, it.until + after(&it.kind)))
        .collect()
}

/// The cells that allow few streams on a connection at times.
fn few_streams(scenario: &Scenario) -> BTreeSet<String> {
    let targets = scenario.faults.iter().filter_map(|it| match &it.kind {
        FaultKind::FewStreams(target, _) => Some(target),
        _ => None,
    });
    let cells = || scenario.cells.iter();
    let cell = |target: &String| {
        let named = |cell: &&Cell| cell.id == *target || cell.hosts().any(|host| host == *target);
        Some(cells().find(named)?.id.clone())
    };
    targets.filter_map(cell).collect()
}

/// When each endpoint answers that its client should come back later, and nothing else.
fn asks_to_wait(scenario: &Scenario) -> Vec<(String, Duration, Duration)> {
    let faults = scenario.faults.iter();
    let asks = faults.flat_map(|fault| {
        let hosts = match &fault.kind {
            FaultKind::Unavailable(name, _) => scenario.hosts_of(name),
            _ => Vec::new(),
        };
        hosts.into_iter().map(|host| (host, fault.at, fault.until))
    });
    asks.collect()
}

/// Pairs of an issuer and a tenant that it may speak for, at some time.
fn issuer_tenants(scenario: &Scenario) -> BTreeSet<(String, String)> {
    let later = registries(scenario).flat_map(|it| speaking(scenario, &it.tenants));
    let first = speaking(scenario, &scenario.tenants);
    first.into_iter().chain(later).collect()
}

/// The same with these tenants in the registry.
fn speaking(scenario: &Scenario, tenants: &[Tenant]) -> BTreeSet<(String, String)> {
    let mut pairs = BTreeSet::new();
    for issuer in &scenario.issuers {
        // Clients may also act for tenants that the registry doesn't list.
        let clients = scenario.clients.iter();
        let unlisted = clients.map(|client| (&client.tenant, None));
        let tenants = tenants.iter();
        let tenants = tenants.map(|tenant| (&tenant.id, tenant.issuer.as_ref()));
        let listed: BTreeSet<_> = tenants.clone().map(|(id, _)| id).collect();
        let unlisted = unlisted.filter(|(id, _)| !listed.contains(id));
        for (tenant, named) in tenants.chain(unlisted) {
            let speaks = issuer.tenants.as_ref();
            let speaks = speaks.is_none_or(|tenants| tenants.contains(tenant));
            if speaks && named.is_none_or(|name| *name == issuer.name) {
                pairs.insert((issuer.name.clone(), tenant.clone()));
            }
        }
    }
    pairs
}

/// The clients that must be served after the last fault, according to the last good document.
fn routable(scenario: &Scenario) -> Vec<String> {
    let said = Documents::at_end(scenario);
    let through_stranger = |client: &Client| {
        let mut strangers = scenario.balancers.iter().filter(|it| !it.listed);
        strangers.any(|it| Some(&it.name) == client.through.as_ref())
    };
    let served = |client: &&Client| {
        client.credential.is_good()
            && client.can_prove()
            && placed(&said, client)
            && permitted(scenario, &said, client)
            && taken(scenario, client)
            && client
                .cell_bound
                .as_ref()
                .is_none_or(|bound| bound.shows == Authorization::Good)
            && !scenario.expect.refused_at_end.contains(&client.name)
            && !client.spoofs
            && !client.stops_reading
            && !client.breaks_off
            && !through_stranger(client)
    };
    let clients = scenario.clients.iter().filter(served);
    clients
        .filter(|client| may_speak(scenario, client))
        .map(|client| client.name.clone())
        .collect()
}

/// Whether there is a cell for the client's tenant and its token's tier.
fn placed(said: &Published, client: &Client) -> bool {
    let tier = client.claims.tier.as_deref();
    let tier = tier.filter(|_| client.credential.has_token());
    let cells = said.cells_of(&client.tenant, tier).unwrap_or_default();
    let fits = |cell: &String| {
        let cell = said.cells.get(cell);
        tier.is_none_or(|tier| cell.is_some_and(|cell| cell.tier == tier))
    };
    !cells.is_empty() && cells.iter().all(fits)
}

/// Whether its routers' final rules allow all of the client's requests.
fn permitted(scenario: &Scenario, said: &Published, client: &Client) -> bool {
    let claims = client.credential.has_token().then_some(&client.claims);
    let none = fact::RoleSettings::default();
    let role_settings = said.role_settings.get(&client.tenant).unwrap_or(&none);
    let roles = claims.and_then(|claims| claims.roles.as_ref());
    let roles = roles.map(|roles| roles.iter().cloned().collect());
    let scopes = claims.map(|claims| claims.scopes.iter().cloned().collect());
    let caller = Caller {
        verified: true,
        roles: rules::granted(roles.as_ref(), role_settings),
        scopes: scopes.unwrap_or_default(),
    };
    let routers = scenario.routers.iter();
    routers
        .map(|router| at_end(scenario, router))
        .all(|settings| {
            let Some(list) = config::rules(&settings) else {
                return true;
            };
            // Calls are all POST.
            let methods = if client.grpc {
                &["POST"][..]
            } else {
                &["GET", "POST"]
            };
            methods.iter().all(|method| {
                let asked = Asked {
                    method,
                    path: &client.path,
                    grpc: client.grpc,
                };
                rules::permit(&list, &asked, &caller)
            })
        })
}

/// A router's configuration after all faults.
fn at_end(scenario: &Scenario, router: &str) -> toml::Table {
    let mut settings = scenario.router_settings.clone();
    for fault in &scenario.faults {
        config::change(&mut settings, router, &fault.kind);
    }
    settings
}

/// Whether the client's issuer may speak for its tenant.
fn may_speak(scenario: &Scenario, client: &Client) -> bool {
    let pair = (client.issuer.clone(), client.tenant.clone());
    let last = registries(scenario).last();
    let tenants = last.map_or(&scenario.tenants, |it| &it.tenants);
    !client.credential.has_token() || speaking(scenario, tenants).contains(&pair)
}

/// Whether its routers' final policy takes the client's credentials.
fn taken(scenario: &Scenario, client: &Client) -> bool {
    let names = |settings: &toml::Table, list: &str| -> Option<Vec<String>> {
        let list = settings.get("policy")?.get(list)?.as_array()?;
        let texts = list.iter().filter_map(toml::Value::as_str);
        Some(texts.map(str::to_owned).collect())
    };
    let shows = |name: &String| match name.as_str() {
        "jwt" => client.credential.has_token(),
        "mtls" => client.credential.is_certified(),
        _ => false,
    };
    scenario.routers.iter().all(|router| {
        let settings = at_end(scenario, router);
        let any = names(&settings, "any_of").filter(|_| !config::takes_routing_keys(&settings));
        let all = names(&settings, "all_of");
        any.is_none_or(|any| any.iter().any(shows)) && all.is_none_or(|all| all.iter().all(shows))
    })
}
