//! Every cell's endpoints: whether requests go there, why, and how many do now.

use std::sync::Arc;
use std::time::Duration;

use cellway_core::health::{CheckState, EndpointHealth, Verdict};
use cellway_core::registry::{Cell, Endpoint, Registry};
use cellway_core::{Now, Snapshot};
use serde::Serialize;

use crate::observe::metrics::CellLoad;

/// The most cells on one page.
const CELLS_MAX: usize = 100;
/// A page ends with the cell that makes it have more endpoints than this.
const ENDPOINTS_MAX: usize = 1000;

/// Which cells a page is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum AskedCells {
    /// All. They may need several pages.
    All,
    /// Those after this id: the next page.
    After(String),
    /// Only this one.
    Only(String),
}

/// The cells of one page.
#[derive(Debug)]
pub(crate) struct CellsOnPage {
    pub(crate) cells: Vec<Arc<Cell>>,
    /// Whether more cells follow.
    more: bool,
}

impl CellsOnPage {
    /// The first of these cells, as many as fit on a page.
    pub(crate) fn new(registry: Option<&Registry>, asked: &AskedCells) -> Self {
        let all = registry.map_or(&[][..], Registry::cells);
        let asked = match asked {
            AskedCells::All => all,
            AskedCells::After(id) => {
                &all[all.partition_point(|cell| cell.id.as_str() <= id.as_str())..]
            }
            AskedCells::Only(id) => {
                let found = all.binary_search_by(|cell| cell.id.as_str().cmp(id));
                found.map_or(&[][..], |at| &all[at..=at])
            }
        };
        let mut endpoints = 0;
        let fits = |cell: &&Arc<Cell>| {
            let has_room = endpoints < ENDPOINTS_MAX;
            endpoints += cell.endpoints.len();
            has_room
        };
        let cells = asked.iter().take(CELLS_MAX).take_while(fits);
        let cells: Vec<_> = cells.map(Arc::clone).collect();
        let more = cells.len() < asked.len();
        Self { cells, more }
    }

    /// All endpoints of the page, in its order.
    pub(crate) fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.cells.iter().flat_map(|cell| &cell.endpoints)
    }
}

/// The state of an endpoint's circuit breaker.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum BreakerState {
    /// Requests pass.
    #[default]
    Closed,
    /// Requests pass, but prefer other endpoints, because the last exchange failed.
    Suspect {
        /// Connection failures in a row.
        failures: u64,
    },
    /// No request passes.
    Open {
        /// For how long.
        left_ms: u64,
    },
    /// One request is on its way, and no other passes.
    HalfOpen,
}

/// How the router uses an endpoint now, over all workers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct EndpointUse {
    pub(crate) breaker: BreakerState,
    /// Connections, in use and idle.
    pub(crate) connections: usize,
    /// Connections without a request.
    pub(crate) idle: usize,
    /// Requests that have a connection.
    pub(crate) requests: usize,
}

/// `/debug/endpoints`.
#[derive(Debug, Serialize)]
pub(crate) struct EndpointsPage {
    /// Grows with each published snapshot.
    pub(crate) snapshot_epoch: u64,
    pub(crate) registry_version: Option<u64>,
    pub(crate) cells: Vec<CellShown>,
    /// The id to ask for the next page with, if there is one: `?after=`.
    pub(crate) next: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct CellShown {
    pub(crate) id: String,
    pub(crate) tier: String,
    pub(crate) region: String,
    pub(crate) state: &'static str,
    /// How much of its share a draining cell has given away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) drained_percent: Option<u64>,
    pub(crate) requests_in_flight: usize,
    pub(crate) requests_waiting: usize,
    pub(crate) retries_in_flight: usize,
    pub(crate) connections: usize,
    pub(crate) endpoints: Vec<EndpointShown>,
}

#[derive(Debug, Serialize)]
pub(crate) struct EndpointShown {
    pub(crate) url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) san: Option<String>,
    /// The one fact that says most about whether requests go there.
    pub(crate) state: &'static str,
    /// What it gets, in percent of what other endpoints of the cell get.
    pub(crate) share_percent: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ejected_for_ms: Option<u64>,
    pub(crate) on_probation: bool,
    /// Ejections that it has not made up for yet.
    pub(crate) ejections: u32,
    pub(crate) failures_in_a_row: Failures,
    pub(crate) breaker: BreakerState,
    pub(crate) check: Option<Check>,
    pub(crate) requests_in_flight: usize,
    pub(crate) connections: Connections,
}

#[derive(Debug, Serialize)]
pub(crate) struct Failures {
    pub(crate) connection: u32,
    pub(crate) answer: u32,
}

