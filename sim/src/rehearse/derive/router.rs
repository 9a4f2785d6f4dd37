//! The settings of the simulated routers.

use cellway_router::settings::ListenerSettings;
use toml::{Table, Value};

use super::super::folder::Side;
use super::super::settings::{Instead, Left, carried};
use super::names::Names;
use super::world::World;
use crate::scenario::ScenarioErrors;

/// How often settings that the simulator refuses are left out before it gives up.
pub(super) const TRIES_MAX: usize = 20;

/// How often a router asks a control plane by default, and looks at its files, in seconds.
const POLL_SECS: i64 = 10;
const POLL_FILE_SECS: i64 = 2;
const WATCH_SECS: i64 = super::WATCH_SECS as i64;

/// The table `[router]` of a scenario: the settings of this listener, its policy and all of the common
/// ones.
pub(super) fn settings(
    side: &Side,
    listener: &ListenerSettings,
    world: &World,
    names: &mut Names,
    left: &mut Left,
) -> Table {
    let mut router = carried(&side.table);
    let policy = &side.settings.policy.auth(listener.policy).name;
    one_of(
        &mut router,
        "listener",
        |it| named(it, &listener.name),
        &side.table,
    );
    one_of(
        &mut router,
        "policy",
        |it| named(it, policy.as_str()),
        &side.table,
    );
    one_of(&mut router, "issuer", |_| true, &side.table);
    routes_fit(&mut router);
    note_other_issuers(side, left);
    policy_fits(&mut router, names, left);
    checks_fit(&mut router, world, names);
    own_envelopes(&mut router, side, left);
    let polls = match side.table.get("registry").and_then(|it| it.get("file")) {
        Some(_) => POLL_FILE_SECS,
        None => POLL_SECS,
    };
    by_default(&mut router, "registry", "poll_secs", polls);
    by_default(&mut router, "runtime", "watch_secs", WATCH_SECS);
    router
}

fn named(table: &Table, name: &str) -> bool {
    table.get("name").and_then(Value::as_str) == Some(name)
}

/// Keeps one entry of a list, as the table that a scenario merges into each entry. Names are only in the
/// file's own table.
fn one_of(router: &mut Table, list: &str, is_it: impl Fn(&Table) -> bool, file: &Table) {
    let entries = file.get(list).and_then(Value::as_array);
    let mut entries = entries.into_iter().flatten().filter_map(Value::as_table);
    let at = entries.position(is_it);
    let kept = router.remove(list);
    let kept = kept.as_ref().and_then(Value::as_array);
    if let (Some(at), Some(kept)) = (at, kept)
        && let Some(entry) = kept.get(at).and_then(Value::as_table)
        && !entry.is_empty()
    {
        router.insert(list.to_owned(), Value::Table(entry.clone()));
    }
}

/// Routes that only name another policy say nothing to the simulated routers. No client uses their paths.
fn routes_fit(router: &mut Table) {
    let routes = router.get_mut("listener");
    if let Some(Value::Array(routes)) = routes.and_then(|it| it.get_mut("route")) {
        routes.retain(|route| route.get("traffic").is_some());
    }
}

/// The simulated issuers all have the settings of the first one.
fn note_other_issuers(side: &Side, left: &mut Left) {
    let issuers = carried(&side.table);
    let Some(issuers) = issuers.get("issuer").and_then(Value::as_array) else {
        return;
    };
    let differing = issuers.iter().enumerate().skip(1);
    for (at, _) in differing.filter(|(_, it)| Some(*it) != issuers.first()) {
        let why = "the simulated issuers have the settings of the first one";
        left.add(Instead::StandIn, why, &format!("issuer[{at}].keys"));
    }
}

/// What a policy names must be something of the scenario.
fn policy_fits(router: &mut Table, names: &mut Names, left: &mut Left) {
    let Some(Value::Table(policy)) = router.get_mut("policy") else {
        return;
    };
    if let Some(Value::String(placement)) = policy.get_mut("anonymous_placement") {
        *placement = names.of("placement", placement);
    }
    if let Some(Value::Array(schemes)) = policy.get_mut("any_of") {
        let before = schemes.len();
        schemes.retain(|scheme| scheme.as_str() != Some("routing_key"));
        if schemes.len() < before {
            let why = "no simulated client sends a routing key";
            left.add(Instead::Decisions, why, "policy.any_of (routing_key)");
        }
    }
}

