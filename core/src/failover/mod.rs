//! Decides whether another cell may serve a request that its cell can't take.
//!
//! [`decide`](crate::decide()) knows from the registry and from health which cell a request goes to. Only
//! the driver sees what happens when the request is sent: no connection can be made, or the breakers of all
//! endpoints are open. Then the driver asks [`fail_over`], and stamps and sends the request again for the
//! cell in the answer. The caller isn't checked again: the answer is the same decision, on the same
//! registry version, with another cell.

use std::sync::Arc;

use crate::cell::Cell;
use crate::decision::{Allow, FailedOver};
use crate::explain::Recorder;
use crate::health::Health;
use crate::placement::spread_key;
use crate::reason::Reason;
use crate::refused::Refused;
use crate::registry::StandIn;
use crate::time::Mono;

/// The name of the check.
const CHECK: &str = "placement.failover";

/// What happened to a request at the cell that was decided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CellFailure {
    /// The reason that its client would be answered.
    pub reason: Reason,
    /// Whether no cell can have processed any of it: no byte was sent, or the cell has said so.
    pub untouched: bool,
}

/// What [`fail_over`] reads besides the decision.
#[derive(Clone, Copy, Debug)]
pub struct FailoverQuery<'a> {
    /// The health of endpoints now.
    pub health: &'a Health,
    /// The time.
    pub now: Mono,
    /// [`Evidence::spread`](crate::Evidence::spread).
    pub spread: u64,
}

/// The most cells that are found unreachable for one request.
const CELLS_UNREACHABLE_MAX: usize = 3;

/// The reasons in [`FailedOver::reason`]. The first is the registry's alone; the others say that the
/// cell can't be reached.
///
/// A cell that is at its limits, refuses requests or breaks them off is there: its load must not move
/// on to the next cell. [`Reason::CellReset`] is a kept connection that had ended before the request
/// was written to it.
pub const FAILOVER_REASONS: [Reason; 8] = {
    let [a, b, c, d, e, f, g] = UNREACHABLE;
    [Reason::NoCellAvailable, a, b, c, d, e, f, g]
};

const UNREACHABLE: [Reason; 7] = [
    Reason::NoEndpointHealthy,
    Reason::CircuitOpen,
    Reason::CellUnreachable,
    Reason::CellUntrusted,
    Reason::CellTimeoutConnect,
    Reason::CellTimeoutTls,
    Reason::CellReset,
];

/// Decides which other cell serves the request. `usable` says whether the driver knows of an endpoint
/// of the cell that would take it.
///
/// # Errors
/// [`Refused`]: no other cell may serve it, or none is usable. The reason is that of the failure.
pub fn fail_over(
    allow: &Allow,
    failure: CellFailure,
    query: FailoverQuery<'_>,
    usable: impl Fn(&Cell) -> bool,
    recorder: &mut impl Recorder,
) -> Result<Allow, Refused> {
    let decided = next_cell(allow, failure, query, usable);
    match &decided {
        Ok(next) => recorder.pass(CHECK, || match &next.failed_over {
            Some(failed_over) => describe(&next.cell, failed_over, "failover"),
            None => format!("cell {}", next.cell.id),
        }),
        Err(refused) => recorder.fail(CHECK, || refused.to_string()),
    }
    decided
}

fn next_cell(
    allow: &Allow,
    failure: CellFailure,
    query: FailoverQuery<'_>,
    usable: impl Fn(&Cell) -> bool,
) -> Result<Allow, Refused> {
    let stays = |why| Err(Refused::new(CHECK, failure.reason, why));
    let Some(standby) = &allow.standby else {
        return stays("the cell's placement doesn't allow failover");
    };
    if !UNREACHABLE.contains(&failure.reason) {
        return stays("the cell could be reached, so no other cell serves the request");
    }
    if !failure.untouched {
        return stays("the cell may have processed the request, so no other cell gets it");
    }
    let earlier = allow.failed_over.as_deref();
    let mut cells = earlier.map_or_else(Vec::new, |earlier| earlier.cells.clone());
    cells.push(Arc::clone(&allow.cell));
    if cells.len() > CELLS_UNREACHABLE_MAX {
        return stays("the request has been tried at as many cells as it may be");
    }
    let accept = |cell: &Cell| {
        let is_new = cells.iter().all(|failed| failed.id != cell.id);
        is_new && query.health.has_usable(cell) && usable(cell)
    };
    let key = spread_key(&allow.identity, query.spread);
    let Some(StandIn { cell, fallback }) = standby.stand_in(key, accept) else {
        return stays("no other cell that may serve the request has a usable endpoint");
    };
    let failed_over = FailedOver {
        reason: earlier.map_or(failure.reason, |earlier| earlier.reason),
        fallback: fallback.cloned(),
        cells,
    };
    Ok(Allow {
        cell: Arc::clone(cell),
        endpoints: query.health.rank(cell, query.now, query.spread),
        failed_over: Some(Box::new(failed_over)),
        ..allow.clone()
    })
}

/// Says which cell serves a request instead of which other, and why.
pub(crate) fn describe(cell: &Cell, failed_over: &FailedOver, rule: &str) -> String {
    let FailedOver {
        reason,
        cells,
        fallback,
    } = failed_over;
    let whose = match fallback {
        Some(fallback) => format!(" of the fallback placement {fallback}"),
        None => String::new(),
    };
    let cells: Vec<_> = cells.iter().map(|cell| cell.id.as_str()).collect();
    let instead = match &*cells {
        [] => "no cell of the placement takes traffic".to_owned(),
        cells => format!("instead of {}", cells.join(", ")),
    };
    format!("cell {}{whose} ({rule}): {instead}, {reason}", cell.id)
}

#[cfg(test)]
mod tests;
