//! Settings as the configuration file calls them, with the defaults of those that it leaves out.
//! `null` stands for those that are off.

mod clients;
mod told;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cellway_core::adaptive_limit::AdaptiveSettings;
use cellway_core::health::{
    CheckKind, CheckSettings, FailingAnswers, HealthSettings, OutlierSettings, WhenAllEjected,
};
use cellway_core::policy::{Policy, PolicySpecs};
use cellway_core::rate_limit::RateLimit;
use serde_json::{Map, Value, json};

pub(super) use self::clients::serves;
use crate::settings::{
    AnswerLimits, BreakerSettings, CellLimits, CellShares, CellTimeouts, Pem, Priority, RateRule,
    RouterSettings, Serves, TrafficSettings, UpstreamSettings,
};

/// The tables that decide about requests, and those that say what is told about them. What it shows is a
/// part of a configuration file: with the tables that are missing here, it would load and mean the same.
pub(super) fn in_force(settings: &RouterSettings, policy: &Policy) -> Value {
    let PolicySpecs {
        issuer,
        policy: policies,
        trust,
        headers,
        cba,
        // Its signers have keys.
        routing_key: _,
    } = policy.specs();
    let listeners = settings.listeners.iter();
    json!({
        "listener": listeners.map(|it| clients::listener(it, policy)).collect::<Vec<_>>(),
        "issuer": issuer.iter().map(clients::issuer).collect::<Vec<_>>(),
        "policy": policies,
        "traffic": traffics(settings),
        "rate_limits": { "shared_by": settings.rate_limits.shared_by },
        "upstream": upstream(&settings.upstream),
        "trust": trust,
        "headers": headers,
        "cba": cba,
        "envelope": settings.envelope.as_ref().map(told::envelope),
        "trace": settings.trace.as_ref().map(told::trace),
        "log": told::log(settings.log.as_ref(), settings.access_log),
    })
}

/// Those by which some request is forwarded.
fn traffics(settings: &RouterSettings) -> Vec<Value> {
    let all = settings.listeners.iter();
    let listeners = all.filter(|listener| listener.serves == Serves::Proxy);
    let used = listeners.flat_map(|listener| {
        let of_routes = listener.routes.iter().map(|route| &route.traffic);
        of_routes.chain([&listener.traffic])
    });
    let by_name: BTreeMap<&str, &Arc<TrafficSettings>> =
        used.map(|traffic| (&*traffic.name, traffic)).collect();
    let shown = by_name.values();
    shown.map(|it| traffic(it, &settings.upstream)).collect()
}

/// `[upstream]`
fn upstream(settings: &UpstreamSettings) -> Value {
    let UpstreamSettings {
        bundle,
        identity,
        timeouts,
        limits,
        keepalive,
        connection_age,
        retry_percent,
        answers,
        health,
        failing_answers,
        breaker,
    } = settings;
    let HealthSettings {
        outlier,
        when_all_ejected,
        slow_start,
        checks,
    } = health;
    let BreakerSettings { failures, open } = breaker;
    let (when_all_ejected, threshold) = match when_all_ejected {
        WhenAllEjected::Panic { threshold_percent } => ("panic", Some(*threshold_percent)),
        WhenAllEjected::Fail => ("fail", None),
    };
    let AnswerLimits {
        header_bytes_max,
        header_fields_max,
    } = answers;
    let identity = identity.as_ref();
    let rest = json!({
        "bundle": bundle.as_ref().map(file),
        "certificate": identity.map(|it| file(&it.certificate)),
        "key": identity.map(|it| file(&it.key)),
        "keepalive_ms": keepalive.map(ms),
        "connection_age_ms": ms(*connection_age),
        "retry_percent": retry_percent,
        "answer_header_bytes_max": header_bytes_max,
        "answer_header_fields_max": header_fields_max,
        "when_all_ejected": when_all_ejected,
        "panic_threshold_percent": threshold,
        "slow_start_secs": slow_start.as_secs(),
        "outlier": outlier_shown(outlier, failing_answers),
        "breaker": { "failures": failures, "open_ms": ms(*open) },
        "health_check": checks.iter().map(|it| check(it)).collect::<Vec<_>>(),
    });
    together([cell_timeouts(timeouts), cell_limits(limits), rest])
}

fn cell_timeouts(timeouts: &CellTimeouts) -> Value {
    let CellTimeouts {
        connect,
        tls,
        header,
        idle,
        total,
        failover,
        keep,
    } = *timeouts;
    json!({
        "connect_timeout_ms": ms(connect),
        "tls_timeout_ms": ms(tls),
        "header_timeout_ms": ms(header),
        "idle_timeout_ms": ms(idle),
        "total_timeout_ms": total.map(ms),
        "failover_timeout_ms": ms(failover),
        "keep_ms": ms(keep),
    })
}

fn cell_limits(limits: &CellLimits) -> Value {
    let CellLimits {
        connections_max,
        requests_max,
        queue_max,
        queue_timeout,
        adaptive,
        shares,
    } = *limits;
    let CellShares {
        connection,
        caller,
        tenant,
    } = shares;
    json!({
        "connections_max": connections_max,
        "requests_max": requests_max,
        "queue_max": queue_max,
        "queue_timeout_ms": ms(queue_timeout),
        "adaptive_limit": adaptive_limit(adaptive),
        "connection_share_percent": connection,
        "caller_share_percent": caller,
        "tenant_share_percent": tenant,
    })
}

