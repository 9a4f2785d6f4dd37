use super::*;
use crate::explore::draw;

fn scenario(text: &str) -> Table {
    text.parse().unwrap()
}

const WORLD: &str = r#"
about = "A test."
duration = "60s"

[world]
routers = 3
latency = ["1ms", "9ms"]
issuer = [{ name = "main" }]
cell = [{ id = "iron", tier = "standard", endpoints = 3 }, { id = "gold", tier = "premium" }]
tenant = [{ id = "acme", cell = "iron" }, { id = "globex", cell = "gold" }]

[router.upstream]
connect_timeout_ms = 1000
outlier = { ejection_secs = 3, connection_failures = 2 }

[workload]
client = [
  { name = "acme-web", tenant = "acme", rate = "2/s", timeout = "5s", count = 4 },
  { name = "globex-web", tenant = "globex", rate = "2/s" },
]

[[fault]]
at = "5s"
for = "4s"
kind = "crash"
target = "gold"

[[fault]]
at = "5s"
for = "4s"
kind = "slow"
target = "iron-2"
delay = "1s"

[expect]
recovery = "10s"
errors = ["reload_refused"]
"#;

/// Whether a fault of this kind is there.
fn has(scenario: &Table, kind: &str) -> bool {
    let faults = list(scenario, &["fault"]).into_iter().flatten();
    let mut kinds = faults.filter_map(|fault| fault.get("kind")?.as_str());
    kinds.any(|known| known == kind)
}

/// Catches: something that could be taken away and isn't, or something that makes it no scenario.
#[test]
fn only_what_the_failure_needs_is_left() {
    let small = shrink(&scenario(WORLD), 1000, |small| has(small, "slow"));
    insta::assert_snapshot!(crate::explore::text(&small));
}

/// Catches: a cut that takes the failure away, and one that is tried once more although nothing has changed.
#[test]
fn what_can_be_taken_away_only_with_something_else_stays() {
    let needed = |small: &Table| {
        let ejection = small
            .get("router")
            .and_then(|it| it.get("upstream")?.get("outlier"));
        has(small, "slow") && has(small, "crash") && ejection.is_some()
    };
    let small = shrink(&scenario(WORLD), 1000, needed);
    assert!(needed(&small));
    let mut tried = 0;
    let again = shrink(&small, 1000, |small| {
        tried += 1;
        needed(small)
    });
    assert_eq!(again, small);
    assert!(tried < 60, "{tried}");
}

/// Catches: a search for a smaller scenario that never ends.
#[test]
fn no_more_runs_are_done_than_allowed() {
    let mut tried = 0;
    shrink(&draw(7), 25, |_| {
        tried += 1;
        tried % 3 == 0
    });
    assert_eq!(tried, 25);
}

/// Catches: two failures of one kind that look different, so that each is shrunk; and two kinds that look
/// the same.
#[test]
fn a_symptom_has_no_names_and_no_numbers() {
    let symptom = |why| Symptom::new("recovery", why);
    let first =
        symptom("acme-web-0-24 was answered no_answer, but all must work again since 23.7s");
    let other = symptom("globex-1-0-9 was answered no_answer, but all must work again since 3s");
    assert_eq!(first, other);
    assert_ne!(
        first,
        symptom("acme-web-0-24 was answered overloaded, but all must work again")
    );
    assert_ne!(
        first,
        Symptom::new("one_answer", "acme-web-0-24 was answered no_answer")
    );
}
