//! Questions that aren't good ones, and those who may not ask.

use bytes::Bytes;
use cellway_env::tokio::TokioEnv;
use cellway_testbed::{Ca, Client, Protocol, Request, San, Signer};
use cellway_tests::world::{AUTHORIZER, Running, World, certificate, provider, to};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method};
use serde_json::json;

use crate::ask::{self, call, framed, post, question};
use crate::{asking, sent, world, world_with};
use cellway_tests::wire::field;

/// Broken questions, each with a name.
type Questions = Vec<(&'static str, Bytes)>;

/// Bodies that are not exactly one framed message.
fn misframed(good: &[u8]) -> Questions {
    let mut compressed = framed(good).to_vec();
    compressed[0] = 1;
    vec![
        ("nothing", framed(&[])),
        ("no frame", "".into()),
        ("half a frame", framed(good).slice(..20)),
        ("two frames", [framed(good), framed(good)].concat().into()),
        ("no protobuf", framed(b"\xff\xff\xff\xff")),
        ("no HTTP request", framed(&field(1, field(4, [])))),
        (
            "a huge one",
            framed(&[good, &field(99, vec![0; 300_000])].concat()),
        ),
        ("a compressed one", compressed.into()),
    ]
}

/// Paths that the proxy path refuses as a request's target.
const MISTARGETED: [&str; 6] = [
    "/public#/../admin",
    "/?a#b",
    "/a\"b",
    "/a<b>",
    "/a`b",
    "/a\u{7f}b",
];

/// Requests that lack a part or say something twice. By number: 2 is the method, 4 the path, 13 a
/// list of headers and 3 a map of them.
fn misdescribed() -> Questions {
    let (method, path) = (field(2, "GET"), field(4, "/"));
    let header =
        |name: &str, value: &str| field(13, field(1, [field(1, name), field(2, value)].concat()));
    let http = |fields: &[&[u8]]| framed(&field(1, field(4, field(2, fields.concat()))));
    let with = |more: &[u8]| http(&[&method, &path, more]);
    let in_map = field(3, [field(1, "a"), field(2, "b")].concat());
    let many = (0..300).flat_map(|i| field(1, field(1, format!("a{i}"))));
    vec![
        ("no method", http(&[&path])),
        ("no path", http(&[&method])),
        (
            "a path of another form",
            http(&[&method, &field(4, "http://a/")]),
        ),
        ("a header without a name", with(&header("", "a"))),
        ("a header that splits", with(&header("a", "b\r\nc: d"))),
        ("another path in a header", with(&header(":path", "/admin"))),
        (
            "another method in a header",
            with(&header(":method", "PUT")),
        ),
        (
            "headers in two forms",
            with(&[header("a", "b"), in_map].concat()),
        ),
        (
            "too many headers",
            with(&field(13, many.collect::<Vec<u8>>())),
        ),
    ]
}

/// Good requests with a certificate that can't be read.
fn miscertified() -> Questions {
    let request = field(4, field(2, [field(2, "GET"), field(4, "/")].concat()));
    let source = |certificate: &str| field(1, field(5, certificate));
    let with = |certificate| framed(&field(1, [source(certificate), request.clone()].concat()));
    vec![
        ("a certificate that is none", with("%2D")),
        ("a certificate with a broken escape", with("%2")),
    ]
}

/// Bodies that are not a check in JSON.
const MISWRITTEN: [&str; 11] = [
    " ",
    "{}",
    "[]",
    "null",
    r#"{"attributes": {"request": {}}}"#,
    r#"{"attributes": {"request": {"http": {"method": "GET"}}}}"#,
    r#"{"attributes": {"request": {"http": {"path": "/", "headers": {}}}}}"#,
    r#"{"attributes": {"request": {"http": {"method": "GET", "method": "GET", "path": "/"}}}}"#,
    r#"{"attributes": {"request": {"http": {"method": "GET", "path": "/", "headers": {"a": "b", "a": "c"}}}}}"#,
    r#"{"attributes": {"request": {"http": {"method": "GET", "path": "/", "headerMap": {}, "header_map": {}}}}}"#,
    r#"{"attributes": {"request": {"http": {"method": "GET", "path": 1}}}}"#,
];

/// Catches: a broken question that is taken for a good one, in part or as a whole. No answer to
/// one may be leave to pass: neither `grpc-status` 0 nor HTTP 200.
#[tokio::test]
async fn whatever_is_no_question_is_an_error_and_never_leave() {
    let (world, router) = world().await;
    let token = format!("Bearer {}", world.token());
    let good = question(&sent(&[("authorization", &token)], None), true);
    let client = asking(&router, Protocol::Http2);
    let questions = [misframed(&good), misdescribed(), miscertified()];
    for (what, body) in questions.concat() {
        let answer = call(&client, body).await;
        let status = answer
            .headers
            .get("grpc-status")
            .or(answer.trailers.get("grpc-status"));
        assert_eq!(status.unwrap(), "13", "{what}");
        assert!(answer.body.is_empty(), "{what}");
    }
    for path in MISTARGETED {
        let request = field(4, field(2, [field(2, "GET"), field(4, path)].concat()));
        let answer = call(&client, framed(&field(1, request))).await;
        let status = answer.headers.get("grpc-status");
        assert_eq!(status.unwrap(), "13", "{path}");
        let http = json!({"method": "GET", "path": path, "headers": {"authorization": &token}});
        let body = json!({"attributes": {"request": {"http": http}}});
        assert_eq!(post(&client, body.to_string()).await.status, 400, "{path}");
    }
    for body in MISWRITTEN {
        assert_eq!(post(&client, body).await.status, 400, "{body}");
    }
    assert_eq!(post(&client, vec![b' '; 300_000]).await.status, 400);
}

/// Catches: leave to pass at an address that is none of the three forms', the older version's for
/// one, or the right question by the wrong method or version.
#[tokio::test]
async fn nothing_else_is_served_there() {
    let (world, router) = world().await;
    let token = world.token();
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let client = asking(&router, protocol);
        for (method, path) in [
            (Method::GET, "/"),
            (Method::GET, "/ext_authz/v3/check"),
            (Method::GET, "/ext_authz/v3/https/a"),
            (Method::GET, "/ext_authz/v3/http"),
            (Method::GET, "/envoy.service.auth.v3.Authorization/Check"),
            (Method::POST, "/envoy.service.auth.v2.Authorization/Check"),
            (Method::POST, "/ext_authz/v2/check"),
        ] {
            let mut request = Request::get(path).bearer(&token);
            request.method = method.clone();
            let answer = client.send(request).await.unwrap();
            assert_eq!(answer.status, 400, "{method} {path}");
        }
    }
    assert!(world.seen.since().is_empty(), "a cell was asked");
}

