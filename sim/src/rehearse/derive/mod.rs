//! Derives a scenario from a change: a world, clients, and the change in the middle of their traffic.

mod clients;
mod names;
mod router;
mod world;

use std::collections::BTreeSet;

use cellway_router::settings::{ListenerSettings, Serves};
use toml::{Table, Value};

use self::clients::Clients;
use self::names::Names;
use self::world::World;
use super::classes::Class;
use super::decisions::Decided;
use super::folder::Side;
use super::settings::{Instead, Left};
use crate::Scenario;
use crate::explore::text;

/// How many routers there are.
const ROUTERS: u64 = 2;
/// When the registry and the first router change, and when each next router does, in milliseconds.
const CHANGE_AT: u64 = 8_000;
const CHANGE_EVERY: u64 = 2_000;
/// When drawn faults are over, and how long a run goes on after it has recovered.
const CALM: u64 = 20_000;
const AFTER: u64 = 6_000;
/// How long cells answer slowly, if the change lowers the time that they may take.
const SLOW_FOR: u64 = 3_000;
/// How often routers look at their files by default.
const WATCH_SECS: u64 = 5;

/// Which scenario: the change, or one of its sides without a change.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Part {
    /// What was before, all the time.
    Before,
    /// From one to the other.
    Change,
    /// What is after, all the time.
    After,
}

/// The scenarios of one listener.
pub(super) struct Derived {
    /// The listener.
    pub(super) listener: String,
    /// The scenario without the change.
    pub(super) before: Table,
    /// The scenario with it.
    pub(super) change: Table,
    /// The scenario after it.
    pub(super) after: Option<Table>,
    /// Whether the control plane may publish further documents in between.
    pub(super) registry_faults: bool,
    /// The clients: their names, and the positions of their classes.
    pub(super) clients: Vec<Known>,
    /// What is known of the scenario's limits.
    pub(super) remarks: Vec<String>,
}

/// What is known of a client.
pub(super) struct Known {
    pub(super) name: String,
    /// The position of its class.
    pub(super) class: Option<usize>,
    /// Why requests of its path are refused, on one side or the other.
    pub(super) denials: BTreeSet<String>,
}

/// One scenario for each listener that forwards requests, on both sides.
pub(super) fn derive(
    old: &Side,
    new: &Side,
    classes: &[Class],
    decided: &Decided,
    registry_changes: bool,
    left: &mut Left,
) -> Vec<Derived> {
    let mut all = Vec::new();
    for listener in &old.settings.listeners {
        let name = &listener.name;
        let setting = format!("listener {name}");
        let skip = |left: &mut Left, why: &str| left.add(Instead::Decisions, why, &setting);
        if listener.serves != Serves::Proxy {
            skip(left, "no simulated Envoy asks");
            continue;
        }
        let mut others = new.settings.listeners.iter();
        let Some(other) = others.find(|other| other.name == *name) else {
            skip(left, "the other side doesn't have it");
            continue;
        };
        let ends = Ends {
            old: (old, listener),
            new: (new, other),
            classes,
            decided,
            registry_changes,
        };
        match ends.derive(left) {
            Ok(derived) => all.push(derived),
            Err(why) => skip(left, &why),
        }
    }
    let known = |name: &str| old.settings.listeners.iter().any(|it| *it.name == *name);
    for listener in new.settings.listeners.iter().filter(|it| !known(&it.name)) {
        let setting = format!("listener {}", listener.name);
        left.add(
            Instead::Decisions,
            "the other side doesn't have it",
            &setting,
        );
    }
    all
}

/// Both ends of a change, for one listener.
pub(super) struct Ends<'a> {
    old: (&'a Side, &'a ListenerSettings),
    new: (&'a Side, &'a ListenerSettings),
    classes: &'a [Class],
    decided: &'a Decided,
    registry_changes: bool,
}

