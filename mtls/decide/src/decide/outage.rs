//! Cells that can't be reached.

use std::sync::Arc;

use cellway_core::Now;
use cellway_core::health::{Health, HealthControl, HealthSettings, Outcome, OutlierSettings};
use cellway_core::registry::Registry;
use cellway_router::config::Tables;

use crate::cases::meant;

/// The health of all endpoints while the router can't connect to those of these cells.
pub(super) fn health_without(
    cells: &[String],
    registry: &Arc<Registry>,
    settings: &HealthSettings,
    now: Now,
    mistakes: &mut Tables,
) -> Arc<Health> {
    // One failure stands for an outage that is noticed, and the whole cell is down. Nothing is probed.
    let outlier = OutlierSettings {
        connection_failures: 1,
        ejected_percent_max: 100,
        ..settings.outlier.clone()
    };
    let settings = HealthSettings {
        outlier,
        checks: Vec::new(),
        ..settings.clone()
    };
    let mut health = HealthControl::new(settings, 0);
    health.handle_registry(now, registry);
    for (at, name) in cells.iter().enumerate() {
        let Some(cell) = registry.cell(name) else {
            let ids = registry.cells().iter().map(|cell| cell.id.as_str());
            let setting = format!("unreachable_cells[{at}]");
            let problem = format!("the registry has no cell {name:?}");
            mistakes.mistake(&setting, problem, meant(name, ids));
            continue;
        };
        for endpoint in &cell.endpoints {
            health.handle_outcome(now, endpoint.id, Outcome::ConnectFailed);
        }
    }
    Arc::clone(health.view())
}
