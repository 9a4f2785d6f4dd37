use super::super::testing::*;
use super::super::{EndpointTrouble, Endpoints, Harm};
use super::*;

fn ejected(host: &str, ejected: bool) -> Fact {
    Fact::Ejected {
        life: life(0),
        host: host.to_owned(),
        ejected,
    }
}

fn fed(facts: &[Fact], troubles: &[&str]) -> Result<(), String> {
    fed_below(0, facts, troubles)
}

/// With a router that uses all endpoints if fewer than this share is usable.
fn fed_below(panic_percent: usize, facts: &[Fact], troubles: &[&str]) -> Result<(), String> {
    let hosts = ["a-1".to_owned(), "a-2".to_owned()];
    let trouble = |host: &&str| EndpointTrouble {
        host: (*host).to_owned(),
        from: Duration::ZERO,
        until: SECOND * 100,
        harm: Harm::Connections,
    };
    let bounds = Bounds {
        endpoints: Endpoints {
            hosts: [("a".to_owned(), hosts.into())].into(),
            troubles: troubles.iter().map(trouble).collect(),
        },
        ..with_settings(|it| it.health.panic_percent = panic_percent)
    };
    feed(&mut EjectedRest::new(&bounds), facts)
}

#[test]
fn notices_a_request_to_an_ejected_endpoint_beside_a_usable_one() {
    let late = [
        ejected("a-1", true),
        sent("t", "acme"),
        arrived("a", "t", "1"),
    ];
    assert!(fed(&late, &[]).is_err());
    assert_eq!(fed(&late, &["a-2"]), Ok(()), "the other has a fault");
    assert!(
        fed_below(50, &late, &[]).is_err(),
        "half of them are usable"
    );
    assert_eq!(fed_below(60, &late, &[]), Ok(()), "too few are usable");
    // It was on its way already.
    let early = [
        sent("t", "acme"),
        ejected("a-1", true),
        arrived("a", "t", "1"),
    ];
    assert_eq!(fed(&early, &[]), Ok(()));
    let back = [
        ejected("a-1", true),
        ejected("a-1", false),
        sent("t", "acme"),
        arrived("a", "t", "1"),
    ];
    assert_eq!(fed(&back, &[]), Ok(()));
    let both = [
        ejected("a-1", true),
        ejected("a-2", true),
        sent("t", "acme"),
        arrived("a", "t", "1"),
    ];
    assert_eq!(fed(&both, &[]), Ok(()), "none is usable");
    let just_back = [&both[..3], &[ejected("a-2", false)], &both[3..]].concat();
    assert_eq!(fed(&just_back, &[]), Ok(()), "none was usable before");
    let long_back = [&both[..2], &[ejected("a-2", false)], &both[2..]].concat();
    assert!(fed(&long_back, &[]).is_err(), "the other is usable again");
}

/// Catches: a router that sends requests to endpoints that it has ejected, or that refuses requests because
/// it has ejected all, against what when_all_ejected says.
#[test]
fn notices_what_happens_when_all_are_ejected() {
    let fed = |fails_without_usable, facts: &[Fact]| {
        let bounds = Bounds {
            endpoints: Endpoints {
                hosts: [("a".to_owned(), ["a-1".to_owned()].into())].into(),
                troubles: Vec::new(),
            },
            ..with_settings(|it| it.health.fails_without_usable = fails_without_usable)
        };
        feed(&mut EjectedRest::new(&bounds), facts)
    };
    let arrives = [
        ejected("a-1", true),
        sent("t", "acme"),
        arrived("a", "t", "1"),
    ];
    assert_eq!(fed(false, &arrives), Ok(()));
    let error = fed(true, &arrives).unwrap_err();
    assert!(
        error.contains("although when_all_ejected is fail"),
        "{error}"
    );

    let refusal = Answer::Router("no_endpoint_healthy".to_owned());
    let refused = [
        ejected("a-1", true),
        sent("t", "acme"),
        answered("t", refusal),
    ];
    assert_eq!(fed(true, &refused), Ok(()));
    let error = fed(false, &refused).unwrap_err();
    assert!(
        error.contains("although when_all_ejected is not fail"),
        "{error}"
    );
}

/// Catches: a router that checks its endpoints and doesn't heed what it finds.
#[test]
fn notices_a_request_to_an_endpoint_whose_checks_fail() {
    let checked = |healthy| Fact::Probed {
        life: life(0),
        host: "a-1".to_owned(),
        healthy,
    };
    let request = [sent("t", "acme"), arrived("a", "t", "1")];
    let bad = [&[checked(false)], &request[..]].concat();
    assert!(fed(&bad, &[]).is_err());
    let well = [&[checked(false), checked(true)], &request[..]].concat();
    assert_eq!(fed(&well, &[]), Ok(()));
}
