use cellway_core::Reason;

use super::super::testing::*;
use super::*;

/// Breakers open for ten seconds.
fn fed(facts: impl IntoIterator<Item = Fact>) -> Result<(), String> {
    let bounds = Bounds {
        endpoints: one_each(),
        delivery_max: SECOND,
        ..with_settings(|it| {
            it.breaker.failures = 2;
            it.breaker.open = SECOND * 10;
        })
    };
    let facts: Vec<_> = facts.into_iter().collect();
    feed(&mut FairBreaker::new(&bounds), &facts)
}

/// A request of this tenant that arrives at `a` and gets this answer.
fn of(tenant: &str, tag: &str, answer: Answer) -> Vec<Fact> {
    let arrived = arrived("a", tag, tag);
    vec![sent(tag, tenant), arrived, answered(tag, answer)]
}

fn router(reason: &str) -> Answer {
    Answer::Router(reason.to_owned())
}

fn late(tenant: &str, tag: &str) -> Vec<Fact> {
    of(tenant, tag, router("cell_timeout_header"))
}

fn opened() -> Vec<Fact> {
    vec![circuit("2", CircuitChange::Opened)]
}

/// Two late requests of these tenants, after an answer to globex, and then the breaker opens.
fn row(tenants: [&str; 2]) -> [Vec<Fact>; 4] {
    let [first, then] = tenants;
    let served = of("globex", "0", Answer::Ok);
    [served, late(first, "1"), late(then, "2"), opened()]
}

#[test]
fn notices_a_breaker_that_opens_because_of_one_tenant() {
    let error = fed(row(["acme", "acme"]).concat()).unwrap_err();
    assert!(error.contains("only requests of acme"), "{error}");
    assert!(error.contains("globex was answered lately"), "{error}");
}

#[test]
fn failures_of_two_tenants_open_it() {
    assert_eq!(fed(row(["acme", "initech"]).concat()), Ok(()));
}

#[test]
fn a_tenant_without_others_opens_it() {
    let [_, first, then, opened] = row(["acme", "acme"]);
    let own = of("acme", "0", Answer::Ok);
    assert_eq!(fed([own, first, then, opened].concat()), Ok(()));
    assert_eq!(fed(row(["globex", "globex"]).concat()), Ok(()));
}

#[test]
fn an_answer_long_ago_is_no_reason_to_stay_closed() {
    let [served, first, then, opened] = row(["acme", "acme"]);
    let wait = |secs: usize| vec![bad("t"); secs];
    let after = |secs| {
        fed([&served, &wait(secs), &first, &then, &opened]
            .map(Clone::clone)
            .concat())
    };
    assert_eq!(after(30), Ok(()));
    assert!(after(15).is_err());
}

#[test]
fn an_endpoint_that_could_not_be_reached_opens_it() {
    for failed in [
        vec![sent("3", "acme"), answered("3", router("cell_unreachable"))],
        of("acme", "3", router("cell_reset")),
    ] {
        let [served, first, then, opened] = row(["acme", "acme"]);
        assert_eq!(fed([served, first, failed, then, opened].concat()), Ok(()));
    }
}

#[test]
fn requests_that_the_router_refuses_itself_have_not_failed() {
    let [served, first, then, opened] = row(["acme", "acme"]);
    let refused = vec![sent("3", "globex"), answered("3", router("overloaded"))];
    assert!(fed([served, first, refused, then, opened].concat()).is_err());
}

/// A decision about a request of this tenant, and what the router answers.
fn decided(tenant: &str, id: &str) -> Fact {
    decided_with(id, |it| it.tenant = Some(tenant.to_owned()))
}

fn answers(id: &str, reason: Reason) -> Fact {
    let Fact::Responded(mut responded) = responded(id) else {
        unreachable!("it is one");
    };
    responded.reason = Some(reason);
    Fact::Responded(responded)
}

/// A probe of acme fails for this reason, a request of `other` is refused meanwhile, and after so many
/// seconds `next` probes.
fn probes(reason: Reason, other: &str, (secs, next): (usize, &str)) -> Result<(), String> {
    let facts = vec![
        circuit("0", CircuitChange::Opened),
        decided("acme", "1"),
        circuit("1", CircuitChange::Probing),
        decided(other, "2"),
        answers("2", Reason::CircuitOpen),
        circuit("1", CircuitChange::Opened),
        answers("1", reason),
        decided(next, "3"),
    ];
    let wait = vec![bad("t"); secs];
    // It has been open for two seconds more.
    fed([facts, wait, vec![circuit("3", CircuitChange::Probing)]].concat())
}

#[test]
fn notices_a_tenant_that_tries_again_before_others() {
    let late = Reason::CellTimeoutHeader;
    let error = probes(late, "globex", (10, "acme")).unwrap_err();
    assert!(
        error.contains("2 of globex was refused meanwhile"),
        "{error}"
    );
    assert_eq!(probes(late, "globex", (10, "globex")), Ok(()));
    assert_eq!(probes(late, "globex", (17, "acme")), Ok(()));
    assert_eq!(probes(late, "acme", (10, "acme")), Ok(()));
    let unreachable = Reason::CellUnreachable;
    assert_eq!(probes(unreachable, "globex", (10, "acme")), Ok(()));
}
