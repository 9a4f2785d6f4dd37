//! What invariants need to know of a router's settings, by table.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cellway_core::health::WhenAllEjected;
use cellway_router::config::Config;
use cellway_router::settings::{
    CellLimits, CellShares, ClientTimeouts, ListenerSettings, Priority, RouterSettings as Resolved,
    UpstreamSettings,
};
use toml::Table;

use super::super::FETCH_SLACK;
use crate::invariants::RouterSettings;
use crate::invariants::settings::{
    BreakerSettings, DrainTimes, EnvelopeTimes, HealthSettings, IssuerTimes, LimitSettings,
    OutlierSettings, QueueSettings, RateSettings, RegistryTimes, RetrySettings, SignatureTimes,
    Timeouts,
};
use crate::scenario::{Client, Scenario};
use crate::world::config;

/// These settings, as the routers' own reader resolves them; `None` if it refuses them.
pub(super) fn read(scenario: &Scenario, settings: &Table) -> Option<RouterSettings> {
    let text = config::render(scenario, settings);
    let Config {
        router,
        open_wait,
        drain,
        watch,
        ..
    } = Config::load("router", &text, []).ok()?;
    let upstream = &router.upstream;
    let listener = router.listeners.first()?;
    let mut listeners = router.listeners.iter();
    let [max_age, skew] = router.policy.routing_key.times();
    Some(RouterSettings {
        issuer: issuer(&router)?,
        registry: registry(&router),
        routing_key: SignatureTimes { max_age, skew },
        reload_within: watch + FETCH_SLACK,
        open_wait,
        drain: DrainTimes {
            deadline: drain.deadline,
            delay: drain.delay,
            idle: drain.idle,
        },
        timeouts: timeouts(&router, &listener.timeouts),
        health: health(upstream),
        outlier: outlier(upstream),
        breaker: BreakerSettings {
            failures: upstream.breaker.failures,
            open: upstream.breaker.open,
        },
        retries: retries(&router),
        envelope: envelope(&router),
        limits: limits(&upstream.limits),
        queue: queue(scenario, listener, &upstream.limits),
        rates: rates(scenario, &router, listener),
        body_max: body_max(scenario, listener),
        upgrades_end_with_token: listeners.all(|it| it.traffic.upgrades_end_with_token),
    })
}

fn issuer(router: &Resolved) -> Option<IssuerTimes> {
    let issuers = router.policy.issuers.iter();
    // All issuers have the same settings.
    let keys = issuers.clone().map(|issuer| issuer.timing).next()?;
    let leeway = issuers.map(|issuer| issuer.leeway_nbf_secs).max();
    Some(IssuerTimes {
        key_cooldown: keys.cooldown,
        key_fresh: keys.fresh,
        key_stale: keys.stale_max,
        // Jitter makes the time until the next try longer by at most half of it.
        key_retry: keys.retry_max * 3 / 2,
        leeway: Duration::from_secs(leeway.unwrap_or_default()),
    })
}

fn registry(router: &Resolved) -> RegistryTimes {
    let registry = &router.sources.registry.timing;
    let status = registry.identity_max_age.unwrap_or(Duration::MAX);
    RegistryTimes {
        status_max_age: status.saturating_add(FETCH_SLACK),
        within: registry.poll_interval.max(registry.retry_max) + FETCH_SLACK,
    }
}

fn timeouts(router: &Resolved, clients: &ClientTimeouts) -> Timeouts {
    /// How many attempts may follow the first one.
    const MORE: u32 = 3;
    let cells = &router.upstream.timeouts;
    let traffic = router.listeners.iter().map(|listener| &listener.traffic);
    let again = traffic.filter(|it| it.retries_processed());
    let tries = again.map(|it| {
        let each = it.try_timeout.unwrap_or_default();
        each * MORE + cells.connect + cells.tls + cells.failover
    });
    Timeouts {
        tries: tries.max().unwrap_or_default(),
        header: cells.header,
        stall: stall(clients),
        body_grace: clients.body_grace,
        failover: cells.failover,
        connects: cells.connect + cells.tls + cells.failover,
    }
}

/// How long a client may read nothing of an answer. A router sees only that a client has read a whole
/// frame, so it adds the time that a frame may take at the lowest rate.
fn stall(timeouts: &ClientTimeouts) -> Duration {
    /// More than the frames that cells send.
    const FRAME: u32 = 64 * 1024;
    /// What routers use if there is no minimum.
    const RATE: u32 = 1024;
    let rate = match timeouts.read_rate_min {
        0 => RATE,
        rate => rate,
    };
    timeouts.stall + Duration::from_secs(1) * FRAME / rate
}

