//! Draws settings of the routers: each seed changes a few.

use toml::{Table, Value};

use super::dice::{Dice, set, table, tables};

/// Changes to `[router]`: how often in a hundred seeds, and what.
type Change = (u64, fn(&mut Dice, &mut Table));

const CHANGES: [Change; 9] = [
    (40, timeouts),
    (40, outlier),
    (40, breaker),
    (30, slow_start),
    (30, queue),
    (30, retries),
    (20, hedging),
    (20, envelope),
    (20, checks),
];

/// The table `[router]`.
pub(super) fn draw(seed: u64) -> Table {
    let dice = &mut Dice::new(seed, "settings");
    let mut router = Table::new();
    keys(dice, &mut router);
    for (percent, change) in CHANGES {
        if dice.chance(percent) {
            change(dice, &mut router);
        }
    }
    router
}

/// Changes a few settings of a scenario, except those that it sets itself: they are its point.
pub(super) fn change(seed: u64, scenario: &mut Table) {
    let drawn = draw(seed);
    let router = scenario
        .entry("router")
        .or_insert_with(|| Table::new().into());
    if let Value::Table(router) = router {
        for (name, value) in drawn {
            router.entry(name).or_insert(value);
        }
    }
}

/// A few settings that a running router may take.
pub(super) fn apart(dice: &mut Dice) -> Table {
    let changes = [timeouts, outlier, breaker, slow_start, queue];
    let mut settings = Table::new();
    for change in dice.some(40, &changes) {
        change(dice, &mut settings);
    }
    if settings.is_empty() {
        timeouts(dice, &mut settings);
    }
    settings
}

fn upstream(router: &mut Table) -> &mut Table {
    let upstream = router
        .entry("upstream")
        .or_insert_with(|| Table::new().into());
    let Value::Table(table) = upstream else {
        unreachable!("nothing else sets it");
    };
    table
}

fn traffic(router: &mut Table, name: &str, value: impl Into<Value>) {
    let list = router
        .entry("traffic")
        .or_insert_with(|| tables(vec![table([("name", "default".into())])]));
    if let Some(first) = list.as_array_mut().and_then(|list| list.first_mut())
        && let Some(first) = first.as_table_mut()
    {
        set(first, name, value);
    }
}

/// Always: with the defaults it takes longer than a run until a router asks for an unknown key again.
fn keys(dice: &mut Dice, router: &mut Table) {
    let keys = table([
        ("fresh_secs", (dice.between(10, 30) as i64).into()),
        ("cooldown_secs", (dice.between(1, 5) as i64).into()),
        ("wait_max_ms", (dice.between(5, 30) as i64 * 100).into()),
        ("retry_max_secs", (dice.between(2, 5) as i64).into()),
    ]);
    set(router, "issuer", table([("keys", keys.into())]));
}

fn timeouts(dice: &mut Dice, router: &mut Table) {
    let upstream = upstream(router);
    set(
        upstream,
        "connect_timeout_ms",
        dice.between(5, 20) as i64 * 100,
    );
    set(
        upstream,
        "header_timeout_ms",
        dice.between(10, 60) as i64 * 100,
    );
}

fn outlier(dice: &mut Dice, router: &mut Table) {
    let outlier = table([
        ("connection_failures", (dice.between(0, 4) as i64).into()),
        ("answer_failures", (dice.between(0, 4) as i64).into()),
        ("ejection_secs", (dice.between(2, 8) as i64).into()),
    ]);
    set(upstream(router), "outlier", outlier);
}

fn breaker(dice: &mut Dice, router: &mut Table) {
    let breaker = table([
        ("failures", (dice.between(1, 6) as i64).into()),
        ("open_ms", (dice.between(10, 50) as i64 * 100).into()),
    ]);
    set(upstream(router), "breaker", breaker);
}

fn slow_start(dice: &mut Dice, router: &mut Table) {
    set(
        upstream(router),
        "slow_start_secs",
        dice.between(2, 10) as i64,
    );
}

fn queue(dice: &mut Dice, router: &mut Table) {
    let upstream = upstream(router);
    set(upstream, "requests_max", dice.between(8, 40) as i64);
    set(
        upstream,
        "queue_timeout_ms",
        dice.between(1, 20) as i64 * 100,
    );
}

fn retries(dice: &mut Dice, router: &mut Table) {
    traffic(router, "try_timeout_ms", dice.between(3, 20) as i64 * 100);
    if dice.chance(50) {
        traffic(router, "retry_statuses", vec![Value::from(503)]);
    }
    if dice.chance(50) {
        traffic(router, "retry_resets", true);
    }
}

fn hedging(dice: &mut Dice, router: &mut Table) {
    traffic(router, "hedge_after_ms", dice.between(2, 10) as i64 * 100);
}

fn envelope(dice: &mut Dice, router: &mut Table) {
    let envelope = table([
        ("lifetime_secs", (dice.between(3, 20) as i64).into()),
        ("jwks_max_age_secs", (dice.between(5, 20) as i64).into()),
    ]);
    set(router, "envelope", envelope);
}

fn checks(dice: &mut Dice, router: &mut Table) {
    let check = table([
        ("kind", "http".into()),
        ("interval_ms", (dice.between(5, 30) as i64 * 100).into()),
        ("timeout_ms", 400.into()),
    ]);
    set(upstream(router), "health_check", tables(vec![check]));
}
