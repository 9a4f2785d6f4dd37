//! `[[traffic]]`: how the requests of a listener or a route are forwarded.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use cellway_core::rate_limit::{RateLimit, RateLimitError, RateLimitSpec};
use cellway_core::upgrade::Upgrades;
use cellway_core::words::suggestion;

use super::error::ConfigError;
use super::report::Reporter;
use super::schema::{RateLimitTable, RateLimitsTable, TrafficTable};
use crate::settings::{RateRule, RateScope, RateSettings, TotalTimeout, TrafficSettings};

/// All `[[traffic]]` tables, by name.
pub(super) struct TrafficTables(Vec<Arc<TrafficSettings>>);

impl TrafficTables {
    /// Checks the tables.
    pub(super) fn new<F: FnMut(ConfigError)>(
        tables: &[TrafficTable],
        report: &mut Reporter<F>,
    ) -> Self {
        for (i, table) in tables.iter().enumerate() {
            let setting = || format!("traffic[{i}].name");
            if table.name.is_empty() {
                report.mistake(setting(), "is empty", "name it");
            }
            if tables[..i].iter().any(|other| other.name == table.name) {
                let problem = format!("another [[traffic]] has the name `{}` too", table.name);
                let fix = "give each [[traffic]] its own name";
                report.mistake(setting(), problem, fix);
            }
        }
        let checked = tables.iter().enumerate();
        Self(
            checked
                .map(|(i, table)| Arc::new(settings(i, table, report)))
                .collect(),
        )
    }

    /// What the setting names. Without a name: the table that is called "default", or else one that
    /// leaves everything to `[upstream]`.
    pub(super) fn find<F: FnMut(ConfigError)>(
        &self,
        setting: String,
        name: Option<&str>,
        report: &mut Reporter<F>,
    ) -> Arc<TrafficSettings> {
        let wanted = name.unwrap_or(TrafficSettings::DEFAULT);
        if let Some(found) = self.0.iter().find(|table| *table.name == *wanted) {
            return found.clone();
        }
        if let Some(name) = name {
            let names = self.0.iter().map(|table| &*table.name);
            let fix = suggestion(name, "[[traffic]] tables", names);
            report.mistake(setting, format!("unknown [[traffic]] \"{name}\""), fix);
        }
        Arc::default()
    }
}

fn settings<F: FnMut(ConfigError)>(
    i: usize,
    table: &TrafficTable,
    report: &mut Reporter<F>,
) -> TrafficSettings {
    if table.body_bytes_max == Some(0) {
        let fix = "give at least 1, or remove it if there is no limit";
        report.mistake(format!("traffic[{i}].body_bytes_max"), "is 0", fix);
    }
    let upgrades = match &table.upgrades {
        None => Upgrades::default(),
        Some(names) => Upgrades::new(names).unwrap_or_else(|problem| {
            let fix =
                "list the protocols that clients may switch to, or leave it out for WebSocket";
            report.mistake(format!("traffic[{i}].upgrades"), problem.to_string(), fix);
            Upgrades::default()
        }),
    };
    let retry_statuses = table.retry_statuses.clone().unwrap_or_default();
    if let Some(status) = retry_statuses.iter().find(|it| !(400..=599).contains(*it)) {
        report.mistake(
            format!("traffic[{i}].retry_statuses"),
            format!("has {status}"),
            "list statuses from 400 to 599",
        );
    }
    let mut ms = |key: &str, ms: Option<u64>| {
        ms.map(|ms| report.ms(format!("traffic[{i}].{key}"), Some(ms), Duration::ZERO))
    };
    TrafficSettings {
        name: table.name.as_str().into(),
        header_timeout: ms("header_timeout_ms", table.header_timeout_ms),
        idle_timeout: ms("idle_timeout_ms", table.idle_timeout_ms),
        total_timeout: match table.total_timeout_ms {
            Some(0) => TotalTimeout::Off,
            limit => {
                (ms("total_timeout_ms", limit)).map_or_else(Default::default, TotalTimeout::After)
            }
        },
        upgrades,
        upgrades_end_with_token: table.upgrades_end_with_token,
        try_timeout: ms("try_timeout_ms", table.try_timeout_ms),
        retry_statuses,
        retry_resets: table.retry_resets,
        hedge_after: ms("hedge_after_ms", table.hedge_after_ms.filter(|ms| *ms > 0)),
        body_bytes_max: table.body_bytes_max,
        rates: rates(i, &table.rate_limit, report),
        rate_fields: table.rate_limit_fields,
        priority: table.priority,
    }
}

