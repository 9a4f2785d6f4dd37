use std::time::Duration;

use cellway_core::Reason;

use super::{Changed, Detail, Happened, Recorder, Request};
use crate::fact::{Answer, Fact};
use crate::invariants::testing::{
    SECOND, allowed, answered, applied, arrived, denied, published, responded, sent,
};

/// The record of facts, a second apart from the first second on.
fn recorded(facts: &[Fact]) -> Recorder {
    let mut recorder = Recorder::new("x-cellway-", Detail::All);
    for (at, fact) in (1..).zip(facts) {
        recorder.observe(SECOND * at, "router-1", fact);
    }
    recorder
}

fn words(request: &Request) -> Vec<String> {
    let steps = request.steps.iter();
    steps
        .map(|step| format!("{} {}", step.at.as_secs(), step.sentence()))
        .collect()
}

#[test]
fn a_request_has_what_its_router_said_before_anybody_could_name_it() {
    let record = recorded(&[
        sent("web-1", "acme"),
        allowed("id-1", "a", 7),
        arrived("a", "web-1", "id-1"),
        responded("id-1"),
        answered("web-1", Answer::Ok),
    ]);
    let request = &record.requests[0];
    assert_eq!(
        words(request),
        [
            "2 router-1 allows it to a (verified), as acme on registry version 7",
            "3 a-1 of cell a receives it",
            "4 router-1 answers 200",
        ]
    );
    assert_eq!(request.cell.as_deref(), Some("a"));
    assert_eq!(request.answered, Some(SECOND * 5));
    assert!(record.nameless.is_empty());
}

/// A denied request reaches no cell; the answer names the router's id.
#[test]
fn an_answer_names_a_request_that_reached_no_cell() {
    let traced = Fact::Traced {
        tag: "web-1".to_owned(),
        request_id: "id-1".to_owned(),
    };
    let record = recorded(&[
        sent("web-1", "acme"),
        denied("id-1", Reason::TenantSuspended),
        traced,
        denied("id-2", Reason::TenantSuspended),
    ]);
    let denied = "2 router-1 denies it: tenant_suspended, as acme on registry version 1";
    assert_eq!(words(&record.requests[0]), [denied]);
    assert_eq!(record.nameless.keys().collect::<Vec<_>>(), ["id-2"]);
}

/// Routers report the end of their requests when the world is dropped, without a time.
#[test]
fn what_comes_after_the_end_is_left_out() {
    let mut record = recorded(&[sent("web-1", "acme"), arrived("a", "web-1", "id-1")]);
    record.observe(Duration::ZERO, "router-1", &responded("id-1"));
    let is_end = |what: &Happened| matches!(what, Happened::Responded { .. });
    let steps = &record.requests[0].steps;
    assert!(!steps.iter().any(|step| is_end(&step.what)), "{steps:?}");
}

#[test]
fn a_registry_says_what_is_new() {
    let record = recorded(&[
        published(1, &[("acme", "a"), ("globex", "a")]),
        published(2, &[("acme", "b"), ("wayne", "a")]),
        published(3, &[("acme", "b"), ("wayne", "a")]),
        applied(0, 2),
    ]);
    let changes: Vec<_> = record.changes.iter().map(|it| it.sentence()).collect();
    assert_eq!(
        changes,
        [
            "control-plane publishes registry version 1: the first one, with 2 tenants",
            "control-plane publishes registry version 2: acme is at b, wayne is at a, globex is gone",
            "control-plane publishes registry version 3: no tenant and no cell differs",
            "router-1 applies registry version 2",
        ]
    );
    assert_eq!(record.changes[3].what, Changed::Applied { version: 2 });
}
