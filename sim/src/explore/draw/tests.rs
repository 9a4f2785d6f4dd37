use super::*;
use crate::Scenario;
use crate::explore::text;

/// Catches: a draw that no operator could have made, which the simulator refuses.
#[test]
fn every_seed_draws_a_scenario_that_can_run() {
    for seed in 0..300 {
        let drawn = text(&draw(seed));
        if let Err(error) = Scenario::parse("drawn.toml", &drawn) {
            panic!("seed {seed}: {error}\n{drawn}");
        }
    }
}

/// Catches: text that says something else than what was drawn.
#[test]
fn the_text_of_a_scenario_says_the_same() {
    for seed in 0..50 {
        let drawn = draw(seed);
        let mut read: Table = text(&drawn).parse().unwrap();
        // Empty lists are left out.
        for (table, key) in [("expect", "errors"), ("expect", "refused_at_end")] {
            let empty = drawn.get(table).and_then(|it| it.get(key)?.as_array());
            if empty.is_some_and(Vec::is_empty)
                && let Some(table) = read.get_mut(table).and_then(Value::as_table_mut)
            {
                set(table, key, Vec::<Value>::new());
            }
        }
        let faults = drawn.get("fault").and_then(Value::as_array);
        if faults.is_some_and(Vec::is_empty) {
            set(&mut read, "fault", Vec::<Value>::new());
        }
        assert_eq!(read, drawn, "seed {seed}");
    }
}

/// Catches: a seed that draws something else on another day, so that a failure can't be replayed.
#[test]
fn a_seed_always_draws_the_same() {
    assert_eq!(draw(7), draw(7));
    assert_ne!(draw(7), draw(8));
    insta::assert_snapshot!(text(&draw(7)));
}

/// Catches: a kind of fault that no seed ever draws.
#[test]
fn all_kinds_of_faults_are_drawn() {
    let mut kinds = std::collections::BTreeSet::new();
    for seed in 0..400 {
        for fault in list(&draw(seed), "fault") {
            kinds.extend(fault.get("kind").and_then(Value::as_str).map(str::to_owned));
        }
    }
    insta::assert_snapshot!(kinds.into_iter().collect::<Vec<_>>().join("\n"));
}

/// Catches: a variation that can't run, or that changes nothing.
#[test]
fn every_scenario_can_be_varied() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios");
    let mut varied = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "toml") {
            continue;
        }
        let start: Table = std::fs::read_to_string(&path).unwrap().parse().unwrap();
        for seed in 0..2 {
            let other = vary(&start, seed);
            let parsed = Scenario::parse("varied.toml", &text(&other));
            assert!(parsed.is_ok(), "{}: {parsed:?}", path.display());
            varied += usize::from(list(&other, "fault") != list(&start, "fault"));
        }
    }
    assert!(varied > 100, "{varied}");
}
