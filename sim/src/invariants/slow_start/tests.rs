use super::super::testing::*;
use super::super::{EndpointTrouble, Harm};
use super::*;

fn ejection(host: &str, ejected: bool) -> Fact {
    Fact::Ejected {
        life: life(0),
        host: host.to_owned(),
        ejected,
    }
}

/// `a` has three endpoints, of which `a-1` returns after 50 seconds. In the next five it gets so many
/// requests, and each other one twenty.
fn fed(requests: usize, before: &[Fact], troubles: Vec<EndpointTrouble>) -> Result<(), String> {
    let hosts = ["a-1", "a-2", "a-3"].map(str::to_owned);
    let bounds = Bounds {
        endpoints: Endpoints {
            hosts: [("a".to_owned(), hosts.into())].into(),
            troubles,
        },
        ..with_settings(|it| it.health.slow_start = SECOND * 20)
    };
    let mut invariant = SlowStart::new(&bounds);
    for fact in before {
        invariant.observe(SECOND * 40, fact)?;
    }
    invariant.observe(SECOND * 50, &ejection("a-1", false))?;
    let counts = [("a-1", requests), ("a-2", 20), ("a-3", 20)];
    let all = counts
        .iter()
        .flat_map(|(host, count)| std::iter::repeat_n(host, *count));
    for (tag, host) in all.enumerate() {
        let tag = tag.to_string();
        invariant.observe(SECOND * 51, &sent(&tag, "acme"))?;
        let arrives = arrived_with("a", &tag, "1", |it| (*host).clone_into(&mut it.host));
        invariant.observe(SECOND * 52, &arrives)?;
    }
    invariant.observe(SECOND * 55, &bad("later"))
}

/// Catches: an endpoint that gets its whole share as soon as it is back.
#[test]
fn notices_too_many_requests_to_an_endpoint_that_has_come_back() {
    assert_eq!(fed(10, &[], Vec::new()), Ok(()));
    let error = fed(11, &[], Vec::new()).unwrap_err();
    assert!(error.contains("sent 11 requests to a-1"), "{error}");
}

#[test]
fn compares_only_with_endpoints_that_were_well() {
    let trouble = |from, until| EndpointTrouble {
        host: "a-2".to_owned(),
        from: SECOND * from,
        until: SECOND * until,
        harm: Harm::Connections,
    };
    assert_eq!(fed(20, &[], vec![trouble(30, 45)]), Ok(()));
    assert!(fed(20, &[], vec![trouble(30, 35)]).is_err());
    let returned = [ejection("a-2", true), ejection("a-2", false)];
    assert_eq!(fed(20, &returned, Vec::new()), Ok(()));
    // Its own ejection before doesn't matter.
    assert!(fed(20, &[ejection("a-1", true)], Vec::new()).is_err());
}
