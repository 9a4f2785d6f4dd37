//! What changes while requests flow: certificates, bundles, the configuration, the registry.
//!
//! A bad one is refused by name and the old one stays in force. A good one takes effect. No request
//! fails meanwhile: clients send requests all the time.
#![allow(
    clippy::unwrap_used,
    reason = "a test that finds nothing has found a bug"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "tests run on tokio alone and spawn what plays the clients"
)]

mod traffic;

use cellway_testbed::{ClientError, ControlPlaneFault, Protocol, Request, San, Signer, bundle_pem};
use cellway_tests::world::{
    Authorities, Running, TENANT_SAN, World, certificate, loopback, reason, until,
};
use http::StatusCode;
use serde_json::{Value, json};

use crate::traffic::{Traffic, Upload};

async fn world() -> World {
    World::up(Signer::from_seed("k1", [1; 32]).unwrap()).await
}

/// The world's next registry, with this value at this path.
fn registry_with(world: &World, path: &str, value: Value) -> String {
    let mut document = world.registry.clone();
    document["version"] = json!(6);
    *document.pointer_mut(path).unwrap() = value;
    document.to_string()
}

/// Documents that a control plane must not publish, each with the reason and a part of the error.
fn bad_registries(world: &World) -> [(String, &'static str, &'static str); 9] {
    let change = |path: &str, value: Value| registry_with(world, path, value);
    let few: Value = world.registry["tenants"].as_array().unwrap()[..2].into();
    let other = change("/version", json!(5)).replace("\"eu\"", "\"us\"");
    [
        (
            "<html>sign in</html>".to_owned(),
            "invalid",
            "line 1 column 1",
        ),
        (
            change("/cells/0/state", json!("sleeping")),
            "invalid",
            "sleeping",
        ),
        (
            change("/tenants/0/cell", json!("nowhere")),
            "invalid",
            "nowhere",
        ),
        (
            change("/tenants/1/id", json!("acme")),
            "invalid",
            "tenants[1]",
        ),
        (
            change("/version", json!(4)),
            "older_version",
            "older_version",
        ),
        (other, "same_version_other_content", "same_version"),
        (change("/tenants", few), "shrunken", "shrunken"),
        (change("/cells", json!([])), "empty", "cells is empty"),
        (String::new(), "empty", "no content"),
    ]
}

#[tokio::test]
async fn a_bad_registry_is_refused_by_name_and_the_old_one_stays() {
    let world = world().await;
    let router = world.router().await;
    let traffic = Traffic::start(&world, &router, &[&world.authorities.servers]);
    let mut said = Vec::new();
    for (document, reason, detail) in bad_registries(&world) {
        world.plane.set_document(document);
        // The source is asked at once.
        router.handle.reload().await.unwrap();
        let refused = router.events.saying("registry_refused", detail).await;
        assert_eq!(refused["reason"], reason, "{refused}");
        said.push(format!("{reason}: {}", refused["error"]));
        assert_eq!(router.readyz().await.1["registry_version"], 5);
        traffic.goes_on().await;
    }
    insta::assert_snapshot!("registries", said.join("\n"));
    assert_eq!(router.events.count("registry_applied"), 1);

    broken_transfers(&world, &router).await;
    let good = registry_with(&world, "/tenants/4/status", json!("active"));
    world.plane.set_document(good);
    router
        .events
        .saying("registry_applied", "\"version\":6")
        .await;
    traffic.end().await;
}

/// Answers that aren't a whole document.
async fn broken_transfers(world: &World, router: &Running) {
    world.plane.set_document(world.registry.to_string());
    for fault in [
        ControlPlaneFault::Partial,
        ControlPlaneFault::Status(StatusCode::BAD_GATEWAY),
    ] {
        let seen = router.events.count("registry_fetch_failed");
        world.plane.set_fault(fault);
        router.events.after("registry_fetch_failed", seen).await;
    }
    world.plane.set_fault(ControlPlaneFault::None);
}

/// What is wrong with a file, its name, and its content.
type BadFile = (&'static str, &'static str, String);

/// Certificates, keys and bundles that can't be used.
fn bad_certificates(world: &World) -> Vec<BadFile> {
    let junk = "no PEM at all\n".to_owned();
    let cut = world.folder.read("clients.pem").replace("-----END", "");
    let other_key = Authorities::key(77).pem().unwrap();
    vec![
        ("a certificate that is none", "server.pem", junk.clone()),
        ("no certificate any more", "server.pem", String::new()),
        ("a key that is none", "server.key", junk.clone()),
        ("another certificate's key", "server.key", other_key),
        ("a client bundle that is none", "clients.pem", junk.clone()),
        ("a client bundle cut short", "clients.pem", cut),
        ("a cells' bundle that is none", "cells.pem", junk.clone()),
        ("a router's key that is none", "router.key", junk.clone()),
        ("a sources' bundle that is none", "servers.pem", junk),
    ]
}

