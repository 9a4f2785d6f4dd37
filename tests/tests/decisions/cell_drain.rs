//! A cell drains between two times: which tenant moves when, and what `explain` says about it.

use std::fmt::Write;

use cellway_core::Decision;
use cellway_tests::decide::{Core, Request, Sources, at, token};

use super::{CELLS, CONFIG, registry};

/// The tenants that a registry with this drain of the first cell spreads, with the step that places
/// each.
fn placed(drain: &str, secs: &[u64]) -> String {
    let state = r#""eu", "state": "active""#;
    let draining = format!(r#""eu", "state": "draining", "drain": {drain}"#);
    let cells = CELLS.replacen(state, &draining, 1);
    let mut core = Core::new(
        CONFIG,
        Sources::of(registry(&cells, r#"{"placement": "spread"}"#)),
    );
    let mut table = String::new();
    for tenant in ["acme", "globex", "t1", "t2", "t3", "t4", "t5"] {
        for secs in secs {
            let request = Request::to("token").bearer(&token(tenant));
            let (decision, steps) = core.decide(&request, at(*secs));
            let Decision::Allow(allow) = decision else {
                panic!("{tenant} is denied");
            };
            let step = steps.0.iter().find(|step| step.check == "placement");
            let (cell, detail) = (&allow.cell.id, &step.unwrap().detail);
            assert!(detail.starts_with(&format!("cell {cell} ")), "{detail}");
            writeln!(table, "{tenant:<6} {secs:>3} s  {detail}").unwrap();
        }
    }
    table
}

/// `acme` has its own cell, and stays. The others move once, each at its own time.
#[test]
fn tenants_move_one_after_the_other() {
    let between = r#"{"from": 1800000060, "until": 1800000160}"#;
    let table = placed(between, &[30, 80, 100, 120, 140, 200]);
    insta::assert_snapshot!("cell_drain", table);
}

#[test]
fn a_percentage_moves_the_same_tenants_at_any_time() {
    for (percent, secs) in [
        (0, 30),
        (20, 80),
        (40, 100),
        (60, 120),
        (80, 140),
        (100, 200),
    ] {
        let cells = |table: &str| -> Vec<String> {
            let cell = |line: &str| line.split_whitespace().nth(4).unwrap().to_owned();
            table.lines().map(cell).collect()
        };
        let between = placed(r#"{"from": 1800000060, "until": 1800000160}"#, &[secs]);
        let fixed = placed(&format!(r#"{{"percent": {percent}}}"#), &[10]);
        assert_eq!(cells(&between), cells(&fixed), "{percent} %");
    }
}
