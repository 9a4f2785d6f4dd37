//! What the change does to traffic: requests that are lost, and invariants that break.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::classes::Class;
use super::derive::{Derived, Known, Part};

/// An answer of a request that was still open at the end of a run.
const OPEN: &str = "(still open)";

/// What the change does to the traffic of one listener.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[non_exhaustive]
pub struct Traffic {
    /// The listener.
    pub listener: String,
    /// How many runs there were with the change.
    pub runs: usize,
    /// How many of them had further faults.
    pub runs_with_faults: usize,
    /// How many requests they sent.
    pub requests: u64,
    /// Requests that were lost.
    pub lost: Vec<Lost>,
    /// What was broken.
    pub broken: Vec<Broken>,
    /// Where the simulated world is smaller than the real one.
    pub remarks: Vec<String>,
}

/// Requests of a class that failed with the change, although neither side refuses them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct Lost {
    /// The class of tenants.
    pub class: String,
    /// How many tenants it has.
    pub tenants: usize,
    /// How many.
    pub requests: u64,
    /// How many without the change, in as many runs.
    pub without_change: u64,
    /// How many requests the class has sent.
    pub of: u64,
    /// What their clients were answered, and how often.
    pub answers: BTreeMap<String, u64>,
    /// Whether the runs had further faults.
    pub with_faults: bool,
    /// Whether this is enough to blame the change.
    pub counts: bool,
}

/// An invariant that a run has broken.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct Broken {
    /// The invariant.
    pub invariant: String,
    /// How many runs have broken it.
    pub runs: usize,
    /// The story of the first: what was found, the request, the faults, and the command that replays it.
    pub story: String,
    /// Whether the runs had further faults.
    pub with_faults: bool,
    /// Whether it breaks without the change too.
    pub without_change: bool,
}

/// What one run has shown.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// How often each client got each answer.
    pub answers: BTreeMap<(String, String), u64>,
    /// The reasons of the routers' decisions.
    pub reasons: BTreeSet<String>,
    /// The first thing that broke, and its story.
    pub broken: Option<(String, String)>,
}

/// Counts what runs have shown.
#[derive(Debug, Default)]
pub(super) struct Tally {
    runs: BTreeMap<(Part, bool), Runs>,
}

#[derive(Debug, Default)]
struct Runs {
    count: usize,
    answers: BTreeMap<(String, String), u64>,
    reasons: BTreeSet<String>,
    /// How often each invariant was broken, and the first story.
    broken: BTreeMap<String, (usize, String)>,
}

impl Tally {
    /// Takes a run.
    pub(super) fn add(&mut self, part: Part, with_faults: bool, seen: Seen) {
        let runs = self.runs.entry((part, with_faults)).or_default();
        runs.count += 1;
        for (key, count) in seen.answers {
            *runs.answers.entry(key).or_default() += count;
        }
        runs.reasons.extend(seen.reasons);
        if let Some((name, story)) = seen.broken {
            let known = runs.broken.entry(name).or_insert_with(|| (0, story));
            known.0 += 1;
        }
    }

    /// What it comes to.
    pub(super) fn traffic(&self, derived: &Derived, classes: &[Class]) -> Traffic {
        let changed = [false, true].map(|faults| self.of(Part::Change, faults));
        let changed = changed.into_iter().flatten();
        let all: u64 = changed.clone().flat_map(|it| it.answers.values()).sum();
        let lost = [false, true].into_iter();
        Traffic {
            listener: derived.listener.clone(),
            runs: changed.map(|it| it.count).sum(),
            runs_with_faults: self.of(Part::Change, true).map_or(0, |it| it.count),
            requests: all,
            lost: lost
                .flat_map(|faults| self.lost(derived, classes, faults))
                .collect(),
            broken: self.broken(),
            remarks: derived.remarks.clone(),
        }
    }

