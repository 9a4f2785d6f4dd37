//! What a person reads when a run fails: one of each kind. A message says what didn't hold, when,
//! for which request and router, by which line of the scenario, and which faults there were.

use cellway_sim::{Scenario, determinism};

/// A small world with a second cell. What tests add begins on line 30.
const WORLD: &str = concat!(
    include_str!("../../sim/examples/small.toml"),
    r#"[[world.cell]]
id = "green"
tier = "standard"

[router.upstream]
connect_timeout_ms = 1000

"#
);

const CRASH: &str = r#"[[fault]]
at = "5s"
for = "4s"
kind = "crash"
target = "blue"

"#;

/// Runs the world with these faults and expectations, in a process of its own, and compares what
/// it says of its failures.
#[track_caller]
fn says(test: &str, more: &str) {
    let failures = |seed| {
        let scenario = Scenario::parse("shop.toml", &format!("{WORLD}{more}"));
        let scenario = scenario.unwrap_or_else(|error| panic!("{error}"));
        let report = scenario.replayed_by("just simulate shop {seed}").run(seed);
        let mut lines: Vec<_> = report.failures();
        lines.push(format!("replay: {}", report.replay()));
        lines
    };
    match determinism::fresh(test, 1, failures) {
        Ok(Some(failures)) => insta::assert_snapshot!(test, failures),
        Ok(None) => {}
        Err(why) => panic!("{why}"),
    }
}

fn expecting(faults: &str, expect: &str) -> String {
    format!("{faults}[expect]\nrecovery = \"5s\"\n\n{expect}\n")
}

#[test]
fn an_answer_that_is_not_expected() {
    let expect = "[[expect.answers]]\nclients = [\"web\"]\nfrom = \"1s\"\nonly = [\"ok\"]";
    says("an_answer_that_is_not_expected", &expecting(CRASH, expect));
}

#[test]
fn an_answer_that_never_comes() {
    let expect = "[[expect.answers]]\nclients = [\"web\"]\nuntil = \"4s\"\nsome = [\"overloaded\"]";
    says("an_answer_that_never_comes", &expecting(CRASH, expect));
}

#[test]
fn another_cell_than_expected() {
    let moves = "[[fault]]\nat = \"5s\"\nkind = \"publish\"\ndocument = \"move\"\n\
                 tenant = \"acme\"\ncell = \"green\"\n\n";
    let expect = "[[expect.answers]]\nclients = [\"web\"]\nfrom = \"1s\"\ncells = [\"blue\"]";
    says("another_cell_than_expected", &expecting(moves, expect));
}

#[test]
fn nothing_is_answered() {
    let expect = "[[expect.answers]]\nclients = [\"web\"]\nuntil = \"2ms\"\nonly = [\"ok\"]";
    says("nothing_is_answered", &expecting("", expect));
}

#[test]
fn an_event_that_is_not_seen() {
    let expect = "[expect.events]\nreloaded = 2";
    says("an_event_that_is_not_seen", &expecting(CRASH, expect));
}

/// An invariant, broken by a request.
#[test]
fn no_recovery() {
    let step = |at, kind| {
        format!("[[fault]]\nat = \"{at}s\"\nkind = \"{kind}\"\nauthority = \"servers\"\n\n")
    };
    // Nothing was issued by the successor when the old one is gone.
    let faults = step(5, "trust_next") + &step(6, "drop_old");
    says("no_recovery", &expecting(&faults, ""));
}

/// An invariant, broken by a router's word.
#[test]
fn an_error_that_was_not_announced() {
    let older = "[[fault]]\nat = \"5s\"\nkind = \"publish\"\ndocument = \"older\"\n\n";
    says("an_error_that_was_not_announced", &expecting(older, ""));
}
