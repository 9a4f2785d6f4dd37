use super::super::testing::*;
use super::*;

/// A request that arrives at `a` on a connection whose router has acknowledged this many streams.
fn served(tag: &str, streams: u32) -> [Fact; 2] {
    let arrived = arrived_with("a", tag, tag, |it| it.streams_known = Some(streams));
    [sent(tag, "acme"), arrived]
}

/// A request that `a` refuses, because it allows 2 streams.
fn refused(tag: &str, known: bool) -> [Fact; 2] {
    let excess = Excess { allowed: 2, known };
    let unserved = Fact::Unserved {
        cell: "a".to_owned(),
        host: "a-1".to_owned(),
        tag: Some(tag.to_owned()),
        how: Unserved::TooManyStreams(excess),
    };
    [sent(tag, "acme"), unserved]
}

fn fed(facts: impl IntoIterator<Item = Fact>) -> Result<(), String> {
    let facts: Vec<_> = facts.into_iter().collect();
    feed(&mut StreamsKept::new(&Bounds::default()), &facts)
}

#[test]
fn a_router_that_can_not_know_the_limit_may_exceed_it() {
    assert_eq!(fed(refused("1", false)), Ok(()));
    let fewer_now = served("1", 3).into_iter().chain(refused("2", false));
    assert_eq!(fed(fewer_now), Ok(()));
}

#[test]
fn notices_a_stream_that_is_more_than_its_connection_may_have() {
    let error = fed(refused("1", true)).unwrap_err();
    assert!(error.contains("acknowledged there"), "{error}");
}

#[test]
fn notices_a_router_that_forgets_the_limit_on_a_new_connection() {
    let known = || served("1", 2).into_iter();
    let error = fed(known().chain(refused("2", false))).unwrap_err();
    assert!(error.contains("from another one"), "{error}");
    let other = Fact::StreamsAllowed("a-1".to_owned());
    let changed = known().chain([other]).chain(refused("2", false));
    assert_eq!(fed(changed), Ok(()));
    let restarted = known().chain([Fact::Started(life(1))]);
    assert_eq!(fed(restarted.chain(refused("2", false))), Ok(()));
}
