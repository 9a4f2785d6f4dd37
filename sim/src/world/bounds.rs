//! The facts about a scenario that invariants need before it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cellway_router::STREAMS_CLOSED_WITHIN;

use super::config;
use super::documents::Documents;
use super::shared::AUDIENCE;

use crate::fact::{self, Published};
use crate::invariants::{
    Bounds, Caller, EndpointTrouble, Endpoints, EnvelopeBounds, KeyOutage, KnownKey, Withdrawn,
    rules,
};
use crate::scenario::{
    Authority, Authorization, CONTROL_PLANE, Client, FIRST_ENVELOPE_KEY, FIRST_KEY, FaultKind,
    Scenario,
};

/// What the routers' headers begin with.
pub(super) const HEADER_PREFIX: &str = "x-cellway-";

/// How much longer than its client waits a request may be open before it counts as forgotten.
const ANSWER_SLACK: Duration = Duration::from_secs(5);

/// How long a client takes to be told of what has arrived.
const DELIVERY_SLACK: Duration = Duration::from_millis(500);

/// How long routers wait for the header of a cell's answer unless they are told otherwise.
const HEADER_TIMEOUT_MS: u64 = 30_000;

/// How long a fetch of keys or of a registry takes where nothing is in its way.
const FETCH_SLACK: Duration = Duration::from_secs(2);

/// What the invariants need to know of a scenario. Times are those of the settings that its
/// routers start with.
pub(crate) fn of(scenario: &Scenario) -> Bounds {
    let timeout = scenario.clients.iter().map(|client| client.timeout).max();
    let max_age = seconds(scenario, &["registry", "identity_max_age_secs"], 86_400);
    let watch = seconds(scenario, &["runtime", "watch_secs"], 1);
    Bounds {
        key_cooldown: seconds(scenario, &["issuer", "keys", "cooldown_secs"], 30),
        header_prefix: HEADER_PREFIX.to_owned(),
        calm_from: scenario.calm_from(),
        recovery: scenario.expect.recovery,
        answer_within: timeout.unwrap_or_default() + ANSWER_SLACK,
        routable: routable(scenario),
        errors: scenario.expect.errors.clone(),
        withdrawn: withdrawn(scenario),
        status_max_age: max_age + FETCH_SLACK,
        streams_within: STREAMS_CLOSED_WITHIN,
        held: held(scenario),
        speakers: speakers(scenario),
        signature_times: [
            seconds(scenario, &["routing_key", "max_age_secs"], 60),
            seconds(scenario, &["routing_key", "skew_secs"], 5),
        ],
        reload_within: watch + FETCH_SLACK,
        open_wait: seconds(scenario, &["runtime", "open_wait_secs"], 30),
        key_outages: key_outages(scenario),
        drain: seconds(scenario, &["runtime", "drain_secs"], 30),
        audience: AUDIENCE.to_owned(),
        room_for_quiet: room_for_quiet(scenario),
        registry_within: registry_within(scenario),
        registry_troubles: registry_troubles(scenario),
        replaced_envelope_keys: replaced_envelope_keys(scenario),
        known_keys: known_keys(scenario),
        reloads_stuck: reloads_stuck(scenario),
        header_timeout: millis(
            scenario,
            &["upstream", "header_timeout_ms"],
            HEADER_TIMEOUT_MS,
        ),
        brief: brief(scenario),
        endpoints: endpoints(scenario),
        failover: millis(scenario, &["upstream", "failover_timeout_ms"], 10_000),
        retry_percent: setting(scenario, &["upstream", "retry_percent"], 20) as u32,
        envelope: scenario.seals_envelopes().then(|| EnvelopeBounds {
            keys_max_age: seconds(scenario, &["envelope", "jwks_max_age_secs"], 300),
        }),
    }
}

/// Whether a place in a bulkhead stays free even if all tenants but one flood it, one after
/// another, with a tenant's default share.
fn room_for_quiet(scenario: &Scenario) -> bool {
    let upstream = scenario.router_settings.get("upstream");
    let bound = |name: &str, default: usize| {
        let setting = upstream.and_then(|table| table.get(name)?.as_integer());
        setting.map_or(default, |bound| usize::try_from(bound).unwrap_or_default())
    };
    let places = bound("requests_max", 4096).min(bound("connections_max", 1024));
    let mut free = places;
    for _ in 1..scenario.tenants.len() {
        let mut held = 0;
        while free > 0 && held * places * 400 < 8000 * free * free {
            (held, free) = (held + 1, free - 1);
        }
    }
    free > 0
}

