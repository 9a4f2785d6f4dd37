use super::super::testing::*;
use super::*;

/// These facts, and then a request that passes. Facts are a second apart.
fn fed(facts: &[Fact], status_max_age: u32) -> Result<(), String> {
    fed_to(&mut Suspended::new(&bounds(status_max_age)), facts)
}

fn fed_to(invariant: &mut Suspended, facts: &[Fact]) -> Result<(), String> {
    let facts = [facts, &passing("t", "r"), &[responded("r")]].concat();
    feed(invariant, &facts)
}

fn bounds(status_max_age: u32) -> Bounds {
    Bounds {
        streams_within: SECOND,
        delivery_max: SECOND,
        ..with_settings(|it| it.registry.status_max_age = SECOND * status_max_age)
    }
}

/// A request passes, its tenant is suspended, and this follows.
fn fed_open(more: &[Fact]) -> Result<(), String> {
    let mut all = vec![
        sent("t", "acme"),
        allowed("r", "a", 1),
        arrived("a", "t", "r"),
        suspending(2, &["acme"]),
        applied(0, 2),
    ];
    all.extend_from_slice(more);
    feed(&mut Suspended::new(&bounds(9)), &all)
}

fn streamed() -> Fact {
    Fact::Streamed {
        tag: "t".to_owned(),
    }
}

#[test]
fn accepts_while_the_router_may_not_know() {
    assert_eq!(fed(&[suspending(1, &["acme"])], 9), Ok(()));
    assert_eq!(fed(&[suspending(1, &["other"]), applied(0, 1)], 0), Ok(()));
}

#[test]
fn notices_a_router_that_knows() {
    // Long enough that the open request itself is no violation.
    let mut patient = Suspended::new(&Bounds {
        streams_within: SECOND * 9,
        ..bounds(9)
    });
    let why = fed_to(&mut patient, &[suspending(1, &["acme"]), applied(0, 1)]).unwrap_err();
    assert!(why.contains("forwarded t, but had applied"), "{why}");
}

#[test]
fn notices_a_router_that_has_heard_nothing_for_too_long() {
    let why = fed(&[suspending(1, &["acme"])], 1).unwrap_err();
    assert!(why.contains("since 0ns"), "{why}");
}

#[test]
fn accepts_with_a_tenant_that_is_active_again() {
    let resumed = [
        suspending(1, &["acme"]),
        applied(0, 1),
        suspending(2, &[]),
        applied(0, 2),
    ];
    assert_eq!(fed(&resumed, 1), Ok(()));
}

#[test]
fn accepts_with_what_ends_in_time() {
    assert_eq!(fed_open(&[responded("r"), streamed()]), Ok(()));
}

#[test]
fn notices_a_router_that_leaves_a_stream_open() {
    let why = fed_open(&[suspending(3, &["acme"]), suspending(4, &["acme"])]).unwrap_err();
    assert!(why.contains("has request r of acme open"), "{why}");
}

#[test]
fn notices_a_stream_that_only_the_router_calls_closed() {
    let in_time = fed_open(&[responded("r"), streamed()]);
    assert_eq!(in_time, Ok(()), "under way until then");
    let later = [responded("r"), streamed(), streamed()];
    let why = fed_open(&later).unwrap_err();
    assert!(why.contains("still gets an answer"), "{why}");
}
