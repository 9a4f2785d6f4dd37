//! What an Envoy's clients see if its authorizer fails, compared with `docs/failures.md`.

use std::path::Path;
use std::time::Duration;

use cellway_testbed::{Answer, Protocol};
use cellway_tests::world::until;
use tokio::net::TcpListener;

use crate::{LISTENERS, Scene, arrived, install, with};

const PAGE: &str = include_str!("../../../docs/failures.md");

/// The row in which a tenant has sent more requests than its rate limit allows.
const LIMITED: &str = "limits the tenant's rate";

/// The cells of a row of the second table, without their backticks.
type Row = Vec<String>;

fn table() -> Vec<Row> {
    let (_, page) = PAGE.split_once("\n## If the authorizer fails").unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| "));
    // The first two are the heading.
    let rows = rows.skip(2).map(|line| {
        let cells = line.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().replace('`', "")).collect()
    });
    rows.collect()
}

/// A router that fails like this, and whose request it is.
async fn scene(binary: &Path, how: &str) -> (Scene, &'static str) {
    let binary = binary.to_owned();
    match how {
        "has ended" => {
            let scene = Scene::new(binary).await;
            scene.router.handle.drain(Duration::ZERO).await;
            (scene, "acme")
        }
        "has no registry" => (Scene::with(binary, true, false).await, "acme"),
        "has no keys" => {
            let scene = Scene::with(binary, false, true).await;
            until("the registry is there", async || {
                scene.router.readyz().await.1["registry_version"] == 6
            })
            .await;
            (scene, "acme")
        }
        "accepts connections and is silent" => {
            let mut scene = Scene::new(binary).await;
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            scene.silent = Some(listener);
            (scene, "acme")
        }
        "does not list the Envoy in its callers" => {
            let listeners = LISTENERS.replace("clients.test/envoy", "clients.test/another");
            (Scene::of(binary, &listeners, true, true).await, "acme")
        }
        "denies the request" => (Scene::new(binary).await, "wayne"),
        LIMITED => (Scene::new(binary).await, "luthor"),
        _ => panic!("no such failure: {how}"),
    }
}

fn header(answer: &Answer, name: &str) -> String {
    let value = answer.headers.get(name);
    value.map_or_else(String::new, |it| it.to_str().unwrap().to_owned())
}

/// Catches: a page that promises other answers than an Envoy's clients get, and a request that passes
/// without the router's word.
#[tokio::test]
#[ignore = "installs a real Envoy under target/; run it with -- --ignored"]
async fn clients_of_an_envoy_see_what_the_table_says() {
    let binary = install::envoy();
    let mut wrong = Vec::new();
    let table = table();
    assert!(table.len() >= 8, "{table:?}");
    for row in table {
        let [how, form, status, reason, grpc] = &row[..] else {
            panic!("{row:?}");
        };
        let (scene, tenant) = scene(&binary, how).await;
        let envoy = match &**form {
            "gRPC" => scene.grpc_envoy().await,
            "plain HTTP" if how.starts_with("does not list") => scene.http_envoy_over_tls().await,
            "plain HTTP" => scene.http_envoy().await,
            _ => panic!("{row:?}"),
        };
        let tls = |alpn| (form == "gRPC").then(|| scene.pki.client(None, alpn));
        let client = envoy.client(Protocol::Http1, tls(b"http/1.1"));
        if how == LIMITED {
            // The one that it may send in an hour.
            arrived(&client, scene.bearer(tenant)).await;
        }
        let answer = scene.refused(&client, scene.bearer(tenant)).await;
        let kind = [("content-type", "application/grpc"), ("te", "trailers")];
        let call = with(scene.bearer(tenant), &kind);
        let called = scene.refused(&client, call).await;
        let got = [
            answer.status.as_u16().to_string(),
            header(&answer, "x-cellway-reason"),
            header(&called, "grpc-status"),
        ];
        if got != [status, reason, grpc].map(Clone::clone) {
            wrong.push(format!("{how}, {form}: {got:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
