//! Identity provider and control plane down, wrong, and rotating: the router over real sockets.
#![allow(
    clippy::unwrap_used,
    reason = "a test that finds nothing has found a bug"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "tests run on tokio alone and spawn what plays the clients"
)]

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cellway_testbed::{
    Answer, Ca, CertificateSpec, IdpFault, Key, Protocol, Request, San, Signer, Usage, Validity,
};
use cellway_tests::world::{HOUR, PATIENCE, Running, World, now, reason, until};
use http::StatusCode;
use serde_json::{Value, json};

fn signer(kid: &str) -> Signer {
    Signer::from_seed(kid, [kid.len() as u8; 32]).unwrap()
}

/// The fewest milliseconds that requests wait for keys which aren't coming.
fn impatient(world: &World) -> String {
    let config = world.config();
    config.replace("keys = {", "keys = { wait_max_ms = 50,")
}

async fn ask(world: &World, router: &Running, token: &str) -> Answer {
    let client = router.client(Protocol::Http2, &[&world.authorities.servers], None);
    client.send(Request::get("/").bearer(token)).await.unwrap()
}

async fn ask_with_certificate(world: &World, router: &Running) -> Answer {
    let acme = world.authorities.acme();
    let client = router.client(Protocol::Http1, &[&world.authorities.servers], Some(&acme));
    client.send(Request::get("/")).await.unwrap()
}

/// A refusal because the router can't know: what it says, and that it says when to try again.
fn unavailable(answer: &Answer) -> String {
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers.contains_key("retry-after"));
    assert!(!answer.headers.contains_key("www-authenticate"));
    reason(answer)
}

async fn is_ready(router: &Running) -> bool {
    router.readyz().await.0 == 200
}

#[tokio::test]
async fn a_router_that_starts_alone_says_what_it_lacks_and_recovers_by_itself() {
    let mut world = World::down(signer("k1")).await;
    world.configure(&impatient(&world));
    let token = world.token();
    let router = world.boot().await;

    let answer = ask(&world, &router, &token).await;
    assert_eq!(unavailable(&answer), "jwks_unreachable");
    let answer = ask_with_certificate(&world, &router).await;
    assert_eq!(unavailable(&answer), "registry_never_loaded");
    // What it can tell without any source, it tells.
    let answer = ask(&world, &router, "open-sesame").await;
    assert_eq!(reason(&answer), "malformed_token");
    let (status, page) = router.readyz().await;
    assert_eq!((status, &page["status"]), (503, &json!("starting")));
    assert_eq!(page["registry_version"], Value::Null);
    assert_eq!(page["keys"], json!({ "main": "empty" }));
    let failed = router.events.after("registry_fetch_failed", 0).await;
    assert_eq!(failed["reason"], "unreachable");
    router.events.after("keys_fetch_failed", 0).await;
    assert!(router.admin("/healthz").await.status.is_success());

    // The one that comes back first is of use for what it knows, and no more.
    world.idp_host.start().await;
    until("keys are there", async || {
        router.readyz().await.1["keys"]["main"] == "fresh"
    })
    .await;
    assert!(!is_ready(&router).await);
    let answer = ask(&world, &router, &token).await;
    assert_eq!(unavailable(&answer), "registry_never_loaded");

    world.plane_host.start().await;
    until("it is ready", async || is_ready(&router).await).await;
    assert_eq!(ask(&world, &router, &token).await.status, StatusCode::OK);
    let answer = ask_with_certificate(&world, &router).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(router.readyz().await.1["registry_version"], 5);
    assert_eq!(world.cell.arrivals(), 2);
}

/// What a source says that can't be believed leaves a router that has nothing without it.
#[tokio::test]
async fn sources_that_answer_nonsense_at_boot_are_refused_with_a_reason() {
    let world = World::up(signer("k1")).await;
    for (fault, event) in [
        (IdpFault::Garbage, "keys_refused"),
        (IdpFault::EmptySet, "keys_refused"),
        (IdpFault::Oversized, "keys_fetch_failed"),
        (IdpFault::WrongIssuer, "keys_fetch_failed"),
        (IdpFault::Status(StatusCode::FORBIDDEN), "keys_fetch_failed"),
    ] {
        // Nothing is kept from the round before.
        let state = format!("state-{fault:?}");
        world.configure(&impatient(&world).replace("\"state\"", &format!("{state:?}")));
        world.idp.set_fault(fault);
        world.plane.set_document("{\"version\": 1, \"cells\": [");
        let router = world.boot().await;
        router.events.after(event, 0).await;
        let refused = router.events.after("registry_refused", 0).await;
        assert_eq!(refused["reason"], "invalid", "{refused}");
        let answer = ask(&world, &router, &world.token()).await;
        assert_eq!(unavailable(&answer), "jwks_unreachable", "{fault:?}");
        let answer = ask_with_certificate(&world, &router).await;
        assert_eq!(unavailable(&answer), "registry_never_loaded");
        assert!(!world.folder.has(&format!("{state}/registry.keep")));
        assert!(!world.folder.has(&format!("{state}/keys-main.keep")));

        world.idp.set_fault(IdpFault::None);
        world.plane.set_document(world.registry.to_string());
        until("it has both", async || {
            let (status, page) = router.readyz().await;
            status == 200 && page["keys"]["main"] == "fresh"
        })
        .await;
        let answer = ask(&world, &router, &world.token()).await;
        assert_eq!(answer.status, StatusCode::OK, "{fault:?}");
        router.handle.drain(PATIENCE).await;
    }
}

