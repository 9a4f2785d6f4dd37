//! Checks the order of faults: a key must be published before it signs, a successor must be trusted
//! before it issues, and faults of the same thing must not overlap.

use std::collections::{BTreeMap, BTreeSet};

use super::error::Errors;
use super::fault::{Affected, Affects, Authority, Change, Fault, FaultKind};
use super::{Cell, FIRST_ENVELOPE_KEY, FIRST_KEY, Scenario};

/// Follows the timeline and finds faults that are impossible at their time.
pub(super) fn check(scenario: &Scenario, errors: &mut Errors<'_>) {
    let mut state = State::new(scenario);
    for fault in &scenario.faults {
        if let Some((field, problem)) = state.step(&fault.kind) {
            errors.at_line(fault.line, &format!("fault.{field}"), problem);
        }
    }
    overlaps(scenario, errors);
}

/// A field, and what is wrong with it.
type Problem = (&'static str, String);

/// What the faults so far have changed for good.
struct State<'a> {
    /// The keys that each identity provider publishes, once a fault has changed them.
    keys: BTreeMap<&'a str, BTreeSet<&'a str>>,
    authorities: BTreeMap<Authority, Succession>,
    envelope_keys: BTreeSet<&'a str>,
    /// The endpoints that the registry lists, by cell.
    listed: BTreeMap<&'a str, BTreeSet<String>>,
    cells: &'a [Cell],
}

/// The successors of an authority, counted from 0, which is the first one.
#[derive(Clone, Copy, Default)]
struct Succession {
    newest: u32,
    issuing: u32,
    /// All from this one on are trusted.
    trusted_from: u32,
}

impl<'a> State<'a> {
    fn new(scenario: &'a Scenario) -> Self {
        let listed = |cell: &'a Cell| (cell.id.as_str(), cell.listed_hosts().collect());
        Self {
            keys: BTreeMap::new(),
            authorities: BTreeMap::new(),
            envelope_keys: BTreeSet::from([FIRST_ENVELOPE_KEY]),
            listed: scenario.cells.iter().map(listed).collect(),
            cells: &scenario.cells,
        }
    }

    /// Takes the next fault; returns what makes it impossible.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "no other fault needs an earlier one"
    )]
    fn step(&mut self, kind: &'a FaultKind) -> Option<Problem> {
        match kind {
            FaultKind::PublishKey(host, key) => {
                let problem = || format!("{host} already publishes `{key}`");
                let added = self.published(host).insert(key);
                (!added).then(|| ("key", problem()))
            }
            FaultKind::SignWith(host, key) => {
                let problem = || {
                    format!("{host} doesn't publish `{key}` then: add a `publish_key` before it")
                };
                let known = self.published(host).contains(key.as_str());
                (!known).then(|| ("key", problem()))
            }
            FaultKind::WithdrawKey(host, key) => {
                let problem = || format!("{host} doesn't publish `{key}` then");
                let removed = self.published(host).remove(key.as_str());
                (!removed).then(|| ("key", problem()))
            }
            FaultKind::ReplaceKeys(host, key) => {
                *self.published(host) = BTreeSet::from([key.as_str()]);
                None
            }
            FaultKind::AddEnvelopeKey(kid, _) => {
                let added = self.envelope_keys.insert(kid);
                (!added).then(|| ("key", format!("`{kid}` is in the folder already")))
            }
            FaultKind::RemoveEnvelopeKey(kid) => {
                let removed = self.envelope_keys.remove(kid.as_str());
                (!removed).then(|| ("key", format!("`{kid}` isn't in the folder then")))
            }
            FaultKind::TrustNext(authority) => {
                self.authorities.entry(*authority).or_default().newest += 1;
                None
            }
            FaultKind::IssueFromNext(authority) => self.succeed(*authority, |it| &mut it.issuing),
            FaultKind::DropOld(authority) => self.succeed(*authority, |it| &mut it.trusted_from),
            FaultKind::Publish(Change::MoveEndpoint(from, to)) => self.move_endpoint(from, to),
            _ => None,
        }
    }

    fn move_endpoint(&mut self, from: &str, to: &str) -> Option<Problem> {
        let mut cells = self.cells.iter();
        let cell = cells.find(|cell| cell.hosts().any(|host| host == *from))?;
        if !cell.hosts().any(|host| host == *to) {
            return Some(("to", format!("`{to}` is no endpoint of {}", cell.id)));
        }
        let listed = self.listed.get_mut(cell.id.as_str())?;
        if !listed.remove(from) {
            return Some(("target", format!("the registry doesn't list `{from}` then")));
        }
        let added = listed.insert(to.to_owned());
        (!added).then(|| ("to", format!("the registry lists `{to}` already")))
    }

    fn published(&mut self, host: &'a str) -> &mut BTreeSet<&'a str> {
        let first = || BTreeSet::from([FIRST_KEY]);
        self.keys.entry(host).or_insert_with(first)
    }

    /// Moves one part of an authority's succession on to the newest successor.
    fn succeed(
        &mut self,
        authority: Authority,
        part: impl Fn(&mut Succession) -> &mut u32,
    ) -> Option<Problem> {
        let succession = self.authorities.entry(authority).or_default();
        let newest = succession.newest;
        let present = part(succession);
        if *present == newest {
            let name = authority.as_str();
            let problem = format!("{name} has no new successor then: add a `trust_next` before it");
            return Some(("authority", problem));
        }
        *present = newest;
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
                    "`{}` of line {} lasts until {:?}, and its end would end this fault too",
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
