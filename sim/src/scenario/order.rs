//! Checks what faults depend on: a key that is published, a successor that is trusted, a host that
//! no other fault changes.

use std::collections::{BTreeMap, BTreeSet};

use super::error::Errors;
use super::fault::{Affected, Affects, Authority, Fault, FaultKind};
use super::{FIRST_ENVELOPE_KEY, FIRST_KEY, Scenario};

/// Follows the timeline and finds faults that are impossible at their time.
pub(super) fn check(scenario: &Scenario, errors: &mut Errors<'_>) {
    let mut keys = Keys::default();
    let mut authorities = Authorities::default();
    let mut envelope_keys = BTreeSet::from([FIRST_ENVELOPE_KEY]);
    for fault in &scenario.faults {
        let problem = match &fault.kind {
            FaultKind::AddEnvelopeKey(kid, _) if !envelope_keys.insert(kid) => {
                Some(("key", format!("`{kid}` is in the folder already")))
            }
            FaultKind::RemoveEnvelopeKey(kid) if !envelope_keys.remove(kid.as_str()) => {
                Some(("key", format!("`{kid}` isn't in the folder then")))
            }
            kind => keys.step(kind).or_else(|| authorities.step(kind)),
        };
        if let Some((field, problem)) = problem {
            errors.at_line(fault.line, &format!("fault.{field}"), problem);
        }
    }
    overlaps(scenario, errors);
}

/// A field, and what is wrong with it.
type Problem = (&'static str, String);

/// The keys that each identity provider publishes, once a fault has changed them.
#[derive(Default)]
struct Keys<'a>(BTreeMap<&'a str, BTreeSet<&'a str>>);

impl<'a> Keys<'a> {
    fn step(&mut self, kind: &'a FaultKind) -> Option<Problem> {
        let (host, key) = match kind {
            FaultKind::PublishKey(host, key)
            | FaultKind::SignWith(host, key)
            | FaultKind::WithdrawKey(host, key)
            | FaultKind::ReplaceKeys(host, key) => (host.as_str(), key.as_str()),
            _ => return None,
        };
        let first = || BTreeSet::from([FIRST_KEY]);
        let published = self.0.entry(host).or_insert_with(first);
        let problem = match kind {
            FaultKind::PublishKey(..) if !published.insert(key) => {
                format!("{host} publishes `{key}` already")
            }
            FaultKind::SignWith(..) if !published.contains(key) => {
                format!("{host} doesn't publish `{key}` then: add a `publish_key` before it")
            }
            FaultKind::WithdrawKey(..) if !published.remove(key) => {
                format!("{host} doesn't publish `{key}` then")
            }
            FaultKind::ReplaceKeys(..) => {
                *published = BTreeSet::from([key]);
                return None;
            }
            _ => return None,
        };
        Some(("key", problem))
    }
}

/// For each authority: the number of successors, the one that issues, and the first one that is
/// trusted.
#[derive(Default)]
struct Authorities(BTreeMap<Authority, [u32; 3]>);

impl Authorities {
    fn step(&mut self, kind: &FaultKind) -> Option<Problem> {
        let (authority, step) = match kind {
            FaultKind::TrustNext(authority) => {
                self.0.entry(*authority).or_default()[0] += 1;
                return None;
            }
            FaultKind::IssueFromNext(authority) => (authority, 1),
            FaultKind::DropOld(authority) => (authority, 2),
            _ => return None,
        };
        let line = self.0.entry(*authority).or_default();
        if line[step] == line[0] {
            let name = authority.as_str();
            let problem = format!("{name} has no new successor then: add a `trust_next` before it");
            return Some(("authority", problem));
        }
        line[step] = line[0];
        None
    }
}

/// Finds overlapping faults of the same thing: the end of one would end the other.
fn overlaps(scenario: &Scenario, errors: &mut Errors<'_>) {
    let mut held: BTreeMap<String, &Fault> = BTreeMap::new();
    for fault in scenario
        .faults
        .iter()
        .filter(|fault| fault.until > fault.at)
    {
        for thing in affected(scenario, &fault.kind) {
            let before = held.insert(thing, fault);
            if let Some(before) = before.filter(|before| before.until > fault.at) {
                let problem = format!(
                    "`{}` of line {} lasts until {:?}, and its end would be this fault's too",
                    before.kind, before.line, before.until
                );
                errors.at_line(fault.line, "fault.at", problem);
                break;
            }
        }
    }
}

/// What a lasting fault changes, and changes back at its end, on each host or link.
fn affected(scenario: &Scenario, kind: &FaultKind) -> Vec<String> {
    match kind.affects() {
        None => Vec::new(),
        Some(Affected::Host(what, name)) => {
            let hosts = scenario.hosts_of(name).into_iter();
            hosts.map(|host| format!("{what} of {host}")).collect()
        }
        Some(Affected::Link(what, [a, b])) => {
            let others = scenario.hosts_of(b);
            let pair = |a: &String, b: &String| format!("{what} {} {}", a.min(b), a.max(b));
            let hosts = scenario.hosts_of(a).into_iter();
            hosts
                .flat_map(|a| others.iter().map(move |b| pair(&a, b)).collect::<Vec<_>>())
                .collect()
        }
    }
}