#[derive(Debug, Serialize)]
pub(crate) struct Check {
    pub(crate) kind: &'static str,
    pub(crate) verdict: &'static str,
    /// Results in a row that speak against the verdict.
    pub(crate) against_in_a_row: u32,
    pub(crate) last: Option<LastCheck>,
}

#[derive(Debug, Serialize)]
pub(crate) struct LastCheck {
    pub(crate) ago_ms: u64,
    pub(crate) result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Connections {
    pub(crate) open: usize,
    pub(crate) idle: usize,
}

impl EndpointsPage {
    /// `health` has one value for each endpoint of the page, in its order.
    pub(crate) fn new(
        snapshot: &Snapshot,
        now: Now,
        page: &CellsOnPage,
        health: &[EndpointHealth],
        load: impl Fn(&Cell) -> CellLoad,
        uses: impl Fn(&Endpoint) -> EndpointUse,
    ) -> Self {
        let mut health = health.iter();
        let cells = page.cells.iter().map(|cell| {
            let endpoints = cell.endpoints.iter().zip(health.by_ref());
            let endpoints = endpoints.map(|(endpoint, health)| {
                let is_usable = snapshot.health.is_usable(endpoint.id);
                let used = uses(endpoint);
                let share = match used.breaker {
                    BreakerState::Open { .. } | BreakerState::HalfOpen => 0,
                    BreakerState::Closed | BreakerState::Suspect { .. } if !is_usable => 0,
                    BreakerState::Closed | BreakerState::Suspect { .. } => {
                        snapshot.health.share_percent(endpoint.id, now.mono)
                    }
                };
                endpoint_shown(endpoint, (is_usable, share), health, used)
            });
            cell_shown(cell, now, load(cell), endpoints.collect())
        });
        let cells: Vec<_> = cells.collect();
        let last = page.cells.last().filter(|_| page.more);
        Self {
            snapshot_epoch: snapshot.epoch,
            registry_version: snapshot.registry.as_ref().map(|it| it.version()),
            next: last.map(|cell| cell.id.to_string()),
            cells,
        }
    }
}

fn cell_shown(cell: &Cell, now: Now, load: CellLoad, endpoints: Vec<EndpointShown>) -> CellShown {
    CellShown {
        id: cell.id.to_string(),
        tier: cell.tier.to_string(),
        region: cell.region.to_string(),
        state: cell.state.as_str(),
        drained_percent: cell.drain.map(|drain| drain.percent(now.unix)),
        requests_in_flight: load.requests,
        requests_waiting: load.waiting,
        retries_in_flight: load.retries,
        connections: load.connections,
        endpoints,
    }
}

fn endpoint_shown(
    endpoint: &Endpoint,
    (is_usable, share_percent): (bool, u32),
    health: &EndpointHealth,
    now: EndpointUse,
) -> EndpointShown {
    EndpointShown {
        url: endpoint.url.as_str().to_owned(),
        san: endpoint.san.as_ref().map(|san| san.as_str().to_owned()),
        state: state(is_usable, share_percent, health, now.breaker),
        share_percent,
        ejected_for_ms: health.ejected_for.map(millis),
        on_probation: health.on_probation,
        ejections: health.ejections,
        failures_in_a_row: Failures {
            connection: health.connection_failures,
            answer: health.answer_failures,
        },
        breaker: now.breaker,
        check: health.check.map(check),
        requests_in_flight: now.requests,
        connections: Connections {
            open: now.connections,
            idle: now.idle,
        },
    }
}

/// The first of these that holds. What keeps requests away comes first.
fn state(
    is_usable: bool,
    share_percent: u32,
    health: &EndpointHealth,
    breaker: BreakerState,
) -> &'static str {
    let verdict = health.check.map(|check| check.verdict);
    match (breaker, verdict) {
        _ if health.ejected_for.is_some() => "ejected",
        (_, Some(Verdict::Unhealthy)) => "unhealthy",
        (BreakerState::Open { .. }, _) => "circuit_open",
        (BreakerState::HalfOpen, _) => "circuit_half_open",
        _ if !is_usable => "not_checked_yet",
        _ if health.on_probation => "on_probation",
        (BreakerState::Suspect { .. }, _) => "suspect",
        _ if share_percent < 100 => "slow_start",
        (BreakerState::Closed, _) => "usable",
    }
}

fn check(check: CheckState) -> Check {
    let last = check.last.map(|(ago, result)| LastCheck {
        ago_ms: millis(ago),
        result: result.map_or_else(|failure| failure.as_str(), |()| "healthy"),
        detail: result.err().map(|failure| failure.to_string()),
    });
    Check {
        kind: check.kind,
        verdict: check.verdict.as_str(),
        against_in_a_row: check.row,
        last,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
