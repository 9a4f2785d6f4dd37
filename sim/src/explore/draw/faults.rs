//! Draws a schedule of faults, and of what operators do meanwhile.
//!
//! Each seed uses a few kinds of faults, often several times ("swarm testing"): kinds that are always
//! drawn together hide what each of them would show alone. Everything is undone before the run ends, so
//! that every client with good credentials must be served again.

use std::collections::BTreeMap;

use toml::Table;

use super::dice::{Dice, millis, set, table};
use super::world::World;

/// When the first fault begins, and when the last one is over, in milliseconds.
const BEGIN: u64 = 3_000;
pub(super) const CALM: u64 = 20_000;

/// Draws one fault of a kind, or the steps of an operator.
type Draw = fn(&mut Schedule, &mut Dice, &World);

const KINDS: [Draw; 26] = [
    crash_cell,
    crash_router,
    drain_router,
    crash_service,
    partition,
    latency,
    slow,
    broken_cell,
    broken_cell,
    http2_cell,
    keys,
    rotation,
    suspension,
    revocation,
    certificate,
    clock,
    disk,
    one_way_partition,
    stalls,
    dns,
    lagging_replica,
    refused_document,
    moved_tenant,
    cell_state,
    expiring_certificate,
    one_apart,
];

/// The faults so far.
pub(super) struct Schedule {
    faults: Vec<Table>,
    /// ERROR-level events that they provoke.
    errors: Vec<&'static str>,
    /// The clients, whose credentials may be revoked.
    clients: Vec<(String, String)>,
    /// Until when each thing has a fault already. The end of one would undo the other.
    busy: BTreeMap<String, u64>,
}

impl Schedule {
    pub(super) fn draw(
        seed: u64,
        world: &World,
        clients: &[Table],
    ) -> (Vec<Table>, Vec<&'static str>) {
        let dice = &mut Dice::new(seed, "faults");
        let mut schedule = Self {
            faults: Vec::new(),
            errors: Vec::new(),
            clients: single(clients),
            busy: BTreeMap::new(),
        };
        let mut kinds = dice.some(25, &KINDS);
        if kinds.is_empty() {
            kinds.push(*dice.pick(&KINDS));
        }
        for _ in 0..dice.between(1, 6) {
            let draw = *dice.pick(&kinds);
            draw(&mut schedule, dice, world);
        }
        schedule.errors.sort_unstable();
        schedule.errors.dedup();
        (schedule.faults, schedule.errors)
    }

    /// Takes these things for a time. `None` if one of them has a fault then.
    fn takes(&mut self, dice: &mut Dice, things: &[String], most: u64) -> Option<(u64, u64)> {
        let free = things.iter().filter_map(|thing| self.busy.get(thing)).max();
        let first = free.map_or(BEGIN, |until| until + 500);
        let at = first.max(BEGIN + dice.between(0, 12_000));
        let lasts = dice.between(200, most);
        if at + lasts > CALM {
            return None;
        }
        for thing in things {
            self.busy.insert(thing.clone(), at + lasts);
        }
        Some((at, lasts))
    }

    /// Whether a fault of this kind, or a document of this name, is drawn already.
    fn has(&self, name: &str) -> bool {
        let is = |fault: &Table, field: &str| {
            fault.get(field).and_then(toml::Value::as_str) == Some(name)
        };
        self.faults
            .iter()
            .any(|it| is(it, "kind") || is(it, "document"))
    }

    /// A fault that lasts.
    fn lasting<const N: usize>(
        &mut self,
        (at, lasts): (u64, u64),
        kind: &str,
        fields: [(&str, toml::Value); N],
    ) {
        let mut fault = table(fields);
        set(&mut fault, "at", millis(at));
        set(&mut fault, "for", millis(lasts));
        set(&mut fault, "kind", kind);
        self.faults.push(fault);
    }

