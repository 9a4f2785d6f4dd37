use super::super::testing::*;
use super::*;

fn arrives(tag: &str, request_id: &str) -> Fact {
    arrived("a", tag, request_id)
}

/// Breakers open for a second.
fn check(facts: &[Fact]) -> Result<(), String> {
    let bounds = with_settings(|it| it.breaker.open = SECOND);
    feed(&mut OneProbe::new(&bounds), facts)
}

#[test]
fn notices_two_probes_at_once() {
    use CircuitChange::{Closed, Freed, Opened, Probing};
    let open = circuit("1", Opened);
    let good = [
        open.clone(),
        circuit("2", Probing),
        circuit("2", Opened),
        circuit("3", Probing),
        circuit("3", Freed),
        circuit("4", Probing),
        circuit("4", Closed),
    ];
    assert_eq!(check(&good), Ok(()));
    let twice = [open, circuit("2", Probing), circuit("3", Probing)];
    assert!(check(&twice).is_err());
    assert!(check(&[circuit("2", Probing)]).is_err(), "it is closed");
}

#[test]
fn notices_a_request_through_an_open_breaker() {
    use CircuitChange::{Closed, Opened, Probing};
    let open = circuit("1", Opened);
    let late = [open.clone(), sent("t", "acme"), arrives("t", "2")];
    assert!(check(&late).is_err());
    // It was on its way already.
    let early = [sent("t", "acme"), open.clone(), arrives("t", "2")];
    assert_eq!(check(&early), Ok(()));
    let probe = [
        open.clone(),
        sent("t", "acme"),
        circuit("2", Probing),
        arrives("t", "2"),
    ];
    assert_eq!(check(&probe), Ok(()));
    let beside = [
        open.clone(),
        sent("t", "acme"),
        circuit("2", Probing),
        arrives("t", "3"),
    ];
    assert!(check(&beside).is_err());
    let closed = [
        open,
        circuit("2", Probing),
        circuit("2", Closed),
        sent("t", "acme"),
        arrives("t", "3"),
    ];
    assert_eq!(check(&closed), Ok(()));
}

#[test]
fn notices_a_probe_that_comes_too_early() {
    use CircuitChange::{Freed, Opened, Probing};
    let mut invariant = OneProbe::new(&with_settings(|it| it.breaker.open = SECOND * 2));
    let early = [circuit("1", Opened), circuit("2", Probing)];
    let error = feed(&mut invariant, &early).unwrap_err();
    assert!(error.contains("opened at 0ns for 2s"), "{error}");
    let mut invariant = OneProbe::new(&with_settings(|it| it.breaker.open = SECOND * 2));
    let freed = [
        circuit("1", Opened),
        bad("t"),
        circuit("2", Probing),
        circuit("2", Freed),
        circuit("3", Probing),
    ];
    assert_eq!(feed(&mut invariant, &freed), Ok(()));
}
