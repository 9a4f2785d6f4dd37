//! `[upstream.outlier]`, `[[upstream.health_check]]` and the other settings for the health of endpoints.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use cellway_core::Text;
use cellway_core::health::{
    CheckKind, CheckSettings, FailingAnswers, HealthSettings, OutlierSettings, WhenAllEjected,
};
use http::uri::{Authority, PathAndQuery};

use super::error::ConfigError;
use super::report::Reporter;
use super::schema::{
    BreakerTable, CheckWord, HealthCheckTable, OutlierTable, UpstreamTable, WhenAllEjectedWord,
};
use crate::settings::{BreakerSettings, UpstreamSettings};

/// The largest `ejection_factor`.
const EJECTION_FACTOR_MAX: u32 = 10;

/// The most failures in a row that a breaker may wait for.
const BREAKER_FAILURES_MAX: u32 = 10_000;

/// The shortest time between two checks of an endpoint.
const CHECK_INTERVAL_MIN: Duration = Duration::from_millis(100);

/// The most results in a row that a verdict may need.
const CHECK_THRESHOLD_MAX: u32 = 1_000;

/// The longest name of a gRPC service.
const CHECK_SERVICE_LEN_MAX: usize = 1_024;

/// The most failures in a row that a setting may ask for.
const FAILURES_MAX: u32 = 1_000_000;

pub(super) fn health<F: FnMut(ConfigError)>(
    table: &UpstreamTable,
    report: &mut Reporter<F>,
) -> HealthSettings {
    let default = UpstreamSettings::default().health;
    let slow_start = "upstream.slow_start_secs";
    hidden_checks(&table.health_check, report);
    HealthSettings {
        outlier: outlier(&table.outlier, report),
        when_all_ejected: when_all_ejected(table, report),
        slow_start: report.secs(
            slow_start,
            table.slow_start_secs,
            0,
            default.slow_start.as_secs(),
        ),
        checks: (table.health_check.iter().enumerate())
            .map(|(at, table)| Arc::new(check(at, table, report)))
            .collect(),
    }
}

fn check<F: FnMut(ConfigError)>(
    at: usize,
    table: &HealthCheckTable,
    report: &mut Reporter<F>,
) -> CheckSettings {
    let default = CheckSettings::default();
    let name = |key: &str| format!("upstream.health_check[{at}].{key}");
    let interval = report.ms(name("interval_ms"), table.interval_ms, default.interval);
    let timeout = report.ms(name("timeout_ms"), table.timeout_ms, default.timeout);
    if interval < CHECK_INTERVAL_MIN {
        let least = CHECK_INTERVAL_MIN.as_millis();
        let problem = format!("is {} milliseconds", interval.as_millis());
        report.mistake(
            name("interval_ms"),
            problem,
            format!("give at least {least}"),
        );
    }
    let mut threshold = |key: &str, given, default| {
        within(&name(key), given, 1..=CHECK_THRESHOLD_MAX, default, report)
    };
    CheckSettings {
        healthy_threshold: threshold(
            "healthy_threshold",
            table.healthy_threshold,
            default.healthy_threshold,
        ),
        unhealthy_threshold: threshold(
            "unhealthy_threshold",
            table.unhealthy_threshold,
            default.unhealthy_threshold,
        ),
        jitter_percent: within(
            &name("jitter_percent"),
            table.jitter_percent,
            0..=100,
            default.jitter_percent,
            report,
        ),
        cells: check_cells(&name("cells"), table.cells.as_deref(), report),
        kind: check_kind(name, table, report),
        interval,
        timeout,
    }
}

/// Warns about checks that are never used: a cell has the first check that names it, and one without
/// `cells` is for all.
fn hidden_checks<F: FnMut(ConfigError)>(tables: &[HealthCheckTable], report: &mut Reporter<F>) {
    let Some(all) = tables.iter().position(|table| table.cells.is_none()) else {
        return;
    };
    for at in all + 1..tables.len() {
        let setting = format!("upstream.health_check[{at}]");
        let problem = format!(
            "is never used: upstream.health_check[{all}] has no `cells`, so it is for all cells that no \
             check before it names"
        );
        let fix = "give the earlier one `cells`, or put it last";
        report.warnings.warning(setting, problem, fix);
    }
}

