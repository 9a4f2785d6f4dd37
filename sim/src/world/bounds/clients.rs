//! What invariants need to know about clients.

use std::collections::BTreeSet;
use std::time::Duration;

use super::DELIVERY_SLACK;
use crate::scenario::{FaultKind, Scenario};

/// When a fault may keep clients from their routers.
pub(super) fn cut_off(scenario: &Scenario) -> Vec<(Duration, Duration)> {
    let is_router = |name: &String| scenario.routers.contains(name);
    let is_client = |name: &String| {
        let mut clients = scenario.clients.iter();
        clients.any(|client| client.name == *name || client.entry == *name)
    };
    let cuts = |kind: &FaultKind| match kind {
        FaultKind::Crash(name) | FaultKind::Drain(name) => is_router(name),
        FaultKind::Partition([a, b])
        | FaultKind::OneWayPartition([a, b])
        | FaultKind::Stalls([a, b], _)
        | FaultKind::Latency([a, b], _) => is_client(a) || is_client(b),
        _ => false,
    };
    let faults = scenario.faults.iter().filter(|fault| cuts(&fault.kind));
    faults
        .map(|it| (it.at, it.until + DELIVERY_SLACK))
        .collect()
}

/// Clients that don't finish their requests, or don't read whole answers.
pub(super) fn unfinished(scenario: &Scenario) -> BTreeSet<String> {
    let clients = scenario
        .clients
        .iter()
        .filter(|it| !it.ends_requests() || it.stops_reading);
    clients.map(|client| client.name.clone()).collect()
}

/// Clients whose bodies stop.
pub(super) fn stopping(scenario: &Scenario) -> BTreeSet<String> {
    let clients = scenario.clients.iter().filter(|it| it.unfinished);
    clients.map(|client| client.name.clone()).collect()
}

/// How much of a body leaves a router although its cell reads nothing: it waits in buffers on the way.
const BUFFERED: u32 = 64 * 1024;

/// Clients that send whole requests, ask for no streams and read whole answers. A longer body is not whole
/// while its cell reads nothing.
pub(super) fn short_requests(scenario: &Scenario) -> BTreeSet<String> {
    let mut faults = scenario.faults.iter();
    let all_read = !faults.any(|fault| matches!(fault.kind, FaultKind::Deaf(_)));
    let clients = scenario.clients.iter();
    let short_requests = clients.filter(|it| {
        let is_whole =
            it.ends_requests() && (all_read || it.upload.is_none_or(|it| it <= BUFFERED));
        it.stream.is_none() && is_whole && !it.stops_reading
    });
    short_requests.map(|client| client.name.clone()).collect()
}