impl Ends<'_> {
    fn derive(&self, left: &mut Left) -> Result<Derived, String> {
        let mut names = Names::default();
        let world = World::new(self, &mut names, left)?;
        let clients = Clients::new(self, &world, &mut names)?;
        let mut settings = [self.old, self.new]
            .map(|(side, listener)| router::settings(side, listener, &world, &mut names, left));
        router::envelopes_fit(&mut settings, left);
        let slow = self.slow_answers();
        let listener = self.old.1.name.to_string();
        let scenario = |part: Part, settings: &[Table; 2]| {
            let faults = self.faults(part, settings, &world, slow);
            self.scenario(part, settings, &world, &clients, (faults, slow))
        };
        // What the simulator refuses in one way or another is named, and left out.
        for _ in 0..router::TRIES_MAX {
            let parts = [Part::Change, Part::Before];
            let parsed = parts
                .map(|part| Scenario::parse("rehearsal.toml", &text(&scenario(part, &settings))));
            let Some(errors) = parsed.into_iter().find_map(Result::err) else {
                return Ok(Derived {
                    listener,
                    before: scenario(Part::Before, &settings),
                    after: Some(scenario(Part::After, &settings))
                        .filter(|it| Scenario::parse("after.toml", &text(it)).is_ok()),
                    change: scenario(Part::Change, &settings),
                    registry_faults: !world.shrinks,
                    clients: clients.known(),
                    remarks: [
                        world.remarks.clone(),
                        clients.remarks.clone(),
                        slow_told(slow),
                    ]
                    .concat(),
                });
            };
            if !router::without_refused(&mut settings, &errors, left) {
                return Err(format!("the simulator can't run it: {errors}"));
            }
        }
        Err("the simulator refuses too many of its settings".to_owned())
    }

    /// How long cells take for a while, if the change lowers the time that they may take: more than they may
    /// take after it, and less than they may take before.
    fn slow_answers(&self) -> Option<u64> {
        let header = |(side, listener): (&Side, &ListenerSettings)| {
            let times = listener.traffic.timeouts(&side.settings.upstream.timeouts);
            u64::try_from(times.header.as_millis()).unwrap_or(u64::MAX)
        };
        let (before, after) = (header(self.old), header(self.new));
        (after < before).then(|| ((before + after) / 2).min(after + 1_500))
    }

    fn faults(
        &self,
        part: Part,
        settings: &[Table; 2],
        world: &World,
        slow: Option<u64>,
    ) -> Vec<Value> {
        let mut faults = Vec::new();
        if part == Part::Change && self.registry_changes {
            faults.push(fault(
                CHANGE_AT,
                "publish",
                [
                    ("document", "registry".into()),
                    ("registry", Value::Table(world.next.clone())),
                ],
            ));
        }
        let [before, after] = settings;
        if part == Part::Change && before != after {
            for n in 0..ROUTERS {
                let at = CHANGE_AT + n * CHANGE_EVERY;
                faults.push(fault(
                    at,
                    "replace_configuration",
                    [
                        ("target", format!("router-{}", n + 1).into()),
                        ("settings", Value::Table(after.clone())),
                    ],
                ));
            }
        }
        if let Some(delay) = slow {
            for cell in &world.cells {
                let mut fault = fault(
                    self.slow_at(),
                    "slow",
                    [("target", cell.clone().into()), ("delay", millis(delay))],
                );
                if let Some(fault) = fault.as_table_mut() {
                    fault.insert("for".to_owned(), millis(SLOW_FOR));
                }
                faults.push(fault);
            }
        }
        faults
    }

    fn scenario(
        &self,
        part: Part,
        [before, after]: &[Table; 2],
        world: &World,
        clients: &Clients,
        (faults, slow): (Vec<Value>, Option<u64>),
    ) -> Table {
        let settings = match part {
            Part::Before | Part::Change => before,
            Part::After => after,
        };
        let about = match part {
            Part::Before => "Before the change.",
            Part::Change => "The change, in the middle of traffic.",
            Part::After => "After the change.",
        };
        let recovery = self.recovery();
        let calm = slow.map_or(CALM, |_| CALM.max(self.slow_at() + SLOW_FOR));
        let timeout = slow.unwrap_or_default() + 10_000;
        let expect = table([
            ("recovery", millis(recovery)),
            ("refused_at_end", clients.refused(part).into()),
        ]);
        table([
            ("about", about.into()),
            ("duration", millis(calm + recovery + AFTER)),
            ("engine", "events".into()),
            ("world", world.table(part).into()),
            ("router", settings.clone().into()),
            ("workload", clients.workload(timeout).into()),
            ("fault", faults.into()),
            ("expect", expect.into()),
        ])
    }

    /// How often routers look at their files, in milliseconds.
    fn watch(&self) -> u64 {
        let of = |side: &Side| {
            let runtime = side.table.get("runtime");
            let watch = runtime.and_then(|it| it.get("watch_secs")?.as_integer());
            watch.and_then(|secs| u64::try_from(secs).ok())
        };
        let watches = [self.old.0, self.new.0].map(|side| of(side).unwrap_or(WATCH_SECS));
        watches.into_iter().max().unwrap_or(WATCH_SECS) * 1_000
    }

    /// When cells begin to answer slowly: all routers have the new settings by then.
    fn slow_at(&self) -> u64 {
        CHANGE_AT + CHANGE_EVERY * ROUTERS + self.watch() + 1_000
    }

    /// How long after the last fault everything must work again: routers need time to notice a change.
    fn recovery(&self) -> u64 {
        let polls = [self.old.0, self.new.0].map(|side| {
            let timing = &side.settings.sources.registry.timing;
            timing.poll_interval.as_millis().max(2_000)
        });
        let polls = polls.into_iter().max().unwrap_or_default();
        12_000 + u64::try_from(polls).unwrap_or(60_000).min(60_000) * 2 + self.watch()
    }
}

/// What slow answers are there for.
fn slow_told(slow: Option<u64>) -> Vec<String> {
    let told = |delay| {
        format!(
            "the change lowers the time that cells may take for an answer, so for {SLOW_FOR} ms all cells take {delay} ms"
        )
    };
    slow.map(told).into_iter().collect()
}

fn fault<const N: usize>(at: u64, kind: &str, fields: [(&str, Value); N]) -> Value {
    let mut fault = table(fields);
    fault.insert("at".to_owned(), millis(at));
    fault.insert("kind".to_owned(), kind.into());
    Value::Table(fault)
}

fn millis(millis: u64) -> Value {
    format!("{millis}ms").into()
}

fn table<const N: usize>(fields: [(&str, Value); N]) -> Table {
    let fields = fields.into_iter();
    fields
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

#[cfg(test)]
mod tests;