fn adaptive_limit(settings: Option<AdaptiveSettings>) -> Value {
    let Some(settings) = settings else {
        return json!({ "enabled": false });
    };
    let AdaptiveSettings {
        requests_min,
        tolerance_percent,
        window,
        remeasure,
    } = settings;
    json!({
        "enabled": true,
        "requests_min": requests_min,
        "tolerance_percent": tolerance_percent,
        "window_ms": ms(window),
        "remeasure_secs": remeasure.as_secs(),
    })
}

fn outlier_shown(outlier: &OutlierSettings, failing: &FailingAnswers) -> Value {
    let OutlierSettings {
        connection_failures,
        answer_failures,
        ejection_min,
        ejection_factor,
        ejection_max,
        ejected_percent_max,
    } = outlier;
    json!({
        "connection_failures": connection_failures,
        "answer_failures": answer_failures,
        "statuses": failing.statuses().collect::<Vec<_>>(),
        "grpc_statuses": failing.grpc_statuses().collect::<Vec<_>>(),
        "ejection_secs": ejection_min.as_secs(),
        "ejection_factor": ejection_factor,
        "ejection_max_secs": ejection_max.as_secs(),
        "ejected_percent_max": ejected_percent_max,
    })
}

/// One `[[upstream.health_check]]`.
fn check(check: &CheckSettings) -> Value {
    let CheckSettings {
        cells,
        kind,
        interval,
        timeout,
        jitter_percent,
        healthy_threshold,
        unhealthy_threshold,
    } = check;
    let asked = match kind {
        CheckKind::Http {
            path,
            host,
            statuses,
        } => json!({ "path": path, "host": host, "statuses": statuses }),
        CheckKind::Grpc { service, host } => json!({ "service": service, "host": host }),
        CheckKind::Tcp => json!({}),
    };
    let cells = Some(cells).filter(|cells| !cells.is_empty());
    let cells = cells.map(|cells| cells.iter().map(|cell| cell.as_str()));
    let rest = json!({
        "kind": kind.as_str(),
        // Absent: all cells.
        "cells": cells.map(Iterator::collect::<Vec<_>>),
        "interval_ms": ms(*interval),
        "timeout_ms": ms(*timeout),
        "jitter_percent": jitter_percent,
        "healthy_threshold": healthy_threshold,
        "unhealthy_threshold": unhealthy_threshold,
    });
    together([asked, rest])
}

/// One `[[traffic]]`. It has the time limits of `[upstream]` that it doesn't replace.
fn traffic(settings: &TrafficSettings, upstream: &UpstreamSettings) -> Value {
    let CellTimeouts {
        header,
        idle,
        total,
        ..
    } = settings.timeouts(&upstream.timeouts);
    let TrafficSettings {
        name,
        header_timeout: _,
        idle_timeout: _,
        total_timeout: _,
        try_timeout,
        retry_statuses,
        retry_resets,
        hedge_after,
        body_bytes_max,
        rates,
        rate_fields,
        priority,
        upgrades,
        upgrades_end_with_token,
    } = settings;
    json!({
        "name": &**name,
        "header_timeout_ms": ms(header),
        "idle_timeout_ms": ms(idle),
        // Absent, it would be as in `[upstream]`.
        "total_timeout_ms": total.map_or(0, ms),
        "try_timeout_ms": try_timeout.map(ms),
        "retry_statuses": retry_statuses,
        "retry_resets": retry_resets,
        "hedge_after_ms": hedge_after.map(ms),
        "body_bytes_max": body_bytes_max,
        "rate_limit": rates.iter().map(rule).collect::<Vec<_>>(),
        "rate_limit_fields": rate_fields,
        "priority": match priority {
            Priority::Normal => "normal",
            Priority::High => "high",
        },
        "upgrades": upgrades.names().collect::<Vec<_>>(),
        "upgrades_end_with_token": upgrades_end_with_token,
    })
}

fn rule(rule: &RateRule) -> Value {
    let RateRule { per, limit, always } = rule;
    together([
        rate(*limit),
        json!({ "per": per.as_str(), "always": always }),
    ])
}

/// A rate limit, as the configuration and the registry call its numbers.
pub(super) fn rate(limit: RateLimit) -> Value {
    json!({
        "requests": limit.requests(),
        "window_secs": limit.window_secs(),
        "burst": limit.burst(),
    })
}

/// The path of a file. `None` for text, which only an embedded router has.
fn file(pem: &Pem) -> Option<&str> {
    match pem {
        Pem::File(path) => Some(path),
        Pem::Text(_) => None,
    }
}

/// A URL without its query, which may be a secret.
fn without_query(url: &str) -> &str {
    url.split('?').next().unwrap_or_default()
}

/// One object with the fields of all.
fn together<const N: usize>(objects: [Value; N]) -> Value {
    let mut all = Map::new();
    for object in objects {
        if let Value::Object(fields) = object {
            all.extend(fields);
        }
    }
    Value::Object(all)
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