fn rates<F: FnMut(ConfigError)>(
    traffic: usize,
    tables: &[RateLimitTable],
    report: &mut Reporter<F>,
) -> Vec<RateRule> {
    let mut rules: Vec<RateRule> = Vec::new();
    for (i, table) in tables.iter().enumerate() {
        let at = |member: &str| format!("traffic[{traffic}].rate_limit[{i}].{member}");
        if rules.iter().any(|rule| rule.per == table.per) {
            let problem = format!("another limit is per {} too", table.per.as_str());
            report.mistake(at("per"), problem, "keep one of them");
        }
        if table.always && table.per == RateScope::Route {
            let problem = "has no effect, because the registry has no limits of routes";
            report.mistake(at("always"), problem, "remove it");
        }
        let limit = RateLimit::new(RateLimitSpec {
            requests: table.requests,
            window_secs: table.window_secs,
            burst: table.burst,
        });
        match limit {
            Ok(limit) => rules.push(RateRule {
                per: table.per,
                limit,
                always: table.always,
            }),
            Err(why) => report.mistake(at(why.setting()), why.to_string(), within(why, table)),
        }
    }
    rules
}

/// What to write instead of a number that is out of range.
fn within(why: RateLimitError, table: &RateLimitTable) -> String {
    let window = u64::from(table.window_secs.unwrap_or(1).max(1));
    let refill = u64::from(RateLimit::REFILL_SECS_MAX);
    let most = match why {
        RateLimitError::NoRequests | RateLimitError::NoWindow | RateLimitError::NoBurst => {
            return "give at least 1".to_owned();
        }
        RateLimitError::TooFast => u64::from(RateLimit::PER_SECOND_MAX) * window,
        RateLimitError::TooSlow => refill * u64::from(table.requests) / window,
        RateLimitError::WindowTooLong => refill,
    };
    match most {
        // No burst would do.
        0 => format!("give a window_secs of at most {refill} for each of the requests"),
        most => format!("give at most {most}"),
    }
}

/// Checks `[rate_limits]`.
pub(super) fn rate_limits<F: FnMut(ConfigError)>(
    table: &RateLimitsTable,
    traffic: &[TrafficTable],
    report: &mut Reporter<F>,
) -> RateSettings {
    const SETTING: &str = "rate_limits.shared_by";
    let most = RateSettings::SHARED_BY_MAX;
    let routers = table.shared_by.unwrap_or(1);
    if !(1..=most).contains(&routers) {
        let fix = format!("give 1 to {most}");
        report.mistake(SETTING, format!("is {routers}"), fix);
    }
    for (i, table) in traffic.iter().enumerate() {
        for (n, limit) in table.rate_limit.iter().enumerate() {
            let (member, burst) = match limit.burst {
                Some(burst) => ("burst", burst),
                None => ("requests", limit.requests),
            };
            if burst > 0 && burst < routers {
                let setting = format!("traffic[{i}].rate_limit[{n}].{member}");
                let problem = format!("is {burst}, and {routers} routers share it");
                let fix = format!("give at least {routers}, so that each router can grant one");
                report.mistake(setting, problem, fix);
            }
        }
    }
    RateSettings {
        shared_by: NonZeroU32::new(routers).unwrap_or(NonZeroU32::MIN),
    }
}