/// A health check names cells of the scenario.
fn checks_fit(router: &mut Table, world: &World, names: &mut Names) {
    let checks = router.get_mut("upstream");
    let checks = checks.and_then(|it| it.get_mut("health_check")?.as_array_mut());
    for check in checks.into_iter().flatten() {
        let Some(Value::Array(cells)) = check.get_mut("cells") else {
            continue;
        };
        for cell in cells.iter_mut() {
            let name = cell.as_str().unwrap_or_default().to_owned();
            *cell = names.of("cell", &name).into();
        }
        let known = |cell: &Value| world.cells.iter().any(|it| cell.as_str() == Some(it));
        cells.retain(known);
    }
    let checks = router.get_mut("upstream");
    if let Some(Value::Array(checks)) = checks.and_then(|it| it.get_mut("health_check")) {
        let empty = |check: &Value| check.get("cells")?.as_array().map(Vec::is_empty);
        checks.retain(|check| empty(check) != Some(true));
    }
}

fn by_default(router: &mut Table, of: &str, name: &str, value: i64) {
    let table = router
        .entry(of.to_owned())
        .or_insert_with(|| Value::Table(Table::new()));
    if let Value::Table(table) = table {
        table.entry(name.to_owned()).or_insert(value.into());
    }
}

/// Simulated cells verify envelopes all the time or never, and with published keys.
pub(super) fn envelopes_fit(settings: &mut [Table; 2], left: &mut Left) {
    let [before, after] = settings;
    if before.contains_key("envelope") != after.contains_key("envelope") {
        let why = "simulated cells verify envelopes all the time or never";
        left.add(Instead::Nothing, why, "envelope");
        before.remove("envelope");
        after.remove("envelope");
    }
}

/// Simulated cells verify envelopes with published keys.
fn own_envelopes(router: &mut Table, side: &Side, left: &mut Left) {
    let envelope = side.settings.envelope.as_ref();
    if envelope.is_some_and(|it| it.form.is_shared()) {
        let why = "simulated cells verify envelopes with published keys";
        left.add(Instead::Nothing, why, "envelope (under a shared key)");
        router.remove("envelope");
    }
}

/// Leaves settings out that the simulator refuses. Returns whether there were any.
pub(super) fn without_refused(
    settings: &mut [Table; 2],
    errors: &ScenarioErrors,
    left: &mut Left,
) -> bool {
    let mut found = false;
    for error in &errors.errors {
        let Some(setting) = error.field.strip_prefix("router.") else {
            continue;
        };
        for table in settings.iter_mut() {
            if let Some(removed) = remove(table, setting) {
                let why = format!("the simulator refuses it: {}", error.problem);
                left.add(Instead::Decisions, &why, &removed);
                found = true;
            }
        }
    }
    found
}

/// Removes the setting, or else the innermost table around it. Returns what was removed.
fn remove(table: &mut Table, setting: &str) -> Option<String> {
    let (first, rest) = setting.split_once('.').unwrap_or((setting, ""));
    let name = first.split('[').next().unwrap_or(first);
    let number = first.strip_prefix(name).and_then(|it| it.strip_prefix('['));
    let number = number.and_then(|it| it.split(']').next()?.parse::<usize>().ok());
    let inside = match table.get_mut(name) {
        Some(Value::Table(inner)) => Some(inner),
        Some(Value::Array(list)) => list
            .get_mut(number.unwrap_or_default())
            .and_then(Value::as_table_mut),
        _ => None,
    };
    if let Some(inside) = inside.filter(|_| !rest.is_empty())
        && let Some(removed) = remove(inside, rest)
    {
        return Some(format!("{name}.{removed}"));
    }
    table.remove(name).map(|_| name.to_owned())
}
