//! The settings of a scenario's routers over time, as the routers' own reader resolves them.

mod read;

use std::time::Duration;

use self::read::read;
use crate::invariants::{Period, RouterSettings, SettingsInForce};
use crate::scenario::Scenario;
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
        if config::change(&mut table, router, &fault.kind) {
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

#[cfg(test)]
mod tests;
