use super::super::testing::*;
use super::*;
use crate::scenario::CellState;

fn broken_by(facts: &[Fact]) -> String {
    feed(&mut AssignedCell::new("x-cellway-"), facts).unwrap_err()
}

#[test]
fn accepts_with_the_right_cell() {
    let facts = [
        published(1, &[("acme", "a")]),
        applied(0, 1),
        sent("t", "acme"),
        allowed("r", "a", 1),
        arrived("a", "t", "r"),
    ];
    assert_eq!(feed(&mut AssignedCell::new("x-cellway-"), &facts), Ok(()));
}

#[test]
fn notices_a_wrong_cell_though_the_router_is_sure() {
    let why = broken_by(&[
        published(1, &[("acme", "a")]),
        applied(0, 1),
        sent("t", "acme"),
        allowed("r", "b", 1),
        arrived("b", "t", "r"),
    ]);
    assert!(why.contains("reached b"), "{why}");
}

#[test]
fn notices_an_endpoint_that_the_registry_does_not_list() {
    let mut said = document(1, &[("acme", "a")]);
    said.cells = [("a".to_owned(), gold(CellState::Active))].into();
    let arrives_at = |host: &str| {
        let facts = [
            Fact::Published(Arc::new(said.clone())),
            applied(0, 1),
            sent("t", "acme"),
            allowed("r", "a", 1),
            arrived_with("a", "t", "r", |it| host.clone_into(&mut it.host)),
        ];
        feed(&mut AssignedCell::new("x-cellway-"), &facts)
    };
    assert_eq!(arrives_at("a-1"), Ok(()));
    assert!(arrives_at("a-2").unwrap_err().contains("no endpoint of a"));
}

#[test]
fn notices_another_cell_than_the_decided_one() {
    let why = broken_by(&[
        published(1, &[("acme", "a")]),
        applied(0, 1),
        sent("t", "acme"),
        allowed("r", "a", 1),
        arrived("b", "t", "r"),
    ]);
    assert!(why.contains("decided for"), "{why}");
}

#[test]
fn notices_a_tenant_mistaken_for_another() {
    let why = broken_by(&[
        published(1, &[("acme", "a"), ("evil", "b")]),
        applied(0, 1),
        sent("t", "evil"),
        allowed("r", "a", 1),
        arrived("a", "t", "r"),
    ]);
    assert!(why.contains("t of evil reached a"), "{why}");
}

#[test]
fn notices_a_version_that_was_never_accepted() {
    let why = broken_by(&[
        published(1, &[("acme", "a")]),
        sent("t", "acme"),
        allowed("r", "a", 1),
        arrived("a", "t", "r"),
    ]);
    assert!(why.contains("had not accepted"), "{why}");
    let why = broken_by(&[applied(0, 9)]);
    assert!(why.contains("no good document"), "{why}");
}

#[test]
fn notices_requests_from_nowhere() {
    let why = broken_by(&[sent("t", "acme"), arrived("a", "t", "r")]);
    assert!(why.contains("no router has decided"), "{why}");
    let why = broken_by(&[arrived("a", "t", "r")]);
    assert!(why.contains("no client sent"), "{why}");
}