/// Configurations that can't be used, or not without a restart.
fn bad_settings(world: &World) -> Vec<BadFile> {
    let config = world.config();
    vec![
        ("broken TOML", "cellway.toml", format!("{config}\n[log\n")),
        (
            "a setting that isn't one",
            "cellway.toml",
            config.replace("any_of", "anyof"),
        ),
        (
            "a symmetric algorithm",
            "cellway.toml",
            config.replace("keys = {", "algorithms = [\"HS256\"]\nkeys = {"),
        ),
        (
            "no audience",
            "cellway.toml",
            config.replace("audience = \"cellway\"", ""),
        ),
        (
            "mode disabled by a slip",
            "cellway.toml",
            config.replace("mode = \"required\"", "mode = \"disabled\""),
        ),
        (
            "another address",
            "cellway.toml",
            config.replacen("127.0.0.1:0", "127.0.0.1:1", 1),
        ),
        (
            "another control plane",
            "cellway.toml",
            config.replace("/manage/cells", "/cells"),
        ),
    ]
}

#[tokio::test]
async fn a_bad_file_at_a_reload_is_named_and_the_old_one_stays() {
    let world = world().await;
    let router = world.router().await;
    let traffic = Traffic::start(&world, &router, &[&world.authorities.servers]);
    let files = bad_certificates(&world).into_iter();
    let mut said = Vec::new();
    for (what, file, content) in files.chain(bad_settings(&world)) {
        let before = world.folder.read(file);
        world.folder.write(file, &content);
        let error = router.reload_refused().await;
        let error = world.folder.strip(&error).replace('\n', "\n    ");
        said.push(format!("{what}\n    {error}"));
        traffic.goes_on().await;
        world.folder.write(file, &before);
    }
    insta::assert_snapshot!("reloads", said.join("\n"));
    assert_eq!(router.events.count("reloaded"), 0);
    // Nothing of it stayed.
    router.reload().await;
    traffic.goes_on().await;
    traffic.end().await;
}

#[tokio::test]
async fn good_files_take_effect_during_an_open_request() {
    let world = world().await;
    let router = world.router().await;
    let old = &world.authorities.servers;
    let new = Authorities::other("new servers", 11);
    let new_clients = Authorities::other("new clients", 12);
    let traffic = Traffic::start(&world, &router, &[old, &new]);
    let renewed = certificate(&new_clients, vec![San::Uri(TENANT_SAN.to_owned())]);
    let claims = world.claims().with("aud", "next");
    let next = world.idp.sign(&claims).unwrap();

    let ask = async |trusted, credential, token: Option<&str>| {
        let client = router.client(Protocol::Http2, &[trusted], credential);
        let request = Request::get("/");
        let request = match token {
            Some(token) => request.bearer(token),
            None => request,
        };
        client.send(request).await
    };
    assert!(matches!(
        ask(&new, None, None).await,
        Err(ClientError::Tls(_))
    ));
    ask(old, Some(&renewed), None).await.unwrap_err();
    let refused = ask(old, None, Some(&next)).await.unwrap();
    assert_eq!(reason(&refused), "wrong_audience");

    let upload = Upload::begin(&router, old, &world.token()).await;
    until("the upload has reached the cell", async || {
        let seen = world.seen.since();
        seen.iter().any(|(received, _)| received.path == "/upload")
    })
    .await;
    let leaf = certificate(&new, loopback());
    world.folder.write_credential("server", &leaf);
    let both = bundle_pem(&[&world.authorities.clients, &new_clients]);
    world.folder.write("clients.pem", &both);
    let config = world.config();
    world.configure(&config.replace("\"cellway\"", "[\"cellway\", \"next\"]"));
    router.reload().await;

    assert!(matches!(
        ask(old, None, None).await,
        Err(ClientError::Tls(_))
    ));
    let answer = ask(&new, Some(&renewed), None).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    let answer = ask(&new, None, Some(&next)).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    traffic.goes_on().await;
    let answer = upload.finish().await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("\"body_bytes\": 10"), "{answer}");
    traffic.end().await;
}
