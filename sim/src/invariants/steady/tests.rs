use super::super::testing::*;
use super::*;
use crate::engine::EPOCH;

fn registry(version: u64, open: &[&str], state_of_a: CellState) -> Fact {
    let cells = open.iter().map(|cell| (*cell).to_owned()).collect();
    Fact::Published(Arc::new(Published {
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
    if let Some(a) = Arc::make_mut(&mut said).cells.get_mut("a") {
        a.drains = Some([EPOCH, EPOCH + SECOND * 100]);
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
    feed(&mut SteadyPlacement::default(), facts)
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

/// Catches: a drain that begins too early, and one that leaves tenants behind.
#[test]
fn a_drain_begins_and_ends_in_its_time() {
    let drained = |from: Duration, until: Duration, cells: [&str; 2]| {
        let Fact::Published(mut said) = draining(1) else {
            unreachable!("it is a registry");
        };
        if let Some(a) = Arc::make_mut(&mut said).cells.get_mut("a") {
            a.drains = Some([from, until]);
        }
        let [first, second] = cells;
        let served = served("1", first, 1)
            .into_iter()
            .chain(served("2", second, 1));
        let facts: Vec<_> = [Fact::Published(said)].into_iter().chain(served).collect();
        fed(&facts)
    };
    let (past, later) = (EPOCH - SECOND, EPOCH + SECOND);
    assert_eq!(drained(past, later, ["a", "b"]), Ok(()));
    let early = drained(later, later + SECOND, ["a", "b"]).unwrap_err();
    assert!(early.contains("an earlier request reached a"), "{early}");
    let late = drained(past, EPOCH, ["b", "a"]).unwrap_err();
    assert!(late.contains("reached b"), "{late}");
    let behind = drained(past, EPOCH, ["a", "a"]).unwrap_err();
    assert!(behind.contains("had given all"), "{behind}");
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
