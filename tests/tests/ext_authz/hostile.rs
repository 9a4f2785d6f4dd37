//! Questions that aren't good ones, and those who may not ask.

use cellway_mtls::env::tokio::TokioEnv;
use cellway_mtls::lab::{Ca, Client, Protocol, Request, San, Target};
use cellway_tests::world::{PATIENCE, Running, World, certificate, provider};
use http::Method;

use crate::ask::{self, call, framed, post, question};
use crate::wire::field;
use crate::{asking, sent, world};

/// Catches: a broken question that is taken for a good one, in part or as a whole. No answer to
/// one may be leave to pass: neither `grpc-status` 0 nor HTTP 200.
#[tokio::test]
async fn whatever_is_no_question_is_an_error_and_never_leave() {
    let (world, router) = world().await;
    let token = format!("Bearer {}", world.token());
    let good = question(&sent(&[("authorization", &token)], None), true);
    let http = |fields: &[Vec<u8>]| field(1, field(4, field(2, fields.concat())));
    let (method, path) = (field(2, "GET"), field(4, "/"));
    let header =
        |name: &str, value: &str| field(13, field(1, [field(1, name), field(2, value)].concat()));
    let mut bodies = vec![
        ("nothing", framed(&[])),
        ("no frame", "".into()),
        ("half a frame", framed(&good).slice(..20)),
        ("two frames", [framed(&good), framed(&good)].concat().into()),
        ("no protobuf", framed(b"\xff\xff\xff\xff")),
        ("no HTTP request", framed(&field(1, field(4, [])))),
        ("no method", framed(&http(std::slice::from_ref(&path)))),
        ("no path", framed(&http(std::slice::from_ref(&method)))),
        (
            "a path of another form",
            framed(&http(&[method.clone(), field(4, "http://a/")])),
        ),
        (
            "a header without a name",
            framed(&http(&[method.clone(), path.clone(), header("", "a")])),
        ),
        (
            "a header that splits",
            framed(&http(&[
                method.clone(),
                path.clone(),
                header("a", "b\r\nc: d"),
            ])),
        ),
        (
            "another path in a header",
            framed(&http(&[
                method.clone(),
                path.clone(),
                header(":path", "/admin"),
            ])),
        ),
        (
            "another method in a header",
            framed(&http(&[
                method.clone(),
                path.clone(),
                header(":method", "PUT"),
            ])),
        ),
        (
            "headers in two forms",
            framed(&http(&[
                method.clone(),
                path.clone(),
                header("a", "b"),
                field(3, [field(1, "a"), field(2, "b")].concat()),
            ])),
        ),
        (
            "a certificate that is none",
            framed(&field(
                1,
                [
                    field(1, field(5, "%2D")),
                    field(4, field(2, [method.clone(), path.clone()].concat())),
                ]
                .concat(),
            )),
        ),
        (
            "a certificate with a broken escape",
            framed(&field(
                1,
                [
                    field(1, field(5, "%2")),
                    field(4, field(2, [method.clone(), path.clone()].concat())),
                ]
                .concat(),
            )),
        ),
        (
            "a huge one",
            framed(&[good.clone(), field(99, vec![0; 300_000])].concat()),
        ),
    ];
    let mut compressed = framed(&good).to_vec();
    compressed[0] = 1;
    bodies.push(("a compressed one", compressed.into()));
    let many = (0..300).flat_map(|i| field(1, field(1, format!("a{i}"))));
    bodies.push((
        "too many headers",
        framed(&http(&[method, path, field(13, many.collect::<Vec<u8>>())])),
    ));
    let client = asking(&router, Protocol::Http2);
    for (what, body) in bodies {
        let answer = call(&client, body).await;
        let status = answer
            .headers
            .get("grpc-status")
            .or(answer.trailers.get("grpc-status"));
        assert_eq!(status.unwrap(), "13", "{what}");
        assert!(answer.body.is_empty(), "{what}");
    }
    for body in [
        "",
        "{}",
        "[]",
        "null",
        r#"{"attributes": {"request": {"http": {}}}}"#,
        r#"{"attributes": {"request": {"http": {"method": "GET", "method": "GET", "path": "/"}}}}"#,
        r#"{"attributes": {"request": {"http": {"method": "GET", "path": "/", "headers": {"a": "b", "a": "c"}}}}}"#,
        r#"{"attributes": {"request": {"http": {"method": "GET", "path": "/", "headerMap": {}, "header_map": {}}}}}"#,
        r#"{"attributes": {"request": {"http": {"method": "GET", "path": 1}}}}"#,
    ] {
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

/// A client of the listener `envoy` over TLS.
fn certified(world: &World, router: &Running, san: Option<&str>) -> Client<TokioEnv> {
    let addresses = router.handle.addresses();
    let (_, address) = addresses
        .iter()
        .find(|(name, _)| &**name == "envoy")
        .unwrap();
    let roots = Ca::roots(&[&world.authorities.servers]).unwrap();
    let credential =
        san.map(|san| certificate(&world.authorities.clients, vec![San::Uri(san.to_owned())]));
    let tls = provider()
        .client(roots, credential.as_ref(), Protocol::Http2)
        .unwrap();
    let target = Target {
        host: address.ip().to_string(),
        port: address.port(),
        tls: Some(tls),
        protocol: Protocol::Http2,
    };
    Client::new(TokioEnv::new(), target, PATIENCE)
}

/// Catches: answers to a client of the router's, who could then say which certificate it has.
#[tokio::test]
async fn only_listed_callers_are_answered() {
    let world = World::up(cellway_mtls::lab::Signer::from_seed("one", [7; 32]).unwrap()).await;
    let listener = r#"
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
    world.configure(&format!("{}{listener}", world.config()));
    let router = world.router().await;
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
    let client = certified(&world, &router, None);
    assert!(
        client
            .send(Request::get("/ext_authz/v3/http/"))
            .await
            .is_err()
    );
}
