//! Tokens, and keys that arrive while a request waits for them.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use cellway_core::policy::{Policy, PolicySpecs};
use cellway_env::tokio::TokioEnv;
use cellway_router::settings::RouterSettings;
use cellway_testbed::{
    Answer, Claims, IdentityProvider, IdpFault, Protocol, Request, ServerTls, Signer,
};
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ORIGIN};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::world::{
    DAY, World, body, cell, plain, plain_endpoint, reason, registry, set_policy, start,
};

/// An identity provider whose key is called `one`.
async fn identity_provider() -> IdentityProvider {
    let provider = IdentityProvider::start(&TokioEnv::new()).await.unwrap();
    provider.replace_keys(Signer::from_seed("one", [1; 32]).unwrap());
    provider
}

async fn world(provider: &IdentityProvider) -> World {
    start(settings(provider).await).await
}

async fn settings(provider: &IdentityProvider) -> RouterSettings {
    let (_cell, port) = cell("a", ServerTls::plain()).await;
    let mut settings = plain(registry(plain_endpoint("http", port)));
    set_policy(&mut settings, policy(provider, &provider.jwks_uri()));
    settings
}

/// A policy that accepts the tokens of this issuer, with the keys from this address.
fn policy(provider: &IdentityProvider, jwks_uri: &str) -> Arc<Policy> {
    let issuer = json!({"name": "main", "issuer": provider.issuer(), "audience": "cellway",
                        "jwks_uri": jwks_uri,
                        "claims": {"org": "org", "workspace": ["team", "name"],
                                   "roles": ["realm_access", "roles"]}});
    let specs = PolicySpecs {
        issuer: vec![serde_json::from_value(issuer).unwrap()],
        policy: vec![
            serde_json::from_value(json!({"name": "default", "any_of": ["jwt"]})).unwrap(),
        ],
        ..PolicySpecs::default()
    };
    Arc::new(Policy::build(&specs).unwrap())
}

fn acme(provider: &IdentityProvider) -> Claims {
    provider.claims(&TokioEnv::new(), "acme")
}

fn get(token: &str) -> Request {
    Request::get("/").bearer(token)
}

#[tokio::test]
async fn a_token_opens_the_way_and_stays_behind() {
    let provider = identity_provider().await;
    let world = world(&provider).await;
    let token = provider.sign(&acme(&provider).subject("alice")).unwrap();
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let answer = world.client(protocol).send(get(&token)).await.unwrap();
        let headers = body(&answer)["headers"].clone();
        assert_eq!(headers["x-cellway-tenant"], "acme");
        assert_eq!(headers["x-cellway-sub"], "alice");
        assert!(headers.get("authorization").is_none());
    }
    let client = world.client(Protocol::Http1);
    let answer = client.send(Request::get("/")).await.unwrap();
    assert_eq!(reason(&answer), "missing_token");
    assert_eq!(
        answer.headers["www-authenticate"],
        "Bearer realm=\"cellway\""
    );
    let answer = client.send(get("no.such.token")).await.unwrap();
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let challenge = answer.headers["www-authenticate"].to_str().unwrap();
    assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
}

/// Catches: a name that is ambiguous to the cell or never reaches it, and a user who is refused
/// because of a group's name.
#[tokio::test]
async fn odd_claims_reach_the_cell_encoded_and_are_counted() {
    let provider = identity_provider().await;
    let world = world(&provider).await;
    let claims = acme(&provider)
        .subject("CN=Ada,OU=100%")
        .with("org", "Acme, Inc.")
        .with("team", json!({"name": "B\u{fc}ro\r\nx: y"}))
        .with("realm_access", json!({"roles": ["CN=Admins,OU=x", "", 7]}))
        .with("nbf", json!(null))
        .with("cnf", json!(null));
    let token = provider.sign(&claims).unwrap();
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let answer = world.client(protocol).send(get(&token)).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK);
        let headers = body(&answer)["headers"].clone();
        assert_eq!(headers["x-cellway-sub"], "CN=Ada%2COU=100%25");
        assert_eq!(headers["x-cellway-org"], "Acme%2C Inc.");
        assert_eq!(headers["x-cellway-workspace"], "B%C3%BCro%0D%0Ax: y");
        assert_eq!(headers["x-cellway-roles"], "");
    }
    let nobody = acme(&provider).without("sub").with("jti", "1");
    let token = provider.sign(&nobody).unwrap();
    let answer = world.client(Protocol::Http1).send(get(&token)).await;
    let answer = answer.unwrap();
    assert_eq!(reason(&answer), "missing_claim");
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn requests_wait_for_a_new_key_and_share_one_fetch() {
    let provider = identity_provider().await;
    let world = world(&provider).await;
    let before = provider.counts().jwks;
    provider.publish(Signer::from_seed("two", [2; 32]).unwrap());
    let token = provider.sign_as("two", &acme(&provider)).unwrap();
    let waiting: Vec<_> = (0..10)
        .map(|_| {
            let (client, token) = (world.client(Protocol::Http2), token.clone());
            tokio::spawn(async move { client.send(get(&token)).await.unwrap().status })
        })
        .collect();
    for request in waiting {
        assert_eq!(request.await.unwrap(), StatusCode::OK);
    }
    assert_eq!(provider.counts().jwks, before + 1);
}

