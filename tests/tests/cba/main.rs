//! Cell-bound authorizations over real sockets: a cell calls another through a whole router.
#![allow(
    clippy::unwrap_used,
    reason = "a test that finds nothing has found a bug"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "tests run on tokio alone and spawn what plays the clients"
)]

mod cases;
mod once;
mod scene;
mod table;

use cellway_testbed::San;
use cellway_tests::decide::{jwks, signer};
use cellway_tests::world::{Running, TENANT_SAN, certificate, now, reason};
use http::StatusCode;
use serde_json::json;

use crate::scene::{Scene, authorization};

const CELL_SAN: &str = "spiffe://clients.test/cell/b";

/// What came of the authorizations, as the metric counts it: decision and reason, how often.
async fn counted(router: &Running) -> Vec<(String, String, u64)> {
    let lines = router.metric("cellway_cba_decisions_total").await;
    let label = |line: &str, name: &str| {
        let (_, rest) = line.split_once(&format!("{name}=\"")).unwrap();
        rest.split('"').next().unwrap().to_owned()
    };
    let count = |line: &str| line.rsplit(' ').next().unwrap().parse().unwrap();
    let parsed = |line: &String| (label(line, "decision"), label(line, "reason"), count(line));
    lines.iter().map(parsed).collect()
}

/// How many of these authorizations there are for each reason, as the metric should count them.
fn expected(refused_as: &str) -> Vec<(String, String, u64)> {
    let mut counts = std::collections::BTreeMap::<_, u64>::new();
    for case in cases::all(now()) {
        let key = match case.refused {
            None => ("allow", "verified"),
            Some(reason) => (refused_as, reason),
        };
        *counts.entry(key).or_default() += 1;
    }
    let owned = |((decision, reason), count): ((&str, &str), u64)| {
        (decision.to_owned(), reason.to_owned(), count)
    };
    counts.into_iter().map(owned).collect()
}

fn sorted(mut counts: Vec<(String, String, u64)>) -> Vec<(String, String, u64)> {
    counts.sort();
    counts
}

#[tokio::test]
async fn enforce_lets_pass_what_holds_and_what_is_absent_and_nothing_else() {
    let scene = Scene::new("").await;
    let (_, ready) = scene.router.readyz().await;
    assert_eq!(ready["cba_mode"], "enforce", "by default");
    let answer = scene.ask(&[]).await;
    assert_eq!(answer.status, StatusCode::OK, "none passes");
    for case in cases::all(now()) {
        let before = scene.world.cell.arrivals();
        let answer = scene.ask(&case.shown).await;
        let Some(refused) = case.refused else {
            assert_eq!(answer.status, StatusCode::OK, "{}", case.what);
            continue;
        };
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", case.what);
        assert_eq!(reason(&answer), refused, "{}", case.what);
        assert_eq!(scene.world.cell.arrivals(), before, "{}", case.what);
    }
    scene.nothing_is_passed_on();
    assert_eq!(sorted(counted(&scene.router).await), expected("deny"));
    let refused = cases::all(now())
        .iter()
        .filter(|c| c.refused.is_some())
        .count();
    let events = &scene.router.events;
    assert_eq!(events.count("cba_deny"), refused);
    let line = events.saying("cba_deny", "cba_wrong_destination").await;
    assert_eq!(
        (&line["source"], &line["cell"]),
        (&json!("b"), &json!(null))
    );
    scene.nothing_is_told();
}

