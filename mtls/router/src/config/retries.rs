//! Warnings about settings for retries and hedges that have no effect.

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
        ("retry_resets", table.retry_resets),
        ("hedge_after_ms", table.hedge_after_ms > Some(0)),
    ];
    for (name, _) in set.into_iter().filter(|(_, is_set)| *is_set) {
        report.warnings.warning(
            format!("traffic[{i}].{name}"),
            "has no effect, because upstream.retry_percent is 0: nothing is sent again",
            "raise upstream.retry_percent, or remove it",
        );
    }
}

/// Attempts that may take longer than the whole request, and hedges that come after the attempt.
fn too_long<F: FnMut(ConfigError)>(
    i: usize,
    table: &TrafficTable,
    upstream: &UpstreamSettings,
    report: &mut Reporter<F>,
) {
    let total = match table.total_timeout_ms {
        Some(0) => None,
        Some(ms) => Some(u128::from(ms)),
        None => upstream.timeouts.total.map(|total| total.as_millis()),
    };
    let header = table.header_timeout_ms.map(u128::from);
    let header = header.unwrap_or(upstream.timeouts.header.as_millis());
    let one = table.try_timeout_ms.map(u128::from);
    let hedge = table.hedge_after_ms.filter(|ms| *ms > 0).map(u128::from);
    let mut compare = |setting: &str, ms: u128, limits: &[(&str, Option<u128>)]| {
        let ends = limits.iter().find_map(|(name, limit)| {
            let limit = (*limit).filter(|limit| *limit <= ms)?;
            Some((*name, limit))
        });
        if let Some((name, limit)) = ends {
            let problem = format!(
                "has no effect: it is {ms}, and {name} ({limit}) ends the attempt before that"
            );
            let fix = format!("give less than {name}, so that time is left for another endpoint");
            let setting = format!("traffic[{i}].{setting}");
            report.warnings.warning(setting, problem, fix);
        }
    };
    let total = ("total_timeout_ms", total);
    if let Some(one) = one {
        // The same time as for the whole request only repeats it.
        let shorter = Some(header).filter(|header| *header < one);
        let limits = [total, ("header_timeout_ms", shorter)];
        compare("try_timeout_ms", one, &limits);
    }
    if let Some(hedge) = hedge {
        let header = ("header_timeout_ms", Some(header));
        let limits = [("try_timeout_ms", one), total, header];
        compare("hedge_after_ms", hedge, &limits);
    }
}
