//! Identity envelopes: which requests get one, what it is valid for, and key rotation.

mod keys;
mod switch;
mod world;

use std::time::Duration;

use cellway_core::envelope::{EnvelopeRefused, JWKS_PATH};
use cellway_router::settings::EnvelopeForm;
use cellway_testbed::{Protocol, Request};
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

use self::world::{Sealing, refused, verify};
use crate::world::{body, reason};

const PROTOCOLS: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];

/// Forged headers, in every spelling that a framework could take for the router's header.
const FORGED: [&str; 4] = [
    "x-cellway-envelope",
    "x_cellway_envelope",
    "x-cellway-envelope-claims",
    "x-cellway_envelope-signature",
];

fn forged(mut request: Request) -> Request {
    for name in FORGED {
        let name = HeaderName::from_static(name);
        request = request.header(name, HeaderValue::from_static("forged"));
    }
    request
}

#[tokio::test]
async fn an_envelope_holds_for_its_cell_and_its_request_alone() {
    let world = Sealing::jws(&[("k1", 0)]).await;
    for protocol in PROTOCOLS {
        let client = world.client(protocol, "acme");
        let request = Request {
            method: Method::POST,
            ..forged(Request::get("/orders?id=7"))
        };
        let echo = body(&client.send(request).await.unwrap());
        assert!(!echo.to_string().contains("forged"), "{echo}");
        let keys = world.published(protocol).await;
        let now = world.env.now();
        let check = |cell, method, target, now| verify(&echo, &keys, cell, method, target, now);

        let verified = check("a", &Method::POST, "/orders?id=7", now).unwrap();
        assert_eq!(verified.tenant.as_ref().unwrap().as_str(), "acme");
        assert_eq!(verified.cell.as_str(), "a");
        let id = echo["headers"]["x-cellway-request-id"].as_str();
        assert_eq!(Some(verified.id.as_str()), id);

        let elsewhere = check("b", &Method::POST, "/orders?id=7", now);
        assert_eq!(elsewhere, Err(EnvelopeRefused::OtherCell));
        let method = check("a", &Method::GET, "/orders?id=7", now);
        assert_eq!(method, Err(EnvelopeRefused::OtherMethod));
        let target = check("a", &Method::POST, "/orders?id=8", now);
        assert_eq!(target, Err(EnvelopeRefused::OtherTarget));
        // It is valid for 30 s, plus 5 s for the difference between clocks.
        let late = now.after(Duration::from_secs(36));
        let late = check("a", &Method::POST, "/orders?id=7", late);
        assert_eq!(late, Err(EnvelopeRefused::Expired));
    }
    // Another tenant's envelope goes to that tenant's cell and is valid only there.
    let client = world.client(Protocol::Http2, "bolt");
    let echo = body(&client.send(Request::get("/")).await.unwrap());
    let (keys, now) = (world.published(Protocol::Http2).await, world.env.now());
    let check = |cell| verify(&echo, &keys, cell, &Method::GET, "/", now);
    assert_eq!(check("b").unwrap().cell.as_str(), "b");
    assert_eq!(check("a"), Err(EnvelopeRefused::OtherCell));
}

/// Catches: a request that goes to another cell with the envelope of the first one.
#[tokio::test]
async fn a_failover_seals_again() {
    for protocol in PROTOCOLS {
        let world = Sealing::failing_over(EnvelopeForm::Jws).await;
        let client = world.client(protocol, "cove");
        let request = Request {
            method: Method::POST,
            ..forged(Request::get("/orders?id=7"))
        };
        let echo = body(&client.send(request.clone()).await.unwrap());
        assert_eq!(echo["cell"], "b");
        assert_eq!(echo["headers"]["x-cellway-cell"], "b");
        let (keys, now) = (world.published(protocol).await, world.env.now());
        let check = |cell| verify(&echo, &keys, cell, &Method::POST, "/orders?id=7", now);
        assert_eq!(check("b").unwrap().cell.as_str(), "b");
        assert_eq!(check("dead"), Err(EnvelopeRefused::OtherCell));

        let world = Sealing::failing_over(EnvelopeForm::Hmac).await;
        let client = world.client(protocol, "cove");
        let echo = body(&client.send(request).await.unwrap());
        let now = world.env.now();
        let check =
            |cell, key| world::verify_hmac(&echo, cell, key, &Method::POST, "/orders?id=7", now);
        assert_eq!(check("b", 2).unwrap().cell.as_str(), "b");
        assert!(check("dead", 3).is_err());
    }
}

