//! The keys of envelopes are replaced, over real sockets: a router, and a cell that fetches its keys.
#![allow(
    clippy::unwrap_used,
    reason = "a test that finds nothing has found a bug"
)]

use cellway_core::Unix;
use cellway_core::envelope::{EnvelopeRefused, JWKS_PATH, SigningKey, Verifier, VerifierSpec};
use cellway_core::keys::{JwksFetchError, KeyNotice};
use cellway_env::tokio::TokioEnv;
use cellway_env::{Env, Store};
use cellway_router::envelope::{INDEX, Index, IndexKey, key_file, signing_pem};
use cellway_router::settings::EnvelopeForm;
use cellway_service::{EnvelopeLayer, JwksClient, JwksConnectError, JwksTiming};
use cellway_testbed::{Protocol, Request, Signer};
use cellway_tests::world::{HOUR, PATIENCE, Running, World, now};
use http::request::Parts;
use serde_json::Value;

type Layer = EnvelopeLayer<JwksClient<TokioEnv>, fn() -> Unix>;

/// Writes the shared folder with these keys, each with the seconds from now on after which it signs.
async fn keys(world: &World, keys: &[(&str, u64)]) {
    let (env, now) = (TokioEnv::new(), now().as_secs());
    let mut index = Index::default();
    for (kid, after) in keys {
        let mut seed = [0; 32];
        seed[..kid.len()].copy_from_slice(kid.as_bytes());
        let key = SigningKey::from_seed(kid, &seed).unwrap();
        let file = format!("envelope/{}", key_file(EnvelopeForm::Jws, kid));
        let pem = signing_pem(&key).unwrap();
        let path = world.folder.path(&file);
        env.store().replace(&path, pem.into()).await.unwrap();
        index.keys.push(IndexKey {
            kid: (*kid).to_owned(),
            cell: None,
            added: now,
            sign_from: now + after,
        });
    }
    let path = world.folder.path(&format!("envelope/{INDEX}"));
    let text = index.render().into();
    env.store().replace(&path, text).await.unwrap();
}

/// A client of this page that trusts these CAs.
async fn connect(
    page: &str,
    bundle: &str,
    timing: JwksTiming,
    notices: impl Fn(&KeyNotice) + Send + 'static,
) -> Result<JwksClient<TokioEnv>, JwksConnectError> {
    JwksClient::connect(
        TokioEnv::new(),
        page,
        Some(bundle.as_bytes()),
        timing,
        notices,
    )
    .await
}

/// A world whose router seals under `env-1`, and whose cell serves nothing without an envelope.
async fn world() -> (World, Running, Layer) {
    let world = World::up(Signer::from_seed("k1", [1; 32]).unwrap()).await;
    world.configure(&format!(
        "{}\n[envelope]\nkeys = \"envelope\"\n",
        world.config()
    ));
    keys(&world, &[("env-1", 0)]).await;
    let router = world.router().await;
    let bundle = world.authorities.servers.pem();
    let page = format!("https://{}{JWKS_PATH}", router.address());
    // A request may wait for as long as a busy machine needs. Only one fetch can be forced, so that
    // nothing waits for a second.
    let mut timing = JwksTiming::default();
    timing.wait_max = PATIENCE;
    timing.cooldown = HOUR;
    timing.fetch_max = PATIENCE;
    let keys = connect(&page, &bundle, timing, |_| ()).await.unwrap();
    let verifier = Verifier::new(VerifierSpec::new("a")).unwrap();
    let layer: Layer = EnvelopeLayer::new(verifier, keys, now);
    world.cell.verify_envelopes(layer.clone());
    (world, router, layer)
}

/// Sends a request of acme's; gives back its head as the cell received it.
async fn sent(world: &World, router: &Running) -> Parts {
    let client = router.client(Protocol::Http2, &[&world.authorities.servers], None);
    let request = Request::get("/orders?of=may").bearer(&world.token());
    let answer = client.send(request).await.unwrap();
    let echo: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(answer.status, 200, "{echo}");
    assert_eq!(echo["envelope"]["tenant"], "acme");
    assert_eq!(echo["envelope"]["sub"], "ada");
    let (mut head, ()) = http::Request::get("/orders?of=may")
        .body(())
        .unwrap()
        .into_parts();
    let envelope = echo["headers"]["x-cellway-envelope"].as_str().unwrap();
    head.headers
        .insert("x-cellway-envelope", envelope.parse().unwrap());
    head
}

