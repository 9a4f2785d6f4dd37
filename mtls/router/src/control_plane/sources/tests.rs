//! Tests of discovery against a real TLS server on loopback.

use std::time::Duration;

use cellway_core::policy::{Issuer, Policy, PolicySpecs};
use cellway_env::fetch::FetchError;
use cellway_env::tokio::TokioEnv;
use cellway_testbed::{Script, ScriptedSource};

use super::*;

/// Far longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

fn issuer(iss: &str) -> Issuer {
    let specs: PolicySpecs = serde_json::from_value(serde_json::json!({
        "issuer": [{ "name": "main", "issuer": iss, "audience": "a" }],
        "policy": [{ "name": "default", "any_of": ["jwt"] }],
    }))
    .unwrap();
    Policy::build(&specs).unwrap().issuers[0].clone()
}

/// Discovers the keys of an issuer whose name ends in `ending`.
async fn discover(answers: Vec<Script>, ending: &str) -> (Result<String, FetchError>, Vec<String>) {
    let source = ScriptedSource::new(1);
    let server = source.serve(answers).await;
    let issuer = issuer(&format!("https://127.0.0.1:{}{ending}", server.port));
    let keys = fetch_keys(&TokioEnv::new(), &source.client(LONG), &issuer).await;
    let keys = keys.map(|body| String::from_utf8(body.into()).unwrap());
    let requests = server.requests.lock().unwrap();
    let paths = requests
        .iter()
        .map(|r| r.split(' ').nth(1).unwrap().to_owned());
    (keys, paths.collect())
}

/// A discovery document without a `Content-Length`, because the length changes when the server
/// inserts its port.
fn discovery(issuer: &str, keys: &str) -> Script {
    let body = format!(r#"{{"issuer":"{issuer}","jwks_uri":"{keys}"}}"#);
    Script::Say(format!(
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{body}"
    ))
}

#[tokio::test]
async fn finds_keys_by_discovery() {
    let document = discovery("https://127.0.0.1:PORT/", "https://127.0.0.1:PORT/keys");
    let (keys, paths) = discover(vec![document, Script::ok("", "keys")], "/").await;
    assert_eq!(keys.unwrap(), "keys");
    assert_eq!(paths, ["/.well-known/openid-configuration", "/keys"]);
}

#[tokio::test]
async fn a_discovery_document_may_begin_with_a_mark() {
    let body = r#"{"issuer":"https://127.0.0.1:PORT","jwks_uri":"https://127.0.0.1:PORT/keys"}"#;
    let body = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n\u{feff}{body}");
    let (keys, _) = discover(vec![Script::Say(body), Script::ok("", "keys")], "").await;
    assert_eq!(keys.unwrap(), "keys");
}

#[tokio::test]
async fn an_issuer_without_discovery_has_its_keys_at_the_usual_path() {
    for ending in ["/tenant", "/tenant/"] {
        let (keys, paths) = discover(
            vec![Script::status("404 Not Found"), Script::ok("", "keys")],
            ending,
        )
        .await;
        assert_eq!(keys.unwrap(), "keys");
        assert_eq!(
            paths[1], "/tenant/.well-known/jwks.json",
            "exactly one slash"
        );
    }
}

#[tokio::test]
async fn discovery_that_fails_is_no_reason_to_look_elsewhere() {
    let table = [
        // With one more slash it is a different issuer.
        discovery("https://127.0.0.1:PORT/", "https://127.0.0.1:PORT/keys"),
        discovery("https://127.0.0.1:PORT", "http://127.0.0.1:PORT/keys"),
        discovery("https://127.0.0.1:PORT", "keys"),
        Script::ok("", "<html>"),
        Script::status("500 Oops"),
    ];
    for document in table {
        let (keys, paths) = discover(vec![document, Script::ok("", "keys")], "").await;
        assert!(keys.is_err());
        assert_eq!(paths.len(), 1);
    }
}