#[tokio::test]
async fn monitor_denies_nothing_and_counts_what_enforce_denies() {
    let scene = Scene::new(r#"mode = "monitor""#).await;
    for case in cases::all(now()) {
        let answer = scene.ask(&case.shown).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", case.what);
    }
    scene.nothing_is_passed_on();
    assert_eq!(sorted(counted(&scene.router).await), expected("would_deny"));
    let line = scene
        .router
        .events
        .saying("cba_would_deny", "cba_no_keys")
        .await;
    assert_eq!(
        (&line["source"], &line["cell"]),
        (&json!("mute"), &json!("a"))
    );
    assert_eq!(scene.router.events.count("cba_deny"), 0);
    scene.nothing_is_told();
}

#[tokio::test]
async fn off_looks_at_nothing_and_passes_nothing_on() {
    let scene = Scene::new(r#"mode = "off""#).await;
    for case in cases::all(now()) {
        let answer = scene.ask(&case.shown).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", case.what);
    }
    scene.nothing_is_passed_on();
    assert_eq!(counted(&scene.router).await, []);
}

#[tokio::test]
async fn require_demands_one_from_every_client_with_a_cells_certificate() {
    let scene = Scene::new(r#"mode = "require""#).await;
    let clients = &scene.world.authorities.clients;
    let cell = certificate(clients, vec![San::Uri(CELL_SAN.to_owned())]);
    let tenant = certificate(clients, vec![San::Uri(TENANT_SAN.to_owned())]);
    let answer = scene.ask_as(Some(&cell), &[]).await;
    assert_eq!(reason(&answer), "cba_missing");
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    let answer = scene.ask_as(Some(&cell), &[authorization("1")]).await;
    assert_eq!(answer.status, StatusCode::OK);
    for credential in [Some(&tenant), None] {
        let answer = scene.ask_as(credential, &[]).await;
        assert_eq!(answer.status, StatusCode::OK, "the client is not a cell");
    }
    let answer = scene.ask(&["a.b.c".to_owned()]).await;
    assert_eq!(reason(&answer), "cba_malformed");
}

#[tokio::test]
async fn a_certificate_must_name_the_cell_that_signed() {
    let scene = Scene::new("").await;
    let clients = &scene.world.authorities.clients;
    let of = |san: &str| certificate(clients, vec![San::Uri(san.to_owned())]);
    let answer = scene
        .ask_as(Some(&of(CELL_SAN)), &[authorization("1")])
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    let other = "spiffe://clients.test/cell/draining";
    for (number, san) in [other, TENANT_SAN].into_iter().enumerate() {
        let shown = [authorization(&format!("other {number}"))];
        let answer = scene.ask_as(Some(&of(san)), &shown).await;
        assert_eq!(reason(&answer), "cba_certificate_mismatch", "{san}");
    }
}

#[tokio::test]
async fn a_pin_leads_to_its_cell_and_nowhere_else() {
    let scene = Scene::new(r#"destination = "a""#).await;
    assert_eq!(
        scene.ask(&[authorization("1")]).await.status,
        StatusCode::OK
    );
    let scene = Scene::new(r#"destination = "b""#).await;
    let for_b = cases::good("3", now()).with("aud", "b");
    for shown in [authorization("2"), for_b.sign(&cases::key()).unwrap()] {
        let answer = scene.ask(&[shown]).await;
        assert_eq!(reason(&answer), "cba_wrong_destination");
    }
    assert_eq!(
        scene.ask(&[]).await.status,
        StatusCode::OK,
        "none isn't touched"
    );
}

#[tokio::test]
async fn a_new_registry_version_ends_the_old_key_on_standing_connections() {
    let scene = Scene::new("").await;
    let next = signer("b-2");
    let by_next = |jti: &str| cases::good(jti, now()).sign(&next).unwrap();
    let mut connection = scene.connect(None).await;
    let mut ask = async |shown: String| {
        let answer = connection.send(scene.request(&[shown])).await.unwrap();
        match answer.status {
            StatusCode::OK => "ok".to_owned(),
            _ => reason(&answer),
        }
    };
    let same = authorization("shown again and again");
    assert_eq!(ask(same.clone()).await, "ok");
    assert_eq!(ask(by_next("1")).await, "cba_no_matching_key");
    scene.publish(7, &jwks(&[&cases::key(), &next])).await;
    assert_eq!(ask(same.clone()).await, "ok");
    assert_eq!(ask(by_next("2")).await, "ok");
    scene.publish(8, &jwks(&[&next])).await;
    assert_eq!(ask(same).await, "cba_no_matching_key");
    assert_eq!(ask(by_next("3")).await, "ok");
    // A key that can't be used stops this cell's calls, is reported, and doesn't refuse the document.
    scene.publish(9, "no JWKS").await;
    assert_eq!(ask(by_next("4")).await, "cba_no_keys");
    let told = scene
        .router
        .events
        .saying("cell_keys_refused", "\"b\"")
        .await;
    assert_eq!(told["level"], "warn");
    let refused = scene.router.metric("cellway_cba_cell_keys").await;
    assert!(refused[1].ends_with("{state=\"refused\"} 1"), "{refused:?}");
}

#[tokio::test]
async fn a_reload_changes_the_mode_on_standing_connections() {
    let scene = Scene::new(r#"mode = "monitor""#).await;
    let mut connection = scene.connect(None).await;
    let bad = cases::good("1", now()).with("aud", "b");
    let request = scene.request(&[bad.sign(&cases::key()).unwrap()]);
    let answer = connection.send(request.clone()).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    scene.configure(r#"mode = "enforce""#).await;
    let answer = connection.send(request.clone()).await.unwrap();
    assert_eq!(reason(&answer), "cba_wrong_destination");
    scene.configure(r#"mode = "monitor""#).await;
    let answer = connection.send(request).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK, "the way back");
}

#[tokio::test]
async fn a_grpc_call_is_denied_in_its_own_terms() {
    let scene = Scene::new("").await;
    let mut request = scene.request(&["a.b.c".to_owned()]);
    let kind = http::HeaderValue::from_static("application/grpc");
    request.headers.insert("content-type", kind);
    let answer = scene.client(None).send(request).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers["grpc-status"], "7");
    assert_eq!(answer.headers["x-cellway-reason"], "cba_malformed");
    assert_eq!(scene.world.cell.arrivals(), 0);
}
