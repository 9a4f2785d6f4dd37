//! Canaries: words in everything that a client can send, looked for in everything that the router
//! says.

use cellway_testbed::{
    Answer, Ca, CertificateSpec, Claims, Credential, Protocol, Request, San, Signer, Usage,
    Validity, unsigned,
};
use cellway_tests::world::{
    AUDIENCE, Authorities, HOUR, Running, TENANT_SAN, World, certificate, now,
};
use http::Method;
use http::header::{HeaderName, HeaderValue};
use serde_json::json;

/// In every canary.
const CANARY: &str = "canary";

struct Row {
    what: String,
    request: Request,
    certificate: Option<Credential>,
}

fn row(what: impl Into<String>, request: Request) -> Row {
    Row {
        what: what.into(),
        request,
        certificate: None,
    }
}

fn get() -> Request {
    Request::get("/orders")
}

fn with(request: Request, name: &'static str, value: &str) -> Request {
    let value = HeaderValue::from_str(value).unwrap();
    request.header(HeaderName::from_static(name), value)
}

/// Claims with a canary in each claim that identifies a person.
fn marked(world: &World) -> Claims {
    world
        .claims()
        .subject("canary-sub@example")
        .with("jti", "canary-jti")
        .with("email", "canary-email@example")
        .with("name", "canary-name")
        .with("workspace", "canary-workspace")
        .with("org", "canary-org")
        .with("roles", json!(["canary-role"]))
        .with("azp", "canary-azp")
        .with("canary-claim", json!({"canary-inner": ["canary-value"]}))
}

fn tokens(world: &World) -> Vec<Row> {
    let idp = &world.idp;
    let sign = |claims: &Claims| idp.sign(claims).unwrap();
    let marked = marked(world);
    let good = sign(&marked);
    let stranger = Signer::from_seed("k1", [9; 32]).unwrap();
    let elsewhere = Claims::new("https://canary.example", AUDIENCE, now(), HOUR);
    let past = now().as_secs() - 10;
    let mut rows = Vec::new();
    for (what, token) in [
        ("a good token", good.clone()),
        ("expired", sign(&marked.clone().with("exp", past))),
        (
            "another audience",
            sign(&marked.clone().with("aud", "canary-aud")),
        ),
        ("no audience", sign(&marked.clone().without("aud"))),
        (
            "another issuer",
            sign(&elsewhere.tenant("acme").subject("canary-sub")),
        ),
        ("no issuer", sign(&marked.clone().without("iss"))),
        ("an unknown kid", sign(&marked.clone().kid("canary-kid"))),
        ("another's signature", marked.sign(&stranger).unwrap()),
        (
            "another type",
            sign(&marked.clone().typ(Some("canary-typ"))),
        ),
        ("alg none", unsigned(&marked)),
        ("no tenant", sign(&marked.clone().without("tenant_id"))),
        (
            "a tenant of no form",
            sign(&marked.clone().with("tenant_id", json!({"canary": 1}))),
        ),
        (
            "not yet",
            sign(&marked.clone().with("nbf", now().as_secs() + 3_000)),
        ),
        ("cut", good[..good.len() - 9].to_owned()),
        ("no JWT", "canary.canary.canary".to_owned()),
        ("one word", "canary".to_owned()),
        ("a suspended tenant", sign(&marked.clone().tenant("wayne"))),
        (
            "bound elsewhere",
            sign(&marked.clone().with("cnf", json!({"x5t#S256": "canary"}))),
        ),
    ] {
        rows.push(row(what, get().bearer(&token)));
    }
    for value in [
        "Basic Y2FuYXJ5canary",
        "canary",
        "DPoP canary",
        "Bearer canary, Bearer canary",
    ] {
        rows.push(row("another scheme", with(get(), "authorization", value)));
    }
    rows
}

/// Each with a good token and without any.
fn carriers(world: &World) -> Vec<Row> {
    let good = world.token();
    let mut rows = Vec::new();
    let mut both = |what: &str, request: Request| {
        rows.push(row(what, request.clone()));
        rows.push(row(
            format!("{what}, and a good token"),
            request.bearer(&good),
        ));
    };
    for (name, value) in [
        ("cookie", "session=canary-cookie; canary=1"),
        ("x-routing-key", "canary-routing-key"),
        ("x-routing-key-signature", "v1;canary-signature"),
        ("cell-bound-authorization", "canary-cba"),
        ("cell-bound-authorization", "Y2FuYXJ5.Y2FuYXJ5.canary"),
        ("x-cellway-tenant", "canary-tenant"),
        ("x-cellway-sub", "canary-sub"),
        ("x-request-id", "canary-request-id"),
        ("x-canary-header", "canary"),
        ("user-agent", "canary/1.0"),
        ("referer", "https://canary.example/?token=canary"),
        ("x-forwarded-for", "canary"),
        ("x-forwarded-client-cert", "By=canary;URI=spiffe://canary"),
        ("traceparent", "00-canary-canary-01"),
        ("tracestate", "canary=1"),
        ("baggage", "canary=1"),
        ("x-tenant", "canary-choice"),
    ] {
        both(name, with(get(), name, value));
    }
    for path in [
        "/canary-path/orders?canary=1",
        "/orders?access_token=canary-token",
        "/orders?token=canary-token#",
        "/orders?access_token=canary&access_token=canary",
    ] {
        both(path, Request::get(path));
    }
    let mut posted = get();
    posted.method = Method::from_bytes(b"CANARY").unwrap();
    posted.body = "a canary in the body".into();
    posted.trailers = [(
        "x-canary".parse().unwrap(),
        HeaderValue::from_static("canary"),
    )]
    .into_iter()
    .collect();
    both("a method and a body", posted);
    let bound = Claims::cell_bound("canary-cell", "a", "canary-jti", now());
    let signer = Signer::from_seed("canary-kid", [3; 32]).unwrap();
    let bound = bound.tenant("acme").sign(&signer).unwrap();
    both(
        "a cell-bound authorization",
        with(get(), "cell-bound-authorization", &bound),
    );
    rows
}

