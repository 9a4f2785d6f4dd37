//! `POST /ext_authz/v3/check`, answered by HTTP status: by a `CheckRequest` in JSON, or a header alone.

use cellway_core::envelope::SigningKey;
use cellway_env::tokio::TokioEnv;
use cellway_env::{Env, Store};
use cellway_router::envelope::{INDEX, Index, IndexKey, signing_pem};
use cellway_testbed::{Answer, Client, Protocol, Request, Signer};
use cellway_tests::world::{AUTHORIZER, Running, World};
use http::{HeaderName, HeaderValue, Method};
use serde_json::{Value, json};

use crate::{AUTHORIZATION, ask, asking, bearer, world};

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

/// The answer for a client that reads status and headers, and its body.
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

/// An expired token of `acme`, as a header has it.
fn expired(world: &World) -> String {
    let claims = world.claims().with("exp", 1_000_000);
    format!("Bearer {}", world.idp.sign(&claims).unwrap())
}

fn authorization(value: &str) -> Vec<(&'static str, String)> {
    vec![(AUTHORIZATION, value.to_owned())]
}

const CHECK: (Method, &str) = (Method::POST, ask::CHECK);

/// Questions in a body.
fn in_bodies(world: &World) -> Vec<Question> {
    let acme = bearer(world, "acme");
    let nothing = || json!({});
    let target = || json!({"method": "PUT", "path": "/orders", "host": "shop.example"});
    let token = |value: &str| json!({ "authorization": value });
    let spoofed =
        json!({"authorization": acme, "x-cellway-tenant": "globex", "x_cellway_cell": "b"});
    let described = |what, known, headers: Value| (what, CHECK, vec![], in_json(known, &headers));
    // If a body describes the request, the credentials in the caller's own header don't count.
    let beside = |what, body: &str| (what, CHECK, authorization(&acme), body.to_owned());
    let (expired, wayne) = (expired(world), bearer(world, "wayne"));
    let method = json!({"method": "GET"});
    vec![
        described("JSON, empty headers", nothing(), nothing()),
        described("JSON, a token alone", nothing(), token(&acme)),
        described("JSON, an expired token alone", nothing(), token(&expired)),
        described("JSON, a target and no token", target(), nothing()),
        described("JSON, a target and a token", target(), token(&acme)),
        described("JSON, a suspended tenant", target(), token(&wayne)),
        described("JSON, spoofed headers", target(), spoofed),
        described("JSON, a method and no path", method, token(&acme)),
        beside(
            "JSON, a token in the wrong place",
            &in_json(target(), &nothing()),
        ),
        beside("something else as a body", "token"),
        beside("another JSON as a body", "{}"),
    ]
}

/// Questions in a header alone.
fn in_headers(world: &World) -> Vec<Question> {
    let acme = authorization(&bearer(world, "acme"));
    let expired = authorization(&expired(world));
    let twice = [acme.clone(), acme.clone()].concat();
    let mut spoofed = acme.clone();
    spoofed.push(("x-cellway-tenant", "globex".to_owned()));
    let asked = |what, target, fields: &[_]| (what, target, fields.to_vec(), String::new());
    let below = |path: &'static str| (Method::DELETE, path);
    let confusing = below("/ext_authz/v3/check//a/%2e%2e");
    vec![
        asked("header, empty", CHECK, &[]),
        asked("header, a token", CHECK, &acme),
        asked("header, an expired token", CHECK, &expired),
        asked("header, two tokens", CHECK, &twice),
        asked("header, spoofed", CHECK, &spoofed),
        asked(
            "prefix, a token",
            below("/ext_authz/v3/check/orders?page=2"),
            &acme,
        ),
        asked("prefix, none", below("/ext_authz/v3/check/"), &[]),
        asked("prefix, a path of two readings", confusing, &acme),
        asked("another method", (Method::GET, ask::CHECK), &acme),
        asked(
            "a neighbor",
            (Method::POST, "/ext_authz/v3/checks/a"),
            &acme,
        ),
    ]
}

/// Catches: a decision that is in the body alone, a denial by status 200, a question that is refused
/// because it tells no method and path, leave to pass for what is no question.
#[tokio::test]
async fn decisions_are_in_status_and_header() {
    let (world, router) = world().await;
    let mut seen = String::new();
    for question in [in_bodies(&world), in_headers(&world)].concat() {
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
        world.configure(&format!("{config}{AUTHORIZER}{route}"));
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
    let sealing = format!("{config}{AUTHORIZER}\n[envelope]\nkeys = \"sealing\"\n");
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
