//! What the invariants are told of a scenario before it runs.

use std::collections::BTreeSet;
use std::time::Duration;

use super::documents::Documents;
use cellway_mtls::STREAMS_CLOSED_WITHIN;

use crate::invariants::{Bounds, EnvelopeBounds, Withdrawn};
use crate::scenario::{Authorization, Client, FIRST_KEY, FaultKind, Scenario};

/// What the routers' headers begin with.
pub(super) const HEADER_PREFIX: &str = "x-cellway-";

/// How much longer than its client waits a request may be open before it counts as forgotten.
const ANSWER_SLACK: Duration = Duration::from_secs(5);

/// How long a client takes to be told of what has arrived.
const DELIVERY_SLACK: Duration = Duration::from_millis(500);

/// How long a fetch of keys or of a registry takes where nothing is in its way.
const FETCH_SLACK: Duration = Duration::from_secs(2);

/// What the invariants need to know of a scenario. Times are those of the settings that its
/// routers start with.
pub(super) fn of(scenario: &Scenario) -> Bounds {
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
        envelope: scenario.seals_envelopes().then(|| EnvelopeBounds {
            keys_max_age: seconds(scenario, &["envelope", "jwks_max_age_secs"], 300),
        }),
    }
}

/// How long what a router sends to a client may be under way: faults hold it back.
fn held(scenario: &Scenario) -> Duration {
    let is_client = |host: &String| scenario.clients.iter().any(|client| client.name == *host);
    let holds = |kind: &FaultKind| match kind {
        FaultKind::Partition(a, b) | FaultKind::Latency(a, b, _) => is_client(a) || is_client(b),
        _ => false,
    };
    let faults = scenario.faults.iter().filter(|fault| holds(&fault.kind));
    let longest = faults.map(|fault| fault.until - fault.at).max();
    longest.unwrap_or_default() + scenario.latency[1] * 2 + DELIVERY_SLACK
}

/// A setting of the scenario's routers in seconds.
fn seconds(scenario: &Scenario, path: &[&str], default: u64) -> Duration {
    let (last, tables) = path.split_last().expect("settings have names");
    let mut table = Some(&scenario.router_settings);
    for name in tables {
        table = table.and_then(|table| table.get(*name)?.as_table());
    }
    let secs = table.and_then(|table| u64::try_from(table.get(*last)?.as_integer()?).ok());
    Duration::from_secs(secs.unwrap_or(default))
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

fn issuer_of(host: &str) -> String {
    host.strip_prefix("idp-").unwrap_or(host).to_owned()
}

/// Who may speak for whom: issuer and tenant.
fn speakers(scenario: &Scenario) -> BTreeSet<(String, String)> {
    let mut pairs = BTreeSet::new();
    for issuer in &scenario.issuers {
        for tenant in &scenario.tenants {
            let listed = issuer.tenants.as_ref();
            let listed = listed.is_none_or(|tenants| tenants.contains(&tenant.id));
            let named = tenant.issuer.as_ref();
            if listed && named.is_none_or(|name| *name == issuer.name) {
                pairs.insert((issuer.name.clone(), tenant.id.clone()));
            }
        }
    }
    pairs
}

/// The clients that must be served once the last fault is over, as the last good document has it.
fn routable(scenario: &Scenario) -> Vec<String> {
    let mut documents = Documents::new(scenario, 0);
    for fault in &scenario.faults {
        if let FaultKind::Publish(change) = &fault.kind {
            documents.change(change);
        }
    }
    let assignment = documents.assignment();
    let served = |client: &&Client| {
        let cells = assignment.get(&client.tenant);
        client.credential.is_good()
            && cells.is_some_and(|cells| !cells.is_empty())
            && client
                .cell_bound
                .as_ref()
                .is_none_or(|bound| bound.shows == Authorization::Good)
            && !scenario.expect.refused_at_end.contains(&client.name)
    };
    let clients = scenario.clients.iter().filter(served);
    clients
        .filter(|client| may_speak(scenario, client))
        .map(|client| client.name.clone())
        .collect()
}

/// Whether the client's issuer may speak for its tenant.
fn may_speak(scenario: &Scenario, client: &Client) -> bool {
    let pair = (client.issuer.clone(), client.tenant.clone());
    !client.credential.has_token() || speakers(scenario).contains(&pair)
}
