use super::super::testing::*;
use super::*;

fn fed(facts: &[Fact]) -> Result<(), String> {
    let bounds = with_settings(|it| it.reload_within = SECOND * 2);
    feed(&mut FreshConnections::new(&bounds), facts)
}

fn on(connection: u64, tag: &str) -> Vec<Fact> {
    vec![
        sent(tag, "acme"),
        allowed(tag, "a", 1),
        arrived_with("a", tag, tag, |arrived| arrived.connection = connection),
    ]
}

#[test]
fn notices_an_old_connection_after_a_change() {
    let change = || vec![Fact::CellTrustChanged];
    let late = [on(1, "a"), change(), on(2, "b"), on(1, "c")].concat();
    assert!(fed(&late).is_err());
    let anew = [on(1, "a"), change(), on(2, "b"), on(2, "c")].concat();
    assert_eq!(fed(&anew), Ok(()));
    // A request that was decided within the time of a reload may still use it.
    let soon = [on(1, "a"), change(), on(1, "b")].concat();
    assert_eq!(fed(&soon), Ok(()));
}
