use super::*;
use crate::fact::{Answer, CircuitChange};
use crate::invariants::testing::*;

/// The points that these facts reach, one a second.
fn reached(facts: &[Fact]) -> Vec<String> {
    let mut points = Points::new("x-cellway-");
    for (at, fact) in (0..).zip(facts) {
        points.observe(SECOND * at, fact);
    }
    points.into_reached().names().map(str::to_owned).collect()
}

/// A request without a body, which is allowed and arrives.
fn get() -> [Fact; 3] {
    let [_, allowed, arrived] = passing("t", "r");
    let sent = sent_with("t", "acme", |sent| sent.body = Some(0));
    [sent, allowed, arrived]
}

fn circuit(change: CircuitChange) -> Fact {
    Fact::Circuit {
        life: life(0),
        host: "a-1".to_owned(),
        request_id: "r".to_owned(),
        change,
    }
}

fn ejected(ejected: bool) -> Fact {
    Fact::Ejected {
        life: life(0),
        host: "a-1".to_owned(),
        ejected,
    }
}

/// Catches: a point that counts for what doesn't show it.
#[test]
fn a_request_that_arrives_once_reaches_no_point_about_retries() {
    let [sent, allowed, arrived] = get();
    assert_eq!(
        reached(&[sent, allowed, arrived, answered("t", Answer::Ok)]),
        [""; 0]
    );
}

#[test]
fn a_second_arrival_is_a_retry() {
    let [sent, allowed, arrived] = get();
    let facts = [
        sent,
        allowed,
        arrived.clone(),
        arrived,
        answered("t", Answer::Ok),
    ];
    assert_eq!(
        reached(&facts),
        ["retried_there", "retry_served", "tried_at_once"]
    );
}

#[test]
fn a_breaker_is_followed_from_its_opening_to_its_end() {
    use CircuitChange::{Closed, Freed, Opened, Probing};
    let path = |changes: &[CircuitChange]| {
        let facts: Vec<_> = changes.iter().map(|change| circuit(*change)).collect();
        reached(&facts)
    };
    assert_eq!(path(&[Opened]), ["breaker_opened"]);
    assert_eq!(
        path(&[Opened, Probing, Opened]),
        ["breaker_opened", "breaker_probe_failed", "breaker_probed"]
    );
    assert_eq!(
        path(&[Opened, Probing, Closed]),
        ["breaker_closed", "breaker_opened", "breaker_probed"]
    );
    assert_eq!(
        path(&[Opened, Probing, Freed]),
        ["breaker_freed", "breaker_opened", "breaker_probed"]
    );
}

#[test]
fn an_ejected_endpoint_that_is_used_is_seen() {
    let [sent, allowed, arrived] = get();
    let facts = [
        sent,
        allowed,
        ejected(true),
        arrived.clone(),
        ejected(false),
        arrived,
    ];
    let points = reached(&facts);
    for point in ["ejected", "ejected_used", "returned_used"] {
        assert!(points.iter().any(|it| it == point), "{point} in {points:?}");
    }
}

#[test]
fn a_router_that_crashes_with_open_requests_is_seen() {
    let [sent, allowed, arrived] = get();
    let crash = Fact::FaultBegins("crash router-1".to_owned());
    assert_eq!(reached(std::slice::from_ref(&crash)), [""; 0]);
    assert_eq!(reached(&[sent, allowed, arrived, crash]), ["crashed_busy"]);
}

/// Catches: two points with one name, of which a search would show one.
#[test]
fn names_are_unique() {
    let names: std::collections::BTreeSet<_> = Point::ALL.iter().map(|it| it.name()).collect();
    assert_eq!(names.len(), Point::ALL.len());
    assert!(names.len() >= 60, "{}", names.len());
}

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/search.md");
const MARKS: [&str; 2] = ["<!-- points: begin -->\n", "<!-- points: end -->\n"];

/// The table in the docs is generated from the table of points.
#[test]
fn the_docs_list_every_point() {
    let page = std::fs::read_to_string(PATH).unwrap();
    let (before, rest) = page.split_once(MARKS[0]).unwrap();
    let (_, after) = rest.split_once(MARKS[1]).unwrap();
    let rows = Point::ALL
        .iter()
        .map(|it| format!("| `{}` | {} |\n", it.name(), it.docs()));
    let table = format!(
        "| point | what happened |\n| --- | --- |\n{}",
        rows.collect::<String>()
    );
    let right = [before, MARKS[0], &table, MARKS[1], after].concat();
    if std::env::var_os("CELLWAY_WRITE_DOCS").is_some() {
        std::fs::write(PATH, &right).unwrap();
        return;
    }
    assert!(
        page == right,
        "docs/search.md is out of date; write it again with\n    \
         CELLWAY_WRITE_DOCS=1 cargo test -p cellway-sim --lib the_docs_list_every_point"
    );
}
