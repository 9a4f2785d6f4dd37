//! The endpoints of cells, and when each may fail to serve.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::DELIVERY_SLACK;
use crate::invariants::{EndpointTrouble, Endpoints, Harm, RouterSettings, SettingsInForce};
use crate::scenario::{Authority, Cell, Change, Fault, FaultKind, Scenario};

/// How many interim answers an HTTP/1.1 cell may send before one answer.
pub(super) const INTERIM_ANSWERS_TAKEN: u32 = 100;

/// When each endpoint of a cell may fail to serve.
pub(super) fn of(scenario: &Scenario, settings: &SettingsInForce) -> Endpoints {
    let cells = scenario.cells.iter();
    let hosts: BTreeMap<_, BTreeSet<_>> = cells
        .map(|cell| (cell.id.clone(), cell.hosts().collect()))
        .collect();
    let known: BTreeSet<_> = hosts.values().flatten().cloned().collect();
    let mut troubles = Vec::new();
    for fault in &scenario.faults {
        let Some((named, until)) = named(scenario, settings, fault) else {
            continue;
        };
        let hosts = match named {
            Named::All => known.iter().cloned().collect(),
            Named::These(names) => {
                let hosts = names.into_iter().flat_map(|name| scenario.hosts_of(name));
                hosts
                    .filter(|host| known.contains(host))
                    .collect::<Vec<_>>()
            }
        };
        let harm = harm(settings, &fault.kind);
        troubles.extend(hosts.into_iter().map(|host| EndpointTrouble {
            host,
            from: fault.at,
            until,
            harm,
        }));
    }
    troubles.extend(unlisted(scenario, settings));
    troubles.extend(without_envelope_keys(scenario, &known));
    Endpoints { hosts, troubles }
}

/// What a fault is about.
enum Named<'a> {
    /// Hosts and cells.
    These(Vec<&'a str>),
    /// All endpoints.
    All,
}

/// Which endpoints may fail because of this fault, and until when. `None` if none may.
fn named<'a>(
    scenario: &Scenario,
    settings: &SettingsInForce,
    fault: &'a Fault,
) -> Option<(Named<'a>, Duration)> {
    let soon = fault.until + DELIVERY_SLACK;
    match &fault.kind {
        // It closes connections, but it accepts new ones.
        FaultKind::GoAway(_) => None,
        // It answers, whatever it reads.
        FaultKind::AnswerEarly(_) | FaultKind::AnswerUnread(_) => None,
        // It serves as many as it allows.
        FaultKind::FewStreams(..) => None,
        FaultKind::EarlyHints(_, hints) if *hints <= INTERIM_ANSWERS_TAKEN => None,
        FaultKind::Crash(name)
        | FaultKind::Slow(name, _)
        | FaultKind::SlowDns(name, _)
        | FaultKind::NoDns(name)
        | FaultKind::Status(name, _)
        | FaultKind::Unavailable(name, _)
        | FaultKind::Busy(name, _)
        | FaultKind::GrpcStatus(name, _)
        | FaultKind::LateGrpcStatus(name, _)
        | FaultKind::NotServing(name)
        | FaultKind::EarlyHints(name, _)
        | FaultKind::Hang(name)
        | FaultKind::Deaf(name)
        | FaultKind::Garbage(name)
        | FaultKind::Flap(name)
        | FaultKind::Reset(name)
        | FaultKind::BreakOff(name)
        | FaultKind::RefuseConnections(name)
        | FaultKind::RefuseStreams(name)
        | FaultKind::WrongCertificate(name, _)
        | FaultKind::ClockSkew(name, _)
        | FaultKind::ClockDrift(name, _) => Some((Named::These(vec![name]), soon)),
        FaultKind::HalfOpen(name) => Some((Named::These(vec![name]), soon + silent_for(settings))),
        FaultKind::Partition([a, b])
        | FaultKind::OneWayPartition([a, b])
        | FaultKind::Stalls([a, b], _)
        | FaultKind::Latency([a, b], _) => Some((Named::These(vec![a, b]), soon)),
        FaultKind::ExpiringCertificate(name, _) => {
            Some((Named::These(vec![name]), scenario.duration))
        }
        FaultKind::TrustNext(Authority::Cells)
        | FaultKind::IssueFromNext(Authority::Cells)
        | FaultKind::DropOld(Authority::Cells) => {
            let reload = settings.longest(|it| it.reload_within);
            Some((Named::All, fault.at + reload))
        }
        _ => None,
    }
}

/// How long a connection that an endpoint never answers may get requests after the fault.
pub(super) fn silent_for(settings: &SettingsInForce) -> Duration {
    settings.longest(|it| it.timeouts.header)
}

