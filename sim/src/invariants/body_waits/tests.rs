use super::super::testing::*;
use super::*;

/// The bodies of `client` stop, and routers wait for two seconds.
fn fed(facts: impl IntoIterator<Item = Fact>) -> Result<(), String> {
    let bounds = Bounds {
        stopping: ["client".to_owned()].into(),
        ..with_settings(|it| it.timeouts.body_grace = SECOND * 2)
    };
    let facts: Vec<_> = facts.into_iter().collect();
    feed(&mut BodyWaits::new(&bounds), &facts)
}

#[test]
fn a_request_that_ends_in_time_passes() {
    let facts = passing("t", "r").into_iter();
    assert_eq!(
        fed(facts.chain([bad("u"), responded("r"), bad("v"), bad("w")])),
        Ok(())
    );
}

#[test]
fn notices_a_request_that_is_kept_too_long() {
    let facts = passing("t", "r").into_iter();
    let error = fed(facts.chain([bad("u"), bad("v"), bad("w")])).unwrap_err();
    assert!(error.contains("the body of t has stopped"), "{error}");
}

#[test]
fn others_are_not_checked() {
    let whole = sent_with("t", "acme", |sent| "other".clone_into(&mut sent.client));
    let facts = [whole, allowed("r", "a", 1), arrived("a", "t", "r")].into_iter();
    assert_eq!(fed(facts.chain([bad("u"), bad("v"), bad("w")])), Ok(()));
}

/// Catches: an alarm for what a router had sent before it crashed, and the network delivered later.
#[test]
fn a_router_that_has_crashed_ends_nothing() {
    let [sent, allowed, arrived] = passing("t", "r");
    let facts = [sent, allowed, Fact::Crashed(life(0)), arrived];
    let late = [bad("u"), bad("v"), bad("w")];
    assert_eq!(fed(facts.into_iter().chain(late)), Ok(()));
}