fn kid(head: &Parts) -> String {
    let verifier = Verifier::new(VerifierSpec::new("a")).unwrap();
    verifier.kid(&head.headers).unwrap().into()
}

/// Catches: a lost key that goes on counting once the new one is met, a request lost to the change.
#[tokio::test]
async fn a_lost_key_is_replaced_at_once() {
    let (world, router, layer) = world().await;
    let before = sent(&world, &router).await;
    assert_eq!(kid(&before), "env-1");
    assert!(layer.verify(&before).await.is_ok(), "it holds for a while");

    keys(&world, &[("env-2", 0)]).await;
    router.reload().await;
    // The cell doesn't know the key, fetches the page, and serves.
    let after = sent(&world, &router).await;
    assert_eq!(kid(&after), "env-2");
    let verified = layer.verify(&before).await;
    assert_eq!(
        verified,
        Err(EnvelopeRefused::UnknownKey),
        "as if it were a thief's"
    );
    assert!(layer.verify(&after).await.is_ok());
}

/// Catches: a rotation without overlap that is taken, or one that ends sealing altogether.
#[tokio::test]
async fn a_key_that_would_sign_too_early_changes_nothing() {
    let (world, router, _layer) = world().await;
    keys(&world, &[("env-1", 0), ("env-2", 299)]).await;
    let why = router.reload_refused().await;
    assert!(
        why.contains("key `env-2` would sign before services"),
        "{why}"
    );
    assert_eq!(kid(&sent(&world, &router).await), "env-1");
    let published = router.admin(JWKS_PATH).await.body;
    let published = String::from_utf8(published.into()).unwrap();
    assert!(
        published.contains("env-1") && !published.contains("env-2"),
        "{published}"
    );

    keys(&world, &[("env-1", 0), ("env-2", 300)]).await;
    router.reload().await;
    let published = router.admin(JWKS_PATH).await.body;
    assert!(
        String::from_utf8(published.into())
            .unwrap()
            .contains("env-2")
    );
    assert_eq!(kid(&sent(&world, &router).await), "env-1", "not yet");
    let (_, ready) = router.readyz().await;
    assert_eq!(ready["envelope"]["next_kid"], "env-2");
}

/// Catches: a client that takes keys from anybody who answers at the page's address.
#[tokio::test]
async fn keys_come_only_from_a_page_that_the_bundle_trusts() {
    let (world, router, _) = world().await;
    let page = format!("https://{}{JWKS_PATH}", router.address());
    let (failed, mut failures) = tokio::sync::mpsc::unbounded_channel();
    let note = move |notice: &KeyNotice| drop(failed.send(notice.clone()));
    let clients = world.authorities.clients.pem();
    let keys = connect(&page, &clients, JwksTiming::default(), note).await;
    let keys = keys.unwrap();
    let first = failures.recv().await.unwrap();
    assert_eq!(first, KeyNotice::Failed(JwksFetchError::Tls));
    assert!(keys.fetched_at().is_none());
}

/// Catches: a service that starts with a bundle or an address from which it never gets keys.
#[tokio::test]
async fn what_can_never_work_is_refused_at_the_start() {
    let page = "https://router.internal/keys";
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let cases = [
        (
            "http://router.internal/keys",
            "",
            "the page of keys \"http://router.internal/keys\": ",
        ),
        (page, "", "the bundle of CAs holds no certificate"),
        (
            page,
            "-----BEGIN CERTIFICATE-----\nAAAA",
            "the bundle of CAs is not PEM: ",
        ),
        (
            page,
            broken,
            "the bundle of CAs holds a certificate that can't be trusted, number 1: ",
        ),
    ];
    for (page, bundle, expected) in cases {
        let refused = connect(page, bundle, JwksTiming::default(), |_| ()).await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.starts_with(expected), "{refused}");
    }
}
