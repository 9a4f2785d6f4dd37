use std::iter;
use std::sync::Arc;

use super::super::testing::*;
use super::super::{EndpointTrouble, Harm};
use super::*;
use crate::fact::{Published, PublishedCell};
use crate::scenario::CellState;

const HOSTS: [&str; 3] = ["a-1", "a-2", "a-3"];

/// A cell with three endpoints, and a router that panics if fewer than this share is usable.
fn fed(percent: usize, troubles: &[&str], facts: &[Fact]) -> Result<(), String> {
    let hosts = || HOSTS.map(str::to_owned).into();
    let trouble = |host: &&str| EndpointTrouble {
        host: (*host).to_owned(),
        from: Duration::ZERO,
        until: SECOND * 1000,
        harm: Harm::Answers,
    };
    let bounds = Bounds {
        endpoints: Endpoints {
            hosts: [("a".to_owned(), hosts())].into(),
            troubles: troubles.iter().map(trouble).collect(),
        },
        ..with_settings(|it| it.health.panic_percent = percent)
    };
    let cell = PublishedCell {
        endpoints: hosts(),
        ..gold(CellState::Active)
    };
    let listed = Fact::Published(Arc::new(Published {
        cells: [("a".to_owned(), cell)].into(),
        ..document(1, &[])
    }));
    let facts: Vec<_> = iter::once(listed).chain(facts.iter().cloned()).collect();
    feed(&mut AllInPanic::new(&bounds), &facts)
}

fn ejected(host: &str, ejected: bool) -> Fact {
    Fact::Ejected {
        life: life(0),
        host: host.to_owned(),
        ejected,
    }
}

/// So many requests that arrive at these endpoints in turn.
fn requests(count: usize, hosts: &[&str]) -> Vec<Fact> {
    let request = |n: usize| {
        let tag = format!("t-{n}");
        let host = hosts[n % hosts.len()].to_owned();
        let came = arrived_with("a", &tag, &tag, |it| it.host = host);
        [
            sent(&tag, "acme"),
            came,
            answered(&tag, crate::fact::Answer::Ok),
        ]
    };
    (0..count).flat_map(request).collect()
}

/// Catches: a router that leaves ejected endpoints out although too few others are left.
#[test]
fn notices_an_endpoint_that_gets_nothing() {
    let two = [ejected("a-1", true), ejected("a-2", true)];
    let with = |requests: Vec<Fact>| [&two[..], &requests].concat();
    let error = fed(50, &[], &with(requests(60, &["a-3"]))).unwrap_err();
    assert!(error.contains("a-1 got no request"), "{error}");
    assert_eq!(
        fed(50, &[], &with(requests(59, &["a-3"]))),
        Ok(()),
        "too few to tell"
    );
    assert_eq!(fed(50, &[], &with(requests(180, &HOSTS))), Ok(()));
    assert!(fed(50, &[], &with(requests(180, &["a-1", "a-3"]))).is_err());
    assert_eq!(
        fed(33, &[], &with(requests(60, &["a-3"]))),
        Ok(()),
        "one is enough"
    );
    let one = [&two[..1], &requests(180, &["a-2", "a-3"])].concat();
    assert_eq!(fed(50, &[], &one), Ok(()), "two are enough");
}

/// Without a usable endpoint, all must be used whatever the threshold is.
#[test]
fn all_are_used_if_none_is_usable() {
    let all = HOSTS.map(|host| ejected(host, true));
    let facts = [&all[..], &requests(60, &["a-3"])].concat();
    assert!(fed(0, &[], &facts).is_err());
    let facts = [&all[..], &requests(180, &HOSTS)].concat();
    assert_eq!(fed(0, &[], &facts), Ok(()));
}

/// An endpoint that can't get requests, or that is back, must not get any.
#[test]
fn a_reason_to_get_nothing_is_accepted() {
    let two = [ejected("a-1", true), ejected("a-2", true)];
    let few = requests(180, &["a-2", "a-3"]);
    assert_eq!(fed(50, &["a-1"], &[&two[..], &few].concat()), Ok(()));
    let open = [circuit("r", CircuitChange::Opened)];
    assert_eq!(fed(50, &[], &[&two[..], &open, &few].concat()), Ok(()));
    let back = [ejected("a-2", false)];
    assert_eq!(fed(50, &[], &[&two[..], &back, &few].concat()), Ok(()));
}
