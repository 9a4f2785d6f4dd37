//! Traces, and answers that say how their request was routed.

use cellway_router::settings::{AccessLog, TraceSettings};
use cellway_testbed::{CellFault, Protocol, Request, ServerTls};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::Value;

use crate::world::{body, cell, plain, plain_endpoint, registry, start};

const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

/// A request with these trace fields.
fn traced(fields: &[(&'static str, &'static str)]) -> Request {
    fields
        .iter()
        .fold(Request::get("/"), |request, (name, value)| {
            let name = HeaderName::from_static(name);
            request.header(name, HeaderValue::from_static(value))
        })
}

/// Catches: a caller's trace that is replaced, a flag that is changed, a trace that isn't started,
/// and fields that no cell may use.
#[tokio::test]
async fn a_good_trace_passes_as_it_is_and_others_are_replaced() {
    let state = ("tracestate", "vendor=1");
    let (good, bad) = (("traceparent", GOOD), ("traceparent", "00-alice-bob-01"));
    let start_all = Some(TraceSettings {
        start_one_in: Some(1),
        otlp: None,
    });
    let start_none = Some(TraceSettings::default());
    for (trace, fields, starts) in [
        (&start_all, &[good, state][..], None),
        (&start_all, &[], Some(true)),
        (&start_all, &[bad, state], Some(true)),
        (&start_none, &[good, state], None),
        (&start_none, &[bad, state], Some(false)),
        (&None, &[bad, state], None),
    ] {
        let (_cell, port) = cell("a", ServerTls::plain()).await;
        let mut settings = plain(registry(plain_endpoint("http", port)));
        settings.trace = trace.clone();
        settings.access_log = AccessLog::Full;
        let world = start(settings).await;
        let answer = world.client(Protocol::Http1).send(traced(fields)).await;
        let echo = body(&answer.unwrap());
        let got = |name: &str| echo["headers"].get(name).and_then(Value::as_str);
        match starts {
            None => {
                assert_eq!(got("traceparent"), Some(fields[0].1));
                assert_eq!(got("tracestate"), Some("vendor=1"));
            }
            Some(starts) => {
                assert_eq!(got("tracestate"), None);
                let sampled = got("traceparent").map(|value| value.ends_with("-01"));
                assert_eq!(sampled, starts.then_some(true), "{echo}");
                assert_ne!(got("traceparent"), Some(bad.1));
            }
        }
    }
}

/// Catches: an explanation that nobody asked for, and one that is missing on either kind of answer.
#[tokio::test]
async fn answers_say_how_they_were_routed_only_if_the_listener_explains() {
    let (cell, port) = cell("a", ServerTls::plain()).await;
    for explains in [false, true] {
        let mut settings = plain(registry(plain_endpoint("http", port)));
        settings.listeners[0].explain_headers = explains;
        let world = start(settings).await;
        let client = world.client(Protocol::Http2);
        for (fault, status, reason) in [
            (
                CellFault::None,
                StatusCode::OK,
                explains.then_some("insecure"),
            ),
            (
                CellFault::BreakOff,
                StatusCode::BAD_GATEWAY,
                Some("cell_reset"),
            ),
        ] {
            cell.set_fault(fault);
            let answer = client.send(Request::get("/")).await.unwrap();
            assert_eq!(answer.status, status);
            let got = |name: &str| answer.headers.get(name).map(|it| it.to_str().unwrap());
            assert_eq!(got("x-cellway-cell"), explains.then_some("a"));
            assert_eq!(got("x-cellway-reason"), reason);
        }
    }
}