#[tokio::test]
async fn a_router_that_cannot_fetch_says_that_and_not_that_the_token_is_bad() {
    let provider = identity_provider().await;
    let world = world(&provider).await;
    provider.set_fault(IdpFault::Status(StatusCode::INTERNAL_SERVER_ERROR));
    provider.publish(Signer::from_seed("two", [2; 32]).unwrap());
    let token = provider.sign_as("two", &acme(&provider)).unwrap();
    let client = world.client(Protocol::Http1);
    let answer = client.send(get(&token)).await.unwrap();
    assert_eq!(reason(&answer), "jwks_unreachable");
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers.contains_key("retry-after"));
}

/// Catches: a reload that drops good keys because of a mistake in their new location, and keys that
/// outlive the first good set from there.
#[tokio::test]
async fn keys_whose_place_changes_serve_until_a_good_set_comes_from_there() {
    let provider = identity_provider().await;
    let mut settings = settings(&provider).await;
    let world = start(settings.clone()).await;
    // Each token has a unique number, so that none is in the memo.
    let token = |key: &str, number: u32| {
        let claims = acme(&provider).with("jti", number.to_string());
        provider.sign_as(key, &claims).unwrap()
    };
    let status = async |token: String| {
        let client = world.client(Protocol::Http2);
        client.send(get(&token)).await.unwrap().status
    };
    assert_eq!(status(token("one", 1)).await, StatusCode::OK);

    let elsewhere = identity_provider().await;
    elsewhere.set_fault(IdpFault::Status(StatusCode::INTERNAL_SERVER_ERROR));
    settings.policy = policy(&provider, &elsewhere.jwks_uri());
    world.handle.apply(settings.clone()).await.unwrap();
    world.events.line("keys failed status").await;
    assert_eq!(status(token("one", 2)).await, StatusCode::OK);

    let two = || Signer::from_seed("two", [2; 32]).unwrap();
    provider.publish(two());
    elsewhere.publish(two());
    elsewhere.withdraw("one");
    elsewhere.set_fault(IdpFault::None);
    // A reload asks failing sources again.
    world.handle.apply(settings).await.unwrap();
    assert_eq!(status(token("two", 3)).await, StatusCode::OK);
    let refused = status(token("one", 4)).await;
    assert_eq!(refused, StatusCode::UNAUTHORIZED);
}

/// Catches: a time limit for fetches that takes effect only at the next start.
#[tokio::test]
async fn a_reload_sets_how_long_a_fetch_may_take() {
    let provider = identity_provider().await;
    let slow = identity_provider().await;
    slow.set_fault(IdpFault::Slow(DAY));
    let mut settings = settings(&provider).await;
    settings.sources.fetch.total_timeout = DAY;
    let world = start(settings.clone()).await;
    settings.policy = policy(&provider, &slow.jwks_uri());
    settings.sources.fetch.total_timeout = Duration::from_millis(50);
    world.handle.apply(settings).await.unwrap();
    world.events.line("keys failed timeout").await;
}