/// How long what a router sends to a client may be under way: faults hold it back.
fn held(scenario: &Scenario) -> Duration {
    let is_client = |host: &String| scenario.clients.iter().any(|client| client.name == *host);
    let holds = |kind: &FaultKind| match kind {
        FaultKind::Partition([a, b]) | FaultKind::Latency([a, b], _) => {
            is_client(a) || is_client(b)
        }
        _ => false,
    };
    let faults = scenario.faults.iter().filter(|fault| holds(&fault.kind));
    let longest = faults.map(|fault| fault.until - fault.at).max();
    longest.unwrap_or_default() + scenario.latency[1] * 2 + DELIVERY_SLACK
}

/// From when on routers must know which keys, and until when. A token that names a new key has them
/// fetch it, once the cooldown allows that and no fault is in the way.
fn known_keys(scenario: &Scenario) -> Vec<KnownKey> {
    let mut found: Vec<KnownKey> = Vec::new();
    let withdrawn = |found: &mut Vec<KnownKey>, host: &str, key: Option<&String>, at| {
        let issuer = issuer_of(host);
        let of = |known: &&mut KnownKey| {
            known.issuer == issuer
                && known.until.is_none()
                && key.is_none_or(|key| known.key == *key)
        };
        found
            .iter_mut()
            .filter(of)
            .for_each(|known| known.until = Some(at));
    };
    let cooldown = seconds(scenario, &["issuer", "keys", "cooldown_secs"], 30);
    let publish = |host: &str, key: &str, at| KnownKey {
        issuer: issuer_of(host),
        key: key.to_owned(),
        from: known_from(scenario, host, at, cooldown),
        until: None,
    };
    // Routers ask for these when they start.
    for issuer in &scenario.issuers {
        let host = issuer.host();
        found.push(KnownKey {
            from: known_from(scenario, &host, Duration::ZERO, Duration::ZERO),
            ..publish(&host, FIRST_KEY, Duration::ZERO)
        });
    }
    for fault in &scenario.faults {
        match &fault.kind {
            FaultKind::PublishKey(host, key) => found.push(publish(host, key, fault.at)),
            FaultKind::WithdrawKey(host, key) => withdrawn(&mut found, host, Some(key), fault.at),
            FaultKind::ReplaceKeys(host, key) => {
                withdrawn(&mut found, host, None, fault.at);
                found.push(publish(host, key, fault.at));
            }
            // For a while the set holds none of them, and routers may take it.
            FaultKind::WrongKeys(host, _) => {
                let known = found
                    .iter_mut()
                    .filter(|known| known.issuer == issuer_of(host));
                known.for_each(|known| {
                    known.from = known
                        .from
                        .max(known_from(scenario, host, fault.at, cooldown))
                });
            }
            _ => {}
        }
    }
    // A router that starts anew with a damaged disk knows nothing.
    let damages = |kind: &FaultKind, router: &String| match kind {
        FaultKind::DiskFull(name) | FaultKind::TornWrite(name) => name == router,
        _ => false,
    };
    for fault in &scenario.faults {
        let (FaultKind::Crash(router) | FaultKind::Drain(router)) = &fault.kind else {
            continue;
        };
        let mut faults = scenario.faults.iter();
        if faults.any(|earlier| damages(&earlier.kind, router)) {
            for known in &mut found {
                let host = format!("idp-{}", known.issuer);
                let again = known_from(scenario, &host, fault.at, cooldown);
                known.from = known.from.max(again);
            }
        }
    }
    // An outage for longer than a set may serve takes all of it away.
    for KeyOutage {
        issuer,
        from,
        until,
        ..
    } in key_outages(scenario)
    {
        let host = format!("idp-{issuer}");
        for known in found.iter_mut().filter(|known| known.issuer == issuer) {
            if known.from < until {
                known.from = known.from.max(known_from(scenario, &host, from, cooldown));
            }
        }
    }
    found
}

