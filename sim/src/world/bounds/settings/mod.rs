//! The settings of a scenario's routers over time, as the routers' own reader resolves them.

use std::collections::BTreeSet;
use std::time::Duration;

use cellway_core::health::WhenAllEjected;
use cellway_router::config::Config;
use cellway_router::settings::{
    CellLimits, CellShares, ClientTimeouts, ListenerSettings, Priority, RateRule, RateScope,
    UpstreamSettings,
};
use toml::Table;

use super::FETCH_SLACK;
use crate::invariants::{Period, RouterSettings, SettingsInForce};
use crate::scenario::{Client, FaultKind, Scenario};
use crate::world::config;

/// Follows the configuration of each router from the start through all `configure` faults.
pub(super) fn of(scenario: &Scenario) -> SettingsInForce {
    let routers = scenario.routers.iter();
    SettingsInForce::new(
        routers
            .flat_map(|router| periods(scenario, router))
            .collect(),
    )
}

fn periods(scenario: &Scenario, router: &str) -> Vec<Period> {
    let mut table = scenario.router_settings.clone();
    let mut written: Vec<_> = read(scenario, &table)
        .map(|settings| (Duration::ZERO, settings))
        .into_iter()
        .collect();
    for fault in &scenario.faults {
        if let FaultKind::Configure(target, change) = &fault.kind
            && target == router
        {
            config::merge(&mut table, change);
            // A router never uses a configuration with mistakes.
            written.extend(read(scenario, &table).map(|settings| (fault.at, settings)));
        }
    }
    let nexts: Vec<_> = written.iter().skip(1).map(|(at, _)| *at).collect();
    let nexts = nexts.into_iter().map(Some).chain([None]);
    let period =
        |((from, settings), next): ((Duration, RouterSettings), Option<Duration>)| Period {
            router: Some(router.to_owned()),
            from,
            until: next.map_or(Duration::MAX, |at| {
                read_by(scenario, router, at, settings.reload_within)
            }),
            settings,
        };
    written.into_iter().zip(nexts).map(period).collect()
}

/// When a router must have read what is written at this time. That is later if it can't reload then.
fn read_by(scenario: &Scenario, router: &str, at: Duration, within: Duration) -> Duration {
    let mut until = at + within;
    for (stuck, from, end) in super::reloads_stuck(scenario) {
        if stuck == router && from <= until && at <= end {
            until = until.max(end + within);
        }
    }
    until
}