/// Catches: a wait for keys that a reload turns into a wait for another issuer's, because it goes by
/// the issuer's position.
#[tokio::test]
async fn a_reload_that_reorders_issuers_ends_no_wait() {
    let (slow, quick) = (identity_provider().await, identity_provider().await);
    slow.set_fault(IdpFault::Slow(Duration::from_secs(1)));
    let issuer = |name: &str, provider: &IdentityProvider, tenant: &str| {
        json!({"name": name, "issuer": provider.issuer(), "audience": "cellway",
               "jwks_uri": provider.jwks_uri(), "tenants": [tenant]})
    };
    let issuers = [
        issuer("slow", &slow, "acme"),
        issuer("quick", &quick, "globex"),
    ];
    let policy = |issuers: &[Value]| {
        build(json!({"issuer": issuers, "policy": [{"name": "default", "any_of": ["jwt"]}]}))
    };
    let mut settings = settings(&quick).await;
    settings.policy = policy(&issuers);
    let world = start(settings.clone()).await;

    let [first, second] = issuers;
    settings.policy = policy(&[second, first]);
    let token = slow.sign(&acme(&slow)).unwrap();
    let answer = while_it_waits(&world, get(&token), settings).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", reason(&answer));
}

/// Catches: a request that is decided by the settings of a reload and answered by those before, or
/// whose tenant is chosen in a header that no longer chooses.
#[tokio::test]
async fn a_request_that_waited_over_a_reload_follows_the_new_settings() {
    let policy = |provider: &IdentityProvider, app: &str| {
        build(json!({
            "issuer": [{"name": "main", "issuer": provider.issuer(), "audience": "cellway",
                        "jwks_uri": provider.jwks_uri(),
                        "claims": {"tenant": "tenant_id", "tenants": "tenants"}}],
            "policy": [{"name": "default", "any_of": ["jwt"],
                        "cors": {"origins": [format!("https://{app}.example")]}}],
            "headers": {"prefix": format!("x-{app}-"), "tenant_choice": format!("x-pick-{app}")},
        }))
    };
    for chooses in [false, true] {
        let provider = identity_provider().await;
        let mut settings = settings(&provider).await;
        settings.policy = policy(&provider, "before");
        let world = start(settings.clone()).await;
        settings.policy = policy(&provider, "after");

        provider.set_fault(IdpFault::Slow(Duration::from_secs(1)));
        provider.publish(Signer::from_seed("two", [2; 32]).unwrap());
        let mut claims = acme(&provider);
        if chooses {
            claims = claims
                .without("tenant_id")
                .with("tenants", json!(["acme", "globex"]));
        }
        let token = provider.sign_as("two", &claims).unwrap();
        let request = get(&token)
            .header(ORIGIN, HeaderValue::from_static("https://before.example"))
            .header(
                HeaderName::from_static("x-pick-before"),
                HeaderValue::from_static("acme"),
            );
        let answer = while_it_waits(&world, request, settings).await;
        assert_eq!(answer.headers["x-after-owner"], owner(chooses));
        assert!(!answer.headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
        if chooses {
            assert_eq!(answer.headers["x-after-reason"], "ambiguous_tenant");
        }
    }
}

fn owner(refused: bool) -> &'static str {
    if refused { "router" } else { "cell" }
}

fn build(specs: Value) -> Arc<Policy> {
    let specs: PolicySpecs = serde_json::from_value(specs).unwrap();
    Arc::new(Policy::build(&specs).unwrap())
}

/// Sends a request that must wait for keys, and puts `settings` in force meanwhile.
async fn while_it_waits(world: &World, request: Request, settings: RouterSettings) -> Answer {
    let mut connection = world.client(Protocol::Http1).connect().await.unwrap();
    let (answer, applied) = tokio::join!(connection.send(request), world.handle.apply(settings));
    applied.unwrap();
    answer.unwrap()
}

/// Catches: settings that come into force without a word, because the caller stopped waiting.
#[tokio::test]
async fn a_reload_that_nobody_waits_for_is_reported() {
    let provider = identity_provider().await;
    let settings = settings(&provider).await;
    let world = start(settings.clone()).await;
    {
        let mut applying = std::pin::pin!(world.handle.apply(settings));
        let once = std::future::poll_fn(|cx| Poll::Ready(applying.as_mut().poll(cx).is_pending()));
        assert!(once.await, "the reload needs more than one step");
    }
    world.events.line("reloaded").await;
}
