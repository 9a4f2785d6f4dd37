//! Reads `[upstream.adaptive_limit]`.

use cellway_core::adaptive_limit::AdaptiveSettings;

use super::error::ConfigError;
use super::health::within;
use super::report::Reporter;
use super::schema::AdaptiveLimitTable;

/// The most requests that `requests_min` may let pass.
const REQUESTS_MIN_MAX: u32 = 1000;

/// The largest tolerance, in percent.
const TOLERANCE_PERCENT_MAX: u32 = 1000;

/// The settings. `None` if it is off.
pub(super) fn adaptive<F: FnMut(ConfigError)>(
    table: &AdaptiveLimitTable,
    report: &mut Reporter<F>,
) -> Option<AdaptiveSettings> {
    let default = AdaptiveSettings::default();
    let name = |key: &str| format!("upstream.adaptive_limit.{key}");
    let settings = AdaptiveSettings {
        requests_min: within(
            &name("requests_min"),
            table.requests_min,
            1..=REQUESTS_MIN_MAX,
            default.requests_min,
            report,
        ),
        tolerance_percent: within(
            &name("tolerance_percent"),
            table.tolerance_percent,
            1..=TOLERANCE_PERCENT_MAX,
            default.tolerance_percent,
            report,
        ),
        window: report.ms(name("window_ms"), table.window_ms, default.window),
        remeasure: report.secs(
            &name("remeasure_secs"),
            table.remeasure_secs,
            1,
            default.remeasure.as_secs(),
        ),
    };
    table.enabled.then_some(settings)
}