fn check_cells<F: FnMut(ConfigError)>(
    setting: &str,
    cells: Option<&[String]>,
    report: &mut Reporter<F>,
) -> Vec<Text> {
    if cells.is_some_and(<[_]>::is_empty) {
        let fix = "name cells, or remove it so that all cells are checked";
        report.mistake(setting, "is empty", fix);
    }
    let mut named = Vec::new();
    for cell in cells.into_iter().flatten() {
        match Text::new(cell) {
            Ok(cell) => named.push(cell),
            Err(error) => {
                let problem = format!("{cell:?} can't be a cell: {error}");
                report.mistake(setting, problem, "give the ids of cells of the registry");
            }
        }
    }
    named
}

fn check_kind<F: FnMut(ConfigError)>(
    name: impl Fn(&str) -> String,
    table: &HealthCheckTable,
    report: &mut Reporter<F>,
) -> CheckKind {
    let of_other_kinds: &[(&str, bool)] = match table.kind {
        CheckWord::Http => &[("service", table.service.is_some())],
        CheckWord::Grpc => &[
            ("path", table.path.is_some()),
            ("statuses", table.statuses.is_some()),
        ],
        CheckWord::Tcp => &[
            ("path", table.path.is_some()),
            ("host", table.host.is_some()),
            ("statuses", table.statuses.is_some()),
            ("service", table.service.is_some()),
        ],
    };
    for (key, _) in of_other_kinds.iter().filter(|(_, given)| *given) {
        report.mistake(name(key), "is not for this kind of check", "remove it");
    }
    let host = table.host.as_deref();
    if host.is_some_and(|host| host.parse::<Authority>().is_err()) {
        let fix = "give a host, with or without a port";
        report.mistake(name("host"), "is not a host", fix);
    }
    let host = host.map(Box::from);
    match table.kind {
        CheckWord::Http => CheckKind::Http {
            path: check_path(&name("path"), table.path.as_deref(), report),
            host,
            statuses: check_statuses(&name("statuses"), table.statuses.as_deref(), report),
        },
        CheckWord::Grpc => {
            let service = table.service.as_deref().unwrap_or_default();
            if service.len() > CHECK_SERVICE_LEN_MAX {
                let fix = format!("give at most {CHECK_SERVICE_LEN_MAX} bytes");
                report.mistake(name("service"), "is too long", fix);
            }
            CheckKind::Grpc {
                service: service.into(),
                host,
            }
        }
        CheckWord::Tcp => CheckKind::Tcp,
    }
}

fn check_path<F: FnMut(ConfigError)>(
    setting: &str,
    path: Option<&str>,
    report: &mut Reporter<F>,
) -> Box<str> {
    let path = path.unwrap_or("/");
    if !path.starts_with('/') || path.parse::<PathAndQuery>().is_err() {
        let fix = "give a path such as \"/healthz\"";
        report.mistake(setting, format!("{path:?} is not a path"), fix);
    }
    path.into()
}

fn check_statuses<F: FnMut(ConfigError)>(
    setting: &str,
    statuses: Option<&[u16]>,
    report: &mut Reporter<F>,
) -> Vec<u16> {
    let Some(statuses) = statuses else {
        return vec![200];
    };
    if statuses.is_empty() {
        report.mistake(setting, "is empty", "list statuses, such as [200, 204]");
    }
    if let Some(outside) = outside(Some(statuses), 200..=599) {
        let fix = "list statuses from 200 to 599";
        report.mistake(setting, format!("has {outside}"), fix);
    }
    statuses.to_vec()
}

fn when_all_ejected<F: FnMut(ConfigError)>(
    table: &UpstreamTable,
    report: &mut Reporter<F>,
) -> WhenAllEjected {
    let threshold = "upstream.panic_threshold_percent";
    match table.when_all_ejected.unwrap_or_default() {
        WhenAllEjectedWord::Panic => WhenAllEjected::Panic {
            threshold_percent: within(threshold, table.panic_threshold_percent, 0..=100, 0, report),
        },
        WhenAllEjectedWord::Fail => {
            if table.panic_threshold_percent.is_some() {
                report.mistake(
                    threshold,
                    "has no effect with upstream.when_all_ejected = \"fail\"",
                    "remove it, or set when_all_ejected to \"panic\"",
                );
            }
            WhenAllEjected::Fail
        }
    }
}

