use std::time::Duration;

use super::rule;
use super::testing::{assert_for_people, told, world};
use crate::fact::{Answer, CircuitChange, Fact};
use crate::invariants::testing::{
    SECOND, allowed, answered, applied, arrived, circuit, published, responded, sent, with_token,
};
use crate::invariants::{Bounds, all};

/// Facts a second apart.
fn timed(facts: Vec<Fact>) -> Vec<(Duration, Fact)> {
    (1..).map(|at| SECOND * at).zip(facts).collect()
}

/// Catches: an invariant whose story doesn't say what it asks for.
#[test]
fn every_invariant_has_a_rule_in_plain_words() {
    for invariant in all(&Bounds::default()) {
        let name = invariant.name();
        let rule = rule::of(name).unwrap_or_else(|| panic!("{name} has none"));
        assert!(rule.ends_with('.'), "{name}: {rule}");
        assert!(!rule.contains(['`', '|']), "{name}: {rule}");
        assert!(!rule.contains("]("), "{name}: {rule}");
    }
    assert_eq!(rule::of("expect.answers[0]"), None);
}

#[test]
fn a_request_at_another_cell() {
    let facts = vec![
        published(6, &[("acme", "a")]),
        applied(0, 6),
        published(7, &[("acme", "b")]),
        sent("web-1", "acme"),
        allowed("id-1", "c", 6),
        arrived("c", "web-1", "id-1"),
    ];
    let story = told(
        &world(""),
        "assigned_cell",
        "web-1 reached c",
        &timed(facts),
    );
    insta::assert_snapshot!(story);
}

#[test]
fn a_router_that_decides_on_an_old_registry() {
    let facts = vec![
        published(6, &[("acme", "a")]),
        applied(0, 6),
        published(7, &[("acme", "b")]),
        applied(0, 7),
        allowed("id-1", "a", 6),
    ];
    let why = "router-1 decided id-1 on 6";
    insta::assert_snapshot!(told(&world(""), "registry_followed", why, &timed(facts)));
}

#[test]
fn a_token_of_a_withdrawn_key() {
    let fault = "[[fault]]\nat = \"1s\"\nkind = \"publish_key\"\ntarget = \"idp-main\"\nkey = \"key-2\"\n\n\
                 [[fault]]\nat = \"2s\"\nkind = \"sign_with\"\ntarget = \"idp-main\"\nkey = \"key-2\"\n\n\
                 [[fault]]\nat = \"3s\"\nkind = \"withdraw_key\"\ntarget = \"idp-main\"\nkey = \"key-1\"\n\n";
    let facts = vec![
        published(6, &[("acme", "a")]),
        applied(0, 6),
        Fact::FaultBegins(String::new()),
        with_token("web-1", "main"),
        allowed("id-1", "a", 6),
        arrived("a", "web-1", "id-1"),
    ];
    let story = told(
        &world(fault),
        "withdrawn_keys",
        "web-1 arrived",
        &timed(facts),
    );
    insta::assert_snapshot!(story);
}

#[test]
fn a_request_at_an_endpoint_behind_an_open_breaker() {
    let facts = vec![
        circuit("id-0", CircuitChange::Opened),
        sent("web-1", "acme"),
        allowed("id-1", "a", 6),
        arrived("a", "web-1", "id-1"),
    ];
    insta::assert_snapshot!(told(
        &world(""),
        "one_probe",
        "web-1 arrived",
        &timed(facts)
    ));
}

#[test]
fn a_request_that_arrives_twice() {
    let facts = vec![
        sent("web-1", "acme"),
        allowed("id-1", "a", 6),
        arrived("a", "web-1", "id-1"),
        arrived("a", "web-1", "id-1"),
    ];
    let story = told(
        &world(""),
        "one_answer",
        "web-1 arrived twice",
        &timed(facts),
    );
    insta::assert_snapshot!(story);
}

#[test]
fn a_router_that_reports_another_end() {
    let facts = vec![
        sent("web-1", "acme"),
        allowed("id-1", "a", 6),
        arrived("a", "web-1", "id-1"),
        responded("id-1"),
        answered("web-1", Answer::Router("overloaded".to_owned())),
    ];
    insta::assert_snapshot!(told(
        &world(""),
        "reported_truly",
        "another end",
        &timed(facts)
    ));
}

#[test]
#[should_panic(expected = "as Rust shows it")]
fn a_dump_is_noticed() {
    assert_for_people("answered Some(ok)");
}