/// When routers must have what an issuer publishes at this time: this wait and a fetch later, not counting
/// faults that may be in the way.
fn known_from(scenario: &Scenario, host: &str, at: Duration, wait: Duration) -> Duration {
    let cooldown = seconds(scenario, &["issuer", "keys", "cooldown_secs"], 30);
    // Jitter makes the time until the next try longer, by half of it at most.
    let retry = seconds(scenario, &["issuer", "keys", "retry_max_secs"], 60) * 3 / 2;
    let touches = |kind: &FaultKind| match kind {
        FaultKind::Partition([a, b]) | FaultKind::Latency([a, b], _) => a == host || b == host,
        FaultKind::Crash(name) | FaultKind::Drain(name) | FaultKind::ClockSkew(name, _) => {
            name == host || scenario.routers.contains(name)
        }
        FaultKind::Slow(name, _)
        | FaultKind::Status(name, _)
        | FaultKind::Garbage(name)
        | FaultKind::EmptyKeys(name)
        | FaultKind::HugeKeys(name)
        | FaultKind::WrongIssuer(name)
        | FaultKind::WrongKeys(name, _) => name == host,
        _ => false,
    };
    let mut from = at + wait + FETCH_SLACK;
    let in_the_way = || scenario.faults.iter().filter(|fault| touches(&fault.kind));
    while let Some(end) = in_the_way()
        .filter(|fault| fault.at < from && fault.until > at)
        .map(|fault| fault.until + cooldown.max(retry) + FETCH_SLACK)
        .find(|end| *end > from)
    {
        from = end;
    }
    from
}

/// How soon a router follows the control plane where nothing is in the way: it asks every two seconds
/// unless it is told otherwise.
fn registry_within(scenario: &Scenario) -> Duration {
    let poll = seconds(scenario, &["registry", "poll_secs"], 2);
    let retry = seconds(scenario, &["registry", "retry_max_secs"], 60);
    poll.max(retry) + FETCH_SLACK
}

