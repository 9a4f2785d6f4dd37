//! CORS: preflights, and which origins may read an answer.

use std::sync::Arc;

use cellway_core::path::PathPattern;
use cellway_core::policy::{Policy, PolicySpecs};
use cellway_router::settings::{ListenerRoute, RouterSettings};
use cellway_testbed::{Answer, Protocol, Request, ServerTls};
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

use crate::cells::scripted;
use crate::world::{ca, cell, issue, plain_endpoint, reason, registry, secure, start, uri};

const ACME: &str = "spiffe://corp.example/tenant/acme";
const APP: &str = "https://app.example";
const EVIL: &str = "https://evil.example";

/// A policy that requires client certificates. Its CORS rules allow the app's origin under
/// `/page/**`.
fn policies(cors: Value) -> Arc<Policy> {
    let specs: PolicySpecs = serde_json::from_value(json!({
        "policy": [
            {"name": "default", "any_of": ["mtls"]},
            {"name": "page", "any_of": ["mtls"], "cors": cors},
        ],
        "trust": {"bundle": "inline", "trust_domains": ["corp.example"],
                  "san": ["spiffe://{trust_domain}/tenant/{tenant}"]},
    }))
    .unwrap();
    Arc::new(Policy::build(&specs).unwrap())
}

fn settings(port: u16) -> RouterSettings {
    let mut settings = secure(registry(plain_endpoint("http", port)), &ca(1), &ca(2));
    let cors = json!({"origins": [APP], "methods": ["PUT"], "credentials": true});
    settings.policy = policies(cors);
    let policy = |name| settings.policy.policy_id(name).unwrap();
    settings.listeners[0].policy = policy("default");
    settings.listeners[0].routes = vec![ListenerRoute {
        path: PathPattern::new("/page/**").unwrap(),
        policy: policy("page"),
        traffic: Arc::default(),
    }];
    settings
}

fn ask(method: Method, path: &str, headers: &[(HeaderName, &'static str)]) -> Request {
    let mut request = Request::get(path);
    request.method = method;
    headers.iter().fold(request, |request, (name, value)| {
        request.header(name.clone(), HeaderValue::from_static(value))
    })
}

fn preflight(path: &str, origin: &'static str) -> Request {
    let headers = [
        (ORIGIN, origin),
        (ACCESS_CONTROL_REQUEST_METHOD, "PUT"),
        (ACCESS_CONTROL_REQUEST_HEADERS, "content-type"),
    ];
    ask(Method::OPTIONS, path, &headers)
}

/// The CORS fields of an answer, as lines.
fn told(answer: &Answer) -> Vec<String> {
    let cors = |name: &HeaderName| name.as_str().starts_with("access-control") || *name == VARY;
    let fields = answer.headers.iter().filter(|(name, _)| cors(name));
    let mut lines: Vec<_> = fields
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn the_router_answers_preflights_before_it_asks_who_calls() {
    let (cell, port) = cell("a", ServerTls::plain()).await;
    let world = start(settings(port)).await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let client = world.secure_client(protocol, &ca(1), None);
        let answer = client.send(preflight("/page/1", APP)).await.unwrap();
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{:?}", answer.body);
        assert!(answer.body.is_empty());
        assert_eq!(
            told(&answer),
            [
                "access-control-allow-credentials: true",
                "access-control-allow-headers: authorization, content-type",
                "access-control-allow-methods: PUT",
                "access-control-allow-origin: https://app.example",
                "access-control-max-age: 600",
                "vary: Origin",
            ]
        );
        let answer = client.send(preflight("/page/1", EVIL)).await.unwrap();
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
        assert_eq!(told(&answer), ["vary: Origin"], "nothing is allowed");
    }
    assert_eq!(cell.arrivals(), 0, "a preflight reaches no cell");
}

#[tokio::test]
async fn what_is_no_preflight_needs_credentials() {
    let (cell, port) = cell("a", ServerTls::plain()).await;
    let world = start(settings(port)).await;
    let client = world.secure_client(Protocol::Http1, &ca(1), None);
    let options = |headers: &[_]| ask(Method::OPTIONS, "/page/1", headers);
    for (request, what) in [
        (preflight("/other", APP), "the path's policy says nothing"),
        (
            preflight("/page/../other", APP),
            "which policy isn't certain",
        ),
        (options(&[(ORIGIN, APP)]), "no method is asked for"),
        (
            options(&[(ACCESS_CONTROL_REQUEST_METHOD, "PUT")]),
            "no origin",
        ),
    ] {
        let answer = client.send(request).await.unwrap();
        assert_ne!(answer.status, StatusCode::NO_CONTENT, "{what}");
        let reason = reason(&answer);
        assert!(
            ["missing_certificate", "ambiguous_request"].contains(&&*reason),
            "{what}: {reason}"
        );
    }
    assert_eq!(cell.arrivals(), 0);
}

#[tokio::test]
async fn a_page_can_read_why_it_was_refused() {
    let (_, port) = cell("a", ServerTls::plain()).await;
    let world = start(settings(port)).await;
    let client = world.secure_client(Protocol::Http2, &ca(1), None);
    let get = |origin| ask(Method::GET, "/page/1", &[(ORIGIN, origin)]);
    let answer = client.send(get(APP)).await.unwrap();
    assert_eq!(reason(&answer), "missing_certificate");
    assert_eq!(answer.headers[ACCESS_CONTROL_ALLOW_ORIGIN], APP);
    let exposed = answer.headers[ACCESS_CONTROL_EXPOSE_HEADERS]
        .to_str()
        .unwrap();
    assert!(exposed.contains("x-cellway-reason"), "{exposed}");

    let answer = client.send(get(EVIL)).await.unwrap();
    assert_eq!(reason(&answer), "missing_certificate");
    assert_eq!(told(&answer), ["vary: Origin"]);
    let answer = client.send(Request::get("/page/1")).await.unwrap();
    assert_eq!(
        told(&answer),
        ["vary: Origin"],
        "a cache must keep them apart"
    );
}

#[tokio::test]
async fn the_policy_says_who_may_read_what_a_cell_answers() {
    let port = scripted(
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\naccess-control-allow-origin: *\r\n\
          access-control-allow-methods: DELETE\r\nvary: accept-encoding\r\n\
          connection: close\r\n\r\nok",
    )
    .await;
    let world = start(settings(port)).await;
    let credential = issue(&ca(1), uri(ACME));
    let client = world.secure_client(Protocol::Http1, &ca(1), Some(&credential));
    let get = |path, origin| ask(Method::GET, path, &[(ORIGIN, origin)]);
    let answer = client.send(get("/page/1", APP)).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers[ACCESS_CONTROL_ALLOW_ORIGIN], APP);
    assert!(!answer.headers.contains_key("access-control-allow-methods"));
    let answer = client.send(get("/page/1", EVIL)).await.unwrap();
    assert_eq!(told(&answer), ["vary: Origin", "vary: accept-encoding"]);
    let answer = client.send(get("/other", EVIL)).await.unwrap();
    assert_eq!(
        answer.headers[ACCESS_CONTROL_ALLOW_ORIGIN], "*",
        "without a policy it is the cell's to say"
    );
}