/// These settings, as the routers' own reader resolves them; `None` if it refuses them.
fn read(scenario: &Scenario, settings: &Table) -> Option<RouterSettings> {
    let text = config::render(scenario, settings);
    let Config {
        router,
        open_wait,
        drain,
        watch,
        ..
    } = Config::load("router", &text, []).ok()?;
    let issuers = router.policy.issuers.iter();
    // All issuers have the same settings.
    let keys = issuers.clone().map(|issuer| issuer.timing).next()?;
    let leeway = issuers.map(|issuer| issuer.leeway_nbf_secs).max();
    let registry = router.sources.registry.timing;
    let upstream = &router.upstream;
    let rates = &router.listeners.first()?.traffic.rates;
    let status = registry.identity_max_age.unwrap_or(Duration::MAX);
    let [signature_max_age, signature_skew] = router.policy.routing_key.times();
    Some(RouterSettings {
        key_cooldown: keys.cooldown,
        key_fresh: keys.fresh,
        key_stale: keys.stale_max,
        // Jitter makes the time until the next try longer by at most half of it.
        key_retry: keys.retry_max * 3 / 2,
        leeway: Duration::from_secs(leeway.unwrap_or_default()),
        status_max_age: status.saturating_add(FETCH_SLACK),
        registry_within: registry.poll_interval.max(registry.retry_max) + FETCH_SLACK,
        signature_max_age,
        signature_skew,
        reload_within: watch + FETCH_SLACK,
        open_wait,
        drain: drain.deadline,
        drain_delay: drain.delay,
        drain_idle: drain.idle,
        header_timeout: upstream.timeouts.header,
        stall: stall(&router.listeners.first()?.timeouts),
        failover: upstream.timeouts.failover,
        connects: {
            let timeouts = &upstream.timeouts;
            timeouts.connect + timeouts.tls + timeouts.failover
        },
        knows_late: knows_late(upstream),
        panic_percent: match upstream.health.when_all_ejected {
            WhenAllEjected::Panic { threshold_percent } => threshold_percent.into(),
            WhenAllEjected::Fail => 0,
        },
        fails_without_usable: upstream.health.when_all_ejected == WhenAllEjected::Fail,
        slow_start: upstream.health.slow_start,
        body_grace: router.listeners.first()?.timeouts.body_grace,
        breaker_failures: upstream.breaker.failures,
        breaker_open: upstream.breaker.open,
        connection_failures: upstream.health.outlier.connection_failures,
        answer_failures: upstream.health.outlier.answer_failures,
        failing_statuses: upstream.failing_answers.statuses().collect(),
        failing_grpc_statuses: upstream.failing_answers.grpc_statuses().collect(),
        ejected_percent_max: usize::from(upstream.health.outlier.ejected_percent_max),
        ejection: {
            let outlier = &upstream.health.outlier;
            [outlier.ejection_min, outlier.ejection_max]
        },
        ejection_factor: upstream.health.outlier.ejection_factor,
        retry_percent: u32::from(upstream.retry_percent),
        retries_processed: router
            .listeners
            .iter()
            .any(|listener| listener.traffic.retries_processed()),
        hedges: router
            .listeners
            .iter()
            .any(|listener| listener.traffic.hedge_after.is_some()),
        envelope_lifetime: router
            .envelope
            .as_ref()
            .map_or(Duration::ZERO, |envelope| envelope.lifetime),
        envelope_keys_max_age: router
            .envelope
            .as_ref()
            .map_or(Duration::ZERO, |envelope| envelope.jwks_max_age),
        requests_max: upstream.limits.requests_max,
        connections_max: upstream.limits.connections_max,
        places: places(&upstream.limits),
        places_for_all: match upstream.limits.shares {
            CellShares {
                connection: 100,
                caller: 100,
                tenant: 100,
            } => places(&upstream.limits),
            _ => 1,
        },
        tenant_share: usize::from(upstream.limits.shares.tenant),
        high_priority: high_priority(scenario, router.listeners.first()?),
        queue_room: upstream.limits.queue_max,
        high_room: match upstream.limits.queue_max {
            0 => 0,
            most => (most / 4).max(1),
        },
        queue_wait: upstream.limits.queue_timeout,
        upgrades_end_with_token: router
            .listeners
            .iter()
            .all(|listener| listener.traffic.upgrades_end_with_token),
        tenant_rate: rates
            .iter()
            .find(|rule| rule.per == RateScope::Tenant)
            .map(|rule| rule.limit),
        rates_shared_by: router.rate_limits.shared_by.get(),
        other_rates: has_other_rates(router.listeners.first()?),
    })
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

/// How many requests may always be in flight to one endpoint of a cell.
fn places(limits: &CellLimits) -> usize {
    let requests = match &limits.adaptive {
        Some(adaptive) => limits.requests_max.min(adaptive.requests_min as usize),
        None => limits.requests_max,
    };
    requests.min(limits.connections_max)
}

/// Whether a placement or a route has a rate limit at this listener.
fn has_other_rates(listener: &ListenerSettings) -> bool {
    let routed = listener.routes.iter().map(|route| &route.traffic);
    let mut all = routed.chain([&listener.traffic]);
    let is_other = |rule: &RateRule| rule.per != RateScope::Tenant;
    all.any(|traffic| traffic.rates.iter().any(is_other))
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

#[cfg(test)]
mod tests;
