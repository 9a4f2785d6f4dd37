//! The scenarios of this repository pass, and the simulator notices when a world is run wrongly.

use std::time::Duration;

use cellway_sim::fact::Answer;
use cellway_sim::scenario::{Fault, FaultKind};
use cellway_sim::{Report, Scenario};

fn load(name: &str) -> Scenario {
    let path = format!("{}/../scenarios/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    Scenario::load(path).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn passes(name: &str, seed: u64) -> Report {
    let report = load(name).run(seed);
    assert!(report.passed(), "{}", report.summary());
    report
}

#[test]
fn outage_holds() {
    let report = passes("outage", 1);
    assert!(report.decisions.len() > 5, "{:?}", report.decisions);
}

#[test]
fn rotation_holds() {
    let report = passes("rotation", 1);
    let forced = report.events["keys_forced"];
    // The flood sends 20 requests a second for 120 s; two routers force one fetch each 5 s.
    assert!((10..=50).contains(&forced), "{forced} forced fetches");
}

#[test]
fn stale_registry_holds() {
    passes("stale_registry", 1);
}

/// A small world in which nothing happens.
const SMALL: &str = concat!(
    include_str!("../examples/small.toml"),
    "[expect]\nrecovery = \"2s\"\n"
);

/// Runs the small world with these lines added.
fn run(more: &str) -> Report {
    let scenario = Scenario::parse("small.toml", &format!("{SMALL}{more}"));
    let scenario = scenario.unwrap_or_else(|error| panic!("{error}"));
    scenario.replayed_by("just small {seed}").run(1)
}

#[track_caller]
fn fails(more: &str, name: &str) {
    let report = run(more);
    let failed: Vec<_> = report.violations.iter().map(|v| v.name.as_str()).collect();
    assert_eq!(failed, [name], "{}", report.summary());
    let summary = report.summary();
    assert!(summary.contains("\nreplay: just small 1\n"), "{summary}");
}

#[test]
fn without_faults_everything_is_served() {
    let report = run("");
    assert!(report.passed(), "{}", report.summary());
    let answers = report
        .requests
        .iter()
        .filter_map(|request| request.answer.as_ref());
    assert!(answers.clone().count() > 50 && answers.clone().all(|answer| *answer == Answer::Ok));
}

/// Certificates of an authority that nobody trusts.
#[test]
fn a_rotation_in_the_wrong_order_is_noticed() {
    fails(
        r#"
[[fault]]
at = "5s"
kind = "trust_next"
authority = "servers"

[[fault]]
at = "6s"
kind = "drop_old"
authority = "servers"
"#,
        "recovery",
    );
}

#[test]
fn an_error_that_the_scenario_does_not_announce_is_noticed() {
    fails(
        r#"
[[fault]]
at = "5s"
kind = "publish"
document = "older"
"#,
        "no_unexpected_errors",
    );
}

#[test]
fn an_expectation_that_does_not_hold_is_noticed() {
    let never = r#"
[[expect.answers]]
clients = ["web"]
some = ["expired_token"]
"#;
    fails(never, "expect.answers[0]");
    let always = r#"
[[expect.answers]]
clients = ["web"]
from = "1s"
only = ["missing_token"]
"#;
    fails(always, "expect.answers[0]");
    fails(
        "\n[expect.events]\nreloaded = 1\n",
        "expect.events.reloaded",
    );
}

/// A scenario that `check` would refuse, to show that a panic is reported like any other failure.
#[test]
fn a_panic_in_the_world_is_a_failure_with_a_replay_line() {
    let mut scenario = Scenario::parse("small.toml", SMALL).unwrap();
    scenario.faults.push(Fault {
        at: Duration::from_secs(3),
        until: Duration::from_secs(3),
        kind: FaultKind::SignWith("idp-main".to_owned(), "key-2".to_owned()),
        line: 99,
    });
    let report = scenario.replayed_by("just small {seed}").run(1);
    let summary = report.summary();
    assert_eq!(report.violations.len(), 1, "{summary}");
    assert!(summary.contains("FAILED run at 3."), "{summary}");
    assert!(summary.contains("panic: "), "{summary}");
    assert!(summary.contains("\nreplay: just small 1\n"), "{summary}");
}

/// When a client's host stops, its open requests need no answer.
#[test]
fn a_client_crashes() {
    let crash = r#"
[[fault]]
at = "5s"
for = "5s"
kind = "crash"
target = "web"
"#;
    let report = run(crash);
    assert!(report.passed(), "{}", report.summary());
}