/// A listener that answers one name alone.
pub(crate) const CALLERS: &str = r#"
[[listener]]
name = "envoy"
bind = "127.0.0.1:0"
serves = "ext_authz"
callers = ["spiffe://clients.test/envoy"]
[listener.tls]
certificate = "server.pem"
key = "server.key"
client_certificate = "required"
"#;

/// A client of the listener `envoy` over TLS.
pub(crate) fn certified(world: &World, router: &Running, san: Option<&str>) -> Client<TokioEnv> {
    let roots = Ca::roots(&[&world.authorities.servers]).unwrap();
    let credential =
        san.map(|san| certificate(&world.authorities.clients, vec![San::Uri(san.to_owned())]));
    let tls = provider()
        .client(roots, credential.as_ref(), Protocol::Http2)
        .unwrap();
    to(router.listener("envoy"), Protocol::Http2, Some(tls))
}

/// Catches: answers to a client of the router's, who could then say which certificate it has.
#[tokio::test]
async fn only_listed_callers_are_answered() {
    let (world, router) = world_with(CALLERS).await;
    let token = format!("Bearer {}", world.token());
    let good = sent(&[("authorization", &token)], None);
    let envoy = certified(&world, &router, Some("spiffe://clients.test/envoy"));
    let verdict = ask::grpc(&envoy, &good, true).await;
    assert!(matches!(verdict, ask::Verdict::Arrives(_)), "{verdict:?}");

    for san in [
        "spiffe://clients.test/tenant/acme",
        "spiffe://clients.test/envoy/2",
    ] {
        let client = certified(&world, &router, Some(san));
        let answer = call(&client, framed(&question(&good, true))).await;
        assert_eq!(answer.headers["grpc-status"], "16", "{san}");
        assert_eq!(answer.headers["x-cellway-reason"], "san_not_accepted");
        let answer = client.send(Request::get("/ext_authz/v3/http/").bearer(&world.token()));
        assert_eq!(answer.await.unwrap().status, 401, "{san}");
    }
    // The router counts each attempt, and logs it at the default level.
    let line = router.events.saying("responded", "san_not_accepted").await;
    assert_eq!(line["level"], "info", "{line}");
    assert_eq!(line["listener"], "envoy", "{line}");
    assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
    let detail = "the client certificate is not one of the listener's callers";
    assert_eq!(line["detail"], detail);
    let counted = router.metric("cellway_router_responses_total").await;
    let strangers = "cellway_router_responses_total{reason=\"san_not_accepted\"} 4";
    assert_eq!(counted, [strangers]);
    let client = certified(&world, &router, None);
    assert!(
        client
            .send(Request::get("/ext_authz/v3/http/"))
            .await
            .is_err()
    );
}

/// Catches: a denial with status 200, which a gRPC answer has. An Envoy of the plain form takes it for a
/// request that is allowed, and passes the headers on that the client made up.
#[tokio::test]
async fn a_grpc_call_that_is_denied_is_no_success_in_the_plain_form() {
    let world = World::up(Signer::from_seed("one", [7; 32]).unwrap()).await;
    let router = world.with(AUTHORIZER).await;
    let suspended = world.token_of("wayne");
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let client = to(router.listener("envoy"), protocol, None);
        for path in [
            "/ext_authz/v3/http/a.B/C",
            "/ext_authz/v3/check/a.B/C",
            "/ext_authz/v3/check",
            "/a.B/C",
            "/envoy.service.auth.v3.Authorization/Other",
        ] {
            for token in ["", "x", &suspended] {
                let kind = HeaderValue::from_static("application/grpc");
                let call = Request {
                    method: Method::POST,
                    ..Request::get(path)
                };
                let mut call = call.header(CONTENT_TYPE, kind);
                if !token.is_empty() {
                    call = call.bearer(token);
                }
                let answer = client.send(call).await.unwrap();
                let status = answer.status.as_u16();
                assert!([400, 401, 403].contains(&status), "{path}: {status}");
                assert!(!answer.headers.contains_key("grpc-status"), "{path}");
            }
        }
    }
}