fn named(ca: &Ca, sans: Vec<San>) -> Credential {
    let spec = CertificateSpec {
        common_name: "canary-cn".to_owned(),
        sans,
        usage: Usage::Client,
        validity: Validity::around(now(), HOUR),
        serial: 77,
    };
    ca.issue(&spec, &Authorities::key(77)).unwrap()
}

fn certificates(world: &World) -> Vec<Row> {
    let clients = &world.authorities.clients;
    let strangers = Authorities::other("canary authority", 66);
    let uri = |text: &str| San::Uri(text.to_owned());
    let mut rows = Vec::new();
    for (what, credential) in [
        ("a good certificate", named(clients, vec![uri(TENANT_SAN)])),
        (
            "a SAN that fits nothing",
            named(clients, vec![uri("spiffe://canary.test/canary")]),
        ),
        (
            "a path of its own",
            named(clients, vec![uri("spiffe://clients.test/canary/x")]),
        ),
        (
            "a DNS SAN",
            named(clients, vec![San::Dns("canary.example".to_owned())]),
        ),
        (
            "two SANs",
            named(
                clients,
                vec![uri(TENANT_SAN), uri("spiffe://canary.test/x")],
            ),
        ),
        ("no SAN", named(clients, vec![])),
        (
            "a stranger's",
            named(&strangers, vec![uri("spiffe://canary.test/tenant/acme")]),
        ),
    ] {
        for token in [None, Some(world.token())] {
            let request = token.map_or_else(get, |token| get().bearer(&token));
            let certificate = Some(credential.clone());
            rows.push(Row {
                what: what.to_owned(),
                request,
                certificate,
            });
        }
    }
    rows.push(Row {
        what: "a token that disagrees".to_owned(),
        request: get().bearer(&world.idp.sign(&marked(world).tenant("globex")).unwrap()),
        certificate: Some(certificate(clients, vec![uri(TENANT_SAN)])),
    });
    rows
}

/// What the router says to the client: all of its own answers, and the headers of the cell's that
/// have its names.
fn said(answer: &Answer) -> String {
    let own = answer
        .headers
        .get("x-cellway-owner")
        .is_some_and(|owner| owner == "router");
    match own {
        true => format!(
            "{:?} {}",
            answer.headers,
            String::from_utf8_lossy(&answer.body)
        ),
        false => format!("{:?}", answer.headers),
    }
}

#[track_caller]
fn silent(where_: &str, what: &str, text: &str) {
    let found = text.to_ascii_lowercase().contains(CANARY);
    assert!(!found, "{where_}, of {what}: {text}");
}

async fn send(world: &World, router: &Running, row: &Row) {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let trusted = [&world.authorities.servers];
        let client = router.client(protocol, &trusted, row.certificate.as_ref());
        // No answer where the handshake fails.
        if let Ok(answer) = client.send(row.request.clone()).await {
            silent("an answer", &row.what, &said(&answer));
        }
    }
}

#[tokio::test]
async fn nothing_that_a_client_says_is_said_by_the_router() {
    let world = World::up(Signer::from_seed("k1", [1; 32]).unwrap()).await;
    let router = world.router().await;
    hears_no_canary(&world, &router).await;
    assert_eq!(router.events.count("request"), 0);
}

/// Catches: an access log that has more of a request than its path.
#[tokio::test]
async fn nothing_but_the_path_is_said_by_the_access_log() {
    let world = World::up(Signer::from_seed("k1", [1; 32]).unwrap()).await;
    let router = world.with("[log.access]\nrequests = \"full\"\n").await;
    hears_no_canary(&world, &router).await;
    let logged = router.events.of("request");
    assert!(logged.len() > 80, "{} lines", logged.len());
    let shown = |line: &serde_json::Value| line["path"] == "/canary-path/orders";
    assert!(logged.iter().any(shown));
}

async fn hears_no_canary(world: &World, router: &Running) {
    let mut rows = tokens(world);
    rows.extend(carriers(world));
    rows.extend(certificates(world));
    assert!(rows.len() >= 40, "{} rows", rows.len());
    for row in &rows {
        let before = router.events.lines().len();
        send(world, router, row).await;
        for line in &mut router.events.lines()[before..] {
            // The access log shows paths on purpose.
            if line["event"] == "request" {
                line["path"].take();
            }
            silent("a log line", &row.what, &line.to_string());
        }
    }
    for path in [
        "/readyz",
        "/metrics",
        "/healthz",
        "/debug/snapshot",
        "/debug/endpoints",
        "/",
        "/canary",
    ] {
        let page = router.admin(path).await;
        silent(
            path,
            "the admin listener",
            &String::from_utf8_lossy(&page.body),
        );
        silent(path, "its headers", &format!("{:?}", page.headers));
    }
    // The router did see them: each credential that holds has left its hash.
    let shown = router.events.lines();
    let hashed = shown.iter().filter(|line| line["subject_hash"].is_string());
    assert!(hashed.count() > 10);
    let denied = router.events.of("authz_deny");
    assert!(denied.len() > 40, "{}", denied.len());
    let known = |line: &&serde_json::Value| line["kid"] == "k1" && line["issuer"] == "main";
    assert!(denied.iter().filter(known).count() > 4);
    let suspended = denied
        .iter()
        .find(|line| line["reason"] == "tenant_suspended");
    assert!(suspended.unwrap()["subject_hash"].is_string());
}