fn health(upstream: &UpstreamSettings) -> HealthSettings {
    let all_ejected = upstream.health.when_all_ejected;
    HealthSettings {
        knows_late: knows_late(upstream),
        panic_percent: match all_ejected {
            WhenAllEjected::Panic { threshold_percent } => threshold_percent.into(),
            WhenAllEjected::Fail => 0,
        },
        fails_without_usable: all_ejected == WhenAllEjected::Fail,
        slow_start: upstream.health.slow_start,
        checks: upstream.health.checks.clone(),
    }
}

/// How long a router may take an endpoint for bad that is well again. The time of an ejection grows while
/// they follow each other; scenarios eject an endpoint three times in a row at most.
fn knows_late(upstream: &UpstreamSettings) -> Duration {
    let outlier = &upstream.health.outlier;
    let third = outlier.ejection_min * outlier.ejection_factor.saturating_pow(2);
    let checks = upstream.health.checks.iter().map(|check| {
        let most = check.interval * (100 + u32::from(check.jitter_percent)) / 100;
        (most + check.timeout) * check.healthy_threshold
    });
    let resting = upstream.breaker.open.max(third.min(outlier.ejection_max));
    checks.max().unwrap_or_default().max(resting)
}

fn outlier(upstream: &UpstreamSettings) -> OutlierSettings {
    let outlier = &upstream.health.outlier;
    OutlierSettings {
        connection_failures: outlier.connection_failures,
        answer_failures: outlier.answer_failures,
        statuses: upstream.failing_answers.statuses().collect(),
        grpc_statuses: upstream.failing_answers.grpc_statuses().collect(),
        ejected_percent_max: outlier.ejected_percent_max.into(),
        ejection: [outlier.ejection_min, outlier.ejection_max],
        ejection_factor: outlier.ejection_factor,
    }
}

fn retries(router: &Resolved) -> RetrySettings {
    let traffic = router.listeners.iter().map(|listener| &listener.traffic);
    RetrySettings {
        percent: router.upstream.retry_percent.into(),
        processed: traffic.clone().any(|it| it.retries_processed()),
        hedges: traffic.clone().any(|it| it.hedge_after.is_some()),
    }
}

fn envelope(router: &Resolved) -> EnvelopeTimes {
    let Some(envelope) = &router.envelope else {
        return EnvelopeTimes::default();
    };
    EnvelopeTimes {
        lifetime: envelope.lifetime,
        keys_max_age: envelope.jwks_max_age,
    }
}

fn limits(limits: &CellLimits) -> LimitSettings {
    LimitSettings {
        requests_max: limits.requests_max,
        connections_max: limits.connections_max,
        places: places(limits),
        places_for_all: match limits.shares {
            CellShares {
                connection: 100,
                caller: 100,
                tenant: 100,
            } => places(limits),
            _ => 1,
        },
        tenant_share: limits.shares.tenant.into(),
    }
}

/// How many requests may always be in flight to one endpoint of a cell.
fn places(limits: &CellLimits) -> usize {
    let requests = match &limits.adaptive {
        Some(adaptive) => limits.requests_max.min(adaptive.requests_min as usize),
        None => limits.requests_max,
    };
    requests.min(limits.connections_max)
}

fn queue(scenario: &Scenario, listener: &ListenerSettings, limits: &CellLimits) -> QueueSettings {
    QueueSettings {
        high_priority: high_priority(scenario, listener),
        room: limits.queue_max,
        high_room: match limits.queue_max {
            0 => 0,
            most => (most / 4).max(1),
        },
        wait: limits.queue_timeout,
    }
}

/// The clients whose requests have high priority at this listener.
fn high_priority(scenario: &Scenario, listener: &ListenerSettings) -> BTreeSet<String> {
    let is_high = |client: &&Client| {
        let routed = listener.route_of(&client.path);
        routed.is_ok_and(|it| it.traffic.priority == Priority::High) && client.stream.is_none()
    };
    let clients = scenario.clients.iter().filter(is_high);
    clients.map(|client| client.name.clone()).collect()
}

/// How long the bodies of each client may be.
fn body_max(scenario: &Scenario, listener: &ListenerSettings) -> BTreeMap<String, u64> {
    let max = |client: &Client| {
        let routed = listener.route_of(&client.path).ok()?;
        Some((client.name.clone(), routed.traffic.body_bytes_max?))
    };
    scenario.clients.iter().filter_map(max).collect()
}

fn rates(scenario: &Scenario, router: &Resolved, listener: &ListenerSettings) -> RateSettings {
    let routed = listener.routes.iter().map(|route| &route.traffic);
    let all = routed.chain([&listener.traffic]);
    let traffic_of = |client: &Client| {
        // A path that servers read differently is refused before it is counted.
        let routed = listener.route_of(&client.path).ok()?;
        Some((client.name.clone(), routed.traffic.name.to_string()))
    };
    RateSettings {
        rules: all
            .map(|traffic| (traffic.name.to_string(), traffic.rates.clone()))
            .collect(),
        traffic: scenario.clients.iter().filter_map(traffic_of).collect(),
        shared_by: router.rate_limits.shared_by.get(),
    }
}
