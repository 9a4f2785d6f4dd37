//! Explanations for operators who ask through an Envoy.

use cellway_testbed::{Protocol, Request, Signer};
use cellway_tests::world::{AUTHORIZER, World};
use http::{HeaderName, HeaderValue, Method};
use serde_json::{Value, json};

use crate::ask::{self, call, framed, question};
use crate::{AUTHORIZATION, asking, bearer, sent};
use cellway_tests::wire::Message;

/// `printf %s operator | sha256sum`
const EXPLAIN: &str = "[explain]\ntoken_sha256 = [\"06e55b633481f7bb072957eabcf110c972e86691c3cfedabe088024bffe42f23\"]\n";

/// The explanation among the headers of this field.
fn explanation(message: &Message, number: u32) -> Option<String> {
    let options = message.messages(number);
    let headers = options.iter().map(|option| option.message(1).unwrap());
    let mut found = headers.filter(|header| header.text(1) == "x-cellway-explanation");
    found.next().map(|header| header.text(2))
}

/// Catches: a token that Envoy passes on to the cell, and an explanation that goes to the cell
/// instead of the client.
#[tokio::test]
async fn an_envoy_gets_the_explanation_for_its_client() {
    let world = World::up(Signer::from_seed("one", [7; 32]).unwrap()).await;
    let router = world.with(&format!("{AUTHORIZER}{EXPLAIN}")).await;
    let client = asking(&router, Protocol::Http2);
    for (tenant, token, allowed) in [
        ("acme", "operator", true),
        ("wayne", "operator", false),
        ("acme", "another", true),
    ] {
        let request = sent(
            &[
                (AUTHORIZATION, &bearer(&world, tenant)),
                ("x-cellway-explain", token),
            ],
            None,
        );
        let answer = call(&client, framed(&question(&request, false))).await;
        let response = Message::parse(&answer.body[5..]);
        let given = match (response.message(2), response.message(3)) {
            (None, Some(ok)) => {
                assert!(allowed);
                let removed = ok.all(5);
                assert!(removed.iter().any(|name| *name == b"x-cellway-explain"));
                assert_eq!(explanation(&ok, 2), None, "it would reach the cell");
                explanation(&ok, 6)
            }
            (Some(denied), None) => {
                assert!(!allowed);
                explanation(&denied, 2)
            }
            both => panic!("{both:?}"),
        };
        let decision = match allowed {
            true => "decision;passed;detail=\"verified, cell a\"",
            false => "decision;passed=?0;detail=\"tenant_suspended\"",
        };
        match token {
            "operator" => assert!(given.unwrap().ends_with(decision)),
            _ => assert_eq!(given, None),
        }
    }
    let mut check = Request::get(ask::CHECK);
    check.method = Method::POST;
    let headers = json!({"authorization": bearer(&world, "acme"), "x-cellway-explain": "operator"});
    let http = json!({"method": "GET", "path": "/", "host": "shop.example", "headers": headers});
    check.body = json!({"attributes": {"request": {"http": http}}})
        .to_string()
        .into();
    let answer = client.send(check).await.unwrap();
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    let added = &body["okResponse"]["responseHeadersToAdd"][0]["header"];
    assert_eq!(added["key"], "x-cellway-explanation", "{body}");
    let added = &body["okResponse"]["responseHeadersToAdd"][1];
    assert_eq!(added["header"]["value"], "no-store", "{body}");
    assert_eq!(added["append"], false, "{body}");

    // In the plain form each field of an answer that allows could go to the cell.
    for (tenant, shown) in [("acme", false), ("wayne", true)] {
        let field = |value: &str| HeaderValue::from_str(value).unwrap();
        let plain = Request::get("/ext_authz/v3/http/orders")
            .header(http::header::AUTHORIZATION, field(&bearer(&world, tenant)))
            .header(
                HeaderName::from_static("x-cellway-explain"),
                field("operator"),
            );
        let answer = client.send(plain).await.unwrap();
        let found = answer.headers.contains_key("x-cellway-explanation");
        assert_eq!(found, shown, "{tenant}");
    }
}
