//! `POST /ext_authz/v3/check`, answered by HTTP status: by a `CheckRequest` in JSON, or a header alone.

use cellway_core::envelope::SigningKey;
use cellway_env::tokio::TokioEnv;
use cellway_env::{Env, Store};
use cellway_router::envelope::{INDEX, Index, IndexKey, signing_pem};
use cellway_testbed::{Answer, Client, Protocol, Request, Signer};
use cellway_tests::world::{Running, World};
use http::{HeaderName, HeaderValue, Method};
use serde_json::{Value, json};

use crate::{AUTHORIZATION, LISTENER, ask, asking, bearer, world};

/// A question: its name, its method and path, its header, its body.
type Question = (
    &'static str,
    (Method, &'static str),
    Vec<(&'static str, String)>,
    String,
);

async fn send(client: &Client<TokioEnv>, question: &Question) -> Answer {
    let (_, (method, path), fields, body) = question;
    let mut request = Request::get(path);
    request.method = method.clone();
    request.body = body.clone().into();
    let request = fields.iter().fold(request, |request, (name, value)| {
        let name = HeaderName::from_static(name);
        request.header(name, HeaderValue::from_str(value).unwrap())
    });
    client.send(request).await.unwrap()
}

/// What an answer says to somebody who reads status and header, and what its body is.
fn line(answer: &Answer) -> String {
    let header = |name: &str| {
        let value = answer.headers.get(name)?.to_str().unwrap();
        Some(format!(" {name}={value}"))
    };
    let told: String = [
        "x-cellway-cell",
        "x-cellway-tenant",
        "x-cellway-auth",
        "x-cellway-reason",
        "www-authenticate",
        "x-envoy-auth-headers-to-remove",
    ]
    .into_iter()
    .filter_map(header)
    .collect();
    let body = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
    let body = match &body {
        Value::Object(body) => body
            .keys()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(","),
        _ => "empty".to_owned(),
    };
    format!("{}{told} [{body}]", answer.status.as_u16())
}

/// In JSON, with these headers and whatever else of a request is known.
fn in_json(known: Value, headers: &Value) -> String {
    let mut http = known;
    http["headers"] = headers.clone();
    json!({"attributes": {"request": {"http": http}}}).to_string()
}

fn questions(world: &World) -> Vec<Question> {
    let acme = bearer(world, "acme");
    let expired = world.claims().with("exp", 1_000_000);
    let expired = format!("Bearer {}", world.idp.sign(&expired).unwrap());
    let check = || (Method::POST, ask::CHECK);
    let token = |value: &str| vec![(AUTHORIZATION, value.to_owned())];
    let target = || json!({"method": "PUT", "path": "/orders", "host": "shop.example"});
    let with = |value: &str| json!({ "authorization": value });
    let spoofed =
        json!({"authorization": acme, "x-cellway-tenant": "globex", "x_cellway_cell": "b"});
    let mut questions: Vec<Question> = vec![
        (
            "JSON, empty headers",
            check(),
            vec![],
            in_json(json!({}), &json!({})),
        ),
        (
            "JSON, a token alone",
            check(),
            vec![],
            in_json(json!({}), &with(&acme)),
        ),
        (
            "JSON, an expired token alone",
            check(),
            vec![],
            in_json(json!({}), &with(&expired)),
        ),
        (
            "JSON, a target and no token",
            check(),
            vec![],
            in_json(target(), &json!({})),
        ),
        (
            "JSON, a target and a token",
            check(),
            vec![],
            in_json(target(), &with(&acme)),
        ),
        (
            "JSON, a suspended tenant",
            check(),
            vec![],
            in_json(target(), &with(&bearer(world, "wayne"))),
        ),
        (
            "JSON, spoofed headers",
            check(),
            vec![],
            in_json(target(), &spoofed),
        ),
        (
            "JSON, a method and no path",
            check(),
            vec![],
            in_json(json!({"method": "GET"}), &with(&acme)),
        ),
        // The header of whoever asks is nobody's credential where a body describes the request.
        (
            "JSON, a token in the wrong place",
            check(),
            token(&acme),
            in_json(target(), &json!({})),
        ),
        (
            "something else as a body",
            check(),
            token(&acme),
            "token".to_owned(),
        ),
        (
            "another JSON as a body",
            check(),
            token(&acme),
            "{}".to_owned(),
        ),
    ];
    let mut spoofed = token(&acme);
    spoofed.push(("x-cellway-tenant", "globex".to_owned()));
    let below = |path: &'static str| (Method::DELETE, path);
    let header: Vec<Question> = vec![
        ("header, empty", check(), vec![], String::new()),
        ("header, a token", check(), token(&acme), String::new()),
        (
            "header, an expired token",
            check(),
            token(&expired),
            String::new(),
        ),
        (
            "header, two tokens",
            check(),
            [token(&acme), token(&acme)].concat(),
            String::new(),
        ),
        ("header, spoofed", check(), spoofed, String::new()),
        (
            "prefix, a token",
            below("/ext_authz/v3/check/orders?page=2"),
            token(&acme),
            String::new(),
        ),
        (
            "prefix, none",
            below("/ext_authz/v3/check/"),
            vec![],
            String::new(),
        ),
        (
            "prefix, a path of two readings",
            below("/ext_authz/v3/check//a/%2e%2e"),
            token(&acme),
            String::new(),
        ),
        (
            "another method",
            (Method::GET, ask::CHECK),
            token(&acme),
            String::new(),
        ),
        (
            "a neighbor",
            (Method::POST, "/ext_authz/v3/checks/a"),
            token(&acme),
            String::new(),
        ),
    ];
    questions.extend(header);
    questions
}

/// Catches: a decision that is in the body alone, a denial by status 200, a question that is refused
/// because it tells no method and path, leave to pass for what is no question.
#[tokio::test]
async fn decisions_are_in_status_and_header() {
    let (world, router) = world().await;
    let mut seen = String::new();
    for question in questions(&world) {
        let answer = send(&asking(&router, Protocol::Http1), &question).await;
        let again = send(&asking(&router, Protocol::Http2), &question).await;
        assert_eq!(line(&answer), line(&again), "{}", question.0);
        seen.push_str(&format!("{:34} {}\n", question.0, line(&answer)));
    }
    assert!(world.seen.since().is_empty(), "a cell was asked");
    insta::assert_snapshot!(seen);
}

/// A token without method and path, in both forms.
async fn without_target(world: &World, router: &Running) -> [Answer; 2] {
    let client = asking(router, Protocol::Http1);
    let acme = bearer(world, "acme");
    let described = in_json(json!({}), &json!({ "authorization": acme }));
    let fields = vec![(AUTHORIZATION, acme)];
    let ask = |fields, body| ("", (Method::POST, ask::CHECK), fields, body);
    let json = send(&client, &ask(vec![], described)).await;
    [json, send(&client, &ask(fields, String::new())).await]
}

/// Catches: rules and routes that are held against a path which nobody has named: what may be done at
/// `/` would pass for all the rest.
#[tokio::test]
async fn rules_and_routes_need_a_method_and_a_path() {
    let rule = "[[policy.rule]]\npath = \"/\"\nallow = \"verified\"\n\n[trust]";
    let route = "[[listener.route]]\npath = \"/admin/**\"\npolicy = \"default\"\n";
    for (rule, route) in [(rule, ""), ("[trust]", route)] {
        let world = World::up(Signer::from_seed("one", [7; 32]).unwrap()).await;
        let config = world.config().replacen("[trust]", rule, 1);
        world.configure(&format!("{config}{LISTENER}{route}"));
        let router = world.router().await;
        for answer in without_target(&world, &router).await {
            assert_eq!(answer.status, 400);
            let body = String::from_utf8_lossy(&answer.body).into_owned();
            assert!(body.contains("send both"), "{body}");
            assert!(!answer.headers.contains_key("x-cellway-cell"));
        }
        let client = asking(&router, Protocol::Http1);
        let fields = vec![(AUTHORIZATION, bearer(&world, "acme"))];
        let below = (Method::GET, "/ext_authz/v3/check/");
        let answer = send(&client, &("", below, fields, String::new())).await;
        assert_eq!(answer.status, 200, "{:?}", answer.body);
    }
}

/// Catches: an envelope that is bound to a method and a path which the cell will not see.
#[tokio::test]
async fn envelopes_need_a_method_and_a_path() {
    let world = World::up(Signer::from_seed("one", [7; 32]).unwrap()).await;
    let config = world.config();
    let sealing = format!("{config}{LISTENER}\n[envelope]\nkeys = \"sealing\"\n");
    world.configure(&sealing);
    let env = TokioEnv::new();
    let key = SigningKey::from_seed("k1", &[1; 32]).unwrap();
    let index = Index {
        keys: vec![IndexKey {
            kid: "k1".to_owned(),
            cell: None,
            added: 0,
            sign_from: 0,
        }],
    };
    for (file, text) in [
        ("k1.pem", signing_pem(&key).unwrap()),
        (INDEX, index.render()),
    ] {
        let path = world.folder.path(&format!("sealing/{file}"));
        env.store().replace(&path, text.into()).await.unwrap();
    }
    let router = world.router().await;
    for answer in without_target(&world, &router).await {
        assert_eq!(answer.status, 400, "{:?}", answer.headers);
    }
}
