use cellway_core::{Mono, Unix};
use http::{HeaderValue, Method};

use super::*;
use crate::observe::event::Phases;

fn served<'a>(method: &'a Method, path: &'a str, traceparent: &'a HeaderValue) -> Served<'a> {
    let exchange = Exchange {
        is_read: true,
        applied: None,
        method,
        path,
        version: Version::HTTP_2,
        traceparent: Some(traceparent),
        upgrade_ignored: false,
        tenant: None,
        subject: None,
        attempts: 1,
        endpoint: None,
        hedged_from: None,
        endpoint_version: None,
        request_bytes: 0,
        tls: None,
        phases: Phases::default(),
    };
    Served {
        exchange,
        listener: "public",
        request_id: "01",
        began: Now {
            mono: Mono::default(),
            unix: Unix::from_secs(1_800_000_000),
        },
        duration: Duration::from_millis(3),
        status: Some(200),
        owner: Owner::Cell,
        reason: None,
        cell: None,
        complete: true,
    }
}

const OWN: OwnSpan = OwnSpan {
    context: TraceContext {
        trace: [1; 16],
        span: [2; 8],
        flags: 1,
    },
    parent: Some([3; 8]),
};

/// Catches: a queue without a bound, and spans that are lost in silence.
#[tokio::test]
async fn a_full_queue_loses_spans_and_counts_them() {
    let (spans, mut waiting) = Spans::new();
    let value = HeaderValue::from_static("x");
    for _ in 0..QUEUE_MAX + 5 {
        spans.push(OWN, &served(&Method::GET, "/", &value));
    }
    assert_eq!((spans.take_lost(), spans.take_lost()), (5, 0));
    assert!(waiting.recv().await.is_some());
    spans.push(OWN, &served(&Method::GET, "/", &value));
    assert_eq!(spans.take_lost(), 0);
}

/// Catches: a client that makes spans of any size, and a cut inside of a character.
#[test]
fn a_long_path_is_cut() {
    let value = HeaderValue::from_static("x");
    let path = format!("/{}", "\u{e4}".repeat(10_000));
    let span = encode(OWN, &served(&Method::GET, &path, &value));
    assert!(span.len() < 2 * PATH_BYTES_MAX, "{}", span.len());
    let text = String::from_utf8_lossy(&span);
    assert!(text.contains(&"\u{e4}".repeat(PATH_BYTES_MAX / 2 - 1)));
}

/// Catches: a client that makes spans of any size, or any number of names of spans.
#[test]
fn an_invented_method_is_not_shown() {
    let value = HeaderValue::from_static("x");
    let invented = Method::from_bytes("BREW".repeat(10_000).as_bytes()).unwrap();
    let shown = |method| {
        let span = encode(OWN, &served(method, "/", &value));
        String::from_utf8_lossy(&span).into_owned()
    };
    let (other, standard) = (shown(&invented), shown(&Method::GET));
    assert!(other.len() < 1024, "{}", other.len());
    assert!(!other.contains("BREW") && other.contains("_OTHER") && other.contains("HTTP"));
    assert!(standard.contains("GET") && !standard.contains("_OTHER"));
}
