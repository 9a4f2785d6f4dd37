use std::sync::Arc;

use super::super::testing::*;
use super::super::{EndpointTrouble, Harm};
use super::*;
use crate::scenario::CellState;

fn ejection(host: &str, ejected: bool) -> Fact {
    Fact::Ejected {
        life: life(0),
        host: host.to_owned(),
        ejected,
    }
}

/// `a` has three endpoints. `a-1` and `a-2` have a fault all the time for which they may be ejected, and
/// `a-3` answers 429.
fn fed(facts: impl IntoIterator<Item = Fact>) -> Result<(), String> {
    let hosts = ["a-1", "a-2", "a-3"].map(str::to_owned);
    let trouble = |host: &String| EndpointTrouble {
        host: host.clone(),
        from: Duration::ZERO,
        until: SECOND * 100,
        harm: match host.as_str() {
            "a-3" => Harm::Excused,
            _ => Harm::Connections,
        },
    };
    let troubles = hosts.iter().map(trouble).collect();
    let bounds = Bounds {
        endpoints: Endpoints {
            hosts: [("a".to_owned(), hosts.into())].into(),
            troubles,
        },
        ..with_settings(|it| {
            it.outlier.ejected_percent_max = 50;
            it.outlier.ejection = [SECOND * 2, SECOND * 3];
            it.outlier.ejection_factor = 2;
        })
    };
    let facts: Vec<_> = facts.into_iter().collect();
    feed(&mut EjectedForCause::new(&bounds), &facts)
}

fn waits(seconds: usize) -> impl Iterator<Item = Fact> + Clone {
    std::iter::repeat_n(bad("t"), seconds)
}

/// An ejection of `a-1` that lasts so many seconds.
fn rests(seconds: usize) -> impl Iterator<Item = Fact> + Clone {
    let back = [ejection("a-1", false)];
    [ejection("a-1", true)]
        .into_iter()
        .chain(waits(seconds - 1))
        .chain(back)
}

#[test]
fn an_ejection_for_a_fault_passes() {
    assert_eq!(fed(rests(2)), Ok(()));
}

#[test]
fn notices_an_ejection_without_a_fault() {
    let error = fed([ejection("a-3", true)]).unwrap_err();
    assert!(error.contains("has had no fault since"), "{error}");
}

#[test]
fn notices_too_many_ejections() {
    let both = [ejection("a-1", true), ejection("a-2", true)];
    let error = fed(both).unwrap_err();
    assert!(
        error.contains("2 of 3 endpoints of a, but at most 1"),
        "{error}"
    );
    let one_after_the_other = rests(2).chain([ejection("a-2", true)]);
    assert_eq!(fed(one_after_the_other), Ok(()));
}

#[test]
fn notices_an_ejection_that_lasts_too_long() {
    let error = fed(rests(5)).unwrap_err();
    assert!(error.contains("for longer than 2s"), "{error}");
    assert_eq!(fed(rests(2).chain(rests(4))), Ok(()));
    let error = fed(rests(2).chain(rests(6))).unwrap_err();
    assert!(error.contains("for longer than 3s"), "{error}");
    // It crashed, or its process ended in a drain.
    for over in [
        Fact::Crashed(life(0)),
        noted("drained"),
        Fact::Started(life(1)),
    ] {
        let first = [ejection("a-1", true)].into_iter();
        assert_eq!(fed(first.chain([over]).chain(waits(9))), Ok(()));
    }
}

/// Catches: an endpoint that fails again and again and is back as soon as after its first failures.
#[test]
fn notices_an_ejection_that_is_too_short() {
    let error = fed(rests(1)).unwrap_err();
    assert!(error.contains("for less than 2s"), "{error}");
    let error = fed(rests(2).chain(rests(2))).unwrap_err();
    assert!(error.contains("for less than 3s"), "{error}");
    // It has made up for the first one.
    assert_eq!(fed(rests(2).chain(waits(1)).chain(rests(2))), Ok(()));
    // The cell has become too small.
    let small = Published {
        cells: [("a".to_owned(), gold(CellState::Active))].into(),
        ..document(1, &[])
    };
    let facts = [Fact::Published(Arc::new(small))].into_iter();
    assert_eq!(fed(facts.chain(rests(1))), Ok(()));
}