/// Catches: a document over the limit that looks like a source that is down.
#[tokio::test]
async fn a_registry_over_its_limit_is_oversized_and_its_source_is_reachable() {
    const LIMIT: usize = 64 << 10;
    let world = World::up(signer("k1")).await;
    let limited = format!("[registry]\nbytes_max = {LIMIT}");
    world.configure(&world.config().replace("[registry]", &limited));
    let router = world.router().await;
    let long = world.registry.to_string() + &" ".repeat(LIMIT);
    world.plane.set_document(long);
    let refused = router.events.after("registry_refused", 0).await;
    assert_eq!(refused["reason"], "oversized", "{refused}");
    assert!(refused["error"].as_str().unwrap().contains("65536"));
    assert_eq!(router.events.count("registry_fetch_failed"), 0);
    let counted = router.metric("cellway_registry_rejected_total").await;
    assert!(counted[0].contains("oversized"), "{counted:?}");
    let answer = ask(&world, &router, &world.token()).await;
    assert_eq!(answer.status, StatusCode::OK, "the last good one stays");
}

/// Catches: a key set that is refused, or a key that is ignored, because only a certificate contains
/// it.
#[tokio::test]
async fn keys_that_only_certificates_hold_verify_tokens() {
    let seed = [7; 32];
    let world = World::up(Signer::from_seed("one", seed).unwrap()).await;
    let validity = Validity::around(now(), HOUR);
    let ca = Ca::new("keys", &Key::from_seed([8; 32]), validity, 1).unwrap();
    let name = San::Dns("keys.example".to_owned());
    let spec = CertificateSpec::new("one", name, Usage::Server, validity, 2);
    let certificate = ca.issue(&spec, &Key::from_seed(seed)).unwrap();
    let x5c = STANDARD.encode(&certificate.chain[0]);
    let set = json!({"keys": [{"kty": "OKP", "kid": "one", "use": "sig", "x5c": [x5c]}]});
    world.idp.set_foreign_keys(Some(set.to_string()));
    world.configure(&world.config());
    let router = world.router().await;
    let answer = ask(&world, &router, &world.token()).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
    assert_eq!(world.idp.counts().jwks, 1, "by the set that was fetched");
    let stranger = Signer::from_seed("one", [9; 32]).unwrap();
    let forged = world.claims().sign(&stranger).unwrap();
    let answer = ask(&world, &router, &forged).await;
    assert_eq!(reason(&answer), "bad_signature");
}

#[tokio::test]
async fn what_was_kept_serves_while_both_sources_are_down() {
    let mut world = World::up(signer("k1")).await;
    let before = world.router().await;
    let token = world.token();
    assert_eq!(ask(&world, &before, &token).await.status, StatusCode::OK);
    until("both are kept", async || {
        world.folder.has("state/registry.keep") && world.folder.has("state/keys-main.keep")
    })
    .await;
    before.handle.drain(PATIENCE).await;
    world.idp_host.stop().await;
    world.plane_host.stop().await;

    let after = world.router().await;
    assert_eq!(after.events.count("keys_restored"), 1);
    let applied = after.events.after("registry_applied", 0).await;
    assert_eq!(applied["restored"], true);
    assert_eq!(ask(&world, &after, &token).await.status, StatusCode::OK);
    // Not by hearsay: what was kept refuses as much as it allows.
    let stranger = Signer::from_seed("k1", [9; 32]).unwrap();
    let forged = world.claims().sign(&stranger).unwrap();
    let answer = ask(&world, &after, &forged).await;
    assert_eq!(reason(&answer), "bad_signature");
    let suspended = world.token_of("wayne");
    let answer = ask(&world, &after, &suspended).await;
    assert_eq!(reason(&answer), "tenant_suspended");

    until("the registry is flagged stale", async || {
        after.readyz().await.1["registry_stale"] == true
    })
    .await;
    let (status, page) = after.readyz().await;
    assert_eq!(status, 200, "{page}");
    assert_eq!(after.metric("cellway_registry_stale").await.len(), 1);
    assert_eq!(ask(&world, &after, &token).await.status, StatusCode::OK);

    world.plane_host.start().await;
    until("the flag is gone", async || {
        after.readyz().await.1["registry_stale"] == false
    })
    .await;
}

#[tokio::test]
async fn a_new_signing_key_is_fetched_once_for_all_who_wait() {
    const CLIENTS: usize = 24;
    let world = World::up(signer("k1")).await;
    let router = world.router().await;
    let old = world.token();
    assert_eq!(ask(&world, &router, &old).await.status, StatusCode::OK);
    let before = world.idp.counts();

    world.idp.replace_keys(signer("key-2"));
    // Slow enough that all of them wait for the same answer.
    world
        .idp
        .set_fault(IdpFault::Slow(Duration::from_millis(500)));
    let token = world.token();
    let requests: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let client = router.client(Protocol::Http2, &[&world.authorities.servers], None);
            let request = Request::get("/").bearer(&token);
            tokio::spawn(async move { client.send(request).await.unwrap().status })
        })
        .collect();
    for request in requests {
        assert_eq!(request.await.unwrap(), StatusCode::OK);
    }
    let after = world.idp.counts();
    assert_eq!(after.jwks, before.jwks + 1);
    assert_eq!(after.discovery, before.discovery + 1);
    let decided = router.events.of("authz_allow");
    assert!(decided.iter().any(|line| line["waited"] == true));

    // The surprise withdrew the old key, and made-up ones don't reach the provider again.
    let answer = ask(&world, &router, &old).await;
    assert_eq!(reason(&answer), "no_matching_key");
    for kid in 0..CLIENTS {
        let made_up = world.claims().kid(&format!("made-up-{kid}"));
        let answer = ask(&world, &router, &world.idp.sign(&made_up).unwrap()).await;
        assert_eq!(reason(&answer), "no_matching_key");
    }
    assert_eq!(world.idp.counts(), after);
}