    /// Something that happens at once.
    fn step<const N: usize>(&mut self, at: u64, kind: &str, fields: [(&str, toml::Value); N]) {
        let mut fault = table(fields);
        set(&mut fault, "at", millis(at));
        set(&mut fault, "kind", kind);
        self.faults.push(fault);
    }
}

fn cell_host(dice: &mut Dice, world: &World) -> String {
    let cell = dice.pick(&world.cells);
    dice.pick(&cell.hosts()).clone()
}

fn router(dice: &mut Dice, world: &World) -> String {
    dice.pick(&world.routers).clone()
}

/// An identity provider or the control plane.
fn service(dice: &mut Dice, world: &World) -> String {
    let mut services: Vec<String> = world
        .issuers
        .iter()
        .map(|name| format!("idp-{name}"))
        .collect();
    services.push("control-plane".to_owned());
    dice.pick(&services).clone()
}

fn of(target: &str) -> [(&'static str, toml::Value); 1] {
    [("target", target.into())]
}

fn crash(schedule: &mut Schedule, dice: &mut Dice, target: &str, kind: &str) {
    if let Some(time) = schedule.takes(dice, &[target.to_owned()], 8_000) {
        schedule.lasting(time, kind, of(target));
    }
}

fn crash_cell(schedule: &mut Schedule, dice: &mut Dice, world: &World) {
    let target = cell_host(dice, world);
    crash(schedule, dice, &target, "crash");
}

fn crash_router(schedule: &mut Schedule, dice: &mut Dice, world: &World) {
    let target = router(dice, world);
    crash(schedule, dice, &target, "crash");
}

fn drain_router(schedule: &mut Schedule, dice: &mut Dice, world: &World) {
    let target = router(dice, world);
    crash(schedule, dice, &target, "drain");
}

fn crash_service(schedule: &mut Schedule, dice: &mut Dice, world: &World) {
    let target = service(dice, world);
    crash(schedule, dice, &target, "crash");
}

/// A router and one of the hosts that it talks to.
fn link(dice: &mut Dice, world: &World) -> [String; 2] {
    let other = match dice.chance(60) {
        true => cell_host(dice, world),
        false => service(dice, world),
    };
    [router(dice, world), other]
}

fn partition(schedule: &mut Schedule, dice: &mut Dice, world: &World) {
    let between = link(dice, world);
    if let Some(time) = schedule.takes(dice, &[between.join("|")], 8_000) {
        schedule.lasting(time, "partition", [("between", between.to_vec().into())]);
    }
}

fn latency(schedule: &mut Schedule, dice: &mut Dice, world: &World) {
    let between = link(dice, world);
    if let Some(time) = schedule.takes(dice, &[between.join("|")], 8_000) {
        let delay = millis(dice.between(20, 800));
        let fields = [("between", between.to_vec().into()), ("delay", delay)];
        schedule.lasting(time, "latency", fields);
    }
}

fn slow(schedule: &mut Schedule, dice: &mut Dice, world: &World) {
    let target = match dice.chance(70) {
        true => cell_host(dice, world),
        false => service(dice, world),
    };
    if let Some(time) = schedule.takes(dice, std::slice::from_ref(&target), 8_000) {
        let delay = millis(dice.between(50, 3_000));
        let fields = [("target", target.into()), ("delay", delay)];
        schedule.lasting(time, "slow", fields);
    }
}

fn broken_cell(schedule: &mut Schedule, dice: &mut Dice, world: &World) {
    let target = cell_host(dice, world);
    let Some(time) = schedule.takes(dice, std::slice::from_ref(&target), 8_000) else {
        return;
    };
    let kinds = [
        "half_open",
        "reset",
        "break_off",
        "flap",
        "refuse_connections",
        "garbage",
        "deaf",
        "answer_early",
        "answer_unread",
        "status",
        "unavailable",
        "busy",
        "early_hints",
    ];
    let kind = *dice.pick(&kinds);
    let target: toml::Value = target.into();
    match kind {
        "status" => {
            let status = *dice.pick(&[403_i64, 429, 500, 502, 503]);
            let fields = [("target", target), ("status", status.into())];
            schedule.lasting(time, kind, fields);
        }
        "unavailable" => {
            let after = millis(dice.between(1, 3) * 1000);
            schedule.lasting(time, kind, [("target", target), ("retry_after", after)]);
        }
        "busy" => {
            let delay = millis(dice.between(20, 500));
            schedule.lasting(time, kind, [("target", target), ("delay", delay)]);
        }
        "early_hints" => {
            let hints = dice.between(1, 120) as i64;
            schedule.lasting(time, kind, [("target", target), ("hints", hints.into())]);
        }
        _ => schedule.lasting(time, kind, [("target", target)]),
    }
}

fn http2_cell(schedule: &mut Schedule, dice: &mut Dice, world: &World) {
    let theirs: Vec<_> = (world.cells.iter())
        .filter(|cell| cell.speaks_http2())
        .collect();
    if theirs.is_empty() {
        return;
    }
    let hosts = dice.pick(&theirs).hosts();
    let target = dice.pick(&hosts).clone();
    let Some(time) = schedule.takes(dice, std::slice::from_ref(&target), 8_000) else {
        return;
    };
    let kind = *dice.pick(&["refuse_streams", "go_away", "few_streams"]);
    let target: toml::Value = target.into();
    match kind {
        "few_streams" => {
            let streams = dice.between(1, 4) as i64;
            schedule.lasting(
                time,
                kind,
                [("target", target), ("streams", streams.into())],
            );
        }
        _ => schedule.lasting(time, kind, [("target", target)]),
    }
}

fn keys(schedule: &mut Schedule, dice: &mut Dice, world: &World) {
    let target = format!("idp-{}", dice.pick(&world.issuers));
    if let Some(time) = schedule.takes(dice, std::slice::from_ref(&target), 8_000) {
        let kind = *dice.pick(&[
            "empty_keys",
            "huge_keys",
            "wrong_issuer",
            "garbage",
            "status",
        ]);
        schedule.errors.push("keys_refused");
        let target: toml::Value = target.into();
        match kind {
            "status" => {
                let fields = [("target", target), ("status", 503.into())];
                schedule.lasting(time, kind, fields);
            }
            _ => schedule.lasting(time, kind, [("target", target)]),
        }
    }
}

/// A planned rotation of an identity provider's key.
fn rotation(schedule: &mut Schedule, dice: &mut Dice, world: &World) {
    let issuer = dice.pick(&world.issuers).clone();
    let thing = format!("rotation of {issuer}");
    if schedule.busy.insert(thing, CALM).is_some() {
        return;
    }
    let target = format!("idp-{issuer}");
    let key = format!("{issuer}-2");
    let at = BEGIN + dice.between(0, 4_000);
    let fields = || {
        [
            ("target", target.as_str().into()),
            ("key", key.as_str().into()),
        ]
    };
    schedule.step(at, "publish_key", fields());
    schedule.step(at + dice.between(3_000, 8_000), "sign_with", fields());
}

/// A tenant is suspended, and active again.
fn suspension(schedule: &mut Schedule, dice: &mut Dice, world: &World) {
    let tenant = dice.pick(&world.tenants).id.clone();
    if let Some((at, lasts)) = schedule.takes(dice, &[format!("tenant {tenant}")], 8_000) {
        for (at, document) in [(at, "suspend"), (at + lasts, "resume")] {
            let fields = [
                ("document", document.into()),
                ("tenant", tenant.as_str().into()),
            ];
            schedule.step(at, "publish", fields);
        }
    }
}

/// A client's credentials are revoked, and restored.
fn revocation(schedule: &mut Schedule, dice: &mut Dice, _: &World) {
    if schedule.clients.is_empty() {
        return;
    }
    let (subject, tenant) = dice.pick(&schedule.clients).clone();
    if let Some((at, lasts)) = schedule.takes(dice, &[format!("tenant {tenant}")], 8_000) {
        for (at, document) in [(at, "revoke"), (at + lasts, "restore")] {
            let fields = [
                ("document", document.into()),
                ("tenant", tenant.as_str().into()),
                ("subject", subject.as_str().into()),
            ];
            schedule.step(at, "publish", fields);
        }
    }
}

/// The names and tenants of the clients that stand for one host each.
fn single(clients: &[Table]) -> Vec<(String, String)> {
    let text = |client: &Table, name: &str| client.get(name)?.as_str().map(str::to_owned);
    let clients = clients
        .iter()
        .filter(|client| !client.contains_key("count"));
    clients
        .filter_map(|client| Some((text(client, "name")?, text(client, "tenant")?)))
        .collect()
}

fn certificate(schedule: &mut Schedule, dice: &mut Dice, world: &World) {
    let target = router(dice, world);
    // A router with a broken file doesn't start, so it may not crash meanwhile.
    if let Some(time) = schedule.takes(dice, std::slice::from_ref(&target), 6_000) {
        match dice.chance(50) {
            true => schedule.step(time.0, "rotate_certificate", of(&target)),
            false => {
                schedule.errors.push("reload_refused");
                schedule.lasting(time, "break_certificate", of(&target));
            }
        }
    }
}

fn clock(schedule: &mut Schedule, dice: &mut Dice, world: &World) {
    let target = router(dice, world);
    if let Some(time) = schedule.takes(dice, &[format!("clock {target}")], 8_000) {
        let way = *dice.pick(&["ahead", "behind"]);
        let (kind, most) = *dice.pick(&[("clock_skew", 20_000), ("clock_drift", 500)]);
        let off = millis(dice.between(most / 100, most));
        schedule.lasting(time, kind, [("target", target.into()), (way, off)]);
    }
}

fn disk(schedule: &mut Schedule, dice: &mut Dice, world: &World) {
    let target = router(dice, world);
    let at = BEGIN + dice.between(0, 15_000);
    if schedule.has("older") || schedule.has("shrunken") {
        return;
    }
    match dice.below(4) {
        0 => schedule.step(at, "torn_write", of(&target)),
        1 => schedule.step(at, "damaged_files", of(&target)),
        slow => {
            let Some(time) = schedule.takes(dice, &[format!("disk {target}")], 8_000) else {
                return;
            };
            if slow == 2 {
                let delay = millis(dice.between(20, 2_000));
                let fields = [("target", target.into()), ("delay", delay)];
                schedule.lasting(time, "slow_disk", fields);
            } else {
                schedule.errors.push("keep_failed");
                schedule.lasting(time, "disk_full", of(&target));
            }
        }
    }
}

fn one_way_partition(schedule: &mut Schedule, dice: &mut Dice, world: &World) {
    let mut between = link(dice, world);
    if let Some(time) = schedule.takes(dice, &[between.join("|")], 8_000) {
        if dice.chance(50) {
            between.reverse();
        }
        let fields = [("between", between.to_vec().into())];
        schedule.lasting(time, "one_way_partition", fields);
    }
}

fn stalls(schedule: &mut Schedule, dice: &mut Dice, world: &World) {
    let between = link(dice, world);
    if let Some(time) = schedule.takes(dice, &[between.join("|")], 8_000) {
        let delay = millis(dice.between(200, 1_500));
        let fields = [("between", between.to_vec().into()), ("delay", delay)];
        schedule.lasting(time, "stalls", fields);
    }
}

fn dns(schedule: &mut Schedule, dice: &mut Dice, world: &World) {
    let target = match dice.chance(70) {
        true => cell_host(dice, world),
        false => service(dice, world),
    };
    let Some(time) = schedule.takes(dice, &[format!("name {target}")], 8_000) else {
        return;
    };
    match dice.chance(50) {
        true => schedule.lasting(time, "no_dns", of(&target)),
        false => {
            let delay = millis(dice.between(50, 3_000));
            let fields = [("target", target.into()), ("delay", delay)];
            schedule.lasting(time, "slow_dns", fields);
        }
    }
}

fn lagging_replica(schedule: &mut Schedule, dice: &mut Dice, _: &World) {
    if let Some(time) = schedule.takes(dice, &["replica".to_owned()], 8_000) {
        schedule.errors.push("registry_refused");
        schedule.lasting(time, "lagging_replica", of("control-plane"));
    }
}

/// A document that routers must refuse, and a good one after it.
fn refused_document(schedule: &mut Schedule, dice: &mut Dice, _: &World) {
    if let Some((at, lasts)) = schedule.takes(dice, &["document".to_owned()], 6_000) {
        // Not `same_version`: a router without the true document takes it, as it must. So does one whose
        // disk has lost what to compare with.
        let forgets = ["torn_write", "damaged_files", "disk_full", "slow_disk"];
        let kind = match forgets.iter().any(|kind| schedule.has(kind)) {
            true => *dice.pick(&["invalid", "empty"]),
            false => *dice.pick(&["older", "invalid", "empty", "shrunken"]),
        };
        schedule.errors.push("registry_refused");
        schedule.step(at, "publish", [("document", kind.into())]);
        schedule.step(at + lasts, "publish", [("document", "same".into())]);
    }
}

/// A tenant that has a cell of its own gets another one.
fn moved_tenant(schedule: &mut Schedule, dice: &mut Dice, world: &World) {
    let mut tenants = world.tenants.iter();
    let Some(tenant) = tenants.find(|tenant| tenant.home.0 == "cell") else {
        return;
    };
    if let Some((at, _)) = schedule.takes(dice, &[format!("tenant {}", tenant.id)], 8_000) {
        let fields = [
            ("document", "move".into()),
            ("tenant", tenant.id.as_str().into()),
            ("cell", dice.pick(&world.cells).id.as_str().into()),
        ];
        schedule.step(at, "publish", fields);
    }
}

/// A cell takes no traffic for a time, or no new tenants.
fn cell_state(schedule: &mut Schedule, dice: &mut Dice, world: &World) {
    let cell = dice.pick(&world.cells).id.clone();
    let Some((at, lasts)) = schedule.takes(dice, &[format!("state of {cell}")], 8_000) else {
        return;
    };
    let state = *dice.pick(&["quarantined", "draining"]);
    for (at, state) in [(at, state), (at + lasts, "active")] {
        let fields = [
            ("document", "cell_state".into()),
            ("cell", cell.as_str().into()),
            ("state", state.into()),
        ];
        schedule.step(at, "publish", fields);
    }
}

/// Nobody renews a serving certificate in time.
fn expiring_certificate(schedule: &mut Schedule, dice: &mut Dice, world: &World) {
    let target = match dice.chance(50) {
        true => router(dice, world),
        false => dice.pick(&world.cells).id.clone(),
    };
    let thing = format!("certificate of {target}");
    if let Some((at, lasts)) = schedule.takes(dice, &[target.clone(), thing], 8_000) {
        let lifetime = millis(dice.between(1_000, 4_000));
        let fields = [("target", target.as_str().into()), ("lifetime", lifetime)];
        schedule.step(at, "expiring_certificate", fields);
        schedule.step(at + lasts, "rotate_certificate", of(&target));
    }
}

/// One router gets other settings, like a new version that starts beside the old ones.
fn one_apart(schedule: &mut Schedule, dice: &mut Dice, world: &World) {
    let target = router(dice, world);
    if let Some((at, _)) = schedule.takes(dice, &[format!("settings of {target}")], 8_000) {
        let settings = super::settings::apart(dice);
        let fields = [("target", target.into()), ("settings", settings.into())];
        schedule.step(at, "configure", fields);
    }
}