    fn of(&self, part: Part, with_faults: bool) -> Option<&Runs> {
        self.runs.get(&(part, with_faults))
    }

    /// Whether one side or the other answers this client so by a decision, without any fault.
    fn is_decided(&self, client: Option<&Known>, key: &(String, String)) -> bool {
        let answer = &key.1;
        let sides = [Part::Before, Part::After].map(|part| self.of(part, false));
        let mut sides = sides.into_iter().flatten();
        answer == "ok"
            || client.is_some_and(|client| client.denials.contains(answer))
            || sides.any(|it| it.reasons.contains(answer) && it.answers.contains_key(key))
    }

    fn lost(&self, derived: &Derived, classes: &[Class], with_faults: bool) -> Vec<Lost> {
        let Some(change) = self.of(Part::Change, with_faults) else {
            return Vec::new();
        };
        let before = self.of(Part::Before, with_faults);
        let clients: BTreeMap<&String, &Known> =
            derived.clients.iter().map(|it| (&it.name, it)).collect();
        let class_of = |client: &String| clients.get(client).and_then(|it| it.class);
        let failed = |key: &(String, String)| {
            key.1 != OPEN && !self.is_decided(clients.get(&key.0).copied(), key)
        };
        let mut lost: BTreeMap<Option<usize>, Failures> = BTreeMap::new();
        for (at, runs) in [Some(change), before].into_iter().enumerate() {
            let answers = runs.into_iter().flat_map(|it| &it.answers);
            for (key, count) in answers.filter(|(key, _)| failed(key)) {
                let of = lost.entry(class_of(&key.0)).or_default();
                of.0[at] += count;
                if at == 0 {
                    *of.1.entry(key.1.clone()).or_default() += count;
                }
            }
        }
        let sent = |class: Option<usize>| {
            let answers = change.answers.iter();
            let theirs = answers.filter(|((client, _), _)| class_of(client) == class);
            theirs.map(|(_, count)| count).sum()
        };
        let total = |at: usize| lost.values().map(|(counts, _)| counts[at]).sum();
        let all = is_blamed(total(0), total(1), with_faults);
        let lost = lost.into_iter().filter(|(_, ([with, _], _))| *with > 0);
        lost.map(|(class, ([with, without], answers))| {
            let known = class.map(|at| &classes[at]);
            Lost {
                class: known.map_or("callers of no listed tenant".to_owned(), |it| {
                    it.name.clone()
                }),
                tenants: known.map_or(0, |it| it.tenants),
                requests: with,
                without_change: without,
                of: sent(class),
                answers,
                with_faults,
                counts: all && is_blamed(with, without, with_faults),
            }
        })
        .collect()
    }

    fn broken(&self) -> Vec<Broken> {
        let mut all = Vec::new();
        for with_faults in [false, true] {
            let names = |part: Part| {
                let broken = self.of(part, with_faults).map(|it| &it.broken);
                broken.into_iter().flatten()
            };
            let before: BTreeSet<_> = names(Part::Before).map(|(name, _)| name).collect();
            let change: BTreeSet<_> = names(Part::Change).map(|(name, _)| name).collect();
            let only_before = names(Part::Before).filter(|(name, _)| !change.contains(name));
            for (name, (runs, story)) in names(Part::Change).chain(only_before) {
                all.push(Broken {
                    invariant: name.clone(),
                    runs: *runs,
                    story: story.clone(),
                    with_faults,
                    without_change: before.contains(name),
                });
            }
        }
        all
    }
}

/// How many requests of a class fail with the change and without it, and with it by their answers.
type Failures = ([u64; 2], BTreeMap<String, u64>);

/// Whether so many failures with the change and without it are enough to blame the change. Drawn faults lose
/// requests of their own, in each run a few more or fewer: only a tenth and three more count.
fn is_blamed(with: u64, without: u64, with_faults: bool) -> bool {
    match with_faults {
        false => with > without,
        true => with > without + without / 10 + 3,
    }
}
