//! `[upstream.outlier]` and the other settings for the health of endpoints.

use std::fmt::Display;
use std::ops::RangeInclusive;

use cellway_core::health::{FailingAnswers, HealthSettings, OutlierSettings, WhenAllEjected};

use super::error::ConfigError;
use super::report::Reporter;
use super::schema::{OutlierTable, UpstreamTable, WhenAllEjectedWord};
use crate::settings::UpstreamSettings;

/// The largest `ejection_factor`.
const EJECTION_FACTOR_MAX: u32 = 10;

/// The most failures in a row that a setting may ask for.
const FAILURES_MAX: u32 = 1_000_000;

pub(super) fn health<F: FnMut(ConfigError)>(
    table: &UpstreamTable,
    report: &mut Reporter<F>,
) -> HealthSettings {
    let default = UpstreamSettings::default().health;
    let slow_start = "upstream.slow_start_secs";
    HealthSettings {
        outlier: outlier(&table.outlier, report),
        when_all_ejected: when_all_ejected(table, report),
        slow_start: report.secs(
            slow_start,
            table.slow_start_secs,
            0,
            default.slow_start.as_secs(),
        ),
    }
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
fn within<T: PartialOrd + Display + Copy, F: FnMut(ConfigError)>(
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