/// When something may be between routers and the control plane: of one router, or of all.
fn registry_troubles(scenario: &Scenario) -> Vec<(Option<String>, Duration, Duration)> {
    let faults = scenario.faults.iter();
    let troubles = faults.filter_map(|fault| {
        let whose = match &fault.kind {
            FaultKind::Crash(name)
            | FaultKind::Drain(name)
            | FaultKind::Slow(name, _)
            | FaultKind::Status(name, _)
            | FaultKind::Garbage(name)
            | FaultKind::ClockSkew(name, _)
            | FaultKind::BreakConfiguration(name)
            | FaultKind::BreakCertificate(name) => name,
            FaultKind::Partition([a, b]) | FaultKind::Latency([a, b], _) if a == CONTROL_PLANE => b,
            FaultKind::Partition([a, b]) | FaultKind::Latency([a, b], _) if b == CONTROL_PLANE => a,
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

/// From when on which key of envelopes must no longer seal, because another has taken its place, and
/// until when: the other one may be removed.
fn replaced_envelope_keys(scenario: &Scenario) -> Vec<(String, Duration, Option<Duration>)> {
    let max_age = seconds(scenario, &["envelope", "jwks_max_age_secs"], 300);
    let watch = seconds(scenario, &["runtime", "watch_secs"], 1);
    let mut found: Vec<(String, Duration, Option<Duration>)> = Vec::new();
    let mut present = vec![FIRST_ENVELOPE_KEY.to_owned()];
    for fault in &scenario.faults {
        match &fault.kind {
            FaultKind::AddEnvelopeKey(kid, after) => {
                let from = fault.at + max_age.max(*after) + watch + FETCH_SLACK;
                found.extend(present.iter().map(|old| (old.clone(), from, None)));
                present.push(kid.clone());
            }
            FaultKind::RemoveEnvelopeKey(kid) => {
                present.retain(|old| old != kid);
                // Which key it had replaced may seal again.
                let open = found.iter_mut().filter(|(_, _, until)| until.is_none());
                open.for_each(|(_, _, until)| *until = Some(fault.at));
                if let Some((last, replaced)) = present.split_last() {
                    let from = fault.at + max_age + watch + FETCH_SLACK;
                    let replaced = replaced.iter().filter(|old| *old != last);
                    found.extend(replaced.map(|old| (old.clone(), from, None)));
                }
            }
            // Routers' clocks decide, and routers that can't reload know no new key.
            FaultKind::ClockSkew(..)
            | FaultKind::BreakConfiguration(_)
            | FaultKind::BreakCertificate(_) => return Vec::new(),
            _ => {}
        }
    }
    found
}

/// When which routers can't follow their files: something there is nonsense, or they don't run.
fn reloads_stuck(scenario: &Scenario) -> Vec<(String, Duration, Duration)> {
    let faults = scenario.faults.iter();
    let stuck = faults.filter_map(|fault| match &fault.kind {
        FaultKind::BreakCertificate(name)
        | FaultKind::BreakConfiguration(name)
        | FaultKind::Crash(name)
        | FaultKind::Drain(name) => Some((name.clone(), fault.at, fault.until)),
        _ => None,
    });
    stuck.collect()
}

/// Clients whose requests come whole and are answered in one go.
fn brief(scenario: &Scenario) -> BTreeSet<String> {
    let clients = scenario.clients.iter();
    let brief = clients.filter(|client| client.stream.is_none() && !client.unfinished);
    brief.map(|client| client.name.clone()).collect()
}

/// When each endpoint of a cell may fail to serve.
fn endpoints(scenario: &Scenario) -> Endpoints {
    let cells = scenario.cells.iter();
    let hosts: BTreeMap<_, BTreeSet<_>> = cells
        .map(|cell| (cell.id.clone(), cell.hosts().collect()))
        .collect();
    let known: BTreeSet<_> = hosts.values().flatten().cloned().collect();
    let reload = seconds(scenario, &["runtime", "watch_secs"], 1) + FETCH_SLACK;
    let mut troubles = Vec::new();
    for fault in &scenario.faults {
        let (named, until): (Vec<&str>, _) = match &fault.kind {
            // Its connections go away, but it accepts new ones.
            FaultKind::GoAway(_) => continue,
            FaultKind::Crash(name)
            | FaultKind::Slow(name, _)
            | FaultKind::Status(name, _)
            | FaultKind::HalfOpen(name)
            | FaultKind::Reset(name)
            | FaultKind::BreakOff(name)
            | FaultKind::RefuseConnections(name)
            | FaultKind::RefuseStreams(name)
            | FaultKind::WrongCertificate(name, _)
            | FaultKind::ClockSkew(name, _) => (vec![name], fault.until + DELIVERY_SLACK),
            FaultKind::Partition([a, b]) | FaultKind::Latency([a, b], _) => {
                (vec![a, b], fault.until + DELIVERY_SLACK)
            }
            FaultKind::ExpiringCertificate(name, _) => (vec![name], scenario.duration),
            FaultKind::TrustNext(Authority::Cells)
            | FaultKind::IssueFromNext(Authority::Cells)
            | FaultKind::DropOld(Authority::Cells) => (
                known.iter().map(String::as_str).collect(),
                fault.at + reload,
            ),
            _ => continue,
        };
        let hosts = named.into_iter().flat_map(|name| scenario.hosts_of(name));
        troubles.extend(
            hosts
                .filter(|host| known.contains(host))
                .map(|host| EndpointTrouble {
                    host,
                    from: fault.at,
                    until,
                }),
        );
    }
    Endpoints { hosts, troubles }
}

/// A setting of the scenario's routers.
fn setting(scenario: &Scenario, path: &[&str], default: u64) -> u64 {
    let (last, tables) = path.split_last().expect("settings have names");
    let mut table = Some(&scenario.router_settings);
    for name in tables {
        table = table.and_then(|table| table.get(*name)?.as_table());
    }
    let set = table.and_then(|table| u64::try_from(table.get(*last)?.as_integer()?).ok());
    set.unwrap_or(default)
}

fn seconds(scenario: &Scenario, path: &[&str], default: u64) -> Duration {
    Duration::from_secs(setting(scenario, path, default))
}

fn millis(scenario: &Scenario, path: &[&str], default: u64) -> Duration {
    Duration::from_millis(setting(scenario, path, default))
}

/// From when on no token of a withdrawn key may pass: the key set was due again since, and no
/// fault stood in the way of fetching it.
fn withdrawn(scenario: &Scenario) -> Vec<Withdrawn> {
    let mut found: Vec<Withdrawn> = Vec::new();
    let mut published: BTreeSet<(String, String)> = scenario
        .issuers
        .iter()
        .map(|issuer| (issuer.host(), FIRST_KEY.to_owned()))
        .collect();
    for fault in &scenario.faults {
        let (host, key, all) = match &fault.kind {
            FaultKind::PublishKey(host, key) => (host, key, false),
            FaultKind::ReplaceKeys(host, key) => (host, key, true),
            FaultKind::WithdrawKey(host, key) => {
                published.remove(&(host.clone(), key.clone()));
                found.push(withdrawal(scenario, host, key, fault.at));
                continue;
            }
            _ => continue,
        };
        if all {
            for (_, old) in published.iter().filter(|(at, _)| at == host) {
                found.push(withdrawal(scenario, host, old, fault.at));
            }
            published.retain(|(at, _)| at != host);
        }
        published.insert((host.clone(), key.clone()));
        let issuer = issuer_of(host);
        let again = found
            .iter_mut()
            .filter(|known| known.issuer == issuer && known.key == *key);
        again.for_each(|known| known.until = Some(known.until.unwrap_or(fault.at)));
    }
    found
}

fn withdrawal(scenario: &Scenario, host: &str, key: &str, at: Duration) -> Withdrawn {
    let fresh = seconds(scenario, &["issuer", "keys", "fresh_secs"], 600);
    // Jitter makes the time until the next try longer, by half of it at most.
    let retry = seconds(scenario, &["issuer", "keys", "retry_max_secs"], 60) * 3 / 2;
    let mut from = at + fresh + FETCH_SLACK;
    let lasting = || scenario.faults.iter().filter(|f| f.until > f.at);
    while let Some(end) = lasting()
        .filter(|fault| fault.at < from && fault.until > at)
        .map(|fault| fault.until + fresh.max(retry) + FETCH_SLACK)
        .find(|end| *end > from)
    {
        from = end;
    }
    Withdrawn {
        issuer: issuer_of(host),
        key: key.to_owned(),
        from,
        until: None,
    }
}

/// When each router's keys must have expired, because it couldn't reach the identity provider for
/// as long as a set may be used.
fn key_outages(scenario: &Scenario) -> Vec<KeyOutage> {
    let fresh = seconds(scenario, &["issuer", "keys", "fresh_secs"], 600);
    let stale = seconds(scenario, &["issuer", "keys", "stale_max_secs"], 86_400);
    // A fetch that is running when the outage begins may still succeed.
    let serves = fresh + stale + FETCH_SLACK;
    let mut found = Vec::new();
    for issuer in &scenario.issuers {
        let host = issuer.host();
        for fault in &scenario.faults {
            let router = match &fault.kind {
                FaultKind::Crash(name)
                | FaultKind::Status(name, _)
                | FaultKind::Garbage(name)
                | FaultKind::EmptyKeys(name)
                | FaultKind::HugeKeys(name)
                    if *name == host =>
                {
                    None
                }
                FaultKind::Partition([a, b]) if *a == host => Some(b.clone()),
                FaultKind::Partition([a, b]) if *b == host => Some(a.clone()),
                _ => continue,
            };
            if fault.at + serves < fault.until {
                found.push(KeyOutage {
                    issuer: issuer.name.clone(),
                    router,
                    from: fault.at + serves,
                    until: fault.until,
                });
            }
        }
    }
    found
}

fn issuer_of(host: &str) -> String {
    host.strip_prefix("idp-").unwrap_or(host).to_owned()
}

/// Pairs of an issuer and a tenant that it may speak for.
fn speakers(scenario: &Scenario) -> BTreeSet<(String, String)> {
    let mut pairs = BTreeSet::new();
    for issuer in &scenario.issuers {
        // Tenants that the registry doesn't list may use it too.
        let clients = scenario.clients.iter();
        let unlisted = clients.map(|client| (&client.tenant, None));
        let tenants = scenario.tenants.iter();
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

/// The clients that must be served once the last fault is over, as the last good document has it.
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
            && client
                .cell_bound
                .as_ref()
                .is_none_or(|bound| bound.shows == Authorization::Good)
            && !scenario.expect.refused_at_end.contains(&client.name)
            && !client.spoofs
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
    let none = fact::Terms::default();
    let terms = said.terms.get(&client.tenant).unwrap_or(&none);
    let roles = claims.and_then(|claims| claims.roles.as_ref());
    let roles = roles.map(|roles| roles.iter().cloned().collect());
    let scopes = claims.map(|claims| claims.scopes.iter().cloned().collect());
    let caller = Caller {
        verified: true,
        roles: rules::granted(roles.as_ref(), terms),
        scopes: scopes.unwrap_or_default(),
    };
    let routers = scenario.routers.iter();
    routers
        .map(|router| at_end(scenario, router))
        .all(|settings| {
            let Some(list) = config::rules(&settings) else {
                return true;
            };
            let path = client.path.as_str();
            ["GET", "POST"]
                .iter()
                .all(|method| rules::permit(&list, method, path, &caller))
        })
}

/// A router's configuration after all faults.
fn at_end(scenario: &Scenario, router: &str) -> toml::Table {
    let mut settings = scenario.router_settings.clone();
    for fault in &scenario.faults {
        if let FaultKind::Configure(target, change) = &fault.kind
            && target == router
        {
            config::merge(&mut settings, change);
        }
    }
    settings
}

/// Whether the client's issuer may speak for its tenant.
fn may_speak(scenario: &Scenario, client: &Client) -> bool {
    let pair = (client.issuer.clone(), client.tenant.clone());
    !client.credential.has_token() || speakers(scenario).contains(&pair)
}
