//! Draws a scenario from a seed: a world, settings of the routers, a workload, and a schedule of faults.
//!
//! Only what a real operator or network could do is drawn. What must hold comes from the invariants alone,
//! and everything that was done is undone before the end, so that every run must recover.

mod dice;
mod faults;
mod settings;
mod workload;
mod world;

use toml::{Table, Value};

use self::dice::{Dice, millis, set, table, tables};
use self::faults::{CALM, Schedule};
use self::workload::Workload;
use self::world::World;
use super::is_scenario;

/// How long after the last fault everything must work again, and how long a run goes on after that, in
/// milliseconds.
const RECOVERY: u64 = 12_000;
const AFTER: u64 = 4_000;

/// The scenario of this seed.
pub fn draw(seed: u64) -> Table {
    let world = World::draw(seed);
    let workload = Workload::draw(seed, &world);
    let (faults, errors) = Schedule::draw(seed, &world, &workload.clients);
    let errors: Vec<Value> = errors.into_iter().map(Value::from).collect();
    let mut expect = table([("recovery", millis(RECOVERY)), ("errors", errors.into())]);
    let refused: Vec<Value> = workload.refused.into_iter().map(Value::from).collect();
    if !refused.is_empty() {
        set(&mut expect, "refused_at_end", refused);
    }
    table([
        ("about", format!("Drawn from seed {seed}.").into()),
        ("duration", millis(CALM + RECOVERY + AFTER)),
        // The quick one, whose network can do more.
        ("engine", "events".into()),
        ("world", world.table().into()),
        ("router", settings::draw(seed).into()),
        (
            "workload",
            table([("client", tables(workload.clients))]).into(),
        ),
        ("fault", tables(faults)),
        ("expect", expect.into()),
    ])
}

/// A variation of a scenario: the same world and clients, with further faults and other settings. What the
/// scenario expects of its own faults is left out, so only invariants judge it.
pub fn vary(start: &Table, seed: u64) -> Table {
    let mut varied = start.clone();
    let dice = &mut Dice::new(seed, "vary");
    let faults = list(start, "fault");
    let kept: Vec<Value> = faults.iter().filter(|_| dice.chance(70)).cloned().collect();
    set(&mut varied, "fault", kept);
    settings::change(seed, &mut varied);
    if let Some(expect) = varied.get_mut("expect").and_then(Value::as_table_mut) {
        expect.remove("answers");
        expect.remove("events");
    }
    let (drawn, errors) = Schedule::draw(seed, &World::of(start), &clients_of(start));
    add(&mut varied, drawn, &errors);
    match is_scenario(&varied) {
        true => varied,
        // Without a fault or a setting of its own it is no scenario.
        false => start.clone(),
    }
}

/// The same scenario with further faults, and otherwise as it is. `registry`: whether the control plane may
/// publish documents of its own between those of the scenario.
pub fn with_faults(start: &Table, seed: u64, registry: bool) -> Table {
    let (mut drawn, errors) = Schedule::draw(seed, &World::of(start), &clients_of(start));
    let publishes = |fault: &Table| fault.get("kind").and_then(Value::as_str) == Some("publish");
    drawn.retain(|fault| registry || !publishes(fault));
    let mut more = start.clone();
    add(&mut more, drawn, &errors);
    more
}

fn clients_of(start: &Table) -> Vec<Table> {
    let clients = start.get("workload").and_then(Value::as_table);
    let clients = clients.map_or_else(Vec::new, |workload| list(workload, "client"));
    clients
        .into_iter()
        .filter_map(|it| it.as_table().cloned())
        .collect()
}

/// Adds drawn faults. One that would overlap with one of the scenario's own is left out.
fn add(scenario: &mut Table, drawn: Vec<Table>, errors: &[&'static str]) {
    if let Some(expect) = scenario.get_mut("expect").and_then(Value::as_table_mut) {
        let mut all = list(expect, "errors");
        all.extend(errors.iter().copied().map(Value::from));
        set(expect, "errors", all);
    }
    for fault in drawn {
        let mut more = list(scenario, "fault");
        more.push(Value::Table(fault));
        let mut with = scenario.clone();
        set(&mut with, "fault", more);
        if is_scenario(&with) {
            *scenario = with;
        }
    }
}

fn list(table: &Table, name: &str) -> Vec<Value> {
    let list = table.get(name).and_then(Value::as_array);
    list.cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests;
