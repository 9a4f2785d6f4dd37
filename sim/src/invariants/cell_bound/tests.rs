use std::sync::Arc;

use super::super::testing::*;
use super::*;
use crate::fact::Published;

fn enforces(enforced: bool) -> Fact {
    configured(|said| {
        said.cell_bound = CellBoundRules {
            enforced,
            once: true,
        };
    })
}

fn calling(version: u64, cells: &[&str]) -> Fact {
    Fact::Published(Arc::new(Published {
        callers: cells.iter().map(|cell| (*cell).to_owned()).collect(),
        ..document(version, &[("acme", "a")])
    }))
}

fn bound() -> CellBound {
    CellBound {
        source: "b".to_owned(),
        genuine: true,
        destination: "a".to_owned(),
        tenant: "acme".to_owned(),
        subject: "ada".to_owned(),
        jti: "1".to_owned(),
        expires: crate::engine::EPOCH + SECOND * 30,
    }
}

fn call(tag: &str, bound: CellBound) -> Vec<Fact> {
    let sent = sent_with(tag, "acme", |sent| sent.cell_bound = Some(Box::new(bound)));
    let arrival = with_header(arrived("a", tag, tag), "x-cellway-sub", "ada");
    vec![sent, allowed(tag, "a", 1), arrival]
}

fn fed(first: &[Fact], then: Vec<Fact>) -> Result<(), String> {
    let facts: Vec<_> = first.iter().cloned().chain(then).collect();
    let bounds = with_settings(|it| it.reload_within = SECOND * 2);
    feed(&mut CellBoundCalls::new(&bounds), &facts)
}

fn enforced(then: Vec<Fact>) -> Result<(), String> {
    fed(&[calling(1, &["b"]), enforces(true)], then)
}

#[test]
fn accepts_with_what_holds_and_with_what_shows_none() {
    assert_eq!(enforced(call("t", bound())), Ok(()));
    let none = passing("t", "r").to_vec();
    assert_eq!(enforced(none), Ok(()));
}

#[test]
fn notices_whatever_does_not_hold() {
    let text = |text: &str| text.to_owned();
    for wrong in [
        CellBound {
            genuine: false,
            ..bound()
        },
        CellBound {
            source: text("c"),
            ..bound()
        },
        CellBound {
            destination: text("b"),
            ..bound()
        },
        CellBound {
            tenant: text("globex"),
            ..bound()
        },
        CellBound {
            subject: text("eve"),
            ..bound()
        },
        CellBound {
            expires: crate::engine::EPOCH,
            ..bound()
        },
    ] {
        assert!(enforced(call("t", wrong.clone())).is_err(), "{wrong:?}");
        let watched = [calling(1, &["b"]), enforces(false)];
        assert_eq!(fed(&watched, call("t", wrong)), Ok(()));
    }
}

#[test]
fn notices_a_key_that_is_not_in_the_registry() {
    let other = [calling(1, &[]), calling(2, &["b"]), enforces(true)];
    assert!(fed(&other, call("t", bound())).is_err());
}

#[test]
fn notices_a_second_use_and_none_over_a_restart() {
    let mut twice = call("first", bound());
    twice.extend(call("second", bound()));
    assert!(enforced(twice).is_err());
    let mut other = call("first", bound());
    let jti = "2".to_owned();
    other.extend(call("second", CellBound { jti, ..bound() }));
    assert_eq!(enforced(other), Ok(()));
}

#[test]
fn notices_an_authorization_that_arrives() {
    let passed_on = with_header(arrived("a", "t", "r"), CELL_BOUND, "x.y.z");
    assert!(fed(&[enforces(false)], vec![passed_on]).is_err());
}

#[test]
fn tolerates_until_the_reload_and_no_longer() {
    let wrong = || CellBound {
        genuine: false,
        ..bound()
    };
    let flip = vec![calling(1, &["b"]), enforces(false), enforces(true)];
    assert_eq!(fed(&flip, call("t", wrong())), Ok(()));
    let mut reloaded = flip.clone();
    reloaded.push(noted("reloaded"));
    assert!(fed(&reloaded, call("t", wrong())).is_err());
    let mut late = flip;
    late.extend([sent("u", "acme"), sent("v", "acme")]);
    assert!(fed(&late, call("t", wrong())).is_err());
}
