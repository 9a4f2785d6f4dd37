use super::super::testing::*;
use super::*;
use crate::fact::Answer;

/// Facts are a second apart, and requests are on their way for at most three.
fn fed(facts: &[Fact]) -> Result<(), String> {
    fed_during(&[], facts)
}

/// The same, with these times of faults.
fn fed_during(troubles: &[(u32, u32)], facts: &[Fact]) -> Result<(), String> {
    fed_with(1, troubles, facts)
}

/// With a router that has so many places at a cell.
fn fed_with(places: usize, troubles: &[(u32, u32)], facts: &[Fact]) -> Result<(), String> {
    let troubles = troubles.iter();
    let bounds = Bounds {
        transit_max: SECOND * 3,
        troubles: troubles
            .map(|(from, until)| (SECOND * *from, SECOND * *until))
            .collect(),
        ..with_settings(|it| it.limits.places_for_all = places)
    };
    feed(&mut FreePlaces::new(&bounds), facts)
}

/// A request has the only place, another one waits, and these facts follow.
fn waiting(more: &[Fact]) -> Vec<Fact> {
    let waits = [sent("w", "globex"), allowed("w", "a", 1)];
    [&passing("t", "t")[..], &waits, more].concat()
}

/// The first request is over.
fn over() -> [Fact; 2] {
    [responded("t"), answered("t", Answer::Ok)]
}

fn idle() -> Vec<Fact> {
    (1..=4).map(|n| bad(&n.to_string())).collect()
}

#[test]
fn notices_a_request_that_waits_although_a_place_is_free() {
    let error = fed(&waiting(&[&over()[..], &idle()].concat())).unwrap_err();
    assert!(error.contains("lets w wait for a"), "{error}");
    let refused = [&over()[..], &idle()[..2], &[responded("w")], &idle()].concat();
    assert_eq!(fed(&waiting(&refused)), Ok(()));
}

/// Catches: a router that lets a cell have fewer requests at once than it may.
#[test]
fn notices_that_one_place_of_two_is_free() {
    let waits = waiting(&idle());
    assert_eq!(fed_with(1, &[], &waits), Ok(()));
    assert!(fed_with(2, &[], &waits).is_err());
    // The second place has just become free.
    let [sent, allowed, arrived] = passing("u", "u");
    let begins = [vec![sent, allowed, arrived], waiting(&[])].concat();
    let ends = [responded("u"), answered("u", Answer::Ok)];
    let just_over = [&begins[..], &ends, &idle()[..2]].concat();
    assert_eq!(fed_with(2, &[], &just_over), Ok(()));
    assert!(fed_with(2, &[], &[&just_over[..], &idle()].concat()).is_err());
}

#[test]
fn a_place_is_taken_until_router_and_client_know_the_end() {
    assert_eq!(fed(&waiting(&idle())), Ok(()));
    for end in over() {
        assert_eq!(fed(&waiting(&[&[end][..], &idle()].concat())), Ok(()));
    }
}

#[test]
fn a_request_that_arrives_in_time_was_given_the_place() {
    let given = [
        &over()[..],
        &idle()[..2],
        &[arrived("a", "w", "w")],
        &idle(),
    ];
    assert_eq!(fed(&waiting(&given.concat())), Ok(()));
}

#[test]
fn a_fault_may_keep_a_request_from_arriving() {
    let facts = waiting(&[&over()[..], &idle()].concat());
    assert_eq!(fed_during(&[(9, 9)], &facts), Ok(()));
    assert!(fed_during(&[(0, 2)], &facts).is_err());
}
