//! When checks of endpoints must fail.

use crate::invariants::CheckTrouble;
use crate::scenario::{FaultKind, Scenario};

/// The faults that no check of some kinds survives.
pub(super) fn troubles(scenario: &Scenario) -> Vec<CheckTrouble> {
    let troubles = scenario.faults.iter().flat_map(|fault| {
        let (name, kinds) = fails(&fault.kind).unzip();
        let hosts = name.map(|name| scenario.hosts_of(name)).unwrap_or_default();
        hosts.into_iter().map(move |host| CheckTrouble {
            host,
            from: fault.at,
            until: fault.until,
            kinds: kinds.unwrap_or_default(),
        })
    });
    troubles.collect()
}

/// The cell or the endpoint, and the kinds of checks that fail.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "after any other fault some checks may succeed"
)]
fn fails(kind: &FaultKind) -> Option<(&str, &'static [&'static str])> {
    match kind {
        FaultKind::Crash(name) | FaultKind::RefuseConnections(name) => {
            Some((name, &["http", "grpc", "tcp"]))
        }
        FaultKind::HalfOpen(name)
        | FaultKind::Garbage(name)
        | FaultKind::Status(name, _)
        | FaultKind::Unavailable(name, _) => Some((name, &["http", "grpc"])),
        FaultKind::NotServing(name) => Some((name, &["grpc"])),
        FaultKind::GrpcStatus(name, status) | FaultKind::LateGrpcStatus(name, status)
            if *status > 0 =>
        {
            Some((name, &["grpc"]))
        }
        _ => None,
    }
}
