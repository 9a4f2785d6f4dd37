//! A mistake in a scenario is reported with its line, its field and what would be right.
#![allow(
    clippy::unwrap_used,
    reason = "a test that finds nothing has found a bug"
)]

mod expectations;
mod faults;
mod settings;
mod world;

use cellway_sim::Scenario;

const GOOD: &str = r#"about = "small"
duration = "30s"

[world]
routers = 1

[[world.issuer]]
name = "main"

[[world.cell]]
id = "a"
tier = "standard"

[[world.tenant]]
id = "acme"
cell = "a"

[[workload.client]]
name = "web"
tenant = "acme"
rate = "1/s"

[[fault]]
at = "5s"
for = "5s"
kind = "crash"
target = "a"

[expect]
recovery = "5s"
"#;

/// Replaces `old` by `new` in the good scenario, and returns the complaints.
fn complaints(old: &str, new: &str) -> String {
    assert!(GOOD.contains(old), "{old}");
    let text = GOOD.replacen(old, new, 1);
    Scenario::parse("s.toml", &text).unwrap_err().to_string()
}

/// Each row has a text in the good scenario, its replacement, and a part of the complaints.
#[track_caller]
fn reported(rows: &[(&str, &str, &str)]) {
    for (old, new, expected) in rows {
        let complaints = complaints(old, new);
        assert!(complaints.contains(expected), "{new:?}: {complaints}");
    }
}

/// Each row has settings or tables that are added, and a part of the complaints.
#[track_caller]
fn reported_when_added(rows: &[(impl AsRef<str>, &str)]) {
    for (added, expected) in rows {
        let added = added.as_ref();
        let complaints = complaints("[expect]", &format!("{added}\n\n[expect]"));
        assert!(complaints.contains(expected), "{added}\n{complaints}");
    }
}

#[test]
fn the_good_one_is_good() {
    let scenario = Scenario::parse("s.toml", GOOD).unwrap();
    assert_eq!(scenario.hosts_of("a"), ["a-1"]);
    assert_eq!(scenario.calm_from().as_secs(), 10);
}

#[test]
fn all_mistakes_are_reported_together() {
    let text = GOOD
        .replace("cell = \"a\"", "cell = \"b\"")
        .replace("\"crash\"", "\"burn\"");
    let errors = Scenario::parse("s.toml", &text).unwrap_err();
    assert_eq!(errors.errors.len(), 2, "{errors}");
}