/// What a fault of an endpoint may do to requests.
fn harm(settings: &SettingsInForce, kind: &FaultKind) -> Harm {
    let answers = |listed: &dyn Fn(&RouterSettings) -> bool| match settings.all().any(listed) {
        true => Harm::Answers,
        false => Harm::Excused,
    };
    match kind {
        FaultKind::Status(_, status) => answers(&|it| it.outlier.statuses.contains(status)),
        FaultKind::Unavailable(..) => answers(&|it| it.outlier.statuses.contains(&503)),
        FaultKind::GrpcStatus(_, status) => {
            answers(&|it| it.outlier.grpc_statuses.contains(status))
        }
        // After a message the status says nothing about the endpoint.
        FaultKind::LateGrpcStatus(..) => Harm::Excused,
        FaultKind::NotServing(_) => Harm::Excused,
        FaultKind::Slow(..)
        | FaultKind::Busy(..)
        | FaultKind::Hang(_)
        | FaultKind::EarlyHints(..)
        | FaultKind::Flap(_)
        | FaultKind::Reset(_)
        | FaultKind::BreakOff(_)
        | FaultKind::RefuseStreams(_) => Harm::Answers,
        _ => Harm::Connections,
    }
}

/// How long a cell may take to get the published keys: a fetch that times out, and one that doesn't.
const KEYS_WITHIN: Duration = Duration::from_secs(5);

/// When endpoints may take long because they have no keys for envelopes: each fetches them from the first
/// router when it starts, and again when they are too old.
fn without_envelope_keys(scenario: &Scenario, hosts: &BTreeSet<String>) -> Vec<EndpointTrouble> {
    let Some(page) = scenario
        .routers
        .first()
        .filter(|_| scenario.seals_envelopes())
    else {
        return Vec::new();
    };
    let is_page = |name: &String| name == page;
    let mut spans = vec![(Named::All, Duration::ZERO, KEYS_WITHIN)];
    for fault in &scenario.faults {
        let named = match &fault.kind {
            FaultKind::Crash(name) if !is_page(name) => Named::These(vec![name]),
            FaultKind::Crash(name)
            | FaultKind::Drain(name)
            | FaultKind::ClockSkew(name, _)
            | FaultKind::ClockDrift(name, _)
                if is_page(name) =>
            {
                Named::All
            }
            FaultKind::Partition([a, b])
            | FaultKind::OneWayPartition([a, b])
            | FaultKind::Stalls([a, b], _)
            | FaultKind::Latency([a, b], _)
                if is_page(a) || is_page(b) =>
            {
                Named::These(vec![a, b])
            }
            _ => continue,
        };
        spans.push((named, fault.at, fault.until + KEYS_WITHIN));
    }
    let troubles = spans.into_iter().flat_map(|(named, from, until)| {
        let named = match named {
            Named::All => hosts.iter().cloned().collect::<Vec<_>>(),
            Named::These(names) => {
                let named = names.into_iter().flat_map(|name| scenario.hosts_of(name));
                named.filter(|host| hosts.contains(host)).collect()
            }
        };
        named.into_iter().map(move |host| EndpointTrouble {
            host,
            from,
            until,
            harm: Harm::Answers,
        })
    });
    troubles.collect()
}

/// When routers may not know an endpoint because the registry doesn't list it.
fn unlisted(scenario: &Scenario, settings: &SettingsInForce) -> Vec<EndpointTrouble> {
    let fetched = settings.longest(|it| it.registry.within);
    let spare = |cell: &Cell| cell.hosts().skip(cell.listed as usize).collect::<Vec<_>>();
    let mut since: BTreeMap<String, Duration> = scenario
        .cells
        .iter()
        .flat_map(spare)
        .map(|host| (host, Duration::ZERO))
        .collect();
    let mut troubles = Vec::new();
    for fault in &scenario.faults {
        let FaultKind::Publish(change) = &fault.kind else {
            continue;
        };
        let (listed, gone) = match change {
            Change::MoveEndpoint(from, to) => (vec![to.clone()], vec![from.clone()]),
            Change::Registry(registry) => {
                let listed: Vec<_> = registry.cells.iter().flat_map(|it| &it.endpoints).collect();
                let hosts = scenario.cells.iter().flat_map(Cell::hosts);
                let unlisted = |host: &String| !listed.contains(&host) && !since.contains_key(host);
                let gone = hosts.filter(unlisted).collect();
                (listed.into_iter().cloned().collect(), gone)
            }
            _ => continue,
        };
        for host in listed {
            if let Some(from) = since.remove(&host) {
                troubles.push(EndpointTrouble {
                    host,
                    from,
                    until: fault.at + fetched,
                    harm: Harm::Excused,
                });
            }
        }
        since.extend(gone.into_iter().map(|host| (host, fault.at)));
    }
    let until = scenario.duration;
    let rest = since.into_iter();
    troubles.extend(rest.map(|(host, from)| EndpointTrouble {
        host,
        from,
        until,
        harm: Harm::Excused,
    }));
    troubles
}