#[tokio::test]
async fn who_is_not_verified_gets_none() {
    let world = Sealing::jws(&[("k1", 0)]).await;
    for protocol in PROTOCOLS {
        let anonymous = world.anonymous(protocol);
        let answer = anonymous.send(forged(Request::get("/"))).await.unwrap();
        let echo = body(&answer);
        assert_eq!(echo["headers"]["x-cellway-auth"], "anonymous");
        let text = echo.to_string();
        assert!(
            !text.contains("envelope") && !text.contains("forged"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn the_router_publishes_its_keys_to_every_client() {
    let world = Sealing::jws(&[("k1", 0)]).await;
    for protocol in PROTOCOLS {
        let client = world.anonymous(protocol);
        let page = client.send(Request::get(JWKS_PATH)).await.unwrap();
        assert_eq!(page.status, StatusCode::OK);
        assert_eq!(page.headers[CONTENT_TYPE], "application/jwk-set+json");
        assert_eq!(page.headers[CACHE_CONTROL], "public, max-age=300");
        assert_eq!(page.headers["x-cellway-owner"], "router");
        assert_eq!(body(&page)["keys"][0]["kid"], "k1");
    }
    assert_eq!(world.arrivals(), 0);
}

#[tokio::test]
async fn the_page_of_keys_answers_conditional_requests_and_other_methods() {
    let world = Sealing::jws(&[("k1", 0)]).await;
    for protocol in PROTOCOLS {
        let client = world.anonymous(protocol);
        let page = client.send(Request::get(JWKS_PATH)).await.unwrap();
        let etag = &page.headers[ETAG];
        for (known, status) in [
            (etag.clone(), StatusCode::NOT_MODIFIED),
            (
                HeaderValue::from_static("\"x\", *"),
                StatusCode::NOT_MODIFIED,
            ),
            (HeaderValue::from_static("\"x\""), StatusCode::OK),
        ] {
            let request = Request::get(JWKS_PATH).header(IF_NONE_MATCH, known);
            let again = client.send(request).await.unwrap();
            assert_eq!(again.status, status);
            assert_eq!(&again.headers[ETAG], etag);
            assert_eq!(again.body.is_empty(), status == StatusCode::NOT_MODIFIED);
        }
        for (method, status) in [
            (Method::HEAD, StatusCode::OK),
            (Method::POST, StatusCode::METHOD_NOT_ALLOWED),
        ] {
            let request = Request {
                method: method.clone(),
                ..Request::get(JWKS_PATH)
            };
            let answer = client.send(request).await.unwrap();
            assert_eq!(answer.status, status);
            let allowed = answer.headers.get(ALLOW).is_some();
            assert_eq!(allowed, status == StatusCode::METHOD_NOT_ALLOWED);
            let length = answer.headers["content-length"].to_str().unwrap();
            assert_eq!(
                method == Method::HEAD,
                length == page.body.len().to_string()
            );
        }
    }
    assert_eq!(world.arrivals(), 0);
}

#[tokio::test]
async fn only_the_router_answers_for_the_page_of_keys() {
    let world = Sealing::jws(&[("k1", 0)]).await;
    // No spelling that a proxy could take for the page's path reaches a cell either, with any
    // credential.
    for protocol in PROTOCOLS {
        let client = world.client(protocol, "acme");
        for path in [
            "/.well-known/cellway/%6awks.json",
            "//.well-known/cellway/jwks.json",
            "/.well-known/./cellway/jwks.json",
            "/.well-known/cellway/jwks.jso%6e",
        ] {
            let answer = client.send(Request::get(path)).await.unwrap();
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}");
            assert_eq!(answer.headers["x-cellway-owner"], "router");
        }
    }
    assert_eq!(world.arrivals(), 0);

    // Without signing keys there is no page, and no cell can serve one instead.
    let off = Sealing::off().await;
    let hmac = Sealing::hmac(&[("a", 1), ("b", 2)]).await;
    for world in [off, hmac] {
        let client = world.client(Protocol::Http2, "acme");
        let answer = client.send(Request::get(JWKS_PATH)).await.unwrap();
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        assert_eq!(answer.headers["x-cellway-owner"], "router");
        assert_eq!(world.arrivals(), 0);
    }
}

#[tokio::test]
async fn without_envelopes_no_header_of_that_name_arrives() {
    let world = Sealing::off().await;
    let client = world.client(Protocol::Http2, "acme");
    let echo = body(&client.send(forged(Request::get("/"))).await.unwrap());
    assert_eq!(echo["headers"]["x-cellway-auth"], "verified");
    assert!(!echo.to_string().contains("envelope"), "{echo}");
}

#[tokio::test]
async fn the_hmac_form_holds_likewise() {
    let world = Sealing::hmac(&[("a", 1), ("b", 2)]).await;
    for protocol in PROTOCOLS {
        let client = world.client(protocol, "acme");
        let request = forged(Request::get("/orders?id=7"));
        let echo = body(&client.send(request).await.unwrap());
        assert!(!echo.to_string().contains("forged"), "{echo}");
        let now = world.env.now();
        let check = |cell, seed, method, target, now| {
            world::verify_hmac(&echo, cell, seed, method, target, now)
        };
        let verified = check("a", 1, &Method::GET, "/orders?id=7", now).unwrap();
        assert_eq!(verified.tenant.as_ref().unwrap().as_str(), "acme");
        // The other cell has no key with this kid. A key with the same kid would have another
        // secret.
        let elsewhere = check("b", 2, &Method::GET, "/orders?id=7", now);
        assert_eq!(elsewhere, Err(EnvelopeRefused::UnknownKey));
        let stolen = check("a", 2, &Method::GET, "/orders?id=7", now);
        assert_eq!(stolen, Err(EnvelopeRefused::BadSignature));
        let method = check("a", 1, &Method::PUT, "/orders?id=7", now);
        assert_eq!(method, Err(EnvelopeRefused::BadSignature));
        let target = check("a", 1, &Method::GET, "/orders", now);
        assert_eq!(target, Err(EnvelopeRefused::BadSignature));
        let late = now.after(Duration::from_secs(36));
        let late = check("a", 1, &Method::GET, "/orders?id=7", late);
        assert_eq!(late, Err(EnvelopeRefused::Expired));
    }
}

/// The headers that an Envoy must set, in the format in which a cell echoes headers.
fn set(told: &Value) -> Value {
    let headers = told["okResponse"]["headers"].as_array().unwrap();
    let pair = |option: &Value| {
        let header = &option["header"];
        (
            header["key"].as_str().unwrap().to_owned(),
            header["value"].clone(),
        )
    };
    json!({ "headers": headers.iter().map(pair).collect::<serde_json::Map<_, _>>() })
}

#[tokio::test]
async fn an_envoy_is_told_the_same_envelope() {
    let jws = Sealing::jws(&[("k1", 0)]).await;
    let hmac = Sealing::hmac(&[("a", 1)]).await;
    let (method, path) = (Method::POST, "/orders?id=7");
    let forged = json!({"x-cellway-envelope": "forged", "x_cellway_envelope-kid": "forged"});

    let told = jws.ask(&method, path, &forged, Some("acme")).await;
    let (keys, now) = (jws.published(Protocol::Http1).await, jws.env.now());
    let check = |cell, method: &Method, path| verify(&set(&told), &keys, cell, method, path, now);
    let verified = check("a", &method, path).unwrap();
    assert_eq!(verified.tenant.as_ref().unwrap().as_str(), "acme");
    assert_eq!(check("b", &method, path), Err(EnvelopeRefused::OtherCell));
    let other = check("a", &Method::GET, path);
    assert_eq!(other, Err(EnvelopeRefused::OtherMethod));
    let other = check("a", &method, "/orders?id=8");
    assert_eq!(other, Err(EnvelopeRefused::OtherTarget));
    let removed = told["okResponse"]["headersToRemove"].to_string();
    assert!(removed.contains("x_cellway_envelope-kid"), "{removed}");

    // If no caller is verified, the forged headers are removed and nothing replaces them.
    let told = jws.ask(&method, path, &forged, None).await;
    assert!(!set(&told).to_string().contains("envelope"), "{told}");
    let removed = told["okResponse"]["headersToRemove"].to_string();
    assert!(removed.contains("\"x-cellway-envelope\""), "{removed}");

    let told = hmac.ask(&method, path, &forged, Some("acme")).await;
    let now = hmac.env.now();
    world::verify_hmac(&set(&told), "a", 1, &method, path, now).unwrap();
    // For a cell without a key, the Envoy refuses the request.
    let told = hmac.ask(&method, path, &forged, Some("bolt")).await;
    assert_eq!(told["deniedResponse"]["status"]["code"], 503, "{told}");
    assert!(told.to_string().contains("envelope_unavailable"), "{told}");
}

#[tokio::test]
async fn a_cell_without_a_key_gets_no_request() {
    let world = Sealing::hmac(&[("a", 1)]).await;
    let client = world.client(Protocol::Http2, "bolt");
    let answer = client.send(Request::get("/")).await.unwrap();
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(reason(&answer), "envelope_unavailable");
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!(world.arrivals(), 0);
    let status = world.handle.envelope().unwrap();
    assert_eq!(status.cells_with_key, Some(1));
    assert_eq!(status.cells_without_key, ["b"]);
    // The other cell isn't affected.
    let client = world.client(Protocol::Http2, "acme");
    let answer = client.send(Request::get("/")).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn one_secret_for_two_cells_does_not_start() {
    let error = refused(&[("a", 1), ("b", 1)]).await;
    assert!(error.contains("envelope.keys: "), "{error}");
    assert!(error.contains("are the same secret"), "{error}");
}