fn outlier<F: FnMut(ConfigError)>(
    table: &OutlierTable,
    report: &mut Reporter<F>,
) -> OutlierSettings {
    let default = OutlierSettings::default();
    let name = |key: &str| format!("upstream.outlier.{key}");
    let mut failures =
        |key: &str, given, default| within(&name(key), given, 0..=FAILURES_MAX, default, report);
    let connection_failures = failures(
        "connection_failures",
        table.connection_failures,
        default.connection_failures,
    );
    let answer_failures = failures(
        "answer_failures",
        table.answer_failures,
        default.answer_failures,
    );
    let settings = OutlierSettings {
        connection_failures,
        answer_failures,
        ejection_min: report.secs(
            &name("ejection_secs"),
            table.ejection_secs,
            1,
            default.ejection_min.as_secs(),
        ),
        ejection_factor: within(
            &name("ejection_factor"),
            table.ejection_factor,
            1..=EJECTION_FACTOR_MAX,
            default.ejection_factor,
            report,
        ),
        ejection_max: report.secs(
            &name("ejection_max_secs"),
            table.ejection_max_secs,
            1,
            default.ejection_max.as_secs(),
        ),
        ejected_percent_max: within(
            &name("ejected_percent_max"),
            table.ejected_percent_max,
            0..=100,
            default.ejected_percent_max,
            report,
        ),
    };
    if settings.ejection_max < settings.ejection_min {
        report.mistake(
            name("ejection_max_secs"),
            "is shorter than ejection_secs",
            "give at least ejection_secs",
        );
    }
    settings
}

pub(super) fn breaker<F: FnMut(ConfigError)>(
    table: &BreakerTable,
    report: &mut Reporter<F>,
) -> BreakerSettings {
    let default = BreakerSettings::default();
    let name = |key: &str| format!("upstream.breaker.{key}");
    if table.failures == Some(0) && table.open_ms.is_some() {
        let problem =
            "has no effect, because upstream.breaker.failures is 0: the breaker never opens";
        let fix = "raise upstream.breaker.failures, or remove it";
        report.warnings.warning(name("open_ms"), problem, fix);
    }
    BreakerSettings {
        failures: within(
            &name("failures"),
            table.failures,
            0..=BREAKER_FAILURES_MAX,
            default.failures,
            report,
        ),
        open: report.ms(name("open_ms"), table.open_ms, default.open),
    }
}

pub(super) fn failing_answers<F: FnMut(ConfigError)>(
    table: &OutlierTable,
    report: &mut Reporter<F>,
) -> FailingAnswers {
    let default = FailingAnswers::default();
    let mut check = |key: &str, outside: Option<String>, range: &str| {
        if let Some(outside) = outside {
            let name = format!("upstream.outlier.{key}");
            report.mistake(name, format!("has {outside}"), format!("list {range}"));
        }
    };
    let (statuses, grpc) = (&table.statuses, &table.grpc_statuses);
    let outside = outside(statuses.as_deref(), FailingAnswers::STATUSES);
    check("statuses", outside, "statuses from 400 to 599");
    let outside = self::outside(grpc.as_deref(), FailingAnswers::GRPC_STATUSES);
    check("grpc_statuses", outside, "gRPC statuses from 1 to 16");
    match (statuses, grpc) {
        (None, None) => default,
        (statuses, grpc) => FailingAnswers::new(
            statuses
                .as_deref()
                .unwrap_or(FailingAnswers::STATUSES_DEFAULT),
            grpc.as_deref()
                .unwrap_or(FailingAnswers::GRPC_STATUSES_DEFAULT),
        ),
    }
}

/// The first number of a list that is outside of a range.
fn outside<T: PartialOrd + Display>(
    list: Option<&[T]>,
    range: RangeInclusive<T>,
) -> Option<String> {
    let mut list = list.into_iter().flatten();
    list.find(|number| !range.contains(number))
        .map(ToString::to_string)
}

/// A number that must be in a range.
pub(super) fn within<T: PartialOrd + Display + Copy, F: FnMut(ConfigError)>(
    setting: &str,
    given: Option<T>,
    range: RangeInclusive<T>,
    default: T,
    report: &mut Reporter<F>,
) -> T {
    let given = given.unwrap_or(default);
    if range.contains(&given) {
        return given;
    }
    let fix = format!("give {} to {}", range.start(), range.end());
    report.mistake(setting, format!("is {given}"), fix);
    *range.end()
}
