use super::super::testing::*;
use super::*;
use crate::fact::Answer;

/// With a timeout of 2 s.
fn fed(facts: &[Fact]) -> Result<(), String> {
    let bounds = with_settings(|it| it.timeouts.stall = SECOND * 2);
    feed(&mut StalledCut::new(&bounds), facts)
}

/// A request whose client stops reading, and what follows.
fn stalled(then: &[Fact]) -> Vec<Fact> {
    let stops = Fact::StoppedReading {
        tag: "t".to_owned(),
    };
    let mut facts = passing("t", "r").to_vec();
    facts.push(stops);
    facts.extend_from_slice(then);
    facts
}

#[test]
fn notices_a_request_that_does_not_end() {
    let later = [noted("a"), noted("b"), noted("c")];
    let error = fed(&stalled(&later)).unwrap_err();
    assert!(error.contains("t reads nothing since 3s"), "{error}");
}

#[test]
fn an_end_in_time_passes() {
    let later = [responded("r"), noted("b"), noted("c"), noted("d")];
    assert_eq!(fed(&stalled(&later)), Ok(()));
}

#[test]
fn the_end_of_another_request_does_not_count() {
    let later = [responded("s"), noted("b"), noted("c"), noted("d")];
    assert!(fed(&stalled(&later)).is_err());
}

#[test]
fn a_client_that_has_gone_is_not_waited_for() {
    let later = [answered("t", Answer::None), noted("b"), noted("c")];
    assert_eq!(fed(&stalled(&later)), Ok(()));
}
