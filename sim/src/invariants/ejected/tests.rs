use super::super::testing::*;
use super::super::{EndpointTrouble, Endpoints};
use super::*;

fn ejected(host: &str, ejected: bool) -> Fact {
    Fact::Ejected {
        life: life(0),
        host: host.to_owned(),
        ejected,
    }
}

fn fed(facts: &[Fact], troubles: &[&str]) -> Result<(), String> {
    let hosts = ["a-1".to_owned(), "a-2".to_owned()];
    let trouble = |host: &&str| EndpointTrouble {
        host: (*host).to_owned(),
        from: Duration::ZERO,
        until: SECOND * 100,
    };
    let bounds = Bounds {
        endpoints: Endpoints {
            hosts: [("a".to_owned(), hosts.into())].into(),
            troubles: troubles.iter().map(trouble).collect(),
        },
        ..Bounds::default()
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
}
