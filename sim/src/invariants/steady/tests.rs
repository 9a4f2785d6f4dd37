use super::super::testing::*;
use super::*;

fn registry(version: u64, open: &[&str], state_of_a: CellState) -> Fact {
    let cells = open.iter().map(|cell| (*cell).to_owned()).collect();
    Fact::Published(Box::new(Published {
        assignment: [("acme".to_owned(), cells)].into(),
        cells: [
            ("a".to_owned(), gold(state_of_a)),
            ("b".to_owned(), gold(CellState::Active)),
        ]
        .into(),
        ..document(version, &[])
    }))
}

/// As [`registry`], and `a` gives its tenants away over time.
fn draining(version: u64) -> Fact {
    let Fact::Published(mut said) = registry(version, &["a", "b"], CellState::Draining) else {
        unreachable!("it is a registry");
    };
    if let Some(a) = said.cells.get_mut("a") {
        a.drains = true;
    }
    Fact::Published(said)
}

fn served(tag: &str, cell: &str, version: u64) -> [Fact; 3] {
    [
        sent(tag, "acme"),
        allowed(tag, cell, version),
        arrived(cell, tag, tag),
    ]
}

fn fed(facts: &[Fact]) -> Result<(), String> {
    feed(&mut SteadyPlacement::new("x-cellway-"), facts)
}

#[test]
fn notices_two_cells_in_one_version() {
    let mut facts = vec![registry(1, &["a", "b"], CellState::Active)];
    facts.extend(served("1", "a", 1));
    facts.extend(served("2", "a", 1));
    assert_eq!(fed(&facts), Ok(()));
    facts.extend(served("3", "b", 1));
    assert!(
        fed(&facts)
            .unwrap_err()
            .contains("an earlier request reached a")
    );
}

#[test]
fn a_tenant_leaves_a_draining_cell_once() {
    let mut facts = vec![draining(1)];
    facts.extend(served("1", "a", 1));
    let [sent_late, decided_late, arrived_late] = served("2", "a", 1);
    facts.extend([sent_late, decided_late]);
    facts.extend(served("3", "b", 1));
    // It was decided before the tenant moved.
    facts.push(arrived_late);
    assert_eq!(fed(&facts), Ok(()));
    facts.extend(served("4", "a", 1));
    let why = fed(&facts).unwrap_err();
    assert!(why.contains("an earlier request reached b"), "{why}");
}

#[test]
fn notices_a_tenant_that_leaves_its_quarantined_cell() {
    let moved = |open: &[&str], state| {
        let mut facts = vec![registry(1, &["a", "b"], CellState::Active)];
        facts.extend(served("1", "a", 1));
        facts.push(registry(2, open, state));
        facts.extend(served("2", "b", 2));
        fed(&facts)
    };
    let why = moved(&["b"], CellState::Quarantined).unwrap_err();
    assert!(why.contains("is quarantined"), "{why}");
    // A draining cell's tenants move to others.
    assert_eq!(moved(&["a", "b"], CellState::Draining), Ok(()));
}
