use super::super::testing::*;
use super::super::{EndpointTrouble, Harm};
use super::*;
use crate::fact::FailedOver;
use cellway_core::Reason;

/// acme's placement has cell `a`, and `b` may stand in. `a` has a fault from second 100 to 110.
fn world() -> FailoverAllowed {
    let host = |cell: &str| (cell.to_owned(), [format!("{cell}-1")].into());
    FailoverAllowed::new(&Bounds {
        endpoints: Endpoints {
            hosts: ["a", "b", "c"].map(host).into(),
            troubles: vec![EndpointTrouble {
                host: "a-1".to_owned(),
                from: SECOND * 100,
                until: SECOND * 110,
                harm: Harm::Connections,
            }],
        },
        ..with_settings(|_| ())
    })
}

fn registry(assigned: &[&str], failover: bool) -> Fact {
    let mut said = document(1, &[]);
    let cells = assigned.iter().map(|cell| (*cell).to_owned()).collect();
    said.assignment.insert("acme".to_owned(), cells);
    let standby = Standby {
        home: ["a".to_owned()].into(),
        failover,
        cells: ["a".to_owned(), "b".to_owned()].into(),
    };
    said.standby.insert("acme".to_owned(), standby);
    Fact::Published(Arc::new(said))
}

fn failed_over(cell: &str) -> Fact {
    Fact::FailedOver(FailedOver {
        life: life(0),
        request_id: "id".to_owned(),
        from: Some("a".to_owned()),
        cell: cell.to_owned(),
        reason: Reason::CircuitOpen,
    })
}

/// The request arrives at this cell at this time.
fn arrives(
    at: u32,
    said: Fact,
    moved: Option<&str>,
    headers: &[(&str, &str)],
) -> Result<(), String> {
    let mut invariant = world();
    let cell = moved.unwrap_or("a");
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let arrived = arrived_with(cell, "t", "id", |it| {
        it.headers.extend(headers.iter().map(own));
    });
    let facts = [
        Some(said),
        Some(sent("t", "acme")),
        Some(decided_with("id", |_| ())),
        moved.map(failed_over),
        Some(arrived),
    ];
    let facts = facts.iter().flatten();
    feed_timed(&mut invariant, facts.map(|fact| (SECOND * at, fact)))
}

const TOLD: &[(&str, &str)] = &[("x-cellway-failover", "circuit_open")];

#[test]
fn notices_another_cell_that_the_placement_does_not_allow() {
    assert_eq!(arrives(1, registry(&["a"], true), None, &[]), Ok(()));
    assert_eq!(
        arrives(105, registry(&["a"], true), Some("b"), TOLD),
        Ok(())
    );
    // No cell of the placement takes traffic.
    assert_eq!(arrives(1, registry(&[], false), Some("b"), TOLD), Ok(()));

    let wrong_cell = arrives(105, registry(&["a"], true), Some("c"), TOLD);
    assert!(wrong_cell.unwrap_err().contains("may stand in"));
    let no_fault = arrives(1, registry(&["a"], true), Some("b"), TOLD);
    assert!(no_fault.unwrap_err().contains("had no fault"));
    let not_allowed = arrives(105, registry(&["a"], false), Some("b"), TOLD);
    assert!(not_allowed.unwrap_err().contains("doesn't allow failover"));
    let no_standby = arrives(105, published(1, &[("acme", "a")]), Some("b"), TOLD);
    assert!(no_standby.unwrap_err().contains("allows no other cell"));
}

#[test]
fn notices_a_cell_that_is_not_told() {
    for headers in [&[][..], &[("x-cellway-failover", "verified")]] {
        assert!(arrives(105, registry(&["a"], true), Some("b"), headers).is_err());
    }
    assert!(arrives(105, registry(&["a"], true), None, TOLD).is_err());
}

#[test]
fn notices_a_refusal_although_another_cell_is_well() {
    for (failover, answer, fine) in [
        (true, "circuit_open", false),
        (true, "cell_unreachable", false),
        (true, "cell_reset", true),
        (false, "circuit_open", true),
    ] {
        let mut invariant = world();
        let facts = [
            registry(&["a"], failover),
            sent("t", "acme"),
            answered("t", Answer::Router(answer.to_owned())),
        ];
        let fed = feed(&mut invariant, &facts);
        assert_eq!(fed.is_ok(), fine, "{failover} {answer}: {fed:?}");
    }
}

#[test]
fn notices_another_cell_than_the_quarantined_one() {
    let Fact::Published(mut said) = registry(&[], true) else {
        unreachable!("it is a registry");
    };
    let mut with = |state| {
        let cells = &mut Arc::make_mut(&mut said).cells;
        cells.insert("a".to_owned(), gold(state));
        let said = Fact::Published(said.clone());
        arrives(105, said, Some("b"), TOLD)
    };
    assert_eq!(with(CellState::Provisioning), Ok(()));
    let why = with(CellState::Quarantined).unwrap_err();
    assert!(why.contains("is quarantined"), "{why}");
}
