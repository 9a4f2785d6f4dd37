//! Warnings about settings for retries that have no effect.

use std::time::Duration;

use super::error::ConfigError;
use super::report::Reporter;
use super::schema::{File, TrafficTable};
use crate::settings::UpstreamSettings;

/// Compares the settings of each `[[traffic]]` with the limits that apply to it.
pub(super) fn retries<F: FnMut(ConfigError)>(
    tables: &File,
    upstream: &UpstreamSettings,
    report: &mut Reporter<F>,
) {
    for (i, table) in tables.traffic.iter().enumerate() {
        if upstream.retry_percent == 0 {
            without_budget(i, table, report);
        } else {
            too_long(i, table, upstream, report);
        }
    }
}

fn without_budget<F: FnMut(ConfigError)>(i: usize, table: &TrafficTable, report: &mut Reporter<F>) {
    let statuses = table.retry_statuses.as_ref();
    let set = [
        ("try_timeout_ms", table.try_timeout_ms.is_some()),
        ("retry_statuses", statuses.is_some_and(|it| !it.is_empty())),
    ];
    for (name, _) in set.into_iter().filter(|(_, is_set)| *is_set) {
        report.warnings.warning(
            format!("traffic[{i}].{name}"),
            "has no effect, because upstream.retry_percent is 0: nothing is sent again",
            "raise upstream.retry_percent, or remove it",
        );
    }
}

/// An attempt that may take longer than the whole request.
fn too_long<F: FnMut(ConfigError)>(
    i: usize,
    table: &TrafficTable,
    upstream: &UpstreamSettings,
    report: &mut Reporter<F>,
) {
    let Some(one) = table.try_timeout_ms else {
        return;
    };
    let header = table.header_timeout_ms.map(Duration::from_millis);
    let total = match table.total_timeout_ms {
        Some(0) => None,
        Some(ms) => Some(Duration::from_millis(ms)),
        None => upstream.timeouts.total,
    };
    let header = header.unwrap_or(upstream.timeouts.header);
    let limits = [
        (
            "total_timeout_ms",
            total.filter(|it| it.as_millis() <= u128::from(one)),
        ),
        (
            "header_timeout_ms",
            Some(header).filter(|it| it.as_millis() < u128::from(one)),
        ),
    ];
    let limit = limits
        .into_iter()
        .find_map(|(name, limit)| Some((name, limit?.as_millis())));
    if let Some((name, limit)) = limit {
        let problem = format!(
            "has no effect: it is {one}, and {name} ({limit}) ends the attempt before that"
        );
        let fix = format!("give less than {name}, so that time is left for another endpoint");
        let setting = format!("traffic[{i}].try_timeout_ms");
        report.warnings.warning(setting, problem, fix);
    }
}
