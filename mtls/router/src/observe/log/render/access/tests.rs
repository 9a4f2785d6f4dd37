//! Tests of the access log's line, and that `docs/access-log.md` lists its fields.

use std::collections::BTreeSet;
use std::time::Duration;

use cellway_core::{Reason, Text};
use http::{HeaderValue, Method};

use super::*;
use crate::observe::event::testing::responded;
use crate::observe::event::{Applied, Phases};
use crate::observe::log::tests::AT;

const PAGE: &str = include_str!("../../../../../../../docs/access-log.md");

/// The line of a request with everything that can be said about one.
fn line(path: &str) -> String {
    line_of(path, true)
}

fn line_of(path: &str, is_read: bool) -> String {
    let text = |text| Text::new(text).unwrap();
    let (tenant, subject, cell) = (text("acme"), text("alice"), text("eu-1"));
    let policy = text("verified");
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let trace = HeaderValue::from_static(trace);
    let micros = Duration::from_micros;
    let exchange = Exchange {
        is_read,
        applied: is_read.then_some(Applied {
            route: Some("/orders/**"),
            policy: &policy,
            traffic: "slow",
        }),
        method: &Method::POST,
        path,
        version: Version::HTTP_2,
        traceparent: Some(&trace),
        upgrade_ignored: true,
        tenant: Some(&tenant),
        subject: Some(&subject),
        attempts: 2,
        endpoint: Some("https://10.0.0.2:8443"),
        hedged_from: Some("https://10.0.0.1:8443"),
        endpoint_version: Some(Version::HTTP_11),
        request_bytes: 17,
        tls: Some(micros(900)),
        phases: Phases([40, 10, 20, 300, 1600].map(micros)),
    };
    let event = Event::Responded(Responded {
        peer: ([203, 0, 113, 9], 4711).into(),
        request_id: "r1",
        reason: Some(Reason::CellTimeoutIdle),
        detail: Some("the cell took too long"),
        cell: Some(&cell),
        failover: Some(Reason::CircuitOpen),
        latency: micros(1970),
        duration: micros(2500),
        bytes: 42,
        complete: false,
        exchange: Some(&exchange),
        ..responded()
    });
    access(AT, &event, &Subjects::Raw).unwrap()
}

#[test]
fn a_line_says_who_what_where_and_how_long() {
    let expected = [
        r#"{"ts":"2027-01-15T08:00:00.000Z","level":"info","event":"request""#,
        r#","listener":"public","peer":"203.0.113.9:4711","request_id":"r1""#,
        r#","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","method":"POST""#,
        r#","path":"/orders/7","protocol":"HTTP/2","upgrade_ignored":true,"route":"/orders/**","policy":"verified""#,
        r#","traffic":"slow","tenant":"acme","subject":"alice""#,
        r#","status":200,"owner":"cell","reason":"cell_timeout_idle""#,
        r#","detail":"the cell took too long","cell":"eu-1","failover":"circuit_open""#,
        r#","endpoint":"https://10.0.0.2:8443","hedged_from":"https://10.0.0.1:8443""#,
        r#","endpoint_protocol":"HTTP/1.1","attempts":2"#,
        r#","request_bytes":17,"bytes":42,"complete":false,"tls_us":900,"decide_us":40"#,
        r#","keys_us":10,"queue_us":20,"connect_us":300,"cell_us":1600,"first_byte_us":1970"#,
        r#","total_us":2500}"#,
        "\n",
    ];
    assert_eq!(line("/orders/7"), expected.concat());
}

#[test]
fn a_request_that_cannot_be_read_has_no_method_and_no_path() {
    let line = line_of("/", false);
    assert!(line.contains(r#"0e0e4736","protocol":"HTTP/2","#), "{line}");
}

/// Catches: a path of any length, and one that starts a new line.
#[test]
fn a_path_is_cut_and_escaped() {
    let text = line(&format!("/{}", "a".repeat(10_000)));
    assert!(text.len() < 1200, "{text}");
    assert_eq!(line("/a\n\"}").lines().count(), 1);
    // Cutting must not split a character.
    assert!(line(&"/é".repeat(400)).contains("é"));
}

/// Catches: a field that the page doesn't explain, and one on the page that doesn't exist.
#[test]
fn the_page_lists_every_field() {
    let value: serde_json::Value = serde_json::from_str(&line("/")).unwrap();
    let told: BTreeSet<_> = value.as_object().unwrap().keys().cloned().collect();
    let rows = PAGE.lines().filter(|line| line.starts_with("| `"));
    let names = rows.filter_map(|row| row.split('|').nth(1));
    let names = names.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    // As `log.subject` says.
    let named: BTreeSet<_> = names
        .map(str::to_owned)
        .filter(|it| it != "subject_hash")
        .collect();
    assert_eq!(told, named);
}
